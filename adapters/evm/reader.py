"""The mirror's reads over JSON-RPC, with the cross-checks that make an answer worth something.

Three ways to the same facts: logs by block hash (the live way), logs by number range, and all
receipts of a block. A log that names another block, a list that lacks what the receipts of the
block have, receipts that are not those of the block's transactions: each is `ChainUnavailable`, so
the mirror waits instead of believing. Sends are in `client.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from eth_utils.crypto import keccak

from adapters.evm.client import from_hex, hex_data, quantity, state
from adapters.evm.decode import (
    SETTLEMENT_TOPICS,
    TRANSFER_TOPIC,
    RawLog,
    address_topic,
    block_of,
    settlement_log,
    token_log,
)
from adapters.evm.errors import NoAnswer, RpcError
from adapters.evm.raw import raw_of
from adapters.evm.rpc import Call, Providers
from node.core.adoption.facts import MinedTransaction
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, BlockPoint, Facts, Watch, pair_payouts
from node.core.ports.chain import Receipt
from node.core.submission import Fees
from node.core.units import Address, BlockHash, TxHash

_BALANCE_OF: Final = keccak(text="balanceOf(address)")[:4]
_BLOOM_BITS: Final = 2048
_CALLS_PER_BATCH: Final = 100
_WHOLE_BLOCKS_PER_BATCH: Final = 8  # some 300 KB each on a busy chain


class EvmReader:
    """See `node.core.ports.mirror.ChainReader`."""

    def __init__(self, providers: Providers, watch: Watch) -> None:
        self._providers = providers
        self._watch = watch
        own = [address_topic(address) for address in sorted(watch.addresses)]
        self._filters: Sequence[Mapping[str, object]] = (
            {"address": hex_data(watch.contract), "topics": [list(SETTLEMENT_TOPICS)]},
            {"address": hex_data(watch.token), "topics": [TRANSFER_TOPIC, own]},
            {"address": hex_data(watch.token), "topics": [TRANSFER_TOPIC, None, own]},
        )
        self._contract_bits = _bloom_bits(watch.contract)
        self._settlement_bits = [_bloom_bits(from_hex(topic)) for topic in SETTLEMENT_TOPICS]
        self._token_bits = _bloom_bits(watch.token) | _bloom_bits(from_hex(TRANSFER_TOPIC))
        self._own_bits = [_bloom_bits(from_hex(topic)) for topic in own]

    async def head(self) -> BlockHeader:
        """The newest block."""
        block = await self._ask([("eth_getBlockByNumber", ["latest", False])])
        if block[0] is None:
            raise ChainUnavailable("the provider has no newest block")
        return _header(block[0])

    async def finalized_number(self) -> int | None:
        """Number of the block tagged `finalized`; None: the chain has none."""
        answers = await self._providers.batch([("eth_getBlockByNumber", ["finalized", False])])
        block = answers[0]
        return None if block is None or isinstance(block, RpcError) else quantity(block["number"])

    async def headers(self, first: int, last: int) -> Sequence[BlockHeader]:
        """Canonical headers of these numbers, ascending, as far as the provider has them."""
        blocks = await self._ask(
            [("eth_getBlockByNumber", [hex(number), False]) for number in range(first, last + 1)]
        )
        found: list[BlockHeader] = []
        for block in blocks:
            if block is None:
                break
            found.append(_header(block))
        return found

    async def facts(self, headers: Sequence[BlockHeader]) -> Sequence[Facts]:
        """Token logs and settlement events of these blocks, read by hash.

        Where a block may have any, its receipts must say the same: providers have left logs out of
        a list, and an answer that lacks one looks like any other.
        """
        answers = await self._ask(
            [
                ("eth_getLogs", [{"blockHash": hex_data(header.hash), **each}])
                for header in headers
                for each in self._filters
            ]
        )
        count = len(self._filters)
        found = [
            self._facts(header.point, answers[count * n : count * (n + 1)])
            for n, header in enumerate(headers)
        ]
        compared = [
            (header, each)
            for header, each in zip(headers, found, strict=True)
            if each.log_count or self._may_have_facts(header)
        ]
        for start in range(0, len(compared), _WHOLE_BLOCKS_PER_BATCH):
            await self._compare(compared[start : start + _WHOLE_BLOCKS_PER_BATCH])
        return found

    async def facts_by_range(self, first: int, last: int) -> Sequence[Facts]:
        """The same by number range, another method; only for final blocks. Blocks with logs."""
        span = {"fromBlock": hex(first), "toBlock": hex(last)}
        logs = await self._ask([("eth_getLogs", [{**span, **each}]) for each in self._filters])
        by_block = sorted(
            (each for part in logs for each in part),
            key=lambda log: (quantity(log["blockNumber"]), log["blockHash"]),
        )
        return [
            self._facts(BlockPoint(number, BlockHash(from_hex(hash_))), [list(group)])
            for (number, hash_), group in groupby(
                by_block, key=lambda log: (quantity(log["blockNumber"]), log["blockHash"])
            )
        ]

    async def facts_by_receipts(self, headers: Sequence[BlockHeader]) -> Sequence[Facts]:
        """The same out of all receipts of each block, a third method; counts are checked."""
        calls: list[Call] = [("eth_getBlockReceipts", [hex_data(each.hash)]) for each in headers]
        try:
            answers = await self._ask(calls)
        except ChainUnavailable as error:
            if not isinstance(error.__cause__, RpcError):
                raise
            answers = [await self._one_by_one(each) for each in headers]
        return [
            self._of_receipts(header, receipts)
            for header, receipts in zip(headers, answers, strict=True)
        ]

    async def _one_by_one(self, header: BlockHeader) -> list[Any]:
        """Receipts of a block of a provider that has no method for all, or no room for them."""
        return await self._ask(
            [("eth_getTransactionReceipt", [hex_data(each)]) for each in header.tx_hashes]
        )

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt]:
        """Receipts of transactions that are in a block; all of them or an error."""
        answers = await self._ask(
            [("eth_getTransactionReceipt", [hex_data(each)]) for each in tx_hashes]
        )
        return [_receipt(answer) for answer in answers]

    async def has_code(self, address: Address, block: BlockHash) -> bool:
        """Whether a contract is at `address` in that block's state."""
        code = (await self._ask([("eth_getCode", [hex_data(address), state(block)])]))[0]
        return len(from_hex(code)) > 0

    async def token_balances(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """`balanceOf` of each, token units, in that block's state."""
        token = hex_data(self._watch.token)
        calls: list[Call] = [
            (
                "eth_call",
                [
                    {"to": token, "data": hex_data(_BALANCE_OF + address.rjust(32, b"\0"))},
                    state(block),
                ],
            )
            for address in addresses
        ]
        return [_word(answer) for answer in await self._ask(calls)]

    async def native_balances(
        self, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        """Wei of each, in that block's state."""
        return await self._account_reads("eth_getBalance", addresses, block)

    async def nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """Transactions sent by each, in that block's state."""
        return await self._account_reads("eth_getTransactionCount", addresses, block)

    async def agreed_nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """The same, asked of all providers; an error where they differ."""
        calls = _account_calls("eth_getTransactionCount", addresses, block)
        told: dict[tuple[int, ...], list[str]] = {}
        for name, answers in (await self._providers.batch_of_each(calls)).items():
            with suppress(TypeError, ValueError):  # else it is no number
                told.setdefault(tuple(map(quantity, answers)), []).append(name)
        if not told:
            raise ChainUnavailable("no provider tells the nonces of the node's accounts")
        if len(told) > 1:
            sides = " against ".join(" and ".join(each) for each in told.values())
            raise ChainUnavailable(
                f"providers differ about the nonces at block 0x{block.hex()}: {sides}"
            )
        return list(next(iter(told)))

    async def nonces_now(self, addresses: Sequence[Address]) -> Sequence[int]:
        """Transactions of each that the newest block or the pool has; neither counts lower."""
        answers = await self._ask(
            [
                ("eth_getTransactionCount", [hex_data(address), tag])
                for address in addresses
                for tag in ("latest", "pending")
            ]
        )
        counts = [quantity(answer) for answer in answers]
        return [max(pair) for pair in zip(counts[::2], counts[1::2], strict=True)]

    async def sent_by(
        self, addresses: Sequence[Address], blocks: Sequence[BlockPoint]
    ) -> Sequence[MinedTransaction]:
        """Transactions of these accounts in these blocks, read whole; by block and place."""
        own = {hex_data(address) for address in addresses}
        sent: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        for start in range(0, len(blocks), _WHOLE_BLOCKS_PER_BATCH):
            part = blocks[start : start + _WHOLE_BLOCKS_PER_BATCH]
            answers = await self._ask(
                [("eth_getBlockByHash", [hex_data(each.hash), True]) for each in part]
            )
            for point, block in zip(part, answers, strict=True):
                if block is None or block["hash"] != hex_data(point.hash):
                    raise ChainUnavailable(f"the provider has not block {point.number} as it was")
                sent += [
                    (block, each) for each in block["transactions"] if each["from"].lower() in own
                ]
        receipts = await self.receipts([TxHash(from_hex(each["hash"])) for _, each in sent])
        return [
            _mined(block, told, receipt)
            for (block, told), receipt in zip(sent, receipts, strict=True)
        ]

    async def _account_reads(
        self, method: str, addresses: Sequence[Address], block: BlockHash
    ) -> list[int]:
        answers = await self._ask(_account_calls(method, addresses, block))
        return [quantity(answer) for answer in answers]

    async def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """Results of all calls; an error of one is an error of all."""
        results: list[Any] = []
        for start in range(0, len(calls), _CALLS_PER_BATCH):
            part = await self._providers.batch(calls[start : start + _CALLS_PER_BATCH])
            for answer in part:
                if isinstance(answer, RpcError):
                    raise ChainUnavailable(f"the chain answers a read with {answer}") from answer
            results += part
        return results

    def _facts(self, block: BlockPoint, parts: Sequence[Sequence[RawLog]]) -> Facts:
        """Facts of one block out of several answers; a log that is in two counts once."""
        watch = self._watch
        token, contract = hex_data(watch.token), hex_data(watch.contract)
        unique: dict[int, RawLog] = {}
        try:
            for log in (log for part in parts for log in part):
                if block_of(log) != block.hash:
                    raise ChainUnavailable(f"block {block.number}: a log of another block")
                unique[quantity(log["logIndex"])] = log
            logs = [unique[index] for index in sorted(unique)]
            transfers = [token_log(log) for log in logs if log["address"] == token]
            events = [settlement_log(log) for log in logs if log["address"] == contract]
        except NoAnswer as error:
            raise ChainUnavailable(f"block {block.number}: {error}") from error
        own = [
            log
            for log in transfers
            if log is not None
            if log.from_address in watch.addresses or log.to_address in watch.addresses
        ]
        paired = pair_payouts(own, [log for log in events if log is not None], watch.contract)
        return Facts(block, own, paired)

    def _may_have_facts(self, header: BlockHeader) -> bool:
        """Whether the block's bloom filter speaks of logs that the mirror is to have.

        False positives are normal; they cost one more read.
        """
        bloom = int.from_bytes(header.logs_bloom)
        speaks_of_events = _all_in(self._contract_bits, bloom) and _any_in(
            self._settlement_bits, bloom
        )
        speaks_of_tokens = _all_in(self._token_bits, bloom) and _any_in(self._own_bits, bloom)
        return speaks_of_events or speaks_of_tokens

    async def _compare(self, found: Sequence[tuple[BlockHeader, Facts]]) -> None:
        """Nothing, if the receipts of each block say the same."""
        seen = await self.facts_by_receipts([header for header, _ in found])
        for (header, facts), others in zip(found, seen, strict=True):
            if facts != others:
                raise ChainUnavailable(
                    f"block {header.number}: the provider's logs are not those of its receipts"
                )

    def _of_receipts(self, header: BlockHeader, receipts: Sequence[Mapping[str, Any]]) -> Facts:
        hashes = [from_hex(each["transactionHash"]) for each in receipts or () if each]
        if hashes != list(header.tx_hashes):
            raise ChainUnavailable(
                f"block {header.number} has {len(header.tx_hashes)} transactions, the provider"
                f" gives {len(hashes)} receipts or others"
            )
        return self._facts(header.point, [receipt["logs"] for receipt in receipts])


def _account_calls(method: str, addresses: Sequence[Address], block: BlockHash) -> list[Call]:
    return [(method, [hex_data(address), state(block)]) for address in addresses]


def _header(block: Mapping[str, Any]) -> BlockHeader:
    return BlockHeader(
        number=quantity(block["number"]),
        hash=BlockHash(from_hex(block["hash"])),
        parent_hash=BlockHash(from_hex(block["parentHash"])),
        mined_at=datetime.fromtimestamp(quantity(block["timestamp"]), UTC),
        tx_hashes=tuple(TxHash(from_hex(each)) for each in block["transactions"]),
        logs_bloom=from_hex(block["logsBloom"]),
    )


def _receipt(answer: Mapping[str, Any] | None) -> Receipt:
    if answer is None or answer.get("blockHash") is None:
        raise ChainUnavailable("the provider has no receipt of a transaction that is in a block")
    return Receipt(
        tx_hash=TxHash(from_hex(answer["transactionHash"])),
        block_hash=BlockHash(from_hex(answer["blockHash"])),
        block_number=quantity(answer["blockNumber"]),
        succeeded=quantity(answer["status"]) == 1,
        gas_used=quantity(answer["gasUsed"]),
        effective_gas_price_wei=quantity(answer["effectiveGasPrice"]),
    )


def _mined(block: Mapping[str, Any], told: Mapping[str, Any], receipt: Receipt) -> MinedTransaction:
    """A transaction of a block read whole, with its receipt."""
    try:
        raw = raw_of(told)
    except NoAnswer as error:
        raise ChainUnavailable(str(error)) from error
    point = BlockPoint(quantity(block["number"]), BlockHash(from_hex(block["hash"])))
    if receipt.block_hash != point.hash:
        raise ChainUnavailable("a transaction changed its block while it was read")
    fee = told.get("maxFeePerGas") or told["gasPrice"]
    tip = told.get("maxPriorityFeePerGas") or fee
    return MinedTransaction(
        tx_hash=receipt.tx_hash,
        sender=Address(from_hex(told["from"])),
        nonce=quantity(told["nonce"]),
        to=Address(from_hex(told["to"])) if told["to"] else None,
        value_wei=quantity(told["value"]),
        data=from_hex(told["input"]),
        gas_limit=quantity(told["gas"]),
        fees=Fees(quantity(fee), quantity(tip)),
        raw=raw,
        block=point,
        mined_at=datetime.fromtimestamp(quantity(block["timestamp"]), UTC),
        index=quantity(told["transactionIndex"]),
        succeeded=receipt.succeeded,
        gas_used=receipt.gas_used,
        gas_price_wei=receipt.effective_gas_price_wei,
    )


def _word(answer: str) -> int:
    raw = from_hex(answer)
    if len(raw) != 32:  # noqa: PLR2004 - an ABI word
        raise ChainUnavailable("the token does not answer balanceOf; is it a contract?")
    return int.from_bytes(raw)


def _bloom_bits(item: bytes) -> int:
    """The three bits of one address or topic in a logs bloom (yellow paper, 4.3.1)."""
    digest = keccak(item)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2]) % _BLOOM_BITS)
    return bits


def _all_in(bits: int, bloom: int) -> bool:
    return bits & bloom == bits


def _any_in(each_bits: Iterable[int], bloom: int) -> bool:
    return any(_all_in(bits, bloom) for bits in each_bits)
