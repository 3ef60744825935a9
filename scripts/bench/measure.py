"""One measured run: hand an order to the load generator, turn its tally into figures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from scripts.bench.load import Order, Tally

_GENERATOR = Path(__file__).with_name("load.py")
# Beyond the order's own time: starting Python, and the generator's own limit on answers.
_GENERATOR_LIMIT_S = 180


class BenchFailed(Exception):
    """The run is worth nothing: a request was refused, or a proof did not hold."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to.

    Attributes:
        clients: Payments under way at once.
        payments: How many were accepted, and completed.
        window_s: From the first quote asked for to the last payment completed.
        per_s: `payments` over `window_s`.
        quote_p50_ms: Median until a quote was answered.
        quote_p99_ms: Of a hundred quotes, the slowest but one.
        payment_p50_ms: Median until a payment was answered: accepted by Corridor, paid by the
            naive program.
        payment_p99_ms: Of a hundred payments, the slowest but one.
        generator_cores: Processor time of the load generator per second while it ran.
    """

    clients: int
    payments: int
    window_s: float
    per_s: float
    quote_p50_ms: float
    quote_p99_ms: float
    payment_p50_ms: float
    payment_p99_ms: float
    generator_cores: float


def generate(order: Order) -> Tally:
    """Run the load generator.

    Raises:
        BenchFailed: It broke, nothing was accepted, or a request was refused.
    """
    try:
        done = subprocess.run(
            [sys.executable, str(_GENERATOR)],
            input=orjson.dumps(order),
            stdout=subprocess.PIPE,
            timeout=order.seconds + _GENERATOR_LIMIT_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise BenchFailed(f"the load generator broke: {error}") from error
    tally = Tally(**orjson.loads(done.stdout))
    if tally.refusals:
        raise BenchFailed(f"{order.system} refused requests: {dict(tally.refusals)}")
    if not tally.payment_ids:
        raise BenchFailed(f"{order.system} accepted no payment")
    return tally


def figures(tally: Tally, *, clients: int, completed_at_s: float) -> Figures:
    """The figures of a run whose last payment was complete at `completed_at_s` (monotonic)."""
    window_s = completed_at_s - tally.began_at_s
    payments = len(tally.payment_ids)
    return Figures(
        clients=clients,
        payments=payments,
        window_s=window_s,
        per_s=payments / window_s,
        quote_p50_ms=_percentile(tally.quote_ms, 50),
        quote_p99_ms=_percentile(tally.quote_ms, 99),
        payment_p50_ms=_percentile(tally.payment_ms, 50),
        payment_p99_ms=_percentile(tally.payment_ms, 99),
        generator_cores=tally.cpu_s / (tally.answered_at_s - tally.began_at_s),
    )


def best(runs: Sequence[Figures]) -> Figures:
    """The run with most payments per second."""
    return max(runs, key=lambda run: run.per_s)


def cores() -> int:
    """How many processors this process may use."""
    return os.cpu_count() or 1


def _percentile(values: Sequence[float], percent: int) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
