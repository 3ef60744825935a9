"""Signing: what was written is compared with the books, signed, read back and stored.

Nothing is sent here (`node.services.settlement.sending`), and only what is stored here ever is.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from node.core.errors import InvariantBroken
from node.core.ids import Prefix, encode_id
from node.core.ports import Unit
from node.core.ports.chain import UnsignedTransaction
from node.core.ports.settlement import Attempt, Lane, MemberNow, OpenSlot
from node.core.ports.transfers import NewEvent, Transfer
from node.core.settlement import (
    LaneStatus,
    Purpose,
    SlotState,
    settle_calldata,
    settle_records,
    void_numbers,
)
from node.core.signing import KeyRole
from node.core.submission import Fees
from node.core.transfers import TERMINAL, Happening, State
from node.services.settlement.parts import SettlementParts
from node.services.transfers import transfer_moves

_FIRST = 1


class SlotSigner:
    """Gives slots signed attempts."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts

    async def sign_written(self, lane: Lane) -> int:
        """Sign and store every written slot that has no attempt, by nonce; how many.

        Where a call is not what the books say, or the key may not or does not sign it as it is,
        nothing is signed and the lane stops.

        During a pause payments that nobody signed give up their nonces to no-ops: voids come
        after them, and a resume must not pay what was voided meanwhile.
        """
        parts = self._parts
        async with parts.units() as unit:
            slots = await _unsigned(unit, lane)
            now = unit.now
            if slots and await unit.settlement.pauses():
                await self._give_up(unit, lane)
                slots = [each for each in await _unsigned(unit, lane) if not _stops(lane, each)]
            if slots and await self._has_difference(unit, lane, slots):
                return 0
        if not slots:
            return 0
        fees, source = await parts.market()
        try:
            attempts = [await self.signed(lane, each, _FIRST, fees, source, now) for each in slots]
        except InvariantBroken as error:
            await self.stop(lane, f"nothing is signed any more: {error}")
            return 0
        parts.failpoint("after_sign")
        await self._store(lane, attempts, slots)
        parts.failpoint("after_store")
        return len(attempts)

    async def signed(
        self, lane: Lane, slot: OpenSlot, sequence: int, fees: Fees, source: str, now: datetime
    ) -> Attempt:
        """A signed attempt that was read back and compared with the slot.

        Raises:
            InvariantBroken: The key may not sign this, or the signer signed something else; it
                must not be stored nor sent.
            SignerUnavailable: The key cannot be used now.
        """
        parts = self._parts
        wanted = UnsignedTransaction(
            chain_id=parts.chain_id,
            nonce=slot.nonce,
            to=slot.to,
            value_wei=slot.value_wei,
            data=slot.calldata,
            gas_limit=slot.gas_limit,
            max_fee_per_gas_wei=fees.max_fee_per_gas_wei,
            max_priority_fee_per_gas_wei=fees.max_priority_fee_per_gas_wei,
        )
        if parts.policy is not None:
            parts.policy.check(wanted)
        signed = await parts.signer.sign(wanted)
        if parts.reader.decode(signed.raw) != (lane.address, signed.hash, wanted):
            raise InvariantBroken(f"what was signed for nonce {slot.nonce} is not what was written")
        return Attempt(signed.hash, slot.id, sequence, signed.raw, fees, source, now)

    async def stop(self, lane: Lane, reason: str) -> None:
        """Let the lane take no more work until an operator lets it go on."""
        async with self._parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, self._parts.lease_s)
            await unit.settlement.set_lane_status(lane.id, LaneStatus.STOPPED, reason)

    async def _has_difference(self, unit: Unit, lane: Lane, slots: Sequence[OpenSlot]) -> bool:
        """Whether a call says anything else than the books; the lane stops then."""
        members: dict[UUID, list[MemberNow]] = defaultdict(list)
        for member in await unit.settlement.members_now([each.id for each in slots]):
            members[member.slot_id].append(member)
        for slot in slots:
            fault = self._difference(slot, members[slot.id])
            if fault is not None:
                await unit.settlement.lock_lane(lane.id, lane.epoch, self._parts.lease_s)
                reason = f"the call of nonce {slot.nonce} is not signed: {fault}"
                await unit.settlement.set_lane_status(lane.id, LaneStatus.STOPPED, reason)
                return True
        return False

    def _difference(self, slot: OpenSlot, members: Sequence[MemberNow]) -> str | None:
        """What differs between a call and what its members are now; None: nothing."""
        if slot.purpose not in (Purpose.SETTLE, Purpose.VOID):
            return None  # nobody's money: the key's policy says what such a call may be
        here = (self._parts.chain_id, self._parts.contract.address)
        if (slot.to, slot.value_wei) != (here[1], 0):
            return "it does not call the settlement contract"
        if any((each.chain_id, each.contract) != here for each in members):
            return "it has a transfer of another contract"
        is_void = slot.purpose is Purpose.VOID
        if not is_void and any(each.state in TERMINAL for each in members):
            return "it has a transfer that has ended"  # to void its number is only of no use
        records = [each.record for each in members]
        try:
            if is_void:
                is_equal = void_numbers(slot.calldata) == [each.number for each in records]
            else:
                found = settle_records(slot.calldata)
                is_equal = found == records and settle_calldata(found) == slot.calldata
        except InvariantBroken as error:
            return str(error)
        return None if is_equal else "its numbers, beneficiaries or amounts are not the transfers'"

    async def _store(
        self, lane: Lane, attempts: Sequence[Attempt], slots: Sequence[OpenSlot]
    ) -> None:
        """Commit first attempts; their transfers are `submitted` from then on.

        What is not committed is never sent: signatures of payments that a pause has overtaken
        are dropped here.
        """
        hashes = {each.slot_id: each.tx_hash for each in attempts}
        async with self._parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, self._parts.lease_s)
            if await unit.settlement.pauses():
                await self._give_up(unit, lane)
                slots = [each for each in slots if not _stops(lane, each)]
                kept = {each.id for each in slots}
                attempts = [each for each in attempts if each.slot_id in kept]
            stored = set(await unit.settlement.add_attempts(attempts))
            await unit.settlement.mark_slots([each.id for each in slots], SlotState.SUBMITTED)
            fresh = [each.slot_id for each in attempts if each.tx_hash in stored]
            events = await move_members(
                unit,
                fresh,
                State.FUNDED,
                Happening.SIGNED,
                lambda each: {"tx_hash": hashes[each.slot_id]} if each.slot_id else {},
            )
            await unit.events.append(events)

    async def _give_up(self, unit: Unit, lane: Lane) -> None:
        """Turn what a pause stops and nobody signed into no-ops; it waits for another nonce.

        Bytes that were never stored were never sent, so that the numbers are free for others.
        """
        await unit.settlement.lock_lane(lane.id, lane.epoch, self._parts.lease_s)
        slots = await _unsigned(unit, lane)
        stopped = [each.id for each in slots if _stops(lane, each)]
        await unit.settlement.lock_slots(stopped)
        noops = await unit.settlement.make_noops(stopped)
        await unit.settlement.release_members(noops)
        await unit.settlement.unassign(noops)
        await unit.movements.withdraw(noops)


async def move_members(
    unit: Unit,
    slot_ids: Sequence[UUID],
    state: State,
    happening: Happening,
    changes: Callable[[Transfer], Mapping[str, object]] = lambda _: {},
) -> list[NewEvent]:
    """Let something happen to those transfers of settle slots that are in a state.

    A slot that was given up has members too, but no transfer is in it.
    """
    if not slot_ids:
        return []
    members = await unit.settlement.members(slot_ids, Purpose.SETTLE)
    transfers = [
        each
        for each in await unit.transfers.lock_many(members)
        if each.state is state and each.slot_id in slot_ids
    ]
    return await transfer_moves.apply(
        unit,
        transfers,
        happening,
        changes=changes,
        detail=lambda each: _detail(each, changes(each)),
    )


def _stops(lane: Lane, slot: OpenSlot) -> bool:
    """Whether a pause keeps a slot from being signed.

    Voids, no-ops and the contract's own pause go on, and so does what the rescuer's key does:
    its movements are for the time in which the contract is paused.
    """
    if slot.purpose is Purpose.MOVEMENT:
        return lane.role is not KeyRole.RESCUER
    return slot.purpose is Purpose.SETTLE


async def _unsigned(unit: Unit, lane: Lane) -> list[OpenSlot]:
    return [each for each in await unit.settlement.open_slots(lane.id) if not each.attempts]


def _detail(transfer: Transfer, changes: Mapping[str, object]) -> Mapping[str, object]:
    """What the timeline says: the batch, by the id operators know it by, and its transaction."""
    detail = {
        name: f"0x{value.hex()}" for name, value in changes.items() if isinstance(value, bytes)
    }
    if transfer.slot_id is not None:
        detail["batch_id"] = encode_id(Prefix.BATCH, transfer.slot_id)
    return detail
