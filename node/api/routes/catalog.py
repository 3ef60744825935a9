"""What the node offers: assets, corridors, indicative prices. Open to anyone."""

from typing import Final

from node.api import examples
from node.api.money import check_query
from node.api.operations import Call, Example, Operations
from node.api.price_views import (
    AssetView,
    CorridorView,
    PriceView,
    asset_view,
    corridor_view,
    partner_corridor_view,
    price_view,
)
from node.api.schemas import PriceQuery
from node.api.views import ListView
from node.core.errors import (
    AmountOutOfRange,
    DatabaseUnavailable,
    Overloaded,
    PairNotOffered,
    QuotingHalted,
    RateUnavailable,
)
from node.core.ports.idempotency import Answer

operations: Final = Operations("Catalogue")


@operations.get(
    "/v1/assets",
    who=None,
    answer=ListView[AssetView],
    example=Example({"data": [examples.EUR, examples.USDC, examples.ETH]}),
)
async def list_assets(call: Call[None, None]) -> Answer:
    """List the assets.

    Every currency an answer can name. Customers hold, sell and buy those of `kind` `fiat` (ISO 4217
    codes) and `token`; the `native` coin pays for gas and is only in the operator's answers, in
    units of 10^-9.
    """
    catalog = call.services.catalog
    assets = (*catalog.assets.values(), catalog.native)
    return call.answer(
        {"data": [asset_view(each, catalog, call.services.addresses) for each in assets]}
    )


@operations.get(
    "/v1/corridors",
    who=None,
    answer=ListView[CorridorView],
    example=Example({"data": [examples.CORRIDOR]}),
    refusals=(DatabaseUnavailable,),
)
async def list_corridors(call: Call[None, None]) -> Answer:
    """List the corridors.

    Pairs that can be exchanged, with fees, spread, limits and the expected time. Those of payout
    method `partner` are paid out in local money by another institution, `payout.partner`, in
    `payout.countries`: fees, spread, limits and time are the node's own, and what the partner asks
    besides is in each quote (`legs`).
    """
    corridors = call.services.catalog.corridors.values()
    by_partners = await call.services.quoting.corridors()
    own = [corridor_view(each) for each in corridors]
    return call.answer({"data": own + [partner_corridor_view(each) for each in by_partners]})


@operations.get(
    "/v1/prices",
    who=None,
    query=PriceQuery,
    answer=PriceView,
    example=Example(examples.PRICE, query={"sell": "EUR", "buy": "USDC", "sell_amount": "200.00"}),
    refusals=(
        PairNotOffered,
        AmountOutOfRange,
        RateUnavailable,
        QuotingHalted,
        Overloaded,
        DatabaseUnavailable,
    ),
)
async def show_price(call: Call[None, PriceQuery]) -> Answer:
    """Show a price.

    What a quote would say now. Nothing is stored and nothing is promised.
    """
    query, services = call.query, call.services
    check_query(services.catalog.asset, "sell", query.sell, query.sell_amount)
    check_query(services.catalog.asset, "buy", query.buy, query.buy_amount)
    price = await services.quoting.price(
        sell=query.sell,
        buy=query.buy,
        sell_amount=query.sell_amount,
        buy_amount=query.buy_amount,
    )
    return call.answer(price_view(price))
