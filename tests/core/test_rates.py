"""Which rates are fit to price with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import RateUnavailable
from node.core.quotes import Rate
from node.core.rates import Feed, best_mid, is_plausible

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)
DAY_S = 86_400


def stated(sell: str, buy: str, text: str, source: str = "ecb", at: datetime = NOON) -> Rate:
    return Rate.stated(sell, buy, text, source, at)


ECB = Feed(
    (
        stated("EUR", "USD", "1.1172"),
        stated("EUR", "GBP", "0.8338"),
        stated("EUR", "JPY", "175.68"),
    ),
    max_age_s=4 * DAY_S,
    natural_age_s=DAY_S,
)
FIXED = Feed((stated("USD", "USDC", "1", "fixed"),), None, None)


def test_a_rate_is_found_over_the_shortest_way_in_the_order_of_the_sources() -> None:
    mid = best_mid([ECB, FIXED], "EUR", "USDC", NOON).mid
    assert [(each.source, each.text) for each in mid.sources] == [("ecb", "1.1172"), ("fixed", "1")]
    assert str(mid.rate) == "1.1172"


def test_a_cross_rate_is_the_exact_product_over_the_common_currency() -> None:
    mid = best_mid([ECB, FIXED], "GBP", "USDC", NOON).mid
    assert [(each.sell, each.buy) for each in mid.sources] == [
        ("EUR", "GBP"),
        ("EUR", "USD"),
        ("USD", "USDC"),
    ]
    exact = Fraction("1.1172") / Fraction("0.8338")
    assert Fraction(mid.rate) <= exact < Fraction(mid.rate) + Fraction(1, 10**17)


def test_a_swapped_pair_has_the_reciprocal_rate() -> None:
    feed = Feed((stated("EUR", "JPY", "160"),), None, None)
    assert f"{best_mid([feed], 'EUR', 'JPY', NOON).mid.rate:f}" == "160"
    assert f"{best_mid([feed], 'JPY', 'EUR', NOON).mid.rate:f}" == "0.00625"


@pytest.mark.parametrize(("sell", "buy"), [("EUR", "XAU"), ("XAU", "EUR"), ("XAU", "XAG")])
def test_a_pair_no_source_knows_has_no_rate(sell: str, buy: str) -> None:
    with pytest.raises(RateUnavailable, match="no source"):
        best_mid([ECB, FIXED], sell, buy, NOON)


def test_a_rate_is_used_to_the_last_second_of_its_age_and_no_longer() -> None:
    last = NOON + timedelta(days=4)
    best_mid([ECB, FIXED], "EUR", "USDC", last)
    with pytest.raises(RateUnavailable, match="too old"):
        best_mid([ECB, FIXED], "EUR", "USDC", last + timedelta(microseconds=1))


def test_a_rate_whose_age_is_not_checked_is_marked_stale_beyond_its_natural_age() -> None:
    unchecked = replace(ECB, max_age_s=None)
    fresh = best_mid([unchecked, FIXED], "EUR", "USDC", NOON + timedelta(days=1))
    stale = best_mid([unchecked, FIXED], "EUR", "USDC", NOON + timedelta(days=900))
    assert [each.stale for each in fresh.mid.sources] == [False, False]
    assert [each.stale for each in stale.mid.sources] == [True, False]
    assert fresh.mid.rate == stale.mid.rate


def test_a_rate_from_the_future_is_not_used() -> None:
    best_mid([ECB], "EUR", "USD", NOON - timedelta(hours=1))
    with pytest.raises(RateUnavailable):
        best_mid([ECB], "EUR", "USD", NOON - timedelta(hours=1, seconds=1))


def test_the_next_source_serves_when_the_preferred_one_is_too_old() -> None:
    other = Feed((stated("EUR", "USD", "1.12", "other", NOON + timedelta(days=9)),), DAY_S, None)
    assert best_mid([ECB, other], "EUR", "USD", NOON).mid.sources[0].source == "ecb"
    late = best_mid([ECB, other], "EUR", "USD", NOON + timedelta(days=9))
    assert late.mid.sources[0].source == "other"


@pytest.mark.parametrize(
    ("text", "agrees"),
    [("1.1172", True), ("1.17", True), ("1.065", True), ("1.18", False), ("11.172", False),
     ("0.8951", False)],
)  # fmt: skip
def test_sources_that_disagree_give_no_rate(text: str, agrees: bool) -> None:
    other = Feed((stated("EUR", "USD", text, "other"),), None, None)
    for feeds in ([ECB, other, FIXED], [other, ECB, FIXED]):
        if agrees:
            mid = best_mid(feeds, "EUR", "USDC", NOON).mid
            assert mid.sources[0] == feeds[0].rates[0]
        else:
            with pytest.raises(RateUnavailable, match="disagree"):
                best_mid(feeds, "EUR", "USDC", NOON)


def test_a_direct_rate_must_agree_with_the_way_around() -> None:
    direct = Feed((stated("EUR", "USDC", "1.4", "other"),), None, None)
    with pytest.raises(RateUnavailable, match="disagree"):
        best_mid([direct, ECB, FIXED], "EUR", "USDC", NOON)
    near = Feed((stated("USDC", "EUR", "0.895", "other"),), None, None)
    assert best_mid([near, ECB, FIXED], "EUR", "USDC", NOON).mid.sources == near.rates


def test_a_source_that_is_too_old_has_no_say() -> None:
    wrong = stated("EUR", "USD", "9", "other", NOON - timedelta(days=2))
    old = Feed((wrong,), DAY_S, None)
    assert best_mid([ECB, old], "EUR", "USD", NOON).mid.sources == (ECB.rates[0],)


@given(st.integers(0, 40 * 24), st.integers(0, 40 * 24))
def test_a_mid_rate_holds_until_it_says(first_h: int, second_h: int) -> None:
    """Nothing that depends on time changes before `good_until`."""
    feeds = [ECB, Feed((stated("USD", "USDC", "1", "x", NOON + timedelta(days=9)),), None, DAY_S)]
    early, late = (NOON + timedelta(hours=each) for each in sorted((first_h, second_h)))
    try:
        until = best_mid(feeds, "EUR", "USDC", early)
    except RateUnavailable:
        return
    if late <= until.good_until:
        assert best_mid(feeds, "EUR", "USDC", late).mid == until.mid


@pytest.mark.parametrize(
    ("text", "plausible"),
    [("1.1", True), ("2.2", True), ("0.55", True), ("2.21", False), ("0.549", False),
     ("11", False), ("0.11", False)],
)  # fmt: skip
def test_a_rate_that_more_than_doubles_or_halves_is_not_plausible(
    text: str, plausible: bool
) -> None:
    before = stated("EUR", "USD", "1.10")
    assert is_plausible(stated("EUR", "USD", text), before) is plausible
