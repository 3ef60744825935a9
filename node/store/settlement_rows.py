"""What is read of the settlement tables: longer queries, and rows as values.

What changes them is in `node.store.settlement`.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from node.core.ports.settlement import (
    Attempt,
    BatchView,
    Candidate,
    Lane,
    Member,
    Movement,
    OpenSlot,
)
from node.core.settlement import LaneStatus, PaymentRecord, Purpose, SlotState, Waiting
from node.core.submission import AnswerClass, Fees
from node.core.units import Address, TxHash

_CANDIDATE: Final = """
SELECT t.id, t.payment_number, t.beneficiary_address, t.buy_amount, t.was_written,
    t.batches_failed, t.waiting_code, t.created_at
FROM transfer t WHERE t.chain_id = $1 AND t.contract = $2
"""
CANDIDATES: Final = f"""{_CANDIDATE}
  AND t.state = 'funded' AND t.slot_id IS NULL AND t.settle_by > now()
ORDER BY t.created_at, t.id LIMIT $3
"""
OVERDUE: Final = f"""{_CANDIDATE}
  AND t.state = 'funded' AND t.slot_id IS NULL AND t.settle_by < now()
ORDER BY t.created_at, t.id LIMIT $3
"""
# What a final event has decided needs no void: another one would only be skipped by the contract.
_NEEDS_VOID: Final = """
t.state = 'voiding'
  AND NOT EXISTS (SELECT FROM slot_member m WHERE m.transfer_id = t.id AND m.live
                  AND m.purpose = 'void')
  AND NOT EXISTS (SELECT FROM settlement_log l WHERE l.chain_id = t.chain_id
                  AND l.contract = t.contract AND l.payment_number = t.payment_number::numeric
                  AND l.kind IN ('settled', 'voided') AND l.status = 'final')
"""
VOID_CANDIDATES: Final = f"""{_CANDIDATE}
  AND {_NEEDS_VOID} ORDER BY t.created_at, t.id LIMIT $3 FOR UPDATE OF t
"""
WORKLOAD: Final = f"""
SELECT
    (SELECT count(*) FROM slot WHERE lane_id = $1 AND state NOT IN ('final', 'foreign')
     AND state <> 'included') AS unmined,
    EXISTS (SELECT FROM transfer WHERE state = 'funded' AND slot_id IS NULL AND chain_id = $2
            AND contract = $3) AS has_funded,
    EXISTS (SELECT FROM transfer t WHERE t.chain_id = $2 AND t.contract = $3
            AND {_NEEDS_VOID}) AS has_voids
"""  # noqa: S608 - constants
NEXT_NUMBER: Final = """
SELECT greatest(
    (SELECT next_number FROM settlement_contract WHERE chain_id = $1 AND address = $2),
    (SELECT max(payment_number)::bigint + 1 FROM settlement_log
     WHERE chain_id = $1 AND contract = $2), 1)
"""
LANES: Final = """
SELECT l.*, count(*) FILTER (WHERE s.state IN ('written', 'submitted', 'unknown')) AS unmined,
    min(s.nonce) FILTER (WHERE s.state IN ('written', 'submitted', 'unknown')) AS oldest_nonce,
    count(*) FILTER (WHERE s.state = 'final') AS final
FROM lane l LEFT JOIN slot s ON s.lane_id = l.id
WHERE l.chain_id = $1 GROUP BY l.id ORDER BY l.id
"""
BATCH: Final = """
SELECT s.*, l.address AS lane_address, l.chain_id FROM slot s JOIN lane l ON l.id = s.lane_id
WHERE s.id = $1
"""


def lane_of(row: "asyncpg.Record") -> Lane:
    """A row of `lane`."""
    return Lane(
        row["id"],
        row["chain_id"],
        Address(row["address"]),
        row["next_nonce"],
        LaneStatus(row["status"]),
        row["status_reason"],
        row["epoch"],
        row["lease_owner"],
        row["lease_until"],
    )


def candidate_of(row: "asyncpg.Record") -> Candidate:
    """Some columns of `transfer`."""
    return Candidate(
        row["id"],
        PaymentRecord(
            row["payment_number"], Address(row["beneficiary_address"]), row["buy_amount"]
        ),
        row["was_written"],
        row["batches_failed"],
        Waiting(row["waiting_code"]) if row["waiting_code"] else None,
        row["created_at"],
    )


def member_of(row: "asyncpg.Record") -> Member:
    """A row of `slot_member`."""
    return Member(
        row["transfer_id"],
        PaymentRecord(row["payment_number"], Address(row["beneficiary"]), row["amount"]),
    )


def attempt_of(row: "asyncpg.Record") -> Attempt:
    """A row of `attempt`."""
    return Attempt(
        tx_hash=TxHash(row["tx_hash"]),
        slot_id=row["slot_id"],
        sequence=row["sequence"],
        raw=row["raw"],
        fees=Fees(int(row["max_fee_per_gas_wei"]), int(row["max_priority_fee_per_gas_wei"])),
        fee_source=row["fee_source"],
        created_at=row["created_at"],
        last_sent_at=row["last_sent_at"],
        sends=row["sends"],
        last_answer=AnswerClass(row["last_answer"]) if row["last_answer"] else None,
    )


def open_slot_of(row: "asyncpg.Record", attempts: Sequence[Attempt]) -> OpenSlot:
    """A row of `slot` with its attempts."""
    return OpenSlot(
        row["id"],
        row["nonce"],
        Purpose(row["purpose"]),
        SlotState(row["state"]),
        Address(row["to_address"]),
        int(row["value_wei"]),
        row["calldata"],
        row["gas_limit"],
        attempts,
    )


def batch_of(
    row: "asyncpg.Record", attempts: Sequence[Attempt], members: Sequence[Member]
) -> BatchView:
    """A row of `slot` joined with its lane, with attempts and members."""
    price = row["effective_gas_price_wei"]
    return BatchView(
        id=row["id"],
        lane_address=Address(row["lane_address"]),
        chain_id=row["chain_id"],
        nonce=row["nonce"],
        purpose=Purpose(row["purpose"]),
        state=SlotState(row["state"]),
        contract=Address(row["contract"]) if row["contract"] else None,
        gas_limit=row["gas_limit"],
        amount_total=row["amount_total"],
        block_number=row["included_block_number"],
        tx_hash=TxHash(row["included_tx_hash"]) if row["included_tx_hash"] else None,
        succeeded=row["succeeded"],
        gas_used=row["gas_used"],
        effective_gas_price_wei=int(price) if price is not None else None,
        created_at=row["created_at"],
        final_at=row["final_at"],
        attempts=attempts,
        members=members,
    )


def movement_of(row: "asyncpg.Record") -> Movement:
    """A row of `movement`."""
    return Movement(
        id=row["id"],
        kind=row["kind"],
        from_address=Address(row["from_address"]),
        to_address=Address(row["to_address"]),
        asset=row["asset"],
        amount=row["amount"],
        state=row["state"],
        slot_id=row["slot_id"],
        made_by=row["made_by"],
        failure=row["failure"],
        created_at=row["created_at"],
    )
