"""The job of an own key that settles nothing: treasury, pauser, rescuer.

The same lease, signing and sending as for payments, with a key and nonces of its own. It writes
the movements whose sender it is, and has the duties of its role. Whether something happened is
the mirror's to say.
"""

from collections.abc import Sequence
from typing import Protocol

from node.core.ports.settlement import Lane, LeaseLost
from node.core.settlement import LaneStatus
from node.core.signing import KeyRole
from node.core.sweeping import SweepRules
from node.core.treasury import NodeAddresses
from node.services.settlement.hard_pause import HardPause
from node.services.settlement.lease import LaneLease
from node.services.settlement.movement_writing import MovementWriter
from node.services.settlement.observing import Observer
from node.services.settlement.parts import SettlementParts
from node.services.settlement.sending import Sender
from node.services.settlement.sweeping import Sweeper
from node.services.settlement.treasury_rules import TreasuryRules


class Duty(Protocol):
    """What one role does besides movements."""

    async def run(self, lane: Lane) -> int:
        """One pass over the held lane; how much was done."""
        ...


class TreasuryService:
    """Works one own key. Its parts are those of that key."""

    def __init__(
        self, parts: SettlementParts, own: NodeAddresses, sweeps: SweepRules | None = None
    ) -> None:
        self._parts = parts
        self._duties = _duties(parts, own, sweeps or SweepRules())
        self._lease = LaneLease(parts)
        self._movements = MovementWriter(parts, own)
        self._sender = Sender(parts)
        self._observer = Observer(parts)

    async def run_once(self) -> int:
        """One pass; how much was done. Raises as `SettlementService.run_once`."""
        try:
            lane = await self._lease.hold(also_stopped=True)
            if lane is None:
                return 0
            if lane.status is not LaneStatus.ACTIVE:
                return await self._sender.send_due(lane)  # stored bytes only
            return await self._work(lane)
        except LeaseLost:
            self._lease.drop()
            return 0

    async def _work(self, lane: Lane) -> int:
        """One pass over a lane that is held and active."""
        done = await self._sign_and_send(lane)  # left by a holder before
        for duty in self._duties:
            done += await duty.run(lane)
        done += await self._movements.write(lane)
        done += await self._sign_and_send(lane)
        async with self._parts.units() as unit:
            now = unit.now
        await self._observer.observe(lane, now)
        return done

    async def _sign_and_send(self, lane: Lane) -> int:
        return await self._sender.sign_written(lane) + await self._sender.send_due(lane)

    async def close(self) -> None:
        """Let a successor take the lane at once."""
        await self._parts.lock.release()


def _duties(parts: SettlementParts, own: NodeAddresses, sweeps: SweepRules) -> Sequence[Duty]:
    if parts.role is KeyRole.TREASURY:
        return [Sweeper(parts, own, sweeps), TreasuryRules(parts, own)]
    return [HardPause(parts)] if parts.role is KeyRole.PAUSER else []
