"""The story of a break in a few plain sentences, for whoever has to act on it. Pure.

What is there and what should be, where (block, log, entry), why as far as that was found out, what
the node has done already, and what to do next. One template per code; the parts are the break's
own, so a story says nothing that the break does not. Words only: no markup.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from node.core.breaks import BreakCode
from node.core.catalog import Catalog
from node.core.errors import CurrencyUnknown
from node.core.units import format_minor


class Told(Protocol):
    """What a story is made of: an open or closed break."""

    @property
    def code(self) -> str:
        """`B01` and so on."""
        ...

    @property
    def fingerprint(self) -> str:
        """Code and subject."""
        ...

    @property
    def summary(self) -> str:
        """What it is, in a sentence without a full stop."""
        ...

    @property
    def expected(self) -> str:
        """What should be."""
        ...

    @property
    def actual(self) -> str:
        """What is."""
        ...

    @property
    def evidence(self) -> Mapping[str, str]:
        """Names a person can look up."""
        ...

    @property
    def cause(self) -> str:
        """Why, in sentences; empty: not known."""
        ...

    @property
    def next_action(self) -> str:
        """What to do."""
        ...

    @property
    def first_seen_at(self) -> datetime:
        """Since when."""
        ...

    @property
    def resolved_at(self) -> datetime | None:
        """When it was closed."""
        ...

    @property
    def resolution(self) -> Mapping[str, str] | None:
        """How it was closed."""
        ...


_DIFFERS: Final = "Expected was {expected}; there is {actual}."
_OPENING: Final[Mapping[BreakCode, str]] = {
    BreakCode.LEDGER_OFF_CHAIN: "The ledger has {expected_units} and the chain {actual_units}{of}"
    "{where}.",
    BreakCode.MISSED_LOG: "The chain has what the mirror has not{where}: {expected}; there is"
    " {actual}.",
    BreakCode.PHANTOM_LOG: "The mirror has what the chain has not{where}: {actual}; on chain there"
    " is {expected}.",
    BreakCode.UNKNOWN_DEPOSIT: "Money came in that belongs to nobody known{where}: {actual}.",
    BreakCode.DEPOSIT_DIFFERS: "A deposit is not what was asked for{where}: expected was"
    " {expected}, came {actual}.",
    BreakCode.ORPHAN_OUTBOUND: "Money left the node without a payment or a movement{where}:"
    " {actual}.",
    BreakCode.REORG_NEGATIVE: "A deposit that a reorg took back was spent before{where}: {actual}.",
    BreakCode.STUCK: "A transfer stands still: {actual}; it should have come to {expected}.",
    BreakCode.PAID_BY_OTHER: "A payment was made by a transaction that is not the node's{where}:"
    " {actual}.",
    BreakCode.PAID_WRONG: "The contract settled or voided what no open transfer agrees with"
    "{where}: {actual}.",
    BreakCode.FOREIGN_NONCE: "A key of the node has sent what the node did not write{where}:"
    " expected was {expected}; there is {actual}.",
    BreakCode.ISSUER_PAUSED: "The token's issuer has paused it{where}: nothing can be paid.",
    BreakCode.ISSUER_DENIED: "The token's issuer has denied an address of the node{where}:"
    " {actual}.",
    BreakCode.BALANCE_MOVED: "A balance moved by other than its logs{where}: expected was"
    " {expected}; {actual}.",
    BreakCode.NATIVE_UNEXPLAINED: "Coin left an address of the node without a transaction of the"
    " node{where}: {expected} should be there, and {actual} are.",
    BreakCode.SPOOFED: "Somebody made another token, or a transfer of nothing, name the node"
    "{where}: {actual}.",
    BreakCode.UNWANTED_APPROVAL: "An address of the node allows somebody to take its tokens"
    "{where}: {actual}.",
    BreakCode.DEEP_REORG: "The chain replaced what was final: for the node {expected}; {actual}.",
    BreakCode.LEDGER_LAW: "The ledger's records contradict themselves ({subject}): they should say"
    " {expected}, and say {actual}.",
    BreakCode.CHARGEBACK_LOSS: "A bank took money back that its customer no longer had: {actual}.",
    BreakCode.NOT_AS_QUOTED: "A transfer did not deliver what its quote promised{where}: expected"
    " was {expected}; {actual}.",
    BreakCode.UNDECODED_LOG: "A watched contract emitted a log that cannot be read{where}:"
    " {actual}.",
    BreakCode.ISSUER_CHANGED: "The token's code or administration changed{where}: {actual}.",
    BreakCode.CONTRACT_CHANGED: "A right, a cap or a role of the settlement contract changed"
    "{where}: {actual}.",
    BreakCode.BANK_LINE_UNMATCHED: "The bank's statement has a line{line} that the ledger has not."
    " Expected was {expected}; there is {actual}.",
    BreakCode.BANK_LINE_MISSING: "The ledger has money at the bank{line} that no statement has."
    " Expected was {expected}; there is {actual}.",
    BreakCode.BANK_BALANCE: "The bank's closing balance is not the ledger's{line}: {expected},"
    " {actual}.",
    BreakCode.PARTNER_DIFFERS: "A partner states another payout than it was ordered: {expected},"
    " {actual}.",
    BreakCode.PARTNER_UNPAID: "A partner ended a transfer whose payment a reorg past finality took"
    " back: {expected}, {actual}.",
    BreakCode.PARTNER_STALLS: "A partner does not go on with what it was paid for: {expected},"
    " {actual}.",
    BreakCode.PAYOUT_STANDS: "A payout for a partner stands still: it is {actual}, and ought"
    " {expected}.",
}

_DONE: Final[Mapping[BreakCode, str]] = {
    BreakCode.MISSED_LOG: "The log itself was not booked, and /readyz says that the mirror lacks"
    " something.",
    BreakCode.PHANTOM_LOG: "Nothing was taken back for it, and /readyz says that the mirror is not"
    " what the chain is.",
    BreakCode.UNKNOWN_DEPOSIT: "It is in suspense until somebody says whose it is.",
    BreakCode.ORPHAN_OUTBOUND: "Settlement was paused when it was found; nothing was booked to an"
    " account outside the node.",
    BreakCode.PAID_BY_OTHER: "The payment was accepted: its transfer is settled.",
    BreakCode.PAID_WRONG: "Settlement was paused when it was found; no transfer was ended by it.",
    BreakCode.FOREIGN_NONCE: "Settlement was paused, and nothing becomes final that this key cannot"
    " explain.",
    BreakCode.ISSUER_PAUSED: "Payments wait, and go on by themselves when it is over.",
    BreakCode.NATIVE_UNEXPLAINED: "Settlement was paused when it was found; the ledger still shows"
    " the coin.",
    BreakCode.SPOOFED: "It was recorded and matched with nothing.",
    BreakCode.DEEP_REORG: "Mirror and settlement stand still at the last block that both chains"
    " share.",
    BreakCode.UNDECODED_LOG: "The log is kept as it came.",
    BreakCode.CHARGEBACK_LOSS: "What the customer did not have was written off.",
    BreakCode.PAYOUT_STANDS: "Its money is where it was: due at the bank, on its way back, or the"
    " partner's.",
}

_TELLS_ALL: Final = frozenset(
    {
        BreakCode.DEPOSIT_DIFFERS,
        BreakCode.STUCK,
        BreakCode.ISSUER_PAUSED,
        BreakCode.ISSUER_DENIED,
        BreakCode.SPOOFED,
        BreakCode.UNWANTED_APPROVAL,
        BreakCode.DEEP_REORG,
        BreakCode.CHARGEBACK_LOSS,
        BreakCode.UNDECODED_LOG,
        BreakCode.ISSUER_CHANGED,
        BreakCode.CONTRACT_CHANGED,
        BreakCode.BANK_LINE_UNMATCHED,
        BreakCode.BANK_LINE_MISSING,
        BreakCode.BANK_BALANCE,
        BreakCode.PAYOUT_STANDS,
    }
)
"""Codes that are what happened: no cause behind them is looked for."""

_UNITS: Final = re.compile(
    r"(?<![\w.])(-?[0-9]+) (?:minor )?units?(?: of ([A-Z][A-Z0-9]*))?(?![\w-])"
)
_WEI: Final = re.compile(r"(?<![\w.])(-?[0-9]+) wei(?!\w)")
_WEI_DIGITS: Final = 18
_NUMBER: Final = re.compile(r"-?[0-9]+")

_PLACES: Final = (
    ("block_number", "block"),
    ("log_index", "log"),
    ("tx_hash", "transaction"),
    ("transfer_id", "transfer"),
    ("payment_number", "payment number"),
    ("batch_id", "batch"),
    ("sequence", "ledger transaction"),
    ("batch", "ledger batch"),
    ("provider", "provider"),
)


def story(found: Told) -> Sequence[str]:
    """The sentences, in order; none is empty."""
    try:
        code = BreakCode(found.code)
    except ValueError:  # of a later version of the node
        opening, done = f"{_sentence(found.summary)} {_DIFFERS}", ""
    else:
        opening, done = _OPENING[code], _DONE.get(code, "")
    parts = {
        "expected": found.expected,
        "actual": found.actual,
        "subject": found.fingerprint.partition(":")[2],
        "expected_units": _units(found.expected, found.evidence),
        "actual_units": _units(found.actual, found.evidence),
        "of": _owner(found.evidence),
        "where": _where(found.evidence),
        "line": _line(found.evidence),
    }
    told = [opening.format_map(parts)]
    if found.cause:
        told.append(_sentence(found.cause))
    elif found.resolved_at is None and found.code not in _TELLS_ALL:
        told.append("Its cause is not known yet.")
    if found.resolved_at is not None:
        return [*told, _closed(found)]
    told += _left_over(found.evidence)
    if done:
        told.append(done)
    told.append(f"It is open since {_time(found.first_seen_at)}.")
    told.append(f"What to do: {found.next_action}.")
    return told


def in_whole_units(text: str, catalog: Catalog) -> str:
    """`5000000 units of USDC` as `5.000000 USDC`, and wei as whole coins of 18 digits.

    Units of no named asset are the token's. What the node has no asset for stays as it is.
    """

    def units(found: re.Match[str]) -> str:
        try:
            asset = catalog.ledger_asset(found[2]) if found[2] else catalog.token.asset
        except CurrencyUnknown:
            return found[0]
        return f"{format_minor(int(found[1]), asset.digits)} {asset.code}"

    def wei(found: re.Match[str]) -> str:
        return f"{format_minor(int(found[1]), _WEI_DIGITS)} {catalog.native.code}"

    return _WEI.sub(wei, _UNITS.sub(units, text))


def _units(text: str, evidence: Mapping[str, str]) -> str:
    """A bare figure with what it counts, by the account it is about."""
    if _NUMBER.fullmatch(text) is None:
        return text
    asset = evidence.get("account", "").rpartition("/")[2]
    return f"{text} units of {asset}" if asset else f"{text} units"


def _line(evidence: Mapping[str, str]) -> str:
    """Of a bank's line, booking or closing balance: how much, when and where."""
    words = (("amount", " of"), ("booked_on", " booked on"), ("account", " at"))
    told = "".join(f"{word} {evidence[name]}" for name, word in words if evidence.get(name))
    if day := evidence.get("at_the_end_of"):
        told += f" at the end of {day}"
    if "reference" in evidence and "amount" in evidence:
        reference = evidence["reference"]
        told += f" with the reference {reference}" if reference else " without a reference"
    return told


def _left_over(evidence: Mapping[str, str]) -> Sequence[str]:
    """What of a bank's closing balance the lines and bookings that match nothing tell."""
    lines, bookings = evidence.get("lines_unmatched"), evidence.get("ledger_unmatched")
    if lines is None or bookings is None:
        return ()
    told = (
        f"Lines of the bank that match nothing come to {lines}, and bookings that no line matches"
        f" to {bookings}; what neither tells is {evidence.get('unexplained', 'not known')}."
    )
    return [told]


def _owner(evidence: Mapping[str, str]) -> str:
    account = evidence.get("account") or evidence.get("address")
    return f" for {account}" if account else ""


def _where(evidence: Mapping[str, str]) -> str:
    places = [f"{word} {evidence[name]}" for name, word in _PLACES if evidence.get(name)]
    return f" ({', '.join(places)})" if places else ""


def _closed(found: Told) -> str:
    at = "" if found.resolved_at is None else _time(found.resolved_at)
    resolution = found.resolution or {}
    reason = resolution.get("reason", "")
    match resolution.get("kind"):
        case "ledger_transaction":
            sequence = resolution.get("ledger_sequence", "")
            return f"It was closed {at} by ledger transaction {sequence}: {reason}."
        case "match":
            return f"It was closed {at} as a match: {reason}."
        case "recorded":
            return f"It was recorded {at}: nobody has to do anything."
        case _:
            return f"It was closed by itself {at}: {reason}."


def _sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    whole = text.strip()
    return whole[:1].upper() + whole[1:] + ("" if whole.endswith((".", "!", "?")) else ".")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
