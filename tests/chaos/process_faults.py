"""Faults of worker processes; dying at a window is `Campaign._tend`."""

import signal
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign

_BEYOND_LEASE_S_MAX: Final = 4
_ASK_EVERY_S: Final = 0.05


async def kill(campaign: "Campaign") -> None:
    """End a worker by kill -9, wherever it is."""
    alive = [each for each in campaign.bench.workers if each.is_alive]
    if alive:
        await campaign.chance.choice(alive).kill()
        campaign.note("kill -9")


async def stop_beyond_lease(campaign: "Campaign") -> None:
    """A worker that has lanes stands still until another has one of them, then goes on."""
    workers = campaign.bench.workers
    if any(each.is_stopped for each in workers):
        return
    held = await _held(campaign)
    holders = [each for each in workers if each.is_alive and each.pid in held]
    if not holders or len(workers) < 2:
        return
    worker = campaign.chance.choice(holders)
    worker.signal(signal.SIGSTOP)
    epochs = held[worker.pid]
    end = time.monotonic() + _BEYOND_LEASE_S_MAX

    async def go_on() -> None:
        if worker.is_alive and epochs <= await _epochs(campaign) and time.monotonic() < end:
            campaign.later(_ASK_EVERY_S, go_on)
            return
        was_overtaken = worker.is_alive and not epochs <= await _epochs(campaign)
        worker.signal(signal.SIGCONT)
        if was_overtaken:
            campaign.note("SIGSTOP beyond the lease", str(worker.pid))

    campaign.later(_ASK_EVERY_S, go_on)


async def _held(campaign: "Campaign") -> dict[int, set[tuple[object, int]]]:
    """The lanes, with their epochs, that each process has written its name into."""
    held: dict[int, set[tuple[object, int]]] = {}
    for row in await campaign.bench.rows(
        "SELECT id, epoch, lease_owner FROM lane WHERE lease_owner IS NOT NULL"
    ):
        pid = int(row["lease_owner"].rpartition(":")[2])
        held.setdefault(pid, set()).add((row["id"], row["epoch"]))
    return held


async def _epochs(campaign: "Campaign") -> set[tuple[object, int]]:
    rows = await campaign.bench.rows("SELECT id, epoch FROM lane")
    return {(row["id"], row["epoch"]) for row in rows}
