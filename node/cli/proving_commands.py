"""Commands that prove something to outsiders: names, arguments and help. See `node.cli.app`."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.connection import DEFAULT_STATE_DIR
from node.cli.options import AsJson, StateDir

prove_app = typer.Typer(no_args_is_help=True, help="Prove to outsiders what the node holds.")


@prove_app.callback()
def prove() -> None:
    """Prove to outsiders what the node holds."""


@prove_app.command("reserves")
def reserves(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write it to a new directory; default: reserves-BLOCK.",
            file_okay=False,
        ),
    ] = None,
    asset: Annotated[
        str, typer.Option(metavar="CODE", help="What is owed, and held on the chain.")
    ] = "USDC",
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Prove what the node owes and what the chain holds for it, at one final block.

    Writes reserves.json, which is for everybody, and a statement for each creditor, which is for
    that one only: it shows offline that their balance is in the total. Refused where ledger and
    chain differ. Status 1 where the chain holds less than is owed, or nothing could be proven.

    Example: [bold]corridor prove reserves --out reserves[/]
    """
    from node.cli import proving

    proving.reserves(state_dir, proving.Manner(out, asset.upper(), as_json=as_json))
