"""New payment numbers for transfers whose own the contract has used for something else.

It happens after a restore: the copy gives numbers out again that were given out, and paid, after
it was made. Fences stay as they are: the transfer was never written, so nothing can pay its old
number for it; and where the payment that used the number may be its own, it keeps it.
"""

from collections.abc import Sequence
from dataclasses import replace

from node.core.adoption.facts import KnownTransfer
from node.core.adoption.plan import renumberable
from node.core.ports import Unit
from node.core.ports.transfers import NewEvent, Transfer
from node.core.transfers import Happening, State
from node.services.transfers import transfer_moves

NUMBER_USED = "number_used"
"""Code of a transfer on hold because its number is used."""


async def renumber(unit: Unit, transfers: Sequence[Transfer]) -> list[NewEvent]:
    """Give new numbers to those that provably need one; the others are left as they are.

    Proof is an event that the mirror has of the number: a payment to somebody else or of another
    amount, or a void from before the transfer was made. A number of which the mirror has not told
    yet proves nothing, and neither does anything while a payment on the transfer's own terms has no
    transfer. What was on hold for its number is funded again.

    Args:
        unit: The transaction.
        transfers: Of one contract, locked in this transaction, in the common order.

    Returns:
        Events, to be appended by the caller: `transfer.renumbered` with old and new number.
    """
    uses = await unit.adoption.uses([each.id for each in transfers])
    proven = set(renumberable([known(each) for each in transfers], uses))
    chosen = [each for each in transfers if each.id in proven]
    if not chosen:
        return []
    chain_id, contract = chosen[0].chain_id, chosen[0].contract
    above = await unit.settlement.next_number(chain_id, contract)
    await unit.settlement.raise_number_counter(chain_id, contract, above)
    first = await unit.transfers.allot_numbers(chain_id, contract, len(chosen))
    numbers = {each.id: first + place for place, each in enumerate(chosen)}
    await unit.adoption.change_numbers(
        [(each.id, each.payment_number, numbers[each.id]) for each in chosen]
    )
    events = await transfer_moves.apply(
        unit,
        chosen,
        Happening.RENUMBERED,
        changes=lambda each: {"payment_number": numbers[each.id]},
        detail=lambda each: {
            "old_payment_number": each.payment_number,
            "payment_number": numbers[each.id],
        },
    )
    held = [
        replace(transfer_moves.after(each, Happening.RENUMBERED), payment_number=numbers[each.id])
        for each in chosen
        if each.state is State.ON_HOLD and (each.failure or {}).get("code") == NUMBER_USED
    ]
    return events + await transfer_moves.apply(
        unit,
        held,
        Happening.RELEASED,
        changes=lambda _: {"failure": None},
        detail=lambda _: {"reason": "it has another payment number"},
    )


def known(transfer: Transfer) -> KnownTransfer:
    """What decides whether a payment on chain is the transfer's own."""
    return KnownTransfer(
        id=transfer.id,
        number=transfer.payment_number,
        beneficiary=transfer.beneficiary_address,
        amount=transfer.amounts.buy,
        created_at=transfer.created_at,
        state=transfer.state,
        was_written=transfer.was_written,
        slot_id=transfer.slot_id,
    )
