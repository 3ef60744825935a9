"""Rows of the settlement tables as values."""

from collections.abc import Sequence

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
