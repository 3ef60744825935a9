"""Before a block becomes final: does every provider that answers have the same one?

A block that is booked is never taken back by itself, so one provider alone does not decide which
one it is where there are more. They differ for a moment when one is behind; where they go on to
differ, one of them is on another chain, and an operator has to say which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint
from node.core.ports import Unit, UnitOfWork
from node.core.ports.mirror import ChainReader
from node.core.units import BlockHash

_log = structlog.get_logger()

_PASSES_PATIENT: Final = 3


class ProvidersDiffer(ChainUnavailable):
    """No provider is alone with its block, and they have different ones: nobody can say which."""


@dataclass(slots=True)
class FinalAgreement:
    """Compares providers. Remembers for how many passes they have differed."""

    units: UnitOfWork
    reader: ChainReader
    chain_id: int
    new_id: Callable[[], UUID]
    _passes: int = 0
    _ties: int = 0

    async def holds(self, target: BlockPoint) -> bool:
        """Whether all that answer have this block; finality waits otherwise.

        Where nobody has it the mirror is about to be rewound, which is no difference of theirs.
        """
        told = await self.reader.hashes_at(target.number)
        agreeing = [name for name, hash_ in told.items() if hash_ == target.hash]
        if len(agreeing) == len(told):
            self._passes = 0
            return bool(told)
        if not agreeing:
            return False
        self._passes += 1
        await self._tell(
            self._passes,
            target,
            told,
            "which is to become final",
            "Nothing becomes final until they agree",
        )
        return False

    async def tied(self, held: BlockPoint, told: Mapping[str, BlockHash]) -> ProvidersDiffer:
        """They differ about a block that the mirror has, and would have to take back.

        Args:
            held: The mirror's block.
            told: Provider -> its block of that number.

        Returns:
            The error, to be raised.
        """
        self._ties += 1
        await self._tell(
            self._ties, held, told, "which the mirror has", "The mirror waits until they agree"
        )
        return ProvidersDiffer(f"providers differ about block {held.number}; the mirror waits")

    def untie(self) -> None:
        """The mirror went on: whoever differed does so no more, or was not asked."""
        self._ties = 0

    async def close(self, unit: Unit) -> None:
        """They agree: what was open about it is closed, in the transaction of the final cursor.

        Not while they differ about a newer block than the final one.
        """
        if self._ties:
            return
        await unit.breaks.close_all(
            [f"{BreakCode.DEEP_REORG}:{self._subject}"], "rederived", "providers agree again"
        )

    @property
    def _subject(self) -> str:
        return f"{self.chain_id}:providers"

    async def _tell(
        self, passes: int, block: BlockPoint, told: Mapping[str, BlockHash], role: str, until: str
    ) -> None:
        """Log it; after some passes in a row open the break."""
        found = self._break(block, told, role, until)
        _log.warning("providers differ", cause=found.cause, passes=passes)
        if passes >= _PASSES_PATIENT:
            async with self.units() as unit:
                await unit.breaks.open([(self.new_id(), found)])

    def _break(
        self, target: BlockPoint, told: Mapping[str, BlockHash], role: str, until: str
    ) -> NewBreak:
        sides = "; ".join(f"{name} has 0x{hash_.hex()}" for name, hash_ in sorted(told.items()))
        return break_of(
            BreakCode.DEEP_REORG,
            self._subject,
            expected=f"every provider has block {target.number} as 0x{target.hash.hex()}",
            actual=sides,
            evidence={
                "block_number": str(target.number),
                "block_hash": f"0x{target.hash.hex()}",
            },
            cause=f"providers have different blocks of number {target.number}, {role}: {sides}."
            f" {until}, or the wrong one is no longer among the settings",
        )
