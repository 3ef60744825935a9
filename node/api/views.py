"""What answers look like: one TypedDict per object, and the function that makes it.

A view is a plain dict, so that making one costs nothing on the hot path; the types are what the
OpenAPI document shows and what the tests check every answer against.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from typing_extensions import TypedDict

from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ledger import Balance
from node.core.parties import Customer
from node.core.ports.chain import AddressCodec
from node.core.ports.ledger import AccountRow, EntryRow, TrialRow
from node.core.ports.transfers import EventRow, TopUp, Transfer
from node.core.quotes import Corridor, Price, Quote, QuoteStatus
from node.core.transfers import STATUS, State
from node.core.units import Asset, Money, format_minor

View = TypeVar("View")

_PAID: Final = frozenset({State.SETTLED, State.PAID_OUT, State.PAYOUT_PENDING})


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


class AssetView(TypedDict):
    """Something that can be sold, bought or held."""

    code: str
    name: str
    digits: int
    kind: str
    chain_id: int | None
    address: str | None


class CorridorView(TypedDict):
    """A pair that can be exchanged, with all it costs."""

    sell: str
    buy: str
    payout: dict[str, Any]
    service_fee_bps: int
    service_fee_min: MoneyView
    network_fee: MoneyView
    spread_bps: int
    sell_min: MoneyView
    sell_max: MoneyView


class FeeView(TypedDict):
    """One fee, in the sell currency."""

    type: str
    currency: str
    amount: str


class CostView(TypedDict):
    """Everything the sender pays above the mid rate."""

    currency: str
    amount: str
    percent: str


class RateSourceView(TypedDict):
    """A rate as its source states it: `rate` buy units per one sell unit."""

    name: str
    sell: str
    buy: str
    rate: str
    observed_at: str
    stale: bool


class PayoutView(TypedDict):
    """How and how soon the beneficiary is paid."""

    method: str
    estimated_delivery_s: int


class PriceView(TypedDict):
    """An indicative price; nothing is promised."""

    firm: bool
    fixed_side: str
    sell: MoneyView
    buy: MoneyView
    rate: str
    mid_rate: str
    spread_bps: int
    fees: list[FeeView]
    total_cost: CostView
    rate_sources: list[RateSourceView]
    payout: PayoutView


class QuoteView(PriceView):
    """A firm quote; `status` is active, consumed, expired or revoked."""

    id: str
    status: str
    customer_id: str | None
    transfer_id: str | None
    created_at: str
    expires_at: str


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


class BalanceView(TypedDict):
    """What a customer has: `available` may be spent, `reserved` is held by open transfers."""

    currency: str
    available: str
    reserved: str


class TopUpView(TypedDict):
    """Money that arrived."""

    id: str
    customer_id: str
    currency: str
    amount: str
    rail: str
    reference: str
    funded_by: str
    created_at: str


class MovementLineView(TypedDict):
    """One line of a statement: `direction` in or out, `balance` after it."""

    sequence: int
    type: str
    direction: str
    currency: str
    amount: str
    balance: str | None
    transfer_id: str | None
    detail: dict[str, str]
    occurred_at: str


class BeneficiaryView(TypedDict):
    """Who is paid."""

    name: str
    country: str
    address: str


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
    """Why a transfer did not pay; its money is back or on its way."""

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
    """One event; `sequence` rises, with gaps."""

    sequence: int
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


class TrialView(TypedDict):
    """Posted debits and credits of one currency; equal."""

    currency: str
    debits: str
    credits: str


class AccountView(TypedDict):
    """An account with its balances, on the side on which its kind grows."""

    id: str
    path: str
    kind: str
    currency: str
    posted: str
    reserved: str
    available: str
    debits_pending: str
    debits_posted: str
    credits_pending: str
    credits_posted: str
    created_at: str


class EntryView(TypedDict):
    """An entry as seen from one account; `side` is debit or credit."""

    sequence: int
    type: str
    status: str
    side: str
    counter_account: str
    currency: str
    amount: str
    balance: str | None
    transfer_id: str | None
    detail: dict[str, str]
    occurred_at: str


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC with `Z`, to the microsecond where there are any."""
    return moment.isoformat().removesuffix("+00:00") + "Z"


def hex_text(value: bytes) -> str:
    """A hash as the chain's tools print it."""
    return "0x" + value.hex()


def money_view(money: Money) -> MoneyView:
    """An amount with its currency."""
    return {"currency": money.asset.code, "amount": str(money)}


def asset_view(asset: Asset, catalog: Catalog, addresses: AddressCodec) -> AssetView:
    """An asset; a token says where it is."""
    is_token = asset == catalog.token.asset
    return {
        "code": asset.code,
        "name": asset.name,
        "digits": asset.digits,
        "kind": "token" if is_token else "currency",
        "chain_id": catalog.token.chain_id if is_token else None,
        "address": addresses.text(catalog.token.address) if is_token else None,
    }


def corridor_view(corridor: Corridor) -> CorridorView:
    """A corridor."""

    def sell(minor: int) -> MoneyView:
        return money_view(Money(minor, corridor.sell))

    return {
        "sell": corridor.sell.code,
        "buy": corridor.buy.code,
        "payout": {
            "method": corridor.payout_method,
            "estimated_delivery_s": corridor.estimated_delivery_s,
        },
        "service_fee_bps": corridor.service_fee_bps,
        "service_fee_min": sell(corridor.service_fee_min_minor),
        "network_fee": sell(corridor.network_fee_minor),
        "spread_bps": corridor.spread_bps,
        "sell_min": sell(corridor.sell_min_minor),
        "sell_max": sell(corridor.sell_max_minor),
    }


def price_view(price: Price, *, firm: bool = False) -> PriceView:
    """A price with everything that lies between its two amounts."""
    currency = price.sell.asset.code
    return {
        "firm": firm,
        "fixed_side": price.fixed_side.value,
        "sell": money_view(price.sell),
        "buy": money_view(price.buy),
        "rate": format(price.rate, "f"),
        "mid_rate": format(price.mid_rate, "f"),
        "spread_bps": price.spread_bps,
        "fees": [
            {"type": "service", "currency": currency, "amount": str(price.service_fee)},
            {"type": "network", "currency": currency, "amount": str(price.network_fee)},
        ],
        "total_cost": {
            "currency": currency,
            "amount": str(price.total_cost),
            "percent": price.total_cost_percent,
        },
        "rate_sources": [
            {
                "name": each.source,
                "sell": each.sell,
                "buy": each.buy,
                "rate": each.text,
                "observed_at": time_text(each.observed_at),
                "stale": each.stale,
            }
            for each in price.sources
        ],
        "payout": {
            "method": price.payout_method,
            "estimated_delivery_s": price.estimated_delivery_s,
        },
    }


def quote_view(quote: Quote, status: QuoteStatus) -> QuoteView:
    """A firm quote."""
    return {
        "id": encode_id(Prefix.QUOTE, quote.id),
        "status": status.value,
        **price_view(quote.price, firm=True),
        "customer_id": _id_or_none(Prefix.CUSTOMER, quote.customer_id),
        "transfer_id": _id_or_none(Prefix.TRANSFER, quote.transfer_id),
        "created_at": time_text(quote.created_at),
        "expires_at": time_text(quote.expires_at),
    }


def customer_view(customer: Customer) -> CustomerView:
    """A customer."""
    return {
        "id": encode_id(Prefix.CUSTOMER, customer.id),
        "name": customer.name,
        "country": customer.country,
        "email": customer.email,
        "created_at": time_text(customer.created_at),
    }


def balance_view(balance: Balance, catalog: Catalog) -> BalanceView:
    """A customer's balance of one currency."""
    digits = catalog.ledger_asset(balance.asset).digits
    return {
        "currency": balance.asset,
        "available": format_minor(balance.available, digits),
        "reserved": format_minor(balance.reserved, digits),
    }


def top_up_view(top_up: TopUp, catalog: Catalog) -> TopUpView:
    """A top-up."""
    return {
        "id": encode_id(Prefix.TOP_UP, top_up.id),
        "customer_id": encode_id(Prefix.CUSTOMER, top_up.customer_id),
        "currency": top_up.asset,
        "amount": format_minor(top_up.amount, catalog.ledger_asset(top_up.asset).digits),
        "rail": top_up.rail,
        "reference": top_up.reference,
        "funded_by": top_up.funded_by,
        "created_at": time_text(top_up.created_at),
    }


def movement_line_view(row: EntryRow, catalog: Catalog) -> MovementLineView:
    """A line of a customer's statement; the customer's account grows on the credit side."""
    digits = catalog.ledger_asset(row.asset).digits
    return {
        "sequence": row.sequence,
        "type": row.kind,
        "direction": "out" if row.is_debit else "in",
        "currency": row.asset,
        "amount": format_minor(row.amount, digits),
        "balance": _formatted(row.balance_after, digits),
        "transfer_id": _id_or_none(Prefix.TRANSFER, row.transfer_id),
        "detail": dict(row.detail),
        "occurred_at": time_text(row.occurred_at),
    }


def transfer_view(
    transfer: Transfer, catalog: Catalog, addresses: AddressCodec, head_number: int | None
) -> TransferView:
    """A transfer; `head_number` is the newest block known, for the count of confirmations."""
    amounts = transfer.amounts
    sell, buy = catalog.asset(amounts.sell_asset), catalog.asset(amounts.buy_asset)
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
        "buy": money_view(Money(amounts.buy, buy)),
        "fees": [
            {
                "type": "total",
                "currency": sell.code,
                "amount": format_minor(amounts.fees, sell.digits),
            }
        ],
        "beneficiary": {
            "name": transfer.beneficiary.name,
            "country": transfer.beneficiary.country,
            "address": transfer.beneficiary.address,
        },
        "client_reference": transfer.client_reference,
        "purpose": transfer.purpose,
        "created_at": time_text(transfer.created_at),
        "settle_by": time_text(transfer.settle_by),
        "cancellable": transfer.is_cancellable,
        "settlement": _onchain(transfer, catalog, addresses, head_number),
        "failure": failure_view(transfer.failure),
    }


def timeline_view(row: EventRow) -> TimelineView:
    """A line of one transfer's timeline."""
    return {
        "sequence": row.object_sequence,
        "type": row.type,
        "state": row.state.value,
        "status": STATUS[row.state].value,
        "occurred_at": time_text(row.occurred_at),
        "detail": dict(row.detail),
    }


def event_view(row: EventRow) -> EventView:
    """A line of the stream of all events."""
    return {
        "sequence": row.sequence,
        "type": row.type,
        "object": row.object_type,
        "object_id": encode_id(Prefix.TRANSFER, row.object_id),
        "state": row.state.value,
        "status": STATUS[row.state].value,
        "occurred_at": time_text(row.occurred_at),
        "detail": dict(row.detail),
    }


def trial_view(row: TrialRow, catalog: Catalog) -> TrialView:
    """One row of the trial balance."""
    digits = catalog.ledger_asset(row.asset).digits
    return {
        "currency": row.asset,
        "debits": format_minor(row.debits, digits),
        "credits": format_minor(row.credits, digits),
    }


def account_view(row: AccountRow, catalog: Catalog) -> AccountView:
    """An account of the chart."""
    balance = row.balance
    digits = catalog.ledger_asset(balance.asset).digits
    return {
        "id": encode_id(Prefix.ACCOUNT, row.id),
        "path": balance.path,
        "kind": balance.kind.value,
        "currency": balance.asset,
        "posted": format_minor(balance.posted, digits),
        "reserved": format_minor(balance.reserved, digits),
        "available": format_minor(balance.available, digits),
        "debits_pending": format_minor(balance.debits_pending, digits),
        "debits_posted": format_minor(balance.debits_posted, digits),
        "credits_pending": format_minor(balance.credits_pending, digits),
        "credits_posted": format_minor(balance.credits_posted, digits),
        "created_at": time_text(row.created_at),
    }


def entry_view(row: EntryRow, catalog: Catalog) -> EntryView:
    """An entry of one account."""
    digits = catalog.ledger_asset(row.asset).digits
    return {
        "sequence": row.sequence,
        "type": row.kind,
        "status": row.status,
        "side": "debit" if row.is_debit else "credit",
        "counter_account": row.counter_path,
        "currency": row.asset,
        "amount": format_minor(row.amount, digits),
        "balance": _formatted(row.balance_after, digits),
        "transfer_id": _id_or_none(Prefix.TRANSFER, row.transfer_id),
        "detail": dict(row.detail),
        "occurred_at": time_text(row.occurred_at),
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
        "final": transfer.state in _PAID,
    }


def _formatted(minor: int | None, digits: int) -> str | None:
    return None if minor is None else format_minor(minor, digits)


def _id_or_none(prefix: Prefix, value: UUID | None) -> str | None:
    return None if value is None else encode_id(prefix, value)
