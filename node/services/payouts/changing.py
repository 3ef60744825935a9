"""What a sender may ask of the partner that was paid for a payout: other data, or the money back.

What is asked is stored first and asked for under one key until the partner has answered, by whoever
repeats the request and by a job: the partner does it once, whatever was killed or lost in between.
Its answer is believed as every other word of it is (`following`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from node.core.errors import BeneficiaryRefused, NodeError, WrongState
from node.core.ids import Prefix, decode_id
from node.core.parties import Principal
from node.core.payout_orders import (
    ASKED_AGAIN_MAX_S,
    CHANGEABLE,
    ChangeKind,
    ChangeState,
    OrderState,
    PartnerPayout,
    PartnerRefused,
    PartnerUnavailable,
    Payee,
    PayoutOrder,
    asked_again_after,
    is_silent,
)
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.payout_orders import PayoutChange
from node.core.ports.payout_partners import PayoutPartner
from node.core.ports.transfers import Transfer
from node.services.idempotency import RenderError, is_remembered, once, replay
from node.services.payouts.following import Following, PayoutFollowing
from node.services.transfers.transfers import visible

_log = structlog.get_logger()

_AT_ONCE: Final = 32
_LEASE: Final = timedelta(seconds=ASKED_AGAIN_MAX_S)
_REFUSALS: Final = (PartnerRefused, BeneficiaryRefused)
_WORDS: Final = {ChangeKind.CORRECT: "corrected", ChangeKind.REFUND: "refunded"}


@dataclass(frozen=True, slots=True)
class ChangeAsk:
    """What somebody asks about a transfer that a partner pays out.

    Attributes:
        payee: Of a correction.
    """

    principal: Principal
    transfer_id: str
    kind: ChangeKind
    payee: Payee | None = None


class PayoutChanging:
    """Asks partners to change payouts."""

    def __init__(
        self,
        units: UnitOfWork,
        partners: Sequence[PayoutPartner],
        following: PayoutFollowing,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Wire it.

        Args:
            units: Opens transactions.
            partners: Those that pay out.
            following: What carries a partner's word out.
            failpoint: Called with the name of each window at which a crash must be harmless.
        """
        self._units = units
        self._partners = partners
        self._following = following
        self._failpoint = failpoint

    async def ask(
        self,
        ask: ChangeAsk,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Ask the partner once, and answer with the transfer as it is then.

        Raises:
            NotFound: There is no such transfer for this principal.
            WrongState: It is in no state to be changed, or something else is being asked.
            PartnerRefused: The partner does not do it; `reason` is its code.
            PartnerUnavailable: It does not answer. It is asked again until it does; the same
                request tells what came of it.
        """
        async with self._units() as unit:
            if earlier := replay(claim, await unit.idempotency.find([claim])):
                return earlier
        refusal: NodeError | None = None
        try:
            async with self._units() as unit:
                change = await _begun(unit, ask, claim)
            self._failpoint("after_payout_change_kept")
            await self._carry_out(change)
        except NodeError as error:
            if not is_remembered(error):
                raise
            refusal = error

        async def answer(unit: Unit) -> Answer:
            if refusal is not None:
                raise refusal
            wanted = decode_id(Prefix.TRANSFER, ask.transfer_id)
            return render(await visible(unit, ask.principal, wanted))

        return await once(self._units, claim, answer, render_error)

    async def run_once(self) -> int:
        """Ask again what got no answer, where it is due.

        Returns:
            How many were asked.
        """
        async with self._units() as unit:
            due = await unit.payout_orders.due_changes(_AT_ONCE, _LEASE)
        await asyncio.gather(*(self._again(each) for each in due))
        return len(due)

    async def _again(self, change: PayoutChange) -> None:
        try:
            await self._carry_out(change)
        except PartnerUnavailable:
            is_long = is_silent(change.asks + 1)
            async with self._units() as unit:
                if is_long:
                    await unit.ledger.lock()
                order = await unit.payout_orders.lock(change.quote_id)
                again = asked_again_after(change.asks)
                await unit.payout_orders.ask_change_later(change, again)
                if is_long and order is not None:
                    await self._following.tell_silence(unit, order)
        except _REFUSALS as error:  # its answer, and stored
            _log.info("payout not changed", kind=change.kind.value, code=error.code)

    async def _carry_out(self, change: PayoutChange) -> None:
        """Ask the partner, and do what follows; of what it has answered, nothing.

        Raises:
            PartnerRefused: It refuses, or did before.
            PartnerUnavailable: It does not answer.
        """
        if change.state is ChangeState.REFUSED:
            raise PartnerRefused("the partner has refused it", reason=change.reason)
        if change.state is ChangeState.DONE:
            return
        async with self._units() as unit:
            order = await unit.payout_orders.order(change.quote_id)
            partner = None if order is None else await self._partner(unit, order)
        if order is None or partner is None:
            raise PartnerUnavailable("the partner of this payout is not set up any more")
        try:
            told = await _told(partner, order, change)
        except _REFUSALS as error:
            reason = str(error.context.get("reason"))
            async with self._units() as unit:
                await unit.payout_orders.end_change(change, ChangeState.REFUSED, reason)
                await _wake(unit, order)
            raise
        self._failpoint("after_payout_change_told")
        await self._believe(change, partner, told)

    async def _believe(
        self, change: PayoutChange, partner: PayoutPartner, told: PartnerPayout
    ) -> None:
        async with self._units() as unit:
            await unit.ledger.lock()
            quote = await unit.quotes.get(change.quote_id)
            assert quote is not None
            assert quote.transfer_id is not None  # it was paid
            [transfer] = await unit.transfers.lock_many([quote.transfer_id])
            order = await unit.payout_orders.lock(change.quote_id)
            if not await unit.payout_orders.end_change(change, ChangeState.DONE):
                return  # answered before
            if order is not None and order.state is OrderState.REGISTERED:
                follow = Following(order, transfer, partner, told)
                await unit.events.append(await self._following.believe(unit, follow, 0))
                await _wake(unit, order)

    async def _partner(self, unit: Unit, order: PayoutOrder) -> PayoutPartner | None:
        for each in self._partners:
            known = await unit.parties.partner_named(each.name)
            if known is not None and known.id == order.partner_id:
                return each
        return None


async def _told(partner: PayoutPartner, order: PayoutOrder, change: PayoutChange) -> PartnerPayout:
    assert order.payout_id is not None  # it was paid
    if change.payee is None:
        return await partner.refund(order.payout_id, change.key)
    return await partner.correct(order.payout_id, change.payee, change.key)


async def _wake(unit: Unit, order: PayoutOrder) -> None:
    """Its answer may be one that it gave before: it is asked how it stands now."""
    assert order.payout_id is not None  # it was paid
    await unit.payout_orders.wake(order.partner_id, order.payout_id)


async def _begun(unit: Unit, ask: ChangeAsk, claim: Claim) -> PayoutChange:
    """What is to be asked, stored; what was asked before, where it is asked for again."""
    wanted = decode_id(Prefix.TRANSFER, ask.transfer_id)
    await visible(unit, ask.principal, wanted)
    await unit.ledger.lock()
    [transfer] = await unit.transfers.lock_many([wanted])
    order = await unit.payout_orders.lock(transfer.quote_id)
    newest = await unit.payout_orders.newest_change(transfer.quote_id)
    if newest is not None and _is_same(newest, ask, claim):
        return newest
    _check(transfer, order, newest, ask.kind)
    change = PayoutChange(
        quote_id=transfer.quote_id,
        number=1 if newest is None else newest.number + 1,
        kind=ask.kind,
        payee=ask.payee,
        asked_by=claim.principal,
        asked_key=claim.key,
    )
    await unit.payout_orders.begin_change(change)
    return change


def _is_same(newest: PayoutChange, ask: ChangeAsk, claim: Claim) -> bool:
    """Whether it is the same question: repeated under its key, or equal to one without answer."""
    if (newest.kind, newest.payee) != (ask.kind, ask.payee):
        return False
    repeated = (newest.asked_by, newest.asked_key) == (claim.principal, claim.key)
    return repeated or newest.state is ChangeState.ASKING


def _check(
    transfer: Transfer, order: PayoutOrder | None, newest: PayoutChange | None, kind: ChangeKind
) -> None:
    if transfer.state not in CHANGEABLE[kind] or order is None:
        raise WrongState(
            f"a transfer that is {transfer.state} cannot be {_WORDS[kind]}", state=transfer.state
        )
    if newest is not None and newest.state is ChangeState.ASKING:
        raise WrongState(
            "something else is being asked of the partner, and it has not answered yet",
            state=transfer.state,
        )
    if order.state is not OrderState.REGISTERED:
        raise WrongState(
            "the partner tells other than what was ordered; an operator clears that up first",
            state=transfer.state,
        )
