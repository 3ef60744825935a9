"""The ledger's values: chart of accounts, entries, and what each event of the node books.

An entry is one row with a debit account, a credit account, one asset and an amount above 0, so
an imbalance cannot be written down. A pending ledger transaction holds its entries until one
resolution posts or voids all of them. Balances are derived from entries inside the database
(`node/store/migrations`); nothing here adds up an account.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from node.core.errors import InvariantBroken
from node.core.ids import Prefix, encode_id
from node.core.units import MINOR_LIMIT, Address

AMOUNT_MAX_MINOR: Final = 10**15
"""Largest amount of one order, minor units: thousands of them still fit the ledger's counters."""

NATIVE_DIGITS: Final = 9
"""Native coins are booked in units of 10^-9 (gwei), by the cumulative floor."""

WEI_PER_UNIT: Final = 10**9

PARTNER_REFUND: Final = "partner_refund"
"""Kind of what books that a partner sent a transfer's money back."""

PARTNER_LOSS: Final = "partner_loss"
"""Kind of what books that a partner keeps what it was paid for a transfer that is given back."""

PARTNER_RECOVERY: Final = "partner_recovery"
"""Kind of what books that a partner sent back what was a loss already."""


class AccountKind(StrEnum):
    """The side on which an account grows: debit for assets and expenses, credit for the rest."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"


_CHART: Final[Mapping[str, tuple[AccountKind, int | None]]] = {
    "customer": (AccountKind.LIABILITY, 0),
    "partner": (AccountKind.LIABILITY, 0),
    "bank": (AccountKind.ASSET, None),
    "chain": (AccountKind.ASSET, 0),
    "in_flight": (AccountKind.LIABILITY, 0),
    "partner_clearing": (AccountKind.ASSET, None),
    "payout_due": (AccountKind.LIABILITY, None),
    "fx_position": (AccountKind.EQUITY, None),
    "deferred": (AccountKind.LIABILITY, None),
    "income": (AccountKind.INCOME, None),
    "expense": (AccountKind.EXPENSE, None),
    "suspense": (AccountKind.LIABILITY, None),
    "capital": (AccountKind.EQUITY, None),
    "loss": (AccountKind.EXPENSE, None),
    "rounding": (AccountKind.EQUITY, None),
}
"""First word of a path -> kind, and the least available balance (None: either sign)."""


def account_rules(path: str) -> tuple[AccountKind, int | None]:
    """Kind and floor of the account at `path`.

    Raises:
        InvariantBroken: The chart has no such account.
    """
    rules = _CHART.get(path.partition("/")[0])
    if rules is None:
        raise InvariantBroken(f"the chart of accounts has no {path!r}")
    return rules


def customer_account(customer_id: UUID, asset: str) -> str:
    """What the node owes a customer."""
    return f"customer/{encode_id(Prefix.CUSTOMER, customer_id)}/{asset}"


def partner_account(partner_id: UUID, asset: str) -> str:
    """Prefunded balance of a partner."""
    return f"partner/{encode_id(Prefix.PARTNER, partner_id)}/{asset}"


def bank_account(rail: str, asset: str) -> str:
    """Money at the node's banks."""
    return f"bank/{rail}/{asset}"


def chain_account(chain_id: int, address: Address, asset: str) -> str:
    """What the chain says, finally, that an address of the node holds."""
    return f"chain/{chain_id}/0x{address.hex()}/{asset}"


def in_flight_account(chain_id: int, asset: str) -> str:
    """Promised on chain: its pending credits are all open payouts."""
    return f"in_flight/{chain_id}/{asset}"


def partner_clearing_account(partner_id: UUID, asset: str) -> str:
    """Paid to a partner on chain, its local payout not yet confirmed."""
    return f"partner_clearing/{encode_id(Prefix.PARTNER, partner_id)}/{asset}"


def suspense_account(chain_id: int, asset: str) -> str:
    """Came in and belongs to nobody known yet."""
    return f"suspense/{chain_id}/{asset}"


def gas_account(chain_id: int, asset: str) -> str:
    """Gas of every final transaction of the node, native coin in units of 10^-9."""
    return f"expense/gas/{chain_id}/{asset}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: `amount` minor units of `asset` from the credit to the debit account."""

    debit: str
    credit: str
    asset: str
    amount: int

    def __post_init__(self) -> None:
        if not 0 < self.amount < MINOR_LIMIT or self.debit == self.credit:
            raise InvariantBroken(
                f"no entry can be {self.amount} from {self.credit} to {self.debit}"
            )


@dataclass(frozen=True, slots=True)
class LedgerTransaction:
    """Entries booked together.

    Attributes:
        key: Books at most once: a key the ledger has is left out, silently.
        kind: `top_up`, `transfer`, `batch`, `gas`, `opening`, `movement`, `suspense`, `correction`,
            `partner_payout`, `partner_refund`, `partner_loss`, `partner_recovery`, or another of
            `node.core.bookings`.
        pending: Whether a resolution must still post or void it.
        entries: At least one, at most 999.
        transfer_id: The transfer it belongs to, if to one.
        detail: Where it comes from (block hash, log index, reason); strings.
    """

    key: str
    kind: str
    entries: Sequence[Entry]
    pending: bool = False
    transfer_id: UUID | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


class Outcome(StrEnum):
    """How a pending ledger transaction ends."""

    POSTED = "posted"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Resolution:
    """Posts or voids the pending ledger transaction `pending_sequence`, as a whole, once."""

    pending_sequence: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Balance:
    """The four counters of an account, minor units.

    Attributes:
        credit_line: How far below the floor of the chart it may be; of a partner's account.
    """

    path: str
    kind: AccountKind
    asset: str
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    credit_line: int = 0

    @property
    def posted(self) -> int:
        """Posted balance on the account's own side."""
        net = self.credits_posted - self.debits_posted
        return -net if self.kind in (AccountKind.ASSET, AccountKind.EXPENSE) else net

    @property
    def reserved(self) -> int:
        """What pending entries hold of the posted balance."""
        if self.kind in (AccountKind.ASSET, AccountKind.EXPENSE):
            return self.credits_pending
        return self.debits_pending

    @property
    def available(self) -> int:
        """Posted less reserved: what may still be spent."""
        return self.posted - self.reserved


@dataclass(frozen=True, slots=True)
class TransferAmounts:
    """The integers of one transfer, fixed at acceptance and reused for ever.

    Minor units. `sell = fees + principal`, `spread = floor(principal * spread_bps / 10^4)`.
    """

    sell_asset: str
    sell: int
    service_fee_minor: int
    network_fee_minor: int
    spread: int
    buy_asset: str
    buy: int

    @property
    def fees(self) -> int:
        """Both fees."""
        return self.service_fee_minor + self.network_fee_minor

    @property
    def principal(self) -> int:
        """What is exchanged, spread included."""
        return self.sell - self.fees


def acceptance_entries(customer_id: UUID, chain_id: int, amounts: TransferAmounts) -> list[Entry]:
    """What acceptance of EUR -> USDC holds: the customer's money and the promise on chain.

    Amounts of 0 (no fee, no spread) make no entry.
    """
    customer = customer_account(customer_id, amounts.sell_asset)
    sell = amounts.sell_asset
    legs = (
        (customer, f"fx_position/{sell}", sell, amounts.principal - amounts.spread),
        (customer, f"deferred/spread/{sell}", sell, amounts.spread),
        (customer, f"deferred/fee/{sell}", sell, amounts.fees),
        (
            f"fx_position/{amounts.buy_asset}",
            in_flight_account(chain_id, amounts.buy_asset),
            amounts.buy_asset,
            amounts.buy,
        ),
    )
    return [Entry(*leg) for leg in legs if leg[3]]


def batch_final_entries(  # noqa: PLR0913, PLR0917 - six figures of one batch, and who has them
    chain_id: int,
    contract: Address,
    token: str,
    settled_total: int,
    fees: Mapping[str, int],
    spreads: Mapping[str, int],
    reached: Mapping[UUID, int] = MappingProxyType({}),
) -> list[Entry]:
    """What a final batch books once, besides posting the pendings of its transfers.

    Args:
        chain_id: The chain.
        contract: The settlement contract whose float paid.
        token: Asset code that was paid.
        settled_total: Sum of the amounts that beneficiaries got, minor units.
        fees: Sell asset -> sum of the fees of the transfers settled.
        spreads: Sell asset -> sum of their spreads.
        reached: Partner -> sum of the amounts that it got, to pay out: nothing of those is posted
            or earned yet.
    """
    held = chain_account(chain_id, contract, token)
    entries = []
    if settled_total:
        entries.append(Entry(in_flight_account(chain_id, token), held, token, settled_total))
    clearing = {partner_clearing_account(key, token): total for key, total in reached.items()}
    entries += [Entry(path, held, token, clearing[path]) for path in sorted(clearing)]
    for word, sums in (("fee", fees), ("spread", spreads)):
        entries += [
            Entry(f"deferred/{word}/{asset}", f"income/{word}/{asset}", asset, total)
            for asset, total in sorted(sums.items())
            if total
        ]
    return entries


def paid_out_entries(partner_id: UUID, chain_id: int, amounts: TransferAmounts) -> list[Entry]:
    """What is booked when a partner has paid a transfer out, besides posting its pending."""
    token, sell = amounts.buy_asset, amounts.sell_asset
    clearing = partner_clearing_account(partner_id, token)
    legs = (
        (in_flight_account(chain_id, token), clearing, token, amounts.buy),
        (f"deferred/fee/{sell}", f"income/fee/{sell}", sell, amounts.fees),
        (f"deferred/spread/{sell}", f"income/spread/{sell}", sell, amounts.spread),
    )
    return [Entry(*leg) for leg in legs if leg[3]]


def partner_refund_entries(
    partner_id: UUID, chain_id: int, amounts: TransferAmounts, came_back: int
) -> list[Entry]:
    """What is booked when a partner sent a transfer's money back, besides voiding its pending.

    What came in is in suspense by then; what it lacks is lost.

    Args:
        partner_id: Who sent it.
        chain_id: The chain it came by.
        amounts: Of the transfer.
        came_back: Minor units of the token, at most what was paid.
    """
    token = amounts.buy_asset
    clearing = partner_clearing_account(partner_id, token)
    legs = (
        (suspense_account(chain_id, token), clearing, token, came_back),
        (f"loss/partner/{token}", clearing, token, amounts.buy - came_back),
    )
    return [Entry(*leg) for leg in legs if leg[3]]


def partner_loss_entries(partner_id: UUID, amounts: TransferAmounts) -> list[Entry]:
    """What is booked when a partner keeps what it was paid, besides voiding the pending."""
    token = amounts.buy_asset
    clearing = partner_clearing_account(partner_id, token)
    return [Entry(f"loss/partner/{token}", clearing, token, amounts.buy)]


def partner_recovery_entries(chain_id: int, token: str, came_back: int) -> list[Entry]:
    """What is booked when money comes back that was written off: the loss was less."""
    return [Entry(suspense_account(chain_id, token), f"loss/partner/{token}", token, came_back)]


def gas_units(balance_before_wei: int, balance_after_wei: int) -> int:
    """Ledger units that leave when a native balance falls: difference of the two floors.

    The ledger then always equals floor(chain / 10^9) and never drifts.
    """
    return balance_before_wei // WEI_PER_UNIT - balance_after_wei // WEI_PER_UNIT
