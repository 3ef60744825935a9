"""Registering a payout at its partner, before the transfer that pays it is accepted.

What is asked is stored first, so that a repeated request asks the same under the same key, whatever
was killed in between. Nothing of the node's own is consumed until the partner has answered: it may
be away, it may refuse the beneficiary, and the quote stays as good as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.errors import BeneficiaryRefused, NodeError, QuoteExpired
from node.core.ids import Prefix, encode_id
from node.core.ledger import customer_account
from node.core.parties import Customer, PartnerStatus
from node.core.payout_orders import (
    Contradicted,
    Expected,
    OrderState,
    PartnerPayout,
    PartnerRefused,
    PartnerUnavailable,
    PayoutOrder,
    contradictions,
)
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer
from node.core.ports.payout_orders import Asking
from node.core.ports.payout_partners import PayoutPartner, Registration
from node.core.quotes import PartnerLeg, Quote
from node.core.units import Address
from node.services.idempotency import is_remembered, once, replay
from node.services.partners.selling import DailyLimits
from node.services.transfers.acceptance import (
    Submission,
    TransferRequest,
    insufficient,
    usable,
)
from node.services.transfers.paid_by_partners import asking, check_bound

LAPSED: Final = frozenset({"quote_expired", "quote_used", "quote_revoked", "not_found"})
"""What a partner says of a price that it does not keep any more."""


@dataclass(frozen=True, slots=True)
class PayoutOrderTerms:
    """What is the same for every payout by partners.

    Attributes:
        refund_address: Where partners send money back: the node's settlement contract.
    """

    chain_id: int
    token: Address
    refund_address: Address


@dataclass(frozen=True, slots=True)
class _Asked:
    """A registration that was stored, and is to be made."""

    request: TransferRequest
    order: PayoutOrder
    leg: PartnerLeg
    customer: Customer


class PayoutOrdering:
    """Has partners register payouts."""

    def __init__(
        self,
        units: UnitOfWork,
        partners: Sequence[PayoutPartner],
        terms: PayoutOrderTerms,
        new_id: Callable[[], UUID],
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._units = units
        self._failpoint = failpoint
        self._partners = {each.name: each for each in partners}
        self._terms = terms
        self._new_id = new_id

    async def prepare(self, submission: Submission) -> Answer | None:
        """Register the payout of a transfer, once for its claim; None: acceptance is to answer.

        Raises:
            NodeError: As in `register`, where that is not remembered; else it is the answer.
        """
        if submission.request.beneficiary.account is None:
            return None
        async with self._units() as unit:
            claim = submission.claim
            if earlier := replay(claim, await unit.idempotency.find([claim])):
                return earlier
        try:
            await self.register(submission.request)
        except NodeError as error:
            if not is_remembered(error):
                raise
            return await self._refused(submission, error)
        return None

    async def register(self, request: TransferRequest) -> None:
        """Register the payout of a transfer that a partner pays out, once for its quote.

        What acceptance would refuse anyway is not registered: acceptance says why.

        Raises:
            InsufficientFunds: The customer has less than the transfer takes.
            LimitExceeded: The customer's partner may sell no more today.
            QuoteBound: Another beneficiary's payout is registered for the quote.
            BeneficiaryRefused: The partner does not pay this one. The quote stays active.
            QuoteExpired: The partner keeps its price no more.
            PartnerRefused: It refuses for another reason.
            PartnerUnavailable: It does not answer; the same request asks again.
        """
        async with self._units() as unit:
            asked = await self._begin(unit, request)
        if asked is None:
            return
        check_bound(_asking(request), asked.order)
        if asked.order.state is OrderState.REGISTERING:
            await self._register(asked)

    async def _begin(self, unit: Unit, request: TransferRequest) -> _Asked | None:
        """Store what is to be asked; None where acceptance will refuse."""
        quote = await unit.quotes.get(request.quote_id)
        customers = await unit.parties.customers([request.customer_id])
        customer = customers.get(request.customer_id)
        if quote is None or quote.leg is None or customer is None:
            return None
        if not customer.is_visible_to(request.principal):
            return None
        try:
            usable(quote, request, unit.now)
        except NodeError:
            return None
        await _check_covered(unit, quote, customer)
        partner = await unit.parties.partner_named(quote.leg.partner)
        if partner is None or partner.status is not PartnerStatus.ACTIVE:
            raise PartnerUnavailable("the partner of this quote is suspended; nothing was consumed")
        order = await unit.payout_orders.begin(quote.id, quote.leg.partner_id, _asking(request))
        return _Asked(request, order, quote.leg, customer)

    async def _register(self, asked: _Asked) -> None:
        order, leg = asked.order, asked.leg
        partner = self._partners.get(leg.partner)
        if partner is None:
            raise PartnerUnavailable("the partner of this quote is not set up any more")
        self._failpoint("after_payout_begun")
        try:
            told = await partner.register(self._registration(asked))
        except BeneficiaryRefused:
            await self._end(order, OrderState.REFUSED)
            raise
        except PartnerRefused as error:
            has_lapsed = error.context.get("reason") in LAPSED
            await self._end(order, OrderState.LAPSED if has_lapsed else OrderState.REFUSED)
            if has_lapsed:
                raise QuoteExpired(
                    "the partner keeps its price no more; ask for a new quote"
                ) from None
            raise
        self._failpoint("after_payout_told")
        await self._keep(asked, told)
        self._failpoint("after_payout_registered")

    def _registration(self, asked: _Asked) -> Registration:
        to, account = asked.request.beneficiary, asked.request.beneficiary.account
        assert account is not None  # looked at before
        return Registration(
            key=asked.order.key,
            quote_id=asked.leg.quote_id,
            reference=asked.order.quote_id,
            name=to.name,
            country=to.country,
            account=account,
            sender=(asked.customer.name, asked.customer.country),
            purpose=asked.order.purpose,
            refund_policy=asked.order.refund_policy,
            refund_address=self._terms.refund_address,
        )

    async def _keep(self, asked: _Asked, told: PartnerPayout) -> None:
        """Store what the partner answered, unless it is about something else."""
        leg, terms = asked.leg, self._terms
        expected = Expected(
            asked.order, leg.quote_id, leg.price.sell, leg.price.buy, terms.chain_id, terms.token
        )
        found = contradictions(expected, told)
        async with self._units() as unit:
            held = await unit.payout_orders.lock(asked.order.quote_id)
            if held is None or held.key != asked.order.key:  # it is for another beneficiary by now
                raise PartnerUnavailable("the partner answered too late; ask again")
            if held.state is not OrderState.REGISTERING:
                return  # an equal request was answered before
            if not found:
                if await unit.payout_orders.register(asked.order.quote_id, told):
                    return
                found = [Contradicted("id", "a payout of its own", told.id)]
            await unit.payout_orders.end(asked.order.quote_id, OrderState.DISPUTED)
            new = dispute(asked.order, leg.partner, told.id, found)
            await unit.breaks.open([(self._new_id(), new)])
        raise PartnerRefused("the partner registered something else than it was asked for")

    async def _end(self, order: PayoutOrder, state: OrderState) -> None:
        """Unless another request was answered meanwhile that it is registered."""
        async with self._units() as unit:
            held = await unit.payout_orders.lock(order.quote_id)
            if held is not None and held.key == order.key and held.state is order.state:
                await unit.payout_orders.end(order.quote_id, state)

    async def _refused(self, submission: Submission, error: NodeError) -> Answer:
        """The answer that a repeated request gets again."""

        async def refuse(_: Unit) -> Answer:
            raise error

        return await once(self._units, submission.claim, refuse, submission.render_error)


def dispute(
    order: PayoutOrder, partner: str, payout_id: str, found: Sequence[Contradicted]
) -> NewBreak:
    """The break that says what a partner tells otherwise."""
    return break_of(
        BreakCode.PARTNER_DIFFERS,
        f"{order.quote_id}:{payout_id}",
        expected="; ".join(f"{each.what} {each.expected}" for each in found),
        actual="; ".join(f"{each.what} {each.actual}" for each in found),
        evidence={
            "partner": partner,
            "payout": payout_id,
            "quote": encode_id(Prefix.QUOTE, order.quote_id),
        },
    )


def _asking(request: TransferRequest) -> Asking:
    return asking(request.quote_id, request.beneficiary, request.purpose, request.refund_policy)


async def _check_covered(unit: Unit, quote: Quote, customer: Customer) -> None:
    """A payout is not registered that the customer cannot pay, or may not; acceptance decides."""
    sell = quote.price.sell
    daily = await DailyLimits.read(unit, [(customer.partner_id, sell.asset.code)])
    daily.check(customer, sell)
    path = customer_account(customer.id, sell.asset.code)
    available_minor = (await unit.ledger.balances([path]))[path].available
    if available_minor < sell.minor:
        raise insufficient(sell, available_minor)
