"""The node's ledger as it is measured: PostingService over its own store, and proof of its books.

Not here: what is posted (`content.py`), the naive program (`orm_side.py`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import asyncpg

from node.core.catalog import USDC, Offer, TokenInfo, catalog_of
from node.core.ledger import LedgerTransaction
from node.core.units import Address
from node.devnet.postgres import Postgres
from node.services.ledger.posting import PostingService
from node.services.ledger.verifying import VerifyService
from node.store import schema
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from scripts.bench.measure import BenchFailed
from scripts.bench.postings.content import (
    CUSTOMERS,
    check_same,
    openings,
    turnover,
    two_entries,
)
from scripts.bench.postings.server import forget_peak, resident_mb

_CATALOG: Final = catalog_of(TokenInfo(USDC, 31_337, Address(b"\x70" * 20)), Offer(corridors=()))
_FILL_BATCH: Final = 5_000  # ledger transactions of one batch while filling

_COUNTERS: Final = "SELECT path, debits_posted, credits_posted FROM account"
_NEW: Final = """
SELECT path, coalesce(sum(debit), 0)::bigint AS debits, coalesce(sum(credit), 0)::bigint AS credits
FROM (
    SELECT debit_account_id AS account_id, amount AS debit, 0::bigint AS credit
    FROM entry WHERE sequence > $1
    UNION ALL SELECT credit_account_id, 0, amount FROM entry WHERE sequence > $1
) AS side JOIN account ON account.id = account_id GROUP BY path
"""
_COUNTS: Final = """
SELECT (SELECT count(*) FROM ledger_transaction WHERE sequence > $1),
    (SELECT count(*) FROM entry WHERE sequence > $1), (SELECT sequence FROM ledger) - $1
"""


@dataclass(frozen=True, slots=True)
class Verified:
    """One run of VerifyService that found nothing.

    Attributes:
        entries: How many there were.
        seconds: How long it took.
        resident_mb: Memory of this process before and at most during it; None without /proc.
    """

    entries: int
    seconds: float
    resident_mb: tuple[int | None, int | None]


class NodeBooks:
    """One database of the node.

    Attributes:
        posting: The service, as the node composes it.
    """

    def __init__(self, database: Database, owner: asyncpg.Connection[Any]) -> None:
        self._units = StoreUnits(database)
        self._owner = owner
        self._sequence = 0
        self._counters: dict[str, tuple[int, int]] = {}
        self.posting = PostingService(self._units, _CATALOG)

    async def post(self, transaction: LedgerTransaction) -> None:
        """Book one."""
        await self.posting.post(transaction)

    async def post_many(self, transactions: Sequence[LedgerTransaction]) -> None:
        """Book many.

        Raises:
            BenchFailed: One was refused.
        """
        for outcome in await self.posting.post_many(transactions):
            if isinstance(outcome, Exception):
                raise BenchFailed("a posting was refused") from outcome

    async def begin(self) -> None:
        """Remember where the books stand."""
        self._sequence = await self._owner.fetchval("SELECT sequence FROM ledger")
        self._counters = await self._read_counters()

    async def check(self, acknowledged: Sequence[LedgerTransaction]) -> None:
        """What was booked since `begin` is exactly what was acknowledged.

        Raises:
            BenchFailed: A count, an entry or a counter says otherwise.
        """
        entries = sum(len(each.entries) for each in acknowledged)
        expected = (len(acknowledged), entries, len(acknowledged))
        counts = tuple(await self._owner.fetchrow(_COUNTS, self._sequence))
        if counts != expected:
            raise BenchFailed(f"the node's ledger has {counts} new rows, acknowledged {expected}")
        debits, credits_ = turnover(acknowledged)
        rows = await self._owner.fetch(_NEW, self._sequence)
        check_same("entries", {row["path"]: row["debits"] for row in rows}, debits)
        check_same("entries", {row["path"]: row["credits"] for row in rows}, credits_)
        counters = await self._read_counters()
        for place, due in ((0, debits), (1, credits_)):
            moved = {
                path: now[place] - self._counters.get(path, (0, 0))[place]
                for path, now in counters.items()
            }
            check_same("counters", moved, due)

    async def fill(self, entries: int, told: Callable[[int], None]) -> None:
        """Book in big batches until there are so many entries; then what autovacuum would do."""
        there = await self._owner.fetchval("SELECT count(*) FROM entry")
        if not there:
            await self._fill(openings())
            there = CUSTOMERS
        for start in range(there, entries, 2 * _FILL_BATCH):
            stop = min(start + 2 * _FILL_BATCH, entries)
            await self._fill(two_entries(number, CUSTOMERS) for number in range(start, stop, 2))
            told(stop)
        await self._owner.execute("VACUUM ANALYZE")

    async def verified(self) -> Verified:
        """VerifyService finds nothing.

        Raises:
            BenchFailed: It found a difference.
        """
        before = resident_mb()
        forget_peak()
        began_s = time.perf_counter()
        found = await VerifyService(self._units).verify()
        seconds = time.perf_counter() - began_s
        if found.differences:
            raise BenchFailed(f"verify found {found.differences[0]}")
        return Verified(found.entries, seconds, (before, resident_mb("VmHWM")))

    async def _fill(self, transactions: Iterable[LedgerTransaction]) -> None:
        each = iter(transactions)
        while batch := list(islice(each, _FILL_BATCH)):
            async with self._units() as unit:
                await unit.ledger.lock()
                await unit.ledger.post(batch)

    async def _read_counters(self) -> dict[str, tuple[int, int]]:
        return {row[0]: (row[1], row[2]) for row in await self._owner.fetch(_COUNTERS)}


@asynccontextmanager
async def opened(postgres: Postgres, name: str) -> AsyncIterator[NodeBooks]:
    """The node's ledger in a database of this name, with the login that a node has."""
    database = Database.at(postgres.node_url(name))
    owner = await asyncpg.connect(postgres.url(name))
    try:
        yield NodeBooks(database, owner)
    finally:
        await owner.close()
        await database.close()


async def create(postgres: Postgres, name: str) -> None:
    """A new database with the node's schema."""
    postgres.create_database(name)
    await schema.migrate(postgres.url(name))
