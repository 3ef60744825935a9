"""Commands of rates and halts of quoting: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Note, asks_a_node

fx_app = typer.Typer(invoke_without_command=True)

Currency = Annotated[str, typer.Argument(metavar="CURRENCY", help="Such as EUR; or `everything`.")]


@fx_app.callback()
@asks_a_node
def fx(where: Where, context: typer.Context, as_json: AsJson = False) -> None:
    """Rates, what they are made of, halts of quoting, and exposure; halt and resume.

    Example: [bold]corridor fx[/]
    """
    if context.invoked_subcommand is None:
        from node.cli import fx as fx_command

        fx_command.show(where, as_json=as_json)


@fx_app.command("halt")
@asks_a_node
def fx_halt(where: Where, currency: Currency, note: Note = None, as_json: AsJson = False) -> None:
    """Quote nothing more in a currency, and revoke its open quotes. Transfers go on.

    Example: [bold]corridor fx halt EUR --note "looking at the source"[/]
    """
    from node.cli import fx as fx_command

    fx_command.halt(where, currency, note, as_json=as_json)


@fx_app.command("resume")
@asks_a_node
def fx_resume(
    where: Where,
    currency: Currency,
    mid_rate: Annotated[
        str | None,
        typer.Option(help="The mid rate you have seen: where the node has another, it refuses."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """End the halt of a currency; after a jump, accept its mid rate as it is now.

    Example: [bold]corridor fx resume EUR --mid-rate 1.15626[/]
    """
    from node.cli import fx as fx_command

    fx_command.resume(where, currency, mid_rate, as_json=as_json)
