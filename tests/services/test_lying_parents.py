"""A provider that lies about blocks themselves, their parents or their lists of transactions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from node.core.ports.mirror import Contradiction
from node.core.units import BlockHash
from node.services.mirror import forking
from tests.builders import CHAIN_ID
from tests.histories.chain import Block
from tests.histories.provider import Mood
from tests.services.model_chain import Scripted

Make = Callable[..., Awaitable[Scripted]]


@pytest.fixture
async def make(database_url: str) -> AsyncIterator[Make]:
    made: list[Scripted] = []

    async def begin(providers: int = 1) -> Scripted:
        history = await Scripted.of(database_url, providers)
        made.append(history)
        await history.begin()
        history.empty(3)
        await history.come_to_rest()
        return history

    yield begin
    for each in made:
        await each.close()


def replaced(history: Scripted, *, depth: int, blocks: int) -> Block:
    """The head of another branch of so many empty blocks, from so far below the head."""
    block = history.chain.at(history.chain.head.number - depth)
    assert block is not None
    for _ in range(blocks):
        block = history.chain.mine((), on=block)
    return block


@pytest.mark.parametrize("lag", range(3))  # which third of the blocks
@pytest.mark.parametrize("blocks", [2, 12, 90])  # live, and by range
async def test_a_provider_that_lies_about_parents_for_good_is_asked_last_and_told(
    make: Make, blocks: int, lag: int
) -> None:
    history = await make(2)
    history.rpcs[0].mood, history.rpcs[0].lag = Mood.LIES_PARENT, lag
    history.chain.head = replaced(history, depth=2, blocks=blocks)
    history.now_s += 100
    await history.come_to_rest()
    assert (await history.cursor()).head.hash == history.chain.head.hash
    history.empty(3)
    history.now_s += 1000  # it is asked first again, and lies again
    await history.come_to_rest()
    assert (await history.cursor()).head.hash == history.chain.head.hash
    rows = await history.rows(
        "SELECT DISTINCT code, evidence ->> 'provider' AS name, resolved_at IS NULL AS is_open"
        " FROM reconciliation_break"
    )
    assert [tuple(each) for each in rows] == [("B02", "p0", False)]


@pytest.mark.parametrize("at", range(4))
async def test_a_chain_that_changes_between_two_headers_puts_nobody_in_doubt(
    make: Make, at: int
) -> None:
    history = await make(2)
    history.empty(2)
    asked: list[Any] = []

    def change(method: str, params: Sequence[Any], said: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] not in ("latest", "0x0"):
            asked.append(params)
            if len(asked) == at:
                history.chain.head = replaced(history, depth=4, blocks=6)
        return said

    history.answering(history.rpcs[0], change)
    history.now_s += 100
    await history.come_to_rest()
    assert len(asked) > at
    assert (await history.cursor()).head.hash == history.chain.head.hash
    assert await history.rows("SELECT FROM reconciliation_break") == []


async def test_a_parent_that_is_another_each_time_is_a_lie(make: Make) -> None:
    """Its hash says what its parent is, so no change of the chain can explain two of them."""
    history = await make(2)
    history.empty(2)
    lies = iter(range(1, 100))

    def lie(method: str, params: Sequence[Any], said: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == hex(history.chain.head.number):
            return {**said, "parentHash": "0x" + next(lies).to_bytes(32).hex()}
        return said

    history.answering(history.rpcs[0], lie)
    history.now_s += 100
    await history.come_to_rest()
    assert next(lies) == 3  # it was asked twice
    assert (await history.cursor()).head.hash == history.chain.head.hash


async def test_a_fork_is_not_looked_for_beyond_a_parent_that_is_a_lie(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one answer ends and the next begins."""
    monkeypatch.setattr(forking, "_HEADERS_PER_READ", 4)
    history = await make()
    history.empty(12)
    await history.come_to_rest()
    cursor = await history.cursor()
    history.chain.head = replaced(history, depth=14, blocks=16)
    top = history.chain.at(cursor.final.number)
    edge = cursor.final.number - 3
    assert top is not None

    def lie(method: str, params: Sequence[Any], said: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == hex(edge):
            return {**said, "parentHash": "0x" + "0f" * 32}
        return said

    async def found() -> object:
        reader = history.mirror._reader
        with reader.pinned():
            return await forking.find_fork(
                *(history.node.units, reader, CHAIN_ID, cursor, BlockHash(top.hash)),
                lowest=cursor.start_number,
            )

    assert await found() is not None
    history.answering(history.rpcs[0], lie)
    with pytest.raises(Contradiction):
        await found()


@pytest.mark.parametrize("blocks", [0, 40])  # live, and by range
async def test_an_own_transaction_that_a_blocks_list_lacks_is_found_by_its_receipt(
    make: Make, blocks: int
) -> None:
    """Also where it reverted: such a block has nothing else that it could be compared with."""
    history = await make(2)
    tx = replace(await history.batch(), reverts=True)
    history.rpcs[0].mood = Mood.LIES_TXS
    mined = history.chain.extend([tx])
    history.empty(blocks)
    history.now_s += 100
    await history.come_to_rest()
    await history.final()
    [slot] = await history.rows("SELECT state, included_block_hash, succeeded FROM slot")
    assert tuple(slot) == ("final", mined.hash, False)
    assert await history.rows("SELECT FROM reconciliation_break WHERE resolved_at IS NULL") == []
