"""The HTTP server of a node: uvicorn with its settings. Not here: the application it serves."""

import socket
from collections.abc import Callable
from typing import Any, Final

import uvicorn

_GRACE_S: Final = 10


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, app: Any, host: str, port: int, on_listening: Callable[[], None]) -> None:
        """Nothing is opened yet.

        Args:
            app: ASGI.
            host: Address to listen at.
            port: Port to listen at; 0: any.
            on_listening: Called once, when requests are answered.
        """
        super().__init__(
            uvicorn.Config(
                app,
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
