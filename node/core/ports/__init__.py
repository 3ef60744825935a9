"""What the core and the services need from the world, as Protocols.

`Unit` is one database transaction with its repositories; the Protocols of each part are in the
modules beside this one. Adapters and the store satisfy them; nothing here does anything.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from node.core.ports.adoption import AdoptionRepository
    from node.core.ports.bank import BankRepository
    from node.core.ports.breaks import BreakRepository
    from node.core.ports.bulk import BulkRepository
    from node.core.ports.comparisons import ComparisonRepository
    from node.core.ports.deposits import DepositRepository
    from node.core.ports.history import HistoryRepository
    from node.core.ports.idempotency import IdempotencyRepository
    from node.core.ports.ledger import LedgerRepository
    from node.core.ports.mirror import MirrorRepository
    from node.core.ports.mirror_views import MirrorViews
    from node.core.ports.movements import MovementRepository
    from node.core.ports.parties import PartyRepository
    from node.core.ports.partners import PartnerRepository
    from node.core.ports.payout_orders import PayoutOrderRepository
    from node.core.ports.payouts import PayoutRepository
    from node.core.ports.quotes import QuoteRepository
    from node.core.ports.reconciliation import ReconciliationRepository
    from node.core.ports.reorgs import ReorgRepository
    from node.core.ports.reports import ReportRepository
    from node.core.ports.reserves import ReservesRepository
    from node.core.ports.sessions import SessionRepository
    from node.core.ports.settlement import SettlementRepository
    from node.core.ports.settlement_views import SettlementViews
    from node.core.ports.transfers import EventRepository, TransferRepository
    from node.core.ports.verification import VerificationRepository
    from node.core.ports.webhooks import WebhookQueue, WebhookRepository


class Clock(Protocol):
    """The time outside a database transaction."""

    def now(self) -> datetime:
        """Aware UTC time."""
        ...


class Unit(Protocol):
    """One database transaction."""

    @property
    def now(self) -> datetime:
        """The database clock at the start of the transaction, aware UTC."""
        ...

    @property
    def parties(self) -> PartyRepository:
        """Partners, customers, credentials."""
        ...

    @property
    def partners(self) -> PartnerRepository:
        """Terms of partners, their keys, what they paid in."""
        ...

    @property
    def idempotency(self) -> IdempotencyRepository:
        """Answers kept for repeated requests."""
        ...

    @property
    def ledger(self) -> LedgerRepository:
        """Accounts, entries, balances."""
        ...

    @property
    def history(self) -> HistoryRepository:
        """Ledger transactions as they were booked, and the ledger as of any sequence."""
        ...

    @property
    def quotes(self) -> QuoteRepository:
        """Firm quotes."""
        ...

    @property
    def payout_orders(self) -> PayoutOrderRepository:
        """Payouts that partners were asked to make."""
        ...

    @property
    def transfers(self) -> TransferRepository:
        """Transfers and top-ups."""
        ...

    @property
    def events(self) -> EventRepository:
        """The timeline."""
        ...

    @property
    def settlement(self) -> SettlementRepository:
        """Lanes, slots, attempts, pauses."""
        ...

    @property
    def settlement_views(self) -> SettlementViews:
        """Settlement as operators see it."""
        ...

    @property
    def movements(self) -> MovementRepository:
        """Treasury movements and the rules that make them."""
        ...

    @property
    def adoption(self) -> AdoptionRepository:
        """What the chain has of the node's accounts and the database does not."""
        ...

    @property
    def mirror(self) -> MirrorRepository:
        """Cursor, blocks and logs of the chain."""
        ...

    @property
    def mirror_views(self) -> MirrorViews:
        """Blocks and logs as operators see them."""
        ...

    @property
    def sessions(self) -> SessionRepository:
        """Operators' sessions in a browser."""
        ...

    @property
    def reserves(self) -> ReservesRepository:
        """What is owed, and which addresses hold what is."""
        ...

    @property
    def deposits(self) -> DepositRepository:
        """Deposit addresses, payment requests, deposits."""
        ...

    @property
    def reports(self) -> ReportRepository:
        """Transfers over days."""
        ...

    @property
    def bulk(self) -> BulkRepository:
        """Bulk transfers and their rows."""
        ...

    @property
    def payouts(self) -> PayoutRepository:
        """Payouts for partners, their refunds and contracts."""
        ...

    @property
    def verification(self) -> VerificationRepository:
        """Deriving the books again from their entries."""
        ...

    @property
    def bank(self) -> BankRepository:
        """Statements of the bank."""
        ...

    @property
    def breaks(self) -> BreakRepository:
        """Differences found."""
        ...

    @property
    def reconciliation(self) -> ReconciliationRepository:
        """Runs, and what they ask of the store."""
        ...

    @property
    def reorgs(self) -> ReorgRepository:
        """Reorgs past finality."""
        ...

    @property
    def comparisons(self) -> ComparisonRepository:
        """What reconciliation remembers, and asks to find a cause."""
        ...

    @property
    def webhooks(self) -> WebhookRepository:
        """Where events are sent to."""
        ...

    @property
    def webhook_queue(self) -> WebhookQueue:
        """Events that are to be sent."""
        ...


class UnitOfWork(Protocol):
    """Opens units of work."""

    def __call__(self) -> AbstractAsyncContextManager[Unit]:
        """One transaction: committed at the end of the block, rolled back on an exception.

        Raises:
            DatabaseUnavailable: The database is away.
            CommitUnknown: It went away during COMMIT.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Unit]:
        """One transaction that only reads, and sees one instant of the books throughout.

        It needs no lock of the ledger: a batch is in its snapshot as a whole, or not at all.
        Statements may take as long as they need.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        ...
