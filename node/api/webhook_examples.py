"""Examples of webhooks. A test checks each against its schema."""

from typing import Final

from node.api.examples import TRANSFER_ID

_TAIL: Final = "01kanv8q6dfk5vbz2m3n8r1c4x"
_WHEN: Final = "2026-11-22T16:00:00Z"

ENDPOINT_ID: Final = f"whe_{_TAIL}"
DELIVERY_ID: Final = f"del_{_TAIL}"

ENDPOINT_BODY: Final = {"url": "https://example.com/corridor", "events": ["transfer"]}
ENDPOINT: Final[dict[str, object]] = {
    "id": ENDPOINT_ID,
    "partner_id": f"par_{_TAIL}",
    "url": "https://example.com/corridor",
    "events": ["transfer"],
    "status": "active",
    "disabled_reason": None,
    "public_key": "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    "previous_until": None,
    "after_sequence": 56,
    "failing_since": None,
    "disabled_at": None,
    "missed_after": None,
    "created_at": _WHEN,
}
SHOWN: Final = {**ENDPOINT, "secret": "whsec_" + "A" * 43 + "="}
ROTATED: Final = {**SHOWN, "previous_until": "2026-11-23T16:00:00Z"}
DISABLED: Final = {
    **ENDPOINT,
    "status": "disabled",
    "disabled_reason": "by its partner",
    "disabled_at": _WHEN,
    "missed_after": 57,
}
DELIVERY: Final[dict[str, object]] = {
    "id": DELIVERY_ID,
    "endpoint_id": ENDPOINT_ID,
    "event_sequence": 57,
    "type": "transfer.funded",
    "object": "transfer",
    "object_id": TRANSFER_ID,
    "status": "delivered",
    "attempts": 1,
    "next_attempt_at": None,
    "last_status": 204,
    "last_error": None,
    "delivered_at": _WHEN,
    "created_at": _WHEN,
}
PENDING: Final = {
    **DELIVERY,
    "status": "pending",
    "next_attempt_at": _WHEN,
    "delivered_at": None,
}
TEST: Final = {
    **PENDING,
    "event_sequence": None,
    "type": "webhook.test",
    "object": None,
    "object_id": None,
    "attempts": 0,
    "last_status": None,
}
ATTEMPT: Final = {
    "attempt": 1,
    "at": _WHEN,
    "status": 204,
    "error": None,
    "duration_ms": 42,
    "answer": "",
}
