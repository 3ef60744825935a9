"""Events per second of the mirror, from zero to reconciled, beside reading the same logs plainly.

    python -m scripts.bench.mirror

A chain (anvil) is filled with Transfer events of one token in full blocks; some of them are payouts
of a node that has accepted and written them before. The clock then runs for a mirror that is that
far behind: until every block is final in its books (payouts posted, ledger equal to the chain) and
reconciliation has compared all of it at the newest final block. Beside it in the same run, over the
same logs: `raw`, the answers of eth_getLogs unread; `by hand`, orjson and the node's decoding, kept
nowhere; `plain`, a loop with web3.py's process_log and a row per event, each committed as it is
written, which books and checks nothing; `plain_grouped`, the same with one commit for all rows of
a block. Of these some blocks are enough. The ratios are to both. Then a full reconciliation, which
reads everything again. Both sides run as the node's worker does, on uvloop.

PostgreSQL waits for its disk (fsync on). Memory is that of this process: before, at most while
it mirrored, and after. What each side has is compared with the chain; where that fails, the exit
status is 1 and there are no figures.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from adapters.machine import keep_what_is_loaded
from node.devnet.errors import DevnetError
from scripts.bench.command import end_on_sigterm
from scripts.bench.measure import BenchFailed, cores
from scripts.bench.mirroring import plain
from scripts.bench.mirroring.filling import fill
from scripts.bench.postings.server import forget_peak, resident_mb
from tests.mirrored import MirroredNode, failing
from tests.rig import AnvilServer, PostgresServer, start_anvil

_GAS_LIMIT: Final = 60_000_000  # of Ethereum's blocks
_BLOCKS_PER_RANGE: Final = 4


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for: Transfer events, the node's own, and those the plain loop reads."""

    events: int
    own: int
    plain_events: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to. Rates are events per second; memory is MB of this process."""

    blocks: int
    mirror_s: float
    reconcile_s: float
    full_s: float
    memory_mb: tuple[int | None, int | None, int | None]


def main() -> int:
    """Measure, print; the exit status."""
    options = _options()
    end_on_sigterm()
    directory = Path(tempfile.mkdtemp(prefix="corridor-postgres-"))
    postgres = PostgresServer(directory)
    anvil = start_anvil()
    try:
        return _run(options, postgres, anvil)
    except (BenchFailed, DevnetError) as error:
        print(f"mirror failed: {error}", file=sys.stderr)
        return 1
    finally:
        anvil.stop()
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _run(options: Options, postgres: PostgresServer, anvil: AnvilServer) -> int:
    url = postgres.create_database()
    figures, token, first = uvloop.run(_measure(options, url, anvil))
    ranges = plain.spans(first, first + figures.blocks - 1, _BLOCKS_PER_RANGE)
    counted, raw = plain.raw(anvil.rpc_url, token, ranges)
    if counted != options.events:
        raise BenchFailed(f"the chain has {counted} events, not {options.events}")
    by_hand = plain.by_hand(anvil.rpc_url, token, ranges)
    share = max(1, figures.blocks * options.plain_events // options.events)
    blocks = plain.spans(first, first + share - 1, 1)
    alone = plain.loop(anvil.rpc_url, postgres.create_database(), token, blocks)
    grouped = plain.loop(anvil.rpc_url, postgres.create_database(), token, blocks, grouped=True)
    ours = options.events / (figures.mirror_s + figures.reconcile_s)
    before, most, after = figures.memory_mb
    print(
        f"mirror events={options.events:,} own={options.own:,} blocks={figures.blocks}"
        f" corridor={ours:,.0f} events/s (mirrored and booked {figures.mirror_s:.2f} s, reconciled"
        f" {figures.reconcile_s:.2f} s) raw={raw:,.0f} by_hand={by_hand:,.0f} plain={alone:,.0f}"
        f" ratio={ours / alone:.1f}x plain_grouped={grouped:,.0f} ratio={ours / grouped:.1f}x"
        f" of {cores()} cores memory_mb={before}/{most}/{after}"
        f" full_reconciliation={figures.full_s:.2f} s"
    )
    return 0


async def _measure(options: Options, url: str, anvil: AnvilServer) -> tuple[Figures, str, int]:
    node = await MirroredNode.open(url, anvil)
    try:
        anvil.rpc("evm_setAutomine", False)  # noqa: FBT003 - a parameter of JSON-RPC
        anvil.rpc("evm_setBlockGasLimit", hex(_GAS_LIMIT))
        first = int(anvil.rpc("eth_blockNumber"), 16) + 3
        began_s = time.perf_counter()
        blocks = await fill(node, events=options.events, own=options.own)
        _tell(f"{blocks} blocks filled in {time.perf_counter() - began_s:.0f} s")
        keep_what_is_loaded()
        before = resident_mb()
        forget_peak()
        mirror_s = await _mirror(node)
        began_s = time.perf_counter()
        await node.reconciliation().run_once()
        reconcile_s = time.perf_counter() - began_s
        most, after = resident_mb("VmHWM"), resident_mb()
        await _check(node, options.own)
        began_s = time.perf_counter()
        run = await node.reconcile()
        full_s = time.perf_counter() - began_s
        if failing(run) or await node.open_breaks():
            raise BenchFailed(f"reconciliation found {failing(run)}")
        figures = Figures(blocks, mirror_s, reconcile_s, full_s, (before, most, after))
        return figures, f"0x{node.onchain.token.hex()}", first
    finally:
        await node.close()


async def _mirror(node: MirroredNode) -> float:
    """Seconds until nothing is left to mirror or to make final."""
    mirror = node.mirror()
    began_s = time.perf_counter()
    while await mirror.run_once():
        pass
    return time.perf_counter() - began_s


async def _check(node: MirroredNode, own: int) -> None:
    cursor = await node.cursor()
    head = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    [row] = await node.rows("SELECT count(*) AS n FROM transfer WHERE state = 'settled'")
    if (cursor.head.number, cursor.final.number, row["n"]) != (head, head - 2, own):
        raise BenchFailed(f"at {cursor}, with {row['n']} of {own} settled, at head {head}")


def _tell(text: str) -> None:
    """To a person who waits: the whole takes minutes."""
    print(text, file=sys.stderr, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000, help="Transfer events (100000)")
    parser.add_argument("--own", type=int, default=20_000, help="of them the node's (20000)")
    parser.add_argument(
        "--plain-events", type=int, default=8_000, help="that the plain loops read, about (8000)"
    )
    given = parser.parse_args()
    if not 0 < given.own <= given.events or given.plain_events <= 0:
        parser.error("the node's own events are some of all, and every number is above zero")
    return Options(given.events, given.own, given.plain_events)


if __name__ == "__main__":
    sys.exit(main())
