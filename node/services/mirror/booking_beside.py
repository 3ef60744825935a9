"""What a backfill has stored becomes final while it reads and stores what comes after.

Finality takes longest of the three, so it never waits for the others: as soon as one step is done
the next begins, with all that was stored meanwhile. Little is stored ahead of it, so that little
has to be rewound should the chain turn out to have other blocks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from node.core.errors import ChainUnavailable

_SPANS_AHEAD: Final = 2
"""Most spans that are stored and not final while another is being stored."""


@dataclass(slots=True)
class Booking:
    """Steps of finality, one after the other, as long as there is something to make final."""

    then: Callable[[], Coroutine[Any, Any, object]]
    _stored: int = 0
    _final: int = 0
    _steps: asyncio.Task[None] | None = None
    _has_moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def is_stored(self) -> None:
        """One more span is; waits while too many are not final.

        Raises:
            NodeError: A step failed.
        """
        self._stored += 1
        if self._steps is None or self._steps.done():
            await self.end()
            self._steps = asyncio.create_task(self._go_on())
        while self._stored - self._final > _SPANS_AHEAD:
            self._has_moved.clear()
            await self._has_moved.wait()
            if self._steps.done():
                await self._steps

    async def end(self) -> None:
        """Wait until all that is stored is final, or as much of it as can be.

        Raises:
            NodeError: A step failed.
        """
        if self._steps is not None:
            await self._steps

    async def stop(self) -> None:
        """Give up a step that is under way: it has done nothing."""
        if self._steps is not None:
            self._steps.cancel()
            await asyncio.gather(self._steps, return_exceptions=True)

    async def _go_on(self) -> None:
        try:
            while self._final < self._stored:
                stored = self._stored
                await self.then()
                self._final = stored
                self._has_moved.set()
        finally:
            self._has_moved.set()


@asynccontextmanager
async def booking_beside(
    then: Callable[[], Coroutine[Any, Any, object]],
) -> AsyncIterator[Booking]:
    """Make final beside the block what it stores; the block ends when all of that is.

    Where the chain cannot be read any further what is stored becomes final all the same; after any
    other fault the step under way is given up.

    Args:
        then: One step over what is stored.
    """
    booking = Booking(then)
    try:
        yield booking
        await booking.end()
    except ChainUnavailable:
        await booking.end()
        raise
    finally:
        await booking.stop()
