"""The model chain as the contract's port and the mirror's reader; keys and locks of workers."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final

from node.core.adoption.facts import MinedTransaction
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, BlockPoint, Facts, Witness
from node.core.ports.chain import (
    Receipt,
    SendAnswer,
    SignedTransaction,
    UnsignedTransaction,
)
from node.core.ports.mirror import Contradiction
from node.core.ports.settlement import ContractFacts, Refusal
from node.core.settlement import settle_records
from node.core.units import Address, BlockHash, TxHash
from tests.simulation.chain import CONTRACT, TOKEN, ModelChain, refusal, whole_revert

CAP: Final = 10**15


@dataclass(frozen=True, slots=True)
class ModelContract:
    """See `node.core.ports.settlement.SettlementContract`."""

    chain: ModelChain
    address: Address = CONTRACT
    token: Address = TOKEN

    async def facts(
        self, block: BlockHash, numbers: Sequence[int], operator: Address | None = None
    ) -> ContractFacts:
        world = self.chain.at(block)
        used = world.paid | world.voided
        return ContractFacts(
            world.is_paused,
            world.tokens[CONTRACT],
            [number in used for number in numbers],
            token_paused=world.is_token_paused,
            operator_left=CAP,
            contract_left=CAP,
            operator_cap=CAP,
            contract_cap=CAP,
        )

    async def token_code(self, block: BlockHash) -> bytes:
        return b"code"

    async def simulate(
        self, block: BlockHash, lane: Address, calldata: bytes, gas_limit: int
    ) -> bytes:
        world = self.chain.at(block)
        records = settle_records(calldata)
        reverted = whole_revert(world, sum(each.amount for each in records))
        if reverted is not None:
            raise reverted
        used = world.paid | world.voided
        return bytes(
            2 if each.number in used else refusal(world, each.beneficiary) is not None
            for each in records
        )

    async def refusal(self, block: BlockHash, beneficiary: Address, amount: int) -> Refusal | None:
        reason = refusal(self.chain.at(block), beneficiary)
        return None if reason is None else Refusal(reason)

    async def fault(self, block: BlockHash) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class ModelReader:
    """See `node.core.ports.mirror.ChainReader`."""

    chain: ModelChain

    def pinned(self) -> AbstractContextManager[None]:
        return nullcontext()

    def other_provider(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def head(self) -> BlockHeader:
        return self.chain.blocks[-1].header

    async def finalized_number(self) -> int | None:
        return None

    async def hashes_at(self, number: int) -> Mapping[str, BlockHash]:
        """There is one provider."""
        if number >= len(self.chain.blocks):
            return {}
        return {"model": self.chain.blocks[number].header.hash}

    async def witnesses(self, number: int) -> Mapping[str, Witness]:
        newest = len(self.chain.blocks) - 1
        hashes = await self.hashes_at(number)
        return {"model": Witness(hashes.get("model"), newest)}

    async def headers(self, first: int, last: int) -> Sequence[BlockHeader]:
        return [block.header for block in self.chain.blocks[max(0, first) : last + 1]]

    async def facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        by_hash = {block.header.hash: block.facts for block in self.chain.blocks}
        return [by_hash[each.hash] for each in headers]

    async def facts_by_range(
        self, first: int, last: int, also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        return [b.facts for b in self.chain.blocks[first : last + 1] if b.facts.log_count]

    async def facts_by_receipts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        return await self.facts(headers, also)

    def may_have_facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[bool]:
        return [False for _ in headers]

    def may_have_any(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[bool]:
        return [True for _ in headers]

    def doubt(
        self, detail: str, *, block: BlockPoint | None = None, log_index: int | None = None
    ) -> Contradiction:
        return Contradiction(detail, provider="model", block=block, log_index=log_index)

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt]:
        return await self.chain.receipts(tx_hashes)

    async def blocks_of(self, tx_hashes: Sequence[TxHash]) -> Mapping[TxHash, BlockHash]:
        mined = {r.tx_hash: r.block_hash for block in self.chain.blocks for r in block.receipts}
        return {each: mined[each] for each in tx_hashes if each in mined}

    async def receipts_and_facts(
        self, tx_hashes: Sequence[TxHash], also: Collection[Address] = ()
    ) -> Sequence[tuple[Receipt, Facts]]:
        found: list[tuple[Receipt, Facts]] = []
        for receipt in await self.receipts(tx_hashes):
            block = self.chain.blocks[receipt.block_number].facts
            found.append((receipt, block.of_transaction(receipt.tx_hash)))
        return found

    async def has_code(self, address: Address, block: BlockHash) -> bool:
        return True

    async def token_balances(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        world = self.chain.at(block)
        return [world.tokens.get(each, 0) for each in addresses]

    async def native_balances(
        self, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        world = self.chain.at(block)
        return [world.wei.get(each, 0) for each in addresses]

    async def nonces_now(self, addresses: Sequence[Address]) -> Sequence[int]:
        return [self.chain.at("pending").nonces.get(each, 0) for each in addresses]

    async def sent_by(
        self, addresses: Sequence[Address], blocks: Sequence[BlockPoint]
    ) -> Sequence[MinedTransaction]:
        raise ChainUnavailable("the model has the state of every block")

    async def agreed_nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """The same: there is one provider."""
        return await self.nonces(addresses, block)

    async def agreed_native_balances(
        self, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        """As `native_balances`: there is one provider."""
        return await self.native_balances(addresses, block)

    async def nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        world = self.chain.at(block)
        return [world.nonces.get(each, 0) for each in addresses]


@dataclass(frozen=True, slots=True)
class ModelSigner:
    """See `node.core.ports.chain.Signer`."""

    chain: ModelChain
    address: Address

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        return self.chain.sign(self.address, transaction)


@dataclass(frozen=True, slots=True)
class ModelTransactions:
    """See `node.core.ports.chain.TransactionReader`."""

    chain: ModelChain

    def decode(self, raw: bytes) -> tuple[Address, TxHash, UnsignedTransaction]:
        signed = self.chain.signed[raw]
        return signed.sender, signed.hash, signed.content


@dataclass(slots=True)
class ModelLocks:
    """Who holds which lane's lock, over all workers."""

    held: dict[int, object] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class ModelLock:
    """See `node.core.ports.settlement.LaneLock`: of one worker."""

    locks: ModelLocks

    async def hold(self, lane_id: int) -> bool:
        return self.locks.held.setdefault(lane_id, self) is self

    async def release(self) -> None:
        for lane_id, holder in list(self.locks.held.items()):
            if holder is self:
                del self.locks.held[lane_id]


@dataclass(slots=True)
class Network:
    """The way to the chain, on which sends and answers may be lost.

    Attributes:
        arrives, is_heard: Whether the next sends reach the pool, and their answers the node.
    """

    chain: ModelChain
    arrives: bool = True
    is_heard: bool = True

    def pinned(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __getattr__(self, name: str) -> object:
        return getattr(self.chain, name)

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        lost = SendAnswer("model", None, None, "ReadTimeout", answered=False)
        answers = [[self.chain.accept(each)] if self.arrives else [lost] for each in raw]
        return answers if self.is_heard else [[lost] for _ in raw]
