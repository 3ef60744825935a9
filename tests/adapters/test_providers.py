"""Several providers of a chain: who is read from, who is passed over, who is never asked again.

The chains are real; the providers between are made to lie.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from eth_utils.crypto import keccak

from adapters.evm.breaker import PAUSE_S
from adapters.evm.client import DEFAULT_TIP_WEI, EvmChain
from adapters.evm.rpc import JsonRpc, ProviderRules, Providers
from adapters.evm.signer import KeystoreSigner
from node.core.errors import ChainUnavailable
from node.core.ports.chain import UnsignedTransaction
from node.core.units import Address, TxHash
from tests.adapters.lying_rpc import CLOSE, HANG, LIMITED, LimitedRpc, LyingRpc, lying
from tests.adapters.test_breaker import HandClock
from tests.rig import DEV_ACCOUNTS, AnvilServer

CHAIN_ID = 31337
SENDER = KeystoreSigner.of_key(DEV_ACCOUNTS[1][1])
ACCOUNT = Address(bytes(19) + b"\7")
RULES = ProviderRules()


class Pair:
    """Two liars in front of one chain, and a clock that the test moves."""

    def __init__(self, anvil: AnvilServer, first: LyingRpc, second: LyingRpc) -> None:
        self.anvil, self.first, self.second = anvil, first, second
        self.clock = HandClock()
        self.clients = [LimitedRpc(each.url) for each in (first, second)]
        self.providers = Providers(self.clients, chain_id=CHAIN_ID, now_s=self.clock, rules=RULES)
        self.chain = EvmChain(self.providers)

    @property
    def states(self) -> list[str]:
        return [each.state for each in self.providers.health()]

    def later(self, seconds: float) -> None:
        self.clock.seconds += seconds


@pytest.fixture
async def pair(anvil: AnvilServer) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(lying(anvil.rpc_url)) for _ in range(2)]
        pair = Pair(anvil, first, second)
        stack.push_async_callback(pair.providers.close)
        yield pair


def always(lie: object) -> Callable[[str, Any], Any]:
    return lambda _method, _params: lie


def to(method: str, lie: object) -> Callable[[str, Any], Any]:
    return lambda asked, _params: lie if asked == method else None


def result(value: object) -> dict[str, object]:
    return {"result": value}


def hanging_sends(method: str) -> bool:
    return method == "eth_sendRawTransaction"


async def signed(nonce: int) -> bytes:
    transaction = UnsignedTransaction(CHAIN_ID, nonce, ACCOUNT, 1, b"", 21_000, 10**11, 1)
    return (await SENDER.sign(transaction)).raw


# ------------------------------------------------------------------------------------- reading


async def test_reads_go_to_the_preferred_provider_while_it_is_well(pair: Pair) -> None:
    for _ in range(5):
        await pair.chain.native_balance(ACCOUNT, "latest")
    assert (pair.first.reads, pair.second.reads) == (5, 0)
    assert pair.states == ["closed", "closed"]


@pytest.mark.parametrize("fault", [CLOSE, HANG, 403, 429, 500, 503, LIMITED], ids=str)
async def test_one_that_fails_is_left_alone_for_a_while_and_then_probed(
    pair: Pair, fault: object
) -> None:
    await pair.chain.head()
    pair.first.lie = always(fault)
    pair.clients[0].hangs = lambda _: fault is HANG
    for _ in range(4):
        await pair.chain.native_balance(ACCOUNT, "latest")
    assert pair.states == ["open", "closed"]
    asked = len(pair.first.asked)
    pair.later(PAUSE_S - 1)
    await pair.chain.native_balance(ACCOUNT, "latest")
    assert len(pair.first.asked) == asked
    pair.later(2)
    assert pair.states == ["half_open", "closed"]
    pair.first.lie, pair.clients[0].hangs = always(None), lambda _: False
    await pair.chain.native_balance(ACCOUNT, "latest")
    assert pair.states == ["closed", "closed"]
    assert pair.providers.health()[0].failures_total >= 2


async def test_when_every_breaker_is_open_reads_still_ask_somebody(pair: Pair) -> None:
    pair.first.lie = pair.second.lie = always(CLOSE)
    for _ in range(3):
        with pytest.raises(ChainUnavailable):
            await pair.chain.head()
    assert pair.states == ["open", "open"]
    pair.second.lie = always(None)
    assert (await pair.chain.head()).number == 0
    assert pair.states == ["open", "closed"]


async def test_an_error_in_answer_to_one_question_does_not_open_the_breaker(pair: Pair) -> None:
    unknown = {"error": {"code": -32601, "message": "method not found"}}
    pair.first.lie = to("eth_getBalance", unknown)
    for _ in range(5):
        await pair.chain.native_balance(ACCOUNT, "latest")
    assert pair.second.reads == 5
    assert pair.states == ["closed", "closed"]


async def test_a_stopped_read_leaves_no_probe_behind(pair: Pair) -> None:
    pair.first.lie = always(CLOSE)
    for _ in range(3):
        await pair.chain.native_balance(ACCOUNT, "latest")
    pair.later(PAUSE_S)
    pair.first.lie = always(HANG)
    read = asyncio.create_task(pair.chain.native_balance(ACCOUNT, "latest"))
    asked = len(pair.first.asked)
    while len(pair.first.asked) == asked:  # noqa: ASYNC110 - a condition of another task
        await asyncio.sleep(0.01)
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    pair.first.lie = always(None)
    pair.later(10)
    await pair.chain.native_balance(ACCOUNT, "latest")
    assert pair.states == ["closed", "closed"]


# -------------------------------------------------------------------------------- heads that lag


async def test_one_whose_head_lags_is_passed_over_until_it_has_caught_up(pair: Pair) -> None:
    pair.anvil.mine(20)
    pair.first.lie = to("eth_blockNumber", result(hex(10)))
    await pair.chain.native_balance(ACCOUNT, "latest")
    assert (pair.first.reads, pair.second.reads) == (0, 1)
    assert pair.providers.health()[0].behind_blocks == 10
    pair.first.lie = always(None)
    pair.later(RULES.heads_every_s)
    await pair.chain.native_balance(ACCOUNT, "latest")
    assert (pair.first.reads, pair.second.reads) == (1, 1)


async def test_a_few_blocks_behind_is_normal(pair: Pair) -> None:
    pair.anvil.mine(20)
    pair.first.lie = to("eth_blockNumber", result(hex(20 - RULES.behind_blocks_max)))
    await pair.chain.native_balance(ACCOUNT, "latest")
    assert pair.first.reads == 1


async def test_one_that_lags_is_read_when_nobody_else_is_left(pair: Pair) -> None:
    pair.anvil.mine(20)
    pair.first.lie = to("eth_blockNumber", result(hex(10)))
    await pair.chain.head()
    pair.second.lie = always(CLOSE)
    assert (await pair.chain.head()).number == 20
    assert pair.first.reads == 1


async def test_a_head_that_goes_back_at_every_provider_is_believed(pair: Pair) -> None:
    snapshot = pair.anvil.rpc("evm_snapshot")
    pair.anvil.mine(20)
    assert (await pair.chain.head()).number == 20
    pair.anvil.rpc("evm_revert", snapshot)
    pair.later(RULES.heads_every_s)
    assert (await pair.chain.head()).number == 0
    assert [each.behind_blocks for each in pair.providers.health()] == [0, 0]


async def test_of_three_one_that_boasts_of_its_head_outvotes_nobody(anvil: AnvilServer) -> None:
    anvil.mine(5)
    async with lying(anvil.rpc_url) as boaster:
        boaster.lie = to("eth_blockNumber", result(hex(10**9)))
        urls = [anvil.rpc_url, anvil.rpc_url, boaster.url]
        providers = Providers.at(urls, chain_id=CHAIN_ID)
        assert (await EvmChain(providers).head()).number == 5
        assert boaster.reads == 0
        assert providers.health()[0].behind_blocks == 0
        await providers.close()


async def test_a_nonce_behind_a_balancer_that_mixes_old_and_new_is_read_where_it_is_new(
    pair: Pair,
) -> None:
    """Several servers behind one name, some of them late: nonces jump back and forth there."""
    for nonce in range(8):
        await pair.chain.send_raw([await signed(nonce)])
    pair.anvil.mine()
    answers = iter(range(1000))

    def stale(method: str, _params: Any) -> Any:
        late = next(answers) % 3
        if method == "eth_blockNumber":
            return result(hex(2))
        return result(hex(8 - late)) if method == "eth_getTransactionCount" else None

    pair.later(RULES.heads_every_s)
    pair.first.lie = stale
    seen = {await pair.chain.nonce(SENDER.address, "latest") for _ in range(20)}
    assert seen == {8}


# ------------------------------------------------------------------------------------ identity


async def test_one_of_another_chain_is_never_read_and_the_other_serves(
    pair: Pair, start_anvil: Callable[..., AnvilServer]
) -> None:
    stranger = start_anvil()
    stranger.rpc("anvil_setChainId", 5)
    async with lying(stranger.rpc_url) as wrong:
        providers = Providers.at([wrong.url, pair.second.url], chain_id=CHAIN_ID, rules=RULES)
        chain = EvmChain(providers)
        assert await chain.chain_id() == CHAIN_ID
        ((answer,),) = await chain.send_raw([await signed(0)])
        assert answer.tx_hash is not None
        assert wrong.asked == ["eth_chainId"]
        wrong_health, right_health = providers.health()
        assert wrong_health.state == "quarantined"
        assert "chain 5, not 31337" in str(wrong_health.quarantined)
        assert right_health.state == "closed"
        await providers.close()


async def test_a_chain_that_changes_under_way_is_quarantined_for_good_and_nothing_is_sent(
    anvil: AnvilServer,
) -> None:
    clock = HandClock()
    async with lying(anvil.rpc_url) as server:
        providers = Providers([JsonRpc(server.url)], chain_id=CHAIN_ID, now_s=clock)
        chain = EvmChain(providers)
        assert await chain.chain_id() == CHAIN_ID
        anvil.rpc("anvil_setChainId", 1)
        assert await chain.chain_id() == 1  # the caller's own comparison tells people
        with pytest.raises(ChainUnavailable, match="chain 1, not 31337"):
            await chain.head()
        anvil.rpc("anvil_setChainId", CHAIN_ID)
        clock.seconds += 10_000
        with pytest.raises(ChainUnavailable):
            await chain.head()
        assert await chain.send_raw([b"\2"]) == [[]]
        assert "eth_sendRawTransaction" not in server.asked
        await providers.close()


@pytest.mark.parametrize("cause", ["time", "reconnect"])
async def test_who_it_is_is_asked_again_after_minutes_and_after_a_failure(
    pair: Pair, cause: str
) -> None:
    await pair.chain.head()
    pair.first.lie = to("eth_chainId", result("0x1"))
    await pair.chain.head()
    assert pair.states[0] == "closed"
    if cause == "time":
        pair.later(RULES.identity_every_s)
    else:
        pair.first.lie = always(CLOSE)
        await pair.chain.head()
        pair.first.lie = to("eth_chainId", result("0x1"))
    await pair.chain.head()
    assert pair.states == ["quarantined", "closed"]


async def test_a_chain_with_another_first_block_is_another_chain(
    pair: Pair, start_anvil: Callable[..., AnvilServer]
) -> None:
    other = start_anvil(options=("--timestamp", "1000000000"))
    providers = Providers.at([pair.first.url, other.rpc_url], chain_id=CHAIN_ID, rules=RULES)
    await providers.call("eth_blockNumber")
    assert [each.state for each in providers.health()] == ["closed", "quarantined"]
    assert "begins with block" in str(providers.health()[1].quarantined)
    await providers.close()


# ------------------------------------------------------------------------------------- sending


async def test_a_storm_of_403_on_sends_is_held_against_that_provider_s_sends(pair: Pair) -> None:
    """The other takes the bytes; nothing is signed anew, and reads go on where they were."""
    await pair.chain.head()
    pair.first.lie = to("eth_sendRawTransaction", 403)
    for nonce in range(6):
        ((refused, taken),) = await pair.chain.send_raw([await signed(nonce)])
        assert not refused.answered
        assert taken.tx_hash is not None
        await pair.chain.head()
    assert [each.sends for each in pair.providers.health()] == ["open", "closed"]
    assert pair.states == ["closed", "closed"]
    pair.anvil.mine()
    assert await pair.chain.nonce(SENDER.address, "latest") == 6
    assert pair.first.asked.count("eth_sendRawTransaction") == 6  # each once: also while open


async def test_no_send_is_ever_repeated_by_the_library(pair: Pair) -> None:
    for fault in (CLOSE, HANG, 429, 500, 503, LIMITED):
        pair.first.lie = pair.second.lie = to("eth_sendRawTransaction", fault)
        for each in pair.clients:
            each.hangs = hanging_sends if fault is HANG else lambda _: False
        before = len(pair.first.asked), len(pair.second.asked)
        await pair.chain.send_raw([await signed(0)])
        assert pair.first.asked[before[0] :] == ["eth_sendRawTransaction"]
        assert pair.second.asked[before[1] :] == ["eth_sendRawTransaction"]


async def test_a_send_waits_for_a_silent_provider_only_so_long(pair: Pair) -> None:
    pair.first.lie = to("eth_sendRawTransaction", HANG)
    pair.clients[0].hangs = hanging_sends
    ((lost, taken),) = await pair.chain.send_raw([await signed(0)])
    assert not lost.answered
    assert taken.tx_hash is not None


async def test_another_hash_for_the_bytes_that_were_sent_counts_against_the_provider(
    pair: Pair,
) -> None:
    pair.first.lie = to("eth_sendRawTransaction", result("0x" + "11" * 32))
    await pair.chain.send_raw([await signed(0), await signed(1)])
    assert [each.sends for each in pair.providers.health()] == ["open", "closed"]


# ------------------------------------------------------------------------------------- pinning


async def test_a_pass_reads_from_one_provider_also_when_the_preferred_comes_back(
    pair: Pair,
) -> None:
    pair.first.lie = always(CLOSE)
    with pair.chain.pinned():
        head = await pair.chain.head()
        pair.first.lie = always(None)
        before = pair.first.reads
        await asyncio.gather(*(pair.chain.native_balance(ACCOUNT, head.hash) for _ in range(5)))
        assert (pair.first.reads - before, pair.second.reads) == (0, 6)
    pair.later(PAUSE_S)
    await pair.chain.head()
    assert pair.first.reads == before + 1


async def test_a_pass_whose_provider_fails_ends_instead_of_mixing_two(pair: Pair) -> None:
    with pair.chain.pinned():
        head = await pair.chain.head()
        pair.first.lie = always(CLOSE)
        with pytest.raises(ChainUnavailable, match="one provider only"):
            await pair.chain.native_balance(ACCOUNT, head.hash)
    assert pair.second.reads == 0
    assert await pair.chain.native_balance(ACCOUNT, head.hash) == 0


async def test_reads_that_start_together_choose_one_provider_between_them(pair: Pair) -> None:
    pair.first.lie = to("eth_getBalance", CLOSE)
    with pair.chain.pinned():
        await asyncio.gather(*(pair.chain.native_balance(ACCOUNT, "latest") for _ in range(4)))
    assert pair.first.asked.count("eth_getBalance") == 1
    assert pair.second.asked.count("eth_getBalance") == 4


async def test_two_passes_side_by_side_have_a_provider_each(pair: Pair) -> None:
    async def one_pass() -> None:
        with pair.chain.pinned():
            await pair.chain.head()
            await pair.chain.native_balance(ACCOUNT, "latest")

    await asyncio.gather(one_pass(), one_pass())
    assert pair.first.reads == 4


async def test_a_pass_does_not_take_a_block_that_was_reorganised_away(pair: Pair) -> None:
    pair.anvil.mine(3)
    with pair.chain.pinned():
        head = await pair.chain.head()
        pair.anvil.rpc("anvil_reorg", 2, [])
        with pytest.raises(ChainUnavailable):
            await pair.chain.native_balance(ACCOUNT, head.hash)


# ------------------------------------------------------------------------------------ receipts


async def test_a_node_that_is_still_indexing_has_no_receipt_yet_and_nothing_is_concluded(
    anvil: AnvilServer,
) -> None:
    async with lying(anvil.rpc_url) as server:
        providers = Providers.at([server.url], chain_id=CHAIN_ID)
        chain = EvmChain(providers)
        ((sent,),) = await chain.send_raw([await signed(0)])
        assert sent.tx_hash is not None
        anvil.mine()
        indexing = {"error": {"code": -32000, "message": "transaction indexing is in progress"}}
        seen = []
        for lie in (indexing, result(None), None):
            server.lie = to("eth_getTransactionReceipt", lie)
            (receipt,) = await chain.receipts([sent.tx_hash])
            seen.append(receipt and receipt.tx_hash)
        assert seen == [None, None, sent.tx_hash]
        assert providers.health()[0].state == "closed"
        await providers.close()


async def test_a_receipt_that_one_provider_is_still_indexing_is_had_from_another(
    pair: Pair,
) -> None:
    raw = await signed(0)
    await pair.chain.send_raw([raw])
    pair.anvil.mine()
    indexing = {"error": {"code": -32000, "message": "transaction indexing is in progress"}}
    pair.first.lie = to("eth_getTransactionReceipt", indexing)
    tx_hash = TxHash(keccak(raw))
    (receipt,) = await pair.chain.receipts([tx_hash])
    assert receipt is not None
    assert receipt.tx_hash == tx_hash


# ---------------------------------------------------------------------------------------- fees


async def test_tips_say_where_they_are_from(pair: Pair) -> None:
    unknown = {"error": {"code": -32601, "message": "method not found"}}
    lacking: set[str] = set()

    def lie(method: str, _params: Any) -> Any:
        return unknown if method in lacking else None

    pair.first.lie = pair.second.lie = lie
    pair.anvil.mine()
    base_fee_wei = (await pair.chain.head()).base_fee_wei
    assert (await pair.chain.fee_history(4, 50)).source == "fee_history"
    lacking.add("eth_feeHistory")
    history = await pair.chain.fee_history(4, 50)
    suggested_wei = int(pair.anvil.rpc("eth_maxPriorityFeePerGas"), 16)
    assert (history.source, list(history.tips_wei)) == ("max_priority_fee", [suggested_wei])
    assert base_fee_wei <= history.next_base_fee_wei <= base_fee_wei * 9 // 8 + 1
    lacking.add("eth_maxPriorityFeePerGas")
    history = await pair.chain.fee_history(4, 50)
    assert (history.source, list(history.tips_wei)) == ("default", [DEFAULT_TIP_WEI])
    assert pair.states == ["closed", "closed"]


@pytest.mark.parametrize("answer", [None, [], {}, {"baseFeePerGas": ["0x7"]}, {"baseFeePerGas": 1}])
async def test_an_answer_without_tips_is_no_market(pair: Pair, answer: object) -> None:
    pair.first.lie = to("eth_feeHistory", result(answer))
    history = await pair.chain.fee_history(4, 50)
    assert history.source == "max_priority_fee"
    assert history.next_base_fee_wei > 0


async def test_a_chain_that_is_away_has_no_fees(pair: Pair) -> None:
    pair.first.lie = pair.second.lie = always(CLOSE)
    with pytest.raises(ChainUnavailable):
        await pair.chain.fee_history(4, 50)


# ------------------------------------------------------------------------------ unreadable answers


@pytest.mark.parametrize("answer", [None, 7, "latest", {}, [], {"number": "0x1"}])
async def test_an_answer_that_cannot_be_read_is_chain_unavailable(
    anvil: AnvilServer, answer: object
) -> None:
    async with lying(anvil.rpc_url) as server:
        providers = Providers.at([server.url])
        chain = EvmChain(providers)
        server.lie = always(result(answer))
        for read in (
            chain.head(),
            chain.chain_id(),
            chain.nonce(ACCOUNT, "latest"),
            chain.native_balance(ACCOUNT, "latest"),
            chain.call(ACCOUNT, b"", "latest"),
        ):
            with pytest.raises(ChainUnavailable):
                await read
        await providers.close()
