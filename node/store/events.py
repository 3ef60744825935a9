"""The timeline in PostgreSQL: appended to, never changed."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

import orjson

from node.core.bulk import BulkStatus
from node.core.deposits import DepositStatus, RequestStatus
from node.core.parties import Principal, Role
from node.core.payouts import PayoutState, RefundState
from node.core.ports.transfers import EventRow, NewEvent
from node.core.transfers import State
from node.store.database import Connection, Row

_APPEND_LOCK: Final = 7_265_001  # any constant; named once, here

_ROWS_TO_COPY: Final = 500
"""More than these are copied: that costs a question more, and far less for each row."""

_COLUMNS: Final = (
    "object",
    "object_id",
    "object_sequence",
    "type",
    "state",
    "customer_id",
    "detail",
    "partner_id",
)
_INSERT = f"""
INSERT INTO event ({", ".join(_COLUMNS)})
SELECT o, i, s, t, x, c, d::jsonb, p FROM unnest(
    $1::text[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::uuid[]
) WITH ORDINALITY AS new (o, i, s, t, x, c, d, p, n) ORDER BY n
"""  # noqa: S608 - constants
_OF_PARTNER: Final = (
    "(partner_id = $3 OR customer_id IN (SELECT id FROM customer WHERE partner_id = $3))"
)
_STATES: Final[Mapping[str, type[StrEnum]]] = {
    "transfer": State,
    "payment_request": RequestStatus,
    "deposit": DepositStatus,
    "payout": PayoutState,
    "refund": RefundState,
    "bulk_transfer": BulkStatus,
}
"""Object -> its own states."""


class EventStore:
    """See `node.core.ports.transfers.EventRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Append in order, under a lock held to the commit: sequences become visible in order."""
        if not events:
            return
        details = {id(each.detail): each.detail for each in events}  # many lines say the same
        texts = {key: orjson.dumps(dict(said)).decode() for key, said in details.items()}
        await self._raw.execute("SELECT pg_advisory_xact_lock($1)", _APPEND_LOCK)
        rows = [
            (
                each.object_type,
                each.object_id,
                each.object_sequence,
                each.type,
                each.state.value,
                each.customer_id,
                texts[id(each.detail)],
                each.partner_id,
            )
            for each in events
        ]
        if len(rows) > _ROWS_TO_COPY:
            await self._raw.copy_records_to_table("event", records=rows, columns=_COLUMNS)
        else:
            await self._raw.execute(_INSERT, *map(list, zip(*rows, strict=True)))

    async def of_object(self, object_id: UUID) -> Sequence[EventRow]:
        """The timeline of one object, oldest first."""
        rows = await self._raw.fetch(
            "SELECT * FROM event WHERE object_id = $1 ORDER BY object_sequence", object_id
        )
        return [event_of(row) for row in rows]

    async def after(self, principal: Principal, sequence: int, limit: int) -> Sequence[EventRow]:
        """Events of own objects with a higher sequence, ascending."""
        owner, value = {
            Role.OPERATOR: ("$3::uuid IS NULL", None),
            Role.PARTNER: (_OF_PARTNER, principal.partner_id),
            Role.REMITTER: ("customer_id = $3", principal.customer_id),
        }[principal.role]
        rows = await self._raw.fetch(
            f"SELECT * FROM event WHERE sequence > $1 AND {owner} ORDER BY sequence LIMIT $2",  # noqa: S608
            sequence,
            limit,
            value,
        )
        return [event_of(row) for row in rows]


def event_of(row: Row) -> EventRow:
    """A line of the table as others see it."""
    return EventRow(
        row["sequence"],
        row["object"],
        row["object_id"],
        row["object_sequence"],
        row["type"],
        _STATES[row["object"]](row["state"]),
        row["detail"],
        row["occurred_at"],
    )
