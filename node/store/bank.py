"""The bank's statements, lines and matches in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from node.core.bank import Before, Conserved, LedgerItem, LineKey, Matched, Tally
from node.core.errors import NotFound
from node.core.ids import Prefix, decode_id
from node.core.ledger import bank_account
from node.core.paging import ListQuery, Page, Position
from node.core.ports.bank import BankAccount, NewStatement, StoredLine, StoredStatement
from node.store.database import Connection

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ACCOUNTS: Final = """
SELECT s.rail, s.asset, s.last_day, s.closing, s.id,
    (SELECT first_day FROM bank_statement f
     WHERE f.rail = s.rail AND f.asset = s.asset AND f.place = 1) AS since
FROM bank_statement s WHERE NOT EXISTS (
    SELECT FROM bank_statement n WHERE n.rail = s.rail AND n.asset = s.asset AND n.place > s.place)
  AND ($1::text IS NULL OR (s.rail = $1 AND s.asset = $2))
ORDER BY s.rail, s.asset
"""
_ADD_STATEMENT: Final = """
INSERT INTO bank_statement (id, rail, asset, place, sha256, part, name, account, number, first_day,
    last_day, opening, closing, known, pending, made_by)
SELECT $1, $2, $3, 1 + coalesce(max(place), 0), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
FROM bank_statement WHERE rail = $2 AND asset = $3
"""
_ADD_LINE: Final = """
INSERT INTO bank_line (id, statement_id, rail, asset, position, amount, booked_on, value_on, refs,
    identity, counterparty, description, is_reversal)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
_LINE: Final = """
SELECT l.*, m.ledger_sequence, m.by FROM bank_line l LEFT JOIN bank_match m ON m.line_id = l.id
"""
_MATCHED: Final = """
SELECT FROM bank_match m
WHERE m.ledger_sequence = {0}.sequence AND m.rail = $2 AND m.asset = $3
"""
# A ledger transaction is one movement at the bank, however many entries it has there.
_ITEMS: Final = """
WITH moved AS (
    SELECT e.sequence, e.amount FROM entry e, account a
    WHERE a.path = $1 AND e.debit_account_id = a.id AND {which}
    UNION ALL
    SELECT e.sequence, -e.amount FROM entry e, account a
    WHERE a.path = $1 AND e.credit_account_id = a.id AND {which}
)
SELECT t.sequence, sum(moved.amount)::bigint AS amount, t.detail ->> 'reference' AS reference,
    t.detail ->> 'break' AS break_id,
    (coalesce(r.created_at, t.created_at) AT TIME ZONE 'UTC')::date AS booked_on,
    EXISTS ({matched}) AS is_matched
FROM moved JOIN ledger_transaction t USING (sequence)
LEFT JOIN ledger_resolution r ON r.pending_sequence = t.sequence AND r.outcome = 'posted'
WHERE NOT t.pending OR r.sequence IS NOT NULL
GROUP BY t.sequence, t.detail, t.created_at, r.created_at
HAVING sum(moved.amount) <> 0
ORDER BY t.sequence
"""
_STATEMENT: Final = """
SELECT s.*, count(l.id) AS lines, coalesce(sum(l.amount), 0)::bigint AS total,
    count(m.line_id) AS matched,
    coalesce(sum(l.amount) FILTER (WHERE m.line_id IS NOT NULL), 0)::bigint AS matched_total,
    count(l.id) FILTER (WHERE m.line_id IS NULL) AS unmatched,
    coalesce(sum(l.amount) FILTER (WHERE m.line_id IS NULL), 0)::bigint AS unmatched_total
FROM bank_statement s LEFT JOIN bank_line l ON l.statement_id = s.id
LEFT JOIN bank_match m ON m.line_id = l.id
WHERE {which} GROUP BY s.id ORDER BY s.imported_at DESC, s.id DESC
"""


class BankStore:
    """See `node.core.ports.bank.BankRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def lock(self, rail: str, asset: str) -> None:
        """Let nobody else import or match at this account until the end of the transaction."""
        await self._raw.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('bank/' || $1 || '/' || $2, 0))",
            rail,
            asset,
        )

    async def of_file(self, rail: str, sha256: bytes) -> Sequence[UUID]:
        """Statements that this very file gave, in its order."""
        rows = await self._raw.fetch(
            "SELECT id FROM bank_statement WHERE rail = $1 AND sha256 = $2 ORDER BY part",
            rail,
            sha256,
        )
        return [row["id"] for row in rows]

    async def before(self, rail: str, asset: str) -> Before | None:
        """The newest statement of an account."""
        row = await self._raw.fetchrow(
            "SELECT * FROM bank_statement WHERE rail = $1 AND asset = $2"
            " ORDER BY place DESC LIMIT 1",
            rail,
            asset,
        )
        if row is None:
            return None
        return Before(row["name"], row["account"], row["number"], row["last_day"], row["closing"])

    async def known(self, rail: str, asset: str, identities: Sequence[str]) -> Mapping[str, int]:
        """Which of these lines are kept: identity -> amount, minor units."""
        rows = await self._raw.fetch(
            "SELECT identity, amount FROM bank_line"
            " WHERE rail = $1 AND asset = $2 AND identity = ANY($3::text[])",
            rail,
            asset,
            list(identities),
        )
        return {row["identity"]: row["amount"] for row in rows}

    async def of_days(self, rail: str, asset: str, first: date, last: date) -> Sequence[LineKey]:
        """Lines that are kept of these days: day, amount and references of each."""
        rows = await self._raw.fetch(
            "SELECT booked_on, amount, refs FROM bank_line"
            " WHERE rail = $1 AND asset = $2 AND booked_on BETWEEN $3 AND $4",
            rail,
            asset,
            first,
            last,
        )
        return [(row["booked_on"], row["amount"], tuple(row["refs"])) for row in rows]

    async def add(self, new: NewStatement) -> None:
        """Keep a statement with those of its lines that are not known."""
        told = new.statement
        await self._raw.execute(
            _ADD_STATEMENT, new.id, new.rail, new.asset, new.sha256, new.part, told.name,
            told.account, told.number, told.first, told.last, new.opening, new.closing,
            len(new.known), told.pending, new.made_by,
        )  # fmt: skip
        await self._raw.executemany(
            _ADD_LINE,
            [
                (
                    line_id, new.id, new.rail, new.asset, each.position, each.amount,
                    each.booked_on, each.value_on, list(each.references), each.identity,
                    each.counterparty, each.description, each.is_reversal,
                )
                for line_id, each in zip(new.line_ids, told.lines, strict=True)
                if each.identity not in new.known
            ],
        )  # fmt: skip

    async def accounts(self) -> Sequence[BankAccount]:
        """Every account that has a statement."""
        return [_account(row) for row in await self._raw.fetch(_ACCOUNTS, None, None)]

    async def account(self, rail: str, asset: str) -> BankAccount | None:
        """One account; None: it has no statement."""
        row = await self._raw.fetchrow(_ACCOUNTS, rail, asset)
        return _account(row) if row else None

    async def open_lines(self, account: BankAccount) -> Sequence[StoredLine]:
        """Lines that nothing is matched to, oldest first."""
        rows = await self._raw.fetch(
            f"{_LINE} WHERE l.rail = $1 AND l.asset = $2 AND m.line_id IS NULL"
            " ORDER BY l.booked_on, l.id",
            account.rail,
            account.asset,
        )
        return [_line(row) for row in rows]

    async def open_items(self, account: BankAccount, above: int) -> Sequence[LedgerItem]:
        """What the ledger moved on the account, and no line is matched to, oldest first."""
        which = f"e.sequence > $4 AND NOT EXISTS ({_MATCHED.format('e')})"
        return await self._with_lines(await self._items(account, which, above))

    async def item(self, account: BankAccount, sequence: int) -> tuple[LedgerItem, bool] | None:
        """What one ledger transaction moved on the account, and whether a line is matched to it."""
        rows = await self._items(account, "e.sequence = $4", sequence)
        if not rows:
            return None
        (found,) = await self._with_lines(rows)
        return found, bool(rows[0]["is_matched"])

    async def add_matches(
        self, account: BankAccount, matches: Sequence[Matched], made_by: str, reason: str
    ) -> None:
        """Keep matches. A line or a ledger transaction that is matched already is a fault."""
        await self._raw.executemany(
            "INSERT INTO bank_match (line_id, rail, asset, ledger_sequence, by, made_by, reason)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                (
                    each.line_id, account.rail, account.asset, each.sequence, each.by.value,
                    made_by, reason,
                )
                for each in matches
            ],
        )  # fmt: skip

    async def matched_above(self, account: BankAccount, sequence: int) -> int:
        """What lines come to that match what was booked above a sequence, minor units."""
        return int(
            await self._raw.fetchval(
                "SELECT coalesce(sum(l.amount), 0) FROM bank_match m"
                " JOIN bank_line l ON l.id = m.line_id"
                " WHERE m.rail = $1 AND m.asset = $2 AND m.ledger_sequence > $3",
                account.rail,
                account.asset,
                sequence,
            )
        )

    async def statement(self, statement_id: UUID) -> StoredStatement | None:
        """One statement."""
        row = await self._raw.fetchrow(_STATEMENT.format(which="s.id = $1"), statement_id)
        return _statement(row) if row else None

    async def statements(self, query: ListQuery) -> Page[StoredStatement]:
        """Statements, newest first. Filters: `rail`, `currency`."""
        position = query.position()
        which = (
            "($1::text IS NULL OR s.rail = $1) AND ($2::text IS NULL OR s.asset = $2) AND"
            " ($3::timestamptz IS NULL OR (s.imported_at, s.id) < ($3, $4::uuid))"
        )
        rows = await self._raw.fetch(
            f"{_STATEMENT.format(which=which)} LIMIT $5",
            query.filters.get("rail"),
            query.filters.get("currency"),
            position.created_at if position else None,
            position.uuid if position else None,
            query.limit + 1,
        )
        return query.page(
            [_statement(row) for row in rows], lambda row: Position(row.imported_at, row.id.int)
        )

    async def lines(self, statement_id: UUID, query: ListQuery) -> Page[StoredLine]:
        """Lines of one, in their order. Filters: `status` (matched, unmatched)."""
        position = query.position()
        status = query.filters.get("status")
        rows = await self._raw.fetch(
            f"{_LINE} WHERE l.statement_id = $1 AND l.position > $2"
            " AND ($3::boolean IS NULL OR (m.line_id IS NOT NULL) = $3)"
            " ORDER BY l.position LIMIT $4",
            statement_id,
            min(position.id, 2**31 - 1) if position else 0,
            None if status is None else status == "matched",
            query.limit + 1,
        )
        return query.page([_line(row) for row in rows], lambda row: Position(_EPOCH, row.position))

    async def line(self, line_id: UUID) -> StoredLine | None:
        """One line."""
        row = await self._raw.fetchrow(f"{_LINE} WHERE l.id = $1", line_id)
        return _line(row) if row else None

    async def top_up_sequence(self, top_up_id: UUID) -> int | None:
        """The ledger transaction that booked a top-up."""
        found: int | None = await self._raw.fetchval(
            "SELECT ledger_sequence FROM top_up WHERE id = $1", top_up_id
        )
        return found

    async def _items(self, account: BankAccount, which: str, sequence: int) -> Sequence[Any]:
        rows: Sequence[Any] = await self._raw.fetch(
            _ITEMS.format(which=which, matched=_MATCHED.format("t")),
            bank_account(account.rail, account.asset),
            account.rail,
            account.asset,
            sequence,
        )
        return rows

    async def _with_lines(self, rows: Sequence[Any]) -> list[LedgerItem]:
        """With the line that each is about, where it closed the break of one."""
        breaks = {row["break_id"]: _id(Prefix.BREAK, row["break_id"]) for row in rows}
        told = await self._raw.fetch(
            "SELECT id, evidence ->> 'bank_line' AS line FROM reconciliation_break"
            " WHERE id = ANY($1::uuid[]) AND evidence ? 'bank_line'",
            [each for each in breaks.values() if each is not None],
        )
        lines = {row["id"]: _id(Prefix.BANK_LINE, row["line"]) for row in told}
        return [
            LedgerItem(
                row["sequence"],
                row["amount"],
                row["booked_on"],
                row["reference"] or "",
                lines.get(breaks[row["break_id"]]),
            )
            for row in rows
        ]


def _id(prefix: Prefix, text: str | None) -> UUID | None:
    try:
        return decode_id(prefix, text) if text else None
    except NotFound:
        return None


def _account(row: Any) -> BankAccount:
    return BankAccount(
        row["rail"], row["asset"], row["since"], row["last_day"], row["closing"], row["id"]
    )


def _statement(row: Any) -> StoredStatement:
    return StoredStatement(
        id=row["id"],
        rail=row["rail"],
        asset=row["asset"],
        name=row["name"],
        account=row["account"],
        number=row["number"],
        first=row["first_day"],
        last=row["last_day"],
        opening=row["opening"],
        closing=row["closing"],
        known=row["known"],
        pending=row["pending"],
        lines=Conserved(
            Tally(row["lines"], row["total"]),
            Tally(row["matched"], row["matched_total"]),
            Tally(row["unmatched"], row["unmatched_total"]),
        ),
        made_by=row["made_by"],
        imported_at=row["imported_at"],
    )


def _line(row: Any) -> StoredLine:
    return StoredLine(
        id=row["id"],
        statement_id=row["statement_id"],
        rail=row["rail"],
        asset=row["asset"],
        position=row["position"],
        amount=row["amount"],
        booked_on=row["booked_on"],
        value_on=row["value_on"],
        references=tuple(row["refs"]),
        identity=row["identity"],
        counterparty=row["counterparty"],
        description=row["description"],
        is_reversal=row["is_reversal"],
        ledger_sequence=row["ledger_sequence"],
        matched_by=row["by"],
    )
