"""Reorgs past finality in PostgreSQL: proposals, what they undo, and the undoing.

Set-based, and rare. What is looked for by block has an index where tables grow large.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from node.core.deposits import Owner
from node.core.ledger import Entry
from node.core.mirror import BlockPoint
from node.core.paging import ListQuery, Page, Position
from node.core.ports.mirror import NoticeRow
from node.core.ports.reorgs import (
    Correction,
    OpenShortfall,
    ReopenedRow,
    Reorg,
    ReorgState,
    UndoneMember,
    UndonePayout,
    UndoneSlot,
)
from node.core.reorg import Booked, Shortfall
from node.core.settlement import Purpose
from node.core.units import Address, BlockHash, TxHash
from node.store import reorg_sql as sql
from node.store.database import Connection
from node.store.mirror_rows import LOG_TABLES, notice_of


class ReorgStore:
    """See `node.core.ports.reorgs.ReorgRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    # ------------------------------------------------------------------------------- proposals

    async def epoch(self, chain_id: int) -> int:
        """How many reorgs past finality were accepted."""
        epoch: int | None = await self._raw.fetchval(
            "SELECT epoch FROM chain_cursor WHERE chain_id = $1", chain_id
        )
        return epoch or 0

    async def propose(self, reorg: Reorg) -> None:
        """Store a proposal; it replaces the one that is open."""
        await self._raw.execute(
            "UPDATE reorg SET state = 'replaced' WHERE chain_id = $1 AND state = 'proposed'",
            reorg.chain_id,
        )
        await self._raw.execute(
            sql.PROPOSE,
            reorg.id,
            reorg.chain_id,
            reorg.final.number,
            reorg.final.hash,
            reorg.block_hash,
            reorg.fork.number,
            reorg.fork.hash,
            orjson.dumps(reorg.plan).decode(),
            reorg.reason,
            reorg.proposed_by,
        )

    async def get(self, reorg_id: UUID) -> Reorg | None:
        """One reorg."""
        row = await self._raw.fetchrow("SELECT * FROM reorg WHERE id = $1", reorg_id)
        return _reorg_of(row) if row else None

    async def page(self, query: ListQuery) -> Page[Reorg]:
        """Reorgs, newest first. Filter: `state`."""
        position = query.position()
        rows = await self._raw.fetch(
            sql.PAGE,
            query.filters.get("state"),
            position.created_at if position else None,
            position.uuid if position else None,
            query.limit + 1,
        )
        return query.page(
            [_reorg_of(row) for row in rows], lambda each: Position(each.proposed_at, each.id.int)
        )

    async def accept(self, reorg: Reorg, accepted_by: str) -> int:
        """Note who accepted it; the cursor goes back to the fork and is halted no more."""
        epoch: int = await self._raw.fetchval(
            sql.GO_BACK, reorg.chain_id, reorg.fork.number, reorg.fork.hash
        )
        await self._raw.execute(sql.ACCEPT, reorg.id, accepted_by, epoch)
        return epoch

    # ---------------------------------------------------------------------------- what is undone

    async def canonical(self, chain_id: int, first: int, last: int) -> Mapping[int, BlockHash]:
        """Number -> hash of the mirror's canonical blocks of these numbers."""
        rows = await self._raw.fetch(
            "SELECT number, hash FROM block WHERE chain_id = $1 AND number BETWEEN $2 AND $3"
            " AND status <> 'orphaned'",
            chain_id,
            first,
            last,
        )
        return {row["number"]: BlockHash(row["hash"]) for row in rows}

    async def blocks_above(self, chain_id: int, number: int) -> Sequence[tuple[BlockPoint, bool]]:
        """Canonical blocks above a number, and whether each is final; ascending."""
        rows = await self._raw.fetch(
            "SELECT number, hash, status FROM block WHERE chain_id = $1 AND number > $2"
            " AND status <> 'orphaned' ORDER BY number",
            chain_id,
            number,
        )
        return [
            (BlockPoint(row["number"], BlockHash(row["hash"])), row["status"] == "final")
            for row in rows
        ]

    async def slots(self, blocks: Collection[BlockHash]) -> Sequence[UndoneSlot]:
        """Final slots that were mined in these blocks."""
        return [
            UndoneSlot(
                row["id"],
                row["lane_id"],
                row["nonce"],
                Purpose(row["purpose"]),
                BlockPoint(row["included_block_number"], BlockHash(row["included_block_hash"])),
                TxHash(row["included_tx_hash"]),
            )
            for row in await self._raw.fetch(sql.SLOTS, list(blocks))
        ]

    async def members(self, slot_ids: Collection[UUID]) -> Sequence[UndoneMember]:
        """Payments and voids of slots, the newest slot first."""
        return [
            UndoneMember(
                row["slot_id"],
                row["transfer_id"],
                Purpose(row["purpose"]),
                TxHash(row["attempt"]),
                row["is_live"],
            )
            for row in await self._raw.fetch(sql.MEMBERS, list(slot_ids))
        ]

    async def payouts(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[UndonePayout]:
        """Settled transfers whose final payout is in these blocks; in chain order."""
        return [
            UndonePayout(
                row["id"],
                TxHash(row["tx_hash"]),
                BlockPoint(row["block_number"], BlockHash(row["block_hash"])),
                row["slot_id"],
                row["live_slot_id"],
                row["was_voiding"],
            )
            for row in await self._raw.fetch(sql.PAYOUTS, chain_id, list(blocks))
        ]

    async def given_back(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[UUID]:
        """Transfers that ended without a payout by an event of these blocks."""
        rows = await self._raw.fetch(sql.GIVEN_BACK, chain_id, list(blocks))
        return [row["id"] for row in rows]

    async def bookings(self, blocks: Collection[BlockHash]) -> Sequence[Booked]:
        """Ledger transactions that came from these blocks and are not reversed; by sequence."""
        rows = await self._raw.fetch(sql.BOOKINGS, [f"0x{each.hex()}" for each in blocks])
        return [_booked_of(row) for row in rows]

    async def releases(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[Booked]:
        """What gave owners deposits of these blocks that had been held; by sequence."""
        rows = await self._raw.fetch(sql.RELEASES, chain_id, list(blocks))
        return [replace(_booked_of(row), tx_hash=row["tx_hash"]) for row in rows]

    async def released(self, sequences: Collection[int]) -> Mapping[int, list[tuple[str, int]]]:
        """Sequence -> transactions of the deposits it took out of suspense, and minor units."""
        found: dict[int, list[tuple[str, int]]] = {}
        for row in await self._raw.fetch(sql.RELEASED, list(sequences)):
            found.setdefault(row["sequence"], []).append((row["tx_hash"], int(row["units"])))
        return found

    async def holds(self, transfer_ids: Collection[UUID]) -> Mapping[UUID, Booked]:
        """Transfer -> the pending ledger transaction that holds, or held, its money."""
        rows = await self._raw.fetch(sql.HOLDS, list(transfer_ids))
        return {row["transfer_id"]: _booked_of(row) for row in rows}

    async def corrections(self, blocks: Collection[BlockHash]) -> Sequence[Correction]:
        """What operators booked to close breaks about these blocks."""
        rows = await self._raw.fetch(sql.CORRECTIONS, [each.hex() for each in blocks])
        return [Correction(row["sequence"], row["key"], row["id"], row["code"]) for row in rows]

    async def movements(self, slot_ids: Collection[UUID]) -> Sequence[tuple[UUID, str]]:
        """Treasury movements that ended by these slots, and their states."""
        rows = await self._raw.fetch(
            "SELECT id, state FROM movement WHERE slot_id = ANY($1::uuid[])"
            " AND state IN ('settled', 'failed') ORDER BY created_at, id",
            list(slot_ids),
        )
        return [(row["id"], row["state"]) for row in rows]

    async def native_falls(self, blocks: Collection[BlockHash]) -> Mapping[Address, int]:
        """Address -> units of native coin that left it unexplained at these blocks."""
        rows = await self._raw.fetch(sql.FALLS, [each.hex() for each in blocks])
        return {Address(bytes.fromhex(row["address"][2:])): row["units"] for row in rows}

    # ----------------------------------------------------------------------------------- undoing

    async def undo_slots(self, reorg: Reorg, blocks: Collection[BlockHash]) -> None:
        """Slots final or included in these blocks are submitted again, and so their movements."""
        await self._raw.execute(sql.NOTE_SLOTS, reorg.id, list(blocks))
        await self._raw.execute(sql.UNDO_SLOTS, list(blocks))

    async def revive(self, members: Sequence[tuple[UUID, UUID, Purpose]]) -> None:
        """Slot, transfer, purpose: the number can be paid by that slot again."""
        await self._raw.execute(
            sql.REVIVE,
            [slot_id for slot_id, _, _ in members],
            [transfer_id for _, transfer_id, _ in members],
            [purpose.value for _, _, purpose in members],
        )

    async def undo_blocks(
        self, reorg: Reorg, asset: str, blocks: Sequence[BlockPoint], above: Sequence[BlockHash]
    ) -> None:
        """Blocks and their logs are orphaned, and holdings of the token are those at the fork."""
        chain_id, final = reorg.chain_id, [each.hash for each in blocks]
        await self._raw.execute(sql.UNDO_HOLDINGS, chain_id, final, reorg.fork.number, asset)
        await self._raw.execute(
            "INSERT INTO reorg_block (reorg_id, hash, number)"
            " SELECT $1, h, n FROM unnest($2::bytea[], $3::bigint[]) AS new (h, n)",
            reorg.id,
            final,
            [each.number for each in blocks],
        )
        hashes = [*final, *above]
        await self._raw.execute(
            "UPDATE block SET status = 'orphaned' WHERE chain_id = $1 AND hash = ANY($2::bytea[])",
            chain_id,
            hashes,
        )
        for table, _, _ in LOG_TABLES:
            unbooked = ", cause = NULL, ledger_sequence = NULL" if table == "token_log" else ""
            await self._raw.execute(
                f"UPDATE {table} SET status = 'orphaned'{unbooked}"  # noqa: S608 - constants
                " WHERE chain_id = $1 AND block_hash = ANY($2::bytea[])",
                chain_id,
                hashes,
            )

    async def note_bookings(self, reorg: Reorg, reversals: Mapping[int, int]) -> None:
        """Sequence -> that of its reversal."""
        await self._raw.execute(
            "INSERT INTO reorg_booking (sequence, reorg_id, reversal_sequence)"
            " SELECT s, $1, r FROM unnest($2::bigint[], $3::bigint[]) AS new (s, r)",
            reorg.id,
            list(reversals),
            list(reversals.values()),
        )

    async def note_transfers(
        self, reorg: Reorg, transfers: Mapping[UUID, tuple[int, int, int]]
    ) -> None:
        """Transfer -> sequences of what was held, of its reversal, and of what is held now."""
        await self._raw.execute(
            "INSERT INTO reorg_transfer (reorg_id, transfer_id, old_pending, reversal_sequence,"
            " new_pending) SELECT $1, t, o, r, n"
            " FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])"
            " AS new (t, o, r, n)",
            reorg.id,
            list(transfers),
            *([each[place] for each in transfers.values()] for place in range(3)),
        )

    async def hold_deposits(self, sequences: Collection[int]) -> Sequence[ReopenedRow]:
        """Deposits that these ledger transactions gave to their owners are held again."""
        rows = await self._raw.fetch(sql.HOLD_DEPOSITS, list(sequences))
        return [replace(_reopened_of(row), break_id=row["break_id"]) for row in rows]

    async def name_breaks(self, fingerprints: Mapping[UUID, str]) -> None:
        """Deposit -> the open break that tells of it."""
        await self._raw.execute(sql.NAME_BREAKS, list(fingerprints), list(fingerprints.values()))

    async def undone_notices(
        self, chain_id: int, blocks: Collection[BlockHash]
    ) -> Sequence[NoticeRow]:
        """What these blocks said that the chain can take back; in chain order."""
        rows = await self._raw.fetch(sql.UNDONE_NOTICES, chain_id, list(blocks))
        return [notice_of(row) for row in rows]

    async def last_notices(
        self, chain_id: int, blocks: Collection[BlockHash], to: int
    ) -> Sequence[NoticeRow]:
        """The last final word, up to block `to`, on each thing that `undone_notices` are about."""
        rows = await self._raw.fetch(sql.LAST_NOTICES, chain_id, list(blocks), to)
        return [notice_of(row) for row in rows]

    async def reopen_requests(self, request_ids: Collection[UUID]) -> Sequence[ReopenedRow]:
        """Payment requests that nothing pays any more wait again."""
        rows = await self._raw.fetch(sql.REOPEN_REQUESTS, list(request_ids))
        return [_reopened_of(row) for row in rows]

    async def note_shortfalls(
        self, reorg: Reorg, shortfalls: Sequence[tuple[Shortfall, UUID]]
    ) -> None:
        """What owners lack, each with the break that tells of it."""
        await self._raw.execute(
            "INSERT INTO reorg_shortfall (reorg_id, account, asset, amount, sequence, tx_hash,"
            " break_id) SELECT $1, c, a, m, s, t, b FROM unnest($2::text[], $3::text[],"
            " $4::bigint[], $5::bigint[], $6::bytea[], $7::uuid[]) AS new (c, a, m, s, t, b)",
            reorg.id,
            [each.account for each, _ in shortfalls],
            [each.asset for each, _ in shortfalls],
            [each.amount for each, _ in shortfalls],
            [each.sequence for each, _ in shortfalls],
            [bytes.fromhex(each.tx_hash.removeprefix("0x")) for each, _ in shortfalls],
            [break_id for _, break_id in shortfalls],
        )

    async def breaks_about(self, blocks: Collection[BlockHash]) -> Sequence[UUID]:
        """Open breaks about these blocks, or about their being replaced."""
        rows = await self._raw.fetch(sql.BREAKS_ABOUT, [each.hex() for each in blocks])
        return [row["id"] for row in rows]

    # ---------------------------------------------------------------------------------- recovery

    async def due_shortfalls(self, chain_id: int) -> Sequence[OpenShortfall]:
        """What owners still owe of deposits that are final again; by id, locked."""
        rows = await self._raw.fetch(sql.DUE_SHORTFALLS, chain_id)
        return [
            OpenShortfall(
                row["id"], row["account"], row["asset"], row["amount"], row["tx_hash"], row["units"]
            )
            for row in rows
        ]

    async def recovered(self, sequences: Mapping[int, int]) -> Sequence[UUID]:
        """Shortfall -> the ledger transaction that made it good; breaks that lack nothing now."""
        rows = await self._raw.fetch(sql.RECOVERED, list(sequences), list(sequences.values()))
        return [row["break_id"] for row in rows]


def _reorg_of(row: "asyncpg.Record") -> Reorg:
    return Reorg(
        id=row["id"],
        chain_id=row["chain_id"],
        state=ReorgState(row["state"]),
        final=BlockPoint(row["final_number"], BlockHash(row["final_hash"])),
        block_hash=BlockHash(row["block_hash"]),
        fork=BlockPoint(row["fork_number"], BlockHash(row["fork_hash"])),
        plan=row["plan"],
        reason=row["reason"],
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        accepted_by=row["accepted_by"],
        accepted_at=row["accepted_at"],
        epoch=row["epoch"],
    )


def _reopened_of(row: "asyncpg.Record") -> ReopenedRow:
    owner = Owner(row["customer_id"], row["partner_id"])
    return ReopenedRow(row["id"], row["version"], owner, row["request_id"])


def _booked_of(row: "asyncpg.Record") -> Booked:
    detail: Mapping[str, Any] = row["detail"]
    number = detail.get("block_number")
    return Booked(
        sequence=row["sequence"],
        key=row["key"],
        kind=row["kind"],
        entries=[
            Entry(*each)
            for each in zip(
                row["debits"], row["credits"], row["assets"], row["amounts"], strict=True
            )
        ],
        transfer_id=row["transfer_id"],
        block_number=None if number is None else int(number),
        tx_hash=detail.get("tx_hash"),
        detail=dict(detail),
    )
