"""Whether the node can do its work now, told without guessing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from node.core.errors import Unavailable
from node.core.ports import Clock, UnitOfWork
from node.core.ports.chain import BlockRef, Chain

_BLOCKS_LATE_MAX: Final = 3  # `surface.md` 3: either stands still for 3 x the block time
_GRACE_S: Final = 1  # clocks of chains count whole seconds


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold.

    Attributes:
        detail: What was seen, in words.
    """

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Every check with its outcome.

    Attributes:
        head_number: The chain's newest block as this process reads it; None: unknown.
        cursor_number: The newest block the mirror has; None: unknown.
    """

    checks: Sequence[Check]
    head_number: int | None = None
    cursor_number: int | None = None
    final_number: int | None = None

    @property
    def ok(self) -> bool:
        """Whether all hold."""
        return all(check.ok for check in self.checks)


class HealthService:
    """Looks at the database, the chain and the mirror's cursor."""

    def __init__(
        self,
        units: UnitOfWork,
        chain: Chain,
        clock: Clock,
        *,
        chain_id: int,
        block_ms: int,
    ) -> None:
        self._units = units
        self._chain = chain
        self._clock = clock
        self._chain_id = chain_id
        self._late = timedelta(milliseconds=_BLOCKS_LATE_MAX * block_ms, seconds=_GRACE_S)

    async def ready(self) -> Readiness:
        """Look now; never raises for what is away, it says so."""
        head = await self._head()
        try:
            async with self._units() as unit:
                cursor, now = await unit.mirror.cursor(self._chain_id), unit.now
        except Unavailable as error:
            return Readiness(
                [Check("database", ok=False, detail=error.detail), self._chain_check(head)],
                head.number if head else None,
            )
        checks = [Check("database", ok=True, detail="answers"), self._chain_check(head)]
        if cursor is None:
            checks.append(Check("mirror", ok=False, detail="has not begun; is a worker running?"))
            return Readiness(checks, head.number if head else None)
        stood = now - cursor.moved_at
        lag = head.number - cursor.head.number if head else 0
        checks.append(
            Check(
                "mirror",
                ok=stood <= self._late and lag <= _BLOCKS_LATE_MAX and cursor.halted_reason is None,
                detail=cursor.halted_reason
                or f"at block {cursor.head.number}, {lag} behind the head,"
                f" moved {stood.total_seconds():.1f} s ago",
            )
        )
        return Readiness(
            checks, head.number if head else None, cursor.head.number, cursor.final.number
        )

    async def mirror_head(self) -> int | None:
        """Number of the newest block the mirror has; None: it has not begun.

        Confirmations are counted from it, so that they agree with what else is shown.
        """
        async with self._units() as unit:
            cursor = await unit.mirror.cursor(self._chain_id)
        return cursor.head.number if cursor else None

    async def _head(self) -> BlockRef | None:
        try:
            return await self._chain.head()
        except Unavailable:
            return None

    def _chain_check(self, head: BlockRef | None) -> Check:
        if head is None:
            return Check("chain", ok=False, detail="no provider answers")
        age = self._clock.now() - datetime.fromtimestamp(head.timestamp_s, UTC)
        return Check(
            "chain",
            ok=age <= self._late,
            detail=f"head {head.number} is {age.total_seconds():.1f} s old",
        )
