"""Commands of settlement: names, arguments and help. See `node.cli.app`."""

from typing import Annotated, Final

import typer

from node.cli.connection import DEFAULT_STATE_DIR, Where
from node.cli.options import AsJson, StateDir, Token, Url
from node.cli.treasury_commands import rules_app, treasury_app

settlement_app = typer.Typer(no_args_is_help=True, help="Lanes, batches, pauses, own money.")

_LOOK: Final = "Look"
_STEER: Final = "Steer"
_MONEY: Final = "Own money"

TransferId = Annotated[str, typer.Argument(metavar="TRANSFER_ID", help="tra_...")]
Cursor = Annotated[str | None, typer.Option(help="From where the page before ended.")]
Limit = Annotated[int | None, typer.Option(min=1, max=200, help="Rows; default: 50.")]


@settlement_app.command(rich_help_panel=_LOOK)
def status(
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show what needs a person, and everything in one look.

    Status 1 when something critical does.

    Example: [bold]corridor settlement status[/]
    """
    from node.cli import settlement

    settlement.status(Where(url, token, state_dir), as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
def lanes(
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show the keys that send: nonces, coin, who works them, what waits, what they spent.

    Example: [bold]corridor settlement lanes[/]
    """
    from node.cli import settlement

    settlement.lanes(Where(url, token, state_dir), as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
def batches(
    lane: Annotated[str | None, typer.Option(help="Only of this key, 0x...")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="written, submitted, unknown, included, final or foreign."),
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="settle, void, movement, admin or noop.")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """List batches, newest first, with gas and fee.

    Example: [bold]corridor settlement batches --state unknown[/]
    """
    from node.cli import settlement
    from node.cli.documents import given

    query = given(lane=lane, state=state, purpose=purpose, limit=limit, cursor=cursor)
    settlement.batches(Where(url, token, state_dir), query, as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
def batch(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="bat_...")],
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show a batch: every signed attempt with its fees and answers, and every payment.

    Example: [bold]corridor settlement batch bat_...[/]
    """
    from node.cli import settlement

    settlement.batch(Where(url, token, state_dir), batch_id, as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
def spending(
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="From then on; default: a day before --to."),
    ] = None,
    before: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Before then; default: now.")
    ] = None,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show what gas cost, in all and per payment, of what became final in a period.

    Example: [bold]corridor settlement spending --from 2026-11-01T00:00:00Z[/]
    """
    from node.cli import settlement
    from node.cli.documents import given

    query = given(from_=since, to=before)
    settlement.spending(Where(url, token, state_dir), query, as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
def pause(
    hard: Annotated[
        bool, typer.Option("--hard", help="Stop fee bumps too, and pause the contract itself.")
    ] = False,
    note: Annotated[str | None, typer.Option(help="Why, for other operators.")] = None,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Write no new batch. What was sent goes on; transfers are still taken, and wait.

    Example: [bold]corridor settlement pause --note "changing the provider"[/]
    """
    from node.cli import settlement_steering

    where = Where(url, token, state_dir)
    settlement_steering.pause(where, hard=hard, note=note, as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
def resume(
    reason: Annotated[
        str,
        typer.Option(
            help="The pause that ends: operator, orphan_outbound, foreign_nonce, deep_reorg or"
            " float."
        ),
    ] = "operator",
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """End the pause of a reason, and let lanes that stopped themselves go on.

    Example: [bold]corridor settlement resume --reason foreign_nonce[/]
    """
    from node.cli import settlement_steering

    settlement_steering.resume(Where(url, token, state_dir), reason, as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
def cancel(
    transfer_id: TransferId,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Cancel a transfer that is in no batch yet: the money is back at once.

    Example: [bold]corridor settlement cancel tra_...[/]
    """
    from node.cli import settlement_steering

    where = Where(url, token, state_dir)
    settlement_steering.move(where, transfer_id, "cancel", as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
def void(
    transfer_id: TransferId,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Ask the chain never to pay a transfer that was in a batch; what becomes final decides.

    Example: [bold]corridor settlement void tra_...[/]
    """
    from node.cli import settlement_steering

    where = Where(url, token, state_dir)
    settlement_steering.move(where, transfer_id, "void", as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
def release(
    transfer_id: TransferId,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """End the hold of a transfer: it waits for a batch again.

    Example: [bold]corridor settlement release tra_...[/]
    """
    from node.cli import settlement_steering

    where = Where(url, token, state_dir)
    settlement_steering.move(where, transfer_id, "release", as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
def adopt(
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Take over what was shown, in one transaction.")
    ] = False,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show transactions of the node's keys that the database does not know; take them over.

    After a restored backup, or when a key was used elsewhere. Nothing changes without --confirm.
    Status 1 while something is to be adopted.

    Example: [bold]corridor settlement adopt[/]
    """
    from node.cli import settlement_steering

    settlement_steering.adopt(Where(url, token, state_dir), confirm=confirm, as_json=as_json)


settlement_app.add_typer(treasury_app, rich_help_panel=_MONEY)
settlement_app.add_typer(rules_app, name="rules", rich_help_panel=_MONEY)
