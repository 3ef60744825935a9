"""Where commands print: results on standard output, everything else on standard error.

Rich honours NO_COLOR and TERM=dumb, and leaves colours out where the output is not a terminal.
Not here: what is printed.
"""

import json
from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def stdout() -> Console:
    """Results. Not a terminal: no colours, and lines as long as they are."""
    return Console(highlight=False)


def stderr() -> Console:
    """Questions, progress, next steps, faults."""
    return Console(stderr=True, highlight=False)


def print_json(document: object) -> None:
    """One JSON document on one line of standard output, for programs."""
    stdout().out(json.dumps(document, ensure_ascii=False), highlight=False)


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Labels and values below each other; fits narrow terminals."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(escape(label), value)
    return table


def columns(*names: str) -> Table:
    """A table with one heading line; values are folded, never cut."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def next_steps(*steps: tuple[str, str]) -> None:
    """What one may do now: (command, why), on standard error."""
    console = stderr()
    console.print()
    for command, why in steps:
        console.print(f"[dim]{escape(why)}:[/]")
        console.print(f"  [bold]{escape(command)}[/]", soft_wrap=True)


def clock_time(moment: str) -> str:
    """`14:03:22` (UTC) of an RFC 3339 time."""
    return f"{datetime.fromisoformat(moment):%H:%M:%S}"


def day_time(moment: str) -> str:
    """`2026-11-22 14:03 UTC` of an RFC 3339 time."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"


def good(is_good: bool) -> str:
    """A mark that also reads without colour."""
    return "[green]ok[/]" if is_good else "[bold red]NO[/]"
