"""The rates the node prices with, read off the request path and kept in memory.

A request only looks up and multiplies; no source is asked while a caller waits. A source that
fails keeps its last reading, which then grows too old by itself.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from node.core.errors import RateUnavailable
from node.core.ports.quotes import RateSource
from node.core.quotes import Mid, Rate
from node.core.rates import Feed, MidUntil, best_mid, is_plausible


class Rates:
    """The newest usable readings of every source.

    Args:
        sources: In order of preference.
    """

    def __init__(self, sources: Sequence[RateSource]) -> None:
        self._sources = tuple(sources)
        self._feeds = tuple(Feed((), each.max_age_s, each.natural_age_s) for each in sources)
        self._trusted: list[dict[tuple[str, str], Rate]] = [{} for _ in sources]
        self._faults: tuple[str, ...] = tuple(f"{each.name}: not read yet" for each in sources)
        self._mids: dict[tuple[str, str], MidUntil] = {}

    @property
    def faults(self) -> Sequence[str]:
        """What was wrong at the last refresh, a sentence each; empty when all was well."""
        return self._faults

    def mid(self, sell: str, buy: str, now: datetime) -> Mid:
        """The mid rate of a pair.

        Raises:
            RateUnavailable: The rates are missing, too old, or disagree.
        """
        known = self._mids.get((sell, buy))
        if known is None or now > known.good_until:
            known = best_mid(self._feeds, sell, buy, now)
            self._mids[sell, buy] = known
        return known.mid

    async def refresh(self) -> None:
        """Read every source once; those that fail are among `faults`, and nothing is raised."""
        faults: list[str] = []
        feeds = [
            await self._read(place, source, faults) for place, source in enumerate(self._sources)
        ]
        self._feeds = tuple(feeds)
        self._faults = tuple(faults)
        self._mids = {}

    async def keep_fresh(self, every_s: int) -> None:
        """Refresh every `every_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.refresh()

    async def _read(self, place: int, source: RateSource, faults: list[str]) -> Feed:
        try:
            stated = await source.rates()
        except RateUnavailable as error:
            faults.append(f"{source.name}: {error.detail}")
            return self._feeds[place]
        trusted = self._trusted[place]
        plausible: list[Rate] = []
        for rate in stated:
            before = trusted.get((rate.sell, rate.buy))
            if before is not None and not is_plausible(rate, before):
                faults.append(
                    f"{source.name}: {rate.sell}/{rate.buy} went from {before.text} to"
                    f" {rate.text} and is not used"
                )
                continue
            trusted[rate.sell, rate.buy] = rate
            plausible.append(rate)
        return Feed(tuple(plausible), source.max_age_s, source.natural_age_s)
