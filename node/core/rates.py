"""Which rates are fit to price with (fresh, plausible, in agreement), and the way between assets.

A rate that is missing, too old, or contradicted by another is never replaced by a guess: there is
no price then. Reading rates is in `adapters.fx`, keeping them in `node.services.rates`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from node.core.errors import RateUnavailable
from node.core.quotes import ONE_BPS, Mid, Rate, chained, mid_of

AGREE_WITHIN_BPS: Final = 500
"""Two ways to the same rate may differ by 5 %.

Sources may be a day apart: of the daily moves of the catalogue's currencies in the ECB's reference
rates since 1999, 99.9 % are below 4 %. A wrong unit, direction or decimal point is far above.
"""

JUMP_MAX: Final = 2
"""A rate that doubles or halves from one reading to the next is taken for a fault.

The largest move between two days in the ECB's reference rates since 1999, of any currency, is 1.68
(Turkish lira, February 2001).
"""

AHEAD_MAX_S: Final = 3600
"""How far in the future an observation may lie (clocks, and times rounded up to the hour)."""

_EVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Feed:
    """The newest reading of one source.

    Attributes:
        rates: At most one for each pair.
        max_age_s: Older ones are not used; None: age is not checked.
        natural_age_s: Older ones are marked stale; None: they never are.
    """

    rates: tuple[Rate, ...]
    max_age_s: int | None
    natural_age_s: int | None


@dataclass(frozen=True, slots=True)
class MidUntil:
    """A mid rate, and until when time alone cannot change it (inclusive)."""

    mid: Mid
    good_until: datetime


def best_mid(feeds: Sequence[Feed], sell: str, buy: str, now: datetime) -> MidUntil:
    """The mid rate by the shortest way, preferring earlier feeds.

    Raises:
        RateUnavailable: No way, only ways over rates that are too old, or a rate on the way
            disagrees with another way between its two assets.
    """
    usable = tuple(_usable(feeds, now))
    path = _way(usable, sell, buy)
    if path is None:
        stated = [each for feed in feeds for each in feed.rates]
        if _way(stated, sell, buy) is None:
            raise RateUnavailable(f"no source has a rate for {sell}/{buy}")
        raise RateUnavailable(f"the rates for {sell}/{buy} are too old")
    for each in path:
        other = _way([rate for rate in usable if rate is not each], each.sell, each.buy)
        if other is not None and not _agree(each, other):
            raise RateUnavailable(f"the sources disagree about {each.sell}/{each.buy}")
    return MidUntil(mid_of(sell, buy, path), _good_until(feeds, now))


def is_plausible(rate: Rate, before: Rate) -> bool:
    """Whether a rate may follow one of the same pair and direction: at most twice or half of it."""
    now = rate.numerator * before.denominator
    then = before.numerator * rate.denominator
    return now <= JUMP_MAX * then and then <= JUMP_MAX * now


def _usable(feeds: Sequence[Feed], now: datetime) -> Iterator[Rate]:
    for feed in feeds:
        for rate in feed.rates:
            age = now - rate.observed_at
            if age < timedelta(seconds=-AHEAD_MAX_S) or _is_over(age, feed.max_age_s):
                continue
            yield replace(rate, stale=True) if _is_over(age, feed.natural_age_s) else rate


def _is_over(age: timedelta, limit_s: int | None) -> bool:
    return limit_s is not None and age > timedelta(seconds=limit_s)


def _way(rates: Sequence[Rate], sell: str, buy: str) -> tuple[Rate, ...] | None:
    """The shortest chain of rates, each passed either way; the earliest in order among equals."""
    reached: dict[str, tuple[Rate, ...]] = {sell: ()}
    edge = [sell]
    while edge and buy not in reached:
        following: list[str] = []
        for asset in edge:
            for rate in rates:
                if asset not in (rate.sell, rate.buy):
                    continue
                other = rate.buy if asset == rate.sell else rate.sell
                if other not in reached:
                    reached[other] = (*reached[asset], rate)
                    following.append(other)
        edge = following
    return reached.get(buy)


def _agree(rate: Rate, others: Sequence[Rate]) -> bool:
    numerator, denominator = chained(rate.sell, rate.buy, others)
    one, two = rate.numerator * denominator, numerator * rate.denominator
    return abs(one - two) * ONE_BPS <= AGREE_WITHIN_BPS * min(one, two)


def _good_until(feeds: Sequence[Feed], now: datetime) -> datetime:
    """The next instant at which a rate grows stale, too old, or stops being in the future."""
    boundaries = (
        rate.observed_at + timedelta(seconds=limit_s)
        for feed in feeds
        for limit_s in (feed.max_age_s, feed.natural_age_s, -AHEAD_MAX_S)
        if limit_s is not None
        for rate in feed.rates
    )
    return min((each for each in boundaries if each >= now), default=_EVER)
