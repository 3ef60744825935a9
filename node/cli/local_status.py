"""`corridor devnet status` and `logs`: what runs, where it stands, what it says.

Not here: what is looked at (`node.devnet.status`, `node.devnet.log_files`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape

from node.cli.connection import suffix
from node.cli.console import columns, day_time, good, next_steps, print_json, print_table, stdout
from node.cli.faults import Fault, Status
from node.cli.local import as_fault
from node.devnet.log_files import LogFile, follow, last_lines, log_files
from node.devnet.status import DevnetState, DevnetStatus, NodeStatus
from node.devnet.status import status as look

_STATES = {
    DevnetState.STARTING: "is starting",
    DevnetState.RUNNING: "is running",
    DevnetState.LEFT: "is left running by a supervisor that is gone",
}


def status(state_dir: Path, *, as_json: bool) -> None:
    """Show how the devnet is.

    Raises:
        typer.Exit: Status 1: something does not run, or is not ready.
        Fault: Nothing runs.
    """
    with as_fault():
        found = look(state_dir)
    if as_json:
        print_json({"ok": found.is_well, **asdict(found)})
    elif found.state is DevnetState.STOPPED:
        raise Fault(
            f"no devnet is running in {found.state_dir}",
            remedy=f"start one: corridor devnet up --detach{suffix(state_dir)}",
        )
    else:
        _show(found, state_dir)
    if not found.is_well:
        raise typer.Exit(Status.NO)


def logs(
    state_dir: Path,
    program: str | None,
    node: str | None,
    *,
    lines: int,
    is_followed: bool,
    as_json: bool,
) -> None:
    """Show the last lines of logs, and whatever is added while `is_followed`."""
    with as_fault(Status.USAGE if program or node else Status.NO):
        files = log_files(state_dir, program=program, node=node)
    if is_followed:
        told = follow(files, lines)
    else:
        told = ((each, line) for each in files for line in last_lines(each, lines))
    for file, line in told:
        if as_json:
            print_json({"node": file.node, "program": file.program, "line": line})
        else:
            prefix = "" if len(files) == 1 else f"{_name(file, files)} | "
            stdout().out(prefix + line, highlight=False)


def _name(file: LogFile, files: Sequence[LogFile]) -> str:
    """With the node's name where several nodes are shown."""
    nodes = {each.node for each in files if each.node is not None}
    return f"{file.node} {file.program}" if file.node and len(nodes) > 1 else file.program


def _show(found: DevnetStatus, state_dir: Path) -> None:
    console = stdout()
    who = f" (pid {found.pid}, since {day_time(found.since)})" if found.pid and found.since else ""
    console.print(f"The devnet in {escape(found.state_dir)} {_STATES[found.state]}{who}.\n")
    table = columns("program", "node", "pid", "since", figures=("pid",))
    for each in found.programs:
        pid = "[bold red]ended[/]" if each.pid is None else str(each.pid)
        table.add_row(
            each.name, each.node or "", pid, "" if each.since is None else day_time(each.since)
        )
    print_table(table)
    if found.chain is not None:
        head = "does not answer" if found.chain.head is None else f"block {found.chain.head}"
        console.print(f"\nchain {found.chain.chain_id}, {escape(found.chain.rpc_url)}: {head}\n")
    if found.nodes:
        _show_nodes(found.nodes)
    option = suffix(state_dir)
    steps = [(f"corridor devnet logs --follow{option}", "see what they say")]
    if found.state is DevnetState.LEFT:
        steps.insert(0, (f"corridor devnet down{option}", "end exactly these"))
    elif not found.is_well:
        steps.insert(0, (f"corridor doctor{option}", "what is wrong, and how to mend it"))
    next_steps(*steps)


def _show_nodes(nodes: Sequence[NodeStatus]) -> None:
    figures = ("head", "final", "behind")
    table = columns(
        "node", "ready", "url", "head", "final", "behind", figures=figures, words=("url",)
    )
    for each in nodes:
        numbers = (each.head, each.final, each.lag_blocks)
        table.add_row(
            each.name, good(each.ready), each.url,
            *("" if number is None else str(number) for number in numbers),
        )  # fmt: skip
    print_table(table)
    for each in nodes:
        for reason in each.why_not:
            stdout().print(f"{escape(each.name)} is not ready: {escape(reason)}", soft_wrap=True)
