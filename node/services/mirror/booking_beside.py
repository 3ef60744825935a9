"""What a backfill has stored becomes final while it reads and stores what comes after.

Finality takes longest of the three, so it never waits for the others: while one step is booked the
next is read, with all that was stored meanwhile, and is booked as soon as the one before it is.
Little is stored ahead of it, so that little has to be rewound should the chain turn out to have
other blocks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint
from node.services.meanwhile import meanwhile
from node.services.mirror.finalizing import FinalStep

_SPANS_AHEAD: Final = 2
"""Most spans that are stored and not final while another is being stored."""


class Steps(NamedTuple):
    """How what is stored becomes final.

    Attributes:
        prepare: Reads a step above this block, which is about to become final; None: above the
            newest final one. None, when nothing can become final there.
        commit: Books it; 0: another worker was quicker.
    """

    prepare: Callable[[BlockPoint | None], Awaitable[FinalStep | None]]
    commit: Callable[[FinalStep], Awaitable[int]]


class _Next(NamedTuple):
    """A step that was read when so many spans were stored; None: there is nothing to book."""

    stored: int
    step: FinalStep | None


@dataclass(slots=True)
class Booking:
    """Steps of finality, one after the other, as long as there is something to make final."""

    steps: Steps
    _stored: int = 0
    _final: int = 0
    _going_on: asyncio.Task[None] | None = None
    _is_more_stored: asyncio.Event = field(default_factory=asyncio.Event)
    _has_moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def is_stored(self) -> None:
        """One more span is; waits while too many are not final.

        Raises:
            NodeError: A step failed.
        """
        self._stored += 1
        self._is_more_stored.set()
        if self._going_on is None or self._going_on.done():
            await self.end()
            self._going_on = asyncio.create_task(self._go_on())
        while self._stored - self._final > _SPANS_AHEAD:
            self._has_moved.clear()
            await self._has_moved.wait()
            if self._going_on.done():
                await self._going_on

    async def end(self) -> None:
        """Wait until all that is stored is final, or as much of it as can be.

        Raises:
            NodeError: A step failed.
        """
        if self._going_on is not None:
            await self._going_on

    async def stop(self) -> None:
        """Give up a step that is under way: it has done nothing."""
        if self._going_on is not None:
            self._going_on.cancel()
            await asyncio.gather(self._going_on, return_exceptions=True)

    async def _go_on(self) -> None:
        try:
            found: _Next | None = None
            while self._final < self._stored:
                found = await self._book(found or await self._read(None))
        finally:
            self._has_moved.set()

    async def _book(self, found: _Next) -> _Next | None:
        """Book what was read; what was read meanwhile, if it follows."""
        if found.step is None:
            self._is_final(found.stored)
            return None
        async with meanwhile(self._read_more(found.stored, found.step.target)) as ahead:
            has_moved = await self.steps.commit(found.step)
            self._is_final(found.stored)
            return await ahead if has_moved and self._stored > found.stored else None

    def _is_final(self, stored: int) -> None:
        self._final = stored
        self._has_moved.set()

    async def _read_more(self, stored: int, above: BlockPoint) -> _Next:
        """The step above `above`, once more than these spans are stored."""
        while self._stored == stored:
            self._is_more_stored.clear()
            await self._is_more_stored.wait()
        return await self._read(above)

    async def _read(self, above: BlockPoint | None) -> _Next:
        stored = self._stored
        return _Next(stored, await self.steps.prepare(above))


@asynccontextmanager
async def booking_beside(steps: Steps) -> AsyncIterator[Booking]:
    """Make final beside the block what it stores; the block ends when all of that is.

    Where the chain cannot be read any further what is stored becomes final all the same; after any
    other fault the step under way is given up.
    """
    booking = Booking(steps)
    try:
        yield booking
        await booking.end()
    except ChainUnavailable:
        await booking.end()
        raise
    finally:
        await booking.stop()
