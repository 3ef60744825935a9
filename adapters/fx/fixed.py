"""Rates that the operator states in the settings, such as one dollar for one USDC.

A statement, not an observation: it holds from one reading to the next and never grows old.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.core.ports import Clock
from node.core.quotes import Rate


@dataclass(frozen=True, slots=True)
class FixedRates:
    """A `RateSource` of constants.

    Attributes:
        pairs: Sell asset, buy asset, buy units per sell unit as a decimal string.
        clock: The time of a reading, which is when its rates count as observed.
    """

    pairs: tuple[tuple[str, str, str], ...]
    clock: Clock
    name: str = "fixed"
    max_age_s: int | None = None
    natural_age_s: int | None = None

    async def rates(self) -> Sequence[Rate]:
        """See `RateSource.rates`."""
        now = self.clock.now()
        return [Rate.stated(sell, buy, text, self.name, now) for sell, buy, text in self.pairs]
