"""Following a chain by block hash: what is new, what was replaced, what is final. Pure.

Every chain fact is keyed by the hash of its block. A block is canonical while the chain of parent
hashes from the head leads to it; canonicity is decided here and nowhere else, and never by whether
a provider still answers for a hash. Ledger effects come with finality only, so a reorg before it
touches no entry. Not here: reading the chain (`adapters.evm.reader`), and what a fact does to
transfers and books (`node.services.mirror.mirroring`, `node.services.mirror.finalizing`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from node.core.units import Address, BlockHash, TxHash
from node.core.watchlist import Notice, StrayLog, UndecodedLog

ZERO_ADDRESS: Final = Address(bytes(20))
TAG_STANDS_STILL: Final = timedelta(minutes=30)
"""How long a chain's `finalized` tag may stand still while its head moves."""

SPAN_BLOCKS_MAX: Final = 10_000
"""Most blocks of one read by number range: their headers are held in memory meanwhile."""
_STEADY_READS: Final = 8


@dataclass(frozen=True, slots=True)
class Watch:
    """What the mirror follows on one chain.

    Attributes:
        contract: The node's settlement contract; one of `addresses`.
        token_asset: Asset code the token is booked under, such as `USDC`.
        native_asset: Asset code of the native coin, such as `ETH`.
        addresses: Every address of the node: contract, treasury, lanes. Deposit addresses are
            not among them: there may be any number, and new ones at any time.
        deposits: The contract that makes deposit addresses; None: the node offers none.
    """

    chain_id: int
    contract: Address
    token: Address
    token_asset: str
    native_asset: str
    addresses: frozenset[Address]
    deposits: Address | None = None


@dataclass(frozen=True, slots=True)
class BlockPoint:
    """One block, named by number and hash."""

    number: int
    hash: BlockHash


@dataclass(frozen=True, slots=True)
class Witness:
    """What one provider says of one block number.

    Attributes:
        hash: Its canonical block of that number; None: it has none yet.
        newest: Number of the newest block it has.
    """

    hash: BlockHash | None
    newest: int


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """A block as a provider states it.

    Attributes:
        tx_hashes: Hashes of its transactions, in order.
        logs_bloom: The 256 bytes of its logs' bloom filter (Ethereum yellow paper, 4.3.1).
    """

    number: int
    hash: BlockHash
    parent_hash: BlockHash
    mined_at: datetime
    tx_hashes: Sequence[TxHash] = ()
    logs_bloom: bytes = b""

    @property
    def point(self) -> BlockPoint:
        """Number and hash."""
        return BlockPoint(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the mirror has come.

    Attributes:
        start_number: Opening balances are those of this block; nothing before it is mirrored.
        head: The newest block whose facts are stored.
        final: The newest block whose facts are booked. Never moves back, unless two operators
            accept a reorg past finality (ADR 0021).
        halted_reason: Why the mirror stands still until an operator decides.
        moved_at: When the head last moved, database clock.
        final_moved_at: When the final block last moved, database clock.
        tag_number: The highest block that was ever tagged `finalized`; None: none was.
        tag_moved_at: When that last rose, database clock.
    """

    start_number: int
    head: BlockPoint
    final: BlockPoint
    halted_reason: str | None
    moved_at: datetime
    final_moved_at: datetime
    tag_number: int | None = None
    tag_moved_at: datetime | None = None

    @property
    def has_lost_its_tag(self) -> bool:
        """Whether no block was ever tagged `finalized`, or none has been for long.

        For long: the head was still moving more than half an hour after the tag last rose. A tag
        that is away for a moment, or a provider that lags, does not make it so.
        """
        return has_lost_its_tag(self.moved_at, self.tag_moved_at)


def has_lost_its_tag(moved_at: datetime, tag_moved_at: datetime | None) -> bool:
    """See `Cursor.has_lost_its_tag`, of when head and tag last moved."""
    return tag_moved_at is None or moved_at - tag_moved_at > TAG_STANDS_STILL


@dataclass(frozen=True, slots=True)
class Finality:
    """When a block is final.

    Attributes:
        depth_blocks: Block b is final when head >= b + depth; None: the chain's `finalized` tag.
        tag_first: The tag decides while there is one that moves, and the depth only after that.
    """

    depth_blocks: int | None
    tag_first: bool = False

    @property
    def asks_for_tag(self) -> bool:
        """Whether the block tagged `finalized` is to be asked for."""
        return self.tag_first or self.depth_blocks is None

    def final_number(
        self, head_number: int, tagged_number: int | None, *, has_lost_its_tag: bool = False
    ) -> int | None:
        """The newest final block; None: none is known.

        Args:
            head_number: The newest block.
            tagged_number: Number of the `finalized` block where the chain has one.
            has_lost_its_tag: See `Cursor.has_lost_its_tag`.
        """
        if self.depth_blocks is None or (self.tag_first and not has_lost_its_tag):
            return tagged_number
        number = head_number - self.depth_blocks
        return number if number >= 0 else None


@dataclass(frozen=True, slots=True)
class Span:
    """How many blocks one read by number range takes; it follows what providers can bear.

    The times are those of the indexer of Safe (settlement study, C.5).

    Attributes:
        blocks: At most so many.
        steady: Reads to come before more is tried, after a provider refused.
    """

    blocks: int = 2_000
    steady: int = 0

    def refused(self, blocks_max: int | None = None) -> "Span":
        """It was too many; `blocks_max`: what the provider allows, where it says so."""
        allowed = self.blocks // 2 if blocks_max is None else min(blocks_max, self.blocks - 1)
        return Span(max(1, allowed), _STEADY_READS)

    def after(self, took_ms: int) -> "Span":
        """A read of so many went well and took so long."""
        blocks, steady = self.blocks, max(0, self.steady - 1)
        if took_ms > 30_000:  # noqa: PLR2004 - see above, as those that follow
            blocks //= 2
        elif took_ms > 10_000:  # noqa: PLR2004
            blocks -= 20
        elif self.steady == 0 and took_ms < 2_000:  # noqa: PLR2004
            blocks *= 2
        elif self.steady == 0 and took_ms < 5_000:  # noqa: PLR2004
            blocks += 20
        return Span(min(max(1, blocks), SPAN_BLOCKS_MAX), steady)


@dataclass(frozen=True, slots=True)
class TokenLog:
    """One ERC-20 `Transfer` of the node's token, from or to an address of the node."""

    log_index: int
    tx_hash: TxHash
    from_address: Address
    to_address: Address
    amount: int


class SettlementKind(StrEnum):
    """The events of the settlement contract that concern a payment number."""

    SETTLED = "settled"
    FAILED = "failed"
    SKIPPED = "skipped"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class SettlementLog:
    """One event of the settlement contract.

    Attributes:
        payment_number: uint64; strangers' numbers may be above BIGINT.
        payout: Of Settled: the token log that paid it. None: there is none, which the contract
            makes impossible.
        reason: Of Failed: the first bytes of what the token answered.
    """

    log_index: int
    tx_hash: TxHash
    kind: SettlementKind
    payment_number: int
    payout: TokenLog | None = None
    reason: bytes = b""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one block says about the node; every list ascending by log index."""

    block: BlockPoint
    token_logs: Sequence[TokenLog]
    settlement_logs: Sequence[SettlementLog]
    notices: Sequence[Notice] = ()
    strays: Sequence[StrayLog] = ()
    undecoded: Sequence[UndecodedLog] = ()

    @property
    def log_count(self) -> int:
        """How many logs these are."""
        return (
            len(self.token_logs)
            + len(self.settlement_logs)
            + len(self.notices)
            + len(self.strays)
            + len(self.undecoded)
        )

    def of_transaction(self, tx_hash: TxHash) -> "Facts":
        """What one of its transactions says, to compare with that transaction's receipt."""
        return Facts(
            self.block,
            [each for each in self.token_logs if each.tx_hash == tx_hash],
            [each for each in self.settlement_logs if each.tx_hash == tx_hash],
            [each for each in self.notices if each.tx_hash == tx_hash],
            [each for each in self.strays if each.tx_hash == tx_hash],
            [each for each in self.undecoded if each.tx_hash == tx_hash],
        )

    def difference(self, other: "Facts") -> int | None:
        """The lowest log index of which the two do not say the same; None: they agree."""
        ours, theirs = self.by_index(), other.by_index()
        return min(
            (
                index
                for index in ours.keys() | theirs.keys()
                if ours.get(index) != theirs.get(index)
            ),
            default=None,
        )

    def by_index(self) -> Mapping[int, object]:
        """Log index -> what that log is, of every kind."""
        logs: Sequence[TokenLog | SettlementLog | Notice | StrayLog | UndecodedLog] = (
            *self.token_logs,
            *self.settlement_logs,
            *self.notices,
            *self.strays,
            *self.undecoded,
        )
        return {each.log_index: each for each in logs}


class PlanKind(StrEnum):
    """What a look at the chain asks of the mirror."""

    EXTEND = "extend"
    REWIND = "rewind"
    WIDEN = "widen"
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step.

    Attributes:
        headers: Of EXTEND: blocks that continue the cursor's head, in order; may be none.
        rewind_to: Of REWIND: the newest block that both chains share; it is not below the final
            block.
    """

    kind: PlanKind
    headers: Sequence[BlockHeader] = ()
    rewind_to: BlockPoint | None = None


def plan(cursor: Cursor, ours: Mapping[int, BlockHash], theirs: Sequence[BlockHeader]) -> Plan:
    """Compare the mirror with the chain.

    Args:
        cursor: Where the mirror stands.
        ours: Number -> hash of the mirror's canonical blocks, final block and head included.
        theirs: Consecutive headers of one provider, ascending. A provider that lags shows less
            than the mirror has; that alone is no reorg.

    Returns:
        EXTEND: what they show agrees with ours, and these follow. REWIND: from some block on they
        differ. WIDEN: they show nothing in common, and did not show the final block. HALT: the
        final block itself was replaced.
    """
    shown = {header.number: header.hash for header in _linked_prefix(theirs)}
    lowest, highest = min(shown, default=-1), max(shown, default=-1)
    if highest < cursor.final.number:
        return Plan(PlanKind.EXTEND)
    shared = max((n for n, hash_ in ours.items() if shown.get(n) == hash_), default=None)
    if shared is None:
        return Plan(PlanKind.HALT if lowest <= cursor.final.number else PlanKind.WIDEN)
    if shared < min(highest, cursor.head.number):
        return Plan(PlanKind.REWIND, rewind_to=BlockPoint(shared, ours[shared]))
    new = [header for header in theirs if cursor.head.number < header.number <= highest]
    return Plan(PlanKind.EXTEND, headers=new)


def _linked_prefix(headers: Sequence[BlockHeader]) -> list[BlockHeader]:
    """Headers up to where the next one has another parent: the chain changed while we read."""
    linked: list[BlockHeader] = []
    for header in headers:
        if linked and (header.parent_hash, header.number) != (
            linked[-1].hash,
            linked[-1].number + 1,
        ):
            break
        linked.append(header)
    return linked


def pair_payouts(
    token_logs: Sequence[TokenLog], settlement_logs: Sequence[SettlementLog], contract: Address
) -> list[SettlementLog]:
    """Give each Settled its payout: the last token log out of the contract before it, same tx.

    Args:
        token_logs: Of one block, ascending by log index.
        settlement_logs: Of the same block, ascending by log index.
        contract: The settlement contract.

    Returns:
        The settlement logs, in order. A token log pays at most one Settled.
    """
    outgoing = [log for log in token_logs if log.from_address == contract]
    paired: list[SettlementLog] = []
    position = 0
    latest: TokenLog | None = None
    for log in settlement_logs:
        while position < len(outgoing) and outgoing[position].log_index < log.log_index:
            latest = outgoing[position]
            position += 1
        if log.kind is not SettlementKind.SETTLED:
            paired.append(log)
            continue
        payout = latest if latest is not None and latest.tx_hash == log.tx_hash else None
        latest = None
        number, reason = log.payment_number, log.reason
        paired.append(SettlementLog(log.log_index, log.tx_hash, log.kind, number, payout, reason))
    return paired


class Cause(StrEnum):
    """Why a token log of the node's addresses is there."""

    SETTLED = "settled"
    MOVEMENT = "movement"
    DEPOSIT = "deposit"  # came to a deposit address, whose owner is known
    SWEPT = "swept"  # from a deposit address to the settlement contract; it can go nowhere else
    SUSPENSE = "suspense"  # came in and belongs to nobody known yet
    ORPHAN_OUTBOUND = "orphan_outbound"  # left without a cause of the node
    NOTHING = "nothing"  # amount 0, or from an address to itself: nothing moved


def cause_of(
    log: TokenLog, *, addresses: frozenset[Address], is_payout: bool, is_movement: bool
) -> Cause:
    """The cause of one final token log.

    Anybody can make an ERC-20 token emit a Transfer of 0 out of any address (`transferFrom` of
    nothing needs no allowance), so an amount of 0 proves nothing and stops nothing.

    Args:
        log: From or to an address of the node.
        addresses: The node's addresses.
        is_payout: It paid a Settled that belongs to one of the node's transfers.
        is_movement: Its transaction is a treasury movement of the node with these two addresses.
    """
    if log.amount == 0 or log.from_address == log.to_address:
        return Cause.NOTHING
    if is_payout:
        return Cause.SETTLED
    if is_movement:
        return Cause.MOVEMENT
    return Cause.ORPHAN_OUTBOUND if log.from_address in addresses else Cause.SUSPENSE
