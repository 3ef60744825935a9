"""What webhooks carry, and what answers about endpoints and deliveries look like. See `views`."""

from collections.abc import Sequence
from datetime import datetime

import orjson
from typing_extensions import TypedDict

from node.api.views import event_view, id_or_none, object_id_text, time_text
from node.core.ids import Prefix, encode_id
from node.core.ports.transfers import EventRow
from node.core.ports.webhooks import Attempt, Delivery, Endpoint
from node.core.webhooks import DeliveryStatus, public_text
from node.services.webhooks.endpoints import Redelivered


class WebhookEndpointDocument(TypedDict):
    """Where events are sent to.

    `events` are objects or types; empty: all. `partner_id` is null of an operator's, which gets
    the events of everybody. `public_key` checks signatures `v1a` (`whpk_` and base64 of an Ed25519
    key). Until `previous_until` the secret and the key before the newest sign as well.
    `after_sequence`: events up to it were not sent by themselves. `failing_since`: every attempt
    since then has failed; after 75 h 35 min of that the endpoint is disabled. `disabled_at` and
    `disabled_reason`: since when and why it is disabled; after the newest time not every event
    after `missed_after` was delivered, which is what `redeliver-since` takes, once it is enabled.
    """

    id: str
    partner_id: str | None
    url: str
    events: list[str]
    status: str
    disabled_reason: str | None
    public_key: str
    previous_until: str | None
    after_sequence: int
    failing_since: str | None
    disabled_at: str | None
    missed_after: int | None
    created_at: str


class ShownEndpointDocument(WebhookEndpointDocument):
    """An endpoint with its new `secret` (`whsec_` and base64), which is shown this once."""

    secret: str


class DeliveryDocument(TypedDict):
    """An event on its way to an endpoint.

    `id` is the header `webhook-id` of every attempt. `status` is pending, delivered, dead (every
    attempt failed, or the receiver answered 410) or canceled (the endpoint was disabled).
    `event_sequence`, `object` and `object_id` are null of a test. `last_status` is that of the
    newest answer; without one `last_error` says why.
    """

    id: str
    endpoint_id: str
    event_sequence: int | None
    type: str
    object: str | None
    object_id: str | None
    status: str
    attempts: int
    next_attempt_at: str | None
    last_status: int | None
    last_error: str | None
    delivered_at: str | None
    created_at: str


class AttemptDocument(TypedDict):
    """One line of a delivery's log. `answer` is the beginning of what the receiver answered."""

    attempt: int
    at: str
    status: int | None
    error: str | None
    duration_ms: int
    answer: str


class DeliveryWithLogDocument(DeliveryDocument):
    """A delivery with its log, oldest attempt first."""

    log: list[AttemptDocument]


class RedeliveredDocument(TypedDict):
    """How many events are sent again; `next_after` continues, null: these were all."""

    count: int
    next_after: int | None


def webhook_body(event_type: str, event: EventRow | None, created_at: datetime) -> bytes:
    """What a webhook carries: `type`, `timestamp`, and in `data` the event as the API shows it.

    Args:
        event_type: Of the event, or of a test.
        event: None: a test, without data.
        created_at: Of a test; an event has its own time.
    """
    return orjson.dumps(
        {
            "type": event_type,
            "timestamp": time_text(created_at if event is None else event.occurred_at),
            "data": {} if event is None else event_view(event),
        }
    )


def webhook_endpoint_document(endpoint: Endpoint) -> WebhookEndpointDocument:
    """An endpoint."""
    until, since, disabled = endpoint.previous_until, endpoint.failing_since, endpoint.disabled_at
    return {
        "id": encode_id(Prefix.WEBHOOK_ENDPOINT, endpoint.id),
        "partner_id": id_or_none(Prefix.PARTNER, endpoint.partner_id),
        "url": endpoint.url,
        "events": list(endpoint.events),
        "status": endpoint.status.value,
        "disabled_reason": endpoint.disabled_reason,
        "public_key": public_text(endpoint.public_key),
        "previous_until": None if until is None else time_text(until),
        "after_sequence": endpoint.after_sequence,
        "failing_since": None if since is None else time_text(since),
        "disabled_at": None if disabled is None else time_text(disabled),
        "missed_after": endpoint.missed_after,
        "created_at": time_text(endpoint.created_at),
    }


def delivery_document(delivery: Delivery) -> DeliveryDocument:
    """A delivery."""
    is_pending = delivery.status is DeliveryStatus.PENDING
    about = None
    if delivery.object_type is not None and delivery.object_id is not None:
        about = object_id_text(delivery.object_type, delivery.object_id)
    at = delivery.delivered_at
    return {
        "id": encode_id(Prefix.DELIVERY, delivery.id),
        "endpoint_id": encode_id(Prefix.WEBHOOK_ENDPOINT, delivery.endpoint_id),
        "event_sequence": delivery.event_sequence,
        "type": delivery.type,
        "object": delivery.object_type,
        "object_id": about,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "next_attempt_at": time_text(delivery.next_at) if is_pending else None,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "delivered_at": None if at is None else time_text(at),
        "created_at": time_text(delivery.created_at),
    }


def delivery_with_log(delivery: Delivery, log: Sequence[Attempt]) -> DeliveryWithLogDocument:
    """A delivery with its log."""
    return {**delivery_document(delivery), "log": [_attempt(each) for each in log]}


def redelivered_document(redelivered: Redelivered) -> RedeliveredDocument:
    """What a request to send again has come to."""
    return {"count": redelivered.count, "next_after": redelivered.next_after}


def _attempt(attempt: Attempt) -> AttemptDocument:
    return {
        "attempt": attempt.attempt,
        "at": time_text(attempt.at),
        "status": attempt.status,
        "error": attempt.error,
        "duration_ms": attempt.duration_ms,
        "answer": attempt.answer,
    }
