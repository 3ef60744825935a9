"""The example of the mirror: halted, because the chain replaced a block with a payment."""

from typing import Any, Final

from node.api.examples import BATCH_ID, CUSTOMER_ID, TRANSFER_ID

REORG_ID: Final = "reo_01jd0000000000000000000001"
_OURS: Final = "0x" + "0a" * 32
_THEIRS: Final = "0x" + "0b" * 32
_FORK: Final = "0x" + "0c" * 32
_CONTRACT: Final = "chain/31337/0x5fbdb2315678afecb367f032d93f642f64180aa3/USDC"

REORG_BODY: Final = {"block_hash": _THEIRS, "reason": "three providers and our own node agree"}
REORG: Final[dict[str, Any]] = {
    "id": REORG_ID,
    "state": "proposed",
    "final": {"block_number": 40, "block_hash": _OURS},
    "block_hash": _THEIRS,
    "fork": {"block_number": 38, "block_hash": _FORK},
    "plan": {
        "blocks": 2,
        "blocks_unfinal": 2,
        "batches": [BATCH_ID],
        "payments": [
            {
                "transfer_id": TRANSFER_ID,
                "customer_id": CUSTOMER_ID,
                "payment_number": 42,
                "currency": "USDC",
                "becomes": "submitted",
                "tx_hash": "0x" + "ab" * 32,
                "block_number": 39,
                "block_hash": "0x" + "0d" * 32,
                "amount": "230.074048",
            }
        ],
        "rejoining": [],
        "given_back": [],
        "movements": [],
        "deposits": [],
        "gas": "0.000096000",
        "gas_currency": "ETH",
        "accounts": [{"account": _CONTRACT, "currency": "USDC", "amount": "230.074048"}],
        "bookings": [
            {"sequence": 17, "key": "batch:01939f2e-0000-7000-8000-000000000001", "kind": "batch"}
        ],
        "shortfalls": [],
        "corrections": [],
    },
    "reason": "three providers and our own node agree",
    "proposed_by": "operator:olga",
    "proposed_at": "2026-11-22T10:00:00.000000Z",
    "accepted_by": None,
    "accepted_at": None,
    "epoch": None,
}
ACCEPTED: Final[dict[str, Any]] = {
    **REORG,
    "state": "accepted",
    "accepted_by": "operator:otto",
    "accepted_at": "2026-11-22T10:05:00.000000Z",
    "epoch": 1,
}
MIRROR: Final[dict[str, Any]] = {
    "head": {"block_number": 42, "block_hash": "0x" + "0e" * 32},
    "final": {"block_number": 40, "block_hash": _OURS},
    "start_number": 1,
    "moved_at": "2026-11-22T09:59:00.000000Z",
    "halted": "deep_reorg",
    "epoch": 0,
    "proposal": REORG,
    "providers": [
        {
            "name": "127.0.0.1:8545",
            "state": "closed",
            "head": 44,
            "behind_blocks": 0,
            "in_doubt": None,
            "quarantined": None,
        }
    ],
}
