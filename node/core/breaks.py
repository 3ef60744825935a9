"""Breaks: what a difference is called, how bad it is, what is to be done, and what it stops. Pure.

A difference is a break: it has a code, a severity, what was expected and what is there, evidence,
a cause where it is known, and a next action. It is closed by a match or a ledger transaction, never
deleted, and only a fact that is derived anew from the chain closes one by itself. What is compared
is `node.core.reconcile`; who opens, takes and closes breaks is
`node.services.reconciliation.breaks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

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
    DEPOSIT_DIFFERS = "B05"
    ORPHAN_OUTBOUND = "B06"
    REORG_NEGATIVE = "B07"
    STUCK = "B08"
    PAID_BY_OTHER = "B09"
    PAID_WRONG = "B10"
    FOREIGN_NONCE = "B12"
    ISSUER_PAUSED = "B13"
    ISSUER_DENIED = "B14"
    BALANCE_MOVED = "B15"
    NATIVE_UNEXPLAINED = "B16"
    SPOOFED = "B17"
    UNWANTED_APPROVAL = "B18"
    DEEP_REORG = "B19"
    LEDGER_LAW = "B21"
    CHARGEBACK_LOSS = "B22"
    NOT_AS_QUOTED = "B23"
    UNDECODED_LOG = "B24"
    ISSUER_CHANGED = "B25"
    CONTRACT_CHANGED = "B26"
    BANK_LINE_UNMATCHED = "B27"
    BANK_LINE_MISSING = "B28"
    BANK_BALANCE = "B29"
    PARTNER_DIFFERS = "B30"
    PARTNER_UNPAID = "B31"
    PARTNER_STALLS = "B32"
    PAYOUT_STANDS = "B33"


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
        "find out whose it is and attribute the deposit to them, or send it back",
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
        "run corridor verify, and restore what was changed outside the node",
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
    BreakCode.DEPOSIT_DIFFERS: (
        Severity.WARNING,
        "a deposit is not what was asked for: too little, too late, or both",
        "let its owner accept what came, attribute it, or send it back",
    ),
    BreakCode.REORG_NEGATIVE: (
        Severity.CRITICAL,
        "a deposit was taken back by a reorg past finality after its owner had spent it",
        "the loss is booked already: recover it, or let two operators close this as lost",
    ),
    BreakCode.PAID_BY_OTHER: (
        Severity.INFO,
        "a payment was made by a transaction that is not the node's",
        "nothing: the payment counts; find out who holds an operator's key",
    ),
    BreakCode.ISSUER_PAUSED: (
        Severity.WARNING,
        "the token's issuer has paused it: nothing can be paid",
        "ask the issuer; payments wait and go on by themselves",
    ),
    BreakCode.ISSUER_DENIED: (
        Severity.CRITICAL,
        "the token's issuer has denied an address of the node",
        "ask the issuer at once: what the address holds cannot move",
    ),
    BreakCode.BALANCE_MOVED: (
        Severity.CRITICAL,
        "a balance changed by other than its Transfer logs: the token takes a fee or rebases",
        "stop using the token until its issuer has explained it; book the difference",
    ),
    BreakCode.SPOOFED: (
        Severity.INFO,
        "somebody made a token that is not the node's, or a transfer of nothing, name the node",
        "nothing: it is recorded, never matched and never shown as a counterparty",
    ),
    BreakCode.UNWANTED_APPROVAL: (
        Severity.CRITICAL,
        "an address of the node allows somebody to take its tokens, and the node did not ask",
        "revoke the approval at once, and treat the key as stolen until shown otherwise",
    ),
    BreakCode.UNDECODED_LOG: (
        Severity.WARNING,
        "a watched contract emitted a log that cannot be read; it is kept as it came",
        "compare the contract's code with the one deployed, and read the log by hand",
    ),
    BreakCode.ISSUER_CHANGED: (
        Severity.CRITICAL,
        "the token's code or its administration changed",
        "read what changed; then resolve this break, and resume settlement if it is paused",
    ),
    BreakCode.CONTRACT_CHANGED: (
        Severity.WARNING,
        "a right, a cap or a role of the settlement contract changed",
        "check that an administrator of the node did it; else treat the admin key as stolen",
    ),
    BreakCode.BANK_LINE_UNMATCHED: (
        Severity.WARNING,
        "the bank's statement has a line that the ledger has not",
        "find whose it is and book it, or confirm the suggestion",
    ),
    BreakCode.BANK_LINE_MISSING: (
        Severity.WARNING,
        "the ledger has money at the bank that the bank's statement has not",
        "ask the bank; if the money never came, reverse the booking",
    ),
    BreakCode.BANK_BALANCE: (
        Severity.CRITICAL,
        "the bank's closing balance is not the ledger's",
        "resolve the lines that do not match; what is left was booked on another day or account",
    ),
    BreakCode.PARTNER_UNPAID: (
        Severity.CRITICAL,
        "a partner ended a transfer, and a reorg past finality took its payment back",
        "see that the same payment is final again; else pay the partner what it is owed",
    ),
    BreakCode.PARTNER_DIFFERS: (
        Severity.CRITICAL,
        "a partner states another payout than it was ordered; its word about it is not believed",
        "compare both sides with the partner; then have it asked again, or let two conclude it",
    ),
    BreakCode.PARTNER_STALLS: (
        Severity.WARNING,
        "a partner that was paid for a payout owes it, or the money back, and does not go on",
        "ask the partner; the money stays reserved until it pays out, or two operators conclude it",
    ),
    BreakCode.PAYOUT_STANDS: (
        Severity.WARNING,
        "a payout for a partner stands still",
        "ask the bank about an order; send back what is on hold; see why a refund is not paid",
    ),
}

_DUE_IN: Final[Mapping[Severity, timedelta | None]] = {
    Severity.CRITICAL: timedelta(minutes=15),
    Severity.WARNING: timedelta(days=1),
    Severity.INFO: None,
}
_DUE_IN_OF_CODE: Final[Mapping[BreakCode, timedelta]] = {
    BreakCode.STUCK: timedelta(minutes=30),
    BreakCode.NATIVE_UNEXPLAINED: timedelta(days=1),
    BreakCode.BANK_BALANCE: timedelta(days=1),  # a bank answers on its next working day at best
}
_AGES: Final = (
    ("0-1d", timedelta(days=1)),
    ("1-3d", timedelta(days=3)),
    ("3-7d", timedelta(days=7)),
    ("7-30d", timedelta(days=30)),
)
_OLDEST: Final = ">30d"


class BreakStep(StrEnum):
    """What happened to a break: one line of its history, which is only added to."""

    OPENED = "opened"
    CHANGED = "changed"  # seen again with other numbers
    ASSIGNED = "assigned"  # somebody took it, or gave it up
    PROPOSED = "proposed"
    APPROVED = "approved"  # by a second operator
    WITHDRAWN = "withdrawn"
    RESOLVED = "resolved"
    REDERIVED = "rederived"  # closed by itself: the difference is gone
    REOPENED = "reopened"  # the same difference came back after it was closed


REDERIVED: Final = frozenset(
    {
        BreakCode.LEDGER_OFF_CHAIN,
        BreakCode.MISSED_LOG,
        BreakCode.PHANTOM_LOG,
        BreakCode.STUCK,
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
        cause: Why it came to be, in a sentence, where that was found out; else empty.
    """

    code: BreakCode
    fingerprint: str
    severity: Severity
    summary: str
    expected: str
    actual: str
    evidence: Mapping[str, str]
    next_action: str
    cause: str = ""


def break_of(
    code: BreakCode,
    subject: str,
    *,
    expected: object,
    actual: object,
    evidence: Mapping[str, str] | None = None,
    cause: str = "",
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
        cause,
    )


def due_in(code: BreakCode, severity: Severity) -> timedelta | None:
    """How long after a break was opened it must be closed; None: it need not be."""
    return _DUE_IN_OF_CODE.get(code, _DUE_IN[severity])


def age_buckets() -> tuple[str, ...]:
    """Every bucket, the youngest first."""
    return (*(name for name, _ in _AGES), _OLDEST)


def age_bucket(age: timedelta) -> str:
    """`0-1d`, `1-3d`, `3-7d`, `7-30d` or `>30d`; an age on a border is of the older one."""
    return next((name for name, limit in _AGES if age < limit), _OLDEST)


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
