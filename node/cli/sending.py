"""`corridor send`: show the quote, ask, send once whatever happens to the answer, follow it."""

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import typer
from rich.markup import escape

from node.cli import watching
from node.cli.amounts import quote_rows, transfer_rows
from node.cli.client import AnswerLost, Json, NodeClient
from node.cli.connection import Connection, Where, customer
from node.cli.console import next_steps, pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status
from node.cli.quoting import ONCHAIN, Payout, quote_body
from node.cli.unanswered import Unanswered
from node.client.errors import is_decided


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks to be sent.

    Attributes:
        amount: Decimal string, as typed; of the sell side, or of the buy side with `arrives`.
        name: The beneficiary's; None, with `country`: the customer's own address is paid.
        country: ISO 3166-1 alpha-2.
        address: Where the token goes; None: a partner pays out, to `account` at `bank`.
        partner: Who is to pay out; None: whoever the node prefers.
        refund_policy: What follows where the partner's bank refuses; None: the money comes back.
    """

    amount: str
    sell: str
    buy: str
    arrives: bool
    customer_id: str
    address: str | None
    name: str | None
    country: str | None
    client_reference: str | None
    account: str | None = None
    bank: str | None = None
    partner: str | None = None
    refund_policy: str | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for two runs of the same command, and only for those."""
        return tuple(str(value) for value in astuple(self))

    @property
    def payout(self) -> Payout:
        """How the beneficiary is paid."""
        return ONCHAIN if self.account is None else Payout("partner", self.partner)

    def check(self) -> None:
        """Nothing, if it says where the money goes.

        Raises:
            Fault: It does not, or says it twice.
        """
        if (self.address is None) == (self.account is None):
            fault, remedy = "where does it go?", "give --to ADDRESS, or --account and --bank"
        elif (self.account is None) != (self.bank is None):
            fault, remedy = "--account and --bank go together", "give both"
        elif self.account is None and (self.partner or self.refund_policy):
            fault, remedy = "no partner pays to an address", "give --account and --bank"
        else:
            return
        raise Fault(fault, remedy=remedy, status=Status.USAGE)


@dataclass(frozen=True, slots=True)
class Manner:
    """How the command goes about it."""

    assume_yes: bool
    watch: bool
    as_json: bool


def run(
    where: Where,
    order: Order,
    manner: Manner,
    *,
    client_of: Callable[[Connection], NodeClient] = NodeClient,
) -> None:
    """Send one order.

    Raises:
        Fault: Declined, or nobody can say (then the same command may be run again).
        typer.Exit: The status of the transfer's end, when it is watched.
    """
    order.check()
    connection = customer(where, order.customer_id)
    what = (connection.url, *order.identity)
    with client_of(connection) as client:
        transfer, quote = _of_an_earlier_run(client, where, what), None
        if transfer is None:
            beneficiary = _beneficiary(client, connection, order)
            quote = _quote(client, order)
            _ask(quote, beneficiary, manner)
            body = _body(order, quote, beneficiary)
            transfer = _post(client, Unanswered.write(where.state_dir, *what, body=body))
        if manner.as_json:
            print_json({"quote": quote, "transfer": transfer})
        elif manner.watch:
            stdout().print(f"\n[dim]transfer[/] {transfer['id']}", soft_wrap=True)
        if manner.watch:
            watching.follow(client, where, str(transfer["id"]), as_json=manner.as_json)
        if manner.as_json:
            return
        stdout().print(pairs(transfer_rows(transfer)))
    command = where.command(f"corridor watch {transfer['id']}")
    next_steps((command, "follow it to its end"))


def _quote(client: NodeClient, order: Order) -> Json:
    body = quote_body(
        order.amount,
        order.sell,
        order.buy,
        arrives=order.arrives,
        customer_id=order.customer_id,
        payout=order.payout,
    )
    return client.post("/v1/quotes", body)


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


def _beneficiary(client: NodeClient, connection: Connection, order: Order) -> dict[str, Any]:
    """Who is paid: whoever is named, else the customer, at an address or account of its own."""
    name, country = order.name, order.country
    if (name is None) != (country is None):
        raise Fault("--name and --country go together", status=Status.USAGE)
    if name is None or country is None:
        own = connection.customer or _customer(client, order.customer_id)
        name, country = str(own["name"]), str(own["country"])
    who = {"name": name, "country": country}
    if order.account is None:
        return who | {"address": order.address}
    return who | {"account": {"number": order.account, "bank_code": order.bank}}


def _customer(client: NodeClient, customer_id: str) -> Json:
    try:
        return client.get(f"/v1/customers/{customer_id}")
    except Fault as fault:
        if fault.problem is None or fault.problem.get("code") != "scope_missing":
            raise
        raise Fault(
            "this credential does not show the customer's own name and country",
            remedy="say who is paid with --name and --country",
            status=Status.USAGE,
        ) from None


def _ask(quote: Json, beneficiary: Mapping[str, Any], manner: Manner) -> None:
    if not manner.as_json:
        who = f"{beneficiary['name']}, {beneficiary['country']}"
        rows = [("beneficiary", escape(who))]
        if (account := beneficiary.get("account")) is None:
            rows.append(("address", escape(beneficiary["address"])))
        else:
            rows.append(("account", escape(f"{account['number']} at {account['bank_code']}")))
        stdout().print(pairs([*quote_rows(quote), *rows]))
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


def _body(order: Order, quote: Json, beneficiary: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "quote_id": quote["id"],
        "customer_id": order.customer_id,
        "beneficiary": dict(beneficiary),
    }
    if order.client_reference:
        body["client_reference"] = order.client_reference
    if order.refund_policy:
        body["refund_policy"] = order.refund_policy
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
