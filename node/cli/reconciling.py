"""`corridor reconcile`: one run, its checks, and the breaks that are open.

Not here: the checks themselves (`node.services.reconciliation.reconciling`).
"""

import re
import time
from collections.abc import Sequence
from typing import Final

import typer
from rich.markup import escape
from rich.table import Table

from node.cli.breaks import print_breaks
from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, good, next_steps, pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status
from node.core.units import format_minor

_POLL_S: Final = 0.3
_WAIT_S: Final = 600.0
_PAGE: Final = 200
_HEX: Final = re.compile(r"0x[0-9a-f]{40,}")
_NUMBER: Final = re.compile(r"-?\b[0-9]+\b")
_TOKEN_CHECKS: Final = frozenset({"balance.token", "balance.delta", "balance.logs"})
_NATIVE_CHECKS: Final = frozenset({"balance.native"})
_CURRENCY_CHECKS: Final = frozenset({"ledger.trial_balance", "solvency", "in_flight"})
"""Kinds of checks about money: of the token, of the native coin, of the currency they name."""


def run(where: Where, *, explain: bool, as_json: bool) -> None:
    """Make a run and wait for it.

    Raises:
        typer.Exit: Status 1 when breaks are open or the run failed.
        Fault: The run did not end in time.
    """
    with NodeClient(operator(where)) as client:
        made = _finished(client, client.post("/v1/reconciliation/runs", {}, timeout_s=_WAIT_S))
        has_breaks = made["breaks_open"] or made["status"] == "failed"
        breaks = _open_breaks(client) if has_breaks else []
        assets = client.get("/v1/assets")["data"] if explain and not as_json else []
    if as_json:
        print_json({**made, "breaks": breaks})
    else:
        _print_run(made, assets if explain else None)
        _print_breaks(breaks, explain=explain)
        if len(breaks) == _PAGE:
            stderr().print(f"Only the newest {_PAGE} breaks are shown.")
        if breaks and not explain:
            command = where.command("corridor reconcile --explain")
            next_steps((command, "the story of each break, and what to do"))
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


def _print_run(made: Json, assets: Sequence[Json] | None) -> None:
    """The run; with the node's assets, check by check."""
    console = stdout()
    as_of = made.get("as_of")
    if as_of:
        console.print(f"as of final block {as_of['block_number']}")
        console.print(f"[dim]{as_of['block_hash']}[/]", soft_wrap=True)
    checks = made["checks"]
    console.print(_counted(checks) if assets is None else _explained(checks, assets))
    color = "green" if not made["breaks_open"] else "bold red"
    if made["status"] == "failed":
        console.print(f"[bold red]failed[/]: {escape(str(made['failure']))}")
        return
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


def _explained(checks: Sequence[Json], assets: Sequence[Json]) -> Table:
    """One row per check; addresses and hashes are shortened, `--json` has them in full."""
    table = columns("", "check", "of", "found")
    for check in checks:
        kind, _, subject = check["name"].partition(":")
        asset = _asset_of(kind, subject, assets)
        told = escape(_short(_with_currency(check["actual"], asset)))
        if not check["ok"]:
            expected = escape(_short(_with_currency(check["expected"], asset)))
            told = f"{told}\n[dim]expected[/] {expected}"
        table.add_row(good(check["ok"]), escape(kind), escape(_short(subject)), told)
    return table


def _asset_of(kind: str, subject: str, assets: Sequence[Json]) -> Json | None:
    """What the numbers of a check are amounts of; None where they are none."""
    for asset in assets:
        if (
            (kind in _TOKEN_CHECKS and asset["kind"] == "token")
            or (kind in _NATIVE_CHECKS and asset["kind"] == "native")
            or (kind in _CURRENCY_CHECKS and asset["code"] == subject)
        ):
            return asset
    return None


def _with_currency(text: str, asset: Json | None) -> str:
    """`5000000 promised` as `5.000000 USDC promised`."""
    if asset is None:
        return text
    digits, code = int(asset["digits"]), str(asset["code"])
    return _NUMBER.sub(lambda found: f"{format_minor(int(found[0]), digits)} {code}", text)


def _short(text: str) -> str:
    """`0x7b2a…8a84` of an address or hash."""
    return _HEX.sub(lambda found: f"{found[0][:6]}…{found[0][-4:]}", text)


def _print_breaks(breaks: Sequence[Json], *, explain: bool) -> None:
    if breaks and not explain:
        stdout().print()
        print_breaks(breaks)
        return
    for each in breaks:
        stdout().print()
        stdout().print(f"[bold red]{each['code']}[/] {escape(str(each['summary']))}")
        for sentence in each["story"]:
            stdout().print(escape(str(sentence)), soft_wrap=True)
        stdout().print(pairs([("break", each["id"])]))
