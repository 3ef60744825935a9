"""Faults of worker processes; dying at a window is `Campaign._tend`."""

import asyncio
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign

_BEYOND_LEASE_S = 1.3


async def kill(campaign: "Campaign") -> None:
    """End a worker by kill -9, wherever it is."""
    alive = [each for each in campaign.bench.workers if each.is_alive]
    if alive:
        await campaign.chance.choice(alive).kill()
        campaign.note("kill -9")


async def stop_beyond_lease(campaign: "Campaign") -> None:
    """A worker stands still until another has its lanes, and then goes on where it was."""
    running = [each for each in campaign.bench.workers if each.is_alive and not each.is_stopped]
    if len(running) < 2 or any(each.is_stopped for each in campaign.bench.workers):
        return
    worker = campaign.chance.choice(running)
    worker.signal(signal.SIGSTOP)

    loop = asyncio.get_running_loop()
    loop.call_later(_BEYOND_LEASE_S, worker.signal, signal.SIGCONT)
    campaign.note("SIGSTOP beyond the lease", str(worker.pid))
