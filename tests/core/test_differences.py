"""Halving finds the first bad block; what it says tells logs from balances from entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.breaks import BreakCode
from node.core.differences import (
    Halving,
    Unbooked,
    cause_in_block,
    cause_in_ledger,
    digest_of,
    narrowed,
)
from node.core.mirror import (
    BlockPoint,
    Facts,
    SettlementKind,
    SettlementLog,
    TokenLog,
    Watch,
)
from node.core.units import Address, BlockHash, TxHash

OWN, OTHER = Address(b"\xc0" * 20), Address(b"\x0b" * 20)
POINT = BlockPoint(7, BlockHash(b"\x07" * 32))
TX = TxHash(b"\x7a" * 32)
WATCH = Watch(1, OWN, Address(b"\x70" * 20), "USDC", "ETH", frozenset({OWN}))


def log(index: int, amount: int) -> TokenLog:
    return TokenLog(index, TX, OTHER, OWN, amount)


@given(low=st.integers(0, 50), length=st.integers(1, 5000), data=st.data())
def test_halving_finds_the_first_bad_block_in_as_many_questions_as_its_bits(
    low: int, length: int, data: st.DataObject
) -> None:
    high = low + length
    bad = data.draw(st.integers(low + 1, high))
    search, asked = Halving(low, high), 0
    while (middle := search.middle) is not None:
        search = search.take(middle, is_same=middle < bad)
        asked += 1
    assert search.high == bad
    assert asked <= length.bit_length()


def test_a_log_that_the_mirror_lacks_is_the_cause_and_a_break_of_its_own() -> None:
    finding = cause_in_block(OWN, 5, Facts(POINT, [], []), Facts(POINT, [log(3, 5)], []))
    (found,) = finding.breaks
    assert found.code is BreakCode.MISSED_LOG
    assert found.evidence["log_index"] == "3"
    assert "block 7" in finding.cause
    assert "log 3 is missing in the mirror" in finding.cause


def test_a_log_that_only_the_mirror_has_is_a_phantom() -> None:
    finding = cause_in_block(OWN, -5, Facts(POINT, [log(3, 5)], []), Facts(POINT, [], []))
    assert [each.code for each in finding.breaks] == [BreakCode.PHANTOM_LOG]


def test_equal_logs_and_another_balance_are_a_token_that_moved_it_without_saying_so() -> None:
    both = Facts(POINT, [log(3, 100)], [])
    finding = cause_in_block(OWN, -1, both, both)
    (found,) = finding.breaks
    assert found.code is BreakCode.BALANCE_MOVED
    assert (found.evidence["moved"], found.evidence["minor"]) == ("-1", "1")
    assert "moved by 99 units, and its Transfer logs say 100" in found.cause


@pytest.mark.parametrize(
    ("unbooked", "words"),
    [
        (Unbooked(None, None, -5, 0, 7, "0xab:3"), "moved -5 units and has no ledger entry"),
        (Unbooked(9, "batch:1", -5, -6, 7, "0xab:3"), "should have moved -5 units"),
        (Unbooked(9, "batch:1", 0, -6, None, None), "moved -6 units and no log says so"),
    ],
)
def test_the_ledgers_own_difference_names_log_and_entry(unbooked: Unbooked, words: str) -> None:
    assert words in cause_in_ledger([unbooked], counter=1, entries=1)


def test_counters_that_do_not_follow_from_entries_are_said_first() -> None:
    told = cause_in_ledger([], counter=8, entries=5)
    assert told.startswith("The account's counters say 8 and its entries come to 5")
    assert cause_in_ledger([], counter=5, entries=5) == ""


def test_a_fault_in_the_block_after_the_last_good_one_has_no_blocks_in_between() -> None:
    told = narrowed(504, 505, "no provider has its state").cause
    assert (
        told == "It went wrong in block 505; what is in it was not read: no provider has its state."
    )
    assert "between block 504 and block 506" in narrowed(504, 506, "").cause


def test_a_digest_is_another_as_soon_as_one_value_of_one_log_is() -> None:
    paid = SettlementLog(1, TX, SettlementKind.SETTLED, 4, log(0, 5))
    whole = Facts(POINT, [log(0, 5)], [paid])
    others = [
        Facts(POINT, [log(0, 6)], [paid]),
        Facts(POINT, [log(2, 5)], [paid]),
        Facts(POINT, [log(0, 5)], []),
        Facts(POINT, [log(0, 5)], [SettlementLog(1, TX, SettlementKind.SETTLED, 5, log(0, 5))]),
        Facts(POINT, [log(0, 5)], [SettlementLog(1, TX, SettlementKind.VOIDED, 4)]),
        Facts(POINT, [log(0, 5)], [SettlementLog(1, TX, SettlementKind.SETTLED, 4, log(0, 6))]),
    ]
    digests = {digest_of(WATCH, each) for each in (whole, *others)}
    assert len(digests) == len(others) + 1
    assert digest_of(WATCH, Facts(POINT, [], [])) is None
