"""The settlement job: one pass over one lane, from funded transfers to bytes on their way.

The database alone tells what is to be done, so a pass can end anywhere and the next one, in this
process or another, goes on. Its parts: lease, gate, writing, sending. Who was paid is the
mirror's to say.
"""

from datetime import datetime, timedelta

from node.core.ports.settlement import Lane, LeaseLost
from node.core.settlement import PauseReason, Purpose, SlotState
from node.core.transfers import Happening, State
from node.services import transfer_moves
from node.services.settlement_lease import LaneLease
from node.services.settlement_parts import LEASE_S, NODE, SettlementParts
from node.services.settlement_sending import Sender
from node.services.settlement_writing import Writer

_FOREIGN_PERIOD = timedelta(seconds=30)


class SettlementService:
    """Works one lane; any number of these may run, one at a time works."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._lease = LaneLease(parts)
        self._writer = Writer(parts)
        self._sender = Sender(parts)
        self._foreign_due: datetime | None = None

    async def run_once(self) -> int:
        """One pass; how much was done (0: nothing to do, or another process has the lane).

        Raises:
            ChainUnavailable: No provider answers; what is stored goes on when one does.
            DatabaseUnavailable: The database is away.
            SignerUnavailable: The key cannot be used now.
        """
        try:
            lane = await self._lease.hold()
            if lane is None:
                return 0
            async with self._parts.units() as unit:
                load = await unit.settlement.workload(
                    lane.id, self._parts.chain_id, self._parts.contract.address
                )
                now = unit.now
            done = written = 0
            if load.unmined:
                done += await self._sender.sign_written(lane)  # left by a holder before
                done += await self._sender.send_due(lane)
                done += await self._find_foreign(lane, now)
            if load.has_funded:
                done += await self._writer.expire(now)
            if load.has_voids:
                written += await self._writer.write_voids(lane)
            if load.has_funded:
                written += await self._writer.write_batches(lane)
            if written:
                done += written + await self._sender.sign_written(lane)
                done += await self._sender.send_due(lane)
        except LeaseLost:
            self._lease.drop()
            return 0
        return done

    async def close(self) -> None:
        """Let a successor take the lane at once."""
        await self._parts.lock.release()

    async def _find_foreign(self, lane: Lane, now: datetime) -> int:
        """Nonces that were finally used by transactions that are not ours.

        The mirror books every final transaction of the lane together with the final block. A slot
        below the account's nonce at that block which is not final then was overtaken by a
        stranger: settlement pauses, and its transfers, provably unpaid by it, are funded again.
        """
        parts = self._parts
        if self._foreign_due is not None and now < self._foreign_due:
            return 0
        self._foreign_due = now + _FOREIGN_PERIOD
        async with parts.units() as unit:
            final = await unit.settlement.final_block(parts.chain_id)
        if final is None:
            return 0
        nonce = await parts.chain.nonce(lane.address, final[1])
        async with parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            overtaken = await unit.settlement.unfinished_below(lane.id, nonce)
            if not overtaken:
                return 0
            slots = [each.id for each in overtaken]
            await unit.settlement.pause(
                PauseReason.FOREIGN_NONCE,
                NODE,
                hard=False,
                note=f"nonces {[each.nonce for each in overtaken]} were used by another holder of"
                " the lane's key",
            )
            members = await unit.settlement.members(slots, Purpose.SETTLE)
            await unit.settlement.mark_slots(slots, SlotState.FOREIGN)
            await unit.settlement.release_members(slots)
            transfers = [
                each
                for each in await unit.transfers.lock_many(members)
                if each.state in (State.SUBMITTED, State.UNKNOWN) and each.slot_id in slots
            ]
            events = await transfer_moves.apply(
                unit,
                transfers,
                Happening.REQUEUED,
                changes=lambda each: {
                    "slot_id": None,
                    "tx_hash": None,
                    "batches_failed": each.batches_failed + 1,
                },
                detail=lambda _: {"reason": PauseReason.FOREIGN_NONCE.value},
            )
            await unit.settlement.unassign(slots)  # what was written and never signed
            await unit.events.append(events)
        return len(slots)
