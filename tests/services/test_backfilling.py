"""Catching up in bulk, over providers with caps, cut lists, hidden logs, and other mirrors.

Whatever happens, the mirror ends with what the receipts of every block say, and the ledger with
what the contract holds.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.evm.errors import RpcError
from adapters.evm.json_rpc import Call
from adapters.evm.reader import EvmReader
from adapters.machine import new_id
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, BlockPoint, Finality, Span
from node.core.ports.mirror import Contradiction
from node.core.transfers import State
from node.core.units import Address, BlockHash
from node.services.mirror import backfilling
from node.services.mirror.block_storing import BlockStoring
from node.services.mirror.mirroring import MirrorService
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, DEPTH_BLOCKS, TREASURY, MirroredNode
from tests.onchain import FLOAT_UNITS
from tests.services.lying import (
    Liars,
    Lie,
    frozen,
    without_logs,
    without_receipts_logs,
)
from tests.services.settling import Killed, killer

MINED_AT = datetime(2026, 1, 1, tzinfo=UTC)


async def history(node: MirroredNode, *, blocks: int = 120) -> None:
    """Payments and deposits in a few of many blocks, none of them mirrored yet."""
    await node.sent(2)
    node.mine(blocks // 2)
    mint(node, 5_000)
    await node.funded(1)
    node.mine(blocks // 2)


def mint(node: MirroredNode, units: int) -> None:
    node.onchain.send(node.onchain.token, "mint(address,uint256)", "0x" + TREASURY.hex(), units)


async def followed(mirror: MirrorService) -> None:
    """One mirror passes until it has nothing to do."""
    for _ in range(50):
        if not await mirror.run_once():
            return
    raise AssertionError("the mirror never comes to rest")


async def assert_whole(node: MirroredNode) -> None:
    """The mirror has every block once, and every log that the receipts of the chain have."""
    cursor = await node.cursor()
    reader = EvmReader(node.providers, node.watch)
    headers = await reader.headers(cursor.start_number + 1, cursor.head.number)
    said = [
        (facts.block.number, log_index)
        for facts in await reader.facts_by_receipts(headers)
        for log_index in sorted(facts.by_index())
    ]
    rows = await node.rows(
        "SELECT block_number, log_index FROM token_log WHERE status <> 'orphaned'"
        " UNION ALL SELECT block_number, log_index FROM settlement_log WHERE status <> 'orphaned'"
        " UNION ALL SELECT block_number, log_index FROM notice WHERE status <> 'orphaned'"
        " ORDER BY 1, 2"
    )
    assert [tuple(row) for row in rows] == said
    blocks = await node.rows("SELECT number, hash FROM block WHERE status <> 'orphaned' ORDER BY 1")
    assert [tuple(row) for row in blocks][1:] == [(each.number, each.hash) for each in headers]
    for address in (node.onchain.contract, TREASURY):
        assert await node.booked(Address(address)) == node.onchain.balance(address)


def ranges(asked: list[Any]) -> list[int]:
    """How many blocks each range had that was asked for."""
    return [
        int(each[0]["toBlock"], 16) - int(each[0]["fromBlock"], 16) + 1
        for each in asked
        if "fromBlock" in each[0]
    ]


def capped(blocks_max: int, words: str) -> Lie:
    """Refuses longer ranges."""

    def lie(call: Call, answer: Any) -> Any:
        method, params = call
        if method == "eth_getLogs" and max(ranges([params]), default=0) > blocks_max:
            return RpcError(-32602, words)
        return answer

    return lie


async def test_what_is_final_long_since_is_read_by_ranges_and_the_rest_block_by_block(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node)
    watched, (provider,) = with_providers(node, provider=None)
    await followed(watched.mirror())
    asked = provider.asked_of("eth_getLogs")
    assert max(ranges(asked)) > 100
    by_hash = {each[0]["blockHash"] for each in asked if "blockHash" in each[0]}
    assert len(by_hash) == DEPTH_BLOCKS
    assert await node.booked(node.onchain.contract) == FLOAT_UNITS - 2 * BUY
    await assert_whole(node)


@pytest.mark.parametrize(
    ("blocks_max", "words"),
    [
        (50, "query exceeds max block range 50"),
        (7, "block range is too wide"),
        (1, "eth_getLogs is limited to a 1 blocks range"),
    ],
)
async def test_a_provider_that_refuses_long_ranges_is_asked_for_shorter_ones(
    node: MirroredNode,
    with_providers: Liars,
    monkeypatch: pytest.MonkeyPatch,
    blocks_max: int,
    words: str,
) -> None:
    monkeypatch.setattr(backfilling, "SPANS_PER_PASS", 1)
    await history(node, blocks=90)
    watched, (provider,) = with_providers(node, provider=capped(blocks_max, words))
    mirror = watched.mirror()
    stored = await mirror.run_once()
    assert 0 < stored <= 2 * blocks_max
    provider.lie = None
    await followed(mirror)
    await assert_whole(node)


async def test_a_provider_that_gives_no_range_at_all_is_read_by_receipts(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node, blocks=70)
    watched, (provider,) = with_providers(node, provider=capped(0, "too many results"))
    mirror = watched.mirror()
    assert await mirror.run_once() > 0
    provider.lie = None
    await followed(mirror)
    await assert_whole(node)


async def test_a_log_that_a_range_lacks_is_found_and_its_provider_is_asked_last(
    node: MirroredNode, with_providers: Liars
) -> None:
    for hidden in (node.onchain.contract, node.onchain.token):
        await history(node)
        liars, _ = with_providers(node, liar=without_logs(hidden))
        await followed(liars.mirror())
        (health,) = liars.providers.health()
        assert "lacks a log" in (health.in_doubt or "")
    await assert_whole(node)
    rows = await node.rows("SELECT * FROM reconciliation_break WHERE code = 'B02'")
    assert len(rows) == 3  # one of the contract, and one of each list of the token
    assert {row["resolution"]["kind"] for row in rows} == {"rederived"}
    assert {row["evidence"]["provider"] for row in rows} == {"liar"}


async def test_a_log_that_is_hidden_in_receipts_too_is_read_from_another_provider(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node)
    many, _ = with_providers(node, liar=without_receipts_logs(node.onchain.token), honest=None)
    mirror = many.mirror()
    head = (await node.cursor()).head
    with pytest.raises(Contradiction):
        await mirror.run_once()
    assert (await node.cursor()).head == head
    assert await open_breaks(node) == ["B02"]
    await followed(mirror)
    assert await open_breaks(node) == []
    await assert_whole(node)


async def open_breaks(node: MirroredNode) -> list[str]:
    rows = await node.rows(
        "SELECT code FROM reconciliation_break WHERE resolved_at IS NULL AND code <> 'B04'"
    )
    return [row["code"] for row in rows]


class BlindReader(EvmReader):
    """Of a chain whose bloom filters say nothing."""

    def may_have_facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[bool]:
        return [False for _ in headers]


async def test_a_balance_that_the_list_does_not_explain_shows_the_log_that_it_lacks(
    node: MirroredNode, with_providers: Liars
) -> None:
    mint(node, 5_000)
    node.mine(120)
    liars, _ = with_providers(node, liar=without_logs(node.onchain.token))
    mirror = MirrorService(
        units=node.ledger.units,
        reader=BlindReader(liars.providers, node.watch),
        watch=node.watch,
        lanes={},
        finality=Finality(DEPTH_BLOCKS),
        new_id=new_id,
    )
    await followed(mirror)
    (health,) = liars.providers.health()
    assert "lacks a log" in (health.in_doubt or "")
    await assert_whole(node)


async def test_tokens_that_no_log_explains_are_asked_of_every_provider_and_then_followed(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node)

    def richer(call: Call, answer: Any) -> Any:
        method, params = call
        asks = method == "eth_call" and params[0]["data"].endswith(TREASURY.hex())
        return "0x" + (int(answer, 16) + 9).to_bytes(32).hex() if asks else answer

    many, _ = with_providers(node, first=richer, second=richer)
    mirror = many.mirror()
    for _ in range(2):
        with pytest.raises(Contradiction, match="9 units more"):
            await mirror.run_once()
    assert [each.in_doubt is not None for each in many.providers.health()] == [True, True]
    await followed(mirror)
    await assert_whole(node)


async def test_states_that_nobody_keeps_any_more_do_not_stop_it(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node)

    def pruned(call: Call, answer: Any) -> Any:
        is_state = call[0] == "eth_call"
        return RpcError(-32000, "missing trie node") if is_state else answer

    watched, _ = with_providers(node, provider=pruned)
    await followed(watched.mirror())
    await assert_whole(node)


async def test_more_logs_than_one_transaction_should_hold_make_spans_shorter(
    node: MirroredNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfilling, "LOGS_PER_SPAN", 3)
    monkeypatch.setattr(backfilling, "SPANS_PER_PASS", 1)
    for _ in range(8):
        mint(node, 10)
        node.mine(40)
    mirror = node.mirror()
    sizes = []
    while await mirror.run_once():
        rows = await node.rows("SELECT count(*) AS n FROM token_log")
        sizes.append(rows[0]["n"])
    steps = [after - before for before, after in zip([0, *sizes], sizes, strict=False)]
    assert max(steps) <= 3
    assert sizes[-1] == 8
    await assert_whole(node)


async def test_a_mirror_that_dies_at_any_window_of_a_span_has_stored_all_of_it_or_nothing(
    node: MirroredNode,
) -> None:
    await history(node)
    before = await node.cursor()
    for window in ("after_block_read", "before_block_commit"):
        with pytest.raises(Killed):
            await node.mirror(at=killer(window)).run_once()
        assert await node.cursor() == before
        assert await node.rows("SELECT 1 FROM block WHERE number > $1", before.head.number) == []
    with pytest.raises(Killed):
        await node.mirror(at=killer("after_block_commit")).run_once()
    stored = (await node.cursor()).head.number
    assert stored > before.head.number + 100
    await node.follow()
    await assert_whole(node)


async def test_a_payout_that_is_read_in_bulk_is_included_and_settled_one_after_the_other(
    node: MirroredNode,
) -> None:
    await history(node)
    await followed(node.mirror())
    rows = await node.rows(
        "SELECT t.version, array_agg(e.type ORDER BY e.object_sequence) AS types,"
        " max(e.object_sequence) AS newest FROM transfer t JOIN event e ON e.object_id = t.id"
        " WHERE t.state = 'settled' GROUP BY t.id"
    )
    told = ["transfer.funded", "transfer.submitted", "transfer.included", "transfer.settled"]
    assert [row["types"] for row in rows] == [told, told]
    assert [(row["version"], row["newest"]) for row in rows] == [(4, 4), (4, 4)]


async def test_spans_of_a_pass_that_were_stored_stay_when_the_next_cannot_be_read(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node)
    before = await node.cursor()
    watched, (provider,) = with_providers(
        node, provider=capped(20, "query exceeds max block range 20")
    )

    def dying(window: str) -> None:
        if window == "after_final_commit":
            provider.lie = lambda *_: RpcError(-32000, "shutting down")

    with pytest.raises(ChainUnavailable):
        await watched.mirror(at=dying).run_once()
    after = await node.cursor()
    assert after.head.number >= before.head.number + 20
    assert after.final.number >= before.head.number + 20 - DEPTH_BLOCKS
    mirror = watched.mirror()
    provider.lie = None
    await followed(mirror)
    await assert_whole(node)


async def test_mirrors_that_race_over_a_span_store_it_once_and_doubt_nobody(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node)
    many, _ = with_providers(node, provider=None)
    mirrors = [many.mirror() for _ in range(3)]
    for _ in range(8):
        await asyncio.gather(*(each.run_once() for each in mirrors))
    assert [each.in_doubt for each in many.providers.health()] == [None]
    await assert_whole(node)
    assert await open_breaks(node) == []


async def test_a_reorg_below_the_span_is_left_to_the_live_way(node: MirroredNode) -> None:
    deep = Finality(8)
    node.mine(6)
    await node.mirror(deep).run_once()
    node.onchain.anvil.rpc("anvil_reorg", 4, [])
    node.mine(100)
    assert await node.mirror(deep).run_once() == 4
    assert len(await node.rows("SELECT 1 FROM block WHERE status = 'orphaned'")) == 4
    await followed(node.mirror(deep))
    await assert_whole(node)


async def test_a_chain_that_changes_while_a_range_is_read_changes_nothing(
    node: MirroredNode, with_providers: Liars
) -> None:
    await history(node)
    head = (await node.cursor()).head

    def changing() -> Lie:
        seen: dict[str, int] = {}

        def lie(call: Call, answer: Any) -> Any:
            method, params = call
            if method != "eth_getBlockByNumber" or not isinstance(answer, dict):
                return answer
            seen[str(params[0])] = seen.get(str(params[0]), 0) + 1
            if params[0] != "latest" and seen[str(params[0])] > 1:
                return {**answer, "hash": "0x" + "77" * 32}
            return answer

        return lie

    watched, _ = with_providers(node, provider=changing())
    with pytest.raises(Exception, match="changed while"):
        await watched.mirror().run_once()
    assert (await node.cursor()).head == head


async def test_a_payment_of_long_ago_is_included_and_settled_by_one_pass(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(3)
    node.mine(200)
    assert await node.mirror().run_once() > 0
    assert await node.states(transfers) == {State.SETTLED}
    assert await node.timeline(transfers[0].id) == [
        "transfer.funded",
        "transfer.submitted",
        "transfer.included",
        "transfer.settled",
    ]


async def test_a_provider_that_lags_fills_as_far_as_it_has_blocks(
    node: MirroredNode, with_providers: Liars
) -> None:
    node.mine(100)
    slow = frozen(node, (await node.cursor()).head.number)
    newest = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    node.mine(100)
    watched, _ = with_providers(node, slow=slow)
    await followed(watched.mirror())
    assert (await node.cursor()).head.number == newest


def test_spans_follow_what_providers_bear() -> None:
    span = Span()
    assert span.after(1_999).blocks == 4_000
    assert span.after(4_999).blocks == 2_020
    assert span.after(5_000).blocks == 2_000
    assert span.after(10_001).blocks == 1_980
    assert span.after(30_001).blocks == 1_000
    assert span.refused().blocks == 1_000
    assert span.refused(50).blocks == 50
    assert span.refused(9_000).blocks == 1_999
    assert Span(1).refused().blocks == 1
    steady = span.refused(50)
    for _ in range(8):
        steady = steady.after(10)
        assert steady.blocks == 50
    assert steady.after(10).blocks == 100
    assert Span(10_000).after(0).blocks == 10_000


async def test_finality_does_not_wait_while_blocks_are_stored(node: MirroredNode) -> None:
    node.mine(3)
    await node.follow()
    read = await node.cursor()
    async with node.ledger.units() as storing:
        assert await storing.mirror.begin_blocks(CHAIN_ID, held=read.head.hash)
        await storing.mirror.add_blocks(node.watch, [header_above(read.head)], [])
        async with node.ledger.units() as booking:
            assert await booking.mirror.move_final(CHAIN_ID, held=read.final.hash, to=read.head)
    assert (await node.cursor()).final == read.head


async def test_blocks_that_the_fence_refuses_leave_nothing_behind(node: MirroredNode) -> None:
    node.mine(3)
    await node.follow()
    read = await node.cursor()
    new = header_above(read.head)
    async with node.ledger.units() as quicker:
        assert await quicker.mirror.move_head(CHAIN_ID, held=read.head.hash, to=elsewhere(new))
        storing = BlockStoring(node.ledger.units, node.watch)
        slower = asyncio.create_task(storing.store(read.head, [new], [], []))
        for _ in range(1000):
            if await node.rows("SELECT FROM pg_locks WHERE NOT granted"):
                break
            await asyncio.sleep(0.01)
        assert not slower.done()
    assert await slower == 0
    assert await node.rows("SELECT FROM block WHERE hash = $1", new.hash) == []


def header_above(point: BlockPoint) -> BlockHeader:
    """Of a block that no chain has."""
    return BlockHeader(point.number + 1, BlockHash(bytes(32)), point.hash, MINED_AT)


def elsewhere(header: BlockHeader) -> BlockPoint:
    """Another block of the same number."""
    return BlockPoint(header.number, BlockHash(b"\1" * 32))
