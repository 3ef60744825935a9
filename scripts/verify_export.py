"""Prove an exported ledger without the node that wrote it: the standard library and this file.

    python scripts/verify_export.py FILE
    python scripts/verify_export.py FILE --anchor NUMBER:HASH    the chain must contain this batch
    python scripts/verify_export.py FILE --accounts              list every account

The format, and the rules that are proven, are those of node/docs/ledger_export.md. The file is read
once from its beginning; kept in memory are the accounts and the pending ledger transactions that
are open. Exit status: 0 proven; 1 not, with the first difference and its place; 2 wrong usage.
"""

import argparse
import hashlib
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

MAGIC = b"CORRIDOR LEDGER\n"
VERSION = 1
RECORD_BYTES_MAX = 2**24
AMOUNT_LIMIT = 2**62
ENTRIES_MAX = 999

CHART = {
    "customer": ("liability", 0),
    "partner": ("liability", 0),
    "bank": ("asset", None),
    "chain": ("asset", 0),
    "in_flight": ("liability", 0),
    "partner_clearing": ("asset", None),
    "payout_due": ("liability", None),
    "fx_position": ("equity", None),
    "deferred": ("liability", None),
    "income": ("income", None),
    "expense": ("expense", None),
    "suspense": ("liability", None),
    "capital": ("equity", None),
    "loss": ("expense", None),
    "rounding": ("equity", None),
}
"""First word of a path -> kind of account, and its floor (None: either sign)."""

ON_CREDIT = ("partner",)
"""Who may be below its floor by a credit line, which is not in the file: not looked at."""

HELD_BY_RECORD = ("customer",)
"""Whose floors hold after every record; other floors hold after every batch."""


class Difference(Exception):
    """What does not hold, and where."""


@dataclass
class Account:
    """One account, minor units: debits pending, debits posted, credits pending, credits posted."""

    path: str
    kind: str
    asset: str
    floor: int | None
    counters: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    @property
    def word(self) -> str:
        """First word of the path."""
        return self.path.partition("/")[0]

    @property
    def posted(self) -> int:
        """Posted balance on the account's own side."""
        _, debit, _, credit = self.counters
        return debit - credit if self.kind in ("asset", "expense") else credit - debit

    @property
    def available(self) -> int:
        """Posted less what pending entries hold."""
        debit, _, credit, _ = self.counters
        return self.posted - (credit if self.kind in ("asset", "expense") else debit)


class Source:
    """The file, read once, and where in it we are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offset = 0
        self.checksum = hashlib.sha256()
        self.within = "the beginning"

    def take(self, length: int) -> bytes:
        """The next bytes."""
        data = self._file.read(length)
        if len(data) != length:
            self.fail(f"the file ends here; {length - len(data)} bytes more should follow")
        self.offset += length
        self.checksum.update(data)
        return data

    def unpack(self, form: str) -> tuple[Any, ...]:
        """The next numbers; see `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def fail(self, what: str) -> NoReturn:
        """Say what is wrong, and where."""
        raise Difference(f"byte {self.offset}, {self.within}: {what}")

    def is_over(self) -> bool:
        """Whether nothing follows."""
        return not self._file.read(1)


class Record:
    """The bytes of one record, read from the left."""

    def __init__(self, data: bytes, source: Source) -> None:
        self._data = data
        self._source = source
        self._at = 0

    def unpack(self, form: str) -> tuple[Any, ...]:
        """The next numbers."""
        size = struct.calcsize(form)
        if self._at + size > len(self._data):
            self._source.fail("a record ends too early")
        found = struct.unpack_from(form, self._data, self._at)
        self._at += size
        return found

    def text(self) -> str:
        """The next text."""
        (length,) = self.unpack(">i")
        end = self._at + length
        if length < 0 or end > len(self._data):
            self._source.fail("a text is longer than its record")
        try:
            found = self._data[self._at : end].decode()
        except UnicodeDecodeError:
            self._source.fail("a text is not UTF-8")
        self._at = end
        return found

    def flag(self) -> bool:
        """The next byte, 0 or 1."""
        (found,) = self.unpack(">B")
        if found > 1:
            self._source.fail(f"a flag is {found}, neither 0 nor 1")
        return bool(found)

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            self._source.fail("a record is longer than what it says")


class Ledger:
    """Everything the records give."""

    def __init__(self, source: Source, anchors: dict[int, str]) -> None:
        self.source = source
        self.anchors = anchors
        self.accounts: dict[int, Account] = {}
        self.paths: set[str] = set()
        self.open: dict[int, list[tuple[Account, Account, int]]] = {}
        self.number = self.sequence = self.created_at = 0
        self.hash = bytes(32)
        self.counts = {"transactions": 0, "resolutions": 0, "entries": 0}
        self.compare_anchor()

    def read(self) -> None:
        """The whole file."""
        source = self.source
        start = source.take(len(MAGIC) + 4)
        if start[: len(MAGIC)] != MAGIC:
            source.fail("this is not an export of a ledger")
        if start[len(MAGIC) :] != struct.pack(">i", VERSION):
            source.fail(f"another version of the format; this script reads version {VERSION}")
        while (section := source.take(1)) == b"B":
            self.read_batch()
        if section != b"C":
            source.fail("neither a batch nor the accounts begin here")
        self.read_accounts()
        self.read_end()

    def read_batch(self) -> None:
        """One batch: its place in the chain, its records, its hash."""
        source, before = self.source, (self.number, self.sequence, self.created_at)
        source.within = f"after batch {self.number}"
        number, first, last, created_at, stored, count = source.unpack(">qqqq32si")
        source.within = f"batch {number}"
        if number != before[0] + 1:
            source.fail(f"batch {before[0] + 1} should follow, not {number}")
        if first != before[1] + 1 or last < first:
            source.fail(f"sequences {first} to {last} do not follow {before[1]}")
        if created_at <= before[2]:
            source.fail(f"its time {created_at} is not after {before[2]}")
        digest = hashlib.sha256(
            b"corridor ledger 1"
            + self.hash
            + struct.pack(">qqqqi", number, first, last, created_at, count)
        )
        self.created_at = created_at
        below: dict[str, Account] = {}
        for _ in range(count):
            (length,) = source.unpack(">i")
            if not 0 < length <= RECORD_BYTES_MAX:
                source.fail(f"no record has {length} bytes")
            data = source.take(length)
            digest.update(struct.pack(">i", length) + data)
            self.read_record(data, first, below)
        if self.sequence != last:
            source.fail(f"its records end with sequence {self.sequence}, not {last}")
        for account in below.values():
            self.compare_floor(account, f"after batch {number}")
        if digest.digest() != stored:
            source.fail(f"its records hash to {digest.hexdigest()}, the file says {stored.hex()}")
        self.number, self.hash = number, stored
        self.compare_anchor()

    def read_record(self, data: bytes, first: int, below: dict[str, Account]) -> None:
        """One record of the batch; accounts come before everything else."""
        record = Record(data, self.source)
        (kind,) = record.unpack(">c")
        if kind == b"A" and self.sequence == first - 1:
            self.open_account(record)
        elif kind == b"T":
            self.read_transaction(record, below)
        elif kind == b"R":
            self.read_resolution(record)
        else:
            self.source.fail(f"no record begins with {kind!r} here")
        record.end()

    def open_account(self, record: Record) -> None:
        """An account: new, and as the chart of accounts has it."""
        (account,) = record.unpack(">q16x")
        path, kind, asset, has_floor = record.text(), record.text(), record.text(), record.flag()
        floor, created_at = record.unpack(">qq")
        word, ending = path.partition("/")[0], path.rpartition("/")[2]
        found = (kind, floor if has_floor else None)
        if found != CHART.get(word) or asset != ending or (floor and not has_floor):
            self.source.fail(f"account {path} is {found} in {asset}; the chart has it otherwise")
        if account in self.accounts or path in self.paths:
            self.source.fail(f"account {account}, {path}, is opened twice")
        self.compare_time(created_at)
        self.accounts[account] = Account(path, kind, asset, found[1])
        self.paths.add(path)

    def read_transaction(self, record: Record, below: dict[str, Account]) -> None:
        """A ledger transaction: its entries move the counters of their accounts."""
        self.next_sequence(record)
        record.text()  # key
        record.text()  # kind
        is_pending, has_transfer = record.flag(), record.flag()
        transfer, created_at, count = record.unpack(">16s32xqi")
        self.compare_time(created_at)
        if not has_transfer and transfer != bytes(16):
            self.source.fail(f"sequence {self.sequence} has a transfer, and has none")
        if not 0 < count <= ENTRIES_MAX:
            self.source.fail(f"sequence {self.sequence} has {count} entries")
        legs = [self.read_entry(record, place, is_pending=is_pending) for place in range(count)]
        if is_pending:
            self.open[self.sequence] = legs
        for account in {id(each): each for leg in legs for each in leg[:2]}.values():
            if account.word in ON_CREDIT:
                continue
            if account.floor is not None and account.available < account.floor:
                if account.word in HELD_BY_RECORD:
                    self.compare_floor(account, f"after sequence {self.sequence}")
                below[account.path] = account
        self.counts["transactions"] += 1
        self.counts["entries"] += count

    def read_entry(
        self, record: Record, place: int, *, is_pending: bool
    ) -> tuple[Account, Account, int]:
        """One entry: from the credit to the debit account."""
        position, debit, credit, amount = record.unpack(">hqqq")
        asset, where = record.text(), f"entry {place} of sequence {self.sequence}"
        if position != place or debit == credit or not 0 < amount < AMOUNT_LIMIT:
            self.source.fail(f"{where} has position {position} and amount {amount}")
        debited, credited = self.accounts.get(debit), self.accounts.get(credit)
        if debited is None or credited is None:
            self.source.fail(f"{where} names an account that is not open")
        if not debited.asset == credited.asset == asset:
            self.source.fail(f"{where} is in {asset}, its accounts are not")
        debited.counters[0 if is_pending else 1] += amount
        credited.counters[2 if is_pending else 3] += amount
        return debited, credited, amount

    def read_resolution(self, record: Record) -> None:
        """A pending ledger transaction ends: posted or voided, as a whole, once."""
        self.next_sequence(record)
        (pending_sequence,) = record.unpack(">q")
        is_posted = record.flag()
        (created_at,) = record.unpack(">q")
        self.compare_time(created_at)
        legs = self.open.pop(pending_sequence, None)
        if legs is None:
            self.source.fail(f"sequence {self.sequence} ends {pending_sequence}, which is not open")
        for debited, credited, amount in legs:
            debited.counters[0] -= amount
            credited.counters[2] -= amount
            if is_posted:
                debited.counters[1] += amount
                credited.counters[3] += amount
        self.counts["resolutions"] += 1

    def next_sequence(self, record: Record) -> None:
        """Sequences have no gaps."""
        (sequence,) = record.unpack(">q")
        if sequence != self.sequence + 1:
            self.source.fail(f"sequence {self.sequence + 1} should follow, not {sequence}")
        self.sequence = sequence

    def compare_time(self, created_at: int) -> None:
        """Everything in a batch has the batch's time."""
        if created_at != self.created_at:
            self.source.fail(f"a record's time {created_at} is not its batch's {self.created_at}")

    def compare_floor(self, account: Account, moment: str) -> None:
        """An account with a floor never has less available."""
        if account.floor is not None and account.available < account.floor:
            self.source.fail(
                f"{account.path} has {account.available} available {moment};"
                f" its floor is {account.floor}"
            )

    def compare_anchor(self) -> None:
        """The chain contains every batch that was noted elsewhere."""
        noted = self.anchors.pop(self.number, None)
        if noted is not None and noted != self.hash.hex():
            self.source.fail(
                f"the anchor says {noted}, the chain has {self.hash.hex()}: it was written anew"
            )

    def read_accounts(self) -> None:
        """The counters of every account, as the file says and as the records give them."""
        source = self.source
        source.within = "the accounts"
        (count,) = source.unpack(">q")
        if count != len(self.accounts):
            source.fail(f"it says {count} accounts, the records opened {len(self.accounts)}")
        for number in sorted(self.accounts):
            account, (found, *counters) = self.accounts[number], source.unpack(">qqqqq")
            if found != number or counters != account.counters:
                source.fail(
                    f"account {number}, {account.path}, has {account.counters} by its entries; the"
                    f" file says {counters} of account {found}"
                )

    def read_end(self) -> None:
        """Counts and head, the checksum, and then nothing."""
        source = self.source
        source.within = "the end"
        expected = (
            b"E",
            len(self.accounts),
            self.counts["transactions"],
            self.counts["resolutions"],
            self.counts["entries"],
            len(self.open),
            self.sequence,
            self.created_at,
            self.number,
            self.hash,
        )
        found = source.unpack(">cqqqqqqqq32s")
        if found != expected:
            source.fail(f"the file says {found}, the records give {expected}")
        checksum = source.checksum.digest()
        if source.take(len(checksum)) != checksum:
            source.fail("the checksum of the file is wrong")
        if not source.is_over():
            source.fail("something follows the end")
        for number in sorted(self.anchors):
            source.fail(f"the anchor is of batch {number}: newer batches were cut off")


def prove(file: BinaryIO, anchors: dict[int, str]) -> Ledger:
    """Read a whole export.

    Raises:
        Difference: The first thing that does not hold.
    """
    ledger = Ledger(Source(file), anchors)
    ledger.read()
    return ledger


def totals(accounts: Iterator[Account]) -> Iterator[str]:
    """Balances by asset and first word of the path; then debits and credits by asset.

    Minor units: a file does not say how many digits an asset has.
    """
    words: dict[tuple[str, str], list[int]] = {}
    assets: dict[str, list[int]] = {}
    for each in accounts:
        row = words.setdefault((each.asset, each.word), [0, 0, 0])
        for place, number in enumerate((1, each.posted, each.available)):
            row[place] += number
        row = assets.setdefault(each.asset, [0, 0, 0, 0])
        for place, number in enumerate(each.counters):
            row[place] += number
    for (asset, word), (count, posted, available) in sorted(words.items()):
        noun = "account " if count == 1 else "accounts"
        yield f"{asset:8} {word:18} {count:>8} {noun}  posted {posted}  available {available}"
    for asset, row in sorted(assets.items()):
        yield f"{asset:8} debits {row[1]} = credits {row[3]}; pending {row[0]} = {row[2]}"


def anchor(text: str) -> tuple[int, str]:
    """`NUMBER:HASH`."""
    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-fA-F]{64})", text)
    if found is None:
        raise argparse.ArgumentTypeError("an anchor is NUMBER:HASH, the hash in 64 digits")
    return int(found[1]), found[2].lower()


def main(arguments: list[str] | None = None) -> int:
    """Prove one file; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "file", type=Path, help="what `corridor verify --export FILE` wrote", metavar="FILE"
    )
    parser.add_argument(
        "--anchor",
        type=anchor,
        action="append",
        default=[],
        metavar="NUMBER:HASH",
        help="a batch and its hash, noted earlier elsewhere, that the chain must contain; without"
        " one, a chain that was cut off or written anew is not found; may be repeated",
    )
    parser.add_argument(
        "--accounts", action="store_true", help="list every account and its balance"
    )
    given = parser.parse_args(arguments)
    anchors: dict[int, str] = {}
    for number, noted in given.anchor:
        if anchors.setdefault(number, noted) != noted:
            parser.error(f"two anchors name batch {number} and differ")
    try:
        with given.file.open("rb", buffering=2**20) as file:
            ledger = prove(file, anchors)
    except OSError as error:
        print(f"{given.file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    except Difference as difference:
        print(f"NOT PROVEN. {given.file}, {difference}")
        return 1
    print("Amounts are minor units: 100 in an asset of 2 digits, such as EUR, is 1.00.")
    if given.accounts:
        for number, each in sorted(ledger.accounts.items()):
            print(f"{number:>8} {each.path}  posted {each.posted}  available {each.available}")
    print("\n".join(totals(iter(ledger.accounts.values()))))
    counts = ", ".join(f"{name} {count}" for name, count in ledger.counts.items())
    print(f"batches {ledger.number}, {counts}, pending ones open {len(ledger.open)}")
    print(f"anchor {ledger.number}:{ledger.hash.hex()}")
    print("Proven: hashes, numbering, balances, holds and floors follow from the records.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
