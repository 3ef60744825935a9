"""Webhook endpoints in PostgreSQL, and deliveries as they are shown.

Not here: which deliveries are due, and what became of them (`webhook_queue`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from node.core.errors import InvariantBroken
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Principal, Role
from node.core.ports.webhooks import Attempt, Delivery, Endpoint, NewEndpoint, WebhookFigures
from node.core.webhooks import DELIVERY_MOVES, DeliveryStatus, EndpointStatus
from node.store.database import Connection, Row
from node.store.states import from_states

# Under the cursor's lock: what the fan-out has not come to yet, and is visible, is not for a new
# endpoint; everything that becomes visible later is.
_LOCK_CURSOR: Final = "SELECT sequence FROM webhook_cursor FOR UPDATE"
_NEWEST: Final = """
(SELECT greatest((SELECT sequence FROM webhook_cursor), (SELECT max(sequence) FROM event)))
"""
_ADD: Final = f"""
INSERT INTO webhook_endpoint (id, partner_id, url, events, keys, public_key, after_sequence)
VALUES ($1, $2, $3, $4, $5, $6, {_NEWEST})
RETURNING *
"""  # noqa: S608 - constants
_ENABLE: Final = f"""
UPDATE webhook_endpoint SET status = 'active', disabled_reason = NULL, disabled_at = NULL,
    failing_since = NULL, after_sequence = {_NEWEST}
WHERE id = $1
"""  # noqa: S608 - constants
_ROTATE: Final = """
UPDATE webhook_endpoint SET previous_keys = keys, previous_until = $4, keys = $2, public_key = $3
WHERE id = $1
"""
# What it missed begins with the oldest event that is canceled now, or was given up since it fails.
_DISABLE: Final = """
UPDATE webhook_endpoint e SET status = 'disabled', disabled_reason = $2, disabled_at = now(),
    missed_after = coalesce(least(
        (SELECT min(d.event_sequence) FROM webhook_delivery d
            WHERE d.endpoint_id = e.id AND d.status = 'pending'),
        (SELECT min(d.event_sequence) FROM webhook_delivery d
            WHERE d.endpoint_id = e.id AND d.status = 'dead' AND d.ended_at >= e.failing_since)
        ) - 1, (SELECT sequence FROM webhook_cursor))
WHERE id = $1 AND status = 'active'
RETURNING id
"""
CANCEL: Final = f"""
UPDATE webhook_delivery SET status = 'canceled', ended_at = now()
WHERE endpoint_id = $1 AND status IN {from_states(DELIVERY_MOVES, DeliveryStatus.CANCELED)}
"""  # noqa: S608 - constants
"""What is to be sent to an endpoint. What is under way is still noted."""

_DELIVERY: Final = """
SELECT d.*, v.object AS object_type
FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id
LEFT JOIN event v ON v.sequence = d.event_sequence
"""
_FIGURES: Final = """
SELECT (SELECT count(*) FROM webhook_delivery WHERE status = 'pending') AS pending,
    (SELECT count(*) FROM webhook_delivery WHERE status = 'dead') AS dead,
    (SELECT coalesce(extract(epoch FROM now() - min(created_at))::bigint, 0)
     FROM webhook_delivery WHERE status = 'pending') AS oldest_age_s,
    (SELECT count(*) FROM webhook_endpoint WHERE status = 'active' AND failing_since IS NOT NULL)
        AS endpoints_failing,
    (SELECT count(*) FROM webhook_endpoint WHERE status = 'disabled') AS endpoints_disabled
"""


class WebhookStore:
    """See `node.core.ports.webhooks.WebhookRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def add(self, endpoint: NewEndpoint) -> Endpoint:
        """Store an endpoint; it gets the events from now on."""
        await self._raw.execute(_LOCK_CURSOR)
        row = await self._raw.fetchrow(
            _ADD,
            endpoint.id,
            endpoint.partner_id,
            endpoint.url,
            list(endpoint.events),
            endpoint.sealed_keys,
            endpoint.public_key,
        )
        if row is None:
            raise InvariantBroken("a webhook endpoint vanished")
        return endpoint_of(row)

    async def active_count(self, partner_id: UUID | None) -> int:
        """How many active endpoints an owner has; locks them against being more until the end."""
        await self._raw.execute(_LOCK_CURSOR)  # every endpoint is added and enabled under it
        return int(
            await self._raw.fetchval(
                "SELECT count(*) FROM webhook_endpoint"
                " WHERE status = 'active' AND partner_id IS NOT DISTINCT FROM $1",
                partner_id,
            )
        )

    async def get(
        self, principal: Principal, endpoint_id: UUID, *, lock: bool = False
    ) -> Endpoint | None:
        """One endpoint."""
        own, value = _own(principal)
        row = await self._raw.fetchrow(
            f"SELECT * FROM webhook_endpoint e WHERE {own} AND id = $2"  # noqa: S608 - constants
            f"{' FOR NO KEY UPDATE' if lock else ''}",
            value,
            endpoint_id,
        )
        return endpoint_of(row) if row else None

    async def page(self, principal: Principal, query: ListQuery) -> Page[Endpoint]:
        """Endpoints, newest first."""
        own, value = _own(principal)
        select = "SELECT e.* FROM webhook_endpoint e"
        rows = await self._rows(select, [own], [value], "e", query)
        return query.page(
            [endpoint_of(row) for row in rows], lambda each: Position(each.created_at, each.id.int)
        )

    async def rotate(
        self, endpoint_id: UUID, sealed_keys: bytes, public_key: bytes, previous_until: datetime
    ) -> None:
        """Sign with these keys, and until then with those before as well."""
        await self._raw.execute(_ROTATE, endpoint_id, sealed_keys, public_key, previous_until)

    async def disable(self, endpoint_id: UUID, reason: str) -> None:
        """Send nothing more; what is pending is canceled."""
        await disable(self._raw, endpoint_id, reason)

    async def enable(self, endpoint_id: UUID) -> None:
        """Send the events from now on."""
        await self._raw.execute(_LOCK_CURSOR)
        await self._raw.execute(_ENABLE, endpoint_id)

    async def delivery(self, principal: Principal, delivery_id: UUID) -> Delivery | None:
        """One delivery."""
        own, value = _own(principal)
        row = await self._raw.fetchrow(f"{_DELIVERY} WHERE {own} AND d.id = $2", value, delivery_id)
        return _delivery(row) if row else None

    async def attempts(self, delivery_id: UUID) -> Sequence[Attempt]:
        """The log of a delivery, oldest first."""
        rows = await self._raw.fetch(
            "SELECT * FROM webhook_attempt WHERE delivery_id = $1 ORDER BY attempt", delivery_id
        )
        return [
            Attempt(
                row["attempt"], row["at"], row["status"], row["error"], row["duration_ms"],
                row["answer"],
            )
            for row in rows
        ]  # fmt: skip

    async def deliveries(self, endpoint_id: UUID, query: ListQuery) -> Page[Delivery]:
        """Deliveries to an endpoint, newest first."""
        rows = await self._rows(_DELIVERY, ["d.endpoint_id = $1"], [endpoint_id], "d", query)
        return query.page(
            [_delivery(row) for row in rows], lambda each: Position(each.created_at, each.id.int)
        )

    async def figures(self) -> WebhookFigures:
        """Of all endpoints together."""
        row = await self._raw.fetchrow(_FIGURES)
        if row is None:
            raise InvariantBroken("a question for figures has no answer")
        return WebhookFigures(**dict(row))

    async def _rows(
        self, select: str, conditions: list[str], given: list[Any], table: str, query: ListQuery
    ) -> Sequence[Row]:
        if (status := query.filters.get("status")) is not None:
            given.append(status)
            conditions.append(f"{table}.status = ${len(given)}")
        if position := query.position():
            given += [position.created_at, position.uuid]
            conditions.append(
                f"({table}.created_at, {table}.id) < (${len(given) - 1}, ${len(given)})"
            )
        given.append(query.limit + 1)
        rows: Sequence[Row] = await self._raw.fetch(
            f"{select} WHERE {' AND '.join(conditions)}"
            f" ORDER BY {table}.created_at DESC, {table}.id DESC LIMIT ${len(given)}",
            *given,
        )
        return rows


async def disable(
    raw: "asyncpg.Connection[asyncpg.Record]", endpoint_id: UUID, reason: str
) -> bool:
    """Send an endpoint nothing more, and cancel what is pending; whether it was active."""
    is_changed = await raw.fetchval(_DISABLE, endpoint_id, reason) is not None
    if is_changed:
        await raw.execute(CANCEL, endpoint_id)
    return is_changed


def _own(principal: Principal) -> tuple[str, UUID | None]:
    """Condition on an endpoint's owner, and its argument."""
    match principal.role:
        case Role.OPERATOR:
            return "$1::uuid IS NULL", None
        case Role.PARTNER:
            return "e.partner_id = $1", principal.partner_id
        case Role.REMITTER:
            return "$1::uuid IS NULL AND false", None


def endpoint_of(row: Row) -> Endpoint:
    """An endpoint as others see it."""
    return Endpoint(
        id=row["id"],
        partner_id=row["partner_id"],
        url=row["url"],
        events=tuple(row["events"]),
        status=EndpointStatus(row["status"]),
        disabled_reason=row["disabled_reason"],
        public_key=row["public_key"],
        previous_until=row["previous_until"],
        after_sequence=row["after_sequence"],
        created_at=row["created_at"],
        failing_since=row["failing_since"],
        disabled_at=row["disabled_at"],
        missed_after=row["missed_after"],
    )


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        event_sequence=row["event_sequence"],
        type=row["type"],
        object_type=row["object_type"],
        object_id=row["object_id"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        next_at=row["next_at"],
        last_status=row["last_status"],
        last_error=row["last_error"],
        delivered_at=row["delivered_at"],
        created_at=row["created_at"],
    )
