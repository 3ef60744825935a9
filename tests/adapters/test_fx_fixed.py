"""Configured rates, and the setting that names the sources."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.fx import EcbRates, FixedRates, build_sources
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


def test_the_setting_names_sources_in_order_with_their_options() -> None:
    sources = build_sources(
        " ecb:max_age_s=7200;file=/var/lib/rates/eurofxref-hist.zip , fixed:USD/USDC=1;EUR/EURC=1 ",
        sandbox=False,
        clock=CLOCK,
    )
    assert sources == [
        EcbRates(max_age_s=7200, file=Path("/var/lib/rates/eurofxref-hist.zip")),
        FixedRates((("USD", "USDC", "1"), ("EUR", "EURC", "1")), CLOCK),
    ]


def test_without_options_the_ecb_source_checks_age() -> None:
    assert build_sources("ecb", sandbox=True, clock=CLOCK) == [EcbRates(max_age_s=345_600)]


def test_age_goes_unchecked_in_a_sandbox_only() -> None:
    [source] = build_sources("ecb:max_age_s=0", sandbox=True, clock=CLOCK)
    assert source.max_age_s is None
    with pytest.raises(ValueError, match="SANDBOX=1"):
        build_sources("ecb:max_age_s=0", sandbox=False, clock=CLOCK)


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("", "no rate source"),
        (" , ", "no rate source"),
        ("oracle", "there are 'ecb' and 'fixed'"),
        ("fixed:USD/USDC=1,EUR/EURC=1", "separated by ';'"),
        ("ecb:max_age=5", "no option 'max_age'"),
        ("ecb:max_age_s", "name=value"),
        ("ecb:max_age_s=1;max_age_s=2", "each option once"),
        ("ecb:max_age_s=-1", "number of seconds"),
        ("ecb:max_age_s=1h", "number of seconds"),
        ("ecb:max_age_s=\u0661", "number of seconds"),
        ("fixed", "needs a rate"),
        ("fixed:USDC=1", "SELL/BUY=RATE"),
        ("fixed:usd/usdc=1", "SELL/BUY=RATE"),
        ("fixed:USD/USD=1", "no rate of two assets"),
        ("fixed:USD/USDC=0", "plain decimal above zero"),
        ("fixed:USD/USDC=-1", "plain decimal above zero"),
        ("fixed:USD/USDC=NaN", "plain decimal above zero"),
        ("fixed:USD/USDC=1e0", "plain decimal above zero"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_remedy(spec: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        build_sources(spec, sandbox=True, clock=CLOCK)
