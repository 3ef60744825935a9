"""What the mirror needs: a reader of chain facts, and its tables.

Reads are by block hash, so an answer is about one block or an error, never about whatever block
has that number now. Sends and fees are in `node.core.ports.chain`.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from node.core.adoption.facts import MinedTransaction
from node.core.errors import ChainUnavailable
from node.core.mirror import (
    BlockHeader,
    BlockPoint,
    Cause,
    Cursor,
    Facts,
    SettlementKind,
    TokenLog,
    Watch,
    Witness,
)
from node.core.ports.chain import Receipt
from node.core.transfers import State
from node.core.units import Address, BlockHash, TxHash
from node.core.watchlist import Notice, UndecodedLog


class Contradiction(ChainUnavailable):
    """A provider's answer contradicts itself or another of its answers: no better than none.

    Attributes:
        provider: Its name.
        block: The block it is about; None: of no one block.
        log_index: The log that one answer has and the other has not, where it is one.
    """

    def __init__(
        self,
        detail: str,
        *,
        provider: str,
        block: BlockPoint | None = None,
        log_index: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.provider = provider
        self.block = block
        self.log_index = log_index


class RangeTooLong(ChainUnavailable):
    """A provider refuses so many blocks or logs at once.

    Attributes:
        blocks_max: How many it allows, where its words say so; None: half is the next try.
    """

    def __init__(self, detail: str, blocks_max: int | None = None) -> None:
        super().__init__(detail)
        self.blocks_max = blocks_max


class ChainReader(Protocol):
    """Facts of one chain. Each method raises `ChainUnavailable`, as `Contradiction` where it can.

    `also` are addresses that are the node's besides those it always watches: deposit addresses.
    """

    def pinned(self) -> AbstractContextManager[None]:
        """While it lasts, every read of this task goes to one provider; see `Chain.pinned`."""
        ...

    def other_provider(self) -> AbstractContextManager[None]:
        """As `pinned`, to another provider than passes usually read from, if another is well."""
        ...

    async def head(self) -> BlockHeader:
        """The newest block."""
        ...

    async def finalized_number(self) -> int | None:
        """The lowest number that providers tell of the block tagged `finalized`; None: none has."""
        ...

    async def hashes_at(self, number: int) -> Mapping[str, BlockHash]:
        """Provider -> the hash of its canonical block of that number, of all that have one."""
        ...

    async def witnesses(self, number: int) -> Mapping[str, Witness]:
        """Provider -> what it says of that number, of all that answer, in one question to each."""
        ...

    async def headers(self, first: int, last: int) -> Sequence[BlockHeader]:
        """Canonical headers of these numbers, ascending and linked, as far as it has them."""
        ...

    async def facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        """What these blocks say, read by hash and compared with their receipts."""
        ...

    async def facts_by_range(
        self, first: int, last: int, also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        """The same by number range, another method; only for final blocks. Blocks with logs.

        Nothing is compared but what cannot be read. A provider that cannot answer for so many
        blocks, or whose list is as long as a known limit, is `RangeTooLong`; one that has not the
        block after `last` is not asked.
        """
        ...

    async def facts_by_receipts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        """The same out of all receipts of each block, a third method.

        Counts, order, the contiguity of log indexes and the block's bloom filter are checked.
        """
        ...

    def may_have_facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[bool]:
        """Whether each block's bloom filter speaks of what `facts` tells; False is certain.

        Nothing is asked. With many `also` only events of watched contracts are looked for: some
        address among so many is in every filter.
        """
        ...

    def may_have_any(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[bool]:
        """Whether each block's bloom filter allows any log of the node; False is certain.

        With many `also` as well: then every block in which the token moved may have one.
        """
        ...

    def doubt(
        self, detail: str, *, block: BlockPoint | None = None, log_index: int | None = None
    ) -> Contradiction:
        """Put the provider of this task in doubt; its contradiction, to be raised or told."""
        ...

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt]:
        """Receipts of transactions that are in a block; all of them or an error."""
        ...

    async def blocks_of(self, tx_hashes: Sequence[TxHash]) -> Mapping[TxHash, BlockHash]:
        """The block that each is in by its own account; those in none are left out."""
        ...

    async def receipts_and_facts(
        self, tx_hashes: Sequence[TxHash], also: Collection[Address] = ()
    ) -> Sequence[tuple[Receipt, Facts]]:
        """Receipts as `receipts` gives them, each with its own logs: see `Facts.of_transaction`."""
        ...

    async def has_code(self, address: Address, block: BlockHash) -> bool:
        """Whether a contract is at `address` in that block's state."""
        ...

    async def token_balances(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """`balanceOf` of each, token units, in that block's state."""
        ...

    async def native_balances(
        self, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        """Wei of each, in that block's state."""
        ...

    async def nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """Transactions sent by each, in that block's state."""
        ...

    async def agreed_nonces(self, addresses: Sequence[Address], block: BlockHash) -> Sequence[int]:
        """The same, asked of all providers; `ChainUnavailable` where they differ."""
        ...

    async def agreed_native_balances(
        self, addresses: Sequence[Address], block: BlockHash
    ) -> Sequence[int]:
        """`native_balances`, asked of all providers; `ChainUnavailable` where they differ."""
        ...

    async def nonces_now(self, addresses: Sequence[Address]) -> Sequence[int]:
        """Transactions of each that the newest block or the pool has; neither counts lower."""
        ...

    async def sent_by(
        self, addresses: Sequence[Address], blocks: Sequence[BlockPoint]
    ) -> Sequence[MinedTransaction]:
        """Transactions of these accounts in these blocks, read whole; by block and place.

        Their signed bytes are put together again, and hash and sender derived from them.
        """
        ...


@dataclass(frozen=True, slots=True)
class PayoutSeen:
    """A canonical Settled that is a transfer's own: number, beneficiary and amount agree."""

    transfer_id: UUID
    tx_hash: TxHash
    block_number: int
    block_hash: BlockHash


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """One settlement event on its way to final, beside the transfer with its number.

    Attributes:
        transfer_id: The transfer with this number of this contract; None: no such transfer.
        agrees: Of Settled: the transfer's beneficiary and amount are those paid, and the number
            is in a written batch of the node.
        differs: Of Settled: it paid another beneficiary or amount than the transfer's.
        slot_id: The node's slot whose transaction emitted it; None: a stranger's transaction.
        slot_is_its: Of Failed and Skipped: that slot has the number among its members.
        reason: Of Failed: first bytes of what the token answered.
    """

    block: BlockPoint
    log_index: int
    tx_hash: TxHash
    kind: SettlementKind
    payment_number: int
    payout_log_index: int | None
    amount: int | None
    transfer_id: UUID | None
    agrees: bool
    differs: bool
    slot_id: UUID | None
    slot_is_its: bool
    reason: bytes


@dataclass(frozen=True, slots=True)
class TokenLogRow:
    """One token log on its way to final.

    Attributes:
        movement_id: The treasury movement whose transaction emitted it, if amount and addresses
            agree.
        from_deposit: Whether it left a deposit address.
        to_deposit: Whether it came to one.
        from_factory: The contract that makes the deposit address that it left.
        to_contract: Whether it came to a settlement contract that the node has, or had.
    """

    block: BlockPoint
    log: TokenLog
    movement_id: UUID | None
    from_deposit: bool = False
    to_deposit: bool = False
    from_factory: Address | None = None
    to_contract: bool = False


@dataclass(frozen=True, slots=True)
class SlotRow:
    """One slot of the node, mined in a block on its way to final.

    Attributes:
        sender: The lane's address, which pays the gas.
        value_wei: What moved with it, if it succeeded.
        movement_id: The treasury movement it carries.
    """

    slot_id: UUID
    sender: Address
    nonce: int
    purpose: str
    to_address: Address
    value_wei: int
    block: BlockPoint
    tx_hash: TxHash
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    movement_id: UUID | None


@dataclass(frozen=True, slots=True)
class FinalCause:
    """What became of one token log at finality."""

    block_hash: BlockHash
    log_index: int
    cause: Cause
    ledger_sequence: int | None


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """One notice on its way to final."""

    block: BlockPoint
    notice: Notice


@dataclass(frozen=True, slots=True)
class StraySum:
    """All Transfers of one token that is not the node's, on their way to final together.

    Attributes:
        logs: How many there are.
        block, log_index, tx_hash: The first of them.
    """

    token: Address
    logs: int
    block: BlockPoint
    log_index: int
    tx_hash: TxHash


@dataclass(frozen=True, slots=True)
class UndecodedRow:
    """One log that cannot be read, on its way to final."""

    block: BlockPoint
    log: UndecodedLog


@dataclass(frozen=True, slots=True)
class WatchedRows:
    """What else becomes final, in chain order.

    Attributes:
        strays: By token, the ones with most logs first; at most a hundred.
        undecoded: At most a hundred; the others are in the table.
    """

    notices: Sequence[NoticeRow] = ()
    strays: Sequence[StraySum] = ()
    undecoded: Sequence[UndecodedRow] = ()


class MirrorRepository(Protocol):
    """The mirror's tables. All writes but `open` stand behind the cursor's fence."""

    async def cursor(self, chain_id: int) -> Cursor | None:
        """How far the mirror is; None: not opened yet."""
        ...

    async def open(
        self, chain_id: int, header: BlockHeader, holdings: Mapping[tuple[Address, str], int]
    ) -> bool:
        """Begin at this final block with these holdings; False when another worker did."""
        ...

    async def canonical(self, chain_id: int, first: int) -> Mapping[int, BlockHash]:
        """Number -> hash of canonical blocks from `first` on."""
        ...

    async def begin_blocks(self, chain_id: int, *, held: BlockHash) -> bool:
        """Wait while others store blocks; False when the head is not the block `held`.

        The cursor is not locked, so finality goes on meanwhile; `move_head` has the last word.
        """
        ...

    async def move_head(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        """The fence: move the head from the block `held`; False when it is not there any more.

        Nor when it would leave what is final: another mirror may have made that final since. Nor
        while the mirror stands still.
        """
        ...

    async def move_final(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        """The fence of finality: as `move_head`. Marks the blocks up to `to` as final."""
        ...

    async def saw_tag(self, chain_id: int, number: int) -> None:
        """The block tagged `finalized` has this number; a lower one than before changes nothing."""
        ...

    async def halt(self, chain_id: int, reason: str | None) -> None:
        """Stand still for this reason; None: go on."""
        ...

    async def add_blocks(
        self, watch: Watch, headers: Sequence[BlockHeader], facts: Sequence[Facts]
    ) -> None:
        """Store blocks and their logs; a block that was orphaned earlier is canonical again.

        Blocks without logs may have no facts.
        """
        ...

    async def own_transactions(self, tx_hashes: Sequence[TxHash]) -> Sequence[TxHash]:
        """Which of these are attempts of the node."""
        ...

    async def waiting_transactions(self, chain_id: int) -> Collection[TxHash]:
        """Attempts of the node that a block may have which the mirror has not read yet."""
        ...

    async def include_slots(self, receipts: Sequence[Receipt]) -> None:
        """Mark the slots of these attempts as included, with what the receipts say."""
        ...

    async def payouts_seen(
        self, chain_id: int, block_hashes: Sequence[BlockHash], states: Sequence[str]
    ) -> Sequence[PayoutSeen]:
        """Own Settled events of these blocks whose transfer is in one of these states."""
        ...

    async def forget_payouts(
        self, chain_id: int, blocks: Sequence[BlockHash], state: State
    ) -> None:
        """Transfers in a state no longer name a transaction of these blocks."""
        ...

    async def orphan_above(self, chain_id: int, number: int) -> Sequence[BlockHash]:
        """Mark blocks and logs above `number` as orphaned and take their slots back to submitted.

        Returns their hashes.
        """
        ...

    async def final_target(
        self, chain_id: int, above: int, number: int, logs_max: int
    ) -> BlockPoint | None:
        """The newest block up to `number` with at most `logs_max` logs above `above`, or the first.

        None: no canonical block is stored there.
        """
        ...

    async def outcomes(self, chain_id: int, above: int, to: int) -> Sequence[OutcomeRow]:
        """Canonical settlement events of these blocks, in chain order."""
        ...

    async def token_logs(
        self, chain_id: int, asset: str, above: int, to: int
    ) -> Sequence[TokenLogRow]:
        """Canonical token logs of these blocks, in chain order; `asset`: the token's code."""
        ...

    async def watched(self, chain_id: int, above: int, to: int) -> WatchedRows:
        """Canonical notices, strays and undecoded logs of these blocks."""
        ...

    async def slots(self, chain_id: int, above: int, to: int) -> Sequence[SlotRow]:
        """Slots of the node mined in these blocks, by block and nonce."""
        ...

    async def finish_slots(self, slot_ids: Sequence[UUID]) -> None:
        """Slots become final; their numbers may be written into another batch."""
        ...

    async def unpaid_members(self, slot_ids: Sequence[UUID]) -> Sequence[UUID]:
        """Transfers that the settle slots among these carry."""
        ...

    async def finish_movements(self, movements: Mapping[UUID, bool]) -> None:
        """Treasury movements end: True settled, False failed."""
        ...

    async def finish_logs(
        self, chain_id: int, above: int, to: int, causes: Sequence[FinalCause]
    ) -> None:
        """Logs of these blocks become final, those of every kind; token logs with their cause."""
        ...

    async def holdings(
        self, chain_id: int, addresses: Collection[Address] | None = None
    ) -> Mapping[tuple[Address, str], int]:
        """(address, asset) -> what it holds at the final block, the chain's own units.

        Of these addresses; None: of all, deposit addresses among them.
        """
        ...

    async def tokens_at_head(
        self, chain_id: int, asset: str, addresses: Sequence[Address], head: BlockHash
    ) -> Mapping[Address, int] | None:
        """What these hold at the mirror's head: at the final block, and the logs above it.

        An address without any is left out. None: the head is another block by now.
        """
        ...

    async def set_holdings(
        self, chain_id: int, number: int, holdings: Mapping[tuple[Address, str], int]
    ) -> None:
        """Store holdings as of the final block `number`."""
        ...
