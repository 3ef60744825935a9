"""Plays seeded histories of faults against a real node, and checks the laws at the end of each.

    python scripts/chaos.py --seed 1 --faults 2000 --payments 400
    python scripts/chaos.py --seed 1 --seeds 5 --faults 2000 --payments 400
    python scripts/chaos.py mirror --seeds 5000
    python scripts/chaos.py nodes --seed 1 --faults 100 --payments 200

`mirror` plays histories of a chain that reorganises itself, read through providers that lag and lie
(`tests/histories`). `nodes` lets two nodes of a devnet pay each other while their four processes
are killed and stand still and PostgreSQL is killed (`tests/e2e/two_nodes_campaign.py`). The rest of
this text is about the other ones.

Real worker processes on a real PostgreSQL and a real anvil behind fault proxies (`tests/chaos`).
Odd seeds leave out restored backups and strangers with a lane's key, so that payments flow; even
ones have them. A line about every ten seconds tells how far it is.

What is drawn comes from the seed; processes run by their own clocks, and what a fault finds decides
what is drawn next: a replay has the same seed, not the same plan to the letter. Exit status 1 when
a law does not hold; what differed, the newest faults and the line to replay are printed.

Not in it: kills of `corridor serve`, for which
test_every_answer_given_before_a_crash_holds_after_it in tests/e2e is, and kills inside an adoption
(`after_adoption_read`, `after_adoption_write`), for which
test_adoption_killed_at_a_window_is_made_once in tests/services is. Here the edge and adoption run
in this process, which is not killed. Nor is there a lie about final facts by all providers at once,
which nobody could tell from the truth.
"""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import httpx
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.chaos.bench import Bench
from tests.chaos.campaign import Campaign, CampaignFailed
from tests.chaos.laws import Verdict
from tests.e2e.two_nodes import TwoNodes
from tests.e2e.two_nodes_campaign import Campaign as NodesCampaign
from tests.histories.playing import play_all
from tests.rig import PostgresServer
from tests.scratch import scratch_root

_PROCESSES: Final = 2
_TOLD_EVERY_S: Final = 30


def main() -> int:
    """Play so many seeds; 1 when one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", choices=["payments", "mirror", "nodes"], default="payments"
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--faults", type=int, default=2000, help="faults of each seed")
    parser.add_argument("--payments", type=int, default=400, help="payments of each seed")
    given = parser.parse_args()
    if given.what == "mirror":
        return mirror(range(given.seed, given.seed + given.seeds))
    if given.what == "nodes":
        seeds = range(given.seed, given.seed + given.seeds)
        return max(nodes(seed, given.faults, given.payments) for seed in seeds)
    directory = Path(tempfile.mkdtemp(prefix="postgres-", dir=scratch_root()))
    postgres = PostgresServer(directory)
    total: Counter[str] = Counter()
    try:
        for seed in range(given.seed, given.seed + given.seeds):
            counts = asyncio.run(play(postgres, seed, given.faults, given.payments))
            if counts is None:
                return 1
            total += counts
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)
    if given.seeds > 1:
        show(f"{given.seeds} seeds", total)
    return 0


def nodes(seed: int, faults: int, payments: int) -> int:
    """Two nodes under faults; 1 when a law did not hold, and then their devnet's files are kept."""
    directory = Path(tempfile.mkdtemp(prefix="corridor-nodes-"))
    began = time.monotonic()
    with TwoNodes.running(directory / "state") as running:
        campaign = NodesCampaign(running, seed, faults, payments, heard=say)
        try:
            ends = campaign.run()
        except (AssertionError, httpx.HTTPError) as failure:
            show(f"seed {seed}", campaign.counts)
            say("".join(traceback.format_exception(failure)))
            say(f"seed {seed} failed; logs, chain and database: {directory}")
            return 1
    shutil.rmtree(directory, ignore_errors=True)
    show(f"seed {seed}", campaign.counts)
    told = ", ".join(f"{count} {state}" for state, count in sorted(ends.items()))
    say(f"  {payments} payments: {told}; {time.monotonic() - began:.0f} s")
    return 0


def mirror(seeds: range) -> int:
    """Histories of the mirror, one after another in each of two processes; 1 when one failed."""
    began = time.monotonic()
    parts = [seeds[part::_PROCESSES] for part in range(_PROCESSES)]
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as processes:
        failed = sum(processes.map(_mirror_part, parts))
    seconds = time.monotonic() - began
    say(f"mirror: {len(seeds)} seeds, {failed} failed, {seconds:.0f} s")
    return 1 if failed else 0


def _mirror_part(seeds: range) -> int:
    """How many of these failed; each with what differed and how to play it again."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    directory = Path(tempfile.mkdtemp(prefix="postgres-", dir=scratch_root()))
    postgres = PostgresServer(directory)
    try:
        return asyncio.run(_mirror_histories(postgres, seeds))
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def _mirror_histories(postgres: PostgresServer, seeds: range) -> int:
    done, failed, told = 0, 0, time.monotonic()
    happened: Counter[str] = Counter()
    async for seed, found, kinds in play_all(postgres, seeds):
        done, happened = done + 1, happened + kinds
        if found:
            failed += 1
            say(f"seed {seed}: {found}\n  again: python scripts/chaos.py mirror --seed {seed}")
        if time.monotonic() - told > _TOLD_EVERY_S or done == len(seeds):
            told = time.monotonic()
            say(f"{done} of {len(seeds)} seeds up to {seed}, {failed} failed")
    for kind, count in sorted(happened.items()):
        say(f"  {count:7}  {kind}")
    return failed


async def play(
    postgres: PostgresServer, seed: int, faults: int, payments: int
) -> Counter[str] | None:
    """One history; how often each fault happened, or None when it failed."""
    bench = await Bench.open(postgres, seed)
    campaign = Campaign(bench, seed, faults, payments, heard=say)
    began = time.monotonic()
    try:
        verdict = await campaign.run()
    except CampaignFailed as failure:
        show(f"seed {seed}", campaign.counts)
        print(failure)
        return None
    finally:
        await bench.close()
    show(f"seed {seed}", campaign.counts)
    tell(campaign, verdict, time.monotonic() - began)
    return campaign.counts


def say(line: str) -> None:
    """Print a line now, also into a file."""
    print(line, flush=True)


def show(title: str, counts: Counter[str]) -> None:
    """A table of faults."""
    print(f"{title}: {counts.total()} faults")
    for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        print(f"  {count:6}  {name}")


def tell(campaign: Campaign, verdict: Verdict, seconds: float) -> None:
    """How it ended."""
    before = f"{campaign.settled_before} settled before the drain"
    for name, count in sorted(campaign.ordinary.items()):
        print(f"  {count:6}  {name} (ordinary, not counted as a fault)")
    print(f"  {len(campaign.bench.payments)} payments, {before}, adoptions: {campaign.adoptions}")
    for name, count in sorted(verdict.outcomes.items()):
        print(f"  {count:6}  {name}")
    if verdict.forgotten:
        print(f"  paid and forgotten by a restored backup: {verdict.forgotten}")
    if verdict.breaks:
        print(f"  open breaks that the faults explain: {dict(verdict.breaks)}")
    rate = campaign.counts.total() / seconds
    drain = f"of them {campaign.drain_s:.1f} s drain"
    print(f"  {seconds:.1f} s, {drain}, {rate:.1f} faults/s; replay: {campaign.line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
