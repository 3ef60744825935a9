"""Payouts for partners, their refunds and contracts, as they are kept; and the proof of a payment.

What they mean is `node.core.payouts`; the rail is `node.core.ports.rails`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from node.core.ledger import TransferAmounts
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.payout_matching import LogName, PaymentLog
from node.core.payouts import (
    PartnerContract,
    Payout,
    PayoutState,
    Person,
    Refund,
    RefundPolicy,
    RefundState,
)
from node.core.ports.deposits import Released
from node.core.transfers import State
from node.core.units import Address


class PaymentProofs(Protocol):
    """What the chain says next to Transfers: asked before a step of finality, never inside it."""

    async def settlement_numbers(self, logs: Sequence[PaymentLog]) -> Mapping[LogName, int]:
        """Number of the `Settled` of the paying contract directly after each Transfer.

        Those that have none are left out. Asked of all providers.

        Raises:
            ChainUnavailable: None has the receipts, or providers differ.
        """
        ...


@dataclass(frozen=True, slots=True)
class NewPayout:
    """A payout on its way into the store; see `Payout`."""

    id: UUID
    partner_id: UUID
    quote_id: UUID
    address_id: int
    client_reference: str
    reference: str
    amounts: TransferAmounts
    rail: str
    beneficiary: Person
    originator: Person | None
    purpose: str | None
    refund_policy: RefundPolicy
    refund_address: Address
    made_by: str
    created_at: datetime
    pay_by: datetime


@dataclass(frozen=True, slots=True)
class PayoutMove:
    """The next version of a payout.

    Attributes:
        version: The one it is computed for.
        changes: Columns besides: `failure`, `beneficiary` (a Person), `attempt`, `next_look_at`,
            `looks`, `matched_deposit_id`, `matched_sequence`, `confirmed_sequence`,
            `unmatched_sequence`, `flags` (all it has then, as a tuple).
    """

    payout_id: UUID
    version: int
    state: PayoutState
    changes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A refund whose money is set aside, on its way into the store.

    Attributes:
        account_id: The partner's own account, which has the money.
    """

    refund: Refund
    account_id: UUID
    set_aside_sequence: int


@dataclass(frozen=True, slots=True)
class OpenRefund:
    """A refund that is not over.

    Attributes:
        partner_name: For whom its transfer is.
        country: Of the partner's own account.
        transfer_state: Of the transfer that pays it; None: there is none yet.
        transfer_failure: Why that ended, if it did not pay.
    """

    refund: Refund
    account_id: UUID
    partner_name: str
    country: str
    transfer_state: State | None
    transfer_failure: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class DueTotal:
    """What is due at a rail in a currency, minor units.

    Attributes:
        path: Of its account.
        due: By the payouts.
        posted: By the ledger, at the same moment.
    """

    path: str
    due: int
    posted: int


@dataclass(frozen=True, slots=True)
class StandingPayout:
    """A payout that is longer in a state than it should be.

    Attributes:
        since: When it came to be in it.
        reference: The node's own, for statements of both sides.
    """

    id: UUID
    partner_id: UUID
    state: PayoutState
    since: datetime
    rail: str
    reference: str


class PayoutRepository(Protocol):
    """The tables of payouts. What moves money is written under the ledger's lock."""

    async def add_contract(self, contract: PartnerContract) -> bool:
        """Store a registered contract; False: one of this chain and address is registered."""
        ...

    async def contracts(self, partner_id: UUID) -> Sequence[PartnerContract]:
        """What a partner pays out of, the oldest first."""
        ...

    async def own_account(self, partner_id: UUID) -> UUID | None:
        """The partner's own account among its customers, once it has a contract."""
        ...

    async def add(self, new: NewPayout) -> bool:
        """Store a payout; False: its partner has used the reference."""
        ...

    async def with_reference(self, partner_id: UUID, client_reference: str) -> UUID | None:
        """The partner's payout with this reference."""
        ...

    async def get(self, principal: Principal, payout_id: UUID) -> Payout | None:
        """One payout, where it exists for this principal."""
        ...

    async def page(self, principal: Principal, query: ListQuery) -> Page[Payout]:
        """Payouts that exist for this principal, newest first.

        Filters: `status`, `client_reference`, `partner_id` (a UUID).
        """
        ...

    async def refund(self, principal: Principal, refund_id: UUID) -> Refund | None:
        """One refund, where it exists for this principal."""
        ...

    async def lock(self, ids: Sequence[UUID]) -> Sequence[Payout]:
        """Payouts by id, locked in the order of ids."""
        ...

    async def promised(self, rail: str, asset: str, grace: timedelta) -> int:
        """What unpaid payouts may still make due at a rail, minor units."""
        ...

    async def payment_logs(self, chain_id: int, above: int, to: int) -> Sequence[PaymentLog]:
        """Transfers out of registered contracts to their partner's payouts, in these blocks."""
        ...

    async def move(self, moves: Sequence[PayoutMove]) -> None:
        """Store next versions, all or none.

        Raises:
            Conflict: One changed meanwhile.
        """
        ...

    async def release(self, sequences: Mapping[UUID, int]) -> Sequence[Released]:
        """Payout -> sequence that took what was held for it out of suspense; those deposits."""
        ...

    async def is_any_overdue(self, chain_id: int) -> bool:
        """Whether `unpaid_after_their_time` would find one."""
        ...

    async def unpaid_after_their_time(self, chain_id: int, limit: int) -> Sequence[Payout]:
        """Payouts that wait though a final block is later than `pay_by`, locked; oldest first."""
        ...

    async def held(self, payout_id: UUID) -> int:
        """What is in suspense for a payout and counts, minor units."""
        ...

    async def counts(self, deposit_id: UUID) -> bool:
        """Whether a payout that may still be paid counts this held deposit."""
        ...

    async def standing(
        self,
        within: Mapping[PayoutState, timedelta],
        limit: int,
        ids: Sequence[UUID] | None = None,
    ) -> Sequence[StandingPayout]:
        """Payouts longer in these states than so, the oldest first; of these ids, if given."""
        ...

    async def open_counts(self) -> Mapping[PayoutState, int]:
        """How many payouts are in each state that does not end one; 0 where none is."""
        ...

    async def claim(self, limit: int, lease: timedelta) -> Sequence[Payout]:
        """Payouts that the rail is to be told of or asked about now; nobody else's for a while."""
        ...

    async def paid_since(self, since: datetime, limit: int) -> Sequence[Payout]:
        """Payouts that the rail confirmed since then, those first that were looked at longest ago.

        They may still come back.
        """
        ...

    async def look_again(self, ids: Sequence[UUID], at: datetime) -> None:
        """When the rail is asked about these next; nothing else changes."""
        ...

    async def add_refund(self, new: NewRefund) -> None:
        """Store a refund."""
        ...

    async def has_open_refunds(self) -> bool:
        """Whether a refund waits for a transfer, or one whose transfer has ended is open."""
        ...

    async def open_refunds(self, limit: int) -> Sequence[OpenRefund]:
        """Refunds that wait for a transfer, and those whose transfer has ended; locked.

        The latter come first, then one of each partner after the other. Left out are those that
        another transaction has, and those whose payment a reorg past finality took away.
        """
        ...

    async def move_refund(
        self,
        refund: Refund,
        state: RefundState,
        *,
        transfer_id: UUID | None = None,
        put_back_sequence: int | None = None,
        failure: Mapping[str, str] | None = None,
    ) -> None:
        """The next version of a refund that is locked."""
        ...

    async def due(self) -> Sequence[DueTotal]:
        """What is due, by the payouts and by the ledger, for each rail and currency."""
        ...
