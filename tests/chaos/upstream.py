"""JSON-RPC to the real chain for the fault proxy: HTTP/1.1 over kept-alive sockets, no retries."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import orjson


class Upstream:
    """The chain behind the proxies."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._where = (parts.hostname, parts.port)
        self._head = (
            f"POST / HTTP/1.1\r\nhost: {parts.hostname}:{parts.port}\r\n"
            "content-type: application/json\r\ncontent-length: "
        ).encode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: Any) -> Any:
        """Answer to a request or to a batch of them.

        Raises:
            OSError: The chain is away.
        """
        content = orjson.dumps(body)
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection(*self._where)
        )
        try:
            writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(content), content))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ValueError) as error:
            writer.close()
            raise OSError("the chain ended the connection") from error
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return orjson.loads(answer)

    async def call(self, method: str, *params: Any) -> Any:
        """Result of one call; None where it is an error."""
        answer = await self.post({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
        return answer.get("result")

    def close(self) -> None:
        """Close every connection."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
