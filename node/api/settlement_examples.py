"""Examples of settlement as the operator sees it, for the documentation."""

from typing import Any, Final

from node.api.examples import BATCH_ID, TRANSFER_ID

_WHEN: Final = "2026-11-22T16:00:02Z"
_LATER: Final = "2026-11-22T16:00:05Z"
_LANE: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
_TREASURY: Final = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
_CONTRACT: Final = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
_BENEFICIARY: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
_HASH: Final = "0x" + "ab" * 32


def _usdc(amount: str) -> dict[str, str]:
    return {"currency": "USDC", "amount": amount}


LANE: Final[dict[str, Any]] = {
    "chain_id": 31337,
    "address": _LANE,
    "role": "settle",
    "retired": False,
    "status": "active",
    "status_reason": None,
    "balance_wei": "9999000000000000000",
    "gas_wei_min": "125680000000000000",
    "cap_left": "40000000.000000",
    "seen_at": _WHEN,
    "next_nonce": 3,
    "unmined": 1,
    "oldest_unmined_nonce": 2,
    "head_of_line": {
        "batch_id": BATCH_ID,
        "nonce": 2,
        "purpose": "settle",
        "state": "submitted",
        "age_s": 1,
        "attempts": 1,
        "max_fee_per_gas_wei": "2001000000",
        "max_priority_fee_per_gas_wei": "1000000",
        "sends": 1,
        "last_sent_at": _WHEN,
        "last_answer": "accepted",
        "last_message": None,
    },
    "lease_owner": "worker-1",
    "lease_until": _LATER,
}
SPENT_LANE: Final[dict[str, Any]] = {
    **LANE,
    "final_nonces": 2,
    "gas_used": 192000,
    "fees_wei": "192000001344000",
}
ALERT: Final = {
    "code": "token_paused",
    "severity": "critical",
    "address": _CONTRACT,
    "seen": "the token's issuer has paused it: nobody can be paid",
    "next_action": ("nothing is lost: payments wait and go on by themselves; tell the customers"),
}
SETTLEMENT: Final[dict[str, Any]] = {
    "as_of": _LATER,
    "chain_id": 31337,
    "alerts": [ALERT],
    "pauses": [],
    "contract": {
        "address": _CONTRACT,
        "block_number": 12,
        "seen_at": _WHEN,
        "paused": False,
        "token_paused": True,
        "balance": _usdc("50000000.000000"),
        "committed": _usdc("230.074048"),
        "free": _usdc("49999769.925952"),
        "cap_left": None,
    },
    "transfers": [
        {
            "state": "funded",
            "waiting": "token_paused",
            "count": 3,
            "amount": _usdc("690.222144"),
            "since": _WHEN,
        }
    ],
    "lanes": [LANE],
    "addresses": [
        {
            "address": _TREASURY,
            "role": "treasury",
            "holdings": [
                {
                    "currency": "USDC",
                    "amount": "1000000.000000",
                    "units": "1000000000000",
                    "block_number": 10,
                }
            ],
        }
    ],
    "providers": [
        {
            "name": "127.0.0.1:8545",
            "state": "closed",
            "failures": 0,
            "head": 13,
            "behind_blocks": 0,
            "quarantined": None,
        }
    ],
    "gas_price_wei": "1000000007",
}
BATCH_ROW: Final = {
    "id": BATCH_ID,
    "chain_id": 31337,
    "lane": _LANE,
    "nonce": 2,
    "purpose": "settle",
    "state": "included",
    "adopted": False,
    "payment_count": 1,
    "payments_settled": 1,
    "amount_total": "230.074048",
    "attempt_count": 1,
    "tx_hash": _HASH,
    "block_number": 12,
    "succeeded": True,
    "gas_used": 96000,
    "effective_gas_price_wei": "1000000007",
    "fee_wei": "96000000672000",
    "gas_per_payment": 96000,
    "fee_wei_per_payment": "96000000672000",
    "created_at": _WHEN,
    "final_at": None,
}
BATCH: Final = {
    **BATCH_ROW,
    "contract": _CONTRACT,
    "to": _CONTRACT,
    "value_wei": "0",
    "gas_limit": 410000,
    "attempts": [
        {
            "sequence": 1,
            "tx_hash": _HASH,
            "max_fee_per_gas_wei": "2001000000",
            "max_priority_fee_per_gas_wei": "1000000",
            "fee_source": "fee_history",
            "sends": 1,
            "last_answer": "accepted",
            "last_message": None,
            "created_at": _WHEN,
            "last_sent_at": _WHEN,
        }
    ],
    "payments": [
        {
            "transfer_id": TRANSFER_ID,
            "payment_number": 42,
            "beneficiary": _BENEFICIARY,
            "amount": "230.074048",
            "outcome": "settled",
        }
    ],
}
_SPENT: Final = {
    "transactions": 2,
    "reverted": 0,
    "attempts": 3,
    "replaced": 1,
    "payments": 100,
    "gas_used": 1050000,
    "fees_wei": "1050000007350000",
    "gas_per_payment": 10500,
    "fee_wei_per_payment": "10500000073500",
}
SPENDING: Final = {
    "from": "2026-11-21T16:00:05Z",
    "to": _LATER,
    "total": _SPENT,
    "purposes": [{"purpose": "settle", **_SPENT}],
}
