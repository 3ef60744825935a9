"""Group commit: one batch at a time, all that waits goes together, each gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from node.core.errors import DatabaseUnavailable, InsufficientFunds
from node.services.batching import GroupCommit


class Recorder:
    """Answers each number with its double, refuses odd thousands, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.started = asyncio.Event()
        self.running = 0

    async def __call__(self, batch: Sequence[int]) -> Sequence[int | Exception]:
        self.running += 1
        assert self.running == 1
        self.batches.append(list(batch))
        self.started.set()
        await self.gate.wait()
        self.running -= 1
        if 13 in batch:
            raise DatabaseUnavailable("away")
        return [InsufficientFunds("no") if each >= 1000 else 2 * each for each in batch]


async def test_what_comes_while_a_batch_is_under_way_forms_the_next_one() -> None:
    recorder = Recorder()
    group: GroupCommit[int, int] = GroupCommit(recorder, batch_max=3)
    first = asyncio.create_task(group.submit(1))
    await recorder.started.wait()
    others = [asyncio.create_task(group.submit(each)) for each in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    recorder.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10]
    assert recorder.batches == [[1], [2, 3, 4], [5]]


async def test_requests_of_the_same_moment_share_the_first_batch() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group: GroupCommit[int, int] = GroupCommit(recorder)
    await asyncio.gather(*(group.submit(each) for each in range(5)))
    assert recorder.batches == [[0, 1, 2, 3, 4]]


async def test_one_refusal_reaches_only_its_own_caller() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group: GroupCommit[int, int] = GroupCommit(recorder)
    answers = await asyncio.gather(
        *(group.submit(each) for each in (1, 1000, 2)), return_exceptions=True
    )
    assert answers[0] == 2
    assert isinstance(answers[1], InsufficientFunds)
    assert answers[2] == 4


async def test_a_fault_of_the_whole_batch_reaches_all_of_it_and_the_next_batch_goes_on() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group: GroupCommit[int, int] = GroupCommit(recorder)
    answers = await asyncio.gather(
        *(group.submit(each) for each in (1, 13)), return_exceptions=True
    )
    assert all(isinstance(each, DatabaseUnavailable) for each in answers)
    assert await group.submit(7) == 14


async def test_a_caller_that_goes_away_does_not_undo_the_others() -> None:
    recorder = Recorder()
    group: GroupCommit[int, int] = GroupCommit(recorder)
    gone, stays = asyncio.create_task(group.submit(1)), asyncio.create_task(group.submit(2))
    await recorder.started.wait()
    gone.cancel()
    recorder.gate.set()
    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone
