"""Signing, verifying and judging webhooks; compared with the library of Standard Webhooks."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from node.core.errors import WebhookUnverified
from node.core.webhooks import (
    ATTEMPTS_MAX,
    WAITS_S,
    Keys,
    Message,
    Outcome,
    headers_of,
    is_wanted,
    outcome_of,
    public_text,
    retry_after_s,
    secret_of,
    secret_text,
    sign,
    sign_ed25519,
    signatures,
    verify,
    wait_ms,
)

SECRET = bytes(range(32))
SEED = bytes(range(100, 132))
PUBLIC = public_text(Keys(SECRET, SEED).public_key)
BODY = '{"type":"transfer.settled","data":{"näme":"ü"}}'.encode()
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())


def message(body: bytes = BODY, *, timestamp_s: int = NOW_S) -> Message:
    return Message("del_1", timestamp_s, body)


def message_of_this_moment() -> Message:
    """For the library, which reads the clock and bears five minutes."""
    return message(timestamp_s=int(datetime.now(UTC).timestamp()))  # noqa: TID251 - as it does


def signed(said: Message, *signatures: str) -> dict[str, str]:
    return dict(headers_of(said, signatures or (sign(SECRET, said),)))


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of Standard Webhooks 1.0.0.
    said = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    secret = secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert sign(secret, said) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_library_of_the_standard_verifies_what_is_signed_here() -> None:
    said = message_of_this_moment()
    Webhook(secret_text(SECRET)).verify(BODY, signed(said))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(SECRET)).verify(BODY + b" ", signed(said))


def test_what_the_library_of_the_standard_signs_is_verified_here() -> None:
    signature = Webhook(secret_text(SECRET)).sign("msg_1", NOW, BODY.decode())
    headers = headers_of(Message("msg_1", NOW_S, BODY), [signature])
    assert verify([secret_text(SECRET)], headers, BODY, NOW) == "msg_1"


def test_ed25519_needs_the_public_key_alone() -> None:
    said = message()
    headers = signed(said, sign_ed25519(SEED, said))
    assert verify([PUBLIC], headers, BODY, NOW) == "del_1"
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    assert "whpk_" + b64encode(public).decode() == PUBLIC
    with pytest.raises(WebhookUnverified):
        verify([public_text(Keys(SEED, SECRET).public_key)], headers, BODY, NOW)


def test_while_a_secret_is_rotated_both_verify_and_a_third_does_not() -> None:
    said, old, new = message_of_this_moment(), SECRET, SECRET[::-1]
    now = datetime.fromtimestamp(said.timestamp_s, UTC)
    both = signed(said, *signatures([Keys(new, SEED), Keys(old, new)], said))
    for key in (old, new):
        assert verify([secret_text(key)], both, BODY, now) == "del_1"
        Webhook(secret_text(key)).verify(BODY, both)
    for public in (PUBLIC, public_text(Keys(old, new).public_key)):
        assert verify([public], both, BODY, now) == "del_1"
    with pytest.raises(WebhookUnverified):
        verify([secret_text(SEED)], both, BODY, now)


def test_keys_are_stored_as_64_bytes_and_never_shown() -> None:
    keys = Keys(SECRET, SEED)
    assert Keys.of(keys.packed) == keys
    assert repr(keys) == "Keys(...)"
    with pytest.raises(ValueError, match="64 bytes"):
        Keys.of(keys.packed[1:])


@pytest.mark.parametrize("apart_s", [-301, 301])
def test_an_old_or_early_message_is_refused(apart_s: int) -> None:
    headers = signed(message())
    with pytest.raises(WebhookUnverified):
        verify([secret_text(SECRET)], headers, BODY, NOW + timedelta(seconds=apart_s))


@pytest.mark.parametrize("apart_s", [-300, 0, 300])
def test_clocks_may_be_five_minutes_apart(apart_s: int) -> None:
    when = NOW + timedelta(seconds=apart_s)
    assert verify([secret_text(SECRET)], signed(message()), BODY, when) == "del_1"


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "del_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(NOW_S + 1)},
        {"webhook-timestamp": "-5"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": f"{NOW_S}.0"},
        {"webhook-timestamp": "\u0661"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,!!!!"},
        {"webhook-signature": "v1a," + "A" * 86},
        {"webhook-signature": "v2,AAAA nonsense ,,"},
    ],
)
def test_a_message_with_anything_changed_is_refused(change: dict[str, str]) -> None:
    keys = [secret_text(SECRET), PUBLIC]
    with pytest.raises(WebhookUnverified):
        verify(keys, signed(message()) | change, BODY, NOW)


def test_a_public_key_does_not_serve_as_a_secret() -> None:
    """Whoever knows only what is public cannot sign by HMAC with it."""
    said = message()
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    with pytest.raises(WebhookUnverified):
        verify([PUBLIC], signed(said, sign(public, said)), BODY, NOW)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "whsec_ä", "whsec_" + "A" * 100])
def test_a_secret_has_24_to_64_bytes_and_a_fault_does_not_show_it(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        secret_of(text)


def test_the_schedule_is_ten_attempts_in_75_hours() -> None:
    assert ATTEMPTS_MAX == 10
    assert sum(WAITS_S) == 75 * 3600 + 35 * 60 + 5
    assert wait_ms("del_1", ATTEMPTS_MAX, None) is None


def test_waits_are_the_schedules_within_ten_percent_and_differ() -> None:
    for attempts, planned_s in zip(count(1), WAITS_S):
        waits = {wait_ms(f"del_{n}", attempts, None) or 0 for n in range(200)}
        assert min(waits) >= planned_s * 900
        assert max(waits) <= planned_s * 1100
        assert len(waits) > 50
        assert wait_ms("del_1", attempts, None) == wait_ms("del_1", attempts, None)


def test_a_busy_receiver_is_left_alone_as_long_as_it_asks_and_no_shorter_than_planned() -> None:
    assert wait_ms("del_1", 1, 3600) == 3_600_000
    assert (wait_ms("del_1", 9, 1) or 0) > 3_600_000


@pytest.mark.parametrize(
    ("status", "header", "asked_s"),
    [
        (429, "120", 120),
        (503, " 7 ", 7),
        (502, "999999999999999999999", 86_400),
        (504, "Sun, 06 Nov 1994 08:49:37 GMT", 0),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        (429, "soon", None),
        (429, "-5", None),
        (429, None, None),
        (500, "120", None),
        (200, "120", None),
    ],
)
def test_retry_after_counts_where_it_means_busy(
    status: int, header: str | None, asked_s: int | None
) -> None:
    assert retry_after_s(status, header, NOW) == asked_s


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (299, Outcome.DELIVERED),
        (301, Outcome.FAILED),
        (307, Outcome.FAILED),
        (400, Outcome.FAILED),
        (404, Outcome.FAILED),
        (410, Outcome.GONE),
        (500, Outcome.FAILED),
        (None, Outcome.FAILED),
    ],
)
def test_only_2xx_is_success_and_410_is_the_end(status: int | None, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


def test_filters_name_an_object_or_a_type() -> None:
    assert is_wanted((), "transfer.settled")
    assert is_wanted(("deposit", "transfer"), "transfer.settled")
    assert is_wanted(("transfer.settled",), "transfer.settled")
    assert not is_wanted(("transfer.set",), "transfer.settled")
    assert not is_wanted(("deposit",), "transfer.settled")
