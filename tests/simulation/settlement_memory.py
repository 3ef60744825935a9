"""The settlement repository of the simulation: see `node.core.ports.settlement`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from node.core.errors import InvariantBroken
from node.core.mirror import SettlementKind
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
from node.core.ports.transfers import Transfer
from node.core.settlement import (
    NATIVE_TRANSFER_GAS,
    UNMINED,
    LaneStatus,
    PauseReason,
    PaymentRecord,
    Purpose,
    SlotState,
    Waiting,
)
from node.core.signing import KeyRole
from node.core.submission import SEEN, AnswerClass, Verdict
from node.core.transfers import State
from node.core.units import Address, BlockHash, TxHash
from tests.simulation.tables import MemberLine, SlotLine, Tables


@dataclass(frozen=True, slots=True)
class SettlementMemory:
    """One transaction's view of the settlement tables."""

    tables: Tables

    # ------------------------------------------------------------------------------------ lanes

    async def add_lane(
        self,
        chain_id: int,
        address: Address,
        next_nonce: int,
        role: KeyRole = KeyRole.SETTLE,
    ) -> None:
        if await self.lane(chain_id, address) is None:
            number = len(self.tables.lanes) + 1
            self.tables.lanes[number] = Lane(
                number, chain_id, address, next_nonce, LaneStatus.ACTIVE, None, 0, None, None, role
            )

    async def lane(self, chain_id: int, address: Address) -> Lane | None:
        found = (lane for lane in self.tables.lanes.values() if lane.address == address)
        return next(found, None)

    async def take_lease(
        self, lane_id: int, owner: str, lease_s: int, *, at_once: bool
    ) -> Lane | None:
        lane = self.tables.lanes[lane_id]
        if not at_once and lane.lease_until is not None and lane.lease_until >= self.tables.now:
            return None
        until = self.tables.now + timedelta(seconds=lease_s)
        taken = replace(lane, epoch=lane.epoch + 1, lease_owner=owner, lease_until=until)
        self.tables.lanes[lane_id] = taken
        return taken

    async def lock_lane(self, lane_id: int, epoch: int, lease_s: int) -> Lane:
        lane = self.tables.lanes[lane_id]
        if lane.epoch != epoch:
            raise LeaseLost("another holder")
        until = self.tables.now + timedelta(seconds=lease_s)
        self.tables.lanes[lane_id] = replace(lane, lease_until=until)
        return self.tables.lanes[lane_id]

    async def set_lane_status(self, lane_id: int, status: LaneStatus, reason: str | None) -> None:
        lane = self.tables.lanes[lane_id]
        self.tables.lanes[lane_id] = replace(lane, status=status, status_reason=reason)

    async def is_recovering(self, chain_id: int) -> bool:
        return any(each.status is LaneStatus.AHEAD for each in self.tables.lanes.values())

    # ----------------------------------------------------------------------------------- pauses

    async def pauses(self) -> Sequence[Pause]:
        return list(self.tables.pauses)

    async def pause(self, reason: PauseReason, by: str, *, hard: bool, note: str | None) -> None:
        if all(each.reason is not reason for each in self.tables.pauses):
            self.tables.pauses.append(Pause(reason, hard, note, by, self.tables.now))

    async def resume(self, reason: PauseReason | None, by: str) -> int:
        kept = [each for each in self.tables.pauses if reason not in (None, each.reason)]
        ended = len(self.tables.pauses) - len(kept)
        self.tables.pauses = kept
        return ended

    # ---------------------------------------------------------------------------------- writing

    async def candidates(self, chain_id: int, contract: Address, limit: int) -> Sequence[Candidate]:
        now = self.tables.now
        return [_candidate(t) for t in self._funded() if t.settle_by > now][:limit]

    async def overdue(self, chain_id: int, contract: Address, limit: int) -> Sequence[Candidate]:
        now = self.tables.now
        return [_candidate(t) for t in self._funded() if t.settle_by < now][:limit]

    async def lock_candidates(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        return frozenset(each.id for each in self._funded()) & frozenset(ids)

    async def lock_float(self, chain_id: int, contract: Address) -> None:
        return

    async def committed_units(
        self, chain_id: int, contract: Address, block_number: int, lane_id: int | None = None
    ) -> int:
        return sum(
            sum(m.record.amount for m in line.slot.members)
            for line in self.tables.slots.values()
            if line.slot.purpose is Purpose.SETTLE
            and lane_id in (None, line.lane_id)
            and (
                line.state in UNMINED
                or (line.mined is not None and line.mined.block_number > block_number)
            )
        )

    async def write_slots(self, lane: Lane, slots: Sequence[NewSlot]) -> None:
        nonces = [each.nonce for each in slots]
        if nonces != list(range(lane.next_nonce, lane.next_nonce + len(slots))):
            raise InvariantBroken("nonces have a gap")
        for slot in slots:
            self.tables.slots[slot.id] = SlotLine(lane.id, slot)
            for member in slot.members:
                self.tables.members.append(
                    MemberLine(slot.id, member.transfer_id, member.record, slot.purpose)
                )
                if slot.purpose is Purpose.SETTLE:
                    self._mark_written(member.transfer_id, slot.id)
        after = replace(self.tables.lanes[lane.id], next_nonce=lane.next_nonce + len(slots))
        self.tables.lanes[lane.id] = after

    def _mark_written(self, transfer_id: UUID, slot_id: UUID) -> None:
        transfer = self.tables.transfers[transfer_id]
        if transfer.state is not State.FUNDED or transfer.slot_id is not None:
            raise InvariantBroken("a transfer of a batch was not funded")
        self.tables.transfers[transfer_id] = replace(transfer, slot_id=slot_id, was_written=True)

    async def void_candidates(
        self, chain_id: int, contract: Address, limit: int
    ) -> Sequence[Candidate]:
        return [_candidate(each) for each in self._to_void()][:limit]

    # ---------------------------------------------------------------------------------- sending

    async def workload(self, lane_id: int, chain_id: int, contract: Address) -> Workload:
        unmined = [line for line in self.tables.slots.values() if line.state in UNMINED]
        own = [line for line in unmined if line.lane_id == lane_id]
        head = self._open(sorted(own, key=lambda line: line.slot.nonce)[:1])
        sent = [a for slot in head for a in slot.attempts if a.sends]
        return Workload(
            len(own),
            bool(self._funded()),
            bool(self._to_void()),
            is_unheard=bool(sent) and all(each.last_answer not in SEEN for each in sent),
            lacks_gas=bool(sent) and sent[-1].last_answer is AnswerClass.FUNDS,
            lanes=len(self.tables.lanes),
            unmined_of_all=len(unmined),
        )

    async def open_slots(self, lane_id: int) -> Sequence[OpenSlot]:
        return self._open([line for line in self._lines(lane_id) if line.state in UNMINED])

    async def members(self, slot_ids: Sequence[UUID], purpose: Purpose) -> Sequence[UUID]:
        return [
            each.transfer_id
            for each in self.tables.members
            if each.slot_id in slot_ids and each.purpose is purpose
        ]

    async def add_attempts(self, attempts: Sequence[Attempt]) -> Sequence[TxHash]:
        taken = {(each.slot_id, each.sequence) for each in self.tables.attempts.values()}
        stored = [each for each in attempts if (each.slot_id, each.sequence) not in taken]
        self.tables.attempts |= {each.tx_hash: each for each in stored}
        return [each.tx_hash for each in stored]

    async def lock_slots(self, ids: Sequence[UUID]) -> None:
        return

    async def make_noops(self, ids: Sequence[UUID]) -> Sequence[UUID]:
        signed = {each.slot_id for each in self.tables.attempts.values()}
        turned = []
        for slot_id in ids:
            line = self.tables.slots[slot_id]
            if line.state is not SlotState.WRITTEN or slot_id in signed:
                continue
            noop = replace(
                line.slot,
                purpose=Purpose.NOOP,
                contract=None,
                to=self.tables.lanes[line.lane_id].address,
                calldata=b"",
                gas_limit=NATIVE_TRANSFER_GAS,
                members=(),
            )
            self.tables.slots[slot_id] = replace(line, slot=noop)
            turned.append(slot_id)
        return turned

    async def mark_slots(self, ids: Sequence[UUID], state: SlotState) -> Sequence[UUID]:
        moved = []
        for slot_id in ids:
            line = self.tables.slots[slot_id]
            if line.state in UNMINED and line.state is not state:
                self.tables.slots[slot_id] = replace(line, state=state)
                moved.append(slot_id)
        return moved

    async def members_now(self, slot_ids: Sequence[UUID]) -> Sequence[MemberNow]:
        found = []
        for each in self.tables.members:
            if each.slot_id in slot_ids:
                transfer = self.tables.transfers[each.transfer_id]
                found.append(
                    MemberNow(
                        each.slot_id,
                        _candidate(transfer).record,
                        transfer.chain_id,
                        transfer.contract,
                        transfer.state,
                    )
                )
        return found

    async def saw_lane(self, lane_id: int, balance_wei: int, cap_left: int | None) -> None:
        return

    async def saw_contract(
        self, chain_id: int, contract: Address, block_number: int, facts: ContractFacts
    ) -> None:
        return

    async def trust_token(self, chain_id: int, contract: Address, code: bytes) -> bool:
        return True

    async def record_sends(self, verdicts: Mapping[TxHash, Verdict]) -> None:
        for tx_hash, verdict in verdicts.items():
            answer = verdict.answer
            old = self.tables.attempts[tx_hash]
            hides = answer is AnswerClass.AMBIGUOUS and old.last_answer in SEEN
            self.tables.attempts[tx_hash] = replace(
                old,
                sends=old.sends + 1,
                last_sent_at=self.tables.now,
                last_answer=old.last_answer if hides else answer,
            )

    async def final_block(self, chain_id: int) -> tuple[int, BlockHash] | None:
        cursor = self.tables.cursor
        return (cursor.final.number, cursor.final.hash) if cursor else None

    async def release_members(self, slot_ids: Sequence[UUID]) -> None:
        self.tables.members = [
            replace(each, is_live=False) if each.slot_id in slot_ids else each
            for each in self.tables.members
        ]

    async def unassign(self, slot_ids: Sequence[UUID]) -> None:
        for each in self.tables.transfers.values():
            if each.state is State.FUNDED and each.slot_id in slot_ids:
                self.tables.transfers[each.id] = replace(each, slot_id=None)

    async def raise_number_counter(
        self, chain_id: int, contract: Address, next_number: int
    ) -> None:
        self.tables.next_number = max(self.tables.next_number, next_number)

    async def next_number(self, chain_id: int, contract: Address) -> int:
        seen = [
            log.payment_number + 1
            for line in self.tables.blocks.values()
            for log in line.facts.settlement_logs
        ]
        return max([self.tables.next_number, *seen])

    # -------------------------------------------------------------------------------- relations

    def _funded(self) -> list[Transfer]:
        found = [
            each
            for each in self.tables.transfers.values()
            if each.state is State.FUNDED and each.slot_id is None
        ]
        return sorted(found, key=lambda each: (each.created_at, each.id))

    def _to_void(self) -> list[Transfer]:
        under_way = {
            each.transfer_id
            for each in self.tables.members
            if each.is_live and each.purpose is Purpose.VOID
        }
        decided = {
            log.payment_number
            for line in self.tables.blocks.values()
            for log in line.facts.settlement_logs
            if line.status == "final"
            and log.kind in (SettlementKind.SETTLED, SettlementKind.VOIDED)
        }
        return [
            each
            for each in self.tables.transfers.values()
            if each.state is State.VOIDING
            and each.id not in under_way
            and each.payment_number not in decided
        ]

    def _lines(self, lane_id: int) -> list[SlotLine]:
        lines = [line for line in self.tables.slots.values() if line.lane_id == lane_id]
        return sorted(lines, key=lambda line: line.slot.nonce)

    def _open(self, lines: Sequence[SlotLine]) -> list[OpenSlot]:
        return [
            OpenSlot(
                id=line.slot.id,
                nonce=line.slot.nonce,
                purpose=line.slot.purpose,
                state=line.state,
                to=line.slot.to,
                value_wei=line.slot.value_wei,
                calldata=line.slot.calldata,
                gas_limit=line.slot.gas_limit,
                attempts=sorted(
                    (a for a in self.tables.attempts.values() if a.slot_id == line.slot.id),
                    key=lambda attempt: attempt.sequence,
                ),
            )
            for line in lines
        ]


def _candidate(transfer: Transfer) -> Candidate:
    return Candidate(
        transfer.id,
        PaymentRecord(transfer.payment_number, transfer.beneficiary_address, transfer.amounts.buy),
        transfer.was_written,
        transfer.batches_failed,
        Waiting(transfer.waiting_code) if transfer.waiting_code else None,
        transfer.created_at,
    )
