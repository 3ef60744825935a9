"""The treasury's lane: movements between the node's own addresses, one nonce each.

The same lease, signing and sending as for payments, with the treasury's own key. Whether a
movement happened is the mirror's to say.
"""

from node.core.errors import ChainUnavailable
from node.core.ledger import WEI_PER_UNIT
from node.core.ports.settlement import Lane, LeaseLost, Movement, NewSlot
from node.core.settlement import (
    NATIVE_TRANSFER_GAS,
    TOKEN_TRANSFER_GAS,
    Purpose,
    token_transfer_calldata,
)
from node.services.settlement_lease import LaneLease
from node.services.settlement_parts import LEASE_S, SettlementParts
from node.services.settlement_sending import Sender


class TreasuryService:
    """Sends requested movements. Its parts are those of the treasury's key."""

    def __init__(self, parts: SettlementParts, native: str) -> None:
        self._parts = parts
        self._native = native
        self._lease = LaneLease(parts)
        self._sender = Sender(parts)

    async def run_once(self) -> int:
        """One pass; how much was done. Raises as `SettlementService.run_once`."""
        try:
            lane = await self._lease.hold()
            if lane is None:
                return 0
            done = await self._write(lane)
            done += await self._sender.sign_written(lane)
            return done + await self._sender.send_due(lane)
        except LeaseLost:
            self._lease.drop()
            return 0

    async def close(self) -> None:
        """Let a successor take the lane at once."""
        await self._parts.lock.release()

    async def _write(self, lane: Lane) -> int:
        """Give requested movements their nonces, in one transaction."""
        parts = self._parts
        async with parts.units() as unit:
            load = await unit.settlement.workload(lane.id, parts.chain_id, parts.contract.address)
            free = parts.batches.slots_unmined_max - load.unmined
            requested = await unit.settlement.requested_movements(lane.address, max(0, free))
            if not requested or await unit.settlement.pauses():
                return 0
        if await parts.chain.chain_id() != parts.chain_id:
            raise ChainUnavailable(f"the provider is not of chain {parts.chain_id}")
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            requested = await unit.settlement.requested_movements(lane.address, free)
            slots = [
                self._slot(lane.next_nonce + place, each) for place, each in enumerate(requested)
            ]
            await unit.settlement.write_slots(lane, slots)
            for movement, slot in zip(requested, slots, strict=True):
                await unit.settlement.assign_movement(movement.id, slot.id)
        parts.failpoint("after_movement_write")
        return len(slots)

    def _slot(self, nonce: int, movement: Movement) -> NewSlot:
        is_native = movement.asset == self._native
        return NewSlot(
            id=self._parts.new_id(),
            nonce=nonce,
            purpose=Purpose.MOVEMENT,
            contract=None,
            to=movement.to_address if is_native else self._parts.contract.token,
            value_wei=movement.amount * WEI_PER_UNIT if is_native else 0,
            calldata=(
                b"" if is_native else token_transfer_calldata(movement.to_address, movement.amount)
            ),
            gas_limit=NATIVE_TRANSFER_GAS if is_native else TOKEN_TRANSFER_GAS,
        )
