"""Every command's name, arguments and help. What a command does is loaded when it runs.

The first lines of help say what a command is for, the last give an example. Exit statuses are
those of `node.cli.faults.Status`.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from node import __version__
from node.cli.account_commands import accounts_app
from node.cli.bank_commands import bank_app
from node.cli.break_commands import breaks_app
from node.cli.bulk_commands import bulk_app
from node.cli.connection import DEFAULT_STATE_DIR, Where
from node.cli.deposit_commands import deposits_app
from node.cli.fx_commands import fx_app
from node.cli.key_commands import keys_app
from node.cli.mirror_commands import mirror_app
from node.cli.options import (
    PAY,
    AsJson,
    Force,
    LastDay,
    Output,
    StateDir,
    TransferId,
    Yes,
    asks_a_node,
    plain_amount,
)
from node.cli.partner_commands import partner_app
from node.cli.payout_commands import payouts_app
from node.cli.proving_commands import prove_app
from node.cli.report_commands import report_app
from node.cli.settlement_commands import settlement_app
from node.cli.trigger_commands import trigger
from node.cli.webhook_commands import listen, webhooks_app

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

_START = "Start"
_PROVE = "Prove"
_OPERATE = "Operate"

Amount = Annotated[
    str,
    typer.Argument(metavar="AMOUNT", help="Plain decimal, such as 200.00.", callback=plain_amount),
]
Sell = Annotated[str, typer.Argument(metavar="SELL", help="What you pay in, such as EUR.")]
Buy = Annotated[str, typer.Argument(metavar="BUY", help="What arrives, such as USDC.")]
Arrives = Annotated[
    bool, typer.Option("--arrives", help="AMOUNT is what arrives; you pay what it takes.")
]
PaysOut = Annotated[
    str | None, typer.Option("--partner", help="Who pays out; default: whoever the node prefers.")
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


@app.command(rich_help_panel=PAY)
@asks_a_node
def quote(
    where: Where,
    amount: Amount,
    sell: Sell,
    buy: Buy,
    arrives: Arrives = False,
    customer: Annotated[
        str | None, typer.Option(help="Only this customer may use the quote.")
    ] = None,
    payout: Annotated[
        str, typer.Option(help="How they are paid: onchain, or partner for local money.")
    ] = "onchain",
    partner: PaysOut = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a firm quote, with every fee and the rate's source.

    Example: [bold]corridor quote 200.00 EUR PHP --payout partner[/]
    """
    from node.cli import quoting

    quoting.run(
        where,
        amount,
        sell.upper(),
        buy.upper(),
        arrives=arrives,
        customer_id=customer,
        payout=quoting.Payout(payout, partner),
        as_json=as_json,
    )


@app.command(rich_help_panel=PAY)
@asks_a_node
def send(
    where: Where,
    amount: Amount,
    sell: Sell,
    buy: Buy,
    customer: Annotated[str, typer.Option(help="Who pays, cus_...")],
    to: Annotated[str | None, typer.Option(help="The beneficiary's address, 0x...")] = None,
    account: Annotated[
        str | None, typer.Option(help="Or their account, where a partner pays out.")
    ] = None,
    bank: Annotated[str | None, typer.Option(help="Its bank: BIC, or a national code.")] = None,
    partner: PaysOut = None,
    if_refused: Annotated[
        str | None, typer.Option(help="Where that bank refuses: refund (default) or correct.")
    ] = None,
    arrives: Arrives = False,
    name: Annotated[
        str | None, typer.Option(help="The beneficiary's name; default: CUSTOMER itself.")
    ] = None,
    country: Annotated[str | None, typer.Option(help="Their country, such as PH.")] = None,
    reference: Annotated[str | None, typer.Option(help="Your own reference.")] = None,
    yes: Yes = False,
    watch: Annotated[
        bool, typer.Option(help="Follow it to its end, or return once it is accepted.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Send money: see the quote, say yes, follow it to its end.

    Shows every fee and asks first. When the answer gets lost, run the same command again: it cannot
    send twice. Status 0 when it completed, 1 when it ended otherwise; with --no-watch 0 once it is
    accepted. With --json: the quote and the transfer on the first line, then, unless --no-watch,
    what `watch --json` prints: one event on a line, the transfer last.

    Example: [bold]corridor send 200.00 EUR USDC --to 0x... --customer cus_...[/]

    Local money, by a partner: [bold]corridor send 200.00 EUR PHP --customer cus_...
    --account 001234567890 --bank BOPIPHMM --name "Amihan" --country PH[/]
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
        account=account,
        bank=bank,
        partner=partner,
        refund_policy=if_refused,
    )
    manner = sending.Manner(assume_yes=yes, watch=watch, as_json=as_json)
    sending.run(where, order, manner)


@app.command(rich_help_panel=PAY)
@asks_a_node
def watch(
    where: Where,
    transfer_id: TransferId,
    wait_s: Annotated[
        int | None, typer.Option(min=1, help="Give up after so many seconds (status 4).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Follow a transfer as it happens, to its end.

    Status 0 when it completed, 1 when it ended otherwise. Ctrl-C leaves the transfer going on.
    With --json: one event on a line, the transfer last.

    Example: [bold]corridor watch tra_...[/]
    """
    from node.cli import watching

    watching.run(where, transfer_id, wait_s=wait_s, as_json=as_json)


@app.command(rich_help_panel=_PROVE)
@asks_a_node
def reconcile(
    where: Where,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what was compared, and each break in full.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the ledger with the chain at the final block.

    Status 1 when breaks are open.

    Example: [bold]corridor reconcile --explain[/]
    """
    from node.cli import reconciling

    reconciling.run(where, explain=explain, as_json=as_json)


@app.command(rich_help_panel=_PROVE)
def verify(
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER:HASH|FILE",
            help="A batch the chain must contain, noted earlier, or an earlier export.",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what an outsider needs to prove the ledger."),
    ] = None,
    force: Force = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Re-derive every balance, hash, hold and transfer from the entries.

    Reads the database only, and holds nobody up. Status 1 on any difference. Prints the newest
    batch and its hash as an anchor: note it elsewhere, and give it to a later run.

    Example: [bold]corridor verify --export ledger.bin[/]
    """
    from node.cli import verifying

    manner = verifying.Manner(tuple(anchor or ()), export, force=force, as_json=as_json)
    verifying.run(state_dir, manner)


@app.command(rich_help_panel=_OPERATE)
@asks_a_node
def positions(
    where: Where,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day, UTC; default: as --to.")
    ] = None,
    last: LastDay = None,
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only this one, such as EUR.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="table, json or csv (the days).")
    ] = None,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show what the node is long and short of, what it earned, and what that is worth now.

    The unrealised result is what would be left if every position were closed now at the mid rate.
    --json is --format json.

    Example: [bold]corridor positions --from 2026-11-01 --to 2026-11-22[/]
    """
    from node.cli import documents
    from node.cli import positions as positions_command

    code = currency.upper() if currency else None
    manner = documents.Manner(form, as_json, output, force)
    positions_command.run(where, first, last, code, manner)


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
def signer(
    file: Annotated[
        Path, typer.Option("--file", metavar="FILE", help="Its settings, in TOML.")
    ] = Path("signer.toml"),
    example: Annotated[
        bool, typer.Option("--example", help="Print such a file, and stop.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Open every key, say which there are, and stop.")
    ] = False,
    forget: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS:NONCE", help="Let a nonce be signed anew, and stop."),
    ] = None,
    log_format: Annotated[str, typer.Option(help="console or json.")] = "console",
) -> None:
    """Hold keys on a machine of their own, and sign what their roles and limits allow.

    Speaks JSON-RPC eth_signTransaction on loopback, to whoever has the bearer token. It checks on
    its own side chain, contract, role, fee cap and what each key may pay out in a day, and never
    signs two different transactions for one nonce. --forget is for a nonce whose transaction is
    certainly lost, after a restored backup: make sure first that it was never sent.

    Example: [bold]corridor signer --file /etc/corridor/signer.toml[/]
    """
    from node.cli import signing

    if example:
        signing.example()
    elif check:
        signing.check(file)
    elif forget is not None:
        signing.forget(file, forget)
    else:
        signing.run(file, log_format=log_format)


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
        int | None, typer.Option(min=1, max=65535, help="HTTP port; default: as before, or free.")
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="How many nodes; the second pays out for the first."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Keep it running, and return.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start PostgreSQL, a chain, contracts and a node, with customers and money to play with.

    Brings up what is not running and leaves the rest. Ctrl-C stops everything. With --nodes 2 euros
    of a customer of berlin become pesos that manila pays out; what the state directory was made
    with stays (1 at first).

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


@devnet_app.command("status")
def devnet_status(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: AsJson = False) -> None:
    """Show what runs since when, where chain and mirrors stand, and which node is not ready.

    Exit status 1: nothing runs, or something is not as it must be.

    Example: [bold]corridor devnet status[/]
    """
    from node.cli import local_status

    local_status.status(state_dir, as_json=as_json)


@devnet_app.command("logs")
def devnet_logs(
    program: Annotated[
        str | None, typer.Argument(help="Of `serve`, `work`, `anvil`...; default: of all.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="Of this node's programs alone.")] = None,
    lines: Annotated[int, typer.Option(min=0, help="How many of each log.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show the last lines that the programs of the devnet wrote, also when it has ended.

    Example: [bold]corridor devnet logs work --node manila --follow[/]
    """
    from node.cli import local_status

    local_status.logs(state_dir, program, node, lines=lines, is_followed=follow, as_json=as_json)


app.add_typer(accounts_app)
app.add_typer(deposits_app, name="deposits", rich_help_panel=PAY)
app.add_typer(bulk_app, name="bulk", rich_help_panel=PAY)
app.add_typer(payouts_app, name="payouts", rich_help_panel=PAY)
app.add_typer(report_app, name="report", rich_help_panel=PAY)
app.add_typer(breaks_app, name="breaks", rich_help_panel=_PROVE)
app.add_typer(prove_app, name="prove", rich_help_panel=_PROVE)
app.add_typer(settlement_app, name="settlement", rich_help_panel=_OPERATE)
app.add_typer(webhooks_app, name="webhooks", rich_help_panel=_OPERATE)
app.command(rich_help_panel=_OPERATE)(listen)
app.command(rich_help_panel=_START)(trigger)
app.add_typer(mirror_app, name="mirror", rich_help_panel=_OPERATE)
app.add_typer(fx_app, name="fx", rich_help_panel=_OPERATE)
app.add_typer(bank_app, name="bank", rich_help_panel=_OPERATE)
app.add_typer(devnet_app, name="devnet", rich_help_panel=_START)
app.add_typer(keys_app, name="keys", rich_help_panel=_OPERATE)
app.add_typer(partner_app, name="partner", rich_help_panel=_OPERATE)
