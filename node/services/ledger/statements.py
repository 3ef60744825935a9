"""Statements of an account of a customer or partner over a period.

A statement is made whole before it is answered, so its laws are checked first; that bounds it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from node.core.errors import NotFound, StatementTooLarge
from node.core.ids import Prefix, decode_id
from node.core.ledger import customer_account, partner_account
from node.core.parties import Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.history import AsOf
from node.core.statements import Line, Period, Statement
from node.services.parties import visible_customer
from node.services.points import NEWEST, Asked, point, point_at

LINES_MAX: Final = 10_000
"""Lines of one statement; as camt.053 that is 5 MB, and some seconds of work."""


@dataclass(frozen=True, slots=True)
class _Holder:
    """Whose account a statement is of, and which."""

    kind: Prefix
    id: UUID
    name: str
    path: str
    currency: str


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
            NotFound: The customer does not exist for this principal.
            InFuture: The point asked for has not come yet.
            PeriodInvalid: The days end before they begin, or lie ahead.
            StatementTooLarge: It would have more lines than one answer carries.
        """
        async with self._units() as unit:
            customer = await visible_customer(unit, principal, customer_id)
        path = customer_account(customer.id, currency)
        holder = _Holder(Prefix.CUSTOMER, customer.id, customer.name, path, currency)
        return await self._of(holder, first, last, asked)

    async def partner_statement(
        self,
        principal: Principal,
        partner_id: str,
        currency: str,
        *,
        first: date | None = None,
        last: date | None = None,
        asked: Asked = NEWEST,
    ) -> Statement:
        """The statement of a partner's own balance, as `statement` makes a customer's.

        Raises:
            NotFound: The partner does not exist for this principal.
            NodeError: As in `statement`.
        """
        decoded = decode_id(Prefix.PARTNER, partner_id)
        if principal.role is not Role.OPERATOR and principal.partner_id != decoded:
            raise NotFound("there is no such partner")
        async with self._units() as unit:
            partner = await unit.partners.get(decoded)
        if partner is None:
            raise NotFound("there is no such partner")
        path = partner_account(partner.id, currency)
        holder = _Holder(Prefix.PARTNER, partner.id, partner.name, path, currency)
        return await self._of(holder, first, last, asked)

    async def _of(
        self, holder: _Holder, first: date | None, last: date | None, asked: Asked
    ) -> Statement:
        async with self._units() as unit:
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
            return await self._make(unit, holder, period, (before, until), (made_at, ends_at))

    async def _make(
        self,
        unit: Unit,
        holder: _Holder,
        period: Period,
        points: tuple[AsOf, AsOf],
        times: tuple[datetime, datetime],
    ) -> Statement:
        before, until = points
        path = holder.path
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
            holder.id,
            holder.name,
            holder.currency,
            period,
            opening[path].posted,
            lines,
            closing[path].posted,
            until.sequence,
            until.booked_at,
            *times,
            holder.kind,
        )
