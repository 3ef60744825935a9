"""Around every request: its id, headers of every answer, figures, and the last resort for a bug.

Pure ASGI, because it is on the hot path. It never reads a body.
"""

import re
import time
from typing import Final
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.api.metrics import HttpMetrics
from node.api.operations import REQUEST_ID, ROUTE, send_problem
from node.core.errors import NodeError

_log = structlog.get_logger(__name__)

_ACCEPTED_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_NO_STORE: Final = (b"cache-control", b"no-store")
_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")


class Envelope:
    """Wraps the application.

    Args:
        app: What is wrapped.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = _request_id(scope)
        started_ns = time.perf_counter_ns()
        status = 0

        async def send_enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_enveloped)
        except Exception:
            _log.exception("request_failed", request_id=request_id, path=scope["path"])
            if status:
                raise  # too late to say so: the server cuts the connection
            await send_problem(
                scope,
                send_enveloped,
                NodeError("the node made a mistake; tell its operator the request_id"),
            )
        finally:
            self._metrics.observe(
                scope["method"], scope.get(ROUTE), status, time.perf_counter_ns() - started_ns
            )


def _request_id(scope: Scope) -> str:
    """The caller's `X-Request-Id` where it is plain, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ACCEPTED_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid4().hex


def _complete(message: Message, request_id: str) -> None:
    headers = message["headers"] = list(message.get("headers", ()))
    headers.append((b"x-request-id", request_id.encode()))
    headers.append(_NO_SNIFF)
    if all(name != b"cache-control" for name, _ in headers):
        headers.append(_NO_STORE)
