"""Rates and corridors of every kind, for properties; and what they come to in one word."""

from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import strategies as st

from node.core.errors import AmountOutOfRange
from node.core.quotes import Corridor, Mid, Rate, mid_of, price_fixed_buy, price_fixed_sell
from node.core.units import MINOR_LIMIT, Asset, parse_amount

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)
DIGITS = (0, 2, 3, 6, 8, 9)
"""Of minor units: 18 is booked as 9."""


def a_rate(sell: str, buy: str, text: str, source: str = "ecb") -> Rate:
    """A rate as its source states it."""
    return Rate.stated(sell, buy, text, source, NOON)


@st.composite
def ratios(draw: st.DrawFn) -> str:
    """A stated rate from 1e-9 to 1e9 with up to 9 significant digits."""
    significant = draw(st.integers(1, 999_999_999))
    decimals = draw(st.integers(0, 9))
    text = str(significant).rjust(decimals + 1, "0")
    return f"{text[:-decimals]}.{text[-decimals:]}" if decimals else text


@st.composite
def ways(draw: st.DrawFn) -> list[Rate]:
    """AAA -> BBB directly, against the stated direction, or crossed over CCC."""
    first, second = draw(ratios()), draw(ratios())
    return draw(
        st.sampled_from(
            [
                [a_rate("AAA", "BBB", first)],
                [a_rate("BBB", "AAA", first)],
                [a_rate("CCC", "AAA", first), a_rate("CCC", "BBB", second)],
            ]
        )
    )


def mids() -> st.SearchStrategy[Mid]:
    """The mid rate of such a way."""
    return ways().map(lambda way: mid_of("AAA", "BBB", way))


@dataclass(frozen=True)
class Costs:
    """A corridor but for its assets."""

    service_fee_bps: int
    service_fee_min_minor: int
    network_fee_minor: int
    spread_bps: int
    sell_min_minor: int
    sell_max_minor: int

    def corridor(self, sell_digits: int, buy_digits: int) -> Corridor:
        """The corridor from AAA to BBB."""
        return Corridor(
            sell=Asset("AAA", sell_digits),
            buy=Asset("BBB", buy_digits),
            payout_method="onchain",
            service_fee_bps=self.service_fee_bps,
            service_fee_min_minor=self.service_fee_min_minor,
            network_fee_minor=self.network_fee_minor,
            spread_bps=self.spread_bps,
            sell_min_minor=self.sell_min_minor,
            sell_max_minor=self.sell_max_minor,
            estimated_delivery_s=15,
        )


@st.composite
def costs(draw: st.DrawFn) -> Costs:
    """From nothing to nearly everything."""
    least = draw(st.one_of(st.just(1), st.integers(1, 10_000)))
    return Costs(
        service_fee_bps=draw(st.one_of(st.integers(0, 200), st.integers(0, 9_999))),
        service_fee_min_minor=draw(st.one_of(st.just(0), st.integers(0, 500))),
        network_fee_minor=draw(st.one_of(st.just(0), st.integers(0, 500))),
        spread_bps=draw(st.one_of(st.integers(0, 200), st.integers(0, 9_999))),
        sell_min_minor=least,
        sell_max_minor=draw(st.one_of(st.just(MINOR_LIMIT - 1), st.integers(least, 10**9))),
    )


@st.composite
def corridors(draw: st.DrawFn) -> Corridor:
    """Corridors of any digits."""
    digits = st.sampled_from(DIGITS)
    return draw(costs()).corridor(draw(digits), draw(digits))


def bought(corridor: Corridor, mid: Mid, sell_minor: int) -> int:
    """What a sell amount buys; 0 where it is refused."""
    try:
        return price_fixed_sell(corridor, mid, sell_minor).buy.minor
    except AmountOutOfRange:
        return 0


def sold(corridor: Corridor, mid: Mid, buy_minor: int) -> int | None:
    """What a buy amount is sold for; None where it is refused."""
    try:
        return price_fixed_buy(corridor, mid, buy_minor).sell.minor
    except AmountOutOfRange:
        return None


def sell_range(corridor: Corridor, mid: Mid) -> tuple[int, int] | None:
    """Least and greatest sell amount that is not refused; None where every one is."""
    try:
        price_fixed_sell(corridor, mid, 0)
    except AmountOutOfRange as refusal:
        least, most = refusal.context["min"], refusal.context["max"]
    else:
        raise AssertionError("nothing is sold")
    if least is None:
        return None
    assert isinstance(least, dict)
    assert isinstance(most, dict)
    return (
        parse_amount(least["amount"], corridor.sell).minor,
        parse_amount(most["amount"], corridor.sell).minor,
    )
