"""The HTTP server of a node: uvicorn with its settings. Not here: the application it serves.

uvicorn's own middleware for headers of proxies stays off: it takes what is no address for one, does
not know IPv4 addresses that come mapped into IPv6, and lets a proxy change the scheme.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from node.core.forwarding import client_address

_GRACE_S: Final = 10
_FORWARDED: Final = b"x-forwarded-for"


class BehindProxies:
    """Tells an application the address of who asked, where the peer is a proxy that is trusted.

    Args:
        app: ASGI.
        proxies: Trusted ones.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[IPv4Network | IPv6Network]) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on."""
        peer = scope.get("client")
        lines = [
            value.decode("latin-1")
            for name, value in scope.get("headers", ())
            if name == _FORWARDED
        ]
        if peer and lines:
            address = client_address(peer[0], lines, self._proxies)
            if address != peer[0]:
                scope = {**scope, "client": (address, 0)}  # whose port it is nobody asks
        await self._app(scope, receive, send)


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        on_listening: Callable[[], None],
        *,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        """Nothing is opened yet.

        Args:
            app: ASGI.
            host: Address to listen at.
            port: Port to listen at; 0: any.
            on_listening: Called once, when requests are answered.
            proxies: Whose X-Forwarded-For is believed.
        """
        super().__init__(
            uvicorn.Config(
                BehindProxies(app, proxies) if proxies else app,
                host=host,
                port=port,
                loop="none",
                http="httptools",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_listening()
