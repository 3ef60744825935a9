"""Options that commands share, and the chapters of the help they stand in."""

from pathlib import Path
from typing import Annotated, Final

import typer

PAY: Final = "Pay"
_DIGITS_MAX: Final = 38


def plain_amount(text: str) -> str:
    """An amount of whatever currency, as it was written; how many decimals, the node knows.

    Raises:
        Fault: It is no amount; nothing was asked yet.
    """
    from node.cli.faults import Fault, Status
    from node.core.errors import AmountInvalid
    from node.core.units import Asset, parse_minor

    try:
        parse_minor(text, Asset("any", _DIGITS_MAX))
    except AmountInvalid as error:
        told = f"{text!r} is no amount; nothing was asked for"
        raise Fault(told, remedy=error.detail, status=Status.USAGE) from None
    return text


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
StateDir = Annotated[
    Path,
    typer.Option(
        "--state-dir",
        envvar="CORRIDOR_STATE_DIR",
        help="Where the devnet keeps everything.",
        file_okay=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write it to a new file.", dir_okay=False),
]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="CORRIDOR_URL", help="The node; default: that of the devnet."),
]
Token = Annotated[
    str | None,
    # A secret on the command line is seen by every user of the machine: not advertised.
    typer.Option("--token", envvar="CORRIDOR_TOKEN", hidden=True),
]
