"""Days and times in a query, as callers write them. What they look like in answers: `views`.

pydantic alone would also take numbers, and dates without a zone, for a time.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# RFC 3339 5.6, without leap seconds, which no clock here counts.
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _day(text: object) -> date:
    if isinstance(text, str) and _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise PydanticCustomError("day_invalid", "write a day such as 2026-11-22")


def _moment(text: object) -> datetime:
    if isinstance(text, str) and _MOMENT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise PydanticCustomError(
        "time_invalid", "write a time such as 2026-11-22T16:00:00Z (RFC 3339; `+` is %2B in a URL)"
    )


Day = Annotated[date, BeforeValidator(_day)]
"""A day of the calendar."""

Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A time with its zone, as UTC; parts below a microsecond are cut off."""
