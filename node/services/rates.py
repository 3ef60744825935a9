"""The rates the node prices with, read off the request path and kept in memory.

A request only looks up and multiplies; no source is asked while a caller waits. A source that
fails keeps its last reading, which then grows too old by itself. Whether a mid rate is near enough
to the one before it is judged by `node.services.breaker`; what was judged last is kept here.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from node.core.errors import RateUnavailable
from node.core.ports.quotes import Pair, RateSource
from node.core.quotes import Mid
from node.core.rates import DEFAULT_POLICY, Feed, MidUntil, PricingPolicy, best_mid


class Rates:
    """The newest readings of every source, and the mid rates that were trusted last.

    Args:
        sources: In order of preference.
        policy: What is asked of them.

    Attributes:
        trusted: The last mid rate of each pair that was near the one before it.
    """

    def __init__(
        self, sources: Sequence[RateSource], policy: PricingPolicy = DEFAULT_POLICY
    ) -> None:
        self.policy = policy
        self.trusted: dict[Pair, Decimal] = {}
        self._sources = tuple(sources)
        self._feeds = tuple(
            Feed((), each.max_age_s, each.natural_age_s, each.name, "not read yet")
            for each in sources
        )
        self._mids: dict[Pair, MidUntil] = {}
        self._accepted_at: dict[str, datetime] = {}

    @property
    def feeds(self) -> Sequence[Feed]:
        """The newest reading of each source, in order of preference."""
        return self._feeds

    @property
    def faults(self) -> Sequence[str]:
        """What was wrong at the last refresh, a sentence each; empty when all was well."""
        return tuple(f"{each.name}: {each.fault}" for each in self._feeds if each.fault)

    def mid(self, sell: str, buy: str, now: datetime) -> Mid:
        """The mid rate of a pair, not yet judged.

        Raises:
            RateUnavailable: The rates are missing, too few, too old, or disagree.
        """
        known = self._mids.get((sell, buy))
        if known is None or now > known.good_until:
            known = best_mid(self._feeds, sell, buy, now, self.policy)
            self._mids[sell, buy] = known
        return known.mid

    async def refresh(self) -> None:
        """Read every source once; those that fail are among `faults`, and nothing is raised."""
        readings = zip(self._sources, self._feeds, strict=True)
        self._feeds = tuple(await asyncio.gather(*(_read(*reading) for reading in readings)))
        self._mids = {}

    def follow(self, accepted_at: Mapping[str, datetime]) -> None:
        """Forget what was trusted of currencies whose new level an operator accepted since.

        Args:
            accepted_at: Currency -> when that was the last time.
        """
        for currency, at in accepted_at.items():
            known = self._accepted_at.get(currency)
            if known is None or at > known:
                self._accepted_at[currency] = at
                self.trusted = {
                    pair: mid for pair, mid in self.trusted.items() if currency not in pair
                }


async def _read(source: RateSource, before: Feed) -> Feed:
    try:
        return replace(before, rates=tuple(await source.rates()), fault=None)
    except RateUnavailable as error:
        return replace(before, fault=error.detail)
