"""The demo's second part as a person sees it: one payment over two nodes, with its sums.

Not here: the payment itself (`crossing.py`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from node.devnet.crossing import PAYEE, Crossing, Sums, is_conserved, is_delivered
from node.devnet.remittance import Document
from node.devnet.showing import show_event, show_reconciliation, table

_SHOWN = {
    "held": "held by both",
    "owed": "owed to customers",
    "earned": "fees and spreads",
    "owned": "positions",
}


def show_crossing(description: Document, console: Console) -> dict[str, Any]:
    """Make the payment, showing each step as it happens.

    Returns:
        What was made; `completed` says whether everything agrees.
    """
    job = Crossing(description)
    try:
        before = job.sums()
        quote = job.quote()
        _show_quote(job, quote, console)
        transfer = job.transfer(quote)
        _show_order(job, transfer, console)
        events = []
        for event in job.follow(transfer):
            events.append(event)
            show_event(event, events, console)
        transfer = job.find(transfer["id"])
        payout = job.payout(transfer)
        is_paid = is_delivered(quote, transfer, payout)
        _show_delivery(job, quote, payout, console, is_paid=is_paid)
        after = job.sums()
        changes = after.since(before)
        is_whole = is_paid and is_conserved(quote, changes)
        _show_sums(job, (before, after), console, is_whole=is_whole)
        runs = job.reconcile()
        for name, run in runs.items():
            show_reconciliation(run, console, of=f" of {name}")
        return {
            "completed": is_whole,
            "quote": quote,
            "transfer": transfer,
            "payout": payout,
            "events": events,
            "changes": {
                code: {part: f"{amount}" for part, amount in parts.items()}
                for code, parts in changes.items()
            },
            "reconciliations": runs,
            "breaks_open": sum(each["breaks_open"] for each in runs.values()),
        }
    finally:
        job.close()


def _show_quote(job: Crossing, quote: Document, console: Console) -> None:
    sell, buy, cost = quote["sell"], quote["buy"], quote["total_cost"]
    console.print(f"\n[bold]Quote over two nodes[/] {quote['id']}")
    rows = [
        (f"{job.customer['name']} pays", f"{sell['amount']} {sell['currency']}"),
        (f"{PAYEE['name']} gets", f"[bold]{buy['amount']} {buy['currency']}[/] at a bank account"),
    ]
    for name, leg in zip(job.names, quote["legs"], strict=True):
        rows.append((f"{name} sells", f"{_money(leg['buy'])} for {_money(leg['sell'])}"))
        fees = ", ".join(f"{each['type']} {_money(each)}" for each in leg["fees"])
        costs = f"mid {leg['mid_rate']}, spread {leg['spread_bps']} bps, {fees}"
        rows.append(("", f"[dim]{costs}[/]"))
    total = f"{cost['amount']} {cost['currency']} ({cost['percent']} %)"
    table(console, *rows, ("total cost", total))


def _show_order(job: Crossing, transfer: Document, console: Console) -> None:
    order = transfer["payout"]
    console.print(f"\n[bold]Registered[/] at {job.names[1]} before anything was paid")
    table(
        console,
        ("payout", f"{order['payout_id']}, reference {order['reference']}"),
        ("to pay", f"{_money(order['paid'])} to {transfer['beneficiary']['address']}"),
    )
    console.print(f"\n[bold]Timeline[/] of {transfer['id']} at {job.names[0]}")


def _show_delivery(
    job: Crossing, quote: Document, payout: Document, console: Console, *, is_paid: bool
) -> None:
    matched = payout["matched"] or {}
    verdict = "[green]as quoted[/]" if is_paid else "[bold red]NOT AS QUOTED[/]"
    console.print(f"\n[bold]Delivered[/] by {job.names[1]}'s bank: {verdict}")
    number = matched.get("settlement_number")
    table(
        console,
        ("quoted", _money(quote["buy"])),
        ("delivered", f"{_money(payout['buy'])} ({payout['status']})"),
        ("to", f"account {payout['beneficiary']['account']['number']}"),
        ("paid by", f"payment number {number} of {matched.get('contract')}"),
        ("tx", str(matched.get("tx_hash"))),
    )


def _show_sums(job: Crossing, sums: tuple[Sums, Sums], console: Console, *, is_whole: bool) -> None:
    """What has changed over both ledgers; each row balances, and the chain says the same."""
    before, after = sums
    changes = after.since(before)
    verdict = "[green]agree[/]" if is_whole else "[bold red]DO NOT AGREE[/]"
    console.print(f"\n[bold]Sums[/] over both ledgers and the chain, after less before: {verdict}")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    for _ in _SHOWN:
        grid.add_column(justify="right", no_wrap=True)
    grid.add_row("", *(f"[dim]{each}[/]" for each in _SHOWN.values()))
    for code in sorted(changes):
        grid.add_row(f"  {code}", *(_signed(changes[code][part]) for part in _SHOWN))
    console.print(grid)
    moved = ", ".join(
        f"{name} {_signed(after.held[name] - before.held[name])}" for name in job.names
    )
    chain = _signed(after.on_chain - before.on_chain)
    told = f"  USDC held, by the ledgers: {moved}; by the chain, in all: {chain}"
    console.print(told, soft_wrap=True)


def _signed(amount: Decimal) -> str:
    return f"{amount:+f}" if amount else "0"


def _money(money: Document) -> str:
    return f"{money['amount']} {money['currency']}"
