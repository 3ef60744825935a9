"""The only way a transfer changes its state.

The pure machine decides each move; the moves, what they book and the timeline are stored in the
caller's transaction, in a fixed number of statements whatever the count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from node.core.ledger import Resolution
from node.core.ports import Unit
from node.core.ports.mirror import PayoutSeen
from node.core.ports.transfers import BareTransfer, NewEvent, TransferMove
from node.core.transfers import Happening, Move, State, move
from node.services.meanwhile import meanwhile

_Transfer = TypeVar("_Transfer", bound=BareTransfer)


async def apply(
    unit: Unit,
    transfers: Sequence[_Transfer],
    *happenings: Happening,
    changes: Callable[[_Transfer], Mapping[str, object]] = lambda _: {},
    detail: Callable[[_Transfer], Mapping[str, object]] = lambda _: {},
) -> list[NewEvent]:
    """Let the same thing happen to every transfer, or the same things one after the other.

    The transfers must be locked in this transaction (`unit.transfers.lock_many`), and the ledger
    too when the happening ends a transfer. Events are returned, not yet appended: the caller
    appends all of its events last (`unit.events.append`), because their lock comes last.

    Args:
        unit: The transaction.
        transfers: In the common order.
        happenings: What happened. Each has its line in the timeline; the row is stored once.
        changes: Columns that change besides the state; see `TransferMove`.
        detail: What the timeline says, the same at each happening; JSON values.

    Raises:
        WrongState: A transfer does not accept it; nothing of this transaction is to be kept.
        Conflict: A transfer changed meanwhile.
    """
    ways: dict[tuple[State, bool], Sequence[Move]] = {}  # of many transfers, few differ in these
    for each in transfers:
        group = each.state, each.was_written
        if group not in ways:
            ways[group] = _way(*group, happenings)
    going = [(each, ways[each.state, each.was_written]) for each in transfers]
    moves = [
        TransferMove(each.id, each.version, way[-1].state, changes(each), len(way))
        for each, way in going
    ]
    async with meanwhile(unit.transfers.apply_moves(moves)) as stored:
        resolutions: list[Resolution] = []
        events: list[NewEvent] = []
        for each, way in going:
            told = detail(each)
            for version, step in enumerate(way, each.version + 1):
                if step.booking is not None:
                    resolutions.append(Resolution(each.pending_sequence, step.booking))
                events.append(
                    NewEvent(each.id, version, step.type, step.state, each.customer_id, told)
                )
        await stored
    if resolutions:
        await unit.ledger.post(resolutions=resolutions)
    return events


def _way(state: State, was_written: bool, happenings: Sequence[Happening]) -> list[Move]:  # noqa: FBT001 - half of a key
    """Every step, as the machine decides it."""
    way: list[Move] = []
    for happening in happenings:
        way.append(move(state, happening, was_written=was_written))
        state = way[-1].state
    return way


def after(transfer: _Transfer, happening: Happening) -> _Transfer:
    """The transfer as the next move in the same transaction must see it."""
    following = move(transfer.state, happening, was_written=transfer.was_written)
    return replace(transfer, state=following.state, version=transfer.version + 1)


def payout_detail(payout: PayoutSeen) -> Mapping[str, object]:
    """What the timeline says of a payout in a block."""
    return {
        "tx_hash": f"0x{payout.tx_hash.hex()}",
        "block_number": payout.block_number,
        "block_hash": f"0x{payout.block_hash.hex()}",
    }
