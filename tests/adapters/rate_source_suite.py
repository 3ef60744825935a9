"""What every `RateSource` must do; each adapter's tests inherit it with sources of their own."""

import pytest

from node.core.errors import RateUnavailable
from node.core.ports.quotes import RateSource


class RateSourceSuite:
    """Inherit, and override the two fixtures."""

    @pytest.fixture
    def source(self) -> RateSource:
        """A source in good order."""
        raise NotImplementedError

    @pytest.fixture
    def broken_source(self) -> RateSource:
        """A source that cannot give a sensible answer."""
        raise NotImplementedError

    async def test_it_states_rates_under_its_own_name(self, source: RateSource) -> None:
        rates = await source.rates()
        assert rates
        assert all(rate.source == source.name for rate in rates)

    async def test_it_states_each_pair_once_and_in_one_direction(self, source: RateSource) -> None:
        pairs = [frozenset({rate.sell, rate.buy}) for rate in await source.rates()]
        assert len(pairs) == len(set(pairs))

    async def test_its_observations_have_a_time_with_a_zone(self, source: RateSource) -> None:
        assert all(rate.observed_at.utcoffset() is not None for rate in await source.rates())

    async def test_it_leaves_the_judgement_of_age_to_the_node(self, source: RateSource) -> None:
        assert not any(rate.stale for rate in await source.rates())

    async def test_reading_it_twice_gives_the_same_rates(self, source: RateSource) -> None:
        first, second = await source.rates(), await source.rates()
        assert [(each.sell, each.buy, each.text) for each in first] == [
            (each.sell, each.buy, each.text) for each in second
        ]

    async def test_its_only_error_is_rate_unavailable(self, broken_source: RateSource) -> None:
        with pytest.raises(RateUnavailable):
            await broken_source.rates()
