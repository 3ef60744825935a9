"""Every command's name, arguments and help. What a command does is loaded when it runs.

The first lines of help say what a command is for, the last give an example. Exit statuses are
those of `node.cli.faults.Status`.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from node import __version__
from node.cli.connection import DEFAULT_STATE_DIR, Where

_STATUSES: Final = (
    "Exit status: 0 done; 1 the answer is no (not completed, breaks open, differences found);"
    " 2 wrong usage; 3 refused; 4 something does not answer now; 130 Ctrl-C."
)

app = typer.Typer(
    name="corridor",
    help="Corridor: cross-border payments settled in stablecoin, with books that prove themselves.",
    epilog=_STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
devnet_app = typer.Typer(no_args_is_help=True, help="A complete local node, with its chain.")
keys_app = typer.Typer(no_args_is_help=True, help="Credentials of operators, partners, remitters.")

_START = "Start"
_PAY = "Pay"
_PROVE = "Prove"
_OPERATE = "Operate"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
StateDir = Annotated[
    Path,
    typer.Option(
        "--state-dir",
        envvar="CORRIDOR_STATE_DIR",
        help="Where the devnet keeps everything.",
        file_okay=False,
    ),
]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="CORRIDOR_URL", help="The node; default: that of the devnet."),
]
Token = Annotated[
    str | None,
    # A secret on the command line is seen by every user of the machine: not advertised.
    typer.Option("--token", envvar="CORRIDOR_TOKEN", hidden=True),
]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Plain decimal, such as 200.00.")]
Sell = Annotated[str, typer.Argument(metavar="SELL", help="What you pay in, such as EUR.")]
Buy = Annotated[str, typer.Argument(metavar="BUY", help="What arrives, such as USDC.")]
Arrives = Annotated[
    bool, typer.Option("--arrives", help="AMOUNT is what arrives; you pay what it takes.")
]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Corridor: cross-border payments settled in stablecoin, with books that prove themselves."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise typer.Exit


@app.command(rich_help_panel=_START)
def doctor(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: AsJson = False) -> None:
    """Find out what is wrong with this installation, and how to mend it.

    Status 1 if anything is.

    Example: [bold]corridor doctor[/]
    """
    from node.cli import examining

    examining.run(state_dir, as_json=as_json)


@app.command(rich_help_panel=_PAY)
def quote(
    amount: Amount,
    sell: Sell,
    buy: Buy,
    arrives: Arrives = False,
    customer: Annotated[
        str | None, typer.Option(help="Only this customer may use the quote.")
    ] = None,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Ask for a firm quote, with every fee and the rate's source.

    Example: [bold]corridor quote 200.00 EUR USDC[/]
    """
    from node.cli import quoting

    where = Where(url, token, state_dir)
    quoting.run(
        where,
        amount,
        sell.upper(),
        buy.upper(),
        arrives=arrives,
        customer_id=customer,
        as_json=as_json,
    )


@app.command(rich_help_panel=_PAY)
def send(
    amount: Amount,
    sell: Sell,
    buy: Buy,
    to: Annotated[str, typer.Option(help="The beneficiary's address, 0x...")],
    customer: Annotated[str, typer.Option(help="Who pays, cus_...")],
    arrives: Arrives = False,
    name: Annotated[
        str | None, typer.Option(help="The beneficiary's name; default: CUSTOMER itself.")
    ] = None,
    country: Annotated[str | None, typer.Option(help="Their country, such as PH.")] = None,
    reference: Annotated[str | None, typer.Option(help="Your own reference.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    watch: Annotated[
        bool, typer.Option(help="Follow it to its end, or return once it is accepted.")
    ] = True,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Send money: see the quote, say yes, follow it to its end.

    Shows every fee and asks first. When the answer gets lost, run the same command again: it cannot
    send twice. Status 0 when it completed, 1 when it ended otherwise; with --no-watch 0 once it is
    accepted. With --json: the quote and the transfer on the first line, then, unless --no-watch,
    what `watch --json` prints: one event on a line, the transfer last.

    Example: [bold]corridor send 200.00 EUR USDC --to 0x... --customer cus_...[/]
    """
    from node.cli import sending

    order = sending.Order(
        amount=amount,
        sell=sell.upper(),
        buy=buy.upper(),
        arrives=arrives,
        customer_id=customer,
        address=to,
        name=name,
        country=country.upper() if country else None,
        client_reference=reference,
    )
    manner = sending.Manner(assume_yes=yes, watch=watch, as_json=as_json)
    sending.run(Where(url, token, state_dir), order, manner)


@app.command(rich_help_panel=_PAY)
def watch(
    transfer_id: Annotated[str, typer.Argument(metavar="TRANSFER_ID", help="tra_...")],
    wait_s: Annotated[
        int | None, typer.Option(min=1, help="Give up after so many seconds (status 4).")
    ] = None,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Follow a transfer as it happens, to its end.

    Status 0 when it completed, 1 when it ended otherwise. Ctrl-C leaves the transfer going on.
    With --json: one event on a line, the transfer last.

    Example: [bold]corridor watch tra_...[/]
    """
    from node.cli import watching

    watching.run(Where(url, token, state_dir), transfer_id, wait_s=wait_s, as_json=as_json)


@app.command(rich_help_panel=_PROVE)
def reconcile(
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what was compared, and each break in full.")
    ] = False,
    url: Url = None,
    token: Token = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Compare the ledger with the chain at the final block.

    Status 1 when breaks are open.

    Example: [bold]corridor reconcile --explain[/]
    """
    from node.cli import reconciling

    reconciling.run(Where(url, token, state_dir), explain=explain, as_json=as_json)


@app.command(rich_help_panel=_PROVE)
def verify(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: AsJson = False) -> None:
    """Re-derive every balance and every transfer's money from the entries.

    Reads the database only. Status 1 on any difference.

    Example: [bold]corridor verify[/]
    """
    from node.cli import verifying

    verifying.run(state_dir, as_json=as_json)


@app.command(rich_help_panel=_OPERATE)
def serve(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Run an HTTP process.

    Any number may run on one database.

    Example: [bold]CORRIDOR_HTTP_PORT=8000 corridor serve[/]
    """
    from node.cli import processes

    processes.serve(state_dir)


@app.command(rich_help_panel=_OPERATE)
def work(
    only: Annotated[
        str | None, typer.Option(help="Some jobs, such as settle,mirror; default: all.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Run a worker process: it pays, mirrors the chain and reconciles.

    Any number may run on one database.

    Example: [bold]corridor work --only settle,mirror[/]
    """
    from node.cli import processes

    processes.work(state_dir, only)


@app.command(rich_help_panel=_OPERATE)
def migrate(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Bring the database's schema up to date; safe to repeat.

    Example: [bold]corridor migrate[/]
    """
    from node.cli import processes

    processes.migrate(state_dir)


@devnet_app.command("up")
def devnet_up(
    state_dir: StateDir = DEFAULT_STATE_DIR,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="HTTP port; default: a free one.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, max=2, help="How many nodes.")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="Keep it running, and return.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start PostgreSQL, a chain, contracts and a node, with customers and money to play with.

    Brings up what is not running and leaves the rest. Ctrl-C stops everything.

    Example: [bold]corridor devnet up --detach[/]
    """
    from node.cli import local

    local.up(state_dir, port=port, nodes=nodes, detach=detach, as_json=as_json)


@devnet_app.command("down")
def devnet_down(
    state_dir: StateDir = DEFAULT_STATE_DIR,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Delete the state directory as well.")
    ] = False,
) -> None:
    """Stop exactly what `devnet up` started.

    Example: [bold]corridor devnet down --wipe[/]
    """
    from node.cli import local

    local.down(state_dir, wipe=wipe)


@keys_app.command("create")
def keys_create(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="operator, partner or remitter.")],
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Operator's or partner's name; customer's id."),
    ],
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a credential. The token is shown once; the node stores only its SHA-256.

    A partner that does not exist yet is made.

    Example: [bold]corridor keys create operator night-shift[/]
    """
    from node.cli import credentials

    credentials.create(state_dir, role, name, as_json=as_json)


@keys_app.command("list")
def keys_list(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: AsJson = False) -> None:
    """Every credential: whose it is, and whether it still works. Tokens are not known.

    Example: [bold]corridor keys list[/]
    """
    from node.cli import credentials

    credentials.show(state_dir, as_json=as_json)


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="key_...")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """End a credential for good; within a second no process accepts it.

    Example: [bold]corridor keys revoke key_...[/]
    """
    from node.cli import credentials

    credentials.revoke(state_dir, key_id, as_json=as_json)


app.add_typer(devnet_app, name="devnet", rich_help_panel=_START)
app.add_typer(keys_app, name="keys", rich_help_panel=_OPERATE)
