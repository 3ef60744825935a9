"""How the second node of a devnet comes to pay out for the first.

The first node takes euros, and its peers file names the second; the second has pesos at its bank,
knows the first one's settlement contract, and sends it webhooks. What each makes in its own
database is `seeding.py`, a program of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.devnet.nodes import Node
from node.devnet.programs import Program
from node.devnet.state import read_json, write_private

_COUNTRY, _CURRENCY = "PH", "PHP"


def is_introduced(node: Node, nodes: Sequence[Node]) -> bool:
    """Whether seeding has nothing to do: also that webhooks go to where the first node is now."""
    sender, *receivers = nodes
    told = read_json(node.place.webhook).get("url")
    return node.is_seeded and (node not in receivers or told == events_url(sender, node))


def seeding(node: Node, nodes: Sequence[Node], environment: Mapping[str, str]) -> Program:
    """The program that makes keys, customers and partners of a node; safe to repeat."""
    sender, *receivers = nodes
    arguments = [str(node.place.seed)]
    if node in receivers:
        contract = str(read_json(sender.place.chain)["settlement"])
        arguments += ["--pays-out-for", sender.name, "--contract", contract]
        arguments += ["--events-url", events_url(sender, node)]
        arguments += ["--webhook-file", str(node.place.webhook)]
    else:
        arguments += [f"--partner={each.name}" for each in receivers]
    return node.program("seeding", "node.devnet.seeding", *arguments, environment=environment)


def events_url(sender: Node, receiver: Node) -> str:
    """Where the first node hears what became of payouts."""
    return f"{sender.url}/v1/peers/{receiver.name}/events"


def introduce(nodes: Sequence[Node]) -> None:
    """Write the first node's peers file, with the key and the secret that the second gave it."""
    sender, *receivers = nodes
    for receiver in receivers:
        folder = sender.place.peers.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        key = read_json(receiver.place.seed)["keys"]["partner"]
        write_private(folder / f"{receiver.name}.key", f"{key}\n")
        secret = read_json(receiver.place.webhook)["secret"]
        write_private(folder / f"{receiver.name}.whsec", f"{secret}\n")
        contract = read_json(receiver.place.chain)["settlement"]
        write_private(sender.place.peers, _peer(receiver, contract))


def _peer(receiver: Node, contract: str) -> str:
    return f"""\
[[peer]]
name = "{receiver.name}"
url = "{receiver.url}"
key_file = "{receiver.name}.key"
webhook_secret_file = "{receiver.name}.whsec"
countries = ["{_COUNTRY}"]
currencies = ["{_CURRENCY}"]
settlement_contract = "{contract}"
"""
