"""Commands of reports: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Force, LastDay, Output, asks_a_node

report_app = typer.Typer(no_args_is_help=True, help="Reports over days, for partners' books.")

FirstDay = Annotated[
    str | None,
    typer.Option("--from", metavar="DAY", help="First day, UTC; default: of --to's month."),
]
Form = Annotated[str | None, typer.Option("--format", help="table, json or csv.")]


@report_app.command()
@asks_a_node
def transfers(
    where: Where,
    first: FirstDay = None,
    last: LastDay = None,
    form: Form = None,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show fees and exchange of each transfer that was accepted.

    Example: [bold]corridor report transfers --from 2026-11-22 --to 2026-11-22[/]
    """
    from node.cli import documents, reports

    reports.transfers(where, first, last, documents.Manner(form, as_json, output, force))


@report_app.command()
@asks_a_node
def settlement(
    where: Where,
    first: FirstDay = None,
    last: LastDay = None,
    form: Form = None,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show each payout with its transaction hash, block and payment number.

    Example: [bold]corridor report settlement --format csv --output november.csv[/]
    """
    from node.cli import documents, reports

    reports.settlement(where, first, last, documents.Manner(form, as_json, output, force))


@report_app.command()
@asks_a_node
def partner(
    where: Where,
    partner_id: Annotated[str, typer.Argument(metavar="PARTNER_ID", help="par_...")],
    currency: Annotated[str, typer.Option(metavar="CODE", help="Such as EUR.")],
    first: FirstDay = None,
    last: LastDay = None,
    form: Annotated[
        str | None, typer.Option("--format", help="table, json, csv or camt.053 (ISO 20022).")
    ] = None,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show what moved a partner's own balance, from day to day.

    Example: [bold]corridor report partner par_... --currency EUR --from 2026-11-22[/]
    """
    from node.cli import documents, reports

    manner = documents.Manner(form, as_json, output, force)
    reports.partner(where, partner_id, currency.upper(), (first, last), manner)
