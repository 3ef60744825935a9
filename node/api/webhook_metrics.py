"""Figures of webhooks as Prometheus series; every process tells the same of the database."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.core.ports.webhooks import WebhookFigures


class WebhookSeries(Collector):
    """The figures of one moment."""

    def __init__(self, figures: WebhookFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Every series."""
        for name, text, value in (
            ("pending", "Deliveries that are still to be made.", self._figures.pending),
            ("dead", "Deliveries that were given up.", self._figures.dead),
            (
                "oldest_pending_age_seconds",
                "Age of the oldest that is still to be made; 0: there is none.",
                self._figures.oldest_age_s,
            ),
            (
                "endpoints_failing",
                "Active endpoints whose newest attempt failed.",
                self._figures.endpoints_failing,
            ),
            ("endpoints_disabled", "Disabled endpoints.", self._figures.endpoints_disabled),
        ):
            yield GaugeMetricFamily(f"corridor_webhooks_{name}", text, value=value)
