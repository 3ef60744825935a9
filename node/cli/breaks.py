"""`corridor breaks`: looked at, given to somebody, closed. Names and help: `break_commands`.

Not here: the runs that find them (`reconciling`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import (
    columns,
    day_time,
    duration,
    next_steps,
    pairs,
    print_json,
    print_table,
    stdout,
)
from node.cli.faults import Fault, Status
from node.cli.settlement_steering import once

_PATH: Final = "/v1/reconciliation/breaks"
_TIMEOUT_S: Final = 15.0
_ENTRY: Final = ("debit", "credit", "amount", "currency")
_DEEP_REORG: Final = "B19"
_OF_PAYOUTS: Final = frozenset({"B30", "B32"})
_CONCLUSIONS: Final = {
    "given_back": "the customer has its money again, and the node the loss",
    "paid_out": "the beneficiary was paid",
}
_COLORS: Final = {"critical": "bold red", "warning": "yellow"}


def show_page(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of breaks, newest first."""
    with NodeClient(operator(where)) as client:
        page = client.get(_PATH, timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no such breaks.")
        return
    print_breaks(page["data"])
    if page["next_cursor"] is not None:
        given = "".join(f" --{name} {query[name]}" for name in query if name != "cursor")
        command = f"corridor breaks list --cursor {page['next_cursor']}{given}"
        next_steps((where.command(command), "older ones"))
    else:
        command = f"corridor breaks show {page['data'][0]['id']}"
        next_steps((where.command(command), "the story of one, and what to do"))


def print_breaks(breaks: Sequence[Json]) -> None:
    """One row each, with the id that other commands take."""
    table = columns("code", "break", "age", "owner", "what", figures=("age",), words=("break",))
    for each in breaks:
        told = each["summary"] if each["state"] != "proposed" else f"proposed: {each['summary']}"
        table.add_row(
            f"[{_COLORS.get(each['severity'], 'none')}]{each['code']}[/]", each["id"],
            duration(each["age_s"]), escape(each["owner"] or "-"), escape(told),
        )  # fmt: skip
    print_table(table)


def show(where: Where, break_id: str, *, as_json: bool) -> None:
    """Show a break with its history."""
    with NodeClient(operator(where)) as client:
        found = client.get(f"{_PATH}/{break_id}")
        history = client.get(f"{_PATH}/{break_id}/history")["data"]
    if as_json:
        print_json({**found, "history": history})
        return
    console = stdout()
    console.print(f"[bold]{found['code']}[/] {escape(found['summary'])}, {found['severity']}")
    for sentence in found["story"]:
        console.print(escape(sentence), soft_wrap=True)
    console.print()
    rows = [("owner", escape(found["owner"] or "nobody"))]
    if found["due_at"] is not None:
        rows.append(("due", day_time(found["due_at"])))
    rows += [(name.replace("_", " "), escape(told)) for name, told in found["evidence"].items()]
    console.print(pairs(rows))
    _print_proposal(found["proposal"])
    console.print("\n[bold]History[/]")
    console.print(
        pairs((day_time(each["at"]), escape(f"{each['step']} by {each['by']}")) for each in history)
    )
    _next(where, found)


def assign(where: Where, break_id: str, owner: str | None, *, as_json: bool) -> None:
    """Give a break to an operator, or to nobody."""
    with NodeClient(operator(where)) as client:
        found = client.post(f"{_PATH}/{break_id}/assign", {"owner": owner})
    if as_json:
        print_json(found)
        return
    stdout().print(f"{found['code']} is looked after by {escape(found['owner'] or 'nobody')}.")
    _next(where, found)


def resolve(
    where: Where, break_id: str, reason: str, entries: Sequence[str], *, as_json: bool
) -> None:
    """Close a break, or propose how.

    Raises:
        Fault: An entry is not four words; the node declines.
    """
    body: dict[str, object] = {"reason": reason}
    if entries:
        body["entries"] = [_entry(each) for each in entries]
    _act(where, break_id, "resolve", body, as_json=as_json)


def conclude(
    where: Where, break_id: str, reason: str, conclusion: Mapping[str, str], *, as_json: bool
) -> None:
    """Propose how the payout ends that a break tells of.

    Args:
        where: The node.
        break_id: `brk_...`.
        reason: Why.
        conclusion: `outcome` and `evidence`.
        as_json: Print the break as the node tells it.
    """
    body = {"reason": reason, "conclusion": conclusion}
    _act(where, break_id, "resolve", body, as_json=as_json)


def approve(where: Where, break_id: str, *, as_json: bool) -> None:
    """Agree with what another operator proposed."""
    _act(where, break_id, "approve", {}, as_json=as_json)


def withdraw(where: Where, break_id: str, reason: str, *, as_json: bool) -> None:
    """Take a proposal back, or turn it down."""
    _act(where, break_id, "withdraw", {"reason": reason}, as_json=as_json)


def _act(where: Where, break_id: str, verb: str, body: Json, *, as_json: bool) -> None:
    with NodeClient(operator(where)) as client:
        found = once(client, f"{_PATH}/{break_id}/{verb}", body, look="`corridor breaks show`")
    if as_json:
        print_json(found)
        return
    if found["state"] == "resolved":
        stdout().print(f"[green]Closed.[/] {escape(found['story'][-1])}", soft_wrap=True)
        return
    if found["state"] == "open":
        stdout().print("The break is open; nothing is proposed for it.")
    _print_proposal(found["proposal"])
    _next(where, found)


def _entry(text: str) -> Mapping[str, str]:
    words = text.split()
    if len(words) != len(_ENTRY):
        raise Fault(
            f"{text!r} is no entry; nothing was asked for",
            remedy="four words: the account to debit, the account to credit, amount, currency",
            status=Status.USAGE,
        )
    return dict(zip(_ENTRY, words, strict=True))


def _print_proposal(proposal: Json | None) -> None:
    if proposal is None:
        return
    console = stdout()
    console.print(f"\n[bold]Proposed[/] by {escape(proposal['made_by'])}; nothing is booked yet")
    console.print(f"reason: {escape(proposal['reason'])}", soft_wrap=True)
    if proposal["kind"] in _CONCLUSIONS:
        console.print(f"the payout ends: {_CONCLUSIONS[proposal['kind']]}")
    if proposal["reference"]:
        console.print(f"evidence: {escape(proposal['reference'])}", soft_wrap=True)
    if not proposal["entries"]:
        console.print("a match: nothing is booked")
        return
    table = columns("debit", "credit", "amount", figures=("amount",), words=("debit", "credit"))
    for each in proposal["entries"]:
        table.add_row(each["debit"], each["credit"], f"{each['amount']} {each['currency']}")
    print_table(table)


def _next(where: Where, found: Json) -> None:
    if found["state"] == "resolved":
        return
    identity = found["id"]
    if found["state"] == "proposed":
        next_steps(
            (where.command(f"corridor breaks approve {identity}"), "as another operator, agree"),
            (where.command(f'corridor breaks withdraw {identity} --reason "..."'), "turn it down"),
        )
        return
    if found["code"] == _DEEP_REORG:
        next_steps((where.command("corridor mirror status"), "what ends it"))
        return
    steps = [
        (
            where.command(f'corridor breaks resolve {identity} --reason "..."'),
            "close it, with --entry for what is to be booked",
        )
    ]
    if found["code"] in _OF_PAYOUTS:
        command = f'corridor breaks conclude {identity} given_back --reason "..." --evidence "..."'
        steps.append((where.command(command), "end the payout, or as paid_out, by two operators"))
    next_steps(*steps)
