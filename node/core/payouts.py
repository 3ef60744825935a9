"""Payouts for partners, the receiving side: states, what may follow, what is booked. Pure.

A partner registers a payout on a firm quote (token in, local money out), pays its deposit address
on chain out of its settlement contract, and the node pays the beneficiary by its rail. All money of
a matched deposit passes through the partner's balance, so every failure leaves it there, from where
a refund goes back on chain. Which deposit counts is `node.core.payout_matching`; rows and
statements are `node.store.payouts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from node.core.errors import WrongState
from node.core.ids import Prefix, encode_id
from node.core.ledger import (
    Entry,
    TransferAmounts,
    bank_account,
    customer_account,
    partner_account,
)
from node.core.units import Address, TxHash

BANK: Final = "bank"
"""Payout method: local money arrives at an account of a bank."""

PAY_WITHIN_MAX_S: Final = 86_400
"""Longest time that a registered payout waits for its money."""


class PayoutState(StrEnum):
    """Where exactly a payout is."""

    AWAITING_PAYMENT = "awaiting_payment"  # registered; part of the money may have come
    MATCHED = "matched"  # the money is there and exchanged; not ordered at the rail
    ORDERED = "ordered"  # the rail may have the order
    REFUSED = "refused"  # the rail refused for good; a corrected beneficiary is waited for
    REFUNDING = "refunding"  # the money goes back on chain
    ON_HOLD = "on_hold"  # an operator decides
    PAID_OUT = "paid_out"  # the rail confirmed
    REFUNDED = "refunded"  # the money is back, finally
    EXPIRED = "expired"  # nothing came in time; what comes within the grace is honoured


class PayoutStatus(StrEnum):
    """The words for callers, in the meaning of SEP-31 (Stellar, cross-border payments)."""

    PENDING_SENDER = "pending_sender"
    PENDING_RECEIVER = "pending_receiver"
    PENDING_EXTERNAL = "pending_external"
    PENDING_INFO = "pending_customer_info_update"
    COMPLETED = "completed"
    REFUNDED = "refunded"
    EXPIRED = "expired"
    ERROR = "error"


PAYOUT_STATUS: Final[Mapping[PayoutState, PayoutStatus]] = {
    PayoutState.AWAITING_PAYMENT: PayoutStatus.PENDING_SENDER,
    PayoutState.MATCHED: PayoutStatus.PENDING_RECEIVER,
    PayoutState.ORDERED: PayoutStatus.PENDING_EXTERNAL,
    PayoutState.REFUSED: PayoutStatus.PENDING_INFO,
    PayoutState.REFUNDING: PayoutStatus.PENDING_RECEIVER,
    PayoutState.ON_HOLD: PayoutStatus.ERROR,
    PayoutState.PAID_OUT: PayoutStatus.COMPLETED,
    PayoutState.REFUNDED: PayoutStatus.REFUNDED,
    PayoutState.EXPIRED: PayoutStatus.EXPIRED,
}

_S = PayoutState
PAYOUT_MOVES: Final[Mapping[PayoutState, frozenset[PayoutState]]] = {
    _S.AWAITING_PAYMENT: frozenset({_S.MATCHED, _S.EXPIRED, _S.REFUNDING}),
    _S.EXPIRED: frozenset({_S.MATCHED, _S.REFUNDING}),
    _S.MATCHED: frozenset({_S.ORDERED, _S.REFUNDING}),
    _S.ORDERED: frozenset({_S.PAID_OUT, _S.REFUSED, _S.REFUNDING}),
    _S.REFUSED: frozenset({_S.MATCHED, _S.REFUNDING}),
    _S.REFUNDING: frozenset({_S.REFUNDED, _S.ON_HOLD}),
    _S.ON_HOLD: frozenset({_S.REFUNDING}),
    _S.PAID_OUT: frozenset({_S.ON_HOLD}),
    _S.REFUNDED: frozenset(),
}
"""Every move there is. What was paid out moves only where the beneficiary's bank sends it back."""

ENDS_WITHIN: Final[Mapping[PayoutState, timedelta]] = {
    _S.MATCHED: timedelta(hours=1),
    _S.ORDERED: timedelta(days=1),  # a bank may answer on its next working day
    _S.REFUNDING: timedelta(hours=1),
    _S.ON_HOLD: timedelta(minutes=15),
}
"""How long a payout may be in a state that the node or its operators end; then they are told.
The partner's own states (it has not paid, or may correct) wait as long as the partner."""

ENDED: Final = frozenset({_S.PAID_OUT, _S.REFUNDED, _S.EXPIRED})
"""Nobody has to do anything about it now."""

PAYABLE: Final = frozenset({_S.AWAITING_PAYMENT, _S.EXPIRED})
"""What a deposit may still pay."""


def check_move(before: PayoutState, after: PayoutState) -> None:
    """Nothing, if a payout may move so.

    Raises:
        WrongState: It may not. Nothing changed.
    """
    if after not in PAYOUT_MOVES[before]:
        raise WrongState(f"a payout that is {before} cannot become {after}", state=before)


class RefundPolicy(StrEnum):
    """What follows when the rail refuses for good; chosen at registration."""

    REFUND = "refund"  # the money goes back at once
    CORRECT = "correct"  # the partner may correct the beneficiary, or ask for the refund


class RefundReason(StrEnum):
    """Why money goes back."""

    SHORT = "short"  # too little had come when its time was over
    LATE = "late"  # it came after the grace
    REFUSED = "refused"  # the rail refused for good
    ASKED = "asked"  # the partner, or an operator, asked for it


class RefundState(StrEnum):
    """Where a refund is."""

    PENDING = "pending"  # set aside; no payment on chain is promised yet
    SENT = "sent"  # a transfer pays it
    COMPLETED = "completed"  # that transfer is settled, finally
    FAILED = "failed"  # that transfer ended without paying; the partner's balance has the money


REFUND_MOVES: Final[Mapping[RefundState, frozenset[RefundState]]] = {
    RefundState.PENDING: frozenset({RefundState.SENT, RefundState.FAILED}),
    RefundState.SENT: frozenset({RefundState.COMPLETED, RefundState.FAILED}),
    RefundState.COMPLETED: frozenset(),
    RefundState.FAILED: frozenset(),
}
"""Every move there is."""


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Where a beneficiary is paid.

    Attributes:
        number: Account number or IBAN, as its bank writes it.
        bank_code: Of the bank: BIC, or a national code.
    """

    number: str
    bank_code: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who pays or is paid, with what IVMS101 (interVASP, 2020) asks of them.

    Attributes:
        type: `natural` or `legal`.
        name: In full.
        country: ISO 3166-1 alpha-2.
        address: Of residence or registration.
        date_of_birth: ISO 8601 day; of a natural person.
        national_id: Of a person, or the registration number of a firm.
        account: Where it is paid; of beneficiaries.
    """

    type: str
    name: str
    country: str
    address: str | None = None
    date_of_birth: str | None = None
    national_id: str | None = None
    account: BankAccount | None = None


@dataclass(frozen=True, slots=True)
class PartnerContract:
    """A settlement contract that a partner pays out of, as an operator registered it.

    Attributes:
        refund_address: Besides the contract itself, where money may go back to.
        account_id: The partner's own account among its customers: refunds are paid out of it.
    """

    partner_id: UUID
    chain_id: int
    address: Address
    refund_address: Address | None
    account_id: UUID
    registered_by: str
    created_at: datetime


def refund_addresses(contracts: Sequence[PartnerContract]) -> frozenset[Address]:
    """Where a partner's money may go back to."""
    own = {each.address for each in contracts}
    return frozenset(own | {each.refund_address for each in contracts if each.refund_address})


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """A payout while deposits are judged.

    Attributes:
        amount: Token units asked for.
        held: What is in suspense for it and counts, minor units.
        contracts: Settlement contracts registered for the partner.
    """

    payout_id: UUID
    partner_id: UUID
    amount: int
    pay_by: datetime
    state: PayoutState
    held: int
    version: int
    contracts: frozenset[Address]


@dataclass(frozen=True, slots=True)
class Matched:
    """The deposit that paid a payout.

    Attributes:
        contract: The settlement contract that paid.
        settlement_number: The payment number of its `Settled`, directly after the Transfer.
        amount: Token units of the log.
    """

    deposit_id: UUID
    tx_hash: TxHash
    block_number: int
    log_index: int
    contract: Address
    settlement_number: int
    amount: int


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of a payout on its way back.

    Attributes:
        amount: Token units; minor units of `asset`.
        address: Where it goes on chain.
        transfer_id: The transfer that pays it; its number, transaction and block are shown.
        version: Sequence of its newest event.
    """

    id: UUID
    payout_id: UUID
    partner_id: UUID
    state: RefundState
    reason: RefundReason
    asset: str
    amount: int
    address: Address
    transfer_id: UUID | None
    failure: Mapping[str, str] | None
    version: int
    created_at: datetime
    contract: Address | None = None
    payment_number: int | None = None
    tx_hash: TxHash | None = None
    block_number: int | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    """One payout for a partner.

    Attributes:
        reference: The node's own, for statements of both sides.
        amounts: The integers of its quote; `sell` is what must come on chain.
        rail: The bank of the node that pays.
        attempt: Which order at the rail this is, from 1; a correction makes the next.
        received: Token units of final deposits to its address that were the partner's.
        version: Sequence of its newest event.
        looks: How often the rail was asked about the order.
        matched_sequence: The ledger transaction that exchanged the tokens; `confirmed_sequence`
            that of the rail's confirmation, `unmatched_sequence` that which undid the first.
        refund: The newest one.
    """

    id: UUID
    partner_id: UUID
    quote_id: UUID
    client_reference: str
    reference: str
    state: PayoutState
    flags: frozenset[str]
    amounts: TransferAmounts
    rail: str
    chain_id: int
    address: Address
    beneficiary: Person
    originator: Person | None
    purpose: str | None
    refund_policy: RefundPolicy
    refund_address: Address
    attempt: int
    received: int
    failure: Mapping[str, str] | None
    made_by: str
    created_at: datetime
    pay_by: datetime
    updated_at: datetime
    version: int
    looks: int = 0
    matched_sequence: int | None = None
    confirmed_sequence: int | None = None
    unmatched_sequence: int | None = None
    matched: Matched | None = None
    refund: Refund | None = None

    @property
    def is_paid(self) -> bool:
        """Whether what pays it is on the chain: a reorg past finality may have taken it away."""
        return self.received >= self.amounts.sell

    @property
    def is_due(self) -> bool:
        """Whether `payout_due` holds its local money."""
        ended = (self.confirmed_sequence, self.unmatched_sequence)
        return self.matched_sequence is not None and ended == (None, None)


def matched_entries(partner_id: UUID, rail: str, amounts: TransferAmounts) -> list[Entry]:
    """What a payment in full books: the partner's tokens are exchanged, local money is due.

    Amounts of 0 (no fee, no spread) make no entry.
    """
    sell, buy = amounts.sell_asset, amounts.buy_asset
    partner = partner_account(partner_id, sell)
    legs = (
        (partner, f"fx_position/{sell}", sell, amounts.principal - amounts.spread),
        (partner, f"deferred/spread/{sell}", sell, amounts.spread),
        (partner, f"deferred/fee/{sell}", sell, amounts.fees),
        (f"fx_position/{buy}", due_account(rail, buy), buy, amounts.buy),
    )
    return [Entry(*leg) for leg in legs if leg[3]]


def confirmed_entries(rail: str, amounts: TransferAmounts) -> list[Entry]:
    """What the rail's confirmation books: the bank has paid, fee and spread are earned."""
    sell, buy = amounts.sell_asset, amounts.buy_asset
    legs = (
        (due_account(rail, buy), bank_account(rail, buy), buy, amounts.buy),
        (f"deferred/fee/{sell}", f"income/fee/{sell}", sell, amounts.fees),
        (f"deferred/spread/{sell}", f"income/spread/{sell}", sell, amounts.spread),
    )
    return [Entry(*leg) for leg in legs if leg[3]]


def unmatched_entries(partner_id: UUID, rail: str, amounts: TransferAmounts) -> list[Entry]:
    """What gives the partner its tokens back: the recorded integers, the other way round."""
    return [
        Entry(each.credit, each.debit, each.asset, each.amount)
        for each in matched_entries(partner_id, rail, amounts)
    ]


def set_aside_entries(partner_id: UUID, account_id: UUID, asset: str, amount: int) -> list[Entry]:
    """What a refund takes from the partner's balance: its own account pays it on chain."""
    partner = partner_account(partner_id, asset)
    return [Entry(partner, customer_account(account_id, asset), asset, amount)]


def put_back_entries(partner_id: UUID, account_id: UUID, asset: str, amount: int) -> list[Entry]:
    """What a refund that was not paid gives back to the partner's balance."""
    partner = partner_account(partner_id, asset)
    return [Entry(customer_account(account_id, asset), partner, asset, amount)]


def due_account(rail: str, asset: str) -> str:
    """Local money that is due at a rail and not confirmed yet."""
    return f"payout_due/{rail}/{asset}"


def order_id(payout: Payout) -> str:
    """The order at the rail: the payout and which attempt it is; the rail knows it by this."""
    return f"{encode_id(Prefix.PAYOUT, payout.id)}-{payout.attempt}"


def masked(text: str, shown: int = 4) -> str:
    """An account number with only its last characters, at most a half of it."""
    kept = min(shown, len(text) // 2)
    return "*" * (len(text) - kept) + text[len(text) - kept :]


def masked_name(name: str) -> str:
    """A name of which only the first letter of each word is left."""
    return " ".join(word[:1] + "*" * (len(word) - 1) for word in name.split())
