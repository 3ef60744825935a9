"""Bulk transfers as their owners see them: taken in, shown, reported.

A file is stored whole, its faulty rows with their reasons, and answered at once; a worker prices
and accepts the rest (`node.services.bulk.working`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.bulk import (
    ACCEPT_WITHIN_DEFAULT_S,
    OPEN_MAX,
    REJECTED_TOGETHER,
    ROWS_MAX,
    Bulk,
    BulkFile,
    BulkFileInvalid,
    BulkRow,
    BulkStatus,
    Fault,
    FileRow,
    Mode,
    Progress,
    RowStatus,
    TooManyBulkTransfers,
    check_together,
    due,
    without_repetitions,
)
from node.core.errors import NotFound
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import NewEvent
from node.services.idempotency import RenderError, once

_REJECTED: Final = Fault(
    "", REJECTED_TOGETHER, "another row is faulty, and all or nothing was asked for"
)


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """A file, and how its rows are to be taken.

    Attributes:
        accept_within_s: How long rows are tried that cannot be accepted now.
    """

    principal: Principal
    file: BulkFile
    mode: Mode = Mode.BEST_EFFORT
    accept_within_s: int = ACCEPT_WITHIN_DEFAULT_S


class BulkService:
    """Takes bulk transfers in and shows them.

    Args:
        units: Opens transactions.
        new_id: Makes ids.
        open_max: Most of one owner that are under way.
    """

    def __init__(
        self, units: UnitOfWork, new_id: Callable[[], UUID], open_max: int = OPEN_MAX
    ) -> None:
        self._units = units
        self._new_id = new_id
        self._open_max = open_max

    async def create(
        self,
        order: BulkOrder,
        claim: Claim,
        render: Callable[[Progress], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Take a file in, at most once for its claim.

        Raises:
            BulkFileInvalid: It has no row, or more than `ROWS_MAX`.
            PayoutsNotTogether: All or nothing was asked for, and partners pay rows out.
            TooManyBulkTransfers: The owner has as many under way as allowed.
        """
        if not 0 < len(order.file.rows) <= ROWS_MAX:
            raise BulkFileInvalid(
                f"a bulk transfer has 1 to {ROWS_MAX} rows, and the file {len(order.file.rows)};"
                " split it" if order.file.rows else "the file has no row; nothing was stored"
            )  # fmt: skip
        check_together(order.mode, order.file.rows)
        rows = without_repetitions(order.file.rows)
        if any(each.not_before for each in rows):
            async with self._units() as unit:
                rows = due(rows, unit.now.date())
        file = replace(order.file, rows=rows)
        status = BulkStatus.PROCESSING
        is_faulty = [bool(each.faults) for each in file.rows]
        if order.mode is Mode.ALL_OR_NOTHING and any(is_faulty):
            file = replace(file, rows=[_rejected(each) for each in file.rows])
            status = BulkStatus.REJECTED
        elif all(is_faulty):
            status = BulkStatus.COMPLETED

        async def work(unit: Unit) -> Answer:
            if await unit.bulk.open_count(order.principal.key) >= self._open_max:
                raise TooManyBulkTransfers(
                    f"{self._open_max} of your bulk transfers are under way; wait until one is"
                    " done",
                    limit=self._open_max,
                )
            within = timedelta(seconds=order.accept_within_s)
            bulk = await unit.bulk.add(
                self._new_id(), order.principal, file, order.mode, status, within
            )
            await unit.events.append([event_of(bulk)])
            return render(Progress(bulk, (), unit.now))

        return await once(self._units, claim, work, render_error)

    async def get(self, principal: Principal, bulk_id: str) -> Progress:
        """One, with where its transfers are.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            bulk = await _visible(unit, principal, bulk_id)
            return Progress(bulk, await unit.bulk.sums(bulk.id), unit.now)

    async def list(self, principal: Principal, query: ListQuery) -> Page[Bulk]:
        """Own ones, newest first."""
        async with self._units() as unit:
            return await unit.bulk.list(principal, query)

    async def rows(
        self,
        principal: Principal,
        bulk_id: str,
        *,
        status: RowStatus | None,
        after_line: int,
        limit: int,
    ) -> Sequence[BulkRow]:
        """Rows after a line, ascending.

        Raises:
            NotFound: The bulk transfer does not exist for this principal.
        """
        async with self._units() as unit:
            bulk = await _visible(unit, principal, bulk_id)
            return await unit.bulk.rows(bulk.id, status=status, after_line=after_line, limit=limit)

    async def report(
        self, principal: Principal, bulk_id: str
    ) -> tuple[Progress, Sequence[BulkRow]]:
        """All of it, at one instant.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units.snapshot() as unit:
            bulk = await _visible(unit, principal, bulk_id)
            progress = Progress(bulk, await unit.bulk.sums(bulk.id), unit.now)
            return progress, await unit.bulk.rows(
                bulk.id, status=None, after_line=0, limit=ROWS_MAX
            )


def event_of(bulk: Bulk) -> NewEvent:
    """The newest line of a bulk transfer's timeline."""
    principal = bulk.principal
    return NewEvent(
        bulk.id,
        bulk.version,
        f"bulk_transfer.{bulk.status.value}",
        bulk.status,
        principal.customer_id,
        {"rows": bulk.rows, "accepted": bulk.accepted, "rejected": bulk.rejected},
        "bulk_transfer",
        principal.partner_id,
    )


def _rejected(row: FileRow) -> FileRow:
    return row if row.faults else replace(row, faults=(_REJECTED,))


async def _visible(unit: Unit, principal: Principal, bulk_id: str) -> Bulk:
    bulk = await unit.bulk.get(principal, decode_id(Prefix.BULK, bulk_id))
    if bulk is None:
        raise NotFound("there is no such bulk transfer")
    return bulk
