"""How a page is made: templates that escape everything, and the headers that go with it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from node.api.views import time_text

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    # Not `no-referrer`: with it, browsers state no Origin for forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_SHORT_HEAD: Final = 10
_SHORT_TAIL: Final = 8
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60))


def duration(length: timedelta) -> str:
    """`23 d` or `4 min`: whole units, cut off, at least two of them."""
    seconds = max(0, int(length.total_seconds()))
    for unit, unit_s in _UNITS:
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"


def moment(at: datetime) -> str:
    """`2026-11-22 16:00:00 UTC`."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def short(text: str) -> str:
    """`0x7b2a4c1d…8a84c0ff` of an address or hash; what is short stays whole."""
    if len(text) <= _SHORT_HEAD + _SHORT_TAIL + 1:
        return text
    return f"{text[:_SHORT_HEAD]}…{text[-_SHORT_TAIL:]}"


def capital(text: str) -> str:
    """With a capital letter, as a heading begins."""
    return text[:1].upper() + text[1:]


def grouped(amount: str) -> str:
    """`12,345.678900`: a decimal with its thousands apart."""
    sign, digits = ("\N{MINUS SIGN}", amount[1:]) if amount.startswith("-") else ("", amount)
    whole, point, part = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{part}" if whole.isdecimal() else amount


_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "duration": duration,
    "moment": moment,
    "rfc3339": time_text,
    "short": short,
    "capital": capital,
    "grouped": grouped,
}


def page(
    name: str,
    context: Mapping[str, object],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A page as a response."""
    text = _ENVIRONMENT.get_template(name).render(context)
    return Response(text, status, media_type="text/html", headers={**HEADERS, **(headers or {})})


def redirect(path: str, headers: Mapping[str, str] | None = None) -> Response:
    """Go and GET another page of the node."""
    return Response(status_code=303, headers={**HEADERS, "Location": path, **(headers or {})})
