"""Work beside other work of the same pass: the chain and the database both take their time."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

_Value = TypeVar("_Value")

_TURNS_TO_ASK: Final = 2
"""Turns of the event loop until the work has begun, and what it asked is written to its socket."""


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, _Value]) -> AsyncIterator[asyncio.Task[_Value]]:
    """Work that goes on beside the block, and no longer than it: await it inside.

    Where the block ends without its result, by a fault too, the work is given up and so is what it
    would have said. It reads through the provider that the block is pinned to. Its first question
    is on its way when the block begins, which may therefore compute while the database works.
    """
    task = asyncio.create_task(work)
    try:
        for _ in range(_TURNS_TO_ASK):
            await asyncio.sleep(0)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
