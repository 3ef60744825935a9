"""Statements of the bank: imported whole or not at all, matched, and what is left is a break.

One statement follows the other without a gap, so that nothing is missed. A line or a ledger
transaction without its other side is a break, and so is a closing balance that is not the
ledger's; they close by themselves when a later import or booking matches. What matches is
`node.core.bank`. Ledger transactions that were booked before the first statement are not compared.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from node.core.bank import (
    BankStatement,
    LedgerItem,
    Matched,
    Pass,
    check_new,
    follow,
    match,
    read_statement,
    suggest,
)
from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.catalog import Catalog
from node.core.errors import InvalidInput, InvariantBroken, NotFound, RailUnknown, WrongState
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import bank_account
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.bank import (
    BankAccount,
    NewStatement,
    StatementReader,
    StoredLine,
    StoredStatement,
)
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Asset, format_minor
from node.services.idempotency import RenderError, once

_BOOKED_EARLIER: Final = timedelta(days=31)
"""How long before the first statement a booking may be that one of its lines matches."""

_BREAKS_MAX: Final = 500  # of one code, at once: the oldest; the rest follow as they are closed
_CODES: Final = (
    BreakCode.BANK_LINE_UNMATCHED,
    BreakCode.BANK_LINE_MISSING,
    BreakCode.BANK_BALANCE,
)
_JOB: Final = "bank"


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A file as it came.

    Attributes:
        media_type: `application/xml` or `text/csv`.
        currency: Of CSV that does not say it; empty: the file says.
    """

    rail: str
    content: bytes
    media_type: str
    currency: str = ""


@dataclass(frozen=True, slots=True)
class SuggestedLine:
    """A line, and what it could be where nothing is matched to it."""

    line: StoredLine
    suggestions: Sequence[LedgerItem] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to.

    Attributes:
        statements: Those of the file.
        lines_new: Lines that this import kept.
        lines_known: Lines of the file that were kept before it.
    """

    statements: Sequence[StoredStatement]
    lines_new: int
    lines_known: int


class BankService:
    """Imports statements, shows them, confirms suggestions; also the job that matches again.

    Args:
        units: Opens transactions.
        catalog: Currencies and their digits.
        reader: Reads files.
        rails: The node's banks.
        new_id: Makes ids.
    """

    def __init__(
        self,
        *,
        units: UnitOfWork,
        catalog: Catalog,
        reader: StatementReader,
        rails: frozenset[str],
        new_id: Callable[[], UUID],
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._reader = reader
        self._rails = rails
        self._new_id = new_id
        self._seen: dict[tuple[str, str], int] = {}

    async def import_file(
        self,
        principal: Principal,
        file: StatementFile,
        *,
        claim: Claim | None,
        render: Callable[[Imported], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Keep the statements of a file, and match them. The same file again changes nothing.

        All its lines are known then.

        Raises:
            RailUnknown: The node has no such bank.
            StatementInvalid: The file cannot be read.
            StatementUnfit: Its figures do not agree, or it does not follow the newest statement.
            CurrencyUnknown: The node does not have its currency.
        """
        if file.rail not in self._rails:
            raise RailUnknown(
                f"the node has no bank {file.rail!r};"
                f" it has: {', '.join(sorted(self._rails)) or 'none'}"
            )
        statements = await asyncio.to_thread(self._read, file)
        codes = sorted({asset.code for asset, _ in statements})
        sha256 = hashlib.sha256(file.content).digest()

        async def work(unit: Unit) -> Answer:
            for code in codes:
                await unit.bank.lock(file.rail, code)
            is_new = not await unit.bank.of_file(file.rail, sha256)
            if is_new:
                for part, (asset, statement) in enumerate(statements):
                    await self._keep(unit, principal, file.rail, asset, statement, (sha256, part))
                for code in codes:
                    await self._derive(unit, await _account(unit, file.rail, code))
            ids = await unit.bank.of_file(file.rail, sha256)
            kept = [_there(await unit.bank.statement(each)) for each in ids]
            own = sum(each.lines.total.count for each in kept)
            known = sum(each.known for each in kept)
            return render(Imported(kept, own, known) if is_new else Imported(kept, 0, own + known))

        return await once(self._units, claim, work, render_error)

    async def statements(self, query: ListQuery) -> Page[StoredStatement]:
        """Statements, newest first. Filters: `rail`, `currency`."""
        async with self._units() as unit:
            return await unit.bank.statements(query)

    async def statement(self, statement_id: str) -> StoredStatement:
        """One statement. Raises NotFound."""
        async with self._units() as unit:
            found = await unit.bank.statement(decode_id(Prefix.BANK_STATEMENT, statement_id))
        if found is None:
            raise NotFound("there is no such bank statement")
        return found

    async def lines(self, statement_id: str, query: ListQuery) -> Page[SuggestedLine]:
        """Lines of a statement, each that is not matched with what it could be.

        Raises:
            NotFound: There is no such statement.
        """
        statement = await self.statement(statement_id)
        async with self._units() as unit:
            page = await unit.bank.lines(statement.id, query)
            items: Sequence[LedgerItem] = ()
            if any(each.ledger_sequence is None for each in page.items):
                account = await _account(unit, statement.rail, statement.asset)
                items = await unit.bank.open_items(account, await _above(unit, account))
        return Page([_suggested(each, items) for each in page.items], page.next_cursor)

    async def confirm(  # noqa: PLR0913 - all by name
        self,
        principal: Principal,
        line_id: str,
        *,
        ledger_sequence: int | None,
        top_up_id: str | None,
        reason: str,
        claim: Claim | None,
        render: Callable[[SuggestedLine], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Match a line to a ledger transaction because a person says so. For good.

        Args:
            principal: Who says so.
            line_id: Public id.
            ledger_sequence: The ledger transaction...
            top_up_id: ...or the top-up that it booked.
            reason: Kept with the match.
            claim: For a request that may come again.
            render: The line as an answer.
            render_error: A refusal as an answer.

        Raises:
            NotFound: There is no such line, or no such ledger transaction at this account.
            WrongState: One of them is matched already.
            InvalidInput: They are not of the same amount and direction.
        """
        identity = decode_id(Prefix.BANK_LINE, line_id)

        async def work(unit: Unit) -> Answer:
            line = await _line(unit, identity)
            await unit.bank.lock(line.rail, line.asset)
            line = await _line(unit, identity)
            account = await _account(unit, line.rail, line.asset)
            sequence = ledger_sequence
            if top_up_id is not None:
                top_up = decode_id(Prefix.TOP_UP, top_up_id)
                sequence = await unit.bank.top_up_sequence(top_up)
            found = None if sequence is None else await unit.bank.item(account, sequence)
            if found is None:
                path = bank_account(line.rail, line.asset)
                raise NotFound(f"there is no such ledger transaction that moves {path}")
            item, is_matched = found
            if line.ledger_sequence is not None or is_matched:
                raise WrongState("the line or the ledger transaction is matched already")
            self._check_same(line, item)
            matched = Matched(line.id, item.sequence, Pass.CONFIRMED)
            await unit.bank.add_matches(account, [matched], principal.key, reason)
            await self._derive(unit, account)
            return render(SuggestedLine(await _line(unit, identity)))

        return await once(self._units, claim, work, render_error)

    async def run_once(self) -> int:
        """The job: match what was booked since the last time.

        Returns:
            How many accounts had something to match.
        """
        async with self._units() as unit:
            accounts = await unit.bank.accounts()
            head = (await unit.history.head()).sequence
        moved = 0
        for account in accounts:
            name = (account.rail, account.asset)
            seen = self._seen.get(name)
            if seen is not None and seen == head:
                continue
            async with self._units() as unit:
                await unit.bank.lock(*name)
                if seen is None or await self._is_new(unit, account, seen):
                    await self._derive(unit, await _account(unit, *name))
                    moved += 1
            self._seen[name] = head
        return moved

    async def _is_new(self, unit: Unit, account: BankAccount, seen: int) -> bool:
        """Whether what was booked since then matches a line. Old bookings are not read again."""
        items = await unit.bank.open_items(account, seen)
        if not items:
            return False
        return bool(match([each.open for each in await unit.bank.open_lines(account)], items))

    def _read(self, file: StatementFile) -> list[tuple[Asset, BankStatement]]:
        stated = self._reader.read(file.content, file.media_type, currency=file.currency)
        found = [
            (asset := self._catalog.fiat(each.currency), read_statement(each, asset))
            for each in stated
        ]
        return sorted(found, key=lambda each: (each[0].code, each[1].last, each[1].number or 0))

    async def _keep(
        self,
        unit: Unit,
        principal: Principal,
        rail: str,
        asset: Asset,
        statement: BankStatement,
        place: tuple[bytes, int],
    ) -> None:
        identities = [each.identity for each in statement.lines if each.identity is not None]
        known = await unit.bank.known(rail, asset.code, identities)
        days = [each.booked_on for each in statement.lines]
        if days:
            kept = await unit.bank.of_days(rail, asset.code, min(days), max(days))
            check_new(statement, kept)
        before = await unit.bank.before(rail, asset.code)
        opening, closing = follow(statement, before, known, asset)
        await unit.bank.add(
            NewStatement(
                self._new_id(),
                rail,
                asset.code,
                *place,
                statement,
                opening,
                closing,
                [self._new_id() for _ in statement.lines],
                frozenset(known),
                principal.key,
            )
        )

    async def _derive(self, unit: Unit, account: BankAccount) -> None:
        """Match what certainly is the same; open and close breaks for what is left."""
        lines = await unit.bank.open_lines(account)
        items = await unit.bank.open_items(account, await _above(unit, account))
        found = await asyncio.to_thread(match, [each.open for each in lines], items)
        await unit.bank.add_matches(account, found, _JOB, "the same reference, amount and sign")
        own = {each.line_id for each in found}
        claimed = {each.sequence for each in found}
        lines = [each for each in lines if each.id not in own]
        items = [each for each in items if each.sequence not in claimed]
        due = [each for each in items if account.since <= each.booked_on <= account.last]
        left = [
            [self._line_break(account, each) for each in lines],
            [self._item_break(account, each) for each in due],
            await self._balance_break(unit, account, lines, due),
        ]
        await unit.breaks.open(
            [(self._new_id(), each) for some in left for each in some[:_BREAKS_MAX]]
        )
        there = {each.fingerprint for some in left for each in some}
        own_breaks = tuple(
            f"{code}:{account.rail}:{account.asset}{end}"
            for code, end in zip(_CODES, (":", ":", ""), strict=True)
        )
        gone = [
            each.fingerprint
            for each in await unit.breaks.open_of(_CODES)
            if each.fingerprint.startswith(own_breaks) and each.fingerprint not in there
        ]
        await unit.breaks.close_all(gone, "rederived", "the bank's statement and the ledger agree")

    def _line_break(self, account: BankAccount, line: StoredLine) -> NewBreak:
        amount = self._told(account, line.amount)
        return break_of(
            BreakCode.BANK_LINE_UNMATCHED,
            f"{account.rail}:{account.asset}:{line.id}",
            expected=f"a ledger transaction of {amount} at {_path(account)}",
            actual="none with this reference and amount",
            evidence={
                "bank_line": encode_id(Prefix.BANK_LINE, line.id),
                "bank_statement": encode_id(Prefix.BANK_STATEMENT, line.statement_id),
                "booked_on": line.booked_on.isoformat(),
                "amount": amount,
                "minor": str(abs(line.amount)),
                "asset": account.asset,
                "reference": line.references[0] if line.references else "",
            },
        )

    def _item_break(self, account: BankAccount, item: LedgerItem) -> NewBreak:
        amount = self._told(account, item.amount)
        return break_of(
            BreakCode.BANK_LINE_MISSING,
            f"{account.rail}:{account.asset}:{item.sequence}",
            expected=f"a line of {amount} in the bank's statements",
            actual="none with this reference and amount",
            evidence={
                "ledger_sequence": str(item.sequence),
                "account": _path(account),
                "booked_on": item.booked_on.isoformat(),
                "amount": amount,
                "minor": str(abs(item.amount)),
                "asset": account.asset,
                "reference": item.reference,
            },
        )

    async def _balance_break(
        self,
        unit: Unit,
        account: BankAccount,
        lines: Sequence[StoredLine],
        items: Sequence[LedgerItem],
    ) -> list[NewBreak]:
        """Whether the bank's closing balance is what the ledger has at the end of that day.

        What was booked later and matches a line counts as if it had been booked in time.
        """
        point = await unit.history.at_time(_end_of(account.last))
        path = _path(account)
        posted = (await unit.history.balances_at([path], point.sequence))[path].posted
        booked = posted + await unit.bank.matched_above(account, point.sequence)
        if booked == account.closing:
            return []
        of_lines = sum(each.amount for each in lines)
        of_items = sum(each.amount for each in items)
        rest = account.closing - booked - of_lines + of_items
        return [
            break_of(
                BreakCode.BANK_BALANCE,
                f"{account.rail}:{account.asset}",
                expected=f"{self._told(account, booked)} by the ledger",
                actual=f"{self._told(account, account.closing)} by the bank",
                evidence={
                    "account": path,
                    "bank_statement": encode_id(Prefix.BANK_STATEMENT, account.newest_id),
                    "at_the_end_of": account.last.isoformat(),
                    "lines_unmatched": self._told(account, of_lines),
                    "ledger_unmatched": self._told(account, of_items),
                    "unexplained": self._told(account, rest),
                },
            )
        ]

    def _check_same(self, line: StoredLine, item: LedgerItem) -> None:
        if line.amount == item.amount:
            return
        digits = self._catalog.fiat(line.asset).digits
        told = [format_minor(each, digits) for each in (item.amount, line.amount)]
        raise InvalidInput(
            f"the ledger transaction moves {told[0]} {line.asset} and the line {told[1]}; what is"
            " not the same is resolved at its break"
        )

    def _told(self, account: BankAccount, minor: int) -> str:
        asset = self._catalog.fiat(account.asset)
        return f"{format_minor(minor, asset.digits)} {asset.code}"


def _suggested(line: StoredLine, items: Sequence[LedgerItem]) -> SuggestedLine:
    return SuggestedLine(line, suggest(line.open, items) if line.ledger_sequence is None else ())


def _path(account: BankAccount) -> str:
    return bank_account(account.rail, account.asset)


async def _above(unit: Unit, account: BankAccount) -> int:
    """The sequence after which bookings are compared."""
    earliest = datetime.combine(account.since - _BOOKED_EARLIER, time.min, UTC)
    return (await unit.history.at_time(earliest)).sequence


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max, UTC)


async def _account(unit: Unit, rail: str, asset: str) -> BankAccount:
    found = await unit.bank.account(rail, asset)
    if found is None:
        raise InvariantBroken(f"{rail} has a line in {asset} and no statement")
    return found


async def _line(unit: Unit, line_id: UUID) -> StoredLine:
    found = await unit.bank.line(line_id)
    if found is None:
        raise NotFound("there is no such line of a bank statement")
    return found


def _there(found: StoredStatement | None) -> StoredStatement:
    if found is None:
        raise InvariantBroken("a bank statement vanished")
    return found
