"""Examples of the bank's statements for the documentation. See `node.api.examples`."""

from typing import Final

from node.api.examples import TOP_UP_ID

_TAIL: Final = TOP_UP_ID.partition("_")[2]
STATEMENT_ID: Final = f"sta_{_TAIL}"
LINE_ID: Final = f"lin_{_TAIL}"

STATEMENT: Final = {
    "id": STATEMENT_ID,
    "rail": "sandbox_bank",
    "currency": "EUR",
    "name": "2026-11-22",
    "account": "DE00PLAY00000000000001",
    "number": 226,
    "first_day": "2026-11-22",
    "last_day": "2026-11-22",
    "opening": "0.00",
    "closing": "1200.00",
    "lines": {
        "total": {"count": 2, "amount": "1200.00"},
        "matched": {"count": 1, "amount": "1000.00"},
        "unmatched": {"count": 1, "amount": "200.00"},
    },
    "lines_known": 0,
    "lines_pending": 0,
    "made_by": "operator:devnet",
    "imported_at": "2026-11-22T16:00:00Z",
}
IMPORTED: Final = {"data": [STATEMENT], "lines_new": 2, "lines_known": 0}
LINE: Final = {
    "id": LINE_ID,
    "statement_id": STATEMENT_ID,
    "position": 2,
    "currency": "EUR",
    "amount": "200.00",
    "booked_on": "2026-11-22",
    "value_on": None,
    "references": ["wire 18"],
    "servicer_reference": "play-2",
    "counterparty": "Ana",
    "description": "wire 18",
    "is_reversal": False,
    "ledger_sequence": None,
    "matched_by": None,
    "suggestions": [
        {
            "ledger_sequence": 12,
            "amount": "200.00",
            "booked_on": "2026-11-22",
            "reference": "wire-18",
        }
    ],
}
MATCH_BODY: Final = {"ledger_sequence": 12, "reason": "the customer left the hyphen out"}
MATCHED: Final = {**LINE, "ledger_sequence": 12, "matched_by": "confirmed", "suggestions": []}

FILES: Final = {
    "text/csv": "date,amount,currency,reference\n2026-11-20,1000.00,EUR,top-up-1\n"
    "2026-11-20,-20.00,EUR,fee-1\n",
}
