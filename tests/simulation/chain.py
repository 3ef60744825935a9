"""A model of a chain with one token and one settlement contract, as the node's ports see it.

Blocks, states and pools are values in memory: thousands of histories a minute can be played. What
it does is what `TransferSettlement`, `TestUSD` and geth's pool do, as far as a node can tell; the
real ones are in the tests of every other folder.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from eth_utils.crypto import keccak

from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, Facts, SettlementKind, SettlementLog, TokenLog
from node.core.ports.chain import (
    At,
    BlockRef,
    CallReverted,
    FeeHistory,
    Receipt,
    SendAnswer,
    SignedTransaction,
    UnsignedTransaction,
)
from node.core.settlement import (
    SETTLE_SELECTOR,
    TRANSFER_SELECTOR,
    VOID_SELECTOR,
    settle_records,
)
from node.core.units import Address, BlockHash, TxHash

CHAIN_ID: Final = 31337
CONTRACT: Final = Address(b"\xc0" * 20)
TOKEN: Final = Address(b"\x70" * 20)
FLOAT: Final = 10**12
GAS_USED: Final = 50_000
BLOCK_S: Final = 1
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_DENIED: Final = bytes.fromhex("60919795") + bytes(12)
_TOKEN_PAUSED: Final = bytes.fromhex("e7792495")
_IS_PAUSED: Final = bytes.fromhex("1309a563")
_FLOAT_SHORT: Final = bytes.fromhex("b01e6460")


@dataclass(frozen=True, slots=True)
class World:
    """The state after a block."""

    nonces: dict[Address, int] = field(default_factory=dict)
    wei: dict[Address, int] = field(default_factory=dict)
    tokens: dict[Address, int] = field(default_factory=dict)
    paid: frozenset[int] = frozenset()
    voided: frozenset[int] = frozenset()
    denied: frozenset[Address] = frozenset()
    is_token_paused: bool = False
    is_paused: bool = False

    def copy(self) -> "World":
        return replace(self, nonces=dict(self.nonces), wei=dict(self.wei), tokens=dict(self.tokens))


@dataclass(frozen=True, slots=True)
class Block:
    """One block with what it did."""

    header: BlockHeader
    base_fee_wei: int
    receipts: tuple[Receipt, ...]
    facts: Facts
    after: World


@dataclass(frozen=True, slots=True)
class Pooled:
    """Bytes that were signed: what they say, and by whom."""

    raw: bytes
    sender: Address
    content: UnsignedTransaction

    @property
    def hash(self) -> TxHash:
        return TxHash(hashlib.sha256(self.raw).digest())


class ModelChain:
    """The chain through one provider. `lane_wei`: coin of each key at the start."""

    def __init__(self, keys: Sequence[Address], lane_wei: int = 10**21) -> None:
        self._salt = itertools.count()
        self.signed: dict[bytes, Pooled] = {}
        self.pool: dict[TxHash, Pooled] = {}
        self.base_fee_wei = 10**9
        self.now = BEGIN
        genesis = World(wei=dict.fromkeys(keys, lane_wei), tokens={CONTRACT: FLOAT})
        self.blocks: list[Block] = []
        self._append(genesis, ())

    # ------------------------------------------------------------------- what a test does to it

    def mine(self) -> None:
        """A block with everything of the pool that can be in it."""
        world, mined = self.blocks[-1].after.copy(), []
        progress = True
        while progress:
            progress = False
            for each in sorted(
                self.pool.values(), key=lambda p: -p.content.max_priority_fee_per_gas_wei
            ):
                content = each.content
                if (
                    content.nonce == world.nonces.get(each.sender, 0)
                    and content.max_fee_per_gas_wei >= self.base_fee_wei
                ):
                    mined.append(each)
                    world.nonces[each.sender] = content.nonce + 1
                    progress = True
                    break
        self._append(self.blocks[-1].after, mined)
        self._forget_stale()

    def reorg(self, depth: int) -> None:
        """Replace the newest blocks by as many empty ones; nothing returns to the pool."""
        depth = min(depth, len(self.blocks) - 1)
        del self.blocks[len(self.blocks) - depth :]
        for _ in range(depth):
            self._append(self.blocks[-1].after, ())

    def change(self, **changes: object) -> None:
        """A block in which others change the token or the contract."""
        self._append(replace(self.blocks[-1].after.copy(), **changes), ())  # type: ignore[arg-type]

    def set_base_fee(self, wei: int) -> None:
        """The base fee jumps; pools forget what no longer pays it."""
        self.base_fee_wei = wei
        self.pool = {
            tx_hash: each
            for tx_hash, each in self.pool.items()
            if each.content.max_fee_per_gas_wei >= wei
        }

    def drop(self) -> None:
        """Every pool forgets everything."""
        self.pool.clear()

    def sign(self, sender: Address, content: UnsignedTransaction) -> SignedTransaction:
        """Bytes that only this content has."""
        raw = repr((sender, content)).encode()
        pooled = Pooled(raw, sender, content)
        self.signed[raw] = pooled
        return SignedTransaction(raw, pooled.hash)

    def payouts(self) -> list[tuple[Address, int]]:
        """Everything the contract ever paid, on the canonical chain."""
        return [
            (log.to_address, log.amount)
            for block in self.blocks
            for log in block.facts.token_logs
            if log.from_address == CONTRACT
        ]

    # ------------------------------------------------------------------------- how a block is made

    def _append(self, before: World, mined: Sequence[Pooled]) -> None:
        world = before.copy()
        number = len(self.blocks)
        parent = self.blocks[-1].header.hash if self.blocks else BlockHash(bytes(32))
        salt = next(self._salt).to_bytes(8)
        block_hash = BlockHash(hashlib.sha256(parent + salt).digest())
        receipts: list[Receipt] = []
        logs: list[TokenLog | SettlementLog] = []
        for each in mined:
            price = min(
                each.content.max_fee_per_gas_wei,
                self.base_fee_wei + each.content.max_priority_fee_per_gas_wei,
            )
            world, new_logs, succeeded = execute(world, each, len(logs))
            logs += new_logs
            world.wei[each.sender] = world.wei.get(each.sender, 0) - GAS_USED * price
            world.nonces[each.sender] = each.content.nonce + 1
            receipts.append(Receipt(each.hash, block_hash, number, succeeded, GAS_USED, price))
        header = BlockHeader(
            number,
            block_hash,
            parent,
            self.now,
            tuple(each.hash for each in mined),
        )
        facts = Facts(
            header.point,
            [each for each in logs if isinstance(each, TokenLog)],
            [each for each in logs if isinstance(each, SettlementLog)],
        )
        self.blocks.append(Block(header, self.base_fee_wei, tuple(receipts), facts, world))

    def _forget_stale(self) -> None:
        nonces = self.blocks[-1].after.nonces
        self.pool = {
            tx_hash: each
            for tx_hash, each in self.pool.items()
            if each.content.nonce >= nonces.get(each.sender, 0)
        }

    # --------------------------------------------------------------------- node.core.ports.chain

    async def chain_id(self) -> int:
        return CHAIN_ID

    async def head(self) -> BlockRef:
        header = self.blocks[-1].header
        seconds = int(header.mined_at.timestamp())
        return BlockRef(
            header.number, header.hash, header.parent_hash, seconds, self.base_fee_wei, 30_000_000
        )

    def at(self, at: At) -> World:
        """The state a read is of."""
        if not isinstance(at, str):
            found = next((b for b in reversed(self.blocks) if b.header.hash == at), None)
            if found is None:
                raise ChainUnavailable("this block is not canonical")
            return found.after
        world = self.blocks[-1].after
        if at == "pending":
            world = world.copy()
            for each in sorted(self.pool.values(), key=lambda p: p.content.nonce):
                if each.content.nonce == world.nonces.get(each.sender, 0):
                    world.nonces[each.sender] = each.content.nonce + 1
        return world

    async def nonce(self, address: Address, at: At) -> int:
        return self.at(at).nonces.get(address, 0)

    async def native_balance(self, address: Address, at: At) -> int:
        return self.at(at).wei.get(address, 0)

    async def event_topics(
        self, contract: Address, kinds: Sequence[bytes], first: int, last: int
    ) -> Sequence[Sequence[bytes]]:
        raise ChainUnavailable("nobody pauses the model's contract by a transaction")

    async def code_hash(self, address: Address, at: At) -> bytes:
        return keccak(address if address in (CONTRACT, TOKEN) else b"")

    async def call(
        self,
        to: Address,
        data: bytes,
        at: At,
        *,
        sender: Address | None = None,
        gas_limit: int | None = None,
    ) -> bytes:
        raise NotImplementedError("the services of a lane ask the contract's port")

    async def fee_history(self, blocks: int, percentile: int) -> FeeHistory:
        return FeeHistory(next_base_fee_wei=self.base_fee_wei, tips_wei=[10**8])

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        return [[self.accept(each)] for each in raw]

    def accept(self, raw: bytes) -> SendAnswer:
        """What geth's pool says to these bytes."""
        sent = self.signed[raw]
        content = sent.content
        if sent.hash in self.pool:
            return _refused("already known")
        if content.nonce < self.blocks[-1].after.nonces.get(sent.sender, 0):
            return _refused("nonce too low")
        if content.max_fee_per_gas_wei < self.base_fee_wei:
            return _refused("max fee per gas less than block base fee")
        for other in list(self.pool.values()):
            if (other.sender, other.content.nonce) != (sent.sender, content.nonce):
                continue
            if not _replaces(content, other.content):
                return _refused("replacement transaction underpriced")
            del self.pool[other.hash]
        self.pool[sent.hash] = sent
        return SendAnswer("model", sent.hash)

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt]:
        """Of transactions that are in a block; for the mirror, which asks for no others."""
        found = {r.tx_hash: r for block in self.blocks for r in block.receipts}
        if any(each not in found for each in tx_hashes):
            raise ChainUnavailable("a receipt is missing")
        return [found[each] for each in tx_hashes]


def execute(
    world: World, tx: Pooled, first_index: int
) -> tuple[World, list[TokenLog | SettlementLog], bool]:
    """What a transaction does: the state after it, its logs, whether it succeeded."""
    content, index = tx.content, itertools.count(first_index)
    if content.to == TOKEN and content.data[:4] == TRANSFER_SELECTOR:
        to, amount = Address(content.data[16:36]), int.from_bytes(content.data[36:68])
        if world.is_token_paused or world.tokens.get(tx.sender, 0) < amount:
            return world, [], False
        world = _moved(world, tx.sender, to, amount)
        return world, [TokenLog(next(index), tx.hash, tx.sender, to, amount)], True
    if content.to != CONTRACT:
        after = world.copy()
        after.wei[tx.sender] = after.wei.get(tx.sender, 0) - content.value_wei
        after.wei[content.to] = after.wei.get(content.to, 0) + content.value_wei
        return after, [], True
    if content.data[:4] == VOID_SELECTOR:
        logs: list[TokenLog | SettlementLog] = []
        for number in _numbers(content.data):
            is_used = number in world.paid | world.voided
            kind = SettlementKind.SKIPPED if is_used else SettlementKind.VOIDED
            logs.append(SettlementLog(next(index), tx.hash, kind, number))
            if not is_used:
                world = replace(world, voided=world.voided | {number})
        return world, logs, True
    if content.data[:4] == SETTLE_SELECTOR:
        return _settle(world, tx, index)
    return world, [], False


def _settle(
    world: World, tx: Pooled, index: "itertools.count[int]"
) -> tuple[World, list[TokenLog | SettlementLog], bool]:
    records = settle_records(tx.content.data)
    if world.is_paused or sum(each.amount for each in records) > world.tokens[CONTRACT]:
        return world, [], False
    logs: list[TokenLog | SettlementLog] = []
    for each in records:
        if each.number in world.paid | world.voided:
            logs.append(SettlementLog(next(index), tx.hash, SettlementKind.SKIPPED, each.number))
            continue
        reason = refusal(world, each.beneficiary)
        if reason is not None:
            failed = SettlementLog(
                next(index), tx.hash, SettlementKind.FAILED, each.number, reason=reason
            )
            logs.append(failed)
            continue
        world = _moved(world, CONTRACT, each.beneficiary, each.amount)
        world = replace(world, paid=world.paid | {each.number})
        payout = TokenLog(next(index), tx.hash, CONTRACT, each.beneficiary, each.amount)
        settled = SettlementLog(
            next(index), tx.hash, SettlementKind.SETTLED, each.number, payout=payout
        )
        logs += [payout, settled]
    return world, logs, True


def refusal(world: World, beneficiary: Address) -> bytes | None:
    """What the token answers to a payment to this holder; None: it pays."""
    if world.is_token_paused:
        return _TOKEN_PAUSED
    return _DENIED + beneficiary if beneficiary in world.denied else None


def whole_revert(world: World, total: int) -> CallReverted | None:
    """Why `settle` of this sum reverts as a whole."""
    if world.is_paused:
        return CallReverted(_IS_PAUSED)
    if total > world.tokens[CONTRACT]:
        return CallReverted(_FLOAT_SHORT + bytes(64))
    return None


def _moved(world: World, source: Address, to: Address, amount: int) -> World:
    after = world.copy()
    after.tokens[source] -= amount
    after.tokens[to] = after.tokens.get(to, 0) + amount
    return after


def _numbers(data: bytes) -> list[int]:
    count = int.from_bytes(data[36:68])
    return [int.from_bytes(data[68 + 32 * at : 100 + 32 * at]) for at in range(count)]


def _refused(words: str) -> SendAnswer:
    return SendAnswer("model", None, -32000, words)


def _replaces(new: UnsignedTransaction, old: UnsignedTransaction) -> bool:
    """Geth's rule: both fees at least 110 % of the old ones, and above them."""
    pairs = (
        (new.max_fee_per_gas_wei, old.max_fee_per_gas_wei),
        (new.max_priority_fee_per_gas_wei, old.max_priority_fee_per_gas_wei),
    )
    return all(a >= b * 110 // 100 and a > b for a, b in pairs)
