"""The mirror's reads on a real chain: three ways to the same facts, and no belief in a lie."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.evm.errors import RpcError
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Call, Providers
from node.core.errors import ChainUnavailable
from node.core.mirror import Facts, SettlementKind, Watch
from node.core.units import BlockHash, TxHash
from tests.adapters.lying_rpc import CLOSE, lying
from tests.mirrored import Lying
from tests.onchain import ADMIN, FLOAT_UNITS, LANE, OnChain, address_of, call
from tests.rig import AnvilServer

CHAIN_ID = 31337


@pytest.fixture
async def providers(anvil: AnvilServer) -> AsyncIterator[Providers]:
    """The chain, read as it is."""
    providers = Providers.at([anvil.rpc_url])
    yield providers
    await providers.close()


@pytest.fixture
def onchain(anvil: AnvilServer) -> OnChain:
    """Contracts, and a block in which two were paid and one was refused."""
    onchain = OnChain.deploy(anvil)
    onchain.send(onchain.token, "deny(address)", "0x" + "22" * 20)
    records = b"".join(
        number.to_bytes(8) + bytes([number * 17]) * 20 + (100 + number).to_bytes(8)
        for number in (1, 2, 3)
    )
    settle = {
        "from": LANE,
        "to": "0x" + onchain.contract.hex(),
        "data": call("settle(bytes)", records),
        "gas": hex(2_000_000),
    }
    anvil.mined(anvil.rpc("eth_sendTransaction", settle))
    return onchain


def watch(onchain: OnChain) -> Watch:
    addresses = frozenset({onchain.contract, address_of(LANE)})
    return Watch(CHAIN_ID, onchain.contract, onchain.token, "USDC", "ETH", addresses)


async def newest_facts(reader: EvmReader) -> Facts:
    head = await reader.head()
    (facts,) = await reader.facts([head])
    return facts


async def test_facts_are_the_same_by_hash_by_range_and_by_receipts(
    onchain: OnChain, providers: Providers
) -> None:
    reader = EvmReader(providers, watch(onchain))
    head = await reader.head()
    onchain.anvil.mine()  # a list by number is only asked for of blocks that have one after them
    headers = await reader.headers(0, head.number)
    assert [each.number for each in headers] == list(range(head.number + 1))
    by_hash = await reader.facts(headers)
    assert await reader.facts_by_receipts(headers) == by_hash
    assert await reader.facts_by_range(0, head.number) == [
        each for each in by_hash if each.log_count
    ]
    newest = by_hash[-1]
    assert [(each.kind, each.payment_number) for each in newest.settlement_logs] == [
        (SettlementKind.SETTLED, 1),
        (SettlementKind.FAILED, 2),
        (SettlementKind.SETTLED, 3),
    ]
    first, refused, third = newest.settlement_logs
    assert (first.payout, third.payout) == tuple(newest.token_logs)
    assert first.payout is not None
    assert (first.payout.to_address, first.payout.amount) == (b"\x11" * 20, 101)
    assert len(refused.reason) == 36  # a selector and the address that was denied


async def test_an_empty_answer_that_the_bloom_filter_contradicts_is_not_believed(
    onchain: OnChain, providers: Providers
) -> None:
    lying = Lying(providers, lambda asked, answer: [] if asked[0] == "eth_getLogs" else answer)
    with pytest.raises(ChainUnavailable, match="not those of its receipts"):
        await newest_facts(EvmReader(lying, watch(onchain)))


@pytest.mark.parametrize("left_out", range(5))
async def test_a_list_that_lacks_one_log_is_not_believed(
    onchain: OnChain, providers: Providers, left_out: int
) -> None:
    logs = iter(range(5))  # three events and two payouts, in whichever answer they come

    def lie(asked: Call, answer: Any) -> Any:
        if asked[0] != "eth_getLogs":
            return answer
        return [log for log in answer if next(logs) != left_out]

    with pytest.raises(ChainUnavailable, match="not those of its receipts"):
        await newest_facts(EvmReader(Lying(providers, lie), watch(onchain)))


async def test_logs_of_another_block_are_not_believed(
    onchain: OnChain, providers: Providers
) -> None:
    def lie(asked: Call, answer: Any) -> Any:
        if asked[0] != "eth_getLogs":
            return answer
        return [{**log, "blockHash": "0x" + "99" * 32} for log in answer]

    with pytest.raises(ChainUnavailable, match="another block"):
        await newest_facts(EvmReader(Lying(providers, lie), watch(onchain)))


async def test_receipts_that_are_not_those_of_the_block_are_not_believed(
    onchain: OnChain, providers: Providers
) -> None:
    lying = Lying(
        providers, lambda asked, answer: [] if asked[0] == "eth_getBlockReceipts" else answer
    )
    reader = EvmReader(lying, watch(onchain))
    with pytest.raises(ChainUnavailable, match="receipts"):
        await reader.facts_by_receipts([await reader.head()])


async def test_a_provider_without_receipts_of_blocks_is_asked_for_one_after_the_other(
    onchain: OnChain, providers: Providers
) -> None:
    def lie(asked: Call, answer: Any) -> Any:
        has_not = RpcError(-32601, "the method does not exist")
        return has_not if asked[0] == "eth_getBlockReceipts" else answer

    reader = EvmReader(Lying(providers, lie), watch(onchain))
    assert await newest_facts(reader) == await newest_facts(EvmReader(providers, watch(onchain)))


async def test_state_is_read_at_the_block_asked_for(
    onchain: OnChain, providers: Providers, anvil: AnvilServer
) -> None:
    reader = EvmReader(providers, watch(onchain))
    before = await reader.head()
    onchain.send(onchain.token, "mint(address,uint256)", "0x" + onchain.contract.hex(), 7)
    after = await reader.head()
    held = FLOAT_UNITS - 101 - 103
    assert await reader.token_balances([onchain.contract], before.hash) == [held]
    assert await reader.token_balances([onchain.contract], after.hash) == [held + 7]
    assert await reader.nonces([address_of(LANE)], before.hash) == [1]
    (wei,) = await reader.native_balances([address_of(ADMIN)], after.hash)
    assert wei == int(anvil.rpc("eth_getBalance", ADMIN, "latest"), 16)
    assert await reader.has_code(onchain.contract, after.hash)
    assert not await reader.has_code(address_of(LANE), after.hash)


@pytest.mark.parametrize("told", [CLOSE, 503, {"error": {"code": -32000, "message": "x"}}])
async def test_nonces_are_agreed_on_by_those_who_answer(
    onchain: OnChain, anvil: AnvilServer, told: Any
) -> None:
    async with lying(anvil.rpc_url) as liar:
        liar.lie = lambda method, _: told if method == "eth_getTransactionCount" else None
        providers = Providers.at([liar.url, anvil.rpc_url])
        reader = EvmReader(providers, watch(onchain))
        head = await reader.head()
        assert await reader.agreed_nonces([address_of(LANE)], head.hash) == [1]
        liar.lie = lambda method, _: (
            {"result": "0x2"} if method == "eth_getTransactionCount" else None
        )
        with pytest.raises(ChainUnavailable, match="providers differ"):
            await reader.agreed_nonces([address_of(LANE)], head.hash)
        await providers.close()


async def test_what_the_chain_does_not_know_is_an_error_and_never_empty(
    onchain: OnChain, providers: Providers
) -> None:
    reader = EvmReader(providers, watch(onchain))
    with pytest.raises(ChainUnavailable):
        await reader.receipts([TxHash(b"\x01" * 32)])
    with pytest.raises(ChainUnavailable):
        await reader.token_balances([onchain.contract], BlockHash(b"\x01" * 32))


async def test_a_receipt_tells_what_the_transaction_cost(
    onchain: OnChain, providers: Providers
) -> None:
    reader = EvmReader(providers, watch(onchain))
    head = await reader.head()
    (receipt,) = await reader.receipts(head.tx_hashes)
    assert receipt.succeeded
    assert (receipt.block_hash, receipt.block_number) == (head.hash, head.number)
    assert receipt.gas_used > 21_000
    assert receipt.effective_gas_price_wei > 0
    assert await reader.finalized_number() is not None
