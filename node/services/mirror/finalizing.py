"""Finality: what the chain says for good becomes transfers' ends and ledger entries.

One transaction moves the final cursor and does everything that follows from it, in a number of
statements that does not grow with the number of payments. "Settled" means `Settled(number)` in a
final block with beneficiary and amount equal and the number in a written batch of the node (of a
payment to a partner: it has reached the partner, and the transfer waits for the payout); money
goes back only when `Voided(number)` is final, or `Settled(number)` on other terms: both prove that
the number never pays the transfer. What its batch skipped and nothing explains is an operator's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode
from node.core.deposits import DEFAULT_POLICY, DepositPolicy
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint, Watch
from node.core.payout_matching import LogName
from node.core.ports import Unit, UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.mirror import ChainReader, OutcomeRow, SlotRow, TokenLogRow, WatchedRows
from node.core.ports.payouts import PaymentProofs
from node.core.ports.transfers import BareTransfer, NewEvent
from node.core.settlement import LaneStatus, PauseReason
from node.core.signing import KeyRole
from node.core.transfers import ENDINGS, Happening, State
from node.core.units import Address
from node.services.deposits.deposits import DepositMatching
from node.services.ledger.final_bookings import FinalBookings, unpaid_break
from node.services.meanwhile import meanwhile
from node.services.mirror import noticing
from node.services.mirror.epochs import post_facts, recover
from node.services.mirror.final_agreement import FinalAgreement
from node.services.mirror.final_decisions import (
    IN_THE_AIR,
    PAID,
    UNSEEN,
    Decided,
    can_happen,
    changes_of,
    decide,
    detail_of,
)
from node.services.mirror.noticing import Noticed
from node.services.payouts.matching import PayoutMatching
from node.services.settlement.lane_guard import LaneGuard
from node.services.transfers import transfer_moves

_LOGS_PER_STEP: Final = 20_000
VOIDED_ON_CHAIN: Final = {"code": "canceled", "message": "its payment number was voided on chain"}


@dataclass(frozen=True, slots=True)
class FinalStep:
    """A step of finality that is read and not booked.

    Attributes:
        above: The block that must be the newest final one when it is booked.
        target: The block that becomes final, with all below it.
        natives: Wei of every address at `target`; none: they are not compared.
        proofs: Transfers of registered contracts -> the number of the `Settled` next to each.
        watched: What else the mirror saw in these blocks.
    """

    above: BlockPoint
    target: BlockPoint
    natives: Mapping[Address, int]
    proofs: Mapping[LogName, int]
    outcomes: Sequence[OutcomeRow]
    token_logs: Sequence[TokenLogRow]
    slots: Sequence[SlotRow]
    watched: WatchedRows


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
    proofs: PaymentProofs | None = None

    @property
    def _payouts(self) -> PayoutMatching:
        return PayoutMatching(self.units, self.proofs, self.new_id)

    @property
    def _deposits(self) -> DepositMatching:
        return DepositMatching(self.watch, self.new_id, self.deposit_policy)

    @property
    def _guard(self) -> LaneGuard:
        return LaneGuard(self.units, self.reader, self.watch, self.lanes, self.new_id)

    async def prepare(self, final: BlockPoint, number: int) -> FinalStep | None:
        """Read one step from `final` towards the block `number`, whose facts are stored.

        Nothing it reads changes while an earlier step is booked: the logs of a block, and what the
        node wrote before they came to be. So `final` may be a block that is about to become final.

        Returns:
            None: nothing can become final now.

        Raises:
            ChainUnavailable: The chain cannot be compared now.
        """
        if number <= final.number:
            return None

        async def block_of(upto: int) -> BlockPoint | None:
            async with self.units() as unit:
                return await unit.mirror.final_target(
                    self.watch.chain_id, final.number, upto, _LOGS_PER_STEP
                )

        target, number = await self.agreement.newest(number, block_of)
        if target is None:
            return None
        explained, natives = await asyncio.gather(
            self._guard.explained(final, target),
            self._natives(target, is_last=target.number == number),
        )
        if explained is None:
            return None
        return await self._read(final, explained, natives if explained == target else {})

    async def _read(
        self, final: BlockPoint, target: BlockPoint, natives: Mapping[Address, int]
    ) -> FinalStep | None:
        """What the mirror stored of the blocks above `final`; lanes are explained by then.

        One snapshot that has `target` has its ancestors, and theirs are the logs in it.
        """
        chain_id, above, to = self.watch.chain_id, final.number, target.number
        proofs = await self._payouts.prove(chain_id, above, to)
        async with self.units.snapshot() as unit:
            mirror = unit.mirror
            if (await mirror.canonical(chain_id, to)).get(to) != target.hash:
                return None  # the mirror was rewound meanwhile
            return FinalStep(
                final,
                target,
                natives,
                proofs,
                await mirror.outcomes(chain_id, above, to),
                await mirror.token_logs(chain_id, self.watch.token_asset, above, to),
                await mirror.slots(chain_id, above, to),
                await mirror.watched(chain_id, above, to),
            )

    async def commit(self, step: FinalStep) -> int:
        """Make it final, and do what follows from it.

        Returns:
            Blocks that became final; 0: another worker was quicker.
        """
        self.failpoint("after_final_read")
        final, target = step.above, step.target
        async with self.units() as unit:
            if not await unit.mirror.move_final(self.watch.chain_id, held=final.hash, to=target):
                return 0
            await self._book(unit, step)
            self.failpoint("before_final_commit")
        self.failpoint("after_final_commit")
        return target.number - final.number

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

    async def _book(self, unit: Unit, step: FinalStep) -> None:
        watch, mirror, target = self.watch, unit.mirror, step.target
        token_logs, slots = step.token_logs, step.slots
        ends = {end for row in token_logs for end in (row.log.from_address, row.log.to_address)}
        held = await mirror.holdings(watch.chain_id, watch.addresses | ends)
        falls = await unit.breaks.open_of([BreakCode.NATIVE_UNEXPLAINED])
        bookings = FinalBookings(watch, dict(held), _units_of(falls))

        await unit.ledger.lock()
        await self._stop_useless_lanes(unit, slots)
        await mirror.finish_slots([slot.slot_id for slot in slots])
        settled, events = await self._move_transfers(unit, step.outcomes, slots, bookings)
        payouts = [outcome for outcome, _ in settled]
        deposits = await self._deposits.match(
            unit,
            token_logs,
            {(each.block.hash, each.payout_log_index) for each in payouts},
            step.proofs,
        )
        bookings.explain_token_logs(token_logs, payouts, deposits)
        bookings.book_slots(slots)
        if step.natives:
            bookings.compare_natives(step.natives, target)

        sequences = await post_facts(unit, watch.chain_id, bookings.transactions)
        await mirror.finish_logs(
            watch.chain_id, step.above.number, target.number, bookings.causes(sequences)
        )
        await mirror.finish_movements(bookings.movements)
        await mirror.set_holdings(watch.chain_id, target.number, bookings.holdings)
        await self.agreement.close(unit)
        await self._notice(unit, step.watched, token_logs, payouts, bookings)
        await _close_falls(unit, falls, bookings.end_falls(target))
        await _close_unpaid(unit, settled)
        await self._report(unit, bookings)
        events += await self._deposits.record(unit, deposits, bookings.unknown, sequences)
        events += await self._payouts.record(unit, deposits, sequences)
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
        decided = decide(outcomes, by_id, bookings)
        for transfer in transfers:
            if transfer.id in decided or transfer.slot_id not in reverted:
                continue
            is_elsewhere = transfer.state is State.INCLUDED and (
                transfer.tx_hash != reverted[transfer.slot_id]
            )
            if transfer.state in IN_THE_AIR and not is_elsewhere:
                decided[transfer.id] = (Happening.REQUEUED, None)

        transfers, events = await _bring_to_voiding(unit, transfers, decided)
        groups: dict[tuple[Happening, ...], list[BareTransfer]] = defaultdict(list)
        for transfer in transfers:
            if transfer.id in decided:
                happening = decided[transfer.id][0]
                is_unseen = happening in PAID and transfer.state in UNSEEN
                groups[(Happening.INCLUDED,) * is_unseen + (happening,)].append(transfer)
        settled = [
            (outcome, by_id[transfer_id])
            for transfer_id, (happening, outcome) in decided.items()
            if happening in PAID and outcome is not None
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


async def _close_unpaid(unit: Unit, settled: Sequence[tuple[OutcomeRow, BareTransfer]]) -> None:
    """Partners that a reorg had left without their payment have it again."""
    again = [each for _, each in settled if each.state in (State.PAID_OUT, State.REFUNDED)]
    if again:
        await unit.breaks.close_all(
            [unpaid_break(each).fingerprint for each in again],
            "rederived",
            "the same payment is final again",
        )


def _address_of(fall: Break) -> Address:
    return Address(bytes.fromhex(fall.evidence["address"][2:]))


async def _apply(
    unit: Unit,
    groups: Mapping[tuple[Happening, ...], Sequence[BareTransfer]],
    decided: Mapping[UUID, Decided],
) -> list[NewEvent]:
    """Let it happen: to each group the same; the lines of the timeline."""
    events: list[NewEvent] = []
    for way, group in groups.items():
        events += await transfer_moves.apply(
            unit,
            group,
            *way,
            changes=lambda each: changes_of(each, *decided[each.id]),
            detail=lambda each: detail_of(*decided[each.id]),
        )
    return events


async def _bring_to_voiding(
    unit: Unit, transfers: Sequence[BareTransfer], decided: Mapping[UUID, Decided]
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
            and can_happen(transfer, happening)
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
