"""`corridor breaks ...`: names, arguments and help. See `node.cli.app`."""

from typing import Annotated, Final

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, asks_a_node

_CLOSE: Final = "Close"

breaks_app = typer.Typer(
    no_args_is_help=True, help="What does not agree: look at it, take it, close it."
)

BreakId = Annotated[str, typer.Argument(metavar="BREAK_ID", help="brk_...")]


@breaks_app.command("list")
@asks_a_node
def list_(
    where: Where,
    status: Annotated[str, typer.Option(help="open, proposed or resolved.")] = "open",
    code: Annotated[str | None, typer.Option(metavar="CODE", help="Such as B04.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List breaks, newest first.

    Example: [bold]corridor breaks list --code B04[/]
    """
    from node.cli import breaks
    from node.cli.documents import given

    query = given(status=status, code=code, limit=limit, cursor=cursor)
    breaks.show_page(where, query, as_json=as_json)


@breaks_app.command()
@asks_a_node
def show(where: Where, break_id: BreakId, as_json: AsJson = False) -> None:
    """Show a break: its story, its evidence, what is proposed, what happened to it.

    Example: [bold]corridor breaks show brk_...[/]
    """
    from node.cli import breaks

    breaks.show(where, break_id, as_json=as_json)


@breaks_app.command()
@asks_a_node
def assign(
    where: Where,
    break_id: BreakId,
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who looks after it; default: nobody.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say who looks after a break, so that two do not do the same.

    Example: [bold]corridor breaks assign brk_... --owner night-shift[/]
    """
    from node.cli import breaks

    breaks.assign(where, break_id, owner, as_json=as_json)


@breaks_app.command(rich_help_panel=_CLOSE)
@asks_a_node
def resolve(
    where: Where,
    break_id: BreakId,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    entry: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'DEBIT CREDIT AMOUNT CURRENCY'",
            help="What is booked; again for each entry. None: both sides agree after all.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Close a break, or propose how.

    Where two persons are needed nothing is booked: another operator approves.

    Example: [bold]corridor breaks resolve brk_... --reason "fee of November"
    --entry "loss/fees/EUR bank/my_bank/EUR 3.00 EUR"[/]
    """
    from node.cli import breaks

    breaks.resolve(where, break_id, reason, entry or (), as_json=as_json)


@breaks_app.command(rich_help_panel=_CLOSE)
@asks_a_node
def conclude(
    where: Where,
    break_id: BreakId,
    outcome: Annotated[
        str, typer.Argument(metavar="OUTCOME", help="given_back: to the customer; or paid_out.")
    ],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    evidence: Annotated[
        str, typer.Option(help="What shows it outside the node: a receipt's reference.")
    ],
    as_json: AsJson = False,
) -> None:
    """End a payout that its partner does not end (B30, B32); another operator approves.

    Only when the partner does not answer, contradicts what was ordered, or is overdue.

    Example: [bold]corridor breaks conclude brk_... given_back --reason "bankrupt"
    --evidence "letter of the administrator, 12 November"[/]
    """
    from node.cli import breaks

    conclusion = {"outcome": outcome, "evidence": evidence}
    breaks.conclude(where, break_id, reason, conclusion, as_json=as_json)


@breaks_app.command(rich_help_panel=_CLOSE)
@asks_a_node
def approve(where: Where, break_id: BreakId, as_json: AsJson = False) -> None:
    """Agree with what another operator proposed: it is booked, and the break is closed.

    Example: [bold]corridor breaks approve brk_...[/]
    """
    from node.cli import breaks

    breaks.approve(where, break_id, as_json=as_json)


@breaks_app.command(rich_help_panel=_CLOSE)
@asks_a_node
def withdraw(
    where: Where,
    break_id: BreakId,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    as_json: AsJson = False,
) -> None:
    """Take a proposal back, or turn another's down. Nothing is booked.

    Example: [bold]corridor breaks withdraw brk_... --reason "another customer's"[/]
    """
    from node.cli import breaks

    breaks.withdraw(where, break_id, reason, as_json=as_json)
