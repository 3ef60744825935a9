"""Prometheus figures of one process. Every process answers for itself; the scraper adds up."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_NANOSECONDS: Final = 10**9
_NONE: Final = "none"


class HttpMetrics:
    """Counts requests by route template, never by path: the number of series stays small."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "corridor_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "corridor_http_request_seconds",
            "Time from the request's headers to the end of the answer.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._gauges: dict[str, Gauge] = {}
        self._requests_of = lru_cache(maxsize=1024)(self._requests.labels)
        self._seconds_of = lru_cache(maxsize=1024)(self._seconds.labels)

    def observe(self, method: str, route: str | None, status: int, duration_ns: int) -> None:
        """Count one request; `status` 0 means that the caller left before an answer."""
        known = method if method in _METHODS else "other"
        self._requests_of(known, route or _NONE, str(status)).inc()
        duration_s = duration_ns / _NANOSECONDS  # tidy: T1 because a time, not money
        self._seconds_of(known, route or _NONE).observe(duration_s)

    def page(self, gauges: Mapping[str, int], *others: Collector) -> bytes:
        """The exposition text, with the node's own figures as `corridor_<name>`.

        Args:
            gauges: Figures by name.
            others: Series that are made anew for each page.
        """
        for name, value in gauges.items():
            if name not in self._gauges:
                self._gauges[name] = Gauge(
                    f"corridor_{name}", name.replace("_", " "), registry=self._registry
                )
            self._gauges[name].set(value)
        page = generate_latest(self._registry)
        for other in others:
            registry = CollectorRegistry()
            registry.register(other)
            page += generate_latest(registry)
        return page
