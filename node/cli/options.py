"""Options that commands share, and the chapters of the help they stand in."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Concatenate, Final

import typer

from node.cli.connection import DEFAULT_STATE_DIR, Where

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
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Note = Annotated[str | None, typer.Option(help="Why, for other operators.")]
LastDay = Annotated[
    str | None, typer.Option("--to", metavar="DAY", help="Last day, UTC; default: today.")
]
Limit = Annotated[int | None, typer.Option(min=1, max=200, help="Rows; default: 50.")]
Cursor = Annotated[str | None, typer.Option(help="From where the page before ended.")]
TransferId = Annotated[str, typer.Argument(metavar="TRANSFER_ID", help="tra_...")]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="CORRIDOR_URL", help="The node; default: that of the devnet."),
]
Token = Annotated[
    str | None,
    # A secret on the command line is seen by every user of the machine: not advertised.
    typer.Option("--token", envvar="CORRIDOR_TOKEN", hidden=True),
]


def asks_a_node(command: Callable[Concatenate[Where, ...], None]) -> Callable[..., None]:
    """Let a command say which node it asks: `--url`, `--token` and `--state-dir`.

    Args:
        command: Takes what these say as its first parameter, and `--json` as its last; the help
            lists the three just before `--json`.

    Returns:
        What Typer is to make a command of: it reads the signature, and passes all by name.
    """

    def run(
        *,
        url: Url = None,
        token: Token = None,
        state_dir: StateDir = DEFAULT_STATE_DIR,
        **given: object,
    ) -> None:
        command(Where(url, token, state_dir), **given)

    *options, _given = inspect.signature(run).parameters.values()
    _where, *own, as_json = inspect.signature(command).parameters.values()
    functools.update_wrapper(run, command)
    named = [each.replace(kind=each.KEYWORD_ONLY) for each in (*own, *options, as_json)]
    run.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    return run
