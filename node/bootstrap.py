"""The composition root: settings become adapters, store, services, processes; the only wiring."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import uvicorn
import uvloop
from eth_utils.crypto import keccak

from adapters.corridors import load_offer
from adapters.evm.addresses import Eip55
from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from adapters.evm.signer import Eip1559Reader, KeystoreSigner, keystore_address
from adapters.failpoint import failpoint
from adapters.fx import build_sources, close_sources
from adapters.machine import SystemClock, new_id, new_secret
from node import logs
from node.api.app import create_app
from node.api.server import Server
from node.api.services import Services
from node.config import Settings, SettingsInvalid
from node.core.catalog import USDC, Catalog, Offer, TokenInfo, catalog_of
from node.core.errors import CurrencyUnknown, DatabaseUnavailable, Unavailable
from node.core.mirror import Finality, Watch
from node.core.ports.quotes import RateSource
from node.core.settlement import BatchRules
from node.core.units import Address, Asset
from node.services.acceptance import Acceptance, SettlementTarget
from node.services.accounts import AccountService
from node.services.bookings import BookingService
from node.services.checkpointing import CheckpointService
from node.services.fx import FxService
from node.services.health import HealthService
from node.services.mirroring import MirrorService
from node.services.parties import PartyService
from node.services.positions import PositionService
from node.services.posting import PostingService
from node.services.quoting import QuoteLimits, QuoteService
from node.services.rates import Rates
from node.services.reconciling import ReconciliationService
from node.services.settlement import SettlementService
from node.services.settlement_operations import NodeAddresses, SettlementOperations
from node.services.settlement_parts import SettlementParts
from node.services.statements import StatementService
from node.services.top_ups import SANDBOX_RAIL, TopUpService
from node.services.transfers import TransferService
from node.services.treasury import TreasuryService
from node.services.verifying import VerifyService
from node.store import schema
from node.store.database import Database
from node.store.lane_lock import AdvisoryLaneLock
from node.store.unit_of_work import StoreUnits
from node.workers.loop import Job, run_all, wait

_log = structlog.get_logger()

_RATES_EVERY_S: Final = 60
_WAIT_FOR_OTHERS_MS: Final = 1000
_CHECKPOINT_IDLE_MS: Final = 5000
_NO_CODE: Final = keccak(b"")
_OWNER_LOGIN: Final = (
    "CORRIDOR_DATABASE_URL: its login owns the ledger's tables; give the node one that is a member"
    " of corridor_node and no more, and name the owner's in CORRIDOR_DATABASE_OWNER_URL for"
    " `corridor migrate`"
)
_NEEDED: Final = ("database_url", "chain_rpc_urls", "token_address", "settlement_address", "signer")
_JOBS: Final = frozenset({"settle", "mirror", "reconcile", "deliver"})
"""Names for `corridor work --only`; there is nothing to deliver yet."""


@dataclass(frozen=True, slots=True)
class Node:
    """Everything of one process, wired."""

    settings: Settings
    services: Services
    parties: PartyService
    verifying: VerifyService
    reconciling: ReconciliationService
    rates: Rates
    fx: FxService
    chain: EvmChain
    reader: EvmReader
    watch: Watch
    units: StoreUnits
    bound: asyncio.Event  # set once the settings were compared with database and chain


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """The node's services, for as long as the block lasts. Nothing is asked of anyone yet.

    Raises:
        SettingsInvalid: Something a node cannot be without is not set, or cannot be read.
    """
    settings.require(*_NEEDED)
    async with AsyncExitStack() as stack:
        database = Database.at(settings.database_url)
        stack.push_async_callback(database.close)
        providers = Providers.at(settings.chain_rpc_urls)
        stack.push_async_callback(providers.close)
        sources = _rate_sources(settings, EvmChain(providers))
        stack.push_async_callback(close_sources, sources)
        yield _wire(settings, database, providers, sources)


async def check_settings(settings: Settings) -> None:
    """Check what `serve` checks, but the login, as far as the settings go; changes nothing.

    Raises:
        SettingsInvalid: Something is wrong; says what, and the remedy.
        Unavailable: Database, chain or keystore does not answer.
    """
    if not settings.missing(*_NEEDED):
        async with open_node(settings) as node:
            await _compare_with_database(node)
            await _compare_with_chain(node)
        return
    async with AsyncExitStack() as stack:
        providers = Providers.at(settings.chain_rpc_urls)
        stack.push_async_callback(providers.close)
        sources = _rate_sources(settings, EvmChain(providers))
        stack.push_async_callback(close_sources, sources)
        token = TokenInfo(USDC, settings.chain_id, Address(bytes(20)))
        _reporting(settings, catalog_of(token, _offer(settings)))


async def check_login(settings: Settings) -> None:
    """Check that the node's login may not change what was booked.

    Raises:
        SettingsInvalid: It owns the tables, or may become their owner.
        DatabaseUnavailable: The database is away.
    """
    if await schema.owns_ledger(settings.database_url):
        raise SettingsInvalid(_OWNER_LOGIN)


@dataclass(frozen=True, slots=True)
class Books:
    """What needs the database and nothing else."""

    parties: PartyService
    verifying: VerifyService


@asynccontextmanager
async def open_books(settings: Settings) -> AsyncIterator[Books]:
    """Services that need no chain, for as long as the block lasts.

    Raises:
        SettingsInvalid: No database is named.
    """
    settings.require("database_url")
    database = Database.at(settings.database_url)
    try:
        units = StoreUnits(database)
        parties = PartyService(units, SystemClock(), new_id, new_secret)
        yield Books(parties, VerifyService(units))
    finally:
        await database.close()


@dataclass(frozen=True, slots=True)
class _Addresses:
    token: Address
    contract: Address
    treasury: Address | None
    lane: Address

    @property
    def holders(self) -> tuple[Address, ...]:
        return (self.contract,) if self.treasury is None else (self.contract, self.treasury)

    def target(self, settings: Settings) -> SettlementTarget:
        return SettlementTarget(
            settings.chain_id,
            self.contract,
            USDC.code,
            self.holders,
            frozenset({Address(bytes(20)), self.token, self.lane, *self.holders}),
            settings.settle_within_s,
        )

    def watch(self, chain_id: int, native: str) -> Watch:
        return Watch(
            chain_id,
            self.contract,
            self.token,
            USDC.code,
            native,
            frozenset({self.lane, *self.holders}),
        )


def _addresses(settings: Settings) -> _Addresses:
    def parsed(text: str) -> Address:
        return Address(bytes.fromhex(text[2:]))

    return _Addresses(
        parsed(settings.token_address),
        parsed(settings.settlement_address),
        parsed(settings.treasury_address) if settings.treasury_address else None,
        keystore_address(settings.signer_path),
    )


def _rate_sources(settings: Settings, chain: EvmChain) -> Sequence[RateSource]:
    try:
        return build_sources(
            settings.fx_sources, sandbox=settings.sandbox, clock=SystemClock(), chain=chain
        )
    except ValueError as error:
        raise SettingsInvalid(f"CORRIDOR_FX_SOURCES: {error}") from None


def _reporting(settings: Settings, catalog: Catalog) -> Asset:
    try:
        return catalog.asset(settings.reporting_currency)
    except CurrencyUnknown as error:
        raise SettingsInvalid(f"CORRIDOR_REPORTING_CURRENCY: {error.detail}") from None


def _offer(settings: Settings) -> Offer:
    try:
        return load_offer(settings.corridors_file, USDC)
    except ValueError as error:
        raise SettingsInvalid(f"CORRIDOR_CORRIDORS_FILE: {error}") from None


def _wire(
    settings: Settings, database: Database, providers: Providers, sources: Sequence[RateSource]
) -> Node:
    own = _addresses(settings)
    clock = SystemClock()
    units = StoreUnits(database)
    catalog = catalog_of(TokenInfo(USDC, settings.chain_id, own.token), _offer(settings))
    target = own.target(settings)
    watch = own.watch(settings.chain_id, catalog.native.code)
    chain, reader = EvmChain(providers), EvmReader(providers, watch)
    rates = Rates(sources, catalog.pricing)
    fx = FxService(units, catalog, rates)
    posting = PostingService(units, catalog)
    reconciling = ReconciliationService(
        units=units, reader=reader, watch=watch, posting=posting, new_id=new_id
    )
    rails = settings.rails | ({SANDBOX_RAIL} if settings.sandbox else frozenset())
    bound = asyncio.Event()
    parties = PartyService(units, clock, new_id, new_secret)
    block_ms = int(settings.chain_block_s * 1000)
    services = Services(
        catalog=catalog,
        addresses=Eip55(),
        parties=parties,
        quoting=QuoteService(
            units=units,
            catalog=catalog,
            rates=rates,
            target=target,
            limits=QuoteLimits(settings.quote_ttl_s, settings.quotes_active_max),
            clock=clock,
            new_id=new_id,
        ),
        top_ups=TopUpService(
            units, catalog, new_id, sandbox=settings.sandbox, rails=settings.rails
        ),
        transfers=TransferService(units, Acceptance(units, target, Eip55(), new_id, bound.is_set)),
        accounts=AccountService(units),
        statements=StatementService(units),
        positions=PositionService(units, catalog, rates, _reporting(settings, catalog)),
        bookings=BookingService(units, catalog, posting, new_id, rails=rails),
        settlement=SettlementOperations(
            units,
            settings.chain_id,
            NodeAddresses(own.contract, USDC.code, catalog.native.code, (own.lane,), own.treasury),
            Eip55(),
            new_id,
        ),
        reconciliation=reconciling,
        health=HealthService(units, chain, clock, chain_id=settings.chain_id, block_ms=block_ms),
        fx=fx,
    )
    return Node(
        settings, services, parties, VerifyService(units), reconciling, rates, fx, chain, reader,
        watch, units, bound,
    )  # fmt: skip


def migrate(settings: Settings) -> None:
    """Bring the database up to date.

    Raises:
        DatabaseUnavailable: The database is away.
    """
    settings.require("database_url")
    asyncio.run(schema.migrate(settings.database_owner_url or settings.database_url))


def run_serve(settings: Settings, *, on_listening: Callable[[], None] = lambda: None) -> None:
    """The HTTP process, until it is told to stop; says once when requests are answered."""
    logs.configure(level=settings.log_level, form=settings.log_format)
    uvloop.run(_serve(settings, on_listening))


def run_work(settings: Settings, only: Sequence[str] = ()) -> None:
    """The worker process with the jobs named, or all, until it is told to stop."""
    logs.configure(level=settings.log_level, form=settings.log_format)
    uvloop.run(_work(settings, only))


async def _serve(settings: Settings, on_listening: Callable[[], None]) -> None:
    async with open_node(settings) as node:
        await _compare(node)  # what answers and is wrong stops the program before it listens
        await _refresh_rates(node)
        app = create_app(node.services, sandbox=settings.sandbox)
        server = Server(app, settings.http_host, settings.http_port, on_listening)
        rates = asyncio.create_task(_keep_rates(node, server))
        compared = asyncio.create_task(_keep_comparing(node, server))
        try:
            await server.serve()
        finally:
            rates.cancel()
            compared.cancel()
        for task in (rates, compared):
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error


async def _keep_rates(node: Node, server: uvicorn.Server) -> None:
    """Read the sources again and again; a node that cannot any more stops, and says why."""
    try:
        while True:
            await asyncio.sleep(_RATES_EVERY_S)
            await _refresh_rates(node)
    except Exception:
        server.should_exit = True
        raise


async def _refresh_rates(node: Node) -> None:
    """Read the rate sources; what is wrong with them since, and what is halted, is logged."""
    before = frozenset(node.rates.faults)
    try:
        halts = await node.fx.refresh()
    except Unavailable as error:
        halts = ()
        _log.warning("waiting", reason=error.detail)
    for fault in frozenset(node.rates.faults) - before:
        _log.warning("rate source", fault=fault)
    for halt in halts:
        _log.warning(
            "quoting is halted", currency=halt.currency, reason=halt.reason.value, note=halt.note
        )


async def _keep_comparing(node: Node, server: uvicorn.Server) -> None:
    """Compare until everything has answered; what is wrong then stops the server."""
    try:
        await _until_compared(node, asyncio.Event())
    except BaseException:
        server.should_exit = True
        raise


async def _work(settings: Settings, only: Sequence[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_node(settings) as node, AsyncExitStack() as stack:
        await _until_compared(node, stop)
        jobs = await _jobs(node, stack)
        unknown = set(only) - _JOBS
        if unknown:
            raise SettingsInvalid(
                f"there is no job {', '.join(sorted(unknown))};"
                f" there are {', '.join(sorted(_JOBS))}"
            )
        chosen = [job for job in jobs if not only or job.name in only]
        _log.info("working", jobs=[job.name for job in chosen])
        await run_all(chosen, stop)


async def _jobs(node: Node, stack: AsyncExitStack) -> list[Job]:
    settings = node.settings
    block_ms = int(settings.chain_block_s * 1000)
    mirror = MirrorService(
        units=node.units,
        reader=node.reader,
        watch=node.watch,
        finality=Finality(settings.finality_depth_blocks),
        new_id=new_id,
    )
    settlement = SettlementService(_parts(node, settings.signer_path, stack))
    jobs = [
        Job("settle", settlement.run_once, idle_ms=min(100, block_ms)),
        Job("mirror", mirror.run_once, idle_ms=min(200, block_ms)),
        Job("reconcile", node.reconciling.run_once, idle_ms=block_ms),
        Job("reconcile", CheckpointService(node.units).run_once, idle_ms=_CHECKPOINT_IDLE_MS),
    ]
    if settings.treasury_signer:
        treasury = TreasuryService(
            _parts(node, settings.treasury_signer_path, stack), node.services.catalog.native.code
        )
        jobs.append(Job("settle", treasury.run_once, idle_ms=block_ms))
    return jobs


def _parts(node: Node, keystore: Path, stack: AsyncExitStack) -> SettlementParts:
    """The ports and rules of one key's lane; its lock is a connection of its own."""
    settings = node.settings
    lock = AdvisoryLaneLock(settings.database_url)
    stack.push_async_callback(lock.release)
    return SettlementParts(
        units=node.units,
        chain=node.chain,
        contract=EvmSettlementContract(node.chain, node.watch.contract, node.watch.token),
        signer=KeystoreSigner.open(keystore),
        reader=Eip1559Reader(),
        lock=lock,
        new_id=new_id,
        failpoint=failpoint(settings.failpoint),
        chain_id=settings.chain_id,
        owner=f"{socket.gethostname()}:{os.getpid()}",
        block_s=max(1, int(settings.chain_block_s)),
        batches=BatchRules(settings.batch_payments_max, settings.batch_wait_ms),
    )


async def _until_compared(node: Node, stop: asyncio.Event) -> None:
    while not stop.is_set() and not await _compare(node):
        await wait(stop, _WAIT_FOR_OTHERS_MS)


async def _compare(node: Node) -> bool:
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
