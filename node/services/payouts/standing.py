"""Telling operators of payouts for partners that stand still: a job that opens and closes breaks.

It moves nothing. What a bank says of an order is `delivering`; what goes back is `refunding`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.ids import Prefix, encode_id
from node.core.payouts import ENDS_WITHIN
from node.core.ports import Unit, UnitOfWork
from node.core.ports.payouts import StandingPayout

_AT_ONCE: Final = 200
"""Most that are told of: whoever sees so many looks at the bank, not at one of them."""


@dataclass(frozen=True, slots=True)
class PayoutWatching:
    """Looks for payouts that are longer in a state than they should be (`ENDS_WITHIN`)."""

    units: UnitOfWork
    new_id: Callable[[], UUID]

    async def run_once(self) -> int:
        """One pass.

        Returns:
            How many were found that nobody had been told of.
        """
        async with self.units() as unit:
            standing = await unit.payouts.standing(ENDS_WITHIN, _AT_ONCE)
            breaks = [(self.new_id(), _standing_break(each)) for each in standing]
            opened = await unit.breaks.open(breaks)
            await _close_gone(unit)
        return len(opened)


async def _close_gone(unit: Unit) -> None:
    """Close what tells of payouts that have gone on."""
    told = await unit.breaks.open_of([BreakCode.PAYOUT_STANDS])
    ids = [UUID(each.fingerprint.partition(":")[2]) for each in told]
    still = await unit.payouts.standing(ENDS_WITHIN, len(ids), ids)
    there = {_standing_break(each).fingerprint for each in still}
    gone = {each.id: each.last_seen_at for each in told if each.fingerprint not in there}
    await unit.breaks.close_rederived(gone, "the payout goes on")


def _standing_break(found: StandingPayout) -> NewBreak:
    within = ENDS_WITHIN[found.state]
    since = found.since.isoformat(timespec="seconds")
    return break_of(
        BreakCode.PAYOUT_STANDS,
        str(found.id),
        expected=f"not to be {found.state} for more than {within}",
        actual=f"{found.state} since {since}",
        evidence={
            "payout": encode_id(Prefix.PAYOUT, found.id),
            "partner": encode_id(Prefix.PARTNER, found.partner_id),
            "state": found.state.value,
            "rail": found.rail,
            "reference": found.reference,
        },
    )
