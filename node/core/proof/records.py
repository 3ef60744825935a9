"""What the hash of a ledger batch covers, byte by byte: its records and how they are chained.

Numbers are big-endian and signed, texts UTF-8 after their length (int4), times microseconds since
1970 UTC (int8). `node/docs/ledger_export.md` is the specification; the database's own writing of
the same bytes is in `node/store/migrations`. Here they are only read.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from uuid import UUID

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

GENESIS: Final = bytes(32)
"""Hash before batch 1."""

ACCOUNT, TRANSACTION, RESOLUTION = b"ATR"
"""First byte of a record."""

INT4: Final = struct.Struct(">i")
INT8: Final = struct.Struct(">q")
NUMBERED_TEXT: Final = struct.Struct(">qi")
"""After the first byte of a ledger transaction: sequence, length of the key."""
TRANSACTION_END: Final = struct.Struct(">BB16x32xqi")
"""After the kind: pending, has a transfer, transfer, hash of the detail, time, how many entries."""
ENTRY: Final = struct.Struct(">hqqqi")
"""Position, debit account, credit account, amount, length of the asset, which follows."""
RESOLUTION_BODY: Final = struct.Struct(">xqqBq")
"""Sequence, sequence of the pending one, posted (1) or voided (0), time."""

UNREADABLE: Final = (struct.error, IndexError, UnicodeDecodeError, ValueError)
"""What reading raises on bytes that are no record."""

COUNT_MAX: Final = 2**31 - 1
"""Records of a batch are counted in an int4."""

_DOMAIN: Final = b"corridor ledger 1"
_BATCH: Final = struct.Struct(">qqqqi")
_ACCOUNT_END: Final = struct.Struct(">Bqq")
_ANCHOR: Final = re.compile(r"([0-9]{1,18}):([0-9a-fA-F]{64})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A batch and its hash, noted elsewhere: the chain must contain it for ever.

    Attributes:
        number: Of the batch; 0 for the beginning.
        hash: 32 bytes.
    """

    number: int
    hash: bytes

    def __str__(self) -> str:
        """`number:hash`, the hash in hexadecimal."""
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The anchor in its text form.

        Raises:
            ValueError: It is none.
        """
        found = _ANCHOR.fullmatch(text)
        if found is None:
            raise ValueError("an anchor is NUMBER:HASH, the hash in 64 hexadecimal digits")
        return cls(int(found[1]), bytes.fromhex(found[2]))


class BatchRow(NamedTuple):
    """One row of the chain.

    Attributes:
        created_at_us: Microseconds since 1970 UTC.
        hash: As stored.
    """

    number: int
    first_sequence: int
    last_sequence: int
    created_at_us: int
    hash: bytes

    def __str__(self) -> str:
        """In one line."""
        return (
            f"batch {self.number}: sequences {self.first_sequence} to {self.last_sequence},"
            f" {time_text(self.created_at_us)}, hash {self.hash.hex()}"
        )


class HeadRow(NamedTuple):
    """Where the chain ends."""

    batch: int
    sequence: int
    hash: bytes
    moved_at_us: int

    def __str__(self) -> str:
        """In one line."""
        return (
            f"batch {self.batch}, sequence {self.sequence}, {time_text(self.moved_at_us)},"
            f" hash {self.hash.hex()}"
        )

    @property
    def anchor(self) -> Anchor:
        """What to note elsewhere."""
        return Anchor(self.batch, self.hash)


class AccountOpening(NamedTuple):
    """What the record of an account says."""

    number: int
    public_id: UUID
    path: str
    kind: str
    asset: str
    floor: int | None
    created_at_us: int


def hasher(before: bytes, batch: BatchRow, count: int) -> "Hash":
    """SHA-256 that has taken in everything of a batch but its records.

    Args:
        before: Hash of the batch before.
        batch: The batch.
        count: How many records follow, each after its length (int4).
    """
    return sha256(
        _DOMAIN
        + before
        + _BATCH.pack(
            batch.number,
            batch.first_sequence,
            batch.last_sequence,
            batch.created_at_us,
            count,
        )
    )


def read_account(record: bytes) -> AccountOpening:
    """The account that a record opens.

    Raises:
        ValueError: It is none (or another of `UNREADABLE`).
    """
    if record[0] != ACCOUNT:
        raise ValueError("not the record of an account")
    (number,) = INT8.unpack_from(record, 1)
    public_id = UUID(bytes=record[9:25])
    path, at = _text(record, 25)
    kind, at = _text(record, at)
    asset, at = _text(record, at)
    has_floor, floor, created_at_us = _ACCOUNT_END.unpack_from(record, at)
    if at + _ACCOUNT_END.size != len(record) or has_floor > 1:
        raise ValueError("not the record of an account")
    return AccountOpening(
        number, public_id, path, kind, asset, floor if has_floor else None, created_at_us
    )


def describe(record: bytes, paths: Mapping[int, str]) -> str:
    """A record in one line, for people.

    Args:
        record: Any record.
        paths: Account -> its path.
    """
    try:
        if record[0] == ACCOUNT:
            opened = read_account(record)
            floor = "none" if opened.floor is None else opened.floor
            return f"account {opened.number}: {opened.path}, {opened.kind}, floor {floor}"
        if record[0] == RESOLUTION:
            sequence, pending_sequence, is_posted, _ = RESOLUTION_BODY.unpack(record)
            return f"{sequence}: {pending_sequence} is {'posted' if is_posted else 'voided'}"
        return _transaction_text(record, paths)
    except UNREADABLE:
        return f"no record: {record[:64].hex()}"


def time_text(moment_us: int) -> str:
    """RFC 3339, or the number where no calendar reaches it."""
    try:
        return (_EPOCH + timedelta(microseconds=moment_us)).isoformat()
    except OverflowError:
        return f"{moment_us} us"


def _transaction_text(record: bytes, paths: Mapping[int, str]) -> str:
    (sequence,) = INT8.unpack_from(record, 1)
    key, at = _text(record, 9)
    kind, at = _text(record, at)
    pending, _, _, count = TRANSACTION_END.unpack_from(record, at)
    at += TRANSACTION_END.size
    entries = []
    for _ in range(count):
        _, debit, credit, amount, _ = ENTRY.unpack_from(record, at)
        asset, at = _text(record, at + ENTRY.size - INT4.size)
        entries.append(
            f"{amount} {asset} {paths.get(debit, debit)} from {paths.get(credit, credit)}"
        )
    manner = "pending " if pending else ""
    return f"{sequence}: {manner}{kind} {key}: {'; '.join(entries)}"


def _text(record: bytes, at: int) -> tuple[str, int]:
    """The text at `at`, and where it ends."""
    (length,) = INT4.unpack_from(record, at)
    end = at + INT4.size + length
    if length < 0 or end > len(record):
        raise ValueError("a text is longer than its record")
    return record[at + INT4.size : end].decode(), end
