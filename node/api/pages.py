"""Paths that answer anyone with one document: documentation and metrics."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from node.api.operations import ROUTE, send_answer, send_problem
from node.api.problems import MethodNotAllowed
from node.core.ports.idempotency import Answer

_ALLOWED: Final = ("GET", "HEAD", "OPTIONS")


class Page:
    """The ASGI application of one such path."""

    def __init__(self, path: str, make: Callable[[], Awaitable[Response]]) -> None:
        self._path = path
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[ROUTE] = self._path
        if scope["method"] == "OPTIONS":
            await send_answer(send, Answer(204, b""), {"Allow": ", ".join(_ALLOWED)})
        elif scope["method"] in _ALLOWED:
            response = await self._make()
            await response(scope, receive, send)
        else:
            await send_problem(scope, send, MethodNotAllowed(_ALLOWED))
