"""Payments per second from HTTP to settled: Corridor beside a naive program, in one run.

Both sides run on this machine, one after the other, on servers of the same kind and settings:
PostgreSQL with fsync on, anvil with a block each second and the same gas limit. Both make one
quote per payment, for the same amounts and the same beneficiaries, driven by the same load
generator in a process of its own that shares the cores.

The clock runs from the first quote asked for to the last payment completed. Corridor's payments
are complete when final (a block and two on top) and posted in its ledger; the naive program's when
their transaction has a receipt. After each run `balanceOf` of every beneficiary must have risen by
exactly what was promised and the books must agree, else there are no figures and the exit status
is 1. Everything that was started is stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from node.devnet.errors import DevnetError
from scripts.bench import corridor_side, naive_side
from scripts.bench.command import end_on_sigterm, numbers
from scripts.bench.measure import BenchFailed, Figures, best, cores
from scripts.bench.proof import beneficiaries


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; `seconds`, `payments` and `beneficiaries` go for each run of a side."""

    sides: Sequence[str]
    seconds: float
    payments: int | None
    corridor_clients: Sequence[int]
    naive_clients: Sequence[int]
    beneficiaries: int
    json: bool


def main() -> int:
    """Measure, print one line; the exit status."""
    options = _options()
    end_on_sigterm()
    load_before = os.getloadavg()[0]
    runs: dict[str, list[Figures]] = {}
    try:
        for side in options.sides:
            runs[side] = _naive(options) if side == "naive" else _corridor(options)
    except (BenchFailed, DevnetError) as error:
        print(f"end_to_end failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        document = {
            "cores": cores(),
            "load_average_before": load_before,
            "beneficiaries": options.beneficiaries,
            "ratio": _ratio(runs),
            "runs": {side: [asdict(run) for run in of_side] for side, of_side in runs.items()},
        }
        print(orjson.dumps(document).decode())
    else:
        print(_line(runs, load_before))
    return 0


def _naive(options: Options) -> list[Figures]:
    addresses = beneficiaries(options.beneficiaries)
    with naive_side.running() as node:
        return [
            _told(
                "naive",
                naive_side.measure(
                    node,
                    clients=clients,
                    seconds=options.seconds,
                    payments=options.payments,
                    addresses=addresses,
                ),
            )
            for clients in options.naive_clients
        ]


def _corridor(options: Options) -> list[Figures]:
    addresses = beneficiaries(options.beneficiaries)
    with corridor_side.running() as node:
        return [
            _told(
                "corridor",
                corridor_side.measure(
                    node,
                    clients=clients,
                    seconds=options.seconds,
                    payments=options.payments,
                    addresses=addresses,
                ),
            )
            for clients in options.corridor_clients
        ]


def _told(side: str, run: Figures) -> Figures:
    """The run, after a line about it on stderr: the whole takes minutes."""
    print(
        f"{side} clients={run.clients} payments={run.payments} in {run.window_s:.1f} s: "
        f"{run.per_s:.1f}/s, payment answered p50 {run.payment_p50_ms:.0f} ms "
        f"p99 {run.payment_p99_ms:.0f} ms, generator {run.generator_cores:.2f} cores",
        file=sys.stderr,
        flush=True,
    )
    return run


def _line(runs: dict[str, list[Figures]], load_before: float) -> str:
    parts = ["end_to_end"]
    if corridor := runs.get("corridor"):
        run = best(corridor)
        parts += [
            f"corridor={run.per_s:.1f} payments/s",
            f"(clients={run.clients} of {_clients(corridor)},",
            f"accept p50={run.payment_p50_ms:.0f} ms p99={run.payment_p99_ms:.0f} ms,",
            f"generator={100 * run.generator_cores / cores():.0f}% of {cores()} cores)",
        ]
    if naive := runs.get("naive"):
        parts += [f"naive={best(naive).per_s:.1f} payments/s (best of {_clients(naive)} clients)"]
    if (ratio := _ratio(runs)) is not None:
        parts.append(f"ratio={ratio:.1f}×")  # noqa: RUF001 - the sign for "times" is meant
    parts.append(f"load_before={load_before:.1f}")
    return " ".join(parts)


def _clients(runs: Sequence[Figures]) -> str:
    return ",".join(str(run.clients) for run in runs)


def _ratio(runs: dict[str, list[Figures]]) -> float | None:
    if runs.keys() != {"corridor", "naive"}:
        return None
    return best(runs["corridor"]).per_s / best(runs["naive"]).per_s


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="begin payments for so long in each run (30)"
    )
    parser.add_argument(
        "--payments", type=int, help="at most so many payments in each run (no limit)"
    )
    parser.add_argument(
        "--only", choices=("corridor", "naive"), help="measure one side; there is no ratio then"
    )
    parser.add_argument(
        "--corridor-clients",
        type=numbers,
        default=(32, 128, 192),
        metavar="N,N",
        help="payments under way at once, a run for each number (32,128,192)",
    )
    parser.add_argument(
        "--naive-clients", type=numbers, default=(1, 8, 32), metavar="N,N", help="(1,8,32)"
    )
    parser.add_argument(
        "--beneficiaries", type=int, default=1_000, help="addresses that are paid in turn (1000)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print all figures of all runs as one JSON document"
    )
    given = parser.parse_args()
    if given.seconds <= 0 or given.beneficiaries < 1 or (given.payments or 1) < 1:
        parser.error("--seconds, --payments and --beneficiaries must be above zero")
    return Options(
        sides=(given.only,) if given.only else ("naive", "corridor"),
        seconds=given.seconds,
        payments=given.payments,
        corridor_clients=given.corridor_clients,
        naive_clients=given.naive_clients,
        beneficiaries=given.beneficiaries,
        json=given.json,
    )


if __name__ == "__main__":
    sys.exit(main())
