"""A hard pause reaches the contract: the pauser's duty.

State driven: the pauses in the database and the contract's own state say what is to be called, so
that a process may end anywhere. Nothing else of the node calls `pause` and `unpause`.
"""

from datetime import datetime, timedelta

from node.core.ports import Unit
from node.core.ports.chain import CallReverted
from node.core.ports.settlement import Lane, NewSlot
from node.core.settlement import LaneStatus, Purpose
from node.core.signing import PAUSE_CALLDATA, UNPAUSE_CALLDATA
from node.core.treasury import PAUSE_GAS
from node.services.settlement_parts import SettlementParts
from node.services.treasury_reads import is_contract_paused

_CALLS = (PAUSE_CALLDATA, UNPAUSE_CALLDATA)
_NAMES = {PAUSE_CALLDATA: "pause", UNPAUSE_CALLDATA: "unpause"}


class HardPause:
    """See `node.services.treasury.Duty`. Its parts are those of the pauser's key."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._due: datetime | None = None

    async def run(self, lane: Lane) -> int:
        """Write the one call that brings the contract to where the pauses want it; 0 or 1.

        The contract is unpaused only when the last call of this key that did something was its
        `pause`: what somebody else paused stays paused. One call is under way at a time, and one
        that would revert is not written; the lane says why.

        Raises:
            ChainUnavailable: The contract's state cannot be read.
            LeaseLost: Another process has taken the lane.
        """
        parts = self._parts
        async with parts.units() as unit:
            if self._due is not None and unit.now < self._due:
                return 0
            now = unit.now
            wanted = await self._wanted(unit, lane)
        if wanted is None:
            return await self._write(lane, None, None)
        call, mined_until = wanted
        with parts.chain.pinned():
            is_needed, reason = await self._look(lane, call, mined_until)
        if not is_needed:
            self._due = now + timedelta(seconds=parts.block_s)
        return await self._write(lane, call if is_needed else None, reason)

    async def _look(self, lane: Lane, call: bytes, mined_until: int) -> tuple[bool, str | None]:
        """Whether the contract is not where the call brings it; and why the call would fail."""
        chain, contract = self._parts.chain, self._parts.contract.address
        head = await chain.head()
        if head.number < mined_until:
            return False, lane.status_reason  # the provider has not seen the call before this one
        is_paused = await is_contract_paused(chain, contract, head.hash)
        if is_paused is (call == PAUSE_CALLDATA):
            return False, None
        try:
            await chain.call(contract, call, head.hash, sender=lane.address)
        except CallReverted as error:
            return False, f"{_NAMES[call]}() of the contract would fail: {error}"
        return True, None

    async def _wanted(self, unit: Unit, lane: Lane) -> tuple[bytes, int] | None:
        """The call that the pauses want, and the block that the last one was mined in.

        None: there is nothing that this key would have to do, or a call is under way.
        """
        parts = self._parts
        newest = await unit.movements.last_admin_call(lane.id, _CALLS, is_done=False)
        if newest is not None and newest.block_number is None:
            return None
        load = await unit.settlement.workload(lane.id, parts.chain_id, parts.contract.address)
        if load.unmined >= parts.batches.slots_unmined_max:
            return None
        mined_until = newest.block_number if newest and newest.block_number else 0
        if await _is_hard(unit):
            return PAUSE_CALLDATA, mined_until
        done = await unit.movements.last_admin_call(lane.id, _CALLS, is_done=True)
        if done is not None and done.calldata == PAUSE_CALLDATA:
            return UNPAUSE_CALLDATA, mined_until
        return None

    async def _write(self, lane: Lane, call: bytes | None, reason: str | None) -> int:
        """Store the call, and why there is none; how many calls were written."""
        parts = self._parts
        if call is None and lane.status_reason == reason:
            return 0
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            if lane.status is LaneStatus.ACTIVE and lane.status_reason != reason:
                await unit.settlement.set_lane_status(lane.id, lane.status, reason)
            if call is None or (await _is_hard(unit)) is not (call == PAUSE_CALLDATA):
                return 0
            slot = NewSlot(
                id=parts.new_id(),
                nonce=lane.next_nonce,
                purpose=Purpose.ADMIN,
                contract=None,
                to=parts.contract.address,
                calldata=call,
                gas_limit=PAUSE_GAS,
            )
            await unit.settlement.write_slots(lane, [slot])
        parts.failpoint("after_admin_write")
        return 1


async def _is_hard(unit: Unit) -> bool:
    return any(each.hard for each in await unit.settlement.pauses())
