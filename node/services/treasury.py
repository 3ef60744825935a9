"""The treasury's lane: movements between the node's own addresses, one nonce each.

The same lease, signing and sending as for payments, with the treasury's own key. Whether a
movement happened is the mirror's to say.
"""

from collections.abc import Sequence

from node.core.errors import ChainUnavailable
from node.core.ledger import WEI_PER_UNIT
from node.core.ports import Unit
from node.core.ports.settlement import Lane, LeaseLost, Movement, NewSlot, OpenSlot
from node.core.settlement import (
    NATIVE_TRANSFER_GAS,
    TOKEN_TRANSFER_GAS,
    Purpose,
    token_transfer_calldata,
)
from node.services.settlement_lease import LaneLease
from node.services.settlement_parts import LEASE_S, SettlementParts
from node.services.settlement_sending import Sender

_TOO_LARGE = ("insufficient_funds", "the treasury does not hold this amount and its gas")


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
        """Give requested movements their nonces, in one transaction; how many were dealt with."""
        parts = self._parts
        async with parts.units() as unit:
            load = await unit.settlement.workload(lane.id, parts.chain_id, parts.contract.address)
            free = parts.batches.slots_unmined_max - load.unmined
            requested = await unit.settlement.requested_movements(lane.address, max(0, free))
            if not requested or await unit.settlement.pauses():
                return 0
        if await parts.chain.chain_id() != parts.chain_id:
            raise ChainUnavailable(f"the provider is not of chain {parts.chain_id}")
        balance_wei = await parts.chain.native_balance(lane.address, "latest")
        fee_wei = (await parts.market_fees()).max_fee_per_gas_wei
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            if await unit.settlement.pauses():
                return 0
            requested = await unit.settlement.requested_movements(lane.address, free)
            done = await self._write_within(unit, lane, requested, balance_wei, fee_wei)
        parts.failpoint("after_movement_write")
        return done

    async def _write_within(
        self, unit: Unit, lane: Lane, requested: Sequence[Movement], balance_wei: int, fee_wei: int
    ) -> int:
        """Write, oldest first, what the treasury's coin pays; how many were written or failed.

        One native movement above the whole balance fails: written, it would hold up every nonce
        after it. What only has to wait for earlier ones, or for gas, stays requested.
        """
        unmined = await unit.settlement.open_slots(lane.id)
        left_wei = balance_wei - sum(_cost_wei(each, fee_wei) for each in unmined)
        written: list[tuple[Movement, NewSlot]] = []
        failed = 0
        for movement in requested:
            slot = self._slot(lane.next_nonce + len(written), movement)
            cost_wei = _cost_wei(slot, fee_wei)
            if slot.value_wei and cost_wei > balance_wei:
                await unit.settlement.fail_movement(movement.id, *_TOO_LARGE)
                failed += 1
            elif cost_wei > left_wei:
                break
            else:
                left_wei -= cost_wei
                written.append((movement, slot))
        await unit.settlement.write_slots(lane, [slot for _, slot in written])
        for movement, slot in written:
            await unit.settlement.assign_movement(movement.id, slot.id)
        return len(written) + failed

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


def _cost_wei(slot: NewSlot | OpenSlot, fee_wei: int) -> int:
    """Most that a slot takes from its account at this fee per gas."""
    return slot.value_wei + slot.gas_limit * fee_wei
