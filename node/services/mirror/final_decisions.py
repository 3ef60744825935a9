"""What a final event of the settlement contract means for the transfer it is about.

Nothing is done here: `node.services.mirror.finalizing` lets it happen.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID

from node.core.mirror import BlockPoint, SettlementKind
from node.core.ports.mirror import OutcomeRow
from node.core.ports.transfers import BareTransfer
from node.core.settlement import Remedy, cause_of, remedy_of
from node.core.transfers import ENDINGS, Happening, State, accepts
from node.core.units import TxHash
from node.services.ledger.final_bookings import FinalBookings
from node.services.settlement.renumbering import NUMBER_USED

_NUMBER_USED: Final = {
    "code": NUMBER_USED,
    "message": "its batch skipped it: the contract has used this payment number before",
}
UNSEEN: Final = (State.SUBMITTED, State.UNKNOWN)
"""Written, and in no block yet that was not final when it was read."""

IN_THE_AIR: Final = (*UNSEEN, State.INCLUDED)
PAID: Final = (Happening.SETTLED, Happening.REACHED_PARTNER, Happening.REACHED_AGAIN)
"""What a final Settled of a transfer's own means to it."""

Decided = tuple[Happening, OutcomeRow | None]
"""What happens to a transfer, and by which event; None: its batch reverted as a whole."""


def decide(
    outcomes: Sequence[OutcomeRow], by_id: Mapping[UUID, BareTransfer], bookings: FinalBookings
) -> dict[UUID, Decided]:
    """What each final event means for its transfer; what means nothing becomes a break."""
    decided: dict[UUID, Decided] = {}
    for outcome in outcomes:
        transfer = by_id.get(outcome.transfer_id) if outcome.transfer_id is not None else None
        if outcome.kind is SettlementKind.SKIPPED:
            if transfer is not None and _was_for_its_batch(transfer, outcome):
                decided.setdefault(transfer.id, (Happening.HELD, outcome))
            continue
        if outcome.kind is SettlementKind.FAILED:
            if transfer is not None and _was_for_its_batch(transfer, outcome):
                decided.setdefault(transfer.id, (Happening.REQUEUED, outcome))
            continue
        if transfer is not None and _is_void_again(outcome, transfer):
            continue
        happening = _ending(outcome, transfer)
        if transfer is None or happening is None:
            bookings.report_payout(outcome, transfer)
            continue
        if happening in PAID and not _is_settled(transfer, happening):
            bookings.report_payout(outcome, transfer)
            continue
        is_own_void = outcome.kind is SettlementKind.VOIDED and transfer.void_outcome is not None
        if happening not in PAID and not is_own_void:
            bookings.report_payout(
                outcome, transfer
            )  # somebody else used the number; it ends all the same
        decided[transfer.id] = (happening, outcome)
    return decided


_VOIDABLE: Final = frozenset(
    {
        State.FUNDED,
        State.ON_HOLD,
        State.SUBMITTED,
        State.UNKNOWN,
        State.INCLUDED,
        State.VOIDING,
    }
)


def _ending(outcome: OutcomeRow, transfer: BareTransfer | None) -> Happening | None:
    """How a final Settled or Voided ends its transfer; None: it is not the transfer's own.

    A number that paid somebody else can never be voided: whoever waits for that has the proof.
    """
    if outcome.kind is SettlementKind.SETTLED and outcome.agrees:
        return _paid(transfer)
    if transfer is None or transfer.state not in _VOIDABLE:
        return None
    if outcome.kind is SettlementKind.SETTLED and not (
        outcome.differs and transfer.state is State.VOIDING
    ):
        return None
    return Happening(transfer.void_outcome or Happening.CANCELED)


def _paid(transfer: BareTransfer | None) -> Happening:
    """What a payment means to the transfer it is made for: who gets it decides."""
    if transfer is None or transfer.partner_id is None:
        return Happening.SETTLED
    has_ended = transfer.state in (State.PAID_OUT, State.REFUNDED)
    return Happening.REACHED_AGAIN if has_ended else Happening.REACHED_PARTNER


def _is_void_again(outcome: OutcomeRow, transfer: BareTransfer) -> bool:
    """Whether a Voided says again what the transfer ended by, in a block that a reorg replaced.

    Nothing else ends what was in a written batch without a payout.
    """
    has_ended = transfer.state in (State.CANCELED, State.FAILED, State.EXPIRED)
    return outcome.kind is SettlementKind.VOIDED and has_ended and transfer.was_written


def _is_settled(transfer: BareTransfer, happening: Happening) -> bool:
    """Whether a payout of it settles it; one that was final when it was read includes it, too."""
    if happening is Happening.REACHED_AGAIN:
        return transfer.tx_hash is None  # a reorg past finality took its payment back
    return transfer.state in UNSEEN or can_happen(transfer, happening)


def can_happen(transfer: BareTransfer, happening: Happening) -> bool:
    """Whether its state lets that happen to it."""
    return accepts(transfer.state, happening, was_written=transfer.was_written)


def _was_for_its_batch(transfer: BareTransfer, outcome: OutcomeRow) -> bool:
    """Only the batch it is in: an older batch's outcome was acted on when it became final."""
    return (
        transfer.state in IN_THE_AIR and outcome.slot_is_its and transfer.slot_id == outcome.slot_id
    )


def changes_of(
    transfer: BareTransfer, happening: Happening, outcome: OutcomeRow | None
) -> Mapping[str, object]:
    """Columns of the transfer that change with it."""
    if happening is Happening.REQUEUED:
        return {
            "slot_id": None,
            "tx_hash": None,
            "block_number": None,
            "batches_failed": transfer.batches_failed + _counts(transfer, outcome),
        }
    assert outcome is not None
    if happening not in PAID:
        failure = {"failure": _NUMBER_USED} if happening is Happening.HELD else {}
        return {"slot_id": None, "tx_hash": None, "block_number": None, **failure}
    where = {"tx_hash": outcome.tx_hash, "block_number": outcome.block.number}
    if happening is Happening.REACHED_AGAIN:
        return {"slot_id": None, **where}
    return {"slot_id": None, **where, "void_outcome": None, "failure": None}


def _counts(transfer: BareTransfer, outcome: OutcomeRow | None) -> bool:
    """Whether a batch that did not pay counts against its transfer.

    Only where nobody knows why: what waits for its cause to end (pause, float, gas), and a
    transaction that reverted as a whole, say nothing about the transfer.
    """
    if outcome is None:
        return False
    return remedy_of(cause_of(outcome.reason, transfer.beneficiary_address)) is Remedy.RETRY


def detail_of(happening: Happening, outcome: OutcomeRow | None) -> Mapping[str, object]:
    """What the line of its timeline says."""
    if outcome is None:
        return {"reason": "transaction_reverted"}
    if happening is Happening.HELD:
        return _NUMBER_USED
    if happening in ENDINGS and outcome.kind is SettlementKind.SETTLED:
        return {"reason": NUMBER_USED, "used_by": f"0x{outcome.tx_hash.hex()}"}
    place = _place(outcome.tx_hash, outcome.block)
    if outcome.kind is SettlementKind.FAILED:
        return {**place, "reason": f"0x{outcome.reason.hex()}"}
    return place


@lru_cache(maxsize=64)
def _place(tx_hash: TxHash, block: BlockPoint) -> Mapping[str, object]:
    """What the timelines of all payments of one transaction say."""
    return {
        "tx_hash": f"0x{tx_hash.hex()}",
        "block_number": block.number,
        "block_hash": f"0x{block.hash.hex()}",
    }
