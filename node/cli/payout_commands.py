"""`corridor payouts ...`: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, asks_a_node

payouts_app = typer.Typer(no_args_is_help=True, help="Paying out for partners, and by partners.")

PayoutId = Annotated[str, typer.Argument(metavar="PAYOUT_ID", help="pay_...")]
Which = Annotated[
    str, typer.Argument(metavar="ID", help="pay_..., or tra_... of what a partner pays out.")
]


@payouts_app.command("list")
@asks_a_node
def list_(
    where: Where,
    partner: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this partner's, par_...")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(help="pending_sender, pending_receiver, pending_external, completed, ..."),
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List payouts, newest first.

    Example: [bold]corridor payouts list --status pending_external[/]
    """
    from node.cli import payouts

    given = {"partner_id": partner, "status": status, "limit": limit, "cursor": cursor}
    query = {name: str(value) for name, value in given.items() if value is not None}
    payouts.payouts(where, query, as_json=as_json)


@payouts_app.command()
@asks_a_node
def show(where: Where, payout_id: PayoutId, as_json: AsJson = False) -> None:
    """Show a payout: where it is, the payment that matched it, its refund.

    Example: [bold]corridor payouts show pay_...[/]
    """
    from node.cli import payouts

    payouts.show(where, payout_id, as_json=as_json)


@payouts_app.command()
@asks_a_node
def correct(
    where: Where,
    which: Which,
    name: Annotated[str, typer.Option(help="Of the beneficiary, in full.")],
    country: Annotated[str, typer.Option(help="Of the beneficiary, such as PH.")],
    account: Annotated[str, typer.Option(help="Account number or IBAN.")],
    bank: Annotated[str, typer.Option(help="BIC, or a national code.")],
    as_json: AsJson = False,
) -> None:
    """Give the beneficiary as it should have been, after the bank has refused it.

    Of a payout that this node makes, or of a transfer that a partner pays out.

    Example: [bold]corridor payouts correct pay_... --name "Amihan" --country PH
    --account 000123456789 --bank BOPIPHMM[/]
    """
    from node.cli import payouts

    beneficiary = payouts.Beneficiary(name, country, account, bank)
    payouts.correct(where, which, beneficiary, as_json=as_json)


@payouts_app.command()
@asks_a_node
def refund(where: Where, which: Which, as_json: AsJson = False) -> None:
    """Send a payout's money back on chain, before the bank has the order or after it refused.

    Of a transfer that a partner pays out: ask the partner for it.

    Example: [bold]corridor payouts refund pay_...[/]
    """
    from node.cli import payouts

    payouts.refund(where, which, as_json=as_json)


@payouts_app.command()
@asks_a_node
def contract(
    where: Where,
    partner_id: Annotated[str, typer.Argument(metavar="PARTNER_ID", help="par_...")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="0x and 40 hex digits.")],
    chain_id: Annotated[int, typer.Option("--chain", min=1, help="Chain of the contract.")],
    refund_address: Annotated[
        str | None, typer.Option(help="Where money may go back to besides the contract.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a settlement contract that a partner pays out of, as an operator.

    Example: [bold]corridor payouts contract par_... 0x... --chain 31337[/]
    """
    from node.cli import payouts

    wanted = payouts.Contract(partner_id, chain_id, address, refund_address)
    payouts.contract(where, wanted, as_json=as_json)
