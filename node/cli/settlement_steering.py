"""`corridor settlement pause`, `resume`, `cancel`, `void`, `release` and `adopt`.

Not here: what is shown without doing anything (`settlement`), and money (`settlement_treasury`).
"""

import secrets
from collections.abc import Sequence

import typer
from rich.markup import escape

from node.cli.amounts import transfer_rows
from node.cli.client import AnswerLost, Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, next_steps, pairs, print_json, print_table, stdout
from node.cli.faults import Fault, Status
from node.cli.settlement import print_pauses


def pause(where: Where, *, hard: bool, note: str | None, as_json: bool) -> None:
    """Pause settlement."""
    body: dict[str, object] = {"hard": hard}
    if note is not None:
        body["note"] = note
    with NodeClient(operator(where)) as client:
        _show_pauses(where, client.post("/v1/settlement/pause", body), as_json=as_json)


def resume(where: Where, reason: str, *, as_json: bool) -> None:
    """End a pause."""
    with NodeClient(operator(where)) as client:
        left = client.post("/v1/settlement/resume", {"reason": reason})
        _show_pauses(where, left, as_json=as_json)


def move(where: Where, transfer_id: str, action: str, *, as_json: bool) -> None:
    """Cancel, void or release a transfer."""
    with NodeClient(operator(where)) as client:
        transfer = once(client, f"/v1/transfers/{transfer_id}/{action}", {})
    if as_json:
        print_json(transfer)
        return
    stdout().print(pairs(transfer_rows(transfer)))
    if transfer["status"] == "processing":
        next_steps((where.command(f"corridor watch {transfer_id}"), "follow it to its end"))


def once(
    client: NodeClient,
    path: str,
    body: Json,
    *,
    look: str = "`corridor settlement movements`, or `corridor watch` for a transfer",
) -> Json:
    """Ask for something that must not be done twice, however its answer goes astray.

    Args:
        client: The node.
        path: What is asked for.
        body: With what.
        look: What shows whether it was done, in words.

    Raises:
        Fault: The node declines, or nobody can say what became of it.
    """
    try:
        return client.post_once(path, body, key=f"cli-{secrets.token_hex(16)}")
    except AnswerLost as lost:
        raise Fault(
            f"the node at {lost} did not answer, and may or may not have done it",
            remedy=f"look before you ask again: {look}",
            status=Status.AWAY,
        ) from None


def adopt(where: Where, *, confirm: bool, as_json: bool) -> None:
    """Show what was found on the chain, or take it over.

    Raises:
        typer.Exit: Status 1 when something waits for an operator still.
    """
    with NodeClient(operator(where)) as client:
        if confirm:
            found = client.post("/v1/settlement/adoption", {"confirm": True})
        else:
            found = client.get("/v1/settlement/adoption")
    if as_json:
        print_json(found)
    else:
        _print_adoption(where, found)
    is_open = found["needed"] and not found["written"]
    raise typer.Exit(Status.NO if is_open else Status.DONE)


def _show_pauses(where: Where, answer: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print_pauses(where, answer["data"])


def _print_adoption(where: Where, found: Json) -> None:
    if not found["needed"] and not found["written"]:
        stdout().print("[green]Nothing is to be adopted: the database knows every transaction.[/]")
        return
    _print_lanes(found["lanes"])
    stdout().print()
    _print_transactions(found["transactions"])
    for each in found["renumbered"]:
        number = each["new_number"] or "the next free one"
        stdout().print(f"new number of {each['transfer_id']}: {number}", soft_wrap=True)
    if found["orphans"]:
        told = f"{found['orphans']} payments left that no transfer explains"
        stdout().print(f"[bold red]{told}[/]: they become breaks (B06)")
    for each in found["skipped"]:
        told = f"nonces {each['first']} to {each['last']} of {each['lane']} are used up"
        stdout().print(f"{told}, by no transaction of it: they are left behind", soft_wrap=True)
    for reason in found["waits_for"]:
        stdout().print(f"[yellow]waits:[/] {escape(reason)}", soft_wrap=True)
    if found["written"]:
        stdout().print("[green]Adopted.[/] The pause stays until you end it.")
        command = "corridor settlement resume --reason foreign_nonce"
        next_steps((where.command(command), "go on, once you know who used the key"))
    elif not found["waits_for"]:
        next_steps((where.command("corridor settlement adopt --confirm"), "take all this over"))


def _print_lanes(lanes: Sequence[Json]) -> None:
    figures = ("database", "chain", "unexplained")
    table = columns("lane", "role", "status", *figures, figures=figures, words=("lane",))
    for each in lanes:
        table.add_row(
            each["address"], each["role"], each["status"], str(each["next_nonce"]),
            str(each["chain_nonce"]), str(each["unexplained"]),
        )  # fmt: skip
    print_table(table)


def _print_transactions(transactions: Sequence[Json]) -> None:
    figures = ("nonce", "block", "payments", "linked")
    names = ("transaction", "what", "purpose")
    table = columns(*names, *figures, figures=figures, words=names[:1])
    for each in transactions:
        linked = sum(one["link"] == "linked" for one in each["payments"])
        table.add_row(
            each["tx_hash"], each["finding"], each["purpose"], str(each["nonce"]),
            str(each["block_number"]), str(len(each["payments"])), str(linked),
        )  # fmt: skip
    print_table(table)
