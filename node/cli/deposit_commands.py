"""`corridor deposits ...`: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, asks_a_node, plain_amount

deposits_app = typer.Typer(
    no_args_is_help=True, help="Being paid on chain: addresses, payment requests, what came."
)

CustomerId = Annotated[str, typer.Argument(metavar="CUSTOMER_ID", help="cus_...")]


@deposits_app.command()
@asks_a_node
def address(where: Where, customer_id: CustomerId, as_json: AsJson = False) -> None:
    """Show the address at which a customer is paid; the first call makes it.

    Example: [bold]corridor deposits address cus_...[/]
    """
    from node.cli import deposits

    deposits.address(where, customer_id, as_json=as_json)


@deposits_app.command()
@asks_a_node
def request(
    where: Where,
    customer_id: CustomerId,
    amount: Annotated[
        str,
        typer.Argument(metavar="AMOUNT", help="Plain decimal, 100.00.", callback=plain_amount),
    ],
    reference: Annotated[str, typer.Option(help="Yours; each is used once.")],
    expires_in_s: Annotated[
        int | None, typer.Option("--expires-in", metavar="SECONDS", min=1, help="Default: an hour.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a payment of the token to a customer, at an address of its own.

    Example: [bold]corridor deposits request cus_... 100.00 --reference INV-7[/]
    """
    from node.cli import deposits

    ask = deposits.Ask(customer_id, amount, reference, expires_in_s)
    deposits.request(where, ask, as_json=as_json)


@deposits_app.command()
@asks_a_node
def attribute(
    where: Where,
    deposit_id: Annotated[str, typer.Argument(metavar="DEPOSIT_ID", help="dep_...")],
    to: Annotated[str, typer.Option(metavar="ID", help="Whose it is: cus_... or par_...")],
    reason: Annotated[str, typer.Option(help="How that is known; it is kept.")],
    as_json: AsJson = False,
) -> None:
    """Say whose a held deposit is, as an operator: it is credited, and its break is closed.

    Status 3 where it is too much for one operator: then it is proposed, and another approves it.

    Example: [bold]corridor deposits attribute dep_... --to cus_... --reason "its sender wrote"[/]
    """
    from node.cli import deposits

    deposits.attribute(where, deposit_id, to, reason, as_json=as_json)


@deposits_app.command("list")
@asks_a_node
def list_(
    where: Where,
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this customer's, cus_...")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="credited, held, unbooked, resolved or orphaned.")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List deposits, newest first.

    Example: [bold]corridor deposits list --status held[/]
    """
    from node.cli import deposits

    given = {"customer_id": customer, "status": status, "limit": limit, "cursor": cursor}
    query = {name: str(value) for name, value in given.items() if value is not None}
    deposits.deposits(where, query, as_json=as_json)
