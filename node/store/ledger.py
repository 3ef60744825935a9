"""Accounts, entries and balances in PostgreSQL.

Writing is set-based: one batch is a handful of statements, whatever its size. Counters, limits
and append-only rows are the database's own (see the migrations); nothing here adds up a balance.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import func, select, tuple_

from node.core.errors import InvariantBroken
from node.core.ledger import AccountKind, Balance, LedgerTransaction, Resolution, account_rules
from node.core.paging import ROW_ID_MAX, ListQuery, Page, Position
from node.core.ports.ledger import AccountRow, EntryRow, TrialRow
from node.store.database import Connection, Row
from node.store.tables import account

_ENTRIES_PER_TRANSACTION: Final = 1000  # room in an entry's id below its ledger transaction

_OPEN_ACCOUNTS = """
INSERT INTO account (path, kind, asset, floor)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
ON CONFLICT (path) DO NOTHING
"""
_INSERT_TRANSACTIONS = """
INSERT INTO ledger_transaction (sequence, batch, key, kind, pending, transfer_id, detail)
SELECT s, $1, k, d, p, t, j::jsonb FROM unnest(
    $2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::uuid[], $7::text[]
) AS new (s, k, d, p, t, j)
"""
_INSERT_ENTRIES = """
INSERT INTO entry (id, sequence, debit_account_id, credit_account_id, asset, amount)
SELECT * FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])
"""
_INSERT_RESOLUTIONS = """
INSERT INTO ledger_resolution (pending_sequence, sequence, batch, outcome)
SELECT p, s, $1, o FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS new (p, s, o)
"""
_TRIAL_BALANCE = """
SELECT asset, sum(debits_posted)::numeric AS debits, sum(credits_posted)::numeric AS credits
FROM account GROUP BY asset ORDER BY asset
"""
_ENTRIES = """
WITH side AS (
    SELECT id, sequence, true AS is_debit, debit_account_id AS account_id,
           credit_account_id AS counter_id, asset, amount
    FROM entry WHERE debit_account_id = ANY($1::bigint[])
    UNION ALL
    SELECT id, sequence, false, credit_account_id, debit_account_id, asset, amount
    FROM entry WHERE credit_account_id = ANY($1::bigint[])
), line AS (
    SELECT s.*, t.kind, t.transfer_id, t.detail,
           CASE WHEN NOT t.pending THEN 'posted' ELSE coalesce(r.outcome, 'pending') END AS status,
           CASE WHEN NOT t.pending THEN t.sequence
                WHEN r.outcome = 'posted' THEN r.sequence END AS effective_sequence,
           CASE WHEN t.pending AND r.outcome = 'posted' THEN r.created_at
                ELSE t.created_at END AS occurred_at
    FROM side s JOIN ledger_transaction t USING (sequence)
    LEFT JOIN ledger_resolution r ON r.pending_sequence = s.sequence
), running AS (
    SELECT *, CASE WHEN effective_sequence IS NOT NULL THEN
        (sum(CASE WHEN effective_sequence IS NULL THEN 0
                  WHEN is_debit = $2 THEN amount ELSE -amount END)
            OVER (PARTITION BY account_id ORDER BY effective_sequence, id))::bigint END
        AS balance_after
    FROM line
)
SELECT running.*, a.path AS counter_path FROM running JOIN account a ON a.id = counter_id
WHERE (NOT $3 OR effective_sequence IS NOT NULL)
  AND ($4::timestamptz IS NULL OR (occurred_at, running.id) < ($4, $5))
ORDER BY occurred_at DESC, running.id DESC LIMIT $6
"""


class LedgerStore:
    """See `node.core.ports.ledger.LedgerRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = connection.raw
        self._head: tuple[int, int] | None = None  # newest batch and sequence, while locked

    async def lock(self) -> None:
        """Take the ledger's lock until the end of the transaction."""
        if self._head is None:
            row = await self._raw.fetchrow("SELECT batch, sequence FROM ledger FOR UPDATE")
            assert row is not None
            self._head = (row["batch"], row["sequence"])

    async def post(
        self,
        transactions: Sequence[LedgerTransaction] = (),
        resolutions: Sequence[Resolution] = (),
    ) -> Mapping[str, int]:
        """Book one batch; see the port."""
        if self._head is None:
            raise InvariantBroken("the ledger is posted to only under its lock")
        known = await self._booked(transactions)
        fresh = [each for each in transactions if each.key not in known]
        if not fresh and not resolutions:
            return known
        batch, sequence = self._head[0] + 1, self._head[1]
        try:
            if resolutions:
                await self._resolve(resolutions, batch, sequence)
            sequence += len(resolutions)
            await self._insert(fresh, batch, sequence)
        except (
            asyncpg.CheckViolationError,
            asyncpg.UniqueViolationError,
            asyncpg.NumericValueOutOfRangeError,
        ) as error:
            raise InvariantBroken(f"the ledger refused a batch: {error}") from error
        booked = {each.key: sequence + n for n, each in enumerate(fresh, start=1)}
        self._head = (batch, sequence + len(fresh))
        await self._raw.execute("UPDATE ledger SET batch = $1, sequence = $2", *self._head)
        return {**known, **booked}

    async def _booked(self, transactions: Sequence[LedgerTransaction]) -> dict[str, int]:
        rows = await self._raw.fetch(
            "SELECT key, sequence FROM ledger_transaction WHERE key = ANY($1::text[])",
            [each.key for each in transactions],
        )
        return {row["key"]: row["sequence"] for row in rows}

    async def _resolve(self, resolutions: Sequence[Resolution], batch: int, sequence: int) -> None:
        await self._raw.execute(
            _INSERT_RESOLUTIONS,
            batch,
            [each.pending_sequence for each in resolutions],
            list(range(sequence + 1, sequence + 1 + len(resolutions))),
            [each.outcome.value for each in resolutions],
        )

    async def _insert(
        self, transactions: Sequence[LedgerTransaction], batch: int, sequence: int
    ) -> None:
        if not transactions:
            return
        ids = await self._account_ids(transactions)
        await self._raw.execute(
            _INSERT_TRANSACTIONS,
            batch,
            list(range(sequence + 1, sequence + 1 + len(transactions))),
            [each.key for each in transactions],
            [each.kind for each in transactions],
            [each.pending for each in transactions],
            [each.transfer_id for each in transactions],
            [orjson.dumps(dict(each.detail)).decode() for each in transactions],
        )
        rows = [
            (
                number * _ENTRIES_PER_TRANSACTION + position,
                number,
                ids[entry.debit],
                ids[entry.credit],
                entry.asset,
                entry.amount,
            )
            for number, each in enumerate(transactions, start=sequence + 1)
            for position, entry in enumerate(each.entries)
        ]
        await self._raw.execute(
            _INSERT_ENTRIES, *(list(column) for column in zip(*rows, strict=True))
        )

    async def _account_ids(self, transactions: Sequence[LedgerTransaction]) -> dict[str, int]:
        """Ids of every account named, opening those that are new."""
        assets = {
            path: entry.asset
            for each in transactions
            for entry in each.entries
            for path in (entry.debit, entry.credit)
        }
        ids = await self._ids_of(list(assets))
        new = sorted(path for path in assets if path not in ids)
        if new:
            rules = [account_rules(path) for path in new]
            await self._raw.execute(
                _OPEN_ACCOUNTS,
                new,
                [kind.value for kind, _ in rules],
                [assets[path] for path in new],
                [floor for _, floor in rules],
            )
            ids |= await self._ids_of(new)
        return ids

    async def _ids_of(self, paths: Sequence[str]) -> dict[str, int]:
        rows = await self._raw.fetch(
            "SELECT path, id FROM account WHERE path = ANY($1::text[])", paths
        )
        return {row["path"]: row["id"] for row in rows}

    async def balances(self, paths: Sequence[str]) -> Mapping[str, Balance]:
        """Counters by path; an account that does not exist yet has zeros."""
        rows = await self._raw.fetch(
            "SELECT * FROM account WHERE path = ANY($1::text[])", list(paths)
        )
        found = {row["path"]: _balance(row) for row in rows}
        return {
            path: found.get(path) or Balance(path, account_rules(path)[0], path.rpartition("/")[2])
            for path in paths
        }

    async def trial_balance(self) -> Sequence[TrialRow]:
        """Posted debits and credits per asset, by asset."""
        rows = await self._raw.fetch(_TRIAL_BALANCE)
        return [TrialRow(row["asset"], int(row["debits"]), int(row["credits"])) for row in rows]

    async def accounts(self, query: ListQuery) -> Page[AccountRow]:
        """The chart, newest first. Filters: `path` (prefix), `currency`."""
        statement = select(account).order_by(
            account.c.created_at.desc(), account.c.public_id.desc()
        )
        if path := query.filters.get("path"):
            statement = statement.where(func.starts_with(account.c.path, path))
        if currency := query.filters.get("currency"):
            statement = statement.where(account.c.asset == currency)
        if position := query.position():
            statement = statement.where(
                tuple_(account.c.created_at, account.c.public_id)
                < tuple_(position.created_at, position.uuid)
            )
        rows = (await self._connection.sql.execute(statement.limit(query.limit + 1))).mappings()
        return query.page(
            [_account(row) for row in rows], lambda row: Position(row.created_at, row.id.int)
        )

    async def account(self, account_id: UUID) -> AccountRow | None:
        """One account."""
        row = await self._raw.fetchrow("SELECT * FROM account WHERE public_id = $1", account_id)
        return _account(row) if row else None

    async def accounts_below(self, prefix: str) -> Sequence[AccountRow]:
        """Every account whose path starts with `prefix`, by path."""
        rows = await self._raw.fetch(
            "SELECT * FROM account WHERE starts_with(path, $1) ORDER BY path", prefix
        )
        return [_account(row) for row in rows]

    async def entries(
        self, accounts: Sequence[AccountRow], query: ListQuery, *, posted_only: bool
    ) -> Page[EntryRow]:
        """Entries of accounts of one kind, newest first, each with the balance after it."""
        if not accounts:
            return Page((), None)
        kind = accounts[0].balance.kind
        position = query.position(ROW_ID_MAX)
        rows = await self._raw.fetch(
            _ENTRIES,
            [each.number for each in accounts],
            kind in (AccountKind.ASSET, AccountKind.EXPENSE),
            posted_only,
            position.created_at if position else None,
            position.id if position else None,
            query.limit + 1,
        )
        return query.page(
            [_entry(row) for row in rows], lambda row: Position(row.occurred_at, row.id)
        )


def _account(row: Row) -> AccountRow:
    return AccountRow(row["public_id"], row["id"], _balance(row), row["created_at"])


def _balance(row: Row) -> Balance:
    return Balance(
        row["path"],
        AccountKind(row["kind"]),
        row["asset"],
        row["debits_pending"],
        row["debits_posted"],
        row["credits_pending"],
        row["credits_posted"],
    )


def _entry(row: Row) -> EntryRow:
    transfer_id: UUID | None = row["transfer_id"]
    return EntryRow(
        row["id"],
        row["sequence"],
        row["kind"],
        row["status"],
        transfer_id,
        row["is_debit"],
        row["counter_path"],
        row["asset"],
        row["amount"],
        row["balance_after"],
        row["effective_sequence"],
        row["detail"],
        row["occurred_at"],
    )
