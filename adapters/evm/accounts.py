"""What accounts have, and what they sent: the mirror's reads of state and of transactions.

State is read at a block by its hash, so an answer is about that block or an error. What money
depends on is asked of all providers: what one of them says alone can be a lie that nothing else
betrays. Blocks and their logs are in `adapters.evm.reader`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from eth_utils.crypto import keccak

from adapters.evm.answers import (
    amount_of,
    count_of,
    mined_of,
    receipt_of,
    tx_hash_of,
    word_of,
)
from adapters.evm.asking import CALLS_PER_BATCH, Asking
from adapters.evm.client import UNREADABLE, from_hex, hex_data, state
from adapters.evm.errors import Lacking
from adapters.evm.rpc import Call, Providers
from node.core.adoption.facts import MinedTransaction
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint
from node.core.ports.chain import Receipt
from node.core.units import Address, BlockHash, TxHash

WHOLE_BLOCKS_PER_BATCH: Final = 8
"""Blocks of one request that is answered with all that is in them: some 300 KB each."""

_BALANCE_OF: Final = keccak(text="balanceOf(address)")[:4]


class AccountReads(Asking):
    """The part of `node.core.ports.mirror.ChainReader` that is about accounts."""

    def __init__(self, providers: Providers, token: Address) -> None:
        super().__init__(providers)
        self._token = token

    async def has_code(self, address: Address, block: BlockHash) -> bool:
        """Whether a contract is at `address` in that block's state."""
        with self.pinned():
            (code,) = await self._ask([("eth_getCode", [hex_data(address), state(block)])])
            return len(self._parsed(from_hex, code)) > 0

    async def token_balances(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """`balanceOf` of each, token units, in that block's state."""
        token = hex_data(self._token)
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
        with self.pinned():
            return [self._parsed(word_of, answer) for answer in await self._ask(calls)]

    async def native_balances(
        self, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        """Wei of each, in that block's state."""
        with self.pinned():
            answers = await self._ask(_calls("eth_getBalance", addresses, block))
            return [self._parsed(amount_of, answer) for answer in answers]

    async def nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """Transactions sent by each, in that block's state."""
        with self.pinned():
            answers = await self._ask(_calls("eth_getTransactionCount", addresses, block))
            return [self._parsed(count_of, answer) for answer in answers]

    async def agreed_nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """The same, asked of all providers; an error where they differ."""
        return await self._agreed("eth_getTransactionCount", "nonces", addresses, block)

    async def agreed_native_balances(
        self, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        """Wei of each in that block's state, asked of all providers; an error where they differ."""
        return await self._agreed("eth_getBalance", "balances", addresses, block)

    async def _agreed(
        self, method: str, what: str, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        """What all say that have that block and its state, also those that are behind their peers.

        Else one that boasts of a far head would be the only one that is heard.
        """
        if not addresses:
            return []
        told: dict[tuple[int, ...], list[str]] = {}
        for name, answers in (await self._answers_of_each(method, addresses, block)).items():
            with suppress(*UNREADABLE):  # else it is no number
                told.setdefault(tuple(map(amount_of, answers)), []).append(name)
        if not told:
            raise ChainUnavailable(f"no provider tells the {what} of the node's accounts")
        if len(told) > 1:
            sides = " against ".join(" and ".join(each) for each in told.values())
            raise ChainUnavailable(
                f"providers differ about the {what} at block 0x{block.hex()}: {sides}"
            )
        return list(next(iter(told)))

    async def _answers_of_each(
        self, method: str, addresses: Sequence[Address], block: BlockHash
    ) -> Mapping[str, list[Any]]:
        """Name -> answers, of those that have the block, and an answer for every address."""
        known: Call = ("eth_getBlockByHash", [hex_data(block), False])
        calls, found = [known, *_calls(method, addresses, block)], dict[str, list[Any]]()
        for start in range(0, len(calls), CALLS_PER_BATCH):
            part = await self._providers.batch_of_each(calls[start : start + CALLS_PER_BATCH])
            for name, answers in part.items():
                found.setdefault(name, []).extend(answers)
        return {
            name: answers
            for name, (told, *answers) in found.items()
            if len(answers) == len(addresses) and _is_block(told, block)
        }

    async def nonces_now(self, addresses: Sequence[Address]) -> Sequence[int]:
        """Transactions of each that the newest block or the pool has; neither counts lower."""
        with self.pinned():
            answers = await self._ask(
                [
                    ("eth_getTransactionCount", [hex_data(address), tag])
                    for address in addresses
                    for tag in ("latest", "pending")
                ]
            )
            counts = [self._parsed(count_of, answer) for answer in answers]
        return [max(pair) for pair in zip(counts[::2], counts[1::2], strict=True)]

    async def sent_by(
        self, addresses: Sequence[Address], blocks: Sequence[BlockPoint]
    ) -> Sequence[MinedTransaction]:
        """Transactions of these accounts in these blocks, read whole; by block and place."""
        own = {hex_data(address) for address in addresses}
        sent: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        with self.pinned():
            for start in range(0, len(blocks), WHOLE_BLOCKS_PER_BATCH):
                part = blocks[start : start + WHOLE_BLOCKS_PER_BATCH]
                answers = await self._ask(
                    [("eth_getBlockByHash", [hex_data(each.hash), True]) for each in part]
                )
                for point, block in zip(part, answers, strict=True):
                    with self._believing(point):
                        sent += [
                            (block, each) for each in _sent(block, point) if each["from"] in own
                        ]
            with self._believing():
                hashes = [tx_hash_of(told["hash"]) for _, told in sent]
            receipts = await self.receipts(hashes)
            with self._believing():
                return [
                    mined_of(block, told, receipt)
                    for (block, told), receipt in zip(sent, receipts, strict=True)
                ]

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt]:
        """Receipts of transactions that are in a block; all of them or an error."""
        with self.pinned():
            answers = await self._tell_receipts(tx_hashes)
            return [
                self._receipt(tx_hash, answer)
                for tx_hash, answer in zip(tx_hashes, answers, strict=True)
            ]

    def _receipt(self, tx_hash: TxHash, answer: Any) -> Receipt:
        receipt = self._parsed(receipt_of, answer)
        if receipt.tx_hash != tx_hash:
            point = BlockPoint(receipt.block_number, receipt.block_hash)
            raise self._contradiction("the receipt of another transaction", point)
        return receipt

    async def _tell_receipts(self, tx_hashes: Sequence[TxHash]) -> list[Any]:
        return await self._ask(
            [("eth_getTransactionReceipt", [hex_data(each)]) for each in tx_hashes]
        )


def _sent(block: Mapping[str, Any] | None, point: BlockPoint) -> list[Mapping[str, Any]]:
    """Transactions of a block read whole, senders in lower case."""
    if block is None or block["hash"] != hex_data(point.hash):
        raise Lacking(f"the provider has not block {point.number} as it was")
    return [{**each, "from": each["from"].lower()} for each in block["transactions"]]


def _is_block(told: Any, block: BlockHash) -> bool:
    return isinstance(told, Mapping) and told.get("hash") == hex_data(block)


def _calls(method: str, addresses: Sequence[Address], block: BlockHash) -> list[Call]:
    return [(method, [hex_data(address), state(block)]) for address in addresses]
