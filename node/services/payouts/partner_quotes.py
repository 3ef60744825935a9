"""Quotes whose second leg a partner pays out: its firm price inside the node's own.

The partner is asked first, outside any transaction; the quote then made is firm for as long as both
are bound. Registering the payout is `node.services.payouts.ordering`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from node.core.catalog import ONCHAIN, Catalog
from node.core.errors import InvalidInput, PairNotOffered
from node.core.parties import Partner, PartnerStatus, Principal
from node.core.partner_legs import MARGIN_S, PARTNER, PartnerCorridor
from node.core.payout_orders import PartnerUnavailable
from node.core.ports import UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.payout_partners import LegRequest, PayoutPartner
from node.core.quotes import TTL_MAX_S, PartnerLeg, Price, Quote, QuoteStatus
from node.core.units import Money, parse_amount
from node.services.idempotency import replay
from node.services.pricing.quoting import LegOutdated, QuoteRequest, QuoteService

_TRIES: Final = 3
"""How often the partner is asked anew when the node's own rate moved meanwhile."""


class PartnerQuotes:
    """The node's quotes, those that partners pay out included."""

    def __init__(
        self,
        units: UnitOfWork,
        quoting: QuoteService,
        catalog: Catalog,
        partners: Sequence[PayoutPartner],
        ttl_s: int,
    ) -> None:
        """Wire it.

        Args:
            units: Opens transactions.
            quoting: Makes quotes of one leg.
            catalog: What can be named.
            partners: Those that pay out, the preferred ones first.
            ttl_s: Life of a quote when none is asked for.
        """
        self._units = units
        self._quoting = quoting
        self._catalog = catalog
        self._partners = partners
        self._ttl_s = ttl_s

    async def price(
        self,
        *,
        sell: str,
        buy: str,
        sell_amount: str | None = None,
        buy_amount: str | None = None,
        payout_method: str = ONCHAIN,
    ) -> Price:
        """An indicative price of one leg; see `QuoteService.price`.

        Of what a partner pays out there is none: it has its own price, and gives it in quotes.
        """
        try:
            return await self._quoting.price(
                sell=sell,
                buy=buy,
                sell_amount=sell_amount,
                buy_amount=buy_amount,
                payout_method=payout_method,
            )
        except PairNotOffered:
            if any(buy in each.currencies for each in self._partners):
                raise PairNotOffered(
                    f"{buy} is paid out by a partner at its own price: ask for a quote with payout"
                    f" method {PARTNER}"
                ) from None
            raise

    async def corridors(self) -> Sequence[PartnerCorridor]:
        """What partners pay out, for each pair and partner; the preferred ones first.

        Raises:
            DatabaseUnavailable: It cannot be told which partners are suspended.
        """
        if not self._partners:
            return ()
        token = self._catalog.token.asset
        first = [
            each
            for each in self._catalog.corridors.values()
            if each.buy == token and each.payout_method == ONCHAIN
        ]
        async with self._units() as unit:
            known = [await unit.parties.partner_named(each.name) for each in self._partners]
        return [
            PartnerCorridor(own, self._catalog.asset(code), each.name, each.countries)
            for each, found in zip(self._partners, known, strict=True)
            if found is not None and found.status is PartnerStatus.ACTIVE
            for code in sorted(each.currencies & set(self._catalog.assets))
            for own in first
            if own.sell.code != code
        ]

    async def get(self, principal: Principal, quote_id: str) -> Quote:
        """One quote; see `QuoteService.get`."""
        return await self._quoting.get(principal, quote_id)

    def status(self, quote: Quote) -> QuoteStatus:
        """Where a quote stands now."""
        return self._quoting.status(quote)

    async def create(
        self,
        principal: Principal,
        request: QuoteRequest,
        claim: Claim | None,
        render: Callable[[Quote], Answer],
    ) -> Answer:
        """Make a firm quote, at most once for its claim.

        Of a fixed sell the node's own price comes first, and the partner prices exactly the token
        it buys; of a fixed buy the partner comes first, and the node sells exactly that much.

        Raises:
            PartnerUnavailable: The partner does not answer.
            PartnerRefused: It does not make this price; `reason` is its code.
            NodeError: As in `QuoteService.create`.
        """
        if request.payout_method != PARTNER:
            return await self._quoting.create(principal, request, claim, render)
        if claim is not None:
            async with self._units() as unit:
                if earlier := replay(claim, await unit.idempotency.find([claim])):
                    return earlier
        chosen, known = await self._chosen(request)
        for _ in range(_TRIES):
            leg = await self._leg(principal, request, chosen, known)
            try:
                return await self._quoting.create(principal, self._own(request, leg), claim, render)
            except LegOutdated:
                continue
        raise LegOutdated("the rate moves while the partner is asked; ask again")

    async def _chosen(self, request: QuoteRequest) -> tuple[PayoutPartner, Partner]:
        """The partner that is to pay out, and as whom the node's books know it."""
        self._catalog.asset(request.sell)
        buy = self._catalog.asset(request.buy)
        async with self._units() as unit:
            for each in self._partners:
                if request.partner in (None, each.name) and buy.code in each.currencies:
                    known = await unit.parties.partner_named(each.name)
                    if known is not None and known.status is PartnerStatus.ACTIVE:
                        return each, known
        raise PairNotOffered(
            f"no partner{'' if request.partner is None else ' of this name'} pays {buy.code} out"
        )

    async def _leg(
        self, principal: Principal, request: QuoteRequest, partner: PayoutPartner, known: Partner
    ) -> PartnerLeg:
        token, buy = self._catalog.token.asset, self._catalog.asset(request.buy)
        match request.sell_amount, request.buy_amount:
            case str(), None:
                asked = replace(request, buy=token.code, payout_method=ONCHAIN)
                amount = (await self._quoting.price_for(principal, asked)).buy
            case None, str(text):
                amount = parse_amount(text, buy)
            case _:
                raise InvalidInput("give the amount on exactly one side, sell or buy")
        ttl_s = min(TTL_MAX_S, (request.ttl_s or self._ttl_s) + MARGIN_S)
        leg = await partner.quote(LegRequest(token, buy, amount, ttl_s), known.id)
        if not _answers(leg, amount, (token.code, buy.code)):
            raise PartnerUnavailable("the partner priced something else than it was asked for")
        async with self._units() as unit:
            if await unit.quotes.is_leg_used(known.id, leg.quote_id):
                raise PartnerUnavailable("the partner gave a quote that it has given before")
        return leg

    def _own(self, request: QuoteRequest, leg: PartnerLeg) -> QuoteRequest:
        """The node's own part of it: it buys exactly what the partner sells on."""
        is_fixed_buy = request.buy_amount is not None
        return replace(
            request,
            buy=leg.price.sell.asset.code,
            buy_amount=str(leg.price.sell) if is_fixed_buy else None,
            leg=leg,
        )


def _answers(leg: PartnerLeg, amount: Money, pair: tuple[str, str]) -> bool:
    """Whether the partner priced what it was asked to."""
    price = leg.price
    fixed = price.sell if amount.asset.code == pair[0] else price.buy
    return (price.sell.asset.code, price.buy.asset.code) == pair and fixed == amount
