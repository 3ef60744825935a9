"""`corridor keys ...`: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import DEFAULT_STATE_DIR
from node.cli.options import AsJson, StateDir

keys_app = typer.Typer(no_args_is_help=True, help="Credentials of operators, partners, remitters.")

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="key_...")]
Expires = Annotated[
    str | None, typer.Option(metavar="TIME", help="90d, 12h or 3600s from now; default: never.")
]


@keys_app.command("create")
def create(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="operator, partner or remitter.")],
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Operator's or partner's name; customer's id."),
    ],
    label: Annotated[
        str | None, typer.Option("--name", help="Of a partner's key; default: the partner's.")
    ] = None,
    scopes: Annotated[
        str | None,
        typer.Option(help="Of a partner's key: read,quote,pay,refund,admin; default: all."),
    ] = None,
    expires: Expires = None,
    networks: Annotated[
        str | None, typer.Option(metavar="CIDR,...", help="From where only it may be used.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a credential. The token is shown once; the node stores only its SHA-256.

    A partner that does not exist yet is made. Two keys of one name may work at once.

    Example: [bold]corridor keys create partner shop --scopes read,quote --expires 90d[/]
    """
    from node.cli import credentials

    wanted = credentials.Wanted(role, name, label, scopes, expires, networks)
    credentials.create(state_dir, wanted, as_json=as_json)


@keys_app.command("rotate")
def rotate(
    key_id: KeyId,
    expires: Expires = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Make another key of a partner with the scopes and networks of this one, which goes on.

    Change to the new one, then revoke the old one.

    Example: [bold]corridor keys rotate key_...[/]
    """
    from node.cli import credentials

    credentials.rotate(state_dir, key_id, expires, as_json=as_json)


@keys_app.command("list")
def list_(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: AsJson = False) -> None:
    """Every credential: whose it is, and whether it still works. Tokens are not known.

    Example: [bold]corridor keys list[/]
    """
    from node.cli import credentials

    credentials.show(state_dir, as_json=as_json)


@keys_app.command("revoke")
def revoke(
    key_id: KeyId,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """End a credential for good; within a second no process accepts it.

    Example: [bold]corridor keys revoke key_...[/]
    """
    from node.cli import credentials

    credentials.revoke(state_dir, key_id, as_json=as_json)
