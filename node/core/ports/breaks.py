"""Breaks as they are kept: opened once, looked after, closed by a match or a ledger transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak
from node.core.paging import ListQuery, Page


@dataclass(frozen=True, slots=True)
class Break:
    """One difference, open or closed.

    Attributes:
        cause: Why it came to be, where that was found out; else empty.
        resolution: `kind` (match, ledger_transaction, rederived), `reason`, `ledger_sequence`.
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


class BreakRepository(Protocol):
    """The breaks' table."""

    async def open(self, breaks: Sequence[tuple[UUID, NewBreak]]) -> frozenset[str]:
        """Open these, each with the id given; one that is open already is seen again.

        A difference that an operator has closed, and that is still the same, stays closed.

        Returns:
            Fingerprints of those that are new.
        """
        ...

    async def close_rederived(
        self, codes: Sequence[BreakCode], still_there: Sequence[str], reason: str
    ) -> None:
        """Close open breaks of these codes whose fingerprint is not still there."""
        ...

    async def page(self, query: ListQuery) -> Page[Break]:
        """Breaks, newest first. Filters: `status` (open, resolved), `code`."""
        ...

    async def lock(self, break_id: UUID) -> Break | None:
        """One break, locked until the end of the transaction."""
        ...

    async def close(self, break_id: UUID, closed_by: str, resolution: Mapping[str, str]) -> None:
        """Close a break."""
        ...
