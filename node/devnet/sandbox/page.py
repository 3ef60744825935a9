"""`python -m node.devnet.sandbox.page` prints `node/docs/sandbox.md`, made of the table."""

from __future__ import annotations

import sys
from typing import Final

from node.devnet.sandbox.outcomes import OUTCOMES, Group, Outcome
from node.devnet.sandbox.triggers import TRIGGERS

_HEAD: Final = """\
# The sandbox: every outcome, on purpose

A devnet (`corridor devnet up`) is a whole node with play money. Whatever can happen to a partner's
payment can be made to happen in it, by a command or by what is sent, and each line below is a test
against a real node, chain and database (`tests/sandbox`).

    corridor trigger --list
    corridor trigger token_paused --for 20
    corridor trigger clock --forward 2h
    corridor listen --forward-to http://127.0.0.1:9000/hook

What lasts ends after `--for` seconds (10), with Ctrl-C, or where `--for 0` was given with `--end`.
With `--json` the command prints one JSON document. `--node` names the node of a devnet of two.
Nothing of this works anywhere else: the command needs the devnet's own description and a chain that
is anvil with chain id 31337, and `CORRIDOR_SANDBOX=1` is refused on any chain that is not a test
chain ([ADR 0033](adr/0033-sandbox.md)).

*Answer* is the HTTP status, the place in the body and what stands there: program against it.
"""

_TAIL: Final = """\
## The clock

`corridor trigger clock --forward 2h` (`90s`, `15m`, `3d`) moves the clock of every node of the
devnet forward, and the chain's with it. It never goes back. It obeys at once, in every process:
quotes, payment requests, `pay_by` and `settle_by`, retries of webhooks, looks at the bank, keys and
sessions that expire, leases, ages of rates. What does not obey: times at which something was noted
(`created_at`, `occurred_at`, times and days of the ledger), ids, timestamps of webhooks and of
signed requests, whose other side has a clock of its own, rate limits, and pauses between two looks
of a worker. A jump is to a node as if it had stood still for so long: for a second or two `/readyz`
says that the chain is behind, leases of lanes end, and a webhook under way may come twice. After
`corridor devnet down` and `up`, `corridor trigger clock` lets the chain catch up again.

## The sandbox's bank

It pays whatever it is told, once per order, and keeps books of its own. The last four digits of an
account number say what it does otherwise; they are in the table above. Amounts force nothing at the
bank; those that are refused are refused by the corridor's limits.

This page is made by `python -m node.devnet.sandbox.page`; a test keeps it equal to the table.
"""


def page() -> str:
    """The page."""
    parts = [_HEAD]
    parts += [_section(group) for group in Group]
    parts.append(_triggers())
    parts.append(_TAIL)
    return "\n".join(parts)


def _section(group: Group) -> str:
    rows = [_row(each) for each in OUTCOMES if each.group is group]
    head = "| outcome | how | what the partner sees | answer | what to do |\n|---|---|---|---|---|"
    return "\n".join([f"## {group.value}", "", head, *rows, ""])


def _row(each: Outcome) -> str:
    answer = f"{each.status}, `{each.field}` `{each.code}`"
    return f"| `{each.name}` | {each.how} | {each.sees} | {answer} | {each.do} |"


def _triggers() -> str:
    lines = [
        f"- `{name}`{' (lasts)' if each.end is not None else ''}: {each.line}"
        for name, each in TRIGGERS.items()
    ]
    return "\n".join(["## Triggers", "", *lines, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
