"""Examples of transfers that a partner pays out. See `node.api.examples`."""

from typing import Any, Final

from node.api.examples import QUOTE_ID, TRANSFER

_ACCOUNT: Final = {"type": "bank", "number": "********6789", "bank_code": "BOPIPHMM"}

CORRECTION_BODY: Final[dict[str, Any]] = {
    "beneficiary": {
        "name": "Amihan",
        "country": "PH",
        "account": {"number": "000123456789", "bank_code": "BOPIPHMM"},
    }
}
AT_PARTNER: Final[dict[str, Any]] = {
    **TRANSFER,
    "status": "processing",
    "state": "payout_pending",
    "quote_id": QUOTE_ID,
    "buy": {"currency": "PHP", "amount": "13157.39"},
    "beneficiary": {
        "name": "Maria Santso",
        "country": "PH",
        "address": TRANSFER["beneficiary"]["address"],
        "account": _ACCOUNT,
    },
    "payout": {
        "partner": "manila",
        "payout_id": "pay_01kanv8q6dfk5vbz2m3n8r1c4x",
        "reference": "P2M3N8R1C4X",
        "paid": {"currency": "USDC", "amount": "230.074048"},
        "told": "working",
        "pay_by": "2026-11-23T16:00:00Z",
        "refund_policy": "correct",
        "corrected": {"name": "Amihan", "country": "PH", "account": _ACCOUNT},
    },
}
"""After a correction."""

SENT_BACK: Final[dict[str, Any]] = {
    **AT_PARTNER,
    "status": "action_required",
    "state": "undeliverable",
    "payout": {**AT_PARTNER["payout"], "told": "undeliverable", "corrected": None},
    "failure": {"code": "undeliverable", "message": "the partner says: sent_back"},
}
"""After the money was asked back, and before it is there."""

EVENT: Final = (
    '{"type": "payout.paid_out", "timestamp": "2026-11-22T16:00:00Z",'
    ' "data": {"object": "payout", "object_id": "pay_01kanv8q6dfk5vbz2m3n8r1c4x"}}'
)
