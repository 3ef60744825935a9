"""The mirror's tables in PostgreSQL: cursor, blocks, logs, holdings.

Every method is a fixed number of set-based statements, whatever the number of payments: logs come
in by COPY, everything else by joins over arrays. Mined and final slots are marked here too, because
only the mirror may conclude that.
"""

from collections.abc import Collection, Mapping, Sequence
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
from node.core.ports.mirror import (
    FinalCause,
    OutcomeRow,
    PayoutSeen,
    SlotRow,
    TokenLogRow,
    WatchedRows,
)
from node.core.transfers import State
from node.core.units import Address, BlockHash, TxHash
from node.store import mirror_sql as sql
from node.store.database import Connection
from node.store.mirror_rows import (
    LOG_TABLES,
    PointsOfRows,
    notice_of,
    slot_of,
    stray_of,
    undecoded_of,
)

_WATCHED_TABLES: Final = ("notice", "stray_log", "undecoded_log")
_WATCHED_ROWS_MAX: Final = 100
_KINDS: Final[Mapping[str, SettlementKind]] = {each.value: each for each in SettlementKind}


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
            final_moved_at=row["final_moved_at"],
            tag_number=row["tag_number"],
            tag_moved_at=row["tag_moved_at"],
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

    async def begin_blocks(self, chain_id: int, *, held: BlockHash) -> bool:
        """Wait while others store blocks; False when the head is not the block `held`.

        The cursor is not locked, so finality goes on meanwhile; `move_head` has the last word.
        """
        await self._raw.execute(sql.ONE_STORES_BLOCKS, chain_id)
        return bool(
            await self._raw.fetchval(
                "SELECT head_hash = $2 FROM chain_cursor WHERE chain_id = $1", chain_id, held
            )
        )

    async def move_head(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        """The fence: move the head from the block `held`; False when it is not there any more.

        Nor when it would leave what is final: another mirror may have made that final since. Nor
        while the mirror stands still.
        """
        tag = await self._raw.execute(
            "UPDATE chain_cursor SET head_number = $3, head_hash = $4, moved_at = now()"
            " WHERE chain_id = $1 AND head_hash = $2 AND halted_reason IS NULL"
            " AND (final_number < $3 OR (final_number = $3 AND final_hash = $4))",
            chain_id,
            held,
            to.number,
            to.hash,
        )
        return bool(tag == "UPDATE 1")

    async def move_final(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        """The fence of finality: as `move_head`. Marks the blocks up to `to` as final.

        The cursor is locked by a statement of its own: one that waits for a lock and then looks
        into another table sees that table as it was before the wait, and the block may be orphaned
        since.
        """
        await self._raw.execute("SELECT FROM chain_cursor WHERE chain_id = $1 FOR UPDATE", chain_id)
        tag = await self._raw.execute(
            "UPDATE chain_cursor SET final_number = $3, final_hash = $4, final_moved_at = now()"
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

    async def saw_tag(self, chain_id: int, number: int) -> None:
        """The block tagged `finalized` has this number; a lower one than before changes nothing."""
        await self._raw.execute(
            "UPDATE chain_cursor SET tag_number = $2, tag_moved_at = now()"
            " WHERE chain_id = $1 AND (tag_number IS NULL OR tag_number < $2)",
            chain_id,
            number,
        )

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
        rows = await self._raw.fetch(sql.REVIVE_BLOCKS, watch.chain_id, hashes)
        known = {row["hash"] for row in rows}
        if known:
            await self._mark_logs(watch.chain_id, list(known), "seen")
        await self._insert_blocks(watch.chain_id, [h for h in headers if h.hash not in known])
        new = [each for each in facts if each.block.hash not in known]
        for table, columns, rows_of in LOG_TABLES:
            if records := [row for each in new for row in rows_of(watch, each)]:
                await self._raw.copy_records_to_table(table, records=records, columns=columns)

    async def own_transactions(self, tx_hashes: Sequence[TxHash]) -> Sequence[TxHash]:
        """Which of these are attempts of the node."""
        rows = await self._raw.fetch(
            "SELECT tx_hash FROM attempt WHERE tx_hash = ANY($1::bytea[])", list(tx_hashes)
        )
        return [TxHash(row["tx_hash"]) for row in rows]

    async def waiting_transactions(self, chain_id: int) -> Collection[TxHash]:
        """Attempts of the node that a block may have which the mirror has not read yet."""
        rows = await self._raw.fetch(sql.WAITING_TRANSACTIONS, chain_id)
        return frozenset(TxHash(row["tx_hash"]) for row in rows)

    async def include_slots(self, receipts: Sequence[Receipt]) -> None:
        """Mark the slots of these attempts as included, with what the receipts say."""
        if not receipts:
            return
        await self._raw.execute(
            sql.INCLUDE_SLOTS,
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
        rows = await self._raw.fetch(sql.PAYOUTS_SEEN, chain_id, list(block_hashes), list(states))
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
        await self._raw.execute(sql.FORGET_PAYOUTS, chain_id, list(blocks), state.value)

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
        await self._raw.execute(sql.TAKE_SLOTS_BACK, hashes)
        return hashes

    async def final_target(
        self, chain_id: int, above: int, number: int, logs_max: int
    ) -> BlockPoint | None:
        """The newest block up to `number` with at most `logs_max` logs from `above` to it."""
        row = await self._raw.fetchrow(sql.FINAL_TARGET, chain_id, above, number, logs_max)
        return None if row is None else BlockPoint(row["number"], BlockHash(row["hash"]))

    async def outcomes(self, chain_id: int, above: int, to: int) -> Sequence[OutcomeRow]:
        """Canonical settlement events of these blocks, in chain order."""
        rows = await self._raw.fetch(sql.OUTCOMES, chain_id, above, to)
        points = PointsOfRows()
        return [
            OutcomeRow(
                block=points[row["block_hash"], row["block_number"]],
                log_index=row["log_index"],
                tx_hash=row["tx_hash"],
                kind=_KINDS[row["kind"]],
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
        rows = await self._raw.fetch(sql.TRANSFER_LOGS, chain_id, above, to, asset)
        points = PointsOfRows()
        return [
            TokenLogRow(
                points[row["block_hash"], row["block_number"]],
                TokenLog(
                    row["log_index"],
                    row["tx_hash"],
                    row["from_address"],
                    row["to_address"],
                    int(row["amount"]),
                ),
                row["movement_id"],
                row["from_factory"] is not None,
                row["to_deposit"],
                row["from_factory"],
                row["to_contract"],
            )
            for row in rows
        ]

    async def watched(self, chain_id: int, above: int, to: int) -> WatchedRows:
        """Canonical notices, strays and undecoded logs of these blocks."""
        fetch, within = self._raw.fetch, (chain_id, above, to)
        return WatchedRows(
            [notice_of(row) for row in await fetch(sql.NOTICES, *within)],
            [stray_of(row) for row in await fetch(sql.FIRST_STRAYS, *within, _WATCHED_ROWS_MAX)],
            [undecoded_of(row) for row in await fetch(sql.UNDECODED, *within, _WATCHED_ROWS_MAX)],
        )

    async def slots(self, chain_id: int, above: int, to: int) -> Sequence[SlotRow]:
        """Slots of the node mined in these blocks, by block and nonce."""
        return [slot_of(row) for row in await self._raw.fetch(sql.SLOTS, chain_id, above, to)]

    async def finish_slots(self, slot_ids: Sequence[UUID]) -> None:
        """Slots become final; their numbers may be written into another batch."""
        await self._raw.execute(sql.FINISH_SLOTS, list(slot_ids))

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
            sql.FINISH_TRANSFER_LOGS,
            chain_id,
            [each.block_hash for each in causes],
            [each.log_index for each in causes],
            [each.cause.value for each in causes],
            [each.ledger_sequence for each in causes],
        )
        for table in (*_WATCHED_TABLES, "settlement_log"):
            await self._raw.execute(
                f"UPDATE {table} SET status = 'final' WHERE chain_id = $1"  # noqa: S608 - constants
                " AND status = 'seen' AND block_number > $2 AND block_number <= $3",
                chain_id,
                above,
                to,
            )

    async def holdings(
        self, chain_id: int, addresses: Collection[Address] | None = None
    ) -> Mapping[tuple[Address, str], int]:
        """(address, asset) -> what it holds at the final block, the chain's own units."""
        held = "SELECT address, asset, amount FROM chain_holding WHERE chain_id = $1"
        if addresses is None:
            rows = await self._raw.fetch(held, chain_id)
        else:
            within = f"{held} AND address = ANY($2::bytea[])"
            rows = await self._raw.fetch(within, chain_id, list(addresses))
        return {(Address(row["address"]), row["asset"]): int(row["amount"]) for row in rows}

    async def tokens_at_head(
        self, chain_id: int, asset: str, addresses: Sequence[Address], head: BlockHash
    ) -> Mapping[Address, int] | None:
        """What these hold at the mirror's head: at the final block, and the logs above it."""
        rows = await self._raw.fetch(sql.TOKENS_AT_HEAD, chain_id, asset, list(addresses), head)
        if all(row["address"] for row in rows):
            return None
        return {Address(row["address"]): int(row["amount"]) for row in rows if row["address"]}

    async def set_holdings(
        self, chain_id: int, number: int, holdings: Mapping[tuple[Address, str], int]
    ) -> None:
        """Store holdings as of the final block `number`."""
        await self._raw.execute(
            sql.SET_HOLDINGS,
            chain_id,
            number,
            [address for address, _ in holdings],
            [asset for _, asset in holdings],
            list(holdings.values()),
        )

    async def _insert_blocks(self, chain_id: int, headers: Sequence[BlockHeader]) -> None:
        await self._raw.execute(
            sql.ADD_BLOCKS,
            chain_id,
            [each.hash for each in headers],
            [each.number for each in headers],
            [each.parent_hash for each in headers],
            [each.mined_at for each in headers],
        )

    async def _mark_logs(self, chain_id: int, hashes: Sequence[bytes], status: str) -> None:
        for table, _, _ in LOG_TABLES:
            await self._raw.execute(
                f"UPDATE {table} SET status = $3"  # noqa: S608 - constants
                " WHERE chain_id = $1 AND block_hash = ANY($2::bytea[])",
                chain_id,
                list(hashes),
                status,
            )
