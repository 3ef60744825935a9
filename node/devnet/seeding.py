"""Makes the keys, customers and partners of a fresh devnet, through each node's own services.

A program of its own (`python -m node.devnet.seeding SEED_FILE`), with the node's settings in its
environment; what was made before is left as it is. `introducing.py` says with which arguments.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.bootstrap.wiring import Node, open_node
from node.config import Settings, SettingsInvalid, load_settings
from node.core.bookings import BookingKind
from node.core.errors import NodeError
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry
from node.core.parties import Partner, Principal, Role
from node.core.ports.idempotency import Answer, Claim
from node.devnet.state import read_json, write_json
from node.services.ledger.bookings import BookingRequest
from node.services.ledger.top_ups import SANDBOX_RAIL, TopUpRequest
from node.services.payouts.registering import ContractAsk
from node.services.webhooks.endpoints import EndpointAsk, ShownEndpoint

_DEMO_CUSTOMERS: Final = (
    ("Ada", "DE", "EUR", "10000.00"),
    ("Bruno", "FR", "EUR", "10000.00"),
    ("Grace", "US", "USD", "10000.00"),
)
_BANK: Final = f"bank/{SANDBOX_RAIL}/PHP"
_AT_BANK_MINOR: Final = 100_000_000 * 100
_EVENTS: Final = ("payout", "refund")
_OPERATOR: Final = Principal(Role.OPERATOR, "devnet")


@dataclass(frozen=True, slots=True)
class PaidFor:
    """The node that this one pays out for.

    Attributes:
        name: Of the partner that it is here.
        contract: Its settlement contract, 0x...
        events_url: Where it hears of its payouts.
        webhook_file: Keeps where webhooks go now, and the secret they are signed with.
    """

    name: str
    contract: str
    events_url: str
    webhook_file: Path


def main() -> None:
    """Write what was made; it holds secrets that nobody can read a second time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed_file", type=Path)
    parser.add_argument("--partner", action="append", default=[], help="a node that pays out")
    parser.add_argument("--pays-out-for", help="the node that this one pays out for")
    parser.add_argument("--contract", help="its settlement contract")
    parser.add_argument("--events-url", help="where it takes webhooks")
    parser.add_argument("--webhook-file", type=Path, help="where their secret is kept")
    given = parser.parse_args()
    sender = None
    if given.pays_out_for:
        sender = PaidFor(given.pays_out_for, given.contract, given.events_url, given.webhook_file)
    asyncio.run(seed(load_settings(), given.seed_file, given.partner, sender))


async def seed(
    settings: Settings, seed_file: Path, partners: list[str], sender: PaidFor | None
) -> None:
    """Give a node of a fresh local network an operator, a partner, and money to play with.

    Args:
        settings: The node's.
        seed_file: Takes `keys` and `customers` as they stand in `devnet.json`; each key and token
            is a bearer credential.
        partners: Names of nodes that pay out for this one.
        sender: The node that this one pays out for; None: this one has customers.

    Raises:
        SettingsInvalid: The node is not a sandbox.
    """
    if not settings.sandbox:
        raise SettingsInvalid("demo customers and money exist only with CORRIDOR_SANDBOX=1")
    is_seeded = bool(read_json(seed_file))
    async with open_node(settings) as node:
        for name in partners:
            await node.parties.create_partner(name)
        if sender is None:
            made = read_json(seed_file) or await _with_customers(node)
        else:
            partner = await node.parties.create_partner(sender.name)
            # What an interrupted first start noted was in a database that is gone.
            before = read_json(sender.webhook_file) if is_seeded else {}
            if before.get("url") != sender.events_url:
                endpoint = await _webhook(node, partner, sender, before.get("id"))
                write_json(sender.webhook_file, endpoint)
            made = read_json(seed_file) or await _paying_out(node, partner, sender)
    write_json(seed_file, made)


async def _with_customers(node: Node) -> dict[str, Any]:
    """Customers of a partner, with money."""
    partner = await node.parties.create_partner("demo partner")
    principal = _principal(partner)
    customers = []
    for name, country, currency, amount in _DEMO_CUSTOMERS:
        customer = await _seed_customer(node, principal, name, country)
        await _top_up(node, customer["id"], currency, amount)
        customers.append(customer)
    return {"keys": await _keys(node, principal), "customers": customers}


async def _paying_out(node: Node, partner: Partner, sender: PaidFor) -> dict[str, Any]:
    """Local money at the bank, and the contract that the partner pays out of."""
    principal = _principal(partner)
    contract = ContractAsk(
        _OPERATOR,
        encode_id(Prefix.PARTNER, partner.id),
        node.settings.chain_id,
        sender.contract,
        None,
    )
    await node.services.payouts.register_contract(
        contract, None, lambda _: Answer(201, b"{}"), _unexpected
    )
    capital = BookingRequest(
        _OPERATOR,
        BookingKind.CAPITAL,
        "what the owner paid in to pay beneficiaries with",
        [Entry(_BANK, "capital/PHP", "PHP", _AT_BANK_MINOR)],
    )
    await node.services.bookings.create(
        capital, _claim("opening capital"), lambda _: Answer(201, b"{}"), _unexpected
    )
    return {"keys": await _keys(node, principal), "customers": []}


async def _webhook(
    node: Node, partner: Partner, sender: PaidFor, before: str | None
) -> dict[str, Any]:
    """An endpoint at the partner's node, in place of the one before."""
    principal, made = _principal(partner), list[ShownEndpoint]()

    def render(shown: ShownEndpoint) -> Answer:
        made.append(shown)
        return Answer(201, b"{}")

    if before is not None:
        await node.services.webhooks.disable(principal, before)
    ask = EndpointAsk(principal, None, sender.events_url, _EVENTS)
    already_shown = Answer(409, b"{}")  # what a repeated request would be answered
    await node.services.webhooks.create(ask, None, render, lambda _: already_shown)
    endpoint_id = encode_id(Prefix.WEBHOOK_ENDPOINT, made[0].endpoint.id)
    return {"id": endpoint_id, "url": sender.events_url, "secret": made[0].secret}


def _principal(partner: Partner) -> Principal:
    return Principal(Role.PARTNER, partner.name, partner_id=partner.id)


async def _keys(node: Node, partner: Principal) -> dict[str, str]:
    return {
        "operator": (await node.parties.create_key(_OPERATOR)).secret,
        "partner": (await node.parties.create_key(partner)).secret,
    }


async def _seed_customer(node: Node, partner: Principal, name: str, country: str) -> dict[str, str]:
    answer = await node.parties.create_customer(
        partner,
        name=name,
        country=country,
        email=None,
        claim=None,
        render=lambda made: Answer(201, encode_id(Prefix.CUSTOMER, made.id).encode()),
        render_error=_unexpected,
    )
    customer_id = answer.body.decode()
    token = await node.parties.create_token(partner, customer_id)
    return {"id": customer_id, "name": name, "country": country, "token": token.secret}


async def _top_up(node: Node, customer_id: str, currency: str, amount: str) -> None:
    reference = f"opening {customer_id}"
    await node.services.top_ups.create(
        TopUpRequest(_OPERATOR, customer_id, currency, amount, SANDBOX_RAIL, reference),
        _claim(reference),
        lambda _: Answer(201, b"{}"),
        _unexpected,
    )


def _claim(reference: str) -> Claim:
    return Claim(_OPERATOR.key, "POST", "devnet", reference, bytes(32))


def _unexpected(error: NodeError) -> Answer:
    raise error


if __name__ == "__main__":
    main()
