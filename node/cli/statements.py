"""`corridor statement` and `corridor balances`: a customer's account, now and before.

Amounts are the node's strings, never computed with. Not here: what a statement holds
(`node.core.statements`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.markup import escape
from rich.table import Table

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, customer
from node.cli.console import day_time, print_json, stderr, stdout
from node.cli.exporting import partial_file
from node.cli.faults import Fault, Status

_FILES: Final = ("csv", "camt.053")
_FORMATS: Final = ("table", "json", *_FILES)
_TIMEOUT_S: Final = 60.0
"""A statement of thousands of lines takes the node some seconds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which statement; days that are None are the node's to choose."""

    customer_id: str
    currency: str
    first: str | None
    last: str | None

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/v1/customers/{self.customer_id}/statement"

    @property
    def query(self) -> dict[str, str]:
        """As the node's parameters."""
        given = {"currency": self.currency, "from": self.first, "to": self.last}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Manner:
    """How to tell.

    Attributes:
        form: `table`, or a format of the node.
        output: The file to write; None: print.
        force: Replace the file if it exists.
    """

    form: str
    output: Path | None
    force: bool


def run(where: Where, wanted: Wanted, manner: Manner) -> None:
    """Show a statement, or write it to a file.

    Raises:
        Fault: The node declines or does not answer, or the file cannot be written.
    """
    if manner.form not in _FORMATS:
        raise Fault(
            f"there is no format {manner.form!r}",
            remedy=f"--format is one of {', '.join(_FORMATS)}",
            status=Status.USAGE,
        )
    if manner.output is not None and manner.form == "table":
        raise Fault(
            "a table is for the terminal",
            remedy="add --format csv, json or camt.053",
            status=Status.USAGE,
        )
    with NodeClient(customer(where, wanted.customer_id)) as client:
        if manner.output is not None:
            with partial_file(manner.output, force=manner.force) as file:
                file.write(_document(client, wanted, manner.form))
                file.keep()
            stderr().print(f"written: {escape(str(manner.output))}", soft_wrap=True)
        elif manner.form in _FILES:
            typer.echo(_document(client, wanted, manner.form), nl=False)
        else:
            told = client.get(wanted.path, timeout_s=_TIMEOUT_S, **wanted.query)
            if manner.form == "json":
                print_json(told)
            else:
                _print(told)


def balances(
    where: Where, customer_id: str, at: str | None, sequence: int | None, *, as_json: bool
) -> None:
    """Show a customer's balances.

    Raises:
        Fault: The node declines, or does not answer.
    """
    asked = {"at": at, "sequence": sequence}
    query = {name: str(value) for name, value in asked.items() if value is not None}
    with NodeClient(customer(where, customer_id)) as client:
        path = f"/v1/customers/{customer_id}/balances"
        told = client.get(path, timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(told)
        return
    if told["data"]:
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("available", "reserved", "currency"):
            table.add_column(name, justify="left" if name == "currency" else "right")
        for each in told["data"]:
            table.add_row(f"[bold]{each['available']}[/]", each["reserved"], each["currency"])
        stdout().print(table)
    else:
        stdout().print("Nothing was booked for this customer by then.")
    stdout().print(f"[dim]{_as_of(told['as_of'])}[/]")


def _document(client: NodeClient, wanted: Wanted, form: str) -> bytes:
    if form == "json":
        told = client.get(wanted.path, timeout_s=_TIMEOUT_S, **wanted.query)
        return json.dumps(told, ensure_ascii=False).encode() + b"\n"
    return client.get_file(wanted.path, timeout_s=_TIMEOUT_S, format=form, **wanted.query)


def _print(told: Json) -> None:
    console, currency = stdout(), told["currency"]
    end = "" if told["is_complete"] else " so far"
    console.print(f"{currency}, {told['from']} to {told['to']}{end} (UTC)")
    console.print(f"opening balance  [bold]{told['opening']} {currency}[/]")
    if told["lines"]:
        console.print(_lines(told))
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
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("when", "what"):
        table.add_column(name, no_wrap=True)
    for name in ("in", "out", "balance"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("for", overflow="fold")
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
