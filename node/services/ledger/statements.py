"""Statements of a customer's account over a period.

A statement is made whole before it is answered, so its laws are checked first; that bounds it.
"""

from datetime import date, datetime
from typing import Final

from node.core.errors import StatementTooLarge
from node.core.ledger import customer_account
from node.core.parties import Customer, Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.history import AsOf
from node.core.statements import Line, Period, Statement
from node.services.parties import visible_customer
from node.services.points import NEWEST, Asked, point, point_at

LINES_MAX: Final = 10_000
"""Lines of one statement; as camt.053 that is 5 MB, and some seconds of work."""


class StatementService:
    """Makes statements; they are stored nowhere, and come out the same each time."""

    def __init__(self, units: UnitOfWork, lines_max: int = LINES_MAX) -> None:
        self._units = units
        self._lines_max = lines_max

    async def statement(
        self,
        principal: Principal,
        customer_id: str,
        currency: str,
        *,
        first: date | None = None,
        last: date | None = None,
        asked: Asked = NEWEST,
    ) -> Statement:
        """A customer's statement of one currency; of this month so far unless days are given.

        Args:
            principal: Who asks.
            customer_id: Whose account.
            currency: Asset code; an account that was never used has an empty statement.
            first: First day, UTC; None: the first of the last day's month.
            last: Last day, UTC; None: today, or the day of the point asked for.
            asked: Where it ends instead of a last day, also within a day and within a batch.

        Raises:
            InFuture: The point asked for has not come yet.
            PeriodInvalid: The days end before they begin, or lie ahead.
            StatementTooLarge: It would have more lines than one answer carries.
        """
        async with self._units() as unit:
            customer = await visible_customer(unit, principal, customer_id)
            made_at, until = unit.now, await unit.history.head()
        if asked == NEWEST:
            ends_at = made_at
            period = Period.of(first, last, made_at.date())
            if made_at >= period.closed_at:
                ends_at = period.closed_at
                until = await point_at(self._units, ends_at)
        else:
            until = await point(self._units, asked)
            ends_at = asked.at or until.booked_at or made_at
            made_at = max(made_at, ends_at)
            period = Period.of(first, ends_at.date(), made_at.date())
        # Nothing is before sequence 0, whatever day it is.
        before = await point_at(self._units, period.opened_at) if until.sequence else until
        async with self._units() as unit:
            return await self._make(
                unit, customer, currency, period, (before, until), (made_at, ends_at)
            )

    async def _make(
        self,
        unit: Unit,
        customer: Customer,
        currency: str,
        period: Period,
        points: tuple[AsOf, AsOf],
        times: tuple[datetime, datetime],
    ) -> Statement:
        before, until = points
        path = customer_account(customer.id, currency)
        opening = await unit.history.balances_at([path], before.sequence)
        closing = await unit.history.balances_at([path], until.sequence)
        lines: list[Line] = []
        async for page in unit.history.lines(path, after=before.sequence, upto=until.sequence):
            lines += page
            if len(lines) > self._lines_max:
                raise StatementTooLarge(
                    f"the statement would have more than {self._lines_max} lines; ask for a"
                    " shorter period",
                    limit=self._lines_max,
                )
        return Statement(
            customer.id,
            customer.name,
            currency,
            period,
            opening[path].posted,
            lines,
            closing[path].posted,
            until.sequence,
            until.booked_at,
            *times,
        )
