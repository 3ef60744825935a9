"""`corridor verify`: derive the books again from their entries and show what differs.

Not here: the checks (`node.services.verifying`).
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from node.cli.console import columns, good, print_json, stderr, stdout
from node.cli.faults import Status
from node.cli.installation import with_books

if TYPE_CHECKING:  # a command loads the node only when it runs
    from node.bootstrap import Books
    from node.services.verifying import Verification


def run(state_dir: Path, *, as_json: bool) -> None:
    """Verify the books.

    Raises:
        typer.Exit: Status 1 when anything differs.
    """
    found = with_books(state_dir, _verified)
    if as_json:
        print_json(
            {
                "accounts": found.accounts,
                "entries": found.entries,
                "transfers": found.transfers,
                "checks": [name for name, _ in found.checks],
                "differences": [asdict(each) for each in found.differences],
            }
        )
    else:
        _print(found)
    raise typer.Exit(Status.NO if found.differences else Status.DONE)


async def _verified(books: "Books") -> "Verification":
    bar = Progress(TextColumn("{task.description}"), BarColumn(), console=stderr(), transient=True)
    with bar:
        task = bar.add_task("verifying", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=escape(name or "done"), completed=done, total=total)

        return await books.verifying.verify(progress)


def _print(found: "Verification") -> None:
    console = stdout()
    wrong = {each.check for each in found.differences}
    table = columns("", "check", "holds when")
    for name, meaning in found.checks:
        table.add_row(good(name not in wrong), escape(name), escape(meaning))
    console.print(table)
    console.print(
        f"entries {found.entries}, accounts {found.accounts}, transfers {found.transfers}"
    )
    if not found.differences:
        console.print("[green]Everything that is stored follows from the entries.[/]")
        return
    console.print()
    differing = columns("check", "what", "expected", "actual")
    for each in found.differences:
        differing.add_row(*map(escape, (each.check, each.subject, each.expected, each.actual)))
    console.print(differing)
    console.print(
        "[bold red]The books contradict themselves.[/] Stop the worker processes, keep the"
        " database as it is, and find the cause before anything is corrected."
    )
