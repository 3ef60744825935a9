"""Signing, storing, sending, sending again, bumping: from a written slot to a mined nonce.

Only bytes that are committed leave the process. Nothing here concludes that somebody was paid,
or was not: that is the mirror's.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from node.core.errors import InvariantBroken
from node.core.ids import Prefix, encode_id
from node.core.ports import Unit
from node.core.ports.chain import SendAnswer, UnsignedTransaction
from node.core.ports.settlement import Attempt, Lane, OpenSlot
from node.core.ports.transfers import NewEvent, Transfer
from node.core.settlement import LaneStatus, Purpose, SlotState
from node.core.submission import (
    SEEN,
    AnswerClass,
    Fees,
    answer_class,
    bumped_fees,
    highest_fees,
    strongest,
)
from node.core.transfers import Happening, State
from node.core.units import TxHash
from node.services import transfer_moves
from node.services.settlement_lease import ahead_reason
from node.services.settlement_parts import LEASE_S, SettlementParts

_BUMP_DEPTH = 10
"""Only the lowest nonces are bumped: the others wait for them, not for their fees."""

_UNKNOWN_RESEND = timedelta(seconds=2)
_SENDS_WITHOUT_EFFECT = 3
_DURING_PAUSE = frozenset({Purpose.VOID, Purpose.NOOP})


class Sender:
    """Takes slots from written to mined."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._gap_seen = False

    async def sign_written(self, lane: Lane) -> int:
        """Sign and store every written slot that has no attempt, by nonce; how many.

        During a pause payments that nobody signed give up their nonces to no-ops: voids come
        after them, and a resume must not pay what was voided meanwhile.
        """
        parts = self._parts
        async with parts.units() as unit:
            slots = await _unsigned(unit, lane)
            now = unit.now
            if slots and await unit.settlement.pauses():
                await self._give_up(unit, lane, slots)
                slots = [s for s in await _unsigned(unit, lane) if s.purpose in _DURING_PAUSE]
        if not slots:
            return 0
        fees = await parts.market_fees()
        attempts = [await self._signed(lane, each, 1, fees, "fee_history", now) for each in slots]
        parts.failpoint("after_sign")
        await self._store(lane, attempts, slots)
        parts.failpoint("after_store")
        return len(attempts)

    async def send_due(self, lane: Lane) -> int:
        """Send what was never sent, or too long ago, in the order of nonces; how many."""
        parts = self._parts
        async with parts.units() as unit:
            slots = [s for s in await unit.settlement.open_slots(lane.id) if s.attempts]
            is_hard = any(each.hard for each in await unit.settlement.pauses())
            now = unit.now
        due = slots if self._gap_seen else [each for each in slots if self._is_due(each, now)]
        if any(each.attempts[-1].sends for each in due):
            # What is mined needs no resend; the mirror will say what became of it.
            mined = await parts.chain.nonce(lane.address, "latest")
            if await self._is_ahead(lane, mined):
                return 0
            due = [each for each in due if each.nonce >= mined]
            if due and not is_hard:
                await self._bump(lane, due[:_BUMP_DEPTH], now)
        self._gap_seen = False
        return await self._send(lane, [each.attempts[-1] for each in due])

    def _is_due(self, slot: OpenSlot, now: datetime) -> bool:
        newest = slot.attempts[-1]
        if newest.last_sent_at is None:
            return True
        patience = timedelta(seconds=self._parts.fees.resend_after_s)
        if slot.state is SlotState.UNKNOWN:
            patience = min(patience, _UNKNOWN_RESEND)
        return now - newest.last_sent_at >= patience

    # -------------------------------------------------------------------------------- signing

    @staticmethod
    async def _give_up(unit: Unit, lane: Lane, slots: Sequence[OpenSlot]) -> None:
        """Turn payments without an attempt into no-ops; their transfers are candidates again.

        Bytes that were never stored were never sent, so that the numbers are free for others.
        """
        payments = [each.id for each in slots if each.purpose is Purpose.SETTLE]
        await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
        await unit.settlement.lock_slots(payments)
        noops = await unit.settlement.make_noops(payments)
        await unit.settlement.release_members(noops)
        await unit.settlement.unassign(noops)

    async def _signed(
        self, lane: Lane, slot: OpenSlot, sequence: int, fees: Fees, source: str, now: datetime
    ) -> Attempt:
        """A signed attempt that was read back and compared with the slot.

        Raises:
            InvariantBroken: The signer signed something else; it must not be stored nor sent.
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
        signed = await parts.signer.sign(wanted)
        if parts.reader.decode(signed.raw) != (lane.address, signed.hash, wanted):
            raise InvariantBroken(f"what was signed for nonce {slot.nonce} is not what was written")
        return Attempt(signed.hash, slot.id, sequence, signed.raw, fees, source, now)

    async def _store(
        self, lane: Lane, attempts: Sequence[Attempt], slots: Sequence[OpenSlot]
    ) -> None:
        """Commit first attempts; their transfers are `submitted` from then on."""
        hashes = {each.slot_id: each.tx_hash for each in attempts}
        async with self._parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            stored = set(await unit.settlement.add_attempts(attempts))
            await unit.settlement.mark_slots([each.id for each in slots], SlotState.SUBMITTED)
            fresh = [each.slot_id for each in attempts if each.tx_hash in stored]
            events = await self._move_members(
                unit,
                fresh,
                State.FUNDED,
                Happening.SIGNED,
                lambda each: {"tx_hash": hashes[each.slot_id]} if each.slot_id else {},
            )
            await unit.events.append(events)

    async def _bump(self, lane: Lane, slots: Sequence[OpenSlot], now: datetime) -> None:
        """Replace attempts that the market has left behind; stored before anything is sent.

        Slots in `slots` keep their old attempts: the new ones are due at the next pass.
        """
        parts = self._parts
        patience = timedelta(seconds=parts.fees.bump_after_blocks * parts.block_s)
        # By the chain's clock: while there are no blocks, a higher fee buys nothing.
        mined_until = datetime.fromtimestamp((await parts.chain.head()).timestamp_s, UTC)
        stale = [
            each
            for each in slots
            if mined_until - each.attempts[-1].created_at.replace(microsecond=0) >= patience
        ]
        if not stale:
            return
        market = await parts.market_fees()
        bumps: list[Attempt] = []
        for slot in stale:
            newest = slot.attempts[-1]
            is_behind = market.max_fee_per_gas_wei > newest.fees.max_fee_per_gas_wei
            if not is_behind and newest.sends < _SENDS_WITHOUT_EFFECT:
                continue
            fees = bumped_fees(
                highest_fees(each.fees for each in slot.attempts), market, parts.fees
            )
            if fees is not None:
                bumps.append(await self._signed(lane, slot, newest.sequence + 1, fees, "bump", now))
        if not bumps:
            return
        parts.failpoint("after_bump_sign")
        async with parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            await unit.settlement.add_attempts(bumps)
        parts.failpoint("after_bump_store")

    # -------------------------------------------------------------------------------- sending

    async def _send(self, lane: Lane, attempts: Sequence[Attempt]) -> int:
        """Send to every provider, once, and store what the answers allow to conclude."""
        if not attempts:
            return 0
        parts = self._parts
        answers = await parts.chain.send_raw([each.raw for each in attempts])
        parts.failpoint("after_send")
        classes: dict[TxHash, AnswerClass] = {
            attempt.tx_hash: _class_of(attempt, given)
            for attempt, given in zip(attempts, answers, strict=True)
        }
        self._gap_seen = AnswerClass.NONCE_HIGH in classes.values()
        lost = [
            each.slot_id
            for each in attempts
            if classes[each.tx_hash] is AnswerClass.AMBIGUOUS and each.last_answer not in SEEN
        ]
        seen = [each.slot_id for each in attempts if classes[each.tx_hash] in SEEN]
        async with parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            if AnswerClass.RESERVED in classes.values():
                await unit.settlement.set_lane_status(
                    lane.id, LaneStatus.STOPPED, "a provider excludes the account from its pool"
                )
            await unit.settlement.lock_slots([*lost, *seen])
            await unit.settlement.record_sends(classes)
            events = await self._answered(unit, lost, SlotState.UNKNOWN)
            events += await self._answered(unit, seen, SlotState.SUBMITTED)
            await unit.events.append(events)
        return len(attempts)

    async def _answered(
        self, unit: Unit, slot_ids: Sequence[UUID], state: SlotState
    ) -> list[NewEvent]:
        """Move slots, and with them their transfers, between submitted and unknown."""
        moved = await unit.settlement.mark_slots(slot_ids, state)
        if state is SlotState.UNKNOWN:
            return await self._move_members(unit, moved, State.SUBMITTED, Happening.ANSWER_LOST)
        return await self._move_members(unit, moved, State.UNKNOWN, Happening.ANSWER_SEEN)

    @staticmethod
    async def _move_members(
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

    async def _is_ahead(self, lane: Lane, mined: int) -> bool:
        """Whether the chain has mined a nonce that was never given out; the lane stops then."""
        if mined <= lane.next_nonce:
            return False
        async with self._parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            if mined > lane.next_nonce:
                await unit.settlement.set_lane_status(
                    lane.id, LaneStatus.AHEAD, ahead_reason(lane, mined)
                )
            return mined > lane.next_nonce


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


def _class_of(attempt: Attempt, answers: Sequence[SendAnswer]) -> AnswerClass:
    return strongest(
        answer_class(
            sent_hash=attempt.tx_hash,
            tx_hash=each.tx_hash,
            answered=each.answered,
            message=each.message,
        )
        for each in answers
    )
