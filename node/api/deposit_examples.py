"""Examples of deposits and payment requests. A test checks each against its schema."""

from typing import Final

from node.api.examples import BREAK_ID, CUSTOMER_ID

_TAIL: Final = "01kanv8q6dfk5vbz2m3n8r1c4x"
_TOKEN: Final = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"  # noqa: S105 - an address
_ADDRESS: Final = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
_PAYER: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
_WHEN: Final = "2026-11-22T16:00:00Z"
_LATER: Final = "2026-11-22T17:00:00Z"

REQUEST_ID: Final = f"req_{_TAIL}"
DEPOSIT_ID: Final = f"dep_{_TAIL}"

DEPOSIT_ADDRESS: Final = {
    "address": _ADDRESS,
    "chain_id": 31337,
    "currency": "USDC",
    "token": _TOKEN,
    "customer_id": CUSTOMER_ID,
    "partner_id": None,
    "created_at": _WHEN,
}
OWN_DEPOSIT_ADDRESS: Final = {
    **DEPOSIT_ADDRESS,
    "customer_id": None,
    "partner_id": f"par_{_TAIL}",
}
REQUEST_BODY: Final = {
    "currency": "USDC",
    "amount": "100.00",
    "reference": "INV-7",
    "expires_in_s": 3600,
}
REQUEST: Final[dict[str, object]] = {
    "id": REQUEST_ID,
    "status": "awaiting",
    "flags": [],
    "customer_id": CUSTOMER_ID,
    "partner_id": None,
    "reference": "INV-7",
    "currency": "USDC",
    "amount": "100.000000",
    "received": "0.000000",
    "held": "0.000000",
    "surplus": "0.000000",
    "address": _ADDRESS,
    "chain_id": 31337,
    "token": _TOKEN,
    "created_at": _WHEN,
    "expires_at": _LATER,
    "other_tokens": [],
}
OWN_REQUEST: Final[dict[str, object]] = {
    **REQUEST,
    "customer_id": None,
    "partner_id": f"par_{_TAIL}",
}
REQUEST_LISTED: Final = {**REQUEST, "other_tokens": None}
REQUEST_ACCEPTED: Final = {
    **REQUEST,
    "status": "accepted",
    "flags": ["short"],
    "received": "99.000000",
}
DEPOSIT: Final[dict[str, object]] = {
    "id": DEPOSIT_ID,
    "status": "credited",
    "flags": [],
    "customer_id": CUSTOMER_ID,
    "partner_id": None,
    "payment_request_id": REQUEST_ID,
    "currency": "USDC",
    "amount": "100.000000",
    "from_address": _PAYER,
    "to_address": _ADDRESS,
    "chain_id": 31337,
    "tx_hash": "0x" + "5e" * 32,
    "log_index": 0,
    "block_number": 12,
    "block_hash": "0x" + "b1" * 32,
    "mined_at": _WHEN,
    "ledger_sequence": 12,
    "credited_sequence": None,
    "break_id": None,
    "created_at": _WHEN,
}
ATTRIBUTION_BODY: Final = {"customer_id": CUSTOMER_ID, "reason": "its payer wrote to us"}
DEPOSIT_ATTRIBUTED: Final = {
    **DEPOSIT,
    "payment_request_id": None,
    "credited_sequence": 13,
    "break_id": BREAK_ID,
}
