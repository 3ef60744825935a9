"""A small chart of what an address held: by the ledger, by the chain, and the difference.

Figures become SVG paths on the server. The page writes labels beside the drawing, as text of the
page, so that they keep their size on a narrow screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from node.core.ports.comparisons import AccountComparison, ComparisonPoint

WIDTH: Final = 600
HEIGHT: Final = 160
BAND: Final = 40
"""Height of the drawing of differences, below the one of balances."""

_MARGIN: Final = 4
_ROWS_SHOWN: Final = 12
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """One account at one block, minor units."""

    block_number: int
    at: datetime
    ledger: int
    chain: int

    @property
    def difference(self) -> int:
        """What the chain has more than the ledger."""
        return self.chain - self.ledger


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, and what is said beside it.

    Attributes:
        ledger, chain: Path data, steps from left to right.
        bars: (x, y, width, height) of each difference that is not 0.
        low, high: Balances at the lower and the upper edge.
        largest: The largest difference, either way.
        rows: The newest samples, for reading instead of looking; newest first.
    """

    asset: str
    samples: Sequence[Sample]
    ledger: str
    chain: str
    bars: Sequence[tuple[int, int, int, int]]
    low: int
    high: int
    largest: int

    @property
    def rows(self) -> Sequence[Sample]:
        """The newest samples, newest first."""
        return list(reversed(self.samples[-_ROWS_SHOWN:]))


def chart_of(points: Sequence[ComparisonPoint], now: AccountComparison) -> Chart | None:
    """The chart of an account; None where there are not two samples to draw a line between.

    Args:
        points: Of any accounts, oldest first.
        now: The account, as it was compared last: the end of the line.
    """
    samples = [
        Sample(each.block_number, each.compared_at, each.ledger, each.chain)
        for each in points
        if (each.address, each.asset) == (now.address, now.asset)
    ]
    if now.compared_at is not None and all(e.block_number < now.block.number for e in samples):
        samples.append(Sample(now.block.number, now.compared_at, now.ledger, now.chain))
    if len(samples) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    amounts = [amount for each in samples for amount in (each.ledger, each.chain)]
    low, high = min(amounts), max(amounts)
    largest = max(abs(each.difference) for each in samples)
    places = _places(samples)
    bars = []
    for number, each in enumerate(samples):
        if each.difference:
            end = places[number + 1] if number + 1 < len(samples) else WIDTH
            length = max(2, abs(each.difference) * (BAND // 2) // largest)
            top = BAND // 2 - length if each.difference > 0 else BAND // 2
            bars.append((places[number], top, max(2, end - places[number]), length))
    return Chart(
        now.asset,
        samples,
        _steps(places, [_height(each.ledger, low, high) for each in samples]),
        _steps(places, [_height(each.chain, low, high) for each in samples]),
        bars,
        low,
        high,
        largest,
    )


def _places(samples: Sequence[Sample]) -> list[int]:
    """Where each sample is from left to right, by its time."""
    first, last = samples[0].at, samples[-1].at
    whole_us = max(1, (last - first) // _MICROSECOND)
    return [(each.at - first) // _MICROSECOND * WIDTH // whole_us for each in samples]


def _height(amount: int, low: int, high: int) -> int:
    """Pixels from the top; a balance that never changed is in the middle."""
    if low == high:
        return HEIGHT // 2
    room = HEIGHT - 2 * _MARGIN
    return HEIGHT - _MARGIN - (amount - low) * room // (high - low)


def _steps(places: Sequence[int], heights: Sequence[int]) -> str:
    """A balance holds until it changes: right, then up or down."""
    told = [f"M{places[0]} {heights[0]}"]
    for place, height in zip(places[1:], heights[1:], strict=True):
        told.append(f"H{place}V{height}")
    return "".join([*told, f"H{WIDTH}"])
