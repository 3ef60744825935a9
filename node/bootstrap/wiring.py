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
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import ProviderRules, Providers
from adapters.fx import build_sources, close_sources
from adapters.http.signatures import Ed25519Signatures
from adapters.http.webhooks import HttpWebhookSender
from adapters.machine import SystemClock, new_id, new_secret
from adapters.partners import CorridorNode
from node.api.services import Services
from node.bootstrap.books import clock_and_database
from node.bootstrap.keys import OwnKeys
from node.bootstrap.parts import Parts
from node.bootstrap.paying_out import PayoutParts
from node.bootstrap.peering import close_partners
from node.config import Settings, SettingsInvalid
from node.core.catalog import USDC, Catalog, Offer
from node.core.errors import CurrencyUnknown
from node.core.mirror import Watch
from node.core.ports import Clock
from node.core.ports.quotes import RateSource
from node.core.units import Asset
from node.services.bulk.bulk_transfers import BulkService
from node.services.bulk.working import BulkWorker
from node.services.ledger.accounts import AccountService
from node.services.ledger.statements import StatementService
from node.services.ledger.top_ups import TopUpService
from node.services.ledger.verifying import VerifyService
from node.services.mirror.blocks import BlockService
from node.services.mirror.head_watch import HeadWatch
from node.services.parties import PartyService
from node.services.partners.signed_requests import SignedRequests
from node.services.payouts.changing import PayoutChanging
from node.services.payouts.following import PayoutFollowing
from node.services.pricing.fx import FxService
from node.services.pricing.positions import PositionService
from node.services.pricing.rates import Rates
from node.services.reconciliation.bank import BankService
from node.services.reconciliation.comparisons import ComparisonService
from node.services.reconciliation.reconciling import ReconciliationService
from node.services.sessions import SessionService
from node.services.settlement.operations import SettlementOperations
from node.services.settlement.overview import SettlementOverview
from node.services.settlement.recollection import Recollection
from node.services.settlement.treasury_operations import TreasuryOperations
from node.services.transfers.reports import ReportService
from node.services.webhooks.delivering import DeliveryService
from node.services.webhooks.forgetting import ForgettingService
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
    bank: BankService
    rates: Rates
    fx: FxService
    following: PayoutFollowing
    payout_changes: PayoutChanging
    partners: Sequence[CorridorNode]
    bulk_worker: BulkWorker
    payouts: PayoutParts
    webhook_delivery: DeliveryService
    webhook_sender: HttpWebhookSender
    webhook_forgetting: ForgettingService
    chain: EvmChain
    reader: EvmReader
    keys: OwnKeys
    watch: Watch
    units: StoreUnits
    recollection: Recollection
    head_watch: HeadWatch
    clock: SystemClock
    bound: asyncio.Event  # set once the settings were compared with database and chain


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """The node's services, for as long as the block lasts. Nothing is asked of anyone yet.

    Raises:
        SettingsInvalid: Something a node cannot be without is not set, or cannot be read.
    """
    settings.require(*NEEDED)
    async with AsyncExitStack() as stack:
        clock, database = clock_and_database(settings)
        stack.push_async_callback(database.close)
        providers = Providers.at(
            settings.chain_rpc_urls,
            chain_id=settings.chain_id,
            rules=ProviderRules(heads_every_s=max(1, settings.chain_block_s)),
        )
        stack.push_async_callback(providers.close)
        sources = rate_sources(settings, EvmChain(providers), clock)
        stack.push_async_callback(close_sources, sources)
        node = _wire(settings, database, providers, sources, clock)
        stack.push_async_callback(close_partners, node.partners)
        yield node


def rate_sources(
    settings: Settings, chain: EvmChain, clock: Clock | None = None
) -> Sequence[RateSource]:
    """The sources of the setting.

    Raises:
        SettingsInvalid: It cannot be read; says which entry, and the remedy.
    """
    try:
        return build_sources(
            settings.fx_sources,
            sandbox=settings.sandbox,
            clock=clock or SystemClock(),
            chain=chain,
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
    settings: Settings,
    database: Database,
    providers: Providers,
    sources: Sequence[RateSource],
    clock: SystemClock,
) -> Node:
    parts = Parts(settings, StoreUnits(database), providers, offer(settings), sources, clock)
    payouts = PayoutParts(parts)
    services = _services(parts, payouts)
    return Node(
        settings=settings,
        services=services,
        parties=parts.parties,
        verifying=VerifyService(parts.units),
        reconciling=parts.reconciling,
        bank=parts.bank,
        rates=parts.rates,
        fx=parts.fx,
        following=parts.following,
        payout_changes=parts.payout_changes,
        partners=parts.peers,
        bulk_worker=parts.bulk_worker,
        payouts=payouts,
        webhook_delivery=parts.webhook_delivery,
        webhook_sender=parts.webhook_sender,
        webhook_forgetting=parts.webhook_forgetting,
        chain=parts.chain,
        reader=parts.reader,
        keys=parts.own,
        watch=parts.watch,
        units=parts.units,
        recollection=parts.recollection,
        head_watch=parts.head_watch,
        clock=parts.clock,
        bound=parts.bound,
    )


def _services(parts: Parts, payouts: PayoutParts) -> Services:
    """What the HTTP edge calls."""
    settings, own, units, catalog = parts.settings, parts.own, parts.units, parts.catalog
    return Services(
        catalog=catalog,
        addresses=Eip55(),
        parties=parts.parties,
        partners=parts.partners,
        partner_keys=parts.partner_keys,
        prefundings=parts.prefundings,
        signed_requests=SignedRequests(units, Ed25519Signatures(), SystemClock()),
        quoting=parts.partner_quotes,
        top_ups=TopUpService(
            units, catalog, new_id, sandbox=settings.sandbox, rails=settings.rails
        ),
        transfers=parts.transfers,
        accounts=AccountService(units),
        statements=StatementService(units),
        positions=PositionService(units, catalog, parts.rates, reporting(settings, catalog)),
        bookings=parts.bookings,
        settlement=SettlementOperations(
            units, settings.chain_id, has_pauser=own.pauser is not None
        ),
        treasury=TreasuryOperations(units, parts.movable, Eip55(), new_id, parts.chain),
        overview=SettlementOverview(units, parts.watched, parts.alert_rules),
        adoption=parts.adoption,
        mirror=parts.reorgs,
        meter=parts.meter,
        reconciliation=parts.reconciling,
        breaks=parts.breaks,
        deposits=parts.payment_requests,
        payouts=payouts.service,
        payout_desk=payouts.desk,
        bulk=BulkService(units, new_id),
        reports=ReportService(units),
        webhooks=parts.webhooks,
        comparisons=ComparisonService(units, settings.chain_id),
        blocks=BlockService(units, settings.chain_id),
        sessions=SessionService(units, new_secret),
        bank=parts.bank,
        health=parts.health,
        fx=parts.fx,
        peers=parts.following,
        payout_changes=parts.payout_changes,
    )
