"""Commands of a customer's account: name, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import PAY, AsJson, Force, LastDay, Output, asks_a_node

accounts_app = typer.Typer()

At = Annotated[
    str | None, typer.Option(metavar="TIME", help="As of then, such as 2026-11-22T16:00:00Z.")
]
Sequence = Annotated[int | None, typer.Option(min=0, help="As of a sequence of the ledger.")]
CustomerId = Annotated[str, typer.Argument(metavar="CUSTOMER_ID", help="cus_...")]


@accounts_app.command(rich_help_panel=PAY)
@asks_a_node
def balances(
    where: Where,
    customer_id: CustomerId,
    at: At = None,
    sequence: Sequence = None,
    as_json: AsJson = False,
) -> None:
    """Show what a customer has, now or as of then, and what open transfers hold of it.

    Example: [bold]corridor balances cus_... --at 2026-11-01T00:00:00Z[/]
    """
    from node.cli import statements

    statements.balances(where, customer_id, at, sequence, as_json=as_json)


@accounts_app.command(rich_help_panel=PAY)
@asks_a_node
def statement(
    where: Where,
    customer_id: CustomerId,
    currency: Annotated[str, typer.Option(metavar="CODE", help="Such as EUR.")],
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="First day, UTC; default: of --to's month."),
    ] = None,
    last: LastDay = None,
    at: At = None,
    sequence: Sequence = None,
    form: Annotated[
        str | None, typer.Option("--format", help="table, json, csv or camt.053 (ISO 20022).")
    ] = None,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show what moved a customer's balance of one currency, from day to day.

    Opening balance, every posted movement, closing balance. This month so far unless days are
    given. With --at or --sequence instead of --to it ends there, also within a day. --json is
    --format json.

    Example: [bold]corridor statement cus_... --currency EUR --format csv --output nov.csv[/]
    """
    from node.cli import documents, statements

    wanted = statements.Wanted(customer_id, currency.upper(), first, last, at, sequence)
    manner = documents.Manner(form, as_json, output, force)
    statements.run(where, wanted, manner)
