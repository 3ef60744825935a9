"""Spreads and limits of partners, as quotes are made and transfers are accepted."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from node.core.errors import (
    LimitExceeded,
)
from node.core.ledger import Entry, customer_account
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.partners import PartnerLimit
from node.core.transfers import Happening
from node.services.pricing.quoting import QuoteRequest
from node.services.transfers import transfer_moves
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode, a_quote
from tests.quoting import EUR_200, QuotingNode
from tests.services.partner_desk import (
    OPERATOR,
    Desk,
    said,
)


@pytest.fixture
async def quoting(database_url: str) -> AsyncIterator[QuotingNode]:
    node = await QuotingNode.at(database_url)
    yield node
    await node.stack.aclose()


async def test_a_partner_and_its_customers_are_quoted_at_its_own_spread(
    quoting: QuotingNode,
) -> None:
    desk = Desk.over(StoreUnits(Database.at(quoting.database_url)), quoting.database_url)
    quoting.stack.push_async_callback(desk.units.database.close)
    process = await quoting.process()
    shop, plain = await desk.partner("shop", spread_bps=0), await desk.partner("plain")
    remitter = Principal(Role.REMITTER, "Ada", customer_id=await desk.customer(shop))
    usual = await process.quote(plain)
    assert usual.price.spread_bps > 0
    for asking in (shop, remitter):
        own = await process.quote(asking)
        assert (own.price.spread_bps, own.price.mid_rate) == (0, usual.price.mid_rate)
        assert own.price.buy.minor > usual.price.buy.minor
        assert (await process.quoting.price_for(asking, EUR_200)).buy == own.price.buy
    await desk.change(shop, resets_spread=True)
    assert (await process.quote(shop)).price.buy == usual.price.buy
    assert [each for each in await desk.differences() if "quote" in str(each).lower()] == []


async def test_one_quote_of_a_partner_sells_at_most_what_is_agreed(quoting: QuotingNode) -> None:
    desk = Desk.over(StoreUnits(Database.at(quoting.database_url)), quoting.database_url)
    quoting.stack.push_async_callback(desk.units.database.close)
    process = await quoting.process()
    shop = await desk.partner(limits=[PartnerLimit("EUR", sell_max=20_000)])
    await process.quote(shop)
    with pytest.raises(LimitExceeded):
        await process.create(shop, QuoteRequest("EUR", "USDC", sell_amount="200.01"))
    with pytest.raises(LimitExceeded):
        await process.create(shop, QuoteRequest("EUR", "USDC", buy_amount="250.00"))


async def test_parallel_transfers_of_a_day_sell_at_most_what_is_agreed(
    database_url: str,
) -> None:
    database = Database.at(database_url)
    units = StoreUnits(database)
    desk, node = Desk.over(units, database_url), LedgerNode(units)
    await node.fund_contract()
    shop = await desk.partner(limits=[PartnerLimit("EUR", daily_sell_max=3 * 20_000 + 19_999)])
    remitters = [
        Principal(Role.REMITTER, "Ada", customer_id=await desk.customer(shop)) for _ in range(2)
    ]
    for each in remitters:
        await _fund(node, each)
    quotes = [(each, a_quote(each)) for each in remitters * 5]
    await node.add_quotes(*(quote for _, quote in quotes))
    other = LedgerNode(units)
    answers = await asyncio.gather(
        *(
            (node, other)[place % 2].acceptance.create(node.submission(each, quote))
            for place, (each, quote) in enumerate(quotes)
        )
    )
    assert sum(each.status == 201 for each in answers) == 3
    refusals = [said(each) for each in answers if each.status != 201]
    assert {each["code"] for each in refusals} == {"limit_exceeded"}
    await _cancel_one(units)
    again = a_quote(remitters[0])
    await node.add_quotes(again)
    assert (await node.acceptance.create(node.submission(remitters[0], again))).status == 201
    await database.close()


async def _fund(node: LedgerNode, remitter: Principal) -> None:
    assert remitter.customer_id is not None
    path = customer_account(remitter.customer_id, "EUR")
    await node.post(Entry("bank/sepa/EUR", path, "EUR", 200_000))


async def _cancel_one(units: StoreUnits) -> None:
    async with units() as unit:
        await unit.ledger.lock()
        (transfer,) = (await unit.transfers.list(OPERATOR, ListQuery(limit=1))).items
        await unit.events.append(await transfer_moves.apply(unit, [transfer], Happening.CANCELED))
