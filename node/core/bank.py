"""The bank's statement beside the ledger's `bank` account: reading amounts, matching, conserving.

Pure. A line and a ledger transaction are matched by an exact reference, amount and sign, or by the
break that books the line; equal amounts near in time are a suggestion and never more. Each side is
claimed once. Files are read by `adapters.bank`; who imports and confirms is
`node.services.reconciliation.bank`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from node.core.errors import AmountInvalid, InvalidInput, InvariantBroken, Refused
from node.core.units import MINOR_LIMIT, Asset, format_minor, parse_minor

SUGGESTED_WITHIN: Final = timedelta(days=5)
"""How far apart a line and a ledger transaction of the same amount may be to be suggested."""

SUGGESTIONS_MAX: Final = 5


class StatementInvalid(InvalidInput):
    """The file is no statement that can be read (`line`, where that is known)."""

    code = "statement_invalid"
    title = "The bank statement cannot be read"


class StatementUnfit(Refused):
    """The statement contradicts itself or what was imported before (`expected`, `actual`)."""

    code = "statement_unfit"
    title = "The bank statement does not fit"


@dataclass(frozen=True, slots=True)
class StatedLine:
    """One booked line as the file has it.

    Attributes:
        place: Where it stands in the file, for faults.
        amount: Decimal string without a sign.
        is_credit: Whether money came in; of a reversal as well: the sign is the line's own.
        is_reversal: Whether it takes back an earlier line.
        references: Whatever may be the payment's reference, the most specific first.
        servicer_reference: The bank's own name of the line; empty: it has none.
    """

    place: str
    amount: str
    is_credit: bool
    booked_on: date
    value_on: date | None = None
    references: tuple[str, ...] = ()
    servicer_reference: str = ""
    counterparty: str = ""
    description: str = ""
    is_reversal: bool = False


@dataclass(frozen=True, slots=True)
class StatedBalance:
    """A balance as the file has it: a decimal string without a sign, and its side."""

    amount: str
    is_credit: bool


@dataclass(frozen=True, slots=True)
class StatedStatement:
    """One statement as the file has it.

    Attributes:
        name: The bank's name of it.
        number: Its electronic sequence number, where it has one.
        currency: Code of the account's currency.
        opening, closing: Booked balances; None: the file does not say.
        pending: Lines that are announced and not booked; they are left out.
    """

    name: str
    account: str
    number: int | None
    currency: str
    first: date
    last: date
    opening: StatedBalance | None
    closing: StatedBalance | None
    lines: Sequence[StatedLine]
    pending: int = 0


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line. `amount` is in minor units, above 0 where money came in.

    Attributes:
        identity: The bank's own name of it, where it has one that is unique: a line that comes
            again in a later file is known by it.
    """

    position: int
    amount: int
    booked_on: date
    value_on: date | None
    references: tuple[str, ...]
    identity: str | None
    counterparty: str
    description: str
    is_reversal: bool


LineKey = tuple[date, int, tuple[str, ...]]
"""What a line without a name of the bank's own is known by: day, amount, references."""


@dataclass(frozen=True, slots=True)
class BankStatement:
    """A statement whose figures agree: opening and all lines make closing. Minor units."""

    name: str
    account: str
    number: int | None
    first: date
    last: date
    opening: int | None
    closing: int | None
    lines: Sequence[StatementLine]
    pending: int


def check_new(statement: BankStatement, kept: Sequence[LineKey]) -> None:
    """Check that a statement that says neither balances nor names of lines is not there already.

    The same file, saved with other line ends, has another hash.

    Args:
        statement: The new one.
        kept: Lines of the same days that were imported earlier.

    Raises:
        StatementUnfit: Each of its lines was; with `expected` and `actual`, both how many.
    """
    lines = Counter((each.booked_on, each.amount, each.references) for each in statement.lines)
    is_named = any(each.identity is not None for each in statement.lines)
    if not lines or is_named or statement.opening is not None or not lines <= Counter(kept):
        return
    raise StatementUnfit(
        "all of its lines were imported before; if they are others, give the bank's name of each"
        " (`servicer_reference`) or the balance after it",
        expected="a line of these days that is new",
        actual=f"{lines.total()} lines that are known",
    )


def read_statement(stated: StatedStatement, asset: Asset) -> BankStatement:
    """A statement in minor units; lines of nothing are left out.

    Raises:
        StatementInvalid: An amount is none of this currency, or too large.
        StatementUnfit: Opening and the lines do not make closing; with `expected` and `actual`.
    """
    names = Counter(each.servicer_reference for each in stated.lines)
    lines: list[StatementLine] = []
    for each in stated.lines:
        minor = _minor(each.amount, asset, each.place)
        if minor == 0:
            continue
        unique = each.servicer_reference and names[each.servicer_reference] == 1
        lines.append(
            StatementLine(
                len(lines) + 1,
                minor if each.is_credit else -minor,
                each.booked_on,
                each.value_on,
                each.references,
                each.servicer_reference if unique else None,
                each.counterparty,
                each.description,
                each.is_reversal,
            )
        )
    opening = _balance(stated.opening, asset, "the opening balance")
    closing = _balance(stated.closing, asset, "the closing balance")
    total = sum(each.amount for each in lines)
    if opening is not None and closing is not None and opening + total != closing:
        raise _unfit(
            "opening balance and lines do not make the closing balance; is the file whole?",
            asset,
            expected=opening + total,
            actual=closing,
        )
    return BankStatement(
        stated.name, stated.account, stated.number, stated.first, stated.last, opening, closing,
        lines, stated.pending,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Before:
    """The newest statement of the account that was imported. `closing` in minor units."""

    name: str
    account: str
    number: int | None
    last: date
    closing: int


def follow(
    statement: BankStatement, before: Before | None, known: Mapping[str, int], asset: Asset
) -> tuple[int, int]:
    """Opening and closing of a statement that comes after `before`, both minor units.

    Lines that are known already overlap: without them the statement begins where `before` ends.

    Args:
        statement: The new one.
        before: The newest that was imported; None: this is the first.
        known: Of lines that were imported earlier: identity -> amount.
        asset: For the figures in refusals.

    Raises:
        StatementUnfit: Another account, a known line has another amount, or a statement in
            between is missing.
    """
    overlap = 0
    for each in statement.lines:
        if each.identity is None or each.identity not in known:
            continue
        overlap += each.amount
        if known[each.identity] != each.amount:
            raise _unfit(
                f"the line {each.identity} was imported earlier with another amount",
                asset,
                expected=known[each.identity],
                actual=each.amount,
            )
    total = sum(each.amount for each in statement.lines)
    if before is None:
        opening = statement.opening if statement.opening is not None else 0
        return opening, statement.closing if statement.closing is not None else opening + total
    if statement.account and before.account and statement.account != before.account:
        raise StatementUnfit(
            "the rail's statements are of another account; one rail has one account",
            expected=before.account,
            actual=statement.account,
        )
    begins = before.closing - overlap
    opening = begins if statement.opening is None else statement.opening
    skips = (
        statement.number is not None
        and before.number is not None
        and statement.number > before.number + 1
    )
    if opening != begins or (skips and not overlap):
        raise _unfit(
            f"it does not begin where {before.name}, the newest that was imported, ends"
            f" ({before.last.isoformat()}); import what lies in between first",
            asset,
            expected=begins,
            actual=opening,
        )
    return opening, opening + total


class Pass(StrEnum):
    """What a match rests on, the surest first."""

    BREAK = "break"  # a ledger transaction that closed the line's break
    REFERENCE = "reference"  # reference, amount and sign are the same
    CONFIRMED = "confirmed"  # a person says so


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A line that nothing is matched to."""

    id: UUID
    amount: int
    booked_on: date
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerItem:
    """What one ledger transaction moved on the account: minor units, above 0 into it.

    Attributes:
        sequence: Of the ledger transaction.
        reference: Its reference of the rail; empty: it has none.
        line_id: The line whose break it closed.
    """

    sequence: int
    amount: int
    booked_on: date
    reference: str
    line_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Matched:
    """A line and the ledger transaction that it is."""

    line_id: UUID
    sequence: int
    by: Pass


def match(lines: Sequence[OpenLine], items: Sequence[LedgerItem]) -> list[Matched]:
    """What is certainly the same, each line and each item at most once.

    The oldest line takes the oldest item: a payment that the bank has twice and the ledger once
    leaves its second line open. The order of the arguments does not count.
    """
    by_break = {each.line_id: each for each in items if each.line_id is not None}
    waiting: dict[tuple[str, int], list[LedgerItem]] = defaultdict(list)
    for each in sorted(items, key=lambda item: -item.sequence):
        if each.reference:
            waiting[each.reference, each.amount].append(each)
    found: list[Matched] = []
    claimed: set[int] = set()
    in_order = sorted(lines, key=lambda line: (line.booked_on, line.id))
    for line in in_order:
        item = by_break.get(line.id)
        if item is not None and item.amount == line.amount:
            found.append(Matched(line.id, item.sequence, Pass.BREAK))
            claimed.add(item.sequence)
    taken = {each.line_id for each in found}
    for line in in_order:
        if line.id in taken:
            continue
        item = _first(waiting, line, claimed)
        if item is not None:
            found.append(Matched(line.id, item.sequence, Pass.REFERENCE))
            claimed.add(item.sequence)
    return found


def suggest(line: OpenLine, items: Sequence[LedgerItem]) -> list[LedgerItem]:
    """Items of the same amount and sign near the line's day, the nearest first; for a person."""
    near = [
        each
        for each in items
        if each.amount == line.amount and abs(each.booked_on - line.booked_on) <= SUGGESTED_WITHIN
    ]
    near.sort(key=lambda each: (abs(each.booked_on - line.booked_on), each.sequence))
    return near[:SUGGESTIONS_MAX]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many, and what they come to in minor units."""

    count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Conserved:
    """One side of a comparison: matched and unmatched make all of it, in count and amount."""

    total: Tally
    matched: Tally
    unmatched: Tally

    def __post_init__(self) -> None:
        both = self.matched, self.unmatched
        if self.total != Tally(sum(t.count for t in both), sum(t.amount for t in both)):
            raise InvariantBroken("matched and unmatched do not make all of a bank statement")


def conserve(amounts: Mapping[UUID, int], matched: Collection[UUID]) -> Conserved:
    """Count both parts of one side. Raises InvariantBroken if something is matched twice."""
    if len(set(matched)) != len(matched):
        raise InvariantBroken("a line is matched twice")
    own = [amounts[each] for each in matched]
    rest = [amount for each, amount in amounts.items() if each not in set(matched)]
    return Conserved(
        Tally(len(amounts), sum(amounts.values())),
        Tally(len(own), sum(own)),
        Tally(len(rest), sum(rest)),
    )


def _first(
    waiting: Mapping[tuple[str, int], list[LedgerItem]], line: OpenLine, claimed: set[int]
) -> LedgerItem | None:
    for reference in line.references:
        items = waiting.get((reference, line.amount), [])
        while items:
            item = items.pop()
            if item.sequence not in claimed:
                return item
    return None


def _minor(text: str, asset: Asset, place: str) -> int:
    try:
        minor = parse_minor(text, asset)
    except AmountInvalid as error:
        raise StatementInvalid(f"{place}: {error.detail}", line=place) from None
    if minor >= MINOR_LIMIT:
        raise StatementInvalid(
            f"{place}: the amount is larger than the ledger can hold", line=place
        )
    return minor


def _balance(stated: StatedBalance | None, asset: Asset, place: str) -> int | None:
    if stated is None:
        return None
    minor = _minor(stated.amount, asset, place)
    return minor if stated.is_credit else -minor


def _unfit(sentence: str, asset: Asset, *, expected: int, actual: int) -> StatementUnfit:
    told = [format_minor(each, asset.digits) for each in (expected, actual)]
    return StatementUnfit(
        f"{sentence}: {told[1]} {asset.code} instead of {told[0]} {asset.code}",
        expected=told[0],
        actual=told[1],
    )
