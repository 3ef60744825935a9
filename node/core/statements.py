"""Statements: what an account held, every line in between, and what it holds after them.

Pure values and their laws: opening + lines = closing, and the closing balance of a period is the
opening balance of the next. Days are those of UTC. Not here: reading lines (`node.store.history`),
what a statement looks like (`node.api.statement_views`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from node.core.errors import InvariantBroken, PeriodInvalid
from node.core.ids import Prefix, encode_id

_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta(microseconds=1)  # what the ledger's times are counted in
_EARLIEST: Final = date(1970, 1, 1)  # no ledger is older


def last_instant_before(day: date) -> datetime:
    """The last microsecond before midnight, UTC, with which a day begins.

    The ledger counts time in microseconds, so what was booked by then is what the day began with.
    """
    return datetime.combine(max(day, _EARLIEST), time(), UTC) - _INSTANT


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days, both included.

    Attributes:
        first: First day.
        last: Last day, not before the first.
    """

    first: date
    last: date

    @classmethod
    def of(cls, first: date | None, last: date | None, today: date) -> "Period":
        """The period asked for; by default the month of its last day, and today as that day.

        Args:
            first: First day; None: the first of the month of the last day.
            last: Last day; None: today.
            today: The day it is, UTC.

        Raises:
            PeriodInvalid: It ends before it begins, or after today (`errors`).
        """
        last = last or today
        first = first or last.replace(day=1)
        if last > today:
            raise _invalid("to", "in_future", f"the last day can be {today.isoformat()} at most")
        if first > last:
            raise _invalid("from", "after_end", f"begin on {last.isoformat()} or before")
        return cls(first, last)

    @property
    def opened_at(self) -> datetime:
        """The last instant before it."""
        return last_instant_before(self.first)

    @property
    def closed_at(self) -> datetime:
        """Its last instant."""
        return datetime.combine(self.last, time(), UTC) + _DAY - _INSTANT


def _invalid(parameter: str, code: str, message: str) -> PeriodInvalid:
    return PeriodInvalid(
        f"`{parameter}` is wrong: {message}; days are those of UTC",
        errors=[{"parameter": parameter, "code": code, "message": message}],
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the account, once it counts.

    Attributes:
        id: Of the entry.
        sequence: Of the ledger transaction.
        place: Where it began to count: sequence of the resolution, if one posted it, else of the
            ledger transaction.
        kind: Of the ledger transaction.
        is_debit: Which side of the entry the account is.
        counter_path: The account on the other side.
        amount: Minor units, above 0.
        balance_after: Posted balance after it, on the account's own side, minor units.
        transfer_id: The transfer it belongs to, if to one.
        client_reference: Of that transfer, as its maker gave it.
        beneficiary_name: Who that transfer pays, as its maker wrote it.
        detail: Where the ledger transaction comes from.
        posted_at: When it began to count.
    """

    id: int
    sequence: int
    place: int
    kind: str
    is_debit: bool
    counter_path: str
    amount: int
    balance_after: int
    transfer_id: UUID | None
    client_reference: str | None
    beneficiary_name: str | None
    detail: Mapping[str, str]
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """How many lines, and their sums in minor units: what came in (credits), what went out."""

    credits: int
    credited: int
    debits: int
    debited: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What an account of one currency of a customer or partner held, and what changed it.

    Such an account grows on the credit side. That of a partner may be below zero, by its credit
    line.

    Attributes:
        owner_id: Whose account.
        owner_name: The owner's name, as it was given.
        asset: Currency code.
        opening: Posted balance before the first line, minor units.
        lines: Oldest first.
        closing: Posted balance after the last line, as the ledger says it, minor units.
        sequence: The newest sequence of the period: what the statement is as of.
        booked_at: When that was booked; None where nothing was.
        made_at: When the statement was made.
        ends_at: Up to when it says everything: the end of the period, or before.
        owner_kind: What the owner is: `CUSTOMER` or `PARTNER`.
    """

    owner_id: UUID
    owner_name: str
    asset: str
    period: Period
    opening: int
    lines: Sequence[Line]
    closing: int
    sequence: int
    booked_at: datetime | None
    made_at: datetime
    ends_at: datetime
    owner_kind: Prefix = Prefix.CUSTOMER

    def __post_init__(self) -> None:
        balance = self.opening
        for each in self.lines:
            balance += -each.amount if each.is_debit else each.amount
            if each.balance_after != balance:
                raise InvariantBroken(f"the balance after entry {each.id} does not follow from it")
        if balance != self.closing:
            raise InvariantBroken(
                f"opening and lines come to {balance}, the ledger says {self.closing}"
            )

    @property
    def owner(self) -> str:
        """Public id of the owner."""
        return encode_id(self.owner_kind, self.owner_id)

    @property
    def is_complete(self) -> bool:
        """Whether it reaches to the end of the period, so that nothing can be added."""
        return self.ends_at >= self.period.closed_at

    @property
    def totals(self) -> Totals:
        """Numbers and sums of the lines."""
        debits = [each.amount for each in self.lines if each.is_debit]
        credits_ = [each.amount for each in self.lines if not each.is_debit]
        return Totals(len(credits_), sum(credits_), len(debits), sum(debits))
