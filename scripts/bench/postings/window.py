"""Measuring: callers in a closed loop, acknowledged postings counted between two instants.

Both instants are acknowledgements, so that a batch is counted whole or not at all: the first one
after the warm-up and the first one after the window's time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

from scripts.bench.measure import BenchFailed
from scripts.bench.postings.server import Server


@dataclass(frozen=True, slots=True)
class Window:
    """One measured window.

    Attributes:
        per_s: Postings acknowledged per second.
        p50_ms: Median until a call was answered.
        p99_ms: Of a hundred calls, the slowest but one.
        python_cores: Processor time of this process (callers included) per second.
        postgres_cores: Processor time of the server per second; 0 when it is not known.
        other_cores: Processor time per second of everything else on the machine, likewise.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    python_cores: float
    postgres_cores: float
    other_cores: float


@dataclass(frozen=True, slots=True)
class Figure:
    """The windows of one case."""

    windows: Sequence[Window]

    @property
    def per_s(self) -> float:
        """Median of the windows."""
        return median(each.per_s for each in self.windows)

    def __str__(self) -> str:
        """Median and range, latency, processors; of what others took the most."""
        rates = [each.per_s for each in self.windows]
        python_us = median(1_000_000 * each.python_cores / each.per_s for each in self.windows)
        postgres_us = median(1_000_000 * each.postgres_cores / each.per_s for each in self.windows)
        return (
            f"{self.per_s:,.0f}/s [{min(rates):,.0f} - {max(rates):,.0f}]"
            f" p50={median(each.p50_ms for each in self.windows):.1f} ms"
            f" p99={median(each.p99_ms for each in self.windows):.1f} ms"
            f" cores: python={median(each.python_cores for each in self.windows):.2f}"
            f" postgres={median(each.postgres_cores for each in self.windows):.2f}"
            f" others={max(each.other_cores for each in self.windows):.2f}"
            f" us/posting: python={python_us:.0f} postgres={postgres_us:.0f}"
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    acknowledged: int
    python_s: float
    postgres_s: float
    everything_s: float


class _Meter:
    def __init__(self, server: Server, *, warm_up_s: float, seconds: float) -> None:
        self._server = server
        self._next_at_s = time.perf_counter() + warm_up_s
        self._seconds = seconds
        self._acknowledged = 0
        self._latencies_s: list[float] = []
        self.readings: list[_Reading] = []

    @property
    def is_over(self) -> bool:
        return len(self.readings) > 1

    def answered(self, began_s: float, count: int) -> None:
        """A call that began then was answered now, with so many postings acknowledged."""
        now_s = time.perf_counter()
        if now_s >= self._next_at_s and not self.is_over:
            self.readings.append(
                _Reading(
                    now_s, self._acknowledged, time.process_time(), *self._server.processor_s()
                )
            )
            self._next_at_s = now_s + self._seconds
        self._acknowledged += count
        if len(self.readings) == 1:
            self._latencies_s.append(now_s - began_s)

    def window(self) -> Window:
        began, ended = self.readings
        seconds = ended.at_s - began.at_s
        ordered = sorted(self._latencies_s)
        python_cores = (ended.python_s - began.python_s) / seconds
        postgres_cores = (ended.postgres_s - began.postgres_s) / seconds
        everything_cores = (ended.everything_s - began.everything_s) / seconds
        return Window(
            per_s=(ended.acknowledged - began.acknowledged) / seconds,
            p50_ms=1000 * ordered[len(ordered) // 2],
            p99_ms=1000 * ordered[len(ordered) * 99 // 100],
            python_cores=python_cores,
            postgres_cores=postgres_cores,
            other_cores=max(everything_cores - python_cores - postgres_cores, 0),
        )


async def measure(
    call: Callable[[], Awaitable[int]],
    server: Server,
    *,
    callers: int,
    warm_up_s: float,
    seconds: float,
) -> Window:
    """Let so many callers call, each one after the other, for warm-up and window.

    Args:
        call: Posts something; how many postings were acknowledged.
        server: Whose processor time is read.
        callers: Calls under way at once.
        warm_up_s: Not counted.
        seconds: Counted.

    Raises:
        BenchFailed: A call failed.
    """
    meter = _Meter(server, warm_up_s=warm_up_s, seconds=seconds)

    async def caller() -> None:
        while not meter.is_over:
            began_s = time.perf_counter()
            meter.answered(began_s, await call())

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        raise BenchFailed(f"a call failed: {first!r}") from first
    return meter.window()
