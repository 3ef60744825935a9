"""The partner's guide at `/docs`: one page, readable without JavaScript, in light, dark and print.

Its text is in `templates`, its programs are in `snippets`, and in `answers` is what a node answered
them, shortened: a test runs the programs as the page has them, and compares. What code decides is
made from it: states and moves, error codes, scopes, waits, limits, examples.
"""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from node.api import examples, payout_examples, webhook_examples
from node.api.bodies import BODY_BYTES_MAX
from node.api.bulk_files import BYTES_MAX
from node.api.guide.lifecycles import (
    payout_drawing,
    payout_rows,
    small_lifecycles,
    transfer_drawing,
    transfer_rows,
)
from node.api.operations import Operation
from node.api.problems import MEANING, all_errors, problem, status_of
from node.api.schemas import QUOTE_TTL_S_MAX
from node.core.bulk import ROWS_MAX
from node.core.errors import InsufficientFunds
from node.core.paging import LIMIT_DEFAULT, LIMIT_MAX
from node.core.parties import Role, Scope
from node.core.partners import LIVE_KEYS_MAX, SIGNATURE_LIFE_MAX_S, SIGNATURE_TAG
from node.core.webhooks import ATTEMPTS_MAX, ORDER_KEPT_FOR, TOLERANCE_S, WAITS_S
from node.services.idempotency import WAIT_MS

_HERE: Final = Path(__file__).parent
_UNITS: Final = ((3600, "h"), (60, "min"), (1, "s"))
_MS: Final = 1000
_MIB: Final = 1024 * 1024
_KIB: Final = 1024

_SCOPES: Final[Mapping[Scope, str]] = {
    Scope.READ: "Looking at anything of one's own.",
    Scope.QUOTE: "Asking for firm quotes.",
    Scope.PAY: "Customers, top-ups, transfers, payouts, bulk transfers: all that moves money.",
    Scope.REFUND: "Having the money of a payout sent back.",
    Scope.ADMIN: "Keys, signing keys and webhook endpoints.",
}


def guide_page(operations: Sequence[Operation], *, sandbox: bool) -> str:
    """The guide.

    Args:
        operations: Of the node.
        sandbox: Whether the node is for play.
    """
    context = {
        "sandbox": sandbox,
        "snippet": snippet,
        "answer": answer,
        "transfer_drawing": Markup(transfer_drawing()),  # noqa: S704 - made of our own words
        "payout_drawing": Markup(payout_drawing()),  # noqa: S704
        "small": {
            name: (Markup(each.drawing), each.rows)  # noqa: S704
            for name, each in small_lifecycles().items()
        },
        "transfer_rows": transfer_rows(),
        "payout_rows": payout_rows(),
        "problems": problem_rows(),
        "scopes": [
            (each.value, text, _of_scope(operations, each)) for each, text in _SCOPES.items()
        ],
        "chapters": _chapters(operations),
        "waits": WAITS_S,
        "attempts": ATTEMPTS_MAX,
        "order_kept_for": ORDER_KEPT_FOR,
        "tolerance_s": TOLERANCE_S,
        "quote_ttl_max_s": QUOTE_TTL_S_MAX,
        "signature_life_s": SIGNATURE_LIFE_MAX_S,
        "signature_tag": SIGNATURE_TAG,
        "live_keys": LIVE_KEYS_MAX,
        "rows_max": ROWS_MAX,
        "bulk_mib": BYTES_MAX // _MIB,
        "body_kib": BODY_BYTES_MAX // _KIB,
        "page": LIMIT_DEFAULT,
        "page_max": LIMIT_MAX,
        "wait_s": WAIT_MS // _MS,
        "quote": examples.QUOTE,
        "event": {
            "type": examples.EVENT["type"],
            "timestamp": examples.EVENT["occurred_at"],
            "data": examples.EVENT,
        },
        "payout_body": payout_examples.PAYOUT_BODY,
        "payout": payout_examples.PAYOUT,
        "delivery_id": webhook_examples.DELIVERY_ID,
        "problem": _problem(),
    }
    return _environment().get_template("guide.html").render(context)


def problems_page() -> str:
    """Every code as a page of its own: `type` of a problem leads to its row."""
    return _environment().get_template("problems.html").render(problems=problem_rows())


def problem_rows() -> list[tuple[str, int, bool, str]]:
    """Code, status, whether it is retryable, meaning: of every code, by status."""
    known = {each.code: (status_of(each), each.retryable) for each in all_errors()}
    rows = [(code, *known[code], text) for code, text in MEANING.items() if code in known]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def snippet(name: str) -> str:
    """The text of one program of the guide."""
    return _HERE.joinpath("snippets", f"{name}.txt").read_text().rstrip()


def answer(name: str) -> str:
    """What a node answered one program; `…` stands for what is left out."""
    return _HERE.joinpath("answers", f"{name}.txt").read_text().rstrip()


def duration(seconds: int) -> str:
    """`5 min` of 300: whole, in the largest unit that divides it."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}"


def inline(text: str) -> Markup:
    """Backticks become code."""
    parts = html.escape(text).split("`")
    return Markup(  # noqa: S704 - escaped above
        "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
    )


def pretty(value: object) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE.joinpath("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "inline": inline, "pretty": pretty}
    return environment


def _of_scope(operations: Sequence[Operation], scope: Scope) -> int:
    """How many operations of partners need it."""
    return sum(each.scope is scope for each in operations if Role.PARTNER in (each.who or ()))


def _chapters(operations: Sequence[Operation]) -> dict[str, list[tuple[Operation, str, str]]]:
    """What a partner may call, by chapter: operation, what it does, the scope it needs."""
    chapters: dict[str, list[tuple[Operation, str, str]]] = {}
    for each in operations:
        if each.who is None or Role.PARTNER in each.who:
            summary = (each.handler.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            scope = "" if each.who is None else each.scope.value
            chapters.setdefault(each.tag, []).append((each, summary, scope))
    return chapters


def _problem() -> object:
    """A problem document as callers get it."""
    refusal = InsufficientFunds(
        "the customer has less than the transfer takes",
        available={"currency": "EUR", "amount": "12.50"},
    )
    answer = problem(refusal, path="/v1/transfers", request_id="4f0c6f0b8f5e4c7e9d7a2b1c3d4e5f60")
    return json.loads(answer.body)
