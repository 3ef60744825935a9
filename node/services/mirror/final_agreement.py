"""Before a block becomes final: do providers have the same one, and do enough of them have it?

A block that is booked is never taken back by itself, so one provider alone does not decide which
one it is where there are more. Where they have different ones and go on to, one of them is on
another chain, and an operator has to say which. Where one has no such block yet, it is behind, or
the other boasts of blocks that nobody else has: finality goes as far as two of them have the chain.
One that does not answer has no say.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

import structlog

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, BlockPoint
from node.core.ports import Unit, UnitOfWork
from node.core.ports.mirror import ChainReader
from node.core.units import BlockHash

_log = structlog.get_logger()

_Block = TypeVar("_Block", BlockPoint, BlockHeader)

_PASSES_PATIENT: Final = 3
WITNESSES_MIN: Final = 2
"""So many providers must have a block that others, which answer, have not."""

_ASKED_MAX: Final = 3
"""How often they are asked in one pass: heads move between two questions."""


class ProvidersDiffer(ChainUnavailable):
    """No provider is alone with its block, and they have different ones: nobody can say which."""


@dataclass(slots=True)
class FinalAgreement:
    """Compares providers. Remembers for how many passes they have differed.

    Attributes:
        witnesses_min: How many providers must have a block that others, which answer, have not.
    """

    units: UnitOfWork
    reader: ChainReader
    chain_id: int
    new_id: Callable[[], UUID]
    witnesses_min: int = WITNESSES_MIN
    _passes: int = 0
    _ties: int = 0
    _is_held_back: bool = False

    async def newest(
        self, number: int, block_of: Callable[[int], Awaitable[_Block | None]]
    ) -> tuple[_Block | None, int]:
        """The newest block that may become final now, and up to where providers let others.

        Args:
            number: As far as blocks are due.
            block_of: The block of the next step up to a number; None: there is none.

        Returns:
            None as the block: finality waits.
        """
        for times in range(_ASKED_MAX):
            target = await block_of(number) if number >= 0 else None
            reach = None if target is None else await self._reach(target)
            if target is None or reach is None:
                break
            if reach == target.number:
                self._is_held_back = self._is_held_back and times > 0
                return target, number
            number = reach
        return None, number

    async def _reach(self, target: BlockPoint | BlockHeader) -> int | None:
        """How far finality may go, up to this block.

        Returns:
            The number of `target`: it may become final. A lower one: providers have no more than
            that in common; to be asked about anew. None: it waits. Where nobody has the block of
            that hash the mirror is about to be rewound, which is no difference of theirs.
        """
        told = await self.reader.witnesses(target.number)
        hashes = {name: each.hash for name, each in told.items() if each.hash is not None}
        agreeing = [name for name, hash_ in hashes.items() if hash_ == target.hash]
        if len(agreeing) < len(hashes):
            if agreeing:
                self._passes += 1
                await self._tell(
                    self._passes,
                    BlockPoint(target.number, target.hash),
                    hashes,
                    "which is to become final",
                    "Nothing becomes final until they agree",
                )
            return None
        behind = {name: each.newest for name, each in told.items() if each.hash is None}
        if not agreeing or (behind and len(agreeing) < self.witnesses_min):
            self._note_behind(target.number, agreeing, behind)
            return self._in_common(len(agreeing), behind)
        self._passes = 0
        return target.number

    def _in_common(self, agreeing: int, behind: Mapping[str, int]) -> int | None:
        """The newest block that enough providers have, by what they say of themselves."""
        heads = sorted(behind.values(), reverse=True)
        wanted = max(1, self.witnesses_min - agreeing)
        return heads[min(wanted, len(heads)) - 1] if heads else None

    def _note_behind(self, number: int, agreeing: Sequence[str], behind: Mapping[str, int]) -> None:
        """Log it once; readiness tells of it while what is due is not final."""
        if agreeing and not self._is_held_back:
            self._is_held_back = True
            _log.warning(
                "finality goes no further than two providers have the chain",
                block=number,
                only=list(agreeing),
                behind=dict(behind),
            )

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
        if self._ties or self._passes:
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
