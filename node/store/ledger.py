"""Accounts, entries and balances in PostgreSQL.

A batch of any size is written by one call of the database's own function `ledger_post`, which
numbers, books and hashes it; the node may write the ledger in no other way (see the migrations and
`node/docs/adr`). Nothing here adds up a balance.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import func, select, tuple_

from node.core.errors import InvariantBroken
from node.core.ledger import AccountKind, Balance, LedgerTransaction, Resolution, account_rules
from node.core.paging import ListQuery, Page, Position
from node.core.ports.ledger import AccountRow, Refusal, TrialRow
from node.store.database import Connection, Row
from node.store.tables import account

_POST = """
SELECT ledger_post($1::text[], $2::text[], $3::boolean[], $4::uuid[], $5::text[], $6::text[],
    $7::integer[], $8::smallint[], $9::integer[], $10::integer[], $11::text[], $12::bigint[],
    $13::bigint[], $14::text[])
"""
_TRIAL_BALANCE = """
SELECT asset, sum(debits_posted)::numeric AS debits, sum(credits_posted)::numeric AS credits
FROM account GROUP BY asset ORDER BY asset
"""
_COUNTERS: Final = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
_TOTALS = f"""
SELECT split_part(path, '/', 1) AS word, asset, {", ".join(f"sum({n}) AS {n}" for n in _COUNTERS)}
FROM account WHERE asset = ANY($1::text[]) GROUP BY 1, 2
"""  # noqa: S608 - parts are constants


class LedgerStore:
    """See `node.core.ports.ledger.LedgerRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = connection.raw
        self._is_locked = False

    async def lock(self) -> None:
        """Take the ledger's lock until the end of the transaction."""
        if not self._is_locked:
            await self._raw.execute("SELECT FROM ledger FOR UPDATE")
            self._is_locked = True

    async def post(
        self,
        transactions: Sequence[LedgerTransaction] = (),
        resolutions: Sequence[Resolution] = (),
    ) -> Mapping[str, int]:
        """Book one batch; see the port."""
        if not self._is_locked:
            raise InvariantBroken("the ledger is posted to only under its lock")
        if not transactions and not resolutions:
            return {}
        try:
            sequences = await self._raw.fetchval(
                _POST,
                *_transaction_columns(transactions),
                *_entry_columns(transactions),
                [each.pending_sequence for each in resolutions],
                [each.outcome.value for each in resolutions],
            )
        except asyncpg.IntegrityConstraintViolationError as error:
            raise InvariantBroken(f"the ledger refused a batch: {error}") from error
        except asyncpg.NumericValueOutOfRangeError as error:
            raise InvariantBroken(f"the ledger refused a batch: {error}") from error
        return {each.key: sequence for each, sequence in zip(transactions, sequences, strict=True)}

    async def refusals(self, keys: Sequence[str]) -> Mapping[str, Refusal]:
        """What keys were refused for; those that never were are left out."""
        rows = await self._raw.fetch(
            "SELECT key, code, detail FROM ledger_refusal WHERE key = ANY($1::text[])", list(keys)
        )
        return {row["key"]: Refusal(row["key"], row["code"], row["detail"]) for row in rows}

    async def remember_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Keep refusals, so that their keys are refused again."""
        if refusals:
            await self._raw.execute(
                "INSERT INTO ledger_refusal (key, code, detail)"
                " SELECT k, c, d::jsonb FROM unnest($1::text[], $2::text[], $3::text[])"
                " AS new (k, c, d)",
                [each.key for each in refusals],
                [each.code for each in refusals],
                [orjson.dumps(dict(each.detail)).decode() for each in refusals],
            )

    async def balances(self, paths: Sequence[str]) -> Mapping[str, Balance]:
        """Counters by path; an account that does not exist yet has zeros."""
        rows = await self._raw.fetch(
            "SELECT * FROM account WHERE path = ANY($1::text[])", list(paths)
        )
        found = {row["path"]: _balance(row) for row in rows}
        lines = await self._credit_lines([path for path in paths if path not in found])
        return {
            path: found.get(path)
            or Balance(
                path,
                account_rules(path)[0],
                path.rpartition("/")[2],
                credit_line=lines.get(path, 0),
            )
            for path in paths
        }

    async def _credit_lines(self, unopened: Sequence[str]) -> Mapping[str, int]:
        """Lines that accounts will have once they are opened; others are left out."""
        own = [path for path in unopened if path.startswith("partner/")]
        if not own:
            return {}
        rows = await self._raw.fetch(
            "SELECT account, credit_line FROM partner_limit WHERE account = ANY($1::text[])", own
        )
        return {row["account"]: row["credit_line"] for row in rows}

    async def totals(self, assets: Collection[str]) -> Sequence[Balance]:
        """Counters of all accounts of these assets, summed by first word of the path and asset."""
        rows = await self._raw.fetch(_TOTALS, list(assets))
        return [
            Balance(
                f"{row['word']}/{row['asset']}",
                account_rules(row["word"])[0],
                row["asset"],
                *(int(row[column]) for column in _COUNTERS),
            )
            for row in rows
        ]

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


def _transaction_columns(transactions: Sequence[LedgerTransaction]) -> list[list[object]]:
    """Columns of ledger transactions: key, kind, pending, transfer, detail."""
    return [
        [each.key for each in transactions],
        [each.kind for each in transactions],
        [each.pending for each in transactions],
        [each.transfer_id for each in transactions],
        [orjson.dumps(dict(each.detail)).decode() for each in transactions],
    ]


def _entry_columns(transactions: Sequence[LedgerTransaction]) -> list[list[object]]:
    """The paths that entries name, then columns: owner, position, debit, credit, asset, amount."""
    places: dict[str, int] = {}
    owners: list[object] = []
    positions: list[object] = []
    debits: list[object] = []
    credits_: list[object] = []
    assets: list[object] = []
    amounts: list[object] = []
    for owner, transaction in enumerate(transactions, start=1):
        for position, entry in enumerate(transaction.entries):
            owners.append(owner)
            positions.append(position)
            debits.append(places.setdefault(entry.debit, len(places) + 1))
            credits_.append(places.setdefault(entry.credit, len(places) + 1))
            assets.append(entry.asset)
            amounts.append(entry.amount)
    return [list(places), owners, positions, debits, credits_, assets, amounts]


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
        row["credit_line"],
    )
