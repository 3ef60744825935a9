"""Which point of the ledger a caller means: a sequence, a time, or now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from node.core.errors import InFuture
from node.core.ports import UnitOfWork
from node.core.ports.history import AsOf


@dataclass(frozen=True, slots=True)
class Asked:
    """At most one of both; neither means now."""

    sequence: int | None = None
    at: datetime | None = None


NEWEST: Final = Asked()


async def point(units: UnitOfWork, asked: Asked) -> AsOf:
    """The point asked for.

    Raises:
        InFuture: It has not come yet.
    """
    if asked.at is not None:
        return await point_at(units, asked.at)
    async with units() as unit:
        head = await unit.history.head()
        if asked.sequence is None or asked.sequence == head.sequence:
            return head
        if asked.sequence > head.sequence:
            raise _not_yet("sequence", f"nothing is booked beyond sequence {head.sequence} yet")
        return await unit.history.at_sequence(asked.sequence)


async def point_at(units: UnitOfWork, moment: datetime) -> AsOf:
    """The newest point booked at or before a time, for good.

    Times rise from batch to batch, so nothing can come between once a later batch is there. As long
    as there is none, one that began by then may still be on its way: it has the ledger's lock.

    Raises:
        InFuture: The time has not come yet.
    """
    async with units() as unit:
        if moment > unit.now:
            raise _not_yet("at", "give a time that has passed")
        head = await unit.history.head()
        if head.booked_at is not None and head.booked_at > moment:
            return await unit.history.at_time(moment)
    async with units() as unit:
        await unit.ledger.lock()
        return await unit.history.at_time(moment)


def _not_yet(parameter: str, message: str) -> InFuture:
    """The refusal of what has not happened yet."""
    return InFuture(
        f"`{parameter}` is in the future: {message}",
        errors=[{"parameter": parameter, "code": InFuture.code, "message": message}],
    )
