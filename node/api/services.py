"""What the HTTP edge needs of the node: the record of services that `create_app` receives.

The Protocols are what routes call, so that tests can give services that behave without a database.
`node.bootstrap` gives the classes of `node.services`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

from node.api.bulk_services import BulkTransfers
from node.api.deposit_services import Deposits
from node.api.mirror_services import MirrorDesk
from node.api.operator_services import Blocks, Comparisons, Sessions
from node.api.partner_services import PartnerKeys, Partners, Prefundings, SignatureDesk
from node.api.payout_services import PayoutDesk, Payouts
from node.api.peer_services import PayoutChangeDesk, PeerDesk
from node.api.reconciliation_services import BankDesk, BreakDesk
from node.api.report_services import Reports
from node.api.settlement_services import AdoptionDesk, Meter, Overview, Settlement
from node.api.treasury_services import Treasury
from node.api.webhook_services import Webhooks
from node.core.catalog import Catalog
from node.core.ledger import Balance
from node.core.paging import ListQuery, Page
from node.core.parties import Caller, Customer, Principal
from node.core.partner_legs import PartnerCorridor
from node.core.ports.chain import AddressCodec
from node.core.ports.history import AsOf, EntryRow, TransactionRow
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.ledger import AccountRow, TrialRow
from node.core.ports.reconciliation import Run
from node.core.ports.transfers import EventRow, TopUp, Transfer
from node.core.positions import Positions
from node.core.quotes import Price, Quote, QuoteStatus
from node.core.statements import Statement
from node.services.idempotency import RenderError
from node.services.ledger.bookings import BookingRequest
from node.services.ledger.top_ups import TopUpRequest
from node.services.mirror.health import Readiness
from node.services.parties import NewSecret
from node.services.points import Asked
from node.services.pricing.fx import FxState, Halted, Resumed
from node.services.pricing.quoting import QuoteRequest
from node.services.transfers.acceptance import Submission


class Parties(Protocol):
    """See `node.services.parties.PartyService`."""

    async def caller(self, secret: str, /) -> Caller:
        """A credential with its partner, or `Unauthenticated`."""
        ...

    async def create_customer(  # noqa: PLR0913 - all by name
        self,
        principal: Principal,
        /,
        *,
        name: str,
        country: str,
        email: str | None,
        claim: Claim | None,
        render: Callable[[Customer], Answer],
        render_error: RenderError,
    ) -> Answer:
        """A new customer."""
        ...

    async def customer(self, principal: Principal, customer_id: str, /) -> Customer:
        """One customer."""
        ...

    async def customers(self, principal: Principal, query: ListQuery, /) -> Page[Customer]:
        """Own customers."""
        ...

    async def create_token_once(
        self,
        principal: Principal,
        customer_id: str,
        /,
        *,
        claim: Claim | None,
        render: Callable[[NewSecret], Answer],
        render_error: RenderError,
    ) -> Answer:
        """A remitter's credential."""
        ...


class TopUps(Protocol):
    """See `node.services.ledger.top_ups.TopUpService`."""

    async def create(
        self,
        request: TopUpRequest,
        claim: Claim,
        render: Callable[[TopUp], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Book a top-up."""
        ...


class Quoting(Protocol):
    """See `node.services.payouts.partner_quotes.PartnerQuotes`."""

    async def corridors(self) -> Sequence[PartnerCorridor]:
        """What partners pay out."""
        ...

    async def price(
        self,
        *,
        sell: str,
        buy: str,
        sell_amount: str | None,
        buy_amount: str | None,
    ) -> Price:
        """An indicative price."""
        ...

    async def create(
        self,
        principal: Principal,
        request: QuoteRequest,
        claim: Claim | None,
        render: Callable[[Quote], Answer],
        /,
    ) -> Answer:
        """A firm quote."""
        ...

    async def get(self, principal: Principal, quote_id: str, /) -> Quote:
        """One quote."""
        ...

    def status(self, quote: Quote, /) -> QuoteStatus:
        """Where it stands now."""
        ...


class Transfers(Protocol):
    """See `node.services.transfers.transfers.TransferService`."""

    async def create(self, submission: Submission, /) -> Answer:
        """Accept or refuse."""
        ...

    async def get(self, principal: Principal, transfer_id: str, /) -> Transfer:
        """One transfer."""
        ...

    async def list(self, principal: Principal, query: ListQuery, /) -> Page[Transfer]:
        """Own transfers."""
        ...

    async def timeline(self, principal: Principal, transfer_id: str, /) -> Sequence[EventRow]:
        """What happened to one."""
        ...

    async def events(self, principal: Principal, after: int, limit: int, /) -> Sequence[EventRow]:
        """What happened to all."""
        ...

    async def cancel(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Cancel."""
        ...

    async def void(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Ask for a void."""
        ...

    async def release(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """End a hold."""
        ...


class Accounts(Protocol):
    """See `node.services.ledger.accounts.AccountService`."""

    async def balances(
        self, principal: Principal, customer_id: str, asked: Asked, /
    ) -> tuple[AsOf, Sequence[Balance]]:
        """A customer's balances."""
        ...

    async def entries(
        self, principal: Principal, customer_id: str, query: ListQuery, /
    ) -> Page[EntryRow]:
        """A customer's posted entries."""
        ...

    async def top_up(self, principal: Principal, customer_id: str, top_up_id: str, /) -> TopUp:
        """One top-up."""
        ...

    async def top_ups(
        self, principal: Principal, customer_id: str, query: ListQuery, /
    ) -> Page[TopUp]:
        """A customer's top-ups."""
        ...

    async def trial_balance(self, asked: Asked, /) -> tuple[AsOf, Sequence[TrialRow]]:
        """Debits and credits per asset."""
        ...

    async def accounts(self, query: ListQuery, /) -> Page[AccountRow]:
        """The chart."""
        ...

    async def account(self, account_id: str, asked: Asked, /) -> tuple[AsOf, AccountRow]:
        """One account."""
        ...

    async def account_entries(self, account_id: str, query: ListQuery, /) -> Page[EntryRow]:
        """Entries of one account."""
        ...


class Statements(Protocol):
    """See `node.services.ledger.statements.StatementService`."""

    async def statement(
        self,
        principal: Principal,
        customer_id: str,
        currency: str,
        /,
        *,
        first: date | None,
        last: date | None,
        asked: Asked,
    ) -> Statement:
        """A customer's statement of some days, or up to a point."""
        ...

    async def partner_statement(
        self,
        principal: Principal,
        partner_id: str,
        currency: str,
        /,
        *,
        first: date | None,
        last: date | None,
        asked: Asked,
    ) -> Statement:
        """The same of a partner's own balance."""
        ...


class PositionKeeping(Protocol):
    """See `node.services.pricing.positions.PositionService`."""

    async def positions(
        self, first: date | None, last: date | None, currency: str | None, /
    ) -> Positions:
        """Positions now, and day by day."""
        ...


class Bookings(Protocol):
    """See `node.services.ledger.bookings.BookingService`."""

    async def create(
        self,
        request: BookingRequest,
        claim: Claim,
        render: Callable[[TransactionRow], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Book by hand."""
        ...

    async def get(self, sequence: str, /) -> TransactionRow:
        """One ledger transaction."""
        ...


class Reconciliation(Protocol):
    """See `node.services.reconciliation.reconciling.ReconciliationService`."""

    async def request_run(
        self,
        principal: Principal,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Run], Answer],
        render_error: RenderError,
    ) -> Answer:
        """One reconciliation, done when this returns."""
        ...

    async def get(self, run_id: str, /) -> Run:
        """One run."""
        ...

    async def runs(self, query: ListQuery, /) -> Page[Run]:
        """Runs."""
        ...


class Fx(Protocol):
    """See `node.services.pricing.fx.FxService`."""

    async def state(self) -> FxState:
        """Rates and open quotes."""
        ...

    async def halt(
        self,
        principal: Principal,
        currency: str | None,
        /,
        *,
        note: str | None,
        claim: Claim | None,
        render: Callable[[Halted], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Quote nothing more."""
        ...

    async def resume(
        self,
        principal: Principal,
        currency: str | None,
        /,
        *,
        mid: Decimal | None,
        claim: Claim | None,
        render: Callable[[Resumed], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Quote again."""
        ...


class Health(Protocol):
    """See `node.services.mirror.health.HealthService`."""

    async def ready(self) -> Readiness:
        """Check everything the node needs; never raises for what is away."""
        ...

    async def mirror_head(self) -> int | None:
        """Number of the newest block the mirror has."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything routes call."""

    catalog: Catalog
    parties: Parties
    partners: Partners
    partner_keys: PartnerKeys
    prefundings: Prefundings
    signed_requests: SignatureDesk
    quoting: Quoting
    top_ups: TopUps
    transfers: Transfers
    accounts: Accounts
    statements: Statements
    positions: PositionKeeping
    bookings: Bookings
    settlement: Settlement
    overview: Overview
    meter: Meter
    adoption: AdoptionDesk
    mirror: MirrorDesk
    treasury: Treasury
    reconciliation: Reconciliation
    breaks: BreakDesk
    bank: BankDesk
    comparisons: Comparisons
    blocks: Blocks
    sessions: Sessions
    deposits: Deposits
    payouts: Payouts
    payout_desk: PayoutDesk
    bulk: BulkTransfers
    reports: Reports
    webhooks: Webhooks
    health: Health
    fx: Fx
    peers: PeerDesk
    payout_changes: PayoutChangeDesk
    addresses: AddressCodec
