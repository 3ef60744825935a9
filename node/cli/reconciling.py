"""`corridor reconcile`: one run, its checks, and the breaks that are open.

Not here: the checks themselves (`node.services.reconciling`).
"""

import re
import time
from collections.abc import Sequence
from typing import Final

import typer
from rich.markup import escape
from rich.table import Table

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, day_time, good, next_steps, pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status

_POLL_S: Final = 0.3
_WAIT_S: Final = 600.0
_PAGE: Final = 200
_HEX: Final = re.compile(r"0x[0-9a-f]{40,}")


def run(where: Where, *, explain: bool, as_json: bool) -> None:
    """Make a run and wait for it.

    Raises:
        typer.Exit: Status 1 when breaks are open or the run failed.
        Fault: The run did not end in time.
    """
    with NodeClient(operator(where)) as client:
        made = _finished(client, client.post("/v1/reconciliation/runs", {}, timeout_s=_WAIT_S))
        breaks = _open_breaks(client) if made["breaks_open"] else []
    if as_json:
        print_json({**made, "breaks": breaks})
    else:
        _print_run(made, explain=explain)
        _print_breaks(breaks, explain=explain)
        if breaks and not explain:
            command = where.command("corridor reconcile --explain")
            next_steps((command, "what each break is, and what to do"))
    is_clean = made["status"] == "completed" and not made["breaks_open"]
    raise typer.Exit(Status.DONE if is_clean else Status.NO)


def _finished(client: NodeClient, made: Json) -> Json:
    give_up_at = time.monotonic() + _WAIT_S
    while made["status"] == "running":
        if time.monotonic() > give_up_at:
            raise Fault(
                f"the run {made['id']} is not done after {_WAIT_S:.0f} s", status=Status.AWAY
            )
        time.sleep(_POLL_S)
        made = client.get(f"/v1/reconciliation/runs/{made['id']}")
    return made


def _open_breaks(client: NodeClient) -> Sequence[Json]:
    page = client.get("/v1/reconciliation/breaks", status="open", limit=_PAGE)
    found: Sequence[Json] = page["data"]
    return found


def _print_run(made: Json, *, explain: bool) -> None:
    console = stdout()
    as_of = made.get("as_of")
    if as_of:
        console.print(f"as of final block {as_of['block_number']}")
        console.print(f"[dim]{as_of['block_hash']}[/]", soft_wrap=True)
    console.print(_explained(made["checks"]) if explain else _counted(made["checks"]))
    color = "green" if not made["breaks_open"] else "bold red"
    console.print(f"{made['status']}, breaks open: [{color}]{made['breaks_open']}[/]")


def _counted(checks: Sequence[Json]) -> Table:
    """One row per kind of check: how many there are, and whether all hold."""
    kinds: dict[str, list[bool]] = {}
    for check in checks:
        kinds.setdefault(check["name"].partition(":")[0], []).append(check["ok"])
    table = columns("", "check", "compared")
    for kind, held in kinds.items():
        table.add_row(good(all(held)), escape(kind), str(len(held)))
    return table


def _explained(checks: Sequence[Json]) -> Table:
    """One row per check; what agrees is shown once and shortened, what does not in full."""
    table = columns("", "check", "of", "found")
    for check in checks:
        kind, _, subject = check["name"].partition(":")
        if check["ok"]:
            told = escape(_short(check["actual"]))
        else:
            told = f"{escape(check['actual'])}\n[dim]expected[/] {escape(check['expected'])}"
        subject = _short(subject) if check["ok"] else subject
        table.add_row(good(check["ok"]), escape(kind), escape(subject), told)
    return table


def _short(text: str) -> str:
    """`0x7b2ab3…8a84` of an address or hash."""
    return _HEX.sub(lambda found: f"{found[0][:8]}…{found[0][-4:]}", text)


def _print_breaks(breaks: Sequence[Json], *, explain: bool) -> None:
    for each in breaks:
        stdout().print()
        stdout().print(f"[bold red]{each['code']}[/] {escape(str(each['summary']))}")
        if explain:
            rows = [
                ("expected", escape(str(each["expected"]))),
                ("actual", escape(str(each["actual"]))),
                ("since", day_time(each["first_seen_at"])),
                *((name, escape(str(value))) for name, value in each["evidence"].items()),
                ("what to do", escape(str(each["next_action"]))),
                ("break", each["id"]),
            ]
            stdout().print(pairs(rows))
    if len(breaks) == _PAGE:
        stderr().print(f"Only the newest {_PAGE} breaks are shown.")
