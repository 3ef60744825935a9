"""Payment requests whose time is over: expired, and told to persons where a part came.

A job of its own beside finality, under the same lock. What may still pay an expired request is
`node.core.deposits`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, break_of
from node.core.deposits import RequestStatus
from node.core.ids import Prefix, encode_id
from node.core.ports import Unit, UnitOfWork
from node.core.ports.deposits import Expired
from node.core.ports.transfers import NewEvent
from node.services.deposits.deposits import request_event

_EXPIRED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class RequestExpiry:
    """Expires requests once a block later than their end is final, so that nothing is missed."""

    units: UnitOfWork
    chain_id: int
    new_id: Callable[[], UUID]

    async def run_once(self) -> int:
        """One pass, set-based; how many expired.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        async with self.units() as unit:
            if not await unit.deposits.is_any_due(self.chain_id):
                return 0
        async with self.units() as unit:
            await unit.ledger.lock()  # deposits are judged under it
            expired = await unit.deposits.expire(self.chain_id, _EXPIRED_AT_ONCE)
            await self._report(unit, [each for each in expired if not each.is_told])
            await unit.events.append([_expired_event(each) for each in expired])
        return len(expired)

    async def _report(self, unit: Unit, short: Sequence[Expired]) -> None:
        """Tell persons of requests of which a part came; they are held until somebody decides.

        Not where each part has told them already: the break of a part is closed with it, and one
        that is about no part of its own would stay open for ever.
        """
        if not short:
            return
        found = {
            each.request_id: break_of(
                BreakCode.DEPOSIT_DIFFERS,
                encode_id(Prefix.PAYMENT_REQUEST, each.request_id),
                expected=f"{each.amount} units of {each.asset}",
                actual=f"{each.held} units of {each.asset} when its time was over",
                evidence={
                    "payment_request": encode_id(Prefix.PAYMENT_REQUEST, each.request_id),
                    "reference": each.reference,
                    "minor": str(each.held),
                },
                cause="its payer sent too little",
            )
            for each in short
        }
        await unit.breaks.open([(self.new_id(), each) for each in found.values()])
        await unit.deposits.name_breaks({id_: each.fingerprint for id_, each in found.items()})


def _expired_event(expired: Expired) -> NewEvent:
    return request_event(
        expired.request_id,
        expired.version,
        RequestStatus.EXPIRED,
        expired.owner,
        {"held_minor": str(expired.held), "currency": expired.asset},
    )
