"""Paying beneficiaries: orders to the rail, and what it says of them. A job of its own.

An order is stored before the rail is told, and told again until the rail has it: the rail knows
orders by their ids and pays each once, so a process that is killed anywhere, or an answer that is
lost, changes nothing. What the rail has confirmed or refused is booked under the ledger's lock, by
whoever comes first.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction
from node.core.payouts import (
    Payout,
    PayoutState,
    RefundPolicy,
    RefundReason,
    confirmed_entries,
    order_id,
)
from node.core.ports import Unit, UnitOfWork
from node.core.ports.payouts import PayoutMove
from node.core.ports.rails import PayoutRail, RailAnswer, RailOrder, RailState, RailUnavailable
from node.core.ports.transfers import NewEvent
from node.core.units import Money
from node.services.payouts.refunding import GoingBack, set_aside, undo_exchange
from node.services.payouts.timeline import moved_event

_AT_ONCE: Final = 100
_LEASE: Final = timedelta(seconds=30)  # longer than a rail is waited for
_LOOK_MAX_S: Final = 60
_AWAY_AFTER: Final = 3  # unanswered orders: with the looks before and after, shorter than a lease
_RETURNED_WITHIN: Final = timedelta(days=10)
"""How long after its confirmation a payment may come back: ten days, as a return of a SEPA credit
transfer may take three (EPC rulebook) and other rails are slower."""

_LOOK_AT_PAID: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PayoutDelivery:
    """Tells rails what to pay, and books what they say.

    Attributes:
        rails: Banks of the node that pay, by name.
    """

    units: UnitOfWork
    catalog: Catalog
    rails: Mapping[str, PayoutRail]
    new_id: Callable[[], UUID]
    failpoint: Callable[[str], None] = lambda _: None

    async def run_once(self) -> int:
        """One pass: how many payouts moved.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        async with self.units() as unit:
            claimed = await unit.payouts.claim(_AT_ONCE, _LEASE)
        ordered = await self._mark_ordered(claimed)
        self.failpoint("after_payout_ordered")
        async with self.units() as unit:
            since = unit.now - _RETURNED_WITHIN
            paid = await unit.payouts.paid_since(since, _AT_ONCE)
        moved = 0
        for name, rail in self.rails.items():
            moved += await self._tell(rail, [each for each in ordered if each.rail == name])
            moved += await self._look_back(rail, [each for each in paid if each.rail == name])
        was_matched = {each.id for each in claimed if each.state is PayoutState.MATCHED}
        return moved + sum(each.id in was_matched for each in ordered)

    async def _mark_ordered(self, claimed: Sequence[Payout]) -> Sequence[Payout]:
        """From the commit on the rail may have the order; those that are still to be paid."""
        if not claimed:
            return []
        async with self.units() as unit:
            locked = await unit.payouts.lock(sorted(each.id for each in claimed))
            halted = await _halted(unit, {each.chain_id for each in locked})
            matched = [
                each
                for each in locked
                if each.state is PayoutState.MATCHED
                and each.is_paid
                and each.chain_id not in halted
            ]
            moves = [PayoutMove(each.id, each.version, PayoutState.ORDERED) for each in matched]
            await unit.payouts.move(moves)
            await unit.events.append(
                [
                    moved_event(each, PayoutState.ORDERED, {"order_id": order_id(each)})
                    for each in matched
                ]
            )
            again = await unit.payouts.lock([each.id for each in locked])
        return [each for each in again if each.state is PayoutState.ORDERED]

    async def _tell(self, rail: PayoutRail, payouts: Sequence[Payout]) -> int:
        """Order what the rail does not have, and book what it says of all.

        What fails for one keeps no other waiting: what the rail has said until then is booked.
        """
        if not payouts:
            return 0
        answers: dict[str, RailAnswer] = {}
        with suppress(RailUnavailable):
            answers.update(await rail.states([order_id(each) for each in payouts]))
            untold = [each for each in payouts if order_id(each) not in answers]
            taken = await self._order_all(rail, untold)
            if taken:
                answers.update(await rail.states([order_id(each) for each in taken]))
        ended = {
            each.id: (order_id(each), answer)
            for each in payouts
            if (answer := answers.get(order_id(each))) is not None
            and answer.state is not RailState.PENDING
        }
        await self._look_later([each for each in payouts if each.id not in ended])
        return await self._book(ended)

    async def _order_all(self, rail: PayoutRail, payouts: Sequence[Payout]) -> list[Payout]:
        """Order each, until the rail has not answered so often in a row that it is away.

        Returns:
            Those that it has taken.
        """
        taken: list[Payout] = []
        unanswered = 0
        for each in payouts:
            try:
                await rail.order(self._order(each))
                unanswered = 0
                taken.append(each)
            except RailUnavailable:
                unanswered += 1
                if unanswered == _AWAY_AFTER:
                    break
            self.failpoint("after_rail_order")
        return taken

    async def _book(self, ended: Mapping[UUID, tuple[str, RailAnswer]]) -> int:
        """Book what the rail said of these orders; of one that has a successor it means nothing."""
        if not ended:
            return 0
        async with self.units() as unit:
            await unit.ledger.lock()
            events: list[NewEvent] = []
            locked = await unit.payouts.lock(sorted(ended))
            still = [
                each
                for each in locked
                if each.state is PayoutState.ORDERED and ended[each.id][0] == order_id(each)
            ]
            for payout in still:
                _, answer = ended[payout.id]
                if answer.state is RailState.CONFIRMED:
                    events += await _confirm(unit, payout)
                else:
                    events += await self._refuse(unit, payout, answer)
            await unit.events.append(events)
            self.failpoint("before_payout_commit")
        return len(still)

    async def _refuse(self, unit: Unit, payout: Payout, answer: RailAnswer) -> list[NewEvent]:
        """The rail will not pay: the beneficiary is corrected, or the money goes back.

        What a reorg took away meanwhile does not go back by itself.
        """
        failure = _failure(answer)
        changes: dict[str, object] = {"failure": failure, "next_look_at": None}
        if payout.refund_policy is RefundPolicy.CORRECT or not payout.is_paid:
            move = PayoutMove(payout.id, payout.version, PayoutState.REFUSED, changes)
            await unit.payouts.move([move])
            return [moved_event(payout, PayoutState.REFUSED, failure)]
        changes["unmatched_sequence"] = await undo_exchange(unit, payout)
        back = GoingBack(payout, payout.amounts.sell, RefundReason.REFUSED, changes)
        return await set_aside(unit, back, self.new_id)

    async def _look_back(self, rail: PayoutRail, paid: Sequence[Payout]) -> int:
        """Payments that were confirmed and came back: an operator, or the partner, decides."""
        if not paid:
            return 0
        try:
            answers = await rail.states([order_id(each) for each in paid])
        except RailUnavailable:
            return 0
        returned = {
            each.id: answer
            for each in paid
            if (answer := answers.get(order_id(each))) is not None
            and answer.state is RailState.RETURNED
        }
        async with self.units() as unit:
            await unit.payouts.look_again([each.id for each in paid], unit.now + _LOOK_AT_PAID)
            if not returned:
                return 0
            await unit.ledger.lock()
            events: list[NewEvent] = []
            locked = await unit.payouts.lock(sorted(returned))
            still = [each for each in locked if each.state is PayoutState.PAID_OUT]
            for payout in still:
                events += await _take_back(unit, payout, returned[payout.id])
            await unit.events.append(events)
        return len(still)

    async def _look_later(self, payouts: Sequence[Payout]) -> None:
        """Ask about each later, after twice as long as the last time."""
        waits: dict[int, list[UUID]] = defaultdict(list)
        for each in payouts:
            waits[min(2 ** min(each.looks, 6), _LOOK_MAX_S)].append(each.id)
        async with self.units() as unit:
            for wait_s, ids in waits.items():
                await unit.payouts.look_again(ids, unit.now + timedelta(seconds=wait_s))

    def _order(self, payout: Payout) -> RailOrder:
        asset = self.catalog.asset(payout.amounts.buy_asset)
        return RailOrder(
            order_id(payout),
            Money(payout.amounts.buy, asset),
            payout.beneficiary,
            payout.reference,
        )


async def _halted(unit: Unit, chain_ids: Collection[int]) -> frozenset[int]:
    """Chains that replaced final blocks, where nobody has decided yet what that undoes."""
    cursors = {chain_id: await unit.mirror.cursor(chain_id) for chain_id in chain_ids}
    return frozenset(key for key, each in cursors.items() if each and each.halted_reason)


async def _confirm(unit: Unit, payout: Payout) -> list[NewEvent]:
    key = f"payout_paid:{order_id(payout)}"
    entries = confirmed_entries(payout.rail, payout.amounts)
    detail = {"payout": str(payout.id), "rail": payout.rail, "reference": payout.reference}
    sequences = await unit.ledger.post([LedgerTransaction(key, "payout", entries, detail=detail)])
    changes = {"confirmed_sequence": sequences[key], "next_look_at": unit.now + _LOOK_AT_PAID}
    await unit.payouts.move([PayoutMove(payout.id, payout.version, PayoutState.PAID_OUT, changes)])
    return [moved_event(payout, PayoutState.PAID_OUT, {"order_id": order_id(payout)})]


async def _take_back(unit: Unit, payout: Payout, answer: RailAnswer) -> list[NewEvent]:
    """The money is at the bank again, and due again: the confirmation's integers, reversed."""
    key = f"payout_returned:{order_id(payout)}"
    entries = [
        Entry(each.credit, each.debit, each.asset, each.amount)
        for each in confirmed_entries(payout.rail, payout.amounts)
    ]
    detail = {"payout": str(payout.id), "rail": payout.rail, "reason": answer.code}
    await unit.ledger.post([LedgerTransaction(key, "payout", entries, detail=detail)])
    changes: dict[str, object] = {
        "confirmed_sequence": None,
        "failure": _failure(answer),
        "next_look_at": None,
        "flags": sorted({*payout.flags, "returned"}),
    }
    await unit.payouts.move([PayoutMove(payout.id, payout.version, PayoutState.ON_HOLD, changes)])
    told = {"payout_id": encode_id(Prefix.PAYOUT, payout.id), **_failure(answer)}
    return [moved_event(payout, PayoutState.ON_HOLD, told)]


def _failure(answer: RailAnswer) -> dict[str, str]:
    return {"code": answer.code, "message": answer.message}
