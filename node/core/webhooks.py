"""Webhooks: signing and verifying messages, when they are sent again, what an answer means.

Follows Standard Webhooks 1.0.0 (standardwebhooks.com). What is signed is `id.timestamp.body`:

* `v1`: HMAC-SHA256 with a shared secret, in text `whsec_` and base64.
* `v1a`: Ed25519 (RFC 8032), so that receivers need no secret; a public key is `whpk_` and base64.

Not here: which events there are to send (`node.store.webhooks`), and sending itself.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from node.core.errors import Refused, Throttled, Unavailable, WebhookUnverified

SECRET_BYTES: Final = 32
"""Of a new secret, and of the seed of an Ed25519 key (Standard Webhooks asks for 24 to 64)."""

TOLERANCE_S: Final = 300
"""How far the time of a message may be from the receiver's (Standard Webhooks)."""

WAITS_S: Final = (5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
"""Before the second attempt, the third, ... the tenth: the schedule of Standard Webhooks."""

ATTEMPTS_MAX: Final = len(WAITS_S) + 1
GIVEN_UP_AFTER_S: Final = sum(WAITS_S)
"""An endpoint whose every attempt has failed for longer is disabled: the schedule, 75 h 35 min.
Standard Webhooks asks to disable what keeps failing, and to tell whoever owns it."""

ORDER_KEPT_FOR: Final = 3
"""Failed attempts after which an event no longer keeps later ones of its object waiting."""

_SHARED: Final = "whsec_"
_PUBLIC: Final = "whpk_"
_SECRET_BYTES_MIN, _SECRET_BYTES_MAX = 24, 64
_PUBLIC_BYTES: Final = 32
_JITTER_BPS: Final = 1_000
_SIGNATURES_MAX: Final = 16  # of one message that is verified
_RETRY_AFTER_MAX_S: Final = 24 * 3600

_GONE: Final = 410
_SLOW_DOWN: Final = frozenset({429, 502, 503, 504})


class WebhookUrlRefused(Refused):
    """Webhooks are not sent to this URL."""

    code = "webhook_url_refused"
    title = "Webhooks are not sent there"


class TooManyWebhookEndpoints(Throttled):
    """As many endpoints of the owner as allowed are active (`limit`)."""

    code = "too_many_webhook_endpoints"
    title = "Too many webhook endpoints"


class WebhooksNotOffered(Unavailable):
    """The node has no key to keep the secrets of webhooks with."""

    code = "webhooks_not_offered"
    title = "Webhooks are not offered"
    retryable = False


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent.

    Attributes:
        id: The same in every attempt, so that a receiver knows what it has: no `.` in it.
        timestamp_s: Unix time of this attempt.
    """

    id: str
    timestamp_s: int
    body: bytes

    @property
    def signed(self) -> bytes:
        """What a signature is of."""
        return f"{self.id}.{self.timestamp_s}.".encode() + self.body


@dataclass(frozen=True, slots=True)
class Keys:
    """What an endpoint's messages are signed with.

    Attributes:
        secret: Of HMAC-SHA256; the receiver has it too. 32 bytes.
        seed: Of the Ed25519 key; it leaves the node never. 32 bytes.
    """

    secret: bytes
    seed: bytes

    @classmethod
    def of(cls, packed: bytes) -> Self:
        """Of 64 bytes, both in a row."""
        if len(packed) != 2 * SECRET_BYTES:
            raise ValueError(f"the keys of an endpoint have {2 * SECRET_BYTES} bytes")
        return cls(packed[:SECRET_BYTES], packed[SECRET_BYTES:])

    @property
    def packed(self) -> bytes:
        """As `of` reads it."""
        return self.secret + self.seed

    @property
    def public_key(self) -> bytes:
        """Of Ed25519."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return "Keys(...)"


class EndpointStatus(StrEnum):
    """Of an endpoint."""

    ACTIVE = "active"
    DISABLED = "disabled"  # nothing is sent, and nothing is kept to be sent


class DeliveryStatus(StrEnum):
    """Of an event that is to be sent to an endpoint."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # every attempt failed, or the receiver said that it is gone
    CANCELED = "canceled"  # its endpoint was disabled


_D = DeliveryStatus
DELIVERY_MOVES: Final[Mapping[DeliveryStatus, frozenset[DeliveryStatus]]] = {
    _D.PENDING: frozenset({_D.DELIVERED, _D.DEAD, _D.CANCELED}),
    _D.DELIVERED: frozenset({_D.PENDING}),
    _D.DEAD: frozenset({_D.PENDING}),
    _D.CANCELED: frozenset({_D.PENDING, _D.DELIVERED}),
}
"""Every move there is. Back to pending by a call; what was canceled is delivered all the same where
the answer to an attempt under way comes afterwards."""


class Outcome(StrEnum):
    """What an answer of a receiver means."""

    DELIVERED = "delivered"
    FAILED = "failed"  # sent again, while there are attempts
    GONE = "gone"  # it wants nothing any more: the endpoint is disabled


# ---------------------------------------------------------------------------------- keys as text


def secret_text(secret: bytes) -> str:
    """`whsec_…`."""
    return _SHARED + b64encode(secret).decode()


def secret_of(text: str) -> bytes:
    """The bytes of `whsec_…`; the prefix and the padding may be missing.

    Raises:
        ValueError: Not base64, or not of 24 to 64 bytes; never says which bytes.
    """
    secret = _base64(text.removeprefix(_SHARED))
    if not _SECRET_BYTES_MIN <= len(secret) <= _SECRET_BYTES_MAX:
        raise ValueError(
            f"a webhook secret has {_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX} bytes in base64"
        )
    return secret


def public_text(public_key: bytes) -> str:
    """`whpk_…` of an Ed25519 public key."""
    return _PUBLIC + b64encode(public_key).decode()


# ------------------------------------------------------------------------------ signing, verifying


def sign(secret: bytes, message: Message) -> str:
    """`v1,…`: the message by HMAC-SHA256."""
    return "v1," + b64encode(hmac.digest(secret, message.signed, "sha256")).decode()


def sign_ed25519(seed: bytes, message: Message) -> str:
    """`v1a,…`: the message by Ed25519."""
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(message.signed)
    return "v1a," + b64encode(signature).decode()


def signatures(keys: Sequence[Keys], message: Message) -> Sequence[str]:
    """Every signature that a receiver may check: of the keys now, and of those before them."""
    return [
        *(sign(each.secret, message) for each in keys),
        *(sign_ed25519(each.seed, message) for each in keys),
    ]


def headers_of(message: Message, signatures: Sequence[str]) -> Mapping[str, str]:
    """The headers of a message with these signatures."""
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(message.timestamp_s),
        "webhook-signature": " ".join(signatures),
    }


def verify(keys: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """Check a message that came in, and return its id.

    The same message may come more than once, and anybody who holds one may send it again within
    the tolerance: the id is what to remember.

    Args:
        keys: What the sender may sign with, `whsec_…` or `whpk_…`; two of them while one is
            rotated.
        headers: Of the request, their names in lower case.
        body: As it came, to the byte.
        now: Aware time.

    Raises:
        WebhookUnverified: A header is missing or wrong, the time is more than 5 minutes from
            `now`, or no signature is by one of the keys.
        ValueError: A key of our own cannot be read.
    """
    message_id, time_text = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or "webhook-signature" not in headers:
        raise WebhookUnverified(
            "send the headers webhook-id, webhook-timestamp and webhook-signature"
        )
    if not (time_text.isascii() and time_text.isdigit() and len(time_text) <= 12):  # noqa: PLR2004
        raise WebhookUnverified("webhook-timestamp is not a Unix time in whole seconds")
    message = Message(message_id, int(time_text), body)
    if abs(message.timestamp_s - int(now.timestamp())) > TOLERANCE_S:
        raise WebhookUnverified(
            f"webhook-timestamp is more than {TOLERANCE_S} s from the time here; sign it again"
        )
    given = headers["webhook-signature"].split(" ")[:_SIGNATURES_MAX]
    readers = [_verifier(key) for key in keys]
    if not any(check.accepts(message, each) for check in readers for each in given):
        raise WebhookUnverified("no signature in webhook-signature is by a key of the sender")
    return message_id


@dataclass(frozen=True, slots=True)
class _Verifier:
    version: str
    key: bytes

    def accepts(self, message: Message, given: str) -> bool:
        version, _, text = given.partition(",")
        if version != self.version:
            return False
        try:
            signature = _base64(text)
        except ValueError:
            return False
        if version == "v1":
            expected = hmac.digest(self.key, message.signed, "sha256")
            return hmac.compare_digest(expected, signature)
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message.signed)
        except InvalidSignature:
            return False
        return True


def _verifier(key: str) -> _Verifier:
    if not key.startswith(_PUBLIC):
        return _Verifier("v1", secret_of(key))
    public = _base64(key.removeprefix(_PUBLIC))
    if len(public) != _PUBLIC_BYTES:
        raise ValueError(f"an Ed25519 public key has {_PUBLIC_BYTES} bytes in base64")
    return _Verifier("v1a", public)


def _base64(text: str) -> bytes:
    """Standard base64, padded or not."""
    try:
        return b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (Base64Error, ValueError):
        raise ValueError("not base64") from None


# --------------------------------------------------------------------- answers, and what then


def outcome_of(status: int | None) -> Outcome:
    """What an answer's status means; None: there was no answer.

    Only 2xx is success: a redirection is not followed (Standard Webhooks), because it could lead
    where the endpoint's URL may not.
    """
    if status is not None and 200 <= status < 300:  # noqa: PLR2004 - RFC 9110 15.3
        return Outcome.DELIVERED
    return Outcome.GONE if status == _GONE else Outcome.FAILED


def wait_ms(delivery_id: str, attempts: int, asked_s: int | None) -> int | None:
    """How long after a failure the next attempt is made; None: there is none.

    The schedule ±10 %, by chance that follows from the id, so that what failed together does not
    come again together; no less than the receiver asked for.

    Args:
        delivery_id: Of the delivery.
        attempts: How many were made.
        asked_s: `retry_after_s` of the answer.
    """
    if attempts >= ATTEMPTS_MAX:
        return None
    planned_ms = WAITS_S[attempts - 1] * 1000
    chance = hashlib.sha256(f"{delivery_id}.{attempts}".encode()).digest()[:8]
    jitter_bps = int.from_bytes(chance) % (2 * _JITTER_BPS + 1) - _JITTER_BPS
    return max(planned_ms + planned_ms * jitter_bps // 10_000, (asked_s or 0) * 1000)


def retry_after_s(status: int, header: str | None, now: datetime) -> int | None:
    """Seconds that a busy receiver asks to be left alone, at most a day; None: it does not.

    Args:
        status: Of the answer; only 429, 502, 503 and 504 are listened to.
        header: `Retry-After`: seconds or a date (RFC 9110 10.2.3).
        now: Aware time.
    """
    if status not in _SLOW_DOWN or header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), _RETRY_AFTER_MAX_S)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max(0, (until - now) // timedelta(seconds=1)), _RETRY_AFTER_MAX_S)


def is_wanted(filters: Sequence[str], event_type: str) -> bool:
    """Whether somebody with these filters wants events of this type.

    `transfer` wants `transfer.settled` and every other of `transfer.`; no filter wants all.
    The store asks the same in SQL.
    """
    return not filters or any(
        event_type == each or event_type.startswith(f"{each}.") for each in filters
    )
