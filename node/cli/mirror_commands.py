"""Commands of the mirror: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, Yes, asks_a_node

mirror_app = typer.Typer(
    no_args_is_help=True, help="Where the node stands on the chain; reorgs past finality."
)


@mirror_app.command()
@asks_a_node
def status(where: Where, as_json: AsJson = False) -> None:
    """Show how far the mirror is, and why it stands still if it does.

    Status 1 while it is halted.

    Example: [bold]corridor mirror status[/]
    """
    from node.cli import mirror

    mirror.status(where, as_json=as_json)


@mirror_app.command()
@asks_a_node
def reorgs(
    where: Where,
    state: Annotated[str | None, typer.Option(help="proposed, replaced or accepted.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List reorgs past finality that operators proposed to accept, newest first.

    Example: [bold]corridor mirror reorgs --state accepted[/]
    """
    from node.cli import mirror
    from node.cli.documents import given

    mirror.reorgs(where, given(state=state, limit=limit, cursor=cursor), as_json=as_json)


@mirror_app.command("accept-reorg")
@asks_a_node
def accept_reorg(
    where: Where,
    block: Annotated[
        str,
        typer.Option(metavar="HASH", help="The chain's block of the number that was final."),
    ],
    reason: Annotated[str | None, typer.Option(help="Why, for the second operator.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Propose it anew, because something has changed.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Accept that the chain replaced final blocks. Two operators run this, one after the other.

    The first proposes: the node asks every provider and shows what is undone. The second accepts
    just that: finality is undone down to where the chains part, and what the new chain does not
    pay is paid with the same number. Settlement stays paused until an operator resumes it.

    Example: [bold]corridor mirror accept-reorg --block 0x... --reason "our own node agrees"[/]
    """
    from node.cli import mirror

    ask = mirror.Ask(block.lower(), reason, is_again=again)
    mirror.accept_reorg(where, ask, assume_yes=yes, as_json=as_json)
