"""Statements: their days, and the law that opening and lines are closing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st

from node.core.errors import InvariantBroken, PeriodInvalid
from node.core.statements import Line, Period, Statement, last_instant_before

NOW = datetime(2026, 11, 22, 16, tzinfo=UTC)
TODAY = NOW.date()


def a_line(number: int, amount: int, balance: int, *, is_debit: bool = False) -> Line:
    return Line(
        number * 1000, number, number, "top_up", is_debit, "bank/x/EUR", amount, balance, None,
        None, None, {}, NOW,
    )  # fmt: skip


def a_statement(
    opening: int, lines: list[Line], closing: int, period: Period | None = None
) -> Statement:
    period = period or Period(date(2026, 11, 1), TODAY)
    return Statement(
        UUID(int=1),
        "Ana",
        "EUR",
        period,
        opening,
        lines,
        closing,
        9,
        NOW,
        NOW,
        min(NOW, period.closed_at),
    )


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, (date(2026, 11, 1), TODAY)),
        (date(2026, 10, 5), None, (date(2026, 10, 5), TODAY)),
        (None, date(2026, 2, 28), (date(2026, 2, 1), date(2026, 2, 28))),
        (TODAY, TODAY, (TODAY, TODAY)),
    ],
)
def test_days_that_are_not_given_are_those_of_the_month_so_far(
    first: date | None, last: date | None, expected: tuple[date, date]
) -> None:
    period = Period.of(first, last, TODAY)
    assert (period.first, period.last) == expected


@pytest.mark.parametrize(
    ("first", "last", "parameter"),
    [
        (None, TODAY + timedelta(1), "to"),
        (TODAY + timedelta(1), None, "from"),
        (date(2026, 11, 3), date(2026, 11, 2), "from"),
    ],
)
def test_days_that_lie_ahead_or_end_before_they_begin_are_refused(
    first: date | None, last: date | None, parameter: str
) -> None:
    with pytest.raises(PeriodInvalid) as refused:
        Period.of(first, last, TODAY)
    assert [each["parameter"] for each in refused.value.context["errors"]] == [parameter]  # type: ignore[attr-defined]


@hypothesis.given(st.dates(), st.integers(0, 400))
def test_every_instant_is_in_one_of_two_periods_that_follow_each_other(
    first: date, days: int
) -> None:
    hypothesis.assume(first < date.max - timedelta(days + 2))
    last = first + timedelta(days)
    one, next_one = Period(first, last), Period(last + timedelta(1), last + timedelta(1))
    if last >= date(1970, 1, 1):  # nothing was booked before
        assert one.closed_at == next_one.opened_at
    assert last_instant_before(first) == one.opened_at
    assert one.opened_at <= one.closed_at or last < date(1970, 1, 1)


def test_totals_are_those_of_the_lines() -> None:
    lines = [a_line(1, 50, 50), a_line(2, 20, 30, is_debit=True), a_line(3, 5, 35)]
    totals = a_statement(0, lines, 35).totals
    assert (totals.credits, totals.credited, totals.debits, totals.debited) == (2, 55, 1, 20)


@hypothesis.given(
    st.integers(0, 2**40), st.lists(st.tuples(st.booleans(), st.integers(1, 2**40)), max_size=8)
)
def test_a_statement_whose_lines_do_not_lead_to_its_closing_cannot_be_made(
    opening: int, moves: list[tuple[bool, int]]
) -> None:
    lines, balance = [], opening
    for number, (is_debit, amount) in enumerate(moves):
        balance += -amount if is_debit else amount
        lines.append(a_line(number, amount, balance, is_debit=is_debit))
    a_statement(opening, lines, balance)
    with pytest.raises(InvariantBroken):
        a_statement(opening, lines, balance + 1)
    with pytest.raises(InvariantBroken):
        a_statement(opening - 1, lines, balance)
    for place, each in enumerate(lines):
        wrong = [*lines[:place], replace(each, amount=each.amount + 1), *lines[place + 1 :]]
        with pytest.raises(InvariantBroken):
            a_statement(opening, wrong, balance)


def test_a_statement_is_complete_once_its_last_day_is_over() -> None:
    yesterday = TODAY - timedelta(1)
    assert not a_statement(0, [], 0, Period(TODAY, TODAY)).is_complete
    assert a_statement(0, [], 0, Period(yesterday, yesterday)).is_complete
