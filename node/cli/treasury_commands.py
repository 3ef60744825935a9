"""Commands of the node's own money: names, arguments and help. See `settlement_commands`."""

from typing import Annotated, Final

import typer

from node.cli.connection import DEFAULT_STATE_DIR, Where
from node.cli.options import AsJson, StateDir, Token, Url, plain_amount

treasury_app = typer.Typer()
rules_app = typer.Typer(
    no_args_is_help=True, help="Top the float or a key's coin up below a mark, by itself."
)

_MONEY: Final = "Own money"

Amount = Annotated[
    str,
    typer.Argument(metavar="AMOUNT", help="Plain decimal, such as 1000.00.", callback=plain_amount),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@treasury_app.command("top-up", rich_help_panel=_MONEY)
def top_up(
    amount: Amount,
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Move tokens from the treasury to the contract's float.

    Example: [bold]corridor settlement top-up 5000.00[/]
    """
    from node.cli import settlement_treasury as treasury

    ask = treasury.Ask("float_top_up", "treasury", "contract", None, amount)
    treasury.move(Where(url, token, state_dir), ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("gas", rich_help_panel=_MONEY)
def gas(
    amount: Amount,
    to: Annotated[str, typer.Option(help="The key that is filled, 0x...")],
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Move the chain's coin from the treasury to a key of the node, for gas.

    Example: [bold]corridor settlement gas 0.5 --to 0x...[/]
    """
    from node.cli import settlement_treasury as treasury

    ask = treasury.Ask("lane_gas", "treasury", to, None, amount)
    treasury.move(Where(url, token, state_dir), ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("sweep", rich_help_panel=_MONEY)
def sweep(
    amount: Amount,
    source: Annotated[str, typer.Option("--from", help="The key that is emptied, 0x...")],
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="The chain's coin; default: the token.")
    ] = None,
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Move tokens or coin from a key of the node back to the treasury.

    Of coin it leaves the gas of 16 transactions.

    Example: [bold]corridor settlement sweep 0.25 --currency ETH --from 0x...[/]
    """
    from node.cli import settlement_treasury as treasury

    code = currency.upper() if currency else None
    ask = treasury.Ask("sweep", source, "treasury", code, amount)
    treasury.move(Where(url, token, state_dir), ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("rescue", rich_help_panel=_MONEY)
def rescue(
    amount: Amount,
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Move the float out of the contract to the treasury; only while the contract is paused.

    Example: [bold]corridor settlement pause --hard[/], then
    [bold]corridor settlement rescue 5000.00[/]
    """
    from node.cli import settlement_treasury as treasury

    ask = treasury.Ask("rescue", "contract", "treasury", None, amount)
    treasury.move(Where(url, token, state_dir), ask, assume_yes=yes, as_json=as_json)


@treasury_app.command("movements", rich_help_panel=_MONEY)
def movements(
    state: Annotated[
        str | None, typer.Option(help="requested, submitted, settled or failed.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="float_top_up, lane_gas, sweep or rescue.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=200, help="Rows; default: 50.")] = None,
    cursor: Annotated[str | None, typer.Option(help="From where the page before ended.")] = None,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """List movements of the node's own money, newest first.

    Example: [bold]corridor settlement movements --state requested[/]
    """
    from node.cli import settlement_treasury as treasury
    from node.cli.documents import given

    query = given(state=state, kind=kind, limit=limit, cursor=cursor)
    treasury.movements(Where(url, token, state_dir), query, as_json=as_json)


@treasury_app.command("movement", rich_help_panel=_MONEY)
def movement(
    movement_id: Annotated[str, typer.Argument(metavar="MOVEMENT_ID", help="mov_...")],
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show a movement: how far it is, what it waits for, why it failed.

    Example: [bold]corridor settlement movement mov_...[/]
    """
    from node.cli import settlement_treasury as treasury

    treasury.movement(Where(url, token, state_dir), movement_id, as_json=as_json)


@rules_app.command("list")
def rules_list(
    everything: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """List the rules in force.

    Example: [bold]corridor settlement rules list[/]
    """
    from node.cli import settlement_treasury as treasury

    treasury.rules(Where(url, token, state_dir), everything=everything, as_json=as_json)


@rules_app.command("add")
def rules_add(
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
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
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
    treasury.add_rule(Where(url, token, state_dir), kinds[what], to, limits, as_json=as_json)


@rules_app.command("end")
def rules_end(
    rule_id: Annotated[str, typer.Argument(metavar="RULE_ID", help="As `rules list` shows it.")],
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """End a rule; what it has asked for goes on.

    Example: [bold]corridor settlement rules end rul_...[/]
    """
    from node.cli import settlement_treasury as treasury

    treasury.end_rule(Where(url, token, state_dir), rule_id, as_json=as_json)
