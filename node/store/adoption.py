"""Adoption in PostgreSQL: what is known of mined transactions, and writing what they were.

A fixed number of statements whatever the number of transactions. Marking the adopted slots as
mined is `node.store.mirror`, as for every slot.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import orjson

from node.core.adoption.facts import (
    Knowledge,
    KnownSlot,
    KnownTransfer,
    NumberUse,
    RequestedMovement,
)
from node.core.adoption.found import FoundTransaction
from node.core.mirror import BlockPoint, Cursor, SettlementKind
from node.core.ports.adoption import AdoptedSlot, LaneProgress, OwnLane
from node.core.ports.transfers import Transfer
from node.core.settlement import LaneStatus, Purpose, SlotState
from node.core.transfers import State
from node.core.units import Address, BlockHash, TxHash
from node.store.database import Connection, Row
from node.store.mirror_rows import EVENT_NUMBER

_ADDED_AS: Final = "adopted"  # fee_source of attempts whose fees somebody else chose

_IS_SKIPPED: Final = """
    s.state = 'foreign' AND s.adopted AND s.purpose = 'unknown'
        AND NOT EXISTS (SELECT FROM attempt a WHERE a.slot_id = s.id)
"""
_PROGRESS: Final = f"""
SELECT l.*, coalesce(mined.nonce + 1, 0) AS mined,
    least(coalesce(greatest(mined.nonce, skipped.nonce) + 1, written.nonce, l.next_nonce),
          missing.nonce) AS unexplained
FROM lane l
LEFT JOIN LATERAL (
    SELECT s.nonce FROM slot s WHERE s.lane_id = l.id AND s.state <> 'foreign'
        AND s.state IN ('included', 'final') AND s.included_block_number <= $2
    ORDER BY s.nonce DESC LIMIT 1) mined ON true
CROSS JOIN LATERAL (
    SELECT max(s.nonce) AS nonce FROM slot s WHERE s.lane_id = l.id AND {_IS_SKIPPED}) skipped
CROSS JOIN LATERAL (
    SELECT min(s.nonce) AS nonce FROM slot s
    WHERE s.lane_id = l.id AND s.state <> 'foreign') written
CROSS JOIN LATERAL (
    SELECT min(s.nonce) AS nonce FROM slot s
    WHERE s.lane_id = l.id AND s.state NOT IN ('final', 'foreign')
        AND (s.state <> 'included' OR s.included_block_number > $2)) missing
WHERE l.chain_id = $1 ORDER BY l.id
"""  # noqa: S608 - constants
_SKIP: Final = """
INSERT INTO slot (id, lane_id, nonce, purpose, state, to_address, calldata, gas_limit, adopted)
SELECT i, l, n, 'unknown', 'foreign', decode(repeat('00', 20), 'hex'), '', 0, true
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS new (i, l, n)
"""
_SKIPPED: Final = f"""
SELECT l.*, s.nonce AS skipped FROM slot s JOIN lane l ON l.id = s.lane_id
WHERE l.chain_id = $1 AND {_IS_SKIPPED} AND NOT EXISTS (
    SELECT FROM reconciliation_break r
    WHERE r.resolved_at IS NOT NULL AND r.resolved_by <> 'reconciliation'
    AND r.fingerprint = 'B12:nonce:0x' || encode(l.address, 'hex') || ':' || s.nonce)
ORDER BY l.id, s.nonce
"""  # noqa: S608 - constants
_SLOTS: Final = """
SELECT s.*, l.address AS sender, ARRAY(
    SELECT tx_hash FROM attempt a WHERE a.slot_id = s.id) AS hashes
FROM slot s JOIN lane l ON l.id = s.lane_id
JOIN unnest($2::bytea[], $3::bigint[]) AS found (address, nonce)
    ON found.address = l.address AND found.nonce = s.nonce
WHERE l.chain_id = $1 AND s.state <> 'foreign'
ORDER BY s.lane_id, s.nonce FOR UPDATE OF s
"""
_UNWRITTEN_AND_USED: Final = """
    NOT t.was_written AND t.slot_id IS NULL AND t.state IN ('funded', 'on_hold')
    AND EXISTS (SELECT FROM settlement_log l WHERE l.chain_id = t.chain_id
        AND l.contract = t.contract AND l.payment_number = t.payment_number::numeric
        AND l.kind IN ('settled', 'voided') AND l.status <> 'orphaned')
"""
_TRANSFERS: Final = f"""
SELECT t.* FROM transfer t WHERE t.id IN (
    SELECT id FROM transfer WHERE chain_id = $1 AND contract = $2
        AND payment_number = ANY($3::bigint[])
    UNION SELECT transfer_id FROM slot_member WHERE slot_id = ANY($4::uuid[])
    UNION SELECT t.id FROM transfer t WHERE t.chain_id = $1 AND t.contract = $2
        AND {_UNWRITTEN_AND_USED}
) ORDER BY t.created_at, t.id FOR UPDATE
"""  # noqa: S608 - constants
_USE: Final = f"""
SELECT l.payment_number, l.kind, l.tx_hash, b.mined_at, l.beneficiary, l.amount,
    EXISTS (SELECT FROM transfer o WHERE o.chain_id = l.chain_id AND o.contract = l.contract
        AND o.payment_number = {EVENT_NUMBER}
        AND (l.kind <> 'settled' OR (o.beneficiary_address, o.buy_amount::numeric)
             = (l.beneficiary, l.amount))) AS has_transfer
FROM settlement_log l JOIN block b ON b.chain_id = l.chain_id AND b.hash = l.block_hash
"""  # noqa: S608 - constants
_USES_IN: Final = f"""
{_USE} WHERE l.chain_id = $1 AND l.contract = $2 AND l.tx_hash = ANY($3::bytea[])
    AND l.block_number > $4 AND l.status <> 'orphaned' ORDER BY l.block_number, l.log_index
"""
_USES_OF: Final = f"""
{_USE} JOIN transfer t ON t.chain_id = l.chain_id AND t.contract = l.contract
    AND l.payment_number = t.payment_number::numeric
WHERE t.id = ANY($1::uuid[]) AND l.status <> 'orphaned' ORDER BY l.block_number, l.log_index
"""
# Read without an index: it is asked for after a restore only, and of few transfers.
_UNCLAIMED: Final = f"""
SELECT * FROM ({_USE} WHERE l.kind = 'settled' AND l.status <> 'orphaned' AND EXISTS (
    SELECT FROM transfer t WHERE t.id = ANY($1::uuid[]) AND t.chain_id = l.chain_id
        AND t.contract = l.contract AND t.beneficiary_address = l.beneficiary
        AND t.buy_amount::numeric = l.amount)
    ORDER BY l.block_number, l.log_index) paid WHERE NOT has_transfer
"""  # noqa: S608 - constants
# What a provider tells beyond an entry's range is no sweep of the node.
_RECEIVED: Final = """
SELECT tx_hash, sum(amount) AS amount FROM token_log
WHERE chain_id = $1 AND to_address = $2 AND tx_hash = ANY($3::bytea[]) AND status <> 'orphaned'
GROUP BY tx_hash
"""
_RAISE_EPOCHS: Final = """
UPDATE lane l SET epoch = l.epoch + 1, lease_owner = NULL, lease_until = NULL,
    next_nonce = greatest(l.next_nonce, a.next_nonce),
    status = CASE WHEN l.status = 'ahead' THEN 'active' ELSE l.status END,
    status_reason = CASE WHEN l.status = 'ahead' THEN NULL ELSE l.status_reason END
FROM unnest($1::bigint[], $2::bigint[]) AS a (id, next_nonce) WHERE l.id = a.id
"""
_REQUEST_AGAIN: Final = """
UPDATE movement SET state = 'requested', slot_id = NULL
WHERE slot_id = ANY($1::uuid[]) AND state = 'submitted'
"""
_ADD_SLOTS: Final = """
INSERT INTO slot (id, lane_id, nonce, purpose, state, contract, to_address, value_wei, calldata,
    gas_limit, members, amount_total, adopted)
SELECT i, l, n, p, 'submitted', c, t, v, d, g, m, a, true
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[],
    $7::numeric[], $8::bytea[], $9::bigint[], $10::int[], $11::bigint[]
) AS new (i, l, n, p, c, t, v, d, g, m, a)
"""
# The transaction is mined, so its payments are decided. Voids stay live until the mirror has told:
# until then nobody writes another.
_ADD_MEMBERS: Final = """
INSERT INTO slot_member (slot_id, position, transfer_id, payment_number, contract, beneficiary,
    amount, purpose, live)
SELECT s, o, t, n, c, b, a, p, p = 'void' AND NOT EXISTS (
    SELECT FROM slot_member m WHERE m.contract = c AND m.payment_number = n
    AND m.purpose = 'void' AND m.live)
FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::bigint[], $5::bytea[], $6::bytea[],
    $7::bigint[], $8::text[]) AS new (s, o, t, n, c, b, a, p)
ON CONFLICT (contract, payment_number, purpose) WHERE live DO NOTHING
"""
_ADD_ATTEMPTS: Final = """
INSERT INTO attempt (tx_hash, slot_id, sequence, raw, max_fee_per_gas_wei,
    max_priority_fee_per_gas_wei, fee_source)
SELECT h, s, 1 + (SELECT coalesce(max(sequence), 0) FROM attempt a WHERE a.slot_id = s), r, f, p, $6
FROM unnest($1::bytea[], $2::uuid[], $3::bytea[], $4::numeric[], $5::numeric[])
    AS new (h, s, r, f, p)
"""
_ADD_MOVEMENTS: Final = """
INSERT INTO movement (id, kind, sender, from_address, to_address, asset, amount, state, slot_id,
    made_by)
SELECT i, k, s, f, t, a, m, 'submitted', l, $9 FROM unnest($1::uuid[], $2::uuid[], $3::text[],
    $4::bytea[], $5::bytea[], $6::bytea[], $7::text[], $8::bigint[]) AS new (i, l, k, s, f, t, a, m)
"""


class AdoptionStore:
    """See `node.core.ports.adoption.AdoptionRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    # ------------------------------------------------------------------------------- what is known

    async def lanes(self, chain_id: int) -> Sequence[OwnLane]:
        """Every lane."""
        rows = await self._raw.fetch("SELECT * FROM lane WHERE chain_id = $1 ORDER BY id", chain_id)
        return [_lane_of(row) for row in rows]

    async def progress(self, chain_id: int, block_number: int) -> Sequence[LaneProgress]:
        """How far each lane is explained by slots mined up to that block."""
        rows = await self._raw.fetch(_PROGRESS, chain_id, block_number)
        return [LaneProgress(_lane_of(row), row["mined"], row["unexplained"]) for row in rows]

    async def lock_lanes(self, chain_id: int) -> Sequence[OwnLane]:
        """Every lane, locked: no worker writes before the end of the transaction."""
        rows = await self._raw.fetch(
            "SELECT * FROM lane WHERE chain_id = $1 ORDER BY id FOR UPDATE", chain_id
        )
        return [_lane_of(row) for row in rows]

    async def lock_cursor(self, chain_id: int) -> Cursor | None:
        """The mirror's cursor, locked: the mirror stands still to the end of the transaction."""
        row = await self._raw.fetchrow(
            "SELECT * FROM chain_cursor WHERE chain_id = $1 FOR UPDATE", chain_id
        )
        if row is None:
            return None
        return Cursor(
            start_number=row["start_number"],
            head=BlockPoint(row["head_number"], BlockHash(row["head_hash"])),
            final=BlockPoint(row["final_number"], BlockHash(row["final_hash"])),
            halted_reason=row["halted_reason"],
            moved_at=row["moved_at"],
            final_moved_at=row["final_moved_at"],
            tag_number=row["tag_number"],
            tag_moved_at=row["tag_moved_at"],
        )

    async def knowledge(
        self,
        chain_id: int,
        contract: Address,
        nonces: Sequence[tuple[Address, int]],
        tx_hashes: Sequence[TxHash],
        numbers: Sequence[int],
    ) -> Knowledge:
        """What the database knows of transactions; slots, transfers and movements are locked."""
        slots = await self._raw.fetch(
            _SLOTS, chain_id, [sender for sender, _ in nonces], [nonce for _, nonce in nonces]
        )
        transfers = [
            _transfer_of(row)
            for row in await self._raw.fetch(
                _TRANSFERS,
                chain_id,
                contract,
                [each for each in numbers if each < 2**63],
                [row["id"] for row in slots],
            )
        ]
        final: int = await self._raw.fetchval(
            "SELECT coalesce(max(final_number), 0) FROM chain_cursor WHERE chain_id = $1", chain_id
        )
        uses = [
            *await self._raw.fetch(_USES_IN, chain_id, contract, list(tx_hashes), final),
            *await self._uses_of([each.id for each in transfers]),
        ]
        movements = await self._raw.fetch(
            "SELECT * FROM movement WHERE state = 'requested' ORDER BY created_at, id FOR UPDATE"
        )
        received = await self._raw.fetch(_RECEIVED, chain_id, contract, list(tx_hashes))
        return Knowledge(
            [_slot_of(row) for row in slots],
            transfers,
            [_use_of(row) for row in uses],
            [_movement_of(row) for row in movements],
            {TxHash(row["tx_hash"]): int(row["amount"]) for row in received},
        )

    async def uses(self, transfers: Sequence[UUID]) -> Sequence[NumberUse]:
        """What the contract told of these transfers' numbers, in blocks the mirror has.

        And payments on the terms of one of them that no transfer has.
        """
        return [_use_of(row) for row in await self._uses_of(transfers)]

    async def _uses_of(self, transfers: Sequence[UUID]) -> Sequence[Row]:
        uses = await self._raw.fetch(_USES_OF, list(transfers))
        return [*uses, *await self._raw.fetch(_UNCLAIMED, list(transfers))] if uses else []

    async def open_blocks(self, chain_id: int, blocks: Sequence[BlockHash]) -> frozenset[BlockHash]:
        """Those of these blocks that the mirror has and that are not final."""
        rows = await self._raw.fetch(
            "SELECT hash FROM block"
            " WHERE chain_id = $1 AND hash = ANY($2::bytea[]) AND status = 'seen'",
            chain_id,
            list(blocks),
        )
        return frozenset(BlockHash(row["hash"]) for row in rows)

    # -------------------------------------------------------------------------------- what follows

    async def raise_epochs(self, nonces: Mapping[int, int]) -> None:
        """Lane -> next nonce: it is active, held by nobody, and its holder's writes are refused."""
        await self._raw.execute(_RAISE_EPOCHS, list(nonces), list(nonces.values()))

    async def abandon(self, slot_ids: Sequence[UUID]) -> None:
        """Slots that others overtook: `foreign`, their numbers free, their movements requested."""
        for statement in (
            "UPDATE slot SET state = 'foreign' WHERE id = ANY($1::uuid[])",
            "UPDATE slot_member SET live = false WHERE slot_id = ANY($1::uuid[])",
            _REQUEST_AGAIN,
        ):
            await self._raw.execute(statement, list(slot_ids))

    async def add_slots(self, slots: Sequence[AdoptedSlot]) -> None:
        """Slots with their members and their one attempt."""
        found = [each.found.transaction for each in slots]
        await self._raw.execute(
            _ADD_SLOTS,
            [each.id for each in slots],
            [each.lane_id for each in slots],
            [each.nonce for each in found],
            [each.found.purpose.value for each in slots],
            [each.contract for each in slots],
            [each.to or bytes(20) for each in found],  # what creates a contract calls nobody
            [each.value_wei for each in found],
            [each.data for each in found],
            [each.gas_limit for each in found],
            [len(each.members) for each in slots],
            [each.amount_total for each in slots],
        )
        await self._add_members(slots)
        await self.add_attempts([(each.id, each.found) for each in slots])

    async def skip_nonces(self, rows: Sequence[tuple[UUID, int, int]]) -> None:
        """Rows of nonces (slot's id, lane, last nonce) that nothing explains: `foreign` slots."""
        await self._raw.execute(
            _SKIP,
            [identity for identity, _, _ in rows],
            [lane_id for _, lane_id, _ in rows],
            [nonce for _, _, nonce in rows],
        )

    async def skipped(self, chain_id: int) -> Sequence[tuple[OwnLane, int]]:
        """Lane and last nonce of such rows, while nobody has closed the break that tells of it."""
        rows = await self._raw.fetch(_SKIPPED, chain_id)
        return [(_lane_of(row), row["skipped"]) for row in rows]

    async def _add_members(self, slots: Sequence[AdoptedSlot]) -> None:
        rows: list[tuple[AdoptedSlot, int, Transfer]] = [
            (slot, position, transfer) for slot in slots for position, transfer in slot.members
        ]
        await self._raw.execute(
            _ADD_MEMBERS,
            [slot.id for slot, _, _ in rows],
            [position for _, position, _ in rows],
            [transfer.id for _, _, transfer in rows],
            [transfer.payment_number for _, _, transfer in rows],
            [transfer.contract for _, _, transfer in rows],
            [transfer.beneficiary_address for _, _, transfer in rows],
            [transfer.amounts.buy for _, _, transfer in rows],
            [slot.found.purpose.value for slot, _, _ in rows],
        )

    async def add_attempts(self, attempts: Sequence[tuple[UUID, FoundTransaction]]) -> None:
        """Lost attempts of slots, each after the slot's newest."""
        found = [each.transaction for _, each in attempts]
        await self._raw.execute(
            _ADD_ATTEMPTS,
            [each.tx_hash for each in found],
            [slot_id for slot_id, _ in attempts],
            [each.raw for each in found],
            [each.fees.max_fee_per_gas_wei for each in found],
            [each.fees.max_priority_fee_per_gas_wei for each in found],
            _ADDED_AS,
        )

    async def add_movements(
        self, movements: Sequence[tuple[UUID, UUID, FoundTransaction]], by: str
    ) -> None:
        """Movements (id, slot) that transactions carried out and nobody requested."""
        rows = [
            (identity, slot_id, found.transaction.sender, found.movement)
            for identity, slot_id, found in movements
            if found.movement is not None
        ]
        await self._raw.execute(
            _ADD_MOVEMENTS,
            [identity for identity, _, _, _ in rows],
            [slot_id for _, slot_id, _, _ in rows],
            [moved.kind for _, _, _, moved in rows],
            [sender for _, _, sender, _ in rows],
            [moved.source for _, _, _, moved in rows],
            [moved.to for _, _, _, moved in rows],
            [moved.asset for _, _, _, moved in rows],
            [moved.amount for _, _, _, moved in rows],
            by,
        )

    async def record(
        self,
        adoption_id: UUID,
        lane: OwnLane,
        next_nonce: int,
        detail: Mapping[str, object],
        by: str,
    ) -> None:
        """What was found of a lane and who made it the database's own."""
        await self._raw.execute(
            "INSERT INTO adoption (id, lane_id, first_nonce, next_nonce, detail, made_by)"
            " VALUES ($1, $2, $3, $4, $5::text::jsonb, $6)",
            adoption_id,
            lane.id,
            lane.next_nonce,
            next_nonce,
            orjson.dumps(detail).decode(),
            by,
        )

    async def change_numbers(self, changes: Sequence[tuple[UUID, int, int]]) -> None:
        """Note (transfer, old number, new number), before the transfers themselves change."""
        await self._raw.execute(
            "INSERT INTO payment_number_change (transfer_id, old_number, new_number)"
            " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])",
            [transfer for transfer, _, _ in changes],
            [old for _, old, _ in changes],
            [new for _, _, new in changes],
        )


def _lane_of(row: Row) -> OwnLane:
    return OwnLane(
        row["id"],
        Address(row["address"]),
        row["role"],
        row["next_nonce"],
        LaneStatus(row["status"]),
        row["status_reason"],
    )


def _slot_of(row: Row) -> KnownSlot:
    return KnownSlot(
        id=row["id"],
        sender=Address(row["sender"]),
        nonce=row["nonce"],
        purpose=Purpose(row["purpose"]),
        state=SlotState(row["state"]),
        to=Address(row["to_address"]),
        value_wei=int(row["value_wei"]),
        calldata=row["calldata"],
        tx_hash=TxHash(row["included_tx_hash"]) if row["included_tx_hash"] else None,
        hashes=frozenset(TxHash(each) for each in row["hashes"]),
    )


def _transfer_of(row: Row) -> KnownTransfer:
    return KnownTransfer(
        id=row["id"],
        number=row["payment_number"],
        beneficiary=Address(row["beneficiary_address"]),
        amount=row["buy_amount"],
        created_at=row["created_at"],
        state=State(row["state"]),
        was_written=row["was_written"],
        slot_id=row["slot_id"],
    )


def _use_of(row: Row) -> NumberUse:
    return NumberUse(
        number=int(row["payment_number"]),
        kind=SettlementKind(row["kind"]),
        tx_hash=TxHash(row["tx_hash"]),
        mined_at=row["mined_at"],
        beneficiary=Address(row["beneficiary"]) if row["beneficiary"] else None,
        amount=int(row["amount"]) if row["amount"] is not None else None,
        has_transfer=row["has_transfer"],
    )


def _movement_of(row: Row) -> RequestedMovement:
    return RequestedMovement(
        id=row["id"],
        kind=row["kind"],
        sender=Address(row["sender"]),
        source=Address(row["from_address"]),
        to=Address(row["to_address"]),
        asset=row["asset"],
        amount=row["amount"],
        created_at=row["created_at"],
    )
