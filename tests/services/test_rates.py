"""Rates are read off the request path, kept, and never trusted blindly."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from node.core.errors import RateUnavailable
from node.core.quotes import Rate
from node.services.rates import Rates

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)


@dataclass
class DollarFeed:
    """A `RateSource` that states EUR/USD as it is told; None: it does not answer."""

    text: str | None = "1.10"
    observed_at: datetime = NOON
    name: str = "feed"
    max_age_s: int | None = 3600
    natural_age_s: int | None = None
    reads: int = field(default=0)

    async def rates(self) -> Sequence[Rate]:
        self.reads += 1
        if self.text is None:
            raise RateUnavailable("no answer")
        return [Rate.stated("EUR", "USD", self.text, self.name, self.observed_at)]


def rate_of(rates: Rates, now: datetime = NOON) -> str:
    return f"{rates.mid('EUR', 'USD', now).rate:f}"


async def test_nothing_is_priced_before_the_first_reading() -> None:
    rates = Rates([DollarFeed()])
    assert rates.faults == ("feed: not read yet",)
    with pytest.raises(RateUnavailable):
        rate_of(rates)


async def test_no_source_is_asked_while_a_request_waits() -> None:
    feed = DollarFeed()
    rates = Rates([feed])
    await rates.refresh()
    for _ in range(100):
        assert rate_of(rates) == "1.1"
    assert feed.reads == 1
    assert rates.faults == ()


async def test_a_new_reading_replaces_the_one_before_at_once() -> None:
    feed = DollarFeed()
    rates = Rates([feed])
    await rates.refresh()
    assert rate_of(rates) == "1.1"
    feed.text = "1.11"
    await rates.refresh()
    assert rate_of(rates) == "1.11"


async def test_a_source_that_fails_keeps_its_last_rate_until_that_is_too_old() -> None:
    feed = DollarFeed()
    rates = Rates([feed])
    await rates.refresh()
    feed.text = None
    await rates.refresh()
    assert rates.faults == ("feed: no answer",)
    assert rate_of(rates, NOON + timedelta(hours=1)) == "1.1"
    with pytest.raises(RateUnavailable, match="too old"):
        rate_of(rates, NOON + timedelta(hours=1, seconds=1))


async def test_a_rate_that_jumps_is_not_used_until_it_is_back() -> None:
    feed = DollarFeed()
    rates = Rates([feed])
    await rates.refresh()
    feed.text = "11.0"
    for _ in range(2):  # its own bad reading does not make the next one plausible
        await rates.refresh()
        assert rates.faults == ("feed: EUR/USD went from 1.10 to 11.0 and is not used",)
        with pytest.raises(RateUnavailable):
            rate_of(rates)
    feed.text = "1.12"
    await rates.refresh()
    assert rates.faults == ()
    assert rate_of(rates) == "1.12"


async def test_one_failing_source_does_not_stop_the_others() -> None:
    rates = Rates([DollarFeed(None, name="down"), DollarFeed("1.09", name="up")])
    await rates.refresh()
    assert rates.faults == ("down: no answer",)
    assert rate_of(rates) == "1.09"


async def test_rates_are_refreshed_again_and_again() -> None:
    feed = DollarFeed()
    rates = Rates([feed])
    task = asyncio.create_task(rates.keep_fresh(0))
    async with asyncio.timeout(10):
        while feed.reads < 3:  # noqa: ASYNC110 - the condition is a fake's counter
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
