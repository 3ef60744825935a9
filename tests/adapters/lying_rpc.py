"""A JSON-RPC server for tests: between client and anvil, and it lies as it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

import httpx
import orjson

from adapters.evm.json_rpc import Call, JsonRpc


class Broken(Enum):
    """Lies that are no answer at all."""

    HANG = "hang"
    CLOSE = "close"

    def __str__(self) -> str:
        return self.value


HANG = Broken.HANG
"""A lie: no answer, and the connection stays open."""

CLOSE = Broken.CLOSE
"""A lie: no answer, and the connection is closed."""

LIMITED = {"error": {"code": -32005, "message": "limit exceeded"}}

Lie = Callable[[str, Any], Any]
"""Method and parameters -> None (forward it), `HANG`, `CLOSE`, an HTTP status, or members of a
JSON-RPC answer."""


_HANGS_S = 0.5


class LimitedRpc(JsonRpc):
    """A client that waits as the node does, but not long for what a test lets hang.

    An honest answer may take its time: a slow moment of the machine is no fault of a provider.

    Attributes:
        hangs: Which methods are given up after half a second.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.hangs: Callable[[str], bool] = lambda _: False

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_s: float | None = None
    ) -> Any:
        limit_s = _HANGS_S if self.hangs(method) else timeout_s
        return await super().call(method, params, timeout_s=limit_s)

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Any]:
        limit_s = _HANGS_S if any(self.hangs(method) for method, _ in calls) else timeout_s
        return await super().batch(calls, timeout_s=limit_s)


def honest(_method: str, _params: Any) -> None:
    """Everything is forwarded."""


class LyingRpc:
    """One provider.

    Attributes:
        url: Where it answers.
        asked: Methods, in the order they were asked, with repetition.
        lie: Asked before each call is forwarded; may be changed at any time.
    """

    def __init__(self, upstream: str) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.params: list[Any] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.lie: Lie = honest
        self._upstream = upstream
        self._http = httpx.AsyncClient(
            trust_env=False, headers={"content-type": "application/json"}
        )
        self._released = asyncio.Event()

    @property
    def reads(self) -> int:
        """How many questions were asked that are not about the provider itself."""
        about_itself = ("eth_blockNumber", "eth_chainId")
        return sum(
            method not in about_itself and params[:1] != ["0x0"]
            for method, params in zip(self.asked, self.params, strict=True)
        )

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.headers.append(dict(scope["headers"]))
        status, content = await self._reply(orjson.loads(body))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _reply(self, body: Any) -> tuple[int, bytes]:
        calls = body if isinstance(body, list) else [body]
        answers = []
        for call in calls:
            self.asked.append(call["method"])
            self.params.append(call["params"])
            lie = self.lie(call["method"], call["params"])
            if lie is HANG:
                await self._released.wait()
                return 503, b"{}"
            if lie is CLOSE:
                raise ConnectionAbortedError
            if isinstance(lie, int):
                return lie, b"{}"
            answer = lie if lie is not None else await self._forward(call)
            answers.append({**answer, "jsonrpc": "2.0", "id": call["id"]})
        return 200, orjson.dumps(answers if isinstance(body, list) else answers[0])

    async def _forward(self, call: Any) -> dict[str, Any]:
        answer = await self._http.post(self._upstream, content=orjson.dumps(call))
        return dict(answer.json())

    async def close(self) -> None:
        """Let everything that hangs go."""
        self._released.set()
        await self._http.aclose()


@asynccontextmanager
async def lying(upstream: str) -> AsyncIterator[LyingRpc]:
    """A provider in front of a chain, on a port of its own, until the block ends."""
    server = LyingRpc(upstream)
    listener = await asyncio.start_server(_connection(server), "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await server.close()
        await listener.wait_closed()


def _connection(server: LyingRpc) -> Callable[..., Any]:
    """Speaks HTTP/1.1 with one request per connection to an ASGI application."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:] if line]
            headers = [(name.lower(), value) for name, _, value in lines]
            body = await reader.readexactly(int(dict(headers)[b"content-length"]))

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body}

            async def send(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    writer.write(b"HTTP/1.1 %d X\r\nconnection: close\r\n\r\n" % message["status"])
                else:
                    writer.write(message["body"])

            await server.app({"type": "http", "headers": headers}, receive, send)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return handle
