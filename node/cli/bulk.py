"""`corridor bulk`: a file is sent as it is; the node reads it, and says what came of its rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, customer
from node.cli.console import columns, next_steps, print_json, print_table, stdout
from node.cli.documents import Document, Manner, form_of, given, tell
from node.cli.faults import Fault, Status
from node.client.bulk import MEDIA_TYPES, bulk_key

_PATH: Final = "/v1/bulk-transfers"
_TIMEOUT_S: Final = 120.0
"""Ten thousand rows take the node some seconds."""

_LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """A file, and what its rows need not say.

    Attributes:
        refund_policy: What follows where the bank of a row that a partner pays out refuses.
        again: Take it in anew, where the same was sent before.
    """

    file: Path
    all_or_nothing: bool
    sell: str | None
    buy: str | None
    customer_id: str | None
    refund_policy: str | None
    instructed: str
    again: bool

    @property
    def query(self) -> dict[str, str]:
        """As the node's parameters."""
        return given(
            mode="all_or_nothing" if self.all_or_nothing else None,
            sell_currency=self.sell,
            buy_currency=self.buy,
            customer_id=self.customer_id,
            refund_policy=self.refund_policy,
            instructed=None if self.instructed == "sell" else self.instructed,
        )

    def key(self, content: bytes) -> str:
        """The Idempotency-Key: the same for the same file, taken the same way."""
        if self.again:
            return f"bulk-{uuid4().hex}"
        return bulk_key(content, self.query)


def send(where: Where, order: Order, *, wait: bool, as_json: bool) -> None:
    """Send a file.

    Raises:
        Fault: The file cannot be read, or the node declines or does not answer.
        typer.Exit: Status 1 when rows were rejected.
    """
    media_type = MEDIA_TYPES.get(order.file.suffix.lower())
    if media_type is None:
        raise Fault(
            f"{order.file} is neither .csv nor .xml (pain.001) nor .jsonl",
            remedy="name it so; the name says how it is read",
            status=Status.USAGE,
        )
    try:
        content = order.file.read_bytes()
    except OSError as error:
        raise Fault(f"{order.file} cannot be read: {error.strerror}", status=Status.USAGE) from None
    with NodeClient(customer(where, order.customer_id)) as client:
        told = client.post_file(
            _PATH,
            content,
            media_type,
            timeout_s=_TIMEOUT_S,
            key=order.key(content),
            **order.query,
        )
        told = client.get(f"{_PATH}/{told['id']}", timeout_s=_TIMEOUT_S)
        while wait and told["status"] == "processing":
            time.sleep(_LOOK_EVERY_S)
            told = client.get(f"{_PATH}/{told['id']}", timeout_s=_TIMEOUT_S)
    _tell(where, told, as_json=as_json)
    raise typer.Exit(Status.NO if told["rows"]["rejected"] else Status.DONE)


def show(where: Where, bulk_id: str, *, as_json: bool) -> None:
    """Show a bulk transfer.

    Raises:
        Fault: The node declines, or does not answer.
    """
    with NodeClient(customer(where, None)) as client:
        told = client.get(f"{_PATH}/{bulk_id}", timeout_s=_TIMEOUT_S)
    _tell(where, told, as_json=as_json)


def rows(
    where: Where,
    bulk_id: str,
    status: str | None,
    after: int,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """List rows.

    Raises:
        Fault: The node declines, or does not answer.
    """
    query = given(status=status, after=after, limit=limit)
    with NodeClient(customer(where, None)) as client:
        told = client.get(f"{_PATH}/{bulk_id}/rows", timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(told)
    elif told["data"]:
        _print_rows(told["data"])
        stdout().print(f"[dim]more: --after {told['next_after']}[/]")
    else:
        stdout().print("There are no such rows.")


def report(where: Where, bulk_id: str, manner: Manner) -> None:
    """Show all of a bulk transfer, or write it to a file.

    Raises:
        Fault: The node declines or does not answer, or the file cannot be written.
    """
    document = Document(f"{_PATH}/{bulk_id}/report", {}, ("csv", "pain.002"), _TIMEOUT_S)
    form = form_of(document, manner)

    def print_all(told: Json) -> None:
        _print(told["bulk_transfer"])
        _print_rows(told["rows"])

    with NodeClient(customer(where, None)) as client:
        tell(client, document, form, manner, print_all)


def _tell(where: Where, told: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    _print(told)
    steps = []
    if told["rows"]["rejected"]:
        command = where.command(f"corridor bulk rows {told['id']} --status rejected")
        steps.append((command, "what is wrong with each"))
    command = where.command(f"corridor bulk show {told['id']}")
    next_steps(*steps, (command, "where its transfers are"))


def _print(told: Json) -> None:
    counts, transfers, console = told["rows"], told["transfers"], stdout()
    console.print(f"{told['id']}  [bold]{told['status']}[/]")
    console.print(
        f"rows {counts['total']}: {counts['accepted']} accepted, {counts['rejected']} rejected,"
        f" {counts['pending']} pending"
    )
    if told["waiting"]:
        console.print(f"waiting since {told['waiting']['since']}: {told['waiting']['code']}")
    console.print(
        f"transfers: {transfers['completed']} completed, {transfers['processing']} on their way,"
        f" {transfers['failed']} failed"
    )
    for each in told["sums"]:
        sell, buy, paid = each["sell"], each["buy"], each["completed_buy"]
        console.print(
            f"{each['count']} x {sell['amount']} {sell['currency']} for {buy['amount']}"
            f" {buy['currency']}, of which {paid['amount']} are paid"
        )


def _print_rows(shown: Sequence[Json]) -> None:
    figures = ("line", "sells", "buys")
    table = columns("line", "reference", "status", "sells", "buys", "why", figures=figures)
    for each in shown:
        transfer, errors = each["transfer"], each["errors"]
        table.add_row(
            str(each["line"]),
            escape(each["client_reference"] or ""),
            transfer["state"] if transfer else each["status"],
            f"{transfer['sell']['amount']} {transfer['sell']['currency']}" if transfer else "",
            f"{transfer['buy']['amount']} {transfer['buy']['currency']}" if transfer else "",
            escape("; ".join(f"{one['pointer']} {one['message']}".strip() for one in errors)),
        )
    print_table(table)
