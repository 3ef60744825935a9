"""Makes the keys and the customers of a fresh devnet, through the node's own services.

A program of its own (`python -m node.devnet.seeding SEED_FILE`), with the node's settings in its
environment.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any, Final

from node.bootstrap import Node, open_node
from node.config import Settings, SettingsInvalid, load_settings
from node.core.errors import NodeError
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer, Claim
from node.devnet.state import write_json
from node.services.ledger.top_ups import SANDBOX_RAIL, TopUpRequest

_DEMO_CUSTOMERS: Final = (
    ("Ada", "DE", "EUR", "10000.00"),
    ("Bruno", "FR", "EUR", "10000.00"),
    ("Grace", "US", "USD", "10000.00"),
)


def main() -> None:
    """Write what was made; it holds secrets that nobody can read a second time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed_file", type=Path)
    write_json(parser.parse_args().seed_file, asyncio.run(seed(load_settings())))


async def seed(settings: Settings) -> dict[str, Any]:
    """Give a fresh local network an operator, a partner, customers and money to play with.

    Returns:
        `keys` and `customers` as they stand in `devnet.json`; each key and token is a bearer
        credential.

    Raises:
        SettingsInvalid: The node is not a sandbox.
    """
    if not settings.sandbox:
        raise SettingsInvalid("demo customers and money exist only with CORRIDOR_SANDBOX=1")
    async with open_node(settings) as node:
        operator = Principal(Role.OPERATOR, "devnet")
        partner = await node.parties.create_partner("demo partner")
        principal = Principal(Role.PARTNER, partner.name, partner_id=partner.id)
        customers = []
        for name, country, currency, amount in _DEMO_CUSTOMERS:
            customer = await _seed_customer(node, principal, name, country)
            await _top_up(node, operator, customer["id"], currency, amount)
            customers.append(customer)
        return {
            "keys": {
                "operator": (await node.parties.create_key(operator)).secret,
                "partner": (await node.parties.create_key(principal)).secret,
            },
            "customers": customers,
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


async def _top_up(
    node: Node, operator: Principal, customer_id: str, currency: str, amount: str
) -> None:
    reference = f"opening {customer_id}"
    await node.services.top_ups.create(
        TopUpRequest(operator, customer_id, currency, amount, SANDBOX_RAIL, reference),
        Claim(operator.key, "POST", "devnet", reference, bytes(32)),
        lambda _: Answer(201, b"{}"),
        _unexpected,
    )


def _unexpected(error: NodeError) -> Answer:
    raise error


if __name__ == "__main__":
    main()
