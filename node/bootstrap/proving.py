"""What a proof of reserves needs: database and chain, no key of the node."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from node.bootstrap.keys import own_keys
from node.config import Settings
from node.core.catalog import ETH, USDC
from node.core.mirror import Watch
from node.core.units import Address
from node.services.ledger.reserves import ReservesService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits

_NEEDED: Final = ("database_url", "chain_rpc_urls", "token_address", "settlement_address")


@asynccontextmanager
async def open_reserves(settings: Settings) -> AsyncIterator[ReservesService]:
    """The service that proves reserves, for as long as the block lasts.

    Raises:
        SettingsInvalid: Something it cannot be without is not set; names it.
    """
    settings.require(*_NEEDED)
    async with AsyncExitStack() as stack:
        database = Database.at(settings.database_url)
        stack.push_async_callback(database.close)
        providers = Providers.at(settings.chain_rpc_urls, chain_id=settings.chain_id)
        stack.push_async_callback(providers.close)
        contract = _address(settings.settlement_address)
        watch = Watch(
            settings.chain_id,
            contract,
            _address(settings.token_address),
            USDC.code,
            ETH.code,
            frozenset({contract}),
        )
        yield ReservesService(
            StoreUnits(database),
            EvmReader(providers, watch),
            watch,
            treasury=_treasury(settings),
            digits=USDC.digits,
            chance=secrets.token_bytes,
        )


def _treasury(settings: Settings) -> Address | None:
    """The treasury by its address; by its key where the settings name the node's keys too."""
    if settings.treasury_address:
        return _address(settings.treasury_address)
    return own_keys(settings).treasury if settings.signer else None


def _address(text: str) -> Address:
    return Address(bytes.fromhex(text[2:]))
