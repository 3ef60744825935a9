"""Writing: candidates become slots with nonces, in one transaction; what cannot be paid is told.

From the commit on the composition of a slot never changes and nobody can cancel its transfers.
Not here: signing and sending (`node.services.settlement_sending`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from node.core.ports import Unit
from node.core.ports.settlement import Candidate, Lane, Member, NewSlot
from node.core.ports.transfers import NewEvent, Transfer
from node.core.settlement import (
    BATCHES_FAILED_MAX,
    RECORDS_MAX,
    LaneStatus,
    PauseReason,
    Purpose,
    Waiting,
    batch_sizes,
    settle_calldata,
    settle_gas,
    void_calldata,
    void_gas,
    within_float,
)
from node.core.transfers import Happening, State
from node.services import transfer_moves
from node.services.settlement_gate import BATCHES_FAILED, NUMBER_USED, Gate, Passage
from node.services.settlement_lease import ahead_reason
from node.services.settlement_parts import LEASE_S, NODE, SettlementParts

_MILLISECOND = timedelta(milliseconds=1)
_PATIENCE = timedelta(seconds=1)
"""How long candidates that must wait are left alone before the chain is asked again."""

_EXPIRY_PERIOD = timedelta(seconds=5)
_EXPIRED_PER_PASS = 500
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
        self._expiry_due: datetime | None = None

    async def write_batches(self, lane: Lane) -> int:
        """Gate the oldest funded transfers and write batches of them; how many slots."""
        parts, rules = self._parts, self._parts.batches
        contract = parts.contract.address
        async with parts.units() as unit:
            if self._patient_until is not None and unit.now < self._patient_until:
                return 0
            unmined = (await unit.settlement.workload(lane.id, parts.chain_id, contract)).unmined
            free = rules.slots_unmined_max - unmined
            if free <= 0:
                return 0
            candidates = await unit.settlement.candidates(
                parts.chain_id, contract, free * rules.payments_max
            )
            now = unit.now
            if candidates and await unit.settlement.pauses():
                self._patient_until = now + _PATIENCE
                await _mark_waiting(unit, Waiting.PAUSED, candidates)
                return 0
        if not candidates:
            return 0
        age_ms = (now - candidates[0].created_at) // _MILLISECOND
        sizes = batch_sizes(len(candidates), age_ms, free, rules, is_idle=unmined == 0)
        batches = _cut(candidates, sizes)
        if not batches:
            return 0
        passage = await self._gate.examine(lane, batches, unmined)
        parts.failpoint("after_gate")
        written = await self._write(lane, passage)
        parts.failpoint("after_write")
        if not written:
            self._patient_until = now + _PATIENCE
        return written

    async def _write(self, lane: Lane, passage: Passage) -> int:
        """One transaction: the lane's nonces, the slots, their members, and what must wait."""
        parts = self._parts
        contract = parts.contract.address
        if passage.refused:
            await self._refuse(passage.refused)
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            if passage.nonce > lane.next_nonce or passage.pause_note:
                await _stop(unit, lane, passage)
                return 0
            if await unit.settlement.pauses():
                return 0
            await unit.settlement.lock_float(parts.chain_id, contract)
            free_units = passage.float_units - await unit.settlement.committed_units(
                parts.chain_id, contract, passage.block.number
            )
            everybody = [each.transfer_id for batch in passage.batches for each in batch]
            others = [
                each.transfer_id
                for some in (*passage.waiting.values(), *passage.held.values())
                for each in some
            ]
            still = await unit.settlement.lock_candidates(everybody + others)
            slots: list[NewSlot] = []
            for batch in passage.batches:
                eligible = [each for each in batch if each.transfer_id in still]
                count = within_float([each.record.amount for each in eligible], free_units)
                free_units -= sum(each.record.amount for each in eligible[:count])
                if count:
                    slots.append(self._slot(lane.next_nonce + len(slots), eligible[:count]))
                if count < len(eligible):
                    free_units = 0
                    passage.wait(Waiting.FLOAT_SHORT, eligible[count:])
            if slots:
                await unit.settlement.write_slots(lane, slots)
            for code, waiting in passage.waiting.items():
                await _mark_waiting(unit, code, [c for c in waiting if c.transfer_id in still])
            events: list[NewEvent] = []
            for why, held in passage.held.items():
                ids = [c.transfer_id for c in held if c.transfer_id in still]
                events += await _hold(unit, await unit.transfers.lock_many(ids), why)
            await unit.events.append(events)
        return len(slots)

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

    async def _refuse(self, candidates: Sequence[Candidate]) -> None:
        """The token refuses these beneficiaries for good: money back, by a void where needed."""
        await self._end(
            candidates,
            Happening.FAILED,
            {
                "code": "beneficiary_refused",
                "message": "the token does not let this address receive; nothing was paid",
            },
        )

    async def write_voids(self, lane: Lane) -> int:
        """Gather numbers that must never be paid and write voids of them; how many slots."""
        parts = self._parts
        contract = parts.contract.address
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
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
            events = await _hold(unit, [e for e in found if e.id in used], NUMBER_USED)
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


async def _stop(unit: Unit, lane: Lane, passage: Passage) -> None:
    if passage.nonce > lane.next_nonce:
        await unit.settlement.set_lane_status(
            lane.id, LaneStatus.AHEAD, ahead_reason(lane, passage.nonce)
        )
    else:
        await unit.settlement.pause(PauseReason.OPERATOR, NODE, hard=False, note=passage.pause_note)


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
