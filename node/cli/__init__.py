"""The command line `corridor`, for people and for scripts.

`main` is its entry point; the commands are declared in `node.cli.app`, and each loads what it
needs only when it runs. What goes wrong in operation ends as a sentence and a remedy, never as a
traceback. Not here: rules of money or of a transfer; the commands ask the node over HTTP, or its
services through `node.bootstrap`.
"""

import inspect
import io
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from node.cli.faults import Fault, report
from node.core.errors import NodeError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit status.

    Args:
        arguments: What follows the program's name; None: those of this process.

    Raises:
        SystemExit: Always, with a status of `node.cli.faults.Status`.
    """
    from typer.main import get_command

    from node.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command = get_command(app)
        _unwrap(command)
        command(given, prog_name="corridor")
    except (Fault, NodeError) as error:
        sys.exit(report(error, as_json=_wants_json(given)))


def _unwrap(command: Any) -> None:
    """Let help be folded where the terminal ends, and not where lines of the source do as well."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(each.replace("\n", " ") for each in paragraphs)
    for each in getattr(command, "commands", {}).values():
        _unwrap(each)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether a program reads what is printed: `--json`, or `--format json`."""
    return (
        "--json" in arguments
        or "--format=json" in arguments
        or ("--format", "json") in pairwise(arguments)
    )
