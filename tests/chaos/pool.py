"""The rules of a strict transaction pool, which anvil does not have, for the fault proxy.

geth wants 10 % more on both fees of a replacement, rounded down; reth rounds up. geth keeps 16
transactions of an account that wait for a block without regard to its size (`AccountSlots`).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from adapters.evm.signed import Eip1559Reader
from node.core.ports.chain import UnsignedTransaction
from tests.chaos.upstream import Upstream

_PERCENT: Final = 110


class Strictness(StrEnum):
    """Whose rule for replacements."""

    GETH = "geth_floor"
    RETH = "reth_ceil"


@dataclass(slots=True)
class Pool:
    """What one provider remembers of the transactions it took.

    Attributes:
        slots_max: Most nonces of an account above those that are mined.
    """

    strictness: Strictness = Strictness.RETH
    slots_max: int = 16
    _taken: dict[tuple[bytes, int], tuple[str, UnsignedTransaction]] = field(default_factory=dict)

    async def refusal(self, raw: bytes, upstream: Upstream) -> tuple[str, int, str] | None:
        """Name, code and text of what a strict pool says to these bytes; None: it takes them."""
        sender, tx_hash, wanted = Eip1559Reader().decode(raw)
        address = "0x" + sender.hex()
        mined = int(await upstream.call("eth_getTransactionCount", address, "latest"), 16)
        if wanted.nonce >= mined + self.slots_max:
            return "pool_limit", -32000, "account limit exceeded"
        earlier = self._taken.get((sender, wanted.nonce))
        if earlier is not None and earlier[0] != "0x" + tx_hash.hex():
            found = await upstream.call("eth_getTransactionByHash", earlier[0])
            is_there = found is not None and found.get("blockHash") is None
            if is_there and not self._replaces(earlier[1], wanted):
                return "strict_replacement", -32000, "replacement transaction underpriced"
        self._taken[sender, wanted.nonce] = "0x" + tx_hash.hex(), wanted
        return None

    def _replaces(self, old: UnsignedTransaction, new: UnsignedTransaction) -> bool:
        return all(
            offered > asked and offered >= self._least(asked)
            for asked, offered in (
                (old.max_fee_per_gas_wei, new.max_fee_per_gas_wei),
                (old.max_priority_fee_per_gas_wei, new.max_priority_fee_per_gas_wei),
            )
        )

    def _least(self, wei: int) -> int:
        if self.strictness is Strictness.GETH:
            return wei * _PERCENT // 100
        return -(-wei * _PERCENT // 100)
