"""`corridor partner ...`: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, asks_a_node, plain_amount

partner_app = typer.Typer(
    no_args_is_help=True, help="Institutions that use the node, and what is agreed with them."
)

Partner = Annotated[str, typer.Argument(metavar="PARTNER", help="Its name, or par_...")]
Currency = Annotated[str | None, typer.Option(metavar="CODE", help="Of the limits, such as EUR.")]
CreditLine = Annotated[
    str | None,
    typer.Option(metavar="AMOUNT", help="How far its balance may be below 0."),
]
SellMax = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="Most that one quote sells; `none`: no limit.")
]
DailySellMax = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="Most that a day sells; `none`: no limit.")
]
Spread = Annotated[
    str | None,
    typer.Option("--spread-bps", metavar="BPS", help="Its spread; `corridor`: the usual one."),
]
Signed = Annotated[
    bool | None, typer.Option("--signed/--unsigned", help="Whether it must sign each request.")
]


@partner_app.command()
@asks_a_node
def create(
    where: Where,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique.")],
    country: Annotated[str, typer.Option(help="ISO 3166-1 alpha-2, such as PH.")],
    currency: Currency = None,
    credit_line: CreditLine = None,
    sell_max: SellMax = None,
    daily_sell_max: DailySellMax = None,
    spread_bps: Spread = None,
    signed: Signed = None,
    as_json: AsJson = False,
) -> None:
    """Make a partner. It has no key yet: `corridor keys create partner NAME`.

    Example: [bold]corridor partner create shop --country DE --currency EUR --credit-line 5000[/]
    """
    from node.cli import partners

    terms = partners.Terms(currency, credit_line, sell_max, daily_sell_max, spread_bps, signed)
    partners.create(where, name, country.upper(), terms, as_json=as_json)


@partner_app.command("list")
@asks_a_node
def list_(
    where: Where, limit: Limit = None, cursor: Cursor = None, as_json: AsJson = False
) -> None:
    """List partners, newest first.

    Example: [bold]corridor partner list[/]
    """
    from node.cli import partners

    given = {"limit": limit, "cursor": cursor}
    query = {name: str(value) for name, value in given.items() if value is not None}
    partners.partners(where, query, as_json=as_json)


@partner_app.command()
@asks_a_node
def show(where: Where, partner: Partner, as_json: AsJson = False) -> None:
    """Show a partner: what is agreed, what it has, which keys work.

    With --json: the partner, its balances and its keys.

    Example: [bold]corridor partner show shop[/]
    """
    from node.cli import partners

    partners.show(where, partner, as_json=as_json)


@partner_app.command()
@asks_a_node
def terms(
    where: Where,
    partner: Partner,
    currency: Currency = None,
    credit_line: CreditLine = None,
    sell_max: SellMax = None,
    daily_sell_max: DailySellMax = None,
    spread_bps: Spread = None,
    signed: Signed = None,
    as_json: AsJson = False,
) -> None:
    """Change what is agreed with a partner; what is not named stays.

    Example: [bold]corridor partner terms shop --currency EUR --daily-sell-max 100000[/]
    """
    from node.cli import partners

    wanted = partners.Terms(currency, credit_line, sell_max, daily_sell_max, spread_bps, signed)
    partners.terms(where, partner, wanted, as_json=as_json)


@partner_app.command()
@asks_a_node
def prefund(
    where: Where,
    partner: Partner,
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="Plain decimal, 100.00.", callback=plain_amount)
    ],
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="Such as EUR.")],
    rail: Annotated[str, typer.Option(help="The bank at which it arrived.")],
    reference: Annotated[str, typer.Option(help="The bank's; each is booked once.")],
    as_json: AsJson = False,
) -> None:
    """Book money that arrived for a partner's own balance.

    Example: [bold]corridor partner prefund shop 1000 EUR --rail sandbox_bank --reference w-7[/]
    """
    from node.cli import partners

    arrived = partners.Arrived(amount, currency.upper(), rail, reference)
    partners.prefund(where, partner, arrived, as_json=as_json)


@partner_app.command()
@asks_a_node
def suspend(where: Where, partner: Partner, as_json: AsJson = False) -> None:
    """Let a partner and its customers look, and nothing else. Payments under way go on.

    Example: [bold]corridor partner suspend shop[/]
    """
    from node.cli import partners

    partners.set_status(where, partner, "suspended", as_json=as_json)


@partner_app.command()
@asks_a_node
def resume(where: Where, partner: Partner, as_json: AsJson = False) -> None:
    """End a suspension.

    Example: [bold]corridor partner resume shop[/]
    """
    from node.cli import partners

    partners.set_status(where, partner, "active", as_json=as_json)
