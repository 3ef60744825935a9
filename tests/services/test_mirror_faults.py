"""One fault of a provider, a token or a stranger at a time, on a model chain over real books."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from adapters.evm.errors import RpcError
from node.core.errors import ChainUnavailable
from node.core.ledger import suspense_account
from node.core.mirror import BlockPoint, Cause, Finality
from node.core.units import Address, BlockHash
from node.services.mirror import backfilling
from node.store.mirror import MirrorStore
from tests.builders import CHAIN_ID
from tests.histories.chain import Block
from tests.histories.parties import (
    CONTRACT,
    DEPTH_BLOCKS,
    FACTORY,
    LANE,
    OTHER_TOKEN,
    STRANGERS,
    TREASURY,
)
from tests.histories.provider import ModelRpc, Mood
from tests.services.model_chain import STRANGER, Answering, Scripted
from tests.services.paying import Paid

Make = Callable[..., Awaitable[Scripted]]
FORMER_CONTRACT, FORMER_FACTORY = Address(b"\xc1" * 20), Address(b"\xfb" * 20)


@pytest.fixture
async def make(database_url: str) -> AsyncIterator[Make]:
    made: list[Scripted] = []

    async def begin(providers: int = 1) -> Scripted:
        made.append(await Scripted.of(database_url, providers))
        return made[-1]

    yield begin
    for each in made:
        await each.close()


async def in_suspense(history: Scripted, asset: str) -> int:
    return -await history.debited(suspense_account(CHAIN_ID, asset))


# --------------------------------------------------------------------------- logs that are hidden


def without_log(block: Block, index: int) -> Answering:
    """Ranges lack one log; everything else is true."""

    def answer(method: str, params: Sequence[Any], said: Any) -> Any:
        if method != "eth_getLogs" or "fromBlock" not in params[0]:
            return said
        place = (hex(block.number), hex(index))
        return [each for each in said if (each["blockNumber"], each["logIndex"]) != place]

    return answer


async def many_addresses(history: Scripted, count: int) -> None:
    await history.rows(
        "INSERT INTO deposit_address (chain_id, address, factory, salt, customer_id, partner_id,"
        " is_standing) SELECT $1, decode(lpad(to_hex(g), 40, 'a'), 'hex'), $2,"
        " decode(lpad(to_hex(g), 64, 'a'), 'hex'), $3, null, false"
        " FROM generate_series(65536, 65535 + $4) g",
        *(CHAIN_ID, FACTORY, history.payer.customer_id, count),
    )


@pytest.mark.parametrize("others", [0, backfilling._FEW_LOGS + 1])
async def test_a_deposit_that_a_list_lacks_beside_others_of_its_block_is_found(
    make: Make, others: int
) -> None:
    history = await make()
    await history.begin()
    beside, hidden = await history.address(), await history.address()
    txs = [history.moved((STRANGER, beside, 1)) for _ in range(1 + others)]
    block = history.chain.extend([*txs, history.moved((STRANGER, hidden, 9_000_000))])
    history.empty(20)
    history.answering(history.rpcs[0], without_log(block, len(txs)))
    await history.come_to_rest()
    assert await history.booked(hidden) == 9_000_000
    assert await history.booked(beside) == len(txs)


@pytest.mark.parametrize("balances_per_block", [0, 100])
async def test_the_only_log_of_a_block_is_found_among_many_deposit_addresses(
    make: Make, monkeypatch: pytest.MonkeyPatch, balances_per_block: int
) -> None:
    monkeypatch.setattr(backfilling, "_BALANCES_PER_BLOCK", balances_per_block)
    history = await make()
    await history.begin()
    await many_addresses(history, 600)
    hidden = await history.address()
    block = history.chain.extend([history.moved((STRANGER, hidden, 9_000_000))])
    history.empty(20)
    history.answering(history.rpcs[0], without_log(block, 0))
    await history.come_to_rest()
    assert await history.booked(hidden) == 9_000_000


async def test_a_hidden_log_is_found_where_no_state_is_kept(make: Make) -> None:
    history = await make()
    await history.begin()
    beside, hidden = await history.address(), await history.address()
    txs = [history.moved((STRANGER, beside, 1)) for _ in range(backfilling._FEW_LOGS + 1)]
    block = history.chain.extend([*txs, history.moved((STRANGER, hidden, 9_000_000))])
    history.empty(20)
    lacking = without_log(block, len(txs))

    def pruned(method: str, params: Sequence[Any], said: Any) -> Any:
        if method == "eth_call":
            return RpcError(-32000, "missing trie node", b"")
        return lacking(method, params, said)

    history.answering(history.rpcs[0], pruned)
    await history.come_to_rest()
    assert await history.booked(hidden) == 9_000_000


async def test_one_list_that_lacks_a_log_has_all_of_its_span_read_by_receipts(make: Make) -> None:
    history = await make()
    await history.begin()
    poison = [history.moved((TREASURY, STRANGER, 0)) for _ in range(backfilling._FEW_LOGS + 2)]
    full = history.chain.extend(poison)
    alone = history.chain.extend([history.moved((STRANGER, TREASURY, 7))])
    history.empty(20)
    first, second = without_log(full, 3), without_log(alone, 0)
    history.answering(history.rpcs[0], lambda m, p, said: second(m, p, first(m, p, said)))
    await history.come_to_rest()
    rows = await history.rows("SELECT FROM token_log WHERE block_number = $1", full.number)
    assert len(rows) == len(poison)
    assert await history.booked(TREASURY) == full.world.tokens[TREASURY] + 7


async def test_an_event_of_an_own_transaction_that_a_list_lacks_in_a_full_block_is_found(
    make: Make,
) -> None:
    """It moves nothing, so no balance tells of it; the receipt of the transaction does."""
    history = await make()
    await history.begin()
    txs = [history.moved((STRANGER, TREASURY, 1)) for _ in range(backfilling._FEW_LOGS + 1)]
    block = history.chain.extend([*txs, await history.batch()])
    history.empty(20)
    history.answering(history.rpcs[0], without_log(block, len(txs) + 1))  # Settled
    await history.come_to_rest()
    assert [row["state"] for row in await history.rows("SELECT state FROM transfer")] == ["settled"]


async def test_a_block_that_is_gone_when_it_is_read_again_changes_nothing(make: Make) -> None:
    history = await make()
    await history.begin()
    history.empty(40)
    before = await history.cursor()
    refused = False

    def gone(method: str, params: Sequence[Any], said: Any) -> Any:
        nonlocal refused
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            refused = True
            return RpcError(-32602, "query returned more than 10000 results", b"")
        is_block = method == "eth_getBlockByNumber" and params[0] != "latest"
        return None if refused and is_block else said

    end = history.answering(history.rpcs[0], gone)
    for _ in range(12):
        with pytest.raises(ChainUnavailable):
            await history.mirror.run_once()
        refused = False
    assert await history.cursor() == before
    end()
    await history.come_to_rest()
    after = await history.cursor()
    assert after.head.number == history.chain.head.number


@pytest.mark.parametrize("empty_blocks", [1, 20])
async def test_a_receipt_that_names_another_block_of_the_span_is_not_believed(
    make: Make, empty_blocks: int
) -> None:
    history = await make()
    await history.begin()
    block = history.chain.extend([await history.batch()])
    after = history.chain.extend(())
    history.empty(empty_blocks)

    def elsewhere(method: str, params: Sequence[Any], said: Any) -> Any:
        if method == "eth_getTransactionReceipt" and said is not None:
            return {**said, "blockHash": "0x" + after.hash.hex(), "blockNumber": hex(after.number)}
        return said

    end = history.answering(history.rpcs[0], elsewhere)
    with pytest.raises(ChainUnavailable):
        await history.mirror.run_once()
    assert await history.rows("SELECT FROM slot WHERE state <> 'submitted'") == []
    end()
    history.now_s += 10_000
    await history.final()
    [slot] = await history.rows("SELECT * FROM slot")
    assert slot["included_block_hash"] == block.hash


# -------------------------------------------------------------------- money that nobody saw come


async def test_tokens_that_leave_without_having_come_do_not_end_finality(make: Make) -> None:
    history = await make()
    await history.begin()
    address = await history.address()
    history.chain.extend([history.moved((STRANGER, address, 10))])
    await history.final()
    history.chain.head.world.tokens[address] += 5  # by no log
    history.chain.extend([history.moved((address, CONTRACT, 15))])
    await history.final()
    await history.final()
    cursor = await history.cursor()
    assert cursor.final.number == history.chain.head.number - DEPTH_BLOCKS
    assert await history.booked(address) == 0
    assert await history.booked(CONTRACT) == history.chain.head.world.tokens[CONTRACT]
    assert await in_suspense(history, "USDC") == 5
    assert "B02" in await history.open_codes()
    assert await history.rows("SELECT FROM pause") == []
    run = await history.reconciliation().run("anybody", full=True)
    failing = [each.name for each in run.checks if not each.ok]
    assert [each for each in failing if not each.startswith("balance.")] == []
    assert "B02" in await history.open_codes()  # somebody has to say whose the five units are


async def test_no_address_is_told_before_the_mirror_has_begun(paid: Paid) -> None:
    await paid.node.execute("DELETE FROM chain_cursor")
    with pytest.raises(ChainUnavailable, match="not begun"):
        await paid.service.address(paid.node.payer, None)
    with pytest.raises(ChainUnavailable, match="not begun"):
        await paid.asked()
    assert await paid.node.rows("SELECT FROM deposit_address") == []


async def test_what_a_deposit_address_held_before_the_mirror_began_is_suspense(make: Make) -> None:
    history = await make()
    address = await history.address()
    history.chain.extend([history.moved((STRANGER, address, 5_000_000))])
    await history.begin()
    assert await history.booked(address) == 5_000_000
    assert await in_suspense(history, "USDC") == 5_000_000
    assert await history.open_codes() == ["B04"]
    history.chain.extend([history.moved((address, CONTRACT, 5_000_000))])
    await history.final()
    assert await history.booked(address) == 0
    assert await history.open_codes() == ["B04"]
    run = await history.reconciliation().run("anybody", full=True)
    assert [each.name for each in run.checks if not each.ok] == []


async def test_an_address_of_an_earlier_factory_is_swept_to_its_contract_without_alarm(
    make: Make,
) -> None:
    history = await make()
    await history.begin()
    await history.rows(
        "INSERT INTO settlement_contract (chain_id, address) VALUES ($1, $2)",
        *(CHAIN_ID, FORMER_CONTRACT),
    )
    address = await history.address(FORMER_FACTORY)
    history.chain.extend([history.moved((STRANGER, address, 7))])
    await history.final()
    history.chain.extend([history.moved((address, FORMER_CONTRACT, 6))])
    await history.final()
    [log] = await history.rows(
        "SELECT * FROM token_log WHERE from_address = $1 AND status = 'final'", address
    )
    assert log["cause"] == Cause.SWEPT
    assert await history.booked(FORMER_CONTRACT) == 6
    assert await history.rows("SELECT FROM pause") == []
    assert await history.open_codes() == []
    run = await history.reconciliation().run("anybody")
    assert [each.name for each in run.checks if not each.ok] == []

    history.chain.extend([history.moved((address, STRANGERS[1], 1))])  # no forwarder does that
    await history.final()
    assert await history.open_codes() == ["B06"]


# ------------------------------------------------------------------------------------ native coin


def penniless(method: str, params: Sequence[Any], said: Any) -> Any:
    return "0x0" if method == "eth_getBalance" else said


async def natives(history: Scripted) -> list[int]:
    return [await history.booked(each, "ETH") for each in (LANE, TREASURY)]


async def test_a_balance_of_coin_that_one_provider_alone_tells_books_nothing(make: Make) -> None:
    history = await make(2)
    await history.begin()
    before = await natives(history)
    end = history.answering(history.rpcs[0], penniless)
    await history.final()
    assert await history.open_codes() == []
    end()
    await history.final()
    assert await natives(history) == before


async def test_coin_that_was_missing_and_is_there_again_is_not_booked_twice(make: Make) -> None:
    history = await make()
    await history.begin()
    before = await natives(history)
    end = history.answering(history.rpcs[0], penniless)
    await history.final()
    assert await history.open_codes() == ["B16", "B16"]
    end()
    await history.final()
    assert await natives(history) == before
    assert await in_suspense(history, "ETH") == 0
    assert await history.open_codes() == []


# -------------------------------------------------------------------------------------- providers


async def test_providers_that_are_even_for_long_are_told_and_what_is_stored_becomes_final(
    make: Make,
) -> None:
    history = await make(2)
    await history.begin()
    history.empty(3)
    await history.come_to_rest()
    history.empty(1)
    await history.mirror._follow(await history.cursor(), history.chain.head.number)  # stored alone
    fork = history.chain.at(history.chain.head.number - 2)
    assert fork is not None
    elsewhere = history.chain.mine((), on=fork)
    for _ in range(3):
        elsewhere = history.chain.mine((), on=elsewhere)
    history.rpcs[0].mood, history.rpcs[0].view = Mood.ELSEWHERE, elsewhere
    history.now_s += 100
    for _ in range(2):
        await history.follow()
        assert await history.open_codes() == []
    for _ in range(10):
        await history.follow()
    assert await history.open_codes() == ["B19"]
    cursor = await history.cursor()
    assert cursor.final.number == cursor.head.number - DEPTH_BLOCKS

    history.rpcs[0].mood = Mood.HONEST
    await history.final()
    assert await history.open_codes() == []


async def test_a_reorg_is_compared_near_the_head_while_finality_waits(make: Make) -> None:
    history = await make()
    await history.begin()
    waiting = history.mirror_with(Finality(10_000))
    history.empty(300)
    while await waiting.run_once():
        pass
    for depth, headers_max in ((3, 200), (90, 700)):
        fork = history.chain.at(history.chain.head.number - depth)
        assert fork is not None
        block = fork
        for _ in range(depth + 1):
            block = history.chain.mine((), on=block)
        history.chain.head = block
        asked = counted(history, history.rpcs[0])
        while await waiting.run_once():
            pass
        cursor = await history.cursor()
        assert cursor.head.hash == block.hash
        assert len(asked) < headers_max


def counted(history: Scripted, rpc: ModelRpc) -> list[Any]:
    """Grows by one for each header that is asked for from now on."""
    asked: list[Any] = []

    def answer(method: str, params: Sequence[Any], said: Any) -> Any:
        if method == "eth_getBlockByNumber":
            asked.append(params)
        return said

    history.answering(rpc, answer)
    return asked


# ----------------------------------------------------------------------------- cursor and steps


async def test_finality_never_moves_to_a_block_that_a_rewind_has_just_orphaned(make: Make) -> None:
    history = await make()
    await history.begin()
    blocks = [history.chain.extend(()) for _ in range(3)]
    await history.follow()
    points = [BlockPoint(each.number, BlockHash(each.hash)) for each in blocks]
    cursor = await history.cursor()
    assert cursor.head == points[-1]
    rewound, waits = asyncio.Event(), asyncio.Event()

    async def rewind() -> None:
        async with history.database.transaction() as connection:
            mirror = MirrorStore(connection)
            assert await mirror.move_head(CHAIN_ID, held=cursor.head.hash, to=points[0])
            await mirror.orphan_above(CHAIN_ID, points[0].number)
            rewound.set()
            await waits.wait()

    async def make_final() -> bool:
        await rewound.wait()
        async with history.database.transaction() as connection:
            return await MirrorStore(connection).move_final(
                CHAIN_ID, held=cursor.final.hash, to=points[1]
            )

    async def let_go() -> None:
        await rewound.wait()
        for _ in range(500):
            locks = await history.rows(
                "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            )
            if locks:
                break
            await asyncio.sleep(0.01)
        waits.set()

    _, moved, _ = await asyncio.gather(rewind(), make_final(), let_go())
    assert not moved
    [row] = await history.rows("SELECT final_number FROM chain_cursor")
    assert row["final_number"] == cursor.final.number


async def test_a_step_of_finality_that_begins_where_another_has_gone_on_moves_nothing(
    make: Make,
) -> None:
    """What it read would be booked again from there, even if it goes further."""
    history = await make()
    await history.begin()
    blocks = [history.chain.extend(()) for _ in range(3)]
    await history.follow()
    points = [BlockPoint(each.number, BlockHash(each.hash)) for each in blocks]
    held = (await history.cursor()).final.hash
    for target, expected in ((points[0], True), (points[1], False)):
        async with history.database.transaction() as connection:
            mirror = MirrorStore(connection)
            assert await mirror.move_final(CHAIN_ID, held=held, to=target) is expected


async def test_forged_logs_make_a_step_of_finality_as_short_as_real_ones_do(make: Make) -> None:
    history = await make()
    await history.begin()
    numbers = []
    for _ in range(3):
        stray = replace(history.moved(), strays=[(STRANGER, TREASURY, 1)] * 4)
        numbers.append(history.chain.extend([stray]).number)
    while await history.mirror._follow(await history.cursor(), history.chain.head.number):
        pass
    rows = await history.rows("SELECT DISTINCT token FROM stray_log")
    assert [row["token"] for row in rows] == [OTHER_TOKEN]
    cursor = await history.cursor()
    async with history.node.units() as unit:
        target = await unit.mirror.final_target(CHAIN_ID, cursor.final.number, numbers[-1], 9)
    assert target is not None
    assert target.number == numbers[1]
