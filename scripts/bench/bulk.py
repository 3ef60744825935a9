"""A file of 10,000 rows, 500 of them faulty, beside the same payments one request each.

    python -m scripts.bench.bulk --kill

A devnet as people run it: HTTP and the worker in processes of their own, PostgreSQL with fsync on,
anvil with a block each second. `accepted` and `settled` are good rows per second, from the first
byte of the upload until each is accepted, and until each is settled: final on the chain (two blocks
on top) and posted. Beside it, on the same node and in the same run, a partner's program without
files: for each payment a quote and a transfer, so many payments under way at once (`--clients`, the
best is compared); its rates are up to the last answer, and to the last payment settled. It pays
fewer of them, and the wait for final blocks is in both, so its `settled` is a little too low.

`us/payment` is processor time of the devnet's programs: on a machine that others use it bears that
better than the rates do. A file is carried by the worker alone, requests by two processes and the
load generator's own; where programs queue for the processors, that flatters the requests.

With `--kill` the worker is ended by kill -9 when a third of the rows is accepted, and the file is
sent again at once under another Idempotency-Key: the figures bear that, too.

After each run `balanceOf` of every beneficiary must have risen by exactly what was due, every
faulty row must be named with its line and reason, the trial balance and reconciliation must be
clean; at the end the service of `corridor verify` must find nothing. Else there are no figures and
the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx

from node.core.bulk import ROWS_MAX
from node.devnet.errors import DevnetError
from scripts.bench import corridor_side
from scripts.bench.bulking import FAULTY_EACH, Came, RowsFile, came_of, rows_file
from scripts.bench.command import end_on_sigterm, numbers
from scripts.bench.corridor_side import CorridorNode
from scripts.bench.load import Order
from scripts.bench.measure import BenchFailed, generate
from scripts.bench.proof import balances, beneficiaries, check_paid
from scripts.bench.settlement import node_side, processors

_PATH: Final = "/v1/bulk-transfers"
_ACCEPT_LIMIT_S: Final = 600.0
_RESTART_LIMIT_S: Final = 60.0
_UPLOAD_LIMIT_S: Final = 120.0
_POLL_S: Final = 0.05
_PAGE: Final = 200
_PLAIN_LIMIT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        payments: Of each plain run.
        clients: Plain payments under way at once, a run for each number.
        is_killed: Whether the worker is killed and the file sent again.
    """

    rows: int
    payments: int
    clients: Sequence[int]
    beneficiaries: int
    is_killed: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """What a run came to; rates are payments per second.

    Attributes:
        batches: Transactions that paid.
        gas: Of one payment, rounded up.
        spent_us: Processor time of a payment, by program; of a worker that is killed until then.
        clients: Payments under way at once; 0: a file.
        repeated: Rows of the file that was sent again whose transfer was there.
    """

    payments: int
    accepted: float
    settled: float
    batches: int
    gas: int
    spent_us: Mapping[str, float]
    clients: int = 0
    repeated: int = 0


class _Meter:
    """Processor time of a node's programs, over restarts of them."""

    def __init__(self, node: CorridorNode) -> None:
        self._node = node
        self.spent_s: dict[str, float] = {}
        self.go_on()

    def go_on(self) -> None:
        """Count from now on."""
        self._began = processors.read(self._node.pids())

    def add(self) -> None:
        """Add what was spent since then."""
        ended = processors.read(self._node.pids())
        for name, spent in ended.programs.items():
            before = self.spent_s.get(name, 0.0) - self._began.programs.get(name, 0.0)
            self.spent_s[name] = before + spent


class Bench:
    """One node, one payer, and the beneficiaries."""

    def __init__(self, node: CorridorNode, options: Options) -> None:
        self._node = node
        self._options = options
        self._run = str(time.time_ns())
        self._addresses = beneficiaries(options.beneficiaries)
        self._customer_id = corridor_side.customer_with_money(node, self._run)

    def warm_up(self) -> None:
        """Not counted: caches fill, and every beneficiary comes to hold the token."""
        self._bulk(self._file(len(self._addresses), "warm-up", is_faulty=False), is_killed=False)

    def bulk(self) -> Rates:
        """The file."""
        file = self._file(self._options.rows, "bulk", is_faulty=True)
        return self._bulk(file, is_killed=self._options.is_killed)

    def plain(self, clients: int) -> Rates:
        """One payment, two requests, so many at once."""
        before, earlier = self._held(), self._batches()
        meter = _Meter(self._node)
        tally = generate(
            Order(
                system="corridor",
                url=self._node.url,
                bearer=self._node.partner_key,
                customer_id=self._customer_id,
                addresses=self._addresses,
                clients=clients,
                seconds=_PLAIN_LIMIT_S,
                payments=self._options.payments,
                run=f"{self._run}-{clients}",
            )
        )
        settled_at_s = corridor_side.wait_until_settled(self._node)
        meter.add()
        check_paid(before, self._held(), tally.units_by_address)
        corridor_side.check_books(self._node, f"{self._run}-plain-{clients}")
        count = len(tally.payment_ids)
        took_s = tally.answered_at_s - tally.began_at_s, settled_at_s - tally.began_at_s
        return replace(self._rates(count, took_s, earlier, meter), clients=clients)

    def _file(self, rows: int, name: str, *, is_faulty: bool) -> RowsFile:
        return rows_file(
            rows,
            customer_id=self._customer_id,
            addresses=self._addresses,
            run=f"{name}-{self._run}",
            is_faulty=is_faulty,
        )

    def _bulk(self, file: RowsFile, *, is_killed: bool) -> Rates:
        before, earlier = self._held(), self._batches()
        name = f"{self._run}-{len(file.orders)}"
        meter = _Meter(self._node)
        began_at_s = time.monotonic()
        ids = [self._send(file, f"once-{name}")]
        if is_killed:
            self._wait(ids[0], accepted=len(file.orders) // 3)
            self._kill(meter)
            ids.append(self._send(file, f"again-{name}"))
        self._wait(ids[0], accepted=len(file.orders))
        accepted_at_s = time.monotonic()
        settled_at_s = corridor_side.wait_until_settled(self._node)
        for bulk_id in ids:
            self._wait(bulk_id, accepted=len(file.orders))
        meter.add()
        came = self._proved(file, ids)
        check_paid(before, self._held(), came.units_by_address)
        corridor_side.check_books(self._node, name)
        took_s = accepted_at_s - began_at_s, settled_at_s - began_at_s
        rates = self._rates(len(file.orders), took_s, earlier, meter)
        return replace(rates, repeated=came.repeated)

    def _proved(self, file: RowsFile, bulk_ids: Sequence[str]) -> Came:
        """What came of the file that was sent last; sent again it came to the same transfers."""
        found = []
        for bulk_id in bulk_ids:
            report = self._node.get(f"{_PATH}/{bulk_id}/report")
            counts = report["bulk_transfer"]["transfers"]
            if counts != {"processing": 0, "completed": len(file.orders), "failed": 0}:
                raise BenchFailed(f"of {len(file.orders)} rows: {counts}")
            found.append(came_of(file, report))
        if any(each.transfers != found[0].transfers for each in found):
            raise BenchFailed("the file that was sent again has transfers of its own")
        if sum(each.repeated for each in found) != len(file.orders) * (len(found) - 1):
            raise BenchFailed("rows were paid twice")
        return found[-1]

    def _kill(self, meter: _Meter) -> None:
        """End the worker with kill -9, and see that it is started again."""
        meter.add()
        pid = self._node.pids()["work"]
        os.kill(pid, signal.SIGKILL)
        give_up_at_s = time.monotonic() + _RESTART_LIMIT_S
        while self._node.pids()["work"] == pid:
            if time.monotonic() > give_up_at_s:
                raise BenchFailed("the worker was not started again")
            time.sleep(_POLL_S)
        meter.go_on()

    def _rates(
        self, count: int, took_s: tuple[float, float], earlier: set[str], meter: _Meter
    ) -> Rates:
        made = [each for each in self._listed() if each["id"] not in earlier]
        paid = sum(each["payments_settled"] for each in made)
        if paid != count:
            raise BenchFailed(f"{paid} payments in batches, and {count} were ordered")
        gas = sum(each["gas_used"] for each in made)
        batches = sum(1 for each in made if each["payments_settled"])
        accepted_s, settled_s = took_s
        spent_us = {name: 1e6 * spent / count for name, spent in meter.spent_s.items()}
        return Rates(
            count, count / accepted_s, count / settled_s, batches, -(-gas // count), spent_us
        )

    def _send(self, file: RowsFile, key: str) -> str:
        headers = {
            "Authorization": f"Bearer {self._node.partner_key}",
            "Idempotency-Key": key,
            "Content-Type": "text/csv",
        }
        try:
            with httpx.Client(trust_env=False, timeout=_UPLOAD_LIMIT_S) as client:
                url = self._node.url + _PATH
                answer = client.post(url, headers=headers, content=file.content)
        except httpx.HTTPError as error:
            raise BenchFailed(f"POST {_PATH}: {error}") from error
        if answer.status_code != httpx.codes.ACCEPTED:
            raise BenchFailed(f"POST {_PATH} answered {answer.status_code}: {answer.text[:300]}")
        return str(answer.json()["id"])

    def _wait(self, bulk_id: str, *, accepted: int) -> None:
        """Until so many rows are accepted; the list is asked, because it costs the node least."""
        give_up_at_s = time.monotonic() + _ACCEPT_LIMIT_S
        while True:
            listed = self._node.get(f"{_PATH}?limit=2")["data"]
            rows = next(each["rows"] for each in listed if each["id"] == bulk_id)
            if rows["accepted"] >= accepted:
                return
            if not rows["pending"] or time.monotonic() > give_up_at_s:
                raise BenchFailed(f"{accepted} rows were to be accepted: {rows}")
            time.sleep(_POLL_S)

    def _held(self) -> Any:
        return balances(self._node.rpc_url, self._node.token, self._addresses)

    def _batches(self) -> set[str]:
        return {each["id"] for each in self._listed()}

    def _listed(self) -> list[Any]:
        """Batches of payments, all pages."""
        path = f"/v1/settlement/batches?purpose=settle&limit={_PAGE}"
        found: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self._node.get(path + (f"&cursor={cursor}" if cursor else ""), operator=True)
            found += page["data"]
            cursor = page["next_cursor"]
        return found


def main() -> int:
    """Measure, print one line; the exit status."""
    options = _options()
    end_on_sigterm()
    load_before = os.getloadavg()[0]
    try:
        with corridor_side.running() as node:
            bench = Bench(node, options)
            bench.warm_up()
            plain = [_told(bench.plain(clients)) for clients in options.clients]
            bulk = _told(bench.bulk())
            entries = node_side.verified(node)
    except (BenchFailed, DevnetError) as error:
        print(f"bulk failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(_line(options, bulk, plain, load_before, entries))
    return 0


def _told(rates: Rates) -> Rates:
    """The run, after a line about it on stderr: the whole takes minutes."""
    print(_figures(rates), file=sys.stderr, flush=True)
    return rates


def _figures(rates: Rates) -> str:
    how = f"clients={rates.clients} " if rates.clients else ""
    return (
        f"{how}payments={rates.payments:,} accepted={rates.accepted:.1f}/s"
        f" settled={rates.settled:.1f}/s batches={rates.batches} gas/payment={rates.gas:,}"
        f" us/payment={sum(rates.spent_us.values()):,.0f} ({_spent(rates)})"
    )


def _spent(rates: Rates) -> str:
    """Processor time of a payment by program."""
    return " ".join(f"{name}={spent:.0f}" for name, spent in rates.spent_us.items())


def _line(
    options: Options, bulk: Rates, plain: Sequence[Rates], load_before: float, entries: int
) -> str:
    best = max(plain, key=lambda each: each.settled)
    killed = f" worker killed, {bulk.repeated:,} rows repeated" if options.is_killed else ""
    tried = ",".join(str(each.clients) for each in plain)
    return (
        f"bulk rows={options.rows:,} faulty={options.rows // FAULTY_EACH}{killed} {_figures(bulk)},"
        f" one by one (best of {tried} clients) {_figures(best)},"
        f" ratio accepted={bulk.accepted / best.accepted:.1f}×"  # noqa: RUF001 - the sign for "times" is meant
        f" settled={bulk.settled / best.settled:.1f}×"  # noqa: RUF001 - as above
        f" verified entries={entries:,} findings=0 load_before={load_before:.1f}"
    )


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS_MAX, help=f"of the file ({ROWS_MAX})")
    parser.add_argument(
        "--payments", type=int, default=1_000, help="of each run without a file (1000)"
    )
    parser.add_argument(
        "--clients",
        type=numbers,
        default=(1, 32),
        metavar="N,N",
        help="payments without a file under way at once, a run for each number (1,32)",
    )
    parser.add_argument(
        "--beneficiaries", type=int, default=1_000, help="addresses that are paid in turn (1000)"
    )
    parser.add_argument(
        "--kill", action="store_true", help="kill the worker in the middle, send the file again"
    )
    given = parser.parse_args()
    if not FAULTY_EACH <= given.rows <= ROWS_MAX:
        parser.error(f"--rows must be from {FAULTY_EACH} to {ROWS_MAX}")
    if given.payments < 1 or not 1 <= given.beneficiaries <= ROWS_MAX:
        parser.error(f"--payments must be above zero, --beneficiaries from 1 to {ROWS_MAX}")
    return Options(given.rows, given.payments, given.clients, given.beneficiaries, given.kill)


if __name__ == "__main__":
    sys.exit(main())
