"""Proving the books: everything that can be derived from the records is derived, and compared.

The records are read in one snapshot, so nobody waits and no lock is held: a batch is in it as a
whole or not at all. They are folded in a thread of their own, page by page, so that the process
goes on answering.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from node.core.ports import UnitOfWork
from node.core.ports.verification import VerificationRepository
from node.core.proof.accounts import Checkpoints
from node.core.proof.chain import ANCHOR_CHECK, CHECKS, Proof
from node.core.proof.export import ExportWriter
from node.core.proof.findings import SHOWN_MAX, Difference, Findings
from node.core.proof.records import Anchor

Item = TypeVar("Item")
Progress = Callable[[str, int, int], None]
"""Told what is being checked, how much of it is done and how much there is. Called from any
thread."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of one run.

    Attributes:
        anchor: Where the chain ends: to be noted elsewhere, and given to a later run.
        sequences: Ledger transactions and resolutions.
        checks: Name and meaning of each check made.
        differences: What does not hold, the first ones of each check; empty: the books are proven.
        counts: Check -> how many differences it found, also those that are not listed.
    """

    anchor: Anchor
    batches: int
    sequences: int
    accounts: int
    entries: int
    transfers: int
    checks: Sequence[tuple[str, str]]
    differences: Sequence[Difference]
    counts: dict[str, int]


class VerifyService:
    """Verifies the books at one instant."""

    def __init__(self, units: UnitOfWork) -> None:
        self._units = units

    async def verify(
        self,
        progress: Progress = lambda _name, _done, _total: None,
        *,
        anchors: Sequence[Anchor] = (),
        export: Callable[[bytes], object] | None = None,
        tell: Callable[[Difference], None] = lambda _: None,
    ) -> Verification:
        """Make every check in one snapshot.

        Args:
            progress: See `Progress`.
            anchors: Batches that the chain must contain.
            export: Takes the bytes of an export, in order; it is whole only when the outcome has
                no differences.
            tell: Told of each difference as soon as it is found. Called from any thread.
        """
        findings = Findings(tell)
        writer = ExportWriter(export) if export is not None else None
        async with self._units.snapshot() as unit:
            stored = unit.verification
            heads = await stored.heads()
            total = max((each.sequence for each in heads), default=0)
            proof = Proof(
                findings,
                anchors=anchors,
                export=writer,
                progress=lambda done: progress("ledger", done, total),
            )
            await _in_thread(stored, proof, findings)
            proof.compare_head(heads)
            for place, (name, _) in enumerate(stored.checks):
                progress(name, place, len(stored.checks))
                for each in await stored.differences(name, SHOWN_MAX + 1):
                    findings.take(each)
            transfers = await stored.count_transfers()
            checks = [*CHECKS.items(), *([ANCHOR_CHECK] if anchors else []), *stored.checks]
        books = proof.books
        if writer is not None and not findings.kept:
            writer.end(proof.head, books)
        progress("", len(checks), len(checks))
        return Verification(
            proof.head.anchor,
            proof.head.batch,
            proof.head.sequence,
            len(books.accounts),
            books.entries,
            transfers,
            checks,
            findings.kept,
            dict(findings.counts),
        )


async def _in_thread(stored: VerificationRepository, proof: Proof, findings: Findings) -> None:
    """Fold all records, and compare with what is stored."""
    loop = asyncio.get_running_loop()

    def pulled(pages: AsyncIterator[Sequence[Item]]) -> Iterator[Item]:
        """The items of all pages; the next page is fetched while one is worked through."""

        async def following() -> Sequence[Item]:
            return await anext(pages, None) or ()

        ahead = asyncio.run_coroutine_threadsafe(following(), loop)
        while page := ahead.result():
            ahead = asyncio.run_coroutine_threadsafe(following(), loop)
            yield from page

    def fold() -> None:
        proof.read(
            pulled(stored.batches()),
            pulled(stored.openings()),
            pulled(stored.records()),
            Checkpoints(pulled(stored.checkpoints()), findings),
        )
        proof.books.compare(pulled(stored.accounts()))
        proof.books.compare_open(pulled(stored.open_pendings()))

    await asyncio.to_thread(fold)
