"""Examples of the documentation. Names are made up; a test checks each against its schema."""

from typing import Any, Final

_TAIL: Final = "01kanv8q6dfk5vbz2m3n8r1c4x"
_HASH: Final = "0x" + "5e" * 32
_CONTRACT: Final = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
_TOKEN: Final = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"  # noqa: S105 - an address
_LANE: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
_BENEFICIARY: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
_WHEN: Final = "2026-11-22T16:00:00Z"
_LATER: Final = "2026-11-22T16:01:00Z"

CUSTOMER_ID: Final = f"cus_{_TAIL}"
QUOTE_ID: Final = f"quo_{_TAIL}"
TRANSFER_ID: Final = f"tra_{_TAIL}"
TOP_UP_ID: Final = f"top_{_TAIL}"
ACCOUNT_ID: Final = f"acc_{_TAIL}"
RUN_ID: Final = f"run_{_TAIL}"
BREAK_ID: Final = f"brk_{_TAIL}"
BATCH_ID: Final = f"bat_{_TAIL}"
MOVEMENT_ID: Final = f"mov_{_TAIL}"
RULE_ID: Final = f"rul_{_TAIL}"


def eur(amount: str) -> dict[str, str]:
    """An amount of EUR."""
    return {"currency": "EUR", "amount": amount}


EUR: Final = {
    "code": "EUR",
    "name": "Euro",
    "digits": 2,
    "kind": "fiat",
    "chain_id": None,
    "address": None,
}
USDC: Final = {
    "code": "USDC",
    "name": "USD Coin",
    "digits": 6,
    "kind": "token",
    "chain_id": 31337,
    "address": _TOKEN,
}
ETH: Final = {
    "code": "ETH",
    "name": "Ether",
    "digits": 9,
    "kind": "native",
    "chain_id": 31337,
    "address": None,
}
CORRIDOR: Final = {
    "sell": "EUR",
    "buy": "USDC",
    "payout": {"method": "onchain", "estimated_delivery_s": 15},
    "service_fee_bps": 30,
    "service_fee_min": eur("0.00"),
    "network_fee": eur("0.02"),
    "spread_bps": 20,
    "sell_min": eur("0.10"),
    "sell_max": eur("100000.00"),
}
PRICE: Final[dict[str, Any]] = {
    "firm": False,
    "fixed_side": "sell",
    "sell": eur("200.00"),
    "buy": {"currency": "USDC", "amount": "230.074048"},
    "rate": "1.15394748",
    "mid_rate": "1.15626",
    "spread_bps": 20,
    "fees": [
        {"type": "service", "currency": "EUR", "amount": "0.60"},
        {"type": "network", "currency": "EUR", "amount": "0.02"},
    ],
    "total_cost": {"currency": "EUR", "amount": "1.02", "percent": "0.51"},
    "rate_sources": [
        {
            "name": "ecb",
            "sell": "EUR",
            "buy": "USD",
            "rate": "1.15626",
            "observed_at": "2026-11-20T15:00:00Z",
            "stale": False,
        },
        {
            "name": "fixed",
            "sell": "USD",
            "buy": "USDC",
            "rate": "1",
            "observed_at": _WHEN,
            "stale": False,
        },
    ],
    "payout": {"method": "onchain", "estimated_delivery_s": 15},
}
QUOTE_BODY: Final = {
    "sell": eur("200.00"),
    "buy": {"currency": "USDC"},
    "payout": {"method": "onchain"},
}
QUOTE: Final = {
    "id": QUOTE_ID,
    "status": "active",
    "revoked_reason": None,
    **PRICE,
    "firm": True,
    "customer_id": None,
    "transfer_id": None,
    "payout_id": None,
    "created_at": _WHEN,
    "expires_at": _LATER,
    "legs": [
        {
            "partner": None,
            "quote_id": None,
            "sell": PRICE["sell"],
            "buy": PRICE["buy"],
            "mid_rate": PRICE["mid_rate"],
            "spread_bps": PRICE["spread_bps"],
            "fees": PRICE["fees"],
        }
    ],
}
CUSTOMER_BODY: Final = {"name": "Ana", "country": "DE", "email": "ana@example.org"}
CUSTOMER: Final = {"id": CUSTOMER_ID, **CUSTOMER_BODY, "created_at": _WHEN}
TOKEN: Final = {
    "key_id": f"key_{_TAIL}",
    "customer_id": CUSTOMER_ID,
    "token": "shown-once",
    "created_at": _WHEN,
}
BALANCE: Final = {"currency": "EUR", "available": "800.00", "reserved": "200.00"}
TOP_UP_BODY: Final = {
    "currency": "EUR",
    "amount": "1000.00",
    "rail": "sandbox_bank",
    "reference": "wire-17",
}
TOP_UP: Final = {
    "id": TOP_UP_ID,
    "customer_id": CUSTOMER_ID,
    **TOP_UP_BODY,
    "funded_by": "bank",
    "created_at": _WHEN,
}
MOVEMENT_LINE: Final = {
    "id": "12000",
    "sequence": 12,
    "kind": "top_up",
    "part": "deposit",
    "direction": "in",
    "currency": "EUR",
    "amount": "1000.00",
    "balance": "1000.00",
    "transfer_id": None,
    "detail": {"rail": "sandbox_bank", "reference": "wire-17"},
    "occurred_at": _WHEN,
}
TRANSFER_BODY: Final[dict[str, Any]] = {
    "quote_id": QUOTE_ID,
    "customer_id": CUSTOMER_ID,
    "beneficiary": {"name": "Bea", "country": "PH", "address": _BENEFICIARY},
    "client_reference": "rent-2026-11",
    "purpose": "family_support",
}
TRANSFER: Final[dict[str, Any]] = {
    "id": TRANSFER_ID,
    "status": "processing",
    "state": "included",
    "waiting": None,
    **TRANSFER_BODY,
    "beneficiary": {**TRANSFER_BODY["beneficiary"], "account": None},
    "sell": eur("200.00"),
    "buy": {"currency": "USDC", "amount": "230.074048"},
    "fees": [
        {"type": "service", "currency": "EUR", "amount": "0.60"},
        {"type": "network", "currency": "EUR", "amount": "0.02"},
    ],
    "created_at": _WHEN,
    "settle_by": "2026-11-23T16:00:00Z",
    "cancellable": False,
    "settlement": {
        "chain_id": 31337,
        "contract": _CONTRACT,
        "token": _TOKEN,
        "payment_number": 42,
        "tx_hash": _HASH,
        "block_number": 12,
        "confirmations": 1,
        "final": False,
    },
    "payout": None,
    "failure": None,
}
_NOT_SENT: Final = {
    **TRANSFER["settlement"],
    "tx_hash": None,
    "block_number": None,
    "confirmations": 0,
}
CANCELED: Final = {
    **TRANSFER,
    "status": "canceled",
    "state": "canceled",
    "settlement": _NOT_SENT,
    "failure": {"code": "canceled", "message": "canceled before it was sent"},
}
VOIDING: Final = {
    **TRANSFER,
    "state": "voiding",
}
TIMELINE: Final = {
    "sequence": 1,
    "type": "transfer.funded",
    "state": "funded",
    "status": "processing",
    "occurred_at": _WHEN,
    "detail": {"payment_number": 42},
}
EVENT: Final = {
    **TIMELINE,
    "sequence": 57,
    "object_sequence": 1,
    "object": "transfer",
    "object_id": TRANSFER_ID,
}
AS_OF: Final = {"sequence": 13, "booked_at": _WHEN}
TRIAL: Final = {"currency": "EUR", "debits": "1200.00", "credits": "1200.00"}
ACCOUNT: Final = {
    "id": ACCOUNT_ID,
    "path": f"customer/{CUSTOMER_ID}/EUR",
    "kind": "liability",
    "currency": "EUR",
    "posted": "1000.00",
    "reserved": "200.00",
    "available": "800.00",
    "debits_pending": "200.00",
    "debits_posted": "0.00",
    "credits_pending": "0.00",
    "credits_posted": "1000.00",
    "created_at": _WHEN,
}
ENTRY: Final = {
    "sequence": 13,
    "kind": "transfer",
    "type": "transfer",
    "status": "pending",
    "side": "debit",
    "counter_account": "fx_position/EUR",
    "currency": "EUR",
    "amount": "198.99",
    "balance": None,
    "transfer_id": TRANSFER_ID,
    "detail": {},
    "occurred_at": _WHEN,
}
BOOKING_BODY: Final = {
    "kind": "capital",
    "reason": "the owner paid in",
    "entries": [
        {
            "debit": "bank/sandbox_bank/EUR",
            "credit": "capital/EUR",
            "currency": "EUR",
            "amount": "50000.00",
        }
    ],
}
LEDGER_TRANSACTION: Final = {
    "sequence": 12,
    "kind": "capital",
    "status": "posted",
    "entries": BOOKING_BODY["entries"],
    "transfer_id": None,
    "detail": {"reason": BOOKING_BODY["reason"], "made_by": "operator:devnet"},
    "created_at": _WHEN,
}
RUN: Final = {
    "id": RUN_ID,
    "status": "completed",
    "as_of": {"block_number": 12, "block_hash": _HASH},
    "checks": [
        {
            "name": "balance_USDC",
            "ok": True,
            "expected": "999769.925952",
            "actual": "999769.925952",
        }
    ],
    "breaks_open": 0,
    "failure": None,
    "created_at": _WHEN,
    "completed_at": _WHEN,
}
RUN_BEGUN: Final = {
    **RUN,
    "status": "running",
    "as_of": None,
    "checks": [],
    "breaks_open": None,
    "completed_at": None,
}
BREAK: Final = {
    "id": BREAK_ID,
    "code": "B04",
    "severity": "warning",
    "status": "open",
    "state": "open",
    "summary": "money came in that belongs to nobody known",
    "expected": "0.000000",
    "actual": "5.000000",
    "evidence": {"tx_hash": _HASH},
    "cause": "",
    "story": [
        f"Money came in that belongs to nobody known (transaction {_HASH}): 5.000000.",
        "Its cause is not known yet.",
        "It is in suspense until somebody says whose it is.",
        "It is open since 2026-11-22 16:00:00 UTC.",
        "What to do: find out whose it is and attribute the deposit to them, or send it back.",
    ],
    "next_action": "find out whose it is and attribute the deposit to them, or send it back",
    "owner": None,
    "first_seen_at": _WHEN,
    "last_seen_at": _LATER,
    "due_at": "2026-11-23T16:00:00Z",
    "age_s": 60,
    "age": "0-1d",
    "proposal": None,
    "reopens": None,
    "resolved_at": None,
    "resolved_by": None,
    "resolution": None,
}
RESOLVE_BODY: Final = {
    "reason": "the owner paid in capital",
    "entries": [
        {
            "debit": "suspense/31337/USDC",
            "credit": "capital/USDC",
            "currency": "USDC",
            "amount": "5.000000",
        }
    ],
}
RESOLVED: Final = {
    **BREAK,
    "status": "resolved",
    "state": "resolved",
    "resolved_at": _LATER,
    "resolved_by": "operator:devnet",
    "resolution": {"kind": "ledger_transaction", "reason": RESOLVE_BODY["reason"]},
}
PAUSE_BODY: Final = {"hard": False, "note": "changing the provider"}
PAUSE: Final = {
    "reason": "operator",
    **PAUSE_BODY,
    "paused_by": "operator:devnet",
    "paused_at": _WHEN,
}
RESUME_BODY: Final = {"reason": "operator"}
HALT_BODY: Final = {"currency": "EUR", "note": "the source is being looked at"}
HALT: Final = {
    "currency": "EUR",
    "reason": "operator",
    "note": HALT_BODY["note"],
    "halted_by": "operator:devnet",
    "halted_at": _WHEN,
}
FX_RESUME_BODY: Final = {"currency": "EUR", "mid_rate": "1.15626"}
FX_LEVEL: Final = {"sell": "EUR", "buy": "USDC", "mid_rate": "1.15626"}
FX: Final = {
    "as_of": _WHEN,
    "pricing": {
        "method": "first",
        "sources_min": 1,
        "disagreement_max_bps": 500,
        "jump_max_bps": 1000,
        "bridge": ["EUR", "USD"],
    },
    "sources": [
        {
            "name": "ecb",
            "max_age_s": 345600,
            "fault": None,
            "rates": [
                {
                    "sell": "EUR",
                    "buy": "USD",
                    "rate": "1.15626",
                    "observed_at": "2026-11-20T15:00:00Z",
                    "age_s": 176400,
                    "usable": True,
                }
            ],
        }
    ],
    "corridors": [
        {
            "sell": "EUR",
            "buy": "USDC",
            "mid_rate": "1.15626",
            "trusted_mid_rate": "1.15626",
            "fault": None,
        }
    ],
    "halts": [],
    "exposure": [
        {
            "currency": "EUR",
            "open": eur("200.00"),
            "quotes": 1,
            "limit": eur("100000000.00"),
            "remaining": eur("99999800.00"),
        }
    ],
}
CHECK: Final = {"name": "database", "ok": True, "detail": "answers"}
