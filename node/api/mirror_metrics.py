"""Figures of chain, mirror and reconciliation as Prometheus series; every process tells the same.

What each of them means is in `node/docs/operating_reconciliation.md`.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.core.ports.chain import ProviderHealth
from node.services.mirror.health import Readiness


class MirrorSeries(Collector):
    """The figures of one moment."""

    def __init__(self, ready: Readiness, providers: Sequence[ProviderHealth] = ()) -> None:
        self._ready = ready
        self._providers = providers

    def collect(self) -> Iterator[Metric]:
        """Every series; what is unknown has none, and `corridor_ready` says so."""
        ready = self._ready
        if ready.reconciled_number is not None:
            yield GaugeMetricFamily(
                "corridor_reconciled_block",
                "The final block reconciliation has come to.",
                value=ready.reconciled_number,
            )
        if ready.final_due_number is not None:
            yield GaugeMetricFamily(
                "corridor_final_due_block",
                "The block up to which everything is to be final by now.",
                value=ready.final_due_number,
            )
        ages: Sequence[tuple[str, str, timedelta | None]] = (
            ("chain_head_age_seconds", "Since when the chain's head has not changed.",
             ready.head_age),
            ("mirror_age_seconds", "Since when the mirror has not moved.", ready.cursor_age),
            ("finality_behind_seconds",
             "Since when what is due has not become final; 0: all of it has.",
             ready.final_behind_age),
            ("reconciliation_behind_seconds",
             "Since when reconciliation has not reached what is final; 0: it has.",
             ready.behind_age),
        )  # fmt: skip
        for name, text, age in ages:
            if age is not None:
                yield GaugeMetricFamily(f"corridor_{name}", text, value=age.total_seconds())
        if ready.last_run_ms is not None:
            yield GaugeMetricFamily(
                "corridor_reconciliation_last_seconds",
                "How long the last comparison took.",
                value=timedelta(milliseconds=ready.last_run_ms).total_seconds(),
            )
        checks = GaugeMetricFamily(
            "corridor_ready_check", "Whether each check of /readyz holds.", labels=("check",)
        )
        for each in ready.checks:
            checks.add_metric((each.name,), int(each.ok))
        yield checks
        yield from _breaks(ready)
        doubt = GaugeMetricFamily(
            "corridor_provider_in_doubt",
            "Whether the provider contradicted itself and is asked last.",
            labels=("provider",),
        )
        for provider in self._providers:
            doubt.add_metric((provider.name,), int(provider.in_doubt is not None))
        yield doubt


def _breaks(ready: Readiness) -> Iterator[Metric]:
    count = GaugeMetricFamily(
        "corridor_breaks_open", "Breaks that nobody has closed.", labels=("code", "severity")
    )
    overdue = GaugeMetricFamily(
        "corridor_breaks_overdue", "Those past their time.", labels=("code", "severity")
    )
    oldest = GaugeMetricFamily(
        "corridor_break_oldest_age_seconds",
        "Age of the oldest of them.",
        labels=("code", "severity"),
    )
    for each in ready.breaks:
        labels = (each.code, each.severity)
        count.add_metric(labels, each.count)
        overdue.add_metric(labels, each.overdue)
        if ready.at is not None:
            oldest.add_metric(labels, (ready.at - each.oldest_at).total_seconds())
    yield from (count, overdue, oldest)
