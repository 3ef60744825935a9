"""Examples of bulk transfers. A test checks each against its schema."""

from typing import Final

from node.api.examples import TRANSFER_ID, eur

BULK_ID: Final = "bul_01kanv8q6dfk5vbz2m3n8r1c4x"
_WHEN: Final = "2026-11-22T16:00:00Z"
_LATER: Final = "2026-11-22T17:00:00Z"

FILE: Final = (
    "client_reference,customer_id,sell_currency,sell_amount,buy_currency,name,country,address\n"
    "pay-1,cus_01kanv8q6dfk5vbz2m3n8r1c4x,EUR,200.00,USDC,Ben,PH,"
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906\n"
)
LISTED: Final[dict[str, object]] = {
    "id": BULK_ID,
    "status": "completed",
    "mode": "best_effort",
    "format": "csv",
    "message_id": None,
    "rows": {"total": 2, "pending": 0, "accepted": 1, "rejected": 1},
    "waiting": None,
    "accept_by": _LATER,
    "created_at": _WHEN,
    "completed_at": "2026-11-22T16:00:01Z",
}
BULK: Final[dict[str, object]] = {
    **LISTED,
    "transfers": {"processing": 1, "completed": 0, "failed": 0},
    "sums": [
        {
            "count": 1,
            "sell": eur("200.00"),
            "buy": {"currency": "USDC", "amount": "230.074048"},
            "completed_buy": {"currency": "USDC", "amount": "0.000000"},
        }
    ],
}
TAKEN_IN: Final[dict[str, object]] = {
    **LISTED,
    "status": "processing",
    "rows": {"total": 2, "pending": 1, "accepted": 0, "rejected": 1},
    "completed_at": None,
    "transfers": {"processing": 0, "completed": 0, "failed": 0},
    "sums": [],
}
ROW: Final[dict[str, object]] = {
    "line": 2,
    "client_reference": "pay-1",
    "status": "accepted",
    "repeated": False,
    "transfer": {
        "id": TRANSFER_ID,
        "status": "processing",
        "state": "funded",
        "sell": eur("200.00"),
        "buy": {"currency": "USDC", "amount": "230.074048"},
        "failure": None,
    },
    "errors": [],
}
FAULTY_ROW: Final[dict[str, object]] = {
    "line": 3,
    "client_reference": "pay-2",
    "status": "rejected",
    "repeated": False,
    "transfer": None,
    "errors": [
        {
            "pointer": "/sell/amount",
            "code": "amount_invalid",
            "message": "EUR has 2 decimal digits; the amount has 3",
        }
    ],
}

FILES: Final = {
    "application/x-ndjson": '{"client_reference": "salary-1", "sell": {"currency": "EUR", "amount":'
    ' "20.00"}, "buy": {"currency": "USDC"}, "beneficiary": {"name": "Bea", "country": "PH",'
    ' "address": "0x90F79bf6EB2c4f870365E785982E1f101E93b906"}}\n',
    "text/csv": "client_reference,sell_currency,sell_amount,buy_currency,name,country,address\n"
    "salary-1,EUR,20.00,USDC,Bea,PH,0x90F79bf6EB2c4f870365E785982E1f101E93b906\n",
}
