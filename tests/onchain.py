"""Test USD and a settlement contract on a real anvil, and what a test does to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from adapters.evm.artifacts import load
from node.core.units import Address
from tests.rig import DEV_ACCOUNTS, AnvilServer

ADMIN: Final = DEV_ACCOUNTS[0][0]
LANE, LANE_KEY = DEV_ACCOUNTS[1]
# Anvil's sixth development account, known to everybody.
LANE_2: Final = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
LANE_2_KEY: Final = "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"
FLOAT_UNITS: Final = 10**14
CAP_UNITS: Final = 2**63 - 1
"""Caps of contract and operators that no test reaches; one that wants to passes its own."""
_GAS: Final = 6_000_000
_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


def address_of(text: str) -> Address:
    """The bytes of a written address."""
    return Address(bytes.fromhex(text[2:]))


def call(signature: str, *arguments: object) -> str:
    """Calldata of a function by its signature."""
    types = [each for each in signature.partition("(")[2].rstrip(")").split(",") if each]
    return "0x" + (keccak(text=signature)[:4] + encode(types, arguments)).hex()


def settlement_arguments(
    token: str,
    *,
    operators: Sequence[str] = (LANE,),
    cap_units: int = CAP_UNITS,
    pauser: str = ADMIN,
    rescuer: str = ADMIN,
) -> bytes:
    """Arguments of the settlement contract's constructor; the admin has every role but operator."""
    types = ["address", "address", "address", "address", "uint64", "(address,uint64)[]"]
    caps = [(operator, cap_units) for operator in operators]
    return encode(types, [token, ADMIN, pauser, rescuer, cap_units, caps])


@dataclass(frozen=True)
class OnChain:
    """Both contracts, deployed; lane and admin are operators, the admin has every other role."""

    anvil: AnvilServer
    token: Address
    contract: Address

    @classmethod
    def deploy(
        cls,
        anvil: AnvilServer,
        *,
        float_units: int = FLOAT_UNITS,
        operators: Sequence[str] = (LANE, ADMIN),
        cap_units: int = CAP_UNITS,
        pauser: str = ADMIN,
        rescuer: str = ADMIN,
        token_code: bytes | None = None,
    ) -> Self:
        """Deploy both and give the contract its float. Works with any kind of mining.

        `token_code` creates another token with the words of Test USD.
        """
        usual = load("TestUSD").bytecode + encode(["address"] * 3, [ADMIN] * 3)
        token = _deploy(anvil, token_code or usual)
        contract = _deploy(
            anvil,
            load("TransferSettlement").bytecode
            + settlement_arguments(
                token, operators=operators, cap_units=cap_units, pauser=pauser, rescuer=rescuer
            ),
        )
        chain = cls(anvil, address_of(token), address_of(contract))
        chain.send(token, "configureMinter(address,uint256)", ADMIN, float_units * 2)
        if float_units:
            chain.send(token, "mint(address,uint256)", contract, float_units)
        return chain

    def send(
        self, to: bytes | str, signature: str, *arguments: object, sender: str = ADMIN
    ) -> None:
        """A call by the admin, or by another of anvil's accounts, mined."""
        target = to if isinstance(to, str) else "0x" + to.hex()
        _mined(self.anvil, {"from": sender, "to": target, "data": call(signature, *arguments)})

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


def _deploy(anvil: AnvilServer, code: bytes) -> str:
    return str(_mined(anvil, {"from": ADMIN, "data": "0x" + code.hex()})["contractAddress"])


def _mined(anvil: AnvilServer, transaction: dict[str, str]) -> dict[str, str]:
    tx_hash = anvil.rpc("eth_sendTransaction", {"gas": hex(_GAS), **transaction})
    receipt = anvil.mined(tx_hash)
    assert receipt["status"] == "0x1"
    return receipt
