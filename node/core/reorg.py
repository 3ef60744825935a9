"""Undoing finality: what a reorg past finality takes back, and what is booked for that. Pure.

Finality is undone down to the newest block that both chains have, and the ordinary machinery does
it again on the new one: every ledger transaction that came from a replaced block is reversed with
its recorded integers, what transfers had posted is held again, and what their owners have spent
meanwhile is a loss until the same deposit is final again. Reading and writing is
`node.services.mirror.reorgs` and `node.services.mirror.reorg_undoing`; ADR 0021 says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from node.core.ledger import WEI_PER_UNIT, Entry, LedgerTransaction
from node.core.mirror import BlockHeader, BlockPoint
from node.core.units import Address, BlockHash

KIND: Final = "reorg"
"""Kind of a ledger transaction that reverses another."""

LOSS: Final = "loss/reorg"
"""Where the part of a deposit goes that its owner has spent before it was taken back."""

_OWNED: Final = ("customer", "partner")


class Becomes(StrEnum):
    """What becomes of a transfer whose block is undone."""

    SUBMITTED = "submitted"  # the same signed bytes are sent again: the same number, once
    FUNDED = "funded"  # no transaction of the node can pay it any more: the next batch does
    VOIDING = "voiding"  # a void was asked for, and lost against the payment that is undone
    KEPT = "kept"  # a partner ended it: its payment alone is undone, and comes again


@dataclass(frozen=True, slots=True)
class Booked:
    """One ledger transaction as it was booked.

    Attributes:
        block_number: The block it came from; None: of a transfer's own, which waits for no block.
        tx_hash: As its detail has it.
        detail: Where it came from.
        released: Deposits that it took out of suspense: the transaction of each, and minor units.
    """

    sequence: int
    key: str
    kind: str
    entries: Sequence[Entry]
    transfer_id: UUID | None = None
    block_number: int | None = None
    tx_hash: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)
    released: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What an owner no longer has of a deposit that is taken back, minor units.

    Attributes:
        sequence: Of the ledger transaction that gave it the deposit.
        tx_hash: Of the deposit; of one that was released, not of the deposit that released it.
    """

    account: str
    asset: str
    amount: int
    sequence: int
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Undoing:
    """What is booked to undo.

    Attributes:
        transactions: In the order they are booked in.
        shortfalls: What was spent before it was taken back.
    """

    transactions: Sequence[LedgerTransaction]
    shortfalls: Sequence[Shortfall]


def keyed(key: str, epoch: int) -> str:
    """The ledger key of a chain fact in an epoch: keys book once, and a new epoch books again.

    Args:
        key: In the first epoch.
        epoch: How many reorgs past finality were accepted before.
    """
    return f"{key}:e{epoch}" if epoch else key


def reversal_key(reorg_id: UUID, key: str) -> str:
    """The ledger key of what reverses `key`."""
    return f"{KIND}:{reorg_id}:{key}"


def linked(headers: Sequence[BlockHeader], top: BlockHash) -> bool:
    """Whether these headers are one chain, ascending, up to the block `top`."""
    expected = top
    for header in reversed(headers):
        if header.hash != expected:
            return False
        expected = header.parent_hash
    return True


def newest_common(
    ours: Mapping[int, BlockHash], theirs: Sequence[BlockHeader]
) -> BlockPoint | None:
    """The newest block that both have; None: none of these.

    Args:
        ours: Number -> hash of the mirror's canonical blocks.
        theirs: Of the chain.
    """
    return max(
        (each.point for each in theirs if ours.get(each.number) == each.hash),
        key=lambda point: point.number,
        default=None,
    )


def undo(
    reorg_id: UUID,
    epoch: int,
    holds: Sequence[Booked],
    bookings: Sequence[Booked],
    available: Mapping[str, int],
) -> Undoing:
    """What reverses these ledger transactions, with the integers they recorded.

    First what transfers had posted is reversed and held again, so that their owners have neither
    more nor less; then everything else, the newest first. An owner pays back what it has; the rest
    is a loss (`LOSS`), because no balance of an owner falls below zero.

    Args:
        reorg_id: Names the reversals.
        epoch: That begins with the reorg.
        holds: Pending ledger transactions of the transfers that were settled, posted then.
        bookings: What was booked from the blocks that are undone.
        available: Minor units that each owner's account has.
    """
    transactions: list[LedgerTransaction] = []
    for each in holds:
        transactions.append(_reversal(reorg_id, each, _swapped(each.entries)))
        transactions.append(
            LedgerTransaction(
                key=held_again_key(each, epoch),
                kind=each.kind,
                entries=each.entries,
                pending=True,
                transfer_id=each.transfer_id,
                detail=each.detail,
            )
        )
    left = dict(available)
    shortfalls: list[Shortfall] = []
    for each in sorted(bookings, key=lambda one: one.sequence, reverse=True):
        entries: list[Entry] = []
        released = list(each.released)
        for entry in _swapped(each.entries):
            short = _short(entry, left)
            if entry.credit in left:
                left[entry.credit] += entry.amount
            if short < entry.amount:
                entries.append(Entry(entry.debit, entry.credit, entry.asset, entry.amount - short))
            if short:
                loss = f"{LOSS}/{entry.asset}"
                entries.append(Entry(loss, entry.credit, entry.asset, short))
                shortfalls += [
                    Shortfall(entry.debit, entry.asset, minor, each.sequence, tx_hash)
                    for tx_hash, minor in _of_deposits(each, entry, short, released)
                ]
        transactions.append(_reversal(reorg_id, each, entries))
    return Undoing(transactions, shortfalls)


def held_again_key(hold: Booked, epoch: int) -> str:
    """The ledger key under which a transfer's money is held again: one for each epoch."""
    return keyed(f"transfer:{hold.transfer_id}", epoch)


def owners_of(bookings: Sequence[Booked]) -> list[str]:
    """Accounts of customers and partners that these credited, by path."""
    return sorted(
        {
            entry.credit
            for each in bookings
            for entry in each.entries
            if entry.credit.partition("/")[0] in _OWNED
        }
    )


def moved(bookings: Sequence[Booked], word: str) -> dict[str, int]:
    """How much these raised each asset account of that first word; minor units, net."""
    sums: dict[str, int] = {}
    for each in bookings:
        for entry in each.entries:
            for path, amount in ((entry.debit, entry.amount), (entry.credit, -entry.amount)):
                if path.partition("/")[0] == word:
                    sums[path] = sums.get(path, 0) + amount
    return sums


def native_units_before(
    holdings: Mapping[Address, int],
    paths: Mapping[Address, str],
    bookings: Sequence[Booked],
    falls: Mapping[Address, int],
) -> dict[Address, int]:
    """What the mirror knew each address to hold at the fork, in units of 10^-9, rounded down.

    Args:
        holdings: Wei at what was the final block.
        paths: The ledger account of each address's coin.
        bookings: What was booked from the blocks that are undone.
        falls: Units that left in those blocks and that nothing explains: no entry has them.
    """
    sums = moved(bookings, "chain")
    return {
        address: wei // WEI_PER_UNIT - sums.get(paths[address], 0) + falls.get(address, 0)
        for address, wei in holdings.items()
    }


def _reversal(reorg_id: UUID, booked: Booked, entries: Sequence[Entry]) -> LedgerTransaction:
    detail = {"reorg": str(reorg_id), "reverses": str(booked.sequence), "key": booked.key}
    return LedgerTransaction(
        reversal_key(reorg_id, booked.key),
        KIND,
        entries,
        transfer_id=booked.transfer_id,
        detail=detail,
    )


def _swapped(entries: Sequence[Entry]) -> list[Entry]:
    return [Entry(each.credit, each.debit, each.asset, each.amount) for each in entries]


def _of_deposits(
    booked: Booked, entry: Entry, short: int, released: list[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Whose deposit it is that lacks: the transaction of each, and minor units.

    What goes back into suspense is of the deposits that were released, which are final again at
    another time than the one that released them; `released` loses what is told here.
    """
    parts: list[tuple[str, int]] = []
    while short and released and entry.credit.partition("/")[0] == "suspense":
        tx_hash, units = released.pop(0)
        part = min(short, units)
        parts.append((tx_hash, part))
        short -= part
        if part < units:
            released.insert(0, (tx_hash, units - part))
    return [*parts, (booked.tx_hash or "", short)] if short else parts


def _short(entry: Entry, left: dict[str, int]) -> int:
    """What the owner that pays back by this entry lacks; `left` moves along."""
    if entry.debit not in left:
        return 0
    short = max(0, entry.amount - max(0, left[entry.debit]))
    left[entry.debit] -= entry.amount - short
    return short
