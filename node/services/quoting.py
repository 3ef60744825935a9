"""Prices and firm quotes.

A price is arithmetic over rates that are in memory. Firm quotes that wait are stored together in
one database transaction (`node.services.batching`), under a lock per maker, so that the limit of
active quotes and the idempotency keys hold exactly, also between processes. A quote reserves no
money: its transfer does (`node.services.acceptance`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from node.core.catalog import ONCHAIN, Catalog
from node.core.errors import (
    InvalidInput,
    LiquidityUnavailable,
    NodeError,
    NotFound,
    TooManyQuotes,
)
from node.core.ids import Prefix, decode_id
from node.core.parties import Customer, Principal, Role
from node.core.ports import Clock, Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim, StoredAnswer
from node.core.quotes import Price, Quote, QuoteStatus, price_fixed_buy, price_fixed_sell
from node.core.units import parse_minor
from node.services.acceptance import SettlementTarget, headroom, liquidity_paths
from node.services.batching import GroupCommit
from node.services.idempotency import replay
from node.services.rates import Rates

TTL_MAX_S: Final = 1800
"""Longest life of a quote that may be asked for."""

Render = Callable[[Quote], Answer]


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What a caller wants priced.

    Attributes:
        sell: Asset code; `buy` too.
        sell_amount: Decimal string; exactly one of the two amounts is given.
        ttl_s: Life asked for, 1 to `TTL_MAX_S`; None: the node's own.
        customer_id: Public id of the only customer whose transfer may consume it.
    """

    sell: str
    buy: str
    sell_amount: str | None = None
    buy_amount: str | None = None
    payout_method: str = ONCHAIN
    ttl_s: int | None = None
    customer_id: str | None = None


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
    """What a batch is decided against; `active` changes as its quotes are made."""

    customers: Mapping[UUID, Customer]
    headroom: int
    active: dict[str, tuple[int, datetime | None]]
    answered: dict[tuple[str, str, str, str], StoredAnswer]


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
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._rates = rates
        self._target = target
        self._limits = limits
        self._clock = clock
        self._new_id = new_id
        self._group = GroupCommit(self._process)

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
            RateUnavailable: No rate that could be trusted.
            InvalidInput: Not exactly one amount.
        """
        return self._price(
            QuoteRequest(sell, buy, sell_amount, buy_amount, payout_method), self._clock.now()
        )

    async def create(
        self, principal: Principal, request: QuoteRequest, claim: Claim | None, render: Render
    ) -> Answer:
        """Make a firm quote, at most once for its claim. Refusals are not remembered.

        A refusal changes nothing and depends on rates and limits that pass, so a repeated request
        is judged anew.

        Raises:
            NotFound: No such customer for this principal.
            TooManyQuotes: The maker holds too many; with `limit`, `remaining`, `resets_at`.
            LiquidityUnavailable: More than the node can promise now.
            IdempotencyKeyReused: The key came with another body.
            NodeError: As in `price`.
        """
        customer_id = _customer_of(principal, request)
        if request.ttl_s is not None and not 0 < request.ttl_s <= TTL_MAX_S:
            raise InvalidInput(f"ttl_s must be from 1 to {TTL_MAX_S}")
        return await self._group.submit(_Submission(principal, request, customer_id, claim, render))

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

    def _price(self, request: QuoteRequest, now: datetime) -> Price:
        corridor = self._catalog.corridor(request.sell, request.buy, request.payout_method)
        match request.sell_amount, request.buy_amount:
            case str(amount), None:
                sell_minor = parse_minor(amount, corridor.sell)
                mid = self._rates.mid(request.sell, request.buy, now)
                return price_fixed_sell(corridor, mid, sell_minor)
            case None, str(amount):
                buy_minor = parse_minor(amount, corridor.buy)
                mid = self._rates.mid(request.sell, request.buy, now)
                return price_fixed_buy(corridor, mid, buy_minor)
            case _:
                raise InvalidInput("give the amount on exactly one side, sell or buy")

    async def _process(self, batch: Sequence[_Submission]) -> Sequence[Answer | Exception]:
        async with self._units() as unit:
            await unit.quotes.lock_makers([each.principal.key for each in batch])
            room = await self._read_room(unit, batch)
            answers: list[Answer | Exception] = []
            made: list[Quote] = []
            remembered: list[tuple[Claim, Answer]] = []
            for each in batch:
                try:
                    answer = replay(each.claim, room.answered)
                    if answer is None:
                        made.append(self._decide(each, room, unit.now))
                        answer = each.render(made[-1])
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
        active = await unit.quotes.active([each.principal.key for each in batch])
        balances = await unit.ledger.balances(liquidity_paths(self._target))
        return _Room(
            customers=await unit.parties.customers(customer_ids) if customer_ids else {},
            headroom=headroom(self._target, balances),
            active={maker: (each.count, each.first_expires_at) for maker, each in active.items()},
            answered=dict(await unit.idempotency.find(claims)) if claims else {},
        )

    def _decide(self, submission: _Submission, room: _Room, now: datetime) -> Quote:
        maker = submission.principal.key
        customer_id = submission.customer_id
        if customer_id is not None:
            customer = room.customers.get(customer_id)
            if customer is None or not customer.is_visible_to(submission.principal):
                raise NotFound("there is no such customer")
        price = self._price(submission.request, now)
        if price.buy.asset.code == self._target.token and room.headroom < price.buy.minor:
            raise LiquidityUnavailable("the node cannot promise this much now; try again later")
        expires_at = now + timedelta(seconds=submission.request.ttl_s or self._limits.ttl_s)
        self._count(maker, expires_at, room)
        return Quote(self._new_id(), maker, customer_id, price, now, expires_at)

    def _count(self, maker: str, expires_at: datetime, room: _Room) -> None:
        count, first_expires_at = room.active[maker]
        limit = self._limits.active_max
        if count >= limit:
            resets_at = first_expires_at or expires_at
            raise TooManyQuotes(
                f"you hold {limit} active quotes; use one or wait until one expires",
                limit=limit,
                remaining=0,
                resets_at=resets_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            )
        room.active[maker] = (count + 1, min(first_expires_at or expires_at, expires_at))


def _customer_of(principal: Principal, request: QuoteRequest) -> UUID | None:
    """The customer the quote is for; implied for a remitter."""
    named = decode_id(Prefix.CUSTOMER, request.customer_id) if request.customer_id else None
    return principal.customer_id if principal.role is Role.REMITTER and not named else named


def _remember(
    claim: Claim | None, answer: Answer, room: _Room, remembered: list[tuple[Claim, Answer]]
) -> None:
    """Keep an answer for later requests and for those of the same batch."""
    if claim is not None:
        remembered.append((claim, answer))
        room.answered[claim.scope] = StoredAnswer(
            claim.request_hash, replace(answer, replayed=True)
        )
