"""The mirror's reads over JSON-RPC, with the cross-checks that make an answer worth something.

Three ways to the same facts: logs by block hash (the live way), logs by number range, and all
receipts of a block. Each of them asks one provider from beginning to end. A log that names another
block, a list that lacks what the receipts of the block have, receipts that are not those of the
block: each is a `Contradiction`, which puts the provider in doubt, and the mirror waits instead of
believing. What is asked for is in `watched.py`, how in `asking.py`, answers are read in
`answers.py`, accounts in `accounts.py`, sends are in `client.py`.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, pairwise
from typing import Any, Final

from adapters.evm.accounts import WHOLE_BLOCKS_PER_BATCH, AccountReads
from adapters.evm.answers import (
    address_of_log,
    block_hash_of,
    count_of,
    header_of,
    logs_of_block,
)
from adapters.evm.client import UNREADABLE, hex_data
from adapters.evm.decode import RawLog
from adapters.evm.errors import Implausible, Limited, NoAnswer, RpcError
from adapters.evm.log_limits import LOGS_CAPS, LOGS_MAX, blocks_allowed, may_be_too_long
from adapters.evm.rpc import Call, Providers
from adapters.evm.watched import Watched
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, BlockPoint, Facts, Watch, Witness
from node.core.ports.chain import Receipt
from node.core.ports.mirror import Contradiction, RangeTooLong
from node.core.units import Address, BlockHash, TxHash

_WATCHED_KEPT: Final = 3


class EvmReader(AccountReads):
    """See `node.core.ports.mirror.ChainReader`."""

    def __init__(self, providers: Providers, watch: Watch, *, bloom_is_exact: bool = True) -> None:
        """Nothing is asked yet.

        Args:
            providers: Of the chain.
            watch: What is followed.
            bloom_is_exact: Whether a block's bloom filter has all its logs; see
                `CORRIDOR_CHAIN_BLOOM`.
        """
        super().__init__(providers, watch.token)
        self._watch = watch
        self._watched = [Watched(watch, frozenset())]
        self._bloom_is_exact = bloom_is_exact

    # --------------------------------------------------------------------------------- blocks

    async def head(self) -> BlockHeader:
        """The newest block."""
        with self.pinned():
            (block,) = await self._ask([("eth_getBlockByNumber", ["latest", False])])
            if block is None:
                raise self._lacking("the provider has no newest block")
            return self._parsed(header_of, block)

    async def finalized_number(self) -> int | None:
        """The lowest number that providers tell of the block tagged `finalized`; None: none has.

        Those that have no such tag, or no such block yet, do not count; nor those that are behind,
        while others answer: one that stands still would stop finality.
        """
        told = await self._providers.batch_of_each([("eth_getBlockByNumber", ["finalized", False])])
        numbers: list[int] = []
        for (block,) in self._providers.abreast(told).values():
            with suppress(*UNREADABLE):
                numbers.append(count_of(block["number"]))
        return min(numbers, default=None)

    async def hashes_at(self, number: int) -> Mapping[str, BlockHash]:
        """Provider -> the hash of its canonical block of that number, of all that have one.

        Also of those that are behind: they hold up nobody who asks for a newer block, and of the
        blocks they have they are witnesses. Else one of two could overrule the other by telling of
        a head far above it.
        """
        told = await self._providers.batch_of_each([("eth_getBlockByNumber", [hex(number), False])])
        hashes: dict[str, BlockHash] = {}
        for name, (block,) in told.items():
            with suppress(*UNREADABLE):
                header = header_of(block)
                if header.number == number:
                    hashes[name] = header.hash
        return hashes

    async def witnesses(self, number: int) -> Mapping[str, Witness]:
        """Provider -> what it says of that number, of all that answer, in one question to each."""
        told = await self._providers.batch_of_each(
            [("eth_getBlockByNumber", [hex(number), False]), ("eth_blockNumber", [])]
        )
        found: dict[str, Witness] = {}
        for name, (block, head) in told.items():
            with suppress(*UNREADABLE):
                newest = count_of(head)
                if block is None:  # whatever it says of its head
                    found[name] = Witness(None, min(newest, number - 1))
                    continue
                header = header_of(block)
                if header.number == number:
                    found[name] = Witness(header.hash, max(newest, number))
        return found

    async def headers(self, first: int, last: int) -> Sequence[BlockHeader]:
        """Canonical headers of these numbers, ascending and linked, as far as it has them.

        Where one is not the parent of the next the chain may have changed meanwhile, so they are
        read once more. A hash has one parent for ever: a block that tells of two, or that twice
        follows one which is not its parent, is a lie, whatever the chain does.

        Raises:
            ChainUnavailable: It has not one that is below the newest it told of, or the chain
                changed again.
        """
        with self.pinned():
            found = await self._headers(first, last)
            if _is_linked(found):
                return found
            again = await self._headers(first, last)
            for lie in _parents_that_lie(found, again):
                raise self._contradiction(
                    f"block {lie.number} follows one that is not its parent", lie
                )
            if not _is_linked(again):
                raise self._lacking(f"the chain changed while blocks from {first} on were read")
            return again

    async def _headers(self, first: int, last: int) -> list[BlockHeader]:
        """The same as they come."""
        numbers = range(first, last + 1)
        blocks = await self._ask(
            [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        )
        found: list[BlockHeader] = []
        for number, block in zip(numbers, blocks, strict=True):
            if block is None:
                if number < (self._providers.head or 0):
                    raise self._lacking(f"the provider has not block {number}")
                break
            header = self._parsed(header_of, block)
            if header.number != number:
                raise self._contradiction(f"asked for block {number}, it gives another")
            found.append(header)
        return found

    # ---------------------------------------------------------------------------------- facts

    async def facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        """What these blocks say, read by hash.

        Where a block may have any, its receipts must say the same: providers have left logs out of
        a list, and an answer that lacks one looks like any other.
        """
        watched = self._watched_with(also)
        with self.pinned():
            answers = await self._ask(
                [
                    ("eth_getLogs", [{"blockHash": hex_data(header.hash), **each}])
                    for header in headers
                    for each in watched.filters
                ]
            )
            count = len(watched.filters)
            found: list[Facts] = []
            for n, header in enumerate(headers):
                with self._believing(header.point):
                    logs = chain.from_iterable(answers[count * n : count * (n + 1)])
                    found.append(_facts(watched, header.point, logs))
            compared = [
                (header, each)
                for header, each in zip(headers, found, strict=True)
                if each.log_count or watched.may_be_in(header)
            ]
            await self._compare(compared, also)
        return found

    async def facts_by_range(
        self, first: int, last: int, also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        """The same by number range, another method; only for final blocks. Blocks with logs.

        A provider that has not the block after the last one is not asked: while a block is its
        newest, its logs may not be in its index yet. The last block must be the same before and
        after. Logs that cannot be read are compared with the receipts of their blocks.

        Raises:
            RangeTooLong: It does not answer for so many blocks, whatever its words, or its list may
                be cut off, or is longer than is good. Of one block: it is to be read by receipts.
        """
        watched = self._watched_with(also)
        with self.pinned():
            calls: list[Call] = [("eth_getBlockByNumber", [hex(last), False])]
            anchor, head = await self._ask([*calls, ("eth_blockNumber", [])])
            if anchor is None or self._parsed(count_of, head) <= last:
                raise self._lacking(f"the provider is not beyond block {last} yet")
            with self._believing():
                end = header_of(anchor).point
                if end.number != last:
                    raise Implausible(f"asked for block {last}, it gives another", end)
            lists = await self._logs(first, last, watched)
            (again,) = await self._ask(calls)
            if again is None or self._parsed(header_of, again).hash != end.hash:
                raise self._lacking(f"block {last} changed while its logs were read")
            with self._believing():
                found = await _facts_by_block(watched, lists, first, end)
            unread = [each for each in found if each.undecoded]
            headers = await self._headers_of([each.block for each in unread])
            await self._compare(list(zip(headers, unread, strict=True)), also)
        return found

    async def _logs(self, first: int, last: int, watched: Watched) -> list[list[RawLog]]:
        """A list of logs per filter, each of all these blocks."""
        span = {"fromBlock": hex(first), "toBlock": hex(last)}
        try:
            lists = await self._ask([("eth_getLogs", [{**span, **f}]) for f in watched.filters])
        except ChainUnavailable as error:
            cause, blocks = error.__cause__, last - first + 1
            if isinstance(cause, NoAnswer) and not isinstance(cause, Limited):
                raise RangeTooLong(str(error)) from error
            if isinstance(cause, RpcError) and may_be_too_long(cause.code, cause.message):
                allowed = blocks_allowed(cause.message, blocks)
                raise RangeTooLong(str(error), allowed) from error
            raise
        with self._believing():
            longest, total = max(map(len, lists)), sum(map(len, lists))
        if longest in LOGS_CAPS:
            raise RangeTooLong(f"a list of {longest} logs may have been cut off")
        if total > LOGS_MAX and first < last:
            raise RangeTooLong(f"{total} logs are more than are looked through at once")
        return lists

    async def facts_by_receipts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        """The same out of all receipts of each block, a third method."""
        watched = self._watched_with(also)
        found: list[Facts] = []
        with self.pinned():
            for start in range(0, len(headers), WHOLE_BLOCKS_PER_BATCH):
                part = headers[start : start + WHOLE_BLOCKS_PER_BATCH]
                for header, receipts in zip(part, await self._whole(part), strict=True):
                    with self._believing(header.point):
                        logs = logs_of_block(header, receipts, bloom_is_exact=self._bloom_is_exact)
                        found.append(_facts(watched, header.point, logs))
                    await asyncio.sleep(0)
        return found

    async def _whole(self, headers: Sequence[BlockHeader]) -> list[Any]:
        """Receipts of each of these blocks; None: the provider has not this block."""
        try:
            return await self._ask(
                [("eth_getBlockReceipts", [hex_data(each.hash)]) for each in headers]
            )
        except ChainUnavailable as error:
            if not isinstance(error.__cause__, RpcError):
                raise
        return [await self._tell_receipts(each.tx_hashes) for each in headers]

    def may_have_facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[bool]:
        """Whether each block's bloom filter speaks of what `facts` tells; False is certain."""
        watched = self._watched_with(also)
        return [watched.is_spoken_of(each) for each in headers]

    def may_have_any(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[bool]:
        """Whether each block's bloom filter allows any log of the node; False is certain."""
        watched = self._watched_with(also)
        return [watched.may_be_in(each) for each in headers]

    def doubt(
        self, detail: str, *, block: BlockPoint | None = None, log_index: int | None = None
    ) -> Contradiction:
        """Put the provider that this task is pinned to in doubt."""
        return self._contradiction(detail, block, log_index)

    async def receipts_and_facts(
        self, tx_hashes: Sequence[TxHash], also: Collection[Address] = ()
    ) -> Sequence[tuple[Receipt, Facts]]:
        """Receipts as `receipts` gives them, each with what its own logs say."""
        watched = self._watched_with(also)
        found: list[tuple[Receipt, Facts]] = []
        with self.pinned():
            answers = await self._tell_receipts(tx_hashes)
            for tx_hash, answer in zip(tx_hashes, answers, strict=True):
                receipt = self._receipt(tx_hash, answer)
                point = BlockPoint(receipt.block_number, receipt.block_hash)
                with self._believing(point):
                    found.append((receipt, _facts(watched, point, answer["logs"])))
                await asyncio.sleep(0)
        return found

    async def blocks_of(self, tx_hashes: Sequence[TxHash]) -> Mapping[TxHash, BlockHash]:
        """The block that each is in by its receipt; those that have none are left out."""
        found: dict[TxHash, BlockHash] = {}
        with self.pinned():
            answers = await self._ask(
                [("eth_getTransactionByHash", [hex_data(each)]) for each in tx_hashes]
            )
            for tx_hash, answer in zip(tx_hashes, answers, strict=True):
                with self._believing():
                    if answer is None or answer["blockHash"] is None:
                        continue
                    if answer["hash"] != hex_data(tx_hash):
                        raise Implausible("another transaction than was asked for")
                    found[tx_hash] = block_hash_of(answer["blockHash"])
        return found

    async def _headers_of(self, blocks: Sequence[BlockPoint]) -> list[BlockHeader]:
        answers = await self._ask(
            [("eth_getBlockByHash", [hex_data(each.hash), False]) for each in blocks]
        )
        if None in answers:
            raise self._lacking("the provider has not a block that it gave logs of")
        return [self._parsed(header_of, each) for each in answers]

    async def _compare(
        self, found: Sequence[tuple[BlockHeader, Facts]], also: Collection[Address]
    ) -> None:
        """Nothing, if the receipts of each block say the same."""
        seen = await self.facts_by_receipts([header for header, _ in found], also)
        for (header, facts), others in zip(found, seen, strict=True):
            if facts != others:
                raise self._contradiction(
                    f"block {header.number}: the provider's logs are not those of its receipts",
                    header.point,
                    facts.difference(others),
                )

    def _watched_with(self, also: Collection[Address]) -> Watched:
        """What is followed with these addresses, made of what was followed before.

        Some are kept: jobs that share a reader differ in how many addresses they know.
        """
        wanted = also if isinstance(also, frozenset) else frozenset(also)
        for place, each in enumerate(self._watched):
            if each.also is wanted or each.also == wanted:
                self._watched.insert(0, self._watched.pop(place))
                return each
        found = self._grown(wanted) or Watched(self._watch, wanted)
        self._watched = [found, *self._watched[: _WATCHED_KEPT - 1]]
        return found

    def _grown(self, wanted: frozenset[Address]) -> Watched | None:
        """What is followed with these addresses, if that is what was followed and some more."""
        for each in sorted(self._watched, key=lambda kept: len(kept.also), reverse=True):
            new = wanted - each.also
            if len(new) == len(wanted) - len(each.also):
                return each.with_more(new, wanted)
        return None


def _facts(watched: Watched, block: BlockPoint, logs: Iterable[RawLog]) -> Facts:
    return watched.facts(block, filter(watched.concerns, map(address_of_log, logs)))


async def _facts_by_block(
    watched: Watched, lists: Sequence[Sequence[RawLog]], first: int, end: BlockPoint
) -> list[Facts]:
    """Facts of the blocks with logs, in order; others of this process have a turn between blocks.

    Raises:
        Implausible: A log is of none of these blocks, or two blocks have one number.
    """
    by_hash: dict[str, list[RawLog]] = {}
    for log in filter(watched.concerns, map(address_of_log, chain.from_iterable(lists))):
        by_hash.setdefault(log["blockHash"], []).append(log)
    found: dict[int, Facts] = {}
    for text, logs in by_hash.items():
        point = BlockPoint(count_of(logs[0]["blockNumber"]), block_hash_of(text))
        if not first <= point.number <= end.number or point.number in found:
            raise Implausible("a log of a block that was not asked for, or of another", point)
        if point.number == end.number and point.hash != end.hash:
            raise Implausible("a log of another block", point)
        found[point.number] = watched.facts(point, logs)
        await asyncio.sleep(0)
    return [found[number] for number in sorted(found) if found[number].log_count]


def _is_linked(headers: Sequence[BlockHeader]) -> bool:
    return all(each.parent_hash == parent.hash for parent, each in pairwise(headers))


def _parents_that_lie(
    found: Sequence[BlockHeader], again: Sequence[BlockHeader]
) -> Iterator[BlockPoint]:
    """Blocks of two answers about the same numbers of which no chain could tell both times."""
    before = {each.hash: each.parent_hash for each in found}
    for each in again:
        if before.get(each.hash, each.parent_hash) != each.parent_hash:
            yield each.point
    below = {each.hash: parent.hash for parent, each in pairwise(found)}
    for parent, each in pairwise(again):
        if each.parent_hash != parent.hash == below.get(each.hash):
            yield each.point
