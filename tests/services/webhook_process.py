"""The job that sends webhooks as a program of its own, for tests in which it dies.

`python -m tests.services.webhook_process DATABASE_URL FAILPOINT`; it goes on until it is ended.
"""

import asyncio
import sys

from adapters.failpoint import failpoint
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.services.hooked import Hooked

_PAUSE_S = 0.05


async def main(database_url: str, named: str) -> None:
    """Pass after pass."""
    hooked = Hooked(StoreUnits(Database.at(database_url)), database_url)
    worker = hooked.another(failpoint(named))
    while True:
        if await worker.run_once() == 0:
            await asyncio.sleep(_PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
