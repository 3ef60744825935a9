"""Webhook deliveries in PostgreSQL: made of events, taken when they are due, and noted.

The order of locks is: cursor, endpoint, delivery. A failure locks its endpoint before it touches
the deliveries behind it, so that two of them cannot wait for each other.
"""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from node.core.moves import before
from node.core.ports.webhooks import Due, Endpoint, Kept, Recorded
from node.core.webhooks import (
    DELIVERY_MOVES,
    GIVEN_UP_AFTER_S,
    ORDER_KEPT_FOR,
    DeliveryStatus,
)
from node.store.database import Connection, Row
from node.store.events import event_of
from node.store.states import from_states
from node.store.webhooks import CANCEL, disable

_IS_NEW: Final = """
SELECT EXISTS (SELECT FROM event WHERE sequence > (SELECT sequence FROM webhook_cursor))
"""
_CURSOR: Final = "SELECT sequence FROM webhook_cursor FOR UPDATE SKIP LOCKED"
# Where nobody wants what is before, the cursor goes on at once. Asked under the lock: an endpoint
# that is being added holds it to its commit.
_FROM: Final = """
SELECT greatest($1, coalesce(
    (SELECT min(after_sequence) FROM webhook_endpoint WHERE status = 'active'),
    (SELECT max(sequence) FROM event), 0))
"""
_BLOCK: Final = """
SELECT count(*) AS count, max(sequence) AS last
FROM (SELECT sequence FROM event WHERE sequence > $1 ORDER BY sequence LIMIT $2) block
"""
# The same as node.core.webhooks.is_wanted.
_WANTED: Final = """
(e.events = '{}' OR EXISTS (SELECT FROM unnest(e.events) AS f (prefix)
    WHERE v.type = f.prefix OR starts_with(v.type, f.prefix || '.')))
"""
_OWNED: Final = """
(e.partner_id IS NULL OR e.partner_id = v.partner_id OR e.partner_id = c.partner_id)
"""
_OF_EVENTS: Final = f"""
SELECT e.id AS endpoint_id, v.sequence, v.object_id, v.type
FROM event v LEFT JOIN customer c ON c.id = v.customer_id
JOIN webhook_endpoint e ON {_OWNED} AND {_WANTED}
"""  # noqa: S608 - constants
_NEW: Final = f"""
{_OF_EVENTS}
WHERE v.sequence > $1 AND v.sequence <= $2 AND e.status = 'active' AND v.sequence > e.after_sequence
ORDER BY v.sequence
"""
_AGAIN: Final = f"""
{_OF_EVENTS}
WHERE v.sequence > $1 AND v.sequence <= $2 AND e.id = $3
ORDER BY v.sequence
"""
# One that has to wait for an earlier one of its object is not due before that. (Asked for in the
# order of its index: the greatest next_at of an object would be looked for among those of all.)
_INSERT: Final = """
INSERT INTO webhook_delivery (id, endpoint_id, event_sequence, object_id, type, next_at)
SELECT n.id, n.endpoint_id, n.sequence, n.object_id, n.type, greatest(now(), (
    SELECT d.next_at FROM webhook_delivery d WHERE d.endpoint_id = n.endpoint_id
        AND d.object_id = n.object_id AND d.status = 'pending' AND d.failures < $6
    ORDER BY d.event_sequence LIMIT 1))
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[])
    AS n (id, endpoint_id, sequence, object_id, type)
ON CONFLICT (endpoint_id, event_sequence) DO NOTHING
"""
# What is pending already begins anew as well.
_BEGIN: Final = f"""
UPDATE webhook_delivery SET status = 'pending', failures = 0, next_at = now(),
    delivered_at = NULL, ended_at = NULL
WHERE (status = 'pending' OR status IN {from_states(DELIVERY_MOVES, DeliveryStatus.PENDING)})
"""  # noqa: S608 - constants
_FREE: Final = "(d.leased_until IS NULL OR d.leased_until < now())"
# Each endpoint gives what is due of it, the longest due first, and never more at once than it may
# be sent at once, its owner's other endpoints included: who is away keeps no other waiting. What an
# earlier event of the same object is pending before has to wait, until that one has failed a few
# times.
_CLAIM: Final = f"""
WITH under_way AS (
    SELECT l.endpoint_id, o.partner_id FROM webhook_delivery l
    JOIN webhook_endpoint o ON o.id = l.endpoint_id WHERE l.leased_until >= now()
), offered AS (
    SELECT due.id, due.next_at, row_number() OVER (PARTITION BY e.partner_id ORDER BY due.next_at)
        + (SELECT count(*) FROM under_way u WHERE u.partner_id IS NOT DISTINCT FROM e.partner_id)
        AS place
    FROM webhook_endpoint e
    CROSS JOIN LATERAL (
        SELECT d.id, d.next_at FROM webhook_delivery d
        WHERE d.endpoint_id = e.id AND d.status = 'pending' AND d.next_at <= now() AND {_FREE}
          AND (SELECT true FROM webhook_delivery b
            WHERE b.endpoint_id = d.endpoint_id AND b.object_id = d.object_id
              AND b.status = 'pending' AND b.event_sequence < d.event_sequence
              AND b.failures < $4
            ORDER BY b.event_sequence LIMIT 1) IS NULL
        ORDER BY d.next_at, d.event_sequence
        LIMIT greatest(0, $2 - (SELECT count(*) FROM under_way u WHERE u.endpoint_id = e.id))
    ) due
    WHERE e.status = 'active'
), chosen AS (
    SELECT id FROM offered WHERE place <= $5 ORDER BY next_at LIMIT $1
), locked AS (
    SELECT d.id FROM webhook_delivery d JOIN chosen USING (id)
    WHERE d.status = 'pending' AND d.next_at <= now() AND {_FREE}
    FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE webhook_delivery d SET leased_until = now() + make_interval(secs => $3)
FROM locked WHERE d.id = locked.id
RETURNING d.id
"""  # noqa: S608 - constants
_DUE: Final = """
SELECT d.id AS delivery_id, d.endpoint_id, d.type AS delivery_type, d.attempts, d.failures,
    d.created_at AS made_at, now() AS claimed_at, e.url, e.keys,
    CASE WHEN e.previous_until > now() THEN e.previous_keys END AS previous_keys, v.*
FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id
LEFT JOIN event v ON v.sequence = d.event_sequence
WHERE d.id = ANY($1) ORDER BY d.event_sequence
"""
_LOG: Final = """
INSERT INTO webhook_attempt (delivery_id, attempt, at, status, error, duration_ms, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""
# A delivery that was canceled meanwhile stays so, but where it arrived.
_NOTE: Final = """
UPDATE webhook_delivery SET attempts = $2 + 1, leased_until = NULL, last_status = $3,
    last_error = $4, failures = failures + ($5 <> 'delivered')::int,
    delivered_at = CASE WHEN $5 = 'delivered' THEN now() END,
    status = CASE WHEN status = ANY($7) THEN $5 ELSE status END,
    ended_at = CASE WHEN status = ANY($7) THEN now() ELSE ended_at END,
    next_at = now() + make_interval(secs => $6::bigint / 1000.0)
WHERE id = $1 AND attempts = $2
RETURNING endpoint_id, object_id, event_sequence, next_at
"""
# Written only where it changes: not by every delivery that arrives.
_WORKS: Final = """
UPDATE webhook_endpoint SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL
"""
_FAILS: Final = """
UPDATE webhook_endpoint SET failing_since = coalesce(failing_since, now())
WHERE id = $1 AND status = 'active'
RETURNING to_char(failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') AS since,
    failing_since < now() - make_interval(secs => $2) AS is_given_up
"""
_BEHIND: Final = """
UPDATE webhook_delivery SET next_at = greatest(next_at, $4)
WHERE endpoint_id = $1 AND object_id = $2 AND event_sequence > $3 AND status = 'pending'
"""
_LEFT: Final = """
SELECT e.id FROM webhook_endpoint e WHERE e.status = 'disabled'
    AND EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = e.id AND d.status = 'pending')
ORDER BY e.id FOR NO KEY UPDATE OF e
"""
_GONE: Final = "the receiver answered 410 Gone"
# By the index of each; what is being sent, or deleted by another process, is left out.
_FORGET: Final = f"""
WITH old AS (
    SELECT d.id FROM webhook_delivery d
    WHERE d.status {{}} AND d.ended_at < now() - make_interval(secs => $1) AND {_FREE}
    ORDER BY d.ended_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
)
DELETE FROM webhook_delivery d USING old WHERE d.id = old.id
"""  # noqa: S608 - constants
_FORGET_DELIVERED: Final = _FORGET.format("= 'delivered'")
_FORGET_UNDELIVERED: Final = _FORGET.format("IN ('dead', 'canceled')")


class WebhookQueueStore:
    """See `node.core.ports.webhooks.WebhookQueue`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def fan_out(self, new_id: Callable[[], UUID], events_max: int) -> int:
        """Make deliveries of the next events; how many events were looked at."""
        if not await self._raw.fetchval(_IS_NEW):
            return 0
        cursor = await self._raw.fetchval(_CURSOR)
        if cursor is None:
            return 0
        after = await self._raw.fetchval(_FROM, cursor)
        block = await self._raw.fetchrow(_BLOCK, after, events_max)
        count, last = (0, None) if block is None else (int(block["count"]), block["last"])
        if last is not None:
            await self._insert(await self._raw.fetch(_NEW, after, last), new_id)
        await self._raw.execute(
            "UPDATE webhook_cursor SET sequence = $1 WHERE sequence < $1", last or after
        )
        return count

    async def add_test(self, delivery_id: UUID, endpoint_id: UUID, event_type: str) -> None:
        """A delivery of no event."""
        await self._raw.execute(
            "INSERT INTO webhook_delivery (id, endpoint_id, type) VALUES ($1, $2, $3)",
            delivery_id,
            endpoint_id,
            event_type,
        )

    async def begin_again(self, delivery_id: UUID) -> None:
        """Send it again, with all its attempts before it."""
        await self._raw.execute(f"{_BEGIN} AND id = $1", delivery_id)

    async def begin_since(
        self, endpoint: Endpoint, after: int, new_id: Callable[[], UUID], events_max: int
    ) -> tuple[int, int | None]:
        """Send the events after a sequence again that the endpoint wants."""
        # Later ones the fan-out has not come to yet; the cursor's lock keeps it where it is.
        cursor = await self._raw.fetchval("SELECT sequence FROM webhook_cursor FOR UPDATE")
        block = await self._raw.fetchrow(_BLOCK, after, events_max)
        if block is None or block["last"] is None:
            return 0, None
        last = min(int(block["last"]), max(int(cursor), endpoint.after_sequence))
        rows = await self._raw.fetch(_AGAIN, after, last, endpoint.id)
        await self._raw.execute(
            f"{_BEGIN} AND endpoint_id = $1 AND event_sequence = ANY($2)",
            endpoint.id,
            [row["sequence"] for row in rows],
        )
        await self._insert(rows, new_id)
        is_whole = block["count"] < events_max or last < block["last"]
        return len(rows), None if is_whole else last

    async def claim(
        self, count: int, *, per_endpoint: int, per_owner: int, lease_s: int
    ) -> Sequence[Due]:
        """Take deliveries that are due, for so long; nobody else makes them meanwhile."""
        taken = await self._raw.fetch(
            _CLAIM, count, per_endpoint, lease_s, ORDER_KEPT_FOR, per_owner
        )
        if not taken:
            return ()
        rows = await self._raw.fetch(_DUE, [row["id"] for row in taken])
        return [_due(row) for row in rows]

    async def record(self, due: Due, recorded: Recorded) -> str | None:
        """Note an attempt and end the lease; nothing where another process was faster."""
        answered, status = recorded.answered, recorded.status
        if status is DeliveryStatus.DELIVERED:
            await self._raw.execute(_WORKS, due.endpoint_id)
        else:
            await self._raw.execute(
                "SELECT FROM webhook_endpoint WHERE id = $1 FOR NO KEY UPDATE", due.endpoint_id
            )
        is_end = status is not DeliveryStatus.PENDING
        row = await self._raw.fetchrow(
            _NOTE, due.id, due.attempts, answered.status, answered.error, status, recorded.wait_ms,
            before(DELIVERY_MOVES, status) if is_end else [],
        )  # fmt: skip
        if row is None:
            return None
        await self._raw.execute(
            _LOG,
            due.id,
            due.attempts + 1,
            due.claimed_at,
            answered.status,
            answered.error,
            answered.duration_ms,
            answered.answer,
        )
        if recorded.order_kept and row["object_id"] is not None:
            await self._raw.execute(_BEHIND, *row.values())
        if status is DeliveryStatus.DELIVERED:
            return None
        return await self._failed(due.endpoint_id, is_gone=recorded.is_gone)

    async def cancel_left(self) -> int:
        """Cancel what is pending of endpoints that are disabled; how many."""
        done = 0
        for row in await self._raw.fetch(_LEFT):
            done += _count(await self._raw.execute(CANCEL, row["id"]))
        return done

    async def forget(self, kept: Kept, count: int) -> int:
        """Delete so many deliveries that ended long enough ago, with their logs; how many."""
        done = 0
        for forget, kept_s in (
            (_FORGET_DELIVERED, kept.delivered_s),
            (_FORGET_UNDELIVERED, kept.undelivered_s),
        ):
            done += _count(await self._raw.execute(forget, kept_s, count - done))
        return done

    async def _failed(self, endpoint_id: UUID, *, is_gone: bool) -> str | None:
        """Note that an endpoint fails; why it is disabled now, if it is."""
        row = await self._raw.fetchrow(_FAILS, endpoint_id, GIVEN_UP_AFTER_S)
        if row is None or not (is_gone or row["is_given_up"]):
            return None
        reason = _GONE if is_gone else f"every attempt has failed since {row['since']}"
        return reason if await disable(self._raw, endpoint_id, reason) else None

    async def _insert(self, rows: Sequence[Row], new_id: Callable[[], UUID]) -> None:
        if rows:
            await self._raw.execute(
                _INSERT,
                [new_id() for _ in rows],
                [row["endpoint_id"] for row in rows],
                [row["sequence"] for row in rows],
                [row["object_id"] for row in rows],
                [row["type"] for row in rows],
                ORDER_KEPT_FOR,
            )


def _count(tag: str) -> int:
    """How many rows a command's tag tells of: `DELETE 7`."""
    return int(tag.rpartition(" ")[2])


def _due(row: Row) -> Due:
    sealed = (row["keys"], row["previous_keys"])
    return Due(
        id=row["delivery_id"],
        endpoint_id=row["endpoint_id"],
        url=row["url"],
        sealed_keys=tuple(each for each in sealed if each is not None),
        event=None if row["sequence"] is None else event_of(row),
        type=row["delivery_type"],
        created_at=row["made_at"],
        attempts=row["attempts"],
        failures=row["failures"],
        claimed_at=row["claimed_at"],
    )
