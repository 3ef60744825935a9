"""`corridor statement` and `corridor balances`: a customer's account, now and before.

Amounts are the node's strings, never computed with. Not here: what a statement holds
(`node.core.statements`).
"""

from dataclasses import dataclass
from typing import Final

from rich.markup import escape
from rich.table import Table

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, customer
from node.cli.console import columns, day_time, print_json, print_table, stdout
from node.cli.documents import Document, Manner, form_of, given, tell

_TIMEOUT_S: Final = 60.0
"""A statement of thousands of lines takes the node some seconds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which statement; what is None is the node's to choose.

    Attributes:
        at: The time it ends at, instead of a last day.
        sequence: The sequence it ends at, instead of either.
    """

    customer_id: str
    currency: str
    first: str | None
    last: str | None
    at: str | None
    sequence: int | None

    @property
    def document(self) -> Document:
        """What to ask for."""
        path = f"/v1/customers/{self.customer_id}/statement"
        query = given(
            currency=self.currency,
            from_=self.first,
            to=self.last,
            at=self.at,
            sequence=self.sequence,
        )
        return Document(path, query, ("csv", "camt.053"), _TIMEOUT_S)


def run(where: Where, wanted: Wanted, manner: Manner) -> None:
    """Show a statement, or write it to a file.

    Raises:
        Fault: The node declines or does not answer, or the file cannot be written.
    """
    form = form_of(wanted.document, manner)
    with NodeClient(customer(where, wanted.customer_id)) as client:
        tell(client, wanted.document, form, manner, print_statement)


def balances(
    where: Where, customer_id: str, at: str | None, sequence: int | None, *, as_json: bool
) -> None:
    """Show a customer's balances.

    Raises:
        Fault: The node declines, or does not answer.
    """
    query = given(at=at, sequence=sequence)
    with NodeClient(customer(where, customer_id)) as client:
        path = f"/v1/customers/{customer_id}/balances"
        told = client.get(path, timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(told)
        return
    if told["data"]:
        figures = ("available", "reserved")
        table = columns(*figures, "currency", figures=figures)
        for each in told["data"]:
            table.add_row(f"[bold]{each['available']}[/]", each["reserved"], each["currency"])
        print_table(table)
    else:
        stdout().print("Nothing was booked for this customer by then.")
    stdout().print(f"[dim]{_as_of(told['as_of'])}[/]")


def print_statement(told: Json) -> None:
    """A statement in the terminal."""
    console, currency = stdout(), told["currency"]
    end = "" if told["is_complete"] else ", up to the point below"
    console.print(f"{currency}, {told['from']} to {told['to']}{end} (UTC)")
    console.print(f"opening balance  [bold]{told['opening']} {currency}[/]")
    if told["lines"]:
        print_table(_lines(told))
    else:
        console.print("[dim]nothing moved[/]")
    console.print(f"closing balance  [bold green]{told['closing']} {currency}[/]")
    came_in, went_out = told["totals"]["in"], told["totals"]["out"]
    console.print(
        f"in {came_in['amount']} ({_count(came_in['count'])}),"
        f" out {went_out['amount']} ({_count(went_out['count'])})"
    )
    console.print(f"[dim]{_as_of(told['as_of'])}[/]")


def _lines(told: Json) -> Table:
    figures = ("in", "out", "balance")
    table = columns("when", "what", *figures, "for", figures=figures)
    for each in told["lines"]:
        amount = (each["amount"], "") if each["direction"] == "in" else ("", each["amount"])
        reference = each["client_reference"] or each["detail"].get("reference", "")
        purpose = ", ".join(filter(None, (each["beneficiary_name"], reference)))
        table.add_row(
            day_time(each["occurred_at"]).removesuffix(" UTC"),
            each["kind"] if each["part"] == "other" else each["part"],
            *amount,
            each["balance"],
            escape(purpose),
        )
    return table


def _count(lines: int) -> str:
    return "1 line" if lines == 1 else f"{lines} lines"


def _as_of(as_of: Json) -> str:
    if as_of["booked_at"] is None:
        return "as of before anything was booked"
    return f"as of sequence {as_of['sequence']}, booked {day_time(as_of['booked_at'])}"
