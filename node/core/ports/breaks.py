"""Breaks as they are kept: opened once, looked after, closed by a match or a ledger transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from node.core.breaks import BreakCode, BreakStep, NewBreak, Severity
from node.core.consent import Proposal
from node.core.paging import ListQuery, Page


@dataclass(frozen=True, slots=True)
class Break:
    """One difference, open or closed.

    Attributes:
        cause: Why it came to be, where that was found out; else empty.
        resolution: `kind` (match, ledger_transaction, rederived), `reason`, `ledger_sequence`,
            `proposed_by` where two persons closed it.
        due_at: When it should be closed; None: it may stay.
        owner: The operator who looks after it.
        proposal: What is to close it, and waits for a second operator.
        reopens: The earlier break of the same difference, which was closed.
        age: For how long it was open, or is by now.
    """

    id: UUID
    code: str
    fingerprint: str
    severity: str
    summary: str
    expected: str
    actual: str
    evidence: Mapping[str, str]
    next_action: str
    cause: str
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: Mapping[str, str] | None
    due_at: datetime | None = None
    owner: str | None = None
    proposal: Proposal | None = None
    reopens: UUID | None = None
    age: timedelta = field(default=timedelta(0), compare=False)

    @property
    def state(self) -> str:
        """`open`, `proposed` or `resolved`."""
        if self.resolved_at is not None:
            return "resolved"
        return "open" if self.proposal is None else "proposed"


def same_again(found: Break) -> NewBreak:
    """The same difference, to be opened anew because what closed it was undone."""
    return NewBreak(
        BreakCode(found.code),
        found.fingerprint,
        Severity(found.severity),
        found.summary,
        found.expected,
        found.actual,
        found.evidence,
        found.next_action,
        found.cause,
    )


@dataclass(frozen=True, slots=True)
class BreakEvent:
    """One line of a break's history.

    Attributes:
        break_id: The break, or an earlier one of the same difference.
        by: `Principal.key`, or the name of a job.
    """

    sequence: int
    break_id: UUID
    step: BreakStep
    by: str
    at: datetime
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OpenBreaks:
    """Breaks of one code that nobody has closed.

    Attributes:
        overdue: How many of them are past their time.
        oldest_at: Since when the oldest is open.
        ages: Bucket of `node.core.breaks.age_bucket` -> how many; none is left out.
    """

    code: str
    severity: str
    count: int
    overdue: int
    oldest_at: datetime
    ages: Mapping[str, int]


class BreakRepository(Protocol):
    """The breaks' table."""

    async def open(self, breaks: Sequence[tuple[UUID, NewBreak]]) -> frozenset[str]:
        """Open these, each with the id given; one that is open already is seen again.

        A difference that an operator has closed, and that is still the same, stays closed; one
        that came back with other numbers, or after it was gone, is opened anew and names the
        earlier break. Each step is a line of the history.

        Returns:
            Fingerprints of those that are new.
        """
        ...

    async def close_rederived(self, seen: Mapping[UUID, datetime], reason: str) -> None:
        """Close those of these breaks that are open and were not seen again since.

        Args:
            seen: Break -> its `last_seen_at` before the facts were derived anew. One that another
                has opened or seen meanwhile is about what was not compared.
            reason: In a sentence.
        """
        ...

    async def note_gone(self, codes: Sequence[BreakCode], still_there: Sequence[str]) -> None:
        """Note on breaks that were closed by persons that their difference is gone.

        From then on the same difference, with the same numbers, is opened anew.

        Args:
            codes: All that was compared again, of each code everything.
            still_there: Fingerprints of what was found.
        """
        ...

    async def explain(self, causes: Mapping[UUID, str]) -> None:
        """Write the cause of breaks that are open and have none yet; nothing else changes."""
        ...

    async def add_evidence(self, fingerprint: str, evidence: Mapping[str, str]) -> None:
        """Add to what an open break names, what was found out since it was opened."""
        ...

    async def open_of(self, codes: Sequence[BreakCode]) -> Sequence[Break]:
        """Breaks of these codes that nobody has closed, oldest first."""
        ...

    async def close_all(self, fingerprints: Sequence[str], kind: str, reason: str) -> None:
        """Close the open ones of these, by a job.

        Args:
            fingerprints: Those that are closed already, or never were opened, are passed over.
            kind: `rederived`: the chain shows that the difference is gone; opened anew when it
                comes back. `recorded`: nobody has to do anything, now or when it is seen again.
            reason: In a sentence.
        """
        ...

    async def page(self, query: ListQuery) -> Page[Break]:
        """Breaks, newest first.

        Filters: `status` (open, proposed, resolved; proposed ones are open), `code`, `severity`,
        `owner`.
        """
        ...

    async def get(self, break_id: UUID) -> Break | None:
        """One break, not locked."""
        ...

    async def lock(self, break_id: UUID) -> Break | None:
        """One break, locked until the end of the transaction."""
        ...

    async def history(self, break_id: UUID) -> Sequence[BreakEvent]:
        """What happened to it, and to earlier breaks of the same difference, oldest first."""
        ...

    async def close(self, break_id: UUID, closed_by: str, resolution: Mapping[str, str]) -> None:
        """Close a break that is locked; what was proposed is proposed no more."""
        ...

    async def propose(self, break_id: UUID, proposal: Proposal) -> None:
        """Keep what is to close a break that is locked."""
        ...

    async def approve(self, break_id: UUID, by: str, ledger_sequence: int | None) -> None:
        """Note that a second operator agreed, and what was booked; nothing is proposed any more."""
        ...

    async def withdraw(self, break_id: UUID, by: str, reason: str) -> None:
        """Forget what was proposed."""
        ...

    async def assign(self, break_id: UUID, owner: str | None, by: str) -> None:
        """Give a break to an operator, or to nobody."""
        ...

    async def summary(self) -> Sequence[OpenBreaks]:
        """Open breaks by code, in order of the codes."""
        ...
