"""What a payment for a payout means: the table of ADR 0028, row by row, and what is booked."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.machine import new_id
from node.core.deposits import Flag, Judgement, Ruling
from node.core.errors import WrongState
from node.core.ledger import TransferAmounts
from node.core.payout_matching import goes_back, judge_payment, payout_after
from node.core.payouts import (
    PAYABLE,
    PAYOUT_MOVES,
    PAYOUT_STATUS,
    PayoutState,
    PayoutTerms,
    check_move,
    confirmed_entries,
    masked,
    masked_name,
    matched_entries,
    unmatched_entries,
)
from node.core.units import MINOR_LIMIT, Address

END = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
GRACE = timedelta(days=1)
IN_TIME, LATE, TOO_LATE = END, END + timedelta(seconds=1), END + GRACE + timedelta(seconds=1)
AWAITING, EXPIRED = PayoutState.AWAITING_PAYMENT, PayoutState.EXPIRED


def terms(*, held: int = 0, state: PayoutState = AWAITING) -> PayoutTerms:
    contracts = frozenset({Address(b"\xbe" * 20)})
    return PayoutTerms(new_id(), new_id(), 1000, END, state, held, 1, contracts)


def ruling(kind: Ruling, *flags: Flag, released: int = 0, surplus: int = 0) -> Judgement:
    return Judgement(kind, frozenset(flags), released=released, surplus=surplus)


@pytest.mark.parametrize(
    ("state", "held", "amount", "mined_at", "expected"),
    [
        (AWAITING, 0, 1000, IN_TIME, ruling(Ruling.COMPLETE)),
        (AWAITING, 0, 1001, IN_TIME, ruling(Ruling.COMPLETE, Flag.OVERPAID, surplus=1)),
        (AWAITING, 0, 999, IN_TIME, ruling(Ruling.HOLD, Flag.SHORT)),
        (AWAITING, 600, 400, IN_TIME, ruling(Ruling.COMPLETE, released=600)),
        (AWAITING, 600, 399, LATE, ruling(Ruling.HOLD, Flag.SHORT)),
        (AWAITING, 0, 1000, LATE, ruling(Ruling.COMPLETE, Flag.PAID_LATE)),
        (EXPIRED, 0, 1000, LATE, ruling(Ruling.COMPLETE, Flag.PAID_LATE)),
        (EXPIRED, 0, 999, LATE, ruling(Ruling.CREDIT, Flag.PAID_LATE, Flag.SHORT)),
        (EXPIRED, 0, 1000, TOO_LATE, ruling(Ruling.CREDIT, Flag.TOO_LATE)),
        (AWAITING, 1, 1000, TOO_LATE, ruling(Ruling.HOLD, Flag.TOO_LATE)),
        (PayoutState.MATCHED, 0, 1000, IN_TIME, ruling(Ruling.CREDIT, Flag.DUPLICATE)),
        (PayoutState.REFUNDED, 0, 1000, TOO_LATE, ruling(Ruling.CREDIT, Flag.DUPLICATE)),
        (AWAITING, 0, MINOR_LIMIT, IN_TIME, ruling(Ruling.LEAVE, Flag.TOO_LARGE)),
    ],
)
def test_each_payment_means_what_the_table_says(
    state: PayoutState, held: int, amount: int, mined_at: datetime, expected: Judgement
) -> None:
    found = judge_payment(terms(held=held, state=state), amount, mined_at, GRACE, is_proven=True)
    assert found == expected


@pytest.mark.parametrize("state", list(PayoutState))
def test_what_is_not_proven_pays_nothing_whatever_the_state(state: PayoutState) -> None:
    found = judge_payment(terms(state=state), 1000, IN_TIME, GRACE, is_proven=False)
    assert (found.ruling, found.is_differing) == (Ruling.SET_ASIDE, True)
    assert payout_after(terms(state=state), 1000, found).state is state


payments = st.lists(
    st.tuples(st.integers(1, 1500), st.sampled_from([IN_TIME, LATE, TOO_LATE]), st.booleans()),
    max_size=8,
)


@given(payments)
def test_whatever_comes_a_payout_is_matched_once_and_nothing_is_lost(
    came: list[tuple[int, datetime, bool]],
) -> None:
    now, matched, credited, aside = terms(), 0, 0, 0
    for amount, mined_at, is_proven in came:
        found = judge_payment(now, amount, mined_at, GRACE, is_proven=is_proven)
        matched += found.ruling is Ruling.COMPLETE
        if found.ruling in (Ruling.CREDIT, Ruling.COMPLETE):
            credited += amount + found.released
        aside += amount if found.ruling is Ruling.SET_ASIDE else 0
        assert not (goes_back(found) and now.state not in PAYABLE)
        now = payout_after(now, amount, found)
    assert matched <= 1
    assert credited + aside + now.held == sum(amount for amount, _, _ in came)


amounts = st.builds(
    lambda sell, fee, network, spread, buy: TransferAmounts(
        "USDC", sell + fee + network + spread + 1, fee, network, spread, "PHP", buy
    ),
    *(st.integers(0, 10**9) for _ in range(4)),
    st.integers(1, 10**9),
)


@given(amounts)
def test_what_is_matched_takes_all_of_the_sell_amount_and_undoing_gives_it_back(
    each: TransferAmounts,
) -> None:
    partner_id = new_id()
    booked = matched_entries(partner_id, "bank", each)
    assert sum(e.amount for e in booked if e.asset == "USDC") == each.sell
    undone = unmatched_entries(partner_id, "bank", each)
    assert [(e.credit, e.debit, e.amount) for e in undone] == [
        (e.debit, e.credit, e.amount) for e in booked
    ]
    earned = [e.amount for e in confirmed_entries("bank", each) if e.asset == "USDC"]
    assert sum(earned) == each.fees + each.spread


def test_every_state_has_a_word_and_only_moves_of_the_table_are_made() -> None:
    assert set(PAYOUT_STATUS) == set(PAYOUT_MOVES) == set(PayoutState)
    check_move(PayoutState.MATCHED, PayoutState.ORDERED)
    with pytest.raises(WrongState):
        check_move(PayoutState.PAID_OUT, PayoutState.REFUNDING)


def test_names_and_numbers_are_shown_in_part() -> None:
    assert masked("000123456789") == "********6789"
    assert masked("1234") == "**34"
    assert masked_name("Amihan Bea") == "A***** B**"
