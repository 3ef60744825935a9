"""What a deposit means: the table of ADR 0022, row by row, and what holds for any deposits."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.machine import new_id
from node.core.deposits import (
    DepositPolicy,
    Flag,
    Judgement,
    Owner,
    RequestStatus,
    Ruling,
    Terms,
    after,
    deposit_entries,
    judge,
    release_entries,
)
from node.core.ledger import chain_account, suspense_account
from node.core.units import MINOR_LIMIT, Address

END = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
IN_TIME, LATE, TOO_LATE = END, END + timedelta(seconds=1), END + timedelta(days=1, seconds=1)
POLICY = DepositPolicy(tolerance_minor=3)
ADDRESS = Address(b"\x0d" * 20)
OWNER = Owner(customer_id=new_id())
SPARE = 10**6


def terms(*, held: int = 0, status: RequestStatus = RequestStatus.AWAITING) -> Terms:
    return Terms(new_id(), 1000, END, status, held)


@pytest.mark.parametrize(
    ("held", "amount", "mined_at", "expected"),
    [
        (0, 1000, IN_TIME, Judgement(Ruling.COMPLETE)),
        (40, 960, IN_TIME, Judgement(Ruling.COMPLETE, released=40)),
        (0, 997, IN_TIME, Judgement(Ruling.COMPLETE, frozenset({Flag.TOLERATED}), borne=3)),
        (40, 958, IN_TIME, Judgement(Ruling.COMPLETE, frozenset({Flag.TOLERATED}), 40, 2)),
        (0, 996, IN_TIME, Judgement(Ruling.HOLD, frozenset({Flag.SHORT}))),
        (0, 1005, IN_TIME, Judgement(Ruling.COMPLETE, frozenset({Flag.OVERPAID}), surplus=5)),
        (0, 1000, LATE, Judgement(Ruling.COMPLETE, frozenset({Flag.PAID_LATE}))),
        (
            0,
            996,
            LATE,
            Judgement(Ruling.HOLD, frozenset({Flag.SHORT}), is_differing=True),
        ),
        (
            0,
            1000,
            TOO_LATE,
            Judgement(Ruling.SET_ASIDE, frozenset({Flag.TOO_LATE}), is_differing=True),
        ),
        (0, MINOR_LIMIT, IN_TIME, Judgement(Ruling.LEAVE, frozenset({Flag.TOO_LARGE}))),
    ],
)
def test_a_deposit_is_judged_by_amount_and_the_time_of_its_block(
    held: int, amount: int, mined_at: datetime, expected: Judgement
) -> None:
    assert judge(terms(held=held), amount, mined_at, POLICY, SPARE) == expected


@pytest.mark.parametrize("status", [RequestStatus.PAID, RequestStatus.ACCEPTED])
@pytest.mark.parametrize("mined_at", [IN_TIME, LATE, TOO_LATE])
def test_what_comes_after_a_request_has_ended_is_its_owners(
    status: RequestStatus, mined_at: datetime
) -> None:
    found = judge(terms(status=status), 100, mined_at, POLICY, SPARE)
    assert found == Judgement(Ruling.CREDIT, frozenset({Flag.DUPLICATE}))


def test_a_standing_address_has_no_terms() -> None:
    assert judge(None, 1, TOO_LATE, POLICY, 0) == Judgement(Ruling.CREDIT)


def test_an_expired_request_is_still_paid_within_the_grace() -> None:
    found = judge(terms(held=600, status=RequestStatus.EXPIRED), 400, LATE, POLICY, SPARE)
    assert (found.ruling, found.released) == (Ruling.COMPLETE, 600)


def test_the_node_bears_at_most_one_percent_of_a_request() -> None:
    policy = DepositPolicy(tolerance_minor=500)
    assert judge(terms(), 990, IN_TIME, policy, SPARE).borne == 10
    assert judge(terms(), 989, IN_TIME, policy, SPARE).ruling is Ruling.HOLD
    assert (policy.request_min_minor, DepositPolicy().request_min_minor) == (5000, 1)


def test_the_node_bears_nothing_it_has_not() -> None:
    assert judge(terms(), 997, IN_TIME, POLICY, 2).ruling is Ruling.HOLD
    assert judge(terms(), 997, IN_TIME, POLICY, 3).borne == 3


def test_an_owner_is_a_customer_or_a_partner() -> None:
    assert Owner(partner_id=new_id()).account("USDC").startswith("partner/par_")
    assert OWNER.account("USDC").startswith("customer/cus_")


_TIMES = st.sampled_from([IN_TIME - timedelta(hours=1), IN_TIME, LATE, TOO_LATE])
_LOGS = st.lists(st.tuples(st.integers(1, 1500), _TIMES), max_size=8).map(
    lambda logs: sorted(logs, key=lambda each: each[1])
)


@given(logs=_LOGS, tolerance=st.integers(0, 5), spare=st.integers(0, 10))
def test_every_unit_that_came_is_the_owners_or_held_and_the_node_adds_what_it_bears_alone(
    logs: list[tuple[int, datetime]], tolerance: int, spare: int
) -> None:
    request, paid_times = terms(), 0
    policy = DepositPolicy(tolerance)
    moved: dict[str, int] = {}
    for amount, mined_at in logs:
        found = judge(request, amount, mined_at, policy, spare)
        spare -= found.borne
        for entry in deposit_entries(1, ADDRESS, "USDC", OWNER, amount, found):
            moved[entry.debit] = moved.get(entry.debit, 0) - entry.amount
            moved[entry.credit] = moved.get(entry.credit, 0) + entry.amount
        paid_times += found.ruling is Ruling.COMPLETE
        request = after(request, amount, found)
        assert request.held >= 0
    came = sum(amount for amount, _ in logs)
    theirs = moved.get(OWNER.account("USDC"), 0)
    held = moved.get(suspense_account(1, "USDC"), 0)
    borne = -moved.get("loss/deposit_tolerance/USDC", 0)
    assert -moved.get(chain_account(1, ADDRESS, "USDC"), 0) == came
    assert theirs + held == came + borne
    assert 0 <= borne <= tolerance
    assert spare >= 0
    assert paid_times <= 1
    assert held >= request.held >= 0
    assert paid_times == 0 or (theirs >= request.amount and request.held == 0)


@given(amount=st.integers(1, 1000))
def test_parts_in_time_are_worth_their_sum(amount: int) -> None:
    first = judge(terms(), amount, IN_TIME, POLICY, SPARE)
    between = after(terms(), amount, first)
    if first.ruling is Ruling.HOLD:
        second = judge(between, 1000 - amount, IN_TIME, POLICY, SPARE)
        assert (second.ruling, second.borne) == (Ruling.COMPLETE, 0)


@given(amount=st.integers(1, 2**63))
def test_what_is_released_is_the_whole_in_entries_that_the_ledger_can_hold(amount: int) -> None:
    entries = release_entries(1, "USDC", OWNER, amount)
    assert sum(each.amount for each in entries) == amount
