"""`corridor settlement top-up`, `gas`, `sweep`, `rescue`, `movements` and `rules`.

The node's own money between its own addresses. Not here: payments.
"""

from dataclasses import dataclass
from typing import Final

import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import (
    columns,
    day_time,
    next_steps,
    pairs,
    print_json,
    print_table,
    stderr,
    stdout,
)
from node.cli.faults import Fault, Status
from node.cli.settlement_steering import once

_CONTRACT = "contract"
_TREASURY = "treasury"
_MOVEMENTS = "/v1/settlement/movements"
_RULES = "/v1/settlement/rules"
_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A movement as the command line asks for it.

    Attributes:
        source, to: An address, or the role of the node's only address of that kind.
        currency: None: the token.
    """

    kind: str
    source: str
    to: str
    currency: str | None
    amount: str


def move(where: Where, ask: Ask, *, assume_yes: bool, as_json: bool) -> None:
    """Ask for a movement, once a person has said yes.

    Raises:
        Fault: The node declines, or it has no such address.
        typer.Exit: Status 1 when the person said no.
    """
    with NodeClient(operator(where)) as client:
        body = _body(client, ask)
        if not as_json:
            rows = [(name, escape(str(body[name]))) for name in ("kind", "from", "to")]
            stdout().print(pairs([*rows, ("amount", f"{body['amount']} {body['currency']}")]))
        _confirm(assume_yes=assume_yes, as_json=as_json)
        made = once(client, _MOVEMENTS, body)
    if as_json:
        print_json(made)
        return
    stdout().print(f"{made['state']}: {made['id']}")
    next_steps((where.command(f"corridor settlement movement {made['id']}"), "see how it goes"))


def movement(where: Where, movement_id: str, *, as_json: bool) -> None:
    """Show one movement."""
    with NodeClient(operator(where)) as client:
        found = client.get(f"{_MOVEMENTS}/{movement_id}")
    if as_json:
        print_json(found)
        return
    rows = [
        (name, str(found[name]))
        for name in ("id", "kind", "state", "from", "to", "sender", "made_by", "batch_id")
        if found[name] is not None
    ]
    rows.append(("amount", f"{found['amount']} {found['currency']}"))
    rows.append(("asked for", day_time(found["created_at"])))
    if found["waiting"]:
        rows.append(("waits for", found["waiting"]))
    if found["failure"]:
        rows.append(("failed", f"{found['failure']['code']}: {found['failure']['message']}"))
    stdout().print(pairs([(label, escape(value)) for label, value in rows]))


def movements(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of movements, newest first."""
    with NodeClient(operator(where)) as client:
        page = client.get(_MOVEMENTS, timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no such movements.")
        return
    figures = ("movement", "amount")
    table = columns("movement", "asked for", "kind", "state", "amount", "by", figures=figures)
    for each in page["data"]:
        why = each["failure"]["code"] if each["failure"] else each["waiting"]
        state = f"{each['state']} ({why})" if why else each["state"]
        table.add_row(
            each["id"], day_time(each["created_at"]), each["kind"], escape(state),
            f"{each['amount']} {each['currency']}", escape(each["made_by"]),
        )  # fmt: skip
    print_table(table)
    if page["next_cursor"] is not None:
        filters = "".join(f" --{name} {value}" for name, value in query.items() if name != "cursor")
        command = f"corridor settlement movements --cursor {page['next_cursor']}{filters}"
        next_steps((where.command(command), "older ones"))


def rules(where: Where, *, everything: bool, as_json: bool) -> None:
    """Show the rules in force, or all there ever were."""
    query = {} if everything else {"status": "in_force"}
    with NodeClient(operator(where)) as client:
        page = client.get(_RULES, timeout_s=_TIMEOUT_S, limit=200, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no rules: nothing is topped up by itself.")
        command = (
            "corridor settlement rules add float --mark 1000 --fill-to 5000 --daily-limit 20000"
        )
        next_steps((where.command(command), "such as this one"))
        return
    figures = ("rule", "mark", "fill to", "daily limit", "left")
    table = columns("rule", "fills", *figures[1:], "status", figures=figures, words=("fills",))
    for each in page["data"]:
        fills = "float" if each["kind"] == "float_top_up" else each["to"] or "every lane"
        table.add_row(
            each["id"], f"{fills} ({each['currency']})", each["mark"], each["fill_to"],
            each["daily_limit"], each["limit_left"], each["status"],
        )  # fmt: skip
    print_table(table)


def add_rule(
    where: Where, kind: str, to: str | None, limits: tuple[str, str, str], *, as_json: bool
) -> None:
    """Make a rule; `limits` are the mark, what is filled up to, and the most of a day."""
    mark, fill_to, daily_limit = limits
    with NodeClient(operator(where)) as client:
        body = {
            "kind": kind,
            "currency": _currency(client, is_native=kind == "lane_gas"),
            "mark": mark,
            "fill_to": fill_to,
            "daily_limit": daily_limit,
        }
        if to is not None:
            body["to"] = to
        _show_rule(once(client, _RULES, body), as_json=as_json)


def end_rule(where: Where, rule_id: str, *, as_json: bool) -> None:
    """End a rule."""
    with NodeClient(operator(where)) as client:
        _show_rule(client.post(f"{_RULES}/{rule_id}/end", {}), as_json=as_json)


def _show_rule(rule: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(rule)
    else:
        stdout().print(f"{rule['status']}: {rule['id']}")


def _body(client: NodeClient, ask: Ask) -> dict[str, str]:
    look = client.get("/v1/settlement")
    is_native = ask.kind == "lane_gas"
    return {
        "kind": ask.kind,
        "from": _address(look, ask.source),
        "to": _address(look, ask.to),
        "currency": ask.currency or _currency(client, is_native=is_native),
        "amount": ask.amount,
    }


def _address(look: Json, named: str) -> str:
    """The address itself, or that of a role.

    Raises:
        Fault: The node has none for that role, or several.
    """
    if named not in (_CONTRACT, _TREASURY):
        return named
    found = {each["address"] for each in look["addresses"] if each["role"] == named}
    if len(found) != 1:
        raise Fault(
            f"the node has no {named} address",
            remedy="set CORRIDOR_TREASURY_SIGNER, or CORRIDOR_TREASURY_ADDRESS to only receive",
            status=Status.REFUSED,
        )
    return str(found.pop())


def _currency(client: NodeClient, *, is_native: bool) -> str:
    """Code of the chain's coin, or of the token."""
    kind = "native" if is_native else "token"
    codes = [each["code"] for each in client.get("/v1/assets")["data"] if each["kind"] == kind]
    return str(codes[0])


def _confirm(*, assume_yes: bool, as_json: bool) -> None:
    if assume_yes:
        return
    if as_json or not stderr().is_terminal:
        raise Fault(
            "nobody is there to say yes; nothing was asked for",
            remedy="add --yes to go on without being asked",
            status=Status.USAGE,
        )
    if not typer.confirm("Move it?", err=True):
        stderr().print("Nothing was asked for.")
        raise typer.Exit(Status.NO)
