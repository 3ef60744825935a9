"""Firm quotes over a real database: priced, limited, repeatable, and kept for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.machine import new_id
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
from node.core.ports.idempotency import Answer
from node.core.quotes import TTL_MAX_S, QuoteStatus
from node.services.idempotency import IdempotencyKeyReused
from node.services.pricing.quoting import QuoteLimits, QuoteRequest
from tests.quoting import (
    EUR_200,
    LIMITS,
    OPERATOR,
    Process,
    PublishedRates,
    QuotingNode,
)


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[QuotingNode]:
    node = await QuotingNode.at(database_url)
    async with node.stack:
        yield node


@pytest.fixture
async def one(node: QuotingNode) -> Process:
    return await node.process()


@pytest.fixture
async def another(node: QuotingNode) -> Process:
    """A second process on the same database."""
    return await node.process()


# Prices


async def test_an_indicative_price_has_the_figures_of_a_quote(one: Process) -> None:
    price = await one.quoting.price(sell="EUR", buy="USDC", sell_amount="200.00")
    assert str(price.buy) == "230.074048"
    assert (await one.quote()).price.buy == price.buy


async def test_a_fixed_buy_gives_the_least_sell_amount(one: Process) -> None:
    price = await one.quoting.price(sell="EUR", buy="USDC", buy_amount="230")
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
        (QuoteRequest("JPY", "USDC", "1000"), RateUnavailable),
        (QuoteRequest("EUR", "USDC", "1", ttl_s=0), InvalidInput),
        (QuoteRequest("EUR", "USDC", "1", ttl_s=TTL_MAX_S + 1), InvalidInput),
        (QuoteRequest("EUR", "USDC", "1", customer_id="cus_nobody"), NotFound),
        (QuoteRequest("EUR", "USDC", "1", customer_id=encode_id(Prefix.CUSTOMER, new_id())),
         NotFound),
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_priced_is_refused_and_leaves_nothing(
    node: QuotingNode, one: Process, request_: QuoteRequest, error: type[Exception]
) -> None:
    with pytest.raises(error) as refusal:
        await one.create(OPERATOR, request_)
    assert type(refusal.value) is error
    assert await node.active() == (0, {})


async def test_a_rate_that_is_too_old_is_never_a_number(node: QuotingNode) -> None:
    old = await node.process(PublishedRates(age_s=3601))
    for asked in (old.create(), old.price()):
        with pytest.raises(RateUnavailable, match="too old") as refusal:
            await asked
        assert refusal.value.context == {"reason": "too_old", "sources": ["ecb"]}


# Firm quotes


async def test_a_quote_is_stored_as_it_was_answered(one: Process) -> None:
    answer = await one.create()
    quote = await one.again(OPERATOR, answer)
    assert quote == await one.again(OPERATOR, answer)
    price = quote.price
    assert (f"{price.mid_rate:f}", f"{price.rate:f}") == ("1.15626", "1.15394748")
    assert (str(price.service_fee), str(price.network_fee)) == ("0.60", "0.02")
    assert (str(price.total_cost), price.total_cost_percent) == ("1.02", "0.51")
    assert [(each.source, each.sell, each.buy, each.text) for each in price.sources] == [
        ("ecb", "EUR", "USD", "1.15626"),
        ("fixed", "USD", "USDC", "1"),
    ]
    assert (quote.expires_at - quote.created_at).total_seconds() == 60
    assert one.quoting.status(quote) is QuoteStatus.ACTIVE


async def test_a_longer_life_may_be_asked_for(one: Process) -> None:
    request = QuoteRequest("EUR", "USDC", sell_amount="200.00", ttl_s=TTL_MAX_S)
    quote = await one.quote(OPERATOR, request)
    assert (quote.expires_at - quote.created_at).total_seconds() == TTL_MAX_S


async def test_quotes_made_together_are_each_answered_with_their_own(one: Process) -> None:
    requests = [QuoteRequest("EUR", "USDC", sell_amount=f"{n}.00") for n in range(1, 41)]
    quotes = await asyncio.gather(*(one.quote(OPERATOR, each) for each in requests))
    for request, quote in zip(requests, quotes, strict=True):
        assert str(quote.price.sell) == request.sell_amount


async def test_one_refusal_does_not_touch_the_others_of_its_batch(one: Process) -> None:
    requests = [EUR_200, QuoteRequest("EUR", "USDC", sell_amount="0.01"), EUR_200]
    first, refused, last = await asyncio.gather(
        *(one.create(OPERATOR, each) for each in requests), return_exceptions=True
    )
    assert isinstance(refused, AmountOutOfRange)
    assert isinstance(first, Answer)
    assert isinstance(last, Answer)


async def test_a_quote_exists_for_its_maker_and_the_operator_only(
    node: QuotingNode, one: Process
) -> None:
    maker, other = await node.partner(), await node.partner()
    answer = await one.create(maker)
    await one.again(maker, answer)
    await one.again(OPERATOR, answer)
    with pytest.raises(NotFound):
        await one.again(other, answer)
    with pytest.raises(NotFound):
        await one.quoting.get(maker, encode_id(Prefix.QUOTE, new_id()))
    with pytest.raises(NotFound):
        await one.quoting.get(maker, "quo_1")


async def test_a_remitters_quote_is_for_itself(node: QuotingNode, one: Process) -> None:
    ann, ben = await node.ledger.remitter(), await node.ledger.remitter()
    assert (await one.quote(ann)).customer_id == ann.customer_id
    assert ben.customer_id is not None
    foreign = encode_id(Prefix.CUSTOMER, ben.customer_id)
    with pytest.raises(NotFound):
        await one.create(ann, QuoteRequest("EUR", "USDC", "200.00", customer_id=foreign))


async def test_a_partner_quotes_for_its_own_customers_only(node: QuotingNode, one: Process) -> None:
    maker, other = await node.partner(), await node.partner()
    own, foreign = await node.customer_of(maker), await node.customer_of(other)
    quote = await one.quote(maker, QuoteRequest("EUR", "USDC", "200.00", customer_id=own))
    assert quote.customer_id is not None
    assert encode_id(Prefix.CUSTOMER, quote.customer_id) == own
    with pytest.raises(NotFound):
        await one.create(maker, QuoteRequest("EUR", "USDC", "200.00", customer_id=foreign))


async def test_more_than_the_node_can_promise_is_not_quoted(
    node: QuotingNode, one: Process
) -> None:
    ann = await node.ledger.remitter(eur_minor=10**7)
    await one.create(ann)  # the level of rates is known; the transfer's is made up
    await node.ledger.funded(ann, 1, sell_minor=10**6, buy_minor=10**14 - 230_074_048)
    await one.create(ann)
    with pytest.raises(LiquidityUnavailable):
        await one.create(ann, QuoteRequest("EUR", "USDC", sell_amount="200.02"))


# Limits


async def test_a_maker_holds_exactly_as_many_active_quotes_as_allowed(
    node: QuotingNode, one: Process, another: Process
) -> None:
    maker, other = await node.partner(), await node.partner()
    answers = await asyncio.gather(
        *(process.create(maker) for process in (one, another) for _ in range(40)),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, TooManyQuotes)]
    assert len(answers) - len(refused) == LIMITS.active_max
    assert all(isinstance(each, Answer | TooManyQuotes) for each in answers)
    context = refused[0].context
    assert (context["limit"], context["remaining"]) == (50, 0)
    assert str(context["resets_at"]).endswith("Z")
    await one.create(other)


async def test_a_quote_that_is_used_revoked_or_expired_makes_room(node: QuotingNode) -> None:
    process = await node.process(limits=QuoteLimits(ttl_s=60, active_max=3))
    used, revoked, expired = [await process.quote() for _ in range(3)]
    with pytest.raises(TooManyQuotes):
        await process.create()
    await node.consume(used)
    await node.execute(
        "UPDATE quote SET revoked_at = now(), revoked_reason = 'operator' WHERE id = $1", revoked.id
    )
    await node.expire(expired.id)
    for _ in range(3):
        await process.create()
    with pytest.raises(TooManyQuotes):
        await process.create()


# Repeats


async def test_a_repeated_request_gets_the_first_answer(one: Process) -> None:
    first, again = [await one.create(key="k") for _ in range(2)]
    assert (again.status, again.body) == (first.status, first.body)
    assert (first.replayed, again.replayed) == (False, True)


async def test_100_identical_requests_in_two_processes_make_one_quote(
    node: QuotingNode, one: Process, another: Process
) -> None:
    answers = await asyncio.gather(
        *(process.create(key="k") for process in (one, another) for _ in range(50))
    )
    assert len({each.body for each in answers}) == 1
    assert sum(not each.replayed for each in answers) == 1
    assert (await node.active())[0] == 1


async def test_a_key_with_another_body_is_refused(one: Process) -> None:
    await one.create(key="k", body=b"one")
    with pytest.raises(IdempotencyKeyReused):
        await one.create(key="k", body=b"two")
    same_batch = await asyncio.gather(
        *(one.create(key="j", body=body) for body in (b"one", b"two")), return_exceptions=True
    )
    assert isinstance(same_batch[0], Answer)
    assert isinstance(same_batch[1], IdempotencyKeyReused)


async def test_a_repeated_request_is_answered_though_no_rate_is_left(
    node: QuotingNode, one: Process
) -> None:
    first = await one.create(key="k")
    old = await node.process(PublishedRates(age_s=3601))
    assert (await old.create(key="k")).body == first.body


async def test_a_refusal_is_judged_anew_when_repeated(node: QuotingNode, one: Process) -> None:
    old = await node.process(PublishedRates(age_s=3601))
    with pytest.raises(RateUnavailable):
        await old.create(key="k")
    assert (await one.create(key="k")).replayed is False


# The store


async def test_a_quote_is_consumed_once_and_only_while_it_is_active(
    node: QuotingNode, one: Process
) -> None:
    first, second = await one.quote(), await one.quote()
    transfer_id = new_id()
    async with node.ledger.units() as unit:
        assert set(await unit.quotes.lock_many([first.id, new_id()])) == {first.id}
        await unit.quotes.consume_many([(first.id, transfer_id)])
    consumed = await one.quoting.get(OPERATOR, encode_id(Prefix.QUOTE, first.id))
    assert consumed.transfer_id == transfer_id
    assert one.quoting.status(consumed) is QuoteStatus.CONSUMED
    with pytest.raises(InvariantBroken):
        async with node.ledger.units() as unit:
            await unit.quotes.consume_many([(second.id, new_id()), (first.id, new_id())])
    untouched = await one.quoting.get(OPERATOR, encode_id(Prefix.QUOTE, second.id))
    assert untouched.transfer_id is None
