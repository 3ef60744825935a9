"""`corridor payouts list`, `show`, `correct`, `refund` and `contract`."""

from dataclasses import dataclass

from rich.markup import escape

from node.cli.amounts import transfer_rows
from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, day_time, next_steps, pairs, print_json, print_table, stdout
from node.cli.settlement_steering import once

_TIMEOUT_S = 15.0
_TRANSFER = "tra_"


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """Who is to be paid, as the command line has it."""

    name: str
    country: str
    account: str
    bank: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract to register, as the command line has it."""

    partner_id: str
    chain_id: int
    address: str
    refund_address: str | None


def payouts(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of payouts, newest first.

    Raises:
        Fault: The node declines.
    """
    with NodeClient(operator(where)) as client:
        page = client.get("/v1/payouts", timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no such payouts.")
        return
    table = columns("payout", "made", "status", "comes in", "goes out", figures=("payout",))
    for each in page["data"]:
        table.add_row(
            each["id"], day_time(each["created_at"]), f"{each['status']} ({each['state']})",
            _money(each["sell"]), _money(each["buy"]),
        )  # fmt: skip
    print_table(table)
    if page["next_cursor"] is not None:
        options = {"partner_id": "partner", "status": "status", "limit": "limit"}
        given = "".join(f" --{options[name]} {query[name]}" for name in options if name in query)
        command = f"corridor payouts list --cursor {page['next_cursor']}{given}"
        next_steps((where.command(command), "older ones"))


def show(where: Where, payout_id: str, *, as_json: bool) -> None:
    """Show one payout.

    Raises:
        Fault: There is none.
    """
    with NodeClient(operator(where)) as client:
        found = client.get(f"/v1/payouts/{payout_id}")
    _print(found, as_json=as_json)


def correct(where: Where, which: str, beneficiary: Beneficiary, *, as_json: bool) -> None:
    """Give another beneficiary: of a payout made here, or of a transfer that a partner pays out.

    Raises:
        Fault: The node declines.
    """
    body: dict[str, object] = {
        "beneficiary": {
            "name": beneficiary.name,
            "country": beneficiary.country,
            "account": {"number": beneficiary.account, "bank_code": beneficiary.bank},
        }
    }
    with NodeClient(operator(where)) as client:
        found = once(client, f"{_path(which)}/correct", body, look=_look(which))
    _print(found, as_json=as_json)


def refund(where: Where, which: str, *, as_json: bool) -> None:
    """Send the money back, or ask the partner that has it.

    Raises:
        Fault: The node declines.
    """
    with NodeClient(operator(where)) as client:
        found = once(client, f"{_path(which)}/refund", {}, look=_look(which))
    _print(found, as_json=as_json)


def contract(where: Where, wanted: Contract, *, as_json: bool) -> None:
    """Register a settlement contract of a partner.

    Raises:
        Fault: The node declines.
    """
    body: dict[str, object] = {"chain_id": wanted.chain_id, "address": wanted.address}
    if wanted.refund_address is not None:
        body["refund_address"] = wanted.refund_address
    path = f"/v1/partners/{wanted.partner_id}/contracts"
    with NodeClient(operator(where)) as client:
        made = once(client, path, body, look=f"`GET {path}`")
    if as_json:
        print_json(made)
        return
    stdout().print(f"[green]Registered:[/] {made['address']} of {made['partner_id']}")


def _path(which: str) -> str:
    """Payouts are made here, transfers at a partner: their ids tell."""
    return f"/v1/{'transfers' if which.startswith(_TRANSFER) else 'payouts'}/{which}"


def _look(which: str) -> str:
    command = "watch" if which.startswith(_TRANSFER) else "payouts show"
    return f"`corridor {command} {which}`"


def _print(found: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if str(found["id"]).startswith(_TRANSFER):
        stdout().print(pairs(transfer_rows(found)))
        return
    rows = [
        ("payout", found["id"]),
        ("status", f"{found['status']} ({found['state']})"),
        ("partner", found["partner_id"]),
        ("references", f"{escape(found['client_reference'])}, {found['reference']}"),
        ("comes in", f"{_money(found['sell'])}, received {found['received']}"),
        ("pay to", f"{found['deposit']['address']} until {day_time(found['deposit']['pay_by'])}"),
        ("goes out", _money(found["buy"])),
        ("to", escape(_beneficiary(found["beneficiary"]))),
    ]
    if (matched := found["matched"]) is not None:
        number = f"payment {matched['settlement_number']} of {matched['contract']}"
        rows.append(("matched", f"{number} in block {matched['block_number']}"))
    if (failure := found["failure"]) is not None:
        rows.append(("failure", f"{failure['code']}: {escape(failure['message'])}"))
    if (back := found["refund"]) is not None:
        told = f"{back['amount']} {back['currency']} to {back['address']}"
        rows.append(("refund", f"{back['status']} ({back['reason']}), {told}"))
    stdout().print(pairs(rows))


def _money(money: Json) -> str:
    return f"{money['amount']} {money['currency']}"


def _beneficiary(person: Json) -> str:
    account = person["account"]
    where = "" if account is None else f", {account['number']} at {account['bank_code']}"
    return f"{person['name']}, {person['country']}{where}"
