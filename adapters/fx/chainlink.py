"""Rates of price feeds on the chain: contracts with Chainlink's AggregatorV3Interface.

All feeds of one reading are read in the state of one block, by its hash, so that they belong
together whichever provider answers. What a feed says is its word alone; what this can find out is
whether it spoke at all, when, and whether it is the feed that is meant. One feed that is not in
order makes the whole reading unfit: a source has one voice, and only so is the feed named.

The checks are those of https://docs.chain.link/data-feeds and, for rollups, of
https://docs.chain.link/data-feeds/l2-sequencer-feeds. Not here: JSON-RPC (`adapters.evm`).
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from node.core.errors import ChainUnavailable, RateUnavailable
from node.core.ports import Clock
from node.core.ports.chain import At, BlockRef, CallReverted
from node.core.quotes import Rate
from node.core.rates import AHEAD_MAX_S
from node.core.units import Address, format_minor

LATEST_ROUND_DATA: Final = bytes.fromhex("feaf968c")
DECIMALS: Final = bytes.fromhex("313ce567")
DESCRIPTION: Final = bytes.fromhex("7284e416")

DECIMALS_MAX: Final = 18
"""Feeds against a currency have 8, those against a native coin 18."""

HEAD_AGE_MAX_S: Final = 300
"""A newest block older than this is the end of a chain or provider that stands still."""

GRACE_S: Final = 3600
"""Of Chainlink's own example: how long a sequencer has to be up before its feeds are believed."""

NATURAL_AGE_S: Final = 86_400
"""Where age is not checked: the usual longest time between two answers of a feed, its heartbeat."""

TIMEOUT_S: Final = 5

_WORD_BYTES: Final = 32
_ROUND_WORDS: Final = 5
_ROUND_LIMIT: Final = 2**80
_NEGATIVE_FROM: Final = 2**255
_TEXT_BYTES_MAX: Final = 256
_PAIR: Final = re.compile(r"([A-Z0-9]+) / ([A-Z0-9]+)")
_MALFORMED: Final = (AttributeError, LookupError, TypeError, ValueError)
"""What a block turns into when a provider's answer is not one."""


class ChainCalls(Protocol):
    """What of a chain is needed here; `ChainUnavailable` where it does not answer."""

    async def head(self) -> BlockRef:
        """The newest block."""
        ...

    async def call_many(
        self, calls: Sequence[tuple[Address, bytes]], at: At
    ) -> Sequence[bytes | CallReverted]:
        """What each contract returns in one state; a `CallReverted` stands for its own call."""
        ...


@dataclass(frozen=True, slots=True)
class PriceFeed:
    """One feed: buy units for one sell unit, as its `description` has it (`EUR / USD`)."""

    sell: str
    buy: str
    address: Address

    def __str__(self) -> str:
        return f"{self.sell}/{self.buy}"


@dataclass(frozen=True, slots=True)
class Round:
    """What `latestRoundData` returns.

    Attributes:
        answer: The rate in units of 10^-decimals; of a sequencer's feed 0 for up, 1 for down.
        started_at_s: Unix time; of a sequencer's feed when it went up or down.
        updated_at_s: Unix time of the answer.
        answered_in: The round the answer is of.
    """

    round_id: int
    answer: int
    started_at_s: int
    updated_at_s: int
    answered_in: int


class _Unfit(Exception):
    """A reading that is not one to take rates from; says why."""


@dataclass(frozen=True, slots=True)
class ChainlinkRates:
    """A `RateSource` over price feeds of the node's own chain.

    Attributes:
        max_age_s: Older answers are not used; None: age is not checked, neither is the chain's.
        sequencer: The uptime feed of a rollup's sequencer; None: the chain is no rollup.
        grace_s: How long the sequencer has to be up.
        timeout_s: For the whole of a reading.
    """

    feeds: tuple[PriceFeed, ...]
    chain: ChainCalls
    clock: Clock
    max_age_s: int | None
    sequencer: Address | None = None
    grace_s: int = GRACE_S
    name: str = "chainlink"
    timeout_s: float = TIMEOUT_S  # tidy: T1 because seconds, not money

    @property
    def natural_age_s(self) -> int | None:
        """As `max_age_s`, or a day where age is not checked."""
        return self.max_age_s or NATURAL_AGE_S

    async def rates(self) -> Sequence[Rate]:
        """The newest answer of each feed; see `RateSource.rates`."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._read()
        except TimeoutError as error:
            fault = f"the chain has not answered within {self.timeout_s} s"
            raise RateUnavailable(fault, source=self.name) from error
        except _Unfit as error:
            raise RateUnavailable(str(error), source=self.name) from error
        except (ChainUnavailable, *_MALFORMED) as error:
            raise RateUnavailable("the chain does not answer", source=self.name) from error

    async def _read(self) -> Sequence[Rate]:
        head = await self.chain.head()
        self._check_head(head)
        calls = [
            (feed.address, selector)
            for feed in self.feeds
            for selector in (LATEST_ROUND_DATA, DECIMALS, DESCRIPTION)
        ]
        if self.sequencer is not None:
            calls.append((self.sequencer, LATEST_ROUND_DATA))
        answers = list(await self.chain.call_many(calls, head.hash))
        if self.sequencer is not None:
            self._check_sequencer(answers.pop(), head)
        return [
            self._rate(feed, answers[3 * at : 3 * at + 3], head)
            for at, feed in enumerate(self.feeds)
        ]

    def _check_head(self, head: BlockRef) -> None:
        age_s = int(self.clock.now().timestamp()) - head.timestamp_s
        if age_s < -AHEAD_MAX_S:
            raise _Unfit("the chain's newest block is of the future")
        if self.max_age_s is not None and age_s > HEAD_AGE_MAX_S:
            raise _Unfit(f"the chain stands still: its newest block is {age_s} s old")

    def _check_sequencer(self, answer: bytes | CallReverted, head: BlockRef) -> None:
        status = _round("the sequencer's feed", answer)
        if status.answer != 0:
            raise _Unfit("the chain's sequencer is down")
        if status.started_at_s == 0:
            raise _Unfit("the sequencer's feed has no answer yet")
        up_s = head.timestamp_s - status.started_at_s
        if up_s <= self.grace_s:
            raise _Unfit(f"the chain's sequencer is up for {up_s} s, not more than {self.grace_s}")

    def _rate(
        self, feed: PriceFeed, answers: Sequence[bytes | CallReverted], head: BlockRef
    ) -> Rate:
        what = f"the price feed {feed}"
        latest, decimals, description = answers
        found = _round(what, latest)
        digits = _number(what, decimals)
        if digits > DECIMALS_MAX:
            raise _Unfit(f"{what} has {digits} decimals, more than {DECIMALS_MAX}")
        named = _PAIR.fullmatch(_text(description))
        if named is not None and named.groups() != (feed.sell, feed.buy):
            raise _Unfit(f"{what} says that it is the feed of {named[1]}/{named[2]}")
        if found.answer <= 0:
            raise _Unfit(f"{what} answers {found.answer}, which is no rate")
        if found.updated_at_s == 0 or not 0 < found.round_id <= found.answered_in:
            raise _Unfit(f"{what} has no answer of its newest round")
        if found.updated_at_s > head.timestamp_s:
            raise _Unfit(f"{what} has an answer of the future")
        text = format_minor(found.answer, digits)
        at = datetime.fromtimestamp(found.updated_at_s, UTC)
        return Rate.stated(feed.sell, feed.buy, text, self.name, at)


def _round(what: str, answer: bytes | CallReverted) -> Round:
    """The words of `latestRoundData`: uint80, int256, uint256, uint256, uint80.

    Raises:
        _Unfit: It is something else.
    """
    data = _returned(what, answer)
    if len(data) != _ROUND_WORDS * _WORD_BYTES:
        raise _Unfit(f"{what} does not answer as a price feed does")
    round_id, answered, started_at_s, updated_at_s, answered_in = _words(data)
    if max(round_id, answered_in) >= _ROUND_LIMIT:
        raise _Unfit(f"{what} does not answer as a price feed does")
    signed = answered - 2 * _NEGATIVE_FROM if answered >= _NEGATIVE_FROM else answered
    return Round(round_id, signed, started_at_s, updated_at_s, answered_in)


def _number(what: str, answer: bytes | CallReverted) -> int:
    data = _returned(what, answer)
    if len(data) != _WORD_BYTES:
        raise _Unfit(f"{what} does not say how many decimals it has")
    return int.from_bytes(data)


def _text(answer: bytes | CallReverted) -> str:
    """A string as the ABI has it; empty where there is none, as a feed need not have one."""
    if isinstance(answer, CallReverted) or len(answer) < 2 * _WORD_BYTES:
        return ""
    length = int.from_bytes(answer[_WORD_BYTES : 2 * _WORD_BYTES])
    data = answer[2 * _WORD_BYTES :]
    return data[: min(length, _TEXT_BYTES_MAX)].decode("ascii", "replace")


def _returned(what: str, answer: bytes | CallReverted) -> bytes:
    if isinstance(answer, CallReverted):
        raise _Unfit(f"{what} refuses to answer")
    if not answer:
        raise _Unfit(f"{what} is not there: no contract answers at its address")
    return answer


def _words(data: bytes) -> list[int]:
    return [
        int.from_bytes(data[start : start + _WORD_BYTES])
        for start in range(0, len(data), _WORD_BYTES)
    ]
