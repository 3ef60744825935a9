"""`corridor trigger`: name, arguments and help. What it does is in `triggering`."""

from typing import Annotated

import typer

from node.cli.connection import DEFAULT_STATE_DIR
from node.cli.options import AsJson, StateDir


def trigger(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="What is to happen; none: list them.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List every outcome, and stop.")] = False,
    for_s: Annotated[
        int,
        typer.Option("--for", metavar="SECONDS", min=0, help="How long it lasts; 0: till --end."),
    ] = 10,
    end: Annotated[bool, typer.Option("--end", help="End what an earlier trigger began.")] = False,
    forward: Annotated[
        str | None, typer.Option(metavar="TIME", help="clock: such as 90s, 15m, 2h or 3d.")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="reorg: blocks that are replaced.")] = 1,
    address: Annotated[
        str | None, typer.Option(metavar="0x...", help="address_denied: who is denied.")
    ] = None,
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="deposit_...: the payment request to pay.")
    ] = None,
    payout: Annotated[
        str | None, typer.Option(metavar="ID", help="payout_...: the payout to pay, pay_...")
    ] = None,
    node: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which node; default: the first.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Force an outcome in a devnet: a reorg, a payment that is short, a bank that is away.

    Only a devnet can be triggered. What lasts ends after --for seconds, or with Ctrl-C. Without a
    name: every outcome, how it is forced, and what a partner sees then.

    Example: [bold]corridor trigger token_paused --for 20[/]
    """
    from node.cli import triggering

    if name is None or show:
        triggering.show(as_json=as_json)
        return
    asked = triggering.Asked(
        name, for_s, end, forward, depth, address, request, payout, node, state_dir
    )
    triggering.run(asked, as_json=as_json)
