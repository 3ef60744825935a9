"""Reconciliation as pure rules: what is compared. Everything is exact and the tolerance is zero.

What a difference means is `node.core.breaks`; collecting numbers is
`node.services.reconciliation.reconciling`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.ledger import WEI_PER_UNIT, Balance, LedgerTransaction, account_rules
from node.core.mirror import Facts, SettlementLog, TokenLog
from node.core.posting import Shortfall, Why


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of a run.

    Attributes:
        name: Stable; `balance.token:0x...`.
        breaks: What it found; none where it holds.
    """

    name: str
    expected: str
    actual: str
    breaks: Sequence[NewBreak] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.breaks and self.expected == self.actual


def same(
    name: str,
    code: BreakCode,
    *,
    expected: object,
    actual: object,
    evidence: Mapping[str, str] | None = None,
    cause: str = "",
) -> Check:
    """The check that two values are equal; if not, its break is about the check itself."""
    if expected == actual:
        return Check(name, str(expected), str(actual))
    found = break_of(code, name, expected=expected, actual=actual, evidence=evidence, cause=cause)
    return Check(name, found.expected, found.actual, (found,))


def none_of(name: str, breaks: Sequence[NewBreak]) -> Check:
    """The check that a search for differences finds nothing."""
    return Check(name, "0", str(len(breaks)), tuple(breaks))


def native_units(wei: int) -> int:
    """What the ledger shows for this many wei: rounded down to 10^-9."""
    return wei // WEI_PER_UNIT


def solvency(asset: str, balances: Iterable[Balance]) -> tuple[int, int]:
    """Law 8 for one asset: (what is owed, what covers it); the first must not be the larger.

    Owed: customers, partners, payout_due, suspense, pending credits of in_flight. Covered: bank,
    chain, partner_clearing, and what the position owes (its debit balance).
    """
    owed = covered = 0
    for each in balances:
        if each.asset != asset:
            continue
        match each.path.partition("/")[0]:
            case "customer" | "partner" | "payout_due" | "suspense":
                owed += each.posted
            case "in_flight":
                owed += each.credits_pending
            case "bank" | "chain" | "partner_clearing":
                covered += each.posted
            case "fx_position":
                covered += max(0, -each.posted)
            case _:
                pass
    return owed, covered


class Cover:
    """What is owed and what covers it while a batch is decided: law 8, kept by refusing.

    Args:
        totals: Counters summed by first word and asset, as `LedgerRepository.totals` has them, of
            every asset that will be named. The rule adds up words; a position is one account.
    """

    def __init__(self, totals: Iterable[Balance]) -> None:
        self._totals = {each.path: each for each in totals}

    def take(self, transaction: LedgerTransaction) -> None:
        """Count a ledger transaction that is booked."""
        self._totals = self._after(transaction)

    def shortfall(self, transaction: LedgerTransaction) -> Shortfall | None:
        """Why a ledger transaction must not be booked; None: it may.

        One that takes nothing away is no worse for books that are short already (after a
        chargeback): only what leaves less than before is refused.
        """
        after = self._after(transaction)
        for asset in sorted({entry.asset for entry in transaction.entries}):
            left, would_be = _left(asset, self._totals), _left(asset, after)
            if would_be < min(left, 0):
                return Shortfall(Why.NOT_COVERED, f"bank/{asset}", asset, max(left, 0))
        return None

    def _after(self, transaction: LedgerTransaction) -> dict[str, Balance]:
        totals = dict(self._totals)
        for entry in transaction.entries:
            amount, asset = entry.amount, entry.asset
            debited = _total(totals, entry.debit, asset)
            totals[debited.path] = (
                replace(debited, debits_pending=debited.debits_pending + amount)
                if transaction.pending
                else replace(debited, debits_posted=debited.debits_posted + amount)
            )
            credited = _total(totals, entry.credit, asset)
            totals[credited.path] = (
                replace(credited, credits_pending=credited.credits_pending + amount)
                if transaction.pending
                else replace(credited, credits_posted=credited.credits_posted + amount)
            )
        return totals


def _total(totals: Mapping[str, Balance], path: str, asset: str) -> Balance:
    name = f"{path.partition('/')[0]}/{asset}"
    return totals.get(name) or Balance(name, account_rules(path)[0], asset)


def _left(asset: str, totals: Mapping[str, Balance]) -> int:
    owed, covered = solvency(asset, totals.values())
    return covered - owed


def sides(balances: Iterable[Balance]) -> dict[str, tuple[int, int]]:
    """Posted debits and credits of each asset; law 1 says that they are equal."""
    sums: dict[str, tuple[int, int]] = {}
    for each in balances:
        debits, credits_ = sums.get(each.asset, (0, 0))
        sums[each.asset] = (debits + each.debits_posted, credits_ + each.credits_posted)
    return sums


def different_logs(ours: Facts, theirs: Facts) -> tuple[list[int], list[int]]:
    """Log indexes of one block that (the chain has and we have not, we have and the chain has not).

    A log that both have with another content counts on both sides.
    """
    mine, chain = _by_index(ours), _by_index(theirs)
    missed = sorted(n for n, log in chain.items() if mine.get(n) != log)
    phantom = sorted(n for n, log in mine.items() if chain.get(n) != log)
    return missed, phantom


def _by_index(facts: Facts) -> dict[int, TokenLog | SettlementLog]:
    logs: list[TokenLog | SettlementLog] = [*facts.token_logs, *facts.settlement_logs]
    return {log.log_index: log for log in logs}
