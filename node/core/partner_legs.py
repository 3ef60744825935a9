"""A quote of two legs as one: the node sells the token, a partner sells it on for local money.

Each leg was priced by its own node and keeps its own integers; what is derived here is only said
of both together. How one leg is priced is `node.core.quotes`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from node.core.quotes import ONE_BPS, Corridor, Price, Quote, cut_rate
from node.core.units import Asset

PARTNER: Final = "partner"
"""Payout method: a partner pays the beneficiary out in local money."""

MARGIN_S: Final = 5
"""A partner's price is promised for so much less than the partner promises it: it must still be
good when the payout is registered."""


@dataclass(frozen=True, slots=True)
class PartnerCorridor:
    """A pair that is sold by way of the token, and that a partner pays out.

    Attributes:
        own: The first leg: what the node sells the token for. Fees, spread and limits are its; the
            partner's are in each quote.
        countries: Where the partner pays out, ISO 3166-1 alpha-2.
    """

    own: Corridor
    buy: Asset
    partner: str
    countries: frozenset[str]


def whole(quote: Quote) -> Price:
    """The price from what is sold to what is delivered; the quote's own where it has one leg.

    `mid_rate` is the exact product of both, cut off downwards once to 18 significant digits. The
    spread of both together is rounded up to whole basis points. Fees are the node's own: those of
    the partner are in the token, and stand in its leg.
    """
    if quote.leg is None:
        return quote.price
    own, theirs = quote.price, quote.leg.price
    kept_bps = (ONE_BPS - own.spread_bps) * (ONE_BPS - theirs.spread_bps) // ONE_BPS
    return Price(
        fixed_side=own.fixed_side,
        sell=own.sell,
        buy=theirs.buy,
        service_fee=own.service_fee,
        network_fee=own.network_fee,
        mid_rate=_product(own.mid_rate, theirs.mid_rate),
        spread_bps=ONE_BPS - kept_bps,
        sources=(*own.sources, *theirs.sources),
        payout_method=PARTNER,
        estimated_delivery_s=own.estimated_delivery_s + theirs.estimated_delivery_s,
    )


def _product(first: Decimal, second: Decimal) -> Decimal:
    one, other = first.as_integer_ratio(), second.as_integer_ratio()
    return cut_rate(one[0] * other[0], one[1] * other[1])
