"""What operators read of lanes, slots, attempts and what waits. Nothing here changes a row."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg

from node.core.paging import ListQuery, Page, Position
from node.core.ports.settlement_views import (
    AttemptView,
    BatchRow,
    BatchView,
    ContractView,
    HeadOfLine,
    Holding,
    LaneSpending,
    LaneView,
    MemberView,
    OpenRow,
    Spending,
)
from node.core.settlement import Purpose, SlotState
from node.core.submission import AnswerClass, Fees
from node.core.units import Address, BlockHash, TxHash
from node.store.database import Connection
from node.store.settlement_rows import lane_of, member_of

_LANES: Final = """
SELECT l.*, coalesce(l.balance_wei, held.amount) AS coin_wei, line.unmined,
    s.id AS slot_id, s.nonce, s.purpose, s.state, s.created_at AS written_at, tried.attempts,
    a.max_fee_per_gas_wei, a.max_priority_fee_per_gas_wei, tried.sends, tried.last_sent_at,
    sent.last_answer, sent.last_message
FROM lane l
CROSS JOIN LATERAL (SELECT count(*) AS unmined, min(nonce) AS nonce FROM slot
    WHERE lane_id = l.id AND state NOT IN ('final', 'foreign') AND state <> 'included') line
LEFT JOIN slot s ON s.lane_id = l.id AND s.nonce = line.nonce
    AND s.state NOT IN ('final', 'foreign') AND s.state <> 'included'
LEFT JOIN LATERAL (SELECT count(*) AS attempts, sum(sends) AS sends, max(last_sent_at) AS
    last_sent_at FROM attempt WHERE slot_id = s.id) tried ON true
LEFT JOIN LATERAL (SELECT * FROM attempt WHERE slot_id = s.id ORDER BY sequence DESC LIMIT 1) a
    ON true
LEFT JOIN LATERAL (SELECT * FROM attempt WHERE slot_id = s.id AND last_answer IS NOT NULL
    ORDER BY sequence DESC LIMIT 1) sent ON true
LEFT JOIN chain_holding held ON held.chain_id = l.chain_id AND held.address = l.address
    AND held.asset = $2
WHERE l.chain_id = $1 ORDER BY l.role <> 'settle', l.id
"""
_SPENDING_BY_LANE: Final = """
SELECT s.lane_id, count(*) AS transactions, coalesce(sum(s.gas_used), 0) AS gas_used,
    coalesce(sum(s.gas_used * s.effective_gas_price_wei), 0) AS fees_wei
FROM slot s JOIN lane l ON l.id = s.lane_id
WHERE l.chain_id = $1 AND s.state = 'final' GROUP BY s.lane_id
"""
_BATCH: Final = """
SELECT s.*, l.address AS lane_address, l.chain_id,
    (SELECT count(*) FROM attempt a WHERE a.slot_id = s.id) AS attempts,
    (SELECT count(*) FROM settlement_log g WHERE g.chain_id = l.chain_id
     AND g.block_number = s.included_block_number AND g.block_hash = s.included_block_hash
     AND g.tx_hash = s.included_tx_hash AND g.kind = 'settled' AND g.status <> 'orphaned')
        AS settled
FROM slot s JOIN lane l ON l.id = s.lane_id
"""
_BATCHES: Final = f"""{_BATCH}
WHERE l.chain_id = $1 AND ($2::bytea IS NULL OR l.address = $2)
    AND ($3::text IS NULL OR s.state = $3) AND ($4::text IS NULL OR s.purpose = $4)
    AND ($5::timestamptz IS NULL OR (s.created_at, s.id) < ($5, $6::uuid))
ORDER BY s.created_at DESC, s.id DESC LIMIT $7
"""
_MEMBERS: Final = """
SELECT m.*, (SELECT g.kind FROM settlement_log g
    WHERE g.contract = m.contract AND g.payment_number = m.payment_number::numeric
    AND g.block_hash = s.included_block_hash AND g.tx_hash = s.included_tx_hash
    AND g.status <> 'orphaned' ORDER BY g.log_index LIMIT 1) AS outcome
FROM slot_member m JOIN slot s ON s.id = m.slot_id
WHERE m.slot_id = $1 ORDER BY m.position
"""
_OPEN: Final = """
SELECT state, waiting_code, count(*) AS transfers, sum(buy_amount) AS amount,
    min(coalesce(waiting_since, updated_at)) AS since
FROM transfer WHERE chain_id = $1 AND contract = $2
    AND state NOT IN ('settled', 'paid_out', 'canceled', 'failed', 'expired', 'refunded')
GROUP BY state, waiting_code ORDER BY state, waiting_code NULLS FIRST
"""
_GAS_PRICE: Final = """
SELECT s.effective_gas_price_wei FROM slot s JOIN lane l ON l.id = s.lane_id
WHERE l.chain_id = $1 AND s.state = 'final' AND s.effective_gas_price_wei IS NOT NULL
ORDER BY s.included_block_number DESC LIMIT 1
"""
_SPENDING: Final = """
SELECT s.purpose, count(*) AS transactions, count(*) FILTER (WHERE NOT s.succeeded) AS reverted,
    coalesce(sum(s.gas_used), 0) AS gas_used,
    coalesce(sum(s.gas_used * s.effective_gas_price_wei), 0) AS fees_wei,
    sum((SELECT count(*) FROM attempt a WHERE a.slot_id = s.id)) AS attempts,
    sum((SELECT count(*) FROM settlement_log g WHERE g.chain_id = l.chain_id
         AND g.block_number = s.included_block_number AND g.tx_hash = s.included_tx_hash
         AND g.kind = 'settled' AND g.status <> 'orphaned')) AS payments
FROM slot s JOIN lane l ON l.id = s.lane_id
WHERE l.chain_id = $1 AND s.state = 'final'
"""
_SPENDING_IN: Final = f"""{_SPENDING} AND s.final_at >= $2 AND s.final_at < $3
GROUP BY s.purpose ORDER BY s.purpose
"""
_SPENDING_OF_BLOCKS: Final = f"""{_SPENDING}
    AND s.included_block_number > $2 AND s.included_block_number <= $3
GROUP BY s.purpose ORDER BY s.purpose
"""


class SettlementViewStore:
    """See `node.core.ports.settlement_views.SettlementViews`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def lanes(self, chain_id: int, native: str) -> Sequence[LaneView]:
        """All lanes, those that pay first; `native` is the code of their coin."""
        return [_lane(row) for row in await self._raw.fetch(_LANES, chain_id, native)]

    async def spending_by_lane(self, chain_id: int) -> Sequence[LaneSpending]:
        """What every lane has spent since its beginning. Reads every slot: not for often."""
        return [
            LaneSpending(
                row["lane_id"], row["transactions"], int(row["gas_used"]), int(row["fees_wei"])
            )
            for row in await self._raw.fetch(_SPENDING_BY_LANE, chain_id)
        ]

    async def batches(self, chain_id: int, query: ListQuery) -> Page[BatchRow]:
        """Slots, newest first; filters `lane` (0x and 40 digits), `state`, `purpose`."""
        lane = query.filters.get("lane")
        start = query.position()
        rows = await self._raw.fetch(
            _BATCHES,
            chain_id,
            None if lane is None else bytes.fromhex(lane[2:]),
            query.filters.get("state"),
            query.filters.get("purpose"),
            None if start is None else start.created_at,
            None if start is None else start.uuid,
            query.limit + 1,
        )
        return query.page(
            [_batch(row) for row in rows], lambda each: Position(each.created_at, each.id.int)
        )

    async def batch(self, slot_id: UUID) -> BatchView | None:
        """One slot with attempts and members."""
        row = await self._raw.fetchrow(f"{_BATCH} WHERE s.id = $1", slot_id)
        if row is None:
            return None
        attempts = await self._raw.fetch(
            "SELECT * FROM attempt WHERE slot_id = $1 ORDER BY sequence", slot_id
        )
        return BatchView(
            row=_batch(row),
            contract=Address(row["contract"]) if row["contract"] else None,
            to=Address(row["to_address"]),
            value_wei=int(row["value_wei"]),
            gas_limit=row["gas_limit"],
            attempts=[_attempt(each) for each in attempts],
            members=[
                MemberView(member_of(each), each["outcome"])
                for each in await self._raw.fetch(_MEMBERS, slot_id)
            ],
        )

    async def contract(self, chain_id: int, contract: Address) -> ContractView | None:
        """The contract as last seen; None: never."""
        row = await self._raw.fetchrow(
            "SELECT * FROM contract_state WHERE chain_id = $1 AND address = $2", chain_id, contract
        )
        if row is None:
            return None
        return ContractView(
            row["block_number"],
            int(row["float_units"]),
            _whole(row["cap_left"]),
            row["paused"],
            row["token_paused"],
            row["seen_at"],
        )

    async def holdings(self, chain_id: int) -> Sequence[Holding]:
        """What every address of the node has."""
        rows = await self._raw.fetch(
            "SELECT * FROM chain_holding WHERE chain_id = $1 ORDER BY address, asset", chain_id
        )
        return [
            Holding(Address(row["address"]), row["asset"], int(row["amount"]), row["as_of_number"])
            for row in rows
        ]

    async def open_transfers(self, chain_id: int, contract: Address) -> Sequence[OpenRow]:
        """Transfers that have not ended, by state and reason."""
        return [
            OpenRow(
                row["state"],
                row["waiting_code"],
                row["transfers"],
                int(row["amount"]),
                row["since"],
            )
            for row in await self._raw.fetch(_OPEN, chain_id, contract)
        ]

    async def gas_price_wei(self, chain_id: int) -> int | None:
        """What a unit of gas cost in the transaction that became final last; None: none has."""
        return _whole(await self._raw.fetchval(_GAS_PRICE, chain_id))

    async def spending(
        self, chain_id: int, since: datetime, before: datetime
    ) -> Sequence[Spending]:
        """What the transactions that became final in a period came to, by purpose."""
        rows = await self._raw.fetch(_SPENDING_IN, chain_id, since, before)
        return [_spending(row) for row in rows]

    async def spending_of_blocks(self, chain_id: int, above: int, until: int) -> Sequence[Spending]:
        """What the final transactions of the blocks `above` < block <= `until` came to."""
        rows = await self._raw.fetch(_SPENDING_OF_BLOCKS, chain_id, above, until)
        return [_spending(row) for row in rows]


def _whole(number: Decimal | None) -> int | None:
    """A NUMERIC as the driver has it, perhaps with an exponent: 1.00E+22."""
    return None if number is None else int(number)


def _lane(row: "asyncpg.Record") -> LaneView:
    return LaneView(
        lane=lane_of(row),
        role=row["role"],
        balance_wei=_whole(row["coin_wei"]),
        cap_left=_whole(row["cap_left"]),
        seen_at=row["seen_at"],
        unmined=row["unmined"],
        head=_head(row) if row["slot_id"] is not None else None,
    )


def _head(row: "asyncpg.Record") -> HeadOfLine:
    return HeadOfLine(
        slot_id=row["slot_id"],
        nonce=row["nonce"],
        purpose=Purpose(row["purpose"]),
        state=SlotState(row["state"]),
        written_at=row["written_at"],
        attempts=row["attempts"],
        fees=_fees(row) if row["attempts"] else None,
        sends=int(row["sends"] or 0),
        last_sent_at=row["last_sent_at"],
        last_answer=_answer(row),
        last_message=row["last_message"],
    )


def _fees(row: "asyncpg.Record") -> Fees:
    return Fees(int(row["max_fee_per_gas_wei"]), int(row["max_priority_fee_per_gas_wei"]))


def _answer(row: "asyncpg.Record") -> AnswerClass | None:
    return AnswerClass(row["last_answer"]) if row["last_answer"] else None


def _attempt(row: "asyncpg.Record") -> AttemptView:
    return AttemptView(
        tx_hash=TxHash(row["tx_hash"]),
        sequence=row["sequence"],
        fees=_fees(row),
        fee_source=row["fee_source"],
        created_at=row["created_at"],
        last_sent_at=row["last_sent_at"],
        sends=row["sends"],
        last_answer=_answer(row),
        last_message=row["last_message"],
    )


def _batch(row: "asyncpg.Record") -> BatchRow:
    return BatchRow(
        id=row["id"],
        lane=Address(row["lane_address"]),
        chain_id=row["chain_id"],
        nonce=row["nonce"],
        purpose=Purpose(row["purpose"]),
        state=SlotState(row["state"]),
        members=row["members"],
        amount_total=row["amount_total"],
        attempts=row["attempts"],
        tx_hash=TxHash(row["included_tx_hash"]) if row["included_tx_hash"] else None,
        block_number=row["included_block_number"],
        block_hash=BlockHash(row["included_block_hash"]) if row["included_block_hash"] else None,
        succeeded=row["succeeded"],
        gas_used=row["gas_used"],
        gas_price_wei=_whole(row["effective_gas_price_wei"]),
        settled=row["settled"],
        adopted=row["adopted"],
        created_at=row["created_at"],
        final_at=row["final_at"],
    )


def _spending(row: "asyncpg.Record") -> Spending:
    return Spending(
        purpose=Purpose(row["purpose"]),
        transactions=row["transactions"],
        reverted=row["reverted"],
        payments=int(row["payments"]),
        attempts=int(row["attempts"]),
        gas_used=int(row["gas_used"]),
        fees_wei=int(row["fees_wei"]),
    )
