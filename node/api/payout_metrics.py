"""Payouts for partners as Prometheus series; every process tells the same of the database."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.core.payouts import PayoutState


class PayoutSeries(Collector):
    """The figures of one moment."""

    def __init__(self, counts: Mapping[PayoutState, int]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Every series."""
        text = "Payouts for partners that have not ended, by state."
        family = GaugeMetricFamily("corridor_payouts", text, labels=("state",))
        for state, count in self._counts.items():
            family.add_metric((state.value,), count)
        yield family
