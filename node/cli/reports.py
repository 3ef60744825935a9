"""`corridor report`: what transfers cost, where payouts are on the chain, partners' statements."""

from typing import Final

from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, customer
from node.cli.console import columns, day_time, print_table, stdout
from node.cli.documents import Document, Manner, form_of, given, tell
from node.cli.statements import print_statement

_TIMEOUT_S: Final = 60.0
"""Thousands of lines take the node some seconds."""


def transfers(where: Where, first: str | None, last: str | None, manner: Manner) -> None:
    """Show what transfers cost, or write it to a file.

    Raises:
        Fault: The node declines or does not answer, or the file cannot be written.
    """
    query = given(from_=first, to=last)
    document = Document("/v1/reports/transfers", query, ("csv",), _TIMEOUT_S)
    form = form_of(document, manner)
    with NodeClient(customer(where, None)) as client:
        tell(client, document, form, manner, _print_costs)


def settlement(where: Where, first: str | None, last: str | None, manner: Manner) -> None:
    """Show payouts and their proof, or write them to a file.

    Raises:
        Fault: As in `transfers`.
    """
    query = given(from_=first, to=last)
    document = Document("/v1/reports/settlement", query, ("csv",), _TIMEOUT_S)
    form = form_of(document, manner)
    with NodeClient(customer(where, None)) as client:
        tell(client, document, form, manner, _print_payouts)


def partner(
    where: Where,
    partner_id: str,
    currency: str,
    days: tuple[str | None, str | None],
    manner: Manner,
) -> None:
    """Show the statement of a partner's own balance, or write it to a file.

    Raises:
        Fault: As in `transfers`.
    """
    query = given(currency=currency, from_=days[0], to=days[1])
    path = f"/v1/partners/{partner_id}/statement"
    document = Document(path, query, ("csv", "camt.053"), _TIMEOUT_S)
    form = form_of(document, manner)
    with NodeClient(customer(where, None)) as client:
        tell(client, document, form, manner, print_statement)


def _print_costs(told: Json) -> None:
    figures = ("sells", "fees", "spread", "mid rate", "buys")
    table = columns("when", "transfer", "status", *figures, figures=figures, words=("transfer",))
    for each in told["data"]:
        fees = f"{each['service_fee']['amount']} + {each['network_fee']['amount']}"
        table.add_row(
            day_time(each["created_at"]).removesuffix(" UTC"),
            each["transfer_id"],
            each["status"],
            f"{each['sell']['amount']} {each['sell']['currency']}",
            fees,
            each["spread"]["amount"],
            each["mid_rate"],
            f"{each['buy']['amount']} {each['buy']['currency']}",
        )
    _print_days(told)
    if told["data"]:
        print_table(table)


def _print_payouts(told: Json) -> None:
    figures = ("number", "block", "amount")
    table = columns("when", "transfer", *figures, "transaction", figures=figures)
    for each in told["data"]:
        table.add_row(
            day_time(each["completed_at"]).removesuffix(" UTC"),
            escape(each["transfer_id"]),
            str(each["payment_number"]),
            "" if each["block_number"] is None else str(each["block_number"]),
            f"{each['amount']['amount']} {each['amount']['currency']}",
            each["tx_hash"] or "",
        )
    _print_days(told)
    if told["data"]:
        print_table(table)


def _print_days(told: Json) -> None:
    end = "" if told["is_complete"] else ", so far"
    count = len(told["data"])
    stdout().print(f"{told['from']} to {told['to']}{end} (UTC): {count}")
