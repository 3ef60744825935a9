"""The first layer of reconciliation: every block and log of the chain is in the mirror, as it is.

What became final since the last time is read again by another method, and from another provider
where there is one. Rows that agreed once are remembered by a digest, so that whoever changes them
later is found: the newest at every advance, the older ones in turn. Blocks read long ago are read
from the chain again in turn, too. A full run reads everything.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.core.breaks import BreakCode, NewBreak
from node.core.differences import digest_of, log_break
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, BlockPoint, Facts, Watch
from node.core.ports import UnitOfWork
from node.core.ports.comparisons import BlockDigest, Turns
from node.core.ports.mirror import ChainReader, RangeTooLong
from node.core.reconcile import Check, different_logs, none_of, same
from node.core.units import Address
from node.services.meanwhile import meanwhile

BLOCKS_PER_SPAN: Final = 100
_BLOCKS_AT_FIRST: Final = 4  # nobody knows yet how full they are
LOGS_AT_ONCE: Final = 10_000
"""About as many are read by range at once: memory stays the same however full blocks are."""

BLOCKS_BY_RECEIPTS: Final = 16
"""Newest blocks whose receipts are all read again at an advance."""

LOGS_BY_RECEIPTS: Final = 2_000
"""Fewer blocks, once they have so many logs of the node; those before are read by range."""

NEWEST_LOGS: Final = 20_000
"""Rows of the mirror's newest blocks that are compared with their digests at every advance."""

TURN_LOGS: Final = 10_000
"""Older rows compared with their digests at each advance."""

READ_LOGS: Final = 2_000
"""Older logs read from the chain again at each advance, in at most `BLOCKS_PER_SPAN` blocks."""

_BLOCKS_REREAD: Final = 20
_TAMPERED: Final = (
    "The rows of this block agreed with the chain when it was compared before, and do not now: they"
    " were changed in the database, past the node."
)


@dataclass(frozen=True, slots=True)
class Span:
    """What one run is about.

    Attributes:
        start: The block the mirror began at.
        above: Blocks up to here were compared before.
        final: The block compared at.
        full: Everything is read again.
    """

    start: int
    above: int
    final: BlockPoint
    full: bool


class Completeness:
    """Compares the mirror's rows with the chain."""

    def __init__(self, units: UnitOfWork, reader: ChainReader, watch: Watch) -> None:
        self.units = units
        self.reader = reader
        self.watch = watch
        self._deposits: set[Address] = set()
        self._deposits_upto = 0

    async def compare(self, span: Span, turns: Turns) -> tuple[list[Check], Turns]:
        """The checks of this layer, and how far the turns came."""
        await self._learn_deposits()
        async with self.units() as unit:
            broken = await unit.reconciliation.broken_links(self.watch.chain_id, span.above)
        header = await self._final_header(span.final)
        if span.full:
            breaks = await self._by_range(span.start + 1, span.final.number)
            changed: list[NewBreak] = []
        else:
            oldest, breaks = await self._newest(span)
            await self._keep(span.above, oldest)
            changed, turns = await self._digests(span, turns)
            again, turns = await self._again(span, turns)
            breaks += again
        checks = [
            same("completeness.blocks", BreakCode.MISSED_LOG, expected=0, actual=broken),
            same(
                "completeness.final_block",
                BreakCode.DEEP_REORG,
                expected=f"0x{span.final.hash.hex()}",
                actual=f"0x{header.hash.hex()}",
                evidence={"block_number": str(span.final.number)},
                cause=""
                if header.hash == span.final.hash
                else f"Block {span.final.number} was final, and the provider has another one there"
                " now: the chain was reorganised past finality, or the provider is on another fork"
                " or lies.",
            ),
            none_of("completeness.logs", [*breaks, *changed]),
        ]
        return checks, turns

    async def both(self, point: BlockPoint) -> tuple[Facts, Facts] | None:
        """One final block as the mirror has it and as its receipts, read again, have it.

        Returns:
            None: the provider has another block of that number now.
        """
        await self._learn_deposits()
        with self.reader.other_provider():
            headers = await self.reader.headers(point.number, point.number)
            if not headers or headers[0].hash != point.hash:
                return None
            theirs = (await self.reader.facts_by_receipts(headers, self._deposits))[0]
        async with self.units() as unit:
            ours = await unit.reconciliation.mirrored(
                self.watch.chain_id, point.number, point.number
            )
        return next(iter(ours), Facts(point, (), ())), theirs

    async def _learn_deposits(self) -> None:
        """Deposit addresses are the node's too; there are more of them all the time."""
        async with self.units() as unit:
            for number, address in await unit.deposits.addresses_since(self._deposits_upto):
                self._deposits.add(address)
                self._deposits_upto = max(self._deposits_upto, number)

    async def _final_header(self, final: BlockPoint) -> BlockHeader:
        """The chain's block of that number; two providers must say that it is another than ours."""
        with self.reader.other_provider():
            headers = await self.reader.headers(final.number, final.number)
        if not headers or headers[0].hash != final.hash:
            with self.reader.pinned():
                headers = await self.reader.headers(final.number, final.number)
        if not headers:  # a silence proves nothing; a chain that is shorter halts the mirror
            raise ChainUnavailable(f"the provider does not show the final block {final.number}")
        return headers[0]

    async def _by_range(self, first: int, last: int) -> list[NewBreak]:
        """Read every log again by number range, which is safe for final blocks.

        While the chain answers for the next range the one before is compared.
        """
        found: list[NewBreak] = []
        start, span, limit = first, _BLOCKS_AT_FIRST, BLOCKS_PER_SPAN
        read: tuple[int, int, Sequence[Facts]] | None = None
        while start <= last:
            end = min(start + span - 1, last)
            async with meanwhile(self._range(start, end)) as ahead:
                found += await self._different(*read) if read else []
                read = None
                try:
                    theirs = await ahead
                except ChainUnavailable as error:
                    if start == end:
                        found += await self._by_receipts(start)
                        start = end + 1
                        continue
                    told = error.blocks_max if isinstance(error, RangeTooLong) else None
                    span = limit = max(1, min(told or limit, (end - start + 1) // 2))
                    continue
            count = sum(each.log_count for each in theirs)
            fitting = LOGS_AT_ONCE * (end - start + 1) // count if count else limit
            span = max(1, min(fitting, 2 * span, limit))
            read, start = (start, end, theirs), end + 1
        return found + (await self._different(*read) if read else [])

    async def _range(self, first: int, last: int) -> Sequence[Facts]:
        with self.reader.other_provider():
            return await self.reader.facts_by_range(first, last, self._deposits)

    async def _newest(self, span: Span) -> tuple[int, list[NewBreak]]:
        """The newest blocks through all their receipts, and those before by range.

        Returns:
            The first block that was compared, and what differs. Blocks before it are left to the
            turns.
        """
        lowest = max(span.above + 1, span.final.number - BLOCKS_BY_RECEIPTS + 1)
        oldest = max(span.above + 1, lowest - BLOCKS_PER_SPAN)
        theirs: list[Facts] = []
        async with meanwhile(self._by_range(oldest, lowest - 1)) as before:
            with self.reader.other_provider():
                headers = await self.reader.headers(lowest, span.final.number)
                left = len(headers)
                while left and sum(each.log_count for each in theirs) < LOGS_BY_RECEIPTS:
                    pair = headers[max(0, left - 2) : left]
                    theirs = await self._receipts(pair) + theirs
                    left -= len(pair)
            first, last = lowest + left, lowest + len(headers) - 1
            found = await self._different(first, last, theirs)
            return oldest, await before + await self._by_range(lowest, first - 1) + found

    async def _by_receipts(self, number: int) -> list[NewBreak]:
        """Read one block again through all its receipts."""
        with self.reader.other_provider():
            headers = await self.reader.headers(number, number)
            theirs = await self._receipts(headers)
        return await self._different(number, number, theirs) if headers else []

    async def _receipts(self, headers: Sequence[BlockHeader]) -> list[Facts]:
        """Block by block; the chain prepares the next while one is looked at."""
        said = await asyncio.gather(
            *(self.reader.facts_by_receipts([each], self._deposits) for each in headers)
        )
        return [facts for each in said for facts in each]

    async def _digests(self, span: Span, turns: Turns) -> tuple[list[NewBreak], Turns]:
        """Compare rows with what they were: the newest, and the next of the older ones."""
        chain_id = self.watch.chain_id
        async with self.units() as unit:
            ask = unit.comparisons
            newest = max(await ask.digests_back(chain_id, span.above, NEWEST_LOGS), span.start)
            unequal = list(await ask.unequal(chain_id, newest, span.above))
            turn = turns.digest if span.start <= turns.digest < newest else span.start
            to = await ask.digests_on(chain_id, turn, TURN_LOGS) if turn < newest else None
            to = newest if to is None else min(to, newest)
            if turn < to:
                unequal += await ask.unequal(chain_id, turn, to)
        breaks: list[NewBreak] = []
        for each in unequal[:_BLOCKS_REREAD]:
            found = await self._by_receipts(each.block.number)
            breaks += [replace(one, cause=_TAMPERED) for one in found]
            if not found:  # the digest itself is wrong, or a node without this table wrote the rows
                async with self.units() as unit:
                    number = each.block.number
                    await unit.comparisons.keep_digests(chain_id, number - 1, number)
        return breaks, Turns(turns.batch, turns.account, to, turns.read)

    async def _again(self, span: Span, turns: Turns) -> tuple[list[NewBreak], Turns]:
        """Read the next old blocks from the chain again; where that fails, another time."""
        place = turns.read if span.start <= turns.read < span.above else span.start
        async with self.units() as unit:
            busy = await unit.comparisons.digests_on(self.watch.chain_id, place, READ_LOGS)
        end = min(place + BLOCKS_PER_SPAN, span.above, busy or span.above)
        found: list[NewBreak] = []
        if place < end:
            try:
                theirs = await self._range(place + 1, end)
            except RangeTooLong as error:
                end = place + max(1, min(error.blocks_max or BLOCKS_PER_SPAN, (end - place) // 2))
                found = await self._by_range(place + 1, end)
            except ChainUnavailable:
                return [], turns
            else:
                found = await self._different(place + 1, end, theirs)
        return found, Turns(turns.batch, turns.account, turns.digest, end)

    async def _keep(self, above: int, to: int) -> None:
        """Remember the rows of new blocks below `to`, which were not compared."""
        if above < to - 1:
            async with self.units() as unit:
                await unit.comparisons.keep_digests(self.watch.chain_id, above, to - 1)

    async def _different(self, first: int, last: int, theirs: Sequence[Facts]) -> list[NewBreak]:
        """Logs that only one side has; rows are read only of blocks whose digests differ.

        Where they are equal they are remembered: as what agreed, whatever the rows say later.
        """
        async with self.units() as unit:
            ours = await unit.comparisons.digests(self.watch.chain_id, first, last)
        chain = {each.block.hash: each for each in theirs}
        digests = {hash_: digest_of(self.watch, each) for hash_, each in chain.items()}
        unequal = {hash_ for hash_ in {*ours, *digests} if ours.get(hash_) != digests.get(hash_)}
        agreed = [
            BlockDigest(chain[hash_].block, _compared_logs(chain[hash_]), digest)
            for hash_, digest in digests.items()
            if digest is not None and hash_ not in unequal
        ]
        if agreed:
            async with self.units() as unit:
                await unit.comparisons.store_digests(self.watch.chain_id, agreed)
        if not unequal:
            return []
        async with self.units() as unit:
            rows = await unit.reconciliation.mirrored(self.watch.chain_id, first, last)
        mirror = {each.block.hash: each for each in rows if each.block.hash in unequal}
        found: list[NewBreak] = []
        for hash_ in [each for each in {**chain, **mirror} if each in unequal]:
            point = (chain.get(hash_) or mirror[hash_]).block
            nothing = Facts(point, (), ())
            mine, other = mirror.get(hash_, nothing), chain.get(hash_, nothing)
            missed, phantom = different_logs(mine, other)
            found += [log_break(BreakCode.MISSED_LOG, other, index) for index in missed]
            found += [log_break(BreakCode.PHANTOM_LOG, mine, index) for index in phantom]
        return found


def _compared_logs(facts: Facts) -> int:
    """How many logs of a block its digest is of."""
    return len(facts.token_logs) + len(facts.settlement_logs)
