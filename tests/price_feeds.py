"""Price feeds on a real anvil that answer as a test tells them."""

from dataclasses import dataclass
from typing import Final, Self

from eth_abi.abi import encode

from adapters.evm.artifacts import load
from adapters.machine import SystemClock
from node.core.units import Address
from tests.onchain import address_of, call
from tests.rig import DEV_ACCOUNTS, AnvilServer

OWNER: Final = DEV_ACCOUNTS[0][0]


@dataclass(frozen=True)
class TestFeed:
    """One `TestPriceFeed`."""

    __test__ = False

    anvil: AnvilServer
    address: Address

    @classmethod
    def deploy(cls, anvil: AnvilServer, description: str, *, digits: int = 8) -> Self:
        """A feed without an answer."""
        arguments = encode(["address", "uint8", "string"], [OWNER, digits, description])
        data = "0x" + (load("TestPriceFeed").bytecode + arguments).hex()
        return cls(anvil, address_of(_mined(anvil, {"data": data})["contractAddress"]))

    def answer(self, answer: int, *, age_s: int = 0, time_s: int | None = None) -> Self:
        """Let it answer this, as of so many seconds ago."""
        at_s = now_s() - age_s if time_s is None else time_s
        data = call("setAnswer(int256,uint256)", answer, at_s)
        _mined(self.anvil, {"to": self.text, "data": data})
        return self

    @property
    def text(self) -> str:
        """Its address as a setting has it."""
        return "0x" + self.address.hex()


def now_s() -> int:
    """Unix time of this machine, as of every block anvil mines."""
    return int(SystemClock().now().timestamp())


def _mined(anvil: AnvilServer, transaction: dict[str, str]) -> dict[str, str]:
    tx_hash = anvil.rpc("eth_sendTransaction", {"from": OWNER, **transaction})
    receipt = anvil.mined(tx_hash)
    assert receipt["status"] == "0x1"
    return receipt
