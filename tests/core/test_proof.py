"""Proving a ledger from its records: what is legal passes, and every breach is named."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.ledger import Entry, LedgerTransaction, Outcome, Resolution
from node.core.proof.accounts import CheckpointRow, StoredAccount
from node.core.proof.findings import SHOWN_MAX, Difference, Findings
from node.core.proof.records import Anchor, HeadRow
from tests.records import MadeLedger, account_record, differences, read, transaction_record

BANK, ANN, POSITION = "bank/x/EUR", "customer/ann/EUR", "fx_position/EUR"
CHAIN, CAPITAL = "chain/1/0xaa/EUR", "capital/EUR"


def top_up(key: str, amount: int, to: str = ANN) -> LedgerTransaction:
    return LedgerTransaction(key, "top_up", [Entry(BANK, to, "EUR", amount)])


def hold(key: str, amount: int) -> LedgerTransaction:
    return LedgerTransaction(
        key, "transfer", [Entry(ANN, POSITION, "EUR", amount)], True, UUID(int=7)
    )


def posted(sequence: int) -> Resolution:
    return Resolution(sequence, Outcome.POSTED)


def voided(sequence: int) -> Resolution:
    return Resolution(sequence, Outcome.VOIDED)


def a_ledger() -> MadeLedger:
    """Sequences 1 to 6: money in, two holds, one posted and one voided, another hold."""
    made = MadeLedger()
    made.book(top_up("in", 100), hold("one", 60), hold("two", 40))
    made.book(posted(2), voided(3))
    made.book(hold("three", 25))
    return made


def counters(made: MadeLedger, path: str) -> tuple[int, int, int, int]:
    return read(made)[0].books.accounts[made.numbers[path]].counters


def test_balances_holds_and_head_follow_from_the_records() -> None:
    made = a_ledger()
    proof, findings = read(made)
    assert findings.kept == []
    assert counters(made, ANN) == (25, 60, 0, 100)
    assert counters(made, POSITION) == (0, 0, 25, 60)
    assert list(proof.books.open) == [6]
    assert proof.head.anchor == made.anchor(3)
    assert (proof.head.sequence, proof.books.entries) == (6, 4)


def test_an_empty_ledger_ends_where_the_chain_begins() -> None:
    proof, findings = read(MadeLedger(), anchors=(Anchor(0, bytes(32)),))
    assert (proof.head, findings.kept) == (HeadRow(0, 0, bytes(32), 0), [])


Tampering = Callable[[MadeLedger], object]


def replaced(batch: int, place: int, record: bytes) -> Tampering:
    return lambda made: made.batches[batch].records.__setitem__(place, record)


def rebooked(batch: int, place: int, booked: LedgerTransaction) -> Tampering:
    def tamper(made: MadeLedger) -> None:
        within = made.batches[batch]
        record = transaction_record(within.first + place, booked, made.numbers, within.at_us)
        within.records[place] = record

    return tamper


def reopened(**changes: object) -> Tampering:
    def tamper(made: MadeLedger) -> None:
        at_us = made.batches[0].at_us
        made.batches[0].opened[1] = account_record(made.numbers[ANN], ANN, at_us, **changes)

    return tamper


ILLEGAL: list[tuple[Tampering, str, str]] = [
    (lambda made: made.batches.pop(1), "chain", "batch 2"),
    (lambda made: made.batches[1].records.pop(0), "sequence", "sequence 4"),
    (lambda made: made.batches[1].records.pop(1), "sequence", "sequence 5"),
    (lambda made: made.batches[1].records.reverse(), "sequence", "sequence 4"),
    (lambda made: setattr(made.batches[1], "number", 7), "chain", "batch 2"),
    (lambda made: setattr(made.batches[1], "at_us", 5), "chain", "batch 2"),
    (lambda made: setattr(made.batches[1], "first", 5), "chain", "batch 2"),
    (lambda made: setattr(made.batches[2], "at_us", 2**62), "sequence", "sequence 6"),
    (lambda made: made.batches[0].opened.pop(1), "entries", "sequence 1, entry 0"),
    (lambda made: made.batches[1].opened.append(made.batches[0].opened[0]), "accounts", BANK),
    (reopened(floor=None), "accounts", ANN),
    (reopened(floor=-1), "accounts", ANN),
    (reopened(kind="asset"), "accounts", ANN),
    (reopened(asset="USD"), "accounts", ANN),
    (replaced(0, 0, b"X" + bytes(7) + b"\1"), "sequence", "sequence 1"),
    (lambda made: made.book(posted(2)), "pendings", "sequence 7"),
    (lambda made: made.book(voided(1)), "pendings", "sequence 7"),
    (lambda made: made.book(posted(8), hold("later", 1)), "pendings", "sequence 7"),
    (rebooked(0, 0, LedgerTransaction("in", "x", [])), "entries", "sequence 1"),
    (rebooked(2, 0, hold("three", 41)), "limits", f"{ANN} after sequence 6"),
    (lambda made: made.book(top_up("late", 1), hold("x", 17)), "limits", ANN),
]
"""What breaks a rule, the check that names it, and what it names."""


@pytest.mark.parametrize(("tampering", "check", "subject"), ILLEGAL)
def test_a_consistent_chain_over_illegal_records_is_named(
    tampering: Tampering, check: str, subject: str
) -> None:
    made = a_ledger()
    tampering(made)
    found = differences(made)
    assert any(each.check == check and each.subject.startswith(subject) for each in found), found


@pytest.mark.parametrize(
    ("into", "out", "holds_by_record"),
    [
        (Entry(BANK, ANN, "EUR", 10), Entry(ANN, BANK, "EUR", 10), True),
        (Entry(CHAIN, CAPITAL, "EUR", 10), Entry(CAPITAL, CHAIN, "EUR", 10), False),
    ],
)
def test_the_floor_of_a_customer_holds_after_every_record_and_others_after_every_batch(
    into: Entry, out: Entry, holds_by_record: bool
) -> None:
    one = MadeLedger()
    one.book(LedgerTransaction("both", "x", [out, into]))
    assert differences(one) == []
    first, then = (LedgerTransaction(str(each.debit), "x", [each]) for each in (out, into))
    batch, batches = MadeLedger(), MadeLedger()
    batch.book(first, then)
    assert [each.check for each in differences(batch)] == ["limits"] * holds_by_record
    batches.book(first)
    batches.book(then)
    assert [each.check for each in differences(batches)] == ["limits"]


def test_a_wrong_hash_is_shown_with_the_records_it_covers_and_is_named_once() -> None:
    made = a_ledger()
    rows = list(made.rows())
    rows[1] = rows[1]._replace(hash=bytes(32))
    first, second = differences(made, rows=rows)
    assert (first.check, first.subject) == ("chain", "batch 2")
    assert made.anchor(2).hash.hex() in first.expected
    assert any("2 is posted" in line for line in first.evidence)
    assert second.subject == "batch 3"  # whose hash covers that of batch 2


def test_an_anchor_finds_a_chain_that_was_cut_off_or_written_anew() -> None:
    made, noted = a_ledger(), a_ledger().anchor(2)
    assert differences(made, anchors=(noted, made.anchor(3))) == []
    made.batches.pop()
    made.batches.pop()
    (cut,) = differences(made, anchors=(noted,))
    assert (cut.check, cut.subject) == ("anchor", "batch 2")
    assert "cut off" in cut.actual
    anew = a_ledger()
    rebooked(0, 0, top_up("in", 101))(anew)
    assert differences(anew) == []  # every hash fits
    (found,) = differences(anew, anchors=(noted,))
    assert "written anew" in found.actual


def test_counters_and_head_that_are_stored_otherwise_are_named() -> None:
    proof, findings = read(a_ledger())
    stored = [
        StoredAccount(number, each.path, each.counters)
        for number, each in proof.books.accounts.items()
    ]
    stored[1] = stored[1]._replace(counters=(25, 60, 0, 101))
    proof.books.compare(stored)
    proof.compare_head([proof.head._replace(sequence=7)])
    proof.books.compare_open([5])
    assert [(each.check, each.subject) for each in findings.kept] == [
        ("balances", ANN),
        ("chain", "the head of the ledger"),
        ("pendings", "sequence 5"),
        ("pendings", "sequence 6"),
    ]


def test_an_account_without_its_row_is_missed() -> None:
    proof, findings = read(a_ledger())
    proof.books.compare([])
    assert [each.check for each in findings.kept] == ["accounts"]


@pytest.mark.parametrize(
    ("row", "is_right"),
    [
        (CheckpointRow(3, 2, (100, 0, 0, 100), True), True),
        (CheckpointRow(3, 2, (100, 0, 0, 99), True), False),
        (CheckpointRow(3, 2, (100, 0, 0, 100), False), False),
        (CheckpointRow(2, 2, (60, 0, 0, 100), True), True),  # in the middle of a batch
        (CheckpointRow(3, 9, (0, 0, 0, 0), True), False),
        (CheckpointRow(7, 2, (25, 60, 0, 100), True), False),
    ],
)
def test_a_checkpoint_has_the_counters_of_its_sequence(row: CheckpointRow, is_right: bool) -> None:
    made = MadeLedger()
    made.book(top_up("in", 100), hold("one", 60), hold("two", 40))
    proof, _ = read(made)
    others = tuple(
        CheckpointRow(row.sequence, number, each, True)
        for number, each in (
            (1, (0, 100, 0, 0)),
            (3, (0, 0, 60 if row.sequence == 2 else 100, 0)),
        )
        if row.sequence <= proof.head.sequence
    )
    found = differences(made, checkpoints=tuple(sorted((row, *others), key=lambda r: r[1] or 0)))
    assert {each.check for each in found} == (set() if is_right else {"checkpoints"})


def test_an_account_that_moved_is_in_the_next_checkpoint() -> None:
    made = a_ledger()
    rows = [
        CheckpointRow(3, 1, (0, 100, 0, 0), True),
        CheckpointRow(3, 2, (100, 0, 0, 100), True),
        CheckpointRow(3, 3, (0, 0, 100, 0), True),
        CheckpointRow(6, 2, (25, 60, 0, 100), True),
    ]
    (found,) = differences(made, checkpoints=tuple(rows))
    assert found.subject == f"checkpoint 6 of {POSITION}"
    rows.append(CheckpointRow(6, 3, (0, 0, 25, 60), True))
    assert differences(made, checkpoints=tuple(rows)) == []


def test_differences_of_a_check_are_counted_and_the_first_ones_kept() -> None:
    findings = Findings()
    told: list[Difference] = []
    findings.tell = told.append
    for n in range(SHOWN_MAX + 5):
        findings.add("limits", n, "a", "b")
    assert (len(findings.kept), findings.counts["limits"]) == (SHOWN_MAX, SHOWN_MAX + 5)
    assert told == findings.kept


@pytest.mark.parametrize(
    "wrong", ["", "1", "1:00", "-1:" + "0" * 64, "x:" + "0" * 64, "1:" + "g" * 64]
)
def test_what_is_no_anchor_is_not_read_as_one(wrong: str) -> None:
    with pytest.raises(ValueError, match="NUMBER:HASH"):
        Anchor.parse(wrong)


@given(st.integers(0, 10**18 - 1), st.binary(min_size=32, max_size=32))
def test_an_anchor_reads_as_it_is_written(number: int, digest: bytes) -> None:
    anchor = Anchor(number, digest)
    assert Anchor.parse(str(anchor)) == anchor


@given(data=st.data())
def test_any_changed_byte_of_any_record_is_found(data: st.DataObject) -> None:
    made = a_ledger()
    rows = list(made.rows())
    lists = [each for batch in made.batches for each in (batch.opened, batch.records) if each]
    records = data.draw(st.sampled_from(lists))
    place = data.draw(st.integers(0, len(records) - 1))
    at = data.draw(st.integers(0, len(records[place]) - 1))
    change = data.draw(st.integers(1, 255))
    changed = bytearray(records[place])
    changed[at] ^= change
    records[place] = bytes(changed)
    assert differences(made, rows=rows)
