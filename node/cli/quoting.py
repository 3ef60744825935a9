"""`corridor quote`: a firm quote with every fee."""

from node.cli.amounts import quote_rows
from node.cli.client import Json, NodeClient
from node.cli.connection import Where, customer
from node.cli.console import next_steps, pairs, print_json, stdout


def quote_body(
    amount: str, sell: str, buy: str, *, arrives: bool, customer_id: str | None
) -> dict[str, object]:
    """The request for a firm quote; the amount stands on exactly one side."""
    side = {"currency": buy if arrives else sell, "amount": amount}
    body: dict[str, object] = {
        "sell": {"currency": sell} if arrives else side,
        "buy": side if arrives else {"currency": buy},
        "payout": {"method": "onchain"},
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
    as_json: bool,
) -> None:
    """Ask for a firm quote and show it."""
    body = quote_body(amount, sell, buy, arrives=arrives, customer_id=customer_id)
    with NodeClient(customer(where, customer_id)) as client:
        quote: Json = client.post("/v1/quotes", body)
    if as_json:
        print_json(quote)
        return
    stdout().print(pairs(quote_rows(quote)))
    who = customer_id or "CUSTOMER_ID"
    flag = " --arrives" if arrives else ""
    next_steps(
        (
            where.command(
                f"corridor send {amount} {sell} {buy}{flag} --to ADDRESS --customer {who}"
            ),
            "send it; a fresh quote is shown and you are asked first",
        )
    )
