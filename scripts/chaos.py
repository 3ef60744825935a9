"""Plays seeded histories of faults against a real node, and checks the laws at the end of each.

    python scripts/chaos.py --seed 1 --faults 2000 --payments 400
    python scripts/chaos.py --seed 1 --seeds 5 --faults 2000 --payments 400

Real worker processes on a real PostgreSQL and a real anvil behind fault proxies (`tests/chaos`).
The seed decides which faults come, in which order, and what they are aimed at; processes run by
their own clocks, so a replay has the same plan and not the same microseconds. Exit status 1 when a
law does not hold; what differed, the newest faults and the line to replay are printed.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.chaos.bench import Bench
from tests.chaos.campaign import Campaign, CampaignFailed
from tests.chaos.laws import Verdict
from tests.rig import PostgresServer


def main() -> int:
    """Play so many seeds; 1 when one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--faults", type=int, default=2000, help="faults of each seed")
    parser.add_argument("--payments", type=int, default=400, help="payments of each seed")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="corridor-postgres-"))
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


async def play(
    postgres: PostgresServer, seed: int, faults: int, payments: int
) -> Counter[str] | None:
    """One history; how often each fault happened, or None when it failed."""
    bench = await Bench.open(postgres, seed)
    campaign = Campaign(bench, seed, faults, payments)
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


def show(title: str, counts: Counter[str]) -> None:
    """A table of faults."""
    print(f"{title}: {counts.total()} faults")
    for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        print(f"  {count:6}  {name}")


def tell(campaign: Campaign, verdict: Verdict, seconds: float) -> None:
    """How it ended."""
    before = f"{campaign.settled_before} settled before the drain"
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
