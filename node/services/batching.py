"""Group commit: concurrent requests of a process share one database transaction.

The first request starts at once; those that come while a batch is under way form the next one.
There is no timer, so an idle node answers as fast as it can and a busy one pays one commit for
many. One request's refusal does not touch the others: a batch answers each with a result or an
error of its own. Only a fault of the batch as a whole (the database is away) reaches all of it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


class GroupCommit(Generic[Request, Result]):
    """Gathers requests into batches.

    Args:
        process: Answers a batch, one result or exception per request, in order.
        batch_max: Most requests of one batch; bounds how long the ledger's lock is held.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Request]], Awaitable[Sequence[Result | Exception]]],
        *,
        batch_max: int = 256,
    ) -> None:
        self._process = process
        self._batch_max = batch_max
        self._waiting: deque[tuple[Request, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Result:
        """The answer to one request.

        A caller that goes away does not undo it: its batch is completed for the others.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            # Let every request that is ready now join the first batch.
            await asyncio.sleep(0)
            count = min(len(self._waiting), self._batch_max)
            batch = [self._waiting.popleft() for _ in range(count)]
            try:
                results = await self._process([request for request, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # the caller went away
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
