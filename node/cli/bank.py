"""`corridor bank`: statements of the bank, imported and listed.

Not here: what matches (`node.core.bank`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, next_steps, print_json, print_table, stdout
from node.cli.documents import given
from node.cli.faults import Fault, Status

_PATH: Final = "/v1/reconciliation/bank-statements"
_TIMEOUT_S: Final = 120.0
"""Ten thousand lines take the node some seconds."""


def import_file(
    where: Where, file: Path, rail: str, currency: str | None, *, as_json: bool
) -> None:
    """Send a file to the node.

    Raises:
        Fault: The file cannot be read, or the node declines.
        typer.Exit: Status 1 when lines are left that nothing matches.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Fault(f"{file} cannot be read: {error.strerror}", status=Status.USAGE) from None
    media_type = "text/csv" if file.suffix.lower() == ".csv" else "application/xml"
    with NodeClient(operator(where)) as client:
        told = client.post_file(
            _PATH, content, media_type, timeout_s=_TIMEOUT_S, **given(rail=rail, currency=currency)
        )
    made: Sequence[Json] = told["data"]
    unmatched = sum(each["lines"]["unmatched"]["count"] for each in made)
    if as_json:
        print_json(told)
    else:
        _print(made)
        stdout().print(_counted(told["lines_new"], told["lines_known"]))
        if unmatched:
            command = where.command("corridor reconcile --explain")
            next_steps((command, "what each line that is left is, and what to do"))
    raise typer.Exit(Status.NO if unmatched else Status.DONE)


def statements(
    where: Where, rail: str | None, limit: int | None, cursor: str | None, *, as_json: bool
) -> None:
    """List statements.

    Raises:
        Fault: The node declines, or does not answer.
    """
    with NodeClient(operator(where)) as client:
        told = client.get(
            _PATH, timeout_s=_TIMEOUT_S, **given(rail=rail, limit=limit, cursor=cursor)
        )
    if as_json:
        print_json(told)
    elif told["data"]:
        _print(told["data"])
        if told["next_cursor"]:
            stdout().print(f"[dim]more: --cursor {told['next_cursor']}[/]", soft_wrap=True)
    else:
        stdout().print("No statement was imported yet.")


def _counted(new: int, known: int) -> str:
    """How much of the file the node had not seen before."""
    if not new:
        return f"Nothing is new: all {known} lines of the file were known already."
    return f"{new} lines are new, {known} were known already."


def _print(made: Sequence[Json]) -> None:
    figures = ("opening", "closing", "lines", "unmatched")
    table = columns("rail", "days", *figures, "id", figures=figures, words=("rail", "id"))
    for each in made:
        days = (
            each["last_day"]
            if each["first_day"] == each["last_day"]
            else f"{each['first_day']} to {each['last_day']}"
        )
        lines = each["lines"]
        left = lines["unmatched"]
        table.add_row(
            escape(each["rail"]),
            days,
            f"{each['opening']} {each['currency']}",
            f"{each['closing']} {each['currency']}",
            str(lines["total"]["count"]),
            f"{left['count']} ({left['amount']})" if left["count"] else "0",
            each["id"],
        )
    print_table(table)
