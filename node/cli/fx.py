"""`corridor fx`: rates and exposure; `corridor fx halt` and `corridor fx resume`.

Not here: what halts by itself (`node.services.breaker`).
"""

from collections.abc import Sequence
from typing import Final

from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, day_time, good, next_steps, print_json, stdout

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


def resume(where: Where, currency: str, *, as_json: bool) -> None:
    """Resume quoting."""
    with NodeClient(operator(where)) as client:
        left = client.post("/v1/fx/resume", {"currency": _code(currency)})
    if as_json:
        print_json(left)
        return
    _print_halts(where, left["data"])


def _code(currency: str) -> str | None:
    return None if currency.lower() == _EVERYTHING else currency.upper()


def _print_sources(sources: Sequence[Json]) -> None:
    table = columns("", "source", "rate", "observed", "age")
    for source in sources:
        for rate in source["rates"]:
            told = f"{rate['sell']}/{rate['buy']} {rate['rate']}"
            age = f"{rate['age_s']} s"
            table.add_row(
                good(rate["usable"]), escape(source["name"]), told, day_time(rate["observed_at"]),
                age if source["max_age_s"] is None else f"{age} of {source['max_age_s']} s",
            )  # fmt: skip
        if source["fault"] is not None:
            table.add_row(_FAULT, escape(source["name"]), escape(source["fault"]), "", "")
    stdout().print(table)


def _print_corridors(rates: Sequence[Json], corridors: Sequence[Json]) -> None:
    mids = {(each["sell"], each["buy"]): each for each in rates}
    table = columns("", "corridor", "mid rate", "spread", "fees", "sell")
    for each in corridors:
        rate = mids[each["sell"], each["buy"]]
        fee = f"{each['service_fee_bps']} bps, at least {each['service_fee_min']['amount']}"
        table.add_row(
            good(rate["mid_rate"] is not None),
            f"{each['sell']}/{each['buy']}",
            escape(rate["mid_rate"] or rate["fault"]),
            f"{each['spread_bps']} bps",
            f"{fee}; network {each['network_fee']['amount']}",
            f"{each['sell_min']['amount']} to {each['sell_max']['amount']}",
        )
    stdout().print(table)


def _print_exposure(exposure: Sequence[Json]) -> None:
    table = columns("currency", "open quotes", "sum", "limit")
    for each in exposure:
        limit = "none" if each["limit"] is None else each["limit"]["amount"]
        table.add_row(each["currency"], str(each["quotes"]), each["open"]["amount"], limit)
    stdout().print(table)


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
    stdout().print(table)
    currency = halts[0]["currency"] or _EVERYTHING
    next_steps((where.command(f"corridor fx resume {currency}"), "quote it again"))
