"""`corridor watch`: the timeline of one transfer as it happens, to its end.

In a terminal the picture is redrawn in place; elsewhere each event is one line; with `--json` each
event is one JSON document on a line, and the last line is the transfer. The node being away is
waited out: the transfer does not depend on this command. Not here: what a state means to the
books (`node.core.transfers`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NoReturn

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from node.cli.amounts import transfer_rows
from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import clock_time, next_steps, pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status

_POLL_S: Final = 0.5
_AWAY_POLL_S: Final = 2.0

ENDED: Final = frozenset({"completed", "canceled", "failed", "expired", "refunded"})
"""Statuses that never change again."""

_WORDS: Final[Mapping[str, str]] = {
    "transfer.funded": "money reserved",
    "transfer.submitted": "signed and stored, sent to the chain",
    "transfer.unknown": "an answer is missing; the same bytes are sent again",
    "transfer.included": "paid in a block that is not final yet",
    "transfer.reorged": "the chain took that block back; it will be paid once, in another",
    "transfer.requeued": "its batch did not pay it; it goes into another",
    "transfer.renumbered": "it has another payment number: its own was used for something else",
    "transfer.voiding": "being taken back; what becomes final decides",
    "transfer.on_hold": "held; an operator decides",
    "transfer.settled": "final on chain, and booked",
    "transfer.payout_pending": "final at the partner, which pays out now",
    "transfer.payout_retried": "the partner tries again",
    "transfer.undeliverable": "the partner could not pay it out",
    "transfer.paid_out": "the partner has paid it out, and all is booked",
    "transfer.refunded": "the partner sent the money back, and it is booked",
    "transfer.canceled": "canceled; the money is back",
    "transfer.failed": "failed; the money is back",
    "transfer.expired": "expired; the money is back",
}
"""Event type -> plain words. A type that is not here is shown as it is."""

_NOW: Final[Mapping[str, str]] = {
    "funded": "waiting for a batch",
    "submitted": "waiting for a block",
    "unknown": "asking again",
    "included": "waiting for the block to be final",
    "voiding": "waiting for the chain to decide",
    "on_hold": "waiting for an operator",
    "payout_pending": "waiting for the partner",
    "undeliverable": "waiting for the money, or for `corridor payouts correct`",
}
"""State -> what it is waiting for."""


class _Timeline:
    """What is known of one transfer so far."""

    def __init__(self, client: NodeClient, transfer_id: str) -> None:
        self._client = client
        self._path = f"/v1/transfers/{transfer_id}"
        self.events: Sequence[Json] = ()
        self.transfer: Json = {}

    def refresh(self) -> Sequence[Json]:
        """Ask the node; the events that are new."""
        known = len(self.events)
        # In this order the events are never behind the transfer's state.
        self.transfer = self._client.get(self._path)
        self.events = self._client.get(f"{self._path}/events")["data"]
        return self.events[known:]

    @property
    def has_ended(self) -> bool:
        return bool(self.transfer) and self.transfer["status"] in ENDED

    def seconds_in(self, event: Json) -> str:
        """`+2.1 s` since the first event."""
        moments = [datetime.fromisoformat(each["occurred_at"]) for each in (self.events[0], event)]
        return f"+{(moments[1] - moments[0]).total_seconds():.1f} s"


def run(where: Where, transfer_id: str, *, wait_s: int | None, as_json: bool) -> NoReturn:
    """Follow one transfer; ends with status 0 when it completed, else 1."""
    with NodeClient(operator(where)) as client:
        follow(client, where, transfer_id, as_json=as_json, wait_s=wait_s)


def follow(
    client: NodeClient,
    where: Where,
    transfer_id: str,
    *,
    as_json: bool,
    wait_s: int | None = None,
) -> NoReturn:
    """Show the timeline until the transfer ends.

    Args:
        client: Speaks for somebody who may see the transfer.
        where: What the command line said, for the commands that are printed.
        transfer_id: The transfer.
        as_json: One document on a line instead of words.
        wait_s: Give up after so many seconds; None: never.

    Raises:
        typer.Exit: 0 completed, 1 ended otherwise, 4 gave up, 130 Ctrl-C.
        Fault: There is no such transfer, or the node was never reached.
    """
    timeline = _Timeline(client, transfer_id)
    fresh = timeline.refresh()
    try:
        if as_json:
            _follow_json(timeline, fresh, wait_s)
        elif stdout().is_terminal:
            _follow_live(timeline, wait_s)
        else:
            _follow_lines(timeline, fresh, wait_s)
    except KeyboardInterrupt:
        stderr().print("\nThe transfer goes on without this command. To come back:")
        command = where.command(f"corridor watch {transfer_id}")
        stderr().print(f"  {escape(command)}", soft_wrap=True)
        raise typer.Exit(Status.INTERRUPTED) from None
    if not timeline.has_ended:
        stderr().print(f"Still {timeline.transfer['status']} after {wait_s} s; it goes on.")
        raise typer.Exit(Status.AWAY)
    if as_json:
        print_json(timeline.transfer)
    else:
        _print_end(timeline.transfer, where)
    completed = timeline.transfer["status"] == "completed"
    raise typer.Exit(Status.DONE if completed else Status.NO)


def _news(timeline: _Timeline, wait_s: int | None) -> Iterator[Sequence[Json] | Fault]:
    """New events, or why there are none, until the transfer ends or time is up."""
    give_up_at = None if wait_s is None else time.monotonic() + wait_s
    while not timeline.has_ended and (give_up_at is None or time.monotonic() < give_up_at):
        time.sleep(_POLL_S)
        try:
            yield timeline.refresh()
        except Fault as fault:
            if fault.status is not Status.AWAY:
                raise
            yield fault
            time.sleep(_AWAY_POLL_S)


def _follow_json(timeline: _Timeline, fresh: Sequence[Json], wait_s: int | None) -> None:
    for event in fresh:
        print_json(event)
    for news in _news(timeline, wait_s):
        if not isinstance(news, Fault):
            for event in news:
                print_json(event)


def _follow_lines(timeline: _Timeline, fresh: Sequence[Json], wait_s: int | None) -> None:
    console = stdout()

    def tell(events: Sequence[Json]) -> None:
        for event in events:
            parts = (clock_time(event["occurred_at"]), timeline.seconds_in(event), _words(event))
            console.print(escape("  ".join(parts)), soft_wrap=True)

    tell(fresh)
    was_away = False
    for news in _news(timeline, wait_s):
        if isinstance(news, Fault):
            if not was_away:
                stderr().print(escape(f"{news}; trying again"), soft_wrap=True)
            was_away = True
        else:
            was_away = False
            tell(news)


def _follow_live(timeline: _Timeline, wait_s: int | None) -> None:
    spinner = Spinner("dots" if stdout().encoding.lower().startswith("utf") else "line")
    with _live(_picture(timeline, spinner, None)) as live:
        for news in _news(timeline, wait_s):
            live.update(_picture(timeline, spinner, news if isinstance(news, Fault) else None))


@contextmanager
def _live(first: RenderableType) -> Iterator[Live]:
    with Live(first, console=stdout(), refresh_per_second=8) as live:
        yield live


def _picture(timeline: _Timeline, spinner: Spinner, fault: Fault | None) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="dim", no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    newest = "bold"
    if timeline.has_ended:
        newest = "bold green" if timeline.transfer["status"] == "completed" else "bold red"
    for event in timeline.events:
        words = Text(_words(event), style=newest if event is timeline.events[-1] else "")
        table.add_row(clock_time(event["occurred_at"]), timeline.seconds_in(event), words)
    if timeline.has_ended:
        return table
    spinner.update(text=escape(str(fault) + "; trying again" if fault else _waits_for(timeline)))
    return Group(table, spinner)


def _words(event: Json) -> str:
    words = _WORDS.get(event["type"], event["type"])
    detail = event.get("detail") or {}
    if detail.get("block_number") is not None:
        words += f" (block {detail['block_number']})"
    if detail.get("message"):
        words += f": {detail['message']}"
    return words


def _waits_for(timeline: _Timeline) -> str:
    transfer = timeline.transfer
    if transfer.get("waiting"):
        return f"waiting: {transfer['waiting']['code'].replace('_', ' ')}"
    words = _NOW.get(transfer["state"], transfer["state"])
    confirmations = transfer["settlement"].get("confirmations") or 0
    return f"{words} ({confirmations} deep)" if transfer["state"] == "included" else words


def _print_end(transfer: Json, where: Where) -> None:
    stdout().print()
    stdout().print(pairs(transfer_rows(transfer)))
    if transfer["status"] == "completed":
        command = where.command("corridor reconcile --explain")
        next_steps((command, "compare the books with the chain"))
