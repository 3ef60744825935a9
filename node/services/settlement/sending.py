"""Sending, sending again, bumping: from stored bytes to a mined nonce.

Only bytes that are committed leave the process. Nothing here concludes that somebody was paid,
or was not: that is the mirror's. Signing is in `node.services.settlement.signing`, what a
replacement offers in `node.services.settlement.fees`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from node.core.errors import ChainUnavailable, InvariantBroken, SignerUnavailable
from node.core.ports import Unit
from node.core.ports.chain import SendAnswer
from node.core.ports.settlement import Attempt, Lane, OpenSlot
from node.core.ports.transfers import NewEvent
from node.core.settlement import LaneStatus, SlotState
from node.core.signing import KeyRole
from node.core.submission import (
    SEEN,
    AnswerClass,
    Verdict,
    answer_class,
    is_cap_refusal,
    verdict,
)
from node.core.transfers import Happening, State
from node.core.units import TxHash
from node.services.settlement.fees import Market, best, is_refused, next_fees
from node.services.settlement.lease import ahead_reason
from node.services.settlement.parts import SettlementParts
from node.services.settlement.signing import SlotSigner, move_members

_BUMP_DEPTH = 1 + 10
"""Only the head of line and the next ten are bumped: the others wait for them, not for fees."""

_UNHEARD_RESEND = timedelta(seconds=2)


class Sender:
    """Takes slots from written to mined."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._signer = SlotSigner(parts)
        self._eager_after: datetime | None = None

    async def sign_written(self, lane: Lane) -> int:
        """Sign and store every written slot that has no attempt, by nonce; how many."""
        return await self._signer.sign_written(lane)

    async def send_due(self, lane: Lane) -> int:
        """Send what was never sent, or too long ago, in the order of nonces; how many.

        A lane that stopped has its stored bytes sent again, and nothing of it is signed.

        Raises:
            ChainUnavailable: No provider answers, or none tells of the market; what could be
                sent was sent.
            SignerUnavailable: A replacement could not be signed; the old bytes were sent.
        """
        parts = self._parts
        async with parts.units() as unit:
            slots = [s for s in await unit.settlement.open_slots(lane.id) if s.attempts]
            is_hard = any(each.hard for each in await unit.settlement.pauses())
            now = unit.now
        due = self._due(slots, now)
        # A hard pause is itself a call of the pauser's, and what it allows is the rescuer's.
        is_held = is_hard and lane.role not in (KeyRole.PAUSER, KeyRole.RESCUER)
        may_bump = lane.status is LaneStatus.ACTIVE and not is_held
        if not due and not (may_bump and self._is_eager(slots, now)):
            return 0
        if any(each.attempts[-1].sends for each in slots):
            # What is mined needs no resend; the mirror will say what became of it.
            mined = await parts.chain.nonce(lane.address, "latest")
            if await self._is_ahead(lane, mined):
                return 0
            window = range(mined, mined + parts.batches.slots_unmined_max)
            slots = [each for each in slots if each.nonce in window]
            due = [each for each in due if each.nonce in window]
        fresh: Mapping[UUID, Attempt] = {}
        fault: ChainUnavailable | SignerUnavailable | None = None
        if may_bump:
            try:
                fresh = await self._replace(lane, slots[:_BUMP_DEPTH], due, now)
            except (ChainUnavailable, SignerUnavailable) as error:
                fault = error  # the old bytes are sent all the same
            except InvariantBroken as error:
                await self._signer.stop(lane, f"nothing is signed any more: {error}")
        owing = {each.id for each in due}
        sent = await self._send(
            lane,
            [fresh.get(s.id) or best(s) for s in slots if s.id in owing or s.id in fresh],
        )
        if fault is not None:
            raise fault
        return sent

    def _due(self, slots: Sequence[OpenSlot], now: datetime) -> Sequence[OpenSlot]:
        """Slots whose bytes must be sent.

        Where a provider misses a lower nonce, all are, from the lowest and in order.
        """
        due = [each for each in slots if self._is_due(each, now)]
        has_gap = any(each.attempts[-1].last_answer is AnswerClass.NONCE_HIGH for each in due)
        return slots if has_gap else due

    def _is_eager(self, slots: Sequence[OpenSlot], now: datetime) -> bool:
        """Whether a replacement is to be tried although nothing is due; at times, not always."""
        if not any(is_refused(each) for each in slots[:_BUMP_DEPTH]):
            return False
        if self._eager_after is not None and now < self._eager_after:
            return False
        self._eager_after = now + _UNHEARD_RESEND
        return True

    def _is_due(self, slot: OpenSlot, now: datetime) -> bool:
        newest = best(slot)
        if newest.last_sent_at is None:
            return True
        patience = timedelta(seconds=self._parts.fees.resend_after_s)
        if slot.state is SlotState.UNKNOWN or newest.last_answer not in SEEN:
            patience = min(patience, _UNHEARD_RESEND)
        return now - newest.last_sent_at >= patience

    # ------------------------------------------------------------------------------- replacing

    async def _replace(
        self, lane: Lane, slots: Sequence[OpenSlot], due: Sequence[OpenSlot], now: datetime
    ) -> Mapping[UUID, Attempt]:
        """Replace attempts that the market has left behind, or that no provider takes.

        They are stored before they are sent; slot -> its new attempt.
        """
        parts = self._parts
        waiting = {each.id for each in due}
        asked = [
            each
            for each in slots
            if each.attempts[-1].sends and (each.id in waiting or is_refused(each))
        ]
        if not asked:
            return {}
        head = await parts.chain.head()
        fees, source = await parts.market()
        mined_until = datetime.fromtimestamp(head.timestamp_s, UTC)
        market = Market(fees, source, head.base_fee_wei, mined_until)
        bumps: list[Attempt] = []
        for slot in asked:
            step = next_fees(
                slot, market, parts.fees, parts.block_s, is_head=slot.id == slots[0].id
            )
            if step is not None:
                sequence = slot.attempts[-1].sequence + 1
                bumps.append(await self._signer.signed(lane, slot, sequence, *step, now))
        if not bumps:
            await self._stop_if_useless(lane, asked)
            return {}
        parts.failpoint("after_bump_sign")
        async with parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            if any(each.hard for each in await unit.settlement.pauses()):
                return {}  # what is not stored is not sent
            stored = set(await unit.settlement.add_attempts(bumps))
        parts.failpoint("after_bump_store")
        return {each.slot_id: each for each in bumps if each.tx_hash in stored}

    async def _stop_if_useless(self, lane: Lane, slots: Sequence[OpenSlot]) -> None:
        """A lane whose bytes every provider refuses for good takes no more work."""
        for slot in slots:
            newest = slot.attempts[-1]
            words = newest.last_message or ""
            if all(each.last_answer is AnswerClass.REJECTED for each in slot.attempts) and (
                not is_cap_refusal(words)
            ):
                reason = f"no provider takes the transaction of nonce {slot.nonce}: {words}"
                await self._signer.stop(lane, reason)
                return

    # -------------------------------------------------------------------------------- sending

    async def _send(self, lane: Lane, attempts: Sequence[Attempt]) -> int:
        """Send to every provider, once, and store what the answers allow to conclude."""
        if not attempts:
            return 0
        parts = self._parts
        answers = await parts.chain.send_raw([each.raw for each in attempts])
        parts.failpoint("after_send")
        verdicts: dict[TxHash, Verdict] = {
            attempt.tx_hash: _verdict_on(attempt, given)
            for attempt, given in zip(attempts, answers, strict=True)
        }
        lost = [
            each.slot_id
            for each in attempts
            if verdicts[each.tx_hash].answer is AnswerClass.AMBIGUOUS
            and each.last_answer not in SEEN
        ]
        seen = [each.slot_id for each in attempts if verdicts[each.tx_hash].answer in SEEN]
        reserved = [e.message for e in verdicts.values() if e.answer is AnswerClass.RESERVED]
        async with parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            if reserved:
                reason = f"a provider excludes the account from its pool: {reserved[0]}"
                await unit.settlement.set_lane_status(lane.id, LaneStatus.STOPPED, reason)
            await unit.settlement.lock_slots([*lost, *seen])
            await unit.settlement.record_sends(verdicts)
            events = await _answered(unit, lost, SlotState.UNKNOWN)
            events += await _answered(unit, seen, SlotState.SUBMITTED)
            await unit.events.append(events)
        return len(attempts)

    async def _is_ahead(self, lane: Lane, mined: int) -> bool:
        """Whether the chain has mined a nonce that was never given out; the lane stops then."""
        if mined <= lane.next_nonce:
            return False
        async with self._parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, self._parts.lease_s)
            if mined > lane.next_nonce:
                await unit.settlement.set_lane_status(
                    lane.id, LaneStatus.AHEAD, ahead_reason(lane, mined)
                )
            return mined > lane.next_nonce


async def _answered(unit: Unit, slot_ids: Sequence[UUID], state: SlotState) -> list[NewEvent]:
    """Move slots, and with them their transfers, between submitted and unknown."""
    moved = await unit.settlement.mark_slots(slot_ids, state)
    if state is SlotState.UNKNOWN:
        return await move_members(unit, moved, State.SUBMITTED, Happening.ANSWER_LOST)
    return await move_members(unit, moved, State.UNKNOWN, Happening.ANSWER_SEEN)


def _verdict_on(attempt: Attempt, answers: Sequence[SendAnswer]) -> Verdict:
    return verdict(
        (
            answer_class(
                sent_hash=attempt.tx_hash,
                tx_hash=each.tx_hash,
                answered=each.answered,
                message=each.message,
            ),
            each.message,
        )
        for each in answers
    )
