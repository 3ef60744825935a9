"""The naive ledger, as a competent newcomer would write it: one ORM transaction for each posting.

The rows of the accounts are locked in the order of their ids, so that it never deadlocks; limits
are looked at under the lock; the key is a unique column. Its books are right. It knows the ids of
accounts beforehand and looks nothing else up, so that it does as well as this design can.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from node.core.ledger import LedgerTransaction
from node.devnet.postgres import Postgres
from scripts.bench.measure import BenchFailed
from scripts.bench.postings.content import (
    BANK,
    CUSTOMER_ACCOUNTS,
    CUSTOMERS,
    OPENING_MINOR,
    STRIDE,
    check_same,
    turnover,
)
from scripts.bench.postings.orm_models import Account, Base, Entry, Transfer

_FILL_PART: Final = 250_000  # transfers of one statement while filling

_ACCOUNTS: Final = """
INSERT INTO accounts (path, may_be_negative, balance)
SELECT path, path = $2, 0 FROM unnest($1::text[]) AS path
"""
# The same as `content.openings`.
_OPENINGS: Final = """
WITH booked AS (
    INSERT INTO transfers (key, kind, detail)
    SELECT 'opening-' || n, 'correction', jsonb_build_object('reason', 'benchmark ' || n)
    FROM generate_series(0, cardinality($1::bigint[]) - 1) AS n
    RETURNING id, substr(key, length('opening-') + 1)::integer AS n
)
INSERT INTO entries (transfer_id, debit_account_id, credit_account_id, asset, amount)
SELECT booked.id, $2, ($1::bigint[])[n + 1], 'EUR', $3 FROM booked
"""
# The same as `content.two_entries` for every second number from $1 to below $2.
_FILL: Final = """
WITH booked AS (
    INSERT INTO transfers (key, kind, detail)
    SELECT 'posting-' || n, 'chargeback', jsonb_build_object('reason', 'benchmark ' || n)
    FROM generate_series($1::bigint, $2::bigint - 1, 2) AS n
    RETURNING id, substr(key, length('posting-') + 1)::bigint AS n
)
INSERT INTO entries (transfer_id, debit_account_id, credit_account_id, asset, amount)
SELECT booked.id, ($3::bigint[])[n * $4 % cardinality($3) + 1], $5, 'EUR', part.amount
FROM booked CROSS JOIN LATERAL (VALUES (100 + n % 900), (1 + n % 9)) AS part (amount)
"""
_BALANCES: Final = """
UPDATE accounts SET balance = side.amount FROM (
    SELECT account_id, sum(amount) AS amount FROM (
        SELECT credit_account_id AS account_id, amount FROM entries
        UNION ALL SELECT debit_account_id, -amount FROM entries
    ) AS moved GROUP BY account_id
) AS side WHERE accounts.id = account_id
"""
_NEW: Final = """
SELECT path, coalesce(sum(debit), 0)::bigint AS debits, coalesce(sum(credit), 0)::bigint AS credits
FROM (
    SELECT debit_account_id AS account_id, amount AS debit, 0::bigint AS credit
    FROM entries WHERE id > $1
    UNION ALL SELECT credit_account_id, 0, amount FROM entries WHERE id > $1
) AS side JOIN accounts ON accounts.id = account_id GROUP BY path
"""
_COUNTS: Final = """
SELECT (SELECT count(*) FROM transfers WHERE id > $1), (SELECT count(*) FROM entries WHERE id > $2)
"""


class OrmBooks:
    """One database of the naive ledger."""

    def __init__(self, engine: AsyncEngine, owner: asyncpg.Connection[Any]) -> None:
        self._new_session = async_sessionmaker(engine, expire_on_commit=False)
        self._owner = owner
        self._ids: dict[str, int] = {}
        self._balances: dict[str, int] = {}
        self._transfer_id = self._entry_id = 0

    async def post(self, transaction: LedgerTransaction) -> None:
        """Book one, in a transaction of its own.

        Raises:
            BenchFailed: An account does not have the money.
        """
        entries = [
            (self._ids[each.debit], self._ids[each.credit], each) for each in transaction.entries
        ]
        ids = {number for debit, credit, _ in entries for number in (debit, credit)}
        async with self._new_session.begin() as session:
            found = await session.scalars(
                select(Account).where(Account.id.in_(ids)).order_by(Account.id).with_for_update()
            )
            accounts = {account.id: account for account in found}
            transfer = Transfer(
                key=transaction.key, kind=transaction.kind, detail=dict(transaction.detail)
            )
            session.add(transfer)
            await session.flush()
            for debit, credit, each in entries:
                accounts[debit].balance -= each.amount
                accounts[credit].balance += each.amount
                session.add(
                    Entry(
                        transfer_id=transfer.id,
                        debit_account_id=debit,
                        credit_account_id=credit,
                        asset=each.asset,
                        amount=each.amount,
                    )
                )
            for account in accounts.values():
                if account.balance < 0 and not account.may_be_negative:
                    raise BenchFailed(f"{account.path} does not have the money")

    async def begin(self) -> None:
        """Remember where the books stand."""
        rows = await self._owner.fetch("SELECT path, id, balance FROM accounts")
        self._ids = {row["path"]: row["id"] for row in rows}
        self._balances = {row["path"]: row["balance"] for row in rows}
        self._transfer_id = await self._newest("transfers")
        self._entry_id = await self._newest("entries")

    async def check(self, acknowledged: Sequence[LedgerTransaction]) -> None:
        """What was booked since `begin` is exactly what was acknowledged.

        Raises:
            BenchFailed: A count, an entry or a balance says otherwise.
        """
        expected = (len(acknowledged), sum(len(each.entries) for each in acknowledged))
        counts = tuple(await self._owner.fetchrow(_COUNTS, self._transfer_id, self._entry_id))
        if counts != expected:
            raise BenchFailed(f"the naive ledger has {counts} new rows, acknowledged {expected}")
        debits, credits_ = turnover(acknowledged)
        rows = await self._owner.fetch(_NEW, self._entry_id)
        check_same("entries", {row["path"]: row["debits"] for row in rows}, debits)
        check_same("entries", {row["path"]: row["credits"] for row in rows}, credits_)
        now = await self._owner.fetch("SELECT path, balance FROM accounts")
        moved = {path: balance - self._balances[path] for path, balance in now}
        due = {path: credits_[path] - debits[path] for path in debits | credits_}
        check_same("balances", moved, due)

    async def fill(self, entries: int, told: Callable[[int], None]) -> None:
        """Insert until there are so many entries; then what autovacuum would do."""
        there = await self._owner.fetchval("SELECT count(*) FROM entries")
        if not there:
            await self._open_accounts()
            there = CUSTOMERS
        await self.begin()
        customers = [self._ids[path] for path in CUSTOMER_ACCOUNTS]
        # The rows refer to what is there by construction; it need not be looked up for each.
        await self._owner.execute("SET session_replication_role = replica")
        for start in range(there, entries, 2 * _FILL_PART):
            stop = min(start + 2 * _FILL_PART, entries)
            await self._owner.execute(_FILL, start, stop, customers, STRIDE, self._ids[BANK])
            told(stop)
        await self._owner.execute("RESET session_replication_role")
        await self._owner.execute(_BALANCES)
        await self._owner.execute("VACUUM ANALYZE")

    async def _open_accounts(self) -> None:
        await self._owner.execute(_ACCOUNTS, [BANK, *CUSTOMER_ACCOUNTS], BANK)
        await self.begin()
        customers = [self._ids[path] for path in CUSTOMER_ACCOUNTS]
        await self._owner.execute(_OPENINGS, customers, self._ids[BANK], OPENING_MINOR)

    async def _newest(self, table: str) -> int:
        found = await self._owner.fetchval(f"SELECT max(id) FROM {table}")  # noqa: S608 - ours
        return int(found or 0)


@asynccontextmanager
async def opened(postgres: Postgres, name: str, *, callers: int) -> AsyncIterator[OrmBooks]:
    """The naive ledger in a database of this name, with a connection for each caller."""
    engine = _engine(postgres, name, callers)
    owner = await asyncpg.connect(postgres.url(name))
    try:
        yield OrmBooks(engine, owner)
    finally:
        await owner.close()
        await engine.dispose()


async def create(postgres: Postgres, name: str) -> None:
    """A new database with the naive tables."""
    postgres.create_database(name)
    engine = _engine(postgres, name, 1)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


def _engine(postgres: Postgres, name: str, callers: int) -> AsyncEngine:
    url = make_url(postgres.url(name)).set(drivername="postgresql+asyncpg")
    return create_async_engine(url, pool_size=callers, max_overflow=0)
