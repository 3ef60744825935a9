"""`corridor fx`: rates and exposure; `corridor fx halt` and `corridor fx resume`.

Not here: what halts by itself (`node.services.pricing.breaker`).
"""

from collections.abc import Sequence
from typing import Final

from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import (
    columns,
    day_time,
    duration,
    good,
    next_steps,
    print_json,
    print_table,
    stdout,
)

_EVERYTHING: Final = "everything"  # longer than any code of a currency

_FAULT: Final = good(is_good=False)


def show(where: Where, *, as_json: bool) -> None:
    """Show sources, corridors with their costs, exposure, and the halts in force."""
    with NodeClient(operator(where)) as client:
        state = client.get("/v1/fx")
        corridors = client.get("/v1/corridors")["data"]
    if as_json:
        print_json({**state, "offer": corridors})
        return
    _print_sources(state["sources"])
    stdout().print()
    _print_corridors(state["corridors"], corridors)
    stdout().print()
    _print_exposure(state["exposure"])
    stdout().print()
    _print_halts(where, state["halts"])


def halt(where: Where, currency: str, note: str | None, *, as_json: bool) -> None:
    """Halt quoting."""
    body: dict[str, object] = {"currency": _code(currency)}
    if note is not None:
        body["note"] = note
    with NodeClient(operator(where)) as client:
        halted = client.post("/v1/fx/halt", body)
    if as_json:
        print_json(halted)
        return
    stdout().print(f"revoked open quotes: {halted['quotes_revoked']}")
    _print_halts(where, halted["data"])


def resume(where: Where, currency: str, mid_rate: str | None, *, as_json: bool) -> None:
    """Resume quoting."""
    body: dict[str, object] = {"currency": _code(currency)}
    if mid_rate is not None:
        body["mid_rate"] = mid_rate
    with NodeClient(operator(where)) as client:
        left = client.post("/v1/fx/resume", body)
    if as_json:
        print_json(left)
        return
    for level in left["accepted"]:
        stdout().print(f"accepted {level['sell']}/{level['buy']} {level['mid_rate']}")
    _print_halts(where, left["data"])


def _code(currency: str) -> str | None:
    return None if currency.lower() == _EVERYTHING else currency.upper()


def _print_sources(sources: Sequence[Json]) -> None:
    table = columns("", "source", "pair", "rate", "observed", "age", figures=("rate", "age"))
    for source in sources:
        for rate in source["rates"]:
            age = duration(rate["age_s"])
            limit_s = source["max_age_s"]
            table.add_row(
                good(rate["usable"]), escape(source["name"]), f"{rate['sell']}/{rate['buy']}",
                rate["rate"], day_time(rate["observed_at"]),
                age if limit_s is None else f"{age} of {duration(limit_s)}",
            )  # fmt: skip
    if table.row_count:
        print_table(table)
    for source in sources:
        if source["fault"] is not None:
            stdout().print(f"{_FAULT} {escape(source['name'])}: {escape(source['fault'])}")


def _print_corridors(rates: Sequence[Json], corridors: Sequence[Json]) -> None:
    mids = {(each["sell"], each["buy"]): each for each in rates}
    figures = ("mid rate", "spread", "sell")
    table = columns("", "corridor", "mid rate", "spread", "fees", "sell", figures=figures)
    for each in corridors:
        rate = mids[each["sell"], each["buy"]]
        least, network = each["service_fee_min"]["amount"], each["network_fee"]["amount"]
        table.add_row(
            good(rate["mid_rate"] is not None),
            f"{each['sell']}/{each['buy']}",
            rate["mid_rate"] or "none",
            f"{each['spread_bps']} bps",
            f"{each['service_fee_bps']} bps, min {least}, net {network}",
            f"{each['sell_min']['amount']} to {each['sell_max']['amount']}",
        )
    print_table(table)
    for rate in rates:
        if rate["mid_rate"] is None:
            stdout().print(f"{_FAULT} {rate['sell']}/{rate['buy']}: {escape(rate['fault'])}")


def _print_exposure(exposure: Sequence[Json]) -> None:
    figures = ("open quotes", "sum", "limit")
    table = columns("currency", *figures, figures=figures)
    for each in exposure:
        limit = "none" if each["limit"] is None else each["limit"]["amount"]
        table.add_row(each["currency"], str(each["quotes"]), each["open"]["amount"], limit)
    print_table(table)


def _print_halts(where: Where, halts: Sequence[Json]) -> None:
    if not halts:
        stdout().print("[green]Nothing is halted.[/]")
        return
    table = columns("halted", "reason", "since", "by", "note")
    for each in halts:
        table.add_row(
            each["currency"] or _EVERYTHING, each["reason"], day_time(each["halted_at"]),
            escape(each["halted_by"]), escape(each["note"] or ""),
        )  # fmt: skip
    print_table(table)
    currency = halts[0]["currency"] or _EVERYTHING
    next_steps((where.command(f"corridor fx resume {currency}"), "quote it again"))
