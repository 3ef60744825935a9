"""What balances, statements and accounts look like in answers. See `views`."""

from typing import Final, Generic, TypeVar

from typing_extensions import TypedDict

from node.api.ledger_details import public_detail
from node.api.views import id_or_none, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ledger import Balance
from node.core.ports.history import AsOf, EntryRow
from node.core.ports.ledger import AccountRow, TrialRow
from node.core.ports.transfers import TopUp
from node.core.units import format_minor

View = TypeVar("View")


class AsOfView(TypedDict):
    """Up to where the ledger counts: everything up to `sequence`, which was booked at `booked_at`.

    The same question as of the same sequence is answered the same for ever.
    """

    sequence: int
    booked_at: str | None


class AsOfListView(TypedDict, Generic[View]):
    """A list that is shown whole, as of one point of the ledger."""

    data: list[View]
    as_of: AsOfView


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
    """One line of a statement: `direction` in or out, `balance` after it.

    `kind` is what it belongs to (`top_up`, `transfer`, `correction`); `part` what it is there:
    `deposit` (money came in), `exchange` (what is changed at the mid rate), `spread`, `fees`,
    `other`.
    """

    id: str
    sequence: int
    kind: str
    part: str
    direction: str
    currency: str
    amount: str
    balance: str | None
    transfer_id: str | None
    detail: dict[str, str]
    occurred_at: str


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


class AccountAsOfView(AccountView):
    """An account with its balances as of one point of the ledger."""

    as_of: AsOfView


class EntryView(TypedDict):
    """An entry as seen from one account; `side` is debit or credit.

    `kind` is that of its ledger transaction; `type` says the same, for older callers.
    """

    sequence: int
    kind: str
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


def as_of_view(as_of: AsOf) -> AsOfView:
    """A point of the ledger."""
    at = as_of.booked_at
    return {"sequence": as_of.sequence, "booked_at": None if at is None else time_text(at)}


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
        "id": str(row.id),
        "sequence": row.sequence,
        "kind": row.kind,
        "part": part_of(row.counter_path),
        "direction": "out" if row.is_debit else "in",
        "currency": row.asset,
        "amount": format_minor(row.amount, digits),
        "balance": _formatted(row.balance_after, digits),
        "transfer_id": id_or_none(Prefix.TRANSFER, row.transfer_id),
        "detail": public_detail(row.detail),
        "occurred_at": time_text(row.occurred_at),
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
        "kind": row.kind,
        "type": row.kind,
        "status": row.status,
        "side": "debit" if row.is_debit else "credit",
        "counter_account": row.counter_path,
        "currency": row.asset,
        "amount": format_minor(row.amount, digits),
        "balance": _formatted(row.balance_after, digits),
        "transfer_id": id_or_none(Prefix.TRANSFER, row.transfer_id),
        "detail": dict(row.detail),
        "occurred_at": time_text(row.occurred_at),
    }


def part_of(counter_path: str) -> str:
    """What a customer's entry with this account is, in its words."""
    whole, first = counter_path.rpartition("/")[0], counter_path.partition("/")[0]
    return _PARTS.get(whole) or _PARTS.get(first, "other")


_PARTS: Final = {
    "bank": "deposit",
    "partner": "deposit",
    "suspense": "deposit",
    "chain": "deposit",
    "loss": "deposit",
    "fx_position": "exchange",
    "deferred/spread": "spread",
    "deferred/fee": "fees",
}
"""Counter account, or its first word -> `part` of a statement's line."""


def _formatted(minor: int | None, digits: int) -> str | None:
    return None if minor is None else format_minor(minor, digits)
