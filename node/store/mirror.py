"""The mirror's tables in PostgreSQL: cursor, blocks, logs, holdings.

Every method is a fixed number of set-based statements, whatever the number of payments: logs come
in by COPY, everything else by joins over arrays. Mined and final slots are marked here too, because
only the mirror may conclude that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from node.core.mirror import (
    BlockHeader,
    BlockPoint,
    Cursor,
    Facts,
    SettlementKind,
    TokenLog,
    Watch,
)
from node.core.ports.chain import Receipt
from node.core.ports.mirror import FinalCause, OutcomeRow, PayoutSeen, SlotRow, TokenLogRow
from node.core.transfers import State
from node.core.units import Address, BlockHash, TxHash
from node.store.database import Connection
from node.store.mirror_rows import (
    EVENT_NUMBER,
    SETTLEMENT_COLUMNS,
    TOKEN_COLUMNS,
    block_of,
    settlement_rows,
    slot_of,
    token_rows,
)

# OFFSET 0 keeps both a look into an index for each of the few events. Without it the planner may
# begin with all transfers that wait: its statistics are older than the blocks that are asked for.
_ITS_TRANSFER: Final = f"""LATERAL (
    SELECT * FROM transfer o WHERE o.chain_id = l.chain_id AND o.contract = l.contract
        AND o.payment_number = {EVENT_NUMBER} OFFSET 0) t"""  # noqa: S608 - constants
_AGREES: Final = """
    t.beneficiary_address = l.beneficiary AND t.buy_amount = l.amount
    AND EXISTS (SELECT FROM slot_member m WHERE m.contract = t.contract
                AND m.payment_number = t.payment_number AND m.transfer_id = t.id
                AND m.purpose = 'settle' OFFSET 0)
"""

_ADD_BLOCKS: Final = """
INSERT INTO block (chain_id, hash, number, parent_hash, mined_at)
SELECT $1, h, n, p, t
FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::timestamptz[]) AS new (h, n, p, t)
"""
_REVIVE_BLOCKS: Final = """
UPDATE block SET status = 'seen' WHERE chain_id = $1 AND hash = ANY($2::bytea[]) RETURNING hash
"""
_INCLUDE_SLOTS: Final = """
WITH mined AS (
    SELECT a.slot_id, r.* FROM unnest(
        $1::bytea[], $2::bytea[], $3::bigint[], $4::boolean[], $5::bigint[], $6::numeric[]
    ) AS r (tx_hash, block_hash, block_number, succeeded, gas_used, price)
    JOIN attempt a USING (tx_hash)
), held AS (
    SELECT s.id FROM slot s JOIN mined ON mined.slot_id = s.id
    WHERE s.state NOT IN ('final', 'foreign') ORDER BY s.lane_id, s.nonce FOR UPDATE OF s
)
UPDATE slot s SET state = 'included', included_block_hash = mined.block_hash,
    included_block_number = mined.block_number, included_tx_hash = mined.tx_hash,
    succeeded = mined.succeeded, gas_used = mined.gas_used,
    effective_gas_price_wei = mined.price
FROM mined JOIN held ON held.id = mined.slot_id WHERE s.id = mined.slot_id
"""
_PAYOUTS_SEEN: Final = f"""
SELECT t.id, l.tx_hash, l.block_number, l.block_hash FROM settlement_log l, {_ITS_TRANSFER}
WHERE l.chain_id = $1 AND l.block_hash = ANY($2::bytea[]) AND l.kind = 'settled'
  AND t.state = ANY($3::text[]) AND {_AGREES}
ORDER BY t.created_at, t.id
"""  # noqa: S608 - constants
_FORGET_PAYOUTS: Final = f"""
UPDATE transfer SET tx_hash = NULL, block_number = NULL WHERE state = $3 AND id IN (
    SELECT t.id FROM settlement_log l, {_ITS_TRANSFER}
    WHERE l.chain_id = $1 AND l.block_hash = ANY($2::bytea[]) AND l.kind = 'settled')
"""  # noqa: S608 - constants
_TAKE_SLOTS_BACK: Final = """
WITH held AS (
    SELECT id FROM slot WHERE included_block_hash = ANY($1::bytea[]) AND state = 'included'
    ORDER BY lane_id, nonce FOR UPDATE
)
UPDATE slot SET state = 'submitted', included_block_hash = NULL, included_block_number = NULL,
    included_tx_hash = NULL, succeeded = NULL, gas_used = NULL, effective_gas_price_wei = NULL
WHERE id IN (SELECT id FROM held)
"""
_FINAL_TARGET: Final = """
WITH counted AS (
    SELECT b.number, b.hash,
        (SELECT count(*) FROM token_log t WHERE t.chain_id = b.chain_id
         AND t.block_number = b.number AND t.status <> 'orphaned')
        + (SELECT count(*) FROM settlement_log s WHERE s.chain_id = b.chain_id
           AND s.block_number = b.number AND s.status <> 'orphaned') AS logs
    FROM block b JOIN chain_cursor c USING (chain_id)
    WHERE b.chain_id = $1 AND b.status <> 'orphaned' AND b.number > c.final_number
      AND b.number <= $2
), summed AS (
    SELECT number, hash, sum(logs) OVER (ORDER BY number) AS total,
           row_number() OVER (ORDER BY number) AS place
    FROM counted
)
SELECT number, hash FROM summed WHERE total <= $3 OR place = 1 ORDER BY number DESC LIMIT 1
"""
_OUTCOMES: Final = f"""
SELECT l.block_number, l.block_hash, l.log_index, l.tx_hash, l.kind, l.payment_number,
       l.payout_log_index, l.amount, l.reason, t.id AS transfer_id, a.slot_id,
       coalesce(l.kind = 'settled' AND {_AGREES}, false) AS agrees,
       coalesce(l.kind = 'settled' AND (t.beneficiary_address <> l.beneficiary
                OR t.buy_amount <> l.amount), false) AS differs,
       EXISTS (SELECT FROM slot_member m WHERE m.slot_id = a.slot_id
               AND m.payment_number = {EVENT_NUMBER} OFFSET 0) AS slot_is_its
FROM settlement_log l LEFT JOIN {_ITS_TRANSFER} ON true
    LEFT JOIN attempt a ON a.tx_hash = l.tx_hash
WHERE l.chain_id = $1 AND l.block_number > $2 AND l.block_number <= $3 AND l.status <> 'orphaned'
ORDER BY l.block_number, l.log_index
"""  # noqa: S608 - constants
_TRANSFER_LOGS: Final = """
SELECT l.*, m.id AS movement_id
FROM token_log l LEFT JOIN attempt a ON a.tx_hash = l.tx_hash
LEFT JOIN movement m ON m.slot_id = a.slot_id AND m.from_address = l.from_address
    AND m.to_address = l.to_address AND m.amount = l.amount AND m.asset = $4
WHERE l.chain_id = $1 AND l.block_number > $2 AND l.block_number <= $3 AND l.status <> 'orphaned'
ORDER BY l.block_number, l.log_index
"""
_SLOTS: Final = """
SELECT s.*, lane.address AS sender, m.id AS movement_id
FROM slot s JOIN lane ON lane.id = s.lane_id LEFT JOIN movement m ON m.slot_id = s.id
WHERE lane.chain_id = $1 AND s.state = 'included'
  AND s.included_block_number > $2 AND s.included_block_number <= $3
ORDER BY s.included_block_number, s.lane_id, s.nonce
"""
_FINISH_SLOTS: Final = """
WITH held AS (
    SELECT id FROM slot WHERE id = ANY($1::uuid[]) ORDER BY lane_id, nonce FOR UPDATE
), closed AS (
    UPDATE slot_member SET live = false WHERE slot_id = ANY($1::uuid[]) AND live
)
UPDATE slot SET state = 'final', final_at = now() WHERE id IN (SELECT id FROM held)
"""
_FINISH_TRANSFER_LOGS: Final = """
UPDATE token_log l SET status = 'final', cause = f.cause, ledger_sequence = f.sequence
FROM unnest($2::bytea[], $3::int[], $4::text[], $5::bigint[])
    AS f (block_hash, log_index, cause, sequence)
WHERE l.chain_id = $1 AND l.block_hash = f.block_hash AND l.log_index = f.log_index
"""
_SET_HOLDINGS: Final = """
INSERT INTO chain_holding (chain_id, address, asset, amount, as_of_number)
SELECT $1, a, s, m, $2 FROM unnest($3::bytea[], $4::text[], $5::numeric[]) AS new (a, s, m)
ON CONFLICT (chain_id, address, asset)
DO UPDATE SET amount = excluded.amount, as_of_number = excluded.as_of_number
"""


class MirrorStore:
    """See `node.core.ports.mirror.MirrorRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def cursor(self, chain_id: int) -> Cursor | None:
        """How far the mirror is; None: not opened yet."""
        row = await self._raw.fetchrow("SELECT * FROM chain_cursor WHERE chain_id = $1", chain_id)
        if row is None:
            return None
        moved_at: datetime = row["moved_at"]
        return Cursor(
            start_number=row["start_number"],
            head=BlockPoint(row["head_number"], BlockHash(row["head_hash"])),
            final=BlockPoint(row["final_number"], BlockHash(row["final_hash"])),
            halted_reason=row["halted_reason"],
            moved_at=moved_at,
        )

    async def open(
        self, chain_id: int, header: BlockHeader, holdings: Mapping[tuple[Address, str], int]
    ) -> bool:
        """Begin at this final block with these holdings; False when another worker did."""
        tag = await self._raw.execute(
            "INSERT INTO chain_cursor (chain_id, start_number, head_number, head_hash,"
            " final_number, final_hash) VALUES ($1, $2, $2, $3, $2, $3) ON CONFLICT DO NOTHING",
            chain_id,
            header.number,
            header.hash,
        )
        if tag != "INSERT 0 1":
            return False
        await self._insert_blocks(chain_id, [header])
        await self._raw.execute("UPDATE block SET status = 'final' WHERE hash = $1", header.hash)
        await self.set_holdings(chain_id, header.number, holdings)
        return True

    async def canonical(self, chain_id: int, first: int) -> Mapping[int, BlockHash]:
        """Number -> hash of canonical blocks from `first` on."""
        rows = await self._raw.fetch(
            "SELECT number, hash FROM block"
            " WHERE chain_id = $1 AND number >= $2 AND status <> 'orphaned'",
            chain_id,
            first,
        )
        return {row["number"]: BlockHash(row["hash"]) for row in rows}

    async def move_head(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        """The fence: move the head from the block `held`; False when it is not there any more.

        Nor when it would leave what is final: another mirror may have made that final since.
        """
        tag = await self._raw.execute(
            "UPDATE chain_cursor SET head_number = $3, head_hash = $4, moved_at = now()"
            " WHERE chain_id = $1 AND head_hash = $2"
            " AND (final_number < $3 OR (final_number = $3 AND final_hash = $4))",
            chain_id,
            held,
            to.number,
            to.hash,
        )
        return bool(tag == "UPDATE 1")

    async def move_final(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        """The fence of finality: as `move_head`. Marks the blocks up to `to` as final."""
        tag = await self._raw.execute(
            "UPDATE chain_cursor SET final_number = $3, final_hash = $4"
            " WHERE chain_id = $1 AND final_hash = $2 AND final_number < $3"
            " AND EXISTS (SELECT FROM block b WHERE b.chain_id = $1 AND b.hash = $4"
            " AND b.status = 'seen')",
            chain_id,
            held,
            to.number,
            to.hash,
        )
        if tag != "UPDATE 1":
            return False
        await self._raw.execute(
            "UPDATE block SET status = 'final'"
            " WHERE chain_id = $1 AND number <= $2 AND status = 'seen'",
            chain_id,
            to.number,
        )
        return True

    async def halt(self, chain_id: int, reason: str | None) -> None:
        """Stand still for this reason; None: go on."""
        await self._raw.execute(
            "UPDATE chain_cursor SET halted_reason = $2 WHERE chain_id = $1", chain_id, reason
        )

    async def add_blocks(
        self, watch: Watch, headers: Sequence[BlockHeader], facts: Sequence[Facts]
    ) -> None:
        """Store blocks and their logs; a block that was orphaned earlier is canonical again."""
        hashes = [header.hash for header in headers]
        rows = await self._raw.fetch(_REVIVE_BLOCKS, watch.chain_id, hashes)
        known = {row["hash"] for row in rows}
        if known:
            await self._mark_logs(watch.chain_id, list(known), "seen")
        await self._insert_blocks(watch.chain_id, [h for h in headers if h.hash not in known])
        new = [each for each in facts if each.block.hash not in known]
        await self._raw.copy_records_to_table(
            "token_log",
            records=[row for each in new for row in token_rows(watch, each)],
            columns=TOKEN_COLUMNS,
        )
        await self._raw.copy_records_to_table(
            "settlement_log",
            records=[row for each in new for row in settlement_rows(watch, each)],
            columns=SETTLEMENT_COLUMNS,
        )

    async def own_transactions(self, tx_hashes: Sequence[TxHash]) -> Sequence[TxHash]:
        """Which of these are attempts of the node."""
        rows = await self._raw.fetch(
            "SELECT tx_hash FROM attempt WHERE tx_hash = ANY($1::bytea[])", list(tx_hashes)
        )
        return [TxHash(row["tx_hash"]) for row in rows]

    async def include_slots(self, receipts: Sequence[Receipt]) -> None:
        """Mark the slots of these attempts as included, with what the receipts say."""
        if not receipts:
            return
        await self._raw.execute(
            _INCLUDE_SLOTS,
            [each.tx_hash for each in receipts],
            [each.block_hash for each in receipts],
            [each.block_number for each in receipts],
            [each.succeeded for each in receipts],
            [each.gas_used for each in receipts],
            [each.effective_gas_price_wei for each in receipts],
        )

    async def payouts_seen(
        self, chain_id: int, block_hashes: Sequence[BlockHash], states: Sequence[str]
    ) -> Sequence[PayoutSeen]:
        """Own Settled events of these blocks whose transfer is in one of these states."""
        rows = await self._raw.fetch(_PAYOUTS_SEEN, chain_id, list(block_hashes), list(states))
        return [
            PayoutSeen(
                row["id"],
                TxHash(row["tx_hash"]),
                row["block_number"],
                BlockHash(row["block_hash"]),
            )
            for row in rows
        ]

    async def forget_payouts(
        self, chain_id: int, blocks: Sequence[BlockHash], state: State
    ) -> None:
        """Transfers in a state no longer name a transaction of these blocks."""
        await self._raw.execute(_FORGET_PAYOUTS, chain_id, list(blocks), state.value)

    async def orphan_above(self, chain_id: int, number: int) -> Sequence[BlockHash]:
        """Mark blocks and logs above `number` as orphaned and take their slots back."""
        rows = await self._raw.fetch(
            "UPDATE block SET status = 'orphaned'"
            " WHERE chain_id = $1 AND number > $2 AND status = 'seen' RETURNING hash",
            chain_id,
            number,
        )
        hashes = [BlockHash(row["hash"]) for row in rows]
        await self._mark_logs(chain_id, hashes, "orphaned")
        await self._raw.execute(_TAKE_SLOTS_BACK, hashes)
        return hashes

    async def final_target(self, chain_id: int, number: int, logs_max: int) -> BlockPoint | None:
        """The newest block up to `number` that adds at most `logs_max` logs to what is final."""
        row = await self._raw.fetchrow(_FINAL_TARGET, chain_id, number, logs_max)
        return None if row is None else BlockPoint(row["number"], BlockHash(row["hash"]))

    async def outcomes(self, chain_id: int, above: int, to: int) -> Sequence[OutcomeRow]:
        """Canonical settlement events of these blocks, in chain order."""
        rows = await self._raw.fetch(_OUTCOMES, chain_id, above, to)
        return [
            OutcomeRow(
                block=block_of(row),
                log_index=row["log_index"],
                tx_hash=TxHash(row["tx_hash"]),
                kind=SettlementKind(row["kind"]),
                payment_number=int(row["payment_number"]),
                payout_log_index=row["payout_log_index"],
                amount=None if row["amount"] is None else int(row["amount"]),
                transfer_id=row["transfer_id"],
                agrees=row["agrees"],
                differs=row["differs"],
                slot_id=row["slot_id"],
                slot_is_its=row["slot_is_its"],
                reason=row["reason"] or b"",
            )
            for row in rows
        ]

    async def token_logs(
        self, chain_id: int, asset: str, above: int, to: int
    ) -> Sequence[TokenLogRow]:
        """Canonical token logs of these blocks, in chain order."""
        rows = await self._raw.fetch(_TRANSFER_LOGS, chain_id, above, to, asset)
        return [
            TokenLogRow(
                block_of(row),
                TokenLog(
                    row["log_index"],
                    TxHash(row["tx_hash"]),
                    Address(row["from_address"]),
                    Address(row["to_address"]),
                    int(row["amount"]),
                ),
                row["movement_id"],
            )
            for row in rows
        ]

    async def slots(self, chain_id: int, above: int, to: int) -> Sequence[SlotRow]:
        """Slots of the node mined in these blocks, by block and nonce."""
        return [slot_of(row) for row in await self._raw.fetch(_SLOTS, chain_id, above, to)]

    async def finish_slots(self, slot_ids: Sequence[UUID]) -> None:
        """Slots become final; their numbers may be written into another batch."""
        await self._raw.execute(_FINISH_SLOTS, list(slot_ids))

    async def unpaid_members(self, slot_ids: Sequence[UUID]) -> Sequence[UUID]:
        """Transfers that the settle slots among these carry."""
        rows = await self._raw.fetch(
            "SELECT DISTINCT transfer_id FROM slot_member"
            " WHERE slot_id = ANY($1::uuid[]) AND purpose = 'settle'",
            list(slot_ids),
        )
        return [row["transfer_id"] for row in rows]

    async def finish_movements(self, movements: Mapping[UUID, bool]) -> None:
        """Treasury movements end: True settled, False failed."""
        await self._raw.execute(
            "UPDATE movement m SET state = CASE WHEN f.moved THEN 'settled' ELSE 'failed' END,"
            " failure = CASE WHEN NOT f.moved THEN jsonb_build_object('code', 'reverted',"
            " 'message', 'its transaction is final and moved nothing') END"
            " FROM unnest($1::uuid[], $2::boolean[]) AS f (id, moved) WHERE m.id = f.id",
            list(movements),
            list(movements.values()),
        )

    async def finish_logs(
        self, chain_id: int, above: int, to: int, causes: Sequence[FinalCause]
    ) -> None:
        """Logs of these blocks become final, token logs with their cause."""
        await self._raw.execute(
            _FINISH_TRANSFER_LOGS,
            chain_id,
            [each.block_hash for each in causes],
            [each.log_index for each in causes],
            [each.cause.value for each in causes],
            [each.ledger_sequence for each in causes],
        )
        await self._raw.execute(
            "UPDATE settlement_log SET status = 'final' WHERE chain_id = $1 AND status = 'seen'"
            " AND block_number > $2 AND block_number <= $3",
            chain_id,
            above,
            to,
        )

    async def holdings(self, chain_id: int) -> Mapping[tuple[Address, str], int]:
        """(address, asset) -> what it holds at the final block, the chain's own units."""
        rows = await self._raw.fetch(
            "SELECT address, asset, amount FROM chain_holding WHERE chain_id = $1", chain_id
        )
        return {(Address(row["address"]), row["asset"]): int(row["amount"]) for row in rows}

    async def set_holdings(
        self, chain_id: int, number: int, holdings: Mapping[tuple[Address, str], int]
    ) -> None:
        """Store holdings as of the final block `number`."""
        await self._raw.execute(
            _SET_HOLDINGS,
            chain_id,
            number,
            [address for address, _ in holdings],
            [asset for _, asset in holdings],
            list(holdings.values()),
        )

    async def _insert_blocks(self, chain_id: int, headers: Sequence[BlockHeader]) -> None:
        await self._raw.execute(
            _ADD_BLOCKS,
            chain_id,
            [each.hash for each in headers],
            [each.number for each in headers],
            [each.parent_hash for each in headers],
            [each.mined_at for each in headers],
        )

    async def _mark_logs(self, chain_id: int, hashes: Sequence[bytes], status: str) -> None:
        for table in ("token_log", "settlement_log"):
            await self._raw.execute(
                f"UPDATE {table} SET status = $3"  # noqa: S608 - constants
                " WHERE chain_id = $1 AND block_hash = ANY($2::bytea[])",
                chain_id,
                list(hashes),
                status,
            )
