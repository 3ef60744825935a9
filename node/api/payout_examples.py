"""Examples of payouts and refunds. A test checks each against its schema."""

from typing import Final

from node.api.partner_examples import PARTNER_ID

_TAIL: Final = "01kanv8q6dfk5vbz2m3n8r1c4x"
_TOKEN: Final = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"  # noqa: S105 - an address
_ADDRESS: Final = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
_CONTRACT: Final = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
_TX_HASH: Final = "0x8b1a9953c4611296a827abf8c47804d7f1c3b4a5d6e7f8091a2b3c4d5e6f7081"
_WHEN: Final = "2026-11-22T16:00:00Z"
_LATER: Final = "2026-11-23T16:00:00Z"

PAYOUT_ID: Final = f"pay_{_TAIL}"
REFUND_ID: Final = f"ref_{_TAIL}"

CONTRACT_BODY: Final = {"chain_id": 31337, "address": _CONTRACT}
CONTRACT: Final = {
    "partner_id": PARTNER_ID,
    "chain_id": 31337,
    "address": _CONTRACT,
    "refund_address": None,
    "registered_by": "operator:ops",
    "created_at": _WHEN,
}
BENEFICIARY_BODY: Final = {
    "type": "natural",
    "name": "Amihan",
    "country": "PH",
    "account": {"type": "bank", "number": "000123456789", "bank_code": "BOPIPHMM"},
}
PAYOUT_BODY: Final = {
    "quote_id": f"quo_{_TAIL}",
    "client_reference": "tra-2041",
    "beneficiary": BENEFICIARY_BODY,
    "originator": {"type": "natural", "name": "Ana", "country": "DE"},
    "refund_policy": "correct",
    "refund_address": _CONTRACT,
    "purpose": "family",
}
CORRECTION_BODY: Final = {"beneficiary": BENEFICIARY_BODY}
PAYOUT: Final[dict[str, object]] = {
    "id": PAYOUT_ID,
    "status": "pending_sender",
    "state": "awaiting_payment",
    "flags": [],
    "partner_id": PARTNER_ID,
    "quote_id": f"quo_{_TAIL}",
    "client_reference": "tra-2041",
    "reference": "P2M3N8R1C4XVB",
    "sell": {"currency": "USDC", "amount": "230.074048"},
    "buy": {"currency": "PHP", "amount": "13345.64"},
    "fees": [
        {"type": "service", "currency": "USDC", "amount": "0.460149"},
        {"type": "network", "currency": "USDC", "amount": "0.000000"},
    ],
    "deposit": {
        "chain_id": 31337,
        "token": _TOKEN,
        "address": _ADDRESS,
        "currency": "USDC",
        "amount": "230.074048",
        "pay_by": _LATER,
    },
    "received": "0.000000",
    "beneficiary": {
        "type": "natural",
        "name": "M**** S*****",
        "country": "PH",
        "account": {"type": "bank", "number": "********6789", "bank_code": "BOPIPHMM"},
    },
    "purpose": "family",
    "refund_policy": "correct",
    "refund_address": _CONTRACT,
    "matched": None,
    "rail": {"name": "sandbox_bank", "order_id": f"{PAYOUT_ID}-1", "attempt": 1},
    "refund": None,
    "failure": None,
    "created_at": _WHEN,
    "updated_at": _WHEN,
}
_MATCHED: Final = {
    "deposit_id": f"dep_{_TAIL}",
    "tx_hash": _TX_HASH,
    "block_number": 91,
    "log_index": 4,
    "contract": _CONTRACT,
    "settlement_number": 17,
    "amount": "230.074048",
}
PAID_OUT: Final[dict[str, object]] = {
    **PAYOUT,
    "status": "completed",
    "state": "paid_out",
    "received": "230.074048",
    "matched": _MATCHED,
}
CORRECTED: Final[dict[str, object]] = {
    **PAID_OUT,
    "status": "pending_receiver",
    "state": "matched",
    "rail": {"name": "sandbox_bank", "order_id": f"{PAYOUT_ID}-2", "attempt": 2},
}
REFUND: Final[dict[str, object]] = {
    "id": REFUND_ID,
    "payout_id": PAYOUT_ID,
    "partner_id": PARTNER_ID,
    "status": "pending",
    "reason": "asked",
    "currency": "USDC",
    "amount": "230.074048",
    "address": _CONTRACT,
    "transfer_id": None,
    "contract": None,
    "payment_number": None,
    "tx_hash": None,
    "block_number": None,
    "failure": None,
    "created_at": _WHEN,
}
REFUNDING: Final[dict[str, object]] = {
    **PAID_OUT,
    "status": "pending_receiver",
    "state": "refunding",
    "refund": REFUND,
    "failure": {"code": "account_closed", "message": "the account is closed"},
}
