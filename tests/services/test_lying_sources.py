"""Sources that lie, over real sockets, a real chain and a real database: never a number.

What was promised before stays promised: each test accepts a firm quote while its source lies.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import orjson
import pytest

from adapters.corridors import load_offer
from adapters.evm.client import EvmChain
from adapters.evm.rpc import Providers
from adapters.fx import FixedRates
from adapters.fx.answer import Base, Layout, Path
from adapters.fx.chainlink import ChainlinkRates, PriceFeed
from adapters.fx.http import HttpRates, RateService
from adapters.machine import SystemClock, new_id
from node.core.catalog import USDC, TokenInfo, catalog_of
from node.core.errors import QuotingHalted, RateUnavailable
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal
from node.core.ports.idempotency import Answer
from node.core.ports.quotes import RateSource
from node.core.quotes import Quote
from node.services.pricing.quoting import QuoteLimits, QuoteRequest, QuoteService
from node.services.pricing.rates import Rates
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, TOKEN, LedgerNode, target
from tests.price_feeds import TestFeed
from tests.rate_server import LIES, YESTERDAY, RateServer, serving, tell, tell_truth, truth
from tests.rig import AnvilServer

EUR_200 = QuoteRequest("EUR", "USDC", sell_amount="200.00", ttl_s=600)
LAYOUT = Layout(Base.parse("EUR@base"), Path.parse("rates"), Path.parse("timestamp"))
DOLLAR = FixedRates((("USD", "USDC", "1"),), SystemClock())
PATIENCE_S = 30  # with whoever answers, however slow the machine is
HANGS_S = 0.5


def render(quote: Quote) -> Answer:
    return Answer(201, orjson.dumps({"id": encode_id(Prefix.QUOTE, quote.id)}))


@dataclass
class Desk:
    """One database, and quote services as processes started one after the other."""

    database_url: str
    node: LedgerNode
    customer: Principal
    stack: AsyncExitStack

    def http(
        self, server: RateServer, name: str = "acme", *, timeout_s: float = PATIENCE_S
    ) -> HttpRates:
        """A source that reads a server."""
        service = RateService(name, server.url, LAYOUT, max_age_s=300, timeout_s=timeout_s)
        source = HttpRates(service, SystemClock())
        self.stack.push_async_callback(source.close)
        return source

    async def service(self, *sources: RateSource) -> QuoteService:
        """A quote service that has just started, with a dollar worth a coin."""
        rates = Rates([*sources, DOLLAR])
        await rates.refresh()
        return QuoteService(
            units=self.node.units,
            catalog=catalog_of(TokenInfo(USDC, CHAIN_ID, TOKEN), load_offer(None, USDC)),
            rates=rates,
            target=target(),
            limits=QuoteLimits(ttl_s=60, active_max=50),
            clock=SystemClock(),
            new_id=new_id,
        )

    async def quote(self, service: QuoteService) -> Quote:
        """A firm quote."""
        answer = await service.create(self.customer, EUR_200, None, render)
        return await service.get(self.customer, orjson.loads(answer.body)["id"])

    async def refusal(self, service: QuoteService) -> RateUnavailable:
        """Why there is no price; a firm quote is refused for the same reason, and not stored."""
        with pytest.raises(RateUnavailable) as price:
            await service.price(sell="EUR", buy="USDC", sell_amount="200.00")
        with pytest.raises(RateUnavailable) as firm:
            await service.create(self.customer, EUR_200, None, render)
        assert firm.value.detail == price.value.detail
        return price.value

    async def age_levels(self) -> None:
        """Let every level have stood for longer than any quote lives."""
        owner = await asyncpg.connect(self.database_url)
        await owner.execute("UPDATE trusted_mid SET since = since - interval '1 day'")
        await owner.close()

    async def accept(self, quote: Quote) -> None:
        """Transfer at a firm quote, at its figures."""
        answer = await self.node.acceptance.create(self.node.submission(self.customer, quote))
        assert answer.status == 201, answer


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    database = Database.at(database_url)
    node = LedgerNode(StoreUnits(database))
    await node.fund_contract()
    async with AsyncExitStack() as stack:
        yield Desk(database_url, node, await node.remitter(eur_minor=100_000), stack)
    await database.close()


@pytest.fixture(scope="module")
def honest() -> Iterator[RateServer]:
    with serving(tell_truth) as server:
        yield server


@pytest.fixture
def liar() -> Iterator[RateServer]:
    with serving(tell_truth) as server:
        yield server


@pytest.mark.parametrize("lie", LIES)
async def test_a_rate_service_that_lies_gives_no_number_and_open_quotes_are_honoured(
    desk: Desk, honest: RateServer, liar: RateServer, lie: str
) -> None:
    quote = await desk.quote(await desk.service(desk.http(honest)))
    liar.answer, words = LIES[lie]
    limit_s = HANGS_S if words.startswith("has not answered") else PATIENCE_S
    refusal = await desk.refusal(await desk.service(desk.http(liar, timeout_s=limit_s)))
    assert "no source states a rate for EUR/USDC" in refusal.detail
    assert "acme: the rate service" in refusal.detail
    assert words in refusal.detail
    await desk.accept(quote)


async def test_yesterdays_rates_give_no_number(
    desk: Desk, honest: RateServer, liar: RateServer
) -> None:
    quote = await desk.quote(await desk.service(desk.http(honest)))
    liar.answer = YESTERDAY
    refusal = await desk.refusal(await desk.service(desk.http(liar)))
    assert "too old" in refusal.detail
    assert "acme" in refusal.detail
    await desk.accept(quote)


async def test_sources_that_disagree_give_no_number(
    desk: Desk, honest: RateServer, liar: RateServer
) -> None:
    quote = await desk.quote(await desk.service(desk.http(honest)))
    liar.answer = tell(truth("1.25"))
    for sources in (
        (desk.http(honest, "one"), desk.http(liar, "other")),
        (desk.http(liar, "one"), desk.http(honest, "other")),
    ):
        refusal = await desk.refusal(await desk.service(*sources))
        assert "disagree" in refusal.detail
        assert "one EUR/USD 1." in refusal.detail
        assert "other EUR/USD 1." in refusal.detail
    await desk.accept(quote)


@pytest.mark.parametrize("text", ["11.5626", "0.115626"])
async def test_a_tenfold_or_a_tenth_of_a_rate_gives_no_number_with_or_without_another_source(
    desk: Desk, honest: RateServer, liar: RateServer, text: str
) -> None:
    quote = await desk.quote(await desk.service(desk.http(honest)))
    await desk.age_levels()
    liar.answer = tell(truth(text))
    both = await desk.service(desk.http(honest, "one"), desk.http(liar, "other"))
    assert "disagree" in (await desk.refusal(both)).detail
    alone = await desk.service(desk.http(liar))
    with pytest.raises(QuotingHalted):
        await alone.price(sell="EUR", buy="USDC", sell_amount="200.00")
    with pytest.raises(QuotingHalted):
        await alone.create(desk.customer, EUR_200, None, render)
    await desk.accept(quote)


async def test_a_service_that_begins_to_lie_is_believed_no_longer_than_its_last_true_answer_lasts(
    desk: Desk, liar: RateServer
) -> None:
    at = SystemClock().now() - timedelta(seconds=298)
    liar.answer = tell(truth("1.15626", at=at))
    rates = Rates([desk.http(liar), DOLLAR])
    await rates.refresh()
    assert rates.faults == ()
    liar.answer = LIES["zero"][0]
    await rates.refresh()
    assert rates.mid("EUR", "USDC", at + timedelta(seconds=299)).sources[0].text == "1.15626"
    with pytest.raises(RateUnavailable, match="too old") as refusal:
        rates.mid("EUR", "USDC", at + timedelta(seconds=302))
    assert "EUR/USD is '0'" in refusal.value.detail


# The chain


@dataclass(frozen=True)
class OnChain:
    """Two feeds in good order, and a source that reads them."""

    anvil: AnvilServer
    euro: TestFeed
    uptime: TestFeed
    source: ChainlinkRates


@pytest.fixture
async def onchain(desk: Desk, anvil: AnvilServer) -> OnChain:
    euro = TestFeed.deploy(anvil, "EUR / USD").answer(115_626_000)
    uptime = TestFeed.deploy(anvil, "L2 Sequencer Uptime Status Feed").answer(0, age_s=7200)
    providers = Providers.at([anvil.rpc_url])
    desk.stack.push_async_callback(providers.close)
    feeds = (PriceFeed("EUR", "USD", euro.address),)
    source = ChainlinkRates(
        feeds,
        EvmChain(providers),
        SystemClock(),
        3600,
        timeout_s=PATIENCE_S,
        sequencer=uptime.address,
    )
    return OnChain(anvil, euro, uptime, source)


CHAIN_LIES: Sequence[tuple[str, Callable[[OnChain], object], str]] = [
    ("zero", lambda on: on.euro.answer(0), "answers 0, which is no rate"),
    ("negative", lambda on: on.euro.answer(-115_626_000), "which is no rate"),
    ("stale", lambda on: on.euro.answer(115_626_000, age_s=3700), "too old"),
    ("future", lambda on: on.euro.answer(115_626_000, age_s=-600), "an answer of the future"),
    ("never", lambda on: on.euro.answer(115_626_000, time_s=0), "no answer of its newest round"),
    ("sequencer down", lambda on: on.uptime.answer(1), "sequencer is down"),
    ("sequencer just back", lambda on: on.uptime.answer(0), "sequencer is up for"),
    ("away", lambda on: on.anvil.stop(), "the chain does not answer"),
]


@pytest.mark.parametrize(
    ("lie", "words"), [each[1:] for each in CHAIN_LIES], ids=[each[0] for each in CHAIN_LIES]
)
async def test_a_price_feed_that_lies_gives_no_number_and_open_quotes_are_honoured(
    desk: Desk, onchain: OnChain, lie: Callable[[OnChain], object], words: str
) -> None:
    quote = await desk.quote(await desk.service(onchain.source))
    lie(onchain)
    refusal = await desk.refusal(await desk.service(onchain.source))
    assert words in refusal.detail
    assert "chainlink" in refusal.detail
    await desk.accept(quote)


async def test_a_price_feed_is_a_cross_check_of_a_service_and_the_other_way_round(
    desk: Desk, honest: RateServer, onchain: OnChain
) -> None:
    quote = await desk.quote(await desk.service(desk.http(honest), onchain.source))
    assert [each.source for each in quote.price.sources] == ["acme", "fixed"]
    onchain.euro.answer(125_626_000)
    refusal = await desk.refusal(await desk.service(desk.http(honest), onchain.source))
    assert "disagree" in refusal.detail
    onchain.euro.answer(0)
    again = await desk.quote(await desk.service(desk.http(honest), onchain.source))
    assert again.price.buy == quote.price.buy
    await desk.accept(quote)
