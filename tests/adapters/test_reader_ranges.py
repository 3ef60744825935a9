"""Logs by number range: what a refusal means, and when a list is worth nothing."""

from typing import Any

import pytest

from adapters.evm.log_limits import LOGS_CAPS, LOGS_MAX
from adapters.evm.provider import DOUBT_S
from node.core.errors import ChainUnavailable
from node.core.mirror import Facts
from node.core.ports.mirror import Contradiction, RangeTooLong
from tests.adapters.lying_rpc import CLOSE, HANG
from tests.adapters.reading import Site, each_log


@pytest.mark.parametrize(
    ("words", "allowed"), [("block range is too wide", None), ("Max range: 1", 1)]
)
async def test_a_refused_range_says_how_many_blocks_are_allowed(
    site: Site, words: str, allowed: int | None
) -> None:
    refusal = {"error": {"code": -32005, "message": words}}
    site.first.lie = site.second.lie = lambda method, _: (
        refusal if method == "eth_getLogs" else None
    )
    with pytest.raises(RangeTooLong) as caught:
        await site.by_range()
    assert caught.value.blocks_max == allowed
    assert [each.state for each in site.providers.health()] == ["closed", "closed"]


async def test_a_list_as_long_as_a_known_limit_may_have_been_cut_off(site: Site) -> None:
    site.lie("eth_getLogs", lambda logs: (logs * max(LOGS_CAPS))[: min(LOGS_CAPS)])
    with pytest.raises(RangeTooLong, match="cut off"):
        await site.by_range()


UNKNOWN_WORDS = {"error": {"code": -32603, "message": "internal error"}}
BARE_LIMIT = {"error": {"code": -32005, "message": "limit exceeded"}}  # of some: too many blocks


@pytest.mark.parametrize("fault", [HANG, CLOSE, 413, 500, 504, UNKNOWN_WORDS, BARE_LIMIT], ids=str)
async def test_a_range_that_is_refused_in_any_way_is_one_that_was_too_long(
    site: Site, fault: Any
) -> None:
    """Of one block too: it is then read by its receipts."""
    site.first.lie = lambda method, _: fault if method == "eth_getLogs" else None
    site.clients[0].hangs = lambda method: fault is HANG and method == "eth_getLogs"
    for first in (site.number - 1, site.number):
        with pytest.raises(RangeTooLong) as caught:
            await site.reader.facts_by_range(first, site.number)
        assert caught.value.blocks_max is None
        site.clock.seconds += DOUBT_S


@pytest.mark.parametrize(
    "fault",
    [
        403,
        429,
        {"error": {"code": 429, "message": "wait"}},
        {"error": {"code": -32005, "message": "daily request count exceeded"}},
        {"error": {"code": -32016, "message": "over rate limit"}},
        {"error": {"code": -32602, "message": "block range extends beyond current head block"}},
    ],
    ids=str,
)
async def test_who_asks_too_often_or_of_unknown_blocks_gets_no_more_for_shorter_ranges(
    site: Site, fault: Any
) -> None:
    site.first.lie = lambda method, _: fault if method == "eth_getLogs" else None
    with pytest.raises(ChainUnavailable) as caught:
        await site.by_range()
    assert not isinstance(caught.value, RangeTooLong)


@pytest.mark.parametrize("fault", [504, UNKNOWN_WORDS], ids=str)
async def test_a_provider_that_bears_few_blocks_and_says_nothing_of_it_is_read_all_the_same(
    site: Site, fault: Any
) -> None:
    site.anvil.rpc("anvil_mine", hex(60))
    last = int(site.anvil.rpc("eth_blockNumber"), 16) - 1

    def told(method: str, params: Any) -> Any:
        if method != "eth_getLogs" or "blockHash" in params[0]:
            return None
        blocks = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        return fault if blocks > 7 else None

    site.first.lie = site.second.lie = told
    first, blocks, found = 0, last + 1, list[Facts]()
    for _ in range(40):
        try:
            found += await site.reader.facts_by_range(first, min(first + blocks - 1, last))
        except RangeTooLong:
            blocks //= 2
            continue
        first += blocks
        if first > last:
            break
    assert site.number in [each.block.number for each in found]
    assert first > last


async def test_more_logs_than_are_good_at_once_are_a_range_that_was_too_long(site: Site) -> None:
    """Above some number of deposit addresses every Transfer of the token is in the list."""
    site.lie("eth_getLogs", lambda logs: (logs * LOGS_MAX)[: LOGS_MAX + 1])
    with pytest.raises(RangeTooLong, match="more than"):
        await site.by_range()
    facts = await site.reader.facts_by_range(site.number, site.number)  # nothing shorter exists
    assert [log.amount for each in facts for log in each.token_logs] == [1, 2]


async def test_a_last_block_told_in_other_words_is_the_same_block(site: Site) -> None:
    """Some providers add members as a block gets older: only its hash says what it is."""
    seen: list[str] = []

    def told(method: str, params: Any) -> Any:
        if method != "eth_getBlockByNumber" or params[0] != hex(site.number):
            return None
        seen.append(method)
        block = site.anvil.rpc(method, *params)
        return {"result": {**block, "totalDifficulty": hex(len(seen)), "size": "0x1"}}

    site.first.lie = told
    assert len(await site.by_range()) == 1
    assert len(seen) == 2


async def test_a_last_block_that_changes_under_way_makes_the_list_worthless(site: Site) -> None:
    seen: list[str] = []

    def told(method: str, params: Any) -> Any:
        if method != "eth_getBlockByNumber" or params[0] != hex(site.number):
            return None
        seen.append(method)
        block = site.anvil.rpc(method, *params)
        return {"result": {**block, "hash": "0x" + "42" * 32} if len(seen) > 1 else block}

    site.first.lie = told
    with pytest.raises(ChainUnavailable, match="changed"):
        await site.by_range()


async def test_an_unreadable_log_of_a_range_must_be_in_the_receipts_too(site: Site) -> None:
    site.lie("eth_getLogs", each_log(data="0x01"))
    with pytest.raises(Contradiction, match="not those of its receipts"):
        await site.by_range()


async def test_a_range_is_read_with_three_lists_between_two_looks_at_its_end(site: Site) -> None:
    await site.by_range()
    before = len(site.first.asked)
    facts = await site.by_range()
    assert site.first.asked[before:] == [
        *("eth_getBlockByNumber", "eth_blockNumber"),
        *["eth_getLogs"] * 3,
        "eth_getBlockByNumber",
    ]
    assert [log.amount for each in facts for log in each.token_logs] == [1, 2]
