"""What prices and quotes look like in answers, and what they are made of. See `views`."""

from collections.abc import Sequence
from typing import Any

from typing_extensions import TypedDict

from node.api.views import FeeView, MoneyView, fee_views, id_or_none, money_view, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.partner_legs import PARTNER, PartnerCorridor, whole
from node.core.payouts import BANK
from node.core.ports.chain import AddressCodec
from node.core.quotes import Corridor, Price, Quote, QuoteStatus, Rate
from node.core.units import Asset, Money


class AssetView(TypedDict):
    """Something amounts are of; `kind` is fiat, token or native."""

    code: str
    name: str
    digits: int
    kind: str
    chain_id: int | None
    address: str | None


class CorridorView(TypedDict):
    """A pair that can be exchanged, with all it costs."""

    sell: str
    buy: str
    payout: dict[str, Any]
    service_fee_bps: int
    service_fee_min: MoneyView
    network_fee: MoneyView
    spread_bps: int
    sell_min: MoneyView
    sell_max: MoneyView


class CostView(TypedDict):
    """Everything the sender pays above the mid rate."""

    currency: str
    amount: str
    percent: str


class RateSourceView(TypedDict):
    """A rate as its source states it: `rate` buy units per one sell unit."""

    name: str
    sell: str
    buy: str
    rate: str
    observed_at: str
    stale: bool


class PayoutView(TypedDict):
    """How and how soon the beneficiary is paid."""

    method: str
    estimated_delivery_s: int


class PriceView(TypedDict):
    """An indicative price; nothing is promised."""

    firm: bool
    fixed_side: str
    sell: MoneyView
    buy: MoneyView
    rate: str
    mid_rate: str
    spread_bps: int
    fees: list[FeeView]
    total_cost: CostView
    rate_sources: list[RateSourceView]
    payout: PayoutView


class LegView(TypedDict):
    """One exchange of a quote that has two; `partner` made the second, by a quote of its own."""

    partner: str | None
    quote_id: str | None
    sell: MoneyView
    buy: MoneyView
    mid_rate: str
    spread_bps: int
    fees: list[FeeView]


class QuoteView(PriceView):
    """A firm quote; `status` is active, consumed, expired or revoked (`revoked_reason`)."""

    id: str
    status: str
    revoked_reason: str | None
    customer_id: str | None
    transfer_id: str | None
    payout_id: str | None
    legs: list[LegView]
    created_at: str
    expires_at: str


def asset_view(asset: Asset, catalog: Catalog, addresses: AddressCodec) -> AssetView:
    """An asset; what is on a chain says on which, a token also where."""
    is_token = asset == catalog.token.asset
    kind = "token" if is_token else "native" if asset == catalog.native else "fiat"
    return {
        "code": asset.code,
        "name": asset.name,
        "digits": asset.digits,
        "kind": kind,
        "chain_id": None if kind == "fiat" else catalog.token.chain_id,
        "address": addresses.text(catalog.token.address) if is_token else None,
    }


def corridor_view(corridor: Corridor) -> CorridorView:
    """A corridor."""

    def sell(minor: int) -> MoneyView:
        return money_view(Money(minor, corridor.sell))

    return {
        "sell": corridor.sell.code,
        "buy": corridor.buy.code,
        "payout": {
            "method": corridor.payout_method,
            "estimated_delivery_s": corridor.estimated_delivery_s,
        },
        "service_fee_bps": corridor.service_fee_bps,
        "service_fee_min": sell(corridor.service_fee_min_minor),
        "network_fee": sell(corridor.network_fee_minor),
        "spread_bps": corridor.spread_bps,
        "sell_min": sell(corridor.sell_min_minor),
        "sell_max": sell(corridor.sell_max_minor),
    }


def partner_corridor_view(corridor: PartnerCorridor) -> CorridorView:
    """A pair that a partner pays out: the node's own fees; what it asks besides is in quotes."""
    own = corridor_view(corridor.own)
    payout = {
        **own["payout"],
        "method": PARTNER,
        "partner": corridor.partner,
        "countries": sorted(corridor.countries),
    }
    return {**own, "buy": corridor.buy.code, "payout": payout}


def rate_source_views(sources: Sequence[Rate]) -> list[RateSourceView]:
    """Rates as their sources state them, in the order in which they lead from sell to buy."""
    return [
        {
            "name": each.source,
            "sell": each.sell,
            "buy": each.buy,
            "rate": each.text,
            "observed_at": time_text(each.observed_at),
            "stale": each.stale,
        }
        for each in sources
    ]


def price_view(price: Price, *, firm: bool = False) -> PriceView:
    """A price with everything that lies between its two amounts."""
    currency = price.sell.asset.code
    return {
        "firm": firm,
        "fixed_side": price.fixed_side.value,
        "sell": money_view(price.sell),
        "buy": money_view(price.buy),
        "rate": format(price.rate, "f"),
        "mid_rate": format(price.mid_rate, "f"),
        "spread_bps": price.spread_bps,
        "fees": fee_views(price.service_fee, price.network_fee),
        "total_cost": {
            "currency": currency,
            "amount": str(price.total_cost),
            "percent": price.total_cost_percent,
        },
        "rate_sources": rate_source_views(price.sources),
        "payout": {
            "method": price.payout_method,
            "estimated_delivery_s": price.estimated_delivery_s,
        },
    }


def leg_views(quote: Quote) -> list[LegView]:
    """The exchanges that a quote is made of, in order; a quote of one leg has that."""
    leg = quote.leg
    prices = [quote.price] if leg is None else [quote.price, leg.price]
    return [
        {
            "partner": None if leg is None or price is quote.price else leg.partner,
            "quote_id": None if leg is None or price is quote.price else leg.quote_id,
            "sell": money_view(price.sell),
            "buy": money_view(price.buy),
            "mid_rate": format(price.mid_rate, "f"),
            "spread_bps": price.spread_bps,
            "fees": fee_views(price.service_fee, price.network_fee),
        }
        for price in prices
    ]


def quote_view(quote: Quote, status: QuoteStatus) -> QuoteView:
    """A firm quote: from what is sold to what the beneficiary gets, whoever pays it out."""
    is_payout = quote.price.payout_method == BANK
    return {
        "id": encode_id(Prefix.QUOTE, quote.id),
        "status": status.value,
        "revoked_reason": None if quote.revoked_reason is None else quote.revoked_reason.value,
        **price_view(whole(quote), firm=True),
        "legs": leg_views(quote),
        "customer_id": id_or_none(Prefix.CUSTOMER, quote.customer_id),
        "transfer_id": None if is_payout else id_or_none(Prefix.TRANSFER, quote.transfer_id),
        "payout_id": id_or_none(Prefix.PAYOUT, quote.transfer_id) if is_payout else None,
        "created_at": time_text(quote.created_at),
        "expires_at": time_text(quote.expires_at),
    }
