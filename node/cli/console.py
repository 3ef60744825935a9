"""Where commands print: results on standard output, everything else on standard error.

Rich honours NO_COLOR and TERM=dumb, and leaves colours out where the output is not a terminal.
Not here: what is printed.
"""

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

_GAP: Final = 2
_TEXT_LEAST: Final = 12
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60))


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


def columns(*names: str, figures: Collection[str] = (), words: Collection[str] = ()) -> Table:
    """A table for `print_table`; texts are folded, figures stay whole, nothing is cut.

    Args:
        names: Headings.
        figures: Those of amounts, rates, days and ages: to the right, and never folded.
        words: Those of ids, hashes and addresses, which people copy: never folded either.
    """
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, _GAP, 0, 0))
    for name in names:
        if name in figures:
            table.add_column(name, justify="right", no_wrap=True)
        elif name in words:
            table.add_column(name, no_wrap=True)
        else:
            table.add_column(name, overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print it on standard output; row by row where what is not folded has no room."""
    console = stdout()
    if sum(_least(each) + _GAP for each in table.columns) - _GAP <= console.width:
        console.print(table)
        return
    labels = [str(each.header).replace("\n", " ") for each in table.columns]
    rows = zip(*(each.cells for each in table.columns), strict=True)
    for number, row in enumerate(rows):
        if number:
            console.print()
        told = ((label, str(cell)) for label, cell in zip(labels, row, strict=True) if cell)
        console.print(pairs(told))


def _least(column: Column) -> int:
    """Characters a column needs: its whole width, or of a text no more than a word or two."""
    cells = (Text.from_markup(str(each)) for each in (column.header, *column.cells))
    widest = max(line.cell_len for each in cells for line in each.split())
    return widest if column.no_wrap else min(widest, _TEXT_LEAST)


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


def duration(seconds: int) -> str:
    """`23 d` of 2006986 s: whole units, cut off, at least two of them."""
    for unit, unit_s in _UNITS:
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"


def good(is_good: bool) -> str:
    """A mark that also reads without colour."""
    return "[green]ok[/]" if is_good else "[bold red]NO[/]"
