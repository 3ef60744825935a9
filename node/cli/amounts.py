"""Quotes and transfers as people read them. Amounts are the node's strings, never computed with.

Not here: asking for them (`quoting.py`, `sending.py`).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.markup import escape

from node.cli.console import clock_time, day_time

Json = Mapping[str, Any]


def money(value: Json) -> str:
    """`200.00 EUR`."""
    return f"{value['amount']} {value['currency']}"


def percent(bps: int) -> str:
    """`0.20 %` of 20 parts per 10,000."""
    return f"{bps // 100}.{bps % 100:02d} %"


def quote_rows(quote: Json) -> Iterator[tuple[str, str]]:
    """Everything a sender must see before paying: both sides, every fee, the rate and its age."""
    sell, buy = quote["sell"], quote["buy"]
    pair = f"1 {sell['currency']} = {{}} {buy['currency']}"
    yield "you pay", f"[bold]{money(sell)}[/]"
    yield "they get", f"[bold green]{money(buy)}[/]"
    for fee in quote["fees"]:
        yield f"{fee['type']} fee", money(fee)
    for leg in quote.get("legs", ()):
        if leg["partner"] is not None:
            fees = " + ".join(money(fee) for fee in leg["fees"])
            told = f"{money(leg['sell'])} -> {money(leg['buy'])}, of it {fees} for it"
            yield escape(leg["partner"]), told
    yield "rate", pair.format(quote["rate"])
    yield (
        "mid-market",
        f"{pair.format(quote['mid_rate'])}; the rate is {percent(quote['spread_bps'])} below",
    )
    yield "total cost", f"{money(quote['total_cost'])} ({quote['total_cost']['percent']} %)"
    for source in quote["rate_sources"]:
        yield "source", _source(source)
    yield "arrives in", f"about {quote['payout']['estimated_delivery_s']} s"
    if "expires_at" in quote:
        life_s = _seconds_between(quote["created_at"], quote["expires_at"])
        yield "firm until", f"{clock_time(quote['expires_at'])} UTC ({life_s} s)"
    if "id" in quote:
        yield "quote", quote["id"]


def _source(source: Json) -> str:
    told = (
        f"{source['name']}: 1 {source['sell']} = {source['rate']} {source['buy']},"
        f" {day_time(source['observed_at'])}"
    )
    return told + (", [yellow]reference rate of that day, for play[/]" if source["stale"] else "")


def transfer_rows(transfer: Json) -> Iterator[tuple[str, str]]:
    """One transfer: what, to whom, how far, and the proof on chain."""
    settlement = transfer["settlement"]
    beneficiary = transfer["beneficiary"]
    yield "transfer", transfer["id"]
    yield "pays", f"{money(transfer['sell'])} -> [bold green]{money(transfer['buy'])}[/]"
    where = beneficiary["address"]
    if (account := beneficiary.get("account")) is not None:
        where = f"{account['number']} at {account['bank_code']}"
    yield "to", escape(f"{beneficiary.get('name') or ''} {where}".strip())
    if (payout := transfer.get("payout")) is not None:
        yield "paid out by", escape(f"{payout['partner']}, {payout['payout_id']}")
    yield "status", f"[bold]{transfer['status']}[/] ({transfer['state']})"
    if settlement.get("tx_hash"):
        yield "transaction", settlement["tx_hash"]
    if settlement.get("block_number") is not None:
        finality = "final" if settlement["final"] else f"{settlement['confirmations']} deep"
        yield "block", f"{settlement['block_number']} ({finality})"
    if transfer.get("failure"):
        failure = transfer["failure"]
        yield "because", escape(f"{failure['message']} ({failure['code']})")


def _seconds_between(first: str, second: str) -> int:
    return int((datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds())
