"""The only way a transfer changes its state.

The pure machine decides each move; the moves, what they book and the timeline are stored in the
caller's transaction, in a fixed number of statements whatever the count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from node.core.ledger import Resolution
from node.core.ports import Unit
from node.core.ports.mirror import PayoutSeen
from node.core.ports.transfers import NewEvent, Transfer, TransferMove
from node.core.transfers import Happening, State, move


async def apply(
    unit: Unit,
    transfers: Sequence[Transfer],
    happening: Happening,
    *,
    changes: Callable[[Transfer], Mapping[str, object]] = lambda _: {},
    detail: Callable[[Transfer], Mapping[str, object]] = lambda _: {},
) -> list[NewEvent]:
    """Let the same thing happen to every transfer.

    The transfers must be locked in this transaction (`unit.transfers.lock_many`), and the ledger
    too when the happening ends a transfer. Events are returned, not yet appended: the caller
    appends all of its events last (`unit.events.append`), because their lock comes last.

    Args:
        unit: The transaction.
        transfers: In the common order.
        happening: What happened.
        changes: Columns that change besides the state; see `TransferMove`.
        detail: What the timeline says; JSON values.

    Raises:
        WrongState: A transfer does not accept it; nothing of this transaction is to be kept.
        Conflict: A transfer changed meanwhile.
    """
    moves = []
    resolutions = []
    events = []
    for each in transfers:
        following = move(each.state, happening, was_written=each.was_written)
        moves.append(TransferMove(each.id, each.version, following.state, changes(each)))
        if following.booking is not None:
            resolutions.append(Resolution(each.pending_sequence, following.booking))
        events.append(event_of(each, following.type, following.state, detail(each)))
    await unit.transfers.apply_moves(moves)
    if resolutions:
        await unit.ledger.post(resolutions=resolutions)
    return events


def after(transfer: Transfer, happening: Happening) -> Transfer:
    """The transfer as the next move in the same transaction must see it."""
    following = move(transfer.state, happening, was_written=transfer.was_written)
    return replace(transfer, state=following.state, version=transfer.version + 1)


def event_of(
    transfer: Transfer, event_type: str, state: State, detail: Mapping[str, object]
) -> NewEvent:
    """The next line of a transfer's timeline."""
    return NewEvent(
        transfer.id, transfer.version + 1, event_type, state, transfer.customer_id, detail
    )


def payout_detail(payout: PayoutSeen) -> Mapping[str, object]:
    """What the timeline says of a payout in a block."""
    return {
        "tx_hash": f"0x{payout.tx_hash.hex()}",
        "block_number": payout.block_number,
        "block_hash": f"0x{payout.block_hash.hex()}",
    }
