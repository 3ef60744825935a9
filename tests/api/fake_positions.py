"""A fake of positions: the exchange of 200.00 EUR that `node.core.positions` works through."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from node.core.catalog import USDC
from node.core.positions import (
    NOTHING,
    Change,
    Day,
    OpenSum,
    Positions,
    Standing,
    Worth,
    period_of,
)
from tests.api.fake_world import CATALOG, MID, NOW
from tests.builders import EUR

_LONG = Standing(came_in=19_899, spread_earned=39, fees_earned=62)
_SHORT = Standing(went_out=230_074_048)


@dataclass
class FakePositions:
    """One exchange, today; every other day is empty.

    Attributes:
        worth: What USDC is worth.
        asked: What was asked for, in order.
    """

    worth: Worth = field(default_factory=lambda: Worth.at(MID, USDC, EUR))
    asked: list[tuple[date | None, date | None, str | None]] = field(default_factory=list)

    async def positions(
        self, first: date | None, last: date | None, currency: str | None, /
    ) -> Positions:
        self.asked.append((first, last, currency))
        only = None if currency is None else CATALOG.asset(currency).code
        period = period_of(first, last, NOW.date())
        total = [
            each
            for each in (
                Change(Worth.itself(EUR), NOTHING, _LONG),
                Change(self.worth, NOTHING, _SHORT),
            )
            if only in (None, each.worth.asset.code)
        ]
        quiet = [Change(each.worth, NOTHING, NOTHING) for each in total]
        days = [
            period.first + timedelta(days=place)
            for place in range(_length(period.first, period.last))
        ]
        return Positions(
            reporting=EUR,
            made_at=NOW,
            sequence=13,
            booked_at=NOW,
            total=total,
            open_quotes=[OpenSum(EUR, 20_000, 1)],
            period=period,
            days=[Day(day, 13, total if day == NOW.date() else quiet) for day in days],
        )


def _length(first: date, last: date) -> int:
    return (last - first).days + 1
