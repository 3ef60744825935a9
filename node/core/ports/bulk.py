"""Bulk transfers in the store."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from node.core.bulk import Bulk, BulkFile, BulkRow, BulkStatus, Mode, Order, Outcome, RowStatus, Sum
from node.core.paging import ListQuery, Page
from node.core.parties import Principal


class BulkRepository(Protocol):
    """Bulk transfers and their rows."""

    async def open_count(self, owner: str) -> int:
        """How many of an owner (`Principal.key`) are under way; nobody adds one meanwhile."""
        ...

    async def add(
        self,
        bulk_id: UUID,
        principal: Principal,
        file: BulkFile,
        mode: Mode,
        status: BulkStatus,
        accept_within: timedelta,
    ) -> Bulk:
        """Store a bulk transfer with its rows; those with faults are rejected."""
        ...

    async def get(self, principal: Principal, bulk_id: UUID) -> Bulk | None:
        """One, where it exists for this principal."""
        ...

    async def list(self, principal: Principal, query: ListQuery) -> Page[Bulk]:
        """Those that exist for this principal, newest first. Filter: `status`."""
        ...

    async def sums(self, bulk_id: UUID) -> Sequence[Sum]:
        """Accepted rows by pair and state of their transfers."""
        ...

    async def rows(
        self, bulk_id: UUID, *, status: RowStatus | None, after_line: int, limit: int
    ) -> Sequence[BulkRow]:
        """Rows after a line, ascending."""
        ...

    async def claim(self, bulk_id: UUID | None = None) -> Bulk | None:
        """The one that has waited longest and is due, or this one, if nobody else has it.

        Nobody else gets it until the end of the transaction.
        """
        ...

    async def lease(self, bulk_id: UUID, *, seconds: int) -> None:
        """Let nobody else get it for so long: partners are asked between two transactions."""
        ...

    async def pending(
        self, bulk_id: UUID, *, after_line: int, limit: int
    ) -> Sequence[tuple[int, Order]]:
        """Lines that are pending, with their orders, ascending."""
        ...

    async def quotes(self, bulk_id: UUID, lines: Sequence[int]) -> Mapping[int, UUID]:
        """By line, the newest quote that a partner was asked for; rows without one are left out."""
        ...

    async def bind(self, bulk_id: UUID, line: int, quote_id: UUID, instead_of: UUID | None) -> bool:
        """Keep the quote of a row; False, and nothing is kept: it has another one meanwhile."""
        ...

    async def record(
        self, bulk_id: UUID, outcomes: Sequence[Outcome], *, passed_line: int, waiting: str | None
    ) -> None:
        """Keep what came of rows, and why others wait; the next turn is after all others'."""
        ...

    async def rest(self, bulk_id: UUID, *, seconds: int) -> None:
        """Begin the next pass over what is pending after a pause."""
        ...

    async def reject_pending(self, bulk_id: UUID, code: str, message: str) -> None:
        """Reject every row that is pending."""
        ...

    async def finish(self, bulk_id: UUID, status: BulkStatus) -> Bulk:
        """End it: no row is pending any more."""
        ...
