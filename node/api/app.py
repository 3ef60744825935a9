"""The HTTP application: every route, what is around them, and what is left when none fits."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import FastAPI
from prometheus_client.registry import Collector
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from node import __version__
from node.api import docs
from node.api.envelope import Envelope
from node.api.gate import Gate
from node.api.metrics import CONTENT_TYPE, HttpMetrics
from node.api.mirror_metrics import MirrorSeries
from node.api.operations import Operation, PathEndpoint, send_problem
from node.api.operator import site
from node.api.pages import Page
from node.api.payout_metrics import PayoutSeries
from node.api.problems import PathUnknown
from node.api.rate_limits import RateLimiter
from node.api.routes import OPERATIONS
from node.api.services import Services
from node.api.settlement_metrics import SettlementSeries
from node.api.webhook_metrics import WebhookSeries
from node.core.errors import Unavailable


def create_app(
    services: Services, *, sandbox: bool = False, limiter: RateLimiter | None = None
) -> FastAPI:
    """The ASGI application over `services`.

    Routes are Starlette's, because the declarations of `node.api.operations` do what FastAPI's
    signatures would, in the order that is promised (credential before body) and at a fraction of
    the time; FastAPI holds them, so that ordinary FastAPI routes can be added beside them.

    Args:
        services: What the routes call.
        sandbox: Whether the documentation says that the node is for play.
        limiter: Counts requests; None: nobody is limited.
    """
    metrics = HttpMetrics()
    app = FastAPI(
        title="Corridor",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # It would look for a configuration of its own at every request; /metrics has the figures.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=[Middleware(Envelope, metrics=metrics)],
    )
    gate = Gate(services, limiter)
    by_path: dict[str, list[Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, []).append(operation)
    app.router.routes.extend(
        Route(path, PathEndpoint(operations, services, gate))
        for path, operations in by_path.items()
    )
    app.router.routes.append(Route("/metrics", Page("/metrics", _figures(services, metrics))))
    app.router.routes.extend(docs.routes(sandbox=sandbox))
    app.router.routes.extend(site.routes(services))
    app.router.default = _path_unknown
    return app


def _figures(services: Services, metrics: HttpMetrics) -> Callable[[], Awaitable[Response]]:
    async def make() -> Response:
        ready = await services.health.ready()
        gauges = {
            "ready": int(ready.ok),
            "chain_head_block": ready.head_number,
            "mirror_block": ready.cursor_number,
            "mirror_final_block": ready.final_number,
        }
        known = {name: value for name, value in gauges.items() if value is not None}
        others: list[Collector] = [MirrorSeries(ready, services.meter.providers())]
        with suppress(Unavailable):  # `corridor_ready` says so; there is nothing else to tell
            others.append(SettlementSeries(await services.meter.figures(), services.addresses))
            others.append(WebhookSeries(await services.webhooks.figures()))
            others.append(PayoutSeries(await services.payouts.figures()))
        return Response(metrics.page(known, *others), headers={"Content-Type": CONTENT_TYPE})

    return make


async def _path_unknown(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    await send_problem(
        scope, send, PathUnknown("the node has no such path; all paths are at /docs")
    )
