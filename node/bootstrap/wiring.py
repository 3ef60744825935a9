"""Settings become adapters, store and services; nothing is asked of anyone yet.

Not here: whether the settings fit database and chain (`comparing`), the processes (`serving`,
`working`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from adapters.corridors import load_offer
from adapters.evm.addresses import Eip55
from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import ProviderRules, Providers
from adapters.failpoint import failpoint
from adapters.fx import build_sources, close_sources
from adapters.machine import SystemClock, new_id, new_secret
from node.api.services import Services
from node.bootstrap.keys import OwnKeys, own_keys
from node.config import Settings, SettingsInvalid
from node.core.adoption.facts import OwnAccounts
from node.core.catalog import USDC, Catalog, Offer, TokenInfo, catalog_of
from node.core.errors import CurrencyUnknown
from node.core.mirror import Finality, Watch
from node.core.ports.quotes import RateSource
from node.core.units import Asset
from node.services.acceptance import Acceptance, SettlementTarget
from node.services.accounts import AccountService
from node.services.adoption import AdoptionService
from node.services.bookings import BookingService
from node.services.fx import FxService
from node.services.health import HealthService
from node.services.parties import PartyService
from node.services.positions import PositionService
from node.services.posting import PostingService
from node.services.quoting import QuoteLimits, QuoteService
from node.services.rates import Rates
from node.services.recollection import Recollection
from node.services.reconciling import ReconciliationService
from node.services.settlement_alerts import AlertRules
from node.services.settlement_figures import SettlementMeter
from node.services.settlement_operations import SettlementOperations
from node.services.settlement_overview import SettlementOverview, Watched
from node.services.statements import StatementService
from node.services.top_ups import SANDBOX_RAIL, TopUpService
from node.services.transfers import TransferService
from node.services.treasury_operations import TreasuryOperations
from node.services.verifying import VerifyService
from node.store import schema
from node.store.database import Database
from node.store.unit_of_work import StoreUnits

NEEDED: Final = ("database_url", "chain_rpc_urls", "token_address", "settlement_address", "signer")


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
    keys: OwnKeys
    watch: Watch
    units: StoreUnits
    recollection: Recollection
    bound: asyncio.Event  # set once the settings were compared with database and chain


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """The node's services, for as long as the block lasts. Nothing is asked of anyone yet.

    Raises:
        SettingsInvalid: Something a node cannot be without is not set, or cannot be read.
    """
    settings.require(*NEEDED)
    async with AsyncExitStack() as stack:
        database = Database.at(settings.database_url)
        stack.push_async_callback(database.close)
        providers = Providers.at(
            settings.chain_rpc_urls,
            chain_id=settings.chain_id,
            rules=ProviderRules(heads_every_s=max(1, settings.chain_block_s)),
        )
        stack.push_async_callback(providers.close)
        sources = rate_sources(settings, EvmChain(providers))
        stack.push_async_callback(close_sources, sources)
        yield _wire(settings, database, providers, sources)


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


def rate_sources(settings: Settings, chain: EvmChain) -> Sequence[RateSource]:
    """The sources of the setting.

    Raises:
        SettingsInvalid: It cannot be read; says which entry, and the remedy.
    """
    try:
        return build_sources(
            settings.fx_sources, sandbox=settings.sandbox, clock=SystemClock(), chain=chain
        )
    except ValueError as error:
        raise SettingsInvalid(f"CORRIDOR_FX_SOURCES: {error}") from None


def reporting(settings: Settings, catalog: Catalog) -> Asset:
    """The currency that positions are valued in.

    Raises:
        SettingsInvalid: The catalog has none of that code.
    """
    try:
        return catalog.asset(settings.reporting_currency)
    except CurrencyUnknown as error:
        raise SettingsInvalid(f"CORRIDOR_REPORTING_CURRENCY: {error.detail}") from None


def offer(settings: Settings) -> Offer:
    """Corridors, fees and limits.

    Raises:
        SettingsInvalid: The file cannot be read; says where.
    """
    try:
        return load_offer(settings.corridors_file, USDC)
    except ValueError as error:
        raise SettingsInvalid(f"CORRIDOR_CORRIDORS_FILE: {error}") from None


def _wire(
    settings: Settings, database: Database, providers: Providers, sources: Sequence[RateSource]
) -> Node:
    own = own_keys(settings)
    clock = SystemClock()
    units = StoreUnits(database)
    catalog = catalog_of(TokenInfo(USDC, settings.chain_id, own.token), offer(settings))
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
    watched, rules = _watched(settings, own, catalog.native.code)
    adoption = _adoption(settings, own, units, reader, catalog.native.code)
    contract = EvmSettlementContract(chain, own.contract, own.token)
    recollection = Recollection(units, settings.chain_id, chain, reader, contract)
    services = Services(
        catalog=catalog,
        addresses=Eip55(),
        parties=parties,
        quoting=_quoting(settings, units, catalog, rates, target),
        top_ups=TopUpService(
            units, catalog, new_id, sandbox=settings.sandbox, rails=settings.rails
        ),
        transfers=TransferService(
            units,
            Acceptance(units, target, Eip55(), new_id, bound.is_set),
            recollection.check_unpaid,
        ),
        accounts=AccountService(units),
        statements=StatementService(units),
        positions=PositionService(units, catalog, rates, reporting(settings, catalog)),
        bookings=BookingService(units, catalog, posting, new_id, rails=rails),
        settlement=SettlementOperations(
            units, settings.chain_id, has_pauser=own.pauser is not None
        ),
        treasury=TreasuryOperations(
            units, own.movable(catalog.native.code), Eip55(), new_id, chain
        ),
        overview=SettlementOverview(units, watched, rules),
        adoption=adoption,
        meter=SettlementMeter(units, watched, rules, clock=clock, providers=providers),
        reconciliation=reconciling,
        health=HealthService(units, chain, clock, chain_id=settings.chain_id, block_ms=block_ms),
        fx=fx,
    )
    return Node(
        settings, services, parties, VerifyService(units), reconciling, rates, fx, chain, reader,
        own, watch, units, recollection, bound,
    )  # fmt: skip


def _quoting(
    settings: Settings, units: StoreUnits, catalog: Catalog, rates: Rates, target: SettlementTarget
) -> QuoteService:
    return QuoteService(
        units=units,
        catalog=catalog,
        rates=rates,
        target=target,
        limits=QuoteLimits(settings.quote_ttl_s, settings.quotes_active_max),
        clock=SystemClock(),
        new_id=new_id,
    )


def _watched(settings: Settings, own: OwnKeys, native: str) -> tuple[Watched, AlertRules]:
    return Watched(settings.chain_id, own.movable(native)), AlertRules.patient_for(
        settings.bump_after_blocks,
        max(1, int(settings.chain_block_s)),
        payments_max=settings.batch_payments_max,
        float_low_units=settings.float_low_minor,
        lane_gas_low_wei=settings.lane_gas_low_wei,
    )


def _adoption(
    settings: Settings, own: OwnKeys, units: StoreUnits, reader: EvmReader, native: str
) -> AdoptionService:
    return AdoptionService(
        units=units,
        reader=reader,
        chain_id=settings.chain_id,
        own=OwnAccounts(own.contract, own.token, USDC.code, native, own.everything, own.treasury),
        finality=Finality(settings.finality_depth_blocks),
        new_id=new_id,
        failpoint=failpoint(settings.failpoint),
    )


def migrate(settings: Settings) -> None:
    """Bring the database up to date.

    Raises:
        DatabaseUnavailable: The database is away.
    """
    settings.require("database_url")
    asyncio.run(schema.migrate(settings.database_owner_url or settings.database_url))
