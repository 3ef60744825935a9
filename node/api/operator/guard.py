"""Who may see pages, and from where forms may come.

A session's token is in a cookie that scripts cannot read and that no other site's request
carries. Forms are taken from the node's own pages only; what a browser says about where a request
comes from is checked besides. A proxy may end TLS in front of the node, so whether the browser came
by https is seen by the Origin it states, and only the host is compared.
"""

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from node.api import bodies
from node.core.errors import Forbidden
from node.services.sessions import LIFETIME

_PLAIN: Final = "corridor_operator"
_SECURE: Final = "__Host-corridor_operator"  # RFC 6265bis 4.1.3.2: this host's alone
_OWN_SITE: Final = b"same-origin"
_FORM: Final = b"application/x-www-form-urlencoded"
_FIELDS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a form came from, checked.

    Attributes:
        is_https: Whether the browser came by https.
    """

    is_https: bool


def token_of(scope: Scope) -> str | None:
    """The session's token in the request's cookies; the one that only https sets wins."""
    jar: SimpleCookie = SimpleCookie()
    try:
        for value in bodies.headers_named(scope, b"cookie"):
            jar.load(value.decode("latin-1"))
    except CookieError:
        return None
    for name in (_SECURE, _PLAIN):
        if name in jar and jar[name].value:
            return jar[name].value
    return None


def check_origin(scope: Scope) -> Origin:
    """Check that a form was sent by a page of this node.

    Browsers state it twice: `Sec-Fetch-Site` (Fetch Metadata; on https and local hosts) and
    `Origin` (RFC 6454 7, on every form that is posted). What states neither is no browser.

    Raises:
        Forbidden: It was not, or nothing says so.
    """
    sites = bodies.headers_named(scope, b"sec-fetch-site")
    origins = bodies.headers_named(scope, b"origin")
    hosts = bodies.headers_named(scope, b"host")
    scheme, _, host = origins[0].partition(b"://") if len(origins) == 1 else (b"", b"", b"")
    is_own = (
        scheme in (b"http", b"https")
        and hosts == [host]
        and all(site == _OWN_SITE for site in sites)
    )
    if not is_own:
        raise Forbidden(
            "this form was not sent by a page of this node; open the page and try again"
        )
    return Origin(is_https=scheme == b"https")


async def form_of(scope: Scope, receive: Receive) -> dict[str, str]:
    """The fields of a form, each once.

    Raises:
        BodyTooLarge: It is.
        Forbidden: It is no form.
    """
    types = bodies.headers_named(scope, b"content-type")
    if len(types) != 1 or types[0].partition(b";")[0].strip().lower() != _FORM:
        raise Forbidden("this is no form of this node")
    raw = await bodies.read(scope, receive)
    try:
        fields = parse_qs(raw.decode("ascii"), errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise Forbidden("this is no form of this node") from None
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def kept(token: str, origin: Origin) -> str:
    """The `Set-Cookie` that keeps a session's token."""
    return _cookie(token, int(LIFETIME.total_seconds()), is_https=origin.is_https)


def forgotten(origin: Origin) -> str:
    """The `Set-Cookie` that forgets it."""
    return _cookie("", 0, is_https=origin.is_https)


def _cookie(value: str, max_age_s: int, *, is_https: bool) -> str:
    name, secure = (_SECURE, "; Secure") if is_https else (_PLAIN, "")
    return f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
