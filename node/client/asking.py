"""HTTP to a node, sync and async: one call sent until its answer stands, lists page by page.

Not here: which operations there are (`operations.py`), and when a call is sent again
(`calls.py`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

import httpx

from node.client.calls import PAUSES_S, Attempts, Call, read, read_file

T = TypeVar("T")

TIMEOUT_S: Final = 15.0
"""The node itself waits up to 10 s for a first request of the same Idempotency-Key."""

FILE_TIMEOUT_S: Final = 120.0
"""For files: ten thousand rows take the node some seconds."""


class Asking:
    """One node, one credential. To be closed, or used in a `with` block."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        signing: httpx.Auth | None = None,
        timeout_s: float = TIMEOUT_S,
        pauses_s: Sequence[float] = PAUSES_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: Of the node, such as `https://node.example`.
            token: A key or token of the node.
            signing: `node.client.signing.RequestSigning`, where the node asks for signatures.
            timeout_s: How long each attempt may take to connect, to send and to answer.
            pauses_s: Between the attempts of one call; none: one attempt.
            transport: How the node is reached; None: over the network.
        """
        self.url = url.rstrip("/")
        self._pauses_s = pauses_s
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=self.url, headers=_headers(token), auth=signing, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    def ask(
        self,
        call: Call[T],
        *,
        timeout_s: float | None = None,
        pauses_s: Sequence[float] | None = None,
    ) -> T:
        """The answer of any call; None: timeout and pauses as they are for all.

        Raises:
            Problem: The node declines.
            AnswerLost: It moves something, and nobody can say whether it was done.
            NodeAway: There was no answer.
            NotCorridor: The answer is none of a node.
        """
        answer: T = read(self._answer(call, timeout_s, pauses_s))
        return answer

    def file(
        self,
        path: str,
        query: Mapping[str, str | int | None],
        *,
        timeout_s: float = FILE_TIMEOUT_S,
        pauses_s: Sequence[float] | None = None,
    ) -> bytes:
        """A file of the node: of `/v1/reports/transfers` with `{"format": "csv"}`, say.

        Raises:
            ClientError: As `ask`.
        """
        return read_file(self._answer(Call("GET", path, query=query), timeout_s, pauses_s))

    def pages(self, call: Call[T]) -> Iterator[T]:
        """What a list has, page by page as it is read.

        Raises:
            ClientError: As `ask`.
        """
        more: Call[Any] | None = call
        while more is not None:
            page = read(self._answer(more, None, None))
            yield from page["data"]
            more = more.after(page)

    def _answer(
        self, call: Call[Any], timeout_s: float | None, pauses_s: Sequence[float] | None
    ) -> httpx.Response:
        attempts = Attempts(call, self.url, self._pauses_s if pauses_s is None else pauses_s)
        timeout_s = timeout_s or self._timeout_s
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.send(call.request_of(self._http, timeout_s))
            except httpx.TransportError as error:
                outcome = error
            wait_s = attempts.wait_s(outcome)
            if wait_s is None:
                return attempts.answer(outcome)
            time.sleep(wait_s)


class AsyncAsking:
    """One node, one credential. To be closed, or used in an `async with` block."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        signing: httpx.Auth | None = None,
        timeout_s: float = TIMEOUT_S,
        pauses_s: Sequence[float] = PAUSES_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """See `Asking`."""
        self.url = url.rstrip("/")
        self._pauses_s = pauses_s
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=_headers(token), auth=signing, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of its connections."""
        await self._http.aclose()

    async def ask(
        self,
        call: Call[T],
        *,
        timeout_s: float | None = None,
        pauses_s: Sequence[float] | None = None,
    ) -> T:
        """See `Asking.ask`."""
        answer: T = read(await self._answer(call, timeout_s, pauses_s))
        return answer

    async def file(
        self,
        path: str,
        query: Mapping[str, str | int | None],
        *,
        timeout_s: float = FILE_TIMEOUT_S,
        pauses_s: Sequence[float] | None = None,
    ) -> bytes:
        """See `Asking.file`."""
        return read_file(await self._answer(Call("GET", path, query=query), timeout_s, pauses_s))

    async def pages(self, call: Call[T]) -> AsyncIterator[T]:
        """See `Asking.pages`."""
        more: Call[Any] | None = call
        while more is not None:
            page = read(await self._answer(more, None, None))
            for each in page["data"]:
                yield each
            more = more.after(page)

    async def _answer(
        self, call: Call[Any], timeout_s: float | None, pauses_s: Sequence[float] | None
    ) -> httpx.Response:
        attempts = Attempts(call, self.url, self._pauses_s if pauses_s is None else pauses_s)
        timeout_s = timeout_s or self._timeout_s
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.send(call.request_of(self._http, timeout_s))
            except httpx.TransportError as error:
                outcome = error
            wait_s = attempts.wait_s(outcome)
            if wait_s is None:
                return attempts.answer(outcome)
            await asyncio.sleep(wait_s)


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
