"""What answers look like: one TypedDict per object, and the function that makes it.

A view is a plain dict, so that making one costs nothing on the hot path; the types are what the
OpenAPI document shows and what the tests check every answer against.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from typing_extensions import TypedDict

from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.parties import Customer
from node.core.payouts import PAYOUT_STATUS, BankAccount, PayoutState, masked
from node.core.ports.chain import AddressCodec
from node.core.ports.transfers import EventRow, PartnerPayoutRow, Transfer
from node.core.transfers import STATUS, WITH_PARTNER, State
from node.core.units import Money

View = TypeVar("View")

_EXPLAINED: Final = frozenset(
    {
        State.CANCELED,
        State.FAILED,
        State.EXPIRED,
        State.UNDELIVERABLE,
        State.REFUNDED,
        State.ON_HOLD,
    }
)
"""States with a failure to show; before, what may become one is not told."""
_PAID: Final = frozenset({State.SETTLED, *WITH_PARTNER})


class ListView(TypedDict, Generic[View]):
    """A list that is shown whole."""

    data: list[View]


class PageView(TypedDict, Generic[View]):
    """One page of a list, newest first."""

    data: list[View]
    next_cursor: str | None


class MoneyView(TypedDict):
    """An exact amount: a decimal string with exactly the currency's digits."""

    currency: str
    amount: str


class CustomerView(TypedDict):
    """A customer."""

    id: str
    name: str
    country: str
    email: str | None
    created_at: str


class TokenView(TypedDict):
    """A remitter's credential; `token` is shown this once."""

    key_id: str
    customer_id: str
    token: str
    created_at: str


class FeeView(TypedDict):
    """One fee, in the sell currency."""

    type: str
    currency: str
    amount: str


class AccountView(TypedDict):
    """An account at a bank; only the end of `number` is shown."""

    type: str
    number: str
    bank_code: str


class BeneficiaryView(TypedDict):
    """Who is paid; where a partner pays out, `account`, and `address` is the partner's."""

    name: str
    country: str
    address: str
    account: AccountView | None


class PayeeView(TypedDict):
    """Whom a partner was told to pay."""

    name: str
    country: str
    account: AccountView | None


class PartnerPayoutView(TypedDict):
    """What the partner makes of a transfer that it pays out.

    `payout_id` and `reference` are its own, `paid` is what it gets on chain, and `told` what it
    told last: awaiting, working, stuck, undeliverable, paid_out, refunded or expired.
    `refund_policy` says what follows where its rail refuses, and `corrected` whom it was told to
    pay instead of the transfer's beneficiary after that.
    """

    partner: str
    payout_id: str
    reference: str
    paid: MoneyView
    told: str | None
    pay_by: str
    refund_policy: str
    corrected: PayeeView | None


class OnchainView(TypedDict):
    """Where a transfer is on the chain."""

    chain_id: int
    contract: str
    token: str
    payment_number: int
    tx_hash: str | None
    block_number: int | None
    confirmations: int
    final: bool


class WaitingView(TypedDict):
    """Why a transfer cannot be batched now."""

    code: str
    since: str


class FailureView(TypedDict):
    """Why a transfer did not pay: its money is back, or it is on hold."""

    code: str
    message: str


class TransferView(TypedDict):
    """A transfer: `status` is the stable word, `state` the precise one."""

    id: str
    status: str
    state: str
    waiting: WaitingView | None
    quote_id: str
    customer_id: str
    sell: MoneyView
    buy: MoneyView
    fees: list[FeeView]
    beneficiary: BeneficiaryView
    client_reference: str | None
    purpose: str | None
    created_at: str
    settle_by: str
    cancellable: bool
    settlement: OnchainView
    payout: PartnerPayoutView | None
    failure: FailureView | None


class TimelineView(TypedDict):
    """One line of a transfer's timeline; `sequence` from 1."""

    sequence: int
    type: str
    state: str
    status: str
    occurred_at: str
    detail: dict[str, Any]


class EventView(TypedDict):
    """One event; `sequence` rises, with gaps, and `object_sequence` within its object from 1."""

    sequence: int
    object_sequence: int
    type: str
    object: str
    object_id: str
    state: str
    status: str
    occurred_at: str
    detail: dict[str, Any]


class EventsView(TypedDict):
    """Events, ascending; ask again with `after` = `next_after`."""

    data: list[EventView]
    next_after: int


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC with `Z`, to the microsecond where there are any."""
    return moment.isoformat().removesuffix("+00:00") + "Z"


def hex_text(value: bytes) -> str:
    """A hash as the chain's tools print it."""
    return "0x" + value.hex()


def money_view(money: Money) -> MoneyView:
    """An amount with its currency."""
    return {"currency": money.asset.code, "amount": str(money)}


def customer_view(customer: Customer) -> CustomerView:
    """A customer."""
    return {
        "id": encode_id(Prefix.CUSTOMER, customer.id),
        "name": customer.name,
        "country": customer.country,
        "email": customer.email,
        "created_at": time_text(customer.created_at),
    }


def fee_views(service: Money, network: Money) -> list[FeeView]:
    """Fees as a quote and its transfer list them."""
    return [
        {"type": kind, "currency": fee.asset.code, "amount": str(fee)}
        for kind, fee in (("service", service), ("network", network))
    ]


def transfer_view(
    transfer: Transfer, catalog: Catalog, addresses: AddressCodec, head_number: int | None
) -> TransferView:
    """A transfer; `head_number` is the newest block known, for the count of confirmations."""
    amounts = transfer.amounts
    sell, bought = catalog.asset(amounts.sell_asset), catalog.asset(amounts.buy_asset)
    payout, paid = transfer.payout, Money(amounts.buy, bought)
    waiting: WaitingView | None = None
    if transfer.waiting_code is not None and transfer.waiting_since is not None:
        waiting = {"code": transfer.waiting_code, "since": time_text(transfer.waiting_since)}
    return {
        "id": encode_id(Prefix.TRANSFER, transfer.id),
        "status": STATUS[transfer.state].value,
        "state": transfer.state.value,
        "waiting": waiting,
        "quote_id": encode_id(Prefix.QUOTE, transfer.quote_id),
        "customer_id": encode_id(Prefix.CUSTOMER, transfer.customer_id),
        "sell": money_view(Money(amounts.sell, sell)),
        "buy": money_view(paid if payout is None else payout.delivered),
        "fees": fee_views(
            Money(amounts.service_fee_minor, sell), Money(amounts.network_fee_minor, sell)
        ),
        "beneficiary": {
            "name": transfer.beneficiary.name,
            "country": transfer.beneficiary.country,
            "address": transfer.beneficiary.address,
            "account": account_view(transfer.beneficiary.account),
        },
        "client_reference": transfer.client_reference,
        "purpose": transfer.purpose,
        "created_at": time_text(transfer.created_at),
        "settle_by": time_text(transfer.settle_by),
        "cancellable": transfer.is_cancellable,
        "settlement": _onchain(transfer, catalog, addresses, head_number),
        "payout": None if payout is None else _payout(payout, paid),
        "failure": failure_view(transfer.failure) if transfer.state in _EXPLAINED else None,
    }


def account_view(account: BankAccount | None) -> AccountView | None:
    """An account, masked."""
    if account is None:
        return None
    return {"type": "bank", "number": masked(account.number), "bank_code": account.bank_code}


def _payout(payout: PartnerPayoutRow, paid: Money) -> PartnerPayoutView:
    return {
        "partner": payout.partner,
        "payout_id": payout.payout_id,
        "reference": payout.reference,
        "paid": money_view(paid),
        "told": payout.told,
        "pay_by": time_text(payout.pay_by),
        "refund_policy": payout.refund_policy.value,
        "corrected": None
        if (payee := payout.corrected) is None
        else {
            "name": payee.name,
            "country": payee.country,
            "account": account_view(payee.account),
        },
    }


def timeline_view(row: EventRow) -> TimelineView:
    """A line of one transfer's timeline."""
    return {
        "sequence": row.object_sequence,
        "type": row.type,
        "state": row.state.value,
        "status": _status(row).value,
        "occurred_at": time_text(row.occurred_at),
        "detail": dict(row.detail),
    }


_PREFIXES: Final = {
    "transfer": Prefix.TRANSFER,
    "payment_request": Prefix.PAYMENT_REQUEST,
    "deposit": Prefix.DEPOSIT,
    "bulk_transfer": Prefix.BULK,
    "payout": Prefix.PAYOUT,
    "refund": Prefix.REFUND,
}


def _status(row: EventRow) -> StrEnum:
    """The stable word: of transfers and payouts one of the few, of others their own."""
    if isinstance(row.state, PayoutState):
        return PAYOUT_STATUS[row.state]
    return STATUS[row.state] if isinstance(row.state, State) else row.state


def object_id_text(object_type: str, object_id: UUID) -> str:
    """The id of what an event is about."""
    return encode_id(_PREFIXES[object_type], object_id)


def event_view(row: EventRow) -> EventView:
    """A line of the stream of all events."""
    return {
        "sequence": row.sequence,
        "object_sequence": row.object_sequence,
        "type": row.type,
        "object": row.object_type,
        "object_id": object_id_text(row.object_type, row.object_id),
        "state": row.state.value,
        "status": _status(row).value,
        "occurred_at": time_text(row.occurred_at),
        "detail": dict(row.detail),
    }


def failure_view(failure: Mapping[str, str] | None) -> FailureView | None:
    """Why something failed; None where nothing did."""
    return None if failure is None else {"code": failure["code"], "message": failure["message"]}


def _onchain(
    transfer: Transfer, catalog: Catalog, addresses: AddressCodec, head_number: int | None
) -> OnchainView:
    confirmations = 0
    if transfer.block_number is not None and head_number is not None:
        confirmations = max(0, head_number - transfer.block_number + 1)
    return {
        "chain_id": transfer.chain_id,
        "contract": addresses.text(transfer.contract),
        "token": addresses.text(catalog.token.address),
        "payment_number": transfer.payment_number,
        "tx_hash": None if transfer.tx_hash is None else hex_text(transfer.tx_hash),
        "block_number": transfer.block_number,
        "confirmations": confirmations,
        "final": transfer.state in _PAID and transfer.block_number is not None,
    }


def id_or_none(prefix: Prefix, value: UUID | None) -> str | None:
    """The identifier, where there is one."""
    return None if value is None else encode_id(prefix, value)
