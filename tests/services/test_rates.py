"""Rates are read off the request path, and kept until they are too old by themselves."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from node.core.errors import RateUnavailable
from node.core.ports.quotes import Level
from node.core.quotes import Rate
from node.core.rates import Method, PricingPolicy
from node.services.pricing.rates import Rates

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
    waits_for: asyncio.Event | None = None

    async def rates(self) -> Sequence[Rate]:
        self.reads += 1
        if self.waits_for is not None:
            await self.waits_for.wait()
        if self.text is None:
            raise RateUnavailable("no answer")
        return [Rate.stated("EUR", "USD", self.text, self.name, self.observed_at)]


def rate_of(rates: Rates, now: datetime = NOON) -> str:
    return f"{rates.mid('EUR', 'USD', now).rate:f}"


async def test_nothing_is_priced_before_the_first_reading() -> None:
    rates = Rates([DollarFeed()])
    assert rates.faults == ("feed: not read yet",)
    with pytest.raises(RateUnavailable, match="feed: not read yet"):
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
    assert list(rates.faults) == ["feed: no answer"]
    assert rate_of(rates, NOON + timedelta(hours=1)) == "1.1"
    with pytest.raises(RateUnavailable, match=r"too old.*feed: no answer"):
        rate_of(rates, NOON + timedelta(hours=1, seconds=1))
    feed.text = "1.12"
    await rates.refresh()
    assert list(rates.faults) == []
    assert rate_of(rates) == "1.12"


async def test_one_failing_source_does_not_stop_the_others() -> None:
    rates = Rates([DollarFeed(None, name="down"), DollarFeed("1.09", name="up")])
    await rates.refresh()
    assert rates.faults == ("down: no answer",)
    assert rate_of(rates) == "1.09"


async def test_sources_are_read_side_by_side() -> None:
    go = asyncio.Event()
    feeds = [DollarFeed(waits_for=go, name=name) for name in "ab"]
    reading = asyncio.create_task(Rates(feeds).refresh())
    async with asyncio.timeout(60):
        while not all(each.reads for each in feeds):  # noqa: ASYNC110 - counters of fakes
            await asyncio.sleep(0)
    go.set()
    await reading


async def test_the_policy_says_how_sources_are_combined() -> None:
    feeds = [DollarFeed(text, name=f"feed {text}") for text in ("1.1", "1.12", "1.11")]
    for method, expected in ((Method.FIRST, "1.1"), (Method.MEDIAN, "1.11")):
        rates = Rates(feeds, PricingPolicy(method))
        await rates.refresh()
        assert rate_of(rates) == expected


async def test_after_a_level_was_accepted_only_what_was_read_since_is_used_for_its_pair() -> None:
    feeds = [DollarFeed("1.10", name="one"), DollarFeed("1.11", name="two")]
    rates = Rates(feeds)
    await rates.refresh(NOON)
    pair = ("EUR", "USD")
    rates.follow({pair: Level(Decimal("1.3"), NOON, Decimal("1.3"))})
    with pytest.raises(RateUnavailable, match="one: not read again since an operator accepted"):
        rate_of(rates)
    feeds[0].text = None  # the other one is read again
    await rates.refresh(NOON + timedelta(seconds=1))
    assert rate_of(rates) == "1.11"
    rates.follow({pair: Level(Decimal("1.3"), NOON, None)})  # one that was only believed
    assert rate_of(rates) == "1.1"


async def test_what_makes_exactly_the_level_that_was_accepted_is_used_however_old() -> None:
    rates = Rates([DollarFeed("1.10")])
    await rates.refresh()
    rates.follow({("EUR", "USD"): Level(Decimal("1.2"), NOON, Decimal("1.1"))})
    assert rate_of(rates) == "1.1"


@dataclass
class BrokenFeed(DollarFeed):
    """A source with a bug."""

    async def rates(self) -> Sequence[Rate]:
        raise KeyError("x")


async def test_a_source_that_raises_anything_is_a_fault_and_costs_no_other_its_reading() -> None:
    rates = Rates([DollarFeed("1.09", name="good"), BrokenFeed(name="bad")])
    await rates.refresh()
    assert rates.faults == ("bad: it fails with KeyError; see the log",)
    assert rate_of(rates) == "1.09"
