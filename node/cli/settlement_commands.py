"""Commands of settlement: names, arguments and help. See `node.cli.app`."""

from typing import Annotated, Final

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, Note, TransferId, asks_a_node
from node.cli.treasury_commands import rules_app, treasury_app

settlement_app = typer.Typer(no_args_is_help=True, help="Lanes, batches, pauses, own money.")

_LOOK: Final = "Look"
_STEER: Final = "Steer"
_MONEY: Final = "Own money"


@settlement_app.command(rich_help_panel=_LOOK)
@asks_a_node
def status(where: Where, as_json: AsJson = False) -> None:
    """Show what needs a person, and everything in one look.

    Status 1 when something critical does.

    Example: [bold]corridor settlement status[/]
    """
    from node.cli import settlement

    settlement.status(where, as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
@asks_a_node
def lanes(where: Where, as_json: AsJson = False) -> None:
    """Show the keys that send: nonces, coin, who works them, what waits, what they spent.

    Example: [bold]corridor settlement lanes[/]
    """
    from node.cli import settlement

    settlement.lanes(where, as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
@asks_a_node
def batches(
    where: Where,
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
    as_json: AsJson = False,
) -> None:
    """List batches, newest first, with gas and fee.

    Example: [bold]corridor settlement batches --state unknown[/]
    """
    from node.cli import settlement
    from node.cli.documents import given

    query = given(lane=lane, state=state, purpose=purpose, limit=limit, cursor=cursor)
    settlement.batches(where, query, as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
@asks_a_node
def batch(
    where: Where,
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="bat_...")],
    as_json: AsJson = False,
) -> None:
    """Show a batch: every signed attempt with its fees and answers, and every payment.

    Example: [bold]corridor settlement batch bat_...[/]
    """
    from node.cli import settlement

    settlement.batch(where, batch_id, as_json=as_json)


@settlement_app.command(rich_help_panel=_LOOK)
@asks_a_node
def spending(
    where: Where,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="From then on; default: a day before --to."),
    ] = None,
    before: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Before then; default: now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what gas cost, in all and per payment, of what became final in a period.

    Example: [bold]corridor settlement spending --from 2026-11-01T00:00:00Z[/]
    """
    from node.cli import settlement
    from node.cli.documents import given

    query = given(from_=since, to=before)
    settlement.spending(where, query, as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
@asks_a_node
def pause(
    where: Where,
    hard: Annotated[
        bool, typer.Option("--hard", help="Stop fee bumps too, and pause the contract itself.")
    ] = False,
    note: Note = None,
    as_json: AsJson = False,
) -> None:
    """Write no new batch. What was sent goes on; transfers are still taken, and wait.

    Example: [bold]corridor settlement pause --note "changing the provider"[/]
    """
    from node.cli import settlement_steering

    settlement_steering.pause(where, hard=hard, note=note, as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
@asks_a_node
def resume(
    where: Where,
    reason: Annotated[
        str,
        typer.Option(
            help="The pause that ends: operator, orphan_outbound, foreign_nonce, deep_reorg, float"
            " or issuer."
        ),
    ] = "operator",
    as_json: AsJson = False,
) -> None:
    """End the pause of a reason, and let lanes that stopped themselves go on.

    Example: [bold]corridor settlement resume --reason foreign_nonce[/]
    """
    from node.cli import settlement_steering

    settlement_steering.resume(where, reason, as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
@asks_a_node
def cancel(where: Where, transfer_id: TransferId, as_json: AsJson = False) -> None:
    """Cancel a transfer that is in no batch yet: the money is back at once.

    Example: [bold]corridor settlement cancel tra_...[/]
    """
    from node.cli import settlement_steering

    settlement_steering.move(where, transfer_id, "cancel", as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
@asks_a_node
def void(where: Where, transfer_id: TransferId, as_json: AsJson = False) -> None:
    """Ask the chain never to pay a transfer that was in a batch; what becomes final decides.

    Example: [bold]corridor settlement void tra_...[/]
    """
    from node.cli import settlement_steering

    settlement_steering.move(where, transfer_id, "void", as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
@asks_a_node
def release(where: Where, transfer_id: TransferId, as_json: AsJson = False) -> None:
    """End the hold of a transfer: it waits for a batch again.

    Example: [bold]corridor settlement release tra_...[/]
    """
    from node.cli import settlement_steering

    settlement_steering.move(where, transfer_id, "release", as_json=as_json)


@settlement_app.command(rich_help_panel=_STEER)
@asks_a_node
def adopt(
    where: Where,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Take over what was shown, in one transaction.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show transactions of the node's keys that the database does not know; take them over.

    After a restored backup, or when a key was used elsewhere. Nothing changes without --confirm.
    Status 1 while something is to be adopted.

    Example: [bold]corridor settlement adopt[/]
    """
    from node.cli import settlement_steering

    settlement_steering.adopt(where, confirm=confirm, as_json=as_json)


settlement_app.add_typer(treasury_app, rich_help_panel=_MONEY)
settlement_app.add_typer(rules_app, name="rules", rich_help_panel=_MONEY)
