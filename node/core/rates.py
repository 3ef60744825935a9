"""Which rates are fit to price with (fresh, enough, in agreement), and the way between assets.

A rate that is missing, too old, or contradicted by another is never replaced by a guess: there is
no price then, and the reason names the sources. What is asked of the sources is data, a
`PricingPolicy`. Reading rates is in `adapters.fx`, keeping them in `node.services.pricing.rates`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise, permutations
from operator import itemgetter
from typing import Final

from node.core.errors import RateUnavailable
from node.core.quotes import ONE_BPS, Mid, Rate, chained, mid_of

DISAGREEMENT_MAX_BPS: Final = 500
"""Two statements of the same rate may differ by 5 %.

Sources may be a day apart: of the daily moves of the catalogue's currencies in the ECB's reference
rates since 1999, 99.9 % are below 4 %. A wrong unit, direction or decimal point is far above.
"""

JUMP_MAX_BPS: Final = 1_000
"""A mid rate may move by 10 % from the last one that was trusted, before a person must look.

Of the catalogue's currencies against the dollar, from one reference rate of the ECB to the next
since 1999, only the Mexican peso has moved further (10 October 2008, 11.9 %).
"""

FAULT_FACTOR: Final = 2
"""A rate that more than doubles or halves is taken for a fault of its source, not for the market.

The largest move between two days in the ECB's reference rates since 1999, of any currency, is 1.68
(Turkish lira, February 2001).
"""

AHEAD_MAX_S: Final = 3600
"""How far in the future an observation may lie (clocks, and times rounded up to the hour)."""

_EVER: Final = datetime.max.replace(tzinfo=UTC)


class Method(StrEnum):
    """How one rate is made of what several sources state."""

    FIRST = "first"
    """Of the first source in order that has a usable one; the others must agree with it."""

    MEDIAN = "median"
    """The middle one of all usable ones, without outliers; of two in the middle the lower."""


@dataclass(frozen=True, slots=True)
class PricingPolicy:
    """What is asked of the sources before there is a price.

    Attributes:
        sources_min: Usable statements that each rate needs, outliers apart.
        disagreement_max_bps: How far statements of one rate may differ, of the smaller one.
        jump_max_bps: How far a mid rate may move from the last one that was trusted.
        bridge: Assets a cross rate may go over, the preferred first.
    """

    method: Method = Method.FIRST
    sources_min: int = 1
    disagreement_max_bps: int = DISAGREEMENT_MAX_BPS
    jump_max_bps: int = JUMP_MAX_BPS
    bridge: tuple[str, ...] = ("EUR", "USD")


DEFAULT_POLICY: Final = PricingPolicy()


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest reading of one source.

    Attributes:
        rates: At most one for each pair.
        max_age_s: Older ones are not used; None: age is not checked.
        natural_age_s: Older ones are marked stale; None: they never are.
        name: Of the source.
        fault: Why the source could not be read the last time, a sentence; `rates` are then those
            of the time before.
    """

    rates: tuple[Rate, ...]
    max_age_s: int | None
    natural_age_s: int | None
    name: str = ""
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class MidUntil:
    """A mid rate, and until when time alone cannot change it (inclusive)."""

    mid: Mid
    good_until: datetime


class Lack(StrEnum):
    """Why there is no rate, from the least that is known to the most."""

    NO_SOURCE = "no_source"
    TOO_OLD = "too_old"
    TOO_FEW_SOURCES = "too_few_sources"
    DISAGREE = "disagree"


def best_mid(
    readings: Sequence[Reading],
    sell: str,
    buy: str,
    now: datetime,
    policy: PricingPolicy = DEFAULT_POLICY,
) -> MidUntil:
    """The mid rate by the shortest way over the policy's bridges, preferring earlier readings.

    Every other way that could have been gone must lead to the same rate, within the bound for
    disagreement.

    Raises:
        RateUnavailable: There is no way, or only ways over rates that are too old or stated by too
            few, or statements disagree. `reason` is a `Lack`, `sources` are the names concerned.
    """
    ways: list[tuple[Rate, ...]] = []
    refusals: list[RateUnavailable] = []
    for way in _ways(readings, sell, buy, policy.bridge):
        try:
            ways.append(tuple(_leg(readings, *leg, now, policy) for leg in pairwise(way)))
        except RateUnavailable as refusal:
            if refusal.context["reason"] == Lack.DISAGREE:
                raise
            refusals.append(refusal)
    if not ways:
        raise refusals[0] if refusals else _lacking(Lack.NO_SOURCE, sell, buy, (), policy, readings)
    mid = mid_of(sell, buy, ways[0])
    for other in ways[1:]:
        if not _agree(_product(sell, buy, ways[0]), _product(sell, buy, other), policy):
            raise _lacking(Lack.DISAGREE, sell, buy, (*ways[0], *other), policy)
    return MidUntil(mid, _good_until(readings, now))


def is_plausible(rate: Rate, before: Rate) -> bool:
    """Whether a rate may follow one of the same pair and direction: at most twice or half of it."""
    return not _is_fault(_ratio(rate), _ratio(before))


def is_jump(mid: Decimal, trusted: Decimal, max_bps: int) -> bool:
    """Whether a mid rate is further from the trusted one than may be, of the smaller one."""
    return _are_apart(Fraction(mid), Fraction(trusted), max_bps)


def is_fault(mid: Decimal, trusted: Decimal) -> bool:
    """Whether a mid rate is so far from the trusted one that a source must be wrong."""
    return _is_fault(Fraction(mid), Fraction(trusted))


def is_too_old(rate: Rate, max_age_s: int | None, now: datetime) -> bool:
    """Whether a rate is older than its source's may be, or from the future."""
    age = now - rate.observed_at
    return age < timedelta(seconds=-AHEAD_MAX_S) or _is_over(age, max_age_s)


def _ways(
    readings: Sequence[Reading], sell: str, buy: str, bridge: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """The ways over none, one, two... bridges that sources state in full, shortest first."""
    stated = {frozenset((rate.sell, rate.buy)) for reading in readings for rate in reading.rates}
    between = [each for each in bridge if each not in (sell, buy)]
    for length in range(len(between) + 1):
        for chosen in permutations(between, length):
            way = (sell, *chosen, buy)
            if all(frozenset(leg) in stated for leg in pairwise(way)):
                yield way


def _leg(
    readings: Sequence[Reading], sell: str, buy: str, now: datetime, policy: PricingPolicy
) -> Rate:
    """One rate of all that state it, in either direction.

    Raises:
        RateUnavailable: See `best_mid`.
    """
    stated = list(_stated(readings, sell, buy))
    usable = [
        replace(rate, stale=True)
        if _is_over(now - rate.observed_at, reading.natural_age_s)
        else rate
        for rate, reading in stated
        if not is_too_old(rate, reading.max_age_s, now)
    ]
    if not usable:
        raise _lacking(
            Lack.TOO_OLD, sell, buy, [rate for rate, _ in stated], policy,
            [reading for _, reading in stated],
        )  # fmt: skip
    if len(usable) < policy.sources_min:
        raise _lacking(Lack.TOO_FEW_SOURCES, sell, buy, usable, policy, readings)
    choose = _first if policy.method is Method.FIRST else _median
    chosen = choose(usable, sell, buy, policy)
    if chosen is None:
        raise _lacking(Lack.DISAGREE, sell, buy, usable, policy)
    return chosen


def _first(usable: Sequence[Rate], sell: str, buy: str, policy: PricingPolicy) -> Rate | None:
    """The first in order; None: another one disagrees with it."""
    first, *others = (_product(sell, buy, [rate]) for rate in usable)
    return usable[0] if all(_agree(first, each, policy) for each in others) else None


def _median(usable: Sequence[Rate], sell: str, buy: str, policy: PricingPolicy) -> Rate | None:
    """The middle one of those near the middle of all; None: those are too few, or no majority.

    Of two in the middle it is the lower, so what is printed is what a source stated, and the
    difference is in the node's favour.
    """
    ordered = sorted(((_product(sell, buy, [rate]), rate) for rate in usable), key=itemgetter(0))
    middle, _ = _middle(ordered)
    near = [each for each in ordered if _agree(each[0], middle, policy)]
    are_enough = len(near) >= policy.sources_min and 2 * len(near) > len(ordered)
    return _middle(near)[1] if are_enough else None


def _middle(ordered: Sequence[tuple[Fraction, Rate]]) -> tuple[Fraction, Rate]:
    return ordered[(len(ordered) - 1) // 2]


def _stated(readings: Sequence[Reading], sell: str, buy: str) -> Iterator[tuple[Rate, Reading]]:
    """What each source states of two assets, in either direction; one voice for each source."""
    for reading in readings:
        for rate in reading.rates:
            if (rate.sell, rate.buy) in ((sell, buy), (buy, sell)):
                yield rate, reading
                break


def _is_over(age: timedelta, limit_s: int | None) -> bool:
    return limit_s is not None and age > timedelta(seconds=limit_s)


def _product(sell: str, buy: str, rates: Sequence[Rate]) -> Fraction:
    return Fraction(*chained(sell, buy, rates))


def _ratio(rate: Rate) -> Fraction:
    return Fraction(rate.numerator, rate.denominator)


def _agree(one: Fraction, two: Fraction, policy: PricingPolicy) -> bool:
    return not _are_apart(one, two, policy.disagreement_max_bps)


def _are_apart(one: Fraction, two: Fraction, max_bps: int) -> bool:
    """Whether two rates differ by more; the same for their reciprocals."""
    return abs(one - two) * ONE_BPS > max_bps * min(one, two)


def _is_fault(one: Fraction, two: Fraction) -> bool:
    return max(one, two) > FAULT_FACTOR * min(one, two)


def _lacking(
    lack: Lack,
    sell: str,
    buy: str,
    rates: Sequence[Rate],
    policy: PricingPolicy,
    readings: Sequence[Reading] = (),
) -> RateUnavailable:
    """The refusal, with what every source concerned says, and what is wrong with it."""
    faults = [f"{reading.name}: {reading.fault}" for reading in readings if reading.fault]
    names = [each.source for each in rates] or [
        reading.name for reading in readings if reading.name
    ]
    sentence = _sentence(lack, f"{sell}/{buy}", rates, policy, names)
    return RateUnavailable(
        "; ".join((sentence, *faults)), reason=str(lack), sources=list(dict.fromkeys(names))
    )


def _sentence(
    lack: Lack, pair: str, rates: Sequence[Rate], policy: PricingPolicy, names: Sequence[str]
) -> str:
    told = ", ".join(dict.fromkeys(_told(each) for each in rates))
    match lack:
        case Lack.NO_SOURCE:
            asked = ", ".join(names) or "none is configured"
            return f"no source states a rate for {pair} (asked: {asked})"
        case Lack.TOO_OLD:
            return f"the rates for {pair} are too old or from the future: {told}"
        case Lack.TOO_FEW_SOURCES:
            least = policy.sources_min
            return f"too few sources for {pair}: {len(rates)} of at least {least} ({told})"
        case Lack.DISAGREE:
            bound = policy.disagreement_max_bps
            return f"the sources disagree about {pair} by more than {bound} bps: {told}"


def _told(rate: Rate) -> str:
    at = f"{rate.observed_at:%Y-%m-%d %H:%M}"
    return f"{rate.source} {rate.sell}/{rate.buy} {rate.text} of {at} UTC"


def _good_until(readings: Sequence[Reading], now: datetime) -> datetime:
    """The next instant at which a rate grows stale, too old, or stops being in the future."""
    boundaries = (
        rate.observed_at + timedelta(seconds=limit_s)
        for reading in readings
        for limit_s in (reading.max_age_s, reading.natural_age_s, -AHEAD_MAX_S)
        if limit_s is not None
        for rate in reading.rates
    )
    return min((each for each in boundaries if each >= now), default=_EVER)
