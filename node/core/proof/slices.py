"""Proving some batches of the ledger: their hashes follow from their records and the batch before.

Where one does not, the records of that batch are tried: if one entry with another amount, or with
another account, makes the hash fit, that entry was altered, and this is what it was. Not here:
balances, holds and limits over everything (`chain`, `books`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.core.proof.accounts import Counters
from node.core.proof.chain import Numbered
from node.core.proof.records import (
    ENTRY,
    INT4,
    NUMBERED_TEXT,
    TRANSACTION,
    TRANSACTION_END,
    UNREADABLE,
    BatchRow,
    HeadRow,
    describe,
    hasher,
)

_TRIES_MAX: Final = 200  # records tried for one batch; each costs hashing the batch once
_ROWS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class WrongBatch:
    """A batch that is not what its hash says.

    Attributes:
        batch: As stored.
        expected: What it should be.
        actual: What it is.
        rows: Its records, the first ones.
        alteration: The one entry that was altered and what it was, in a sentence; empty: more than
            one value was changed, or another one than an entry's.
        sequence: Of that entry; None: not found.
    """

    batch: BatchRow
    expected: str
    actual: str
    rows: Sequence[str]
    alteration: str = ""
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive batches with what belongs to them.

    Attributes:
        before: The batch before the first; `HeadRow(0, 0, GENESIS, 0)` for the beginning.
        openings: Batch and record of accounts opened by them, by batch and account.
        records: Sequence and record of their ledger transactions and resolutions, by sequence.
    """

    before: HeadRow
    batches: Sequence[BatchRow]
    openings: Sequence[Numbered]
    records: Sequence[Numbered]


def wrong_batches(
    part: Slice, moved: Mapping[int, Counters], paths: Mapping[int, str]
) -> Iterator[WrongBatch]:
    """The batches of a slice that are not what the chain of hashes says.

    Args:
        part: What is stored.
        moved: Account -> by how much its four counters are above what its entries give; a hint for
            which entry was altered.
        paths: Account -> path, for words.
    """
    before = part.before
    opening, record = 0, 0
    for batch in part.batches:
        opened: list[bytes | None] = []
        while opening < len(part.openings) and part.openings[opening][0] == batch.number:
            opened.append(part.openings[opening][1])
            opening += 1
        rows: list[Numbered] = []
        while record < len(part.records) and _upto(part.records[record], batch.last_sequence):
            rows.append(part.records[record])
            record += 1
        found = _compare(before, batch, opened, rows, moved, paths)
        if found is not None:
            yield found
        before = HeadRow(batch.number, batch.last_sequence, batch.hash, batch.created_at_us)


def _upto(numbered: Numbered, last: int) -> bool:
    return numbered[0] is None or numbered[0] <= last


def _compare(
    before: HeadRow,
    batch: BatchRow,
    opened: Sequence[bytes | None],
    rows: Sequence[Numbered],
    moved: Mapping[int, Counters],
    paths: Mapping[int, str],
) -> WrongBatch | None:
    shown = [describe(row, paths) for _, row in rows[:_ROWS_SHOWN] if row is not None]
    if (batch.number, batch.first_sequence) != (before.batch + 1, before.sequence + 1):
        expected = f"batch {before.batch + 1} from sequence {before.sequence + 1} on"
        return WrongBatch(batch, expected, str(batch), shown)
    if batch.created_at_us <= before.moved_at_us:
        return WrongBatch(batch, "later than the batch before", str(batch), shown)
    numbers = [number for number, _ in rows]
    due = list(range(batch.first_sequence, batch.last_sequence + 1))
    if numbers != due:
        missing = sorted(set(due) - {each for each in numbers if each is not None})
        actual = f"without {missing[:_ROWS_SHOWN]}" if missing else f"sequences {numbers[:20]}"
        return WrongBatch(batch, f"sequences {due[0]} to {due[-1]}, each once", actual, shown)
    whole = [*opened, *(row for _, row in rows)]
    if None in whole:
        return WrongBatch(batch, "columns that hold what they may", "an impossible column", shown)
    pieces = [each for each in whole if each is not None]
    derived = _hash(before, batch, pieces)
    if derived == batch.hash:
        return None
    alteration, sequence = _altered(before, batch, pieces, moved, paths)
    return WrongBatch(
        batch,
        f"hash {derived.hex()} of its records and the batch before",
        f"hash {batch.hash.hex()}",
        shown,
        alteration,
        sequence,
    )


def _hash(before: HeadRow, batch: BatchRow, records: Sequence[bytes]) -> bytes:
    digest = hasher(before.hash, batch, len(records))
    digest.update(b"".join(part for each in records for part in (INT4.pack(len(each)), each)))
    return digest.digest()


def _altered(
    before: HeadRow,
    batch: BatchRow,
    records: Sequence[bytes],
    moved: Mapping[int, Counters],
    paths: Mapping[int, str],
) -> tuple[str, int | None]:
    """The one entry whose earlier value makes the hash fit: what it was, in words, and sequence."""
    tries = 0
    for place, record in enumerate(records):
        for sequence, former, words in _former(record, moved, paths):
            tries += 1
            if tries > _TRIES_MAX:
                return "", None
            tried = [*records[:place], former, *records[place + 1 :]]
            if _hash(before, batch, tried) == batch.hash:
                return words, sequence
    return "", None


def _former(
    record: bytes, moved: Mapping[int, Counters], paths: Mapping[int, str]
) -> Iterator[tuple[int, bytes, str]]:
    """What a ledger transaction may have been, by the counters that do not follow from entries."""
    if not moved or record[0] != TRANSACTION:
        return
    try:
        sequence, entries = _entries(record)
    except UNREADABLE:
        return
    for number, (at, position, debit, credit, amount) in enumerate(entries):
        for was in _amounts(debit, credit, amount, moved):
            former = record[:at] + ENTRY.pack(position, debit, credit, was, _length(record, at))
            words = (
                f"entry {number} of ledger transaction {sequence} says {amount}, and the hash of"
                f" batch and counters say that it was {was} when it was booked"
            )
            yield sequence, former + record[at + ENTRY.size :], words
        for debit_was, credit_was in _accounts(debit, credit, amount, moved):
            former = record[:at] + ENTRY.pack(
                position, debit_was, credit_was, amount, _length(record, at)
            )
            words = (
                f"entry {number} of ledger transaction {sequence} is to"
                f" {paths.get(debit, debit)} from {paths.get(credit, credit)}, and the hash of"
                f" batch and counters say that it was to {paths.get(debit_was, debit_was)} from"
                f" {paths.get(credit_was, credit_was)} when it was booked"
            )
            yield sequence, former + record[at + ENTRY.size :], words


def _entries(record: bytes) -> tuple[int, list[tuple[int, int, int, int, int]]]:
    """Sequence, and each entry with the place where it begins.

    Raises:
        ValueError: It is no ledger transaction (or another of `UNREADABLE`).
    """
    sequence, key_length = NUMBERED_TEXT.unpack_from(record, 1)
    at = 1 + NUMBERED_TEXT.size + key_length
    at += INT4.size + INT4.unpack_from(record, at)[0]
    *_, count = TRANSACTION_END.unpack_from(record, at)
    at += TRANSACTION_END.size
    entries = []
    for _ in range(count):
        position, debit, credit, amount, length = ENTRY.unpack_from(record, at)
        entries.append((at, position, debit, credit, amount))
        at += ENTRY.size + length
    return sequence, entries


def _length(record: bytes, at: int) -> int:
    return int(ENTRY.unpack_from(record, at)[4])


def _amounts(debit: int, credit: int, amount: int, moved: Mapping[int, Counters]) -> set[int]:
    """Amounts by which both counters of an entry would follow again."""
    debits, credits_ = moved.get(debit), moved.get(credit)
    if debits is None or credits_ is None:
        return set()
    steps = set(debits[:2]) & set(credits_[2:])
    return {amount + step for step in steps if step and amount + step > 0}


def _accounts(
    debit: int, credit: int, amount: int, moved: Mapping[int, Counters]
) -> Iterator[tuple[int, int]]:
    """Accounts, one of them another, by which the counters would follow again."""
    for other, counters in moved.items():
        if other != debit and amount in counters[:2] and -amount in moved.get(debit, ())[:2]:
            yield other, credit
        if other != credit and amount in counters[2:] and -amount in moved.get(credit, ())[2:]:
            yield debit, other
