"""What is posted: the same ledger transactions for every side, each a function of its number.

Two entries (a bank takes a payment back, and its fee) or four (what an exchange with spread and
fee books). `hot` is one customer for all of it, `uniform` takes ten thousand customers in turn;
the bank and the node's own accounts are the same for everybody in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from uuid import UUID

from node.core.ledger import Entry, LedgerTransaction, customer_account
from scripts.bench.measure import BenchFailed

CUSTOMERS: Final = 10_000
OPENING_MINOR: Final = 10**13
STRIDE: Final = 7_919  # shares no factor with CUSTOMERS: neighbours in time are none in an index

BANK: Final = "bank/sandbox_bank/EUR"
CUSTOMER_ACCOUNTS: Final = tuple(
    customer_account(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128), "EUR")
    for number in range(1, CUSTOMERS + 1)
)


def openings() -> Iterator[LedgerTransaction]:
    """One entry for each customer: more money than any run takes from it."""
    for number, customer in enumerate(CUSTOMER_ACCOUNTS):
        entries = (Entry(BANK, customer, "EUR", OPENING_MINOR),)
        yield LedgerTransaction(f"opening-{number}", "correction", entries, detail=_detail(number))


def two_entries(number: int, customers: int) -> LedgerTransaction:
    """A customer's money goes back to the bank, and the bank's fee with it."""
    customer = _customer(number, customers)
    entries = (
        Entry(customer, BANK, "EUR", 100 + number % 900),
        Entry(customer, BANK, "EUR", 1 + number % 9),
    )
    return LedgerTransaction(f"posting-{number}", "chargeback", entries, detail=_detail(number))


def four_entries(number: int, customers: int) -> LedgerTransaction:
    """A customer's EUR become USDC that are due: principal, spread, fees, and the USDC."""
    customer = _customer(number, customers)
    principal = 100 + number % 900
    entries = (
        Entry(customer, "fx_position/EUR", "EUR", principal),
        Entry(customer, "deferred/spread/EUR", "EUR", 1 + number % 9),
        Entry(customer, "deferred/fee/EUR", "EUR", 1 + number % 5),
        Entry("fx_position/USDC", "payout_due/USDC", "USDC", 11_500 * principal),
    )
    return LedgerTransaction(f"posting-{number}", "conversion", entries, detail=_detail(number))


def turnover(transactions: Iterable[LedgerTransaction]) -> tuple[Counter[str], Counter[str]]:
    """What the entries debit and credit, minor units by path."""
    debits: Counter[str] = Counter()
    credits_: Counter[str] = Counter()
    for transaction in transactions:
        for entry in transaction.entries:
            debits[entry.debit] += entry.amount
            credits_[entry.credit] += entry.amount
    return debits, credits_


def check_same(what: str, found: Mapping[str, int], due: Mapping[str, int]) -> None:
    """Two sums by path are the same.

    Raises:
        BenchFailed: They differ for an account.
    """
    wrong = [path for path in found.keys() | due.keys() if found.get(path, 0) != due.get(path, 0)]
    if wrong:
        path = min(wrong)
        raise BenchFailed(
            f"{what} of {len(wrong)} accounts are wrong, such as {path}: {found.get(path, 0)} minor"
            f" units, where {due.get(path, 0)} were acknowledged"
        )


def _customer(number: int, customers: int) -> str:
    return CUSTOMER_ACCOUNTS[number * STRIDE % customers]


def _detail(number: int) -> dict[str, str]:
    return {"reason": f"benchmark {number}"}
