"""Deciding a batch: each sees those before it, a refused one changes nothing, holds count."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import InvariantBroken
from node.core.ledger import Balance, Entry, LedgerTransaction, account_rules
from node.core.posting import (
    ENTRIES_MAX,
    Shortfall,
    Why,
    WorkingCopy,
    check_form,
    content_digest,
    paths_of,
    same_content,
)

BANK, ANN, BEN, HELD = "bank/x/EUR", "customer/ann/EUR", "customer/ben/EUR", "chain/1/0xaa/EUR"


def balance(path: str, **counters: int) -> Balance:
    return Balance(path, account_rules(path)[0], "EUR", **counters)


def copy_of(*balances: Balance) -> WorkingCopy:
    named = {path: balance(path) for path in (BANK, ANN, BEN, HELD, "capital/EUR")}
    return WorkingCopy({**named, **{each.path: each for each in balances}})


def move(
    debit: str, credit: str, amount: int, *, pending: bool = False, key: str = "k"
) -> LedgerTransaction:
    return LedgerTransaction(key, "test", [Entry(debit, credit, "EUR", amount)], pending)


def test_each_sees_the_effects_of_those_before_it() -> None:
    accounts = copy_of()
    assert accounts.take(move(ANN, BEN, 1)) == Shortfall(Why.BELOW_FLOOR, ANN, "EUR", 0)
    assert accounts.take(move(BANK, ANN, 10)) is None
    assert accounts.take(move(ANN, BEN, 10)) is None
    assert accounts.take(move(ANN, BEN, 1)) == Shortfall(Why.BELOW_FLOOR, ANN, "EUR", 0)
    assert accounts.take(move(BEN, ANN, 10)) is None


def test_what_is_held_is_not_available_and_what_is_pending_has_not_come_in() -> None:
    accounts = copy_of(balance(ANN, credits_posted=10, debits_pending=4))
    assert accounts.take(move(ANN, BEN, 7)) == Shortfall(Why.BELOW_FLOOR, ANN, "EUR", 6)
    assert accounts.take(move(ANN, BEN, 6, pending=True)) is None
    assert accounts.available(ANN) == 0
    assert accounts.available(BEN) == 0
    assert accounts.take(move(BEN, ANN, 1)) is not None


def test_an_asset_falls_on_its_credit_side() -> None:
    accounts = copy_of(balance(HELD, debits_posted=5, credits_pending=2))
    assert accounts.take(move("capital/EUR", HELD, 4)) == Shortfall(Why.BELOW_FLOOR, HELD, "EUR", 3)
    assert accounts.take(move("capital/EUR", HELD, 3, pending=True)) is None
    assert accounts.available(HELD) == 0
    assert accounts.take(move(HELD, "capital/EUR", 9, pending=True)) is None
    assert accounts.available(HELD) == 0


def test_only_the_sum_of_the_entries_of_one_ledger_transaction_counts() -> None:
    accounts = copy_of()
    through = [Entry(ANN, BEN, "EUR", 5), Entry(BANK, ANN, "EUR", 5)]
    assert accounts.take(LedgerTransaction("k", "test", through)) is None
    held = copy_of().take(LedgerTransaction("k", "test", through, pending=True))
    assert held == Shortfall(Why.BELOW_FLOOR, ANN, "EUR", 0)


def test_an_account_without_a_floor_takes_either_sign() -> None:
    accounts = copy_of()
    assert accounts.take(move("capital/EUR", BANK, 10**15)) is None
    assert accounts.available(BANK) == -(10**15)


def test_a_counter_holds_what_a_bigint_holds_and_no_more() -> None:
    accounts = copy_of(balance(BANK, debits_posted=2**63 - 2, debits_pending=0))
    assert accounts.take(move(BANK, ANN, 2)) == Shortfall(Why.COUNTER_FULL, BANK, "EUR", 1)
    assert accounts.take(move(BANK, ANN, 1)) is None
    pending = copy_of(balance(BANK, debits_posted=2**62, debits_pending=2**62 - 1))
    assert pending.take(move(BANK, ANN, 1)) == Shortfall(Why.COUNTER_FULL, BANK, "EUR", 0)


_PATHS = (BANK, ANN, BEN, HELD, "capital/EUR")
_entries = st.builds(
    lambda pair, amount: Entry(pair[0], pair[1], "EUR", amount),
    st.permutations(_PATHS),
    st.integers(1, 20),
)
_transactions = st.builds(
    lambda entries, pending: LedgerTransaction("k", "test", entries, pending),
    st.lists(_entries, min_size=1, max_size=4),
    st.booleans(),
)


def balance_of(path: str, counters: dict[str, list[int]]) -> Balance:
    return Balance(path, account_rules(path)[0], "EUR", *counters[path])


def by_counters(counters: dict[str, list[int]], transaction: LedgerTransaction) -> bool:
    """Book into four counters per account, as the database does, or leave them as they were."""
    after = {path: list(each) for path, each in counters.items()}
    for entry in transaction.entries:
        after[entry.debit][0 if transaction.pending else 1] += entry.amount
        after[entry.credit][2 if transaction.pending else 3] += entry.amount
    floored = [path for path in after if account_rules(path)[1] == 0]
    if any(balance_of(path, after).available < 0 for path in floored):
        return False
    counters.update(after)
    return True


@given(st.lists(_transactions, max_size=30))
def test_decisions_are_those_of_the_four_counters(batch: Sequence[LedgerTransaction]) -> None:
    counters = {path: [0, 0, 0, 0] for path in _PATHS}
    accounts = copy_of()
    for each in batch:
        assert (accounts.take(each) is None) == by_counters(counters, each)
        for path in _PATHS:
            assert accounts.available(path) == balance_of(path, counters).available


@given(st.lists(_transactions, max_size=20), st.data())
def test_a_refused_one_changes_nothing(
    batch: Sequence[LedgerTransaction], data: st.DataObject
) -> None:
    accounts, without = copy_of(), copy_of()
    for each in batch:
        if accounts.take(each) is None:
            assert without.take(each) is None
    assert [accounts.available(path) for path in _PATHS] == [
        without.available(path) for path in _PATHS
    ]


def test_every_account_is_named_once_in_order() -> None:
    assert paths_of([move(BANK, ANN, 1), move(ANN, BEN, 1)]) == [BANK, ANN, BEN]


@pytest.mark.parametrize(
    "transaction",
    [
        LedgerTransaction("", "test", [Entry(BANK, ANN, "EUR", 1)]),
        LedgerTransaction("k", "test", []),
        LedgerTransaction("k", "test", [Entry(BANK, ANN, "EUR", 1)] * (ENTRIES_MAX + 1)),
        LedgerTransaction("k", "test", [Entry(BANK, ANN, "USD", 1)]),
        LedgerTransaction("k", "test", [Entry(BANK, "customer/ann/USD", "EUR", 1)]),
        LedgerTransaction("k", "test", [Entry(BANK, "pocket/EUR", "EUR", 1)]),
    ],
)
def test_what_no_books_could_hold_is_refused_before_it_joins_a_batch(
    transaction: LedgerTransaction,
) -> None:
    with pytest.raises(InvariantBroken):
        check_form(transaction)


def test_the_same_content_is_kind_pending_and_entries_in_their_order() -> None:
    one, two = Entry(BANK, ANN, "EUR", 1), Entry(BANK, BEN, "EUR", 1)
    first = LedgerTransaction("k", "test", [one, two], detail={"a": "1"})
    same = LedgerTransaction("other", "test", (one, two), detail={"b": "2"})
    others = [
        LedgerTransaction("k", "other", [one, two]),
        LedgerTransaction("k", "test", [one, two], pending=True),
        LedgerTransaction("k", "test", [two, one]),
        LedgerTransaction("k", "test", [one]),
        LedgerTransaction("k", "test", [one, Entry(BANK, BEN, "EUR", 2)]),
    ]
    assert same_content(first, same)
    assert content_digest(first) == content_digest(same)
    for each in others:
        assert not same_content(first, each)
        assert content_digest(first) != content_digest(each)
