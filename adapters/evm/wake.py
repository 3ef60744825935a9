"""Hears over WebSocket that there is a new block, and wakes whoever waits for one. Nothing else.

What it hears is never data: polling finds every block, so a subscription that was cut, a head that
was missed or one that is a lie costs time and no correctness. Subscription: `eth_subscribe` of
`newHeads`, as geth introduced it.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import structlog
from websockets.asyncio.client import ClientConnection, connect

from adapters.evm.json_rpc import CONNECT_TIMEOUT_S, LOOPBACK

_log = structlog.get_logger()

PAUSE_S: Final = 1
"""After a connection that did not last; doubled with each, up to `PAUSE_MAX_S`."""

PAUSE_MAX_S: Final = 60

SILENCE_S: Final = 120
"""Without a head for so long it subscribes anew: a subscription can end without a word. Ten blocks
of Ethereum."""

_MESSAGE_BYTES_MAX: Final = 1 << 20
_SUBSCRIBE: Final = orjson.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
).decode()


class HeadListener:
    """One provider's WebSocket.

    Attributes:
        name: Host and port; never path or user, where providers hide keys.
        is_subscribed: Whether heads are heard at this moment.
    """

    def __init__(
        self,
        url: str,
        wake: Callable[[], None],
        *,
        pause_s: float = PAUSE_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Nothing is opened yet.

        Args:
            url: ws or wss.
            wake: Called at every head, and when a subscription begins: heads may have been missed.
            pause_s: The first wait after a connection that did not last.
            silence_s: How long it waits for a head.
        """
        parts = urlsplit(url)
        self.name = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self.is_subscribed = False
        self._url = url
        self._wake = wake
        self._pause_s = pause_s
        self._silence_s = silence_s
        self._is_local = parts.hostname in LOOPBACK

    async def run(self) -> None:
        """Listen until cancelled. Raises nothing else: nobody depends on it."""
        pause_s = self._pause_s
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever ends it, the next try is the cure
                if self.is_subscribed:
                    pause_s = self._pause_s
                _log.info("no heads are heard", provider=self.name, error=type(error).__name__)
            finally:
                self.is_subscribed = False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _listen(self) -> None:
        """Subscribe and hear until the connection ends, or there is silence."""
        async with connect(
            self._url,
            open_timeout=CONNECT_TIMEOUT_S,
            max_size=_MESSAGE_BYTES_MAX,
            proxy=None
            if self._is_local
            else True,  # as for HTTP: a proxy cannot reach this machine
        ) as connection:
            await connection.send(_SUBSCRIBE)
            answer = await self._message(connection)
            if not isinstance(answer.get("result"), str):
                raise ConnectionError("it takes no subscription")
            self.is_subscribed = True
            self._wake()
            while True:
                message = await self._message(connection)
                if message.get("method") == "eth_subscription":
                    self._wake()

    async def _message(self, connection: ClientConnection) -> dict[str, Any]:
        async with asyncio.timeout(self._silence_s):
            message = orjson.loads(await connection.recv())
        if not isinstance(message, dict):
            raise ConnectionError("it says something else than JSON-RPC")
        return message
