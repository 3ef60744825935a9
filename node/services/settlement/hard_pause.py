"""A hard pause reaches the contract: the pauser's duty.

State driven: the pauses in the database and the contract's own state say what is to be called, so
that a process may end anywhere. Nothing else of the node calls `pause` and `unpause`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from node.core.errors import ChainUnavailable
from node.core.ports import Unit
from node.core.ports.chain import BlockRef, CallReverted
from node.core.ports.settlement import Lane, NewSlot
from node.core.settlement import LaneStatus, Purpose
from node.core.signing import PAUSE_CALLDATA, UNPAUSE_CALLDATA
from node.core.treasury import PAUSE_GAS, PAUSED_TOPIC, UNPAUSED_TOPIC
from node.core.units import Address
from node.services.settlement.parts import SettlementParts
from node.services.settlement.treasury_reads import is_contract_paused

_CALLS = (PAUSE_CALLDATA, UNPAUSE_CALLDATA)
_NAMES = {PAUSE_CALLDATA: "pause", UNPAUSE_CALLDATA: "unpause"}
_SPAN_BLOCKS: Final = 1_000
_SPAN_BLOCKS_MIN: Final = 50


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A call that the pauses want.

    Attributes:
        seen_to: The block of the key's newest call; what does not know it is not believed.
        paused_at: For `unpause`: the block of the `pause` of this key that is to be ended.
    """

    call: bytes
    seen_to: int
    paused_at: int = 0


class HardPause:
    """See `node.services.settlement.treasury.Duty`. Its parts are those of the pauser's key."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._due: datetime | None = None

    async def run(self, lane: Lane) -> int:
        """Write the one call that brings the contract to where the pauses want it; 0 or 1.

        The contract is unpaused only when the newest of its events says that this key paused it:
        what somebody else paused, or unpaused and paused again, stays paused, and the lane says
        who it was. One call is under way at a time, and one that would revert is not written;
        the lane says why.

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
        with parts.chain.pinned():
            is_needed, reason = await self._look(lane, wanted)
        if not is_needed:
            self._due = now + timedelta(seconds=parts.block_s)
        return await self._write(lane, wanted.call if is_needed else None, reason)

    async def _look(self, lane: Lane, wanted: _Wanted) -> tuple[bool, str | None]:
        """Whether the call is to be made now; and what keeps it from being made."""
        chain, contract, call = self._parts.chain, self._parts.contract.address, wanted.call
        head = await chain.head()
        if head.number < wanted.seen_to:
            return False, lane.status_reason  # the provider has not seen the call before this one
        is_paused = await is_contract_paused(chain, contract, head.hash)
        if is_paused is (call == PAUSE_CALLDATA):
            return False, None
        if call == UNPAUSE_CALLDATA:
            paused_by = await self._paused_by(head, wanted.paused_at)
            if paused_by is None:
                return False, lane.status_reason  # not told yet
            if paused_by != lane.address:
                return False, f"the contract stays paused: 0x{paused_by.hex()} paused it last"
        try:
            await chain.call(contract, call, head.hash, sender=lane.address)
        except CallReverted as error:
            return False, f"{_NAMES[call]}() of the contract would fail: {error}"
        return True, None

    async def _paused_by(self, head: BlockRef, since: int) -> Address | None:
        """Who paused the contract last, by the events of blocks from `since` to `head`.

        None: the provider does not tell of a pause that was there, or tells of another chain.
        """
        chain, contract = self._parts.chain, self._parts.contract.address
        last, span = head.number, _SPAN_BLOCKS
        while last >= since:
            first = max(since, last - span + 1)
            try:
                events = await chain.event_topics(
                    contract, (PAUSED_TOPIC, UNPAUSED_TOPIC), first, last
                )
            except ChainUnavailable:
                if span <= _SPAN_BLOCKS_MIN:
                    raise
                span = max(_SPAN_BLOCKS_MIN, span // 2)  # providers bound the ranges of logs
                continue
            if events:
                kind, by = events[-1][0], events[-1][-1]
                now = await chain.block_by_number(head.number)
                is_same = now is not None and now.hash == head.hash
                return Address(by[-20:]) if is_same and kind == PAUSED_TOPIC else None
            last = first - 1
        return None

    async def _wanted(self, unit: Unit, lane: Lane) -> _Wanted | None:
        """The call that the pauses want.

        None: there is nothing that this key would have to do, or a call is under way.
        """
        parts = self._parts
        newest = await unit.movements.last_admin_call(lane.id, _CALLS, is_done=False)
        if newest is not None and newest.block_number is None:
            return None
        load = await unit.settlement.workload(lane.id, parts.chain_id, parts.contract.address)
        if load.unmined >= parts.batches.slots_unmined_max:
            return None
        seen_to = newest.block_number if newest and newest.block_number else 0
        if await _is_hard(unit):
            return _Wanted(PAUSE_CALLDATA, seen_to)
        done = await unit.movements.last_admin_call(lane.id, _CALLS, is_done=True)
        if done is not None and done.block_number and done.calldata == PAUSE_CALLDATA:
            return _Wanted(UNPAUSE_CALLDATA, seen_to, done.block_number)
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
