"""The fault proxy does what its rules say, no more, and says that it did."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from eth_account import Account

from adapters.evm.decode import TRANSFER_TOPIC
from adapters.evm.log_limits import blocks_allowed, is_too_long
from node.core.submission import FeeRules, Fees, bumped_fees
from tests.chaos.pool import Pool, Strictness
from tests.chaos.proxy import FaultProxy
from tests.chaos.rules import (
    LOG_RANGE_TEXTS,
    Action,
    CapLogs,
    CapResults,
    Delay,
    Drop,
    Duplicate,
    Error,
    FinalizedBack,
    ForwardThenDrop,
    HideLog,
    Http,
    NonceAhead,
    Null,
    Partial,
    Rule,
    StaleHead,
    StaleNonce,
    SwallowOk,
    WrongChain,
)
from tests.onchain import ADMIN, LANE, LANE_KEY, OnChain
from tests.rig import AnvilServer

SEND = "eth_sendRawTransaction"


@pytest.fixture
def chain(start_anvil: Callable[..., AnvilServer]) -> AnvilServer:
    return start_anvil(automine=False)


@contextmanager
def proxied(chain: AnvilServer, *rules: Rule, **options: Any) -> Iterator[FaultProxy]:
    with FaultProxy(chain.rpc_url, **options) as proxy:
        proxy.add(*rules)
        yield proxy


def post(url: str, body: Any) -> httpx.Response:
    return httpx.post(url, json=body, timeout=10, trust_env=False)


def ask(proxy: FaultProxy, method: str, *params: Any, provider: int = 0) -> Any:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    answer: Any = post(proxy.urls[provider], body).json()
    assert answer["id"] == 7
    return answer.get("result", answer.get("error"))


def raw(nonce: int, *, fee_wei: int = 3 * 10**9, tip_wei: int = 10**9) -> str:
    transaction = {
        "chainId": 31337,
        "nonce": nonce,
        "to": ADMIN,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": fee_wei,
        "maxPriorityFeePerGas": tip_wei,
        "type": 2,
    }
    return f"0x{Account.sign_transaction(transaction, LANE_KEY).raw_transaction.hex()}"


def names(proxy: FaultProxy) -> list[str]:
    return [each.name for each in proxy.fired]


def waiting(chain: AnvilServer) -> int:
    return int(chain.rpc("txpool_status")["pending"], 16)


def test_without_rules_every_call_and_batch_is_answered_as_the_chain_does(
    chain: AnvilServer,
) -> None:
    with proxied(chain, providers=2) as proxy:
        assert ask(proxy, "eth_chainId") == ask(proxy, "eth_chainId", provider=1) == "0x7a69"
        calls = [{"jsonrpc": "2.0", "id": n, "method": "eth_blockNumber"} for n in (4, 2)]
        assert [each["id"] for each in post(proxy.urls[0], calls).json()] == [4, 2]
        assert proxy.fired == []


@pytest.mark.parametrize(
    ("action", "arrives"),
    [
        (Drop(), 0),
        (ForwardThenDrop(), 1),
        (Http(503, forwarded=False), 0),
        (Http(502, forwarded=True), 1),
        (Http(429, forwarded=False), 0),
        (Http(403, forwarded=False), 0),
    ],
)
def test_a_request_without_an_answer_arrived_or_not_as_the_rule_says(
    chain: AnvilServer, action: Action, arrives: int
) -> None:
    with proxied(chain, Rule(action)) as proxy:
        body = {"jsonrpc": "2.0", "id": 1, "method": SEND, "params": [raw(0)]}
        if isinstance(action, Http):
            assert post(proxy.urls[0], body).status_code == action.status
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                post(proxy.urls[0], body)
        assert waiting(chain) == arrives
        assert names(proxy) == [action.name]
        assert ask(proxy, "eth_chainId") == "0x7a69"  # the rule was for one request


@pytest.mark.parametrize("forwarded", [False, True])
def test_an_error_text_says_nothing_about_whether_the_bytes_arrived(
    chain: AnvilServer, forwarded: bool
) -> None:
    action = Error(-32000, "insufficient funds", forwarded=forwarded)
    with proxied(chain, Rule(action, frozenset({SEND}))) as proxy:
        assert ask(proxy, SEND, raw(0)) == {"code": -32000, "message": "insufficient funds"}
        assert waiting(chain) == int(forwarded)


def test_a_swallowed_send_answers_with_the_right_hash_and_arrives_nowhere(
    chain: AnvilServer,
) -> None:
    with proxied(chain, Rule(SwallowOk())) as proxy:
        first = ask(proxy, SEND, raw(0))
        assert waiting(chain) == 0
        assert ask(proxy, SEND, raw(0)) == first
        assert waiting(chain) == 1


def test_a_duplicated_send_arrives_twice(chain: AnvilServer) -> None:
    with proxied(chain, Rule(Duplicate(), frozenset({SEND}))) as proxy:
        assert "already imported" in ask(proxy, SEND, raw(0))["message"]
        assert waiting(chain) == 1


def test_a_delayed_call_is_answered(chain: AnvilServer) -> None:
    with proxied(chain, Rule(Delay(20))) as proxy:
        assert ask(proxy, "eth_chainId") == "0x7a69"
        assert names(proxy) == ["delay"]


def test_a_provider_can_be_behind_and_of_another_chain(chain: AnvilServer) -> None:
    chain.mine(10)
    rules = [Rule(StaleHead(3), times=2), Rule(FinalizedBack(1)), Rule(WrongChain(5))]
    with proxied(chain, *rules, Rule(StaleNonce(2))) as proxy:
        assert int(ask(proxy, "eth_blockNumber"), 16) == 7
        assert int(ask(proxy, "eth_getBlockByNumber", "latest", False)["number"], 16) == 7
        assert int(ask(proxy, "eth_getBlockByNumber", "latest", False)["number"], 16) == 10
        final = int(chain.rpc("eth_getBlockByNumber", "finalized", False)["number"], 16)
        shown = int(ask(proxy, "eth_getBlockByNumber", "finalized", False)["number"], 16)
        assert shown == max(0, final - 1)
        assert ask(proxy, "eth_chainId") == "0x5"
        for nonce in range(3):
            chain.rpc(SEND, raw(nonce))
        chain.mine()
        assert ask(proxy, "eth_getTransactionCount", LANE, "latest") == "0x1"
        assert ask(proxy, "eth_getTransactionCount", LANE, "latest") == "0x3"


def test_lists_come_cut_off_or_empty_and_objects_as_null(chain: AnvilServer) -> None:
    onchain = OnChain.deploy(chain)
    logs = {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + onchain.token.hex()}
    count = len(chain.rpc("eth_getLogs", logs))
    method = frozenset({"eth_getLogs"})
    rules = [Rule(Partial(0), method), Rule(Partial(1), method), Rule(Null(), frozenset({"eth_x"}))]
    with proxied(chain, *rules) as proxy:
        found = [len(ask(proxy, "eth_getLogs", logs)) for _ in range(3)]
        assert found == [0, 1, count]
        assert ask(proxy, "eth_x") is None
        assert names(proxy) == ["empty_list", "partial_list", "null"]


def test_a_cap_on_log_ranges_refuses_long_ones_only(chain: AnvilServer) -> None:
    with proxied(chain, Rule(CapLogs(100), times=None)) as proxy:
        assert ask(proxy, "eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x65"})["code"] == -32602
        assert ask(proxy, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x0"}) == []


@pytest.mark.parametrize(("code", "text"), LOG_RANGE_TEXTS)
def test_a_cap_is_told_in_a_provider_s_words_and_the_node_reads_them(
    chain: AnvilServer, code: int, text: str
) -> None:
    with proxied(chain, Rule(CapLogs(50, text, code), times=None)) as proxy:
        refusal = ask(proxy, "eth_getLogs", {"fromBlock": "0x5", "toBlock": "0x68"})
        assert refusal["code"] == code
        assert is_too_long(refusal["message"])
        assert blocks_allowed(refusal["message"], 100) == (50 if "{" in text else None)


@pytest.mark.parametrize("text", ["", "query returned more than 10000 results"])
def test_a_cap_on_logs_refuses_more_or_cuts_them_off_without_a_word(
    chain: AnvilServer, text: str
) -> None:
    onchain = OnChain.deploy(chain)
    logs = {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + onchain.token.hex()}
    count = len(chain.rpc("eth_getLogs", logs))
    rules = [Rule(CapResults(count - 1, text)), Rule(CapResults(count, text))]
    with proxied(chain, *rules) as proxy:
        answer = ask(proxy, "eth_getLogs", logs)
        if text:
            assert answer == {"code": -32005, "message": text}
        else:
            assert len(answer) == count - 1
        assert len(ask(proxy, "eth_getLogs", logs)) == count


@pytest.mark.parametrize("in_receipts", [False, True])
def test_a_log_is_hidden_wherever_the_rule_says_and_nowhere_else(
    chain: AnvilServer, in_receipts: bool
) -> None:
    onchain = OnChain.deploy(chain)
    logs = {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + onchain.token.hex()}
    newest = chain.rpc("eth_getBlockByNumber", "latest", False)
    (mint,) = chain.rpc("eth_getLogs", {"blockHash": newest["hash"], "topics": [TRANSFER_TOPIC]})
    action = HideLog(topic=TRANSFER_TOPIC, in_receipts=in_receipts)
    with proxied(chain, Rule(action, times=None), providers=2) as proxy:
        told = ask(proxy, "eth_getLogs", logs)
        assert told == [each for each in chain.rpc("eth_getLogs", logs) if each != mint]
        (receipt,) = ask(proxy, "eth_getBlockReceipts", newest["hash"])
        assert (mint in receipt["logs"]) is not in_receipts
        alone = ask(proxy, "eth_getTransactionReceipt", mint["transactionHash"], provider=1)
        assert alone["logs"] == receipt["logs"]
        assert HideLog(log_index=int(mint["logIndex"], 16)).hides(mint)
        assert not HideLog(log_index=99).hides(mint)


@pytest.mark.parametrize("by_hash", [False, True])
def test_nonces_can_be_wrong_in_both_directions_also_at_a_block_s_hash(
    chain: AnvilServer, by_hash: bool
) -> None:
    chain.rpc(SEND, raw(0))
    chain.mine()
    at = {"blockHash": chain.rpc("eth_getBlockByNumber", "latest", False)["hash"]}
    rules = [Rule(StaleNonce(1, by_hash)), Rule(NonceAhead(3, by_hash))]
    with proxied(chain, *rules) as proxy:
        told = [ask(proxy, "eth_getTransactionCount", LANE, at) for _ in range(2)]
        assert told == (["0x0", "0x4"] if by_hash else ["0x1", "0x1"])
        told = [ask(proxy, "eth_getTransactionCount", LANE, "latest") for _ in range(2)]
        assert told == (["0x1", "0x1"] if by_hash else ["0x0", "0x4"])


def test_one_call_of_a_batch_can_be_wrong_alone(chain: AnvilServer) -> None:
    with proxied(chain, Rule(Null(), frozenset({"eth_blockNumber"}), nth=2)) as proxy:
        calls = [{"jsonrpc": "2.0", "id": n, "method": "eth_blockNumber"} for n in range(3)]
        assert [each["result"] for each in post(proxy.urls[0], calls).json()] == [
            "0x0",
            None,
            "0x0",
        ]


def test_a_rule_is_for_its_provider_its_blocks_and_its_time(chain: AnvilServer) -> None:
    over: list[bool] = []
    rules = [
        Rule(WrongChain(1), providers=frozenset({1}), times=None, until=lambda: bool(over)),
        Rule(WrongChain(2), providers=frozenset({0}), times=None, blocks=range(5, 100)),
    ]
    with proxied(chain, *rules, providers=2) as proxy:
        assert ask(proxy, "eth_chainId") == "0x7a69"
        assert ask(proxy, "eth_chainId", provider=1) == "0x1"
        chain.mine(5)
        assert ask(proxy, "eth_chainId") == "0x2"
        over.append(True)
        assert ask(proxy, "eth_chainId", provider=1) == "0x7a69"
        assert [each.number for each in proxy.fired] == [1, 2]


def test_the_same_seed_draws_the_same_faults(chain: AnvilServer) -> None:
    def drawn(seed: int) -> list[str]:
        rule = Rule(WrongChain(1), chance_permille=400, times=None)
        with proxied(chain, rule, seed=seed) as proxy:
            return [ask(proxy, "eth_chainId") for _ in range(30)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize(
    ("strictness", "fees", "is_taken"),
    [
        (Strictness.GETH, (1_099_999_999, 12), False),
        (Strictness.GETH, (1_100_000_000, 12), True),
        (Strictness.GETH, (2_000_000_000, 11), False),
        (Strictness.RETH, (1_100_000_000, 12), False),
        (Strictness.RETH, (1_100_000_000, 13), True),
        (Strictness.RETH, (1_100_000_000, 11), False),
    ],
)
def test_a_strict_pool_wants_ten_percent_more_on_both_fees(
    chain: AnvilServer, strictness: Strictness, fees: tuple[int, int], is_taken: bool
) -> None:
    chain.rpc("anvil_setNextBlockBaseFeePerGas", "0x1")
    chain.mine()
    with proxied(chain, pool=lambda: Pool(strictness)) as proxy:
        ask(proxy, SEND, raw(0, fee_wei=1_000_000_000, tip_wei=11))
        answer = ask(proxy, SEND, raw(0, fee_wei=fees[0], tip_wei=fees[1]))
        assert isinstance(answer, str) == is_taken
        assert proxy.counts["strict_replacement"] == int(not is_taken)


@pytest.mark.parametrize("tip_wei", [1, 7, 999_999_999, 10**9 + 1])
@pytest.mark.parametrize("strictness", list(Strictness))
def test_every_bump_of_the_node_is_taken_by_a_strict_pool(
    chain: AnvilServer, strictness: Strictness, tip_wei: int
) -> None:
    fees = Fees(2 * 10**9 + tip_wei, tip_wei)
    with proxied(chain, pool=lambda: Pool(strictness)) as proxy:
        for _ in range(4):
            sent = raw(
                0, fee_wei=fees.max_fee_per_gas_wei, tip_wei=fees.max_priority_fee_per_gas_wei
            )
            assert isinstance(ask(proxy, SEND, sent), str)
            bumped = bumped_fees(fees, fees, FeeRules())
            assert bumped is not None
            fees = bumped


def test_a_pool_takes_only_so_many_nonces_above_those_that_are_mined(chain: AnvilServer) -> None:
    with proxied(chain, pool=lambda: Pool(slots_max=2)) as proxy:
        answers = [ask(proxy, SEND, raw(nonce)) for nonce in range(3)]
        assert [isinstance(each, str) for each in answers] == [True, True, False]
        chain.mine()
        assert isinstance(ask(proxy, SEND, raw(2)), str)
        assert names(proxy) == ["pool_limit"]
