"""Why a balance is off: halving over blocks, and what the first bad block says. Pure.

A balance that was right at one block and is wrong at a later one went wrong in some block between.
Which one is found in log2(blocks) questions, and there the logs of the chain, those of the mirror
and the balance itself are three witnesses of which one is alone. Not here: asking
(`node.services.reconciliation.bisecting`), what is compared (`node.core.reconcile`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from struct import Struct
from typing import Final

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.mirror import BlockPoint, Facts, TokenLog, Watch
from node.core.reconcile import different_logs
from node.core.units import Address

_INT4: Final = Struct(">i")


@dataclass(frozen=True, slots=True)
class Unbooked:
    """Token logs of an address and what one ledger transaction booked for them, or one log of none.

    Attributes:
        sequence: Of the ledger transaction; None: the log has none.
        key: Its key; None: there is no such ledger transaction.
        logs: What the logs moved, token units, in above zero.
        booked: What its entries moved on the account, minor units.
        block_number: Of the first of the logs; None: there is none.
        log: Its name, block hash and index.
    """

    sequence: int | None
    key: str | None
    logs: int
    booked: int
    block_number: int | None
    log: str | None


@dataclass(frozen=True, slots=True)
class Halving:
    """A search for the first block at which something is no more what it was.

    Attributes:
        low: A block at which it still is.
        high: A later block at which it is not.
    """

    low: int
    high: int

    @property
    def middle(self) -> int | None:
        """The block to look at next; None: `high` is the first bad one."""
        return None if self.high - self.low <= 1 else (self.low + self.high) // 2

    def take(self, number: int, *, is_same: bool) -> "Halving":
        """What the look at `number` said."""
        return replace(self, low=number) if is_same else replace(self, high=number)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a balance is off, as far as it could be found out.

    Attributes:
        cause: In a sentence or two.
        breaks: What was found on the way, with codes of their own.
    """

    cause: str
    breaks: Sequence[NewBreak] = ()


def digest_of(watch: Watch, facts: Facts) -> bytes | None:
    """SHA-256 of the logs of one block that are compared, in order; None: it has none.

    The store forms the same of its rows (`node.store.comparison_sql`): equal digests are equal
    logs, and rows need not be read to be compared.
    """
    rows: list[tuple[int, bytes]] = [
        (
            log.log_index,
            log.tx_hash
            + _sized(watch.token)
            + _sized(log.from_address)
            + _sized(log.to_address)
            + _sized(b"%d" % log.amount),
        )
        for log in facts.token_logs
    ]
    for event in facts.settlement_logs:
        paid = event.payout
        rows.append(
            (
                event.log_index,
                event.tx_hash
                + _sized(watch.contract)
                + _sized(event.kind.value.encode())
                + _sized(b"%d" % event.payment_number)
                + _INT4.pack(-1 if paid is None else paid.log_index)
                + _sized(b"" if paid is None else paid.to_address)
                + _sized(b"" if paid is None else b"%d" % paid.amount)
                + _sized(event.reason),
            )
        )
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    return sha256(b"".join([_INT4.pack(index) + row for index, row in rows])).digest()


def _sized(part: bytes) -> bytes:
    return _INT4.pack(len(part)) + part


def cause_in_block(
    address: Address, drift: int, ours: Facts, theirs: Facts, provider: str = "the chain"
) -> Finding:
    """What the first bad block says.

    Args:
        address: Whose balance it is.
        drift: By how much the balance moved in this block beyond what the mirror's logs say.
        ours: The block as the mirror has it.
        theirs: The same out of its receipts, read again.
        provider: Who was asked, in words.
    """
    point = theirs.block
    missed, phantom = different_logs(ours, theirs)
    place = f"block {point.number} (0x{point.hash.hex()})"
    breaks = [log_break(BreakCode.MISSED_LOG, theirs, index) for index in missed]
    breaks += [log_break(BreakCode.PHANTOM_LOG, ours, index) for index in phantom]
    if breaks:
        told = [f"log {index} is missing in the mirror" for index in missed]
        told += [f"log {index} is in the mirror and not on chain" for index in phantom]
        return Finding(f"It went wrong in {place}: {', and '.join(told[:4])}.", breaks)
    moves = [each for each in theirs.token_logs if address in (each.from_address, each.to_address)]
    logged = sum(_moved(each, address) for each in moves)
    named = ", ".join(f"{each.log_index} of 0x{each.tx_hash.hex()}" for each in moves[:4])
    cause = (
        f"In {place} the balance of 0x{address.hex()} moved by {logged + drift} units, and its"
        f" Transfer logs say {logged}"
        + (f" (log {named})" if moves else " (it has none there)")
        + ": the token moved it without saying so, as one does that takes a fee or rebases."
    )
    evidence = {
        "address": f"0x{address.hex()}",
        "block_number": str(point.number),
        "block_hash": f"0x{point.hash.hex()}",
        "moved": str(drift),
        "minor": str(abs(drift)),
    }
    if moves:
        evidence |= {
            "tx_hash": f"0x{moves[0].tx_hash.hex()}",
            "log_index": str(moves[0].log_index),
        }
    moved = break_of(
        BreakCode.BALANCE_MOVED,
        f"0x{address.hex()}:0x{point.hash.hex()}",
        expected=f"a balance that moves by the {logged} units that its logs say",
        actual=f"it moved by {logged + drift} units; {provider} was asked",
        evidence=evidence,
        cause=cause,
    )
    return Finding(cause, (moved,))


def _moved(log: TokenLog, address: Address) -> int:
    return (log.amount if log.to_address == address else 0) - (
        log.amount if log.from_address == address else 0
    )


def log_break(code: BreakCode, facts: Facts, log_index: int, *, cause: str = "") -> NewBreak:
    """A log that only one of chain and mirror has, with what it says.

    Args:
        code: MISSED_LOG: the chain's; PHANTOM_LOG: the mirror's.
        facts: The block as the side has it that has the log.
        log_index: Which one.
        cause: See `NewBreak`.
    """
    missed = code is BreakCode.MISSED_LOG
    said, evidence = _log_said(facts, log_index)
    point = facts.block
    return break_of(
        code,
        f"0x{point.hash.hex()}:{log_index}",
        expected=said if missed else "no log, or another one",
        actual="none in the mirror, or another one" if missed else said,
        evidence={
            "block_number": str(point.number),
            "block_hash": f"0x{point.hash.hex()}",
            "log_index": str(log_index),
            **evidence,
        },
        cause=cause,
    )


def _log_said(facts: Facts, log_index: int) -> tuple[str, Mapping[str, str]]:
    for each in facts.token_logs:
        if each.log_index == log_index:
            between = f"from 0x{each.from_address.hex()} to 0x{each.to_address.hex()}"
            said = f"Transfer of {each.amount} units {between}"
            return said, {"tx_hash": f"0x{each.tx_hash.hex()}", "minor": str(each.amount)}
    for event in facts.settlement_logs:
        if event.log_index == log_index:
            paid = event.payout
            to = "" if paid is None else f", {paid.amount} units to 0x{paid.to_address.hex()}"
            return (
                f"{event.kind.value.capitalize()}({event.payment_number}){to}",
                {
                    "tx_hash": f"0x{event.tx_hash.hex()}",
                    "payment_number": str(event.payment_number),
                },
            )
    return "a log", {}


def cause_in_ledger(
    unbooked: Sequence[Unbooked], *, counter: int, entries: int, ledger_break: str = ""
) -> str:
    """Why the ledger's account is not what chain and mirror agree on.

    Args:
        unbooked: Where logs and entries differ, the newest first.
        counter: The account's posted balance by its counters.
        entries: The same by its entries.
        ledger_break: What the proof of the ledger found, in a sentence; empty: nothing.
    """
    told: list[str] = []
    if counter != entries:
        told.append(
            f"The account's counters say {counter} and its entries come to {entries}: counters or"
            " entries were changed in the database, past the node"
        )
    for each in unbooked[:3]:
        where = "" if each.block_number is None else f" of block {each.block_number} ({each.log})"
        if each.sequence is None:
            told.append(
                f"Log{where} moved {each.logs} units and has no ledger entry: nobody has booked it"
            )
        elif each.block_number is None:
            told.append(
                f"Ledger transaction {each.sequence} ({each.key}) moved {each.booked} units and no"
                " log says so"
            )
        else:
            told.append(
                f"Ledger transaction {each.sequence} ({each.key}) should have moved {each.logs}"
                f" units, as the log{where} says, and moved {each.booked}"
            )
    if len(unbooked) > 3:  # noqa: PLR2004 - those that are told
        told.append(f"{len(unbooked) - 3} more differ")
    if ledger_break:
        told.append(ledger_break)
    return ". ".join(told) + "." if told else ""


def holding_changed(holding: int, by_logs: int, point: BlockPoint) -> Finding:
    """The mirror's own figure is not what its logs come to, and the chain agrees with the logs."""
    return Finding(
        f"The mirror's figure of what the address holds at block {point.number} is {holding}, and"
        f" its own logs come to {by_logs}, which is what the chain says: the figure was changed in"
        " the database, past the node."
    )


def narrowed(low: int, high: int, reason: str) -> Finding:
    """The block could not be found; between which ones it is."""
    if high == low + 1:
        return Finding(f"It went wrong in block {high}; what is in it was not read: {reason}.")
    return Finding(
        f"It went wrong between block {low} and block {high}; which block it was could not be"
        f" found out, because {reason}."
    )
