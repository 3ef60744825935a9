"""The settlement job: one pass over one lane, from funded transfers to bytes on their way.

The database alone tells what is to be done, so a pass can end anywhere and the next one, in this
process or another, goes on. Its parts: lease, gate, writing, sending. Who was paid is the
mirror's to say.
"""

from node.core.ports.settlement import Lane, LeaseLost
from node.core.settlement import LaneStatus
from node.services.settlement.lease import LaneLease
from node.services.settlement.movement_writing import MovementWriter
from node.services.settlement.observing import Observer
from node.services.settlement.parts import SettlementParts
from node.services.settlement.sending import Sender
from node.services.settlement.sweeping import Sweeper
from node.services.settlement.writing import Writer


class SettlementService:
    """Works one lane; any number of these may run, one at a time works."""

    def __init__(
        self,
        parts: SettlementParts,
        movements: MovementWriter | None = None,
        sweeper: Sweeper | None = None,
    ) -> None:
        self._parts = parts
        self._movements = movements
        self._sweeper = sweeper
        self._lease = LaneLease(parts)
        self._writer = Writer(parts)
        self._sender = Sender(parts)
        self._observer = Observer(parts)

    async def run_once(self) -> int:
        """One pass; how much was done (0: nothing to do, or another process has the lane).

        Raises:
            ChainUnavailable: No provider answers; what is stored goes on when one does.
            DatabaseUnavailable: The database is away.
            SignerUnavailable: The key cannot be used now.
        """
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
        async with self._parts.units() as unit:
            load = await unit.settlement.workload(
                lane.id, self._parts.chain_id, self._parts.contract.address
            )
            now = unit.now
        done = written = 0
        if load.unmined:
            done += await self._sender.sign_written(lane)  # left by a holder before
            done += await self._sender.send_due(lane)
        if load.has_funded:
            done += await self._writer.expire(now)
        if load.has_voids:
            written += await self._writer.write_voids(lane)
        if load.has_funded:
            written += await self._writer.write_batches(lane)
        if self._sweeper is not None and self._sweeper.is_due(now):
            done += await self._sweeper.run(lane)
        if self._movements is not None and load.has_movements:
            written += await self._movements.write(lane)
        if written:
            done += written + await self._sender.sign_written(lane)
            done += await self._sender.send_due(lane)
        await self._observer.observe(lane, now)
        return done

    async def close(self) -> None:
        """Let a successor take the lane at once."""
        await self._parts.lock.release()
