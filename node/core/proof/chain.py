"""Proving the ledger: its records, read once in their order, give everything else.

The chain of hashes, every balance, every hold and every limit are derived again and compared with
what is stored. Kept in memory are the accounts and the pending ledger transactions that are open,
so a ledger of any length is proven in the same space. Not here: where the rows come from, and what
needs other tables (`node.store.verification`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

from node.core.proof.accounts import Checkpoints
from node.core.proof.books import DerivedBooks
from node.core.proof.findings import Findings
from node.core.proof.records import (
    COUNT_MAX,
    GENESIS,
    INT4,
    UNREADABLE,
    Anchor,
    BatchRow,
    HeadRow,
    hasher,
    read_account,
    time_text,
)

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

CHECKS: Final[Mapping[str, str]] = {
    "chain": "batches are numbered without gaps, each later than the one before, and the hash of"
    " each follows from its records and the batch before; the ledger's head is the last",
    "sequence": "ledger transactions and resolutions are numbered without gaps, each in one batch",
    "accounts": "every account is opened once, by the batch it names, as the chart has it",
    "entries": "every ledger transaction has entries; each is above zero and in the asset of both"
    " its accounts, which were open by then",
    "pendings": "what is posted or voided was pending and open, and what else was is open now",
    "limits": "no account was ever below its floor, holds counted",
    "balances": "the four counters of every account follow from its entries"
    " (debits pending/posted, credits pending/posted)",
    "checkpoints": "every checkpoint has the counters of its sequence",
}
"""Name of each check made here, and what it holds."""

ANCHOR_CHECK: Final = ("anchor", "the chain contains the batch that was noted, with its hash")
"""Made when anchors are given."""

_ROWS_SHOWN: Final = 10  # of a batch whose hash is wrong
_PIECES_MAX: Final = 8192  # gathered before they are hashed
_TOLD_EVERY: Final = 5000  # sequences

Numbered = tuple[int | None, bytes | None]
"""A record with the number it is read by; None where a column holds what none can say."""


class Export(Protocol):
    """Takes a copy of what is read; see `node.core.proof.export`."""

    def begin_batch(self, batch: BatchRow, count: int) -> None:
        """A batch of so many records begins."""
        ...

    def write(self, pieces: Sequence[bytes]) -> None:
        """Records, each after its length."""
        ...


class Proof:
    """One reading of all records, from the first.

    Attributes:
        head: Where the chain ends.
        books: What the records give.
    """

    def __init__(
        self,
        findings: Findings,
        *,
        anchors: Iterable[Anchor] = (),
        export: Export | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.head = HeadRow(0, 0, GENESIS, 0)
        self.books = DerivedBooks(findings)
        self._found = findings
        self._anchors = sorted(anchors, key=lambda each: each.number, reverse=True)
        self._export = export
        self._progress = progress
        self._told = 0

    def read(
        self,
        batches: Iterable[BatchRow],
        openings: Iterable[Numbered],
        records: Iterable[Numbered],
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Read everything there is.

        Args:
            batches: By number.
            openings: Batch and record of every account, by batch and account.
            records: Sequence and record of every ledger transaction and resolution, by sequence.
            checkpoints: To be compared on the way.
        """
        opening, record = iter(openings), iter(records)
        next_opening, next_record = next(opening, None), next(record, None)
        points = checkpoints or Checkpoints((), self._found)
        self._compare_anchors(0)
        for batch in batches:
            if None in batch:
                self._found.add("chain", f"batch {batch[0]}", "no empty column", tuple(batch))
                continue
            self._compare_numbers(batch)
            opened: list[bytes] = []
            while next_opening is not None and _is_upto(next_opening[0], batch.number):
                self._open_account(batch, next_opening, opened)
                next_opening = next(opening, None)
            following = record if next_record is None else chain((next_record,), record)
            next_record = self._read_batch(batch, opened, following, points)
            self._end_batch(batch)
        for each in _rest(next_opening, opening):
            self._stray_account(*each)
        for each in _rest(next_record, record):
            self._stray_record(*each)
        points.end(self.head.sequence)
        self._cut_off()
        self._progress(self.head.sequence)

    def compare_head(self, stored: Sequence[HeadRow]) -> None:
        """Compare where the chain ends with all rows that say where the ledger stands."""
        if list(stored) != [self.head]:
            actual = "; ".join(map(str, stored)) or "no row"
            self._found.add("chain", "the head of the ledger", self.head, actual)

    def _compare_numbers(self, batch: BatchRow) -> None:
        """Compare what a batch says of itself with where the one before it ended."""
        before, subject = self.head, f"batch {batch.number}"
        if batch.number != before.batch + 1:
            self._found.add("chain", f"batch {before.batch + 1}", "a batch", f"{batch} follows")
        if batch.first_sequence != before.sequence + 1 or (
            batch.last_sequence < batch.first_sequence
        ):
            self._found.add(
                "chain",
                subject,
                f"sequences from {before.sequence + 1} on",
                f"sequences {batch.first_sequence} to {batch.last_sequence}",
                str(batch),
            )
        if batch.created_at_us <= before.moved_at_us:
            expected = f"later than {time_text(before.moved_at_us)}"
            self._found.add("chain", subject, expected, time_text(batch.created_at_us), str(batch))

    def _open_account(self, batch: BatchRow, opening: Numbered, opened: list[bytes]) -> None:
        number, record = opening
        if number == batch.number and record is not None:
            opened.append(record)
            self.books.open_account(record, batch.number, batch.created_at_us)
        else:
            self._stray_account(number, record)

    def _read_batch(
        self,
        batch: BatchRow,
        opened: Sequence[bytes],
        records: Iterator[Numbered],
        points: Checkpoints,
    ) -> Numbered | None:
        """Read the records of one batch; the first one after it, if there is any."""
        count = batch.last_sequence - batch.first_sequence + 1 + len(opened)
        count = max(0, min(count, COUNT_MAX))
        hashing = _Hashing(hasher(self.head.hash, batch, count), self._export)
        if self._export is not None:
            self._export.begin_batch(batch, count)
        for opening in opened:
            hashing.take(opening)
        expected, last, created_at_us = batch.first_sequence, batch.last_sequence, batch[3]
        after, books = None, self.books
        for numbered in records:
            sequence, record = numbered
            if sequence is None or sequence > last:
                after = numbered
                break
            if sequence != expected or record is None:
                self._misnumbered(expected, sequence, record)
            expected = sequence + 1
            if record is not None:
                hashing.take(record)
                books.read(sequence, record, created_at_us)
            if sequence >= points.next_sequence:
                points.compare(sequence, books.accounts)
        if expected <= last:
            self._misnumbered(expected, None if after is None else after[0], None)
        derived = hashing.end()
        if derived != batch.hash:
            self._wrong_hash(batch, derived, count, hashing.shown)
        return after

    def _end_batch(self, batch: BatchRow) -> None:
        self.books.end_batch(batch.number)
        self._compare_anchors(batch.number - 1)
        self.head = HeadRow(batch.number, batch.last_sequence, batch.hash, batch.created_at_us)
        self._compare_anchors(batch.number)
        if batch.last_sequence >= self._told + _TOLD_EVERY:
            self._told = batch.last_sequence
            self._progress(self._told)

    def _compare_anchors(self, upto: int) -> None:
        """Compare the head with the anchors that are due now."""
        while self._anchors and self._anchors[-1].number <= upto:
            anchor = self._anchors.pop()
            if anchor != self.head.anchor:
                self._found.add(
                    "anchor",
                    f"batch {anchor.number}",
                    anchor,
                    f"the chain has {self.head.anchor}: it was written anew",
                )

    def _cut_off(self) -> None:
        for anchor in reversed(self._anchors):
            self._found.add(
                "anchor",
                f"batch {anchor.number}",
                anchor,
                f"the chain ends with {self.head.anchor}: its newest batches were cut off",
            )

    def _wrong_hash(
        self, batch: BatchRow, derived: bytes, count: int, records: Sequence[bytes]
    ) -> None:
        rows = [self.books.text(record) for record in records]
        if count > len(rows):
            rows.append(f"... {count} records in all")
        self._found.add(
            "chain",
            f"batch {batch.number}",
            f"hash {derived.hex()} of its records and the batch before",
            f"hash {batch.hash.hex()}",
            str(batch),
            *rows,
        )

    def _misnumbered(self, expected: int, sequence: int | None, record: bytes | None) -> None:
        """A record is not the one that should follow, or cannot be told."""
        if sequence == expected:
            self._found.add(
                "sequence",
                f"sequence {sequence}",
                "a row whose columns hold what they may",
                "an empty or impossible column",
            )
            return
        self._found.add(
            "sequence",
            f"sequence {expected}",
            "one ledger transaction or resolution",
            "none" if sequence is None else f"sequence {sequence} follows",
            *([self.books.text(record)] if record else []),
        )

    def _stray_account(self, number: int | None, record: bytes | None) -> None:
        self._found.add(
            "accounts",
            _path_of(record),
            "opened by a batch that there is, and no impossible column",
            f"opened by batch {number}",
            *([self.books.text(record)] if record else []),
        )

    def _stray_record(self, sequence: int | None, record: bytes | None) -> None:
        self._found.add(
            "sequence",
            f"sequence {sequence}",
            f"none after {self.head.sequence}, where the last batch ends",
            "a ledger transaction or resolution that no batch covers",
            *([self.books.text(record)] if record else []),
        )


class _Hashing:
    """Takes the records of one batch into its hash, and into the export if there is one."""

    def __init__(self, digest: "Hash", export: Export | None) -> None:
        self.shown: list[bytes] = []  # the first ones
        self._digest = digest
        self._export = export
        self._pieces: list[bytes] = []

    def take(self, record: bytes) -> None:
        pieces = self._pieces
        pieces += (INT4.pack(len(record)), record)
        if len(pieces) > _PIECES_MAX:
            self._flush()

    def end(self) -> bytes:
        self._flush()
        return self._digest.digest()

    def _flush(self) -> None:
        self.shown = self.shown or self._pieces[1 : 2 * _ROWS_SHOWN : 2]
        self._digest.update(b"".join(self._pieces))
        if self._export is not None:
            self._export.write(self._pieces)
        self._pieces = []


def _is_upto(number: int | None, last: int) -> bool:
    return number is not None and number <= last


def _rest(first: Numbered | None, others: Iterator[Numbered]) -> Iterator[Numbered]:
    return others if first is None else chain((first,), others)


def _path_of(record: bytes | None) -> str:
    try:
        return "an account" if record is None else read_account(record).path
    except UNREADABLE:
        return "an account"
