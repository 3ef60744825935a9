"""Writing an adoption: slots, attempts, members, transfers, numbers and lanes, in one transaction.

Everything goes the ways it would have gone: transfers move by the machine, slots are mined as the
mirror has them, and what it came to is booked by the mirror at finality. What has to be written is
`node.core.adoption.plan`; finding it is `node.services.settlement.adoption`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from node.core.adoption.facts import MinedTransaction, OwnAccounts
from node.core.adoption.found import AdoptionPlan, Finding, FoundRecord, FoundTransaction, Link
from node.core.ids import Prefix, encode_id
from node.core.ports import Unit
from node.core.ports.adoption import AdoptedSlot, Adoption, LaneFound
from node.core.ports.chain import Receipt
from node.core.ports.transfers import NewEvent, Transfer
from node.core.settlement import LaneStatus, PauseReason, Purpose
from node.core.transfers import Happening, State
from node.core.units import MINOR_LIMIT, TxHash
from node.services.settlement.lane_guard import skipped_break
from node.services.settlement.renumbering import renumber
from node.services.transfers import transfer_moves

_OF_THE_CONTRACT = (Purpose.SETTLE, Purpose.VOID)
_ADOPTED = "adopted"


async def write_adoption(
    unit: Unit,
    chain_id: int,
    own: OwnAccounts,
    adoption: Adoption,
    *,
    by: str,
    new_id: Callable[[], UUID],
) -> Adoption:
    """Write what was found; cursor, lanes, slots and transfers are locked.

    Returns:
        The same, with what was written.
    """
    planned = adoption.plan
    slots = _slots(own, adoption, new_id)
    slot_of = {each.found.transaction.tx_hash: each.id for each in slots}
    slot_of |= {
        each.transaction.tx_hash: each.slot_id
        for each in planned.transactions
        if each.slot_id is not None and not each.is_written_anew
    }
    await unit.adoption.abandon(planned.overtaken)
    await _skip(unit, adoption, new_id)
    await unit.adoption.add_slots(slots)
    await unit.adoption.add_attempts(
        [
            (each.slot_id, each)
            for each in planned.transactions
            if each.finding is Finding.LOST_ATTEMPT and each.slot_id is not None
        ]
    )
    await unit.mirror.include_slots([_receipt(each.transaction) for each in planned.transactions])
    await _adopt_movements(unit, slots, by, new_id)

    moves = _Moves(unit, dict(adoption.transfers))
    await _leave_overtaken(moves, planned)
    await _assign(moves, planned, slot_of)
    await _include(moves, chain_id, planned)
    await unit.settlement.raise_number_counter(chain_id, own.contract, max(1, planned.numbers_to))
    renamed = await renumber(
        unit, [each for each in moves.transfers.values() if each.id in set(planned.renumbered)]
    )
    written = await _record(unit, adoption, slot_of, renamed, by=by, new_id=new_id)
    await unit.adoption.raise_epochs(
        {each.lane.id: each.next_nonce for each in adoption.lanes if each.is_affected}
    )
    for each in adoption.lanes:
        if each.is_affected and each.is_pending:
            # Else its holder would send into a nonce that a pool has, a filler perhaps.
            await unit.settlement.set_lane_status(
                each.lane.id, LaneStatus.AHEAD, pending_reason(each)
            )
    await unit.events.append([*moves.events, *renamed])
    return replace(adoption, written=written, renumbered=_new_numbers(renamed))


def pending_reason(lane: LaneFound) -> str:
    """Why a lane stays ahead while a pool has transactions of it that the node did not write."""
    return (
        f"{lane.chain_nonce - lane.next_nonce} transactions of 0x{lane.lane.address.hex()} from"
        f" nonce {lane.next_nonce} on are in a pool and in no block; nothing is sent from it, and"
        " no filler, until they are mined or dropped: then look again"
    )


async def _skip(unit: Unit, adoption: Adoption, new_id: Callable[[], UUID]) -> None:
    """Nonces that nothing explains are left behind, and a break tells of each row of them."""
    lanes = {each.lane.address: each.lane for each in adoption.lanes}
    skipped = adoption.plan.skipped
    await unit.adoption.skip_nonces(
        [(new_id(), lanes[each.sender].id, each.last) for each in skipped]
    )
    if skipped:
        await unit.breaks.open(
            [(new_id(), skipped_break(lanes[each.sender], each.last)) for each in skipped]
        )


@dataclass(slots=True)
class _Moves:
    """Transfers as they are after what has happened so far; in the common order."""

    unit: Unit
    transfers: dict[UUID, Transfer]
    events: list[NewEvent] = field(default_factory=list)

    async def let(
        self,
        happening: Happening,
        ids: Iterable[UUID],
        *,
        changes: Callable[[Transfer], Mapping[str, Any]] = lambda _: {},
        detail: Callable[[Transfer], Mapping[str, object]] = lambda _: {},
    ) -> None:
        """Let the same thing happen to these."""
        wanted = set(ids)
        group = [each for each in self.transfers.values() if each.id in wanted]
        self.events += await transfer_moves.apply(
            self.unit, group, happening, changes=changes, detail=detail
        )
        for each in group:
            moved = replace(transfer_moves.after(each, happening), **changes(each))
            self.transfers[each.id] = moved


async def _leave_overtaken(moves: _Moves, planned: AdoptionPlan) -> None:
    """What was in slots that can never be mined any more is funded, with the same number."""
    overtaken = set(planned.overtaken)
    inside = [each for each in moves.transfers.values() if each.slot_id in overtaken]
    await moves.let(
        Happening.REQUEUED,
        [each.id for each in inside if each.state in (State.SUBMITTED, State.UNKNOWN)],
        changes=lambda _: {"slot_id": None, "tx_hash": None},
        detail=lambda _: {"reason": PauseReason.FOREIGN_NONCE.value},
    )
    await moves.unit.settlement.unassign(sorted(overtaken))  # what was never signed
    for each in inside:
        if each.state is State.FUNDED:
            moves.transfers[each.id] = replace(each, slot_id=None)


async def _assign(moves: _Moves, planned: AdoptionPlan, slot_of: Mapping[TxHash, UUID]) -> None:
    """Transfers belong to the slots that carried them; each goes through `submitted`."""
    in_slots = {
        each.slot_id: each.transaction.tx_hash
        for each in planned.transactions
        if not each.is_written_anew
    }
    signed = {
        each.id: (each.slot_id, in_slots[each.slot_id])
        for each in moves.transfers.values()
        if each.state is State.FUNDED and each.slot_id in in_slots
    }
    taken = {
        transfer_id: (slot_of[tx_hash], tx_hash)
        for transfer_id, tx_hash in planned.assigned.items()
    }
    reason = {"reason": _ADOPTED}
    states = {each: moves.transfers[each].state for each in taken}
    await moves.let(
        Happening.RELEASED,
        [each for each, state in states.items() if state is State.ON_HOLD],
        changes=lambda _: {"failure": None},
        detail=lambda _: reason,
    )
    await moves.let(
        Happening.REQUEUED,
        [each for each, state in states.items() if state in (State.SUBMITTED, State.UNKNOWN)],
        changes=lambda _: {"slot_id": None, "tx_hash": None},
        detail=lambda _: reason,
    )
    signed |= {
        each: found for each, found in taken.items() if moves.transfers[each].state is State.FUNDED
    }
    await moves.let(
        Happening.SIGNED,
        signed,
        changes=lambda each: {
            "slot_id": signed[each.id][0],
            "tx_hash": signed[each.id][1],
            "was_written": True,
        },
        detail=lambda each: {
            "tx_hash": f"0x{signed[each.id][1].hex()}",
            "batch_id": encode_id(Prefix.BATCH, slot_of[signed[each.id][1]]),
            **reason,
        },
    )


async def _include(moves: _Moves, chain_id: int, planned: AdoptionPlan) -> None:
    """What the mirror has seen paid before it knew whose payment it was."""
    blocks = {each.transaction.block.hash for each in planned.transactions}
    seen = {
        each.transfer_id: each
        for each in await moves.unit.mirror.payouts_seen(
            chain_id, sorted(blocks), [State.SUBMITTED, State.UNKNOWN]
        )
        if each.transfer_id in moves.transfers
    }
    await moves.let(
        Happening.INCLUDED,
        seen,
        changes=lambda each: {
            "tx_hash": seen[each.id].tx_hash,
            "block_number": seen[each.id].block_number,
        },
        detail=lambda each: transfer_moves.payout_detail(seen[each.id]),
    )


def _slots(own: OwnAccounts, adoption: Adoption, new_id: Callable[[], UUID]) -> list[AdoptedSlot]:
    lanes = {each.lane.address: each.lane.id for each in adoption.lanes}
    return [
        AdoptedSlot(
            id=new_id(),
            lane_id=lanes[each.transaction.sender],
            found=each,
            contract=own.contract if each.purpose in _OF_THE_CONTRACT else None,
            amount_total=_leaves_float(each),
            members=[
                (record.position, adoption.transfers[record.transfer_id])
                for record in each.records
                if record.link is Link.LINKED and record.transfer_id is not None
            ],
        )
        for each in adoption.plan.transactions
        if each.is_written_anew
    ]


def _leaves_float(found: FoundTransaction) -> int:
    """Token units that a call of settle takes; what reverted, or no float can hold, takes none."""
    total = sum(each.amount or 0 for each in found.records)
    return total if found.transaction.succeeded and total < MINOR_LIMIT else 0


async def _adopt_movements(
    unit: Unit, slots: Sequence[AdoptedSlot], by: str, new_id: Callable[[], UUID]
) -> None:
    """Movements that were carried out: those that were requested, and the others that succeeded."""
    unasked: list[tuple[UUID, UUID, FoundTransaction]] = []
    for slot in slots:
        moved = slot.found.movement
        if moved is not None and moved.movement_id is not None:
            await unit.movements.assign(moved.movement_id, slot.id)
        elif moved is not None and slot.found.transaction.succeeded:
            unasked.append((new_id(), slot.id, slot.found))
    await unit.adoption.add_movements(unasked, by)


async def _record(
    unit: Unit,
    adoption: Adoption,
    slot_of: Mapping[TxHash, UUID],
    renamed: Sequence[NewEvent],
    *,
    by: str,
    new_id: Callable[[], UUID],
) -> dict[int, UUID]:
    """One row for each lane concerned, with everything that was found of it."""
    written: dict[int, UUID] = {}
    for each in adoption.lanes:
        if not each.is_affected:
            continue
        written[each.lane.id] = new_id()
        detail = {
            "reason": each.lane.status_reason,
            "transactions": [
                _told(found, slot_of.get(found.transaction.tx_hash))
                for found in adoption.plan.transactions
                if found.transaction.sender == each.lane.address
            ],
            "skipped": [
                {"first_nonce": found.first, "last_nonce": found.last}
                for found in adoption.plan.skipped
                if found.sender == each.lane.address
            ],
            "renumbered": [
                {"transfer_id": encode_id(Prefix.TRANSFER, event.object_id), **event.detail}
                for event in renamed
                if event.type == "transfer.renumbered"
            ],
        }
        await unit.adoption.record(written[each.lane.id], each.lane, each.next_nonce, detail, by)
    return written


def _told(found: FoundTransaction, slot_id: UUID | None) -> dict[str, object]:
    """One transaction, in JSON."""
    mined = found.transaction
    return {
        "tx_hash": f"0x{mined.tx_hash.hex()}",
        "nonce": mined.nonce,
        "block_number": mined.block.number,
        "block_hash": f"0x{mined.block.hash.hex()}",
        "succeeded": mined.succeeded,
        "to": None if mined.to is None else f"0x{mined.to.hex()}",
        "value_wei": str(mined.value_wei),
        "finding": found.finding.value,
        "purpose": found.purpose.value,
        "batch_id": None if slot_id is None else encode_id(Prefix.BATCH, slot_id),
        "overtaken_batch_id": encode_id(Prefix.BATCH, found.slot_id)
        if found.finding is Finding.OVERTAKES and found.slot_id is not None
        else None,
        "records": [_told_record(each) for each in found.records],
    }


def _told_record(record: FoundRecord) -> dict[str, object]:
    return {
        "payment_number": str(record.number),
        "beneficiary": None if record.beneficiary is None else f"0x{record.beneficiary.hex()}",
        "amount_units": None if record.amount is None else str(record.amount),
        "link": record.link.value,
        "outcome": None if record.outcome is None else record.outcome.value,
        "transfer_id": None
        if record.transfer_id is None
        else encode_id(Prefix.TRANSFER, record.transfer_id),
    }


def _new_numbers(events: Iterable[NewEvent]) -> dict[UUID, int]:
    return {
        each.object_id: int(str(each.detail["payment_number"]))
        for each in events
        if each.type == "transfer.renumbered"
    }


def _receipt(mined: MinedTransaction) -> Receipt:
    return Receipt(
        tx_hash=mined.tx_hash,
        block_hash=mined.block.hash,
        block_number=mined.block.number,
        succeeded=mined.succeeded,
        gas_used=mined.gas_used,
        effective_gas_price_wei=mined.gas_price_wei,
    )
