"""Writing: candidates become slots with nonces, in one transaction; what cannot be paid is told.

From the commit on the composition of a slot never changes and nobody can cancel its transfers.
Not here: signing and sending (`node.services.settlement.sending`).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from node.core.errors import ChainUnavailable
from node.core.ports import Unit
from node.core.ports.chain import BlockRef
from node.core.ports.settlement import Candidate, Lane, Member, NewSlot, Workload
from node.core.ports.transfers import NewEvent, Transfer
from node.core.settlement import (
    BATCHES_FAILED_MAX,
    RECORDS_MAX,
    LaneStatus,
    PauseReason,
    Purpose,
    Waiting,
    batch_sizes,
    payments_within,
    settle_calldata,
    settle_gas,
    void_calldata,
    void_gas,
    within_float,
)
from node.core.transfers import Happening, State
from node.core.units import BlockHash
from node.services.settlement.gate import (
    BATCHES_FAILED,
    NUMBER_USED,
    Gate,
    Passage,
    available,
    largest,
    parted,
    shortage,
)
from node.services.settlement.lease import ahead_reason
from node.services.settlement.parts import NODE, SettlementParts
from node.services.settlement.renumbering import renumber
from node.services.transfers import transfer_moves

_MILLISECOND = timedelta(milliseconds=1)
_PATIENCE = timedelta(seconds=1)
"""How long candidates that must wait are left alone before the chain is asked again."""

_EXPIRY_PERIOD = timedelta(seconds=5)
_EXPIRED_PER_PASS = 500
_CODE_CHANGED = (
    "the code that the token runs has changed: compare it with what its issuer says; to resume is"
    " to accept it"
)
_REFUSED = {
    "code": "beneficiary_refused",
    "message": "the token does not let this address receive; nothing was paid",
}
_HELD = {
    NUMBER_USED: "the contract has paid or voided this payment number before",
    BATCHES_FAILED: f"{BATCHES_FAILED_MAX} batches did not pay it; nothing of it was paid",
}


class Writer:
    """Writes batches and voids, and ends what can never be written."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._gate = Gate(parts)
        self._patient_until: datetime | None = None
        self._was_late = False  # another process has written what was examined
        self._expiry_due: datetime | None = None
        self._largest: int | None = None  # token units that fit under the caps, as last read

    async def write_batches(self, lane: Lane) -> int:
        """Gate the oldest funded transfers and write batches of them; how many slots.

        One lane of a process does this at a time, so that no two examine the same transfers.
        """
        async with self._parts.writing:
            return await self._write_batches(lane)

    async def _write_batches(self, lane: Lane) -> int:
        parts, rules = self._parts, self._parts.batches
        contract = parts.contract.address
        async with parts.units() as unit:
            if self._patient_until is not None and unit.now < self._patient_until:
                return 0
            load = await unit.settlement.workload(lane.id, parts.chain_id, contract)
            free = rules.slots_unmined_max - load.unmined
            if free <= 0 or await unit.settlement.is_recovering(parts.chain_id):
                return 0
            candidates = await unit.settlement.candidates(
                parts.chain_id, contract, free * rules.payments_max
            )
            now = unit.now
            if waiting := await _reason_to_wait(unit, load):
                self._patient_until = now + _PATIENCE
                await _mark_waiting(unit, waiting, candidates)
                return 0
        if not candidates or load.is_unheard:
            return 0
        with parts.chain.pinned():
            head = await self._gate.head()
            fitting, oversized = parted(candidates, self._largest)
            batches = self._batches(fitting or oversized, load, now, head)
            if not batches:
                return 0
            passage = await self._gate.examine(lane, head, batches, load.unmined)
        self._largest = largest(passage.facts)
        if fitting:
            passage.wait(Waiting.CAP_REACHED, parted(oversized, self._largest)[1])
        parts.failpoint("after_gate")
        self._was_late = False
        written = await self._write(lane, passage)
        parts.failpoint("after_write")
        if not written and not self._was_late:
            self._patient_until = now + _PATIENCE
        return written

    def _batches(
        self, candidates: Sequence[Candidate], load: Workload, now: datetime, head: BlockRef
    ) -> list[Sequence[Candidate]]:
        """This lane's batches of the oldest candidates, none larger than a block allows.

        Several lanes share: each takes its part of the batches that wait, and leaves the others.

        Raises:
            ChainUnavailable: No block holds even one payment.
        """
        rules = self._parts.batches
        size = min(rules.payments_max, payments_within(head.gas_limit))
        if size == 0:
            raise ChainUnavailable(f"a block's gas limit of {head.gas_limit} holds no payment")
        rules = replace(rules, payments_max=size)
        age_ms = (now - candidates[0].created_at) // _MILLISECOND
        free = rules.slots_unmined_max - load.unmined
        is_idle = load.unmined_of_all == 0
        sizes = batch_sizes(len(candidates), age_ms, free, rules, is_idle=is_idle)
        return _cut(candidates, sizes[: -(-len(sizes) // load.lanes)])

    async def _write(self, lane: Lane, passage: Passage) -> int:
        """One transaction: the lane's nonces, the slots, their members, and what must wait."""
        parts = self._parts
        contract = parts.contract.address
        if passage.refused:
            await self._refuse(lane, passage.refused)
        if used := passage.held.pop(NUMBER_USED, None):
            await self._give_other_numbers(used)
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            if await self._is_stopped(unit, lane, passage):
                return 0
            await unit.settlement.lock_float(parts.chain_id, contract)
            everybody = [each.transfer_id for batch in passage.batches for each in batch]
            others = [
                each.transfer_id
                for some in (*passage.waiting.values(), *passage.held.values())
                for each in some
            ]
            still = await unit.settlement.lock_candidates(everybody + others)
            slots = await self._slots(unit, lane, passage, still)
            if slots:
                await unit.settlement.write_slots(lane, slots)
            for code, waiting in passage.waiting.items():
                await _mark_waiting(unit, code, [c for c in waiting if c.transfer_id in still])
            self._was_late = bool(everybody) and not still
            events: list[NewEvent] = []
            for why, held in passage.held.items():
                ids = [c.transfer_id for c in held if c.transfer_id in still]
                events += await _hold(unit, await unit.transfers.lock_many(ids), why)
            await unit.events.append(events)
        return len(slots)

    async def _give_other_numbers(self, candidates: Sequence[Candidate]) -> None:
        """The chain has used these numbers.

        Who was never written and whose number paid somebody else gets a new one. Who was written,
        or was paid perhaps, is an operator's. What the mirror has not told of yet is left alone
        until it has.
        """
        async with self._parts.units() as unit:
            if await unit.settlement.is_recovering(self._parts.chain_id):
                return
            await unit.ledger.lock()  # before the counter and the transfers, as acceptance does
            found = [
                each
                for each in await unit.transfers.lock_many([c.transfer_id for c in candidates])
                if each.slot_id is None and each.state is State.FUNDED
            ]
            fresh = [each for each in found if not each.was_written]
            events = await renumber(unit, fresh)
            told = await unit.transfers.used_on_chain([each.id for each in fresh])
            held = [each for each in found if each.was_written or each.id in told]
            events += await _hold(unit, held, NUMBER_USED)
            await unit.events.append(events)

    async def _is_stopped(self, unit: Unit, lane: Lane, passage: Passage) -> bool:
        """Whether nothing may be written after all; the lane is locked, and told why."""
        parts = self._parts
        if passage.nonce > lane.next_nonce:
            await unit.settlement.set_lane_status(
                lane.id, LaneStatus.AHEAD, ahead_reason(lane, passage.nonce)
            )
            return True
        if passage.stop_note:
            await unit.settlement.set_lane_status(lane.id, LaneStatus.STOPPED, passage.stop_note)
            return True
        note = passage.pause_note
        if not note and not await unit.settlement.trust_token(
            parts.chain_id, parts.contract.address, passage.token_code
        ):
            note = _CODE_CHANGED
        if note:
            await unit.settlement.pause(PauseReason.OPERATOR, NODE, hard=False, note=note)
            return True
        is_recovering = await unit.settlement.is_recovering(parts.chain_id)
        return is_recovering or bool(await unit.settlement.pauses())

    async def _slots(
        self, unit: Unit, lane: Lane, passage: Passage, still: frozenset[UUID]
    ) -> list[NewSlot]:
        """What is written of the batches: those still funded, as far as float and caps pay.

        What all lanes have written and is not in the block that was read counts against them.
        The order is kept: whoever does not fit makes all younger ones wait.
        """
        parts, block = self._parts, passage.block.number
        here = (parts.chain_id, parts.contract.address)
        committed = await unit.settlement.committed_units(*here, block)
        of_lane = await unit.settlement.committed_units(*here, block, lane.id)
        left = available(passage.facts, committed, of_lane)
        short = shortage(passage.facts, committed, of_lane)
        slots: list[NewSlot] = []
        for batch in passage.batches:
            eligible = [each for each in batch if each.transfer_id in still]
            count = within_float([each.record.amount for each in eligible], left)
            left -= sum(each.record.amount for each in eligible[:count])
            if count:
                slots.append(self._slot(lane.next_nonce + len(slots), eligible[:count]))
            if count < len(eligible):
                left = 0
                passage.wait(short, eligible[count:])
        return slots

    def _slot(self, nonce: int, batch: Sequence[Candidate]) -> NewSlot:
        contract = self._parts.contract.address
        records = [each.record for each in batch]
        return NewSlot(
            id=self._parts.new_id(),
            nonce=nonce,
            purpose=Purpose.SETTLE,
            contract=contract,
            to=contract,
            calldata=settle_calldata(records),
            gas_limit=settle_gas(len(records)),
            members=[Member(each.transfer_id, each.record) for each in batch],
        )

    async def _refuse(self, lane: Lane, candidates: Sequence[Candidate]) -> None:
        """The token refuses these beneficiaries for good: money back, by a void where needed.

        What was never in a batch ends at once. A void is for ever: it is asked for only where
        the token refuses at the final block too, which no reorg takes away.
        """
        parts = self._parts
        written = [each for each in candidates if each.was_written]
        ended = [each for each in candidates if not each.was_written]
        if written:
            async with parts.units() as unit:
                final = await unit.settlement.final_block(parts.chain_id)
            if final is not None:
                ended += await self._proven(lane, final[1], written)
        if ended:
            await self._end(ended, Happening.FAILED, _REFUSED)

    async def _proven(
        self, lane: Lane, block: BlockHash, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Those that are refused at that block too; where its state is gone, none is.

        The others that wait are not held up by it: a later final block tells.
        """
        try:
            proven = await self._gate.still_refused(lane, block, candidates)
        except ChainUnavailable:
            return []
        return [each for each in candidates if each.transfer_id in proven]

    async def write_voids(self, lane: Lane) -> int:
        """Gather numbers that must never be paid and write voids of them; how many slots.

        The contract's lock comes before the choice: what another lane has written meanwhile is
        seen, and no number is in two voids. As with batches, nothing is written while a lane that
        settles has to be adopted: what this database voids may be what it forgot to have paid.
        """
        parts = self._parts
        contract = parts.contract.address
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            load = await unit.settlement.workload(lane.id, parts.chain_id, contract)
            if load.unmined >= parts.batches.slots_unmined_max or load.is_unheard:
                return 0
            if await unit.settlement.is_recovering(parts.chain_id):
                return 0
            await unit.settlement.lock_float(parts.chain_id, contract)
            candidates = await unit.settlement.void_candidates(
                parts.chain_id, contract, RECORDS_MAX
            )
            if candidates:
                numbers = [each.record.number for each in candidates]
                slot = NewSlot(
                    id=parts.new_id(),
                    nonce=lane.next_nonce,
                    purpose=Purpose.VOID,
                    contract=contract,
                    to=contract,
                    calldata=void_calldata(numbers),
                    gas_limit=void_gas(len(numbers)),
                    members=[Member(each.transfer_id, each.record) for each in candidates],
                )
                await unit.settlement.write_slots(lane, [slot])
        parts.failpoint("after_void_write")
        return 1 if candidates else 0

    async def expire(self, now: datetime) -> int:
        """End what is still funded after `settle_by`; now and then, how many."""
        parts = self._parts
        if self._expiry_due is not None and now < self._expiry_due:
            return 0
        self._expiry_due = now + _EXPIRY_PERIOD
        async with parts.units() as unit:
            overdue = await unit.settlement.overdue(
                parts.chain_id, parts.contract.address, _EXPIRED_PER_PASS
            )
        if not overdue:
            return 0
        return await self._end(
            overdue,
            Happening.EXPIRED,
            {"code": "expired", "message": "it could not be settled in time"},
        )

    async def _end(
        self, candidates: Sequence[Candidate], happening: Happening, failure: dict[str, str]
    ) -> int:
        """End funded transfers; those whose number was ever in a written batch are voided first.

        The chain is asked before: a database restored from an older copy does not know what it
        paid. A number that is used on chain is an operator's, and nothing ends while a lane has
        to be adopted.

        Returns:
            How many were moved.
        """
        outcome = "failed" if happening is Happening.FAILED else "expired"
        used = await self._gate.used(candidates)
        if used is None:
            return 0
        async with self._parts.units() as unit:
            if await unit.settlement.is_recovering(self._parts.chain_id):
                return 0
            await unit.ledger.lock()
            found = [
                each
                for each in await unit.transfers.lock_many([c.transfer_id for c in candidates])
                if each.slot_id is None and each.state is State.FUNDED
            ]
            used |= await unit.transfers.used_on_chain([each.id for each in found])
            ended = [each for each in found if not each.was_written and each.id not in used]
            voided = [each for each in found if each.was_written and each.id not in used]
            taken = [each for each in found if each.id in used]
            events = await renumber(unit, [each for each in taken if not each.was_written])
            renamed = {each.object_id for each in events}  # they end with their next look
            events += await _hold(unit, [e for e in taken if e.id not in renamed], NUMBER_USED)
            events += await transfer_moves.apply(
                unit,
                ended,
                happening,
                changes=lambda _: {"failure": failure},
                detail=lambda _: failure,
            )
            events += await transfer_moves.apply(
                unit,
                voided,
                Happening.VOID_ASKED,
                changes=lambda _: {"failure": failure, "void_outcome": outcome},
                detail=lambda _: failure,
            )
            await unit.events.append(events)
        return len(found)


async def _hold(unit: Unit, transfers: Sequence[Transfer], why: str) -> list[NewEvent]:
    """Leave these, which are locked, to an operator."""
    failure = {"code": why, "message": _HELD[why]}
    return await transfer_moves.apply(
        unit,
        transfers,
        Happening.HELD,
        changes=lambda _: {"failure": failure},
        detail=lambda _: failure,
    )


async def _reason_to_wait(unit: Unit, load: Workload) -> Waiting | None:
    """Why nothing is written now, whatever the chain says."""
    if await unit.settlement.pauses():
        return Waiting.PAUSED
    return Waiting.GAS_LOW if load.lacks_gas else None


async def _mark_waiting(unit: Unit, code: Waiting, candidates: Sequence[Candidate]) -> None:
    changed = [each.transfer_id for each in candidates if each.waiting_code is not code]
    if changed:
        await unit.settlement.lock_candidates(changed)
        await unit.transfers.mark_waiting(changed, code.value)


def _cut(candidates: Sequence[Candidate], sizes: Sequence[int]) -> list[Sequence[Candidate]]:
    batches = []
    at = 0
    for size in sizes:
        batches.append(candidates[at : at + size])
        at += size
    return batches
