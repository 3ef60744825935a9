"""The pages' paths, and the way of every request for one: session, page, and errors as pages."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from node.api.operations import ROUTE, send_answer
from node.api.operator import details, overview
from node.api.operator.figures import BASE, Figures
from node.api.operator.guard import check_origin, forgotten, form_of, kept, token_of
from node.api.operator.templating import HEADERS, page, redirect
from node.api.operator.views import Handler, PageCall
from node.api.problems import MethodNotAllowed, PathUnknown, headers_of, status_of
from node.api.services import Services
from node.core.errors import Forbidden, NodeError, Unauthenticated
from node.core.ports.idempotency import Answer

_STATIC: Final = Path(__file__).parents[1] / "static"
_FILES: Final = {"operator.css": "text/css", "operator.svg": "image/svg+xml"}
_SIGN_IN: Final = f"{BASE}/sign-in"
_HOUR: Final = "public, max-age=3600"
_KEY_MAX: Final = 256
_ANY: Final = f"{BASE}/{{path:path}}"
_HOME: Final = f"{BASE}/reconciliation"

_PAGES: Final[Mapping[str, Handler]] = {
    "/reconciliation": overview.overview,
    "/reconciliation/accounts": overview.accounts,
    "/reconciliation/accounts/{address}/{asset}": overview.account,
    "/reconciliation/breaks": overview.breaks,
    "/reconciliation/breaks/{break_id}": details.show_break,
    "/reconciliation/runs": overview.runs,
    "/reconciliation/runs/{run_id}": overview.run,
    "/ledger/{sequence}": details.show_transaction,
    "/blocks/{number}": details.show_block,
    "/transfers/{transfer_id}": details.show_transfer,
    "/find": details.find,
}

Act = Callable[[Scope, Receive], Awaitable[Response]]


def routes(services: Services) -> list[Route]:
    """Every path below `/operator`."""
    site = _Site(services)

    async def go_home(_scope: Scope, _receive: Receive) -> Response:
        return redirect(_HOME)

    return [
        *(_route(BASE + path, {"GET": site.show(each)}) for path, each in _PAGES.items()),
        _route(BASE, {"GET": go_home}),
        _route(f"{BASE}/", {"GET": go_home}),
        *(_route(f"{BASE}/static/{name}", {"GET": _file(name)}) for name in _FILES),
        _route(_SIGN_IN, {"GET": site.ask, "POST": site.sign_in}),
        _route(f"{BASE}/sign-out", {"POST": site.sign_out}),
        Route(_ANY, _Unknown()),  # the last: whatever else is below
    ]


class _Site:
    """What the paths do."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._figures = Figures(services.catalog, services.addresses)

    def show(self, handler: Handler) -> Act:
        """A page for operators who are signed in; others are asked to."""

        async def act(scope: Scope, _receive: Receive) -> Response:
            token = token_of(scope)
            principal = None if token is None else await self._services.sessions.principal(token)
            if principal is None:
                return _sign_in_page("", status=401)
            call = PageCall(
                self._services,
                self._figures,
                principal,
                scope["path"],
                scope["path_params"],
                scope["query_string"],
            )
            return await handler(call)

        return act

    async def ask(self, scope: Scope, _receive: Receive) -> Response:
        """The form that takes a key."""
        token = token_of(scope)
        if token is not None and await self._services.sessions.principal(token) is not None:
            return redirect(_HOME)
        return _sign_in_page("")

    async def sign_in(self, scope: Scope, receive: Receive) -> Response:
        """Begin a session; the key is neither kept nor shown again."""
        origin = check_origin(scope)
        key = (await form_of(scope, receive)).get("key", "").strip()
        if not 0 < len(key) <= _KEY_MAX or not key.isascii():
            return _sign_in_page("Paste an operator's key.", status=400)
        try:
            session = await self._services.sessions.sign_in(key)
        except (Unauthenticated, Forbidden) as error:
            return _sign_in_page(error.detail, status=403)
        if (before := token_of(scope)) is not None:
            await self._services.sessions.sign_out(before)  # a browser has one session
        return redirect(_HOME, {"Set-Cookie": kept(session.token, origin)})

    async def sign_out(self, scope: Scope, _receive: Receive) -> Response:
        """End the session, here and in the browser."""
        origin, token = check_origin(scope), token_of(scope)
        if token is not None:
            await self._services.sessions.sign_out(token)
        return redirect(_SIGN_IN, {"Set-Cookie": forgotten(origin)})


def _file(name: str) -> Act:
    headers = {**HEADERS, "Cache-Control": _HOUR}
    made = Response(_STATIC.joinpath(name).read_bytes(), media_type=_FILES[name], headers=headers)

    async def act(_scope: Scope, _receive: Receive) -> Response:
        return made

    return act


def _sign_in_page(fault: str, *, status: int = 200) -> Response:
    return page("sign_in.html", {"fault": fault, "operator": None}, status=status)


def _route(path: str, acts: Mapping[str, Act]) -> Route:
    return Route(path, _Endpoint(path, acts))


class _Endpoint:
    """The ASGI application of one path."""

    def __init__(self, path: str, acts: Mapping[str, Act]) -> None:
        self._path = path
        self._acts = {**acts, **({"HEAD": acts["GET"]} if "GET" in acts else {})}
        self._allowed = [*self._acts, "OPTIONS"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[ROUTE] = self._path
        if scope["method"] == "OPTIONS":
            await send_answer(send, Answer(204, b""), {"Allow": ", ".join(self._allowed)})
            return
        try:
            act = self._acts.get(scope["method"])
            if act is None:
                raise MethodNotAllowed(self._allowed)
            response = await act(scope, receive)
        except NodeError as error:
            response = _fault_page(error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)


class _Unknown:
    """The ASGI application of every path below `/operator` that is no page."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say so by a page: it is a person's browser that asks."""
        scope[ROUTE] = _ANY
        response = _fault_page(PathUnknown("there is no such page"))
        await response(scope, receive, send)


def _fault_page(error: NodeError) -> Response:
    kept_headers = {n: v for n, v in headers_of(error).items() if n != "WWW-Authenticate"}
    context = {"title": error.title, "detail": error.detail, "operator": None, "code": error.code}
    return page("fault.html", context, status=status_of(type(error)), headers=kept_headers)
