"""An operator halts quoting: open quotes are revoked, and nothing new is quoted."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import orjson
import pytest

from node.core.errors import QuotingHalted
from node.core.ports.idempotency import Answer
from node.core.quotes import HaltReason, QuoteStatus
from node.services.pricing.quoting import QuoteLimits
from tests.quoting import EUR_200, GBP_100, OPERATOR, Process, PublishedRates, QuotingNode

MANY = QuoteLimits(ttl_s=600, active_max=10_000)
POUNDS = partial(PublishedRates, pound="0.8338")


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[QuotingNode]:
    node = await QuotingNode.at(database_url)
    async with node.stack:
        yield node


@pytest.fixture
async def one(node: QuotingNode) -> Process:
    return await node.process(POUNDS(), limits=MANY)


@pytest.fixture
async def another(node: QuotingNode) -> Process:
    """A second process on the same database."""
    return await node.process(POUNDS(), limits=MANY)


async def test_a_halt_revokes_what_is_open_in_its_currency_and_quotes_no_more_of_it(
    one: Process, another: Process
) -> None:
    euro, pound = await one.quote(), await another.quote(OPERATOR, GBP_100)
    halted = await one.halt("EUR", note="a look at the source")
    assert halted == {"halts": [["EUR", "operator"]], "revoked": 1}
    assert await one.status(euro) is QuoteStatus.REVOKED
    assert await one.status(pound) is QuoteStatus.ACTIVE
    for process in (one, another):
        for asked in (process.create(), process.price()):
            with pytest.raises(QuotingHalted, match="quoting of EUR is halted since") as refused:
                await asked
            assert refused.value.retryable
            assert refused.value.context["currency"] == "EUR"
            assert refused.value.context["reason"] == "operator"
            assert str(refused.value.context["since"]).endswith("Z")
        await process.create(OPERATOR, GBP_100)
        await process.price("GBP")
    assert await another.resume("EUR") == []
    for process in (one, another):
        await process.create()
        await process.price()
    assert await one.status(euro) is QuoteStatus.REVOKED


async def test_a_revoked_quote_keeps_the_reason_for_ever(one: Process) -> None:
    answer = await one.create()
    await one.halt("USDC")
    quote = await one.again(OPERATOR, answer)
    assert quote.revoked_reason is HaltReason.OPERATOR
    assert quote.revoked_at is not None
    assert quote.revoked_at >= quote.created_at


async def test_everything_is_halted_at_once_and_what_was_halted_by_itself_stays_so(
    one: Process,
) -> None:
    quotes = [await one.quote(), await one.quote(OPERATOR, GBP_100)]
    await one.halt("EUR")
    halted = await one.halt(None)
    assert halted == {"halts": [["EUR", "operator"], [None, "operator"]], "revoked": 1}
    assert {await one.status(each) for each in quotes} == {QuoteStatus.REVOKED}
    with pytest.raises(QuotingHalted, match="quoting is halted since"):
        await one.create(OPERATOR, GBP_100)
    assert await one.resume(None) == [("EUR", "operator")]
    await one.create(OPERATOR, GBP_100)
    with pytest.raises(QuotingHalted):
        await one.create()


async def test_halting_and_resuming_twice_changes_nothing(one: Process, another: Process) -> None:
    await one.halt("EUR", note="first")
    assert await another.halt("EUR", note="second") == {
        "halts": [["EUR", "operator"]],
        "revoked": 0,
    }
    (halt,) = (await one.fx.state()).halts
    assert (halt.note, halt.halted_by) == ("first", OPERATOR.key)
    assert await one.resume("EUR") == await one.resume("EUR") == []


async def test_a_repeated_request_to_halt_gets_the_first_answer(one: Process) -> None:
    await one.create()
    first = await one.halt("EUR", key="k")
    await one.resume("EUR")
    assert await one.halt("EUR", key="k") == first
    assert await one.halts() == []  # nothing was done again


async def test_quotes_that_have_expired_or_made_a_transfer_are_not_revoked(
    node: QuotingNode, one: Process
) -> None:
    used, expired = await one.quote(), await one.quote()
    await node.consume(used)
    await node.expire(expired.id)
    assert (await one.halt("EUR"))["revoked"] == 0
    assert await one.status(used) is QuoteStatus.CONSUMED
    assert await one.status(expired) is QuoteStatus.EXPIRED


async def test_a_transfer_that_waited_while_its_quote_expired_and_a_halt_came_is_not_accepted(
    node: QuotingNode, one: Process
) -> None:
    ann = await node.ledger.remitter(eur_minor=50_000)
    quote = await one.quote(ann)
    books = await asyncpg.connect(node.database_url)
    async with books.transaction():
        await books.execute("SELECT FROM ledger FOR UPDATE")
        asked = asyncio.create_task(
            node.ledger.acceptance.create(node.ledger.submission(ann, quote))
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(60):
            while not await books.fetchval(waiting):  # noqa: ASYNC110 - rows of the server
                await asyncio.sleep(0.01)
        # Active when the acceptance began, and expired when the halt does.
        await node.execute(
            "UPDATE quote SET expires_at = clock_timestamp() WHERE id = $1", quote.id
        )
        assert (await one.halt("EUR"))["revoked"] == 0
    refused = await asked
    await books.close()
    assert orjson.loads(refused.body) == {"code": "quote_revoked"}
    assert await one.status(quote) is QuoteStatus.EXPIRED


async def test_a_transfer_on_a_revoked_quote_is_refused_by_that_name_and_takes_nothing(
    node: QuotingNode, one: Process
) -> None:
    ann = await node.ledger.remitter(eur_minor=50_000)
    quote = await one.quote(ann)
    await one.halt("EUR")
    submission = node.ledger.submission(ann, quote, key="k")
    refused = await node.ledger.acceptance.create(submission)
    assert orjson.loads(refused.body) == {"code": "quote_revoked"}
    await one.resume("EUR")  # the refusal is an answer like any other, and stays
    again = await node.ledger.acceptance.create(submission)
    assert (again.body, again.replayed) == (refused.body, True)
    accepted = await node.ledger.acceptance.create(
        node.ledger.submission(ann, await one.quote(ann))
    )
    assert accepted.status == 201


async def test_of_a_halt_and_transfers_at_once_each_quote_is_used_or_revoked_and_never_both(
    node: QuotingNode, one: Process, another: Process
) -> None:
    ann = await node.ledger.remitter(eur_minor=10**9)
    quotes = await asyncio.gather(*(one.quote(ann, EUR_200) for _ in range(300)))

    async def halt_in_between() -> None:
        while not await used():  # noqa: ASYNC110 - the condition is a row of another connection
            await asyncio.sleep(0)
        await another.halt("EUR")

    async def used() -> int:
        async with node.ledger.units() as unit:
            found = await unit.quotes.lock_many([quotes[0].id])
        return sum(each.transfer_id is not None for each in found.values())

    answers, _ = await asyncio.gather(
        asyncio.gather(
            *(node.ledger.acceptance.create(node.ledger.submission(ann, each)) for each in quotes)
        ),
        halt_in_between(),
    )
    statuses = [await one.status(each) for each in quotes]
    for answer, status in zip(answers, statuses, strict=True):
        if answer.status == 201:
            assert status is QuoteStatus.CONSUMED
        else:
            assert orjson.loads(answer.body) == {"code": "quote_revoked"}
            assert status is QuoteStatus.REVOKED
    async with node.ledger.units() as unit:
        found = await unit.quotes.lock_many([each.id for each in quotes])
    assert all((each.revoked_at is None) != (each.transfer_id is None) for each in found.values())


async def test_of_a_halt_and_new_quotes_at_once_nothing_is_left_open(
    node: QuotingNode, one: Process, another: Process
) -> None:
    async def make(process: Process) -> int:
        made = 0
        while True:
            answers = await asyncio.gather(
                *(process.create() for _ in range(10)), return_exceptions=True
            )
            assert all(isinstance(each, Answer | QuotingHalted) for each in answers)
            made += sum(isinstance(each, Answer) for each in answers)
            if not isinstance(answers[-1], Answer):
                return made

    async def halt_once_some_are_made() -> object:
        while (await node.active())[0] < 50:  # noqa: ASYNC110 - rows of another connection
            await asyncio.sleep(0)
        return (await one.halt("EUR"))["revoked"]

    *made, revoked = await asyncio.gather(make(one), make(another), halt_once_some_are_made())
    assert revoked == sum(map(int, made)) >= 50
    assert await node.active() == (0, {})


async def test_the_state_names_sources_levels_halts_and_exposure(
    node: QuotingNode, one: Process
) -> None:
    await one.create()
    await one.states(None)
    await one.halt("GBP", note="a look")
    state = await one.fx.state()
    (reading,) = state.readings
    assert (reading.name, reading.fault, len(reading.rates)) == ("ecb", "no answer", 3)
    pairs = {(each.sell, each.buy): each for each in state.pairs}
    euro, yen = pairs["EUR", "USDC"], pairs["JPY", "USDC"]
    assert euro.mid is not None
    assert (f"{euro.mid.rate:f}", f"{euro.trusted:f}") == ("1.15626", "1.15626")
    assert (yen.mid, yen.trusted) == (None, None)
    assert yen.fault == ("no source states a rate for JPY/USDC (asked: ecb); ecb: no answer")
    assert [(each.currency, each.note) for each in state.halts] == [("GBP", "a look")]
    exposure = {each.asset.code: each for each in state.exposure}
    assert (exposure["EUR"].open.minor, exposure["EUR"].open.count) == (20_000, 1)
    assert exposure["EUR"].limit_minor == 10_000_000_000
    assert exposure["USDC"].open.minor == 230_074_048
    assert exposure["JPY"].open.minor == 0
