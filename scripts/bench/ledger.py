"""Postings per second through the node's service layer, beside a naive program, in one run.

Sides, all in this process on one embedded PostgreSQL server with fsync on:
  post   PostingService.post, two entries each, by 1, 32 and 256 concurrent callers
  bulk   PostingService.post_many, four entries each, 2,048 at a call, one caller
  naive  one SQLAlchemy ORM transaction per posting of two entries, same content, tables of its
         own on the same server, by 1, 8 and 32 concurrent callers; its best counts

Each is measured hot (everything on one customer's account) and uniform (10,000 customers), with
10,000 entries in the books (a copy of the same database for each window) and with 5 million. Sides
and sizes take turns: one window of each, then the next round. A figure is the median of its windows
with the lowest and highest, a ratio that of the rounds' ratios. `cores` is processor time per
second of this process (callers included), of the server, and (the most in any window) of everything
else: where that is not near 0, somebody disturbed the run. `us/posting` is processor time for each
posting, which bears a disturbance better than the rate. After each window what was acknowledged
is compared with the rows and balances that the database has, and at the end the service of
`corridor verify` must find nothing; else the exit status is 1 and there is no table.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path
from typing import Final

import uvloop

from node.core.errors import NodeError
from node.devnet.errors import DevnetError
from scripts.bench.command import end_on_sigterm
from scripts.bench.measure import BenchFailed, cores
from scripts.bench.postings import node_side, orm_side, server
from scripts.bench.postings.cases import CASES, Case, Figures
from scripts.bench.postings.content import CUSTOMERS, four_entries, two_entries
from scripts.bench.postings.node_side import NodeBooks
from scripts.bench.postings.orm_side import OrmBooks
from scripts.bench.postings.report import table, verified_line
from scripts.bench.postings.server import Server
from scripts.bench.postings.window import Figure, Window, measure

_SMALL: Final = CUSTOMERS  # entries: one opening for each customer
_BULK: Final = 2_048
_DISTURBED_CORES: Final = 0.25
_FIRST_NUMBER: Final = 10**9  # of a measured posting: beyond those that fill


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        entries: In the books, in the large case.
        seconds: Length of a window; `warm_up_s` before it is not counted.
        windows: Of each case.
        directory: Where the server's data go; None: where temporary files go.
    """

    entries: int
    seconds: float
    warm_up_s: float
    windows: int
    directory: Path | None


@dataclass(frozen=True)
class Bench:
    """One run."""

    options: Options
    server: Server
    numbers: count[int] = field(default_factory=lambda: count(_FIRST_NUMBER))

    async def run(self) -> None:
        """Measure everything and print it.

        Raises:
            BenchFailed: The books are not what was acknowledged.
        """
        settings = self.server.settings()
        print("server", *(f"{name}={value}" for name, value in settings.items()), flush=True)
        postgres = self.server.postgres
        await node_side.create(postgres, "node_small")
        await orm_side.create(postgres, "naive_small")
        await self._fill("small", _SMALL)
        for side in ("node", "naive"):
            postgres.create_database(f"{side}_large", template=f"{side}_small")
        await self._fill("large", self.options.entries)
        postgres.sql("CHECKPOINT")
        sizes = await self._measured()
        verified = []
        for size in ("small", "large"):
            async with node_side.opened(postgres, f"node_{size}") as books:
                verified.append(await books.verified())
        print()
        for line in table(sizes):
            print(line)
        print()
        for each in verified:
            print(verified_line(each))
        print(f"load_after={os.getloadavg()[0]:.1f}", flush=True)

    async def _fill(self, size: str, entries: int) -> None:
        postgres = self.server.postgres
        async with node_side.opened(postgres, f"node_{size}") as node:
            await node.fill(entries, _Progress("node", entries))
        async with orm_side.opened(postgres, f"naive_{size}", callers=1) as naive:
            await naive.fill(entries, _Progress("naive", entries))

    async def _measured(self) -> list[tuple[int, Figures]]:
        """Figures by entries in the books; cases and sizes take turns."""
        sizes = (("small", _SMALL), ("large", self.options.entries))
        windows: dict[tuple[Case, str], list[Window]] = defaultdict(list)
        disk_per_s: list[float] = []
        for number in range(1, self.options.windows + 1):
            disk_per_s.append(self.server.disk_writes_per_s())
            for case, (size, entries) in product(CASES, sizes):
                window = await self._window(case, size)
                windows[case, size].append(window)
                _tell(f"window {number}: entries={entries} {case}: {window.per_s:,.0f}/s")
        print(f"disk 8 kB writes with fsync: {', '.join(f'{n:,.0f}/s' for n in disk_per_s)}")
        every = [window for those in windows.values() for window in those]
        if disturbed := sum(window.other_cores > _DISTURBED_CORES for window in every):
            print(
                f"disturbed: in {disturbed} of {len(every)} windows other programs used more than"
                f" {_DISTURBED_CORES} cores; repeat it on a quiet machine"
            )
        found: list[tuple[int, Figures]] = []
        for size, entries in sizes:
            figures = {case: Figure(windows[case, size]) for case in CASES}
            for case, figure in figures.items():
                print(f"ledger entries={entries} {case}: {figure}", flush=True)
            found.append((entries, figures))
        return found

    async def _window(self, case: Case, size: str) -> Window:
        """One window of a case, and the proof that the books have what it acknowledged."""
        acknowledged: list[int] = []
        async with self._books(case, size) as books:
            await books.begin()
            window = await measure(
                self._call(case, books, acknowledged),
                self.server,
                callers=case.callers,
                warm_up_s=self.options.warm_up_s,
                seconds=self.options.seconds,
            )
            entries = four_entries if case.side == "bulk" else two_entries
            await books.check([entries(number, case.customers) for number in acknowledged])
        return window

    @asynccontextmanager
    async def _books(self, case: Case, size: str) -> AsyncIterator[NodeBooks | OrmBooks]:
        """The books of a case; small ones are a copy, so that they do not grow."""
        postgres = self.server.postgres
        side = "naive" if case.side == "naive" else "node"
        name = f"{side}_{size}"
        if size == "small":
            name = f"{side}_copy"
            postgres.create_database(name, template=f"{side}_{size}")
        if side == "naive":
            async with orm_side.opened(postgres, name, callers=case.callers) as naive:
                yield naive
        else:
            async with node_side.opened(postgres, name) as node:
                yield node
        if size == "small":
            postgres.drop_database(name)

    def _call(
        self, case: Case, books: NodeBooks | OrmBooks, acknowledged: list[int]
    ) -> Callable[[], Awaitable[int]]:
        customers, numbers = case.customers, self.numbers

        async def post() -> int:
            number = next(numbers)
            await books.post(two_entries(number, customers))
            acknowledged.append(number)
            return 1

        async def post_many() -> int:
            assert isinstance(books, NodeBooks)
            some = [next(numbers) for _ in range(_BULK)]
            await books.post_many([four_entries(number, customers) for number in some])
            acknowledged.extend(some)
            return len(some)

        return post_many if case.side == "bulk" else post


class _Progress:
    """Tells how far the filling of one side is."""

    def __init__(self, side: str, total: int) -> None:
        self._side = side
        self._total = total
        self._tenths = 0

    def __call__(self, entries: int) -> None:
        if (tenths := 10 * entries // self._total) > self._tenths:
            self._tenths = tenths
            _tell(f"filling {self._side}: {entries:,} of {self._total:,} entries")


def main() -> int:
    """Measure and print; the exit status."""
    options = _options()
    end_on_sigterm()
    print(f"machine cores={cores()} load_before={os.getloadavg()[0]:.1f}", flush=True)
    try:
        with server.running(options.directory) as postgres:
            uvloop.run(Bench(options, postgres).run())
    except (BenchFailed, DevnetError, NodeError) as error:
        print(f"ledger failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _tell(line: str) -> None:
    """Say on stderr how far it is: the whole takes a quarter of an hour."""
    print(line, file=sys.stderr, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="20,000 entries and one short window each: a trial"
    )
    parser.add_argument(
        "--entries", type=int, help="in the books, in the large case (5000000; --quick: 20000)"
    )
    parser.add_argument("--seconds", type=float, help="of each window (5; --quick: 0.3)")
    parser.add_argument("--windows", type=int, help="of each case (3; --quick: 1)")
    parser.add_argument(
        "--directory",
        type=Path,
        help="where the server's data go: on the disk that is to be measured (temporary files')",
    )
    given = parser.parse_args()
    entries, seconds, windows = (20_000, 0.3, 1) if given.quick else (5_000_000, 5.0, 3)
    options = Options(
        entries=entries if given.entries is None else given.entries,
        seconds=seconds if given.seconds is None else given.seconds,
        warm_up_s=0.2 if given.quick else 1.0,
        windows=windows if given.windows is None else given.windows,
        directory=given.directory,
    )
    if options.entries < _SMALL or options.entries % 2:
        parser.error(f"--entries must be even and {_SMALL} at least")
    if options.seconds <= 0 or options.windows < 1:
        parser.error("--seconds and --windows must be above zero")
    return options


if __name__ == "__main__":
    sys.exit(main())
