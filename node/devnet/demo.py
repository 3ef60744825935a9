"""The demo: everything is started, payments are made and proven, then it keeps serving.

First a remittance that one node pays on chain, then a payment over two nodes. `./scripts/demo` runs
this after set-up. Not here: the payments themselves (`remittance.py`, `crossing.py`) and what is
started (`network.py`).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape

from node.devnet.crossing_shown import show_crossing
from node.devnet.errors import DevnetError, Outdated
from node.devnet.network import ChainLost
from node.devnet.remittance import BENEFICIARY, Document, Remittance
from node.devnet.running import Background, down
from node.devnet.showing import show_event, show_reconciliation, table
from node.devnet.state import NODE_NAMES, StateDirectory
from node.devnet.supervisor import Stopped

_LOOK_EACH_S = 0.5
_TOKEN_DIGITS = 6
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> int:
    """0: the payment completed and reconciliation found nothing; 1: anything else."""
    options = _options()
    # Standard output is for the document alone when one is asked for.
    console = Console(stderr=options.json, highlight=False)
    state_dir: Path = options.state_dir
    try:
        with _signals_raise(), _running(state_dir, options.port, console) as devnet:
            result = _show_remittance(devnet.description, console)
            result["cross_border"] = second = _show_second(devnet.description, console)
            parts = [result] if second is None else [result, second]
            good = all(each["completed"] and each["breaks_open"] == 0 for each in parts)
            if options.json:
                sys.stdout.write(json.dumps({**result, "devnet": devnet.description}) + "\n")
                sys.stdout.flush()
            if options.exit:
                return 0 if good else 1
            _show_links(devnet.description, state_dir, console)
            while not devnet.ended():
                time.sleep(_LOOK_EACH_S)
            console.print("The devnet has ended.")
            return 1
    except Stopped as asked:
        console.print(f"\nStopped by {asked}; nothing is left running.")
        return _INTERRUPTED
    except DevnetError as error:
        console.print(f"\n[bold red]The demo failed.[/] {escape(str(error))}", soft_wrap=True)
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Starts PostgreSQL, a chain, contracts and two nodes; sends 200.00 EUR to a "
        "beneficiary as USDC; proves it; lets a customer be paid on chain; sends 200.00 EUR to a "
        "bank account in pesos, which the second node pays; then keeps serving until Ctrl-C.",
    )
    parser.add_argument(
        "--exit", action="store_true", help="end after the job (status 0: all well)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(".corridor"),
        help="where everything is kept (.corridor)",
    )
    parser.add_argument("--port", type=int, help="HTTP port (8000, or a free one)")
    return parser.parse_args()


@contextmanager
def _running(state_dir: Path, port: int | None, console: Console) -> Iterator[Background]:
    """A devnet that ends with this block, unless it was running before."""

    def say(line: str) -> None:
        console.print(f"[dim]  {escape(line)}[/]", soft_wrap=True)

    state = StateDirectory(state_dir.absolute())

    def start() -> Background:
        # A devnet of one node that is there already stays one; half of the demo needs no more.
        nodes = None if state.exists() else len(NODE_NAMES)
        return Background.start(
            state_dir, say=say, port=port, nodes=nodes, tied=True, made_by="demo"
        )

    console.print("[bold]Starting[/]")
    try:
        devnet = start()
    except (ChainLost, Outdated) as error:
        if state.made_by() != "demo":
            raise
        lost = (
            "was killed and is lost" if isinstance(error, ChainLost) else "is of an older version"
        )
        say(f"the chain of the last demo {lost}; starting a new one")
        down(state_dir, say=say, wipe=True)
        devnet = start()
    try:
        yield devnet
    finally:
        devnet.stop()


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP leave by the front door, so that everything is stopped."""

    def asked(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, asked)
    yield


def _show_remittance(description: Document, console: Console) -> dict[str, Any]:
    """Make the remittance, showing each step as it happens."""
    job = Remittance(description)
    try:
        before_minor = job.beneficiary_balance_minor()
        top_up, quote = job.top_up(), job.quote()
        console.print(f"\n[bold]Top-up[/] {top_up['amount']} {top_up['currency']} has arrived")
        _show_quote(job, quote, console)
        transfer = job.transfer(quote)
        console.print(f"\n[bold]Timeline[/] of {transfer['id']}")
        events = []
        for event in job.follow(transfer):
            events.append(event)
            show_event(event, events, console)
        transfer = job.find(transfer["id"])
        result: dict[str, Any] = {
            "completed": transfer["status"] == "completed",
            "top_up": top_up,
            "quote": quote,
            "transfer": transfer,
            "events": events,
            "proof": None,
        }
        if result["completed"]:
            result["proof"] = proof = job.proof(transfer)
            proof["balance_before"] = _units(before_minor)
            proof["balance_after"] = _units(job.beneficiary_balance_minor())
            result["completed"] = proof["matches"]
            _show_proof(transfer, proof, console)
        result["statement"] = job.statement(transfer)
        result["entries"] = job.ledger_entries(transfer)
        _show_entries(result["entries"], console)
        result["deposit"] = deposit = job.deposit()
        _show_deposit(job, deposit, console)
        result["reconciliation"] = run = job.reconcile()
        result["breaks_open"] = run["breaks_open"]
        show_reconciliation(run, console)
        return result
    finally:
        job.close()


def _show_second(description: Document, console: Console) -> dict[str, Any] | None:
    """The payment over two nodes; None where the devnet has one."""
    if len(description["nodes"]) > 1:
        return show_crossing(description, console)
    console.print(
        "\n[bold]One node[/] is in this devnet; a new one, of the demo or of"
        " `corridor devnet up --nodes 2`, shows a payment over two.",
        soft_wrap=True,
    )
    return None


def _show_quote(job: Remittance, quote: Document, console: Console) -> None:
    sell, buy, cost = quote["sell"], quote["buy"], quote["total_cost"]
    fees = ", ".join(f"{each['type']} {each['amount']}" for each in quote["fees"])
    sources = ", ".join(
        f"{each['name']} {each['sell']}/{each['buy']} {each['rate']} ({each['observed_at'][:10]})"
        for each in quote["rate_sources"]
    )
    console.print(f"\n[bold]Quote[/] {quote['id']}, firm until {quote['expires_at']}")
    table(
        console,
        (f"{job.customer['name']} pays", f"{sell['amount']} {sell['currency']}"),
        (f"{BENEFICIARY['name']} gets", f"[bold]{buy['amount']} {buy['currency']}[/]"),
        ("rate", f"{quote['rate']} (mid {quote['mid_rate']}, spread {quote['spread_bps']} bps)"),
        ("from", sources),
        ("fees", f"{fees} {sell['currency']}"),
        ("total cost", f"{cost['amount']} {cost['currency']} ({cost['percent']} %)"),
    )


def _show_proof(transfer: Document, proof: Document, console: Console) -> None:
    verdict = "[green]agree[/]" if proof["matches"] else "[bold red]DO NOT AGREE[/]"
    console.print(f"\n[bold]On chain[/], asked of anvil itself: order and logs {verdict}")
    table(
        console,
        ("tx", proof["tx_hash"]),
        ("block", f"{proof['block_number']}"),
        ("", proof["block_hash"]),
        ("Settled", f"payment number {transfer['settlement']['payment_number']}"),
        ("Transfer", f"{transfer['buy']['amount']} USDC to {BENEFICIARY['address']}"),
        ("balanceOf", f"{proof['balance_before']} before, {proof['balance_after']} after"),
    )


def _show_entries(entries: list[Document], console: Console) -> None:
    console.print("\n[bold]Ledger entries[/] of this transfer: debit account -> credit account")
    for each in entries:
        console.print(
            f"  {each['amount']:>12} {each['currency']:<4}  {each['status']:<7}  "
            f"{each['debit']} -> {each['credit']}",
            soft_wrap=True,
        )


def _show_deposit(job: Remittance, deposit: Document, console: Console) -> None:
    console.print(f"\n[bold]Deposit[/] on chain, for {job.customer['name']}: {deposit['status']}")
    table(
        console,
        ("amount", f"{deposit['amount']} {deposit['currency']}"),
        ("to", deposit["to_address"]),
        ("", "an address of this customer's own"),
        ("tx", deposit["tx_hash"]),
        ("block", f"{deposit['block_number']}, final"),
        ("swept", "into the settlement contract"),
    )


def _show_links(description: Document, state_dir: Path, console: Console) -> None:
    node = description["nodes"][0]
    customer = node["customers"][0]
    console.print("\n[bold]Running[/] until Ctrl-C")
    table(
        console,
        ("HTTP", node["url"]),
        ("documentation", f"{node['url']}/docs"),
        ("for operators", f"{node['url']}/operator/reconciliation (sign in with the operator key)"),
        ("chain", f"{description['chain']['rpc_url']} (chain id 31337)"),
        ("operator key", node["keys"]["operator"]),
        ("partner key", node["keys"]["partner"]),
        (f"{customer['name']}'s token", customer["token"]),
        ("all of it", str(state_dir / "devnet.json")),
        *(
            (f"node {each['name']}", f"{each['url']}, {state_dir / each['name'] / 'devnet.json'}")
            for each in description["nodes"][1:]
        ),
    )
    command, customer_id = ".venv/bin/corridor", customer["id"]
    place = "" if state_dir == Path(".corridor") else f" --state-dir {state_dir}"
    to = f"--to {BENEFICIARY['address']} --customer {customer_id}"
    console.print("\n[bold]Next[/], in another terminal")
    for line in (
        f"{command} quote 200.00 EUR USDC{place}",
        f"{command} send 50.00 EUR USDC {to}{place}",
        f"{command} reconcile --explain{place}",
        *(
            f"{command} payouts list --state-dir {state_dir / each['name']}"
            for each in description["nodes"][1:]
        ),
    ):
        console.print(f"  {line}", soft_wrap=True)


def _units(amount_minor: int) -> str:
    return f"{Decimal(amount_minor).scaleb(-_TOKEN_DIGITS):.{_TOKEN_DIGITS}f}"


if __name__ == "__main__":
    sys.exit(main())
