"""The polling loop: a wake only ends the wait after a pass that found nothing to do."""

import asyncio
from collections.abc import Callable

import pytest

from node.core.errors import ChainUnavailable
from node.workers import loop
from node.workers.loop import Job, run

NEVER_S = 3600
NEVER_MS = NEVER_S * 1000
LIMIT_S = 60


@pytest.fixture(autouse=True)
def _pauses_outlast_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends a wait is then a wake or the stop, however slow the machine is."""
    monkeypatch.setattr(loop, "_PAUSE_S_MAX", NEVER_S)


class Passes:
    """Counts passes, and lets a test wait for the next one."""

    def __init__(self, fault: Callable[[], None] = lambda: None) -> None:
        self.made = asyncio.Queue[int]()
        self.count = 0
        self.fault = fault

    async def run_once(self) -> int:
        self.count += 1
        await self.made.put(self.count)
        self.fault()
        return 0


async def test_a_wake_ends_the_wait_and_each_wake_makes_one_pass() -> None:
    passes, wake, stop = Passes(), asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run(Job("test", passes.run_once, NEVER_MS, wake), stop))
    async with asyncio.timeout(LIMIT_S):
        for number in (1, 2, 3):
            assert await passes.made.get() == number
            await asyncio.sleep(0)  # let it come to its wait
            assert not wake.is_set()
            wake.set()
        assert await passes.made.get() == 4
        stop.set()
        await task
    assert passes.count == 4


async def test_a_wake_during_a_pass_is_not_lost() -> None:
    wake, stop = asyncio.Event(), asyncio.Event()

    def woken() -> None:
        if passes.count == 1:
            wake.set()
        else:
            stop.set()

    passes = Passes(woken)
    async with asyncio.timeout(LIMIT_S):
        await run(Job("test", passes.run_once, NEVER_MS, wake), stop)
    assert passes.count == 2


async def test_a_wake_does_not_shorten_the_wait_after_a_failure() -> None:
    wake, stop = asyncio.Event(), asyncio.Event()

    def failing() -> None:
        raise ChainUnavailable("away")

    passes = Passes(failing)
    task = asyncio.create_task(run(Job("test", passes.run_once, NEVER_MS, wake), stop))
    async with asyncio.timeout(LIMIT_S):
        await passes.made.get()
        for _ in range(20):
            wake.set()
            await asyncio.sleep(0)
        assert passes.count == 1
        stop.set()
        await task


async def test_a_job_stops_at_once_without_a_wake() -> None:
    passes, stop = Passes(), asyncio.Event()
    task = asyncio.create_task(run(Job("test", passes.run_once, NEVER_MS), stop))
    async with asyncio.timeout(LIMIT_S):
        await passes.made.get()
        stop.set()
        await task
    assert passes.count == 1


async def test_a_job_that_did_something_wakes_the_one_that_follows_it() -> None:
    wakes, stop, found = asyncio.Event(), asyncio.Event(), [0, 3]

    async def run_once() -> int:
        assert not wakes.is_set()  # a pass that finds nothing wakes nobody
        if len(found) == 1:
            stop.set()
        return found.pop(0)

    async with asyncio.timeout(LIMIT_S):
        await run(Job("first", run_once, idle_ms=0, wakes=wakes), stop)
    assert wakes.is_set()
