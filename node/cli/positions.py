"""`corridor positions`: what the node is long and short of, what it earned, what that is worth now.

Not here: what the figures mean (`node.core.positions`).
"""

from collections.abc import Iterator
from typing import Final

from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, day_time, print_table, stdout
from node.cli.documents import Document, Manner, form_of, given, tell

_TIMEOUT_S: Final = 600.0
"""Every day is read as of its end, so a year of a busy node takes a while."""

_UNKNOWN: Final = "[yellow]not known[/]"


def run(
    where: Where,
    first: str | None,
    last: str | None,
    currency: str | None,
    manner: Manner,
) -> None:
    """Show positions, or write them to a file.

    Args:
        where: The node.
        first: First day; None: as the last.
        last: Last day; None: today.
        currency: Only this one; None: all.
        manner: How to tell.

    Raises:
        Fault: The node declines or does not answer, or the file cannot be written.
    """
    query = given(from_=first, to=last, currency=currency)
    document = Document("/v1/positions", query, ("csv",), _TIMEOUT_S)
    form = form_of(document, manner)
    with NodeClient(operator(where)) as client:
        tell(client, document, form, manner, lambda told: _show(told, currency))


def _show(told: Json, currency: str | None) -> None:
    if told["total"]["positions"]:
        _print(told)
        return
    in_it = "" if currency is None else f" in {escape(currency)}"
    stdout().print(f"No positions: nothing was exchanged{in_it} yet.")
    _print_open_quotes(told)


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
    figures = ("position", "pending", "spread\nearned", "fees\nearned", "value\nnow", "result")
    table = columns("currency", *figures, figures=figures)
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
    print_table(table)


def _result(told: Json, reporting: str) -> str:
    if told["result"] is None:
        return f"{_UNKNOWN} ({escape(told['reason'])})"
    return f"[bold]{told['result']} {reporting}[/]"


def _print_days(told: Json) -> None:
    figures = ("in", "out", "closing", "spread", "fees", "result")
    table = columns("day", "currency", *figures, figures=figures)
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
    print_table(table)
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
