"""Finality: what the chain says for good becomes transfers' ends and ledger entries.

One transaction moves the final cursor and does everything that follows from it, in a number of
statements that does not grow with the number of payments. "Settled" means `Settled(number)` in a
final block with beneficiary and amount equal and the number in a written batch of the node; money
goes back only when `Voided(number)` is final, or `Settled(number)` on other terms: both prove that
the number never pays the transfer. What its batch skipped and nothing explains is an operator's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode
from node.core.deposits import DEFAULT_POLICY, DepositPolicy
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint, Cursor, SettlementKind, Watch
from node.core.ports import Unit, UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.mirror import ChainReader, OutcomeRow, SlotRow, TokenLogRow, WatchedRows
from node.core.ports.transfers import BareTransfer, NewEvent
from node.core.settlement import LaneStatus, PauseReason, Remedy, cause_of, remedy_of
from node.core.signing import KeyRole
from node.core.transfers import ENDINGS, Happening, State, accepts
from node.core.units import Address, TxHash
from node.services.deposits.deposits import DepositMatching
from node.services.ledger.final_bookings import FinalBookings
from node.services.meanwhile import meanwhile
from node.services.mirror import noticing
from node.services.mirror.epochs import post_facts, recover
from node.services.mirror.final_agreement import FinalAgreement
from node.services.mirror.noticing import Noticed
from node.services.settlement.lane_guard import LaneGuard
from node.services.settlement.renumbering import NUMBER_USED
from node.services.transfers import transfer_moves

_LOGS_PER_STEP: Final = 20_000
VOIDED_ON_CHAIN: Final = {"code": "canceled", "message": "its payment number was voided on chain"}
_NUMBER_USED: Final = {
    "code": NUMBER_USED,
    "message": "its batch skipped it: the contract has used this payment number before",
}
_UNSEEN: Final = (State.SUBMITTED, State.UNKNOWN)
"""Written, and in no block yet that was not final when it was read."""

_IN_THE_AIR: Final = (*_UNSEEN, State.INCLUDED)


@dataclass(frozen=True, slots=True)
class Finalizing:
    """Makes blocks final that the mirror has stored."""

    units: UnitOfWork
    reader: ChainReader
    watch: Watch
    lanes: Mapping[Address, KeyRole]
    new_id: Callable[[], UUID]
    agreement: FinalAgreement
    failpoint: Callable[[str], None] = lambda _: None
    deposit_policy: DepositPolicy = DEFAULT_POLICY

    @property
    def _deposits(self) -> DepositMatching:
        return DepositMatching(self.watch, self.new_id, self.deposit_policy)

    @property
    def _guard(self) -> LaneGuard:
        return LaneGuard(self.units, self.reader, self.watch, self.lanes, self.new_id)

    async def run(self, cursor: Cursor, number: int) -> int:
        """One step towards the final block `number`, whose facts are stored.

        Returns:
            Blocks that became final.
        """
        if number <= cursor.final.number:
            return 0
        chain_id = self.watch.chain_id
        target, number = await self.agreement.newest(number, self._target)
        if target is None:
            return 0
        explained, natives = await asyncio.gather(
            self._guard.explained(cursor, target),
            self._natives(target, is_last=target.number == number),
        )
        if explained is None:
            return 0
        if explained != target:
            natives = {}
        target = explained
        self.failpoint("after_final_read")
        async with self.units() as unit:
            if not await unit.mirror.move_final(chain_id, held=cursor.final.hash, to=target):
                return 0  # another worker was quicker
            await self._book(unit, cursor.final.number, target, natives)
            self.failpoint("before_final_commit")
        self.failpoint("after_final_commit")
        return target.number - cursor.final.number

    async def _target(self, number: int) -> BlockPoint | None:
        """The block that one step up to `number` comes to; None: that is final already."""
        async with self.units() as unit:
            return await unit.mirror.final_target(self.watch.chain_id, number, _LOGS_PER_STEP)

    async def _natives(self, block: BlockPoint, *, is_last: bool) -> Mapping[Address, int]:
        """Wei of every address at `block`; none when its state cannot be had, or providers differ.

        A later final block shows the same rise or fall, so nothing is lost by going on, and only
        the last of a row of steps is looked at.
        """
        if not is_last:
            return {}
        addresses = sorted(self.watch.addresses)
        try:
            wei = await self.reader.agreed_native_balances(addresses, block.hash)
        except ChainUnavailable:
            return {}
        return dict(zip(addresses, wei, strict=True))

    async def _book(
        self, unit: Unit, above: int, target: BlockPoint, natives: Mapping[Address, int]
    ) -> None:
        watch, mirror = self.watch, unit.mirror
        outcomes = await mirror.outcomes(watch.chain_id, above, target.number)
        token_logs = await mirror.token_logs(
            watch.chain_id, watch.token_asset, above, target.number
        )
        slots = await mirror.slots(watch.chain_id, above, target.number)
        watched = await mirror.watched(watch.chain_id, above, target.number)
        ends = {end for row in token_logs for end in (row.log.from_address, row.log.to_address)}
        held = await mirror.holdings(watch.chain_id, watch.addresses | ends)
        falls = await unit.breaks.open_of([BreakCode.NATIVE_UNEXPLAINED])
        bookings = FinalBookings(watch, dict(held), _units_of(falls))

        await unit.ledger.lock()
        await self._stop_useless_lanes(unit, slots)
        await mirror.finish_slots([slot.slot_id for slot in slots])
        settled, events = await self._move_transfers(unit, outcomes, slots, bookings)
        payouts = [outcome for outcome, _ in settled]
        deposits = await self._deposits.match(
            unit, token_logs, {(each.block.hash, each.payout_log_index) for each in payouts}
        )
        bookings.explain_token_logs(token_logs, payouts, deposits)
        bookings.book_slots(slots)
        if natives:
            bookings.compare_natives(natives, target)

        sequences = await post_facts(unit, watch.chain_id, bookings.transactions)
        await mirror.finish_logs(watch.chain_id, above, target.number, bookings.causes(sequences))
        await mirror.finish_movements(bookings.movements)
        await mirror.set_holdings(watch.chain_id, target.number, bookings.holdings)
        await self.agreement.close(unit)
        await self._notice(unit, watched, token_logs, payouts, bookings)
        await _close_falls(unit, falls, bookings.end_falls(target))
        await self._report(unit, bookings)
        events += await self._deposits.record(unit, deposits, bookings.unknown, sequences)
        await recover(unit, watch.chain_id)
        await unit.events.append(events)

    async def _notice(
        self,
        unit: Unit,
        watched: WatchedRows,
        token_logs: Sequence[TokenLogRow],
        payouts: Sequence[OutcomeRow],
        bookings: FinalBookings,
    ) -> None:
        """What else is final: it opens and closes breaks, and tells why money was rescued."""
        noticed = Noticed(self.watch, self.lanes)
        noticed.read_notices(watched.notices)
        noticed.read_undecoded(watched.undecoded)
        noticed.read_spoofs(watched.strays, token_logs)
        noticed.read_payouts(payouts)
        bookings.breaks = noticed.with_causes(bookings.breaks, watched.notices)
        await noticing.write(unit, noticed, self.new_id)

    async def _stop_useless_lanes(self, unit: Unit, slots: Sequence[SlotRow]) -> None:
        """A lane whose void reverted stops, rather than pay for another at every block."""
        senders = {slot.sender for slot in slots if slot.purpose == "void" and not slot.succeeded}
        for sender in sorted(senders):
            lane = await unit.settlement.lane(self.watch.chain_id, sender)
            if lane is not None and lane.status is LaneStatus.ACTIVE:
                await unit.settlement.set_lane_status(
                    lane.id, LaneStatus.STOPPED, "its void reverted: is it still an operator?"
                )

    async def _move_transfers(
        self,
        unit: Unit,
        outcomes: Sequence[OutcomeRow],
        slots: Sequence[SlotRow],
        bookings: FinalBookings,
    ) -> tuple[list[tuple[OutcomeRow, BareTransfer]], list[NewEvent]]:
        """End or requeue transfers; what was settled and is booked, and lines of the timeline."""
        reverted = {slot.slot_id: slot.tx_hash for slot in slots if not slot.succeeded}
        unpaid = await unit.mirror.unpaid_members(sorted(reverted))
        ids = {each.transfer_id for each in outcomes if each.transfer_id is not None}
        transfers = await unit.transfers.lock_bare([*(ids | set(unpaid))])
        by_id = {transfer.id: transfer for transfer in transfers}
        decided = _decide(outcomes, by_id, bookings)
        for transfer in transfers:
            if transfer.id in decided or transfer.slot_id not in reverted:
                continue
            is_elsewhere = transfer.state is State.INCLUDED and (
                transfer.tx_hash != reverted[transfer.slot_id]
            )
            if transfer.state in _IN_THE_AIR and not is_elsewhere:
                decided[transfer.id] = (Happening.REQUEUED, None)

        transfers, events = await _bring_to_voiding(unit, transfers, decided)
        groups: dict[tuple[Happening, ...], list[BareTransfer]] = defaultdict(list)
        for transfer in transfers:
            if transfer.id in decided:
                happening = decided[transfer.id][0]
                is_unseen = happening is Happening.SETTLED and transfer.state in _UNSEEN
                groups[(Happening.INCLUDED,) * is_unseen + (happening,)].append(transfer)
        settled = [
            (outcome, by_id[transfer_id])
            for transfer_id, (happening, outcome) in decided.items()
            if happening is Happening.SETTLED and outcome is not None
        ]
        async with meanwhile(_apply(unit, groups, decided)) as moving:
            bookings.book_batches(settled)
            return settled, events + await moving

    async def _report(self, unit: Unit, bookings: FinalBookings) -> None:
        """Open breaks, and stop settlement when money left that no rule explains."""
        if not bookings.breaks:
            return
        await unit.breaks.open([(self.new_id(), each) for each in bookings.breaks])
        if bookings.stops_settlement:
            worst = next(each for each in bookings.breaks if each.severity == "critical")
            await unit.settlement.pause(
                PauseReason.ORPHAN_OUTBOUND, by="mirror", note=worst.summary, hard=False
            )


def _units_of(falls: Sequence[Break]) -> dict[Address, int]:
    """Address -> units of native coin that these breaks say are missing."""
    missing: dict[Address, int] = defaultdict(int)
    for each in falls:
        missing[_address_of(each)] += int(each.evidence["minor"])
    return dict(missing)


async def _close_falls(unit: Unit, falls: Sequence[Break], over: Collection[Address]) -> None:
    await unit.breaks.close_all(
        [each.fingerprint for each in falls if _address_of(each) in over],
        "rederived",
        "the chain has it again, all of it or the part that a newer break does not name",
    )


def _address_of(fall: Break) -> Address:
    return Address(bytes.fromhex(fall.evidence["address"][2:]))


_Decided = tuple[Happening, OutcomeRow | None]


def _decide(
    outcomes: Sequence[OutcomeRow], by_id: Mapping[UUID, BareTransfer], bookings: FinalBookings
) -> dict[UUID, _Decided]:
    """What each final event means for its transfer; what means nothing becomes a break."""
    decided: dict[UUID, _Decided] = {}
    for outcome in outcomes:
        transfer = by_id.get(outcome.transfer_id) if outcome.transfer_id is not None else None
        if outcome.kind is SettlementKind.SKIPPED:
            if transfer is not None and _was_for_its_batch(transfer, outcome):
                decided.setdefault(transfer.id, (Happening.HELD, outcome))
            continue
        if outcome.kind is SettlementKind.FAILED:
            if transfer is not None and _was_for_its_batch(transfer, outcome):
                decided.setdefault(transfer.id, (Happening.REQUEUED, outcome))
            continue
        if transfer is not None and _is_void_again(outcome, transfer):
            continue
        happening = _ending(outcome, transfer)
        if transfer is None or happening is None:
            bookings.report_payout(outcome, transfer)
            continue
        if happening is Happening.SETTLED and not _is_settled(transfer):
            bookings.report_payout(outcome, transfer)
            continue
        is_own_void = outcome.kind is SettlementKind.VOIDED and transfer.void_outcome is not None
        if happening is not Happening.SETTLED and not is_own_void:
            bookings.report_payout(
                outcome, transfer
            )  # somebody else used the number; it ends all the same
        decided[transfer.id] = (happening, outcome)
    return decided


async def _apply(
    unit: Unit,
    groups: Mapping[tuple[Happening, ...], Sequence[BareTransfer]],
    decided: Mapping[UUID, _Decided],
) -> list[NewEvent]:
    """Let it happen: to each group the same; the lines of the timeline."""
    events: list[NewEvent] = []
    for way, group in groups.items():
        events += await transfer_moves.apply(
            unit,
            group,
            *way,
            changes=lambda each: _changes(each, *decided[each.id]),
            detail=lambda each: _detail(*decided[each.id]),
        )
    return events


async def _bring_to_voiding(
    unit: Unit, transfers: Sequence[BareTransfer], decided: Mapping[UUID, _Decided]
) -> tuple[list[BareTransfer], list[NewEvent]]:
    """Let what a final Voided ends pass through `voiding`, whatever state it is in.

    Whoever voided the number: it can never be paid from now on, so the money goes back.
    """
    events: list[NewEvent] = []
    moved = {transfer.id: transfer for transfer in transfers}
    for happening in (Happening.RELEASED, Happening.VOID_ASKED):
        group = [
            transfer
            for transfer in moved.values()
            if decided.get(transfer.id, (Happening.SETTLED, None))[0] in ENDINGS
            and _accepts(transfer, happening)
        ]
        events += await transfer_moves.apply(
            unit,
            group,
            happening,
            changes=lambda each: {} if each.void_outcome else {"failure": VOIDED_ON_CHAIN},
            detail=lambda _: {"reason": "voided on chain"},
        )
        moved |= {each.id: transfer_moves.after(each, happening) for each in group}
    return list(moved.values()), events


_VOIDABLE: Final = frozenset(
    {
        State.FUNDED,
        State.ON_HOLD,
        State.SUBMITTED,
        State.UNKNOWN,
        State.INCLUDED,
        State.VOIDING,
    }
)


def _ending(outcome: OutcomeRow, transfer: BareTransfer | None) -> Happening | None:
    """How a final Settled or Voided ends its transfer; None: it is not the transfer's own.

    A number that paid somebody else can never be voided: whoever waits for that has the proof.
    """
    if outcome.kind is SettlementKind.SETTLED and outcome.agrees:
        return Happening.SETTLED
    if transfer is None or transfer.state not in _VOIDABLE:
        return None
    if outcome.kind is SettlementKind.SETTLED and not (
        outcome.differs and transfer.state is State.VOIDING
    ):
        return None
    return Happening(transfer.void_outcome or Happening.CANCELED)


def _is_void_again(outcome: OutcomeRow, transfer: BareTransfer) -> bool:
    """Whether a Voided says again what the transfer ended by, in a block that a reorg replaced.

    Nothing else ends what was in a written batch without a payout.
    """
    has_ended = transfer.state in (State.CANCELED, State.FAILED, State.EXPIRED)
    return outcome.kind is SettlementKind.VOIDED and has_ended and transfer.was_written


def _is_settled(transfer: BareTransfer) -> bool:
    """Whether a payout of it settles it; one that was final when it was read includes it, too."""
    return transfer.state in _UNSEEN or _accepts(transfer, Happening.SETTLED)


def _accepts(transfer: BareTransfer, happening: Happening) -> bool:
    return accepts(transfer.state, happening, was_written=transfer.was_written)


def _was_for_its_batch(transfer: BareTransfer, outcome: OutcomeRow) -> bool:
    """Only the batch it is in: an older batch's outcome was acted on when it became final."""
    return (
        transfer.state in _IN_THE_AIR
        and outcome.slot_is_its
        and transfer.slot_id == outcome.slot_id
    )


def _changes(
    transfer: BareTransfer, happening: Happening, outcome: OutcomeRow | None
) -> Mapping[str, object]:
    if happening is Happening.REQUEUED:
        return {
            "slot_id": None,
            "tx_hash": None,
            "block_number": None,
            "batches_failed": transfer.batches_failed + _counts(transfer, outcome),
        }
    assert outcome is not None
    if happening is not Happening.SETTLED:
        failure = {"failure": _NUMBER_USED} if happening is Happening.HELD else {}
        return {"slot_id": None, "tx_hash": None, "block_number": None, **failure}
    return {
        "slot_id": None,
        "tx_hash": outcome.tx_hash,
        "block_number": outcome.block.number,
        "void_outcome": None,
        "failure": None,
    }


def _counts(transfer: BareTransfer, outcome: OutcomeRow | None) -> bool:
    """Whether a batch that did not pay counts against its transfer.

    Only where nobody knows why: what waits for its cause to end (pause, float, gas), and a
    transaction that reverted as a whole, say nothing about the transfer.
    """
    if outcome is None:
        return False
    return remedy_of(cause_of(outcome.reason, transfer.beneficiary_address)) is Remedy.RETRY


def _detail(happening: Happening, outcome: OutcomeRow | None) -> Mapping[str, object]:
    if outcome is None:
        return {"reason": "transaction_reverted"}
    if happening is Happening.HELD:
        return _NUMBER_USED
    if happening in ENDINGS and outcome.kind is SettlementKind.SETTLED:
        return {"reason": NUMBER_USED, "used_by": f"0x{outcome.tx_hash.hex()}"}
    place = _place(outcome.tx_hash, outcome.block)
    if outcome.kind is SettlementKind.FAILED:
        return {**place, "reason": f"0x{outcome.reason.hex()}"}
    return place


@lru_cache(maxsize=64)
def _place(tx_hash: TxHash, block: BlockPoint) -> Mapping[str, object]:
    """What the timelines of all payments of one transaction say."""
    return {
        "tx_hash": f"0x{tx_hash.hex()}",
        "block_number": block.number,
        "block_hash": f"0x{block.hash.hex()}",
    }
