"""`corridor deposits address`, `request`, `attribute` and `list`."""

import secrets
from dataclasses import dataclass
from typing import Final

from rich.markup import escape

from node.cli.client import AnswerLost, Json, NodeClient
from node.cli.connection import Where, customer, operator
from node.cli.console import (
    columns,
    day_time,
    next_steps,
    pairs,
    print_json,
    print_table,
    stdout,
)
from node.cli.faults import Fault, Status
from node.cli.settlement_steering import once

_TIMEOUT_S: Final = 15.0
_TOKEN: Final = "USDC"  # noqa: S105 - a currency


@dataclass(frozen=True, slots=True)
class Ask:
    """A payment request as the command line asks for it.

    Attributes:
        expires_in_s: None: the node's usual time.
    """

    customer_id: str
    amount: str
    reference: str
    expires_in_s: int | None


def address(where: Where, customer_id: str, *, as_json: bool) -> None:
    """Show a customer's standing address.

    Raises:
        Fault: The node has no such customer, or makes no addresses.
    """
    with NodeClient(customer(where, customer_id)) as client:
        found = client.get(f"/v1/customers/{customer_id}/deposit-address")
    if as_json:
        print_json(found)
        return
    rows = [
        ("address", found["address"]),
        ("send only", f"{found['currency']}, {found['token']}"),
        ("chain", str(found["chain_id"])),
    ]
    stdout().print(pairs(rows))


def request(where: Where, ask: Ask, *, as_json: bool) -> None:
    """Ask for a payment, once: a request of the same reference is refused.

    Raises:
        Fault: The node declines.
    """
    body: dict[str, object] = {
        "currency": _TOKEN,
        "amount": ask.amount,
        "reference": ask.reference,
    }
    if ask.expires_in_s is not None:
        body["expires_in_s"] = ask.expires_in_s
    with NodeClient(customer(where, ask.customer_id)) as client:
        path = f"/v1/customers/{ask.customer_id}/payment-requests"
        made = _once(client, path, body)
    if as_json:
        print_json(made)
        return
    _print_request(made)
    command = f"corridor deposits list --customer {ask.customer_id}"
    next_steps((where.command(command), "see what came"))


def attribute(where: Where, deposit_id: str, to: str, reason: str, *, as_json: bool) -> None:
    """Say whose a held deposit is.

    Raises:
        Fault: The node declines; it is too much for one operator.
    """
    whose = "partner_id" if to.startswith("par_") else "customer_id"
    with NodeClient(operator(where)) as client:
        path = f"/v1/deposits/{deposit_id}/attribute"
        look = "`corridor deposits list`"
        found = once(client, path, {whose: to, "reason": reason}, look=look)
    if as_json:
        print_json(found)
        return
    stdout().print(f"[green]Credited:[/] {found['amount']} {found['currency']} to {escape(to)}")


def deposits(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of deposits, newest first.

    Raises:
        Fault: The node declines.
    """
    with NodeClient(operator(where)) as client:
        page = client.get("/v1/deposits", timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no such deposits.")
        return
    figures = ("deposit", "amount")
    table = columns("deposit", "mined", "status", "amount", "whose", figures=figures)
    for each in page["data"]:
        told = f"{each['status']} ({', '.join(each['flags'])})" if each["flags"] else each["status"]
        table.add_row(
            each["id"], day_time(each["mined_at"]), told,
            f"{each['amount']} {each['currency']}",
            each["customer_id"] or each["partner_id"] or "nobody known",
        )  # fmt: skip
    print_table(table)
    if page["next_cursor"] is not None:
        options = {"customer_id": "customer", "status": "status", "limit": "limit"}
        given = "".join(f" --{options[name]} {query[name]}" for name in options if name in query)
        command = f"corridor deposits list --cursor {page['next_cursor']}{given}"
        next_steps((where.command(command), "older ones"))


def _once(client: NodeClient, path: str, body: Json) -> Json:
    try:
        return client.post_once(path, body, key=f"cli-{secrets.token_hex(16)}")
    except AnswerLost as lost:
        raise Fault(
            f"the node at {lost} did not answer, and may or may not have made the request",
            remedy="ask again with the same reference: it is refused if the request was made",
            status=Status.AWAY,
        ) from None


def _print_request(made: Json) -> None:
    rows = [
        ("request", made["id"]),
        ("status", made["status"]),
        ("reference", escape(made["reference"])),
        ("amount", f"{made['amount']} {made['currency']}"),
        ("pay to", made["address"]),
        ("send only", f"{made['currency']}, {made['token']}"),
        ("until", day_time(made["expires_at"])),
    ]
    stdout().print(pairs(rows))
