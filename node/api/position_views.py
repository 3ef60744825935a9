"""What positions look like in answers, as JSON and as CSV. See `views` and `core.positions`."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from typing_extensions import TypedDict

from node.api.ledger_views import AsOfView, as_of_view
from node.api.price_views import RateSourceView, rate_source_views
from node.api.views import MoneyView, money_view, time_text
from node.core.ports.history import AsOf
from node.core.positions import Change, Positions, Worth, result_of
from node.core.units import Asset, Money, format_minor

# `in` and `from` are words of Python, so these are written as calls.
PositionView = TypedDict(
    "PositionView",
    {
        "currency": str,
        "opening": str,
        "in": str,
        "out": str,
        "closing": str,
        "pending": str,
        "spread_earned": str,
        "fees_earned": str,
        "spread_deferred": str,
        "fees_deferred": str,
        "value": str | None,
        "result": str | None,
        "reason": str | None,
    },
)
"""One currency over some days.

Positions are posted: above 0 the node is long, below 0 it is short; `opening + in - out = closing`.
`pending` is by how much accepted transfers that are not final yet would change it, either sign.
`value` (of `closing`) and `result` (of the change) are in the reporting currency at the current
mid, rounded towards minus infinity; null without a rate, `reason` then says why.
"""

PeriodView = TypedDict(
    "PeriodView",
    {
        "from": str,
        "to": str,
        "result": str | None,
        "reason": str | None,
        "positions": list[PositionView],
    },
)
"""All days asked for together."""


class DayView(TypedDict):
    """One day, UTC; `sequence` is the newest of the ledger that counts."""

    day: str
    sequence: int
    result: str | None
    reason: str | None
    positions: list[PositionView]


class TotalView(TypedDict):
    """Everything from the beginning until now: `closing` is what the node holds."""

    result: str | None
    reason: str | None
    positions: list[PositionView]


class WorthView(TypedDict):
    """The rate a currency is valued with: `mid_rate` units for one of the reporting currency."""

    currency: str
    mid_rate: str | None
    rate_sources: list[RateSourceView]
    reason: str | None


class OpenSumView(TypedDict):
    """What active firm quotes sum up to in a currency, on either side, fees included."""

    currency: str
    open: MoneyView
    quotes: int


class PositionsView(TypedDict):
    """The node's positions; everything is valued at the rates of `created_at`."""

    reporting_currency: str
    created_at: str
    as_of: AsOfView
    rates: list[WorthView]
    open_quotes: list[OpenSumView]
    total: TotalView
    period: PeriodView
    days: list[DayView]


_COLUMNS: Final = (
    "day",
    "currency",
    "opening",
    "in",
    "out",
    "closing",
    "pending",
    "spread_earned",
    "fees_earned",
    "spread_deferred",
    "fees_deferred",
    "value",
    "result",
    "reporting_currency",
    "mid_rate",
    "reason",
)


def positions_view(positions: Positions) -> PositionsView:
    """All of it."""
    reporting = positions.reporting
    changes = positions.changes
    whole, overall = result_of(changes), result_of(positions.total)
    return {
        "reporting_currency": reporting.code,
        "created_at": time_text(positions.made_at),
        "as_of": as_of_view(AsOf(positions.sequence, positions.booked_at)),
        "rates": [_worth(each.worth) for each in positions.total],
        "open_quotes": [
            {
                "currency": each.asset.code,
                "open": money_view(Money(each.minor, each.asset)),
                "quotes": each.count,
            }
            for each in positions.open_quotes
        ],
        "total": {
            "result": _amount(overall.minor, reporting),
            "reason": overall.reason,
            "positions": [_position(each, reporting) for each in positions.total],
        },
        "period": {
            "from": positions.period.first.isoformat(),
            "to": positions.period.last.isoformat(),
            "result": _amount(whole.minor, reporting),
            "reason": whole.reason,
            "positions": [_position(each, reporting) for each in changes],
        },
        "days": list(_days(positions)),
    }


def file_name(positions: Positions) -> str:
    """The name of the CSV file; ASCII."""
    return f"positions-{positions.period.first}-{positions.period.last}.csv"


def positions_csv(positions: Positions) -> bytes:
    """Positions as CSV (RFC 4180): a header, a row for each day and currency.

    What is not known is empty, and `reason` says why. No cell is written by others than the node
    and who set it up, so no figure that is below zero is taken for a formula.
    """
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(_COLUMNS)
    lines.writerows(_rows(positions))
    return text.getvalue().encode()


def _rows(positions: Positions) -> Iterator[Iterable[str]]:
    for day in positions.days:
        for each in day.changes:
            cells: dict[str, object] = {
                **_position(each, positions.reporting),
                "day": day.day.isoformat(),
                "reporting_currency": positions.reporting.code,
                "mid_rate": _rate(each.worth),
            }
            yield [str(cells[name] or "") for name in _COLUMNS]


def _days(positions: Positions) -> Iterator[DayView]:
    for each in positions.days:
        result = result_of(each.changes)
        yield {
            "day": each.day.isoformat(),
            "sequence": each.sequence,
            "result": _amount(result.minor, positions.reporting),
            "reason": result.reason,
            "positions": [_position(change, positions.reporting) for change in each.changes],
        }


def _position(change: Change, reporting: Asset) -> PositionView:
    def amount(minor: int) -> str:
        return format_minor(minor, change.worth.asset.digits)

    value, result = change.value, change.result
    return {
        "currency": change.worth.asset.code,
        "opening": amount(change.opening.position),
        "in": amount(change.came_in),
        "out": amount(change.went_out),
        "closing": amount(change.closing.position),
        "pending": amount(change.closing.pending),
        "spread_earned": amount(change.spread_earned),
        "fees_earned": amount(change.fees_earned),
        "spread_deferred": amount(change.closing.spread_deferred),
        "fees_deferred": amount(change.closing.fees_deferred),
        "value": _amount(value, reporting),
        "result": _amount(result, reporting),
        "reason": change.worth.reason if value is None or result is None else None,
    }


def _worth(worth: Worth) -> WorthView:
    return {
        "currency": worth.asset.code,
        "mid_rate": _rate(worth),
        "rate_sources": rate_source_views(worth.sources),
        "reason": worth.reason,
    }


def _rate(worth: Worth) -> str | None:
    return None if worth.mid_rate is None else format(worth.mid_rate, "f")


def _amount(minor: int | None, reporting: Asset) -> str | None:
    return None if minor is None else format_minor(minor, reporting.digits)
