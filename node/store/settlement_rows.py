"""What is read of the settlement tables: longer queries, and rows as values.

What changes them is in `node.store.settlement`.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from node.core.ports.settlement import (
    Attempt,
    Candidate,
    Lane,
    Member,
    MemberNow,
    OpenSlot,
)
from node.core.settlement import LaneStatus, PaymentRecord, Purpose, SlotState, Waiting
from node.core.signing import KeyRole
from node.core.submission import AnswerClass, Fees
from node.core.transfers import State
from node.core.units import Address, TxHash

_CANDIDATE: Final = """
SELECT t.id, t.payment_number, t.beneficiary_address, t.buy_amount, t.was_written,
    t.batches_failed, t.waiting_code, t.created_at
FROM transfer t WHERE t.chain_id = $1 AND t.contract = $2
"""
# While a slot can still be mined that carries a number, the number is in no other and nothing ends.
# OFFSET 0 keeps it a look into `one_live_slot` for each of the few that are taken: never a join of
# all that wait with all that live.
_FREE: Final = """
t.state = 'funded' AND t.slot_id IS NULL
  AND NOT EXISTS (SELECT FROM slot_member m WHERE m.contract = t.contract
                  AND m.payment_number = t.payment_number AND m.purpose = 'settle' AND m.live
                  OFFSET 0)
"""
CANDIDATES: Final = f"""{_CANDIDATE}
  AND {_FREE} AND t.settle_by > now() ORDER BY t.created_at, t.id LIMIT $3
"""
OVERDUE: Final = f"""{_CANDIDATE}
  AND {_FREE} AND t.settle_by < now() ORDER BY t.created_at, t.id LIMIT $3
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
_UNMINED: Final = "s.state NOT IN ('final', 'foreign') AND s.state <> 'included'"
# The head of line is heard of once any of its attempts was answered by one who has it ($4).
WORKLOAD: Final = f"""
WITH head AS (
    SELECT s.id FROM slot s WHERE s.lane_id = $1 AND {_UNMINED} ORDER BY s.nonce LIMIT 1
), sent AS (
    SELECT a.last_answer, a.sequence FROM attempt a JOIN head h ON h.id = a.slot_id
    WHERE a.sends > 0
)
SELECT
    (SELECT count(*) FROM slot s WHERE s.lane_id = $1 AND {_UNMINED}) AS unmined,
    (SELECT coalesce(bool_and(last_answer <> ALL($4::text[])), false) FROM sent) AS is_unheard,
    (SELECT last_answer = 'funds' FROM sent ORDER BY sequence DESC LIMIT 1) AS lacks_gas,
    (SELECT count(*) FROM lane WHERE chain_id = $2 AND role = 'settle' AND status = 'active'
     AND lease_until > now()) AS lanes,
    (SELECT count(*) FROM slot s JOIN lane l ON l.id = s.lane_id
     WHERE l.chain_id = $2 AND l.role = 'settle' AND {_UNMINED}) AS unmined_of_all,
    EXISTS (SELECT FROM transfer WHERE state = 'funded' AND slot_id IS NULL AND chain_id = $2
            AND contract = $3) AS has_funded,
    EXISTS (SELECT FROM transfer t WHERE t.chain_id = $2 AND t.contract = $3
            AND {_NEEDS_VOID}) AS has_voids,
    EXISTS (SELECT FROM movement m JOIN lane l ON l.address = m.sender
            WHERE l.id = $1 AND m.state = 'requested') AS has_movements
"""  # noqa: S608 - constants
MEMBERS_NOW: Final = """
SELECT m.slot_id, t.payment_number, t.beneficiary_address, t.buy_amount, t.chain_id, t.contract,
    t.state
FROM slot_member m JOIN transfer t ON t.id = m.transfer_id
WHERE m.slot_id = ANY($1::uuid[]) ORDER BY m.slot_id, m.position
"""
NEXT_NUMBER: Final = """
SELECT greatest(
    (SELECT next_number FROM settlement_contract WHERE chain_id = $1 AND address = $2),
    (SELECT max(payment_number)::bigint + 1 FROM settlement_log
     WHERE chain_id = $1 AND contract = $2 AND payment_number < 4611686018427387904), 1)
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
        KeyRole(row["role"]),
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


def member_now_of(row: "asyncpg.Record") -> MemberNow:
    """A row of `slot_member` joined with its transfer."""
    record = PaymentRecord(
        row["payment_number"], Address(row["beneficiary_address"]), row["buy_amount"]
    )
    return MemberNow(
        row["slot_id"], record, row["chain_id"], Address(row["contract"]), State(row["state"])
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
        last_message=row["last_message"],
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
