"""What a line of the bank's statement is in the ledger: by reference and amount, once, or not."""

from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.bank import (
    SUGGESTIONS_MAX,
    BankStatement,
    Before,
    LedgerItem,
    OpenLine,
    Pass,
    StatedBalance,
    StatedLine,
    StatedStatement,
    StatementInvalid,
    StatementUnfit,
    conserve,
    follow,
    match,
    read_statement,
    suggest,
)
from node.core.errors import InvariantBroken
from node.core.units import Asset

EUR, JPY = Asset("EUR", 2), Asset("JPY", 0)
DAY = date(2026, 11, 22)


def line(number: int, amount: int, *references: str, day: int = 0) -> OpenLine:
    return OpenLine(UUID(int=number), amount, DAY + timedelta(days=day), references)


def item(
    sequence: int, amount: int, reference: str = "", day: int = 0, about: int | None = None
) -> LedgerItem:
    of = None if about is None else UUID(int=about)
    return LedgerItem(sequence, amount, DAY + timedelta(days=day), reference, of)


def stated(
    *amounts: str, opening: str | None = "0", closing: str | None = None, names: str = ""
) -> StatedStatement:
    lines = [
        StatedLine(
            f"line {n}",
            text.removeprefix("-"),
            not text.startswith("-"),
            DAY,
            servicer_reference=names[n : n + 1],
        )
        for n, text in enumerate(amounts)
    ]
    first, last = (
        None if text is None else StatedBalance(text.removeprefix("-"), not text.startswith("-"))
        for text in (opening, closing)
    )
    return StatedStatement("s", "acc", None, "EUR", DAY, DAY, first, last, lines)


def test_the_same_reference_amount_and_sign_is_a_match() -> None:
    (found,) = match([line(1, 200, "a")], [item(7, 200, "a")])
    assert (found.line_id, found.sequence, found.by) == (UUID(int=1), 7, Pass.REFERENCE)


@pytest.mark.parametrize(
    "other",
    [item(7, -200, "a"), item(7, 201, "a"), item(7, 200, "A"), item(7, 200, "a "), item(7, 200)],
)
def test_anything_else_is_none(other: LedgerItem) -> None:
    assert match([line(1, 200, "a")], [other]) == []


def test_a_payment_that_the_bank_has_twice_is_matched_once_and_the_later_line_stays() -> None:
    lines = [line(2, 200, "a", day=1), line(1, 200, "a")]
    (found,) = match(lines, [item(7, 200, "a")])
    assert found.line_id == UUID(int=1)


def test_a_booking_that_the_ledger_has_twice_is_matched_once_and_the_later_stays() -> None:
    (found,) = match([line(1, 200, "a")], [item(8, 200, "a"), item(7, 200, "a")])
    assert found.sequence == 7


def test_any_reference_of_the_line_may_be_the_one() -> None:
    (found,) = match([line(1, 200, "x", "a")], [item(7, 200, "a")])
    assert found.sequence == 7


def test_what_closed_the_lines_break_is_the_line_if_the_amount_is() -> None:
    lines = [line(1, 200, "a"), line(2, 200, "a")]
    found = match(lines, [item(7, 200, about=2), item(8, 200, "a")])
    assert {(each.line_id.int, each.sequence, each.by) for each in found} == {
        (2, 7, Pass.BREAK),
        (1, 8, Pass.REFERENCE),
    }
    assert match([line(1, 200)], [item(7, 199, about=1)]) == []


def test_an_equal_amount_near_in_time_is_suggested_and_never_matched() -> None:
    items = [item(7, 200, "b", day=3), item(8, 200, "c", day=-1), item(9, 200, "d", day=6)]
    assert match([line(1, 200, "a")], items) == []
    assert [each.sequence for each in suggest(line(1, 200, "a"), items)] == [8, 7]
    assert suggest(line(1, -200), items) == []
    many = [item(n, 200) for n in range(1, 20)]
    assert len(suggest(line(1, 200), many)) == SUGGESTIONS_MAX


REFERENCES = st.sampled_from(["", "a", "b", "c"])
AMOUNTS = st.sampled_from([-2, -1, 1, 2])


@given(
    st.lists(st.tuples(AMOUNTS, REFERENCES, st.integers(0, 3)), max_size=12),
    st.lists(st.tuples(AMOUNTS, REFERENCES), max_size=12),
    st.randoms(use_true_random=False),
)
def test_whatever_comes_nothing_is_matched_twice_nothing_is_lost_and_order_does_not_count(
    given_lines: list[tuple[int, str, int]], given_items: list[tuple[int, str]], chance: object
) -> None:
    lines = [
        line(n, amount, *filter(None, [reference]), day=day)
        for n, (amount, reference, day) in enumerate(given_lines, start=1)
    ]
    items = [item(n, amount, ref) for n, (amount, ref) in enumerate(given_items, start=1)]
    found = match(lines, items)
    by_line, by_item = {each.id: each for each in lines}, {each.sequence: each for each in items}
    assert len({each.line_id for each in found}) == len({e.sequence for e in found}) == len(found)
    for each in found:
        one, other = by_line[each.line_id], by_item[each.sequence]
        assert (one.amount, one.references) == (other.amount, (other.reference,))
    amounts = {each.id: each.amount for each in lines}
    conserved = conserve(amounts, [each.line_id for each in found])
    assert conserved.total.amount == sum(amounts.values())
    assert conserved.matched.count == len(found)
    # No pair that could be matched is left.
    left_lines = [each for each in lines if each.id not in {m.line_id for m in found}]
    left_items = [each for each in items if each.sequence not in {m.sequence for m in found}]
    assert match(left_lines, left_items) == []
    chance.shuffle(lines)  # type: ignore[attr-defined]
    chance.shuffle(items)  # type: ignore[attr-defined]
    assert set(match(lines, items)) == set(found)


def test_a_line_that_is_counted_twice_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        conserve({UUID(int=1): 5}, [UUID(int=1), UUID(int=1)])


def test_opening_and_lines_make_closing_or_the_figures_are_told() -> None:
    read = read_statement(stated("200.00", "-50.5", opening="10", closing="159.50"), EUR)
    assert (read.opening, read.closing) == (1000, 15950)
    assert [each.amount for each in read.lines] == [20000, -5050]
    with pytest.raises(StatementUnfit) as refused:
        read_statement(stated("200.00", opening="10", closing="210.01"), EUR)
    assert refused.value.context == {"expected": "210.00", "actual": "210.01"}


@pytest.mark.parametrize("text", ["1.001", "1e3", "", "x", "99999999999999999999"])
def test_an_amount_that_the_currency_cannot_have_is_named_with_its_place(text: str) -> None:
    with pytest.raises(StatementInvalid, match="line 0"):
        read_statement(stated(text), EUR)
    with pytest.raises(StatementInvalid):
        read_statement(stated("1.0"), JPY)


def test_a_name_that_the_bank_gives_to_two_lines_identifies_none() -> None:
    read = read_statement(stated("1", "2", "3", opening=None, names="aab"), EUR)
    assert [each.identity for each in read.lines] == [None, None, "b"]


def test_a_line_of_nothing_is_left_out() -> None:
    read = read_statement(stated("0.00", "2", opening=None), EUR)
    assert [(each.position, each.amount) for each in read.lines] == [(1, 200)]


def following(
    *amounts: str, opening: str | None, closing: str | None = None, names: str = ""
) -> BankStatement:
    return read_statement(stated(*amounts, opening=opening, closing=closing, names=names), EUR)


BEFORE = Before("earlier", "acc", 4, DAY - timedelta(days=1), 1000)


def test_a_statement_begins_where_the_one_before_ends() -> None:
    assert follow(following("5", opening="10", closing="15"), BEFORE, {}, EUR) == (1000, 1500)
    assert follow(following("5", opening=None), BEFORE, {}, EUR) == (1000, 1500)
    assert follow(following("5", opening=None), None, {}, EUR) == (0, 500)
    with pytest.raises(StatementUnfit, match="import what lies in between first") as refused:
        follow(following("5", opening="11", closing="16"), BEFORE, {}, EUR)
    assert refused.value.context == {"expected": "10.00", "actual": "11.00"}


def test_lines_that_are_known_overlap_and_are_taken_off() -> None:
    overlapping = following("3", "5", opening="7", closing="15", names="ab")
    assert follow(overlapping, BEFORE, {"a": 300}, EUR) == (700, 1500)
    with pytest.raises(StatementUnfit, match="another amount"):
        follow(overlapping, BEFORE, {"a": 301}, EUR)
