"""Webhooks of a node, checked by whoever receives them (Standard Webhooks 1.0.0).

`v1` (HMAC-SHA256, with the endpoint's `whsec_` secret) and `v1a` (Ed25519, with its `whpk_` key).
The check itself is the one that nodes use among themselves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from node.client.errors import WebhookUnverified
from node.core import errors, webhooks


@dataclass(frozen=True, slots=True)
class Webhook:
    """A message of the node that was checked.

    Attributes:
        id: The same however often the message comes: remember it, and act once.
        type: Such as `transfer.settled`.
        timestamp: When it happened, RFC 3339.
        data: The event, an `EventView`; of `webhook.test` empty.
    """

    id: str
    type: str
    timestamp: str
    data: Mapping[str, Any]


def verify(
    keys: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime | None = None,
) -> Webhook:
    """Check a message, and read it.

    Args:
        keys: The endpoint's secret (`whsec_...`) or public key (`whpk_...`); while it is rotated,
            the one before as well.
        headers: Of the request, in any case.
        body: As it came, to the byte: not JSON that was read and written again.
        now: Aware time; None: the clock's.

    Raises:
        WebhookUnverified: A header is missing, no signature is by one of the keys, the time is
            more than 5 minutes from now, or the body is no message. Answer 401.
        ValueError: A key cannot be read.
    """
    found = {name.lower(): value for name, value in headers.items()}
    given = [keys] if isinstance(keys, str) else keys
    now = datetime.now(UTC) if now is None else now  # noqa: TID251 - the receiver's clock
    try:
        message_id = webhooks.verify(given, found, body, now)
    except errors.WebhookUnverified as error:
        raise WebhookUnverified(error.detail) from None
    try:
        message = json.loads(body)
        return Webhook(message_id, message["type"], message["timestamp"], message["data"])
    except (ValueError, KeyError, TypeError):
        raise WebhookUnverified("the body is no message of a node") from None
