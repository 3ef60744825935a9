"""Rows of the mirror's tables <-> values. The statements are in `node.store.mirror`."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg
import orjson

from node.core.mirror import BlockPoint, Facts, Watch
from node.core.ports.mirror import NoticeRow, SlotRow, StraySum, UndecodedRow
from node.core.units import Address, BlockHash, TxHash
from node.core.watchlist import Notice, NoticeKind, StrayLog, UndecodedLog

# uint64 numbers above BIGINT are strangers': no transfer has them, and the index is on BIGINT.
EVENT_NUMBER: Final = (
    "(CASE WHEN l.payment_number < 9223372036854775808 THEN l.payment_number::bigint END)"
)
"""The payment number of an event `l`, as `transfer.payment_number` has it; NULL: none has it."""

_KEY_COLUMNS: Final = ("chain_id", "block_hash", "log_index", "block_number", "tx_hash")
TOKEN_COLUMNS: Final = (*_KEY_COLUMNS, "token", "from_address", "to_address", "amount")
SETTLEMENT_COLUMNS: Final = (
    *_KEY_COLUMNS,
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


def notice_rows(watch: Watch, facts: Facts) -> list[tuple[Any, ...]]:
    """Rows of a notice."""
    return [
        (
            *_key(watch, facts, log),
            log.contract,
            log.kind.value,
            log.subject,
            log.amount,
            orjson.dumps(dict(log.detail)).decode(),
        )
        for log in facts.notices
    ]


def stray_rows(watch: Watch, facts: Facts) -> list[tuple[Any, ...]]:
    """Rows of a Transfer of another token."""
    return [
        (*_key(watch, facts, log), log.token, log.from_address, log.to_address, log.amount)
        for log in facts.strays
    ]


def undecoded_rows(watch: Watch, facts: Facts) -> list[tuple[Any, ...]]:
    """Rows of a log that cannot be read."""
    return [
        (*_key(watch, facts, log), log.contract, list(log.topics), log.data, log.fault)
        for log in facts.undecoded
    ]


def _key(watch: Watch, facts: Facts, log: Notice | StrayLog | UndecodedLog) -> tuple[Any, ...]:
    """Values of `_KEY_COLUMNS`."""
    block = facts.block
    return watch.chain_id, block.hash, log.log_index, block.number, log.tx_hash


_RowsOf = Callable[[Watch, Facts], list[tuple[Any, ...]]]

LOG_TABLES: Final[Sequence[tuple[str, Sequence[str], _RowsOf]]] = (
    ("token_log", TOKEN_COLUMNS, token_rows),
    ("settlement_log", SETTLEMENT_COLUMNS, settlement_rows),
    (
        "notice",
        (*_KEY_COLUMNS, "contract", "kind", "subject", "amount", "detail"),
        notice_rows,
    ),
    ("stray_log", TOKEN_COLUMNS, stray_rows),
    ("undecoded_log", (*_KEY_COLUMNS, "contract", "topics", "data", "fault"), undecoded_rows),
)
"""Every table of logs, its columns, and the rows of a block's facts."""


def notice_of(row: "asyncpg.Record") -> NoticeRow:
    """A notice."""
    return NoticeRow(
        block_of(row),
        Notice(
            row["log_index"],
            TxHash(row["tx_hash"]),
            Address(row["contract"]),
            NoticeKind(row["kind"]),
            None if row["subject"] is None else Address(row["subject"]),
            None if row["amount"] is None else int(row["amount"]),
            row["detail"],
        ),
    )


def stray_of(row: "asyncpg.Record") -> StraySum:
    """All strays of one token."""
    return StraySum(
        Address(row["token"]),
        row["logs"],
        block_of(row),
        row["log_index"],
        TxHash(row["tx_hash"]),
    )


def undecoded_of(row: "asyncpg.Record") -> UndecodedRow:
    """A log that cannot be read."""
    return UndecodedRow(
        block_of(row),
        UndecodedLog(
            row["log_index"],
            TxHash(row["tx_hash"]),
            Address(row["contract"]),
            row["topics"],
            row["data"],
            row["fault"],
        ),
    )


class PointsOfRows(dict[tuple[bytes, int], BlockPoint]):
    """(hash, number) -> the block, one value for all of its logs."""

    def __missing__(self, key: tuple[bytes, int]) -> BlockPoint:
        """A block that no row before was in."""
        point = self[key] = BlockPoint(key[1], BlockHash(key[0]))
        return point


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
