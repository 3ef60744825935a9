"""The timeline in PostgreSQL: appended to, never changed."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import orjson

from node.core.parties import Principal, Role
from node.core.ports.transfers import EventRow, NewEvent
from node.core.transfers import State
from node.store.database import Connection, Row

_APPEND_LOCK: Final = 7_265_001  # any constant; named once, here

_INSERT = """
INSERT INTO event (object, object_id, object_sequence, type, state, customer_id, detail)
SELECT o, i, s, t, x, c, d::jsonb FROM unnest(
    $1::text[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::uuid[], $7::text[]
) WITH ORDINALITY AS new (o, i, s, t, x, c, d, n) ORDER BY n
"""


class EventStore:
    """See `node.core.ports.transfers.EventRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Append in order, under a lock held to the commit: sequences become visible in order."""
        if not events:
            return
        await self._raw.execute("SELECT pg_advisory_xact_lock($1)", _APPEND_LOCK)
        await self._raw.execute(
            _INSERT,
            [each.object_type for each in events],
            [each.object_id for each in events],
            [each.object_sequence for each in events],
            [each.type for each in events],
            [each.state.value for each in events],
            [each.customer_id for each in events],
            [orjson.dumps(dict(each.detail)).decode() for each in events],
        )

    async def of_object(self, object_id: UUID) -> Sequence[EventRow]:
        """The timeline of one object, oldest first."""
        rows = await self._raw.fetch(
            "SELECT * FROM event WHERE object_id = $1 ORDER BY object_sequence", object_id
        )
        return [_event(row) for row in rows]

    async def after(self, principal: Principal, sequence: int, limit: int) -> Sequence[EventRow]:
        """Events of own objects with a higher sequence, ascending."""
        owner, value = {
            Role.OPERATOR: ("$3::uuid IS NULL", None),
            Role.PARTNER: (
                "customer_id IN (SELECT id FROM customer WHERE partner_id = $3)",
                principal.partner_id,
            ),
            Role.REMITTER: ("customer_id = $3", principal.customer_id),
        }[principal.role]
        rows = await self._raw.fetch(
            f"SELECT * FROM event WHERE sequence > $1 AND {owner} ORDER BY sequence LIMIT $2",  # noqa: S608
            sequence,
            limit,
            value,
        )
        return [_event(row) for row in rows]


def _event(row: Row) -> EventRow:
    return EventRow(
        row["sequence"],
        row["object"],
        row["object_id"],
        row["object_sequence"],
        row["type"],
        State(row["state"]),
        row["detail"],
        row["occurred_at"],
    )
