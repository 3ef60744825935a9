"""Holding a lane: one process at a time, a successor at once, and never with a lane that is ahead.

The epoch in the database is the fence: every write of a holder names it. The lock only tells
early that a holder is dead.
"""

from collections.abc import Sequence
from datetime import timedelta

from node.core.errors import ChainUnavailable
from node.core.ports.settlement import Lane, LeaseLost
from node.core.settlement import LaneStatus, PauseReason
from node.services.settlement_parts import LEASE_S, NODE, SettlementParts

_NUMBERS_PROBED = 256
_RENEW_BELOW = timedelta(seconds=LEASE_S // 2)


class LaneLease:
    """The right to write into one lane."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._epoch: int | None = None
        self._is_checked = False

    async def hold(self) -> Lane | None:
        """The lane, held and fit for work; None: another process has it, or it is ahead.

        Raises:
            LeaseLost: It was taken from this process since the last time.
            ChainUnavailable: The lane cannot be compared with the chain now.
        """
        lane = await self._held() or await self._take()
        if lane is None:
            return None
        if not self._is_checked or lane.status is LaneStatus.AHEAD:
            lane = await self._compare_with_chain(lane)
            self._is_checked = await self._raise_number_counter()
        return lane if lane.status is LaneStatus.ACTIVE else None

    def drop(self) -> None:
        """Forget what was held, after `LeaseLost`."""
        self._epoch = None
        self._is_checked = False

    async def _held(self) -> Lane | None:
        if self._epoch is None:
            return None
        parts = self._parts
        async with parts.units() as unit:
            lane = await unit.settlement.lane(parts.chain_id, parts.signer.address)
            if lane is None or lane.epoch != self._epoch or lane.lease_until is None:
                raise LeaseLost("another process has taken the lane")
            if lane.lease_until - unit.now < _RENEW_BELOW:
                lane = await unit.settlement.lock_lane(lane.id, self._epoch, LEASE_S)
            return lane

    async def _take(self) -> Lane | None:
        self.drop()
        parts = self._parts
        lane = await self._lane()
        is_free = await parts.lock.hold(lane.id)
        async with parts.units() as unit:
            taken = await unit.settlement.take_lease(lane.id, parts.owner, LEASE_S, at_once=is_free)
        if taken is not None:
            self._epoch = taken.epoch
        return taken

    async def _lane(self) -> Lane:
        """The lane's row; a lane never seen before starts where the chain says its account is."""
        parts = self._parts
        async with parts.units() as unit:
            lane = await unit.settlement.lane(parts.chain_id, parts.signer.address)
        if lane is not None:
            return lane
        latest, pending = await self._chain_nonces()
        if latest != pending:
            raise ChainUnavailable("the new lane's account still has transactions under way")
        async with parts.units() as unit:
            await unit.settlement.add_lane(parts.chain_id, parts.signer.address, latest)
            lane = await unit.settlement.lane(parts.chain_id, parts.signer.address)
        assert lane is not None
        return lane

    async def _compare_with_chain(self, lane: Lane) -> Lane:
        """A lane of which the chain has seen more nonces than the database is *ahead*."""
        nonces = await self._chain_nonces()
        parts = self._parts
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
            status = LaneStatus.AHEAD if max(nonces) > lane.next_nonce else LaneStatus.ACTIVE
            if lane.status in (LaneStatus.ACTIVE, LaneStatus.AHEAD) and lane.status is not status:
                reason = ahead_reason(lane, max(nonces)) if status is LaneStatus.AHEAD else None
                await unit.settlement.set_lane_status(lane.id, status, reason)
                lane = await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S)
        return lane

    async def _chain_nonces(self) -> Sequence[int]:
        parts = self._parts
        if await parts.chain.chain_id() != parts.chain_id:
            raise ChainUnavailable(f"the provider is not of chain {parts.chain_id}")
        address = parts.signer.address
        return (
            await parts.chain.nonce(address, "latest"),
            await parts.chain.nonce(address, "pending"),
        )

    async def _raise_number_counter(self) -> bool:
        """Numbers the contract has seen are not allotted again, whatever the database forgot.

        Returns:
            False: there is other code than this release knows; settlement pauses.
        """
        parts = self._parts
        contract = parts.contract.address
        block = (await parts.chain.head()).hash
        if fault := await parts.contract.fault(block):
            async with parts.units() as unit:
                await unit.settlement.pause(PauseReason.OPERATOR, NODE, hard=False, note=fault)
            return False
        async with parts.units() as unit:
            number = first = await unit.settlement.next_number(parts.chain_id, contract)
        while True:
            facts = await parts.contract.facts(block, range(number, number + _NUMBERS_PROBED))
            if not any(facts.used):
                break
            number += _NUMBERS_PROBED
        async with parts.units() as unit:
            await unit.settlement.raise_number_counter(parts.chain_id, contract, max(first, number))
        return True


def ahead_reason(lane: Lane, nonce: int) -> str:
    """Why the lane stopped, for the operator."""
    return (
        f"the chain has seen {nonce} transactions of this account, the database knows"
        f" {lane.next_nonce}: the key is used elsewhere, or the database is an older copy"
    )
