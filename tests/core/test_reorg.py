"""What undoing finality books: reversals with the recorded integers, and nobody below zero."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.ledger import Entry, LedgerTransaction
from node.core.mirror import BlockHeader
from node.core.reorg import (
    Booked,
    keyed,
    linked,
    moved,
    native_units_before,
    newest_common,
    owners_of,
    undo,
)
from node.core.units import Address, BlockHash

REORG = UUID(int=7)
ANN, BOB = "customer/cus_ann/USDC", "customer/cus_bob/USDC"
CHAIN, SUSPENSE, GAS = "chain/1/0xaa/USDC", "suspense/1/USDC", "expense/gas/1/ETH"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def booked(sequence: int, *entries: Entry) -> Booked:
    return Booked(sequence, f"key {sequence}", "deposit", entries, tx_hash="0x11")


def deposit(sequence: int, account: str, amount: int) -> Booked:
    return booked(sequence, Entry(CHAIN, account, "USDC", amount))


def after(transactions: list[LedgerTransaction], start: dict[str, int]) -> list[dict[str, int]]:
    """Credits less debits of each account after each ledger transaction; holds count."""
    balances, seen = Counter(start), []
    for each in transactions:
        for entry in each.entries:
            balances[entry.debit] -= entry.amount
            if not each.pending:
                balances[entry.credit] += entry.amount
        seen.append(dict(balances))
    return seen


def test_what_was_posted_is_reversed_and_held_again_before_anything_else() -> None:
    transfer = UUID(int=9)
    entries = (Entry("customer/cus_ann/EUR", "fx_position/EUR", "EUR", 100),)
    hold = Booked(3, f"transfer:{transfer}", "transfer", entries, transfer, detail={"quote": "q"})
    batch = booked(4, Entry("in_flight/1/USDC", CHAIN, "USDC", 55))
    undoing = undo(REORG, 2, [hold], [batch], {})
    back, again, unpaid = undoing.transactions
    assert (back.key, back.kind, back.pending) == (
        f"reorg:{REORG}:transfer:{transfer}", "reorg", False,
    )  # fmt: skip
    assert back.entries == [Entry("fx_position/EUR", "customer/cus_ann/EUR", "EUR", 100)]
    assert (again.key, again.kind, again.pending) == (f"transfer:{transfer}:e2", "transfer", True)
    assert (again.entries, again.detail, again.transfer_id) == (entries, {"quote": "q"}, transfer)
    assert unpaid.entries == [Entry(CHAIN, "in_flight/1/USDC", "USDC", 55)]
    assert unpaid.detail == {"reorg": str(REORG), "reverses": "4", "key": "key 4"}


def test_an_owner_pays_back_what_it_has_and_the_rest_is_a_loss() -> None:
    bookings = [deposit(1, ANN, 100), deposit(2, ANN, 50), deposit(3, BOB, 10)]
    undoing = undo(REORG, 1, [], bookings, {ANN: 70, BOB: 10})
    assert [each.entries for each in undoing.transactions] == [
        [Entry(BOB, CHAIN, "USDC", 10)],
        [Entry(ANN, CHAIN, "USDC", 50)],
        [Entry(ANN, CHAIN, "USDC", 20), Entry("loss/reorg/USDC", CHAIN, "USDC", 80)],
    ]
    (shortfall,) = undoing.shortfalls
    assert (shortfall.account, shortfall.amount, shortfall.sequence) == (ANN, 80, 1)


def test_one_who_has_nothing_left_makes_a_reversal_of_losses_alone() -> None:
    undoing = undo(REORG, 1, [], [deposit(1, ANN, 5)], {ANN: 0})
    assert undoing.transactions[0].entries == [Entry("loss/reorg/USDC", CHAIN, "USDC", 5)]


AMOUNTS = st.lists(st.tuples(st.sampled_from([ANN, BOB]), st.integers(1, 1000)), max_size=8)


@given(AMOUNTS, st.integers(0, 3000), st.integers(0, 3000))
def test_no_owner_falls_below_zero_and_the_chain_gets_back_all_of_it(
    deposits: list[tuple[str, int]], ann: int, bob: int
) -> None:
    start = {ANN: ann, BOB: bob}
    bookings = [deposit(place, *each) for place, each in enumerate(deposits, start=1)]
    undoing = undo(REORG, 1, [], bookings, start)
    for balances in after(list(undoing.transactions), start):
        assert min(balances.get(ANN, 0), balances.get(BOB, 0)) >= 0
    total = sum(amount for _, amount in deposits)
    entries = [entry for each in undoing.transactions for entry in each.entries]
    assert sum(each.amount for each in entries if each.credit == CHAIN) == total
    lost = sum(each.amount for each in entries if each.debit.startswith("loss/"))
    assert lost == sum(each.amount for each in undoing.shortfalls)
    for account, has in start.items():
        given_back = sum(amount for owner, amount in deposits if owner == account)
        short = sum(each.amount for each in undoing.shortfalls if each.account == account)
        assert short == max(0, given_back - has)


def test_what_was_held_and_released_by_a_later_deposit_goes_back_to_where_it_was_held() -> None:
    held = booked(1, Entry(CHAIN, SUSPENSE, "USDC", 60))
    rest = booked(2, Entry(CHAIN, ANN, "USDC", 40), Entry(SUSPENSE, ANN, "USDC", 60))
    (back,) = undo(REORG, 1, [], [rest], {ANN: 100}).transactions
    assert back.entries == [Entry(ANN, CHAIN, "USDC", 40), Entry(ANN, SUSPENSE, "USDC", 60)]
    both = undo(REORG, 1, [], [held, rest], {ANN: 100}).transactions
    assert [len(each.entries) for each in both] == [2, 1]


def test_what_an_owner_lacks_is_of_the_deposits_that_were_released_and_of_the_one_that_came() -> (
    None
):
    entries = (Entry(CHAIN, ANN, "USDC", 40), Entry(SUSPENSE, ANN, "USDC", 60))
    rest = replace(booked(2, *entries), tx_hash="0xee", released=[("0xaa", 25), ("0xbb", 35)])
    for has, expected in (
        (0, [("0xee", 40), ("0xaa", 25), ("0xbb", 35)]),
        (70, [("0xaa", 25), ("0xbb", 5)]),
        (100, []),
    ):
        found = undo(REORG, 1, [], [rest], {ANN: has}).shortfalls
        assert [(each.tx_hash, each.amount) for each in found] == expected


def test_keys_of_the_first_epoch_are_as_they_always_were() -> None:
    assert keyed("batch:1", 0) == "batch:1"
    assert keyed("batch:1", 3) == "batch:1:e3"


def test_owners_are_those_who_were_credited() -> None:
    assert owners_of([deposit(1, BOB, 1), deposit(2, ANN, 1)]) == [ANN, BOB]
    assert owners_of([booked(1, Entry(GAS, "chain/1/0xaa/ETH", "ETH", 1))]) == []


def test_coin_at_the_fork_is_what_was_known_less_what_was_booked_since() -> None:
    address, path = Address(b"\xaa" * 20), "chain/1/0xaa/ETH"
    gas = booked(1, Entry(GAS, path, "ETH", 3))
    rise = booked(2, Entry(path, "suspense/1/ETH", "ETH", 10))
    assert moved([gas, rise], "chain") == {path: 7}
    known = native_units_before(
        {address: 50 * 10**9 + 1}, {address: path}, [gas, rise], {address: 4}
    )
    assert known == {address: 50 - 7 + 4}


def header(number: int, mark: int, parent: int) -> BlockHeader:
    def hash_of(value: int) -> BlockHash:
        return BlockHash(bytes([value]) * 32)

    return BlockHeader(number, hash_of(mark), hash_of(parent), NOW)


def test_the_fork_is_the_newest_block_of_both() -> None:
    theirs = [header(1, 1, 0), header(2, 2, 1), header(3, 33, 2)]
    ours = {1: theirs[0].hash, 2: theirs[1].hash, 3: BlockHash(b"\x03" * 32)}
    assert newest_common(ours, theirs) == theirs[1].point
    assert newest_common({3: BlockHash(b"\x03" * 32)}, theirs) is None


@pytest.mark.parametrize(
    ("headers", "top", "is_one"),
    [
        ([header(1, 1, 0), header(2, 2, 1)], 2, True),
        ([header(1, 1, 0), header(2, 2, 1)], 9, False),
        ([header(1, 1, 0), header(2, 2, 7)], 2, False),
        ([], 2, True),
    ],
)
def test_only_headers_that_lead_to_the_block_are_one_chain(
    headers: list[BlockHeader], top: int, is_one: bool
) -> None:
    assert linked(headers, BlockHash(bytes([top]) * 32)) == is_one
