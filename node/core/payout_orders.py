"""Payouts that a partner was asked to make: what was registered, what it tells, what follows. Pure.

The partner's word ends a transfer, so it is compared with what was ordered before it is believed.
What is booked then is `node.core.ledger`; asking the partner is `node.services.payouts`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from node.core.errors import Conflict, Refused, Unavailable
from node.core.payouts import BankAccount, RefundPolicy
from node.core.transfers import Happening, State
from node.core.units import Address, Money, TxHash

ASKED_AGAIN_MAX_S: Final = 30
"""A partner is asked at least this often about a payout that it has not ended."""

_DOUBLINGS_MAX: Final = 5
_STEADY: Final = _DOUBLINGS_MAX + 1  # the wait grows no more; above it only silence is counted
_SILENT: Final = _STEADY + 20
_TOLD_WITHIN: Final = timedelta(hours=1)
_WORKS_WITHIN: Final = timedelta(days=7)

LATE_WORD_EVERY: Final = timedelta(hours=1)
"""A partner is asked this often about a payout that two operators concluded without its word."""


class QuoteBound(Conflict):
    """A payout to another beneficiary is registered for the quote."""

    code = "quote_bound"
    title = "The quote is bound to another beneficiary"


class PartnerRefused(Refused):
    """The partner that would pay out refuses (`reason`: its code). Nothing was consumed."""

    code = "partner_refused"
    title = "The partner refuses"


class PartnerUnavailable(Unavailable):
    """The partner that would pay out does not answer. Nothing was consumed; ask again."""

    code = "partner_unavailable"
    title = "The partner is away"


class PartnerBusy(PartnerUnavailable):
    """The partner answers that it cannot do this one now; others it may."""


class OrderState(StrEnum):
    """How far the registration of a payout is."""

    REGISTERING = "registering"  # the partner is asked; nobody knows yet
    REGISTERED = "registered"  # it gave an address to pay to
    REFUSED = "refused"  # it will not pay this beneficiary; another may be named
    LAPSED = "lapsed"  # its price or its time to pay is over, and nothing was paid
    DISPUTED = "disputed"  # it tells other than what was ordered: an operator decides
    CLOSED = "closed"  # it was paid out, or the money is back


class Conclusion(StrEnum):
    """How two operators end a payout that its partner does not end."""

    GIVEN_BACK = "given_back"  # the customer has its money again, and the node the loss
    PAID_OUT = "paid_out"  # something outside the system shows that the beneficiary was paid


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """One payout, asked of a partner for one quote.

    Attributes:
        quote_id: Of the node; it also names the registration to the partner.
        beneficiary_hash: Whom it is for: see `beneficiary_hash`.
        purpose: As the sender says it.
        refund_policy: What follows when the partner's rail refuses for good.
        tries: Registrations that the partner refused; a new one has a key of its own.
        payout_id: As the partner names it; it and what follows are set once it is registered.
        address: Where the partner wants the token.
        reference: The partner's, for people.
        pay_by: Until when it takes the token, aware UTC.
        told: What the partner told last of it.
        refund_tx: Transaction that sent the money back, as the partner told.
        asks: Questions in a row that changed nothing, or got no answer (`is_silent`).
        concluded: By two operators; the partner's word moves nothing any more.
    """

    quote_id: UUID
    partner_id: UUID
    beneficiary_hash: bytes
    state: OrderState
    purpose: str | None = None
    refund_policy: RefundPolicy = RefundPolicy.REFUND
    tries: int = 0
    payout_id: str | None = None
    address: Address | None = None
    reference: str | None = None
    pay_by: datetime | None = None
    told: "PartnerState | None" = None
    refund_tx: TxHash | None = None
    refund_minor: int | None = None
    asks: int = 0
    concluded: Conclusion | None = None

    @property
    def key(self) -> str:
        """The idempotency key of its registration: the same until the partner refuses it."""
        return f"{self.quote_id}-{self.tries}"


@dataclass(frozen=True, slots=True)
class Payee:
    """A beneficiary as a partner is told; personal data.

    Attributes:
        country: ISO 3166-1 alpha-2.
    """

    name: str
    country: str
    account: BankAccount


class ChangeKind(StrEnum):
    """What a sender may ask of a partner about a payout that it was paid for."""

    CORRECT = "correct"  # the beneficiary as it should have been, after the rail refused
    REFUND = "refund"  # the money back, instead of paying out


class ChangeState(StrEnum):
    """How far such a question is."""

    ASKING = "asking"  # the partner may have done it; it is asked again under the same key
    DONE = "done"
    REFUSED = "refused"  # it did nothing


CHANGEABLE: Final[Mapping[ChangeKind, frozenset[State]]] = {
    ChangeKind.CORRECT: frozenset({State.UNDELIVERABLE}),
    ChangeKind.REFUND: frozenset({State.UNDELIVERABLE, State.PAYOUT_PENDING}),
}
"""States of a transfer in which it may be asked; whether it still can be, the partner says."""


class PartnerState(StrEnum):
    """Where a payout is by the partner's word, in the meaning of SEP-31's statuses."""

    AWAITING = "awaiting"  # the token has not come
    WORKING = "working"  # it came, and the payout is on its way
    STUCK = "stuck"  # its operator decides
    UNDELIVERABLE = "undeliverable"  # the rail refused; other data, or the money back
    PAID_OUT = "paid_out"
    REFUNDED = "refunded"
    EXPIRED = "expired"  # the token did not come in time


@dataclass(frozen=True, slots=True)
class Matched:
    """The payment on the chain that the partner took for the payout's.

    Attributes:
        number: Payment number in the settlement contract that paid.
    """

    tx_hash: TxHash
    number: int
    amount: int


@dataclass(frozen=True, slots=True)
class PartnerRefund:
    """Money that the partner sends back.

    Attributes:
        id: As the partner names it.
        tx_hash: Once it is sent; `number` is its payment number in the partner's contract.
        amount: Minor units of the token.
    """

    id: str
    amount: int
    tx_hash: TxHash | None
    number: int | None


@dataclass(frozen=True, slots=True)
class PartnerPayout:
    """A payout as the partner states it.

    Attributes:
        client_reference: What the node called it when it was registered: its quote.
        reason: Why it cannot be paid out, where it cannot: `code` of the partner.
    """

    id: str
    state: PartnerState
    quote_id: str
    client_reference: str
    reference: str
    sell: Money
    buy: Money
    chain_id: int
    token: Address
    address: Address
    pay_by: datetime
    matched: Matched | None
    refund: PartnerRefund | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a partner must state of a payout, by the node's own books.

    Attributes:
        quote_id: As the partner names its quote.
        number: Payment number by which the node paid it; None: it has not.
        tx_hash: Final, of that payment.
    """

    order: PayoutOrder
    quote_id: str
    sell: Money
    buy: Money
    chain_id: int
    token: Address
    number: int | None = None
    tx_hash: TxHash | None = None


@dataclass(frozen=True, slots=True)
class Contradicted:
    """One thing of which the partner tells other than what was ordered or paid."""

    what: str
    expected: str
    actual: str


def beneficiary_hash(quote_id: UUID, name: str, country: str, account: BankAccount) -> bytes:
    """SHA-256 of whom a payout is for; of the same person for another quote it is another.

    Each text goes in after its length (4 bytes, big-endian), so that no two people are one.
    """
    digest = hashlib.sha256(quote_id.bytes)
    for each in (name, country, account.number, account.bank_code):
        text = each.encode()
        digest.update(len(text).to_bytes(4) + text)
    return digest.digest()


def contradictions(expected: Expected, told: PartnerPayout) -> Sequence[Contradicted]:
    """What the partner states otherwise; nothing of that is believed.

    Before it is registered, `expected.order` says neither id nor address, and both are taken over.
    """
    order = expected.order
    pairs: list[tuple[str, object, object]] = [
        ("quote", expected.quote_id, told.quote_id),
        ("client_reference", str(order.quote_id), told.client_reference),
        ("sell", _money_text(expected.sell), _money_text(told.sell)),
        ("buy", _money_text(expected.buy), _money_text(told.buy)),
        ("chain", expected.chain_id, told.chain_id),
        ("token", f"0x{expected.token.hex()}", f"0x{told.token.hex()}"),
    ]
    if order.payout_id is not None and order.address is not None:
        pairs += [
            ("id", order.payout_id, told.id),
            ("reference", order.reference, told.reference),
            ("address", f"0x{order.address.hex()}", f"0x{told.address.hex()}"),
        ]
    if told.matched is not None and expected.tx_hash is not None:
        paid_by, matched = expected.tx_hash.hex(), told.matched.tx_hash.hex()
        pairs += [
            ("matched transaction", f"0x{paid_by}", f"0x{matched}"),
            ("matched number", expected.number, told.matched.number),
            ("matched amount", expected.sell.minor, told.matched.amount),
        ]
    if told.state is PartnerState.PAID_OUT and told.matched is None:
        pairs.append(("matched", "the payment that it was paid by", "none"))
    if told.refund is not None and not 0 < told.refund.amount <= expected.sell.minor:
        pairs.append(("refund", f"above 0, at most {expected.sell.minor}", told.refund.amount))
    if told.state is PartnerState.REFUNDED and not _is_sent(told.refund):
        pairs.append(("refund", "the payment that sent it back", "none"))
    return [
        Contradicted(what, str(wanted), str(actual))
        for what, wanted, actual in pairs
        if wanted != actual
    ]


def follows(state: State, told: PartnerState) -> Sequence[Happening]:
    """What a partner's word does to a transfer that it was paid for; the money back apart.

    Args:
        state: Of the transfer; what is not at the partner by the node's own final blocks does not
            move, however much the partner knows already.
        told: By the partner.
    """
    if state is State.PAYOUT_PENDING and told is PartnerState.PAID_OUT:
        return (Happening.PAID_OUT,)
    if state is State.PAYOUT_PENDING and told in _FAILED:
        return (Happening.UNDELIVERABLE,)
    if state is State.UNDELIVERABLE and told is PartnerState.PAID_OUT:
        return (Happening.PAYOUT_RETRIED, Happening.PAID_OUT)
    if state is State.UNDELIVERABLE and told is PartnerState.WORKING:
        return (Happening.PAYOUT_RETRIED,)
    return ()


_FAILED: Final = frozenset({PartnerState.UNDELIVERABLE, PartnerState.REFUNDED})
_HAS_NOT: Final = frozenset({PartnerState.AWAITING, PartnerState.EXPIRED, PartnerState.STUCK})


def asked_again_after(asks: int) -> timedelta:
    """How long after so many answers that changed nothing the partner is asked again."""
    return timedelta(seconds=min(ASKED_AGAIN_MAX_S, 1 << min(asks, _DOUBLINGS_MAX)))


def asks_after(asks: int, *, changed: bool) -> int:
    """Answers in a row that changed nothing, after one more; silence counts on (`is_silent`)."""
    return 0 if changed else min(asks + 1, _STEADY)


def is_silent(asks: int) -> bool:
    """Whether a partner has not answered so often in a row, 30 s apart, that somebody is told."""
    return asks >= _SILENT


def is_stalled(told: PartnerState, now: datetime, settle_by: datetime) -> bool:
    """Whether a partner goes on for too long: it has not what it was paid, is stuck, or works.

    An hour for what says that a payment has not come that is final, a week for what it works on.

    Args:
        told: By the partner.
        now: Database clock.
        settle_by: Of the transfer that paid: until then at the latest it was sent.
    """
    within = _TOLD_WITHIN if told in _HAS_NOT else _WORKS_WITHIN
    return told is not PartnerState.PAID_OUT and now > settle_by + within


def may_conclude(order: PayoutOrder, asks: int, now: datetime, settle_by: datetime) -> bool:
    """Whether two operators may end a payout: not while its partner answers and has time.

    Args:
        order: As it is registered.
        asks: Questions in a row that got no answer, about the payout or a change of it.
        now: Database clock.
        settle_by: Of the transfer that paid.
    """
    is_overdue = now > settle_by + _TOLD_WITHIN
    return order.state is OrderState.DISPUTED or is_silent(asks) or is_overdue


def late_word(concluded: Conclusion | None, told: PartnerPayout) -> Sequence[Contradicted]:
    """What a partner tells otherwise than two operators concluded; nothing follows from it.

    Money that comes back after the customer got its own is no contradiction: the loss is less.
    """
    match concluded, told.state:
        case Conclusion.GIVEN_BACK, PartnerState.PAID_OUT:
            return [Contradicted("payout", "given back to the customer", "paid out")]
        case Conclusion.PAID_OUT, PartnerState.REFUNDED:
            return [Contradicted("payout", "paid out, by other evidence", "sent back")]
        case _:
            return []


def _is_sent(refund: PartnerRefund | None) -> bool:
    return refund is not None and refund.tx_hash is not None and refund.number is not None


def _money_text(money: Money) -> str:
    return f"{money} {money.asset.code}"
