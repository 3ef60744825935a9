"""Prices and firm quotes.

A price is arithmetic over rates that are in memory, once `node.services.pricing.breaker` lets them
be used. Firm quotes that wait are stored together in one database transaction
(`node.services.batching`), under one lock for all quotes of the node, so that the limits (active
quotes of a maker, exposure of a currency), the halts and the idempotency keys hold exactly, also
between processes. A quote reserves no money: its transfer does
(`node.services.transfers.acceptance`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from node.core.catalog import ONCHAIN, Catalog
from node.core.errors import (
    InvalidInput,
    InvariantBroken,
    LiquidityUnavailable,
    NodeError,
    NotFound,
    PairNotOffered,
    RateUnavailable,
)
from node.core.ids import Prefix, decode_id
from node.core.parties import Customer, Principal, Role
from node.core.partner_legs import MARGIN_S, PARTNER
from node.core.payouts import BANK
from node.core.ports import Clock, Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim, StoredAnswer
from node.core.ports.quotes import Pair
from node.core.quotes import (
    TTL_MAX_S,
    PartnerLeg,
    Price,
    Quote,
    QuoteStatus,
    price_fixed_buy,
    price_fixed_sell,
)
from node.core.units import parse_minor
from node.services.batching import GroupCommit, committed
from node.services.idempotency import replay
from node.services.partners.selling import QuotedTerms, partner_asking
from node.services.pricing.breaker import Board, Breaker
from node.services.pricing.local_money import LocalMoney
from node.services.pricing.quote_limits import OpenLimits
from node.services.pricing.rates import Rates
from node.services.transfers.acceptance import (
    SettlementTarget,
    at_partners,
    headroom,
    liquidity_paths,
)

Render = Callable[[Quote], Answer]


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What a caller wants priced.

    Attributes:
        sell: Asset code; `buy` too.
        sell_amount: Decimal string; exactly one of the two amounts is given.
        ttl_s: Life asked for, 1 to `TTL_MAX_S`; None: the node's own.
        customer_id: Public id of the only customer whose transfer may consume it.
        partner: Name of the partner that is to pay out, where it is one and not any.
        leg: What a partner is bound to for it by now: see `node.services.payouts`.
    """

    sell: str
    buy: str
    sell_amount: str | None = None
    buy_amount: str | None = None
    payout_method: str = ONCHAIN
    ttl_s: int | None = None
    customer_id: str | None = None
    partner: str | None = None
    leg: PartnerLeg | None = None

    @property
    def pair(self) -> Pair:
        """What is sold and what is bought."""
        return self.sell, self.buy


@dataclass(frozen=True, slots=True)
class QuoteLimits:
    """How long quotes live and how many a maker may hold.

    Attributes:
        ttl_s: Life of a quote when none is asked for.
        active_max: Active quotes of one maker.
    """

    ttl_s: int
    active_max: int


@dataclass(frozen=True, slots=True)
class _Submission:
    principal: Principal
    request: QuoteRequest
    customer_id: UUID | None
    claim: Claim | None
    render: Render


@dataclass(slots=True)
class _Room:
    """What a batch is decided against, besides the limits of open quotes."""

    now: datetime
    board: Board
    customers: Mapping[UUID, Customer]
    headroom: int
    local: Mapping[str, int]  # by currency: what the node's rail can still pay
    terms: QuotedTerms
    answered: dict[tuple[str, str, str, str], StoredAnswer]


class LegOutdated(RateUnavailable):
    """The node's own rate moved while a partner was asked: the two legs do not meet any more."""


class QuoteService:
    """Indicative prices and firm quotes."""

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        *,
        units: UnitOfWork,
        catalog: Catalog,
        rates: Rates,
        target: SettlementTarget,
        limits: QuoteLimits,
        clock: Clock,
        new_id: Callable[[], UUID],
        local: LocalMoney | None = None,
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._local = local
        self._breaker = Breaker(rates, catalog)
        self._target = target
        self._ttl_s = limits.ttl_s
        self._limits = OpenLimits(limits.active_max, catalog.exposure_max_minor)
        self._clock = clock
        self._new_id = new_id
        self._group = GroupCommit(self._process)
        self._boards = GroupCommit(self._read_boards)

    async def price(
        self,
        *,
        sell: str,
        buy: str,
        sell_amount: str | None = None,
        buy_amount: str | None = None,
        payout_method: str = ONCHAIN,
    ) -> Price:
        """An indicative price, as `create` would make it now; nothing is stored.

        Raises:
            CurrencyUnknown: An asset the node does not have.
            PairNotOffered: No corridor, or not with this payout.
            AmountInvalid: Not a decimal string of this asset.
            AmountOutOfRange: Outside the limits, or it rounds to nothing; with `min` and `max`.
            QuotingHalted: Nothing is quoted in one of the two now.
            RateUnavailable: No rate that could be trusted.
            InvalidInput: Not exactly one amount.
        """
        request = QuoteRequest(sell, buy, sell_amount, buy_amount, payout_method)
        self._catalog.corridor(sell, buy, payout_method)
        return self._price(request, await self._boards.submit(request.pair))

    async def create(
        self, principal: Principal, request: QuoteRequest, claim: Claim | None, render: Render
    ) -> Answer:
        """Make a firm quote, at most once for its claim. Refusals are not remembered.

        A refusal changes nothing and depends on rates and limits that pass, so a repeated request
        is judged anew.

        Raises:
            NotFound: No such customer for this principal.
            TooManyQuotes: The maker holds too many; with `limit`, `remaining`, `resets_at`.
            ExposureLimitReached: Too much of a currency is quoted; with the same.
            LiquidityUnavailable: More than the node can promise now.
            IdempotencyKeyReused: The key came with another body.
            NodeError: As in `price`.
        """
        customer_id = _customer_of(principal, request)
        if request.ttl_s is not None and not 0 < request.ttl_s <= TTL_MAX_S:
            raise InvalidInput(f"ttl_s must be from 1 to {TTL_MAX_S}")
        return await self._group.submit(_Submission(principal, request, customer_id, claim, render))

    async def make(
        self, unit: Unit, principal: Principal, requests: Sequence[QuoteRequest]
    ) -> Sequence[Quote | NodeError]:
        """Quotes for transfers that consume them in the same transaction, the caller's; in order.

        They are not stored here (`Acceptance.accept` does) and never open, so no limit of open
        quotes counts them; everything else is judged as in `create`. Whoever calls takes no lock
        before it: it takes the lock of making quotes.
        """
        await unit.quotes.lock()
        asked = [
            _Submission(principal, each, _customer_of(principal, each), None, _unanswered)
            for each in requests
        ]
        room = await self._read_room(unit, asked)
        made: list[Quote | NodeError] = []
        for each in asked:
            try:
                quote = self._decide(each, room)
                if quote.price.buy.asset.code == self._target.token:
                    room.headroom -= quote.price.buy.minor
                made.append(quote)
            except NodeError as error:
                made.append(error)
        return made

    async def get(self, principal: Principal, quote_id: str) -> Quote:
        """One quote, however old.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            quote = await unit.quotes.get(decode_id(Prefix.QUOTE, quote_id))
        if quote is None or not quote.is_visible_to(principal):
            raise NotFound("there is no such quote")
        return quote

    def status(self, quote: Quote) -> QuoteStatus:
        """Where a quote stands now, for display; a transfer is judged on the database clock."""
        return quote.status(self._clock.now())

    async def price_for(self, principal: Principal, request: QuoteRequest) -> Price:
        """An indicative price on the terms of whom `create` would make the quote for.

        Raises:
            NodeError: As in `price`.
        """
        self._catalog.corridor(*request.pair, request.payout_method)
        board = await self._boards.submit(request.pair)
        customer_id = _customer_of(principal, request)
        async with self._units() as unit:
            known = await unit.parties.customers([customer_id]) if customer_id else {}
            asking = partner_asking(principal, known.get(customer_id) if customer_id else None)
            terms = await QuotedTerms.read(unit, [(asking, request.sell)])
        return self._price(request, board, terms.spread_bps(asking))

    def _price(self, request: QuoteRequest, board: Board, spread_bps: int | None = None) -> Price:
        method = request.payout_method if request.leg is None else ONCHAIN
        corridor = self._catalog.corridor(*request.pair, method)
        if spread_bps is not None:
            corridor = replace(corridor, spread_bps=spread_bps)
        match request.sell_amount, request.buy_amount:
            case str(amount), None:
                sell_minor = parse_minor(amount, corridor.sell)
                return price_fixed_sell(corridor, board.mid(*request.pair), sell_minor)
            case None, str(amount):
                buy_minor = parse_minor(amount, corridor.buy)
                return price_fixed_buy(corridor, board.mid(*request.pair), buy_minor)
            case _:
                raise InvalidInput("give the amount on exactly one side, sell or buy")

    async def _read_boards(self, pairs: Sequence[Pair]) -> Sequence[Board]:
        async with self._units() as unit:
            board = await self._breaker.board(unit, set(pairs))
        return [board] * len(pairs)

    async def _process(self, batch: Sequence[_Submission]) -> Sequence[Answer | Exception]:
        # Of the newest attempt: the ids tell whether it was committed. Where it made none, it is
        # judged again: what it refused may rest on a halt that was not committed.
        made: list[Quote] = []

        async def work(
            unit: Unit, lost: Sequence[Answer | Exception]
        ) -> Sequence[Answer | Exception]:
            await self._limits.begin(unit)
            ids = [each.id for each in made]
            if lost and ids and await unit.quotes.any_stored(ids):
                return lost
            made.clear()
            return await self._make(unit, batch, made)

        answers = await committed(self._units, work)
        self._limits.end()
        return answers

    async def _make(
        self, unit: Unit, batch: Sequence[_Submission], made: list[Quote]
    ) -> Sequence[Answer | Exception]:
        """Answer a batch; `made` gets the quotes that it stores."""
        room = await self._read_room(unit, batch)
        answers: list[Answer | Exception] = []
        remembered: list[tuple[Claim, Answer]] = []
        for each in batch:
            try:
                answer = replay(each.claim, room.answered)
                if answer is None:
                    quote = self._decide(each, room)
                    await self._limits.admit(unit, quote)
                    answer = each.render(quote)
                    made.append(quote)
                    _remember(each.claim, answer, room, remembered)
                answers.append(answer)
            except NodeError as error:
                answers.append(error)
        await unit.quotes.insert_many(made)
        await unit.idempotency.remember(remembered)
        return answers

    async def _read_room(self, unit: Unit, batch: Sequence[_Submission]) -> _Room:
        claims = [each.claim for each in batch if each.claim]
        customer_ids = [each.customer_id for each in batch if each.customer_id]
        balances = await unit.ledger.balances(liquidity_paths(self._target))
        customers = await unit.parties.customers(customer_ids) if customer_ids else {}
        asking = [
            (partner_asking(each.principal, _named(each, customers)), each.request.sell)
            for each in batch
        ]
        pairs = {each.request.pair for each in batch} & self._catalog.corridors.keys()
        return _Room(
            now=unit.now,
            board=await self._breaker.board(unit, pairs),
            customers=customers,
            terms=await QuotedTerms.read(unit, asking),
            headroom=headroom(self._target, balances) + await at_partners(unit, self._target),
            local=await self._local_headrooms(unit, batch),
            answered=dict(await unit.idempotency.find(claims)) if claims else {},
        )

    async def _local_headrooms(self, unit: Unit, batch: Sequence[_Submission]) -> Mapping[str, int]:
        paid = {each.request.buy for each in batch if each.request.payout_method == BANK}
        return await self._local.headrooms(unit, paid) if self._local and paid else {}

    def _check_local(self, price: Price, room: _Room) -> None:
        """Whether the node's own rail can pay what is quoted.

        Raises:
            PairNotOffered: There is no rail.
            LiquidityUnavailable: Its bank has less left.
        """
        if self._local is None:
            raise PairNotOffered("this node has no bank that pays out")
        if room.local.get(price.buy.asset.code, 0) < price.buy.minor:
            raise LiquidityUnavailable(
                "the node's bank cannot promise this much now; try again later"
            )

    def _decide(self, submission: _Submission, room: _Room) -> Quote:
        """The quote, limits of open quotes apart; the first failing check raises."""
        maker = submission.principal.key
        customer_id = submission.customer_id
        if customer_id is not None:
            customer = room.customers.get(customer_id)
            if customer is None or not customer.is_visible_to(submission.principal):
                raise NotFound("there is no such customer")
        asking = partner_asking(submission.principal, _named(submission, room.customers))
        price = self._price(submission.request, room.board, room.terms.spread_bps(asking))
        room.terms.check(asking, price.sell)
        if price.buy.asset.code == self._target.token and room.headroom < price.buy.minor:
            raise LiquidityUnavailable("the node cannot promise this much now; try again later")
        if price.payout_method == BANK:
            self._check_local(price, room)
        ttl_s = submission.request.ttl_s or self._ttl_s
        expires_at = room.now + timedelta(seconds=ttl_s)
        quote = Quote(self._new_id(), maker, customer_id, price, room.now, expires_at)
        return quote if submission.request.leg is None else _with(quote, submission.request.leg)


def _named(submission: _Submission, customers: Mapping[UUID, Customer]) -> Customer | None:
    return customers.get(submission.customer_id) if submission.customer_id else None


def _customer_of(principal: Principal, request: QuoteRequest) -> UUID | None:
    """The customer the quote is for; implied for a remitter."""
    named = decode_id(Prefix.CUSTOMER, request.customer_id) if request.customer_id else None
    return principal.customer_id if principal.role is Role.REMITTER and not named else named


def _with(quote: Quote, leg: PartnerLeg) -> Quote:
    """The quote with what a partner pays out for what it buys, as long as both are bound."""
    if quote.price.buy != leg.price.sell:
        raise LegOutdated("the rate moved while the partner was asked; ask again")
    until = min(quote.expires_at, leg.expires_at - timedelta(seconds=MARGIN_S))
    if until <= quote.created_at:
        raise RateUnavailable("the partner binds itself for too short a time; ask again")
    return replace(
        quote, price=replace(quote.price, payout_method=PARTNER), expires_at=until, leg=leg
    )


def _unanswered(_quote: Quote) -> Answer:
    raise InvariantBroken("a quote that is consumed where it is made is not answered by itself")


def _remember(
    claim: Claim | None, answer: Answer, room: _Room, remembered: list[tuple[Claim, Answer]]
) -> None:
    """Keep an answer for later requests and for those of the same batch."""
    if claim is not None:
        remembered.append((claim, answer))
        room.answered[claim.scope] = StoredAnswer(
            claim.request_hash, replace(answer, replayed=True)
        )
