"""`corridor quote`: a firm quote with every fee."""

from dataclasses import dataclass

from node.cli.amounts import quote_rows
from node.cli.client import Json, NodeClient
from node.cli.connection import Where, customer
from node.cli.console import next_steps, pairs, print_json, stdout
from node.cli.faults import Fault, Status


@dataclass(frozen=True, slots=True)
class Payout:
    """How the beneficiary is to be paid.

    Attributes:
        method: `onchain`, `partner` or `bank`.
        partner: Who is to pay out; None: whoever the node prefers.
    """

    method: str = "onchain"
    partner: str | None = None

    @property
    def body(self) -> dict[str, str]:
        """As the request says it."""
        return {"method": self.method, **({"partner": self.partner} if self.partner else {})}


ONCHAIN = Payout()


def quote_body(
    amount: str,
    sell: str,
    buy: str,
    *,
    arrives: bool,
    customer_id: str | None,
    payout: Payout = ONCHAIN,
) -> dict[str, object]:
    """The request for a firm quote; the amount stands on exactly one side."""
    side = {"currency": buy if arrives else sell, "amount": amount}
    body: dict[str, object] = {
        "sell": {"currency": sell} if arrives else side,
        "buy": side if arrives else {"currency": buy},
        "payout": payout.body,
    }
    return body | ({"customer_id": customer_id} if customer_id else {})


def run(
    where: Where,
    amount: str,
    sell: str,
    buy: str,
    *,
    arrives: bool,
    customer_id: str | None,
    payout: Payout,
    as_json: bool,
) -> None:
    """Ask for a firm quote and show it."""
    body = quote_body(amount, sell, buy, arrives=arrives, customer_id=customer_id, payout=payout)
    if payout.partner and payout.method != "partner":
        raise Fault(
            "--partner says who pays out in local money",
            remedy="add --payout partner",
            status=Status.USAGE,
        )
    with NodeClient(customer(where, customer_id)) as client:
        quote: Json = client.post("/v1/quotes", body)
    if as_json:
        print_json(quote)
        return
    stdout().print(pairs(quote_rows(quote)))
    who = customer_id or "CUSTOMER_ID"
    flag = " --arrives" if arrives else ""
    to = "--to ADDRESS"
    if payout.method != ONCHAIN.method:
        named = f" --partner {payout.partner}" if payout.partner else ""
        to = f"--account NUMBER --bank CODE --name NAME --country CC{named}"
    next_steps(
        (
            where.command(f"corridor send {amount} {sell} {buy}{flag} {to} --customer {who}"),
            "send it; a fresh quote is shown and you are asked first",
        )
    )
