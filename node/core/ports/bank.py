"""The bank's statements as they are kept, and whoever reads their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from node.core.bank import (
    BankStatement,
    Before,
    Conserved,
    LedgerItem,
    LineKey,
    Matched,
    OpenLine,
    StatedStatement,
)
from node.core.paging import ListQuery, Page


class StatementReader(Protocol):
    """Reads files of banks."""

    def read(self, content: bytes, media_type: str, *, currency: str) -> Sequence[StatedStatement]:
        """The statements of a file, in its order.

        Args:
            content: The file.
            media_type: `application/xml` (camt.053) or `text/csv`.
            currency: Of CSV that does not say it; empty: unknown.

        Raises:
            StatementInvalid: It cannot be read; says where and why.
        """
        ...


@dataclass(frozen=True, slots=True)
class BankAccount:
    """One account at one bank: the ledger's `bank/{rail}/{asset}`.

    Attributes:
        since: First day of its first statement: what was booked earlier is not compared.
        last: Last day of its newest one.
        closing: Of the newest, minor units.
        newest_id: The newest statement.
    """

    rail: str
    asset: str
    since: date
    last: date
    closing: int
    newest_id: UUID


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """A statement that was imported.

    Attributes:
        known: How many of its lines had come in an earlier one; they are kept with that.
        lines: Its own lines, matched and not; minor units.
        name: The bank's name of it.
    """

    id: UUID
    rail: str
    asset: str
    name: str
    account: str
    number: int | None
    first: date
    last: date
    opening: int
    closing: int
    known: int
    pending: int
    lines: Conserved
    made_by: str
    imported_at: datetime


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line as it was imported, and what it is matched to."""

    id: UUID
    statement_id: UUID
    rail: str
    asset: str
    position: int
    amount: int
    booked_on: date
    value_on: date | None
    references: tuple[str, ...]
    identity: str | None
    counterparty: str
    description: str
    is_reversal: bool
    ledger_sequence: int | None
    matched_by: str | None

    @property
    def open(self) -> OpenLine:
        """As matching sees it."""
        return OpenLine(self.id, self.amount, self.booked_on, self.references)


@dataclass(frozen=True, slots=True)
class NewStatement:
    """A statement to be kept.

    Attributes:
        part: Its place in the file, from 0: the file's hash and this name it.
        opening, closing: As `node.core.bank.follow` found them.
        line_ids: One for each line.
        known: Identities of lines that are kept already.
    """

    id: UUID
    rail: str
    asset: str
    sha256: bytes
    part: int
    statement: BankStatement
    opening: int
    closing: int
    line_ids: Sequence[UUID]
    known: frozenset[str]
    made_by: str


class BankRepository(Protocol):
    """Statements, lines, matches. Nothing of them is ever changed or deleted."""

    async def lock(self, rail: str, asset: str) -> None:
        """Let nobody else import or match at this account until the end of the transaction."""
        ...

    async def of_file(self, rail: str, sha256: bytes) -> Sequence[UUID]:
        """Statements that this very file gave, in its order."""
        ...

    async def before(self, rail: str, asset: str) -> Before | None:
        """The newest statement of an account."""
        ...

    async def known(self, rail: str, asset: str, identities: Sequence[str]) -> Mapping[str, int]:
        """Which of these lines are kept: identity -> amount, minor units."""
        ...

    async def of_days(self, rail: str, asset: str, first: date, last: date) -> Sequence[LineKey]:
        """Lines that are kept of these days: day, amount and references of each."""
        ...

    async def add(self, new: NewStatement) -> None:
        """Keep a statement with those of its lines that are not known."""
        ...

    async def accounts(self) -> Sequence[BankAccount]:
        """Every account that has a statement."""
        ...

    async def account(self, rail: str, asset: str) -> BankAccount | None:
        """One account; None: it has no statement."""
        ...

    async def open_lines(self, account: BankAccount) -> Sequence[StoredLine]:
        """Lines that nothing is matched to, oldest first."""
        ...

    async def open_items(self, account: BankAccount, above: int) -> Sequence[LedgerItem]:
        """What the ledger moved on the account, and no line is matched to, oldest first.

        One for each ledger transaction above this sequence that is posted; what nets to nothing
        is left out.
        """
        ...

    async def item(self, account: BankAccount, sequence: int) -> tuple[LedgerItem, bool] | None:
        """What one ledger transaction moved on the account, and whether a line is matched to it."""
        ...

    async def add_matches(
        self, account: BankAccount, matches: Sequence[Matched], made_by: str, reason: str
    ) -> None:
        """Keep matches. A line or a ledger transaction that is matched already is a fault."""
        ...

    async def matched_above(self, account: BankAccount, sequence: int) -> int:
        """What lines come to that match what was booked above a sequence, minor units."""
        ...

    async def statement(self, statement_id: UUID) -> StoredStatement | None:
        """One statement."""
        ...

    async def statements(self, query: ListQuery) -> Page[StoredStatement]:
        """Statements, newest first. Filters: `rail`, `currency`."""
        ...

    async def lines(self, statement_id: UUID, query: ListQuery) -> Page[StoredLine]:
        """Lines of one, in their order. Filters: `status` (matched, unmatched)."""
        ...

    async def line(self, line_id: UUID) -> StoredLine | None:
        """One line."""
        ...

    async def top_up_sequence(self, top_up_id: UUID) -> int | None:
        """The ledger transaction that booked a top-up."""
        ...
