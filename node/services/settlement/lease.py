"""Holding a lane: one process at a time, a successor at once, and never with a lane that is ahead.

The epoch in the database is the fence: every write of a holder names it. The lock only tells
early that a holder is dead.
"""

from collections.abc import Sequence
from datetime import timedelta

from node.core.errors import ChainUnavailable
from node.core.ports.settlement import Lane, LeaseLost
from node.core.settlement import NO_CODE_HASH, LaneStatus, PauseReason
from node.services.settlement.parts import NODE, SettlementParts

_NUMBERS_PROBED = 256
_HAS_CODE = (
    "the account has code (EIP-7702 delegation): providers keep but one transaction of such an"
    " account, and its nonce is spent by others; use another key, or take the delegation back"
)


class LaneLease:
    """The right to write into one lane."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._epoch: int | None = None
        self._is_checked = False
        self._is_late = False  # another has taken the lane while this process held its lock

    async def hold(self, *, also_stopped: bool = False) -> Lane | None:
        """The lane, held and fit for work.

        Args:
            also_stopped: Return a lane that stopped itself too. It takes no new work, but bytes
                that are stored may be sent again.

        Returns:
            None: another process has it, or it is ahead, or stopped.

        Raises:
            LeaseLost: It was taken from this process since the last time.
            ChainUnavailable: The lane cannot be compared with the chain now.
        """
        lane = await self._held() or await self._take()
        if lane is None:
            return None
        if lane.status is LaneStatus.STOPPED:
            self._is_checked = False  # it is compared again once an operator lets it go on
            return lane if also_stopped else None
        if lane.status is LaneStatus.AHEAD:
            self._is_checked = False
            return None  # until an operator has adopted what the chain has of it
        if not self._is_checked:
            lane = await self._compare_with_chain(lane)
            self._is_checked = await self._raise_number_counter()
        return lane if lane.status is LaneStatus.ACTIVE else None

    def drop(self) -> None:
        """Forget what was held, after `LeaseLost`."""
        self._epoch = None
        self._is_checked = False
        self._is_late = True

    async def _held(self) -> Lane | None:
        if self._epoch is None:
            return None
        parts = self._parts
        async with parts.units() as unit:
            lane = await unit.settlement.lane(parts.chain_id, parts.signer.address)
            if lane is None or lane.epoch != self._epoch or lane.lease_until is None:
                raise LeaseLost("another process has taken the lane")
            if lane.lease_until - unit.now < timedelta(seconds=parts.lease_s) // 2:
                lane = await unit.settlement.lock_lane(lane.id, self._epoch, parts.lease_s)
        await parts.lock.hold(lane.id)  # who took over by time gets the lock when it is let go
        return lane

    async def _take(self) -> Lane | None:
        parts = self._parts
        lane = await self._lane()
        is_free = await self._is_free(lane)
        async with parts.units() as unit:
            taken = await unit.settlement.take_lease(
                lane.id, parts.owner, parts.lease_s, at_once=is_free
            )
        if taken is not None:
            self._epoch = taken.epoch
            self._is_checked = self._is_late = False
        return taken

    async def _is_free(self, lane: Lane) -> bool:
        """Whether the lane's holder is dead, by the lock that dies with it.

        A process that was overtaken still has the lock: it leaves it to its successor, and takes
        the lane again only when that one's lease ends.
        """
        if self._is_late:
            await self._parts.lock.release()
            return False
        return await self._parts.lock.hold(lane.id)

    async def _lane(self) -> Lane:
        """The lane's row; one never seen before starts where the mirror says its account is.

        What the account has sent since is not of this database's making: it may be the copy of
        one that has used the lane.
        """
        parts = self._parts
        async with parts.units() as unit:
            lane = await unit.settlement.lane(parts.chain_id, parts.signer.address)
            final = await unit.settlement.final_block(parts.chain_id)
        if lane is not None:
            return lane
        latest, pending = await self._chain_nonces()
        if latest != pending:
            raise ChainUnavailable("the new lane's account still has transactions under way")
        if final is not None:
            latest = await parts.chain.nonce(parts.signer.address, final[1])
        async with parts.units() as unit:
            await unit.settlement.add_lane(parts.chain_id, parts.signer.address, latest, parts.role)
            lane = await unit.settlement.lane(parts.chain_id, parts.signer.address)
        assert lane is not None
        return lane

    async def _compare_with_chain(self, lane: Lane) -> Lane:
        """A lane of which the chain has seen more nonces than the database is *ahead*.

        One whose account has code stops.
        """
        nonces = await self._chain_nonces()
        parts = self._parts
        has_code = await parts.chain.code_hash(lane.address, "latest") != NO_CODE_HASH
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            status, reason = LaneStatus.ACTIVE, None
            if max(nonces) > lane.next_nonce:
                status, reason = LaneStatus.AHEAD, ahead_reason(lane, max(nonces))
            elif has_code:
                status, reason = LaneStatus.STOPPED, _HAS_CODE
            if lane.status is LaneStatus.ACTIVE and lane.status is not status:
                await unit.settlement.set_lane_status(lane.id, status, reason)
                lane = await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
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
