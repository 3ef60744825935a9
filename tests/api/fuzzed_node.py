"""A node with everything switched on, and runs of `tests.api.fuzzing` against it.

Its chain is away, the mirror has begun; the worker of bulk transfers runs between passes. Used by
`test_schemathesis` for a short run and by `scripts/fuzz_api.py` for long ones.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from eth_account import Account

from node.api.app import create_app
from node.api.operations import Operation
from node.api.payout_examples import PAYOUT_BODY
from node.api.routes import OPERATIONS
from node.bootstrap.wiring import Node, open_node
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry
from node.core.parties import Principal, Role
from tests.api.conftest import open_client, settings_in
from tests.api.fuzzing import DONE, Caller, Fuzz
from tests.api.test_deposits import begin_mirror
from tests.builders import CHAIN_ID, CONTRACT, LedgerNode, target

PEERS: Final = """
[[peer]]
name = "manila"
url = "http://127.0.0.1:9"
key_file = "manila.key"
webhook_secret_file = "manila.whsec"
countries = ["PH"]
currencies = ["PHP"]
settlement_contract = "0x3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a"
"""
_WORDS: Final = ("Quetzal", "Xylophon")
_CUSTOMERS: Final = 2
_TURNS: Final = 2
_STEPS: Final = 6


@dataclass
class FuzzedNode:
    """What a run needs."""

    node: Node
    fuzz: Fuzz
    operator: Caller
    nobody: Caller

    async def play(self, seed: int, examples: int) -> None:
        """Send so many requests of each operation that moves something, and half of the others."""

        def of_partners(declared: Operation | None) -> int:
            if declared is None or (declared.who is not None and Role.PARTNER not in declared.who):
                return _least(examples // 8)
            return _least(examples if declared.method == "POST" else examples // 2)

        def of_others(_: Operation | None) -> int:
            return _least(examples // 4)

        for turn in range(_TURNS):  # what one makes, the next asks about
            partners = list(self.fuzz.partners)
            await asyncio.to_thread(self.fuzz.requests, partners, of_partners, seed + turn)
            await self.node.bulk_worker.run_once()
            await asyncio.to_thread(self.fuzz.links, _least(examples // 3), _STEPS, seed + turn)
        others = [self.operator, self.operator, self.operator, self.nobody]
        await asyncio.to_thread(self.fuzz.requests, others, of_others, seed)

    def never_done(self) -> list[str]:
        """Operations of partners that no request succeeded at."""
        done = {(method, path) for method, path, _, status in self.fuzz.answered if status in DONE}
        return [
            f"{each.method} {each.path}"
            for each in OPERATIONS
            if Role.PARTNER in (each.who or ()) and (each.method, each.path) not in done
        ]


def _least(count: int) -> int:
    """Hypothesis begins with the simplest of all, so one alone would be no chance."""
    return max(2, count)


@asynccontextmanager
async def open_fuzzed(directory: Path, database_url: str) -> AsyncIterator[FuzzedNode]:
    """A node with two partners, each with money, customers, a contract and an endpoint."""
    files = {"secrets.key": "00" * 31 + "07", "manila.key": "of-manila", "peers.toml": PEERS}
    files["manila.whsec"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    for name, text in files.items():
        directory.joinpath(name).write_text(f"{text}\n")
    settings = settings_in(
        directory,
        database_url,
        bytes(Account.create().key),
        token_address="0x" + "70" * 20,
        deposits_address="0x" + "fa" * 20,
        secrets_key_file=directory / "secrets.key",
        peers_file=directory / "peers.toml",
        webhooks_private=True,
    )
    async with open_node(settings) as node:
        await node.rates.refresh()
        node.bound.set()  # the settings are those of this database
        await begin_mirror(database_url)
        ledger = LedgerNode(node.units, target(contract=CONTRACT, holders=(CONTRACT,)))
        await ledger.fund_contract(10**12)
        await ledger.post(Entry("bank/sandbox_bank/PHP", "capital/PHP", "PHP", 10**9))
        async with open_client(create_app(node.services, sandbox=True)) as client:
            operator = await _caller(node, Role.OPERATOR, "ops")
            await node.parties.create_partner("manila")
            first, second = [
                await _partner(node, f"partner {place}", word) for place, word in enumerate(_WORDS)
            ]
            nobody = Caller("nobody", None)
            fuzz = Fuzz(client, asyncio.get_running_loop(), (first, second))
            made = FuzzedNode(node, fuzz, operator, nobody)
            for place, each in enumerate((first, second)):
                await _furnish(made, each, place)
            yield made


async def _partner(node: Node, name: str, word: str) -> Caller:
    partner = await node.parties.create_partner(name)
    caller = await _caller(node, Role.PARTNER, name, partner_id=partner.id, word=word)
    caller.ids["par"] = [encode_id(Prefix.PARTNER, partner.id)]
    return caller


async def _caller(
    node: Node, role: Role, name: str, *, partner_id: UUID | None = None, word: str = ""
) -> Caller:
    numbers = itertools.count()

    async def renew() -> str:
        principal = Principal(role, f"{name}, {next(numbers)}", partner_id=partner_id)
        return (await node.parties.create_key(principal)).secret

    return Caller(name, await renew(), word=word, renew=renew)


async def _furnish(made: FuzzedNode, caller: Caller, place: int) -> None:
    """Customers with money, a settlement contract, a payout, an endpoint."""
    client, as_partner = made.fuzz.client, {"Authorization": f"Bearer {caller.secret}"}
    as_operator = {"Authorization": f"Bearer {made.operator.secret}", "Idempotency-Key": "seed"}
    for number in range(_CUSTOMERS):
        body = {"name": f"Ana {number} {caller.word}", "country": "DE"}
        customer = await client.post("/v1/customers", headers=as_partner, json=body)
        caller.ids.setdefault("cus", []).append(customer.json()["id"])
        money = {"currency": "EUR", "amount": "100000.00", "rail": "sandbox_bank"}
        booked = await client.post(
            f"/v1/customers/{customer.json()['id']}/top-ups",
            headers={**as_partner, "Idempotency-Key": f"seed-{number}"},
            json={**money, "reference": f"seed-{place}-{number}-{caller.word}"},
        )
        assert booked.status_code == 201, booked.text
        caller.ids.setdefault("top", []).append(booked.json()["id"])
    (partner_id,) = caller.ids["par"]
    contract = {"chain_id": CHAIN_ID, "address": f"0x{bytes([0x3B + place]).hex() * 20}"}
    registered = await client.post(
        f"/v1/partners/{partner_id}/contracts", headers=as_operator, json=contract
    )
    assert registered.status_code == 201, registered.text
    sides = {"sell": {"currency": "USDC", "amount": "230.00"}, "buy": {"currency": "PHP"}}
    quote = await client.post(
        "/v1/quotes", headers=as_partner, json={**sides, "payout": {"method": "bank"}}
    )
    order: dict[str, Any] = {
        **PAYOUT_BODY,
        "quote_id": quote.json()["id"],
        "refund_address": contract["address"],
        "client_reference": f"seed {caller.word}",
    }
    payout = await client.post(
        "/v1/payouts", headers={**as_partner, "Idempotency-Key": "seed"}, json=order
    )
    assert payout.status_code == 201, payout.text
    caller.ids["pay"] = [payout.json()["id"]]
    url = {"url": f"https://{caller.word.lower()}.example/hook"}
    endpoint = await client.post("/v1/webhook-endpoints", headers=as_partner, json=url)
    assert endpoint.status_code == 201, endpoint.text
    caller.ids["whe"] = [endpoint.json()["id"]]
