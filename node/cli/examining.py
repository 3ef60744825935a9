"""`corridor doctor`: what was looked at, what is wrong, how to mend it.

Not here: the looking (`node.devnet.doctor`).
"""

from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape

from node.cli.console import columns, good, print_json, stdout
from node.cli.faults import Status


def run(state_dir: Path, *, as_json: bool) -> None:
    """Look at everything and tell.

    Raises:
        typer.Exit: Status 1 when anything is wrong.
    """
    from node.devnet.doctor import examine

    findings = examine(state_dir)
    wrong = [each for each in findings if not each.ok]
    if as_json:
        print_json({"ok": not wrong, "findings": [asdict(each) for each in findings]})
        raise typer.Exit(Status.NO if wrong else Status.DONE)
    table = columns("", "looked at", "seen")
    for each in findings:
        told = escape(each.detail)
        if not each.ok and each.remedy:
            told += f"\n[bold]Remedy:[/] {escape(each.remedy)}"
        table.add_row(good(each.ok), escape(each.name), told)
    stdout().print(table)
    if wrong:
        stdout().print(f"[bold red]Wrong: {len(wrong)} of {len(findings)}.[/]")
        raise typer.Exit(Status.NO)
    stdout().print("[green]Nothing is wrong.[/]")
