"""How far finality goes where providers have more or less of the chain, or different ones."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.machine import new_id
from node.core.mirror import Finality
from node.core.signing import KeyRole
from node.services.mirror.mirroring import MirrorService
from tests.histories.chain import Block
from tests.histories.parties import DEPTH_BLOCKS, LANE
from tests.histories.provider import ModelRpc, Mood
from tests.services.model_chain import Scripted

Make = Callable[[int], Awaitable[Scripted]]


@pytest.fixture
async def make(database_url: str) -> AsyncIterator[Make]:
    made: list[Scripted] = []

    async def begin(providers: int) -> Scripted:
        history = await Scripted.of(database_url, providers)
        made.append(history)
        await history.begin()
        history.empty(3)
        await history.come_to_rest()
        return history

    yield begin
    for each in made:
        await each.close()


async def final(history: Scripted) -> int:
    return (await history.cursor()).final.number


def stand_still(history: Scripted, *rpcs: ModelRpc) -> int:
    """Its head is the same from now on; the chain goes on by far more. The number of that head."""
    for rpc in rpcs:
        rpc.mood, rpc.view = Mood.STALLED, history.chain.head
    stood = history.chain.head.number
    history.empty(40)
    history.now_s += 100
    return stood


def boast(history: Scripted, rpc: ModelRpc, blocks: int) -> Block:
    """It alone has so many blocks on top of the chain; the newest of the others."""
    common = history.chain.head
    block = common
    for _ in range(blocks):
        block = history.chain.mine((), on=block)
    rpc.mood, rpc.view = Mood.ELSEWHERE, block
    history.chain.head = common
    history.now_s += 100
    return common


async def test_of_two_the_one_that_is_ahead_does_not_decide_alone(make: Make) -> None:
    history = await make(2)
    stood = stand_still(history, history.rpcs[1])
    await history.come_to_rest()
    assert (await history.cursor()).head.number == history.chain.head.number
    assert await final(history) == stood
    assert await history.open_codes() == []
    history.rpcs[1].mood = Mood.HONEST
    await history.come_to_rest()
    assert await final(history) == history.chain.head.number - DEPTH_BLOCKS


@pytest.mark.parametrize("providers", [2, 3])
@pytest.mark.parametrize("preferred", [True, False])
async def test_one_that_boasts_of_blocks_that_nobody_else_has_makes_none_of_them_final(
    make: Make, providers: int, preferred: bool
) -> None:
    history = await make(providers)
    common = boast(history, history.rpcs[0 if preferred else -1], 40)
    await history.come_to_rest()
    assert await final(history) <= common.number
    row = (await history.rows("SELECT hash FROM block WHERE number = $1", common.number))[0]
    assert row["hash"] == common.hash


async def test_of_three_one_that_stands_still_holds_up_nothing(make: Make) -> None:
    history = await make(3)
    stand_still(history, history.rpcs[0])
    await history.come_to_rest()
    assert await final(history) == history.chain.head.number - DEPTH_BLOCKS


async def test_of_three_two_that_stand_still_hold_finality_where_the_newer_of_them_stands(
    make: Make,
) -> None:
    history = await make(3)
    stand_still(history, history.rpcs[2])
    newer = stand_still(history, history.rpcs[1])
    await history.come_to_rest()
    assert await final(history) == newer


async def test_one_that_is_always_a_little_behind_delays_finality_and_stops_it_never(
    make: Make,
) -> None:
    history = await make(2)
    history.rpcs[1].mood, history.rpcs[1].lag = Mood.LAGS, DEPTH_BLOCKS + 3
    history.empty(history.rpcs[1].lag)
    for _ in range(5):
        history.empty(1)
        await history.come_to_rest()
        assert await final(history) == history.chain.head.number - history.rpcs[1].lag


async def test_one_that_does_not_answer_has_no_say(make: Make) -> None:
    history = await make(2)
    history.rpcs[1].mood = Mood.DOWN
    history.empty(10)
    await history.come_to_rest()
    assert await final(history) == history.chain.head.number - DEPTH_BLOCKS


async def test_an_operator_may_let_one_alone_decide(make: Make) -> None:
    history = await make(2)
    stand_still(history, history.rpcs[1])
    history.mirror = MirrorService(
        units=history.node.units,
        reader=history._reader,
        watch=history.watch,
        lanes={LANE: KeyRole.SETTLE},
        finality=Finality(DEPTH_BLOCKS),
        new_id=new_id,
        witnesses_min=1,
    )
    await history.come_to_rest()
    assert await final(history) == history.chain.head.number - DEPTH_BLOCKS


async def test_what_holds_finality_back_is_logged_once(make: Make) -> None:
    history = await make(2)
    stand_still(history, history.rpcs[1])
    with capture_logs() as logs:
        await history.come_to_rest()
        history.empty(3)
        await history.come_to_rest()
    told = [each for each in logs if each["event"].startswith("finality goes no further")]
    assert [(each["only"], list(each["behind"])) for each in told] == [(["p0"], ["p1"])]


async def test_one_that_boasts_and_has_not_even_its_own_blocks_is_asked_three_times_a_pass(
    make: Make,
) -> None:
    history = await make(2)
    asked: list[Sequence[Any]] = []

    def null(method: str, params: Sequence[Any], said: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] not in ("latest", "0x0"):
            asked.append(params)
            return None
        return said

    before = await final(history)
    history.empty(5)
    await history.come_to_rest()
    history.answering(history.rpcs[1], null)
    history.empty(5)
    await history.come_to_rest()
    stood = await final(history)
    assert before < stood < history.chain.head.number - DEPTH_BLOCKS
    asked.clear()
    await history.follow()
    assert 0 < len(asked) <= 3
