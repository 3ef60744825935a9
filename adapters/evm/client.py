"""The chain as the settlement job sees it: `node.core.ports.Chain` over JSON-RPC providers.

Reads fail over from one provider to the next; sends go to all of them, once, without a retry.
The mirror's reads are in `adapters.evm.reader`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import structlog
from eth_utils.crypto import keccak

from adapters.evm.errors import NoAnswer, ProvidersRefuse, RpcError
from adapters.evm.rpc import JsonRpc, Providers
from node.core.errors import ChainUnavailable
from node.core.ports.chain import (
    At,
    BlockRef,
    CallReverted,
    FeeHistory,
    Receipt,
    SendAnswer,
)
from node.core.units import Address, BlockHash, TxHash

_log = structlog.get_logger()

_Value = TypeVar("_Value")

DEFAULT_TIP_WEI: Final = 10**9
"""1 gwei: what clients offer where they know nothing of the market."""

_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
UNREADABLE: Final = (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError)
"""What reading an answer raises that is not what it should be; a time may be beyond all clocks."""


class EvmChain:
    """See `node.core.ports.chain.Chain`."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    def pinned(self) -> AbstractContextManager[None]:
        """See `node.core.ports.chain.Chain.pinned`."""
        return self._providers.pinned()

    async def chain_id(self) -> int:
        """EIP-155 number, asked now."""
        return await self._providers.chain_id()

    async def head(self) -> BlockRef:
        """The newest block."""
        block = await self._providers.call("eth_getBlockByNumber", ["latest", False])
        return _read(block_ref, block)

    async def block_by_number(self, number: int) -> BlockRef | None:
        """The canonical block of that number; None: not there yet."""
        block = await self._providers.call("eth_getBlockByNumber", [hex(number), False])
        return None if block is None else _read(block_ref, block)

    async def nonce(self, address: Address, at: At) -> int:
        """How many transactions the account has sent at that state."""
        answer = await self._providers.call(
            "eth_getTransactionCount", [hex_data(address), state(at)]
        )
        return _read(quantity, answer)

    async def native_balance(self, address: Address, at: At) -> int:
        """Wei the account holds at that state."""
        answer = await self._providers.call("eth_getBalance", [hex_data(address), state(at)])
        return _read(quantity, answer)

    async def code_hash(self, address: Address, at: At) -> bytes:
        """Keccak-256 of the account's code (of nothing where there is none)."""
        code = await self._providers.call("eth_getCode", [hex_data(address), state(at)])
        return keccak(_read(from_hex, code))

    async def call(
        self,
        to: Address,
        data: bytes,
        at: At,
        *,
        sender: Address | None = None,
        gas_limit: int | None = None,
    ) -> bytes:
        """What the contract returns, changing nothing.

        Raises:
            CallReverted: The contract refused.
            ChainUnavailable: No provider answers.
        """
        message = {"to": hex_data(to), "data": hex_data(data)}
        if sender is not None:
            message["from"] = hex_data(sender)
        if gas_limit is not None:
            message["gas"] = hex(gas_limit)
        try:
            answer = await self._providers.call("eth_call", [message, state(at)])
        except RpcError as error:
            raise CallReverted(error.data, error.message, burnt_gas=error.is_halt) from error
        return _read(from_hex, answer)

    async def storage(self, address: Address, slot: int, at: At) -> bytes:
        """The 32 bytes of one storage slot of a contract."""
        word = await self._providers.call(
            "eth_getStorageAt", [hex_data(address), hex(slot), state(at)]
        )
        return _read(from_hex, word)

    async def call_many(
        self, calls: Sequence[tuple[Address, bytes]], at: At
    ) -> Sequence[bytes | CallReverted]:
        """What each contract returns in one state, all from one provider, changing nothing.

        Returns:
            In the order of `calls`; a `CallReverted` stands for its own call.

        Raises:
            ChainUnavailable: No provider answers all of them.
        """
        answers = await self._providers.batch(
            [
                ("eth_call", [{"to": hex_data(to), "data": hex_data(data)}, state(at)])
                for to, data in calls
            ]
        )
        return [_returned(answer) for answer in answers]

    async def event_topics(
        self, contract: Address, kinds: Sequence[bytes], first: int, last: int
    ) -> Sequence[Sequence[bytes]]:
        """Per event of these kinds and blocks its topics, in the chain's order."""
        asked = {
            "address": hex_data(contract),
            "topics": [[hex_data(each) for each in kinds]],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        return _read(_topics, await self._providers.call("eth_getLogs", [asked]))

    async def fee_history(self, blocks: int, percentile: int) -> FeeHistory:
        """Base fee of the next block and tips of the newest `blocks` blocks.

        Where no provider has eth_feeHistory, the tip is what eth_maxPriorityFeePerGas says, or
        else 1 gwei, and the base fee the most that the next block can have.
        """
        try:
            answer = await self._providers.call(
                "eth_feeHistory", [hex(blocks), "latest", [percentile]]
            )
        except ProvidersRefuse:
            answer = None
        history = _fee_history(answer)
        if history is not None and history.tips_wei:
            return history
        if history is None:
            next_base_fee_wei = _next_base_fee_max_wei((await self.head()).base_fee_wei)
        else:
            next_base_fee_wei = history.next_base_fee_wei
        try:
            tip_wei = _read(quantity, await self._providers.call("eth_maxPriorityFeePerGas"))
        except ProvidersRefuse:
            return FeeHistory(next_base_fee_wei, [DEFAULT_TIP_WEI], "default")
        return FeeHistory(next_base_fee_wei, [tip_wei], "max_priority_fee")

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        """Send each to every provider, in order, once. Never raises: an absent answer is one.

        Also to those that are not read from just now: an answer may come. Not to those of
        another chain.
        """
        per_provider = await self._providers.each(
            lambda provider, patience_s: self._send(provider, raw, patience_s)
        )
        return [[answers[n] for answers in per_provider] for n in range(len(raw))]

    async def _send(
        self, provider: JsonRpc, raw: Sequence[bytes], patience_s: float
    ) -> list[SendAnswer]:
        """One after another, so that nonces arrive in order; silence ends it for this provider."""
        answers: list[SendAnswer] = []
        for each in raw:
            try:
                result = await provider.call(
                    "eth_sendRawTransaction", [hex_data(each)], timeout_s=patience_s
                )
            except RpcError as error:
                result = error
            except NoAnswer as error:
                self._providers.sent(provider, taken=False)
                lost = SendAnswer(provider.name, None, None, str(error), answered=False)
                return answers + [lost] * (len(raw) - len(answers))
            answer = _send_answer(provider.name, result)
            is_other = answer.tx_hash not in (None, keccak(each))
            if is_other:
                _log.error("provider answers with another hash", provider=provider.name)
            self._providers.sent(provider, taken=not is_other)
            answers.append(answer)
        return answers

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt | None]:
        """Per hash its receipt; None proves nothing."""
        found = await self._providers.batch(
            [("eth_getTransactionReceipt", [hex_data(tx_hash)]) for tx_hash in tx_hashes]
        )
        return [_read(_receipt, each) for each in found]


def _returned(answer: Any) -> bytes | CallReverted:
    """What one call of a batch came to."""
    if isinstance(answer, RpcError):
        if not answer.is_revert:
            raise ChainUnavailable(f"the chain answers a read with {answer}") from answer
        return CallReverted(answer.data, answer.message, burnt_gas=answer.is_halt)
    try:
        return from_hex(answer)
    except UNREADABLE as error:
        raise ChainUnavailable("the chain answers a call with something else than data") from error


def _send_answer(provider: str, result: Any) -> SendAnswer:
    if isinstance(result, RpcError):
        return SendAnswer(provider, None, result.code, result.message)
    if isinstance(result, str) and _HASH.fullmatch(result):
        return SendAnswer(provider, TxHash(from_hex(result)))
    return SendAnswer(provider, None, None, f"no hash but {result!r}"[:200])


def _receipt(result: Any) -> Receipt | None:
    if not isinstance(result, Mapping) or result.get("blockHash") is None:
        return None  # an error of one call of the batch is as silent as null
    return Receipt(
        tx_hash=TxHash(from_hex(result["transactionHash"])),
        block_hash=BlockHash(from_hex(result["blockHash"])),
        block_number=quantity(result["blockNumber"]),
        succeeded=quantity(result["status"]) == 1,
        gas_used=quantity(result["gasUsed"]),
        effective_gas_price_wei=quantity(result["effectiveGasPrice"]),
    )


def _topics(logs: Any) -> Sequence[Sequence[bytes]]:
    ordered = sorted(
        logs, key=lambda log: (quantity(log["blockNumber"]), quantity(log["logIndex"]))
    )
    return [[from_hex(topic) for topic in log["topics"]] for log in ordered]


def _fee_history(answer: Any) -> FeeHistory | None:
    """None: it is not the answer of eth_feeHistory."""
    try:
        rewards = answer.get("reward") or ()
        return FeeHistory(
            next_base_fee_wei=quantity(answer["baseFeePerGas"][-1]),
            tips_wei=[quantity(each[0]) for each in rewards if each],
        )
    except UNREADABLE:
        return None


def _next_base_fee_max_wei(base_fee_wei: int) -> int:
    """The most that the base fee can be one block later: an eighth more (EIP-1559), rounded up."""
    return -(-base_fee_wei * 9 // 8)


def _read(parse: Callable[[Any], _Value], answer: Any) -> _Value:
    """An answer as a value; `ChainUnavailable` if it is none, so that nobody acts on it."""
    try:
        return parse(answer)
    except UNREADABLE as error:
        raise ChainUnavailable(
            f"the chain gives an answer that cannot be read ({type(error).__name__})"
        ) from error


def block_ref(block: Mapping[str, Any]) -> BlockRef:
    """A block of `eth_getBlockBy...`; chains without EIP-1559 have a base fee of 0."""
    return BlockRef(
        number=quantity(block["number"]),
        hash=BlockHash(from_hex(block["hash"])),
        parent_hash=BlockHash(from_hex(block["parentHash"])),
        timestamp_s=quantity(block["timestamp"]),
        base_fee_wei=quantity(block.get("baseFeePerGas", "0x0")),
        gas_limit=quantity(block["gasLimit"]),
    )


def state(at: At) -> object:
    """The parameter of a state read: a tag, or a block hash that must be canonical (EIP-1898)."""
    if isinstance(at, str):
        return at
    return {"blockHash": hex_data(at), "requireCanonical": True}


def quantity(text: str) -> int:
    """A JSON-RPC quantity."""
    return int(text, 16)


def hex_data(data: bytes) -> str:
    """JSON-RPC data."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """Bytes of JSON-RPC data."""
    return bytes.fromhex(text[2:])
