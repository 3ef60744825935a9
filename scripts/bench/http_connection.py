"""A keep-alive HTTP/1.1 connection that costs little, for the load generator.

It knows what the two servers of the benchmark do: JSON bodies with a Content-Length. Not here:
chunked answers, redirects, TLS; an answer of that kind ends the run.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Self, cast

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS_FROM, _STATUS_TO = 9, 12  # "HTTP/1.1 201 Created"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status code and its body."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One request at a time; the server keeps the connection open."""

    def __init__(self, headers: bytes) -> None:
        self._headers = headers
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, host: str, port: int, *, bearer: str | None) -> Self:
        """Connect; `bearer` goes with every request."""
        headers = f"Host: {host}:{port}\r\nContent-Type: application/json\r\n"
        if bearer is not None:
            headers += f"Authorization: Bearer {bearer}\r\n"
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(headers.encode()), host, port)
        return connection

    async def post(self, path: str, body: bytes, *, key: str | None = None) -> Answer:
        """Send one POST and wait for its answer; `key` is the Idempotency-Key.

        Raises:
            ConnectionError: The server closed the connection or did not say a Content-Length.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        extra = b"" if key is None else b"Idempotency-Key: %b\r\n" % key.encode()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(
            b"POST %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b"
            % (path.encode(), self._headers, extra, len(body), body)
        )
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape only

    def data_received(self, data: bytes) -> None:
        """Called by the event loop; completes the answer once all of it is there."""
        self._received += data
        head_length = self._received.find(b"\r\n\r\n")
        if head_length < 0:
            return
        head = self._received[:head_length]
        length = _CONTENT_LENGTH.search(head)
        if length is None:
            self._fail(ConnectionError("an answer came without a Content-Length"))
            return
        end = head_length + 4 + int(length[1])
        if len(self._received) < end:
            return
        answer = Answer(int(head[_STATUS_FROM:_STATUS_TO]), self._received[head_length + 4 : end])
        self._received = self._received[end:]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._fail(exc or ConnectionError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
