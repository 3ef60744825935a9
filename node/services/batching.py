"""Group commit: concurrent requests of a process share one database transaction.

The first request starts at once; those that come while a batch is under way form the next one.
There is no timer, so an idle node answers as fast as it can and a busy one pays one commit for
many. One request's refusal does not touch the others: a batch answers each with a result or an
error of its own. A fault of the batch as a whole reaches all of it when the world is at fault (the
database is away); any other is looked for by halves, so that one request that cannot be processed
fails alone.

`committed` is the rule for a COMMIT whose answer was lost.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final, Generic, TypeVar

from node.core.errors import CommitUnknown, Overloaded, Unavailable
from node.core.ports import Unit, UnitOfWork

Request = TypeVar("Request")
Result = TypeVar("Result")

_BATCH_MAX: Final = 256
WAITING_MAX: Final = 8192
"""Most requests that wait for their batch: a few seconds of work. More are turned away at once."""

_LOST_COMMITS_MAX: Final = 3


class GroupCommit(Generic[Request, Result]):
    """Gathers requests into batches.

    Args:
        process: Answers a batch, one result or exception per request, in order.
        batch_max: Most requests of one batch; bounds how long the ledger's lock is held.
        waiting_max: Most requests that wait.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Request]], Awaitable[Sequence[Result | Exception]]],
        *,
        batch_max: int = _BATCH_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._process = process
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: deque[_Group[Request, Result]] = deque()
        self._count = 0  # of the requests in all that wait
        self._task: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Result:
        """The answer to one request.

        A caller that goes away does not undo it: its batch is completed for the others.

        Raises:
            Overloaded: Too many wait already; nothing was done.
        """
        (result,) = await self._join((request,))
        if isinstance(result, Exception):
            raise result
        return result

    async def submit_many(self, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        """The answers to requests of one caller, in their order, at most a batch at a time.

        Once a part fails as a whole, what follows is not tried and fails likewise.

        Raises:
            Overloaded: Too many wait already; nothing was done.
        """
        results: list[Result | Exception] = []
        for start in range(0, len(requests), self._batch_max):
            try:
                results += await self._join(requests[start : start + self._batch_max])
            except Overloaded as error:
                if not results:
                    raise
                results.append(error)
            if isinstance(results[-1], Unavailable):
                return [*results, *[results[-1]] * (len(requests) - len(results))]
        return results

    async def _join(self, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        if self._count + len(requests) > self._waiting_max:
            raise Overloaded(
                f"{self._count} requests wait already; send the same request again in a second",
                retry_after_s=1,
            )
        future: asyncio.Future[Sequence[Result | Exception]]
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((requests, future))
        self._count += len(requests)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            # Let every request that is ready now join the first batch.
            await asyncio.sleep(0)
            batch = self._next_batch()
            results = await self._answers([each for requests, _ in batch for each in requests])
            start = 0
            for requests, future in batch:
                end = start + len(requests)
                if not future.done():  # else the caller went away
                    future.set_result(results[start:end])
                start = end

    def _next_batch(self) -> "list[_Group[Request, Result]]":
        batch = [self._waiting.popleft()]
        size = len(batch[0][0])
        while self._waiting and size + len(self._waiting[0][0]) <= self._batch_max:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][0])
        self._count -= size
        return batch

    async def _answers(self, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        try:
            return await self._process(requests)
        except Unavailable as error:
            return [error] * len(requests)
        except Exception as error:  # noqa: BLE001 - handed to the caller it belongs to
            if len(requests) == 1:
                return [error]
        middle = len(requests) // 2
        return [
            *await self._answers(requests[:middle]),
            *await self._answers(requests[middle:]),
        ]


_Group = tuple[Sequence[Request], asyncio.Future[Sequence[Result | Exception]]]
"""Requests that came together and are processed together, and where their answers go."""


async def committed(
    units: UnitOfWork,
    work: Callable[[Unit, Sequence[Result]], Awaitable[Sequence[Result]]],
) -> Sequence[Result]:
    """Do `work` in a transaction and its results, once it is known that it was committed.

    When the connection is lost during COMMIT, nobody knows whether it took place. `work` is then
    done again in a new transaction, which is safe because of how it begins: it takes a lock that
    the lost transaction holds until it has ended one way or the other, then looks its keys up and
    finds what was booked. While the database stays away, callers are told that it is, and find
    out when they repeat their requests.

    Args:
        units: Opens transactions.
        work: Takes the lock first. Its second argument are the results of the attempt before,
            whose COMMIT was lost; empty on the first.

    Raises:
        DatabaseUnavailable: The database is away; after a lost COMMIT the outcome is not known.
    """
    lost: Sequence[Result] = ()
    for attempt in count(1):
        try:
            async with units() as unit:
                lost = await work(unit, lost)
            break
        except CommitUnknown:
            if attempt == _LOST_COMMITS_MAX:
                raise
    return lost
