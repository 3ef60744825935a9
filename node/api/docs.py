"""Documentation that works offline: the guide at `/docs`, the reference, the codes of problems.

What the guide says is in `node.api.guide`. Every file is served by the node itself: no other host
is asked, and the content security policy forbids it. The vendored files of `node/api/static` are
pinned by `SHA256SUMS`, which a test checks.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import orjson
from starlette.responses import Response
from starlette.routing import Route

from node.api.guide import guide_page, problem_rows, problems_page
from node.api.openapi import document
from node.api.pages import Page
from node.api.problems import JSON
from node.api.routes import OPERATIONS

_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css"}
_FILES: Final = ("rapidoc-min.js", "docs.css", "guide.css")
_DAY: Final = "public, max-age=86400"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REFERENCE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reference · Corridor</title>
<link rel="stylesheet" href="/docs/static/docs.css">
<script type="module" src="/docs/static/rapidoc-min.js"></script>
</head>
<body>
<rapi-doc spec-url="/openapi.json" render-style="focused" theme="light" load-fonts="false"
 show-header="false" allow-server-selection="false" allow-spec-file-download="false"
 schema-style="table" default-schema-tab="example" primary-color="#0b6b57"
 nav-bg-color="#f4f7f6" nav-text-color="#1d2b28" bg-color="#ffffff" text-color="#1d2b28"
 regular-font="system-ui, sans-serif" mono-font="ui-monospace, monospace"
 persist-auth="false" sort-endpoints-by="none">
<p slot="nav-logo" class="name"><a href="/docs">Corridor</a></p>
<noscript><p>The reference needs JavaScript. The same is at
<a href="/openapi.json">/openapi.json</a>; the <a href="/docs">guide</a> and the
<a href="/docs/problems">error codes</a> need none.</p></noscript>
</rapi-doc>
</body>
</html>
"""


@cache
def routes(*, sandbox: bool) -> Sequence[Route]:
    """The pages, their files, and the document they show; made once a process, for it takes long.

    Args:
        sandbox: Whether they say that the node is for play.
    """
    openapi = orjson.dumps(document(OPERATIONS, sandbox=sandbox))
    pages = {
        "/openapi.json": Response(openapi, media_type=JSON),
        "/": Response(status_code=307, headers={"Location": "/docs"}),
        "/docs": _page(guide_page(OPERATIONS, sandbox=sandbox)),
        "/docs/reference": _page(_REFERENCE),
        "/docs/problems": _page(problems_page()),
    }
    for name in _FILES:
        path = _STATIC.joinpath(name)
        pages[f"/docs/static/{name}"] = Response(
            path.read_bytes(), media_type=_TYPES[path.suffix], headers={"Cache-Control": _DAY}
        )
    return [Route(path, Page(path, _always(each))) for path, each in pages.items()]


def problems_markdown() -> str:
    """`node/docs/problems.md`: every code, what it means, what to do."""
    rows = "".join(
        f"| `{code}` | {status} | {'yes' if retryable else 'no'} | {text} |\n"
        for code, status, retryable, text in problem_rows()
    )
    return (
        "# Problems\n\n"
        "Every error is a problem document (RFC 9457, `application/problem+json`) with `type`,\n"
        "`title`, `status`, `detail`, `instance`, `code`, `retryable`, `request_id`, and what its\n"
        "code promises. Program against `code`: codes are added, never renamed. `type` is\n"
        "`/docs/problems#<code>` on the node that answered. *Retryable* means that the same\n"
        "request can succeed later without a change; wait `Retry-After` seconds.\n\n"
        "This page is made from `node/api/problems.py`; a test keeps them equal.\n\n"
        "| code | status | retryable | what it means, what to do |\n|---|---|---|---|\n" + rows
    )


def _page(text: str) -> Response:
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


def _always(response: Response) -> Callable[[], Awaitable[Response]]:
    async def make() -> Response:
        return response

    return make
