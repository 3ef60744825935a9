"""`corridor devnet up` and `down`: what the devnet offers, shown with links, keys and next steps.

Not here: what is started and how it is kept running (`node.devnet`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape

from node.cli.connection import suffix
from node.cli.console import next_steps, pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status
from node.devnet import DevnetError
from node.devnet import down as stop_devnet
from node.devnet import up as start_devnet
from node.devnet.anvil import DEV_ACCOUNTS

_SOMEBODY = DEV_ACCOUNTS[-1][0]
"""An address of the local chain that no part of the node uses; payments in examples go there."""

_ACCOUNT = "--account 000123456789 --bank BOPIPHMM --name Bea --country PH"
"""One that the sandbox's bank pays."""


def up(
    state_dir: Path, *, port: int | None, nodes: int | None, detach: bool, as_json: bool
) -> None:
    """Start what is not running; stay with it, unless detached or another process does."""
    with as_fault():
        start_devnet(
            state_dir,
            say=_say,
            on_ready=print_json if as_json else lambda found: show(found, state_dir, detach),
            port=port,
            nodes=nodes,
            detach=detach,
        )


def down(state_dir: Path, *, wipe: bool) -> None:
    """Stop everything that `up` started."""
    with as_fault():
        stop_devnet(state_dir, say=_say, wipe=wipe)


def _say(line: str) -> None:
    stderr().print(f"[dim]{escape(line)}[/]", soft_wrap=True)


@contextmanager
def as_fault(status: Status = Status.NO) -> Iterator[None]:
    """Let what a devnet cannot do be the fault of a command, with this exit status."""
    try:
        yield
    except DevnetError as error:
        raise Fault(error.args[0], remedy=error.remedy, status=status) from None


def show(found: Mapping[str, Any], state_dir: Path, is_detached: bool) -> None:
    """Print what `devnet.json` says: links, keys, next commands."""
    console = stdout()
    chain, contracts = found["chain"], found["contracts"]
    for node in found["nodes"]:
        place = state_dir if node is found["nodes"][0] else state_dir / node["name"]
        console.print()
        console.print(f"[bold green]Corridor is running[/]: node {escape(node['name'])}")
        rows = [
            ("HTTP", node["url"]),
            ("documentation", f"{node['url']}/docs"),
            ("for operators", f"{node['url']}/operator/reconciliation, with the operator key"),
            ("chain", f"{chain['rpc_url']} (chain id {chain['chain_id']})"),
            ("USDC", contracts["USDC"]),
            ("settlement", node["settlement"]),
            ("operator key", escape(node["keys"]["operator"])),
            ("partner key", escape(node["keys"]["partner"])),
            ("all of this in", str(place / "devnet.json")),
        ]
        rows += [
            (f"{each['name']} ({each['country']})", f"{each['id']}\n{escape(each['token'])}")
            for each in node["customers"]
        ]
        console.print(pairs(rows))
        console.print("[dim]database[/]")  # a line of its own, unbroken, so that it can be copied
        console.print(escape(node["database_url"]), soft_wrap=True)
    customer = found["nodes"][0]["customers"][0]["id"]
    send = f"corridor send 200.00 EUR USDC --to {_SOMEBODY} --customer {customer}"
    option = suffix(state_dir)
    next_steps(
        *_of_a_second_node(found, state_dir),
        (f"corridor quote 200.00 EUR USDC{option}", "what arrives, and what it costs"),
        (f"{send}{option}", "send it, and follow it to its end"),
        (f"corridor reconcile --explain{option}", "compare the books with the chain"),
        (f"corridor devnet down{option}", "stop" if is_detached else "stop (or Ctrl-C here)"),
    )


def _of_a_second_node(found: Mapping[str, Any], state_dir: Path) -> list[tuple[str, str]]:
    """Every command speaks to the first node; a further one has a directory of its own."""
    steps: list[tuple[str, str]] = []
    for node in found["nodes"][1:]:
        name, customer = str(node["name"]), found["nodes"][0]["customers"][0]["id"]
        send = f"corridor send 200.00 EUR PHP {_ACCOUNT} --customer {customer}"
        steps += [
            (f"{send}{suffix(state_dir)}", f"pay pesos at a bank account, by {name}"),
            (f"corridor payouts list{suffix(state_dir / name)}", f"what {name} pays out"),
        ]
    return steps
