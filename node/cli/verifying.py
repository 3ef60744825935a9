"""`corridor verify`: derive the books again from their records, show what differs, export them.

Not here: the checks (`node.services.ledger.verifying`).
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from node.cli.console import columns, good, print_json, stderr, stdout
from node.cli.exporting import PartialFile, partial_file, read_anchor
from node.cli.faults import Status
from node.cli.installation import with_books

if TYPE_CHECKING:  # a command loads the node only when it runs
    from node.bootstrap.books import Books
    from node.core.proof.findings import Difference
    from node.core.proof.records import Anchor
    from node.services.ledger.verifying import Verification


@dataclass(frozen=True, slots=True)
class Manner:
    """How to verify.

    Attributes:
        anchors: `NUMBER:HASH`, or files of exports.
        export: Where an export goes, if one is wanted.
        force: Replace what is there.
    """

    anchors: Sequence[str]
    export: Path | None
    force: bool
    as_json: bool


def run(state_dir: Path, manner: Manner) -> None:
    """Verify the books.

    Raises:
        Fault: An anchor cannot be read, or the export not be written.
        typer.Exit: Status 1 when anything differs.
    """
    anchors = [read_anchor(each) for each in manner.anchors]
    target: AbstractContextManager[PartialFile | None] = nullcontext()
    if manner.export is not None:
        target = partial_file(manner.export, force=manner.force)
    began_s = time.monotonic()
    with target as file:
        found = with_books(state_dir, lambda books: _verified(books, anchors, file))
        length = file.keep() if file is not None and not found.differences else None
    if manner.as_json:
        print_json(
            {
                "anchor": str(found.anchor),
                "batches": found.batches,
                "sequences": found.sequences,
                "accounts": found.accounts,
                "entries": found.entries,
                "transfers": found.transfers,
                "checks": [name for name, _ in found.checks],
                "differences": [asdict(each) for each in found.differences],
                "counts": found.counts,
                "export": None if length is None else str(manner.export),
            }
        )
    else:
        _print(found, time.monotonic() - began_s)
        if manner.export is not None:
            _print_export(manner.export, length)
    raise typer.Exit(Status.NO if found.differences else Status.DONE)


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


async def _verified(
    books: "Books", anchors: Sequence["Anchor"], file: PartialFile | None
) -> "Verification":
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=stderr(),
        transient=True,
    )
    told: list[str] = []
    with bar:
        task = bar.add_task("ledger", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=escape(name or "done"), completed=done, total=total)

        def tell(found: "Difference") -> None:
            if not told:
                told.append(found.subject)
                bar.console.print(f"[bold red]Difference:[/] {escape(_sentence(found))}")

        return await books.verifying.verify(
            progress, anchors=anchors, export=file.write if file else None, tell=tell
        )


def _print(found: "Verification", took_s: float) -> None:
    console = stdout()
    table = columns("", "check", "holds when")
    for name, meaning in found.checks:
        table.add_row(good(name not in found.counts), escape(name), escape(meaning))
    console.print(table)
    console.print(
        f"sequences {found.sequences}, batches {found.batches}, entries {found.entries},"
        f" accounts {found.accounts}, transfers {found.transfers}; {took_s:.1f} s,"
        f" {found.entries / max(took_s, 0.001):,.0f} entries/s"
    )
    console.print(f"anchor {found.anchor}", soft_wrap=True)
    if not found.differences:
        console.print("[green]Everything that is stored follows from the entries.[/]")
        return
    for each in found.differences:
        console.print()
        console.print(f"[bold red]{escape(each.check)}[/] {escape(each.subject)}", soft_wrap=True)
        console.print(f"  expected {escape(each.expected)}", soft_wrap=True)
        console.print(f"  actual   {escape(each.actual)}", soft_wrap=True)
        for line in each.evidence:
            console.print(f"  [dim]{escape(line)}[/]", soft_wrap=True)
    console.print()
    for name, count in found.counts.items():
        shown = sum(each.check == name for each in found.differences)
        if count > shown:
            console.print(f"{escape(name)}: the first {shown} are shown, there are more")
    console.print(
        "[bold red]The books contradict themselves.[/] Stop the worker processes, keep the"
        " database as it is, and find the cause before anything is corrected."
    )


def _print_export(path: Path, length: int | None) -> None:
    console = stdout()
    if length is None:
        console.print("Nothing was exported: an export is written of books that are proven only.")
        return
    console.print(
        f"{escape(str(path))}: {length} bytes. Anyone can prove it without this node:"
        f" python scripts/verify_export.py {escape(str(path))}",
        soft_wrap=True,
    )


def _sentence(found: "Difference") -> str:
    return f"{found.check}: {found.subject}: expected {found.expected}, actual {found.actual}"
