"""Options that commands share, and the chapters of the help they stand in."""

from pathlib import Path
from typing import Annotated, Final

import typer

PAY: Final = "Pay"

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
