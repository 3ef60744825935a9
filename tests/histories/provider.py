"""Providers of a model chain: they speak JSON-RPC, and lag, stall, refuse, leave out, or lie.

Each stands where `adapters.evm.json_rpc.JsonRpc` does, so everything above it is the real program.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from random import Random  # noqa: TID251 - a seeded history, no secret
from typing import Any

from adapters.evm.errors import NoAnswer, RpcError
from adapters.evm.json_rpc import Call, JsonRpc
from tests.histories.chain import (
    GAS_PRICE_WEI,
    GAS_USED,
    TRANSFER,
    Block,
    Log,
    Mined,
    ModelChain,
    bloom_of,
)
from tests.histories.parties import TOKEN
from tests.histories.signing import signed_of

_UNKNOWN_BLOCK = -32001
_NO_METHOD = -32601
_REFUSED = -32602
_WORD_BYTES = 32
_FULL = 12
"""Logs of a block from which on not every block is read by its receipts."""


class Mood(Enum):
    """How a provider is for a while."""

    HONEST = "honest"
    LAGS = "lags"  # some blocks behind
    STALLED = "stalled"  # its newest block is the same for ever
    ELSEWHERE = "elsewhere"  # on a branch that was the canonical one
    PARTED = "parted"  # on a chain of its own from some block on
    HIDES = "hides"  # leaves one of a block's logs out of its lists
    HIDES_EVERYWHERE = "hides everywhere"  # and out of its receipts
    EMPTY = "empty"  # lists of logs are empty
    FAILS = "fails"  # no answer every now and then
    DOWN = "down"  # HTTP 503 and nothing else
    NULLS = "nulls"  # receipts are null
    SILENT = "silent"  # everything is null
    REFUSES = "refuses"  # ranges of more than a few blocks, in many words
    NO_RECEIPTS = "no receipts"  # has no eth_getBlockReceipts
    LIES_TOKENS = "lies about tokens"
    LIES_WEI = "lies about wei"
    LIES_NONCES = "lies about nonces"
    LIES_PARENT = "lies about parents"
    LIES_TXS = "lies about transactions"
    LIES_BLOOM = "lies about blooms"
    TAG_AWAY = "tag away"  # nothing is tagged
    TAG_BACK = "tag back"  # the tag goes back
    TAG_AHEAD = "tag ahead"  # tags what is not final


ALONE = frozenset(Mood) - {
    Mood.PARTED,
    Mood.LIES_WEI,
    Mood.LIES_NONCES,
    Mood.LIES_TXS,
    Mood.TAG_AHEAD,
}
"""Moods of a provider without another: of the rest nobody could tell the lie from the truth."""

_ELSEWHERE = (Mood.ELSEWHERE, Mood.PARTED, Mood.STALLED)

_REFUSALS = (
    "query exceeds max block range {n}",
    "block range is too wide: limited to {n}",
    "eth_getLogs is limited to a {n} range",
    "query returned more than 10000 results",
    "Log response size exceeded.",
)


class Gate:
    """Holds up one pass at one of its requests: a worker that is slow, and acts on old answers.

    Attributes:
        reached: Set when it is held up, or has ended before.
    """

    def __init__(self, after: int) -> None:
        """Opens for so many requests, less one."""
        self.reached = asyncio.Event()
        self._left = after
        self._open = asyncio.Event()

    async def passing(self) -> None:
        """One more request was answered."""
        self._left -= 1
        if self._left == 0:
            self.reached.set()
            await self._open.wait()

    def let_go(self) -> None:
        """The pass goes on."""
        self._left = 0
        self._open.set()


GATE: ContextVar[Gate | None] = ContextVar("gate", default=None)
"""Of the pass that asks; None: it is not held up."""


@dataclass
class ModelRpc(JsonRpc):
    """One provider.

    Attributes:
        mood: May change between two passes.
        view: The head it follows while it sits elsewhere; None: the chain's.
        lag: Blocks it is behind while it lags, and other small numbers of its moods.
        ranges: How often it was asked for the logs of several blocks at once.
        asked: Told before each request; the chain may move in it.
    """

    name: str
    chain: ModelChain
    chance: Random
    chain_id: int
    asked: Callable[[], None] = lambda: None
    mood: Mood = Mood.HONEST
    view: Block | None = None
    lag: int = 0
    ranges: int = 0

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_s: float | None = None
    ) -> Any:
        """Result of one call."""
        self._asked()
        answer = self._answer(method, params)
        await _pass_gate()
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Any]:
        """Results of many calls."""
        if not calls:
            return []
        self._asked()
        answers = [self._answer(method, params) for method, params in calls]
        await _pass_gate()
        return answers

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def head(self) -> Block:
        """The newest block it knows."""
        if self.mood in _ELSEWHERE and self.view is not None:
            return self.view
        head = self.chain.head
        if self.mood is Mood.LAGS:
            return self.chain.at(max(0, head.number - self.lag)) or head
        return head

    @property
    def is_elsewhere(self) -> bool:
        """Whether its newest block is another than the chain's, and stays so."""
        return self.mood in _ELSEWHERE and self.view is not None

    def _asked(self) -> None:
        self.asked()
        if self.mood is Mood.DOWN:
            raise NoAnswer(f"{self.name}: HTTP 503")
        if self.mood is Mood.FAILS and self.chance.random() < 0.3:
            raise NoAnswer(f"{self.name}: closed")

    def _answer(self, method: str, params: Sequence[Any]) -> Any:
        answer = _METHODS.get(method)
        if answer is None:
            return RpcError(_NO_METHOD, f"the method {method} does not exist", b"")
        if self.mood is Mood.SILENT:
            return None
        try:
            return answer(self, *params)
        except _UnknownBlock:
            return RpcError(_UNKNOWN_BLOCK, "unknown block", b"")
        except _TooLong as refusal:
            return RpcError(_REFUSED, str(refusal), b"")

    # -------------------------------------------------------------------------------- methods

    def _block_by_number(self, tag: str, whole: bool) -> Any:
        if tag in ("latest", "pending"):
            block: Block | None = self.head
        elif tag == "finalized":
            block = self._finalized()
        elif tag == "safe":
            return None
        else:
            block = self.chain.at(int(tag, 16), self.head)
        return None if block is None else self._told(block, whole=whole)

    def _block_by_hash(self, name: str, whole: bool) -> Any:
        block = self.chain.by_hash.get(_bytes(name))
        return None if block is None else self._told(block, whole=whole)

    def _finalized(self) -> Block | None:
        tagged = self.chain.tagged
        if tagged is None or self.mood is Mood.TAG_AWAY:
            return None
        if self.mood is Mood.TAG_AHEAD:
            return self.head
        if self.mood is Mood.TAG_BACK:
            tagged -= self.lag
        number = max(0, min(tagged, self.head.number))
        while self.mood is not Mood.PARTED and (
            self.chain.at(number) is not self.chain.at(number, self.head)
        ):
            number -= 1  # it has not seen that the branch which it is on was given up
        return self.chain.at(number, self.head)

    def _told(self, block: Block, *, whole: bool) -> Mapping[str, Any]:
        """A block, or what it says is one."""
        told = _block(block, whole=whole)
        if self.mood is Mood.LIES_PARENT and block.number % 3 == self.lag % 3:
            return {**told, "parentHash": _hex(b"\x0f" * 32)}
        if self.mood is Mood.LIES_TXS and block.mined:
            return {**told, "transactions": told["transactions"][:-1]}
        if self.mood is Mood.LIES_BLOOM and block.mined:
            return {**told, "logsBloom": ("0x00", "0xff")[self.lag % 2] + told["logsBloom"][4:]}
        return told

    def _logs(self, asked: Mapping[str, Any]) -> Any:
        if self.mood is Mood.EMPTY:
            return []
        if "blockHash" in asked:
            blocks = [self._known(asked["blockHash"])]
        else:
            first, last = int(asked["fromBlock"], 16), int(asked["toBlock"], 16)
            self.ranges += 1
            if self.mood is Mood.REFUSES and last - first >= self.lag:
                words = _REFUSALS[first % len(_REFUSALS)]
                raise _TooLong(words.format(n=self.lag))
            found = (self.chain.at(number, self.head) for number in range(first, last + 1))
            blocks = [each for each in found if each is not None]
        return [
            _log(block, index, place, mined, log)
            for block in blocks
            for index, place, mined, log in block.logs()
            if _matches(log, asked) and not self._hides(block, index)
        ]

    def _block_receipts(self, which: str) -> Any:
        if self.mood is Mood.NO_RECEIPTS:
            return RpcError(_NO_METHOD, "the method eth_getBlockReceipts does not exist", b"")
        block = self._known(which)
        if self.mood is Mood.NULLS:
            return None
        return [self._receipt_in(block, place) for place in range(len(block.mined))]

    def _receipt(self, name: str) -> Any:
        if self.mood is Mood.NULLS:
            return None
        wanted = _bytes(name)
        for block in reversed(self.chain.canonical(self.head)):
            for place, each in enumerate(block.mined):
                if each.tx.hash == wanted:
                    return self._receipt_in(block, place)
        return None

    def _transaction(self, name: str) -> Any:
        receipt = self._receipt(name)
        return receipt and {"hash": name, "blockHash": receipt["blockHash"]}

    def _receipt_in(self, block: Block, place: int) -> Mapping[str, Any]:
        mined = block.mined[place]
        logs = [
            _log(block, index, place, mined, log)
            for index, at, _, log in block.logs()
            if at == place
            and not (self.mood is Mood.HIDES_EVERYWHERE and self._hides(block, index))
        ]
        return {
            "transactionHash": _hex(mined.tx.hash),
            "transactionIndex": hex(place),
            "blockHash": _hex(block.hash),
            "blockNumber": hex(block.number),
            "status": hex(mined.succeeded),
            "gasUsed": hex(GAS_USED),
            "effectiveGasPrice": hex(GAS_PRICE_WEI),
            "logs": logs,
        }

    def _hides(self, block: Block, index: int) -> bool:
        """Whether it leaves this log out: the same one each time, or it would be found at once.

        The last log of a block's receipts is missing from nothing but the bloom filter. Where that
        says nothing of it, only asking somebody else tells: that is reconciliation's, not the
        mirror's.
        """
        if self.mood not in (Mood.HIDES, Mood.HIDES_EVERYWHERE):
            return False
        logs = [log for _, _, _, log in block.logs()]
        chosen = block.hash[0] % len(logs)
        if len(logs) > _FULL:  # of a full block: one that balances tell, or receipts of own ones
            own = [place for place, _, mined, _ in block.logs() if mined.tx.nonce is not None]
            worth = [place for place, each in enumerate(logs) if _moves_money(each)]
            worth = own if own and self.mood is Mood.HIDES else worth
            chosen = worth[block.hash[0] % len(worth)] if worth else -1
        if self.mood is Mood.HIDES_EVERYWHERE and chosen == len(logs) - 1:
            is_told = self.chain.has_bloom and bloom_of(logs[:-1]) != block.bloom
            return is_told and index == chosen
        return index == chosen

    def _call(self, request: Mapping[str, Any], at: Any) -> str:
        holder = _bytes(request["data"])[-20:]
        units = self._known_state(at).world.tokens.get(holder, 0)
        return _hex((units + (self.mood is Mood.LIES_TOKENS)).to_bytes(32))

    def _balance(self, address: str, at: Any) -> str:
        wei = self._known_state(at).world.wei.get(_bytes(address), 0)
        return hex(wei + 10**12 * (self.mood is Mood.LIES_WEI))

    def _nonce(self, address: str, at: Any) -> str:
        count = self._known_state(at).world.nonces.get(_bytes(address), 0)
        return hex(max(0, count + (1, -1)[self.lag % 2] * (self.mood is Mood.LIES_NONCES)))

    def _code(self, _address: str, at: Any) -> str:
        self._known_state(at)
        return "0x60"

    def _known_state(self, at: Any) -> Block:
        if isinstance(at, str):
            return self.head
        return self._known(at["blockHash"])

    def _known(self, name: str) -> Block:
        block = self.chain.by_hash.get(_bytes(name))
        if block is None or block.number > self.head.number:
            raise _UnknownBlock
        if self.mood is Mood.PARTED and self.chain.at(block.number, self.head) is not block:
            raise _UnknownBlock
        return block


async def _pass_gate() -> None:
    gate = GATE.get()
    if gate is not None:
        await gate.passing()


class _UnknownBlock(Exception):
    pass


class _TooLong(Exception):
    pass


_METHODS: Mapping[str, Callable[..., Any]] = {
    "eth_chainId": lambda rpc: hex(rpc.chain_id),
    "eth_blockNumber": lambda rpc: hex(rpc.head.number),
    "eth_getBlockByNumber": ModelRpc._block_by_number,
    "eth_getBlockByHash": ModelRpc._block_by_hash,
    "eth_getLogs": ModelRpc._logs,
    "eth_getBlockReceipts": ModelRpc._block_receipts,
    "eth_getTransactionByHash": ModelRpc._transaction,
    "eth_getTransactionReceipt": ModelRpc._receipt,
    "eth_call": ModelRpc._call,
    "eth_getBalance": ModelRpc._balance,
    "eth_getTransactionCount": ModelRpc._nonce,
    "eth_getCode": ModelRpc._code,
}


def _moves_money(log: Log) -> bool:
    return (
        log.address == TOKEN
        and log.topics[0] == TRANSFER
        and len(log.data) == _WORD_BYTES
        and any(log.data)
        and log.topics[1] != log.topics[2]
    )


def _matches(log: Log, asked: Mapping[str, Any]) -> bool:
    addresses = asked.get("address")
    if addresses is not None:
        wanted = [addresses] if isinstance(addresses, str) else addresses
        if _hex(log.address) not in wanted:
            return False
    topics = asked.get("topics") or []
    if len(topics) > len(log.topics):
        return False
    for asked_topic, topic in zip(topics, log.topics, strict=False):
        options = [asked_topic] if isinstance(asked_topic, str) else asked_topic
        if options is not None and _hex(topic) not in options:
            return False
    return True


def _block(block: Block, *, whole: bool) -> Mapping[str, Any]:
    transactions: list[Any] = [_hex(each.tx.hash) for each in block.mined]
    if whole:
        transactions = [
            {
                "hash": _hex(each.tx.hash),
                "from": _hex(each.tx.sender),
                "transactionIndex": hex(place),
                **({} if each.tx.nonce is None else signed_of(each.tx.nonce).told),
            }
            for place, each in enumerate(block.mined)
        ]
    return {
        "number": hex(block.number),
        "hash": _hex(block.hash),
        "parentHash": _hex(block.parent.hash if block.parent else bytes(32)),
        "timestamp": hex(block.time_s),
        "transactions": transactions,
        "logsBloom": "0x" + block.bloom.to_bytes(256).hex(),
        "gasLimit": hex(30_000_000),
        "baseFeePerGas": "0x1",
    }


def _log(block: Block, index: int, place: int, mined: Mined, log: Log) -> Mapping[str, Any]:
    return {
        "address": _hex(log.address),
        "topics": [_hex(each) for each in log.topics],
        "data": _hex(log.data),
        "blockNumber": hex(block.number),
        "blockHash": _hex(block.hash),
        "transactionHash": _hex(mined.tx.hash),
        "transactionIndex": hex(place),
        "logIndex": hex(index),
        "removed": False,
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
