"""`corridor send`: show the quote, ask, send once whatever happens to the answer, follow it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer

from node.cli import watching
from node.cli.amounts import quote_rows, transfer_rows
from node.cli.client import AnswerLost, Json, NodeClient, is_decided
from node.cli.connection import Where, customer
from node.cli.console import next_steps, pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status
from node.cli.quoting import quote_body
from node.cli.unanswered import Unanswered


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks to be sent.

    Attributes:
        amount: Decimal string, as typed; of the sell side, or of the buy side with `arrives`.
        beneficiary: `address`, and `name` and `country` where given.
    """

    amount: str
    sell: str
    buy: str
    arrives: bool
    customer_id: str
    beneficiary: Mapping[str, str]
    client_reference: str | None

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for two runs of the same command."""
        beneficiary = sorted(self.beneficiary.items())
        texts = (self.amount, self.sell, self.buy, self.customer_id, self.client_reference or "")
        return (*texts, str(self.arrives), *(text for item in beneficiary for text in item))


@dataclass(frozen=True, slots=True)
class Manner:
    """How the command goes about it."""

    assume_yes: bool
    watch: bool
    as_json: bool


def run(where: Where, order: Order, manner: Manner) -> None:
    """Send one order.

    Raises:
        Fault: Declined, or nobody can say (then the same command may be run again).
        typer.Exit: The status of the transfer's end, when it is watched.
    """
    connection = customer(where, order.customer_id)
    client = NodeClient(connection)
    what = (connection.url, *order.identity)
    transfer = _of_an_earlier_run(client, where, what)
    quote: Json | None = None
    if transfer is None:
        quote = client.post(
            "/v1/quotes",
            quote_body(
                order.amount,
                order.sell,
                order.buy,
                arrives=order.arrives,
                customer_id=order.customer_id,
            ),
        )
        _ask(quote, order, manner)
        body = _body(order, quote)
        record = Unanswered.write(where.state_dir, *what, body=body)
        transfer = _post(client, record)
    if manner.as_json:
        print_json({"quote": quote, "transfer": transfer})
        return
    stdout().print(pairs(transfer_rows(transfer)))
    if manner.watch:
        watching.follow(client, str(transfer["id"]), as_json=False)
    next_steps((f"corridor watch {transfer['id']}", "follow it to its end"))


def _of_an_earlier_run(client: NodeClient, where: Where, what: tuple[str, ...]) -> Json | None:
    """What became of the same command's earlier run, if that had no answer."""
    record = Unanswered.find(where.state_dir, *what)
    if record is None:
        return None
    stderr().print(
        "[yellow]An earlier run of this command got no answer. Asking what became of it, with"
        " the same key: it cannot be sent twice.[/]"
    )
    try:
        transfer = _post(client, record)
    except Fault as fault:
        if fault.problem is None or not is_decided(fault.problem):
            raise
        stderr().print("It was not sent. Starting afresh.")
        return None
    stderr().print(
        "It was sent; this is that transfer. To send the same again, run the command once more."
    )
    return transfer


def _ask(quote: Json, order: Order, manner: Manner) -> None:
    if not manner.as_json:
        stdout().print(pairs([*quote_rows(quote), ("to", order.beneficiary["address"])]))
    if manner.assume_yes:
        return
    if manner.as_json or not stderr().is_terminal:
        raise Fault(
            "nobody is there to say yes; nothing was sent",
            remedy="add --yes to send without being asked",
            status=Status.USAGE,
        )
    stderr().print("Once it is in a block, a payment on chain cannot be taken back.")
    if not typer.confirm("Send it?", err=True):
        stderr().print("Nothing was sent.")
        raise typer.Exit(Status.NO)


def _body(order: Order, quote: Json) -> dict[str, Any]:
    body: dict[str, Any] = {
        "quote_id": quote["id"],
        "customer_id": order.customer_id,
        "beneficiary": dict(order.beneficiary),
    }
    if order.client_reference:
        body["client_reference"] = order.client_reference
    return body


def _post(client: NodeClient, record: Unanswered) -> Json:
    try:
        transfer = client.post_once("/v1/transfers", record.body, key=record.key)
    except AnswerLost as lost:
        raise Fault(
            f"the node at {lost} did not answer, and may or may not have taken the transfer",
            remedy="run the same command again: it asks with the same key and cannot send twice",
            status=Status.AWAY,
        ) from None
    except Fault as fault:
        if fault.problem is not None and is_decided(fault.problem):
            record.forget()
        raise
    record.forget()
    return transfer
