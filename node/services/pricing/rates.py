"""The rates the node prices with, read off the request path and kept in memory.

A request only looks up and multiplies; no source is asked while a caller waits. A source that
fails keeps its last reading, which then grows too old by itself. Once an operator has accepted a
new level of a pair, what was read before that is not used for it any more: it may be of the old
one. Whether a mid rate is near enough to its level is judged by `node.services.pricing.breaker`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from traceback import extract_tb
from typing import Final

import structlog

from node.core.errors import RateUnavailable
from node.core.ports.quotes import Level, Pair, RateSource
from node.core.quotes import Mid
from node.core.rates import DEFAULT_POLICY, MidUntil, PricingPolicy, Reading, best_mid

_log = structlog.get_logger()

_BEFORE: Final = "not read again since an operator accepted another level"


class Rates:
    """The newest readings of every source.

    Args:
        sources: In order of preference.
        policy: What is asked of them.
    """

    def __init__(
        self, sources: Sequence[RateSource], policy: PricingPolicy = DEFAULT_POLICY
    ) -> None:
        self.policy = policy
        self._sources = tuple(sources)
        self._readings = tuple(
            Reading((), each.max_age_s, each.natural_age_s, each.name, "not read yet")
            for each in sources
        )
        self._began: datetime | None = None
        self._read_at: tuple[datetime | None, ...] = (None,) * len(self._sources)
        self._mids: dict[Pair, MidUntil] = {}
        self._accepted: dict[Pair, tuple[datetime, Decimal]] = {}

    @property
    def readings(self) -> Sequence[Reading]:
        """The newest reading of each source, in order of preference."""
        return self._readings

    @property
    def faults(self) -> Sequence[str]:
        """What was wrong at the last refresh, a sentence each; empty when all was well."""
        return tuple(f"{each.name}: {each.fault}" for each in self._readings if each.fault)

    def mid(self, sell: str, buy: str, now: datetime) -> Mid:
        """The mid rate of a pair, not yet judged.

        Raises:
            RateUnavailable: The rates are missing, too few, too old, or disagree.
        """
        known = self._mids.get((sell, buy))
        if known is None or now > known.good_until:
            known = self._composed(sell, buy, now)
            self._mids[sell, buy] = known
        return known.mid

    async def refresh(self, now: datetime | None = None) -> None:
        """Read every source once; those that fail are among `faults`, and nothing is raised.

        Args:
            now: The database clock; None: it is away, and the readings count as of the time before.
        """
        began = self._began = now or self._began
        known = zip(self._sources, self._readings, strict=True)
        self._readings = tuple(await asyncio.gather(*(_read(*each) for each in known)))
        self._read_at = tuple(
            at if each.fault else began
            for each, at in zip(self._readings, self._read_at, strict=True)
        )
        self._mids = {}

    def follow(self, levels: Mapping[Pair, Level]) -> None:
        """Use for a pair whose level an operator accepted only what was read since then.

        Or what makes exactly that level: it is what the operator accepted.
        """
        accepted = {
            pair: (level.since, level.accepted)
            for pair, level in levels.items()
            if level.accepted is not None
        }
        if accepted != self._accepted:
            self._accepted = accepted
            self._mids = {}

    def _composed(self, sell: str, buy: str, now: datetime) -> MidUntil:
        since, accepted = self._accepted.get((sell, buy), (None, None))
        newer = [
            each
            if since is None or (at is not None and at > since)
            else replace(each, rates=(), fault=each.fault or _BEFORE)
            for each, at in zip(self._readings, self._read_at, strict=True)
        ]
        if tuple(newer) != self._readings:
            with suppress(RateUnavailable):
                known = best_mid(self._readings, sell, buy, now, self.policy)
                if known.mid.rate == accepted:
                    return known
        return best_mid(newer, sell, buy, now, self.policy)


async def _read(source: RateSource, before: Reading) -> Reading:
    try:
        return replace(before, rates=tuple(await source.rates()), fault=None)
    except RateUnavailable as error:
        return replace(before, fault=error.detail)
    except Exception as error:  # noqa: BLE001 - one that is logged and told
        # A bug of one source is no reason to lose what the others say. Where it is, is logged; a
        # whole traceback may show the values on the way, and the key of a service among them.
        where = [f"{each.filename}:{each.lineno}" for each in extract_tb(error.__traceback__)[1:]]
        what = type(error).__name__
        _log.error("a rate source has a bug", source=before.name, error=what, where=where)
        return replace(before, fault=f"it fails with {type(error).__name__}; see the log")
