"""JSON-RPC providers: reads fail over, sends never repeat, nothing said is taken for silence."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from adapters.evm.client import EvmChain
from adapters.evm.errors import NoAnswer, RpcError
from adapters.evm.rpc import JsonRpc, Providers
from node.core.errors import ChainUnavailable
from node.core.ports.chain import CallReverted
from node.core.units import Address
from tests.rig import AnvilServer

Reply = Callable[[Any], tuple[int, bytes]]


@asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[str]:
    """An HTTP server of one request per connection that answers with `reply(body)`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        status, body = reply(orjson.loads(await reader.readexactly(length)))
        if status:
            writer.write(
                b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
                % (status, len(body))
                + body
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def result(value: object) -> Reply:
    return lambda body: (200, orjson.dumps({"id": body["id"], "result": value}))


def fault(code: int, message: str, status: int = 200, data: object = None) -> Reply:
    error = {"code": code, "message": message, "data": data}
    return lambda body: (status, orjson.dumps({"id": body["id"], "error": error}))


SILENT: list[tuple[str, Reply]] = [
    ("connection closed", lambda _: (0, b"")),
    ("not JSON", lambda _: (200, b"<html>")),
    ("500", lambda _: (500, b"{}")),
    ("503 with an error in it", fault(-32000, "overloaded", status=503)),
    ("403", lambda _: (403, b"{}")),
    ("neither result nor error", lambda _: (200, b"{}")),
    ("a list", lambda _: (200, b"[]")),
]


@pytest.mark.parametrize("reply", [each for _, each in SILENT], ids=[name for name, _ in SILENT])
async def test_what_is_no_json_rpc_answer_is_no_answer(reply: Reply) -> None:
    async with serving(reply) as url:
        provider = JsonRpc(url)
        with pytest.raises(NoAnswer):
            await provider.call("eth_chainId")
        chain = EvmChain(Providers([provider]))
        ((answer,),) = await chain.send_raw([b"\x02"])
        assert not answer.answered
        assert answer.tx_hash is None
        await provider.close()


async def test_a_provider_that_is_not_there_is_no_answer() -> None:
    provider = JsonRpc("http://127.0.0.1:1")
    with pytest.raises(NoAnswer):
        await provider.call("eth_chainId")
    await provider.close()


async def test_an_error_with_http_status_400_is_an_answer() -> None:
    async with serving(fault(-32000, "nonce too low", status=400)) as url:
        provider = JsonRpc(url)
        with pytest.raises(RpcError) as caught:
            await provider.call("eth_sendRawTransaction", ["0x"])
        assert (caught.value.code, caught.value.message) == (-32000, "nonce too low")
        await provider.close()


async def test_reads_go_to_the_next_provider_and_sends_to_all_once() -> None:
    asked: list[str] = []

    def good(body: Any) -> tuple[int, bytes]:
        asked.append(body["method"])
        return result("0x" + "11" * 32)(body)

    async with (
        serving(fault(-32005, "rate limit exceeded")) as limited,
        serving(lambda _: (0, b"")) as broken,
        serving(good) as url,
    ):
        providers = Providers.at([limited, broken, url])
        assert await providers.call("eth_chainId") == "0x" + "11" * 32
        (answers,) = await EvmChain(providers).send_raw([b"\x02"])
        assert [each.answered for each in answers] == [True, False, True]
        assert [each.tx_hash for each in answers] == [None, None, b"\x11" * 32]
        heads = ["eth_blockNumber"]  # by which several are compared
        assert asked == [*heads, "eth_chainId", "eth_sendRawTransaction"]
        await providers.close()


async def test_a_revert_is_not_asked_of_the_next_provider() -> None:
    async with (
        serving(fault(3, "execution reverted", data="0x1309a563")) as first,
        serving(result("0x")) as second,
    ):
        providers = Providers.at([first, second])
        with pytest.raises(CallReverted) as caught:
            await EvmChain(providers).call(Address(bytes(20)), b"", "latest")
        assert caught.value.data == bytes.fromhex("1309a563")
        await providers.close()


async def test_no_provider_left_is_chain_unavailable_and_names_no_path() -> None:
    async with serving(lambda _: (500, b"")) as url:
        providers = Providers.at([url + "/v3/secretkey"])
        with pytest.raises(ChainUnavailable) as caught:
            await providers.call("eth_chainId")
        assert "secretkey" not in str(caught.value)
        await providers.close()


async def test_after_a_silence_the_rest_is_not_sent_to_that_provider() -> None:
    asked: list[str] = []

    def once(body: Any) -> tuple[int, bytes]:
        asked.append(body["params"][0])
        return 0, b""

    async with serving(once) as url:
        providers = Providers.at([url])
        answers = await EvmChain(providers).send_raw([b"\x01", b"\x02", b"\x03"])
        assert asked == ["0x01"]
        assert [each.answered for (each,) in answers] == [False, False, False]
        await providers.close()


async def test_a_batch_keeps_its_order_and_an_error_stands_for_its_own_call() -> None:
    def mixed(body: Any) -> tuple[int, bytes]:
        answers = [{"id": each["id"], "result": each["method"]} for each in reversed(body)]
        answers[0] = {"id": body[-1]["id"], "error": {"code": 1, "message": "no"}}
        return 200, orjson.dumps(answers)

    async with serving(mixed) as url:
        provider = JsonRpc(url)
        first, second, third = await provider.batch([("a", []), ("b", []), ("c", [])])
        assert (first, second) == ("a", "b")
        assert isinstance(third, RpcError)
        await provider.close()


async def test_a_batch_with_an_answer_missing_is_no_answer() -> None:
    async with serving(lambda _: (200, orjson.dumps([{"id": 0, "result": 1}]))) as url:
        provider = JsonRpc(url)
        with pytest.raises(NoAnswer):
            await provider.batch([("a", []), ("b", [])])
        await provider.close()


async def test_many_calls_are_answered_in_order_and_a_revert_stands_for_its_own() -> None:
    def mixed(body: Any) -> tuple[int, bytes]:
        answers: list[Any] = [
            {"id": each["id"], "result": each["params"][0]["data"]} for each in body
        ]
        answers[1] = {
            "id": 1,
            "error": {"code": 3, "message": "execution reverted", "data": "0x99"},
        }
        return 200, orjson.dumps(answers)

    async with serving(mixed) as url:
        providers = Providers.at([url])
        calls = [(Address(bytes(20)), bytes([number])) for number in range(3)]
        first, second, third = await EvmChain(providers).call_many(calls, "latest")
        assert (first, third) == (b"\x00", b"\x02")
        assert isinstance(second, CallReverted)
        assert second.data == b"\x99"
        await providers.close()


@pytest.mark.parametrize(
    "answer", [{"result": None}, {"result": 5}, {"result": "0xzz"}, {"error": {}}]
)
async def test_a_call_that_is_neither_answered_nor_reverted_is_chain_unavailable(
    answer: dict[str, Any],
) -> None:
    async with serving(lambda _: (200, orjson.dumps([{"id": 0, **answer}]))) as url:
        providers = Providers.at([url])
        with pytest.raises(ChainUnavailable):
            await EvmChain(providers).call_many([(Address(bytes(20)), b"")], "latest")
        await providers.close()


async def test_a_chain_is_read_at_one_block_by_its_hash(
    start_anvil: Callable[..., AnvilServer],
) -> None:
    anvil = start_anvil(automine=False)
    providers = Providers.at([anvil.rpc_url])
    chain = EvmChain(providers)
    before = await chain.head()
    sender, to = (bytes.fromhex(each[2:]) for each in anvil.rpc("eth_accounts")[:2])
    transaction = {"from": "0x" + sender.hex(), "to": "0x" + to.hex(), "value": "0x5"}
    tx_hash = anvil.rpc("eth_sendTransaction", transaction)
    anvil.mine()
    after = await chain.head()
    account = Address(to)
    assert after.parent_hash == before.hash
    assert await chain.block_by_number(after.number) == after
    assert await chain.block_by_number(after.number + 1) is None
    balances = [await chain.native_balance(account, each.hash) for each in (before, after)]
    assert balances[1] - balances[0] == 5
    assert await chain.nonce(Address(sender), before.hash) == 0
    assert await chain.nonce(Address(sender), after.hash) == 1
    known, unknown = await chain.receipts([bytes.fromhex(tx_hash[2:]), bytes(32)])  # type: ignore[list-item]
    assert unknown is None
    assert known is not None
    assert (known.block_hash, known.succeeded, known.gas_used) == (after.hash, True, 21_000)
    history = await chain.fee_history(2, 50)
    assert history.next_base_fee_wei > 0
    assert len(history.tips_wei) <= 2
    await providers.close()
