"""Reconciliation as pure rules: what is compared, and what a difference means.

Everything is exact and the tolerance is zero. A difference is a break: it has a code, a severity,
what was expected and what is there, evidence, and a next action; it is closed by a match or a
ledger transaction, never deleted, and only a fact that is derived anew from the chain closes a
break by itself. Collecting the numbers is `node.services.reconciling`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from node.core.bookings import check_paths
from node.core.errors import InvalidInput
from node.core.ledger import WEI_PER_UNIT, Balance, Entry, LedgerTransaction, account_rules
from node.core.mirror import Facts, SettlementLog, TokenLog
from node.core.posting import Shortfall, Why
from node.core.settlement import PauseReason
from node.core.units import Address


class Severity(StrEnum):
    """How soon somebody must look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class BreakCode(StrEnum):
    """Kinds of differences, numbered as in the operators' documentation."""

    LEDGER_OFF_CHAIN = "B01"
    MISSED_LOG = "B02"
    PHANTOM_LOG = "B03"
    UNKNOWN_DEPOSIT = "B04"
    ORPHAN_OUTBOUND = "B06"
    STUCK = "B08"
    PAID_WRONG = "B10"
    FOREIGN_NONCE = "B12"
    NATIVE_UNEXPLAINED = "B16"
    DEEP_REORG = "B19"
    LEDGER_LAW = "B21"
    CHARGEBACK_LOSS = "B22"
    NOT_AS_QUOTED = "B23"


_MEANING: Final[Mapping[BreakCode, tuple[Severity, str, str]]] = {
    BreakCode.LEDGER_OFF_CHAIN: (
        Severity.CRITICAL,
        "the ledger and the chain disagree about what an address holds",
        "read the block named in the evidence and book what is missing, naming this break",
    ),
    BreakCode.MISSED_LOG: (
        Severity.CRITICAL,
        "the chain has a log that the mirror has not",
        "check the provider that served this block; then book or match the log",
    ),
    BreakCode.PHANTOM_LOG: (
        Severity.CRITICAL,
        "the mirror has a log, or a payout, that the chain has not",
        "pause settlement and find out who changed the mirror's tables or served the log",
    ),
    BreakCode.UNKNOWN_DEPOSIT: (
        Severity.WARNING,
        "money came in that belongs to nobody known",
        "find the sender, then book it from suspense to its owner or send it back",
    ),
    BreakCode.ORPHAN_OUTBOUND: (
        Severity.CRITICAL,
        "money left an address of the node without a payment or a movement; settlement is paused",
        "treat the keys as stolen until shown otherwise; book the loss or the match, then resume",
    ),
    BreakCode.STUCK: (
        Severity.WARNING,
        "a transfer's batch is final and the transfer is not",
        "look at the batch and its events; ask for a void if the number is unused",
    ),
    BreakCode.PAID_WRONG: (
        Severity.CRITICAL,
        "the contract settled or voided a number that no open transfer agrees with",
        "pause settlement and compare the transaction's calldata with the transfer",
    ),
    BreakCode.FOREIGN_NONCE: (
        Severity.CRITICAL,
        "a lane's nonce was used by a transaction that the node did not write",
        "treat the lane's key as stolen until shown otherwise; settlement is paused",
    ),
    BreakCode.NATIVE_UNEXPLAINED: (
        Severity.CRITICAL,
        "native coin left an address without a transaction of the node",
        "find the transaction in the blocks named, book it, and check who holds the key",
    ),
    BreakCode.DEEP_REORG: (
        Severity.CRITICAL,
        "the chain replaced a block that was final; mirror and settlement stand still",
        "compare providers; an operator decides which chain is right",
    ),
    BreakCode.LEDGER_LAW: (
        Severity.CRITICAL,
        "a law of the ledger does not hold",
        "run the ledger's own verification, and restore what was changed outside the node",
    ),
    BreakCode.NOT_AS_QUOTED: (
        Severity.CRITICAL,
        "a completed transfer did not deliver what its quote promised",
        "compare the quote, the transfer and the settlement log; then make good what is missing",
    ),
    BreakCode.CHARGEBACK_LOSS: (
        Severity.WARNING,
        "a bank took money back that its customer no longer had; the rest was written off",
        "recover it from the customer, or close this break when nothing more is to be had",
    ),
}

REDERIVED: Final = frozenset(
    {
        BreakCode.LEDGER_OFF_CHAIN,
        BreakCode.MISSED_LOG,
        BreakCode.PHANTOM_LOG,
        BreakCode.FOREIGN_NONCE,
        BreakCode.LEDGER_LAW,
    }
)
"""Codes that a later run may close by itself, because it derives the same facts anew."""

_PAUSES: Final[Mapping[BreakCode, PauseReason]] = {
    BreakCode.ORPHAN_OUTBOUND: PauseReason.ORPHAN_OUTBOUND,
    BreakCode.PAID_WRONG: PauseReason.ORPHAN_OUTBOUND,
    BreakCode.FOREIGN_NONCE: PauseReason.FOREIGN_NONCE,
}


@dataclass(frozen=True, slots=True)
class NewBreak:
    """A difference found.

    Attributes:
        fingerprint: The same difference has the same one: it is one open break.
        evidence: Block, log and entry names a person can look up.
    """

    code: BreakCode
    fingerprint: str
    severity: Severity
    summary: str
    expected: str
    actual: str
    evidence: Mapping[str, str]
    next_action: str


def break_of(
    code: BreakCode,
    subject: str,
    *,
    expected: object,
    actual: object,
    evidence: Mapping[str, str] | None = None,
) -> NewBreak:
    """The break of this code about `subject`, which names one thing for ever."""
    severity, summary, next_action = _MEANING[code]
    return NewBreak(
        code,
        f"{code}:{subject}",
        severity,
        summary,
        str(expected),
        str(actual),
        dict(evidence or {}),
        next_action,
    )


def token_balance(address: Address) -> str:
    """Name of the check that ledger and chain agree on the tokens of an address."""
    return f"balance.token:0x{address.hex()}"


def pause_of(found: NewBreak, contract: Address) -> PauseReason | None:
    """Why settlement stops when this difference is new; None: it goes on.

    Where ledger and chain differ on what the settlement contract holds, the float is not what
    batches are cut to; of any other address it is a break and no more.
    """
    if found.fingerprint == f"{BreakCode.LEDGER_OFF_CHAIN}:{token_balance(contract)}":
        return PauseReason.FLOAT
    return _PAUSES.get(found.code)


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
) -> Check:
    """The check that two values are equal; if not, its break is about the check itself."""
    if expected == actual:
        return Check(name, str(expected), str(actual))
    found = break_of(code, name, expected=expected, actual=actual, evidence=evidence)
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


_RESOLVABLE: Final = ("suspense", "chain", "capital", "loss", "rounding", "bank", "expense")


def check_resolution(entries: Sequence[Entry]) -> None:
    """Whether an operator may close a break with these entries.

    Customers and partners may only be given what is in suspense: a customer's balance never falls,
    and never rises out of nothing, by a correction.

    Raises:
        InvalidInput: One of the entries names another account, or one in the wrong form.
    """
    if not entries:
        raise InvalidInput("a ledger transaction has at least one entry")
    for entry in entries:
        debit, credit = entry.debit.partition("/")[0], entry.credit.partition("/")[0]
        gives = credit in ("customer", "partner") and debit == "suspense"
        if not gives and (debit not in _RESOLVABLE or credit not in _RESOLVABLE):
            raise InvalidInput(
                f"a break is not closed by an entry from {entry.credit} to {entry.debit};"
                f" accounts of {', '.join(_RESOLVABLE)} may be named, and customers or partners"
                " may be given what is in suspense"
            )
    check_paths(entries)


def takes_capital(entries: Sequence[Entry]) -> bool:
    """Whether entries take out what is the owner's: a decision, where others state what happened.

    They must leave what the node owes covered (law 8); a loss, or gas that was spent, is a fact.
    """
    return any(entry.debit.partition("/")[0] in ("capital", "rounding") for entry in entries)
