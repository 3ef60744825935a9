"""Whether the node can do its work now, told without guessing.

Nothing here believes a figure because it was answered: what should move and stands still is not
ready, whoever says that all is well. The memory of what moved when is
`node.services.mirror.head_watch`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from node.core.breaks import BreakCode
from node.core.errors import Unavailable
from node.core.ports import Clock, UnitOfWork
from node.core.ports.breaks import OpenBreaks
from node.core.ports.chain import ProviderHealthSource
from node.core.ports.comparisons import Progress
from node.services.mirror.head_watch import HeadWatch, Seen

BLOCKS_LATE_MAX: Final = 2
"""Head, cursor, finality or reconciliation may be late by so many block times."""

BLOCKS_BEHIND_MAX: Final = 1
"""The cursor may be so many blocks behind the head."""

PROVIDER_BEHIND_MAX: Final = 3
"""A provider that is more blocks behind the others than this is told of."""

_DOUBTFUL: Final = frozenset(
    {
        BreakCode.MISSED_LOG,
        BreakCode.PHANTOM_LOG,
        BreakCode.BALANCE_MOVED,
        BreakCode.DEEP_REORG,
    }
)
"""Codes of breaks that say that the mirror is not what the chain is.

A balance that moved without a log is among them: a log that every provider drops looks just so.
"""

_HOLDING: Final = {
    BreakCode.FOREIGN_NONCE: "a lane has a transaction that nobody has explained, look at it with"
    " `corridor settlement adopt`",
    BreakCode.DEEP_REORG: "providers differ, or the chain took back what was final",
}
"""Codes of breaks that hold finality, and what each says."""


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
    """Every check with its outcome, and the figures behind them.

    Attributes:
        head_number: The chain's newest block as this process reads it; None: unknown.
        cursor_number: The newest block the mirror has; None: unknown.
        final_due_number: The block that is to be final by now; None: unknown.
        reconciled_number: The final block reconciliation has come to; None: unknown.
        head_age: How long the head has not changed; None: it was never seen.
        cursor_age: How long the mirror has not moved.
        final_behind_age: How long what is due has not become final; zero: all of it has.
        behind_age: How long reconciliation has not reached what is final; zero: it has.
        last_run_ms: How long the last comparison took.
        breaks: Open breaks by code.
        at: When this was, database clock.
    """

    checks: Sequence[Check]
    head_number: int | None = None
    cursor_number: int | None = None
    final_number: int | None = None
    reconciled_number: int | None = None
    head_age: timedelta | None = None
    cursor_age: timedelta | None = None
    behind_age: timedelta | None = None
    last_run_ms: int | None = None
    breaks: Sequence[OpenBreaks] = field(default=())
    at: datetime | None = None
    final_due_number: int | None = None
    final_behind_age: timedelta | None = None

    @property
    def ok(self) -> bool:
        """Whether all hold."""
        return all(check.ok for check in self.checks)


class HealthService:
    """Looks at the database, the chain, the mirror and reconciliation."""

    def __init__(
        self,
        units: UnitOfWork,
        watch: HeadWatch,
        clock: Clock,
        providers: ProviderHealthSource,
        *,
        chain_id: int,
        block_ms: int,
    ) -> None:
        self._units = units
        self._watch = watch
        self._clock = clock
        self._providers = providers
        self._chain_id = chain_id
        self._late = timedelta(milliseconds=BLOCKS_LATE_MAX * block_ms)

    async def ready(self) -> Readiness:
        """Look now; never raises for what is away, it says so."""
        seen = await self._watch.seen()
        try:
            async with self._units() as unit:
                progress = await unit.comparisons.progress(self._chain_id)
                breaks = await unit.breaks.summary()
        except Unavailable as error:
            checks = [Check("database", ok=False, detail=error.detail), self._chain_check(seen)]
            return Readiness(
                checks, seen.head.number if seen.head else None, head_age=self._head_age(seen)
            )
        checks = [Check("database", ok=True, detail="answers"), self._chain_check(seen)]
        if progress is None:
            checks.append(Check("mirror", ok=False, detail="has not begun; is a worker running?"))
            return Readiness(
                checks,
                seen.head.number if seen.head else None,
                head_age=self._head_age(seen),
                breaks=breaks,
            )
        seen = self._watch.take(progress)
        behind_age, final_behind_age = map(self._age, (seen.behind_since, seen.final_behind_since))
        final_due = self._watch.final_due(progress)
        checks += [
            self._mirror_check(progress, seen),
            self._finality_check(progress, final_due, final_behind_age, breaks),
            self._reconciliation_check(progress, behind_age),
            _completeness_check(breaks),
        ]
        return Readiness(
            checks,
            seen.head.number if seen.head else None,
            progress.head_number,
            progress.final_number,
            progress.reconciled,
            self._head_age(seen),
            progress.at - progress.moved_at,
            behind_age,
            progress.last_run_ms,
            breaks,
            progress.at,
            final_due,
            final_behind_age,
        )

    async def mirror_head(self) -> int | None:
        """Number of the newest block the mirror has; None: it has not begun.

        Confirmations are counted from it, so that they agree with what else is shown.
        """
        async with self._units() as unit:
            cursor = await unit.mirror.cursor(self._chain_id)
        return cursor.head.number if cursor else None

    def _age(self, since: datetime | None) -> timedelta:
        return timedelta() if since is None else self._clock.now() - since

    def _head_age(self, seen: Seen) -> timedelta | None:
        return None if seen.changed_at is None else self._clock.now() - seen.changed_at

    def _chain_check(self, seen: Seen) -> Check:
        age = self._head_age(seen)
        if seen.head is None or age is None:
            return Check("chain", ok=False, detail=f"no provider answers: {seen.fault}")
        detail = f"head {seen.head.number} has not changed for {_seconds(age)}"
        if seen.fault:
            detail += f"; {seen.fault}"
        detail += self._told_of_laggards()
        return Check("chain", ok=age <= self._late, detail=detail)

    def _told_of_laggards(self) -> str:
        """Which providers are far behind the others, as this process sees them."""
        return "".join(
            f"; provider {each.name} is {each.behind_blocks} blocks behind the others"
            for each in self._providers.health()
            if each.behind_blocks > PROVIDER_BEHIND_MAX
        )

    def _mirror_check(self, progress: Progress, seen: Seen) -> Check:
        stood = progress.at - progress.moved_at
        behind = max(0, seen.head.number - progress.head_number) if seen.head else 0
        return Check(
            "mirror",
            ok=stood <= self._late
            and behind <= BLOCKS_BEHIND_MAX
            and progress.halted_reason is None,
            detail=f"halted: {progress.halted_reason}"
            if progress.halted_reason
            else f"at block {progress.head_number}, {behind} behind the head, moved"
            f" {_seconds(stood)} ago",
        )

    def _finality_check(
        self,
        progress: Progress,
        due: int,
        behind_age: timedelta,
        breaks: Sequence[OpenBreaks],
    ) -> Check:
        """Finality may wait for the chain, and for nothing else."""
        if self._watch.waits_in_vain(progress):
            return Check(
                "finality",
                ok=False,
                detail=f"at block {progress.final_number}; the chain has tagged no newer one as"
                " finalized for half an hour in which its head moved",
            )
        detail = f"at block {progress.final_number} of {due} that are due"
        if behind_age:
            detail += f", behind for {_seconds(behind_age)}"
            detail += self._told_of_laggards()
            open_codes = {each.code: each.count for each in breaks}
            for code, reason in _HOLDING.items():
                if code in open_codes:
                    detail += f"; {open_codes[code]} open {code}: {reason}"
        return Check("finality", ok=behind_age <= self._late, detail=detail)

    def _reconciliation_check(self, progress: Progress, behind_age: timedelta) -> Check:
        if progress.reconciled is None:
            detail = "has compared nothing of this chain yet; is a worker running?"
        else:
            detail = f"at block {progress.reconciled} of {progress.final_number} that are final"
            if behind_age:
                detail += f", behind for {_seconds(behind_age)}"
        return Check("reconciliation", ok=behind_age <= self._late, detail=detail)


def _completeness_check(breaks: Sequence[OpenBreaks]) -> Check:
    doubtful = [each for each in breaks if each.code in _DOUBTFUL]
    told = ", ".join(f"{each.count} {each.code}" for each in doubtful)
    return Check(
        "completeness",
        ok=not doubtful,
        detail=f"open breaks say that the mirror is not what the chain is: {told}"
        if doubtful
        else "no open break says that the mirror lacks anything",
    )


def _seconds(age: timedelta) -> str:
    return f"{age.total_seconds():.1f} s"
