"""Which rates are fit to price with."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import RateUnavailable
from node.core.quotes import Rate, chained
from node.core.rates import (
    Lack,
    Method,
    PricingPolicy,
    Reading,
    best_mid,
    is_fault,
    is_jump,
    is_plausible,
)

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)
DAY_S = 86_400


def stated(sell: str, buy: str, text: str, source: str = "ecb", at: datetime = NOON) -> Rate:
    return Rate.stated(sell, buy, text, source, at)


ECB = Reading(
    (
        stated("EUR", "USD", "1.1172"),
        stated("EUR", "GBP", "0.8338"),
        stated("EUR", "JPY", "175.68"),
    ),
    max_age_s=4 * DAY_S,
    natural_age_s=DAY_S,
    name="ecb",
)
FIXED = Reading((stated("USD", "USDC", "1", "fixed"),), None, None, "fixed")
MEDIAN = PricingPolicy(Method.MEDIAN, sources_min=2, disagreement_max_bps=100)


def dollars(*texts: str) -> list[Reading]:
    """One source for each EUR/USD rate: a, b, c... A text such as `/0.9` is of USD/EUR."""
    readings = []
    for name, text in zip("abcdefghij", texts, strict=False):
        pair = ("USD", "EUR") if text.startswith("/") else ("EUR", "USD")
        rate = stated(*pair, text.removeprefix("/"), name)
        readings.append(Reading((rate,), None, None, name))
    return readings


def composed(readings: Sequence[Reading], policy: PricingPolicy = MEDIAN) -> Rate:
    """The rate that EUR/USD is priced with."""
    (rate,) = best_mid(readings, "EUR", "USD", NOON, policy).mid.sources
    return rate


def lack(readings: Sequence[Reading], policy: PricingPolicy = MEDIAN) -> RateUnavailable:
    with pytest.raises(RateUnavailable) as refusal:
        best_mid(readings, "EUR", "USD", NOON, policy)
    return refusal.value


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
    reading = Reading((stated("EUR", "JPY", "160"),), None, None)
    assert f"{best_mid([reading], 'EUR', 'JPY', NOON).mid.rate:f}" == "160"
    assert f"{best_mid([reading], 'JPY', 'EUR', NOON).mid.rate:f}" == "0.00625"


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
    other = Reading((stated("EUR", "USD", "1.12", "other", NOON + timedelta(days=9)),), DAY_S, None)
    assert best_mid([ECB, other], "EUR", "USD", NOON).mid.sources[0].source == "ecb"
    late = best_mid([ECB, other], "EUR", "USD", NOON + timedelta(days=9))
    assert late.mid.sources[0].source == "other"


@pytest.mark.parametrize(
    ("text", "agrees"),
    [("1.1172", True), ("1.17", True), ("1.065", True), ("1.18", False), ("11.172", False),
     ("0.8951", False)],
)  # fmt: skip
def test_sources_that_disagree_give_no_rate(text: str, agrees: bool) -> None:
    other = Reading((stated("EUR", "USD", text, "other"),), None, None)
    for readings in ([ECB, other, FIXED], [other, ECB, FIXED]):
        if agrees:
            mid = best_mid(readings, "EUR", "USDC", NOON).mid
            assert mid.sources[0] == readings[0].rates[0]
        else:
            with pytest.raises(RateUnavailable, match="disagree"):
                best_mid(readings, "EUR", "USDC", NOON)


def test_a_direct_rate_must_agree_with_the_way_around() -> None:
    direct = Reading((stated("EUR", "USDC", "1.4", "other"),), None, None)
    with pytest.raises(RateUnavailable, match="disagree"):
        best_mid([direct, ECB, FIXED], "EUR", "USDC", NOON)
    near = Reading((stated("USDC", "EUR", "0.895", "other"),), None, None)
    assert best_mid([near, ECB, FIXED], "EUR", "USDC", NOON).mid.sources == near.rates


def test_a_source_that_is_too_old_has_no_say() -> None:
    wrong = stated("EUR", "USD", "9", "other", NOON - timedelta(days=2))
    old = Reading((wrong,), DAY_S, None)
    assert best_mid([ECB, old], "EUR", "USD", NOON).mid.sources == (ECB.rates[0],)


@given(st.integers(0, 40 * 24), st.integers(0, 40 * 24))
def test_a_mid_rate_holds_until_it_says(first_h: int, second_h: int) -> None:
    """Nothing that depends on time changes before `good_until`."""
    readings = [
        ECB,
        Reading((stated("USD", "USDC", "1", "x", NOON + timedelta(days=9)),), None, DAY_S),
    ]
    early, late = (NOON + timedelta(hours=each) for each in sorted((first_h, second_h)))
    try:
        until = best_mid(readings, "EUR", "USDC", early)
    except RateUnavailable:
        return
    if late <= until.good_until:
        assert best_mid(readings, "EUR", "USDC", late).mid == until.mid


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


# The way


def test_a_cross_rate_goes_over_the_named_bridges_only() -> None:
    over_gbp = Reading((stated("EUR", "GBP", "0.8"), stated("GBP", "CHF", "1.1")), None, None, "x")
    with pytest.raises(RateUnavailable, match="no source states a rate for EUR/CHF"):
        best_mid([over_gbp], "EUR", "CHF", NOON)
    policy = PricingPolicy(bridge=("GBP",))
    assert f"{best_mid([over_gbp], 'EUR', 'CHF', NOON, policy).mid.rate:f}" == "0.88"


@pytest.mark.parametrize("bridge", [("EUR", "USD"), ("USD", "EUR")])
def test_of_ways_of_one_length_the_first_bridge_is_gone_over(bridge: tuple[str, ...]) -> None:
    reading = Reading(
        (
            stated("GBP", "EUR", "1.2"),
            stated("GBP", "USD", "1.3"),
            stated("EUR", "CHF", "1"),
            stated("USD", "CHF", "0.92"),
        ),
        None,
        None,
        "x",
    )
    mid = best_mid([reading], "GBP", "CHF", NOON, PricingPolicy(bridge=bridge)).mid
    assert mid.sources[0].buy == bridge[0]


def test_every_other_way_must_lead_to_the_same_rate() -> None:
    chain = Reading((stated("GBP", "USD", "1.6", "chain"),), None, None, "chain")
    with pytest.raises(RateUnavailable, match="disagree about GBP/USDC") as refusal:
        best_mid([ECB, FIXED, chain], "GBP", "USDC", NOON)
    assert refusal.value.context["sources"] == ["chain", "fixed", "ecb"]
    near = Reading((stated("GBP", "USD", "1.34", "chain"),), None, None, "chain")
    mid = best_mid([ECB, FIXED, near], "GBP", "USDC", NOON).mid
    assert [each.source for each in mid.sources] == ["chain", "fixed"]


def test_a_way_that_cannot_be_gone_now_is_gone_round() -> None:
    old = Reading(
        (stated("GBP", "USD", "1.6", "chain", NOON - timedelta(days=2)),), DAY_S, None, "chain"
    )
    mid = best_mid([old, ECB, FIXED], "GBP", "USDC", NOON).mid
    assert [each.source for each in mid.sources] == ["ecb", "ecb", "fixed"]


def test_one_dollar_is_one_usdc_only_where_a_source_says_so() -> None:
    with pytest.raises(RateUnavailable, match="no source states a rate for EUR/USDC"):
        best_mid([ECB], "EUR", "USDC", NOON)
    off_its_peg = Reading((stated("USDC", "USD", "0.97", "chain"),), None, None, "chain")
    mid = best_mid([ECB, off_its_peg], "EUR", "USDC", NOON).mid
    assert Fraction(mid.rate) <= Fraction("1.1172") / Fraction("0.97")
    assert mid.rate > Decimal("1.1517")


# Several sources


def test_the_first_usable_source_is_used_when_all_agree() -> None:
    first = PricingPolicy(Method.FIRST, disagreement_max_bps=100)
    assert composed(dollars("1.100", "1.105", "/0.91"), first).source == "a"
    assert lack(dollars("1.100", "1.12"), first).context["reason"] == Lack.DISAGREE


@pytest.mark.parametrize(
    ("texts", "printed"),
    [
        (["1.10", "1.101", "1.102"], "1.101"),
        (["1.102", "1.10", "1.101"], "1.101"),
        (["1.10", "1.101"], "1.10"),
        (["1.103", "1.10", "1.101", "1.102"], "1.101"),
        (["1.10", "1.10", "1.10"], "1.10"),
        (["1.10", "1.101", "1.102", "11.0"], "1.101"),
        (["0.11", "1.10", "1.101"], "1.10"),
        (["0.11", "0.12", "1.10", "1.101", "1.102"], "1.101"),
        (["1.10", "/0.909", "1.102"], "0.909"),  # 1 / 0.909 = 1.10011
    ],
)
def test_the_median_is_what_the_middle_source_states_without_outliers(
    texts: list[str], printed: str
) -> None:
    assert composed(dollars(*texts)).text == printed


def test_of_two_in_the_middle_the_lower_one_is_used_whichever_way_they_are_stated() -> None:
    assert composed(dollars("1.10", "/0.908")).text == "1.10"  # 1 / 0.908 = 1.1013
    assert composed(dollars("1.10", "/0.910")).text == "0.910"  # 1 / 0.910 = 1.0989


@pytest.mark.parametrize(
    "texts",
    [
        ["1.10", "1.20"],
        ["1.10", "1.20", "1.30"],
        ["1.10", "1.101", "1.20", "1.21"],
        ["1.10", "11.0"],
    ],
)
def test_without_a_majority_near_the_middle_there_is_no_rate(texts: list[str]) -> None:
    assert lack(dollars(*texts)).context["reason"] == Lack.DISAGREE


@pytest.mark.parametrize("method", list(Method))
def test_fewer_sources_than_asked_for_give_no_rate(method: Method) -> None:
    policy = PricingPolicy(method, sources_min=2)
    refusal = lack(dollars("1.10"), policy)
    assert refusal.context["reason"] == Lack.TOO_FEW_SOURCES
    assert "1 of at least 2" in refusal.detail
    composed(dollars("1.10", "1.10"), policy)


def test_outliers_do_not_count_among_the_sources_that_are_asked_for() -> None:
    policy = replace(MEDIAN, sources_min=3)
    refusal = lack(dollars("1.10", "1.101", "11.0"), policy)
    assert refusal.context["reason"] == Lack.DISAGREE
    assert composed(dollars("1.10", "1.101", "1.102", "11.0"), policy).text == "1.101"


def test_a_source_has_one_voice_however_often_it_speaks() -> None:
    rates = (stated("EUR", "USD", "1.10", "a"), stated("USD", "EUR", "0.909", "a"))
    assert lack([Reading(rates, None, None, "a")]).context["reason"] == Lack.TOO_FEW_SOURCES


@given(
    st.lists(st.integers(11_000, 11_050), min_size=1, max_size=5),
    st.lists(st.integers(1, 10**9), max_size=4),
    st.data(),
)
def test_fewer_liars_than_honest_sources_neither_stop_the_rate_nor_move_it_beyond_them(
    honest: list[int], liars: list[int], data: st.DataObject
) -> None:
    all_of_them = data.draw(st.permutations([*honest, *liars[: len(honest) - 1]]))
    rate = composed(dollars(*map(str, all_of_them)), replace(MEDIAN, sources_min=1))
    assert rate.numerator in all_of_them
    assert min(honest) <= rate.numerator <= max(honest)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 9_999))
def test_two_sources_agree_or_not_whichever_way_they_are_stated(
    one: int, two: int, bound_bps: int
) -> None:
    policy = PricingPolicy(disagreement_max_bps=bound_bps)
    rates = [stated("EUR", "USD", str(one), "a"), stated("EUR", "USD", str(two), "b")]
    readings = [Reading((rate,), None, None, rate.source) for rate in rates]
    outcomes = set()
    for sell, buy in (("EUR", "USD"), ("USD", "EUR")):
        try:
            best_mid(readings, sell, buy, NOON, policy)
            outcomes.add("agree")
        except RateUnavailable:
            outcomes.add("disagree")
    assert len(outcomes) == 1
    apart = abs(one - two) * 10_000 > bound_bps * min(one, two)
    assert outcomes == {"disagree" if apart else "agree"}


# Reasons


def test_every_refusal_names_its_reason_and_the_sources() -> None:
    faulty = Reading((), 60, None, "acme", "the answer is not JSON")
    refusal = lack([faulty], PricingPolicy())
    assert refusal.detail == (
        "no source states a rate for EUR/USD (asked: acme); acme: the answer is not JSON"
    )
    assert refusal.context == {"reason": "no_source", "sources": ["acme"]}

    old = Reading(
        (stated("EUR", "USD", "1.10", "acme", NOON - timedelta(hours=1)),), 60, None, "acme", "gone"
    )
    assert lack([old], PricingPolicy()).detail == (
        "the rates for EUR/USD are too old or from the future:"
        " acme EUR/USD 1.10 of 2026-10-30 11:00 UTC; acme: gone"
    )

    assert lack(dollars("1.10", "1.20"), PricingPolicy(disagreement_max_bps=20)).detail == (
        "the sources disagree about EUR/USD by more than 20 bps:"
        " a EUR/USD 1.10 of 2026-10-30 12:00 UTC, b EUR/USD 1.20 of 2026-10-30 12:00 UTC"
    )
    assert lack([], PricingPolicy()).detail.endswith("(asked: none is configured)")


def test_a_way_that_nobody_states_in_full_is_not_blamed_for_being_old() -> None:
    old = Reading((stated("EUR", "USD", "1.1", "a", NOON - timedelta(days=2)),), DAY_S, None, "a")
    with pytest.raises(RateUnavailable) as refusal:
        best_mid([old], "EUR", "XAU", NOON)
    assert refusal.value.context["reason"] == Lack.NO_SOURCE


# Jumps


@pytest.mark.parametrize(
    ("mid", "jumps", "faulty"),
    [
        ("1.10", False, False),
        ("1.21", False, False),
        ("1.211", True, False),
        ("1.00", False, False),
        ("0.999", True, False),
        ("2.2", True, False),
        ("2.21", True, True),
        ("0.55", True, False),
        ("0.549", True, True),
        ("11.0", True, True),
    ],
)
def test_a_move_beyond_the_bound_is_a_jump_and_beyond_the_double_a_fault(
    mid: str, jumps: bool, faulty: bool
) -> None:
    assert is_jump(Decimal(mid), Decimal("1.10"), 1_000) is jumps
    assert is_fault(Decimal(mid), Decimal("1.10")) is faulty


@given(st.integers(1, 10**18), st.integers(1, 10**18), st.integers(1, 9_999))
def test_a_jump_is_one_in_both_directions_of_time_and_of_the_pair(
    one: int, two: int, bound_bps: int
) -> None:
    there = is_jump(Decimal(one), Decimal(two), bound_bps)
    assert is_jump(Decimal(two), Decimal(one), bound_bps) is there
    assert there is (abs(one - two) * 10_000 > bound_bps * min(one, two))
    rates = [stated("EUR", "USD", str(each)) for each in (one, two)]
    numerators = [Fraction(*chained("USD", "EUR", [rate])) for rate in rates]
    assert there is (abs(numerators[0] - numerators[1]) * 10_000 > bound_bps * min(numerators))
