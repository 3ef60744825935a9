"""The chain as the settlement job sees it: `node.core.ports.Chain` over JSON-RPC providers.

Reads fail over from one provider to the next; sends go to all of them, once, without a retry.
The mirror's reads are in `adapters.evm.reader`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.crypto import keccak

from adapters.evm.errors import NoAnswer, RpcError
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


class EvmChain:
    """See `node.core.ports.chain.Chain`."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    async def chain_id(self) -> int:
        """EIP-155 number, asked now."""
        return quantity(await self._providers.call("eth_chainId"))

    async def head(self) -> BlockRef:
        """The newest block."""
        block = await self._providers.call("eth_getBlockByNumber", ["latest", False])
        if block is None:
            raise ChainUnavailable("the provider has no newest block")
        return block_ref(block)

    async def block_by_number(self, number: int) -> BlockRef | None:
        """The canonical block of that number; None: not there yet."""
        block = await self._providers.call("eth_getBlockByNumber", [hex(number), False])
        return None if block is None else block_ref(block)

    async def nonce(self, address: Address, at: At) -> int:
        """How many transactions the account has sent at that state."""
        return quantity(
            await self._providers.call("eth_getTransactionCount", [hex_data(address), state(at)])
        )

    async def native_balance(self, address: Address, at: At) -> int:
        """Wei the account holds at that state."""
        return quantity(
            await self._providers.call("eth_getBalance", [hex_data(address), state(at)])
        )

    async def code_hash(self, address: Address, at: At) -> bytes:
        """Keccak-256 of the account's code (of nothing where there is none)."""
        code = await self._providers.call("eth_getCode", [hex_data(address), state(at)])
        return keccak(from_hex(code))

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
            return from_hex(await self._providers.call("eth_call", [message, state(at)]))
        except RpcError as error:
            raise CallReverted(error.data, error.message) from error

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

    async def fee_history(self, blocks: int, percentile: int) -> FeeHistory:
        """Base fee of the next block and tips of the newest `blocks` blocks."""
        history = await self._providers.call(
            "eth_feeHistory", [hex(blocks), "latest", [percentile]]
        )
        return FeeHistory(
            next_base_fee_wei=quantity(history["baseFeePerGas"][-1]),
            tips_wei=[quantity(rewards[0]) for rewards in history.get("reward") or () if rewards],
        )

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        """Send each to every provider, in order, once. Never raises: an absent answer is one."""
        per_provider = await asyncio.gather(
            *(_send(provider, raw) for provider in self._providers.all)
        )
        return list(zip(*per_provider, strict=True))

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt | None]:
        """Per hash its receipt; None proves nothing."""
        found = await self._providers.batch(
            [("eth_getTransactionReceipt", [hex_data(tx_hash)]) for tx_hash in tx_hashes]
        )
        return [_receipt(each) for each in found]


async def _send(provider: JsonRpc, raw: Sequence[bytes]) -> list[SendAnswer]:
    """One after another, so that nonces arrive in order; silence ends it for this provider."""
    answers: list[SendAnswer] = []
    for each in raw:
        try:
            result = await provider.call("eth_sendRawTransaction", [hex_data(each)])
        except RpcError as error:
            result = error
        except NoAnswer as error:
            lost = SendAnswer(provider.name, None, None, str(error), answered=False)
            return answers + [lost] * (len(raw) - len(answers))
        answers.append(_send_answer(provider.name, result))
    return answers


def _returned(answer: Any) -> bytes | CallReverted:
    """What one call of a batch came to."""
    if isinstance(answer, RpcError):
        if not answer.is_revert:
            raise ChainUnavailable(f"the chain answers a read with {answer}") from answer
        return CallReverted(answer.data, answer.message)
    try:
        return from_hex(answer)
    except (LookupError, TypeError, ValueError) as error:
        raise ChainUnavailable("the chain answers a call with something else than data") from error


def _send_answer(provider: str, result: Any) -> SendAnswer:
    if isinstance(result, RpcError):
        return SendAnswer(provider, None, result.code, result.message)
    if isinstance(result, str) and result.startswith("0x"):
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
