"""Commands of the node's own money: names, arguments and help. See `settlement_commands`."""

from typing import Annotated, Final

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, Yes, asks_a_node, plain_amount

treasury_app = typer.Typer()
rules_app = typer.Typer(
    no_args_is_help=True, help="Top the float or a key's coin up below a mark, by itself."
)

_MONEY: Final = "Own money"

Amount = Annotated[
    str,
    typer.Argument(metavar="AMOUNT", help="Plain decimal, such as 1000.00.", callback=plain_amount),
]


@treasury_app.command("top-up", rich_help_panel=_MONEY)
@asks_a_node
def top_up(where: Where, amount: Amount, yes: Yes = False, as_json: AsJson = False) -> None:
    """Move tokens from the treasury to the contract's float.

    Example: [bold]corridor settlement top-up 5000.00[/]
    """
    from node.cli import settlement_treasury as treasury

    ask = treasury.Ask("float_top_up", "treasury", "contract", None, amount)
    treasury.move(where, ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("gas", rich_help_panel=_MONEY)
@asks_a_node
def gas(
    where: Where,
    amount: Amount,
    to: Annotated[str, typer.Option(help="The key that is filled, 0x...")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move the chain's coin from the treasury to a key of the node, for gas.

    Example: [bold]corridor settlement gas 0.5 --to 0x...[/]
    """
    from node.cli import settlement_treasury as treasury

    ask = treasury.Ask("lane_gas", "treasury", to, None, amount)
    treasury.move(where, ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("sweep", rich_help_panel=_MONEY)
@asks_a_node
def sweep(
    where: Where,
    amount: Amount,
    source: Annotated[str, typer.Option("--from", help="The key that is emptied, 0x...")],
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="The chain's coin; default: the token.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move tokens or coin from a key of the node back to the treasury.

    Of coin it leaves the gas of 16 transactions.

    Example: [bold]corridor settlement sweep 0.25 --currency ETH --from 0x...[/]
    """
    from node.cli import settlement_treasury as treasury

    code = currency.upper() if currency else None
    ask = treasury.Ask("sweep", source, "treasury", code, amount)
    treasury.move(where, ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("rescue", rich_help_panel=_MONEY)
@asks_a_node
def rescue(where: Where, amount: Amount, yes: Yes = False, as_json: AsJson = False) -> None:
    """Move the float out of the contract to the treasury; only while the contract is paused.

    Example: [bold]corridor settlement pause --hard[/], then
    [bold]corridor settlement rescue 5000.00[/]
    """
    from node.cli import settlement_treasury as treasury

    ask = treasury.Ask("rescue", "contract", "treasury", None, amount)
    treasury.move(where, ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("movements", rich_help_panel=_MONEY)
@asks_a_node
def movements(
    where: Where,
    state: Annotated[
        str | None, typer.Option(help="requested, submitted, settled or failed.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="float_top_up, lane_gas, sweep, rescue or deposit_sweep.")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List movements of the node's own money, newest first.

    Example: [bold]corridor settlement movements --state requested[/]
    """
    from node.cli import settlement_treasury as treasury
    from node.cli.documents import given

    query = given(state=state, kind=kind, limit=limit, cursor=cursor)
    treasury.movements(where, query, as_json=as_json)


@treasury_app.command("movement", rich_help_panel=_MONEY)
@asks_a_node
def movement(
    where: Where,
    movement_id: Annotated[str, typer.Argument(metavar="MOVEMENT_ID", help="mov_...")],
    as_json: AsJson = False,
) -> None:
    """Show a movement: how far it is, what it waits for, why it failed.

    Example: [bold]corridor settlement movement mov_...[/]
    """
    from node.cli import settlement_treasury as treasury

    treasury.movement(where, movement_id, as_json=as_json)


@rules_app.command("list")
@asks_a_node
def rules_list(
    where: Where,
    everything: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the rules in force.

    Example: [bold]corridor settlement rules list[/]
    """
    from node.cli import settlement_treasury as treasury

    treasury.rules(where, everything=everything, as_json=as_json)


@rules_app.command("add")
@asks_a_node
def rules_add(
    where: Where,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="float, or gas.")],
    mark: Annotated[
        str, typer.Option(metavar="AMOUNT", help="It acts below this.", callback=plain_amount)
    ],
    fill_to: Annotated[
        str, typer.Option(metavar="AMOUNT", help="It fills up to this.", callback=plain_amount)
    ],
    daily_limit: Annotated[
        str,
        typer.Option(
            metavar="AMOUNT",
            help="The most it moves within any 86,400 s.",
            callback=plain_amount,
        ),
    ],
    to: Annotated[
        str | None, typer.Option(help="The key that gets gas, 0x...; default: every lane.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a rule: amounts are of the token for the float, of the chain's coin for gas.

    Example: [bold]corridor settlement rules add gas --mark 0.1 --fill-to 0.5 --daily-limit 2[/]
    """
    from node.cli import settlement_treasury as treasury
    from node.cli.faults import Fault, Status

    kinds = {"float": "float_top_up", "gas": "lane_gas"}
    if what not in kinds:
        raise Fault(
            f"there is no rule for {what!r}", remedy="WHAT is float or gas", status=Status.USAGE
        )
    limits = (mark, fill_to, daily_limit)
    treasury.add_rule(where, kinds[what], to, limits, as_json=as_json)


@rules_app.command("end")
@asks_a_node
def rules_end(
    where: Where,
    rule_id: Annotated[str, typer.Argument(metavar="RULE_ID", help="As `rules list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """End a rule; what it has asked for goes on.

    Example: [bold]corridor settlement rules end rul_...[/]
    """
    from node.cli import settlement_treasury as treasury

    treasury.end_rule(where, rule_id, as_json=as_json)
