"""Commands of the bank's statements: names, arguments and help. See `node.cli.app`."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, asks_a_node

bank_app = typer.Typer(no_args_is_help=True, help="Statements of the bank, beside the ledger.")

Rail = Annotated[str, typer.Option(help="The node's bank, such as sandbox_bank.")]


@bank_app.command("import")
@asks_a_node
def import_(
    where: Where,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="camt.053, or CSV by its name.", exists=True, dir_okay=False
        ),
    ],
    rail: Rail,
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Of CSV without that column.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a statement, and match it to the ledger.

    Status 1 when lines are left that nothing matches.

    Example: [bold]corridor bank import november.xml --rail sandbox_bank[/]
    """
    from node.cli import bank

    bank.import_file(where, file, rail, currency, as_json=as_json)


@bank_app.command()
@asks_a_node
def statements(
    where: Where,
    rail: Annotated[str | None, typer.Option(help="Only of this bank.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List the statements that were imported, newest first.

    Example: [bold]corridor bank statements --rail sandbox_bank[/]
    """
    from node.cli import bank

    bank.statements(where, rail, limit, cursor, as_json=as_json)
