"""One bounded polling loop, the same for every job."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from node.core.errors import Conflict, Unavailable

_log = structlog.get_logger()

_DOUBLINGS_MAX: Final = 6
_PAUSE_S_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do again and again.

    Attributes:
        name: As `corridor work --only` knows it.
        run_once: One pass; returns how much was done, 0 when there was nothing to do.
        idle_ms: How long to wait after a pass that did nothing.
        wake: Set by whoever learns that there is something to do: it ends that wait. It is never
            needed, and does not shorten the wait after a failure.
        wakes: Set after each pass that did something: another job's `wake`.
    """

    name: str
    run_once: Callable[[], Awaitable[int]]
    idle_ms: int
    wake: asyncio.Event | None = None
    wakes: asyncio.Event | None = None


async def run(job: Job, stop: asyncio.Event) -> None:
    """Run a job until `stop` is set.

    Survives only what passes by itself: a database or a chain that is away, and another process
    that was faster. Anything else is a bug and ends the process: state is in the database, and a
    fresh start is safer than going on.
    """
    failures = 0
    while not stop.is_set():
        if job.wake is not None:
            job.wake.clear()  # what wakes it from now on may come too late for this pass
        try:
            done, failures = await job.run_once(), 0
        except Unavailable as error:
            done, failures = 0, min(failures + 1, _DOUBLINGS_MAX)
            _log.warning("job waits", job=job.name, code=error.code, reason=error.detail)
        except Conflict as error:
            done = 0
            _log.info("job starts its pass again", job=job.name, reason=error.detail)
        if done and job.wakes is not None:
            job.wakes.set()
        if done == 0:
            pause_ms = min(job.idle_ms << failures, _PAUSE_S_MAX * 1000)
            await wait(stop, pause_ms, wake=None if failures else job.wake)


async def wait(stop: asyncio.Event, pause_ms: int, *, wake: asyncio.Event | None = None) -> None:
    """Wait, but no longer than until `stop` or `wake`."""
    events = [stop] if wake is None else [stop, wake]
    waiting = [asyncio.ensure_future(each.wait()) for each in events]
    try:
        await asyncio.wait(
            waiting,
            timeout=pause_ms / 1000,  # tidy: T1 because seconds, not money
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        for each in waiting:
            each.cancel()


async def run_all(jobs: list[Job], stop: asyncio.Event) -> None:
    """Run jobs side by side; when one fails all stop and the fault is raised."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(run(job, stop), name=job.name)
