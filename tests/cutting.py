"""A way to PostgreSQL that is cut exactly at COMMIT: before it arrives, after it, or in between."""

import asyncio
import contextlib
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlsplit

# Messages of the PostgreSQL protocol 3.0: type, length of the rest, text, NUL.
_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
_ROLLBACK: Final = b"Q\x00\x00\x00\x0dROLLBACK\x00"
_READY: Final = b"Z\x00\x00\x00\x05"  # for the next query
_CHUNK: Final = 65_536


class Cut(StrEnum):
    """What happens to a COMMIT."""

    BEFORE = "before"  # it never reaches the server
    AFTER = "after"  # it is executed, and its answer is lost
    LATE = "late"  # the node loses its connection; it reaches the server once `release` is set
    TURNED = "turned"  # the server is told ROLLBACK, and says so


class Cutter:
    """Forwards connections to a PostgreSQL; cuts the next `times` COMMITs.

    Attributes:
        url: Of the database, by this way.
        done: How many were cut.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self._to_port = parts.port
        self._parts = parts
        self._cut = Cut.BEFORE
        self._times = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.done = 0
        self.release = asyncio.Event()

    @property
    def url(self) -> str:
        """Of the database, by this way."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user = f"{self._parts.username}:{self._parts.password}"
        return self._parts._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shut()

    def cut(self, cut: Cut, times: int = 1) -> None:
        """What to do with the COMMITs from now on."""
        self._cut, self._times = cut, times

    def shut(self) -> None:
        """Listen no more, and end every connection."""
        if self._server is not None:
            self._server.close()
        for each in self._writers:
            each.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection("127.0.0.1", self._to_port)
        link = _Link(self, (reader, writer), server)
        self._writers |= link.writers
        with contextlib.suppress(OSError):
            await asyncio.gather(link.forward(), link.answer())
        self._writers -= link.writers

    def next_cut(self) -> Cut | None:
        """What to do with a COMMIT that has come."""
        if not self._times:
            return None
        self._times -= 1
        self.done += 1
        return self._cut


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of the node with its connection to the server."""

    def __init__(self, cutter: Cutter, node: _Stream, server: _Stream) -> None:
        self._cutter = cutter
        self._from_node, self._to_node = node
        self._from_server, self._to_server = server
        self._is_lost = False  # answers no longer reach the node
        self._committed = asyncio.Event()

    @property
    def writers(self) -> set[asyncio.StreamWriter]:
        """Both ends."""
        return {self._to_node, self._to_server}

    async def forward(self) -> None:
        """Carry what the node says to the server."""
        while chunk := await self._from_node.read(_CHUNK):
            cut = self._cutter.next_cut() if chunk == _COMMIT else None
            if cut is None or cut is Cut.TURNED:
                self._to_server.write(chunk if cut is None else _ROLLBACK)
                continue
            self._is_lost = True
            if cut is Cut.LATE:
                self._to_node.transport.abort()
                await self._cutter.release.wait()
            if cut is not Cut.BEFORE:
                self._to_server.write(_COMMIT)
                await self._committed.wait()
            self._to_node.transport.abort()
            break
        self._to_server.close()

    async def answer(self) -> None:
        """Carry what the server says to the node."""
        while chunk := await self._from_server.read(_CHUNK):
            if not self._is_lost:
                self._to_node.write(chunk)
            elif _READY in chunk:
                self._committed.set()
        self._to_node.close()
