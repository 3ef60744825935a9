"""Deposits: what one token log to a deposit address means for its owner and its request. Pure.

The address alone says whose a deposit is: who sent it never matters, and one log pays at most one
request. A standing address credits its owner with whatever comes. A payment request has an address
of its own, which is its reference; what came there is judged at the time of the block that holds
it, never at the time somebody noticed. Rows and statements are `node.store.deposits`, the step at
finality is `node.services.deposits.deposits`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from node.core.breaks import NewBreak
from node.core.ledger import (
    Entry,
    chain_account,
    customer_account,
    partner_account,
    suspense_account,
)
from node.core.parties import Principal
from node.core.payouts import PayoutTerms
from node.core.units import MINOR_LIMIT, Address, BlockHash, TxHash

SALT_BYTES: Final = 32
"""Length of the salt of an address (EIP-1014)."""

EXPIRES_IN_MIN_S: Final = 60
EXPIRES_IN_DEFAULT_S: Final = 3600
EXPIRES_IN_MAX_S: Final = 30 * 86_400
"""How long a payment request may wait, and how long where nobody says."""

UNPAID_MAX: Final = 1000
"""Most payment requests of one owner that nobody has paid, where the operator says nothing."""

UNPAID_FOR: Final = timedelta(days=1)
"""How long after its end an unpaid request still counts: its address is read for ever."""

_TOLERANCES_MIN: Final = 10
_TOLERATED_PARTS: Final = 100


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an address is: exactly one of the two is set."""

    customer_id: UUID | None = None
    partner_id: UUID | None = None

    def account(self, asset: str) -> str:
        """The account that deposits of the owner are credited to."""
        if self.customer_id is not None:
            return customer_account(self.customer_id, asset)
        assert self.partner_id is not None
        return partner_account(self.partner_id, asset)

    @property
    def key(self) -> str:
        """`customer:<uuid>` or `partner:<uuid>`."""
        if self.customer_id is not None:
            return f"customer:{self.customer_id}"
        return f"partner:{self.partner_id}"

    @classmethod
    def of(cls, principal: Principal) -> "Owner":
        """The principal itself, where it is a customer or a partner."""
        return cls(principal.customer_id, principal.partner_id)


class RequestStatus(StrEnum):
    """Where a payment request stands."""

    AWAITING = "awaiting"  # open; part of it may have come
    PAID = "paid"  # its owner has the amount asked for
    EXPIRED = "expired"  # its time is over; what came in part is held
    ACCEPTED = "accepted"  # its owner took what had come


REQUEST_MOVES: Final[Mapping[RequestStatus, frozenset[RequestStatus]]] = {
    RequestStatus.AWAITING: frozenset({RequestStatus.PAID, RequestStatus.EXPIRED}),
    RequestStatus.EXPIRED: frozenset({RequestStatus.PAID, RequestStatus.ACCEPTED}),
    RequestStatus.PAID: frozenset({RequestStatus.AWAITING}),
    RequestStatus.ACCEPTED: frozenset({RequestStatus.AWAITING}),
}
"""Every move there is. It waits again where an accepted reorg past finality took its deposits."""


OPEN: Final = frozenset({RequestStatus.AWAITING, RequestStatus.EXPIRED})
"""What may still become paid: an expired one by a deposit within the grace."""


class Flag(StrEnum):
    """What is out of the ordinary about a deposit or a request."""

    OVERPAID = "overpaid"  # more came than was asked for; the owner has all of it
    PAID_LATE = "paid_late"  # after `expires_at`, within the grace
    SHORT = "short"  # too little; of a request: when its time was over
    TOLERATED = "tolerated"  # too little by so little that the node bore the rest
    TOO_LATE = "too_late"  # after the grace
    DUPLICATE = "duplicate"  # the request was paid already; credited all the same
    TOO_LARGE = "too_large"  # no entry can hold it


class DepositStatus(StrEnum):
    """What became of a final deposit."""

    CREDITED = "credited"  # to its owner
    HELD = "held"  # in suspense: for the rest, for its owner's word, or for an operator
    UNBOOKED = "unbooked"  # too large for an entry; an operator's break says so
    RESOLVED = "resolved"  # its break's ledger transaction gave it to no owner
    ORPHANED = "orphaned"  # its block was replaced after it had been final


@dataclass(frozen=True, slots=True)
class DepositPolicy:
    """What the operator allows.

    Attributes:
        tolerance_minor: How much too little is still the whole, if it is 1 % of it at most; the
            node bears the rest.
        late_grace: How long after `expires_at` a deposit is honoured.
    """

    tolerance_minor: int = 0
    late_grace: timedelta = timedelta(days=1)

    @property
    def request_min_minor(self) -> int:
        """Least amount of a payment request: ten times what the node would bear of it."""
        return max(1, _TOLERANCES_MIN * self.tolerance_minor)

    def tolerated(self, amount: int) -> int:
        """What may be missing of a request for `amount`: the tolerance, and at most 1 %.

        Rounded down.
        """
        return min(self.tolerance_minor, amount // _TOLERATED_PARTS)


DEFAULT_POLICY: Final = DepositPolicy()


@dataclass(frozen=True, slots=True)
class Terms:
    """A payment request while deposits are judged.

    Attributes:
        held: What is in suspense for it and counts: came in time or within the grace; minor units.
    """

    request_id: UUID
    amount: int
    expires_at: datetime
    status: RequestStatus
    held: int


class Ruling(StrEnum):
    """What is done with one deposit."""

    CREDIT = "credit"  # to the owner; the request, if any, is as it was
    COMPLETE = "complete"  # to the owner, with all that was held: the request is paid
    HOLD = "hold"  # in suspense, counted towards the request
    SET_ASIDE = "set_aside"  # in suspense for a person, not counted
    LEAVE = "leave"  # not in the ledger


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a deposit means.

    Attributes:
        released: Held earlier and now the owner's, minor units.
        borne: What the node adds so that the request is paid in full, minor units.
        surplus: What came above the amount asked for, minor units.
        is_differing: Whether a person must be told (B05): too little after the end, or too late.
    """

    ruling: Ruling
    flags: frozenset[Flag] = frozenset()
    released: int = 0
    borne: int = 0
    surplus: int = 0
    is_differing: bool = False


def judge(
    terms: Terms | None, amount: int, mined_at: datetime, policy: DepositPolicy, spare: int
) -> Judgement:
    """What one final deposit means, by the rules of ADR 0022.

    Args:
        terms: Of the request whose address it came to; None: a standing address.
        amount: Token units of the log; above 0.
        mined_at: Time of the block that holds it.
        policy: Tolerance and grace.
        spare: By how much what the node has exceeds what it owes (law 8), minor units: it bears
            nothing that would leave somebody's money not covered.
    """
    if amount >= MINOR_LIMIT:
        return Judgement(Ruling.LEAVE, frozenset({Flag.TOO_LARGE}))
    if terms is None or terms.status not in OPEN:
        flags = set() if terms is None else {Flag.DUPLICATE}
        return Judgement(Ruling.CREDIT, frozenset(flags))
    return _judge_for_request(terms, amount, mined_at, policy, spare)


def _judge_for_request(
    terms: Terms, amount: int, mined_at: datetime, policy: DepositPolicy, spare: int
) -> Judgement:
    """What a deposit means for a request that may still become paid."""
    is_late = mined_at > terms.expires_at
    if is_late and mined_at > terms.expires_at + policy.late_grace:
        return Judgement(Ruling.SET_ASIDE, frozenset({Flag.TOO_LATE}), is_differing=True)
    flags = {Flag.PAID_LATE} if is_late else set()
    short = terms.amount - terms.held - amount
    if short <= 0:
        flags |= {Flag.OVERPAID} if short < 0 else set()
        return Judgement(Ruling.COMPLETE, frozenset(flags), released=terms.held, surplus=-short)
    if short <= min(policy.tolerated(terms.amount), spare):
        flags |= {Flag.TOLERATED}
        return Judgement(Ruling.COMPLETE, frozenset(flags), released=terms.held, borne=short)
    return Judgement(
        Ruling.HOLD,
        frozenset({Flag.SHORT}),
        is_differing=is_late or terms.status is RequestStatus.EXPIRED,
    )


def after(terms: Terms, amount: int, judgement: Judgement) -> Terms:
    """The request once a deposit was judged: what the next log of the same block finds."""
    match judgement.ruling:
        case Ruling.COMPLETE:
            status, held = RequestStatus.PAID, 0
        case Ruling.HOLD:
            status, held = terms.status, terms.held + amount
        case _:
            return terms
    return Terms(terms.request_id, terms.amount, terms.expires_at, status, held)


def deposit_entries(
    chain_id: int, address: Address, asset: str, owner: Owner, amount: int, judgement: Judgement
) -> list[Entry]:
    """What one deposit books; none where no entry can hold it.

    Args:
        chain_id: The chain.
        address: The deposit address, whose holding rises by `amount`.
        asset: Code of the token.
        owner: Of the address.
        amount: Token units of the log.
        judgement: What it means.
    """
    if judgement.ruling is Ruling.LEAVE:
        return []
    suspense, theirs = suspense_account(chain_id, asset), owner.account(asset)
    is_theirs = judgement.ruling in (Ruling.CREDIT, Ruling.COMPLETE)
    legs = (
        (chain_account(chain_id, address, asset), theirs if is_theirs else suspense, amount),
        (suspense, theirs, judgement.released),
        (f"loss/deposit_tolerance/{asset}", theirs, judgement.borne),
    )
    return [Entry(debit, credit, asset, units) for debit, credit, units in legs if units]


def release_entries(chain_id: int, asset: str, owner: Owner, amount: int) -> list[Entry]:
    """What gives somebody what is held in suspense; `amount` may be more than one entry holds."""
    suspense, theirs = suspense_account(chain_id, asset), owner.account(asset)
    most = MINOR_LIMIT - 1
    whole, rest = divmod(amount, most)
    parts = [most] * whole + ([rest] if rest else [])
    return [Entry(suspense, theirs, asset, part) for part in parts]


@dataclass(frozen=True, slots=True)
class DepositAddress:
    """An address at which an owner is paid.

    Attributes:
        factory: The forwarders contract that deploys it.
        salt: 32 random bytes; with `factory` they make the address.
        is_standing: The owner's one address, rather than that of a payment request.
    """

    id: int
    chain_id: int
    address: Address
    factory: Address
    salt: bytes
    owner: Owner
    is_standing: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewAddress:
    """An address on its way into the store; see `DepositAddress`."""

    chain_id: int
    address: Address
    factory: Address
    salt: bytes
    owner: Owner
    is_standing: bool


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A payment request on its way into the store; see `PaymentRequest`."""

    id: UUID
    asset: str
    amount: int
    reference: str
    made_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StraySeen:
    """A Transfer of another token to a request's address; it proves nothing and pays nothing.

    Attributes:
        amount: As its log says.
    """

    token: Address
    tx_hash: TxHash
    block_number: int
    log_index: int
    amount: int


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What an owner asked to be paid, at an address that is its reference.

    Attributes:
        reference: The owner's own; unique for it.
        amount: Minor units asked for.
        received: What came in final logs that the ledger holds, minor units.
        held: What of it is in suspense, too late deposits included.
        surplus: What came above `amount` by the deposit that paid it.
        version: Sequence of its newest event.
        made_by: Principal that asked.
        strays: Other tokens that came to its address.
    """

    id: UUID
    owner: Owner
    chain_id: int
    asset: str
    amount: int
    reference: str
    address: Address
    status: RequestStatus
    flags: frozenset[Flag]
    received: int
    held: int
    surplus: int
    version: int
    made_by: str
    created_at: datetime
    expires_at: datetime
    strays: Sequence[StraySeen] = ()


@dataclass(frozen=True, slots=True)
class Deposit:
    """One final token log that came in, and what became of it.

    Attributes:
        owner: Who has it, or is to have it; None: nobody known.
        amount: Token units; may be more than the ledger can hold.
        to_address: None, as `request_id` is, where it is another's than the one who asks.
        request_id: The request whose address it came to.
        ledger_sequence: The ledger transaction that brought it in.
        credited_sequence: The later one that took it out of suspense.
        break_id: The break that tells a person of it.
        version: Sequence of its newest event.
    """

    id: UUID
    chain_id: int
    block_hash: BlockHash
    log_index: int
    block_number: int
    mined_at: datetime
    tx_hash: TxHash
    asset: str
    amount: int
    from_address: Address
    to_address: Address | None
    owner: Owner | None
    request_id: UUID | None
    status: DepositStatus
    flags: frozenset[Flag]
    ledger_sequence: int | None
    credited_sequence: int | None
    break_id: UUID | None
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """Where a deposit came to.

    Attributes:
        terms: Of the request whose address it is; None: a standing address, or a payout's.
        request_version: Sequence of the request's newest event.
        payout: Of the payout whose address it is.
    """

    address_id: int
    owner: Owner
    terms: Terms | None = None
    request_version: int = 0
    payout: PayoutTerms | None = None


@dataclass(frozen=True, slots=True)
class DepositRow:
    """A deposit on its way into the store.

    Attributes:
        address_id: The deposit address; None: it came to another address of the node.
        is_counted: Whether it counts towards its request while it is held.
        break_fingerprint: Of the break that tells a person of it, opened in the same transaction.
        payout_id: The payout that it is for.
        settlement_number: Of the `Settled` that directly follows it, by the contract that paid.
    """

    id: UUID
    block_hash: BlockHash
    log_index: int
    block_number: int
    mined_at: datetime
    tx_hash: TxHash
    asset: str
    amount: int
    from_address: Address
    to_address: Address
    address_id: int | None
    owner: Owner | None
    request_id: UUID | None
    status: DepositStatus
    flags: frozenset[Flag]
    is_counted: bool
    break_fingerprint: str | None
    ledger_sequence: int | None
    payout_id: UUID | None = None
    settlement_number: int | None = None


@dataclass(frozen=True, slots=True)
class DepositBooking:
    """What one deposit books, and what becomes of it.

    Attributes:
        key: Of its ledger transaction.
        kind: Of it: `deposit`, or `suspense` where nobody has it yet.
        entries: None where no entry can hold the amount.
        new_break: What a person must be told.
        row: As it is stored, without the sequence it is booked under.
        target: Where it came to, as it was before.
    """

    key: str
    kind: str
    entries: Sequence[Entry]
    new_break: NewBreak | None
    row: DepositRow
    judgement: Judgement
    target: Target

    @property
    def is_paying(self) -> bool:
        """Whether the request is paid by it."""
        return self.judgement.ruling is Ruling.COMPLETE

    @property
    def target_after(self) -> Target:
        """Where the next deposit to the same address comes to."""
        if self.target.terms is None:
            return self.target
        return replace(
            self.target,
            terms=after(self.target.terms, self.row.amount, self.judgement),
            request_version=self.target.request_version + self.is_paying,
        )
