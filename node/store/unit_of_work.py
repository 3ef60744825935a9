"""One unit of work: the repositories over one transaction."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from node.core.ports import Unit
from node.store.adoption import AdoptionStore
from node.store.bank import BankStore
from node.store.breaks import BreakStore
from node.store.bulk import BulkStore
from node.store.comparisons import ComparisonStore
from node.store.database import Connection, Database
from node.store.deposits import DepositStore
from node.store.events import EventStore
from node.store.history import HistoryStore
from node.store.idempotency import IdempotencyStore
from node.store.ledger import LedgerStore
from node.store.mirror import MirrorStore
from node.store.mirror_views import MirrorViewStore
from node.store.movements import MovementStore
from node.store.parties import PartyStore
from node.store.partners import PartnerStore
from node.store.payout_orders import PayoutOrderStore
from node.store.payouts import PayoutStore
from node.store.quotes import QuoteStore
from node.store.reconciliation import ReconciliationStore
from node.store.reorgs import ReorgStore
from node.store.reports import ReportStore
from node.store.reserves import ReservesStore
from node.store.sessions import SessionStore
from node.store.settlement import SettlementStore
from node.store.settlement_views import SettlementViewStore
from node.store.transfers import TransferStore
from node.store.verification import VerificationStore
from node.store.webhook_queue import WebhookQueueStore
from node.store.webhooks import WebhookStore


@dataclass(frozen=True)
class StoreUnit:
    """See `node.core.ports.Unit`."""

    connection: Connection

    @property
    def now(self) -> datetime:
        """The database clock at the start of the transaction."""
        return self.connection.now

    @cached_property
    def parties(self) -> PartyStore:
        """Partners, customers, credentials."""
        return PartyStore(self.connection)

    @cached_property
    def partners(self) -> PartnerStore:
        """Terms of partners, their keys, what they paid in."""
        return PartnerStore(self.connection)

    @cached_property
    def idempotency(self) -> IdempotencyStore:
        """Answers kept for repeated requests."""
        return IdempotencyStore(self.connection)

    @cached_property
    def ledger(self) -> LedgerStore:
        """Accounts, entries, balances."""
        return LedgerStore(self.connection)

    @cached_property
    def history(self) -> HistoryStore:
        """Ledger transactions as they were booked, and the ledger as of any sequence."""
        return HistoryStore(self.connection)

    @cached_property
    def quotes(self) -> QuoteStore:
        """Firm quotes."""
        return QuoteStore(self.connection)

    @cached_property
    def payout_orders(self) -> PayoutOrderStore:
        """Payouts that partners were asked to make."""
        return PayoutOrderStore(self.connection)

    @cached_property
    def transfers(self) -> TransferStore:
        """Transfers and top-ups."""
        return TransferStore(self.connection)

    @cached_property
    def events(self) -> EventStore:
        """The timeline."""
        return EventStore(self.connection)

    @cached_property
    def settlement(self) -> SettlementStore:
        """Lanes, slots, attempts, pauses."""
        return SettlementStore(self.connection)

    @cached_property
    def settlement_views(self) -> SettlementViewStore:
        """Settlement as operators see it."""
        return SettlementViewStore(self.connection)

    @cached_property
    def movements(self) -> MovementStore:
        """Treasury movements and the rules that make them."""
        return MovementStore(self.connection)

    @cached_property
    def adoption(self) -> AdoptionStore:
        """What the chain has of the node's accounts and the database does not."""
        return AdoptionStore(self.connection)

    @cached_property
    def mirror(self) -> MirrorStore:
        """Cursor, blocks and logs of the chain."""
        return MirrorStore(self.connection)

    @cached_property
    def mirror_views(self) -> MirrorViewStore:
        """Blocks and logs as operators see them."""
        return MirrorViewStore(self.connection)

    @cached_property
    def sessions(self) -> SessionStore:
        """Operators' sessions in a browser."""
        return SessionStore(self.connection)

    @cached_property
    def reserves(self) -> ReservesStore:
        """What is owed, and which addresses hold what is."""
        return ReservesStore(self.connection)

    @cached_property
    def deposits(self) -> DepositStore:
        """Deposit addresses, payment requests, deposits."""
        return DepositStore(self.connection)

    @cached_property
    def reports(self) -> ReportStore:
        """Transfers over days."""
        return ReportStore(self.connection)

    @cached_property
    def bulk(self) -> BulkStore:
        """Bulk transfers and their rows."""
        return BulkStore(self.connection)

    @cached_property
    def payouts(self) -> PayoutStore:
        """Payouts for partners, their refunds and contracts."""
        return PayoutStore(self.connection)

    @cached_property
    def verification(self) -> VerificationStore:
        """Deriving the books again from their entries."""
        return VerificationStore(self.connection)

    @cached_property
    def bank(self) -> BankStore:
        """Statements of the bank."""
        return BankStore(self.connection)

    @cached_property
    def breaks(self) -> BreakStore:
        """Differences found."""
        return BreakStore(self.connection)

    @cached_property
    def reconciliation(self) -> ReconciliationStore:
        """Runs, and what they ask of the store."""
        return ReconciliationStore(self.connection)

    @cached_property
    def reorgs(self) -> ReorgStore:
        """Reorgs past finality."""
        return ReorgStore(self.connection)

    @cached_property
    def comparisons(self) -> ComparisonStore:
        """What reconciliation remembers, and asks to find a cause."""
        return ComparisonStore(self.connection)

    @cached_property
    def webhooks(self) -> WebhookStore:
        """Where events are sent to."""
        return WebhookStore(self.connection)

    @cached_property
    def webhook_queue(self) -> WebhookQueueStore:
        """Events that are to be sent."""
        return WebhookQueueStore(self.connection)


@dataclass(frozen=True, slots=True)
class StoreUnits:
    """Opens units of work; see `node.core.ports.UnitOfWork`."""

    database: Database

    def __call__(self) -> AbstractAsyncContextManager[Unit]:
        """One transaction: committed at the end of the block, rolled back on an exception."""
        return self._open(snapshot=False)

    def snapshot(self) -> AbstractAsyncContextManager[Unit]:
        """One transaction that only reads, and sees one instant of the books throughout."""
        return self._open(snapshot=True)

    @asynccontextmanager
    async def _open(self, *, snapshot: bool) -> AsyncIterator[Unit]:
        async with self.database.transaction(snapshot=snapshot) as connection:
            yield StoreUnit(connection)
