"""Price feeds on a real chain: read in one block, and not believed when they are not in order."""

import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.rpc import Providers
from adapters.fx.chainlink import HEAD_AGE_MAX_S, ChainlinkRates, PriceFeed
from adapters.machine import SystemClock
from node.core.errors import ChainUnavailable, RateUnavailable
from node.core.ports.chain import At, BlockRef, CallReverted
from node.core.ports.quotes import RateSource
from node.core.units import Address, BlockHash
from tests.adapters.rate_source_suite import RateSourceSuite
from tests.price_feeds import TestFeed, now_s
from tests.rig import AnvilServer, start_anvil


@dataclass(frozen=True)
class ShiftedClock:
    """So many seconds ahead of the machine."""

    ahead_s: int

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(seconds=self.ahead_s)


@dataclass(frozen=True)
class Market:
    """A chain with two feeds in good order, and a source that reads them."""

    anvil: AnvilServer
    euro: TestFeed
    coin: TestFeed
    source: ChainlinkRates

    async def fault(self, source: ChainlinkRates | None = None) -> str:
        """Why there is no rate."""
        with pytest.raises(RateUnavailable) as refusal:
            await (source or self.source).rates()
        assert refusal.value.context == {"source": "chainlink"}
        return refusal.value.detail


@pytest.fixture(scope="module")
def anvil() -> Iterator[AnvilServer]:
    """One chain for the module; each test has feeds of its own."""
    server = start_anvil()
    yield server
    server.stop()


@pytest.fixture
async def market(anvil: AnvilServer) -> AsyncIterator[Market]:
    euro = TestFeed.deploy(anvil, "EUR / USD").answer(115_626_000)
    coin = TestFeed.deploy(anvil, "USDC / USD").answer(99_990_000)
    providers = Providers.at([anvil.rpc_url])
    feeds = (PriceFeed("EUR", "USD", euro.address), PriceFeed("USDC", "USD", coin.address))
    source = ChainlinkRates(feeds, EvmChain(providers), SystemClock(), 3600)
    yield Market(anvil, euro, coin, source)
    await providers.close()


class TestChainlinkRates(RateSourceSuite):
    """The suite of the port, over feeds in good order and one that answers 0."""

    @pytest.fixture
    def source(self, market: Market) -> RateSource:
        return market.source

    @pytest.fixture
    def broken_source(self, market: Market) -> RateSource:
        market.coin.answer(0)
        return market.source


async def test_a_rate_is_the_exact_decimal_of_the_answer(market: Market) -> None:
    market.euro.answer(115_626_001, age_s=600)
    euro, coin = await market.source.rates()
    assert (euro.sell, euro.buy, euro.text) == ("EUR", "USD", "1.15626001")
    assert (coin.sell, coin.buy, coin.text) == ("USDC", "USD", "0.99990000")
    age = SystemClock().now() - euro.observed_at
    assert timedelta(seconds=600) <= age < timedelta(seconds=660)


@pytest.mark.parametrize(
    ("digits", "answer", "text"),
    [
        (0, 117, "117"),
        (8, 1, "0.00000001"),
        (18, 1_156_260_000_000_000_001, "1.156260000000000001"),
    ],
)
async def test_each_feed_has_decimals_of_its_own(
    market: Market, digits: int, answer: int, text: str
) -> None:
    feed = TestFeed.deploy(market.anvil, "EUR / USD", digits=digits).answer(answer)
    source = replace(market.source, feeds=(PriceFeed("EUR", "USD", feed.address),))
    [rate] = await source.rates()
    assert rate.text == text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (0, "the price feed EUR/USD answers 0, which is no rate"),
        (-1, "the price feed EUR/USD answers -1, which is no rate"),
        (-(2**255), "which is no rate"),
        (2**255 - 1, "states no usable rate for EUR/USD"),
    ],
)
async def test_an_answer_that_is_no_rate_is_refused(
    market: Market, answer: int, words: str
) -> None:
    market.euro.answer(answer)
    assert words in await market.fault()


async def test_an_old_answer_is_stated_with_its_age_which_the_node_judges(market: Market) -> None:
    market.euro.answer(115_626_000, age_s=86_400)
    euro, coin = await market.source.rates()
    assert coin.observed_at - euro.observed_at > timedelta(hours=23)
    assert market.source.max_age_s == 3600


async def test_an_answer_of_no_time_or_of_the_future_is_refused(market: Market) -> None:
    market.euro.answer(115_626_000, time_s=0)
    assert await market.fault() == "the price feed EUR/USD has no answer of its newest round"
    market.euro.answer(115_626_000, age_s=-600)
    assert await market.fault() == "the price feed EUR/USD has an answer of the future"
    market.euro.answer(115_626_000, time_s=2**256 - 1)
    assert await market.fault() == "the price feed EUR/USD has an answer of the future"


async def test_one_feed_out_of_order_stops_the_whole_reading(market: Market) -> None:
    market.coin.answer(0)
    assert "USDC/USD" in await market.fault()


async def test_a_feed_that_has_never_answered_is_named(market: Market) -> None:
    silent = PriceFeed("EUR", "USD", TestFeed.deploy(market.anvil, "EUR / USD").address)
    source = replace(market.source, feeds=(silent,))
    assert await market.fault(source) == "the price feed EUR/USD refuses to answer"


async def test_an_address_without_a_feed_is_named(market: Market) -> None:
    nobody = PriceFeed("EUR", "USD", Address(b"\x77" * 20))
    source = replace(market.source, feeds=(nobody,))
    assert "no contract answers at its address" in await market.fault(source)


async def test_the_feed_of_another_pair_is_found_out(market: Market) -> None:
    mistaken = PriceFeed("EUR", "USD", market.coin.address)
    source = replace(market.source, feeds=(mistaken,))
    said = await market.fault(source)
    assert said == "the price feed EUR/USD says that it is the feed of USDC/USD"


@pytest.mark.parametrize("description", ["", "Calculated EUR / USD", "\N{EURO SIGN}", "x" * 999])
async def test_a_feed_need_not_describe_itself(market: Market, description: str) -> None:
    feed = TestFeed.deploy(market.anvil, description).answer(115_626_000)
    source = replace(market.source, feeds=(PriceFeed("EUR", "USD", feed.address),))
    assert await source.rates()


async def test_more_decimals_than_any_feed_has_are_refused(market: Market) -> None:
    feed = TestFeed.deploy(market.anvil, "EUR / USD", digits=19).answer(10**19)
    source = replace(market.source, feeds=(PriceFeed("EUR", "USD", feed.address),))
    assert await market.fault(source) == "the price feed EUR/USD has 19 decimals, more than 18"


# One block


@dataclass(frozen=True)
class Meanwhile:
    """The chain, on which every feed answers anew between finding the block and reading it."""

    chain: EvmChain
    market: Market

    async def head(self) -> BlockRef:
        head = await self.chain.head()
        self.market.euro.answer(200_000_000)
        self.market.coin.answer(0)
        return head

    async def call_many(
        self, calls: Sequence[tuple[Address, bytes]], at: At
    ) -> Sequence[bytes | CallReverted]:
        return await self.chain.call_many(calls, at)


async def test_all_feeds_are_read_in_the_state_of_one_block(market: Market) -> None:
    assert isinstance(market.source.chain, EvmChain)
    source = replace(market.source, chain=Meanwhile(market.source.chain, market))
    euro, coin = await source.rates()
    assert (euro.text, coin.text) == ("1.15626000", "0.99990000")


# Rollups


async def test_a_sequencer_that_is_up_for_long_enough_is_no_obstacle(market: Market) -> None:
    uptime = TestFeed.deploy(market.anvil, "L2 Sequencer Uptime Status Feed")
    source = replace(market.source, sequencer=uptime.address, grace_s=3600)
    uptime.answer(0, age_s=3700)
    assert len(await source.rates()) == 2


@pytest.mark.parametrize(
    ("answer", "age_s", "words"),
    [
        (1, 86_400, "the chain's sequencer is down"),
        (2, 86_400, "the chain's sequencer is down"),
        (0, 60, "s, not more than 3600"),
        (0, -600, "s, not more than 3600"),
    ],
)
async def test_while_the_sequencer_is_down_or_just_back_no_feed_is_believed(
    market: Market, answer: int, age_s: int, words: str
) -> None:
    uptime = TestFeed.deploy(market.anvil, "L2 Sequencer Uptime Status Feed")
    source = replace(market.source, sequencer=uptime.address, grace_s=3600)
    assert await market.fault(source) == "the sequencer's feed refuses to answer"
    uptime.answer(answer, age_s=age_s)
    assert words in await market.fault(source)


async def test_a_sequencers_feed_that_never_had_a_state_is_not_believed(market: Market) -> None:
    uptime = TestFeed.deploy(market.anvil, "").answer(0, time_s=0)
    source = replace(market.source, sequencer=uptime.address)
    assert await market.fault(source) == "the sequencer's feed has no answer yet"


# The chain


async def test_a_chain_that_stands_still_is_not_believed(market: Market) -> None:
    later = ShiftedClock(HEAD_AGE_MAX_S + 60)
    assert "the chain stands still" in await market.fault(replace(market.source, clock=later))
    unchecked = replace(market.source, clock=later, max_age_s=None)
    assert await unchecked.rates()


async def test_a_chain_of_the_future_is_not_believed(market: Market) -> None:
    source = replace(market.source, clock=ShiftedClock(-7200), max_age_s=None)
    assert "of the future" in await market.fault(source)


async def test_a_chain_that_is_away_or_frozen_is_said_to_be(market: Market) -> None:
    nowhere = Providers.at(["http://127.0.0.1:1"])
    source = replace(market.source, chain=EvmChain(nowhere))
    assert await market.fault(source) == "the chain does not answer"
    await nowhere.close()
    os.kill(market.anvil.pid, signal.SIGSTOP)
    try:
        source = replace(market.source, timeout_s=0.5)
        assert await market.fault(source) == "the chain has not answered within 0.5 s"
    finally:
        os.kill(market.anvil.pid, signal.SIGCONT)
    assert await market.source.rates()


WORD = bytes(31) + b"\x01"
GOOD_ROUND = [1, 115_626_000, 0, 1, 1]


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32) for number in numbers)


@dataclass(frozen=True)
class ToldChain:
    """A chain whose contracts return what they are told, in a block of now."""

    answers: Sequence[bytes | CallReverted] = ()
    fault: Exception | None = None

    async def head(self) -> BlockRef:
        if self.fault is not None:
            raise self.fault
        return BlockRef(1, BlockHash(bytes(32)), BlockHash(bytes(32)), now_s(), 0, 0)

    async def call_many(
        self, calls: Sequence[tuple[Address, bytes]], at: At
    ) -> Sequence[bytes | CallReverted]:
        return self.answers


def told(chain: ToldChain) -> ChainlinkRates:
    feeds = (PriceFeed("EUR", "USD", Address(bytes(20))),)
    return ChainlinkRates(feeds, chain, SystemClock(), 3600)


async def test_a_feed_in_good_order_needs_no_more_than_this() -> None:
    [rate] = await told(ToldChain([words(*GOOD_ROUND), words(8), b""])).rates()
    assert (rate.text, rate.observed_at) == (
        "1.15626000",
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([words(0, 1, 1, 1, 0), words(8), b""], "has no answer of its newest round"),
        ([words(2, 1, 1, 1, 1), words(8), b""], "has no answer of its newest round"),
        ([words(2**80, 1, 1, 1, 2**80), words(8), b""], "does not answer as a price feed does"),
        ([words(1, 1, 1, 1), words(8), b""], "does not answer as a price feed does"),
        ([words(1, 1, 1, 1, 1, 1), words(8), b""], "does not answer as a price feed does"),
        ([words(1, 1, 1, 1, 1)[:-1], words(8), b""], "does not answer as a price feed does"),
        ([words(*GOOD_ROUND), b"", b""], "no contract answers"),
        ([words(*GOOD_ROUND), words(8, 8), b""], "does not say how many decimals"),
        ([words(*GOOD_ROUND), words(2**256 - 1), b""], "decimals, more than 18"),
        ([words(*GOOD_ROUND), CallReverted(b""), b""], "refuses to answer"),
        ([words(*GOOD_ROUND), words(8)], "the chain does not answer"),
        ([], "the chain does not answer"),
    ],
)
async def test_what_no_feed_would_return_is_refused(
    answers: Sequence[bytes | CallReverted], said: str
) -> None:
    with pytest.raises(RateUnavailable) as refusal:
        await told(ToldChain(answers)).rates()
    assert said in refusal.value.detail


async def test_the_length_of_a_description_is_not_believed() -> None:
    endless = words(32, 2**256 - 1) + b"EUR / USD"
    assert await told(ToldChain([words(*GOOD_ROUND), words(8), endless])).rates()


@pytest.mark.parametrize(
    "fault",
    [
        ChainUnavailable("no provider at 10.0.0.7 answers"),
        KeyError("hash"),
        TypeError(),
        ValueError(),
    ],
)
async def test_whatever_a_provider_sends_the_error_is_the_ports_and_names_no_host(
    fault: Exception,
) -> None:
    with pytest.raises(RateUnavailable) as refusal:
        await told(ToldChain(fault=fault)).rates()
    assert refusal.value.detail == "the chain does not answer"
