"""A COMMIT of quotes whose answer is lost: every caller gets its quote, and none is made twice.

Over a real PostgreSQL reached by a way that is cut exactly at COMMIT. Quotes need no key, so what
became of a batch is told by the ids that were chosen before.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from node.core.errors import CommitUnknown, QuotingHalted
from node.core.quotes import QuoteStatus
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.cutting import Cut, Cutter
from tests.quoting import OPERATOR, Process, QuotingNode

COUNT = 5
LOST = [Cut.BEFORE, Cut.AFTER]


@dataclass
class World:
    """A process that reaches the database by a way that can be cut, and one that does directly."""

    node: QuotingNode
    cutter: Cutter
    cut_off: Process
    direct: Process


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    node = await QuotingNode.at(database_url)
    async with Cutter(database_url) as cutter, node.stack:
        far = Database.at(cutter.url)
        node.stack.push_async_callback(far.close)
        cut_off = await node.process(units=StoreUnits(far))
        yield World(node, cutter, cut_off, await node.process())


@pytest.mark.parametrize("cut", LOST)
@pytest.mark.parametrize("times", [1, 2])
async def test_every_caller_gets_its_own_quote_and_none_is_made_twice(
    world: World, cut: Cut, times: int
) -> None:
    world.cutter.cut(cut, times)
    answers = await asyncio.gather(*(world.cut_off.create() for _ in range(COUNT)))
    assert world.cutter.done == times
    assert not any(each.replayed for each in answers)
    quotes = [await world.direct.again(OPERATOR, each) for each in answers]
    assert len({each.id for each in quotes}) == COUNT
    assert (await world.node.active())[0] == COUNT


@pytest.mark.parametrize("cut", LOST)
async def test_with_a_key_the_first_caller_and_a_racer_get_one_quote(
    world: World, cut: Cut
) -> None:
    world.cutter.cut(cut)
    answers = await asyncio.gather(
        *(each.create(key="k") for each in (world.cut_off, world.direct) for _ in range(COUNT))
    )
    assert len({each.body for each in answers}) == 1
    assert sum(not each.replayed for each in answers) == 1
    assert (await world.node.active())[0] == 1


async def test_a_commit_that_arrives_late_is_waited_for(world: World) -> None:
    world.cutter.cut(Cut.LATE)
    asked = asyncio.gather(*(world.cut_off.create() for _ in range(COUNT)))
    async with asyncio.timeout(60):
        while not await waits_for_a_lock(world.node):  # noqa: ASYNC110 - rows of the server
            await asyncio.sleep(0.01)
    assert not asked.done()
    world.cutter.release.set()
    answers = await asyncio.gather(asked)
    assert len(answers[0]) == COUNT
    assert (await world.node.active())[0] == COUNT


async def test_while_the_database_stays_away_nobody_gets_a_quote_and_a_key_finds_it_later(
    world: World,
) -> None:
    world.cutter.cut(Cut.AFTER, 100)
    with pytest.raises(CommitUnknown) as away:
        await world.cut_off.create(key="k")
    assert away.value.retryable
    answer = await world.direct.create(key="k")
    assert answer.replayed
    assert await world.direct.status(await world.direct.again(OPERATOR, answer)) is (
        QuoteStatus.ACTIVE
    )
    assert (await world.node.active())[0] == 1


async def test_a_jump_whose_commit_is_lost_is_found_again_and_no_halt_is_told_that_is_not_there(
    world: World,
) -> None:
    quote = await world.direct.quote()
    await world.cut_off.reads("1.30")
    world.cutter.cut(Cut.BEFORE)
    with pytest.raises(QuotingHalted):
        await world.cut_off.create()
    assert world.cutter.done == 1
    assert await world.direct.halts() == [("EUR", "jump")]
    assert await world.direct.status(quote) is QuoteStatus.REVOKED


async def test_limits_are_exact_after_a_lost_commit(world: World) -> None:
    for cut in LOST:
        world.cutter.cut(cut)
        await world.cut_off.create()
    await world.direct.create()
    await world.cut_off.create()
    state = await world.cut_off.fx.state()
    exposure = {each.asset.code: each.open for each in state.exposure}
    assert (exposure["EUR"].count, exposure["EUR"].minor) == (4, 80_000)


async def waits_for_a_lock(node: QuotingNode) -> bool:
    units = node.ledger.units
    assert isinstance(units, StoreUnits)
    async with units.database.transaction() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return bool(await connection.raw.fetchval(query))
