"""Commands of bulk transfers: names, arguments and help. See `node.cli.app`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Force, Output, asks_a_node

bulk_app = typer.Typer(no_args_is_help=True, help="Files of transfers, up to 10,000 rows.")

BulkId = Annotated[str, typer.Argument(metavar="BULK_ID", help="bul_...")]


class Side(StrEnum):
    """What InstdAmt is."""

    SELL = "sell"
    BUY = "buy"


class Refused(StrEnum):
    """What follows where a bank refuses for good."""

    REFUND = "refund"
    CORRECT = "correct"


class RowWord(StrEnum):
    """Where a row is."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@bulk_app.command()
@asks_a_node
def send(
    where: Where,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV, pain.001 or JSON lines, by its name: .csv, .xml, .jsonl.",
            exists=True,
            dir_okay=False,
        ),
    ],
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Accept every row, or none.")
    ] = False,
    sell: Annotated[
        str | None, typer.Option(metavar="CODE", help="What rows sell that do not say it.")
    ] = None,
    buy: Annotated[
        str | None, typer.Option(metavar="CODE", help="What rows buy that do not say it.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option(metavar="CUSTOMER_ID", help="Who pays, where rows do not say it.")
    ] = None,
    if_refused: Annotated[
        Refused | None,
        typer.Option(help="Where the bank refuses of a row to an account; default: refund."),
    ] = None,
    instructed: Annotated[Side, typer.Option(help="What InstdAmt of pain.001 is.")] = Side.SELL,
    again: Annotated[
        bool, typer.Option("--again", help="Take a file in anew that was sent before.")
    ] = False,
    wait: Annotated[
        bool, typer.Option(help="Until every row is decided, or return once it is taken in.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Send a file of transfers, and tell what came of its rows.

    The same command again is the same bulk transfer: it cannot send twice. Nor can --again pay a
    row twice: its client reference is known. Status 1 when rows were rejected.

    Example: [bold]corridor bulk send salaries.csv --sell EUR --buy USDC --customer cus_...[/]
    """
    from node.cli import bulk

    order = bulk.Order(
        file,
        all_or_nothing=all_or_nothing,
        sell=sell.upper() if sell else None,
        buy=buy.upper() if buy else None,
        customer_id=customer,
        refund_policy=if_refused.value if if_refused else None,
        instructed=instructed.value,
        again=again,
    )
    bulk.send(where, order, wait=wait, as_json=as_json)


@bulk_app.command()
@asks_a_node
def show(where: Where, bulk_id: BulkId, as_json: AsJson = False) -> None:
    """Show how far a bulk transfer is, and where its transfers are.

    Example: [bold]corridor bulk show bul_...[/]
    """
    from node.cli import bulk

    bulk.show(where, bulk_id, as_json=as_json)


@bulk_app.command()
@asks_a_node
def rows(
    where: Where,
    bulk_id: BulkId,
    status: Annotated[RowWord | None, typer.Option(help="Only these.")] = None,
    after: Annotated[int, typer.Option(min=0, help="From the line after this one.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, max=200, help="Rows; default: 50.")] = None,
    as_json: AsJson = False,
) -> None:
    """List rows with what came of them.

    Example: [bold]corridor bulk rows bul_... --status rejected[/]
    """
    from node.cli import bulk

    word = None if status is None else status.value
    bulk.rows(where, bulk_id, word, after, limit, as_json=as_json)


@bulk_app.command()
@asks_a_node
def report(
    where: Where,
    bulk_id: BulkId,
    form: Annotated[
        str | None, typer.Option("--format", help="table, json, csv or pain.002 (ISO 20022).")
    ] = None,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show every row with what came of it, or write it to a file.

    --json is --format json.

    Example: [bold]corridor bulk report bul_... --format pain.002 --output report.xml[/]
    """
    from node.cli import bulk, documents

    bulk.report(where, bulk_id, documents.Manner(form, as_json, output, force))
