"""Adoption: an operator makes what the chain has of the node's accounts the database's own.

Reads the chain from the mirror's final block to its head, says what each transaction that the
database cannot explain is, and writes all of it in one transaction when the operator confirms.
What a transaction means is `node.core.adoption`; writing it is `node.services.settlement.adopting`;
booking it is the mirror's, which goes on from where it stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.adoption.calls import payments_in, voids_in
from node.core.adoption.facts import MinedTransaction, OwnAccounts
from node.core.adoption.found import AdoptionPlan
from node.core.adoption.plan import plan
from node.core.errors import ChainUnavailable, SettlementRecovering
from node.core.mirror import BlockPoint, Cursor, Finality
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.adoption import Adoption, LaneFound, OwnLane
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.mirror import ChainReader
from node.core.settlement import LaneStatus
from node.core.units import Address
from node.services.idempotency import RenderError, once
from node.services.settlement.adopting import pending_reason, write_adoption

_BLOCKS_PER_LOOK: Final = 64
_WAITS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the chain says.

    Attributes:
        final: The newest block that the chain holds final and the mirror has; None: there is none
            but what the mirror holds final already.
        nonces: Transactions of each account that the newest block or a pool has.
        mined: Those that the newest block has; as `nonces` if no provider has its state.
        passed: Those in the state of `final`; an account is missing if no provider has that state.
        transactions: Of own accounts, in blocks the mirror has and holds unfinal.
    """

    final: BlockPoint | None
    nonces: Mapping[Address, int]
    mined: Mapping[Address, int]
    passed: Mapping[Address, int]
    transactions: Sequence[MinedTransaction]


@dataclass(frozen=True, slots=True)
class AdoptionService:
    """For operators only; the edge has checked the role."""

    units: UnitOfWork
    reader: ChainReader
    chain_id: int
    own: OwnAccounts
    finality: Finality
    new_id: Callable[[], UUID]
    failpoint: Callable[[str], None]

    async def look(self) -> Adoption:
        """What would be adopted now; nothing is changed.

        Raises:
            ChainUnavailable: The chain cannot be read, or moved while it was read.
        """
        seen = await self._read()
        async with self.units() as unit:
            return await self._examine(unit, seen)

    async def adopt(
        self,
        principal: Principal,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Adoption], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Write it. Where there is nothing to adopt, nothing is written and that is the answer.

        The pause stays until an operator resumes.

        Raises:
            ChainUnavailable: The chain cannot be read, or moved while it was read.
            SettlementRecovering: One of the transactions is not final yet; it says which.
        """
        seen = await self._read()
        self.failpoint("after_adoption_read")

        async def work(unit: Unit) -> Answer:
            found = await self._examine(unit, seen)
            if found.waits_for:
                raise SettlementRecovering(
                    "what has to be adopted is not final yet, ask again: "
                    + "; ".join(found.waits_for)
                )
            if found.is_needed:
                found = await write_adoption(
                    unit, self.chain_id, self.own, found, by=principal.key, new_id=self.new_id
                )
            return render(found)

        answer = await once(self.units, claim, work, render_error)
        self.failpoint("after_adoption_write")
        return answer

    # ------------------------------------------------------------------------------------- reading

    async def _read(self) -> _Seen:
        async with self.units() as unit:
            cursor = await unit.mirror.cursor(self.chain_id)
            lanes = await unit.adoption.lanes(self.chain_id)
            if cursor is None:
                raise ChainUnavailable("the mirror has not begun yet; is the worker running?")
            if cursor.halted_reason is not None:
                raise ChainUnavailable(
                    f"the mirror stands still ({cursor.halted_reason}): decide about that first"
                )
            blocks = await unit.mirror.canonical(self.chain_id, cursor.final.number)
        points = [BlockPoint(number, blocks[number]) for number in sorted(blocks)]
        addresses = [each.address for each in lanes]
        if not addresses:
            return _Seen(None, {}, {}, {}, ())
        head = await self.reader.head()
        final = await self._final(head.number, points, has_lost_its_tag=cursor.has_lost_its_tag)
        passed = await self._nonces(addresses, final) if final else None
        mined = await self._nonces(addresses, head.point)
        nonces = await self.reader.nonces_now(addresses)
        mined = nonces if mined is None else mined
        return _Seen(
            final,
            dict(zip(addresses, map(max, nonces, mined), strict=True)),
            dict(zip(addresses, mined, strict=True)),
            dict(zip(addresses, map(min, passed, mined), strict=True)) if passed else {},
            await self._sent(addresses, points),
        )

    async def _final(
        self, head_number: int, points: Sequence[BlockPoint], *, has_lost_its_tag: bool
    ) -> BlockPoint | None:
        """The newest final one of these blocks. A provider behind the mirror makes none final."""
        tagged = None
        if self.finality.asks_for_tag:
            tagged = await self.reader.finalized_number()
        number = self.finality.final_number(
            min(head_number, points[-1].number), tagged, has_lost_its_tag=has_lost_its_tag
        )
        return next(
            (each for each in reversed(points) if number is not None and each.number <= number),
            None,
        )

    async def _sent(
        self, addresses: Sequence[Address], points: Sequence[BlockPoint]
    ) -> list[MinedTransaction]:
        """What own accounts sent in the blocks after the first; few of them are read whole.

        Where no nonce moved over a row of blocks, none of them has a transaction.
        """
        sent: list[MinedTransaction] = []
        before = await self._nonces(addresses, points[0])
        for start in range(1, len(points), _BLOCKS_PER_LOOK):
            part = points[start : start + _BLOCKS_PER_LOOK]
            after = await self._nonces(addresses, part[-1])
            if before is None or after is None or before != after:
                sent += await self.reader.sent_by(addresses, part)
            before = after
        return sent

    async def _nonces(
        self, addresses: Sequence[Address], block: BlockPoint
    ) -> Sequence[int] | None:
        """None: no provider has the state of that block any more, or they differ about it."""
        try:
            return await self.reader.agreed_nonces(addresses, block.hash)
        except ChainUnavailable:
            return None

    # ----------------------------------------------------------------------------------- examining

    async def _examine(self, unit: Unit, seen: _Seen) -> Adoption:
        """What it comes to, with everything locked that a worker or the mirror would change."""
        cursor = await unit.adoption.lock_cursor(self.chain_id)
        lanes = await unit.adoption.lock_lanes(self.chain_id)
        assert cursor is not None
        found = await self._still_there(unit, cursor, seen)
        passed = await self._passed(unit, seen, found)
        written_to = {each.address: each.next_nonce for each in lanes}
        knowledge = await unit.adoption.knowledge(
            self.chain_id,
            self.own.contract,
            [
                *((each.sender, each.nonce) for each in found),
                *(
                    (address, nonce)
                    for address, nonces in passed.items()
                    for nonce in range(nonces.start, min(nonces.stop, written_to[address]))
                ),
            ],
            [each.tx_hash for each in found],
            [number for each in found for number in _numbers(each)],
        )
        planned = plan(self.own, found, knowledge, passed)
        shown = {each.id for each in knowledge.transfers}
        transfers = await unit.transfers.lock_many(list(shown))
        beside = [_beside(lane, planned, found, seen) for lane in lanes]
        return Adoption(
            lanes=beside,
            plan=planned,
            waits_for=_waits_for(beside, planned, seen),
            written={},
            transfers={each.id: each for each in transfers},
            renumbered={},
        )

    async def _passed(
        self, unit: Unit, seen: _Seen, found: Sequence[MinedTransaction]
    ) -> dict[Address, range]:
        """Nonces that the final block is past and that no slot explains up to there.

        A nonce is used up by other things than a transaction of the account; and what is in a
        block that became final before anybody compared is not read again. A transaction shows that
        every nonce below its own is used up, whatever a provider counts.
        """
        if seen.final is None:
            return {}
        progress = await unit.adoption.progress(self.chain_id, seen.final.number)
        passed = dict(seen.passed)
        for each in found:
            if each.block.number <= seen.final.number:
                passed[each.sender] = max(passed.get(each.sender, 0), each.nonce + 1)
        return {
            each.lane.address: range(each.unexplained, passed[each.lane.address])
            for each in progress
            if each.unexplained < passed.get(each.lane.address, 0)
        }

    async def _still_there(self, unit: Unit, cursor: Cursor, seen: _Seen) -> list[MinedTransaction]:
        """Those of blocks that did not become final meanwhile: what did is explained.

        Raises:
            ChainUnavailable: A block is no longer the mirror's.
        """
        later = [each for each in seen.transactions if each.block.number > cursor.final.number]
        hashes = {each.block.hash for each in later}
        if seen.final is not None and seen.final.number > cursor.final.number:
            hashes.add(seen.final.hash)
        if await unit.adoption.open_blocks(self.chain_id, sorted(hashes)) != hashes:
            raise ChainUnavailable("the chain was reorganised while it was read; ask again")
        return later


def _numbers(found: MinedTransaction) -> list[int]:
    return [each.number for each in payments_in(found.data)] or voids_in(found.data)


def _beside(
    lane: OwnLane,
    planned: AdoptionPlan,
    found: Sequence[MinedTransaction],
    seen: _Seen,
) -> LaneFound:
    """The nonce after adoption is that of what is mined: no slot is given to what a pool has."""
    address = lane.address
    skipped = [each for each in planned.skipped if each.sender == address]
    mined = [each.nonce + 1 for each in found if each.sender == address]
    mined += [each.last + 1 for each in skipped]
    unexplained = sum(each.transaction.sender == address for each in planned.transactions)
    unexplained += sum(each.last - each.first + 1 for each in skipped)
    next_nonce = max(lane.next_nonce, *mined, 0)
    chain_nonce = seen.nonces.get(address, 0)
    is_pending = seen.mined.get(address, 0) <= next_nonce < chain_nonce
    return LaneFound(lane, next_nonce, chain_nonce, unexplained, is_pending)


def _waits_for(lanes: Sequence[LaneFound], planned: AdoptionPlan, seen: _Seen) -> list[str]:
    """Why it cannot be written yet.

    What only a pool has holds nothing up that is mined: it may never be. It is told where there is
    nothing else to adopt.
    """
    concerned = [each for each in lanes if each.unexplained or each.lane.status is LaneStatus.AHEAD]
    waits = [
        f"{each.chain_nonce - each.next_nonce} nonces of 0x{each.lane.address.hex()} from"
        f" {each.next_nonce} on are used, and by nothing in a block that the mirror has and that"
        " is final"
        for each in concerned
        if each.chain_nonce > each.next_nonce and not each.is_pending
    ]
    if not any(each.is_affected for each in lanes):
        waits += [pending_reason(each) for each in concerned if each.is_pending]
    final_number = -1 if seen.final is None else seen.final.number
    waits += [
        f"transaction 0x{each.transaction.tx_hash.hex()} is in block"
        f" {each.transaction.block.number}, which is not final"
        for each in planned.transactions
        if each.transaction.block.number > final_number
    ]
    return waits[:_WAITS_SHOWN]
