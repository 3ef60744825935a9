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
from node.services.points import point_at

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
    ) -> Statement:
        """A customer's statement of one currency; of this month so far unless days are given.

        Args:
            principal: Who asks.
            customer_id: Whose account.
            currency: Asset code; an account that was never used has an empty statement.
            first: First day, UTC; None: the first of the last day's month.
            last: Last day, UTC; None: today.

        Raises:
            PeriodInvalid: The days end before they begin, or lie ahead.
            StatementTooLarge: It would have more lines than one answer carries.
        """
        async with self._units() as unit:
            customer = await visible_customer(unit, principal, customer_id)
            made_at, head = unit.now, await unit.history.head()
        period = Period.of(first, last, made_at.date())
        before = await point_at(self._units, period.opened_at)
        ended = made_at > period.closed_at
        until = await point_at(self._units, period.closed_at) if ended else head
        async with self._units() as unit:
            return await self._make(unit, customer, currency, period, (before, until), made_at)

    async def _make(
        self,
        unit: Unit,
        customer: Customer,
        currency: str,
        period: Period,
        points: tuple[AsOf, AsOf],
        made_at: datetime,
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
            made_at,
        )
