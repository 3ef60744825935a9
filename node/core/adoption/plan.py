"""From facts to a plan: what each unexplained transaction is, and what follows from it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from node.core.adoption.calls import (
    deposit_sweep_in,
    movement_in,
    payments_in,
    purpose_of,
    voids_in,
)
from node.core.adoption.facts import (
    Knowledge,
    KnownSlot,
    KnownTransfer,
    MinedTransaction,
    NumberUse,
    OwnAccounts,
    RequestedMovement,
)
from node.core.adoption.found import (
    AdoptionPlan,
    Finding,
    FoundMovement,
    FoundRecord,
    FoundTransaction,
    Link,
    SkippedNonces,
)
from node.core.errors import InvariantBroken
from node.core.mirror import SettlementKind
from node.core.settlement import PaymentRecord, Purpose, SlotState
from node.core.transfers import TERMINAL, State
from node.core.units import Address, TxHash

NUMBER_LIMIT: Final = 2**62
"""Payment numbers from here on are never allotted: what a stranger used up there is no reason to
raise the counter, which must stay within a BIGINT."""

CLOCK_MARGIN: Final = timedelta(seconds=60)
"""A block's time may lie before the database time of a transfer it pays: it is in whole seconds, it
is the start of a slot (12 s on Ethereum), and clocks differ. Within so much an equal payment counts
as the transfer's own: the database has one order then, and the chain one payment."""


@dataclass(slots=True)
class _Planning:
    own: OwnAccounts
    slots: Mapping[tuple[Address, int], KnownSlot]
    transfers: Mapping[int, KnownTransfer]
    outcomes: Mapping[tuple[TxHash, int], SettlementKind]
    movements: list[RequestedMovement]
    received: Mapping[TxHash, int]
    found: list[FoundTransaction] = field(default_factory=list)


def plan(
    own: OwnAccounts,
    transactions: Iterable[MinedTransaction],
    known: Knowledge,
    passed: Mapping[Address, range] | None = None,
) -> AdoptionPlan:
    """Say what each transaction is, and what follows for slots, transfers and numbers.

    What the database explains already is left out: an attempt it has, in the block it has.

    Args:
        own: The node's accounts.
        transactions: Of them, in any order.
        known: What the database has of that.
        passed: Nonces of each account that a final block is past and the database has not mined.
    """
    transactions = list(transactions)
    planning = _Planning(
        own,
        {(each.sender, each.nonce): each for each in known.slots},
        {each.number: each for each in known.transfers},
        _outcomes(known.uses),
        list(known.movements),
        known.received,
    )
    for each in sorted(transactions, key=lambda found: (found.block.number, found.index)):
        if not _is_explained(planning, each):
            planning.found.append(_found(planning, each))
    skipped = _skipped(passed or {}, transactions, known.slots)
    overtaken = [
        each.slot_id
        for each in planning.found
        if each.finding is Finding.OVERTAKES and each.slot_id is not None
    ]
    overtaken += [
        slot.id
        for slot in known.slots
        if any(
            each.sender == slot.sender and each.first <= slot.nonce <= each.last for each in skipped
        )
    ]
    carried = {
        each.id
        for each in known.transfers
        if each.slot_id is not None and each.slot_id not in overtaken
    }
    assigned = _assigned(planning.found, carried)
    return AdoptionPlan(
        planning.found,
        overtaken,
        assigned,
        renumberable([each for each in known.transfers if each.id not in assigned], known.uses),
        _numbers_to(planning.found, known.uses),
        skipped,
    )


def link_of(transfer: KnownTransfer | None, record: PaymentRecord, mined_at: datetime) -> Link:
    """Whether a payment on chain is this transfer's own.

    Only if it is equal in beneficiary and amount and the transfer was there before the block: a
    copy of the database may have given the number to another transfer since.
    """
    if transfer is None:
        return Link.NO_TRANSFER
    if (transfer.beneficiary, transfer.amount) != (record.beneficiary, record.amount):
        return Link.DIFFERS
    return _in_time(transfer, mined_at)


def renumberable(transfers: Iterable[KnownTransfer], uses: Iterable[NumberUse]) -> list[UUID]:
    """Transfers that were never written and whose number is used for something else, provably.

    One whose own payment it may be keeps its number: another would pay it twice. So does one while
    a payment on the same terms has no transfer: a database that was lost may have renumbered this
    very transfer, and paid it with that number.

    Args:
        transfers: Whom to look at.
        uses: Of their numbers, and payments on equal terms that no transfer has.
    """
    by_number: dict[int, list[NumberUse]] = {}
    unclaimed: set[tuple[Address | None, int | None]] = set()
    for use in uses:
        if use.is_used:
            by_number.setdefault(use.number, []).append(use)
        if use.kind is SettlementKind.SETTLED and not use.has_transfer:
            unclaimed.add((use.beneficiary, use.amount))
    return [
        each.id
        for each in transfers
        if not each.was_written and each.slot_id is None
        if each.state in (State.FUNDED, State.ON_HOLD)
        if (each.beneficiary, each.amount) not in unclaimed
        if (found := by_number.get(each.number)) and all(_is_anothers(each, use) for use in found)
    ]


def _is_explained(planning: _Planning, found: MinedTransaction) -> bool:
    slot = planning.slots.get((found.sender, found.nonce))
    return (
        slot is not None
        and slot.tx_hash == found.tx_hash
        and slot.state in (SlotState.INCLUDED, SlotState.FINAL)
    )


def _found(planning: _Planning, found: MinedTransaction) -> FoundTransaction:
    slot = planning.slots.get((found.sender, found.nonce))
    if slot is not None and slot.state in (SlotState.INCLUDED, SlotState.FINAL):
        raise InvariantBroken(f"nonce {found.nonce} of 0x{found.sender.hex()} is mined twice")
    if slot is not None and found.tx_hash in slot.hashes:
        return FoundTransaction(found, Finding.KNOWN, slot.purpose, slot.id)
    if slot is not None and _is_same_call(slot, found):
        return FoundTransaction(found, Finding.LOST_ATTEMPT, slot.purpose, slot.id)
    purpose = purpose_of(planning.own, found)
    return FoundTransaction(
        found,
        Finding.NEW if slot is None else Finding.OVERTAKES,
        purpose,
        None if slot is None else slot.id,
        _found_records(planning, found, purpose),
        _found_movement(planning, found),
    )


def _is_same_call(slot: KnownSlot, found: MinedTransaction) -> bool:
    return (slot.to, slot.value_wei, slot.calldata) == (found.to, found.value_wei, found.data)


def _found_records(
    planning: _Planning, found: MinedTransaction, purpose: Purpose
) -> list[FoundRecord]:
    """Payments or voids with the transfers they belong to; of equal numbers the first counts."""
    payments = payments_in(found.data) if purpose is Purpose.SETTLE else []
    wanted: list[tuple[int, PaymentRecord | None]] = [(each.number, each) for each in payments]
    if purpose is Purpose.VOID:
        wanted = [(number, None) for number in voids_in(found.data)]
    records: list[FoundRecord] = []
    seen: set[int] = set()
    for position, (number, payment) in enumerate(wanted):
        transfer = planning.transfers.get(number)
        link = _link(transfer, payment, found.mined_at)
        records.append(
            FoundRecord(
                position,
                number,
                None if payment is None else payment.beneficiary,
                None if payment is None else payment.amount,
                Link.NO_TRANSFER if number in seen else link,
                None if transfer is None else transfer.id,
                planning.outcomes.get((found.tx_hash, number)),
            )
        )
        seen.add(number)
    return records


def _link(
    transfer: KnownTransfer | None, payment: PaymentRecord | None, mined_at: datetime
) -> Link:
    """As `link_of`. A void names no terms: it is the transfer's if that was there before."""
    if payment is not None:
        return link_of(transfer, payment, mined_at)
    return Link.NO_TRANSFER if transfer is None else _in_time(transfer, mined_at)


def _in_time(transfer: KnownTransfer, mined_at: datetime) -> Link:
    if transfer.created_at > mined_at + CLOCK_MARGIN:
        return Link.TOO_YOUNG
    return Link.ENDED if transfer.state in TERMINAL else Link.LINKED


def _is_anothers(transfer: KnownTransfer, use: NumberUse) -> bool:
    """A payment is another's by its terms alone: clocks may be wrong. A void names none."""
    if use.kind is SettlementKind.SETTLED:
        return (use.beneficiary, use.amount) != (transfer.beneficiary, transfer.amount)
    return _in_time(transfer, use.mined_at) is Link.TOO_YOUNG


def _assigned(found: Sequence[FoundTransaction], carried: Collection[UUID]) -> dict[UUID, TxHash]:
    """Which transaction decides about each linked transfer.

    One that a slot of the database carries stays with it, whoever else tried to pay it: that slot
    can still be mined. Only a transaction that paid it takes it over.
    """
    assigned: dict[UUID, TxHash] = {}
    settled: set[UUID] = set()
    for each in found:
        if each.purpose is not Purpose.SETTLE:
            continue
        for record in each.records:
            if record.link is not Link.LINKED or record.transfer_id is None:
                continue
            if record.transfer_id in settled or record.outcome is SettlementKind.SKIPPED:
                continue
            if record.transfer_id in carried and record.outcome is not SettlementKind.SETTLED:
                continue
            assigned[record.transfer_id] = each.transaction.tx_hash
            if record.outcome is SettlementKind.SETTLED:
                settled.add(record.transfer_id)
    return assigned


def _outcomes(uses: Iterable[NumberUse]) -> dict[tuple[TxHash, int], SettlementKind]:
    """What was told of a number in a transaction; that it was paid or voided before all else."""
    told: dict[tuple[TxHash, int], SettlementKind] = {}
    for use in uses:
        if use.is_used or (use.tx_hash, use.number) not in told:
            told[use.tx_hash, use.number] = use.kind
    return told


def _skipped(
    passed: Mapping[Address, range],
    transactions: Iterable[MinedTransaction],
    slots: Iterable[KnownSlot],
) -> list[SkippedNonces]:
    """Rows of nonces that no transaction has; there may be more of them than could be listed."""
    used: dict[Address, set[int]] = {}
    for each in transactions:
        used.setdefault(each.sender, set()).add(each.nonce)
    for slot in slots:
        if slot.state in (SlotState.INCLUDED, SlotState.FINAL):
            used.setdefault(slot.sender, set()).add(slot.nonce)
    skipped: list[SkippedNonces] = []
    for sender, nonces in passed.items():
        first = nonces.start
        for nonce in sorted(each for each in used.get(sender, ()) if each in nonces):
            if first < nonce:
                skipped.append(SkippedNonces(sender, first, nonce - 1))
            first = nonce + 1
        if first < nonces.stop:
            skipped.append(SkippedNonces(sender, first, nonces.stop - 1))
    return skipped


def _numbers_to(found: Iterable[FoundTransaction], uses: Iterable[NumberUse]) -> int:
    numbers = [record.number for each in found for record in each.records]
    numbers += [use.number for use in uses]
    return max((each + 1 for each in numbers if each < NUMBER_LIMIT), default=0)


def _found_movement(planning: _Planning, found: MinedTransaction) -> FoundMovement | None:
    """What it moved, with the oldest request that asked for just that."""
    moved = movement_in(planning.own, found)
    if moved is None:
        received = planning.received.get(found.tx_hash, 0)
        return deposit_sweep_in(planning.own, found, received)
    for each in planning.movements:
        if (
            each.sender == found.sender
            and (each.source, each.to, each.asset, each.amount)
            == (moved.source, moved.to, moved.asset, moved.amount)
            and each.created_at <= found.mined_at + CLOCK_MARGIN
        ):
            planning.movements.remove(each)
            return replace(moved, movement_id=each.id)
    return moved
