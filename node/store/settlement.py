"""Lanes, slots, attempts and pauses in PostgreSQL: set-based, fenced by the epoch.

Not here: what the mirror does to slots (`node.store.mirror`) and the lock that tells a dead
holder (`node.store.lane_lock`).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.errors import InvariantBroken
from node.core.ports.settlement import (
    Attempt,
    Candidate,
    ContractFacts,
    Lane,
    LeaseLost,
    MemberNow,
    NewSlot,
    OpenSlot,
    Pause,
    Workload,
)
from node.core.settlement import (
    NATIVE_TRANSFER_GAS,
    UNMINED,
    LaneStatus,
    PauseReason,
    Purpose,
    SlotState,
)
from node.core.signing import KeyRole
from node.core.submission import SEEN, Verdict
from node.core.units import Address, BlockHash, TxHash
from node.store.database import Connection
from node.store.settlement_rows import (
    CANDIDATES,
    MEMBERS_NOW,
    NEXT_NUMBER,
    OVERDUE,
    VOID_CANDIDATES,
    WORKLOAD,
    attempt_of,
    candidate_of,
    lane_of,
    member_now_of,
    open_slot_of,
)

_SEEN: Final = [answer.value for answer in SEEN]
_FLOAT_LOCK: Final = 7_265_002  # any constant; the second key is the contract

_TAKE_LEASE = """
UPDATE lane SET epoch = epoch + 1, lease_owner = $2, lease_until = now() + $3
WHERE id = $1 AND ($4 OR lease_until IS NULL OR lease_until < now()) RETURNING *
"""
_LOCK_LANE = "SELECT * FROM lane WHERE id = $1 AND epoch = $2 FOR UPDATE"
_RENEW_LEASE = """
UPDATE lane SET lease_until = now() + $2 WHERE id = $1 AND lease_until < now() + $2::interval / 2
"""
_LOCK_CANDIDATES = """
SELECT id FROM transfer WHERE id = ANY($1::uuid[]) AND state = 'funded' AND slot_id IS NULL
ORDER BY created_at, id FOR UPDATE
"""
_COMMITTED = """
SELECT coalesce(sum(s.amount_total), 0)::bigint FROM (
    SELECT * FROM slot WHERE state NOT IN ('final', 'foreign')
        AND (state <> 'included' OR included_block_number > $3)
    UNION ALL
    SELECT * FROM slot WHERE state = 'final' AND included_block_number > $3
) s JOIN lane l ON l.id = s.lane_id
WHERE l.chain_id = $1 AND s.contract = $2 AND s.purpose = 'settle'
  AND ($4::bigint IS NULL OR s.lane_id = $4)
"""
_MAKE_NOOPS = """
UPDATE slot s SET purpose = 'noop', contract = NULL, to_address = l.address, value_wei = 0,
    calldata = '', gas_limit = $2, members = 0, amount_total = 0
FROM lane l WHERE l.id = s.lane_id AND s.id = ANY($1::uuid[])
  AND s.purpose IN ('settle', 'movement') AND s.state = 'written'
  AND NOT EXISTS (SELECT FROM attempt a WHERE a.slot_id = s.id)
RETURNING s.id
"""
_UNASSIGN = """
WITH held AS (
    SELECT id FROM transfer WHERE state = 'funded' AND slot_id = ANY($1::uuid[])
    ORDER BY created_at, id FOR UPDATE
)
UPDATE transfer SET slot_id = NULL, updated_at = now() WHERE id IN (SELECT id FROM held)
"""
_WRITE_SLOTS = """
INSERT INTO slot (id, lane_id, nonce, purpose, contract, to_address, value_wei, calldata,
    gas_limit, members, amount_total)
SELECT i, $1, n, p, c, t, v, d, g, m, a FROM unnest($2::uuid[], $3::bigint[], $4::text[],
    $5::bytea[], $6::bytea[], $7::numeric[], $8::bytea[], $9::bigint[], $10::int[], $11::bigint[]
) AS new (i, n, p, c, t, v, d, g, m, a)
"""
_WRITE_MEMBERS = """
INSERT INTO slot_member (slot_id, position, transfer_id, payment_number, contract, beneficiary,
    amount, purpose)
SELECT s, o, t, n, c, b, a, p FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::bigint[],
    $5::bytea[], $6::bytea[], $7::bigint[], $8::text[]) AS new (s, o, t, n, c, b, a, p)
"""
_MARK_WRITTEN = """
UPDATE transfer t SET slot_id = w.slot_id, was_written = true, updated_at = now()
FROM unnest($1::uuid[], $2::uuid[]) AS w (transfer_id, slot_id)
WHERE t.id = w.transfer_id AND t.state = 'funded' AND t.slot_id IS NULL
"""
_ADD_ATTEMPTS = """
INSERT INTO attempt (tx_hash, slot_id, sequence, raw, max_fee_per_gas_wei,
    max_priority_fee_per_gas_wei, fee_source)
SELECT * FROM unnest($1::bytea[], $2::uuid[], $3::smallint[], $4::bytea[], $5::numeric[],
    $6::numeric[], $7::text[])
ON CONFLICT (slot_id, sequence) DO NOTHING RETURNING tx_hash
"""
_RECORD_SENDS = """
UPDATE attempt a SET sends = sends + 1, last_sent_at = now(),
    last_answer = CASE WHEN s.answer = 'ambiguous' AND a.last_answer = ANY($4::text[])
        THEN a.last_answer ELSE s.answer END,
    last_message = nullif(s.message, '')
FROM unnest($1::bytea[], $2::text[], $3::text[]) AS s (tx_hash, answer, message)
WHERE a.tx_hash = s.tx_hash
"""
_SAW_LANE = """
UPDATE lane SET balance_wei = $2, cap_left = $3, seen_at = now() WHERE id = $1
"""
_SAW_CONTRACT = """
INSERT INTO contract_state (chain_id, address, block_number, float_units, cap_left, paused,
    token_paused) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (chain_id, address) DO UPDATE SET (block_number, float_units, cap_left, paused,
    token_paused, seen_at) = (excluded.block_number, excluded.float_units, excluded.cap_left,
    excluded.paused, excluded.token_paused, now())
WHERE contract_state.block_number <= excluded.block_number
"""
_REMEMBER_CODE = """
INSERT INTO settlement_contract (chain_id, address, token_code) VALUES ($1, $2, $3)
ON CONFLICT (chain_id, address) DO UPDATE SET token_code = excluded.token_code
"""
_RAISE_COUNTER = """
INSERT INTO settlement_contract (chain_id, address, next_number) VALUES ($1, $2, $3)
ON CONFLICT (chain_id, address) DO UPDATE
SET next_number = greatest(settlement_contract.next_number, excluded.next_number)
"""
_PAUSE = """
INSERT INTO pause (reason, hard, note, paused_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (reason) WHERE resumed_at IS NULL DO UPDATE SET hard = pause.hard OR excluded.hard,
    note = CASE WHEN excluded.hard AND NOT pause.hard
        THEN nullif(concat_ws('; ', pause.note, excluded.note), '') ELSE pause.note END
"""


class SettlementStore:
    """See `node.core.ports.settlement.SettlementRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    # ------------------------------------------------------------------------------------ lanes

    async def add_lane(
        self,
        chain_id: int,
        address: Address,
        next_nonce: int,
        role: KeyRole = KeyRole.SETTLE,
    ) -> None:
        """A lane seen for the first time; one that exists stays as it is."""
        await self._raw.execute(
            "INSERT INTO lane (chain_id, address, next_nonce, role) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (chain_id, address) DO NOTHING",
            chain_id,
            address,
            next_nonce,
            role.value,
        )

    async def lane(self, chain_id: int, address: Address) -> Lane | None:
        """The lane of an account."""
        row = await self._raw.fetchrow(
            "SELECT * FROM lane WHERE chain_id = $1 AND address = $2", chain_id, address
        )
        return lane_of(row) if row else None

    async def take_lease(
        self, lane_id: int, owner: str, lease_s: int, *, at_once: bool
    ) -> Lane | None:
        """Take the lane with a new epoch; `at_once` also before the old lease ends."""
        row = await self._raw.fetchrow(
            _TAKE_LEASE, lane_id, owner, timedelta(seconds=lease_s), at_once
        )
        return lane_of(row) if row else None

    async def lock_lane(self, lane_id: int, epoch: int, lease_s: int) -> Lane:
        """Lock the lane to the end of the transaction and renew its lease."""
        row = await self._raw.fetchrow(_LOCK_LANE, lane_id, epoch)
        if row is None:
            raise LeaseLost(f"lane {lane_id} is no longer held with epoch {epoch}")
        await self._raw.execute(_RENEW_LEASE, lane_id, timedelta(seconds=lease_s))
        return lane_of(row)

    async def set_lane_status(self, lane_id: int, status: LaneStatus, reason: str | None) -> None:
        """Change whether the lane takes new work."""
        await self._raw.execute(
            "UPDATE lane SET status = $2, status_reason = $3 WHERE id = $1",
            lane_id,
            status.value,
            reason,
        )

    async def restart_lanes(self, chain_id: int) -> None:
        """Let lanes that stopped themselves take work again; one that is ahead stays so."""
        await self._raw.execute(
            "UPDATE lane SET status = 'active', status_reason = NULL"
            " WHERE chain_id = $1 AND status = 'stopped'",
            chain_id,
        )

    # ----------------------------------------------------------------------------------- pauses

    async def pauses(self) -> Sequence[Pause]:
        """Pauses in force."""
        rows = await self._raw.fetch("SELECT * FROM pause WHERE resumed_at IS NULL ORDER BY id")
        return [
            Pause(
                PauseReason(row["reason"]),
                row["hard"],
                row["note"],
                row["paused_by"],
                row["paused_at"],
            )
            for row in rows
        ]

    async def pause(self, reason: PauseReason, by: str, *, hard: bool, note: str | None) -> None:
        """Stop new work; a pause of the same reason stays the first, `hard` is added to it."""
        await self._raw.execute(_PAUSE, reason.value, hard, note, by)

    async def resume(self, reason: PauseReason | None, by: str) -> int:
        """End pauses of a reason, or all; how many there were."""
        rows = await self._raw.fetch(
            "UPDATE pause SET resumed_by = $2, resumed_at = now() WHERE resumed_at IS NULL"
            " AND ($1::text IS NULL OR reason = $1) RETURNING id",
            reason.value if reason else None,
            by,
        )
        return len(rows)

    # ---------------------------------------------------------------------------------- writing

    async def candidates(self, chain_id: int, contract: Address, limit: int) -> Sequence[Candidate]:
        """Funded transfers that no live batch has and that are not overdue, oldest first."""
        rows = await self._raw.fetch(CANDIDATES, chain_id, contract, limit)
        return [candidate_of(row) for row in rows]

    async def lock_candidates(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Lock these transfers; those that are still funded and in no live batch."""
        rows = await self._raw.fetch(_LOCK_CANDIDATES, list(ids))
        return frozenset(row["id"] for row in rows)

    async def lock_float(self, chain_id: int, contract: Address) -> None:
        """The one lock of a contract's float, to the end of the transaction."""
        key = (chain_id ^ int.from_bytes(contract)) & 0x7FFF_FFFF
        await self._raw.execute("SELECT pg_advisory_xact_lock($1, $2)", _FLOAT_LOCK, key)

    async def committed_units(
        self, chain_id: int, contract: Address, block_number: int, lane_id: int | None = None
    ) -> int:
        """Token units of written batches, of all lanes or of one, that are not in that block."""
        units: int = await self._raw.fetchval(_COMMITTED, chain_id, contract, block_number, lane_id)
        return units

    async def write_slots(self, lane: Lane, slots: Sequence[NewSlot]) -> None:
        """Store slots with the lane's next nonces, and mark the transfers as written."""
        nonces = [each.nonce for each in slots]
        if nonces != list(range(lane.next_nonce, lane.next_nonce + len(slots))):
            raise InvariantBroken(f"lane {lane.id} goes on at {lane.next_nonce}, not at {nonces}")
        await self._raw.execute(
            _WRITE_SLOTS,
            lane.id,
            [each.id for each in slots],
            nonces,
            [each.purpose.value for each in slots],
            [each.contract for each in slots],
            [each.to for each in slots],
            [each.value_wei for each in slots],
            [each.calldata for each in slots],
            [each.gas_limit for each in slots],
            [len(each.members) for each in slots],
            [
                sum(m.record.amount for m in each.members) * (each.purpose is Purpose.SETTLE)
                for each in slots
            ],
        )
        await self._write_members(slots)
        await self._raw.execute(
            "UPDATE lane SET next_nonce = $2 WHERE id = $1", lane.id, lane.next_nonce + len(slots)
        )

    async def _write_members(self, slots: Sequence[NewSlot]) -> None:
        rows = [
            (slot, position, member)
            for slot in slots
            for position, member in enumerate(slot.members)
        ]
        await self._raw.execute(
            _WRITE_MEMBERS,
            [slot.id for slot, _, _ in rows],
            [position for _, position, _ in rows],
            [member.transfer_id for _, _, member in rows],
            [member.record.number for _, _, member in rows],
            [slot.contract for slot, _, _ in rows],
            [member.record.beneficiary for _, _, member in rows],
            [member.record.amount for _, _, member in rows],
            [slot.purpose.value for slot, _, _ in rows],
        )
        paid = [(m.transfer_id, slot.id) for slot, _, m in rows if slot.purpose is Purpose.SETTLE]
        tag = await self._raw.execute(
            _MARK_WRITTEN, [transfer for transfer, _ in paid], [slot for _, slot in paid]
        )
        if tag != f"UPDATE {len(paid)}":
            raise InvariantBroken("a transfer of a batch was not locked as funded")

    # ---------------------------------------------------------------------------------- sending

    async def workload(self, lane_id: int, chain_id: int, contract: Address) -> Workload:
        """What there is to do, in one look."""
        row = await self._raw.fetchrow(WORKLOAD, lane_id, chain_id, contract, _SEEN)
        assert row is not None
        return Workload(
            row["unmined"],
            row["has_funded"],
            row["has_voids"],
            is_unheard=row["is_unheard"],
            lacks_gas=bool(row["lacks_gas"]),
            lanes=max(1, row["lanes"]),
            unmined_of_all=row["unmined_of_all"],
            has_movements=row["has_movements"],
        )

    async def open_slots(self, lane_id: int) -> Sequence[OpenSlot]:
        """Slots that are not mined, by nonce."""
        slots = await self._raw.fetch(
            "SELECT * FROM slot WHERE lane_id = $1 AND state NOT IN ('final', 'foreign')"
            " AND state <> 'included' ORDER BY nonce",
            lane_id,
        )
        attempts: dict[UUID, list[Attempt]] = {row["id"]: [] for row in slots}
        for row in await self._raw.fetch(
            "SELECT * FROM attempt WHERE slot_id = ANY($1::uuid[]) ORDER BY slot_id, sequence",
            list(attempts),
        ):
            attempts[row["slot_id"]].append(attempt_of(row))
        return [open_slot_of(row, attempts[row["id"]]) for row in slots]

    async def members(self, slot_ids: Sequence[UUID], purpose: Purpose) -> Sequence[UUID]:
        """Transfers in these slots with that purpose."""
        rows = await self._raw.fetch(
            "SELECT transfer_id FROM slot_member WHERE slot_id = ANY($1::uuid[]) AND purpose = $2",
            list(slot_ids),
            purpose.value,
        )
        return [row["transfer_id"] for row in rows]

    async def members_now(self, slot_ids: Sequence[UUID]) -> Sequence[MemberNow]:
        """Members of slots in the order of the calldata, as their transfers are now."""
        return [member_now_of(row) for row in await self._raw.fetch(MEMBERS_NOW, list(slot_ids))]

    async def add_attempts(self, attempts: Sequence[Attempt]) -> Sequence[TxHash]:
        """Store signed attempts; one whose (slot, sequence) is taken is left out."""
        rows = await self._raw.fetch(
            _ADD_ATTEMPTS,
            [each.tx_hash for each in attempts],
            [each.slot_id for each in attempts],
            [each.sequence for each in attempts],
            [each.raw for each in attempts],
            [each.fees.max_fee_per_gas_wei for each in attempts],
            [each.fees.max_priority_fee_per_gas_wei for each in attempts],
            [each.fee_source for each in attempts],
        )
        return [TxHash(row["tx_hash"]) for row in rows]

    async def lock_slots(self, ids: Sequence[UUID]) -> None:
        """Lock slots in the common order, to the end of the transaction."""
        await self._raw.execute(
            "SELECT FROM slot WHERE id = ANY($1::uuid[]) ORDER BY lane_id, nonce FOR UPDATE",
            list(ids),
        )

    async def make_noops(self, ids: Sequence[UUID]) -> Sequence[UUID]:
        """Turn batches of payments that were never signed into no-ops; those that were turned."""
        rows = await self._raw.fetch(_MAKE_NOOPS, list(ids), NATIVE_TRANSFER_GAS)
        return [row["id"] for row in rows]

    async def mark_slots(self, ids: Sequence[UUID], state: SlotState) -> Sequence[UUID]:
        """Move unmined slots to another state; those that were moved."""
        rows = await self._raw.fetch(
            "UPDATE slot SET state = $2 WHERE id = ANY($1::uuid[]) AND state <> $2"
            " AND state = ANY($3::text[]) RETURNING id",
            list(ids),
            state.value,
            UNMINED,
        )
        return [row["id"] for row in rows]

    async def record_sends(self, verdicts: Mapping[TxHash, Verdict]) -> None:
        """Note that attempts were sent and what was said. A lost answer never hides a better."""
        await self._raw.execute(
            _RECORD_SENDS,
            list(verdicts),
            [each.answer.value for each in verdicts.values()],
            [each.message for each in verdicts.values()],
            _SEEN,
        )

    async def final_block(self, chain_id: int) -> tuple[int, BlockHash] | None:
        """Number and hash of the block up to which the mirror has booked everything."""
        row = await self._raw.fetchrow(
            "SELECT final_number, final_hash FROM chain_cursor WHERE chain_id = $1", chain_id
        )
        return (row["final_number"], BlockHash(row["final_hash"])) if row else None

    async def release_members(self, slot_ids: Sequence[UUID]) -> None:
        """The slots will never pay: their numbers may have new slots."""
        await self._raw.execute(
            "UPDATE slot_member SET live = false WHERE slot_id = ANY($1::uuid[])", list(slot_ids)
        )

    async def unassign(self, slot_ids: Sequence[UUID]) -> None:
        """Transfers of these slots that are still funded are candidates again."""
        await self._raw.execute(_UNASSIGN, list(slot_ids))

    # --------------------------------------------------------------------- voids, expiry, numbers

    async def void_candidates(
        self, chain_id: int, contract: Address, limit: int
    ) -> Sequence[Candidate]:
        """Transfers that wait for a void and are in no live batch of voids, oldest first."""
        rows = await self._raw.fetch(VOID_CANDIDATES, chain_id, contract, limit)
        return [candidate_of(row) for row in rows]

    async def overdue(self, chain_id: int, contract: Address, limit: int) -> Sequence[Candidate]:
        """Funded transfers past `settle_by` that no live batch has, oldest first."""
        rows = await self._raw.fetch(OVERDUE, chain_id, contract, limit)
        return [candidate_of(row) for row in rows]

    async def next_number(self, chain_id: int, contract: Address) -> int:
        """The number the next transfer gets, at least one above any the mirror has seen."""
        number: int = await self._raw.fetchval(NEXT_NUMBER, chain_id, contract)
        return number

    async def raise_number_counter(
        self, chain_id: int, contract: Address, next_number: int
    ) -> None:
        """Let no payment number below `next_number` be allotted any more."""
        await self._raw.execute(_RAISE_COUNTER, chain_id, contract, next_number)

    # ------------------------------------------------------------------------------------ views

    async def is_recovering(self, chain_id: int) -> bool:
        """Whether an operator must act before transfers are accepted; see the port."""
        found: bool = await self._raw.fetchval(
            "SELECT EXISTS (SELECT FROM lane WHERE chain_id = $1 AND status = 'ahead'"
            " AND role = 'settle') OR EXISTS (SELECT FROM chain_cursor WHERE chain_id = $1"
            " AND halted_reason IS NOT NULL)",
            chain_id,
        )
        return found

    # ------------------------------------------------------------------------------- what was seen

    async def saw_lane(self, lane_id: int, balance_wei: int, cap_left: int | None) -> None:
        """Note what the lane's account holds and may still pay, for operators."""
        await self._raw.execute(_SAW_LANE, lane_id, balance_wei, cap_left)

    async def saw_contract(
        self, chain_id: int, contract: Address, block_number: int, facts: ContractFacts
    ) -> None:
        """Note the contract's state at a block, for operators; an older block changes nothing."""
        await self._raw.execute(
            _SAW_CONTRACT,
            chain_id,
            contract,
            block_number,
            facts.float_units,
            facts.contract_left,
            facts.paused,
            facts.token_paused,
        )

    async def trust_token(self, chain_id: int, contract: Address, code: bytes) -> bool:
        """Remember the token's code; whether it is the one that was remembered before."""
        known: bytes | None = await self._raw.fetchval(
            "SELECT token_code FROM settlement_contract WHERE chain_id = $1 AND address = $2",
            chain_id,
            contract,
        )
        if known != code:  # acceptance locks this row: it is left alone while nothing changes
            await self._raw.execute(_REMEMBER_CODE, chain_id, contract, code)
        return known in (None, code)
