"""Payouts at finality: what deposits to their addresses make of them, in the same transaction.

Which deposit pays is decided where all deposits are (`node.services.deposits.deposits`, by the
rules of `node.core.payout_matching`); its own booking brings the money to the partner's balance.
Here follow the exchange into local money that is due, or the way back of what came too late.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from node.core.deposits import DepositBooking, Flag
from node.core.ids import Prefix, encode_id
from node.core.ledger import LedgerTransaction
from node.core.payout_matching import LogName, goes_back
from node.core.payouts import Payout, PayoutState, RefundReason, matched_entries
from node.core.ports import Unit, UnitOfWork
from node.core.ports.payouts import PaymentProofs, PayoutMove
from node.core.ports.transfers import NewEvent
from node.services.deposits.deposits import close_breaks, released_event
from node.services.payouts.refunding import GoingBack, set_aside
from node.services.payouts.timeline import moved_event


@dataclass(frozen=True, slots=True)
class PayoutMatching:
    """Makes of matched deposits what is due to beneficiaries.

    Attributes:
        proofs: Asks the chain what is next to a Transfer; None: the node has no such partners, and
            what comes to a payout's address belongs to nobody known.
    """

    units: UnitOfWork
    proofs: PaymentProofs | None
    new_id: Callable[[], UUID]

    async def prove(self, chain_id: int, above: int, to: int) -> Mapping[LogName, int]:
        """Of Transfers by registered contracts in these blocks, the numbers of their `Settled`.

        Raises:
            ChainUnavailable: It cannot be told now; the blocks become final later.
        """
        if self.proofs is None:
            return {}
        async with self.units() as unit:
            logs = await unit.payouts.payment_logs(chain_id, above, to)
        return await self.proofs.settlement_numbers(logs) if logs else {}

    async def record(
        self,
        unit: Unit,
        bookings: Mapping[LogName, DepositBooking],
        sequences: Mapping[str, int],
    ) -> list[NewEvent]:
        """Book and store what the deposits make of payouts.

        Args:
            unit: Holds the ledger's lock; the deposits are booked and stored.
            bookings: All deposits of the step, in chain order.
            sequences: Ledger key of each -> sequence.

        Returns:
            Lines of the timelines, to be appended at the end.
        """
        found = [each for each in bookings.values() if each.row.payout_id is not None]
        events = await _release(unit, found, sequences)
        deciding = [each for each in found if each.is_paying or goes_back(each.judgement)]
        if not deciding:
            return events
        ids = sorted({_payout_id(each) for each in deciding})
        payouts = {each.id: each for each in await unit.payouts.lock(ids)}
        paying = [each for each in deciding if each.is_paying]
        events += await self._exchange(unit, paying, payouts)
        for each in deciding:
            if not each.is_paying:
                events += await self._return(unit, each, payouts[_payout_id(each)])
        return events

    async def _exchange(
        self,
        unit: Unit,
        paying: Sequence[DepositBooking],
        payouts: Mapping[UUID, Payout],
    ) -> list[NewEvent]:
        """The partner's tokens become local money that is due, at the quoted integers."""
        if not paying:
            return []
        exchanged = await unit.ledger.post(
            [_transaction(payouts[_payout_id(each)], each) for each in paying]
        )
        events, moves = [], []
        for each in paying:
            payout = payouts[_payout_id(each)]
            flags = each.judgement.flags - {Flag.SHORT}
            changes: dict[str, object] = {
                "matched_deposit_id": each.row.id,
                "matched_sequence": exchanged[_key(payout)],
                "next_look_at": unit.now,
                "flags": sorted({*payout.flags, *flags}),
            }
            moves.append(PayoutMove(payout.id, payout.version, PayoutState.MATCHED, changes))
            events.append(moved_event(payout, PayoutState.MATCHED, _told(each)))
        await unit.payouts.move(moves)
        return events

    async def _return(self, unit: Unit, booking: DepositBooking, payout: Payout) -> list[NewEvent]:
        """What came too late, or too little after its time, is the partner's and goes back."""
        is_late = Flag.TOO_LATE in booking.judgement.flags
        changes = {"flags": sorted({*payout.flags, *booking.judgement.flags})}
        reason = RefundReason.LATE if is_late else RefundReason.SHORT
        back = GoingBack(payout, booking.row.amount, reason, changes)
        return await set_aside(unit, back, self.new_id)


async def _release(
    unit: Unit, found: Sequence[DepositBooking], sequences: Mapping[str, int]
) -> list[NewEvent]:
    """Parts that were held are the partner's with the deposit that released them."""
    releasing = {_payout_id(each): each for each in found if each.judgement.released}
    if not releasing:
        return []
    released = await unit.payouts.release(
        {payout_id: sequences[each.key] for payout_id, each in releasing.items()}
    )
    await close_breaks(unit, released, "mirror", "the rest came, and all of it is paid", None)
    return [released_event(each) for each in released]


def _transaction(payout: Payout, booking: DepositBooking) -> LedgerTransaction:
    """Without the block: a reorg past finality takes the deposit back, and not what was paid."""
    return LedgerTransaction(
        _key(payout),
        "payout",
        matched_entries(payout.partner_id, payout.rail, payout.amounts),
        detail={
            "payout": str(payout.id),
            "quote": str(payout.quote_id),
            "deposit": str(booking.row.id),
            "settlement_number": str(booking.row.settlement_number),
            "rail": payout.rail,
            "reference": payout.reference,
        },
    )


def _key(payout: Payout) -> str:
    return f"payout:{payout.id}"


def _payout_id(booking: DepositBooking) -> UUID:
    assert booking.row.payout_id is not None
    return booking.row.payout_id


def _told(booking: DepositBooking) -> dict[str, object]:
    return {
        "deposit_id": encode_id(Prefix.DEPOSIT, booking.row.id),
        "tx_hash": f"0x{booking.row.tx_hash.hex()}",
        "block_number": booking.row.block_number,
        "settlement_number": booking.row.settlement_number,
        "flags": sorted(booking.judgement.flags),
    }
