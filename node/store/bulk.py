"""Bulk transfers in PostgreSQL. Rows are written and read many at a time."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from node.core.bulk import (
    FAULTS_MAX,
    Bulk,
    BulkFile,
    BulkRow,
    BulkStatus,
    Fault,
    Form,
    Mode,
    Order,
    Outcome,
    RowStatus,
    RowTransfer,
    Sum,
)
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Principal, Role
from node.core.payouts import BankAccount, RefundPolicy
from node.core.transfers import State
from node.store.database import Connection, Row

_ADD: Final = """
INSERT INTO bulk_transfer (id, status, mode, form, sha256, message_id, message_name, owner, role,
    made_by, partner_id, customer_id, rows, rejected, accept_by, completed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now() + $15::interval,
    CASE WHEN $2 <> 'processing' THEN now() END)
RETURNING *
"""
_ROW_COLUMNS: Final = (
    "bulk_id", "line", "client_reference", "payment_group", "ordered", "status", "faults",
)  # fmt: skip
_OWN: Final = "($1::text IS NULL OR owner = $1)"
# What a partner pays out stands in its leg.
_SUMS: Final = """
SELECT t.sell_asset, coalesce(l.buy_asset, t.buy_asset) AS buy_asset, t.state, count(*) AS count,
    sum(t.sell_amount) AS sell, sum(coalesce(l.buy_amount, t.buy_amount)) AS buy
FROM (SELECT transfer_id FROM bulk_row WHERE bulk_id = $1 AND status = 'accepted') AS r
CROSS JOIN LATERAL (SELECT * FROM transfer WHERE id = r.transfer_id OFFSET 0) AS t
LEFT JOIN partner_quote l ON l.quote_id = t.quote_id AND t.partner_id IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_ROWS: Final = """
SELECT r.*, t.state, t.sell_asset, t.sell_amount, coalesce(l.buy_asset, t.buy_asset) AS buy_asset,
    coalesce(l.buy_amount, t.buy_amount) AS buy_amount, t.failure
FROM (
    SELECT * FROM bulk_row
    WHERE bulk_id = $1 AND line > $2 AND ($3::text IS NULL OR status = $3)
    ORDER BY line LIMIT $4
) AS r LEFT JOIN LATERAL (SELECT * FROM transfer WHERE id = r.transfer_id OFFSET 0) AS t ON true
LEFT JOIN partner_quote l ON l.quote_id = t.quote_id AND t.partner_id IS NOT NULL
ORDER BY r.line
"""
_CLAIM: Final = """
SELECT * FROM bulk_transfer WHERE status = 'processing' AND next_at <= now()
ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_CLAIM_ONE: Final = """
SELECT * FROM bulk_transfer WHERE status = 'processing' AND id = $1 FOR UPDATE SKIP LOCKED
"""
_LEASE: Final = """
UPDATE bulk_transfer SET next_at = clock_timestamp() + $2::interval WHERE id = $1
"""
_PENDING: Final = """
SELECT line, ordered FROM bulk_row WHERE bulk_id = $1 AND status = 'pending' AND line > $2
ORDER BY line LIMIT $3
"""
_QUOTES: Final = """
SELECT line, quote_id FROM bulk_row
WHERE bulk_id = $1 AND line = ANY($2::int[]) AND quote_id IS NOT NULL
"""
_BIND: Final = """
UPDATE bulk_row SET quote_id = $3
WHERE bulk_id = $1 AND line = $2 AND status = 'pending' AND quote_id IS NOT DISTINCT FROM $4
"""
_DECIDE: Final = """
UPDATE bulk_row SET status = d.status, transfer_id = d.transfer_id,
    is_repeated = d.is_repeated, faults = d.faults::jsonb
FROM unnest($2::int[], $3::text[], $4::uuid[], $5::boolean[], $6::text[])
    AS d (line, status, transfer_id, is_repeated, faults)
WHERE bulk_row.bulk_id = $1 AND bulk_row.line = d.line
"""
_GO_ON: Final = """
UPDATE bulk_transfer SET accepted = accepted + $2, rejected = rejected + $3, passed_line = $4,
    next_at = clock_timestamp(), waiting_code = $5, waiting_since = CASE
        WHEN $5::text IS NULL THEN NULL WHEN waiting_code = $5 THEN waiting_since ELSE now() END
WHERE id = $1
"""
_REST: Final = """
UPDATE bulk_transfer SET passed_line = 0, next_at = clock_timestamp() + $2::interval WHERE id = $1
"""
_REJECT: Final = """
WITH refused AS (
    UPDATE bulk_row SET status = 'rejected', faults = $2::jsonb
    WHERE bulk_id = $1 AND status = 'pending' RETURNING line
)
UPDATE bulk_transfer SET rejected = rejected + (SELECT count(*) FROM refused) WHERE id = $1
"""
_FINISH: Final = """
UPDATE bulk_transfer SET status = $2, version = version + 1, completed_at = now(),
    waiting_code = NULL, waiting_since = NULL WHERE id = $1 RETURNING *
"""


class BulkStore:
    """See `node.core.ports.bulk.BulkRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def open_count(self, owner: str) -> int:
        """How many of an owner are under way; nobody adds one meanwhile."""
        await self._raw.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('bulk transfers of ' || $1, 0))", owner
        )
        count: int = await self._raw.fetchval(
            "SELECT count(*) FROM bulk_transfer WHERE owner = $1 AND status = 'processing'", owner
        )
        return count

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
        row = await self._raw.fetchrow(
            _ADD,
            bulk_id,
            status.value,
            mode.value,
            file.form.value,
            file.sha256,
            file.message_id,
            file.message_name,
            principal.key,
            principal.role.value,
            principal.name,
            principal.partner_id,
            principal.customer_id,
            len(file.rows),
            sum(1 for each in file.rows if each.faults),
            accept_within,
        )
        await self._raw.copy_records_to_table(
            "bulk_row",
            columns=_ROW_COLUMNS,
            records=[
                (
                    bulk_id,
                    each.line,
                    each.client_reference,
                    each.group,
                    None if each.order is None else _order_text(each.order),
                    (RowStatus.REJECTED if each.faults else RowStatus.PENDING).value,
                    _faults_text(each.faults),
                )
                for each in file.rows
            ],
        )
        assert row is not None
        return _bulk(row)

    async def get(self, principal: Principal, bulk_id: UUID) -> Bulk | None:
        """One, where it exists for this principal."""
        row = await self._raw.fetchrow(
            f"SELECT * FROM bulk_transfer WHERE {_OWN} AND id = $2",  # noqa: S608 - constants
            _owner(principal),
            bulk_id,
        )
        return _bulk(row) if row else None

    async def list(self, principal: Principal, query: ListQuery) -> Page[Bulk]:
        """Those that exist for this principal, newest first."""
        position = query.position()
        rows = await self._raw.fetch(
            f"SELECT * FROM bulk_transfer WHERE {_OWN}"  # noqa: S608 - constants
            " AND ($2::text IS NULL OR status = $2)"
            " AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))"
            " ORDER BY created_at DESC, id DESC LIMIT $5",
            _owner(principal),
            query.filters.get("status"),
            position.created_at if position else None,
            position.uuid if position else None,
            query.limit + 1,
        )
        return query.page(
            [_bulk(row) for row in rows], lambda each: Position(each.created_at, each.id.int)
        )

    async def sums(self, bulk_id: UUID) -> Sequence[Sum]:
        """Accepted rows by pair and state of their transfers."""
        return [
            Sum(
                row["sell_asset"],
                row["buy_asset"],
                State(row["state"]),
                row["count"],
                int(row["sell"]),
                int(row["buy"]),
            )
            for row in await self._raw.fetch(_SUMS, bulk_id)
        ]

    async def rows(
        self, bulk_id: UUID, *, status: RowStatus | None, after_line: int, limit: int
    ) -> Sequence[BulkRow]:
        """Rows after a line, ascending."""
        found = await self._raw.fetch(
            _ROWS, bulk_id, after_line, None if status is None else status.value, limit
        )
        return [_row(row) for row in found]

    async def claim(self, bulk_id: UUID | None = None) -> Bulk | None:
        """The one that has waited longest and is due, or this one, if nobody else has it."""
        if bulk_id is None:
            row = await self._raw.fetchrow(_CLAIM)
        else:
            row = await self._raw.fetchrow(_CLAIM_ONE, bulk_id)
        return _bulk(row) if row else None

    async def lease(self, bulk_id: UUID, *, seconds: int) -> None:
        """Let nobody else get it for so long."""
        await self._raw.execute(_LEASE, bulk_id, timedelta(seconds=seconds))

    async def pending(
        self, bulk_id: UUID, *, after_line: int, limit: int
    ) -> Sequence[tuple[int, Order]]:
        """Lines that are pending, with their orders, ascending."""
        rows = await self._raw.fetch(_PENDING, bulk_id, after_line, limit)
        return [(row["line"], _order(row["ordered"])) for row in rows]

    async def quotes(self, bulk_id: UUID, lines: Sequence[int]) -> Mapping[int, UUID]:
        """By line, the newest quote that a partner was asked for."""
        rows = await self._raw.fetch(_QUOTES, bulk_id, list(lines))
        return {row["line"]: row["quote_id"] for row in rows}

    async def bind(self, bulk_id: UUID, line: int, quote_id: UUID, instead_of: UUID | None) -> bool:
        """Keep the quote of a row; False, and nothing is kept: it has another one meanwhile."""
        status: str = await self._raw.execute(_BIND, bulk_id, line, quote_id, instead_of)
        return status != "UPDATE 0"

    async def record(
        self, bulk_id: UUID, outcomes: Sequence[Outcome], *, passed_line: int, waiting: str | None
    ) -> None:
        """Keep what came of rows, and why others wait; the next turn is after all others'."""
        decided = [each for each in outcomes if each.status is not RowStatus.PENDING]
        if decided:
            await self._raw.execute(
                _DECIDE,
                bulk_id,
                [each.line for each in decided],
                [each.status.value for each in decided],
                [each.transfer_id for each in decided],
                [each.is_repeated for each in decided],
                [_faults_text(each.faults) for each in decided],
            )
        accepted = sum(1 for each in decided if each.status is RowStatus.ACCEPTED)
        rejected = len(decided) - accepted
        await self._raw.execute(_GO_ON, bulk_id, accepted, rejected, passed_line, waiting)

    async def rest(self, bulk_id: UUID, *, seconds: int) -> None:
        """Begin the next pass over what is pending after a pause."""
        await self._raw.execute(_REST, bulk_id, timedelta(seconds=seconds))

    async def reject_pending(self, bulk_id: UUID, code: str, message: str) -> None:
        """Reject every row that is pending."""
        await self._raw.execute(_REJECT, bulk_id, _faults_text([Fault("", code, message)]))

    async def finish(self, bulk_id: UUID, status: BulkStatus) -> Bulk:
        """End it: no row is pending any more."""
        row = await self._raw.fetchrow(_FINISH, bulk_id, status.value)
        assert row is not None
        return _bulk(row)


def _owner(principal: Principal) -> str | None:
    """Whose a principal sees; None: everybody's."""
    return None if principal.role is Role.OPERATOR else principal.key


def _order_text(order: Order) -> str:
    fields = {name: getattr(order, name) for name in _ORDER_TEXTS}
    told: dict[str, object] = {**fields, "customer_id": str(order.customer_id)}
    if order.account is not None:
        told["account"] = [order.account.number, order.account.bank_code]
    if order.refund_policy is not None:
        told["refund_policy"] = order.refund_policy.value
    return orjson.dumps(told).decode()


def _order(stored: Mapping[str, Any]) -> Order:
    fields = {name: stored[name] for name in _ORDER_TEXTS}
    return Order(
        customer_id=UUID(stored["customer_id"]),
        account=BankAccount(*stored["account"]) if "account" in stored else None,
        refund_policy=RefundPolicy(stored["refund_policy"]) if "refund_policy" in stored else None,
        **fields,
    )


_ORDER_TEXTS: Final = (
    "client_reference", "sell", "buy", "sell_amount", "buy_amount", "name", "country", "address",
    "purpose",
)  # fmt: skip


def _faults_text(faults: Sequence[Fault]) -> str | None:
    if not faults:
        return None
    told = [[each.pointer, each.code, each.message] for each in faults[:FAULTS_MAX]]
    return orjson.dumps(told).decode()


def _bulk(row: Row) -> Bulk:
    return Bulk(
        id=row["id"],
        principal=Principal(
            Role(row["role"]), row["made_by"], row["partner_id"], row["customer_id"]
        ),
        version=row["version"],
        status=BulkStatus(row["status"]),
        mode=Mode(row["mode"]),
        form=Form(row["form"]),
        message_id=row["message_id"],
        message_name=row["message_name"],
        rows=row["rows"],
        accepted=row["accepted"],
        rejected=row["rejected"],
        passed_line=row["passed_line"],
        waiting_code=row["waiting_code"],
        waiting_since=row["waiting_since"],
        accept_by=row["accept_by"],
        created_at=row["created_at"],
        completed_at=row["completed_at"],
    )


def _row(row: Row) -> BulkRow:
    transfer = None
    if row["transfer_id"] is not None:
        transfer = RowTransfer(
            row["transfer_id"],
            State(row["state"]),
            row["sell_asset"],
            row["sell_amount"],
            row["buy_asset"],
            row["buy_amount"],
            row["failure"],
        )
    return BulkRow(
        line=row["line"],
        client_reference=row["client_reference"],
        group=row["payment_group"],
        order=None if row["ordered"] is None else _order(row["ordered"]),
        status=RowStatus(row["status"]),
        faults=tuple(Fault(*each) for each in row["faults"] or ()),
        is_repeated=row["is_repeated"],
        transfer=transfer,
    )
