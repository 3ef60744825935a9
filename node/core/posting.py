"""Deciding a batch of ledger transactions: which are booked and which the books do not allow.

Decisions are made against a working copy of the accounts, in order: each ledger transaction sees
the effects of those before it, and one that is refused changes nothing. The rules are the
database's own (its CHECKs count holds), stated here once more so that one refusal does not take a
whole batch with it; a test holds the two together. Keys, storing and answers are in
`node.services.ledger.posting`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.core.errors import InvariantBroken
from node.core.ledger import AccountKind, Balance, LedgerTransaction, account_rules

ENTRIES_MAX: Final = 999
"""Entries of one ledger transaction."""

_COUNTER_LIMIT: Final = 2**63
"""Counters are BIGINT. Pending and posted together stay below, so that any resolution fits."""

_GROWS_BY_DEBIT: Final = frozenset({AccountKind.ASSET, AccountKind.EXPENSE})


class Why(StrEnum):
    """What a ledger transaction was refused for."""

    BELOW_FLOOR = "below_floor"
    COUNTER_FULL = "counter_full"
    NOT_COVERED = "not_covered"  # decided in `node.core.reconcile`


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The first account of a ledger transaction that cannot take it.

    Attributes:
        asset: Of the account.
        left: Minor units, as the ledger transaction found the account: what is available above
            its floor, what its counter still holds, or what may be taken until what is owed is
            just covered.
    """

    why: Why
    path: str
    asset: str
    left: int


@dataclass(slots=True)
class _Account:
    """One account while a batch is decided, minor units.

    Attributes:
        available: Posted less held.
        floor: Least that may be available; None: either sign.
        debits: Pending and posted ones together; `credits` as well.
    """

    available: int
    floor: int | None
    grows_by_debit: bool
    debits: int
    credits: int


class WorkingCopy:
    """The accounts that a batch names, as they are once what was accepted so far is booked.

    Args:
        balances: Of every account that will be named, zeros for those that do not exist yet.
    """

    def __init__(self, balances: Mapping[str, Balance]) -> None:
        self._accounts = {path: _account(each) for path, each in balances.items()}

    def available(self, path: str) -> int:
        """What an account has available now, minor units."""
        return self._accounts[path].available

    def take(self, transaction: LedgerTransaction) -> Shortfall | None:
        """Book a ledger transaction into the copy; None, or why it was refused.

        What comes in by a pending one is not available before it is posted; what goes out by it
        is held at once. Entries count together: only their sum must leave every floor intact.
        """
        self._move(transaction, 1)
        found = self._shortfall(transaction)
        if found is None:
            return None
        self._move(transaction, -1)
        why, path = found
        account = self._accounts[path]
        left = account.available - (account.floor or 0)
        if why is Why.COUNTER_FULL:
            left = _COUNTER_LIMIT - 1 - max(account.debits, account.credits)
        return Shortfall(why, path, path.rpartition("/")[2], left)

    def _move(self, transaction: LedgerTransaction, sign: int) -> None:
        accounts, comes_in = self._accounts, not transaction.pending
        for entry in transaction.entries:
            amount = sign * entry.amount
            account = accounts[entry.debit]
            account.debits += amount
            if not account.grows_by_debit:
                account.available -= amount
            elif comes_in:
                account.available += amount
            account = accounts[entry.credit]
            account.credits += amount
            if account.grows_by_debit:
                account.available -= amount
            elif comes_in:
                account.available += amount

    def _shortfall(self, transaction: LedgerTransaction) -> tuple[Why, str] | None:
        accounts = self._accounts
        for entry in transaction.entries:
            for path in (entry.debit, entry.credit):
                account = accounts[path]
                if account.floor is not None and account.available < account.floor:
                    return Why.BELOW_FLOOR, path
                if account.debits >= _COUNTER_LIMIT or account.credits >= _COUNTER_LIMIT:
                    return Why.COUNTER_FULL, path
        return None


def paths_of(transactions: Iterable[LedgerTransaction]) -> list[str]:
    """Every account that is named, once, in order of first mention."""
    named: dict[str, None] = {}
    for each in transactions:
        for entry in each.entries:
            named[entry.debit] = None
            named[entry.credit] = None
    return list(named)


def check_form(transaction: LedgerTransaction) -> None:
    """Refuse what no state of the books could hold, before it joins a batch of others.

    Raises:
        InvariantBroken: It has no key, no entries or too many, names an account that the chart
            has not, or an account that holds another asset than the entry.
    """
    if not transaction.key or not 0 < len(transaction.entries) <= ENTRIES_MAX:
        raise InvariantBroken(f"a ledger transaction has a key and 1 to {ENTRIES_MAX} entries")
    for entry in transaction.entries:
        ending = "/" + entry.asset
        if not (entry.debit.endswith(ending) and entry.credit.endswith(ending)):
            raise InvariantBroken(f"{entry.debit} and {entry.credit} do not both hold {ending[1:]}")
        account_rules(entry.debit)
        account_rules(entry.credit)


def same_content(one: LedgerTransaction, other: LedgerTransaction) -> bool:
    """Whether two ledger transactions book the same: kind, pending, entries in their order."""
    return (one.kind, one.pending, list(one.entries)) == (
        other.kind,
        other.pending,
        list(other.entries),
    )


def content_digest(transaction: LedgerTransaction) -> str:
    """SHA-256, hex, of what `same_content` compares: for those that were refused."""
    entries = [[each.debit, each.credit, each.asset, each.amount] for each in transaction.entries]
    content = json.dumps([transaction.kind, transaction.pending, entries], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _account(balance: Balance) -> _Account:
    kind, floor = account_rules(balance.path)
    return _Account(
        balance.available,
        None if floor is None else floor - balance.credit_line,
        kind in _GROWS_BY_DEBIT,
        balance.debits_pending + balance.debits_posted,
        balance.credits_pending + balance.credits_posted,
    )
