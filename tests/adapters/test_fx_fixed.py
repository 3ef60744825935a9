"""Configured rates."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from adapters.fx import FixedRates
from node.core.ports.quotes import RateSource
from tests.adapters.rate_source_suite import RateSourceSuite

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)


@dataclass(frozen=True)
class StoppedClock:
    """It is always noon."""

    def now(self) -> datetime:
        return NOON


CLOCK = StoppedClock()


class TestFixedRates(RateSourceSuite):
    """The suite of the port, over configured rates."""

    @pytest.fixture
    def source(self) -> RateSource:
        return FixedRates((("USD", "USDC", "1"), ("EUR", "EURC", "0.999")), CLOCK)

    @pytest.fixture
    def broken_source(self) -> RateSource:
        return FixedRates((("USD", "USDC", "NaN"),), CLOCK)


async def test_a_configured_rate_counts_as_observed_when_it_is_read() -> None:
    [rate] = await FixedRates((("USD", "USDC", "0.9998"),), CLOCK).rates()
    assert (rate.text, rate.observed_at) == ("0.9998", NOON)
