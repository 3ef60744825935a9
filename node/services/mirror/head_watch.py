"""Watching the chain's head and the mirror from outside, so that what stands still is seen.

A provider that answers the same block for ever answers every question; only whoever remembers when
the head last changed notices. `serve` looks four times a block, and remembers the same of
finality and of reconciliation: what each has to reach, and since when. What follows for readiness
is `node.services.mirror.health`.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from node.core.errors import Unavailable
from node.core.mirror import Finality
from node.core.ports import Clock, UnitOfWork
from node.core.ports.chain import BlockRef, Chain
from node.core.ports.comparisons import Progress

_LOOKS_PER_BLOCK: Final = 4
_OWED_MAX: Final = 10_000
_SHORTEST_MS: Final = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last looks saw.

    Attributes:
        head: The newest block a provider told of; None: none ever did.
        changed_at: When it was first told of another head than before.
        behind_since: When finality had come further than reconciliation has now; None: it is with
            it.
        final_behind_since: When a block was due to be final that is not; None: none is.
        fault: Why the last look had no answer of the chain; empty: it had.
    """

    head: BlockRef | None = None
    changed_at: datetime | None = None
    behind_since: datetime | None = None
    final_behind_since: datetime | None = None
    fault: str = ""


@dataclass(slots=True)
class _Owed:
    """Numbers that something has to reach, each with when that was first asked of it."""

    asked: deque[tuple[int, datetime]] = field(default_factory=lambda: deque(maxlen=_OWED_MAX))

    def since(self, due: int, reached: int, now: datetime) -> datetime | None:
        """When the first number was asked for that is not reached; None: all are.

        Args:
            due: What is to be reached now. Where it was more before, that is forgotten.
            reached: What is reached now.
            now: The time.
        """
        while self.asked and self.asked[-1][0] > due:
            self.asked.pop()
        if not self.asked or self.asked[-1][0] < due:
            self.asked.append((due, now))
        while self.asked and self.asked[0][0] <= reached:
            self.asked.popleft()
        return self.asked[0][1] if self.asked else None


class HeadWatch:
    """Looks again and again, and remembers."""

    def __init__(
        self,
        units: UnitOfWork,
        chain: Chain,
        clock: Clock,
        *,
        chain_id: int,
        block_ms: int,
        finality: Finality,
    ) -> None:
        self._units = units
        self._chain = chain
        self._clock = clock
        self._chain_id = chain_id
        self._finality = finality
        pause_ms = max(_SHORTEST_MS, block_ms // _LOOKS_PER_BLOCK)
        self._pause_s = pause_ms / 1000  # tidy: T1 because seconds, not money
        self._to_reconcile = _Owed()
        self._to_finalize = _Owed()
        self._is_watching = False
        self._seen = Seen()

    async def seen(self) -> Seen:
        """What is known now; asks only when nobody watches in this process."""
        if not self._is_watching:
            await self.look()
        return self._seen

    async def watch(self) -> None:
        """Look until cancelled; what is away is looked for again."""
        self._is_watching = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._repeat_head())
                group.create_task(self._repeat_progress())
        finally:
            self._is_watching = False

    async def look(self) -> None:
        """One look at the chain, and one at the database."""
        await self._look_at_head()
        await self._look_at_progress()

    def take(self, progress: Progress) -> Seen:
        """Remember what was due when, and forget what is reached.

        What was final and is not any more (operators accepted another chain) is forgotten too.
        """
        now, final = self._clock.now(), progress.final_number
        reconciled = -1 if progress.reconciled is None else progress.reconciled
        self._seen = replace(
            self._seen,
            behind_since=self._to_reconcile.since(final, reconciled, now),
            final_behind_since=self._to_finalize.since(self.final_due(progress), final, now),
        )
        return self._seen

    def final_due(self, progress: Progress) -> int:
        """The block up to which all that the mirror has is to be final by now.

        The final one where the chain tells of no newer one.
        """
        number = self._finality.final_number(
            progress.head_number,
            progress.tag_number,
            has_lost_its_tag=progress.has_lost_its_tag,
        )
        return max(progress.final_number, min(number or 0, progress.head_number))

    def waits_in_vain(self, progress: Progress) -> bool:
        """Whether the chain's tag alone decides what is final, and has stood still for long."""
        return self._finality.depth_blocks is None and progress.has_lost_its_tag

    async def _repeat_head(self) -> None:
        while True:
            await self._look_at_head()
            await asyncio.sleep(self._pause_s)

    async def _repeat_progress(self) -> None:
        """Beside the other: a provider that hangs must not hide what the database says."""
        while True:
            await self._look_at_progress()
            await asyncio.sleep(self._pause_s)

    async def _look_at_head(self) -> None:
        try:
            head = await self._chain.head()
        except Unavailable as error:
            self._seen = replace(self._seen, fault=error.detail)
            return
        before, now = self._seen.head, self._clock.now()
        if before is None:  # it may have stood for long before this process began to look
            changed_at = min(now, datetime.fromtimestamp(head.timestamp_s, UTC))
        elif before.hash == head.hash:
            self._seen = replace(self._seen, fault="")
            return
        else:
            changed_at = now
        self._seen = replace(self._seen, head=head, changed_at=changed_at, fault="")

    async def _look_at_progress(self) -> None:
        try:
            async with self._units() as unit:
                progress = await unit.comparisons.progress(self._chain_id)
        except Unavailable:
            return  # readiness asks the database itself
        if progress is not None:
            self.take(progress)
