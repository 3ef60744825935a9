"""Whether the settings fit database and chain; what answers and is wrong stops a program."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import structlog
from eth_utils.crypto import keccak

from adapters.evm.client import EvmChain
from adapters.evm.deposits import factory_code_hash
from adapters.evm.rpc import Providers
from adapters.fx import close_sources
from node.bootstrap.wiring import NEEDED, Node, offer, open_node, rate_sources, reporting
from node.config import Settings, SettingsInvalid
from node.core.catalog import USDC, TokenInfo, catalog_of
from node.core.errors import DatabaseUnavailable, Unavailable
from node.core.units import Address
from node.store import schema
from node.workers.loop import wait

_log = structlog.get_logger()

_WAIT_FOR_OTHERS_MS: Final = 1000
_NO_CODE: Final = keccak(b"")
_OWNER_LOGIN: Final = (
    "CORRIDOR_DATABASE_URL: its login owns the ledger's tables; give the node one that is a member"
    " of corridor_node and no more, and name the owner's in CORRIDOR_DATABASE_OWNER_URL for"
    " `corridor migrate`"
)


async def check_settings(settings: Settings) -> None:
    """Check what `serve` checks, but the login, as far as the settings go; changes nothing.

    Raises:
        SettingsInvalid: Something is wrong; says what, and the remedy.
        Unavailable: Database, chain or keystore does not answer.
    """
    if not settings.missing(*NEEDED):
        async with open_node(settings) as node:
            await _compare_with_database(node)
            await _compare_with_chain(node)
        return
    async with AsyncExitStack() as stack:
        providers = Providers.at(settings.chain_rpc_urls)
        stack.push_async_callback(providers.close)
        sources = rate_sources(settings, EvmChain(providers))
        stack.push_async_callback(close_sources, sources)
        token = TokenInfo(USDC, settings.chain_id, Address(bytes(20)))
        reporting(settings, catalog_of(token, offer(settings)))


async def check_login(settings: Settings) -> None:
    """Check that the node's login may not change what was booked.

    Raises:
        SettingsInvalid: It owns the tables, or may become their owner.
        DatabaseUnavailable: The database is away.
    """
    if await schema.owns_ledger(settings.database_url):
        raise SettingsInvalid(_OWNER_LOGIN)


async def until_compared(node: Node, stop: asyncio.Event) -> None:
    """Compare again and again, until both have answered or `stop` is set."""
    while not stop.is_set() and not await compare(node):
        await wait(stop, _WAIT_FOR_OTHERS_MS)


async def compare(node: Node) -> bool:
    """Compare the settings with database and chain, as far as they answer.

    Returns:
        Whether both have.

    Raises:
        SettingsInvalid: They are those of another node; says which, and the remedy.
    """
    try:
        if not node.bound.is_set():
            await _compare_with_database(node)
            await _compare_login(node)
            node.bound.set()
        await _compare_with_chain(node)
        for lane in await node.recollection.compare_lanes():
            _log.warning(
                "a lane must be adopted", lane=f"0x{lane.address.hex()}", reason=lane.status_reason
            )
    except Unavailable as error:
        _log.warning("waiting", reason=error.detail)
        return False
    return True


async def _compare_with_database(node: Node) -> None:
    if await schema.missing_migrations(node.settings.database_url):
        raise DatabaseUnavailable("the schema is not this program's: run `corridor migrate`")
    async with node.units() as unit:
        other = await unit.transfers.open_elsewhere(node.watch.chain_id, node.watch.contract)
    if other:
        raise SettingsInvalid(
            f"{other} open transfers belong to another settlement contract: set"
            " CORRIDOR_SETTLEMENT_ADDRESS and CORRIDOR_CHAIN_ID back until they ended"
        )


async def _compare_login(node: Node) -> None:
    try:
        await check_login(node.settings)
    except SettingsInvalid as told:
        if not node.settings.sandbox:
            raise
        _log.warning(told.detail)


async def _compare_with_chain(node: Node) -> None:
    chain_id = await node.chain.chain_id()
    if chain_id != node.watch.chain_id:
        raise SettingsInvalid(
            f"CORRIDOR_CHAIN_ID is {node.watch.chain_id}, but CORRIDOR_CHAIN_RPC_URLS answers for"
            f" chain {chain_id}: set the one that is meant"
        )
    for name, address in (("TOKEN", node.watch.token), ("SETTLEMENT", node.watch.contract)):
        if await node.chain.code_hash(address, "latest") == _NO_CODE:
            raise SettingsInvalid(
                f"CORRIDOR_{name}_ADDRESS 0x{address.hex()} has no code on chain {chain_id}:"
                " set the address of the deployed contract"
            )
    await _compare_deposits(node)


async def _compare_deposits(node: Node) -> None:
    """Deposit addresses are of a contract that sends to this node's settlement contract alone."""
    deposits, contract = node.watch.deposits, node.watch.contract
    if deposits is None:
        return
    if await node.chain.code_hash(deposits, "latest") != factory_code_hash(contract):
        raise SettingsInvalid(
            f"CORRIDOR_DEPOSITS_ADDRESS 0x{deposits.hex()} is not this release's DepositForwarders"
            f" with the destination 0x{contract.hex()}: deploy one for CORRIDOR_SETTLEMENT_ADDRESS"
            " and set its address, or leave the setting empty to offer no deposit addresses"
        )
