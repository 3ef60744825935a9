"""Looking for the cause of a balance that is off: to the block, the log and the entry.

A balance was right at the last comparison (or when the mirror began) and is wrong now. Halving asks
the chain for the balance in between, by block hash, until the first bad block is found; its
receipts are read again, from another provider where there is one. The cost is bounded: some twenty
balances and one block. What it means is `node.core.differences`.
"""

from collections.abc import Sequence
from typing import Final

from node.core.differences import (
    Finding,
    Halving,
    cause_in_block,
    cause_in_ledger,
    holding_changed,
    narrowed,
)
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint, Watch
from node.core.ports import UnitOfWork
from node.core.ports.comparisons import AccountComparison
from node.core.ports.mirror import ChainReader
from node.core.units import Address
from node.services.reconciliation.completeness import Completeness

_UNBOOKED_MAX: Final = 20
_NO_STATE: Final = "no provider has the state of the blocks in between"


class Bisection:
    """Finds causes.

    Args:
        units: Opens transactions.
        reader: The chain.
        watch: What is followed.
        completeness: Reads a block again.
    """

    def __init__(
        self, units: UnitOfWork, reader: ChainReader, watch: Watch, completeness: Completeness
    ) -> None:
        self._units = units
        self._reader = reader
        self._watch = watch
        self._completeness = completeness

    async def by_logs(
        self, each: AccountComparison, before: AccountComparison | None, start: BlockPoint
    ) -> int:
        """What an address holds by the mirror's logs since the last comparison, or since `start`.

        At `start` it held what was booked as its opening.
        """
        chain_id = self._watch.chain_id
        async with self._units() as unit:
            if before is not None:
                base, above = before.mirror, before.block.number
            else:
                base = await unit.comparisons.opening(each.path, chain_id, each.address, each.asset)
                above = start.number
            nets = await unit.comparisons.nets(chain_id, [each.address], above, each.block.number)
        return base + nets.get(each.address, 0)

    def holding(self, each: AccountComparison, by_logs: int) -> Finding:
        """The mirror's figure is not what its logs come to, and the chain agrees with the logs."""
        return holding_changed(each.mirror, by_logs, each.block)

    async def token(
        self,
        each: AccountComparison,
        before: AccountComparison | None,
        start: BlockPoint,
        expected: int,
    ) -> Finding:
        """Why the chain's balance of an address is not what the mirror's logs come to.

        Args:
            each: The figures now.
            before: The figures at the last comparison; None: since `start`.
            start: Where the mirror began.
            expected: What the logs come to at the block of `each`, known moves included.
        """
        low = start.number if before is None else before.block.number
        chain_id, address = self._watch.chain_id, each.address
        async with self._units() as unit:
            moves = await unit.comparisons.net_by_block(chain_id, address, low, each.block.number)
        try:
            point, drift = await self._first_bad(
                Halving(low, each.block.number), address, moves, expected, each
            )
            both = None if point is None else await self._completeness.both(point)
        except ChainUnavailable:
            return narrowed(low, each.block.number, _NO_STATE)
        if both is None or point is None:
            return narrowed(low, each.block.number, "the chain has another block there now")
        return cause_in_block(address, drift, both[0], both[1])

    async def _first_bad(
        self,
        search: Halving,
        address: Address,
        moves: Sequence[tuple[int, int]],
        expected: int,
        each: AccountComparison,
    ) -> tuple[BlockPoint | None, int]:
        """The first block after which balance and logs differ by something else than before.

        Returns:
            The block, and by how much the difference grew in it.
        """
        origin = await self._drift(search.low, address, moves, expected)
        found_low, found_high = origin, each.chain - expected
        while (middle := search.middle) is not None:
            drift = await self._drift(middle, address, moves, expected)
            search = search.take(middle, is_same=drift == origin)
            found_low, found_high = (drift, found_high) if drift == origin else (found_low, drift)
        async with self._units() as unit:
            point = await unit.comparisons.block(self._watch.chain_id, search.high)
        return point, found_high - found_low

    async def _drift(
        self, number: int, address: Address, moves: Sequence[tuple[int, int]], expected: int
    ) -> int:
        """Balance at a block less what the logs come to there, counted back from the end."""
        async with self._units() as unit:
            point = await unit.comparisons.block(self._watch.chain_id, number)
        if point is None:
            raise ChainUnavailable(f"the mirror has no block {number}")
        (units,) = await self._reader.token_balances([address], point.hash)
        return units - (expected - sum(moved for block, moved in moves if block > number))

    async def ledger(self, each: AccountComparison) -> str:
        """Why the ledger's account is not what mirror and chain agree on."""
        async with self._units() as unit:
            unbooked = await unit.comparisons.unbooked(
                self._watch.chain_id, each.address, each.path, _UNBOOKED_MAX
            )
            entries = await unit.comparisons.entries_sum(each.path)
        return cause_in_ledger(unbooked, counter=each.ledger, entries=entries)

    async def native(self, each: AccountComparison, before: AccountComparison | None) -> str:
        """Why the ledger's account of native coin is not what the chain says."""
        async with self._units() as unit:
            entries = await unit.comparisons.entries_sum(each.path)
        if entries != each.ledger:
            return cause_in_ledger((), counter=each.ledger, entries=entries)
        if before is None or each.chain == each.mirror == before.chain:
            return ""
        return await self.native_fall(each.address, before.block, each.block)

    async def native_fall(self, address: Address, since: BlockPoint, to: BlockPoint) -> str:
        """The first block in which coin left without a transaction of the node, and what is in it.

        Returns:
            A sentence; empty: coin only came in, or nothing can be said.
        """
        chain_id = self._watch.chain_id
        async with self._units() as unit:
            moves = await unit.comparisons.native_by_block(
                chain_id, address, since.number, to.number
            )
        try:
            origin = await self._native_drift(since.number, address, moves)
            search = Halving(since.number, to.number)
            if await self._native_drift(to.number, address, moves) >= origin:
                return ""
            while (middle := search.middle) is not None:
                drift = await self._native_drift(middle, address, moves)
                search = search.take(middle, is_same=drift >= origin)
        except ChainUnavailable:
            return narrowed(since.number, to.number, _NO_STATE).cause
        async with self._units() as unit:
            point = await unit.comparisons.block(chain_id, search.high)
        assert point is not None
        return await self._fall_in(address, point)

    async def _fall_in(self, address: Address, point: BlockPoint) -> str:
        """What is in the block in which coin left."""
        place = f"block {point.number} (0x{point.hash.hex()})"
        try:
            sent = await self._reader.sent_by([address], [point])
        except ChainUnavailable as error:
            return (
                f"Coin of 0x{address.hex()} left in {place}; by which transaction cannot be said:"
                f" {error}."
            )
        strange = []
        for each in sent:
            async with self._units() as unit:
                known = await unit.comparisons.known_transaction(
                    self._watch.chain_id, each.tx_hash, point.number
                )
            if known.slot_id is None:
                whom = "nobody" if each.to is None else f"0x{each.to.hex()}"
                strange.append(
                    f"transaction 0x{each.tx_hash.hex()} (nonce {each.nonce}) sent"
                    f" {each.value_wei} wei to {whom}"
                )
        if not strange:
            return (
                f"Coin of 0x{address.hex()} left in {place} without a transaction of its own in it."
            )
        return (
            f"In {place} {', and '.join(strange[:3])}, signed with the key of"
            f" 0x{address.hex()} and not written by the node: the key is used elsewhere."
        )

    async def _native_drift(
        self, number: int, address: Address, moves: Sequence[tuple[int, int]]
    ) -> int:
        async with self._units() as unit:
            point = await unit.comparisons.block(self._watch.chain_id, number)
        if point is None:
            raise ChainUnavailable(f"the mirror has no block {number}")
        (wei,) = await self._reader.native_balances([address], point.hash)
        return wei - sum(moved for block, moved in moves if block <= number)
