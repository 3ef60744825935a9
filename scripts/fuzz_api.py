"""Sends a real node what Schemathesis makes of its OpenAPI document, round after round.

    python scripts/fuzz_api.py --seed 1 --examples 100
    python scripts/fuzz_api.py --seed 1 --examples 20 --minutes 10

A round is a new node on a database of its own, over a real PostgreSQL, with two partners, an
operator and callers without a key; the laws are those of `tests/api/fuzzing.py`. What a round sends
follows from its seed, apart from identifiers and times, which the node makes anew. Each round has
the next seed. Exit status 1 when a law was broken: each breach is printed once, with its request.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.api.fuzzed_node import open_fuzzed
from tests.api.fuzzing import DONE
from tests.rig import PostgresServer
from tests.scratch import scratch_root


def main() -> int:
    """Play the rounds; 1 when a law was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--examples", type=int, default=50, help="requests of an operation a round")
    parser.add_argument("--minutes", type=int, default=0, help="new rounds begin until then")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found: dict[str, str] = {}
    end = time.monotonic() + 60 * given.minutes
    seed = given.seed
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=scratch_root()) as directory:
        server = PostgresServer(Path(directory) / "postgres")
        try:
            while True:
                _tell(found, asyncio.run(_round(server, Path(directory), seed, given.examples)))
                seed += 1
                if time.monotonic() >= end:
                    break
        finally:
            server.stop()
    return 1 if found else 0


async def _round(
    server: PostgresServer, directory: Path, seed: int, examples: int
) -> dict[str, str]:
    files = directory / f"round-{seed}"
    files.mkdir()
    database_url = server.create_database()
    try:
        async with open_fuzzed(files, database_url) as opened:
            await opened.play(seed, examples)
            fuzz = opened.fuzz
    finally:
        server.drop_database(database_url)
    done = sum(count for (*_, status), count in fuzz.answered.items() if status in DONE)
    print(
        f"seed {seed}: {fuzz.sent} requests, {done} of them done, {len(fuzz.findings)} breaches;"
        f" never done: {', '.join(opened.never_done()) or 'none'}",
        flush=True,
    )
    return fuzz.findings


def _tell(known: dict[str, str], found: dict[str, str]) -> None:
    for title, text in found.items():
        if title not in known:
            known[title] = text
            print(f"\n{text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
