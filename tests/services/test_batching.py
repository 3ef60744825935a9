"""Group commit: one batch at a time, all that waits goes together, each gets its own answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import pytest

from node.core.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    InsufficientFunds,
    InvariantBroken,
    Overloaded,
)
from node.core.ports import Unit
from node.services.batching import GroupCommit, committed


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


async def test_a_request_that_cannot_be_processed_fails_alone() -> None:
    async def process(batch: Sequence[int]) -> Sequence[int | Exception]:
        if 13 in batch:
            raise InvariantBroken("thirteen")
        return [2 * each for each in batch]

    group: GroupCommit[int, int] = GroupCommit(process)
    answers = await asyncio.gather(
        *(group.submit(each) for each in (*range(1, 13), 13, *range(14, 30))),
        return_exceptions=True,
    )
    failed = [each for each in answers if isinstance(each, BaseException)]
    assert [type(each) for each in failed] == [InvariantBroken]
    assert [each for each in answers if isinstance(each, int)] == [
        2 * each for each in range(1, 30) if each != 13
    ]


async def test_more_than_may_wait_are_turned_away_at_once_and_told_when_to_come_back() -> None:
    recorder = Recorder()
    group: GroupCommit[int, int] = GroupCommit(recorder, batch_max=1, waiting_max=2)
    first = asyncio.create_task(group.submit(1))
    await recorder.started.wait()
    waiting = [asyncio.create_task(group.submit(each)) for each in (2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as turned_away:
        await group.submit(4)
    assert turned_away.value.retryable
    assert turned_away.value.context["retry_after_s"] == 1
    with pytest.raises(Overloaded):
        await group.submit_many([4, 5])
    recorder.gate.set()
    assert await asyncio.gather(first, *waiting) == [2, 4, 6]
    assert await group.submit(4) == 8
    assert recorder.batches == [[1], [2], [3], [4]]


async def test_many_of_one_caller_go_a_batch_at_a_time_in_order() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group: GroupCommit[int, int] = GroupCommit(recorder, batch_max=3)
    answers = await group.submit_many([*range(7), 1000])
    assert answers[:7] == [2 * each for each in range(7)]
    assert isinstance(answers[7], InsufficientFunds)
    assert recorder.batches == [[0, 1, 2], [3, 4, 5], [6, 1000]]
    assert await group.submit_many([]) == []


async def test_many_of_one_caller_share_their_batch_with_others() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group: GroupCommit[int, int] = GroupCommit(recorder, batch_max=4)
    answers = await asyncio.gather(
        group.submit(1), group.submit_many([2, 3]), group.submit(4), group.submit_many([5, 6])
    )
    assert list(answers) == [2, [4, 6], 8, [10, 12]]
    assert recorder.batches == [[1, 2, 3, 4], [5, 6]]


async def test_once_the_database_is_away_the_rest_of_many_is_not_tried() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group: GroupCommit[int, int] = GroupCommit(recorder, batch_max=2)
    answers = await group.submit_many([1, 2, 13, 4, 5, 6])
    assert answers[:2] == [2, 4]
    assert [type(each) for each in answers[2:]] == [DatabaseUnavailable] * 4
    assert recorder.batches == [[1, 2], [13, 4]]


class FakeUnits:
    """Transactions whose COMMITs end as they are told to."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Unit]:
        yield cast("Unit", self)
        if (end := self.ends.pop(0)) is not None:
            raise end

    def snapshot(self) -> AbstractAsyncContextManager[Unit]:
        raise NotImplementedError


async def test_work_whose_commit_was_lost_is_done_again_knowing_what_it_came_to() -> None:
    seen: list[Sequence[int]] = []

    async def work(_: Unit, lost: Sequence[int]) -> Sequence[int]:
        seen.append(lost)
        return [len(seen)]

    lost_twice = FakeUnits(CommitUnknown("lost"), CommitUnknown("lost"), None)
    assert await committed(lost_twice, work) == [3]
    assert seen == [(), [1], [2]]


@pytest.mark.parametrize(
    ("ends", "attempts"),
    [([CommitUnknown("lost")] * 3, 3), ([CommitUnknown("lost"), DatabaseUnavailable("away")], 2)],
)
async def test_while_the_database_stays_away_callers_are_told_so(
    ends: list[Exception], attempts: int
) -> None:
    count = 0

    async def work(_: Unit, lost: Sequence[int]) -> Sequence[int]:
        nonlocal count
        count += 1
        return [count]

    with pytest.raises(DatabaseUnavailable):
        await committed(FakeUnits(*ends), work)
    assert count == attempts
