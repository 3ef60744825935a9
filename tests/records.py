"""A ledger made of nothing but its records, written by the format's own description.

Shares no code with what reads records (`node.core.proof.records`) or writes them (the database),
so that a mistake in one of them shows.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from node.core.ledger import LedgerTransaction, Outcome, Resolution, account_rules
from node.core.proof.accounts import CheckpointRow, Checkpoints, StoredAccount
from node.core.proof.chain import Proof
from node.core.proof.export import ExportWriter
from node.core.proof.findings import Difference, Findings
from node.core.proof.records import Anchor, BatchRow


def text(value: str) -> bytes:
    """A text of the format."""
    return struct.pack(">i", len(value.encode())) + value.encode()


def account_record(number: int, path: str, at_us: int, **changes: object) -> bytes:
    """The record of an account; kind, asset and floor are the chart's unless changed."""
    kind, floor = account_rules(path)
    said = {"kind": kind.value, "asset": path.rpartition("/")[2], "floor": floor} | changes
    return (
        b"A"
        + struct.pack(">q", number)
        + UUID(int=number).bytes
        + text(path)
        + text(str(said["kind"]))
        + text(str(said["asset"]))
        + struct.pack(">bqq", said["floor"] is not None, said["floor"] or 0, at_us)
    )


def transaction_record(
    sequence: int, booked: LedgerTransaction, numbers: dict[str, int], at_us: int
) -> bytes:
    """The record of a ledger transaction."""
    transfer = booked.transfer_id
    entries = b"".join(
        struct.pack(">hqqq", place, numbers[each.debit], numbers[each.credit], each.amount)
        + text(each.asset)
        for place, each in enumerate(booked.entries)
    )
    return (
        b"T"
        + struct.pack(">q", sequence)
        + text(booked.key)
        + text(booked.kind)
        + struct.pack(">bb", booked.pending, transfer is not None)
        + (transfer.bytes if transfer else bytes(16))
        + hashlib.sha256(b"{}").digest()
        + struct.pack(">qi", at_us, len(booked.entries))
        + entries
    )


def resolution_record(sequence: int, ended: Resolution, at_us: int) -> bytes:
    """The record of a resolution."""
    posted = ended.outcome is Outcome.POSTED
    return b"R" + struct.pack(">qqbq", sequence, ended.pending_sequence, posted, at_us)


@dataclass
class MadeBatch:
    """One batch, open to be tampered with before the chain is closed over it."""

    number: int
    first: int
    last: int
    at_us: int
    opened: list[bytes]
    records: list[bytes]


@dataclass
class MadeLedger:
    """Batches as they would be booked; `rows` hashes them as they then are."""

    batches: list[MadeBatch] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    sequence: int = 0

    def book(self, *booked: LedgerTransaction | Resolution) -> None:
        """Book a batch, in the order given; new accounts are opened by it."""
        number = len(self.batches) + 1
        at_us = 1_764_000_000_000_000 + number
        opened, records, first = [], [], self.sequence + 1
        for each in booked:
            self.sequence += 1
            if isinstance(each, Resolution):
                records.append(resolution_record(self.sequence, each, at_us))
                continue
            for path in (path for one in each.entries for path in (one.debit, one.credit)):
                if path not in self.numbers:
                    self.numbers[path] = len(self.numbers) + 1
                    opened.append(account_record(self.numbers[path], path, at_us))
            records.append(transaction_record(self.sequence, each, self.numbers, at_us))
        self.batches.append(MadeBatch(number, first, self.sequence, at_us, opened, records))

    def rows(self) -> Iterator[BatchRow]:
        """The chain over the records as they are now."""
        before = bytes(32)
        for each in self.batches:
            records = [*each.opened, *each.records]
            before = hashlib.sha256(
                b"corridor ledger 1"
                + before
                + struct.pack(
                    ">qqqqi", each.number, each.first, each.last, each.at_us, len(records)
                )
                + b"".join(struct.pack(">i", len(record)) + record for record in records)
            ).digest()
            yield BatchRow(each.number, each.first, each.last, each.at_us, before)

    def anchor(self, number: int) -> Anchor:
        """The anchor of a batch."""
        return next(Anchor(number, row.hash) for row in self.rows() if row.number == number)


def read(
    made: MadeLedger,
    *,
    anchors: tuple[Anchor, ...] = (),
    rows: list[BatchRow] | None = None,
    checkpoints: tuple[CheckpointRow, ...] = (),
    export: ExportWriter | None = None,
) -> tuple[Proof, Findings]:
    """Read a made ledger; `rows` instead of the chain that fits."""
    findings = Findings()
    proof = Proof(findings, anchors=anchors, export=export)
    proof.read(
        list(made.rows()) if rows is None else rows,
        [(each.number, record) for each in made.batches for record in each.opened],
        [
            (struct.unpack_from(">q", record, 1)[0], record)
            for each in made.batches
            for record in each.records
        ],
        Checkpoints(checkpoints, findings),
    )
    return proof, findings


def differences(made: MadeLedger, **given: object) -> list[Difference]:
    """What a reading of a made ledger finds; the head and the accounts are stored as it says."""
    proof, findings = read(made, **given)  # type: ignore[arg-type]
    proof.compare_head([proof.head])
    proof.books.compare(
        StoredAccount(number, each.path, each.counters)
        for number, each in sorted(proof.books.accounts.items())
    )
    return findings.kept


def exported(made: MadeLedger) -> bytes:
    """The export of a made ledger, whatever is in it."""
    pieces: list[bytes] = []
    writer = ExportWriter(pieces.append)
    proof, _ = read(made, export=writer)
    writer.end(proof.head, proof.books)
    return b"".join(pieces)
