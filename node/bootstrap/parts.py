"""The parts that the services of a process share, each made once, when it is first asked for.

Not here: which of them make up a process (`wiring`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from adapters.bank import StatementFiles
from adapters.evm.addresses import Eip55
from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.deposits import ForwarderAddresses
from adapters.evm.proofs import SettledNextTo
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from adapters.failpoint import failpoint
from adapters.http.webhooks import HttpWebhookSender
from adapters.machine import SystemClock, new_bytes, new_id, new_salt, new_secret
from adapters.partners import CorridorNode
from adapters.sealing import SealedKeys
from node.api.webhook_views import webhook_body
from node.bootstrap.keys import OwnKeys, own_keys
from node.bootstrap.peering import payout_partners
from node.config import Settings, SettingsInvalid
from node.core.adoption.facts import OwnAccounts
from node.core.catalog import USDC, Catalog, Offer, TokenInfo, catalog_of
from node.core.consent import TwoPersons
from node.core.mirror import Watch
from node.core.ports.quotes import RateSource
from node.core.ports.webhooks import Kept
from node.core.treasury import NodeAddresses
from node.services.bulk.asking import PartnerRows
from node.services.bulk.working import BulkWorker
from node.services.deposits.payment_requests import Forwarders, PaymentRequestService
from node.services.ledger.bookings import BookingService
from node.services.ledger.posting import PostingService
from node.services.ledger.prefunding import PrefundingService
from node.services.ledger.top_ups import SANDBOX_RAIL
from node.services.mirror.head_watch import HeadWatch
from node.services.mirror.health import HealthService
from node.services.mirror.reorgs import ReorgService
from node.services.parties import PartyService
from node.services.partners.keys import PartnerKeys
from node.services.partners.terms import PartnerTerms
from node.services.payouts.changing import PayoutChanging
from node.services.payouts.following import PayoutFollowing
from node.services.payouts.ordering import PayoutOrdering, PayoutOrderTerms
from node.services.payouts.partner_quotes import PartnerQuotes
from node.services.pricing.fx import FxService
from node.services.pricing.local_money import LocalMoney
from node.services.pricing.quoting import QuoteLimits, QuoteService
from node.services.pricing.rates import Rates
from node.services.pricing.refreshing import RateRefresh
from node.services.reconciliation.bank import BankService
from node.services.reconciliation.breaks import BreakService
from node.services.reconciliation.reconciling import ReconciliationService
from node.services.settlement.adoption import AdoptionService
from node.services.settlement.alerts import AlertRules
from node.services.settlement.figures import SettlementMeter
from node.services.settlement.overview import Watched
from node.services.settlement.recollection import Recollection
from node.services.transfers.acceptance import Acceptance, SettlementTarget
from node.services.transfers.transfers import TransferService
from node.services.webhooks.delivering import DeliveryService, Sending
from node.services.webhooks.endpoints import Making, WebhookService
from node.services.webhooks.forgetting import ForgettingService
from node.store.unit_of_work import StoreUnits


@dataclass(frozen=True)
class Parts:
    """Parts of one process over its store, its providers and its rate sources."""

    settings: Settings
    units: StoreUnits
    providers: Providers
    offer: Offer
    sources: Sequence[RateSource]
    clock: SystemClock = field(default_factory=SystemClock)
    bound: asyncio.Event = field(default_factory=asyncio.Event)

    # ------------------------------------------------------------------------ what a node is

    @cached_property
    def own(self) -> OwnKeys:
        """The node's addresses and keys."""
        return own_keys(self.settings)

    @cached_property
    def catalog(self) -> Catalog:
        """What can be sent and bought."""
        return catalog_of(TokenInfo(USDC, self.settings.chain_id, self.own.token), self.offer)

    @cached_property
    def watch(self) -> Watch:
        """What the mirror follows."""
        return self.own.watch(self.settings.chain_id, self.catalog.native.code)

    @cached_property
    def movable(self) -> NodeAddresses:
        """Between which addresses the node moves its own money."""
        return self.own.movable(self.catalog.native.code)

    @cached_property
    def rails(self) -> frozenset[str]:
        """Banks of the node, that of the sandbox included."""
        return self.settings.rails | ({SANDBOX_RAIL} if self.settings.sandbox else frozenset())

    @cached_property
    def two_persons(self) -> TwoPersons:
        """What one operator may not decide alone."""
        above = self.settings.two_persons_above
        return TwoPersons(above, lambda code: self.catalog.ledger_asset(code).digits)

    # ------------------------------------------------------------------------------- the chain

    @cached_property
    def chain(self) -> EvmChain:
        """Reads and sends."""
        return EvmChain(self.providers)

    @cached_property
    def reader(self) -> EvmReader:
        """The mirror's reads."""
        bloom_is_exact = self.settings.chain_bloom == "exact"
        return EvmReader(self.providers, self.watch, bloom_is_exact=bloom_is_exact)

    @cached_property
    def recollection(self) -> Recollection:
        """What the chain is asked before money goes back."""
        contract = EvmSettlementContract(self.chain, self.own.contract, self.own.token)
        chain_id = self.settings.chain_id
        return Recollection(self.units, chain_id, self.chain, self.reader, contract)

    @cached_property
    def head_watch(self) -> HeadWatch:
        """The chain's head as this process sees it move."""
        return HeadWatch(
            self.units,
            self.chain,
            self.clock,
            chain_id=self.settings.chain_id,
            block_ms=self._block_ms,
            finality=self.settings.finality,
        )

    @cached_property
    def health(self) -> HealthService:
        """Readiness."""
        return HealthService(
            self.units,
            self.head_watch,
            self.clock,
            self.providers,
            chain_id=self.settings.chain_id,
            block_ms=self._block_ms,
        )

    @property
    def _block_ms(self) -> int:
        return int(self.settings.chain_block_s * 1000)

    # -------------------------------------------------------------------------- paying, being paid

    @cached_property
    def parties(self) -> PartyService:
        """Partners, customers, credentials."""
        return PartyService(self.units, self.clock, new_id, new_secret)

    @cached_property
    def partners(self) -> PartnerTerms:
        """What is agreed with partners."""
        return PartnerTerms(self.units, new_id, self.parties.forget)

    @cached_property
    def partner_keys(self) -> PartnerKeys:
        """Keys of partners."""
        return PartnerKeys(self.units, self.parties, self.clock, new_id)

    @cached_property
    def prefundings(self) -> PrefundingService:
        """What partners pay in."""
        return PrefundingService(self.units, self.catalog, self.posting, new_id, rails=self.rails)

    @cached_property
    def rates(self) -> Rates:
        """The newest rates of all sources."""
        return Rates(self.sources, self.catalog.pricing)

    @cached_property
    def fx(self) -> FxService:
        """Rates, and what halts quoting."""
        return FxService(self.units, self.catalog, self.rates)

    @cached_property
    def quoting(self) -> QuoteService:
        """Firm quotes."""
        settings = self.settings
        return QuoteService(
            units=self.units,
            catalog=self.catalog,
            rates=self.rates,
            target=self.target,
            limits=QuoteLimits(settings.quote_ttl_s, settings.quotes_active_max),
            clock=self.clock,
            new_id=new_id,
            local=self._local_money,
        )

    @property
    def _local_money(self) -> LocalMoney | None:
        """What pays quotes of local money: the sandbox's bank, or nothing."""
        if not self.settings.sandbox:
            return None
        return LocalMoney(SANDBOX_RAIL, self.settings.deposit_policy.late_grace)

    @cached_property
    def transfers(self) -> TransferService:
        """Transfers."""
        return TransferService(
            self.units, self.acceptance, self.recollection.check_unpaid, self._ordering.prepare
        )

    @cached_property
    def _ordering(self) -> PayoutOrdering:
        """What has partners register payouts."""
        at = failpoint(self.settings.failpoint)
        return PayoutOrdering(self.units, self.peers, self._order_terms, new_id, at)

    @cached_property
    def peers(self) -> Sequence[CorridorNode]:
        """Partners that pay out; their user closes them."""
        return payout_partners(self.settings, self.catalog)

    @cached_property
    def partner_quotes(self) -> PartnerQuotes:
        """Firm quotes, those that partners pay out included."""
        ttl_s = self.settings.quote_ttl_s
        return PartnerQuotes(self.units, self.quoting, self.catalog, self.peers, ttl_s)

    @cached_property
    def following(self) -> PayoutFollowing:
        """What partners are asked until they have paid out."""
        at = failpoint(self.settings.failpoint)
        terms = self._order_terms
        proofs, clock = self.payment_proofs, SystemClock()  # a partner's own does not move along
        return PayoutFollowing(self.units, self.peers, terms, new_id, proofs, clock, at)

    @cached_property
    def payout_changes(self) -> PayoutChanging:
        """What senders ask of those that pay out."""
        at = failpoint(self.settings.failpoint)
        return PayoutChanging(self.units, self.peers, self.following, at)

    @cached_property
    def payment_proofs(self) -> SettledNextTo:
        """What stands next to payments of partners."""
        return SettledNextTo(self.providers, self.own.token)

    @property
    def _order_terms(self) -> PayoutOrderTerms:
        return PayoutOrderTerms(self.settings.chain_id, self.own.token, self.own.contract)

    @cached_property
    def acceptance(self) -> Acceptance:
        """What accepts transfers."""
        return Acceptance(self.units, self.target, Eip55(), new_id, self.bound.is_set)

    @cached_property
    def bulk_worker(self) -> BulkWorker:
        """What carries bulk transfers out."""
        rates, at = RateRefresh(self.fx, self.clock), failpoint(self.settings.failpoint)
        asking = PartnerRows(self.units, self.partner_quotes, self._ordering, at)
        return BulkWorker(
            self.units, self.catalog, self.quoting, self.acceptance, rates.refresh, asking
        )

    @cached_property
    def payment_requests(self) -> PaymentRequestService:
        """Deposits, and what was asked for."""
        return PaymentRequestService(
            self.units,
            self.catalog,
            self.forwarders,
            self.two_persons,
            new_id,
            policy=self.settings.deposit_policy,
            unpaid_max=self.settings.payment_requests_unpaid_max,
        )

    @cached_property
    def target(self) -> SettlementTarget:
        """Where transfers are settled."""
        pays_by_partners = self.settings.peers_file is not None
        return replace(self.own.target(self.settings), pays_by_partners=pays_by_partners)

    @cached_property
    def forwarders(self) -> Forwarders | None:
        """Where deposit addresses come from; None: the node offers none."""
        if self.own.deposits is None:
            return None
        codec = ForwarderAddresses(self.own.deposits, self.own.contract)
        return Forwarders(self.own.deposits, codec, new_salt)

    # ----------------------------------------------------------------------------------- webhooks

    @cached_property
    def webhook_sender(self) -> HttpWebhookSender:
        """The way out to endpoints; its user closes it."""
        return HttpWebhookSender(may_be_private=self.settings.webhooks_private)

    @cached_property
    def webhooks(self) -> WebhookService:
        """Endpoints."""
        making = Making(self._key_keeper, new_id, new_bytes)
        return WebhookService(self.units, self.webhook_sender, making)

    @cached_property
    def webhook_delivery(self) -> DeliveryService:
        """What sends to them."""
        sending = Sending(
            sender=self.webhook_sender,
            keeper=self._key_keeper,
            clock=SystemClock(),  # what a receiver checks: its own clock does not move along
            body_of=webhook_body,
            new_id=new_id,
            failpoint=failpoint(self.settings.failpoint),
        )
        return DeliveryService(self.units, sending)

    @cached_property
    def webhook_forgetting(self) -> ForgettingService:
        """What deletes deliveries that ended long ago."""
        settings = self.settings
        kept = Kept(settings.webhooks_kept_s, settings.webhooks_undelivered_kept_s)
        return ForgettingService(self.units, kept)

    @cached_property
    def _key_keeper(self) -> SealedKeys | None:
        """What secrets of endpoints are encrypted with; None: the node sends no webhooks."""
        if self.settings.secrets_key_file is None:
            return None
        try:
            return SealedKeys.from_file(self.settings.secrets_key_file)
        except ValueError as error:
            raise SettingsInvalid(f"CORRIDOR_SECRETS_KEY_FILE: {error}") from None

    # ---------------------------------------------------------------------- operating, reconciling

    @cached_property
    def watched(self) -> Watched:
        """What operators look at."""
        return Watched(self.settings.chain_id, self.movable)

    @cached_property
    def alert_rules(self) -> AlertRules:
        """What is worth an alert."""
        settings = self.settings
        return AlertRules.patient_for(
            settings.bump_after_blocks,
            max(1, int(settings.chain_block_s)),
            payments_max=settings.batch_payments_max,
            float_low_units=settings.float_low_minor,
            lane_gas_low_wei=settings.lane_gas_low_wei,
        )

    @cached_property
    def meter(self) -> SettlementMeter:
        """Figures of settlement."""
        return SettlementMeter(
            self.units, self.watched, self.alert_rules, clock=self.clock, providers=self.providers
        )

    @cached_property
    def adoption(self) -> AdoptionService:
        """What the chain has of the node's accounts and the database does not."""
        own, native = self.own, self.catalog.native.code
        return AdoptionService(
            units=self.units,
            reader=self.reader,
            chain_id=self.settings.chain_id,
            own=OwnAccounts(
                own.contract,
                own.token,
                USDC.code,
                native,
                own.everything,
                own.treasury,
                own.deposits,
            ),
            finality=self.settings.finality,
            new_id=new_id,
            failpoint=failpoint(self.settings.failpoint),
        )

    @cached_property
    def reorgs(self) -> ReorgService:
        """Reorgs past finality."""
        return ReorgService(
            units=self.units,
            reader=self.reader,
            watch=self.watch,
            lanes=self.own.signers,
            providers=self.providers.health,
            new_id=new_id,
            failpoint=failpoint(self.settings.failpoint),
        )

    @cached_property
    def posting(self) -> PostingService:
        """What books."""
        return PostingService(self.units, self.catalog)

    @cached_property
    def bookings(self) -> BookingService:
        """What operators book by hand."""
        return BookingService(
            self.units,
            self.catalog,
            self.posting,
            new_id,
            rails=self.rails,
            two_persons=self.two_persons,
        )

    @cached_property
    def reconciling(self) -> ReconciliationService:
        """Ledger, mirror and chain compared."""
        return ReconciliationService(
            units=self.units, reader=self.reader, watch=self.watch, new_id=new_id
        )

    @cached_property
    def breaks(self) -> BreakService:
        """What does not agree, and who looks after it."""
        return BreakService(
            units=self.units,
            watch=self.watch,
            posting=self.posting,
            two_persons=self.two_persons,
            rails=self.rails,
        )

    @cached_property
    def bank(self) -> BankService:
        """Statements of the bank."""
        return BankService(
            units=self.units,
            catalog=self.catalog,
            reader=StatementFiles(),
            rails=self.rails,
            new_id=new_id,
        )
