"""The job of bulk transfers as a program of its own, for tests that kill it.

`python -m tests.services.bulk_process DATABASE_URL`; it says `pass N` after each pass, with how
many rows the pass tried.
"""

import asyncio
import sys

from tests.quoting import QuotingNode
from tests.services.bulking import worker_of


async def main(database_url: str) -> None:
    """Pass after pass until the process is ended."""
    node = await QuotingNode.over(database_url)
    worker = worker_of(await node.process())
    while True:
        done = await worker.run_once()
        sys.stdout.write(f"pass {done}\n")
        sys.stdout.flush()
        if done == 0:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
