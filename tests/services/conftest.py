"""Rigs for tests of services that need a chain."""

from collections.abc import AsyncIterator

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.rpc import Providers
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode, target
from tests.onchain import OnChain
from tests.rig import AnvilServer
from tests.services.settling import MakeRig, Rig


@pytest.fixture
async def make_rig(database_url: str) -> AsyncIterator[MakeRig]:
    """Rigs over the test's database; all they opened is closed after the test."""
    rigs: list[Rig] = []

    async def make(anvil: AnvilServer, **deploy: int) -> Rig:
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
