"""The job of bulk transfers as a program of its own, for tests that kill it.

`python -m tests.services.bulk_process DATABASE_URL`; it makes a pass for each line that it reads,
and says `pass N` after it, with how many rows the pass tried.
"""

import asyncio
import sys

from tests.quoting import QuotingNode
from tests.services.bulking import worker_of


async def main(database_url: str) -> None:
    """Pass after pass, as they are asked for."""
    node = await QuotingNode.over(database_url)
    worker = worker_of(await node.process())
    while await asyncio.to_thread(sys.stdin.readline):
        done = await worker.run_once()
        sys.stdout.write(f"pass {done}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
