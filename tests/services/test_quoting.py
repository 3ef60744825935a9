"""Firm quotes over a real database: priced, limited, repeatable, and kept for ever."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from adapters.machine import SystemClock, new_id
from node.core.catalog import USDC, TokenInfo, catalog_of
from node.core.errors import (
    AmountInvalid,
    AmountOutOfRange,
    CurrencyUnknown,
    InvalidInput,
    InvariantBroken,
    LiquidityUnavailable,
    NotFound,
    PairNotOffered,
    RateUnavailable,
    TooManyQuotes,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Customer, Partner, Principal, Role
from node.core.ports.idempotency import Answer, Claim
from node.core.quotes import Quote, QuoteStatus, Rate
from node.services.idempotency import IdempotencyKeyReused
from node.services.quoting import TTL_MAX_S, QuoteLimits, QuoteRequest, QuoteService
from node.services.rates import Rates
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, TOKEN, LedgerNode, target

OPERATOR = Principal(Role.OPERATOR, "olga")
EUR_200 = QuoteRequest("EUR", "USDC", sell_amount="200.00")
LIMITS = QuoteLimits(ttl_s=60, active_max=50)


@dataclass(frozen=True)
class PublishedRates:
    """A `RateSource` that states the rates of the worked example."""

    dollar: str = "1.15626"
    age_s: int = 0
    name: str = "ecb"
    max_age_s: int | None = 3600
    natural_age_s: int | None = None

    async def rates(self) -> Sequence[Rate]:
        at = datetime.now(UTC) - timedelta(seconds=self.age_s)  # noqa: TID251 - a source's clock
        return [
            Rate.stated("EUR", "USD", self.dollar, self.name, at),
            Rate.stated("USD", "USDC", "1", "fixed", at),
        ]


@dataclass
class Quoting:
    """A quote service with what stands around it."""

    node: LedgerNode
    service: QuoteService
    another: QuoteService

    async def create(
        self,
        principal: Principal,
        request: QuoteRequest = EUR_200,
        *,
        key: str | None = None,
        body: bytes = b"body",
    ) -> Answer:
        claim = a_claim(principal, key, body) if key else None
        return await self.service.create(principal, request, claim, render)

    async def quote(self, principal: Principal, answer: Answer) -> Quote:
        return await self.service.get(principal, orjson.loads(answer.body)["id"])

    async def partner(self) -> Principal:
        partner = Partner(new_id(), f"partner {new_id()}")
        async with self.node.units() as unit:
            await unit.parties.add_partner(partner)
        return Principal(Role.PARTNER, partner.name, partner_id=partner.id)

    async def customer_of(self, partner: Principal) -> str:
        async with self.node.units() as unit:
            customer = Customer(new_id(), partner.partner_id, "Ada", "DE", None, unit.now)
            await unit.parties.add_customer(customer)
        return encode_id(Prefix.CUSTOMER, customer.id)


def a_claim(principal: Principal, key: str, body: bytes = b"body") -> Claim:
    return Claim(principal.key, "POST", "/v1/quotes", key, body.ljust(32))


def render(quote: Quote) -> Answer:
    body = {"id": encode_id(Prefix.QUOTE, quote.id), "buy": str(quote.price.buy)}
    return Answer(201, orjson.dumps(body))


async def a_service(
    units: StoreUnits, source: PublishedRates, limits: QuoteLimits = LIMITS
) -> QuoteService:
    rates = Rates([source])
    await rates.refresh()
    return QuoteService(
        units=units,
        catalog=catalog_of(TokenInfo(USDC, CHAIN_ID, TOKEN)),
        rates=rates,
        target=target(),
        limits=limits,
        clock=SystemClock(),
        new_id=new_id,
    )


@pytest.fixture
async def quoting(database_url: str) -> AsyncIterator[Quoting]:
    database, other = Database.at(database_url), Database.at(database_url)
    node = LedgerNode(StoreUnits(database))
    await node.fund_contract()
    yield Quoting(
        node,
        await a_service(StoreUnits(database), PublishedRates()),
        await a_service(StoreUnits(other), PublishedRates()),
    )
    await database.close()
    await other.close()


# Prices


async def test_an_indicative_price_has_the_figures_of_a_quote(quoting: Quoting) -> None:
    price = await quoting.service.price(sell="EUR", buy="USDC", sell_amount="200.00")
    answer = await quoting.create(OPERATOR)
    assert str(price.buy) == "230.074048"
    assert (await quoting.quote(OPERATOR, answer)).price.buy == price.buy


async def test_a_fixed_buy_gives_the_least_sell_amount(quoting: Quoting) -> None:
    price = await quoting.service.price(sell="EUR", buy="USDC", buy_amount="230")
    assert (str(price.sell), str(price.buy)) == ("199.94", "230.000000")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (QuoteRequest("EUR", "USDC"), InvalidInput),
        (QuoteRequest("EUR", "USDC", "1", "1"), InvalidInput),
        (QuoteRequest("XXX", "USDC", "1"), CurrencyUnknown),
        (QuoteRequest("EUR", "XXX", "1"), CurrencyUnknown),
        (QuoteRequest("USDC", "EUR", "1"), PairNotOffered),
        (QuoteRequest("EUR", "USDC", "1", payout_method="cash"), PairNotOffered),
        (QuoteRequest("EUR", "USDC", "1e5"), AmountInvalid),
        (QuoteRequest("EUR", "USDC", "0.001"), AmountInvalid),
        (QuoteRequest("EUR", "USDC", "-1"), AmountInvalid),
        (QuoteRequest("EUR", "USDC", "1" * 40), AmountInvalid),
        (QuoteRequest("EUR", "USDC", None, "1.0000001"), AmountInvalid),
        (QuoteRequest("EUR", "USDC", "0"), AmountOutOfRange),
        (QuoteRequest("EUR", "USDC", "0.09"), AmountOutOfRange),
        (QuoteRequest("EUR", "USDC", "100000.01"), AmountOutOfRange),
        (QuoteRequest("EUR", "USDC", "9" * 30), AmountOutOfRange),
        (QuoteRequest("EUR", "USDC", None, "0"), AmountOutOfRange),
        (QuoteRequest("EUR", "USDC", None, "9" * 30), AmountOutOfRange),
        (QuoteRequest("GBP", "USDC", "1"), RateUnavailable),
        (QuoteRequest("EUR", "USDC", "1", ttl_s=0), InvalidInput),
        (QuoteRequest("EUR", "USDC", "1", ttl_s=TTL_MAX_S + 1), InvalidInput),
        (QuoteRequest("EUR", "USDC", "1", customer_id="cus_nobody"), NotFound),
        (QuoteRequest("EUR", "USDC", "1", customer_id=encode_id(Prefix.CUSTOMER, new_id())),
         NotFound),
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_priced_is_refused_and_leaves_nothing(
    quoting: Quoting, request_: QuoteRequest, error: type[Exception]
) -> None:
    with pytest.raises(error) as refusal:
        await quoting.create(OPERATOR, request_)
    assert type(refusal.value) is error
    async with quoting.node.units() as unit:
        assert (await unit.quotes.active([OPERATOR.key]))[OPERATOR.key].count == 0


async def test_a_rate_that_is_too_old_is_never_a_number(quoting: Quoting) -> None:
    units = quoting.node.units
    assert isinstance(units, StoreUnits)
    old = await a_service(units, PublishedRates(age_s=3601))
    with pytest.raises(RateUnavailable):
        await old.create(OPERATOR, EUR_200, None, render)
    with pytest.raises(RateUnavailable):
        await old.price(sell="EUR", buy="USDC", sell_amount="200.00")


# Firm quotes


async def test_a_quote_is_stored_as_it_was_answered(quoting: Quoting) -> None:
    answer = await quoting.create(OPERATOR)
    quote = await quoting.quote(OPERATOR, answer)
    again = await quoting.quote(OPERATOR, answer)
    assert quote == again
    price = quote.price
    assert (f"{price.mid_rate:f}", f"{price.rate:f}") == ("1.15626", "1.15394748")
    assert (str(price.service_fee), str(price.network_fee)) == ("0.60", "0.02")
    assert (str(price.total_cost), price.total_cost_percent) == ("1.02", "0.51")
    assert [(each.source, each.sell, each.buy, each.text) for each in price.sources] == [
        ("ecb", "EUR", "USD", "1.15626"),
        ("fixed", "USD", "USDC", "1"),
    ]
    assert quote.expires_at - quote.created_at == timedelta(seconds=60)
    assert quoting.service.status(quote) is QuoteStatus.ACTIVE


async def test_a_longer_life_may_be_asked_for(quoting: Quoting) -> None:
    request = QuoteRequest("EUR", "USDC", sell_amount="200.00", ttl_s=TTL_MAX_S)
    quote = await quoting.quote(OPERATOR, await quoting.create(OPERATOR, request))
    assert quote.expires_at - quote.created_at == timedelta(seconds=TTL_MAX_S)


async def test_quotes_made_together_are_each_answered_with_their_own(quoting: Quoting) -> None:
    requests = [QuoteRequest("EUR", "USDC", sell_amount=f"{n}.00") for n in range(1, 41)]
    answers = await asyncio.gather(*(quoting.create(OPERATOR, each) for each in requests))
    for request, answer in zip(requests, answers, strict=True):
        assert str((await quoting.quote(OPERATOR, answer)).price.sell) == request.sell_amount


async def test_one_refusal_does_not_touch_the_others_of_its_batch(quoting: Quoting) -> None:
    requests = [EUR_200, QuoteRequest("EUR", "USDC", sell_amount="0.01"), EUR_200]
    first, refused, last = await asyncio.gather(
        *(quoting.create(OPERATOR, each) for each in requests), return_exceptions=True
    )
    assert isinstance(refused, AmountOutOfRange)
    assert isinstance(first, Answer)
    assert isinstance(last, Answer)


async def test_a_quote_exists_for_its_maker_and_the_operator_only(quoting: Quoting) -> None:
    maker, other = await quoting.partner(), await quoting.partner()
    answer = await quoting.create(maker)
    await quoting.quote(maker, answer)
    await quoting.quote(OPERATOR, answer)
    with pytest.raises(NotFound):
        await quoting.quote(other, answer)
    with pytest.raises(NotFound):
        await quoting.service.get(maker, encode_id(Prefix.QUOTE, new_id()))
    with pytest.raises(NotFound):
        await quoting.service.get(maker, "quo_1")


async def test_a_remitters_quote_is_for_itself(quoting: Quoting) -> None:
    ann, ben = await quoting.node.remitter(), await quoting.node.remitter()
    quote = await quoting.quote(ann, await quoting.create(ann))
    assert quote.customer_id == ann.customer_id
    assert ben.customer_id is not None
    foreign = encode_id(Prefix.CUSTOMER, ben.customer_id)
    with pytest.raises(NotFound):
        await quoting.create(ann, QuoteRequest("EUR", "USDC", "200.00", customer_id=foreign))


async def test_a_partner_quotes_for_its_own_customers_only(quoting: Quoting) -> None:
    maker, other = await quoting.partner(), await quoting.partner()
    own, foreign = await quoting.customer_of(maker), await quoting.customer_of(other)
    answer = await quoting.create(maker, QuoteRequest("EUR", "USDC", "200.00", customer_id=own))
    quote = await quoting.quote(maker, answer)
    assert quote.customer_id is not None
    assert encode_id(Prefix.CUSTOMER, quote.customer_id) == own
    with pytest.raises(NotFound):
        await quoting.create(maker, QuoteRequest("EUR", "USDC", "200.00", customer_id=foreign))


async def test_more_than_the_node_can_promise_is_not_quoted(quoting: Quoting) -> None:
    ann = await quoting.node.remitter(eur_minor=10**7)
    await quoting.node.funded(ann, 1, sell_minor=10**6, buy_minor=10**14 - 230_074_048)
    await quoting.create(ann)
    with pytest.raises(LiquidityUnavailable):
        await quoting.create(ann, QuoteRequest("EUR", "USDC", sell_amount="200.02"))


# Limits


async def test_a_maker_holds_exactly_as_many_active_quotes_as_allowed(quoting: Quoting) -> None:
    maker, other = await quoting.partner(), await quoting.partner()
    answers = await asyncio.gather(
        *(
            service.create(maker, EUR_200, None, render)
            for service in (quoting.service, quoting.another)
            for _ in range(40)
        ),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, TooManyQuotes)]
    assert len(answers) - len(refused) == LIMITS.active_max
    assert all(isinstance(each, Answer | TooManyQuotes) for each in answers)
    context = refused[0].context
    assert (context["limit"], context["remaining"]) == (50, 0)
    assert str(context["resets_at"]).endswith("Z")
    await quoting.create(other)


async def test_a_quote_that_is_used_revoked_or_expired_makes_room(
    quoting: Quoting, database_url: str
) -> None:
    units = quoting.node.units
    assert isinstance(units, StoreUnits)
    service = await a_service(units, PublishedRates(), QuoteLimits(ttl_s=60, active_max=3))
    made = [await service.create(OPERATOR, EUR_200, None, render) for _ in range(3)]
    with pytest.raises(TooManyQuotes):
        await service.create(OPERATOR, EUR_200, None, render)
    used, revoked, expired = [(await quoting.quote(OPERATOR, each)).id for each in made]
    async with quoting.node.units() as unit:
        await unit.quotes.lock_many([used])
        await unit.quotes.consume_many([(used, new_id())])
    async with units.database.transaction() as connection:
        await connection.raw.execute("UPDATE quote SET revoked_at = now() WHERE id = $1", revoked)
        await connection.raw.execute("UPDATE quote SET expires_at = now() WHERE id = $1", expired)
    for _ in range(3):
        await service.create(OPERATOR, EUR_200, None, render)
    with pytest.raises(TooManyQuotes):
        await service.create(OPERATOR, EUR_200, None, render)


# Repeats


async def test_a_repeated_request_gets_the_first_answer(quoting: Quoting) -> None:
    first = await quoting.create(OPERATOR, key="k")
    again = await quoting.create(OPERATOR, key="k")
    assert (again.status, again.body) == (first.status, first.body)
    assert (first.replayed, again.replayed) == (False, True)


async def test_100_identical_requests_in_two_processes_make_one_quote(quoting: Quoting) -> None:
    claim = a_claim(OPERATOR, "k")
    answers = await asyncio.gather(
        *(
            service.create(OPERATOR, EUR_200, claim, render)
            for service in (quoting.service, quoting.another)
            for _ in range(50)
        )
    )
    assert len({each.body for each in answers}) == 1
    assert sum(not each.replayed for each in answers) == 1
    async with quoting.node.units() as unit:
        assert (await unit.quotes.active([OPERATOR.key]))[OPERATOR.key].count == 1


async def test_a_key_with_another_body_is_refused(quoting: Quoting) -> None:
    await quoting.create(OPERATOR, key="k", body=b"one")
    with pytest.raises(IdempotencyKeyReused):
        await quoting.create(OPERATOR, key="k", body=b"two")
    same_batch = await asyncio.gather(
        *(quoting.create(OPERATOR, key="j", body=body) for body in (b"one", b"two")),
        return_exceptions=True,
    )
    assert isinstance(same_batch[0], Answer)
    assert isinstance(same_batch[1], IdempotencyKeyReused)


async def test_a_repeated_request_is_answered_though_no_rate_is_left(quoting: Quoting) -> None:
    first = await quoting.create(OPERATOR, key="k")
    units = quoting.node.units
    assert isinstance(units, StoreUnits)
    old = await a_service(units, PublishedRates(age_s=3601))
    again = await old.create(OPERATOR, EUR_200, a_claim(OPERATOR, "k"), render)
    assert again.body == first.body


async def test_a_refusal_is_judged_anew_when_repeated(quoting: Quoting) -> None:
    units = quoting.node.units
    assert isinstance(units, StoreUnits)
    old = await a_service(units, PublishedRates(age_s=3601))
    with pytest.raises(RateUnavailable):
        await old.create(OPERATOR, EUR_200, a_claim(OPERATOR, "k"), render)
    assert (await quoting.create(OPERATOR, key="k")).replayed is False


# The store


async def test_a_quote_is_consumed_once_and_only_while_it_is_active(quoting: Quoting) -> None:
    one = await quoting.quote(OPERATOR, await quoting.create(OPERATOR))
    two = await quoting.quote(OPERATOR, await quoting.create(OPERATOR))
    transfer_id = new_id()
    async with quoting.node.units() as unit:
        assert set(await unit.quotes.lock_many([one.id, new_id()])) == {one.id}
        await unit.quotes.consume_many([(one.id, transfer_id)])
    consumed = await quoting.service.get(OPERATOR, encode_id(Prefix.QUOTE, one.id))
    assert consumed.transfer_id == transfer_id
    assert quoting.service.status(consumed) is QuoteStatus.CONSUMED
    with pytest.raises(InvariantBroken):
        async with quoting.node.units() as unit:
            await unit.quotes.consume_many([(two.id, new_id()), (one.id, new_id())])
    untouched = await quoting.service.get(OPERATOR, encode_id(Prefix.QUOTE, two.id))
    assert untouched.transfer_id is None
