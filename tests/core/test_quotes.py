"""Prices by example, what every price must be, rates, and the life of a quote.

The laws of quoting are in `test_laws_of_quoting`.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.corridors import load_offer
from node.core.catalog import USDC
from node.core.errors import AmountOutOfRange, InvariantBroken, RateUnavailable
from node.core.parties import Principal, Role
from node.core.quotes import (
    Corridor,
    FixedSide,
    HaltReason,
    Mid,
    Price,
    Quote,
    QuoteStatus,
    Rate,
    chained,
    mid_of,
    price_fixed_buy,
    price_fixed_sell,
)
from node.core.units import MINOR_LIMIT, Asset, Money, parse_amount
from tests.core.markets import NOON, a_rate, bought, corridors, mids, ratios, sold

OFFERED = load_offer(None, USDC).corridors
EUR_USDC = OFFERED[0]
EUR = EUR_USDC.sell
AMOUNTS = st.one_of(st.integers(1, 2_000), st.integers(1, 10**9), st.integers(1, MINOR_LIMIT - 1))


def the_mid_of_the_design() -> Mid:
    return mid_of(
        "EUR", "USDC", [a_rate("EUR", "USD", "1.15626"), a_rate("USD", "USDC", "1", "fixed")]
    )


def assert_consistent(price: Price) -> None:
    """What every price, of either side, must be."""
    assert price.sell.minor == price.fees.minor + price.principal.minor
    assert price.principal.minor > 0
    assert 0 < price.buy.minor < MINOR_LIMIT
    scale = Fraction(10) ** (price.buy.asset.digits - price.sell.asset.digits)
    exact = price.principal.minor * Fraction(price.rate) * scale
    if price.fixed_side is FixedSide.SELL:
        assert price.buy.minor <= exact < price.buy.minor + 1
    else:
        assert price.buy.minor <= exact
    worth = Fraction(price.buy.minor) / (Fraction(price.mid_rate) * scale)
    assert 0 <= price.total_cost.minor - (price.sell.minor - worth) < 1
    assert price.total_cost.minor >= price.fees.minor


# The published example


def test_the_published_fixed_sell_comes_out_to_the_unit() -> None:
    price = price_fixed_sell(EUR_USDC, the_mid_of_the_design(), 20_000)
    assert str(price.buy) == "230.074048"
    assert (str(price.service_fee), str(price.network_fee)) == ("0.60", "0.02")
    assert (str(price.principal), str(price.spread)) == ("199.38", "0.39")
    assert (f"{price.mid_rate:f}", f"{price.rate:f}") == ("1.15626", "1.15394748")
    assert (str(price.total_cost), price.total_cost_percent) == ("1.02", "0.51")


def test_the_published_fixed_buy_comes_out_to_the_unit() -> None:
    price = price_fixed_buy(EUR_USDC, the_mid_of_the_design(), 230_000_000)
    assert (str(price.sell), str(price.buy)) == ("199.94", "230.000000")


# Every price


@given(corridors(), mids(), AMOUNTS, st.sampled_from(FixedSide))
def test_every_price_is_consistent_in_itself(
    corridor: Corridor, mid: Mid, amount: int, side: FixedSide
) -> None:
    price_fixed = price_fixed_sell if side is FixedSide.SELL else price_fixed_buy
    try:
        price = price_fixed(corridor, mid, amount)
    except AmountOutOfRange:
        return
    assert corridor.sell_min_minor <= price.sell.minor <= corridor.sell_max_minor
    assert_consistent(price)


@given(corridors(), mids(), AMOUNTS)
def test_the_service_fee_is_never_undercharged_nor_a_unit_over(
    corridor: Corridor, mid: Mid, sell_minor: int
) -> None:
    assume(bought(corridor, mid, sell_minor))
    fee = price_fixed_sell(corridor, mid, sell_minor).service_fee.minor
    if fee > corridor.service_fee_min_minor:
        due = sell_minor * corridor.service_fee_bps
        assert (fee - 1) * 10_000 < due <= fee * 10_000


@given(corridors(), mids(), st.one_of(st.integers(0, 3_000), st.integers(0, 2**70)))
def test_a_refusal_names_limits_within_which_amounts_are_accepted(
    corridor: Corridor, mid: Mid, amount: int
) -> None:
    for price, asset in (
        (price_fixed_sell, corridor.sell),
        (price_fixed_buy, corridor.buy),
    ):
        try:
            price(corridor, mid, amount)
        except AmountOutOfRange as refusal:
            least, most = refusal.context["min"], refusal.context["max"]
            if least is None:
                assert most is None
                continue
            assert isinstance(least, dict)
            assert isinstance(most, dict)
            low = parse_amount(least["amount"], asset).minor
            high = parse_amount(most["amount"], asset).minor
            assert amount < low or amount > high
            price(corridor, mid, low)
            price(corridor, mid, high)


@pytest.mark.parametrize("sell_minor", [0, 1, 9, 10_000_001, MINOR_LIMIT, 10**37])
def test_an_amount_outside_the_corridor_is_refused_with_its_limits(sell_minor: int) -> None:
    with pytest.raises(AmountOutOfRange) as refusal:
        price_fixed_sell(EUR_USDC, the_mid_of_the_design(), sell_minor)
    assert refusal.value.context == {
        "min": {"currency": "EUR", "amount": "0.10"},
        "max": {"currency": "EUR", "amount": "100000.00"},
    }


def test_an_amount_that_rounds_to_nothing_is_refused() -> None:
    yen = Corridor(Asset("PHP", 2), Asset("JPY", 0), "onchain", 0, 0, 0, 0, 1, 10**6, 15)
    mid = mid_of("PHP", "JPY", [a_rate("PHP", "JPY", "2.5")])
    assert bought(yen, mid, 40) == 1
    with pytest.raises(AmountOutOfRange) as refusal:
        price_fixed_sell(yen, mid, 39)
    assert refusal.value.context["min"] == {"currency": "PHP", "amount": "0.40"}


def test_a_buy_amount_whose_least_sell_amount_buys_more_than_the_ledger_holds_is_refused() -> None:
    wide = Corridor(Asset("EUR", 0), Asset("JPY", 0), "onchain", 0, 0, 0, 0, 1, MINOR_LIMIT - 1, 15)
    mid = mid_of("EUR", "JPY", [a_rate("EUR", "JPY", "9227")])
    most = (MINOR_LIMIT - 1) // 9227 * 9227
    assert sold(wide, mid, most) == most // 9227
    assert sold(wide, mid, most + 1) is None


def test_fees_that_eat_the_whole_amount_are_refused() -> None:
    dear = Corridor(EUR, USDC, "onchain", 30, 500, 2, 20, 10, 10_000, 15)
    with pytest.raises(AmountOutOfRange) as refusal:
        price_fixed_sell(dear, the_mid_of_the_design(), 502)
    assert refusal.value.context["min"] == {"currency": "EUR", "amount": "5.03"}
    assert bought(dear, the_mid_of_the_design(), 503) > 0


def test_a_buy_amount_below_what_the_least_sell_amount_buys_is_refused() -> None:
    nine_cents = bought(replace(EUR_USDC, sell_min_minor=1), the_mid_of_the_design(), 9)
    assert sold(EUR_USDC, the_mid_of_the_design(), nine_cents + 1) == 10
    assert sold(EUR_USDC, the_mid_of_the_design(), nine_cents) is None


def test_where_the_least_sell_amount_and_less_buy_the_same_the_least_is_charged() -> None:
    coarse = Corridor(EUR, Asset("JPY", 0), "onchain", 0, 0, 0, 0, 150, 10**6, 15)
    mid = mid_of("EUR", "JPY", [a_rate("EUR", "JPY", "2")])
    assert sold(replace(coarse, sell_min_minor=1), mid, 3) == 150
    assert sold(replace(coarse, sell_min_minor=170), mid, 3) == 170
    assert sold(replace(coarse, sell_min_minor=170), mid, 2) is None


@pytest.mark.parametrize(
    "change",
    [
        {"service_fee_bps": 10_000},
        {"spread_bps": 10_000},
        {"spread_bps": -1},
        {"network_fee_minor": -1},
        {"sell_min_minor": 0},
        {"sell_max_minor": MINOR_LIMIT},
        {"buy": EUR},
    ],
)
def test_an_impossible_corridor_cannot_be_made(change: dict[str, object]) -> None:
    good = {name: getattr(EUR_USDC, name) for name in Corridor.__slots__}
    with pytest.raises(InvariantBroken):
        Corridor(**{**good, **change})


# Rates


@given(ratios(), ratios())
def test_a_mid_rate_is_the_product_cut_downwards_to_18_digits(one: str, two: str) -> None:
    way = [a_rate("CCC", "AAA", one), a_rate("CCC", "BBB", two)]
    mid = mid_of("AAA", "BBB", way).rate
    exact = Fraction(two) / Fraction(one)
    _, digits, exponent = mid.as_tuple()
    assert isinstance(exponent, int)
    unit = Fraction(10) ** (mid.adjusted() - 17)
    assert len(digits) <= 18
    assert digits[-1] != 0
    assert Fraction(mid) <= exact < Fraction(mid) + unit


@given(ratios())
def test_a_rate_and_its_reciprocal_cancel_exactly(text: str) -> None:
    rate = a_rate("AAA", "BBB", text)
    numerator, denominator = chained("AAA", "AAA", [rate, rate])
    assert numerator == denominator


@given(mids(), st.integers(0, 9_999))
def test_the_rate_is_exact_in_any_decimal_context(mid: Mid, spread_bps: int) -> None:
    corridor = Corridor(
        Asset("AAA", 9), Asset("BBB", 9), "onchain", 0, 0, 0, spread_bps, 1, MINOR_LIMIT - 1, 15
    )
    for sell_minor in (10**9, 10**18, 1):
        if bought(corridor, mid, sell_minor):
            with localcontext(prec=1):
                rate = price_fixed_sell(corridor, mid, sell_minor).rate
            assert Fraction(rate) == Fraction(mid.rate) * (10_000 - spread_bps) / 10_000


@given(ratios())
def test_a_stated_rate_is_printed_as_it_was_stated(text: str) -> None:
    rate = a_rate("AAA", "BBB", text)
    assert rate.text == text
    assert Fraction(rate.numerator, rate.denominator) == Fraction(text)


@pytest.mark.parametrize(
    "text",
    ["0", "0.0", "0.00000000000000000000",
     "-1.1", "+1.1", "NaN", "nan", "inf", "Infinity", "-Infinity", "1e5", "1E-3", "",
     ".", "1.", ".5", "1,17", " 1.17", "1.17\n", "1.1.1", "<html>", "1" * 21, "1." + "1" * 21,
     "\u0661", "0x1"],
)  # fmt: skip
def test_what_is_no_plain_decimal_above_zero_is_no_rate(text: str) -> None:
    with pytest.raises(RateUnavailable):
        a_rate("EUR", "USD", text)


def test_an_asset_has_no_rate_against_itself() -> None:
    with pytest.raises(RateUnavailable):
        a_rate("EUR", "EUR", "1")


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 1), (-1, 1), (1, 0), (1, 3), (1, -10)])
def test_a_ratio_that_cannot_be_printed_exactly_is_no_stated_rate(
    numerator: int, denominator: int
) -> None:
    with pytest.raises(InvariantBroken):
        Rate("EUR", "USD", numerator, denominator, "ecb", NOON)


def test_rates_that_do_not_follow_each_other_are_not_multiplied() -> None:
    for way in ([a_rate("GBP", "USD", "1.2")], [a_rate("EUR", "GBP", "0.8")], []):
        with pytest.raises(InvariantBroken):
            mid_of("EUR", "USD", way)


# The life of a quote


def a_quote(**changes: object) -> Quote:
    members: dict[str, object] = {
        "id": UUID(int=1),
        "maker": "partner:1",
        "customer_id": None,
        "price": price_fixed_sell(EUR_USDC, the_mid_of_the_design(), 20_000),
        "created_at": NOON,
        "expires_at": NOON + timedelta(seconds=60),
    }
    return Quote(**{**members, **changes})  # type: ignore[arg-type]


def test_a_quote_is_active_strictly_before_its_expiry() -> None:
    quote = a_quote()
    assert quote.status(NOON + timedelta(seconds=60, microseconds=-1)) is QuoteStatus.ACTIVE
    assert quote.status(NOON + timedelta(seconds=60)) is QuoteStatus.EXPIRED


def test_a_consumed_quote_stays_consumed_and_a_revoked_one_revoked() -> None:
    later = NOON + timedelta(days=1)
    used = a_quote(transfer_id=UUID(int=2))
    assert used.status(NOON) is used.status(later) is QuoteStatus.CONSUMED
    revoked = a_quote(revoked_at=NOON, revoked_reason=HaltReason.JUMP)
    assert revoked.status(NOON) is revoked.status(later) is QuoteStatus.REVOKED


def test_a_quote_exists_for_its_maker_and_the_operator_only() -> None:
    maker = Principal(Role.PARTNER, "key", partner_id=UUID(int=7))
    quote = a_quote(maker=maker.key, customer_id=UUID(int=3))
    assert quote.is_visible_to(maker)
    assert quote.is_visible_to(Principal(Role.OPERATOR, "ops"))
    assert not quote.is_visible_to(Principal(Role.PARTNER, "key", partner_id=UUID(int=8)))
    assert not quote.is_visible_to(Principal(Role.REMITTER, "key", customer_id=UUID(int=3)))


def test_a_transfer_takes_the_integers_of_its_quote() -> None:
    amounts = a_quote().amounts
    assert (amounts.sell_asset, amounts.sell, amounts.fees) == ("EUR", 20_000, 62)
    assert (amounts.spread, amounts.principal) == (39, 19_938)
    assert (amounts.buy_asset, amounts.buy) == ("USDC", 230_074_048)


def test_percent_is_rounded_half_up_to_two_digits() -> None:
    corridor = Corridor(Asset("AAA", 2), Asset("BBB", 2), "onchain", 0, 0, 1, 0, 1, 10**6, 15)
    mid = mid_of("AAA", "BBB", [a_rate("AAA", "BBB", "1")])
    percents = [price_fixed_sell(corridor, mid, each).total_cost_percent for each in (800, 20_000)]
    assert percents == ["0.13", "0.01"]  # 0.125 and 0.005


def test_money_of_a_price_carries_the_digits_of_its_asset() -> None:
    yen = OFFERED[3]
    way = [a_rate("EUR", "JPY", "175.68"), a_rate("EUR", "USD", "1.1172")]
    mid = mid_of("JPY", "USDC", [*way, a_rate("USD", "USDC", "1", "fixed")])
    price = price_fixed_sell(yen, mid, 1_500)
    assert mid.rate == Decimal("0.00635928961748633879")
    assert (str(price.sell), str(price.fees)) == ("1500", "8")
    assert price.buy == Money(price.buy.minor, USDC)
    assert str(price.buy).rpartition(".")[2].isdigit()
    assert len(str(price.buy).rpartition(".")[2]) == 6
