"""A provider that contradicts itself is not believed, is named, and is asked last for a while."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from adapters.evm.decode import TRANSFER_TOPIC, address_topic
from adapters.evm.provider import DOUBT_S
from adapters.evm.reader import EvmReader
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, Facts
from node.core.ports.mirror import Contradiction
from tests.adapters.emitter import emit
from tests.adapters.lying_rpc import CLOSE
from tests.adapters.reading import Site, each_log
from tests.onchain import ADMIN, LANE, address_of


def in_receipts(change: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    return lambda told: [{**each, "logs": change(each["logs"])} for each in told]


LOG_LIES = {
    "another block": each_log(blockHash="0x" + "99" * 32),
    "another number": each_log(blockNumber="0x1"),
    "no number": each_log(blockNumber=None),
    "removed": each_log(removed=True),
    "no transaction": each_log(transactionHash="0x"),
    "no place": each_log(logIndex=None),
    "one place": each_log(logIndex="0x0"),
    "no list": lambda _: {"a": 1},
    "no logs": each_log(topics=None),
}


@pytest.mark.parametrize("lie", LOG_LIES.values(), ids=LOG_LIES)
async def test_logs_that_are_not_of_the_block_are_not_believed_in_a_list(
    site: Site, lie: Callable[[Any], Any]
) -> None:
    site.lie("eth_getLogs", lie)
    with pytest.raises(Contradiction) as caught:
        await site.by_hash()
    assert caught.value.provider == site.providers.all[0].name
    site.clock.seconds += DOUBT_S
    with pytest.raises(ChainUnavailable):
        await site.by_range()


RECEIPT_LIES = {
    "none": lambda _: [],
    "one less": lambda told: told[:-1],
    "other order": lambda told: [told[1], told[0], *told[2:]],
    "zero hash": lambda told: [{**told[0], "transactionHash": "0x" + "00" * 32}, *told[1:]],
    "another block": lambda told: [{**each, "blockHash": "0x" + "99" * 32} for each in told],
    "log left out": in_receipts(lambda logs: logs[1:] if logs[0]["logIndex"] == "0x2" else logs),
    "log added": in_receipts(lambda logs: [*logs, {**logs[0], "logIndex": "0x3"}]),
    "log of another transaction": in_receipts(each_log(transactionHash="0x" + "01" * 32)),
    "numbered anew": in_receipts(each_log(logIndex="0x0")),
    "no logs": in_receipts(lambda _: []),
    "another topic": in_receipts(each_log(topics=[TRANSFER_TOPIC])),
    "unreadable": in_receipts(lambda _: [{}]),
}


@pytest.mark.parametrize("lie", RECEIPT_LIES.values(), ids=RECEIPT_LIES)
async def test_receipts_that_are_not_all_of_the_block_are_not_believed(
    site: Site, lie: Callable[[Any], Any]
) -> None:
    """Also where what is wrong is of a stranger: the bloom filter and the numbers cover it."""
    site.lie("eth_getBlockReceipts", lie)
    with pytest.raises(Contradiction) as caught:
        await site.by_receipts()
    assert caught.value.block is not None
    assert caught.value.block.number == site.number


async def test_receipts_that_are_not_there_are_no_lie(site: Site) -> None:
    site.lie("eth_getBlockReceipts", lambda _: None)
    with pytest.raises(ChainUnavailable) as caught:
        await site.by_receipts()
    assert not isinstance(caught.value, Contradiction)
    assert site.doubts == [None, None]


async def test_a_log_that_the_list_lacks_is_named(site: Site) -> None:
    site.lie("eth_getLogs", lambda logs: [each for each in logs if each["logIndex"] != "0x1"])
    with pytest.raises(Contradiction, match="not those of its receipts") as caught:
        await site.by_hash()
    assert caught.value.log_index == 1


async def test_a_log_hidden_in_the_list_and_in_the_receipts_is_betrayed_by_the_bloom_filter(
    site: Site,
) -> None:
    rpc, topics = site.anvil.rpc, [TRANSFER_TOPIC, address_topic(address_of(LANE))]
    emit(site.anvil, site.onchain.token, topics, bytes(64))
    site.number += 2

    def told(method: str, params: Any) -> Any:
        if method == "eth_getLogs":
            return {"result": []}
        if method == "eth_getBlockReceipts":
            return {"result": in_receipts(lambda _: [])(rpc(method, *params))}
        return None

    site.first.lie = told
    with pytest.raises(Contradiction, match="bloom"):
        await site.by_hash()


async def test_a_chain_whose_bloom_filters_are_zeros_is_read_through_its_receipts(
    site: Site,
) -> None:
    honest = await site.by_hash()
    rpc, zeros = site.anvil.rpc, "0x" + "00" * 256

    def told(method: str, params: Any) -> Any:
        if method == "eth_getBlockByNumber":
            return {"result": {**rpc(method, *params), "logsBloom": zeros}}
        return None

    site.first.lie = told
    assert await site.by_hash() == honest
    assert await site.by_receipts() == honest
    site.first.lie = lambda method, params: (
        {"result": []} if method == "eth_getLogs" else told(method, params)
    )
    with pytest.raises(Contradiction):
        await site.by_hash()


# ---------------------------------------------------------------------------------- in doubt


async def test_who_contradicts_itself_is_asked_last_for_ten_minutes(site: Site) -> None:
    honest = await site.by_hash()
    assert site.doubts == [None, None]
    site.lie("eth_getLogs", each_log(removed=True))
    with pytest.raises(Contradiction):
        await site.by_hash()
    assert "removed" in str(site.doubts[0])
    asked = site.first.reads
    assert await site.by_hash() == honest
    site.clock.seconds += DOUBT_S - 1
    assert await site.by_hash() == honest
    assert site.first.reads == asked
    site.first.lie = lambda _method, _params: None
    site.clock.seconds += 2
    assert site.doubts == [None, None]
    assert await site.by_hash() == honest
    assert site.first.reads > asked


async def test_one_in_doubt_is_asked_when_nobody_else_answers(site: Site) -> None:
    honest = await site.by_hash()
    site.lie("eth_getLogs", each_log(removed=True))
    with pytest.raises(Contradiction):
        await site.by_hash()
    site.first.lie = lambda _method, _params: None
    site.second.lie = lambda _method, _params: CLOSE
    assert await site.by_hash() == honest


async def test_a_pass_that_one_provider_cannot_serve_begins_with_another_the_next_time(
    site: Site,
) -> None:
    """Else it would ask the same one for ever: in a pass nothing fails over."""
    honest = await site.by_hash()
    no_logs = {"error": {"code": -32601, "message": "the method does not exist"}}
    site.first.lie = lambda method, _: no_logs if method == "eth_getLogs" else None

    async def one_pass() -> Sequence[Facts]:
        with site.reader.pinned():
            return await site.by_hash()

    with pytest.raises(ChainUnavailable):
        await one_pass()
    assert await one_pass() == honest


@pytest.mark.parametrize(
    "method",
    [
        "eth_getBlockReceipts",
        "eth_getTransactionReceipt",
        "eth_getBlockByHash",
        "eth_getBalance",
        "eth_call",
        "eth_getCode",
    ],
)
async def test_after_one_that_lacks_what_it_must_have_the_next_pass_asks_another(
    site: Site, method: str
) -> None:
    """Else it stays the first for ever: its breaker is closed, and nothing is told."""
    read = reads(site, await site.header())[method]
    expected = await read()
    site.clock.seconds += DOUBT_S
    site.lie(method, lambda _: None)
    with pytest.raises(ChainUnavailable):
        await read()
    assert await read() == expected


def reads(site: Site, header: BlockHeader) -> dict[str, Callable[[], Awaitable[object]]]:
    """A question about one block for each method that answers it."""
    reader, admin = site.reader, [address_of(ADMIN)]
    return {
        "eth_getBlockReceipts": lambda: reader.facts_by_receipts([header]),
        "eth_getTransactionReceipt": lambda: reader.receipts(header.tx_hashes),
        "eth_getBlockByHash": lambda: reader.sent_by(admin, [header.point]),
        "eth_getBalance": lambda: reader.native_balances(admin, header.hash),
        "eth_call": lambda: reader.token_balances(admin, header.hash),
        "eth_getCode": lambda: reader.has_code(site.onchain.token, header.hash),
    }


async def test_a_gap_below_its_own_head_is_no_end_of_the_chain(site: Site) -> None:
    rpc, gap = site.anvil.rpc, hex(site.number - 1)

    def told(method: str, params: Any) -> Any:
        is_gap = method == "eth_getBlockByNumber" and params[0] == gap
        return {"result": None if is_gap else rpc(method, *params)}

    site.first.lie = told

    async def one_pass() -> list[int]:
        with site.reader.pinned():
            head = await site.reader.head()
            headers = await site.reader.headers(site.number - 2, head.number + 5)
            return [each.number for each in headers]

    with pytest.raises(ChainUnavailable, match="has not block"):
        await one_pass()
    assert await one_pass() == [site.number - 2, site.number - 1, site.number, site.number + 1]


# ------------------------------------------------------------------------------------- bloom


async def test_where_the_bloom_filter_is_a_hint_a_log_may_be_missing_from_it_and_from_nothing_else(
    site: Site,
) -> None:
    """As on Polygon PoS, whose filters lack the logs of state-sync transactions."""
    honest, rpc = await site.by_receipts(), site.anvil.rpc
    some = f"0x{1:0512x}"

    def told(method: str, params: Any) -> Any:
        if method == "eth_getBlockByNumber":
            return {"result": {**rpc(method, *params), "logsBloom": some}}
        return None

    site.first.lie = told
    header = await site.header()
    with pytest.raises(Contradiction, match="bloom"):
        await site.reader.facts_by_receipts([header])
    site.clock.seconds += DOUBT_S
    reader = EvmReader(site.providers, site.watch, bloom_is_exact=False)
    assert await reader.facts_by_receipts([header]) == honest
    assert await reader.facts([header]) == honest
    for change in ("one less", "other order", "numbered anew", "another block"):
        site.lie("eth_getBlockReceipts", RECEIPT_LIES[change])
        with pytest.raises(Contradiction):
            await reader.facts_by_receipts([header])
        site.clock.seconds += DOUBT_S


# ------------------------------------------------------------------------------------- others


async def test_receipts_of_own_transactions_come_with_what_their_logs_say(site: Site) -> None:
    header = await site.header()
    (block,) = await site.by_hash()
    found = await site.reader.receipts_and_facts(header.tx_hashes)
    assert [each.tx_hash for each, _ in found] == list(header.tx_hashes)
    for receipt, facts in found:
        assert facts == block.of_transaction(receipt.tx_hash)
    assert sum(facts.log_count for _, facts in found) == 2


async def test_what_is_final_is_what_the_slowest_provider_says(site: Site) -> None:
    def final(number: int) -> Callable[[str, Any], Any]:
        block = site.anvil.rpc("eth_getBlockByNumber", hex(number), False)
        return lambda method, params: (
            {"result": block}
            if method == "eth_getBlockByNumber" and params[0] == "finalized"
            else None
        )

    site.first.lie, site.second.lie = final(3), final(2)
    assert await site.reader.finalized_number() == 2
    unknown = {"error": {"code": -39001, "message": "Unknown block"}}
    site.second.lie = lambda method, _: unknown if method == "eth_getBlockByNumber" else None
    assert await site.reader.finalized_number() == 3
    site.first.lie = site.second.lie
    assert await site.reader.finalized_number() is None


async def test_everybody_is_asked_for_the_hash_of_a_block(site: Site) -> None:
    own = (await site.header()).hash
    names = [each.name for each in site.providers.all]
    assert await site.reader.hashes_at(site.number) == dict.fromkeys(names, own)
    site.lie("eth_getBlockByNumber", lambda block: {**block, "hash": "0x" + "13" * 32})
    told = await site.reader.hashes_at(site.number)
    assert (told[names[0]], told[names[1]]) == (b"\x13" * 32, own)
    assert await site.reader.hashes_at(10**6) == {}
