"""Rows of the mirror's tables <-> values. The statements are in `node.store.mirror`."""

from typing import Any, Final

import asyncpg

from node.core.mirror import BlockPoint, Facts, Watch
from node.core.ports.mirror import SlotRow
from node.core.units import Address, BlockHash, TxHash

# uint64 numbers above BIGINT are strangers': no transfer has them, and the index is on BIGINT.
EVENT_NUMBER: Final = (
    "(CASE WHEN l.payment_number < 9223372036854775808 THEN l.payment_number::bigint END)"
)
"""The payment number of an event `l`, as `transfer.payment_number` has it; NULL: none has it."""

TOKEN_COLUMNS: Final = (
    "chain_id",
    "block_hash",
    "log_index",
    "block_number",
    "tx_hash",
    "token",
    "from_address",
    "to_address",
    "amount",
)
SETTLEMENT_COLUMNS: Final = (
    "chain_id",
    "block_hash",
    "log_index",
    "block_number",
    "tx_hash",
    "contract",
    "kind",
    "payment_number",
    "payout_log_index",
    "beneficiary",
    "amount",
    "reason",
)


def token_rows(watch: Watch, facts: Facts) -> list[tuple[Any, ...]]:
    """Rows of `TOKEN_COLUMNS`."""
    block = facts.block
    return [
        (
            watch.chain_id,
            block.hash,
            log.log_index,
            block.number,
            log.tx_hash,
            watch.token,
            log.from_address,
            log.to_address,
            log.amount,
        )
        for log in facts.token_logs
    ]


def settlement_rows(watch: Watch, facts: Facts) -> list[tuple[Any, ...]]:
    """Rows of `SETTLEMENT_COLUMNS`."""
    block = facts.block
    return [
        (
            watch.chain_id,
            block.hash,
            log.log_index,
            block.number,
            log.tx_hash,
            watch.contract,
            log.kind.value,
            log.payment_number,
            log.payout.log_index if log.payout else None,
            log.payout.to_address if log.payout else None,
            log.payout.amount if log.payout else None,
            log.reason or None,
        )
        for log in facts.settlement_logs
    ]


def block_of(row: "asyncpg.Record") -> BlockPoint:
    """The block a log row is in."""
    return BlockPoint(row["block_number"], BlockHash(row["block_hash"]))


def slot_of(row: "asyncpg.Record") -> SlotRow:
    """A slot with its lane and movement."""
    return SlotRow(
        slot_id=row["id"],
        sender=Address(row["sender"]),
        nonce=row["nonce"],
        purpose=row["purpose"],
        to_address=Address(row["to_address"]),
        value_wei=int(row["value_wei"]) if row["succeeded"] else 0,
        block=BlockPoint(row["included_block_number"], BlockHash(row["included_block_hash"])),
        tx_hash=TxHash(row["included_tx_hash"]),
        succeeded=row["succeeded"],
        gas_used=row["gas_used"],
        effective_gas_price_wei=int(row["effective_gas_price_wei"]),
        movement_id=row["movement_id"],
    )
