"""What is quoted and still open counts against a limit in each currency, exactly, over all."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta

import pytest

from node.core.errors import ExposureLimitReached
from node.core.ports import Unit
from node.core.ports.idempotency import Answer
from node.core.ports.quotes import OpenQuotes
from node.core.quotes import ACCEPTED_LATE_S, Quote
from node.services.pricing.quoting import QuoteLimits, QuoteRequest
from node.store.database import Database
from node.store.quotes import QuoteStore
from node.store.unit_of_work import StoreUnits
from tests.quoting import GBP_100, OPERATOR, Process, PublishedRates, QuotingNode

FEW = {"EUR": 50_000, "GBP": 50_000, "USDC": 10**12}  # 500.00 EUR and GBP
MANY = QuoteLimits(ttl_s=60, active_max=10_000)


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[QuotingNode]:
    node = await QuotingNode.at(database_url)
    async with node.stack:
        yield node


def euros(amount: str) -> QuoteRequest:
    return QuoteRequest("EUR", "USDC", sell_amount=amount)


async def refusal(process: Process, request: QuoteRequest) -> ExposureLimitReached:
    with pytest.raises(ExposureLimitReached) as refused:
        await process.create(OPERATOR, request)
    return refused.value


async def test_open_quotes_of_a_currency_sum_up_to_its_limit_and_no_further(
    node: QuotingNode,
) -> None:
    process = await node.process(PublishedRates(pound="0.8338"), exposure=FEW)
    first = await process.quote()
    await process.create()
    refused = await refusal(process, euros("100.01"))
    assert refused.retryable
    free_at = first.expires_at.astimezone(UTC) + timedelta(seconds=ACCEPTED_LATE_S)
    assert refused.context == {
        "limit": {"currency": "EUR", "amount": "500.00"},
        "remaining": {"currency": "EUR", "amount": "100.00"},
        "resets_at": free_at.isoformat().replace("+00:00", "Z"),
    }
    await process.create(OPERATOR, euros("100.00"))
    assert (await refusal(process, euros("0.10"))).context["remaining"] == {
        "currency": "EUR",
        "amount": "0.00",
    }
    await process.create(OPERATOR, GBP_100)  # another currency has room of its own


async def test_what_is_bought_counts_as_what_is_sold_does(node: QuotingNode) -> None:
    source = PublishedRates(pound="0.8338")
    process = await node.process(source, exposure={**FEW, "USDC": 460_148_096})
    await process.create()  # 230.074048 each
    await process.create()
    refused = await refusal(process, QuoteRequest("GBP", "USDC", buy_amount="0.5"))
    assert refused.context["remaining"] == {"currency": "USDC", "amount": "0.000000"}


async def test_a_quote_that_is_above_the_limit_by_itself_is_not_told_to_wait(
    node: QuotingNode,
) -> None:
    process = await node.process(exposure=FEW)
    await process.create()
    assert (await refusal(process, euros("500.01"))).context["resets_at"] is None


async def test_what_is_consumed_expired_or_revoked_does_not_count(node: QuotingNode) -> None:
    process = await node.process(exposure={**FEW, "EUR": 60_000})
    used, expired, revoked = [await process.quote() for _ in range(3)]
    assert await node.active() == (3, {"EUR": 60_000, "USDC": 3 * 230_074_048})
    for step, free in enumerate((used, expired, revoked)):
        await refusal(process, euros("0.10"))
        match step:
            case 0:
                await node.consume(free)
            case 1:
                await node.expire(free.id)
            case _:
                await process.halt("EUR")
                await process.resume("EUR")
        await process.quote()
    assert (await node.active())[1]["EUR"] == 20_000  # the halt revoked all that was open


async def test_what_expired_counts_as_long_as_an_acceptance_may_still_be_under_way(
    node: QuotingNode,
) -> None:
    process = await node.process(exposure=FEW)
    first = await process.quote(OPERATOR, euros("500.00"))
    await node.expire(first.id, ago_s=ACCEPTED_LATE_S - 10)
    await refusal(process, euros("0.10"))
    await node.expire(first.id, ago_s=ACCEPTED_LATE_S)
    await process.create(OPERATOR, euros("500.00"))


async def test_limits_are_exact_between_processes_and_within_a_batch(node: QuotingNode) -> None:
    processes = [await node.process(exposure=FEW, limits=MANY) for _ in range(2)]
    answers = await asyncio.gather(
        *(process.create(OPERATOR, euros("20.00")) for process in processes for _ in range(40)),
        return_exceptions=True,
    )
    assert all(isinstance(each, Answer | ExposureLimitReached) for each in answers)
    assert sum(isinstance(each, Answer) for each in answers) == 25
    assert (await node.active())[1]["EUR"] == 50_000


async def test_whatever_processes_do_in_turn_a_quote_is_made_exactly_where_there_is_room(
    node: QuotingNode,
) -> None:
    """Two processes against a model, over makings, consumptions and expiries in a mixed order."""
    processes = [await node.process(exposure=FEW, limits=MANY) for _ in range(2)]
    open_quotes: list[Quote] = []
    refused = 0
    for number in pseudo_random(150):
        process = processes[number % 2]
        match number // 2 % 5:
            case 0 if open_quotes:
                await node.consume(open_quotes.pop(number % len(open_quotes)))
            case 1 if open_quotes:
                await node.expire(open_quotes.pop(number % len(open_quotes)).id)
            case _:
                cents = 1_000 + number % 20_000
                has_room = sum(each.price.sell.minor for each in open_quotes) + cents <= 50_000
                request = euros(f"{cents // 100}.{cents % 100:02}")
                if has_room:
                    open_quotes.append(await process.quote(OPERATOR, request))
                else:
                    await refusal(process, request)
                    refused += 1
    assert 10 < refused < 100
    assert (await node.active())[0] == len(open_quotes)


def pseudo_random(count: int) -> Iterator[int]:
    """The same numbers each time (a linear congruential generator, Knuth's MMIX constants)."""
    state = 20_261_122
    for _ in range(count):
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        yield state >> 33


# Counting


@dataclass
class CountingUnits:
    """Units of work that count how often all open quotes were counted."""

    units: StoreUnits
    counted: int = 0

    def __call__(self) -> AbstractAsyncContextManager[Unit]:
        return self._open()

    def snapshot(self) -> AbstractAsyncContextManager[Unit]:
        return self.units.snapshot()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Unit]:
        async with self.units() as unit:
            counting = self

            class Counting(QuoteStore):
                async def open_quotes(self) -> OpenQuotes:
                    counting.counted += 1
                    return await super().open_quotes()

            store = unit.quotes
            assert isinstance(store, QuoteStore)
            store.__class__ = Counting
            yield unit


async def test_below_the_limits_nothing_is_counted_while_nobody_else_makes_quotes(
    node: QuotingNode,
) -> None:
    database = Database.at(node.database_url)
    node.stack.push_async_callback(database.close)
    units = CountingUnits(StoreUnits(database))
    process = await node.process(units=units, exposure=FEW)
    await process.fx.refresh()
    for _ in range(5):
        await process.create(OPERATOR, euros("10.00"))
    assert units.counted == 1  # it had just started
    other = await node.process(exposure=FEW)
    await other.create(OPERATOR, euros("10.00"))
    await process.create(OPERATOR, euros("10.00"))
    assert units.counted == 2
    await refusal(process, euros("430.01"))  # where the bound is reached, the count decides
    assert units.counted == 3
    await process.create(OPERATOR, euros("430.00"))
