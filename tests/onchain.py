"""Test USD and a settlement contract on a real anvil, and what a test does to them."""

from dataclasses import dataclass
from typing import Final, Self

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from adapters.evm.artifacts import load
from node.core.units import Address
from tests.rig import DEV_ACCOUNTS, AnvilServer

ADMIN: Final = DEV_ACCOUNTS[0][0]
LANE, LANE_KEY = DEV_ACCOUNTS[1]
FLOAT_UNITS: Final = 10**14
_GAS: Final = 6_000_000
_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


def address_of(text: str) -> Address:
    """The bytes of a written address."""
    return Address(bytes.fromhex(text[2:]))


def call(signature: str, *arguments: object) -> str:
    """Calldata of a function by its signature."""
    types = [each for each in signature.partition("(")[2].rstrip(")").split(",") if each]
    return "0x" + (keccak(text=signature)[:4] + encode(types, arguments)).hex()


@dataclass(frozen=True)
class OnChain:
    """Both contracts, deployed; the lane is the operator and the admin has every other role."""

    anvil: AnvilServer
    token: Address
    contract: Address

    @classmethod
    def deploy(cls, anvil: AnvilServer, *, float_units: int = FLOAT_UNITS) -> Self:
        """Deploy both and give the contract its float. Works with any kind of mining."""
        token = _deploy(anvil, "TestUSD", encode(["address"] * 3, [ADMIN] * 3))
        types = ["address", "address", "address", "address", "address[]"]
        contract = _deploy(
            anvil, "TransferSettlement", encode(types, [token, ADMIN, ADMIN, ADMIN, [LANE]])
        )
        chain = cls(anvil, address_of(token), address_of(contract))
        chain.send(token, "configureMinter(address,uint256)", ADMIN, float_units * 2)
        if float_units:
            chain.send(token, "mint(address,uint256)", contract, float_units)
        return chain

    def send(self, to: bytes | str, signature: str, *arguments: object) -> None:
        """A call by the admin, mined."""
        target = to if isinstance(to, str) else "0x" + to.hex()
        _mined(self.anvil, {"from": ADMIN, "to": target, "data": call(signature, *arguments)})

    def balance(self, holder: bytes) -> int:
        """Token units of an account, at the newest block."""
        data = call("balanceOf(address)", "0x" + holder.hex())
        answer = self.anvil.rpc("eth_call", {"to": "0x" + self.token.hex(), "data": data}, "latest")
        return int(answer, 16)

    def used(self, number: int) -> bool:
        """Whether the contract has paid or voided the number."""
        data = call("used(uint64)", number)
        target = "0x" + self.contract.hex()
        return int(self.anvil.rpc("eth_call", {"to": target, "data": data}, "latest"), 16) == 1

    def payouts(self) -> list[tuple[str, int]]:
        """Beneficiary and amount of every token transfer out of the contract, ever."""
        logs = self.anvil.rpc(
            "eth_getLogs",
            {
                "fromBlock": "0x0",
                "toBlock": "latest",
                "address": "0x" + self.token.hex(),
                "topics": [_TRANSFER, "0x" + self.contract.hex().rjust(64, "0")],
            },
        )
        return [("0x" + each["topics"][2][26:], int(each["data"], 16)) for each in logs]

    def nonce(self, tag: str = "latest") -> int:
        """How many transactions the lane has sent."""
        return int(self.anvil.rpc("eth_getTransactionCount", LANE, tag), 16)


def _deploy(anvil: AnvilServer, name: str, arguments: bytes) -> str:
    data = "0x" + (load(name).bytecode + arguments).hex()
    return str(_mined(anvil, {"from": ADMIN, "data": data})["contractAddress"])


def _mined(anvil: AnvilServer, transaction: dict[str, str]) -> dict[str, str]:
    tx_hash = anvil.rpc("eth_sendTransaction", {"gas": hex(_GAS), **transaction})
    if anvil.rpc("eth_getTransactionReceipt", tx_hash) is None:
        anvil.mine()
    receipt = anvil.rpc("eth_getTransactionReceipt", tx_hash)
    assert receipt["status"] == "0x1"
    return dict(receipt)
