"""The guard before finality: no block becomes final while the node cannot explain its own in it.

Every transaction of the node's own accounts is in the database before it is sent. Where the chain
has more of an account than the slots mined up to a block, the database is an older copy or the key
is used elsewhere: the lane is *ahead*, settlement pauses, and finality stops below that block until
an operator has adopted what is there (`node.services.settlement.adoption`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.adoption.facts import MinedTransaction
from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint, Watch
from node.core.ports import UnitOfWork
from node.core.ports.adoption import LaneProgress, OwnLane
from node.core.ports.mirror import ChainReader
from node.core.reconcile import Check, none_of
from node.core.settlement import LaneStatus, PauseReason
from node.core.signing import KeyRole
from node.core.units import Address, BlockHash

_MIRROR: Final = "mirror"
_BLOCKS_READ_WHOLE: Final = 64
"""Most blocks of a step where a provider has no state of the past: each is read whole then."""


@dataclass(frozen=True, slots=True)
class LaneGuard:
    """Compares the node's own lanes with the chain.

    Attributes:
        lanes: Accounts that the node signs for, and what for.
    """

    units: UnitOfWork
    reader: ChainReader
    watch: Watch
    lanes: Mapping[Address, KeyRole]
    new_id: Callable[[], UUID]

    async def explained(self, final: BlockPoint, target: BlockPoint) -> BlockPoint | None:
        """The newest block up to `target` up to which every own transaction is known.

        Lanes that have an unknown one are ahead from then on.

        Args:
            final: Up to here they were known before.
            target: A later block.

        Returns:
            None: not even the next block is.

        Raises:
            ChainUnavailable: The chain cannot be compared now, or its answer contradicts itself.
        """
        chain_id = self.watch.chain_id
        async with self.units() as unit:
            progress = await unit.adoption.progress(chain_id, target.number)
            blocks = await unit.mirror.canonical(chain_id, final.number) if progress else {}
        missing = self.lanes.keys() - {each.lane.address for each in progress}
        if missing and await self._register_lanes(sorted(missing), final):
            return await self.explained(final, target)
        if not progress:
            return target
        if blocks.get(target.number) != target.hash:
            return None  # another worker has moved the mirror meanwhile
        addresses = [each.lane.address for each in progress]
        sent: Sequence[MinedTransaction] | None = None
        try:
            nonces = await self.reader.agreed_nonces(addresses, target.hash)
        except ChainUnavailable:
            target, sent = await self._read_whole(addresses, blocks, final, target)
            async with self.units() as unit:
                progress = await unit.adoption.progress(chain_id, target.number)
            nonces = [_nonce_after(sent, each) for each in progress]
        unknown = {
            each.lane.address: each.unexplained
            for each, nonce in zip(progress, nonces, strict=True)
            if nonce > each.unexplained
        }
        if not unknown:
            _check_not_behind(progress, nonces)
            return target
        # Stopped at once: finding the block needs states that a provider may not have any more.
        await self._stop(dict(zip(addresses, nonces, strict=True)), target)
        if sent is None:
            first = await self._first_unknown(unknown, blocks, final, target)
        else:
            first = _first_of(unknown, sent, target)
        if first - 1 <= final.number:
            return None
        return BlockPoint(first - 1, blocks[first - 1])

    async def _register_lanes(self, missing: Sequence[Address], final: BlockPoint) -> bool:
        """A lane that the database does not know begins where its account is at the final block.

        What it has sent since is not of this database's making: an older copy may be from a time
        before its first batch.

        Returns:
            False: nobody has the state of that block; the lane's own worker registers it.
        """
        try:
            nonces = await self.reader.agreed_nonces(missing, final.hash)
        except ChainUnavailable:
            return False
        async with self.units() as unit:
            for address, nonce in zip(missing, nonces, strict=True):
                role = self.lanes[address]
                await unit.settlement.add_lane(self.watch.chain_id, address, nonce, role)
        return True

    async def _read_whole(
        self,
        addresses: Sequence[Address],
        blocks: Mapping[int, BlockHash],
        final: BlockPoint,
        target: BlockPoint,
    ) -> tuple[BlockPoint, Sequence[MinedTransaction]]:
        """Where no provider has the state of the block: what own accounts sent up to there."""
        last = min(target.number, final.number + _BLOCKS_READ_WHOLE)
        points = [BlockPoint(n, blocks[n]) for n in range(final.number + 1, last + 1)]
        return points[-1], await self.reader.sent_by(addresses, points)

    async def _first_unknown(
        self,
        unknown: Mapping[Address, int],
        blocks: Mapping[int, BlockHash],
        final: BlockPoint,
        target: BlockPoint,
    ) -> int:
        """Number of the first block with an unknown transaction, by halving.

        Where a provider has no state in between, the blocks are read whole; if the first of them
        have no such transaction, finality may go on to the last one read.
        """
        addresses = list(unknown)
        low, high = final.number, target.number
        while high - low > 1:
            middle = (low + high) // 2
            try:
                nonces = await self.reader.agreed_nonces(addresses, blocks[middle])
            except ChainUnavailable:
                last, sent = await self._read_whole(addresses, blocks, final, target)
                return _first_of(unknown, sent, last)
            if any(nonce > unknown[a] for a, nonce in zip(addresses, nonces, strict=True)):
                high = middle
            else:
                low = middle
        return high

    async def _stop(self, nonces: Mapping[Address, int], target: BlockPoint) -> None:
        """Lanes are ahead and settlement pauses; unless an adoption was quicker."""
        chain_id = self.watch.chain_id
        async with self.units() as unit:
            lanes = {each.id: each for each in await unit.adoption.lock_lanes(chain_id)}
            ahead = [
                each
                for each in await unit.adoption.progress(chain_id, target.number)
                if nonces.get(each.lane.address, 0) > each.unexplained
            ]
            for each in ahead:
                if lanes[each.lane.id].status is not LaneStatus.AHEAD:
                    reason = unexplained_reason(each.unexplained, target.number)
                    await unit.settlement.set_lane_status(each.lane.id, LaneStatus.AHEAD, reason)
            if not ahead:
                return
            found = [
                ahead_break(each)
                for each in await unit.adoption.lanes(chain_id)
                if each.status is LaneStatus.AHEAD
            ]
            await unit.settlement.pause(
                PauseReason.FOREIGN_NONCE, _MIRROR, hard=False, note=found[0].actual
            )
            await unit.breaks.open([(self.new_id(), each) for each in found])


async def lane_check(units: UnitOfWork, chain_id: int) -> Check:
    """The check of reconciliation that no lane has transactions which nobody has explained."""
    async with units() as unit:
        lanes = await unit.adoption.lanes(chain_id)
        skipped = await unit.adoption.skipped(chain_id)
    breaks = [ahead_break(each) for each in lanes if each.status is LaneStatus.AHEAD]
    return none_of(
        "lanes.explained", breaks + [skipped_break(lane, nonce) for lane, nonce in skipped]
    )


def skipped_break(lane: OwnLane, nonce: int) -> NewBreak:
    """The break of nonces that were left behind unexplained, by the last; an operator closes it."""
    address = f"0x{lane.address.hex()}"
    return break_of(
        BreakCode.FOREIGN_NONCE,
        f"nonce:{address}:{nonce}",
        expected=f"a transaction of {address} for each of its nonces",
        actual=f"nonce {nonce} is used up, and perhaps others before it, and no transaction tells"
        " how: an authorisation of EIP-7702 does that, and so does a provider that told wrongly"
        " what was final; the adoption names all of them",
        evidence={"lane": address, "nonce": str(nonce)},
    )


def ahead_break(lane: OwnLane) -> NewBreak:
    """The break of a lane that must be adopted; it closes by itself once it is."""
    address = f"0x{lane.address.hex()}"
    return break_of(
        BreakCode.FOREIGN_NONCE,
        f"lane:{address}",
        expected=f"nothing of {address} but transactions that the node wrote",
        actual=f"{address} ({lane.role}): {lane.status_reason}",
        evidence={"lane": address, "next_nonce": str(lane.next_nonce)},
    )


def unexplained_reason(nonce: int, block_number: int) -> str:
    """Why the lane stopped, for the operator."""
    return (
        f"the transaction of nonce {nonce}, mined in block {block_number} or before, is none that"
        " the database knows: the key is used elsewhere, or the database is an older copy; look at"
        " it with `corridor settlement adopt`"
    )


def _first_of(
    unknown: Mapping[Address, int], sent: Sequence[MinedTransaction], last: BlockPoint
) -> int:
    """The first block with an unknown transaction; none of those read up to `last`: the next."""
    blocks = (
        each.block.number for each in sent if each.nonce >= unknown.get(each.sender, each.nonce + 1)
    )
    return min(blocks, default=last.number + 1)


def _nonce_after(sent: Sequence[MinedTransaction], progress: LaneProgress) -> int:
    """How many transactions of the lane there are, as far as these show it."""
    return max(
        (each.nonce + 1 for each in sent if each.sender == progress.lane.address),
        default=progress.mined,
    )


def _check_not_behind(progress: Sequence[LaneProgress], nonces: Sequence[int]) -> None:
    for each, nonce in zip(progress, nonces, strict=True):
        if nonce < each.mined:
            raise ChainUnavailable(
                f"the provider has {nonce} transactions of 0x{each.lane.address.hex()} in a block"
                f" in which {each.mined} are mined"
            )
