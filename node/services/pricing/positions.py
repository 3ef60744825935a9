"""The node's positions, day by day, valued at the current mid. See `node.core.positions`.

One snapshot for all of it. Each midnight is read as of the last sequence before it, so a day costs
two short reads, or one where nothing was booked since the midnight before. Days are those of UTC,
and every day is valued at the rates of the moment.

A rate that has jumped since it was last trusted is no rate, as in `node.services.pricing.breaker`;
asking for positions halts nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final

from node.core.catalog import Catalog
from node.core.errors import RateUnavailable
from node.core.ports import Unit, UnitOfWork
from node.core.positions import (
    NOTHING,
    PREFIXES,
    Change,
    Day,
    OpenSum,
    Positions,
    Standing,
    Worth,
    period_of,
    standings,
)
from node.core.rates import is_jump
from node.core.statements import Period, last_instant_before
from node.core.units import Asset
from node.services.points import point_at
from node.services.pricing.rates import Rates

_DAY: Final = timedelta(days=1)

Point = tuple[int, Mapping[str, Standing]]
"""A sequence, and what the books say as of it, by currency code."""


class PositionService:
    """Reads; nothing here books.

    Args:
        units: The books.
        catalog: The currencies.
        rates: What they are worth.
        reporting: The currency everything is valued in.
    """

    def __init__(self, units: UnitOfWork, catalog: Catalog, rates: Rates, reporting: Asset) -> None:
        self._units = units
        self._catalog = catalog
        self._rates = rates
        self._reporting = reporting

    async def positions(
        self, first: date | None, last: date | None, currency: str | None
    ) -> Positions:
        """Positions from one day to another, both included, and those of now.

        Args:
            first: First day; None: the last one.
            last: Last day; None: today.
            currency: Only this one; None: all that ever had a position, income or fees.

        Raises:
            CurrencyUnknown: The node has no such currency.
            PeriodInvalid: See `node.core.positions.period_of`.
        """
        only = None if currency is None else self._catalog.asset(currency).code
        async with self._units() as unit:
            today = unit.now.date()
        period = period_of(first, last, today)
        # What was booked before the last midnight is there once this returns, so days stay as told.
        await point_at(self._units, last_instant_before(min(period.last + _DAY, today)))
        async with self._units.snapshot() as unit:
            now = unit.now
            head = await unit.history.head()
            present = head.sequence, await _standings(unit, head.sequence)
            points = await _midnights(unit, period, present)
            doubts = await self._doubts(unit)
            quotes = (await unit.quotes.open_quotes()).by_currency
        worths = [self._worth(code, now, doubts) for code in present[1] if only in (None, code)]
        return Positions(
            reporting=self._reporting,
            made_at=now,
            sequence=head.sequence,
            booked_at=head.booked_at,
            total=[_change(each, (0, {}), present) for each in worths],
            open_quotes=[
                OpenSum(self._catalog.asset(code), quotes[code].minor, quotes[code].count)
                for code in sorted(quotes)
                if only in (None, code)
            ],
            period=period,
            days=[
                Day(
                    period.first + place * _DAY,
                    after[0],
                    [_change(w, before, after) for w in worths],
                )
                for place, (before, after) in enumerate(pairwise(points))
            ],
        )

    def _worth(self, code: str, now: datetime, doubts: Mapping[str, str]) -> Worth:
        asset, reporting = self._catalog.ledger_asset(code), self._reporting
        if asset == reporting:
            return Worth.itself(asset)
        doubt = doubts.get(code) or doubts.get(reporting.code)
        if doubt is not None:
            return Worth.unknown(asset, doubt)
        try:
            mid = self._rates.mid(reporting.code, code, now)
        except RateUnavailable as error:
            return Worth.unknown(asset, error.detail)
        return Worth.at(mid, asset, reporting)

    async def _doubts(self, unit: Unit) -> Mapping[str, str]:
        """Currencies whose rate moved too far from the last one that was trusted, and how.

        Of a pair with the token it is the other currency that is doubted.
        """
        rates, token = self._rates, self._catalog.token.asset.code
        levels = await unit.quotes.levels()
        rates.follow(levels)
        doubts: dict[str, str] = {}
        for sell, buy in self._catalog.corridors:
            try:
                mid_rate = rates.mid(sell, buy, unit.now).rate
            except RateUnavailable:
                continue  # says so itself where it is needed
            level = levels.get((sell, buy))
            before = mid_rate if level is None else level.mid
            if is_jump(mid_rate, before, rates.policy.jump_max_bps):
                doubts[buy if sell == token else sell] = (
                    f"{sell}/{buy} went from {before:f} to {mid_rate:f}; an operator has to look at"
                    " it (`corridor fx`)"
                )
        return doubts


def _change(worth: Worth, before: Point, after: Point) -> Change:
    code = worth.asset.code
    return Change(worth, before[1].get(code, NOTHING), after[1].get(code, NOTHING))


async def _midnights(unit: Unit, period: Period, present: Point) -> Sequence[Point]:
    """What the books said when each day of the period began, and when the last one ended.

    A day that is not over ends now.
    """
    today = unit.now.date()
    point: Point = (0, {})
    points: list[Point] = []
    for number in range((period.last - period.first).days + 2):
        day = period.first + number * _DAY
        if day > today:
            point = present
        else:
            sequence = (await unit.history.at_time(last_instant_before(day))).sequence
            if sequence == present[0]:
                point = present
            elif sequence != point[0]:
                point = sequence, await _standings(unit, sequence)
        points.append(point)
    return points


async def _standings(unit: Unit, sequence: int) -> Mapping[str, Standing]:
    rows = await unit.history.accounts_at(PREFIXES, sequence)
    return standings(each.balance for each in rows)
