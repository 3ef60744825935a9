"""`corridor settlement status`, `lanes`, `batches`, `batch` and `spending`: what operators see.

Not here: what they may do (`settlement_steering`, `settlement_treasury`), names and help
(`settlement_commands`).
"""

from collections.abc import Sequence
from typing import Final

import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import (
    columns,
    day_time,
    duration,
    good,
    next_steps,
    pairs,
    print_json,
    print_table,
    stdout,
)
from node.cli.faults import Status

_WEI_DIGITS: Final = 18
_NOTHING: Final = "-"
_AMOUNTS: Final = {
    "balance": "float", "committed": "committed", "free": "free", "cap_left": "cap left",
}  # fmt: skip
_PAUSED: Final = {"contract": "paused", "token": "token_paused"}
_TIMEOUT_S: Final = 15.0
_COLOURS: Final = {"critical": "bold red", "warning": "yellow"}


def status(where: Where, *, as_json: bool) -> None:
    """Show everything in one look.

    Raises:
        typer.Exit: Status 1 when something critical needs a person.
    """
    with NodeClient(operator(where)) as client:
        look = client.get("/v1/settlement")
    if as_json:
        print_json(look)
    else:
        _print_look(where, look)
    is_critical = any(each["severity"] == "critical" for each in look["alerts"])
    raise typer.Exit(Status.NO if is_critical else Status.DONE)


def lanes(where: Where, *, as_json: bool) -> None:
    """Show the lanes with their heads of line and what they spent."""
    with NodeClient(operator(where)) as client:
        answer = client.get("/v1/settlement/lanes")
    if as_json:
        print_json(answer)
        return
    if not answer["data"]:
        stdout().print("There are no lanes yet: a worker makes them (corridor work).")
        return
    for number, each in enumerate(answer["data"]):
        if number:
            stdout().print()
        stdout().print(pairs(_lane_rows(each)))
    print_pauses(where, answer["pauses"])


def batches(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of batches, newest first."""
    with NodeClient(operator(where)) as client:
        page = client.get("/v1/settlement/batches", timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no such batches.")
        return
    figures = ("batch", "nonce", "paid", "amount", "attempts", "block", "gas each", "fee")
    names = ("batch", "written", "purpose", "state", *figures[1:])
    table = columns(*names, figures=figures)
    for each in page["data"]:
        table.add_row(
            each["id"],
            day_time(each["created_at"]),
            each["purpose"] + (" (adopted)" if each["adopted"] else ""),
            _state(each),
            str(each["nonce"]),
            f"{each['payments_settled']}/{each['payment_count']}",
            each["amount_total"],
            str(each["attempt_count"]),
            _or_nothing(each["block_number"]),
            _or_nothing(each["gas_per_payment"]),
            _coin(each["fee_wei"]),
        )
    print_table(table)
    steps = [(where.command(f"corridor settlement batch {page['data'][0]['id']}"), "one in full")]
    if page["next_cursor"] is not None:
        more = f"corridor settlement batches --cursor {page['next_cursor']}"
        filters = [f"--{name} {value}" for name, value in query.items() if name != "cursor"]
        steps.append((where.command(" ".join([more, *filters])), "older ones"))
    next_steps(*steps)


def batch(where: Where, batch_id: str, *, as_json: bool) -> None:
    """Show one batch with every attempt and payment."""
    with NodeClient(operator(where)) as client:
        found = client.get(f"/v1/settlement/batches/{batch_id}")
    if as_json:
        print_json(found)
        return
    stdout().print(pairs(_batch_rows(found)))
    stdout().print()
    _print_attempts(found["attempts"])
    if found["payments"]:
        stdout().print()
        _print_payments(found["payments"])


def spending(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show what gas came to in a period."""
    with NodeClient(operator(where)) as client:
        answer = client.get("/v1/settlement/spending", timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(answer)
        return
    stdout().print(f"final from {answer['from']} to {answer['to']}")
    figures = ("transactions", "reverted", "attempts", "payments", "gas", "fees", "gas each",
               "fee each")  # fmt: skip
    table = columns("purpose", *figures, figures=figures)
    for name, each in [
        *((one["purpose"], one) for one in answer["purposes"]),
        ("all", answer["total"]),
    ]:
        table.add_row(
            name, str(each["transactions"]), str(each["reverted"]), str(each["attempts"]),
            str(each["payments"]), str(each["gas_used"]), _coin(each["fees_wei"]),
            _or_nothing(each["gas_per_payment"]), _coin(each["fee_wei_per_payment"]),
        )  # fmt: skip
    print_table(table)


def print_pauses(where: Where, pauses: Sequence[Json]) -> None:
    """The pauses in force, and how each ends."""
    if not pauses:
        stdout().print("[green]Settlement is not paused.[/]")
        return
    table = columns("paused", "hard", "since", "by", "note")
    for each in pauses:
        table.add_row(
            each["reason"],
            "yes" if each["hard"] else "no",
            day_time(each["paused_at"]),
            escape(each["paused_by"]),
            escape(each["note"] or ""),
        )
    print_table(table)
    command = f"corridor settlement resume --reason {pauses[0]['reason']}"
    next_steps((where.command(command), "go on, once its cause is gone"))


def ether(wei: str) -> str:
    """`0.25` of 250000000000000000 wei: exact, without zeros at the end."""
    digits = wei.rjust(_WEI_DIGITS + 1, "0")
    whole, parts = digits[:-_WEI_DIGITS], digits[-_WEI_DIGITS:].rstrip("0")
    return f"{whole}.{parts}" if parts else whole


def _money(money: Json) -> str:
    return f"{money['amount']} {money['currency']}"


def _coin(wei: str | None) -> str:
    return _NOTHING if wei is None else ether(wei)


def _or_nothing(value: object) -> str:
    return _NOTHING if value is None else escape(str(value))


def _print_look(where: Where, look: Json) -> None:
    console = stdout()
    _print_alerts(look["alerts"])
    console.print()
    console.print(pairs(_contract_rows(look)))
    console.print()
    _print_transfers(look["transfers"])
    console.print()
    _print_lanes(look["lanes"])
    console.print()
    _print_addresses(look["addresses"])
    console.print()
    _print_providers(look["providers"])
    console.print()
    print_pauses(where, look["pauses"])


def _print_alerts(alerts: Sequence[Json]) -> None:
    if not alerts:
        stdout().print("[green]Nothing needs a person.[/]")
    for each in alerts:
        colour = _COLOURS.get(each["severity"], "bold")
        about = f" {each['address']}" if each["address"] else ""
        stdout().print(f"[{colour}]{each['severity']} {each['code']}[/]{about}", soft_wrap=True)
        stdout().print(f"  {escape(each['seen'])}", soft_wrap=True)
        stdout().print(f"  [dim]do:[/] {escape(each['next_action'])}", soft_wrap=True)


def _contract_rows(look: Json) -> list[tuple[str, str]]:
    contract = look["contract"]
    rows = [("contract", contract["address"])]
    if contract["balance"] is None:
        return [*rows, ("seen", "not yet: a worker looks (corridor work)")]
    for name, label in _AMOUNTS.items():
        rows.append((label, _NOTHING if contract[name] is None else _money(contract[name])))
    paused = [name for name in ("contract", "token") if contract[_PAUSED[name]]]
    rows.append(("paused", f"[bold red]{' and '.join(paused)}[/]" if paused else "no"))
    seen = f"at block {contract['block_number']}, {day_time(contract['seen_at'])}"
    price = look["gas_price_wei"]
    return [*rows, ("seen", seen), ("gas price", _NOTHING if price is None else f"{price} wei")]


def _print_transfers(transfers: Sequence[Json]) -> None:
    if not transfers:
        stdout().print("No transfer is under way.")
        return
    table = columns(
        "transfers", "wait for", "count", "amount", "since", figures=("count", "amount")
    )
    for each in transfers:
        table.add_row(
            each["state"], each["waiting"] or "", str(each["count"]), _money(each["amount"]),
            day_time(each["since"]),
        )  # fmt: skip
    print_table(table)


def _print_lanes(found: Sequence[Json]) -> None:
    figures = ("coin", "nonce", "unmined", "head")
    table = columns("", "lane", "role", "status", *figures, figures=figures, words=("lane",))
    for each in found:
        head = each["head_of_line"]
        table.add_row(
            good(each["status"] == "active"),
            each["address"],
            each["role"],
            _status(each),
            _coin(each["balance_wei"]),
            str(each["next_nonce"]),
            str(each["unmined"]),
            _NOTHING if head is None else f"{head['nonce']}, {duration(head['age_s'])}",
        )
    print_table(table)
    for each in found:
        if each["status_reason"]:
            told = f"{each['address']}: {escape(each['status_reason'])}"
            stdout().print(f"{good(is_good=False)} {told}", soft_wrap=True)


def _print_addresses(found: Sequence[Json]) -> None:
    figures = ("holds", "at block")
    table = columns("address", "role", *figures, figures=figures, words=("address",))
    for each in found:
        there = [held for held in each["holdings"] if int(held["units"])]
        for held in there:
            table.add_row(each["address"], each["role"], _money(held), str(held["block_number"]))
        if not there:
            table.add_row(each["address"], each["role"], "nothing", _NOTHING)
    print_table(table)


def _print_providers(found: Sequence[Json]) -> None:
    table = columns("", "provider", "state", "head", "behind", figures=("head", "behind"))
    for each in found:
        table.add_row(
            good(each["state"] == "closed"),
            escape(each["name"]),
            escape(each["quarantined"] or each["state"]),
            _or_nothing(each["head"]),
            str(each["behind_blocks"]),
        )
    print_table(table)


def _lane_rows(lane: Json) -> list[tuple[str, str]]:
    is_low = (
        lane["gas_wei_min"] is not None
        and lane["balance_wei"] is not None
        and (int(lane["balance_wei"]) < int(lane["gas_wei_min"]))
    )
    coin = _coin(lane["balance_wei"])
    rows = [
        ("lane", lane["address"]),
        ("role", lane["role"]),
        ("status", f"{_status(lane)} {escape(lane['status_reason'] or '')}".strip()),
        ("coin", f"[bold red]{coin}, low[/]" if is_low else coin),
        ("cap left", _or_nothing(lane["cap_left"])),
        ("held by", _held(lane)),
        ("nonces", f"{lane['final_nonces']} final, {lane['unmined']} unmined"),
        ("next nonce", str(lane["next_nonce"])),
        ("spent", f"{lane['gas_used']} gas, {ether(lane['fees_wei'])} in fees"),
    ]  # fmt: skip
    head = lane["head_of_line"]
    if head is None:
        return [*rows, ("head of line", "nothing waits for a block")]
    answer = head["last_answer"] or "no answer yet"
    words = f": {head['last_message']}" if head["last_message"] else ""
    return [
        *rows,
        ("head of line", f"nonce {head['nonce']}, {head['purpose']}, {head['state']}"),
        ("", f"since {duration(head['age_s'])}"),
        ("", f"{head['attempts']} attempts, sent {head['sends']} times; {escape(answer + words)}"),
        ("", f"at most {_or_nothing(head['max_fee_per_gas_wei'])} wei per gas"),
        ("", head["batch_id"]),
    ]  # fmt: skip


def _status(lane: Json) -> str:
    return f"{lane['status']}, retired" if lane["retired"] else str(lane["status"])


def _held(lane: Json) -> str:
    if lane["lease_owner"] is None:
        return "nobody"
    return f"{escape(lane['lease_owner'])} until {day_time(lane['lease_until'])}"


def _state(row: Json) -> str:
    return f"{row['state']} [bold red]reverted[/]" if row["succeeded"] is False else row["state"]


def _batch_rows(found: Json) -> list[tuple[str, str]]:
    rows = [
        ("batch", found["id"]),
        ("lane", f"{found['lane']}, nonce {found['nonce']}"),
        ("purpose", found["purpose"] + (" (adopted)" if found["adopted"] else "")),
        ("state", _state(found)),
        ("written", day_time(found["created_at"])),
        ("amount", found["amount_total"]),
        ("paid", f"{found['payments_settled']} of {found['payment_count']}"),
    ]
    if found["tx_hash"] is None:
        return [*rows, ("block", "none yet")]
    final = "not final" if found["final_at"] is None else f"final {day_time(found['final_at'])}"
    each_gas, each_fee = found["gas_per_payment"], found["fee_wei_per_payment"]
    per = "" if each_gas is None else f"; each {each_gas} gas, {_coin(each_fee)}"
    return [
        *rows,
        ("transaction", found["tx_hash"]),
        ("block", f"{found['block_number']}, {final}"),
        ("gas", f"{found['gas_used']} of {found['gas_limit']}"),
        ("gas price", f"{found['effective_gas_price_wei']} wei"),
        ("fee", f"{_coin(found['fee_wei'])}{per}"),
    ]  # fmt: skip


def _print_attempts(attempts: Sequence[Json]) -> None:
    if not attempts:
        stdout().print("Nothing is signed for it yet.")
        return
    figures = ("attempt", "fee max wei", "tip max wei", "sent")
    names = ("attempt", "transaction", "fee max wei", "tip max wei", "fees from", "sent", "answer")
    table = columns(*names, figures=figures, words=("transaction",))
    for each in attempts:
        words = f": {each['last_message']}" if each["last_message"] else ""
        table.add_row(
            str(each["sequence"]),
            each["tx_hash"],
            each["max_fee_per_gas_wei"],
            each["max_priority_fee_per_gas_wei"],
            each["fee_source"],
            str(each["sends"]),
            escape((each["last_answer"] or _NOTHING) + words),
        )
    print_table(table)


def _print_payments(payments: Sequence[Json]) -> None:
    figures, words = ("number", "amount"), ("transfer", "beneficiary")
    table = columns("number", *words, "amount", "outcome", figures=figures, words=words)
    for each in payments:
        table.add_row(
            str(each["payment_number"]), each["transfer_id"], each["beneficiary"], each["amount"],
            each["outcome"] or _NOTHING,
        )  # fmt: skip
    print_table(table)
