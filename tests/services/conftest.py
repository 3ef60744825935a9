"""Rigs for tests of services that need a chain, and books for those that tamper."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.rpc import Providers
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode, target
from tests.mirrored import MirroredNode
from tests.onchain import ADMIN, OnChain
from tests.rig import AnvilServer, PostgresServer
from tests.services.adopting import Copy
from tests.services.hooked import Hooked
from tests.services.lying import Liars
from tests.services.partnering import Partnered
from tests.services.paying import Paid
from tests.services.receiving import Receiver
from tests.services.settling import MakeRig, Rig
from tests.services.tampering import Tamperer, write_books


@pytest.fixture
async def make_rig(database_url: str) -> AsyncIterator[MakeRig]:
    """Rigs over the test's database; all they opened is closed after the test."""
    rigs: list[Rig] = []

    async def make(anvil: AnvilServer, **deploy: Any) -> Rig:
        onchain = OnChain.deploy(anvil, **deploy)
        database = Database.at(database_url)
        where = target(contract=onchain.contract, holders=(onchain.contract,))
        node = LedgerNode(StoreUnits(database), where)
        await node.fund_contract()
        payer = await node.remitter(eur_minor=10**9)
        providers = Providers.at([anvil.rpc_url])
        rig = Rig(database_url, database, onchain, node, payer, providers, EvmChain(providers))
        rigs.append(rig)
        return rig

    yield make
    for each in rigs:
        await each.kill()
        await each.providers.close()
        await each.database.close()


@pytest.fixture
async def node(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[MirroredNode]:
    """A chain that mines only when told, its start mirrored."""
    node = await MirroredNode.open(database_url, start_anvil(automine=False))
    yield node
    await node.close()


@pytest.fixture
async def with_providers() -> AsyncIterator[Liars]:
    """Makes nodes whose providers lie, lag or refuse."""
    liars = Liars()
    yield liars
    await liars.close()


@pytest.fixture
async def copy(node: MirroredNode, postgres_server: PostgresServer) -> AsyncIterator[Copy]:
    """Makes a copy of the node's database, and later the node over that copy."""
    made = Copy(node, postgres_server)
    yield made
    await made.close()


@pytest.fixture(scope="module")
def books_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with books of every kind; tests undo what they do to them."""
    url = postgres_server.create_database()
    asyncio.run(write_books(url))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def tamperer(books_url: str) -> Iterator[Tamperer]:
    with Tamperer.at(books_url) as tamperer:
        yield tamperer


@pytest.fixture
async def paid(database_url: str, start_anvil: Callable[..., AnvilServer]) -> AsyncIterator[Paid]:
    """A node on a chain that mines when told."""
    node = await MirroredNode.open(database_url, start_anvil(automine=False))
    node.onchain.send(node.onchain.token, "configureMinter(address,uint256)", ADMIN, 2**255)
    yield Paid(node)
    await node.close()


@pytest.fixture
async def hooked(database_url: str) -> AsyncIterator[Hooked]:
    """Webhook endpoints over the test's database, and a worker that sends to them."""
    database = Database.at(database_url)
    made = Hooked(StoreUnits(database), database_url)
    yield made
    await made.close()
    await database.close()


@pytest.fixture
async def receiver(node: MirroredNode, database_url: str) -> Receiver:
    """A node that pays out for a partner."""
    node.onchain.send(node.onchain.token, "configureMinter(address,uint256)", ADMIN, 2**255)
    return await Receiver.open(node, database_url)


@pytest.fixture
async def sender(node: MirroredNode) -> Partnered:
    """A node whose partner pays out for it."""
    return await Partnered.over(node)
