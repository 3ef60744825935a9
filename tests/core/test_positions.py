"""What positions are worth, and that all figures add up."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.catalog import USDC
from node.core.errors import PeriodInvalid
from node.core.ledger import AccountKind, Balance, account_rules
from node.core.positions import (
    DAYS_MAX,
    NOTHING,
    Change,
    Day,
    Positions,
    Standing,
    Worth,
    period_of,
    result_of,
    standings,
)
from node.core.quotes import Corridor, Rate, mid_of, price_fixed_sell
from node.core.statements import Period
from node.core.units import Asset
from tests.builders import EUR

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TODAY = NOON.date()
YEN = Asset("JPY", 0, "Yen")
DOLLAR = Asset("USD", 2, "US dollar")
MILLION = 10**6


def usdc_worth(text: str, reporting: Asset = EUR) -> Worth:
    """USDC at so many for one euro."""
    rates = [
        Rate.stated("EUR", "USD", text, "ecb", NOON),
        Rate.stated("USD", "USDC", "1", "fixed", NOON),
    ]
    if reporting == DOLLAR:
        rates = rates[1:]
    return Worth.at(mid_of(reporting.code, "USDC", rates), USDC, reporting)


def long(minor: int) -> Standing:
    return Standing(came_in=minor)


def short(minor: int) -> Standing:
    return Standing(went_out=minor)


def the_worked_example(worth: Worth) -> list[Change]:
    """EUR 200.00 exchanged at mid 1.15626, as `money.md` 3 and the module say."""
    return [
        Change(Worth.itself(EUR), NOTHING, long(19_899)),
        Change(worth, NOTHING, short(230_074_048)),
    ]


def test_the_worked_example_is_what_a_quote_of_200_euros_leaves() -> None:
    corridor = Corridor(EUR, USDC, "onchain", 30, 0, 2, 20, 10, 10_000_000, 15)
    mid = mid_of(
        "EUR",
        "USDC",
        [
            Rate.stated("EUR", "USD", "1.15626", "ecb", NOON),
            Rate.stated("USD", "USDC", "1", "fixed", NOON),
        ],
    )
    price = price_fixed_sell(corridor, mid, 20_000)
    assert price.principal.minor - price.spread.minor == 19_899
    assert price.buy.minor == 230_074_048
    left = Fraction(19_899, 100) - Fraction(230_074_048, MILLION) / Fraction("1.15626")
    spread_below_a_cent = Fraction("0.00876")
    usdc_below_a_millionth = (
        Fraction("199.38") * Fraction("1.15394748") - Fraction("230.074048")
    ) / Fraction("1.15626")
    assert left == spread_below_a_cent + usdc_below_a_millionth
    assert Fraction("0.00876048") < left < Fraction("0.00876049")


def test_at_the_mid_it_was_made_at_an_exchange_leaves_nothing_but_what_rounding_left() -> None:
    changes = the_worked_example(usdc_worth("1.15626"))
    assert [each.value for each in changes] == [19_899, -19_899]  # 198.98123... is owed: 198.99
    assert result_of(changes).minor == 0


@pytest.mark.parametrize(
    ("mid", "result"),
    [
        ("1.10", -1_017),  # 198.99 - 209.15822... : the USDC became dearer
        ("1.20", 726),  # 198.99 - 191.72837...
        ("1.15626", 0),
    ],
)
def test_what_was_paid_out_and_became_dearer_is_a_loss_and_cheaper_a_gain(
    mid: str, result: int
) -> None:
    assert result_of(the_worked_example(usdc_worth(mid))).minor == result


def test_the_reporting_currency_is_free_to_choose() -> None:
    euro = Worth.at(
        mid_of("USD", "EUR", [Rate.stated("EUR", "USD", "1.15626", "ecb", NOON)]), EUR, DOLLAR
    )
    changes = [
        Change(euro, NOTHING, long(19_899)),
        Change(usdc_worth("1.15626", DOLLAR), NOTHING, short(230_074_048)),
    ]
    # 198.99 x 1.15626 = 230.0841774, and 230.074048 is owed: 230.08 - 230.08
    assert [each.value for each in changes] == [23_008, -23_008]


def test_a_value_is_exact_though_the_printed_rate_is_cut_off() -> None:
    dollars = [Rate.stated("EUR", "USD", "1.15", "ecb", NOON)]
    euro = Worth.at(mid_of("USD", "EUR", dollars), EUR, DOLLAR)
    assert euro.mid_rate == Decimal("0.869565217391304347")  # 1 / 1.15 goes on for ever
    assert euro.value(-20_000) == -23_000  # by the printed one it would be -23000.000000000000009


minors = st.integers(-(10**15), 10**15)


@given(minors, st.integers(1, 10**9), st.integers(0, 9), st.sampled_from([0, 2, 6]))
def test_a_value_is_rounded_down_once_and_nothing_is_worth_nothing(
    minor: int, rate: int, decimals: int, digits: int
) -> None:
    asset = Asset("XXX", digits)
    stated = Rate("EUR", "XXX", rate, 10**decimals, "s", NOON)
    worth = Worth.at(mid_of("EUR", "XXX", [stated]), asset, EUR)
    units = Fraction(minor, 10**digits)
    assert worth.value(minor) == floor(units / Fraction(rate, 10**decimals) * 100)
    assert worth.value(0) == 0


def test_without_a_rate_there_is_no_value_but_a_reason_and_no_sum_pretends_otherwise() -> None:
    unknown = Worth.unknown(USDC, "no source states EUR/USDC")
    changes = the_worked_example(unknown)
    assert [each.value for each in changes] == [19_899, None]
    assert [each.result for each in changes] == [19_899, None]
    result = result_of(changes)
    assert (result.minor, result.reason) == (None, "USDC: no source states EUR/USDC")


def test_a_missing_rate_hides_nothing_where_there_is_nothing_to_value() -> None:
    unknown = Worth.unknown(USDC, "no source")
    closed = Change(unknown, NOTHING, Standing(came_in=5, went_out=5))
    unmoved = Change(unknown, short(7), short(7))
    assert (closed.value, closed.result) == (0, 0)
    assert (unmoved.value, unmoved.result) == (None, 0)
    assert result_of([closed, unmoved]).minor == 0


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=8),
    st.integers(1, 10**9),
)
def test_the_results_of_days_sum_up_to_that_of_their_period_to_the_minor_unit(
    flows: list[tuple[int, int]], rate: int
) -> None:
    stated = Rate("EUR", "USDC", rate, 10**6, "s", NOON)
    worth = Worth.at(mid_of("EUR", "USDC", [stated]), USDC, EUR)
    points = [NOTHING]
    for came, went in flows:
        points.append(Standing(points[-1].came_in + came, points[-1].went_out + went))
    first = TODAY - timedelta(days=len(flows) - 1)
    days = [
        Day(first + timedelta(days=place), place, [Change(worth, points[place], points[place + 1])])
        for place in range(len(flows))
    ]
    total = [Change(worth, NOTHING, points[-1])]
    made = Positions(EUR, NOON, len(flows), NOON, total, (), Period(first, TODAY), days)
    (period,) = made.changes
    assert sum(result_of(each.changes).minor or 0 for each in days) == period.result
    assert period.result == result_of(total).minor == total[0].value
    exact = Fraction(points[-1].position, 10**6) / Fraction(rate, 10**6) * 100
    assert 0 <= exact - floor(exact) < 1
    assert period.result == floor(exact)
    for day, (came, went) in zip(days, flows, strict=True):
        (change,) = day.changes
        assert (change.came_in, change.went_out) == (came, went)
        assert change.closing.position - change.opening.position == came - went


def account(path: str, *counters: int) -> Balance:
    return Balance(path, account_rules(path)[0], path.rpartition("/")[2], *counters)


def test_a_standing_is_read_from_the_accounts_of_its_currency() -> None:
    found = standings(
        [
            account("fx_position/EUR", 3, 40, 5, 100),  # debits pending, posted, credits the same
            account("deferred/spread/EUR", 0, 30, 4, 37),
            account("deferred/fee/EUR", 0, 60, 9, 60),
            account("income/spread/EUR", 0, 0, 0, 30),
            account("income/fee/EUR", 0, 1, 0, 61),
            account("fx_position/USDC", 7, 230, 0, 0),
        ]
    )
    assert found == {
        "EUR": Standing(
            came_in=100,
            went_out=40,
            pending=2,
            spread_earned=30,
            fees_earned=60,
            spread_deferred=11,
            fees_deferred=9,
        ),
        "USDC": Standing(went_out=230, pending=-7),
    }
    assert (found["EUR"].position, found["USDC"].position) == (60, -230)


def test_a_currency_with_income_alone_has_a_position_of_zero() -> None:
    found = standings([Balance("income/fee/PHP", AccountKind.INCOME, "PHP", 0, 0, 0, 12)])
    assert found == {"PHP": Standing(fees_earned=12)}


def test_days_are_today_unless_told_otherwise_and_one_day_where_one_is_given() -> None:
    day = date(2026, 11, 1)
    assert period_of(None, None, TODAY) == Period(TODAY, TODAY)
    assert period_of(day, None, TODAY) == Period(day, TODAY)
    assert period_of(None, day, TODAY) == Period(day, day)
    assert period_of(TODAY - timedelta(days=DAYS_MAX - 1), None, TODAY).last == TODAY


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (date(2026, 11, 2), date(2026, 11, 1), "`from` is wrong: begin on 2026-11-01 or before"),
        (date(2026, 11, 23), None, "`from` is wrong"),
        (None, date(2026, 11, 23), "`to` is wrong: the last day can be 2026-11-22"),
        (date(2025, 11, 21), None, "at most 366 days at once, not 367"),
        (date.min, date.max, "`to` is wrong"),
    ],
)
def test_days_that_cannot_be_answered_for_are_refused_in_words(
    first: date | None, last: date | None, words: str
) -> None:
    with pytest.raises(PeriodInvalid, match=words):
        period_of(first, last, TODAY)
