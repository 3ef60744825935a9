"""What the demo's parts show alike: tables, timelines, reconciliations.

Not here: what is shown (`demo.py`, `crossing_shown.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.devnet.remittance import Document


def table(console: Console, *rows: tuple[str, str]) -> None:
    """Two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(f"  {label}", value)
    console.print(grid)


def show_event(event: Document, events: list[Document], console: Console) -> None:
    """The newest event of a timeline, when it came, and what it tells that is new."""
    took_s = (_moment(event) - _moment(events[0])).total_seconds()
    told = events[-2]["detail"] if len(events) > 1 else {}
    news = [
        f"{label} {event['detail'][name]}"
        for name, label in (("tx_hash", "tx"), ("block_number", "block"))
        if event["detail"].get(name) not in (None, told.get(name))
    ]
    console.print(f"  {took_s:5.1f} s  {event['state']:<14} {', '.join(news)}", soft_wrap=True)


def show_reconciliation(run: Document, console: Console, *, of: str = "") -> None:
    """How a run ended; `of` names the node where there are several."""
    block = run["as_of"]
    where = f" of ledger and chain at block {block['block_number']}" if block else ""
    wrong = [each for each in run["checks"] if not each["ok"]]
    kinds = Counter(re.split("[.:]", each["name"])[0] for each in run["checks"])
    console.print(f"\n[bold]Reconciliation[/]{of}{where}: {run['status']}")
    shown = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    console.print(f"  checked: {shown}", soft_wrap=True)
    for each in wrong:
        console.print(
            f"  [bold red]NO[/]  {escape(each['name'])}: should be {escape(each['expected'])}, "
            f"is {escape(each['actual'])}",
            soft_wrap=True,
        )
    colour = "green" if run["breaks_open"] == 0 and not wrong else "bold red"
    agree = len(run["checks"]) - len(wrong)
    console.print(
        f"  [{colour}]{agree} of {len(run['checks'])} checks agree, "
        f"{run['breaks_open']} breaks open[/]"
    )


def _moment(event: Document) -> datetime:
    return datetime.fromisoformat(event["occurred_at"])
