"""Transfers, top-ups and the timeline in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from node.core.ledger import TransferAmounts
from node.core.mirror import SettlementKind
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.payout_orders import Payee
from node.core.payouts import BankAccount, RefundPolicy
from node.core.transfers import State
from node.core.units import Address, Money, TxHash


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """Who is paid; personal data.

    Attributes:
        country: ISO 3166-1 alpha-2.
        address: As the caller wrote it; where a partner pays out, the one it gave.
        account: Where the partner pays, if one does.
    """

    name: str
    country: str
    address: str
    account: BankAccount | None = None


@dataclass(frozen=True, slots=True)
class PartnerPayoutRow:
    """What a transfer is to become at the partner that pays it out, as it is shown.

    Attributes:
        partner: Its name.
        delivered: What the beneficiary gets.
        payout_id, reference: As the partner names it.
        told: What the partner told last.
        pay_by: Until when it takes the token.
        refund_policy: What follows when its rail refuses for good.
        corrected: Whom it was told to pay instead, after that.
    """

    partner: str
    delivered: Money
    payout_id: str
    reference: str
    told: str | None
    pay_by: datetime
    refund_policy: RefundPolicy
    corrected: Payee | None = None


@dataclass(frozen=True, slots=True)
class BareTransfer:
    """What of a transfer is moved and booked: everything but whom it is for and what callers wrote.

    Attributes:
        version: Sequence of its newest event; a move is applied only to the version it was
            computed for.
        amounts: The integers fixed at acceptance.
        pending_sequence: The pending ledger transaction that holds the money.
        slot_id: The written batch that could still pay it; None: in none.
        was_written: Ever in a written batch: its money goes back only on proof.
        batches_failed: Batches that finally did not pay it.
        void_outcome: What a final void makes of it: canceled, failed or expired.
        partner_id: Who pays it out; None: the beneficiary has the token itself.
    """

    id: UUID
    version: int
    state: State
    customer_id: UUID
    beneficiary_address: Address
    amounts: TransferAmounts
    pending_sequence: int
    slot_id: UUID | None
    was_written: bool
    batches_failed: int
    void_outcome: str | None
    tx_hash: TxHash | None
    partner_id: UUID | None


@dataclass(frozen=True, slots=True)
class Transfer(BareTransfer):
    """One customer's order to pay one beneficiary, as stored.

    Attributes:
        owner: `partner:...` or `customer:...`: scope of the client reference.
        payment_number: The contract's number of the payout.
        waiting_code: Why it cannot be batched now.
        failure: `code` and `message`, once it ended without a payout or is on its way to that.
        payout: What the partner makes of it; only where one transfer, or a page, is looked at.
    """

    owner: str
    quote_id: UUID
    client_reference: str | None
    purpose: str | None
    beneficiary: Beneficiary
    chain_id: int
    contract: Address
    payment_number: int
    waiting_code: str | None
    waiting_since: datetime | None
    block_number: int | None
    failure: Mapping[str, str] | None
    created_at: datetime
    settle_by: datetime
    payout: PartnerPayoutRow | None = None

    @property
    def is_cancellable(self) -> bool:
        """Until it is written into a batch."""
        return self.state is State.FUNDED and not self.was_written


@dataclass(frozen=True, slots=True)
class UsedNumber:
    """What the contract has done with a transfer's payment number, in a block of the mirror.

    Attributes:
        kind: Settled or Voided.
        beneficiary, amount: Of Settled, as the token told; None: it did not.
        is_final: Whether the block is.
    """

    kind: SettlementKind
    tx_hash: TxHash
    block_number: int
    beneficiary: Address | None
    amount: int | None
    is_final: bool

    def pays(self, transfer: Transfer) -> bool:
        """Whether it may have paid the transfer: not that it paid somebody else or otherwise."""
        return self.kind is SettlementKind.SETTLED and (
            self.beneficiary in (None, transfer.beneficiary_address)
            and self.amount in (None, transfer.amounts.buy)
        )


@dataclass(frozen=True, slots=True)
class TransferMove:
    """The next version of a transfer.

    Attributes:
        version: The version the move was computed for.
        changes: Columns that change besides state and version, of: slot_id, was_written,
            batches_failed, void_outcome, tx_hash, block_number, failure (a mapping),
            payment_number (only with a change noted before), pending_sequence (only with a reorg
            noted before). What is not named stays. Waiting is always cleared by a move.
        steps: Moves that are stored as one: so many versions, and lines of the timeline, later.
    """

    transfer_id: UUID
    version: int
    state: State
    changes: Mapping[str, object] = field(default_factory=dict)
    steps: int = 1


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One line of an object's timeline, to be appended.

    Attributes:
        state: Of the object's own states.
        customer_id, partner_id: Whose the object is; a customer's does not name its partner.
            None, both: only operators see it.
    """

    object_id: UUID
    object_sequence: int
    type: str
    state: StrEnum
    customer_id: UUID | None
    detail: Mapping[str, object] = field(default_factory=dict)
    object_type: str = "transfer"
    partner_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One stored line of a timeline."""

    sequence: int
    object_type: str
    object_id: UUID
    object_sequence: int
    type: str
    state: StrEnum
    detail: Mapping[str, object]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class TopUp:
    """Money that arrived for a customer.

    Attributes:
        funded_by: `bank`: it came in at the rail; `partner`: from the partner's prefunded balance.
    """

    id: UUID
    customer_id: UUID
    asset: str
    amount: int
    rail: str
    reference: str
    funded_by: str
    made_by: str
    ledger_sequence: int
    created_at: datetime


class TransferRepository(Protocol):
    """Transfers and top-ups."""

    async def allot_numbers(self, chain_id: int, contract: Address, count: int) -> int:
        """Take `count` payment numbers in a row; the first is returned. Never given twice."""
        ...

    async def insert_many(self, transfers: Sequence[Transfer]) -> None:
        """Store new transfers."""
        ...

    async def references(self, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], UUID]:
        """(owner, client reference) -> transfer, for those that are taken."""
        ...

    async def lock_many(self, ids: Sequence[UUID]) -> Sequence[Transfer]:
        """Transfers by id, locked in the common order until the end of the transaction."""
        ...

    async def lock_bare(self, ids: Sequence[UUID]) -> Sequence[BareTransfer]:
        """The same for whoever only moves and books them; there may be tens of thousands."""
        ...

    async def get(self, transfer_id: UUID) -> Transfer | None:
        """One transfer."""
        ...

    async def with_payouts(self, transfers: Sequence[Transfer]) -> Sequence[Transfer]:
        """The same, with what partners make of those that they pay out."""
        ...

    async def list(self, principal: Principal, query: ListQuery) -> Page[Transfer]:
        """Transfers that exist for this principal, newest first.

        Filters: `status`, `state`, `customer_id`, `client_reference`.
        """
        ...

    async def apply_moves(self, moves: Sequence[TransferMove]) -> None:
        """Store next versions, all or none.

        Raises:
            Conflict: One of the transfers changed meanwhile.
        """
        ...

    async def mark_waiting(self, ids: Sequence[UUID], code: str | None) -> None:
        """Say why funded transfers cannot be batched now; the time of a code it has stays."""
        ...

    async def used_on_chain(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Those whose number a block of the mirror has settled or voided, final or not.

        What the database says of batches may be older than the chain: a restored copy forgets.
        """
        ...

    async def used_numbers(self, ids: Sequence[UUID]) -> Mapping[UUID, UsedNumber]:
        """Of those that `used_on_chain` tells of, what used their numbers."""
        ...

    async def open_elsewhere(self, chain_id: int, contract: Address) -> int:
        """How many transfers that have not ended belong to another settlement contract."""
        ...

    async def add_top_ups(self, top_ups: Sequence[TopUp]) -> None:
        """Store new top-ups."""
        ...

    async def top_ups_at(
        self, references: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], UUID]:
        """(rail, reference) -> the top-up that used it; those that are free are left out."""
        ...

    async def top_up(self, top_up_id: UUID) -> TopUp | None:
        """One top-up."""
        ...

    async def top_ups(self, customer_id: UUID, query: ListQuery) -> Page[TopUp]:
        """A customer's top-ups, newest first."""
        ...


class EventRepository(Protocol):
    """The timeline; appended to, never changed."""

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Append in order, under the lock that makes sequences appear in order.

        Must be the last thing a transaction does.
        """
        ...

    async def of_object(self, object_id: UUID) -> Sequence[EventRow]:
        """The timeline of one object, oldest first."""
        ...

    async def after(self, principal: Principal, sequence: int, limit: int) -> Sequence[EventRow]:
        """Events of own objects with a higher sequence, ascending."""
        ...
