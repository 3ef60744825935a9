"""`corridor mirror status`, `reorgs` and `accept-reorg`. Names and help: `mirror_commands`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import (
    columns,
    day_time,
    next_steps,
    pairs,
    print_json,
    print_table,
    stderr,
    stdout,
)
from node.cli.faults import Fault, Status
from node.cli.settlement_steering import once

_REORGS: Final = "/v1/mirror/reorgs"
_BREAKS: Final = "/v1/reconciliation/breaks"
_DEEP_REORG: Final = "B19"
_TIMEOUT_S: Final = 60.0
_ASKED: Final = {"closed": "asked", "open": "left alone", "half_open": "on trial"}
_ROWS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Ask:
    """What an operator asks for.

    Attributes:
        block: Hash of the chain's block, `0x...` in lower case.
        is_again: A new proposal, whatever waits.
    """

    block: str
    reason: str | None
    is_again: bool


def status(where: Where, *, as_json: bool) -> None:
    """Show where the mirror stands.

    Raises:
        typer.Exit: Status 1 while it is halted.
    """
    with NodeClient(operator(where)) as client:
        found = client.get("/v1/mirror")
        asked = {"status": "open", "code": _DEEP_REORG, "limit": "1"}
        breaks = (
            client.get(_BREAKS, timeout_s=_TIMEOUT_S, **asked)["data"] if found["halted"] else []
        )
    if as_json:
        print_json(found)
    else:
        _print_mirror(where, found, breaks)
    raise typer.Exit(Status.NO if found["halted"] else Status.DONE)


def reorgs(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of reorgs past finality."""
    with NodeClient(operator(where)) as client:
        page = client.get(_REORGS, timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("No reorg past finality was ever proposed.")
        return
    figures = ("fork", "final", "blocks", "payments")
    names = ("reorg", "state", "proposed", "by", "accepted by", *figures)
    table = columns(*names, figures=figures, words=names[:1])
    for each in page["data"]:
        table.add_row(
            each["id"], each["state"], day_time(each["proposed_at"]), escape(each["proposed_by"]),
            escape(each["accepted_by"] or "-"), str(each["fork"]["block_number"]),
            str(each["final"]["block_number"]), str(each["plan"]["blocks"]),
            str(len(each["plan"]["payments"])),
        )  # fmt: skip
    print_table(table)
    if page["next_cursor"] is not None:
        more = f"corridor mirror reorgs --cursor {page['next_cursor']}"
        next_steps((where.command(more), "older ones"))


def accept_reorg(where: Where, ask: Ask, *, assume_yes: bool, as_json: bool) -> None:
    """Propose a reorg, or accept what another operator proposed.

    Raises:
        Fault: The node declines; the same operator is no second one.
        typer.Exit: Status 1 when the person said no.
    """
    with NodeClient(operator(where)) as client:
        waiting = client.get("/v1/mirror")["proposal"]
        if waiting is None or ask.is_again or waiting["block_hash"] != ask.block:
            body = {"block_hash": ask.block}
            if ask.reason is not None:
                body["reason"] = ask.reason
            made = client.post(_REORGS, body, timeout_s=_TIMEOUT_S)
            _show(made, as_json=as_json)
            if not as_json:
                stdout().print("[yellow]Proposed.[/] Nothing is undone before another operator")
                stdout().print("runs the same command.")
                next_steps((where.command(_command(ask)), "as the second operator"))
            return
        if not as_json:
            _show(waiting, as_json=False)
        _confirm(assume_yes=assume_yes, as_json=as_json)
        path = f"{_REORGS}/{waiting['id']}/accept"
        done = once(client, path, {}, look="`corridor mirror status`")
    if as_json:
        print_json(done)
        return
    stdout().print("[green]Accepted.[/] The mirror follows the new chain from the fork.")
    resume = "corridor settlement resume --reason deep_reorg"
    next_steps(
        (where.command("corridor mirror status"), "see it catch up"),
        (where.command("corridor reconcile"), "compare everything"),
        (where.command(resume), "let settlement go on"),
    )


def _command(ask: Ask) -> str:
    return f"corridor mirror accept-reorg --block {ask.block}"


def _confirm(*, assume_yes: bool, as_json: bool) -> None:
    if assume_yes:
        return
    if as_json or not stderr().is_terminal:
        raise Fault(
            "nobody is there to say yes; nothing was undone",
            remedy="add --yes to go on without being asked",
            status=Status.USAGE,
        )
    if not typer.confirm("Undo finality down to the fork?", err=True):
        stderr().print("Nothing was undone.")
        raise typer.Exit(Status.NO)


def _print_mirror(where: Where, found: Json, breaks: Sequence[Json]) -> None:
    if found["head"] is None:
        stdout().print("The mirror has not begun: is a worker running (corridor work)?")
        return
    halted = found["halted"]
    rows = [
        ("head", str(found["head"]["block_number"])),
        ("", found["head"]["block_hash"]),
        ("final", str(found["final"]["block_number"])),
        ("", found["final"]["block_hash"]),
        ("moved", day_time(found["moved_at"])),
        ("halted", f"[bold red]{escape(halted)}[/]" if halted else "[green]no[/]"),
        ("reorgs", f"{found['epoch']} accepted past finality"),
    ]
    stdout().print(pairs(rows))
    table = columns("provider", "state", "head", "behind", figures=("head", "behind"))
    for each in found["providers"]:
        worse = each["quarantined"] or each["in_doubt"]
        state = f"{each['state']}: {worse}" if worse else _ASKED.get(each["state"], each["state"])
        head = "-" if each["head"] is None else str(each["head"])
        table.add_row(escape(each["name"]), escape(state), head, str(each["behind_blocks"]))
    stdout().print()
    print_table(table)
    if found["proposal"] is not None:
        stdout().print()
        _show(found["proposal"], as_json=False)
        command = f"corridor mirror accept-reorg --block {found['proposal']['block_hash']}"
        next_steps((where.command(command), "accept it, as the second operator"))
    elif halted:
        for each in breaks:
            stdout().print()
            for sentence in each["story"]:
                stdout().print(escape(sentence), soft_wrap=True)
            for name, told in each["evidence"].items():
                if name.startswith("provider "):
                    stdout().print(f"{escape(name)} has {escape(told)}", soft_wrap=True)
        command = f'corridor mirror accept-reorg --block {_agreed(breaks)} --reason "..."'
        next_steps((where.command(command), "once you know that this chain is right, propose it"))


def _agreed(breaks: Sequence[Json]) -> str:
    """The block that every provider has where the chains part; `0x...`: they differ."""
    had = {
        told
        for each in breaks
        for name, told in each["evidence"].items()
        if name.startswith("provider ")
    }
    return had.pop() if len(had) == 1 else "0x..."


def _show(reorg: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(reorg)
        return
    plan = reorg["plan"]
    rows = [
        ("reorg", reorg["id"]),
        ("was final", _block(reorg["final"])),
        ("the chain has", reorg["block_hash"]),
        ("the chains part after", _block(reorg["fork"])),
        ("proposed by", escape(reorg["proposed_by"])),
        ("reason", escape(reorg["reason"] or "-")),
        ("final blocks undone", str(plan["blocks"])),
        ("batches sent again", str(len(plan["batches"]))),
        ("ledger transactions reversed", str(len(plan["bookings"]))),
        ("gas", f"{plan['gas']} {plan['gas_currency']}"),
    ]
    if plan["given_back"]:
        rows.append(("given back, stay ended", ", ".join(plan["given_back"])))
    if plan["movements"]:
        rows.append(("movements", ", ".join(plan["movements"])))
    stdout().print(pairs(rows))
    _rows("Payments undone", plan["payments"], ("transfer_id", "becomes", "amount", "currency"))
    _rows("Deposits taken back", plan["deposits"], ("account", "amount", "currency"))
    _rows("Addresses", plan["accounts"], ("account", "amount", "currency"))
    for each in plan["shortfalls"]:
        told = f"{each['account']} has spent {each['amount']} {each['currency']} of it: a loss"
        stdout().print(f"[bold red]{escape(told)}[/]", soft_wrap=True)
    for each in plan["corrections"]:
        told = f"{each['break_id']} ({each['code']}): sequence {each['sequence']} stays as it is"
        stdout().print(f"[yellow]booked by hand:[/] {escape(told)}", soft_wrap=True)


def _rows(title: str, rows: Sequence[Json], names: Sequence[str]) -> None:
    if not rows:
        return
    stdout().print(f"\n[bold]{title}[/]")
    table = columns(*names, figures=("amount",), words=names[:1])
    for each in rows[:_ROWS_SHOWN]:
        table.add_row(*(escape(str(each[name])) for name in names))
    print_table(table)
    if len(rows) > _ROWS_SHOWN:
        stdout().print(f"and {len(rows) - _ROWS_SHOWN} more; --json has all")


def _block(block: Json) -> str:
    return f"{block['block_number']} {block['block_hash']}"
