"""What `corridor trigger` does: finds the devnet, begins, waits, ends, and says what happened.

Not here: what each trigger does (`node.devnet.sandbox`).
"""

import json
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import typer
from rich.markup import escape

from node.cli.console import pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status
from node.core.errors import NodeError
from node.devnet import DevnetError
from node.devnet.sandbox import OUTCOMES, TRIGGERS, Group, Site, Trigger, Wish

_TIME: Final = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    name: str
    for_s: int
    end: bool
    forward: str | None
    depth_blocks: int
    address: str | None
    request_id: str | None
    payout_id: str | None
    node: str | None
    state_dir: Path


def show(*, as_json: bool) -> None:
    """Every outcome, by group, and every trigger there is besides."""
    if as_json:
        print_json({"outcomes": [each.document() for each in OUTCOMES]})
        return
    console = stdout()
    for group in Group:
        console.print(f"[bold]{escape(group.value)}[/]")
        told = [each for each in OUTCOMES if each.group is group]
        console.print(pairs((each.name, escape(f"{each.how}: {each.sees}")) for each in told))
        console.print()
    console.print("[bold]Triggers[/]")
    console.print(pairs((name, escape(each.line)) for name, each in TRIGGERS.items()))


def run(asked: Asked, *, as_json: bool) -> None:
    """Make one thing happen.

    Raises:
        Fault: There is no such trigger, no devnet, or the devnet declines.
        typer.Exit: 130 after Ctrl-C; what was begun is ended.
    """
    trigger = _known(asked.name)
    wish = Wish(
        request_id=asked.request_id,
        payout_id=asked.payout_id,
        address=asked.address,
        forward=_time(asked.forward),
        depth_blocks=asked.depth_blocks,
    )
    try:
        ask_chain = not (asked.end and trigger.stops_chain)
        site = Site.open(asked.state_dir, asked.node, ask_chain=ask_chain)
        if asked.end:
            if trigger.end is None:
                raise Fault(f"{asked.name} does not last: there is nothing to end")
            trigger.end(site, wish)
            _tell({"ended": asked.name}, as_json=as_json)
            return
        _tell(trigger.begin(site, wish), as_json=as_json)
        if trigger.end is not None and asked.for_s:
            _last(trigger, site, wish, asked.for_s)
    except DevnetError as error:
        raise Fault(error.args[0], remedy=error.remedy) from None
    except NodeError as error:
        raise Fault(error.detail) from None


def _last(trigger: Trigger, site: Site, wish: Wish, for_s: int) -> None:
    """Let it last, and end it whatever happens."""
    assert trigger.end is not None
    stderr().print(f"[dim]it lasts {for_s} s; Ctrl-C ends it[/]")
    try:
        time.sleep(for_s)
    except KeyboardInterrupt:
        raise typer.Exit(Status.INTERRUPTED) from None
    finally:
        trigger.end(site, wish)
    stderr().print("[dim]ended[/]")


def _known(name: str) -> Trigger:
    if name in TRIGGERS:
        return TRIGGERS[name]
    for each in OUTCOMES:
        if each.name == name:
            raise Fault(
                f"nothing needs to be triggered for {name}",
                remedy=each.how,
                status=Status.USAGE,
            )
    raise Fault(
        f"there is no trigger {name!r}",
        remedy="`corridor trigger --list` names them all",
        status=Status.USAGE,
    )


def _time(text: str | None) -> timedelta:
    if text is None:
        return timedelta()
    match = _TIME.fullmatch(text)
    if match is None:
        raise Fault(
            f"{text!r} is no time",
            remedy="write it such as 90s, 15m, 2h or 3d",
            status=Status.USAGE,
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    rows = (
        (name, escape(value if isinstance(value, str) else json.dumps(value)))
        for name, value in facts.items()
    )
    stdout().print(pairs(rows))
