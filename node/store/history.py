"""Ledger transactions as booked; balances, entries and statements as of any sequence.

What is up to a sequence is never changed or added to (see the migrations), so every statement here
that is bounded by one gives the same rows whenever it runs: reading needs neither a lock nor a
snapshot. Counters as of a sequence are those of a base, moved by what lies between: nothing, for an
account with few entries; the newest checkpoint before, or the live counters, for one with many. So
the cost of an answer is bounded, however long the history is.

Entries are found by account and sequence. One that a resolution posted stands elsewhere, at the
resolution; where not all entries of an account are read, those booked before a span and posted
within it are found by the resolutions of the span. Not here: writing the ledger
(`node.store.ledger`), the SQL itself (`node.store.history_sql`).
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Final

import asyncpg

from node.core.ledger import (
    AccountKind,
    Balance,
    Entry,
    LedgerTransaction,
    Outcome,
    account_rules,
)
from node.core.paging import ROW_ID_MAX, ListQuery, Page, Position
from node.core.ports.history import AsOf, EntryRow, TransactionRow
from node.core.ports.ledger import AccountRow, TrialRow
from node.core.statements import Line
from node.store import history_sql as sql
from node.store.database import Connection, Row

_POSITIONS: Final = 1000  # room for entries in a number, below their ledger transaction
_ONE_CHECKPOINT: Final = 0x636B7074  # the advisory lock of whoever writes one: "ckpt"

Counters = tuple[int, int, int, int]
"""debits_pending, debits_posted, credits_pending, credits_posted; as in `Balance`."""

_ZERO: Final[Counters] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class HistoryBounds:
    """How much is read at once; answers do not depend on it.

    Attributes:
        few_entries: Accounts with at most so many entries are read as a whole.
        span_first: For those with more, so many sequences are looked through at first.
        span_max: And at most so many at a time.
    """

    few_entries: int = 2_000
    span_first: int = 500
    span_max: int = 10_000


_BOUNDS: Final = HistoryBounds()


@dataclass(frozen=True, slots=True)
class _Span:
    """A place to look for what was posted.

    Attributes:
        after: What stands after this sequence,
        upto: up to this one.
        floor: Entries booked up to here are found by their resolutions; 0: by their accounts.
    """

    after: int
    upto: int
    floor: int


class HistoryStore:
    """See `node.core.ports.history.HistoryRepository`."""

    def __init__(self, connection: Connection, bounds: HistoryBounds = _BOUNDS) -> None:
        self._raw = connection.raw
        self._bounds = bounds
        self._derived: dict[int, tuple[int, Counters]] = {}  # account -> as of when, the last time

    async def transactions(self, keys: Sequence[str]) -> Mapping[str, TransactionRow]:
        """What is booked under these keys; keys that are not are left out."""
        rows = await self._raw.fetch(sql.OF_KEYS, list(keys))
        return {row["key"]: _transaction(row) for row in rows}

    async def transaction(self, sequence: int) -> TransactionRow | None:
        """The ledger transaction of this sequence; None where there is none, or a resolution."""
        row = await self._raw.fetchrow(sql.OF_SEQUENCE, sequence)
        return _transaction(row) if row else None

    async def head(self) -> AsOf:
        """The newest point."""
        return _point(await self._raw.fetchrow(sql.HEAD))

    async def at_time(self, moment: datetime) -> AsOf:
        """The newest point booked at or before a time."""
        return _point(await self._raw.fetchrow(sql.AT_TIME, moment))

    async def at_sequence(self, sequence: int) -> AsOf:
        """The point of a sequence."""
        return AsOf(sequence, await self._raw.fetchval(sql.AT_SEQUENCE, sequence))

    async def balances_at(self, paths: Sequence[str], sequence: int) -> Mapping[str, Balance]:
        """The four counters as of a sequence, by path; zeros where there was no account yet."""
        rows = await self._raw.fetch(
            "SELECT id, path FROM account WHERE path = ANY($1::text[])", list(paths)
        )
        ids = {row["path"]: row["id"] for row in rows}
        counters = await self._counters(list(ids.values()), sequence)
        return {
            path: Balance(
                path,
                account_rules(path)[0],
                path.rpartition("/")[2],
                *(counters[ids[path]] if path in ids else _ZERO),
            )
            for path in paths
        }

    async def accounts_at(self, prefixes: Sequence[str], sequence: int) -> Sequence[AccountRow]:
        """The accounts that existed at a sequence, whose path starts with one of `prefixes`."""
        found = [await self._raw.fetch(sql.ACCOUNTS_AT, each, sequence) for each in prefixes]
        rows = sorted(chain.from_iterable(found), key=itemgetter("path"))
        counters = await self._counters([row["id"] for row in rows], sequence)
        return [
            AccountRow(
                row["public_id"],
                row["id"],
                Balance(row["path"], AccountKind(row["kind"]), row["asset"], *counters[row["id"]]),
                row["created_at"],
            )
            for row in rows
        ]

    async def trial_balance_at(self, sequence: int) -> Sequence[TrialRow]:
        """Posted debits and credits per asset as of a sequence, by asset."""
        live = await self._raw.fetch(sql.TRIAL_LIVE, sequence)
        checked = await self._raw.fetch(sql.TRIAL_BASES, sequence)
        head = live[0]["sequence"] if live else sequence
        checkpoint = checked[0]["sequence"] if checked else 0
        if sequence - checkpoint < head - sequence:
            base, sign, after, upto = checked, 1, checkpoint, sequence
        else:
            base, sign, after, upto = live, -1, sequence, head
        debits, credits_ = defaultdict[str, int](int), defaultdict[str, int](int)
        moved = await self._raw.fetch(sql.TRIAL_MOVED, after, upto) if after < upto else []
        for rows, factor in ((base, 1), (moved, sign)):
            for row in rows:
                debits[row["asset"]] += factor * int(row["debits"])
                credits_[row["asset"]] += factor * int(row["credits"])
        return [
            TrialRow(asset, debits[asset], credits_[asset])
            for asset in sorted(row["asset"] for row in live if row["existed"])
        ]

    async def entries(
        self, accounts: Sequence[AccountRow], query: ListQuery, *, posted_only: bool
    ) -> Page[EntryRow]:
        """Entries of accounts of one kind, newest first, each with the balance after it."""
        position = query.position(ROW_ID_MAX)
        if not accounts:
            return Page((), None)
        ids = [each.number for each in accounts]
        kind = accounts[0].balance.kind
        head = (await self.head()).sequence
        start = head * _POSITIONS + _POSITIONS if position is None else position.id
        upto = min(start // _POSITIONS, head)
        balances = await self._posted_after(ids, kind, start, upto)
        rows: list[EntryRow] = []
        async for span in self._spans(ids, _Span(0, upto, 0), newest_first=True):
            wanted = query.limit + 1 - len(rows)
            for row in await self._lines(
                ids, span, head, before=start, posted_only=posted_only, limit=wanted
            ):
                balance = balances[row["account_id"]] if row["status"] == "posted" else None
                rows.append(_entry(row, balance))
                if balance is not None:
                    balances[row["account_id"]] = balance - _signed(row, kind)
            if len(rows) > query.limit:
                break
        return query.page(rows, _position)

    async def lines(self, path: str, *, after: int, upto: int) -> AsyncIterator[Sequence[Line]]:
        """What was posted to the account at `path` after `after`, up to `upto`, oldest first."""
        number: int | None = await self._raw.fetchval(
            "SELECT id FROM account WHERE path = $1", path
        )
        if number is None:
            return
        ids, kind = [number], account_rules(path)[0]
        balance = _posted((await self._counters(ids, after))[number], kind)
        async for span in self._spans(ids, _Span(after, upto, after), newest_first=False):
            found: list[Line] = []
            for row in reversed(await self._lines(ids, span, upto, posted_only=True)):
                balance += _signed(row, kind)
                found.append(_line(row, balance))
            if found:
                yield found

    async def checkpoint(self, every: int) -> int | None:
        """Write down the counters of what moved since the last checkpoint, if it is time."""
        if not await self._raw.fetchval("SELECT pg_try_advisory_xact_lock($1)", _ONE_CHECKPOINT):
            return None
        made: int | None = await self._raw.fetchval(sql.CHECKPOINT, every)
        return made

    async def _counters(self, ids: Sequence[int], sequence: int) -> dict[int, Counters]:
        """The counters of accounts as of a sequence, each moved from its nearest base.

        What was derived last is a base as well, so one point after another costs what is between.
        """
        counters: dict[int, Counters] = {}
        moves = defaultdict[tuple[int, int, int], list[int]](list)
        rows = await self._raw.fetch(sql.BASES, list(ids), sequence, self._bounds.few_entries)
        for row in rows:
            each, head = row["id"], row["head"]
            base, after = _counters_of(row, "checked_"), row["checkpoint"]
            before, derived = self._derived.get(each, (0, _ZERO))
            if after < before <= sequence:
                base, after = derived, before
            if row["has_few"]:
                counters[each] = _ZERO
                moves[1, 0, sequence].append(each)
            elif sequence - after < head - sequence:
                counters[each] = base
                moves[1, after, sequence].append(each)
            else:
                counters[each] = _counters_of(row)
                moves[-1, sequence, head].append(each)
        for (sign, after, upto), moving in moves.items():
            if after < upto:
                for row in await self._raw.fetch(sql.MOVED, moving, after, after, upto):
                    counters[row["account_id"]] = _plus(
                        counters[row["account_id"]], _counters_of(row), sign
                    )
        self._derived |= {each: (sequence, found) for each, found in counters.items()}
        return counters

    async def _posted_after(
        self, ids: Sequence[int], kind: AccountKind, start: int, upto: int
    ) -> dict[int, int]:
        """Posted balances after the newest entry below the number `start`."""
        counters = await self._counters(ids, upto)
        balances = {each: _posted(counters[each], kind) for each in ids}
        if start < (upto + 1) * _POSITIONS:  # take out what stands at the same sequence, later
            for row in await self._lines(ids, _Span(upto - 1, upto, upto - 1), upto):
                if row["status"] == "posted" and _number(row) >= start:
                    balances[row["account_id"]] -= _signed(row, kind)
        return balances

    async def _spans(
        self, ids: Sequence[int], whole: _Span, *, newest_first: bool
    ) -> AsyncIterator[_Span]:
        """Where to look for what was posted within `whole`, in order."""
        if await self._raw.fetchval(sql.HAS_FEW, list(ids), self._bounds.few_entries):
            yield _Span(whole.after, whole.upto, 0)
            return
        touched = [
            (max(row["after"], whole.after), min(row["upto"] or whole.upto, whole.upto))
            for row in await self._raw.fetch(sql.TOUCHED, list(ids), whole.after, whole.upto)
        ]
        for after, upto in reversed(touched) if newest_first else touched:
            for span in self._pieces(after, upto, newest_first=newest_first):
                yield span

    def _pieces(self, after: int, upto: int, *, newest_first: bool) -> Iterator[_Span]:
        """The sequences after `after` up to `upto`, so many at a time as bounds say."""
        width = self._bounds.span_first if newest_first else self._bounds.span_max
        while after < upto:
            if newest_first:
                start = max(after, upto - width)
                yield _Span(start, upto, start)
                upto, width = start, min(2 * width, self._bounds.span_max)
            else:
                end = min(upto, after + width)
                yield _Span(after, end, after)
                after = end

    async def _lines(
        self,
        ids: Sequence[int],
        span: _Span,
        as_of: int,
        *,
        before: int = ROW_ID_MAX,
        posted_only: bool = False,
        limit: int | None = None,
    ) -> Sequence[asyncpg.Record]:
        """Entries that stand in a span, newest first, as they were at `as_of`."""
        below = min(before - span.upto * _POSITIONS, _POSITIONS)
        rows: Sequence[asyncpg.Record] = await self._raw.fetch(
            sql.LINES,
            list(ids),
            span.floor,
            span.after,
            span.upto,
            as_of,
            below,
            posted_only,
            limit,
        )
        return rows


def _transaction(row: asyncpg.Record) -> TransactionRow:
    columns = (row["debits"], row["credits"], row["assets"], row["amounts"])
    entries = [Entry(*values) for values in zip(*columns, strict=True)]
    return TransactionRow(
        row["sequence"],
        LedgerTransaction(
            row["key"], row["kind"], entries, row["pending"], row["transfer_id"], row["detail"]
        ),
        Outcome(row["outcome"]) if row["outcome"] else None,
        row["created_at"],
    )


def _point(row: Row | None) -> AsOf:
    return AsOf(row["sequence"], row["booked_at"]) if row else AsOf(0, None)


def _counters_of(row: Row, prefix: str = "") -> Counters:
    return (
        int(row[f"{prefix}debits_pending"]),
        int(row[f"{prefix}debits_posted"]),
        int(row[f"{prefix}credits_pending"]),
        int(row[f"{prefix}credits_posted"]),
    )


def _plus(base: Counters, moved: Counters, sign: int) -> Counters:
    one, two, three, four = (a + sign * b for a, b in zip(base, moved, strict=True))
    return one, two, three, four


def _grows_on_debit(kind: AccountKind) -> bool:
    return kind in (AccountKind.ASSET, AccountKind.EXPENSE)


def _posted(counters: Counters, kind: AccountKind) -> int:
    _, debits, _, credits_ = counters
    return debits - credits_ if _grows_on_debit(kind) else credits_ - debits


def _signed(row: Row, kind: AccountKind) -> int:
    """By how much an entry raises the balance of its account."""
    amount: int = row["amount"]
    return amount if row["is_debit"] == _grows_on_debit(kind) else -amount


def _number(row: Row) -> int:
    """Where an entry stands, as one number."""
    number: int = row["place"] * _POSITIONS + row["position"]
    return number


def _position(row: EntryRow) -> Position:
    return Position(row.occurred_at, row.place * _POSITIONS + row.id % _POSITIONS)


def _entry(row: Row, balance_after: int | None) -> EntryRow:
    return EntryRow(
        row["sequence"] * _POSITIONS + row["position"],
        row["sequence"],
        row["kind"],
        row["status"],
        row["transfer_id"],
        row["is_debit"],
        row["counter_path"],
        row["asset"],
        row["amount"],
        balance_after,
        row["place"],
        row["detail"],
        row["occurred_at"],
    )


def _line(row: Row, balance_after: int) -> Line:
    return Line(
        row["sequence"] * _POSITIONS + row["position"],
        row["sequence"],
        row["place"],
        row["kind"],
        row["is_debit"],
        row["counter_path"],
        row["amount"],
        balance_after,
        row["transfer_id"],
        row["client_reference"],
        row["beneficiary_name"],
        row["detail"],
        row["occurred_at"],
    )
