"""`corridor partner`: what is asked of the node, and how the answer is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, next_steps, pairs, print_json, print_table, stdout
from node.cli.faults import Fault, Status
from node.cli.settlement_steering import once

_NONE: Final = "none"
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """What the command line says of a partner's terms; None: not said.

    Attributes:
        currency: Of the three amounts.
        sell_max: `none`: no limit; so with `daily_sell_max`.
        spread_bps: `corridor`: the usual one.
    """

    currency: str | None
    credit_line: str | None
    sell_max: str | None
    daily_sell_max: str | None
    spread_bps: str | None
    signed: bool | None


_SCOPES: Final = (
    ("read", "look at its customers, transfers, statements and events"),
    ("quote", "ask for firm prices"),
    ("pay", "customers, money, transfers and payouts"),
    ("refund", "send money back"),
    ("admin", "its webhooks, its keys and what it signs with"),
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Money that arrived for a partner."""

    amount: str
    currency: str
    rail: str
    reference: str


def create(where: Where, name: str, country: str, terms: Terms, *, as_json: bool) -> None:
    """Make a partner.

    Raises:
        Fault: The node declines.
    """
    body = {"name": name, "country": country, **_body(terms, {})}
    if body.get("spread_bps") == "corridor":
        del body["spread_bps"]
    with NodeClient(operator(where)) as client:
        made = once(client, "/v1/partners", body, look="`corridor partner list`")
    if as_json:
        print_json(made)
        return
    stdout().print(pairs(_rows(made)))
    console = stdout()
    console.print(
        "\n[bold]Scopes of its keys[/]: each says what a key may do, and none holds another"
    )
    console.print(pairs(_SCOPES))
    create_key = f"corridor keys create partner {name}"
    next_steps(
        (where.command(f"{create_key} --scopes read,quote,pay"), "a key for its payments"),
        (
            where.command(f"{create_key} --name setup --scopes read,admin"),
            "a key for whoever sets up its webhooks and keys",
        ),
    )


def partners(where: Where, query: Mapping[str, Any], *, as_json: bool) -> None:
    """Show a page of partners, newest first.

    Raises:
        Fault: The node declines.
    """
    with NodeClient(operator(where)) as client:
        page = client.get("/v1/partners", **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no partners.")
        return
    table = columns("partner", "name", "country", "status", "spread", figures=("partner",))
    for each in page["data"]:
        told = (each["id"], escape(each["name"]), each["country"] or "", _status(each))
        table.add_row(*told, _spread(each))
    print_table(table)
    if page["next_cursor"] is not None:
        command = f"corridor partner list --cursor {page['next_cursor']}"
        next_steps((where.command(command), "older ones"))


def show(where: Where, partner: str, *, as_json: bool) -> None:
    """Show a partner, its balances and its keys.

    Raises:
        Fault: There is no such partner, or the node declines.
    """
    with NodeClient(operator(where)) as client:
        found = _found(client, partner)
        path = f"/v1/partners/{found['id']}"
        balances = client.get(f"{path}/balances")["data"]
        keys = client.get(f"{path}/keys", limit=_PAGE)["data"]
        signing = client.get(f"{path}/signing-keys", limit=_PAGE)["data"]
    if as_json:
        print_json({**found, "balances": balances, "keys": keys, "signing_keys": signing})
        return
    stdout().print(pairs(_rows(found)))
    if balances:
        table = columns("currency", "can spend", "paid in", "credit used", "of")
        for each in balances:
            told = (each["available"], each["prefunded"], each["credit_used"], each["credit_line"])
            table.add_row(each["currency"], *told)
        print_table(table)
    table = columns("key", "name", "status", "for", figures=("key",))
    for each in keys:
        told = (each["id"], escape(each["name"]), each["status"], ",".join(each["scopes"]))
        table.add_row(*told)
    for each in signing:
        table.add_row(each["id"], escape(each["name"]), each["status"], "signatures")
    if table.rows:
        print_table(table)


def terms(where: Where, partner: str, wanted: Terms, *, as_json: bool) -> None:
    """Change what is agreed with a partner.

    Raises:
        Fault: There is no such partner, nothing is to change, or the node declines.
    """
    with NodeClient(operator(where)) as client:
        found = _found(client, partner)
        body = _body(wanted, found)
        if not body:
            raise Fault(
                "nothing is to change",
                remedy="name what is: see `corridor partner terms --help`",
                status=Status.USAGE,
            )
        changed = _changed(client, found, body)
    _print(changed, as_json=as_json)


def prefund(where: Where, partner: str, arrived: Arrived, *, as_json: bool) -> None:
    """Book what a partner paid in.

    Raises:
        Fault: There is no such partner, or the node declines.
    """
    body = {
        "currency": arrived.currency,
        "amount": arrived.amount,
        "rail": arrived.rail,
        "reference": arrived.reference,
    }
    with NodeClient(operator(where)) as client:
        found = _found(client, partner)
        path = f"/v1/partners/{found['id']}/prefundings"
        made = once(client, path, body, look=f"`corridor partner show {partner}`")
    if as_json:
        print_json(made)
        return
    told = f"{made['amount']} {made['currency']} for {escape(found['name'])}"
    stdout().print(f"[green]Booked:[/] {told}")


def set_status(where: Where, partner: str, status: str, *, as_json: bool) -> None:
    """Suspend a partner, or let it act again.

    Raises:
        Fault: There is no such partner, or the node declines.
    """
    with NodeClient(operator(where)) as client:
        changed = _changed(client, _found(client, partner), {"status": status})
    _print(changed, as_json=as_json)


def _changed(client: NodeClient, found: Json, body: dict[str, Any]) -> Json:
    path = f"/v1/partners/{found['id']}/terms"
    return once(client, path, body, look=f"`corridor partner show {found['id']}`")


def _found(client: NodeClient, partner: str) -> Json:
    """The partner of this id, or of this name."""
    if partner.startswith("par_"):
        return client.get(f"/v1/partners/{partner}")
    query: dict[str, Any] = {"limit": _PAGE}
    while True:
        page = client.get("/v1/partners", **query)
        for each in page["data"]:
            if each["name"] == partner:
                named: Json = each
                return named
        if page["next_cursor"] is None:
            raise Fault(
                f"there is no partner named {partner!r}",
                remedy="look at `corridor partner list`",
                status=Status.REFUSED,
            )
        query["cursor"] = page["next_cursor"]


def _body(terms: Terms, found: Json) -> dict[str, Any]:
    """What is sent: limits of a currency are sent as a whole, what was not said as it is."""
    body: dict[str, Any] = {}
    if terms.signed is not None:
        body["requires_signature"] = terms.signed
    if terms.spread_bps is not None:
        spread = terms.spread_bps
        body["spread_bps"] = int(spread) if spread.isdecimal() else spread
    given = {
        "credit_line": terms.credit_line,
        "sell_max": terms.sell_max,
        "daily_sell_max": terms.daily_sell_max,
    }
    said = {name: value for name, value in given.items() if value is not None}
    if said and terms.currency is None:
        raise Fault(
            "the amounts have no currency", remedy="add --currency EUR", status=Status.USAGE
        )
    if said and terms.currency is not None:
        code = terms.currency.upper()
        limit: dict[str, Any] = {"currency": code}
        for each in found.get("limits", ()):
            limit |= each if each["currency"] == code else {}
        limit |= {name: None if value == _NONE else value for name, value in said.items()}
        body["limits"] = [limit]
    return body


def _print(partner: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(partner)
    else:
        stdout().print(pairs(_rows(partner)))


def _rows(partner: Json) -> list[tuple[str, str]]:
    rows = [
        ("partner", partner["id"]),
        ("name", escape(partner["name"])),
        ("country", partner["country"] or ""),
        ("status", _status(partner)),
        ("spread", _spread(partner)),
        ("requests", "signed" if partner["requires_signature"] else "by key"),
    ]
    for each in partner["limits"]:
        parts = [f"credit {each['credit_line']}"]
        parts += [f"quote up to {each['sell_max']}"] if each["sell_max"] else []
        parts += [f"day up to {each['daily_sell_max']}"] if each["daily_sell_max"] else []
        rows.append((each["currency"], ", ".join(parts)))
    return rows


def _status(partner: Json) -> str:
    return "[green]active[/]" if partner["status"] == "active" else "[red]suspended[/]"


def _spread(partner: Json) -> str:
    spread = partner["spread_bps"]
    return "the corridor's" if spread is None else f"{spread} bps"
