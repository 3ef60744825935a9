"""The HTTP process: answers requests, keeps the rates fresh, and compares itself with the world."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
import uvicorn
import uvloop

from adapters.machine import keep_what_is_loaded
from node import logs
from node.api.app import create_app
from node.api.rate_limits import RateLimiter
from node.api.server import Server
from node.bootstrap.comparing import compare, until_compared
from node.bootstrap.wiring import Node, open_node
from node.config import Settings
from node.core.errors import Unavailable

_log = structlog.get_logger()

_RATES_EVERY_S: Final = 60


def run_serve(settings: Settings, *, on_listening: Callable[[], None] = lambda: None) -> None:
    """The HTTP process, until it is told to stop; says once when requests are answered."""
    logs.configure(level=settings.log_level, form=settings.log_format)
    uvloop.run(_serve(settings, on_listening))


async def _serve(settings: Settings, on_listening: Callable[[], None]) -> None:
    async with open_node(settings) as node:
        await compare(node)  # what answers and is wrong stops the program before it listens
        await _refresh_rates(node)
        limiter = RateLimiter(settings.allowances)
        app = create_app(node.services, sandbox=settings.sandbox, limiter=limiter)
        server = Server(
            app,
            settings.http_host,
            settings.http_port,
            on_listening,
            proxies=settings.proxies,
        )
        keep_what_is_loaded()
        rates = asyncio.create_task(_keep_rates(node, server))
        watching = asyncio.create_task(_keep_watching(node, server))
        compared = asyncio.create_task(_keep_comparing(node, server))
        try:
            await server.serve()
        finally:
            rates.cancel()
            watching.cancel()
            compared.cancel()
        for task in (rates, watching, compared):
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error


async def _keep_rates(node: Node, server: uvicorn.Server) -> None:
    """Read the sources again and again; a node that cannot any more stops, and says why."""
    try:
        while True:
            await node.clock.wait(_RATES_EVERY_S)
            await _refresh_rates(node)
    except Exception:
        server.should_exit = True
        raise


async def _keep_watching(node: Node, server: uvicorn.Server) -> None:
    """Look at the chain's head and at the mirror; a process that cannot see them any more stops."""
    try:
        await node.head_watch.watch()
    except Exception:
        server.should_exit = True
        raise


async def _refresh_rates(node: Node) -> None:
    """Read the rate sources; what is wrong with them since, and what is halted, is logged."""
    before = frozenset(node.rates.faults)
    try:
        halts = await node.fx.refresh()
    except Unavailable as error:
        halts = ()
        _log.warning("waiting", reason=error.detail)
    for fault in frozenset(node.rates.faults) - before:
        _log.warning("rate source", fault=fault)
    for halt in halts:
        _log.warning(
            "quoting is halted", currency=halt.currency, reason=halt.reason.value, note=halt.note
        )


async def _keep_comparing(node: Node, server: uvicorn.Server) -> None:
    """Compare until everything has answered; what is wrong then stops the server."""
    try:
        await until_compared(node, asyncio.Event())
    except BaseException:
        server.should_exit = True
        raise
