"""A rate that jumps halts quoting by itself, in all processes, until an operator has looked."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from node.core.errors import InvalidInput, QuotingHalted, RateUnavailable, WrongState
from node.core.ids import Prefix, encode_id
from node.core.quotes import TTL_MAX_S, HaltReason, QuoteStatus
from tests.quoting import GBP_100, OPERATOR, Process, PublishedRates, QuotingNode

JUMP = [("EUR", "jump")]


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[QuotingNode]:
    node = await QuotingNode.at(database_url)
    async with node.stack:
        yield node


@pytest.fixture
async def one(node: QuotingNode) -> Process:
    return await node.process()


async def is_halted(process: Process) -> None:
    for asked in (process.create(), process.price()):
        with pytest.raises(QuotingHalted) as refused:
            await asked
        assert refused.value.context["reason"] == "jump"
        assert refused.value.context["currency"] == "EUR"


async def test_a_small_move_is_trusted_and_the_next_is_measured_from_there(one: Process) -> None:
    for dollar in ("1.15626", "1.25", "1.37", "1.49", "1.36", "1.24"):  # each within 10 %
        assert await one.states(dollar) == ()
        assert (await one.quote()).price.sources[0].text == dollar


@pytest.mark.parametrize("dollar", ["1.28", "1.04", "2.3"])
async def test_a_jump_halts_its_currency_and_revokes_what_is_open_at_the_old_level(
    one: Process, dollar: str
) -> None:
    quote = await one.quote()
    (halt,) = await one.states(dollar)
    assert (halt.currency, halt.reason, halt.halted_by) == ("EUR", HaltReason.JUMP, "breaker")
    assert halt.note is not None
    assert f"EUR/USDC went from 1.15626 to {dollar} (ecb EUR/USD {dollar}," in halt.note
    assert await one.status(quote) is QuoteStatus.REVOKED
    revoked = await one.quoting.get(OPERATOR, encode_id(Prefix.QUOTE, quote.id))
    assert revoked.revoked_reason is HaltReason.JUMP
    await is_halted(one)


@pytest.mark.parametrize("dollar", ["11.5626", "0.115626", "2.4"])
async def test_a_rate_that_more_than_doubles_or_halves_is_a_fault_and_open_quotes_are_honoured(
    node: QuotingNode, one: Process, dollar: str
) -> None:
    ann = await node.ledger.remitter(eur_minor=50_000)
    quote = await one.quote(ann)
    await node.age_levels()
    (halt,) = await one.states(dollar)
    assert (halt.currency, halt.reason) == ("EUR", HaltReason.JUMP)
    assert halt.note is not None
    assert halt.note.endswith("a fault, so open quotes are kept")
    await is_halted(one)
    answer = await node.ledger.acceptance.create(node.ledger.submission(ann, quote))
    assert answer.status == 201


@pytest.mark.parametrize(("lie", "truth"), [("11.5626", "1.15626"), ("0.115626", "1.15626")])
async def test_after_a_fault_quotes_are_kept_only_if_their_level_outlived_every_quote(
    node: QuotingNode, lie: str, truth: str
) -> None:
    one = await node.process(PublishedRates(lie))  # nothing to compare with: believed
    quote = await one.quote()
    await node.age_levels(TTL_MAX_S - 60)
    (halt,) = await one.states(truth)
    assert halt.note is not None
    assert halt.note.endswith("one of the two is a fault, so open quotes are revoked")
    assert await one.status(quote) is QuoteStatus.REVOKED


async def test_small_moves_do_not_begin_another_level(node: QuotingNode, one: Process) -> None:
    await one.states("1.15626")
    await node.age_levels()
    for dollar in ("1.20", "1.25"):
        await one.states(dollar)
    quote = await one.quote()
    await one.states("12.5")
    assert await one.status(quote) is QuoteStatus.ACTIVE


async def test_only_the_currency_that_jumped_is_halted(node: QuotingNode) -> None:
    one = await node.process(PublishedRates(pound="0.8338"))
    pound = await one.quote(OPERATOR, GBP_100)
    one.source.pound = "0.95"  # pounds for a euro: the pound falls, the euro stays
    await one.states("1.15626")
    assert await one.halts() == [("GBP", "jump")]
    assert await one.status(pound) is QuoteStatus.REVOKED
    await one.create()


async def test_what_is_priced_over_the_rate_that_jumped_is_halted_as_well(
    node: QuotingNode,
) -> None:
    one = await node.process(PublishedRates(pound="0.8338"))
    await one.states("1.15626")
    await one.states("1.30")
    assert await one.halts() == [("EUR", "jump"), ("GBP", "jump")]


async def test_whoever_asks_first_finds_the_jump_a_price_or_a_quote(node: QuotingNode) -> None:
    for firm in (True, False):
        process = await node.process()
        quote = await process.quote()
        await process.reads("1.30")  # nobody watched
        with pytest.raises(QuotingHalted):
            await (process.create() if firm else process.price())
        assert await process.halts() == JUMP
        assert await process.status(quote) is QuoteStatus.REVOKED
        await process.reads("1.15626")
        assert await process.resume("EUR") == []


async def test_a_halt_stays_though_the_rate_is_back_until_an_operator_resumes(
    one: Process,
) -> None:
    await one.quote()
    await one.states("1.30")
    await one.states("1.15626")
    await is_halted(one)
    assert await one.resume("EUR") == []
    assert (await one.quote()).price.sources[0].text == "1.15626"


async def test_who_resumes_accepts_the_new_level_in_every_process_and_after_a_restart(
    node: QuotingNode, one: Process
) -> None:
    two = await node.process()
    await one.quote()
    await two.quote()
    for process in (one, two):
        await process.states("1.30")
    await is_halted(two)
    assert await one.resume("EUR") == []
    restarted = await node.process(PublishedRates("1.31"))
    for process in (one, two, restarted):
        assert (await process.quote()).price.mid_rate > 1
    back = await node.process(PublishedRates("1.15626"))  # from the new level, this is a jump
    await is_halted(back)


@pytest.mark.parametrize("age_s", [0, 7200])
async def test_resuming_while_there_is_no_rate_accepts_nothing_and_the_old_level_stays(
    node: QuotingNode, one: Process, age_s: int
) -> None:
    await one.quote()
    await one.states("11.5626")
    one.source.age_s = 7200
    await one.states("11.5626")  # read, and too old
    resumed = await one.resumed("EUR")
    assert (resumed.halts, resumed.accepted) == ((), {})
    with pytest.raises(RateUnavailable):
        await one.create()
    one.source.age_s = 0
    await one.states("11.5626")
    await is_halted(one)
    await one.states("1.15626")
    assert (await one.resumed("EUR")).accepted == {("EUR", "USDC"): Decimal("1.15626")}
    await one.create()


async def test_a_process_that_read_before_a_level_was_accepted_gives_no_rate_and_halts_nothing(
    node: QuotingNode, one: Process
) -> None:
    two = await node.process()
    await two.states("1.15626")
    await one.states("1.31")
    await one.resume("EUR")
    quote = await one.quote()
    for asked in (two.create(), two.price()):
        with pytest.raises(RateUnavailable, match="not read again since an operator accepted"):
            await asked
    assert await one.halts() == []
    assert await one.status(quote) is QuoteStatus.ACTIVE
    two.source.dollar = None  # what it read before is not used when its source fails, either
    await two.fx.refresh()
    with pytest.raises(RateUnavailable, match="no answer"):
        await two.create()
    assert await two.states("1.32") == ()
    await two.create()


async def test_who_resumes_is_told_the_level_and_may_name_the_one_that_was_seen(
    node: QuotingNode, one: Process
) -> None:
    two = await node.process()
    await one.quote()
    await one.states("1.31")
    with pytest.raises(WrongState, match=r"EUR/USDC is not near 1\.31 here, it is 1\.15626;") as no:
        await two.resume("EUR", "1.31")  # a process whose reading is another
    assert no.value.context == {"mid_rate": "1.15626"}
    assert await two.halts() == JUMP
    resumed = await one.resumed("EUR", "1.305")
    assert resumed.accepted == {("EUR", "USDC"): Decimal("1.31")}
    await one.halt("EUR")
    assert (await one.resumed("EUR", "1.31")).accepted == {}  # it had not jumped
    await one.states(None)
    one.source.age_s = 7200
    await one.states("1.31")
    with pytest.raises(WrongState, match="there is none"):
        await one.resume("EUR", "1.31")
    with pytest.raises(InvalidInput):
        await one.resume(None, "1.31")


async def test_after_a_restart_the_level_accepted_last_is_the_measure_without_any_quote(
    node: QuotingNode, one: Process
) -> None:
    await one.quote()
    await one.states("1.30")
    await one.resume("EUR")  # and no quote is made at the new level
    assert (await (await node.process(PublishedRates("1.32"))).price("EUR")) > 1
    await is_halted(await node.process(PublishedRates("1.17")))


async def test_after_a_restart_what_was_trusted_is_the_measure_of_pairs_never_quoted(
    node: QuotingNode,
) -> None:
    one = await node.process(PublishedRates(pound="0.8338"))
    await one.fx.refresh()
    for _ in range(2):
        restarted = await node.process(PublishedRates(pound="0.08338"))
        with pytest.raises(QuotingHalted):
            await restarted.quote(OPERATOR, GBP_100)
        assert await one.halts() == [("GBP", "jump")]


async def test_a_level_moves_once_for_each_reading_and_not_with_requests(
    node: QuotingNode, one: Process
) -> None:
    """Else small moves between two readings would add up to a jump that nobody sees."""
    await one.states("1.15626")
    two = await node.process()
    for dollar in ("1.20", "1.25"):
        await two.reads(dollar)
        await two.create()
    await two.reads("1.30")
    await is_halted(two)


async def test_a_tenfold_rate_right_after_a_start_is_caught(
    node: QuotingNode, one: Process
) -> None:
    quote = await one.quote()
    await node.age_levels()
    liar = await node.process(PublishedRates("11.5626"))
    await is_halted(liar)
    await is_halted(one)  # though its own rates are sound
    assert await one.status(quote) is QuoteStatus.ACTIVE


async def test_without_any_level_before_the_first_rate_is_believed(node: QuotingNode) -> None:
    first = await node.process(PublishedRates("11.5626"))
    assert (await first.quote()).price.sources[0].text == "11.5626"


async def test_processes_that_find_one_jump_at_once_halt_it_once(node: QuotingNode) -> None:
    processes = [await node.process() for _ in range(3)]
    await processes[0].quote()
    for each in processes:
        await each.reads("1.30")
    answers = await asyncio.gather(
        *(each.create() for each in processes for _ in range(10)), return_exceptions=True
    )
    assert all(isinstance(each, QuotingHalted) for each in answers)
    assert await processes[0].halts() == JUMP


async def test_a_jump_while_an_operator_has_halted_is_ended_with_that_halt(one: Process) -> None:
    await one.quote()
    await one.halt("EUR")
    await one.states("1.30")
    assert await one.halts() == [("EUR", "operator"), ("EUR", "jump")]
    assert await one.resume(None) == [("EUR", "operator"), ("EUR", "jump")]
    assert await one.resume("EUR") == []
    assert (await one.quote()).price.sources[0].text == "1.30"


async def test_an_operators_halt_without_a_jump_accepts_no_new_level(one: Process) -> None:
    await one.quote()
    await one.halt("EUR")
    await one.reads("1.30")  # nobody has looked at it before the halt ends
    await one.resume("EUR")
    await is_halted(one)


async def test_missing_and_disagreeing_rates_are_no_jump_and_open_quotes_are_honoured(
    node: QuotingNode, one: Process
) -> None:
    ann = await node.ledger.remitter(eur_minor=50_000)
    quote = await one.quote(ann)
    one.source.age_s = 7200
    await one.states("1.15626")
    with pytest.raises(RateUnavailable):
        await one.create()
    assert await one.halts() == []
    answer = await node.ledger.acceptance.create(node.ledger.submission(ann, quote))
    assert answer.status == 201
