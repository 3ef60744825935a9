"""The laws of quoting, each for every pair of digits and, where it speaks of both, either side.

For each pair hypothesis draws rates from 1e-18 to 1e18, fees and spreads from nothing to nearly
everything, limits, and amounts over all that is not refused.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import TypeVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from node.core.errors import AmountOutOfRange, RateUnavailable
from node.core.quotes import Corridor, Mid, Price, Rate, mid_of, price_fixed_buy, price_fixed_sell
from node.core.rates import Lack, PricingPolicy, Reading, best_mid, is_fault, is_jump
from node.core.units import MINOR_LIMIT
from tests.core.markets import (
    DIGITS,
    NOON,
    Costs,
    a_rate,
    bought,
    costs,
    mids,
    ratios,
    sell_range,
    sold,
    ways,
)

EXAMPLES = 20
"""For each pair of digits, of which there are 36."""

Test = TypeVar("Test", bound=Callable[..., None])


def law(test: Test) -> Test:
    """Try a law for every pair of digits."""
    limited: Test = settings(max_examples=EXAMPLES)(test)
    pairs = list(product(DIGITS, DIGITS))
    for_each: Test = pytest.mark.parametrize(("sell_digits", "buy_digits"), pairs)(limited)
    return for_each


def a_sell_amount(data: st.DataObject, corridor: Corridor, mid: Mid) -> int:
    """An amount that is not refused; often a small one, where rounding shows most."""
    found = sell_range(corridor, mid)
    assume(found is not None)
    assert found is not None
    least, most = found
    return data.draw(
        st.one_of(
            st.integers(least, min(most, least + 100)),
            st.integers(least, min(most, least + 10**6)),
            st.integers(least, most),
        )
    )


def either_price(data: st.DataObject, corridor: Corridor, mid: Mid) -> Price:
    """A price of either side."""
    sell_minor = a_sell_amount(data, corridor, mid)
    by_sell = price_fixed_sell(corridor, mid, sell_minor)
    if data.draw(st.booleans()):
        return by_sell
    return price_fixed_buy(corridor, mid, by_sell.buy.minor)


@law
@given(data=st.data(), cost=costs(), mid=mids())
def test_sell_is_fees_and_principal_exactly(
    data: st.DataObject, cost: Costs, mid: Mid, sell_digits: int, buy_digits: int
) -> None:
    price = either_price(data, cost.corridor(sell_digits, buy_digits), mid)
    assert price.sell.minor == price.fees.minor + price.principal.minor
    assert price.fees.minor == price.service_fee.minor + price.network_fee.minor
    assert 0 <= price.spread.minor <= price.principal.minor


@law
@given(data=st.data(), cost=costs(), mid=mids())
def test_what_a_fixed_sell_buys_is_its_principal_at_the_rate_rounded_down(
    data: st.DataObject, cost: Costs, mid: Mid, sell_digits: int, buy_digits: int
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    price = price_fixed_sell(corridor, mid, a_sell_amount(data, corridor, mid))
    assert Fraction(price.rate) == Fraction(mid.rate) * (10_000 - cost.spread_bps) / 10_000
    exact = (
        price.principal.minor * Fraction(price.rate) * Fraction(10) ** (buy_digits - sell_digits)
    )
    assert price.buy.minor == exact.numerator // exact.denominator


@law
@given(data=st.data(), cost=costs(), mid=mids())
def test_a_fixed_buy_is_sold_for_the_least_amount_that_buys_it(
    data: st.DataObject, cost: Costs, mid: Mid, sell_digits: int, buy_digits: int
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    most = bought(corridor, mid, a_sell_amount(data, corridor, mid))
    buy_minor = data.draw(st.one_of(st.just(most), st.integers(1, most)))
    sell_minor = sold(corridor, mid, buy_minor)
    if sell_minor is None:  # its least sell amount is below the corridor's
        assert bought(corridor, mid, corridor.sell_min_minor) != buy_minor
        return
    assert price_fixed_buy(corridor, mid, buy_minor).buy.minor == buy_minor
    assert bought(corridor, mid, sell_minor) >= buy_minor
    assert bought(corridor, mid, sell_minor - 1) < buy_minor


@law
@given(data=st.data(), cost=costs(), mid=mids())
def test_what_a_sell_amount_buys_is_sold_for_no_more_and_that_buys_the_same(
    data: st.DataObject, cost: Costs, mid: Mid, sell_digits: int, buy_digits: int
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    sell_minor = a_sell_amount(data, corridor, mid)
    buy_minor = bought(corridor, mid, sell_minor)
    back = sold(corridor, mid, buy_minor)
    assert back is not None
    assert back <= sell_minor
    assert bought(corridor, mid, back) == buy_minor


@law
@given(data=st.data(), cost=costs(), mid=mids())
def test_what_is_bought_rises_or_stays_with_what_is_sold(
    data: st.DataObject, cost: Costs, mid: Mid, sell_digits: int, buy_digits: int
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    one, two = sorted(a_sell_amount(data, corridor, mid) for _ in range(2))
    assert bought(corridor, mid, one) <= bought(corridor, mid, two)


@law
@given(data=st.data(), cost=costs(), mid=mids())
def test_what_is_sold_rises_or_stays_with_what_is_bought(
    data: st.DataObject, cost: Costs, mid: Mid, sell_digits: int, buy_digits: int
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    one, two = sorted(bought(corridor, mid, a_sell_amount(data, corridor, mid)) for _ in range(2))
    less, more = sold(corridor, mid, one), sold(corridor, mid, two)
    assert less is not None
    assert more is not None
    assert less <= more


@law
@given(data=st.data(), cost=costs(), mid=mids())
def test_the_parts_of_an_amount_never_buy_more_than_the_whole(
    data: st.DataObject, cost: Costs, mid: Mid, sell_digits: int, buy_digits: int
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    whole = a_sell_amount(data, corridor, mid)
    part = data.draw(st.integers(0, whole))
    parts = bought(corridor, mid, part) + bought(corridor, mid, whole - part)
    assert parts <= bought(corridor, mid, whole)


@law
@given(data=st.data(), cost=costs(), way=ways(), spread_bps=st.integers(0, 50))
def test_no_round_trip_at_one_moment_ends_with_more(
    data: st.DataObject,
    cost: Costs,
    way: list[Rate],
    spread_bps: int,
    sell_digits: int,
    buy_digits: int,
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    there, back = mid_of("AAA", "BBB", way), mid_of("BBB", "AAA", way[::-1])
    price = either_price(data, corridor, there)
    free = Corridor(
        corridor.buy, corridor.sell, "onchain", 0, 0, 0, spread_bps, 1, MINOR_LIMIT - 1, 15
    )
    assert bought(free, back, price.buy.minor) <= price.sell.minor
    least = sold(free, back, price.sell.minor)  # to have the same again takes at least as much
    assert least is None or least >= price.buy.minor


@law
@given(cost=costs(), mid=mids(), amount=st.integers(0, 2_000))
def test_a_quote_whose_principal_or_buy_would_be_nothing_is_refused(
    cost: Costs, mid: Mid, amount: int, sell_digits: int, buy_digits: int
) -> None:
    corridor = cost.corridor(sell_digits, buy_digits)
    rate = Fraction(mid.rate) * (10_000 - cost.spread_bps) / 10_000
    fee = max(cost.service_fee_min_minor, -(-amount * cost.service_fee_bps // 10_000))
    principal = amount - fee - cost.network_fee_minor
    buys = principal * rate * Fraction(10) ** (buy_digits - sell_digits)
    if principal <= 0 or buys < 1:
        with pytest.raises(AmountOutOfRange):
            price_fixed_sell(corridor, mid, amount)
    with pytest.raises(AmountOutOfRange):
        price_fixed_buy(corridor, mid, 0)


# Sources


@given(ratios(), st.sampled_from(["-{}", "+{}", "{}e0", "0", "0.000", "NaN", "Infinity", "-inf"]))
def test_a_source_at_zero_negative_nan_or_infinite_is_refused(text: str, form: str) -> None:
    with pytest.raises(RateUnavailable):
        a_rate("AAA", "BBB", form.format(text))


@given(ratios(), st.integers(1, 9_999))
def test_a_tenfold_rate_and_a_tenth_are_jumps_and_faults_under_every_policy(
    text: str, jump_max_bps: int
) -> None:
    trusted = mid_of("AAA", "BBB", [a_rate("AAA", "BBB", text)]).rate
    for mid in (trusted * 10, trusted / 10):
        assert is_jump(mid, trusted, jump_max_bps)
        assert is_fault(mid, trusted)
    assert not is_jump(trusted, trusted, jump_max_bps)


@given(ratios(), st.integers(1, 10**6), st.integers(-4_000, 10**6))
def test_a_source_that_is_too_old_is_refused_and_one_that_is_not_is_used(
    text: str, max_age_s: int, age_s: int
) -> None:
    reading = Reading((a_rate("AAA", "BBB", text),), max_age_s, None, "a")
    now = NOON + timedelta(seconds=age_s)
    if -3_600 <= age_s <= max_age_s:
        assert best_mid([reading], "AAA", "BBB", now).mid.rate > Decimal(0)
        return
    with pytest.raises(RateUnavailable) as refusal:
        best_mid([reading], "AAA", "BBB", now)
    assert refusal.value.context["reason"] == Lack.TOO_OLD


@given(ratios(), ratios(), st.integers(0, 9_999))
def test_sources_that_disagree_are_refused_whatever_their_order(
    one: str, two: str, bound_bps: int
) -> None:
    low, high = sorted((Fraction(one), Fraction(two)))
    assume((high - low) * 10_000 > bound_bps * low)
    readings = [
        Reading((a_rate("AAA", "BBB", text, text),), None, None, text) for text in (one, two)
    ]
    for order in (readings, readings[::-1]):
        with pytest.raises(RateUnavailable) as refusal:
            best_mid(order, "AAA", "BBB", NOON, PricingPolicy(disagreement_max_bps=bound_bps))
        assert refusal.value.context["reason"] == Lack.DISAGREE
