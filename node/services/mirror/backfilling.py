"""Catches up with what became final long ago: logs by number range, many blocks at once.

A range names no block, so it is asked for final blocks only, and nothing in an answer is believed
that something else does not confirm: headers are linked parent to parent from the mirror's head to
the end of the span; receipts of the node's own transactions must be in the list; a block whose
bloom filter speaks of the node and that has few logs or none is read by its receipts; and at the
last block of the span every address, deposit addresses among them, must hold what it held before
and what the logs say. Where one list lacks one log, all of the span is read by receipts. The live
way, block by block, is `node.services.mirror.mirroring`; it goes on where this ends, with its own
check of the parent.
"""

import time
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from node.core.errors import ChainUnavailable
from node.core.mirror import (
    SPAN_BLOCKS_MAX,
    BlockHeader,
    BlockPoint,
    Cursor,
    Facts,
    Span,
    Watch,
)
from node.core.ports import UnitOfWork
from node.core.ports.chain import Receipt
from node.core.ports.mirror import ChainReader, Contradiction, RangeTooLong
from node.core.units import Address, BlockHash, TxHash
from node.services.meanwhile import meanwhile
from node.services.mirror.block_storing import BlockStoring, WatchedDeposits, check_lists
from node.services.mirror.booking_beside import Steps, booking_beside

_log = structlog.get_logger()

LOGS_PER_SPAN: Final = 10_000
"""Most logs of one transaction: what is held in memory stays the same however long the chain is."""

SPANS_PER_PASS: Final = 16
"""Then the pass ends: it reads from one provider, and a worker that is to stop waits for it."""

_SPEAKING_AT_FIRST: Final = 4
"""Blocks of a first span that speak of the node: nobody knows how full of its logs they are."""

_HEADERS_PER_READ: Final = 100
_BLOCKS_BY_RECEIPTS: Final = 8
_FEW_LOGS: Final = 16
"""A block with more logs of the node's is proven by balances: its receipts are its own size."""

_ALSO_BY_BALANCE: Final = 500
"""Balances of so many deposit addresses are compared however short a span is."""

_BALANCES_PER_BLOCK: Final = 12
"""One read holds a hundred balances, or the receipts of eight blocks."""

_DISBELIEVED_MAX: Final = 2


@dataclass(slots=True)
class _Read:
    """What was read of one span.

    Attributes:
        headers: Of every block, in order, linked; without hashes of transactions and bloom filter.
        closer: Headers as they came, of blocks that may have to be read by receipts.
        own: The node's own transactions in them, by block number.
        waiting: All of them that waited for a block.
        facts: By block number, of blocks that have logs.
        receipts: Of the node's own transactions.
        also: Deposit addresses that were known when it was read.
        lacks_logs: A list lacked a log that the receipts of its block have.
        is_by_receipts: All of it was read by receipts.
    """

    headers: list[BlockHeader] = field(default_factory=list)
    closer: dict[int, BlockHeader] = field(default_factory=dict)
    own: dict[int, list[TxHash]] = field(default_factory=dict)
    waiting: Collection[TxHash] = ()
    facts: dict[int, Facts] = field(default_factory=dict)
    receipts: Sequence[Receipt] = ()
    also: Collection[Address] = ()
    lacks_logs: bool = False
    is_by_receipts: bool = False

    @property
    def end(self) -> BlockHeader:
        """The last block."""
        return self.headers[-1]

    def cut(self, blocks: int) -> None:
        """Keep only the first so many blocks."""
        del self.headers[blocks:]
        last = self.end.number
        self.closer = {n: each for n, each in self.closer.items() if n <= last}
        self.own = {n: each for n, each in self.own.items() if n <= last}
        self.facts = {n: each for n, each in self.facts.items() if n <= last}

    def cut_to(self, logs_max: int) -> None:
        """Keep the first blocks that have at most so many logs together, and at least one."""
        total = 0
        for place, header in enumerate(self.headers):
            facts = self.facts.get(header.number)
            total += 0 if facts is None else facts.log_count
            if total > logs_max and place > 0:
                self.cut(place)
                return


@dataclass(slots=True)
class Backfilling:
    """Reads and stores one span at a time. Remembers how long spans may be.

    Attributes:
        report: Tells an operator of a provider that left a log out.
        now_ms: A clock that never goes back.
    """

    units: UnitOfWork
    reader: ChainReader
    watch: Watch
    deposits: WatchedDeposits
    storing: BlockStoring
    report: Callable[[Contradiction], Awaitable[None]]
    now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000
    span: Span = field(default_factory=Span)
    _offsets: dict[Address, int] = field(default_factory=dict)
    _located: dict[TxHash, BlockHash] = field(default_factory=dict)
    _disbelieved: int = 0
    _speaking_max: int = _SPEAKING_AT_FIRST

    async def run(
        self,
        cursor: Cursor,
        final_number: int,
        steps: Steps,
    ) -> int | None:
        """Some spans above the mirror's head, up to the final block at most.

        While one is stored the next is read, and the one before it becomes final: the database
        and the chain work at the same time.

        Args:
            cursor: Where the mirror is.
            final_number: Up to here the chain is final.
            steps: Make final what is stored, one after the other, beside what comes after.

        Returns:
            Blocks stored; 0: another worker was quicker. None: what follows is not on top of the
            mirror's head, which the live way looks at.

        Raises:
            ChainUnavailable: The chain is away, or contradicts itself. What was stored before is
                kept.
        """
        head, stored = cursor.head, 0
        self._located.clear()  # told by the provider of the pass before
        async with booking_beside(steps) as booking:
            read = await self._read(head, final_number)
            for place in range(SPANS_PER_PASS):
                if read is None:
                    break
                end = read.end.point
                goes_on = end.number < final_number and place + 1 < SPANS_PER_PASS
                following = self._read(end, final_number) if goes_on else _nothing()
                async with meanwhile(following) as ahead:
                    count = await self._store(head, read)
                    if count == 0:
                        return stored
                    head, stored = end, stored + count
                    await booking.is_stored()
                    read = await ahead
        return stored or None

    async def _read(self, head: BlockPoint, final_number: int) -> _Read | None:
        """What follows `head`; None: nothing is on top of it."""
        async with self.units() as unit:
            waiting = await unit.mirror.waiting_transactions(self.watch.chain_id)
        also = await self.deposits.refresh()
        last = min(final_number, head.number + self.span.blocks)
        read = await self._headers(head, range(head.number + 1, last + 1), waiting, also)
        if not read.headers:
            return None
        read.also, read.waiting = also, waiting
        await self._logs(read, also)
        read.receipts = await self._compare_own(read, also)
        await self._compare_blooms(read, also)
        if read.lacks_logs:
            await self._read_again(read, also)
        return read

    async def _store(self, head: BlockPoint, read: _Read) -> int:
        """Put it on top of `head`, if its balances are those of its logs; how many blocks."""
        offsets = await self._compare_balances(head, read, read.also)
        if offsets is None:
            return 0
        await self._check_end(read.end)
        facts = [read.facts[number] for number in sorted(read.facts)]
        stored = await self.storing.store(head, read.headers, facts, read.receipts, are_final=True)
        if stored:
            self._offsets |= offsets
            self._disbelieved = 0
        return stored

    # --------------------------------------------------------------------------------------- reads

    async def _headers(
        self,
        head: BlockPoint,
        numbers: range,
        waiting: Collection[TxHash],
        also: Collection[Address],
    ) -> _Read:
        """Headers that continue `head`, as far as they do; what else of them is needed later."""
        read, parent = _Read(), head
        for start in range(numbers.start, numbers.stop, _HEADERS_PER_READ):
            stop = min(start + _HEADERS_PER_READ, numbers.stop)
            part = await self.reader.headers(start, stop - 1)
            speaks = self.reader.may_have_facts(part, also)
            for header, may_have_facts in zip(part, speaks, strict=True):
                if (header.number, header.parent_hash) != (parent.number + 1, parent.hash):
                    return read
                parent = header.point
                own = [each for each in header.tx_hashes if each in waiting] if waiting else []
                if own or may_have_facts:
                    if len(read.closer) == self._speaking_max:
                        return read
                    read.closer[header.number] = header
                if own:
                    read.own[header.number] = own
                read.headers.append(replace(header, tx_hashes=(), logs_bloom=b""))
            if len(part) < stop - start:
                break
        return read

    async def _logs(self, read: _Read, also: Collection[Address]) -> None:
        """Logs of the span, which is made shorter until they can be had."""
        while True:
            first, last = read.headers[0].number, read.end.number
            began_ms = self.now_ms()
            try:
                found = await self.reader.facts_by_range(first, last, also)
            except RangeTooLong as error:
                if first == last:
                    headers = await self._headers_again(read.headers)
                    found = await self.reader.facts_by_receipts(headers, also)
                else:
                    self._shorten(read, error.blocks_max)
                    continue
            if len(read.headers) >= self.span.blocks:
                self.span = self.span.after(self.now_ms() - began_ms)
            break
        hashes = {each.number: each.hash for each in read.headers}
        for each in found:
            if hashes.get(each.block.number) != each.block.hash:
                raise self.reader.doubt(
                    "a range has logs of a block that the chain has not", block=each.block
                )
        read.facts = {each.block.number: each for each in found if each.log_count}
        self._learn(len(read.closer), sum(each.log_count for each in found))
        read.cut_to(LOGS_PER_SPAN)

    def _learn(self, speaking: int, count: int) -> None:
        """How many blocks that speak of the node have as many logs as are stored at once."""
        fitting = LOGS_PER_SPAN * speaking // count if speaking and count else SPAN_BLOCKS_MAX
        self._speaking_max = min(max(1, fitting), 2 * self._speaking_max, SPAN_BLOCKS_MAX)

    def _shorten(self, read: _Read, blocks_max: int | None) -> None:
        self.span = replace(self.span, blocks=len(read.headers)).refused(blocks_max)
        _log.info("a shorter range is asked for", blocks=self.span.blocks)
        read.cut(self.span.blocks)

    async def _check_end(self, last: BlockHeader) -> None:
        """The provider still has the same block at the end: it had all of the span throughout."""
        again = await self.reader.headers(last.number, last.number)
        if not again or again[0].hash != last.hash:
            raise ChainUnavailable("the chain changed while a range of it was read")

    # --------------------------------------------------------------------------------- comparisons

    async def _compare_own(self, read: _Read, also: Collection[Address]) -> list[Receipt]:
        """Receipts of the node's own transactions; what they say must be in the list."""
        own = {each: number for number, hashes in read.own.items() for each in hashes}
        unlisted = frozenset(read.waiting).difference(own)
        await check_lists(self.reader, read.headers, unlisted, self._located)
        told = await self.reader.receipts_and_facts(list(own), also)
        lacking: dict[int, BlockHeader] = {}
        for receipt, said in told:
            header = read.closer[own[receipt.tx_hash]]
            if receipt.block_hash != header.hash:
                raise ChainUnavailable("a transaction changed its block while it was read")
            listed = read.facts.get(header.number, Facts(said.block, (), ()))
            if said.difference(listed.of_transaction(receipt.tx_hash)) is not None:
                lacking[header.number] = header
        await self._read_closer(read, list(lacking.values()), also)
        return [receipt for receipt, _ in told]

    async def _compare_blooms(self, read: _Read, also: Collection[Address]) -> None:
        """Blocks that may have logs of the node's, and are said to have few or none."""
        few = [
            read.closer[number]
            for number in sorted(read.closer)
            if number not in read.facts or read.facts[number].log_count <= _FEW_LOGS
        ]
        await self._read_closer(read, few, also)

    async def _compare_balances(
        self, head: BlockPoint, read: _Read, also: Collection[Address]
    ) -> Mapping[Address, int] | None:
        """What the addresses hold at the end must be what they held, and what came and went.

        This is the cheapest proof that no list left money out, in blocks however full: a read per
        hundred addresses, instead of one per eight blocks. It needs every deposit address, because
        one whose only log was left out is in no list. Two logs that cancel each other out are no
        gap: tokens leave a deposit address for the contract alone, whose own balance is compared,
        and they leave the node's keys and the contract in its own transactions, whose receipts are.
        Where there are so many addresses that receipts are cheaper, and where nobody has the state
        of that block any more, the span is read by receipts, which prove themselves.

        Returns:
            By how much each differs from its logs for good, as every read of it says; that is for
            reconciliation to explain (a token that takes a fee, a log missed long ago). None:
            another worker has moved the head.
        """
        if len(also) > max(_ALSO_BY_BALANCE, _BALANCES_PER_BLOCK * len(read.headers)):
            await self._read_again(read, also)
        moved = self._moved(read, also)
        others = moved.keys() if read.is_by_receipts else frozenset(also)
        addresses = sorted(self.watch.addresses | others)
        try:
            held = await self.reader.token_balances(addresses, read.end.hash)
        except ChainUnavailable:
            await self._read_again(read, also)
            return {}
        async with self.units() as unit:
            before = await unit.mirror.tokens_at_head(
                self.watch.chain_id, self.watch.token_asset, addresses, head.hash
            )
        if before is None:
            return None
        gained = {
            each: amount - before.get(each, 0) - self._offsets.get(each, 0)
            for each, amount in zip(addresses, held, strict=True)
        }
        if not _unexplained(gained, moved):
            return {}
        await self._read_again(read, also)
        off = _unexplained(gained, self._moved(read, also))
        if not off:
            return {}
        self._disbelieved += 1
        if self._disbelieved <= _DISBELIEVED_MAX:
            address, amount = min(off.items())
            raise self.reader.doubt(
                f"0x{address.hex()} holds {amount} units more than the logs of blocks"
                f" {read.headers[0].number} to {read.end.number} explain",
                block=read.end.point,
            )
        _log.warning("balances differ from their logs, whoever is asked", addresses=len(off))
        return {each: self._offsets.get(each, 0) + amount for each, amount in off.items()}

    def _moved(self, read: _Read, also: Collection[Address]) -> dict[Address, int]:
        """Token units that came to each address of the node, less those that left."""
        own, moved = self.watch.addresses, dict[Address, int]()
        for each in read.facts.values():
            for log in each.token_logs:
                for address, amount in (
                    (log.to_address, log.amount),
                    (log.from_address, -log.amount),
                ):
                    if address in own or address in also:
                        moved[address] = moved.get(address, 0) + amount
        return moved

    # --------------------------------------------------------------------------------- by receipts

    async def _read_again(self, read: _Read, also: Collection[Address]) -> None:
        """Every block of the span by its receipts, but those whose bloom filter rules logs out."""
        if read.is_by_receipts:
            return
        for part in _parts(read.headers, _HEADERS_PER_READ):
            headers = await self._headers_again(part)
            may_have = self.reader.may_have_any(headers, also)
            closer = [
                header
                for header, may in zip(headers, may_have, strict=True)
                if may or header.number in read.facts
            ]
            await self._read_closer(read, closer, also)
        read.is_by_receipts = True

    async def _headers_again(self, part: Sequence[BlockHeader]) -> Sequence[BlockHeader]:
        """The same blocks, with hashes of transactions and bloom filter."""
        headers = await self.reader.headers(part[0].number, part[-1].number)
        if [each.hash for each in headers] != [each.hash for each in part]:
            raise ChainUnavailable("the chain changed while a range of it was read")
        return headers

    async def _read_closer(
        self, read: _Read, headers: Sequence[BlockHeader], also: Collection[Address]
    ) -> None:
        """These blocks by their receipts, which count where the list says something else.

        A provider that left a log out of a list is not asked for long.
        """
        for part in _parts(headers, _BLOCKS_BY_RECEIPTS):
            for said in await self.reader.facts_by_receipts(part, also):
                number = said.block.number
                listed = read.facts.get(number, Facts(said.block, (), ()))
                log_index = said.difference(listed)
                if log_index is None:
                    continue
                if log_index not in said.by_index():
                    raise self.reader.doubt(
                        "a range has a log that the block's receipts have not",
                        block=said.block,
                        log_index=log_index,
                    )
                read.facts[number] = said
                read.lacks_logs = True
                await self.report(
                    self.reader.doubt(
                        "a range lacks a log that the block's receipts have",
                        block=said.block,
                        log_index=log_index,
                    )
                )


async def _nothing() -> None:
    return None


def _unexplained(gained: Mapping[Address, int], moved: Mapping[Address, int]) -> dict[Address, int]:
    """By how much addresses gained more than their logs say; only those that did."""
    off = {each: amount - moved.get(each, 0) for each, amount in gained.items()}
    return {each: amount for each, amount in off.items() if amount}


def _parts(headers: Sequence[BlockHeader], size: int) -> Iterator[Sequence[BlockHeader]]:
    for start in range(0, len(headers), size):
        yield headers[start : start + size]
