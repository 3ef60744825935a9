"""Reports about transfers over days: what they cost, and where their payouts are on the chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Generic, TypeVar

from node.core.errors import StatementTooLarge
from node.core.parties import Principal
from node.core.ports import UnitOfWork
from node.core.ports.reports import CostLine, PayoutLine
from node.core.statements import Period

LINES_MAX: Final = 10_000
"""Lines of one report."""

_DAY: Final = timedelta(days=1)

Line = TypeVar("Line", CostLine, PayoutLine)


@dataclass(frozen=True, slots=True)
class Report(Generic[Line]):
    """Lines of a period, oldest first.

    Attributes:
        made_at: What came after it is not in it.
    """

    period: Period
    lines: Sequence[Line]
    made_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether its last day was over."""
        return self.made_at > self.period.closed_at


class ReportService:
    """Makes reports; they are stored nowhere."""

    def __init__(self, units: UnitOfWork, lines_max: int = LINES_MAX) -> None:
        self._units = units
        self._lines_max = lines_max

    async def costs(
        self, principal: Principal, first: date | None, last: date | None
    ) -> Report[CostLine]:
        """Transfers accepted on these days (UTC), with fees and exchange; this month so far.

        Raises:
            PeriodInvalid: The days end before they begin, or lie ahead.
            StatementTooLarge: There are more than one answer carries.
        """
        async with self._units() as unit:
            period = Period.of(first, last, unit.now.date())
            lines = await unit.reports.costs(principal, *_bounds(period), self._lines_max + 1)
            return Report(period, self._checked(lines), unit.now)

    async def payouts(
        self, principal: Principal, first: date | None, last: date | None
    ) -> Report[PayoutLine]:
        """Transfers completed on these days (UTC), with where they are on the chain.

        Raises:
            NodeError: As in `costs`.
        """
        async with self._units() as unit:
            period = Period.of(first, last, unit.now.date())
            lines = await unit.reports.payouts(principal, *_bounds(period), self._lines_max + 1)
            return Report(period, self._checked(lines), unit.now)

    def _checked(self, lines: Sequence[Line]) -> Sequence[Line]:
        if len(lines) > self._lines_max:
            raise StatementTooLarge(
                f"the report would have more than {self._lines_max} lines; ask for a shorter"
                " period",
                limit=self._lines_max,
            )
        return lines


def _bounds(period: Period) -> tuple[datetime, datetime]:
    """From the first instant of its first day to that of the day after its last."""
    start = datetime.combine(period.first, time(), UTC)
    return start, datetime.combine(period.last, time(), UTC) + _DAY
