"""Steps of finality beside a backfill: read ahead, booked in order, given up where one was lost."""

import asyncio

import pytest

from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint
from node.core.ports.mirror import WatchedRows
from node.core.units import BlockHash
from node.services.mirror.booking_beside import Steps, booking_beside
from node.services.mirror.finalizing import FinalStep


def block(number: int) -> BlockPoint:
    return BlockPoint(number, BlockHash(number.to_bytes(32)))


class Chain:
    """One block a span; which steps were read above which block, and which were booked."""

    def __init__(self) -> None:
        self.final = self.stored = 0
        self.read: list[tuple[int, bool]] = []  # the block above which, and whether ahead
        self.booked: list[int] = []
        self.lost: set[int] = set()  # another worker is quicker with these
        self.away_above: int | None = None
        self.may_book = asyncio.Event()
        self.may_book.set()

    @property
    def steps(self) -> Steps:
        return Steps(self.prepare, self.commit)

    async def until_read(self, above: int) -> None:
        """Wait until the step above this block was read ahead."""
        for _ in range(1000):
            if (above, True) in self.read:
                return
            await asyncio.sleep(0)
        raise AssertionError("it was not read ahead")

    async def prepare(self, above: BlockPoint | None) -> FinalStep | None:
        number = self.final if above is None else above.number
        self.read.append((number, above is not None))
        if self.away_above == number:
            raise ChainUnavailable("the chain is away")
        if number >= self.stored:
            return None
        rows = WatchedRows((), (), ())
        return FinalStep(block(number), block(number + 1), {}, {}, (), (), (), rows)

    async def commit(self, step: FinalStep) -> int:
        await self.may_book.wait()
        target = step.target.number
        if target in self.lost:
            self.lost.remove(target)
            self.final = target  # it is final, by somebody else
            return 0
        assert step.above.number == self.final, "a step is booked on top of the one before it"
        self.final = target
        self.booked.append(target)
        return 1


async def test_the_next_step_is_read_while_one_is_booked() -> None:
    chain = Chain()
    chain.may_book.clear()
    async with booking_beside(chain.steps) as booking:
        for number in (1, 2):
            chain.stored = number
            await booking.is_stored()
            await asyncio.sleep(0)
        await chain.until_read(1)
        assert chain.booked == []
        chain.may_book.set()
    assert (chain.booked, chain.final) == ([1, 2], 2)


async def test_what_was_read_ahead_of_a_step_that_another_worker_booked_is_read_again() -> None:
    chain = Chain()
    chain.lost = {1}
    chain.may_book.clear()
    async with booking_beside(chain.steps) as booking:
        for number in (1, 2):
            chain.stored = number
            await booking.is_stored()
            await asyncio.sleep(0)
        await chain.until_read(1)
        chain.may_book.set()
    assert (chain.booked, chain.final) == ([2], 2)
    assert (1, False) in chain.read


async def test_a_chain_that_is_away_ahead_leaves_what_was_booked() -> None:
    chain = Chain()
    chain.away_above = 1
    chain.may_book.clear()

    async def backfill() -> None:
        async with booking_beside(chain.steps) as booking:
            for number in (1, 2):
                chain.stored = number
                await booking.is_stored()
                await asyncio.sleep(0)
            chain.may_book.set()

    with pytest.raises(ChainUnavailable):
        await backfill()
    assert chain.booked == [1]
