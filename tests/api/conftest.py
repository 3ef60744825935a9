"""An HTTP client inside the process: over fakes (`client`), or over the whole node (`real`)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from starlette.types import ASGIApp

from node.api.app import create_app
from node.bootstrap.wiring import open_node
from node.config import Settings
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.units import Address
from tests.api.fakes import FakeNode
from tests.builders import CONTRACT, LedgerNode, target
from tests.onchain import OnChain
from tests.rig import AnvilServer

BENEFICIARY = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"


def open_client(app: ASGIApp) -> httpx.AsyncClient:
    """A client of an application, which raises nothing: what fails is an answer."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://node")


@pytest.fixture
def fake_node() -> FakeNode:
    """The services behind `client`."""
    return FakeNode()


@pytest.fixture
async def client(fake_node: FakeNode) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application over fakes."""
    async with open_client(create_app(fake_node.services)) as opened:
        yield opened


@dataclass(frozen=True)
class RealNode:
    """The application over real services and PostgreSQL, with what a caller needs.

    Attributes:
        customer_id: A customer of the partner, with 1,000.00 EUR. The contract has 1,200.00 USDC.
        partner_id: Of the partner.
        stranger: Secret of another partner.
        second: Secret of another operator.
    """

    client: httpx.AsyncClient
    app: ASGIApp
    operator: str
    second: str
    partner: str
    stranger: str
    remitter: str
    customer_id: str
    partner_id: str
    token_address: str


def settings_in(directory: Path, database_url: str, lane_key: bytes, **others: Any) -> Settings:
    """Settings of a node in a sandbox, its lane's key in `directory`; its chain is away."""
    key = directory / "lane.json"
    key.write_text(json.dumps(Account.encrypt(lane_key, "play", iterations=2)))
    (directory / "lane.json.password").write_text("play")
    usual = {
        "chain_rpc_urls": ("http://127.0.0.1:9",),
        "settlement_address": f"0x{CONTRACT.hex()}",
        "fx_sources": "ecb:max_age_s=0,fixed:USD/USDC=1",
        "sandbox": True,
    }
    return Settings(
        database_url=database_url,
        state_dir=directory,
        signer=f"keystore:{key}",
        **{**usual, **others},
    )


@pytest.fixture
async def real_app(database_url: str, tmp_path: Path) -> AsyncIterator[RealNode]:
    """The node as `corridor serve` wires it; its chain is away."""
    async with open_real(tmp_path, database_url, CONTRACT, token_address="0x" + "70" * 20) as node:
        yield node


@pytest.fixture
async def hooked_app(database_url: str, tmp_path: Path) -> AsyncIterator[RealNode]:
    """The same with a key for secrets."""
    key = tmp_path / "secrets.key"
    key.write_text("00" * 31 + "07\n")
    async with open_real(
        tmp_path, database_url, CONTRACT, token_address="0x" + "70" * 20, secrets_key_file=key
    ) as node:
        yield node


@pytest.fixture
async def deposits_app(database_url: str, tmp_path: Path) -> AsyncIterator[RealNode]:
    """The same with a contract that makes deposit addresses."""
    token, deposits = "0x" + "70" * 20, "0x" + "fa" * 20
    async with open_real(
        tmp_path, database_url, CONTRACT, token_address=token, deposits_address=deposits
    ) as node:
        yield node


@pytest.fixture
async def chained_app(
    database_url: str, tmp_path: Path, anvil: AnvilServer
) -> AsyncIterator[RealNode]:
    """The same with its contracts on a chain that answers."""
    onchain = OnChain.deploy(anvil)
    async with open_real(
        tmp_path,
        database_url,
        onchain.contract,
        token_address=f"0x{onchain.token.hex()}",
        settlement_address=f"0x{onchain.contract.hex()}",
        chain_rpc_urls=(anvil.rpc_url,),
    ) as node:
        yield node


@asynccontextmanager
async def open_real(
    directory: Path, database_url: str, contract: Address, *, token_address: str, **others: Any
) -> AsyncIterator[RealNode]:
    """A node with an operator, two partners, and a customer with money."""
    lane_key = bytes(Account.create().key)
    settings = settings_in(directory, database_url, lane_key, token_address=token_address, **others)
    async with open_node(settings) as node:
        await node.rates.refresh()
        node.bound.set()  # the settings are those of this database
        app = create_app(node.services, sandbox=True)
        operator = (await node.parties.create_key(Principal(Role.OPERATOR, "ops"))).secret
        second = (await node.parties.create_key(Principal(Role.OPERATOR, "second"))).secret
        secrets, partner_ids = [], []
        for name in ("shop", "other"):
            partner = await node.parties.create_partner(name)
            principal = Principal(Role.PARTNER, name, partner_id=partner.id)
            partner_ids.append(encode_id(Prefix.PARTNER, partner.id))
            secrets.append((await node.parties.create_key(principal)).secret)
        async with open_client(app) as opened:
            as_partner = {"Authorization": f"Bearer {secrets[0]}"}
            made = await opened.post(
                "/v1/customers", headers=as_partner, json={"name": "Ana", "country": "DE"}
            )
            customer_id = made.json()["id"]
            path = f"/v1/customers/{customer_id}"
            token_made = await opened.post(f"{path}/tokens", headers=as_partner)
            top_up = {
                "currency": "EUR",
                "amount": "1000.00",
                "rail": "sandbox_bank",
                "reference": "first",
            }
            booked = await opened.post(
                f"{path}/top-ups", headers={**as_partner, "Idempotency-Key": "first"}, json=top_up
            )
            assert booked.status_code == 201, booked.text
            ledger = LedgerNode(node.units, target(contract=contract, holders=(contract,)))
            await ledger.fund_contract(1_200_000_000)
            yield RealNode(
                client=opened,
                app=app,
                operator=operator,
                second=second,
                partner=secrets[0],
                stranger=secrets[1],
                remitter=token_made.json()["token"],
                customer_id=customer_id,
                partner_id=partner_ids[0],
                token_address=token_address,
            )
