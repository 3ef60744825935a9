"""A listener on a real WebSocket wakes at every block, and nothing that happens to it ends it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from adapters.evm.wake import HeadListener
from tests.rig import AnvilServer

LIMIT_S = 60
SUBSCRIBED = '{"jsonrpc":"2.0","id":1,"result":"0x1"}'
HEAD = '{"jsonrpc":"2.0","method":"eth_subscription","params":{"result":{"number":"0x1"}}}'


class Waker:
    """Counts, and can be waited for."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._event.set()

    async def again(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self._event.wait()
        self._event.clear()


@asynccontextmanager
async def listening(url: str, *, silence_s: float = LIMIT_S) -> AsyncIterator[Waker]:
    waker = Waker()
    listener = HeadListener(url, waker, pause_s=0.01, silence_s=silence_s)
    task = asyncio.create_task(listener.run())
    try:
        yield waker
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def serving(talk: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def test_every_new_block_wakes(anvil: AnvilServer) -> None:
    async with listening(anvil.rpc_url.replace("http", "ws")) as waker:
        await waker.again()  # the subscription itself
        for _ in range(3):
            await asyncio.to_thread(anvil.mine)
            await waker.again()


@pytest.mark.parametrize("last_words", ["", "no JSON", "[]", "7"])
async def test_a_connection_that_ends_is_opened_again(last_words: str) -> None:
    connections: list[int] = []

    async def talk(connection: ServerConnection) -> None:
        connections.append(1)
        await connection.recv()
        await connection.send(SUBSCRIBED)
        await connection.send(HEAD)
        if last_words:
            await connection.send(last_words)
            await connection.wait_closed()

    async with serving(talk) as url, listening(url) as waker:
        while len(connections) < 3:
            await waker.again()


async def test_a_subscription_that_falls_silent_is_made_again() -> None:
    connections: list[int] = []

    async def talk(connection: ServerConnection) -> None:
        connections.append(1)
        await connection.recv()
        await connection.send(SUBSCRIBED)
        await connection.wait_closed()

    async with serving(talk) as url, listening(url, silence_s=0.05) as waker:
        while len(connections) < 3:
            await waker.again()


async def test_a_provider_without_subscriptions_wakes_nobody_and_is_asked_again() -> None:
    asked = Waker()

    async def talk(connection: ServerConnection) -> None:
        asked()
        await connection.recv()
        await connection.send('{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}')
        await connection.wait_closed()

    async with serving(talk) as url, listening(url) as waker:
        while asked.count < 3:
            await asked.again()
        assert waker.count == 0


async def test_where_nobody_listens_it_goes_on_trying() -> None:
    async with serving(lambda _: asyncio.sleep(0)) as url:
        pass
    connected = Waker()

    async def talk(connection: ServerConnection) -> None:
        connected()
        await connection.wait_closed()

    port = int(url.rpartition(":")[2])
    async with listening(url), serve(talk, "127.0.0.1", port):
        await connected.again()
