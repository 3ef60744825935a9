"""`corridor positions`: what the node is long and short of, what it earned, what that is worth now.

Not here: what the figures mean (`node.core.positions`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, day_time, print_json, stderr, stdout
from node.cli.exporting import partial_file
from node.cli.faults import Fault, Status

_TIMEOUT_S: Final = 600.0
"""Every day is read as of its end, so a year of a busy node takes a while."""

_PATH: Final = "/v1/positions"
_UNKNOWN: Final = "[yellow]not known[/]"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which days and which currency; None: today, and all."""

    first: str | None
    last: str | None
    currency: str | None

    @property
    def query(self) -> dict[str, str]:
        """As the node's parameters."""
        given = {"from": self.first, "to": self.last, "currency": self.currency}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Manner:
    """How to tell.

    Attributes:
        output: The file to write, as CSV unless JSON is asked for; None: print.
        force: Replace the file if it exists.
    """

    as_json: bool
    as_csv: bool
    output: Path | None
    force: bool


def run(where: Where, wanted: Wanted, manner: Manner) -> None:
    """Show positions, or write them to a file.

    Raises:
        Fault: The node declines or does not answer, or the file cannot be written.
    """
    if manner.as_json and manner.as_csv:
        raise Fault("--json and --csv exclude each other", status=Status.USAGE)
    with NodeClient(operator(where)) as client:
        if manner.output is not None:
            _write(client, wanted, manner, manner.output)
            return
        if manner.as_csv:
            typer.echo(_csv(client, wanted).decode(), nl=False)
            return
        told = client.get(_PATH, timeout_s=_TIMEOUT_S, **wanted.query)
    if manner.as_json:
        print_json(told)
    elif told["total"]["positions"]:
        _print(told)
    else:
        in_it = "" if wanted.currency is None else f" in {escape(wanted.currency)}"
        stdout().print(f"No positions: nothing was exchanged{in_it} yet.")
        _print_open_quotes(told)


def _write(client: NodeClient, wanted: Wanted, manner: Manner, output: Path) -> None:
    with partial_file(output, force=manner.force) as file:
        if manner.as_json:
            told = client.get(_PATH, timeout_s=_TIMEOUT_S, **wanted.query)
            file.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")
        else:
            file.write(_csv(client, wanted))
        file.keep()
    stderr().print(f"written: {escape(str(output))}", soft_wrap=True)


def _csv(client: NodeClient, wanted: Wanted) -> bytes:
    return client.get_file(_PATH, timeout_s=_TIMEOUT_S, format="csv", **wanted.query)


def _print(told: Json) -> None:
    period, reporting = told["period"], told["reporting_currency"]
    first, last = period["from"], period["to"]
    days = f"on {first}" if first == last else f"from {first} to {last}"
    console = stdout()
    console.print(
        f"{days} (UTC); values in {reporting} at the mid rates of {day_time(told['created_at'])}"
    )
    console.print()
    _print_currencies(told)
    console.print()
    for name, result in (("since the beginning", told["total"]), (days, period)):
        console.print(f"unrealised result {name}: {_result(result, reporting)}")
    if first != last:
        console.print()
        _print_days(told)
    console.print()
    _print_rates(told)
    _print_open_quotes(told)


def _print_currencies(told: Json) -> None:
    """What there is now, and what the days brought; the last row is all currencies together."""
    table = columns(
        "currency", "position", "pending", "spread earned", "fees earned", "value now", "result"
    )
    for now, over in zip(told["total"]["positions"], told["period"]["positions"], strict=True):
        table.add_row(
            now["currency"],
            now["closing"],
            now["pending"],
            over["spread_earned"],
            over["fees_earned"],
            now["value"] or _UNKNOWN,
            over["result"] or _UNKNOWN,
        )
    sums = (told["total"]["result"] or _UNKNOWN, told["period"]["result"] or _UNKNOWN)
    table.add_row("[bold]together[/]", "", "", "", "", *sums)
    stdout().print(table)


def _result(told: Json, reporting: str) -> str:
    if told["result"] is None:
        return f"{_UNKNOWN} ({escape(told['reason'])})"
    return f"[bold]{told['result']} {reporting}[/]"


def _print_days(told: Json) -> None:
    table = columns("day", "currency", "in", "out", "closing", "spread", "fees", "result")
    for column in table.columns[:2]:
        column.no_wrap = True
    for day, each in _moved(told):
        table.add_row(
            day,
            each["currency"],
            each["in"],
            each["out"],
            each["closing"],
            each["spread_earned"],
            each["fees_earned"],
            each["result"] or _UNKNOWN,
        )
    if not table.row_count:
        stdout().print("Nothing changed in these days.")
        return
    stdout().print(table)
    stdout().print("[dim]Days on which nothing changed are left out.[/]")


def _moved(told: Json) -> Iterator[tuple[str, Json]]:
    for day in told["days"]:
        for each in day["positions"]:
            if not all(
                _is_zero(each[name]) for name in ("in", "out", "spread_earned", "fees_earned")
            ):
                yield day["day"], each


def _is_zero(amount: str) -> bool:
    return not amount.strip("-0.")


def _print_rates(told: Json) -> None:
    reporting = told["reporting_currency"]
    for each in told["rates"]:
        if each["mid_rate"] is None:
            stdout().print(f"no rate of {each['currency']}: [yellow]{escape(each['reason'])}[/]")
        elif each["currency"] != reporting:
            sources = ", ".join(
                f"{escape(source['name'])} {day_time(source['observed_at'])}"
                for source in each["rate_sources"]
            )
            rate = f"1 {reporting} = {each['mid_rate']} {each['currency']}"
            stdout().print(f"{rate} [dim]({sources})[/]")


def _print_open_quotes(told: Json) -> None:
    if told["open_quotes"]:
        sums = (
            f"{each['open']['amount']} {each['currency']} in {each['quotes']}"
            for each in told["open_quotes"]
        )
        stdout().print(f"open firm quotes: {', '.join(sums)}")
