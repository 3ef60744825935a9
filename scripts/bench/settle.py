"""Payments per second of settlement alone: Corridor beside one web3.py transfer per payment.

    python -m scripts.bench.settle

Both pay the same beneficiaries in the same token on one chain, in turns: the anvil of a devnet.
With `--chain instant` it mines each transaction as it comes, and a block each second besides, so
that the naive program waits for no block; with `--chain seconds` only a block each second, with
Ethereum's gas limit of 60 million, which then bounds Corridor. Corridor is the devnet's node as
people run it (PostgreSQL with fsync on, the worker a process of its own): accepted, funded
transfers wait in its database, and the clock runs from the end of a pause until all of them are
final (two blocks on top) and posted. The naive program keeps no books and recovers from nothing; a
client sends a payment and awaits its receipt before the next. With one client it is sequential;
its best number of clients is shown, too.

A figure is the median of its windows, with the lowest and highest; a ratio is of medians. `cores`
is processor time per second in Corridor's windows, by program; `others` is everything else on the
machine: where that is not near 0, somebody disturbed the run, and `us/payment`, processor time for
each payment, bears it better than the rate. After each window `balanceOf` of every beneficiary
must have risen by exactly what was due, trial balance and reconciliation must be clean, and at the
end the service of `corridor verify` must find nothing; else the exit status is 1 and there are no
figures.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from node.devnet.errors import DevnetError
from node.devnet.rpc import call
from scripts.bench import corridor_side
from scripts.bench.command import end_on_sigterm, numbers
from scripts.bench.corridor_side import CorridorNode
from scripts.bench.measure import BenchFailed, cores
from scripts.bench.proof import beneficiaries
from scripts.bench.settlement import naive_side, node_side
from scripts.bench.settlement.node_side import Window

_SEQUENTIAL = 1


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        payments: Waiting in each of Corridor's windows.
        windows: Of each side and number of clients.
        naive_seconds: A naive client begins payments for so long in each window.
        chain: `instant` or `seconds`: when blocks are mined.
    """

    chain: str
    payments: int
    windows: int
    naive_seconds: float
    naive_clients: Sequence[int]
    beneficiaries: int


def main() -> int:
    """Measure, print; the exit status."""
    options = _options()
    end_on_sigterm()
    load_before = os.getloadavg()[0]
    try:
        with corridor_side.running() as node:
            call(node.rpc_url, "evm_setAutomine", options.chain == "instant")
            naive, ours, entries = _measure(node, options)
    except (BenchFailed, DevnetError) as error:
        print(f"settle failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for line in _lines(options.chain, naive, ours, load_before):
        print(line)
    print(f"settle verified entries={entries:,} findings=0")
    return 0


def _measure(
    node: CorridorNode, options: Options
) -> tuple[dict[int, list[float]], list[Window], int]:
    """Rates of the naive program by clients, Corridor's windows, and entries verified."""
    addresses = beneficiaries(options.beneficiaries)
    customer_id = corridor_side.customer_with_money(node, str(time.time_ns()))
    naive_side.fund(node.rpc_url, node.token)
    # Not counted: caches fill, and every beneficiary comes to hold the token.
    node_side.measure(node, customer_id, payments=2 * len(addresses), addresses=addresses)
    naive: dict[int, list[float]] = {clients: [] for clients in options.naive_clients}
    ours: list[Window] = []
    for number in range(options.windows):
        for clients, rates in naive.items():
            rates.append(
                naive_side.measure(
                    node.rpc_url,
                    node.token,
                    clients=clients,
                    seconds=options.naive_seconds,
                    units=node_side.UNITS,
                    addresses=addresses,
                )
            )
            _tell(f"window {number + 1}: naive clients={clients} {rates[-1]:.1f} payments/s")
        ours.append(
            node_side.measure(node, customer_id, payments=options.payments, addresses=addresses)
        )
        _tell(f"window {number + 1}: corridor {ours[-1].per_s:,.0f} payments/s {_cores(ours[-1:])}")
    return naive, ours, node_side.verified(node)


def _lines(
    chain: str, naive: dict[int, list[float]], ours: Sequence[Window], load_before: float
) -> Sequence[str]:
    rate = median(each.per_s for each in ours)
    best = max(naive, key=lambda clients: median(naive[clients]))
    corridor = (
        f"settle chain={chain} corridor={_figure([each.per_s for each in ours])} payments/s"
        f" ({ours[0].payments:,} waiting) {_cores(ours)} of {cores()} {_spent(ours)}"
        f" load_before={load_before:.1f}"
    )
    ratios = [f"{rate / median(naive[best]):.0f}× the naive best ({best} clients)"]  # noqa: RUF001 - the sign for "times" is meant
    if _SEQUENTIAL in naive:
        ratio = rate / median(naive[_SEQUENTIAL])
        ratios.insert(0, f"{ratio:.0f}× the naive one after the other")  # noqa: RUF001 - as above
    return [
        *(
            f"settle chain={chain} naive clients={clients} {_figure(rates)} payments/s"
            for clients, rates in naive.items()
        ),
        corridor,
        f"settle chain={chain} ratio={', '.join(ratios)}",
    ]


def _figure(values: Sequence[float]) -> str:
    return f"{median(values):,.1f} [{min(values):,.1f} - {max(values):,.1f}]"


def _cores(windows: Sequence[Window]) -> str:
    names = windows[0].use.programs
    used = {name: median(each.use.programs[name] for each in windows) for name in names}
    parts = [f"{name}={spent:.2f}" for name, spent in used.items()]
    return f"cores: {' '.join(parts)} others={max(each.use.others for each in windows):.2f}"


def _spent(windows: Sequence[Window]) -> str:
    """Processor time for each payment, by program."""
    parts = [
        f"{name}={median(1e6 * each.use.programs[name] / each.per_s for each in windows):.0f}"
        for name in windows[0].use.programs
    ]
    return f"us/payment: {' '.join(parts)}"


def _tell(text: str) -> None:
    """To a person who waits: the whole takes minutes."""
    print(text, file=sys.stderr, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--chain",
        choices=("instant", "seconds"),
        default="instant",
        help="a block for each transaction, or each second (instant)",
    )
    parser.add_argument(
        "--payments", type=int, default=20_000, help="waiting in each window (20000)"
    )
    parser.add_argument("--windows", type=int, default=3, help="of each side (3)")
    parser.add_argument(
        "--naive-seconds", type=float, default=15.0, help="length of a naive window (15)"
    )
    parser.add_argument(
        "--naive-clients", type=numbers, default=(1, 8, 32), metavar="N,N", help="(1,8,32)"
    )
    parser.add_argument(
        "--beneficiaries", type=int, default=1_000, help="addresses that are paid in turn (1000)"
    )
    given = parser.parse_args()
    if min(given.payments, given.windows, given.naive_seconds, given.beneficiaries) <= 0:
        parser.error("every number must be above zero")
    return Options(
        chain=given.chain,
        payments=given.payments,
        windows=given.windows,
        naive_seconds=given.naive_seconds,
        naive_clients=given.naive_clients,
        beneficiaries=given.beneficiaries,
    )


if __name__ == "__main__":
    sys.exit(main())
