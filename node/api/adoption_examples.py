"""The example of adoption: a batch that a restored database does not know any more."""

from typing import Any, Final

from node.api.examples import TRANSFER_ID

_LANE: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
_CONTRACT: Final = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
_BENEFICIARY: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
_REASON: Final = (
    "the chain has seen 8 transactions of this account, the database knows 7: the key is used"
    " elsewhere, or the database is an older copy"
)

CONFIRM_BODY: Final = {"confirm": True}
ADOPTION: Final[dict[str, Any]] = {
    "needed": True,
    "written": False,
    "waits_for": [],
    "lanes": [
        {
            "address": _LANE,
            "role": "settle",
            "status": "ahead",
            "status_reason": _REASON,
            "next_nonce": 7,
            "next_nonce_then": 8,
            "chain_nonce": 8,
            "unexplained": 1,
            "affected": True,
        }
    ],
    "transactions": [
        {
            "tx_hash": "0x" + "ab" * 32,
            "lane": _LANE,
            "nonce": 7,
            "block_number": 40,
            "succeeded": True,
            "finding": "new",
            "purpose": "settle",
            "to": _CONTRACT,
            "value_wei": "0",
            "gas_used": 96000,
            "batch_id": None,
            "payments": [
                {
                    "payment_number": 42,
                    "beneficiary": _BENEFICIARY,
                    "amount": "230.074048",
                    "link": "linked",
                    "transfer_id": TRANSFER_ID,
                    "outcome": "settled",
                },
                {
                    "payment_number": 43,
                    "beneficiary": _BENEFICIARY,
                    "amount": "5.000000",
                    "link": "no_transfer",
                    "transfer_id": None,
                    "outcome": "settled",
                },
            ],
            "movement": None,
        }
    ],
    "orphans": 1,
    "overtaken": [],
    "renumbered": [],
    "numbers_below": 44,
    "skipped": [],
}
ADOPTED: Final = {**ADOPTION, "written": True}
