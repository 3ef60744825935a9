"""Who may close a break, and with what: the rule of two persons."""

from datetime import UTC, datetime, timedelta

import pytest

from node.core.breaks import BreakCode, Severity, age_bucket, due_in
from node.core.consent import (
    NEVER_MATCHED_ALONE,
    Proposal,
    TwoPersons,
    at_stake,
    check_release,
    check_resolution,
    check_second,
    taken_out,
    takes_capital,
)
from node.core.errors import InvalidInput, SecondPersonNeeded
from node.core.ledger import Entry
from node.core.parties import Principal, Role

OLGA, OMAR = Principal(Role.OPERATOR, "olga"), Principal(Role.OPERATOR, "omar")
DIGITS = {"USDC": 6, "EUR": 2, "JPY": 0}
ABOVE_1000 = TwoPersons(1000, DIGITS.__getitem__)


def to_owner(units: int, asset: str = "USDC") -> Entry:
    return Entry(f"suspense/1/{asset}", f"customer/cus_1/{asset}", asset, units)


@pytest.mark.parametrize(("asset", "least"), [("USDC", 1), ("EUR", 1), ("JPY", 1)])
def test_one_operator_moves_the_threshold_and_not_a_minor_unit_more(asset: str, least: int) -> None:
    limit = 1000 * 10 ** DIGITS[asset]
    assert not ABOVE_1000.needed_for([to_owner(limit, asset)], are_held=True)
    assert ABOVE_1000.needed_for([to_owner(limit + least, asset)], are_held=True)


def test_many_entries_count_together_but_assets_do_not() -> None:
    half = 500 * 10**6
    assert ABOVE_1000.needed_for([to_owner(half), to_owner(half), to_owner(1)], are_held=True)
    both = [to_owner(half), to_owner(500_00, "EUR"), to_owner(half)]
    assert not ABOVE_1000.needed_for(both, are_held=True)


def test_a_threshold_of_nothing_lets_no_one_close_anything_alone() -> None:
    always = TwoPersons(0, DIGITS.__getitem__)
    assert always.needed_to_close("B27", [], {})
    assert always.needed_for([to_owner(1)], are_held=True)


@pytest.mark.parametrize("debit", ["capital/USDC", "rounding/USDC"])
def test_capital_is_taken_by_two_persons_however_little(debit: str) -> None:
    assert ABOVE_1000.needed_for([Entry(debit, "chain/1/0xaa/USDC", "USDC", 1)])


@pytest.mark.parametrize("owner", ["customer/cus_1/USDC", "partner/par_1/USDC"])
def test_what_is_given_that_no_deposit_holds_needs_two_persons(owner: str) -> None:
    assert ABOVE_1000.needed_for([Entry("chain/1/0xaa/USDC", owner, "USDC", 1)])
    out = Entry("suspense/1/USDC", owner, "USDC", 1)
    assert ABOVE_1000.needed_for([out])
    assert ABOVE_1000.needed_for([Entry("loss/x/USDC", "suspense/1/USDC", "USDC", 1), out])
    assert not ABOVE_1000.needed_for([out], are_held=True)


@pytest.mark.parametrize("code", sorted(NEVER_MATCHED_ALONE))
def test_no_one_alone_calls_missing_money_a_match(code: BreakCode) -> None:
    assert ABOVE_1000.needed_to_close(code, [], {})
    lost = Entry("loss/theft/USDC", "chain/1/0xaa/USDC", "USDC", 1)
    assert not ABOVE_1000.needed_to_close(code, [lost], {"USDC": 10**12})


def test_a_lesser_break_is_matched_by_one_person() -> None:
    assert not ABOVE_1000.needed_to_close(BreakCode.BANK_LINE_UNMATCHED, [], {"EUR": 1000_00})


def test_a_match_moves_what_the_break_is_about() -> None:
    for told in ({"minor": "100001", "asset": "EUR"}, {"minor": str(1001 * 10**6)}):
        stake = at_stake(told, "USDC")
        assert ABOVE_1000.needed_to_close(BreakCode.BANK_LINE_MISSING, [], stake)
    assert at_stake({"minor": "a lot"}, "USDC") == {}


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [to_owner(4)],
        [to_owner(6)],
        [to_owner(5), Entry("loss/x/USDC", "capital/USDC", "USDC", 1)],
        [to_owner(3), Entry("suspense/1/USDC", "capital/USDC", "USDC", 2)],
        [to_owner(6), Entry("loss/x/USDC", "suspense/1/USDC", "USDC", 1)],
    ],
)
def test_deposits_that_are_held_are_closed_by_all_of_them_to_one_owner(
    entries: list[Entry],
) -> None:
    with pytest.raises(InvalidInput):
        check_release(entries, "suspense/1/USDC", 5)


def test_what_is_held_is_one_owners_or_the_nodes() -> None:
    parts = [to_owner(3), to_owner(2)]
    assert check_release(parts, "suspense/1/USDC", 5) == "customer/cus_1/USDC"
    kept = Entry("suspense/1/USDC", "capital/USDC", "USDC", 5)
    assert check_release([kept], "suspense/1/USDC", 5) is None


def test_what_goes_in_and_out_of_suspense_at_once_takes_nothing_out() -> None:
    into = Entry("chain/1/0xaa/USDC", "suspense/1/USDC", "USDC", 5)
    assert taken_out([into, to_owner(5)], "suspense") == {}
    assert taken_out([into, to_owner(7)], "suspense") == {("suspense/1/USDC", "USDC"): 2}


def test_the_second_person_is_another_than_the_first() -> None:
    proposal = Proposal(OLGA.key, datetime(2026, 1, 1, tzinfo=UTC), "found its owner")
    check_second(proposal.made_by, OMAR)
    with pytest.raises(SecondPersonNeeded) as refused:
        check_second(proposal.made_by, OLGA)
    assert refused.value.context == {"made_by": "operator:olga"}
    assert not refused.value.retryable


def test_each_severity_has_its_time_and_some_codes_their_own() -> None:
    minutes = {
        (BreakCode.LEDGER_OFF_CHAIN, Severity.CRITICAL): 15,
        (BreakCode.UNKNOWN_DEPOSIT, Severity.WARNING): 24 * 60,
        (BreakCode.STUCK, Severity.WARNING): 30,
        (BreakCode.NATIVE_UNEXPLAINED, Severity.CRITICAL): 24 * 60,
        (BreakCode.SPOOFED, Severity.INFO): None,
    }
    for (code, severity), expected in minutes.items():
        due = due_in(code, severity)
        assert (None if due is None else due.total_seconds()) == (
            None if expected is None else expected * 60
        )


@pytest.mark.parametrize(
    ("hours", "bucket"),
    [(0, "0-1d"), (23, "0-1d"), (24, "1-3d"), (72, "3-7d"), (168, "7-30d"), (720, ">30d")],
)
def test_an_age_on_a_border_is_of_the_older_bucket(hours: int, bucket: str) -> None:
    assert age_bucket(timedelta(hours=hours)) == bucket


@pytest.mark.parametrize(
    ("debit", "credit"),
    [
        ("customer/cus_1/USDC", "suspense/1/USDC"),
        ("capital/USDC", "customer/cus_1/USDC"),
        ("chain/1/0xaa/USDC", "in_flight/1/USDC"),
        ("suspense/1/USDC", "customer/cus_1/EUR"),
    ],
)
def test_a_correction_never_takes_from_a_customer_nor_makes_money(debit: str, credit: str) -> None:
    with pytest.raises(InvalidInput):
        check_resolution([Entry(debit, credit, "USDC", 1)])


def test_a_correction_may_give_a_customer_what_is_in_suspense_and_write_off_a_loss() -> None:
    check_resolution([Entry("suspense/1/USDC", "customer/cus_1/USDC", "USDC", 1)])
    check_resolution([Entry("loss/theft/USDC", "chain/1/0xaa/USDC", "USDC", 1)])


def test_a_correction_without_entries_is_refused() -> None:
    with pytest.raises(InvalidInput):
        check_resolution([])


def test_a_correction_names_accounts_in_the_form_of_the_chart() -> None:
    for path in ("bank/USDC", "loss/Theft/USDC", "loss/theft/EUR", "suspense/USDC"):
        with pytest.raises(InvalidInput):
            check_resolution([Entry("capital/USDC", path, "USDC", 1)])


def test_only_taking_out_what_is_the_owners_is_a_decision() -> None:
    assert takes_capital([Entry("capital/EUR", "bank/x/EUR", "EUR", 1)])
    assert takes_capital([Entry("rounding/EUR", "bank/x/EUR", "EUR", 1)])
    for debit in ("loss/theft/EUR", "expense/gas/1/EUR", "suspense/1/EUR", "bank/x/EUR"):
        assert not takes_capital([Entry(debit, "capital/EUR", "EUR", 1)])
