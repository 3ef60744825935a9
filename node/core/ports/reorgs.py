"""Reorgs past finality in the store: what was proposed and accepted, and what they undo.

Everything that changes stands behind the lock of the mirror's cursor
(`unit.adoption.lock_cursor`). What is undone by what is `node.core.reorg`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from node.core.deposits import Owner
from node.core.mirror import BlockPoint
from node.core.paging import ListQuery, Page
from node.core.ports.mirror import NoticeRow
from node.core.reorg import Booked, Shortfall
from node.core.settlement import Purpose
from node.core.units import Address, BlockHash, TxHash


class ReorgState(StrEnum):
    """Where a proposal stands."""

    PROPOSED = "proposed"
    REPLACED = "replaced"  # by a newer proposal
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Reorg:
    """A reorg past finality that an operator proposed to accept.

    Attributes:
        final: What was final, and is not on the chain any more.
        block_hash: The chain's block of that number.
        fork: The newest block that both have.
        plan: What it undoes, as JSON; amounts in minor units.
        proposed_by: `Principal.key`; `accepted_by` is another.
        epoch: That began when it was accepted.
    """

    id: UUID
    chain_id: int
    state: ReorgState
    final: BlockPoint
    block_hash: BlockHash
    fork: BlockPoint
    plan: Mapping[str, object]
    reason: str | None
    proposed_by: str
    proposed_at: datetime
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class UndoneSlot:
    """A slot of the node that was final in one of the blocks."""

    id: UUID
    lane_id: int
    nonce: int
    purpose: Purpose
    block: BlockPoint
    tx_hash: TxHash


@dataclass(frozen=True, slots=True)
class UndoneMember:
    """A payment, or a void, of such a slot.

    Attributes:
        attempt: Hash of the slot's newest attempt.
        is_live_elsewhere: Whether another slot that can still be mined has the number for the
            same purpose.
    """

    slot_id: UUID
    transfer_id: UUID
    purpose: Purpose
    attempt: TxHash
    is_live_elsewhere: bool


@dataclass(frozen=True, slots=True)
class UndonePayout:
    """A transfer that was settled in one of the blocks, or paid to the partner that pays it out.

    Attributes:
        slot_id: The slot that paid it; None: a transaction that is not the node's.
        live_slot_id: A slot that carries it and can still be mined, if there is one.
        was_voiding: Whether a void was asked for when it was settled.
    """

    transfer_id: UUID
    tx_hash: TxHash
    block: BlockPoint
    slot_id: UUID | None
    live_slot_id: UUID | None
    was_voiding: bool


@dataclass(frozen=True, slots=True)
class Correction:
    """A ledger transaction by which an operator closed a break about one of the blocks."""

    sequence: int
    key: str
    break_id: UUID
    code: str


@dataclass(frozen=True, slots=True)
class ReopenedRow:
    """A deposit or payment request that goes back to where it was before it was paid.

    Attributes:
        version: Sequence of its newest event, this one included.
        break_id: What told of a deposit before its owner had it.
    """

    id: UUID
    version: int
    owner: Owner
    request_id: UUID | None
    break_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class OpenShortfall:
    """What an owner owes since a deposit was taken back, and its transaction is final again.

    Attributes:
        credited: Units that this transaction has brought its owner again, in all.
    """

    id: int
    account: str
    asset: str
    amount: int
    tx_hash: bytes
    credited: int


class ReorgRepository(Protocol):
    """Proposals, and the undoing of what was final."""

    # ------------------------------------------------------------------------------- proposals

    async def epoch(self, chain_id: int) -> int:
        """How many reorgs past finality were accepted."""
        ...

    async def propose(self, reorg: Reorg) -> None:
        """Store a proposal; it replaces the one that is open."""
        ...

    async def get(self, reorg_id: UUID) -> Reorg | None:
        """One reorg."""
        ...

    async def page(self, query: ListQuery) -> Page[Reorg]:
        """Reorgs, newest first. Filter: `state`."""
        ...

    async def accept(self, reorg: Reorg, accepted_by: str) -> int:
        """Note who accepted it; the cursor goes back to the fork and is halted no more.

        Returns:
            The epoch that begins.
        """
        ...

    # ---------------------------------------------------------------------------- what is undone

    async def canonical(self, chain_id: int, first: int, last: int) -> Mapping[int, BlockHash]:
        """Number -> hash of the mirror's canonical blocks of these numbers."""
        ...

    async def blocks_above(self, chain_id: int, number: int) -> Sequence[tuple[BlockPoint, bool]]:
        """Canonical blocks above a number, and whether each is final; ascending."""
        ...

    async def slots(self, blocks: Collection[BlockHash]) -> Sequence[UndoneSlot]:
        """Final slots that were mined in these blocks."""
        ...

    async def members(self, slot_ids: Collection[UUID]) -> Sequence[UndoneMember]:
        """Payments and voids of slots, the newest slot first."""
        ...

    async def payouts(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[UndonePayout]:
        """Settled transfers whose final payout is in these blocks; in chain order."""
        ...

    async def given_back(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[UUID]:
        """Transfers that ended without a payout by an event of these blocks."""
        ...

    async def bookings(self, blocks: Collection[BlockHash]) -> Sequence[Booked]:
        """Ledger transactions that came from these blocks and are not reversed; by sequence."""
        ...

    async def releases(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[Booked]:
        """What gave owners deposits of these blocks that had been held; by sequence."""
        ...

    async def released(self, sequences: Collection[int]) -> Mapping[int, Sequence[tuple[str, int]]]:
        """Sequence -> transactions of the deposits it took out of suspense, and minor units."""
        ...

    async def holds(self, transfer_ids: Collection[UUID]) -> Mapping[UUID, Booked]:
        """Transfer -> the pending ledger transaction that holds, or held, its money."""
        ...

    async def corrections(self, blocks: Collection[BlockHash]) -> Sequence[Correction]:
        """What operators booked to close breaks about these blocks."""
        ...

    async def movements(self, slot_ids: Collection[UUID]) -> Sequence[tuple[UUID, str]]:
        """Treasury movements that ended by these slots, and their states."""
        ...

    async def native_falls(self, blocks: Collection[BlockHash]) -> Mapping[Address, int]:
        """Address -> units of native coin that left it unexplained at these blocks."""
        ...

    # ----------------------------------------------------------------------------------- undoing

    async def undo_slots(self, reorg: Reorg, blocks: Collection[BlockHash]) -> None:
        """Slots final or included in these blocks are submitted again, and so their movements."""
        ...

    async def revive(self, members: Sequence[tuple[UUID, UUID, Purpose]]) -> None:
        """Slot, transfer, purpose: the number can be paid by that slot again."""
        ...

    async def undo_blocks(
        self, reorg: Reorg, asset: str, blocks: Sequence[BlockPoint], above: Sequence[BlockHash]
    ) -> None:
        """Blocks and their logs are orphaned, and holdings of the token are those at the fork.

        Args:
            reorg: Accepted before.
            asset: Code of the token.
            blocks: Those that were final.
            above: Those above them.
        """
        ...

    async def note_bookings(self, reorg: Reorg, reversals: Mapping[int, int]) -> None:
        """Sequence -> that of its reversal."""
        ...

    async def note_transfers(
        self, reorg: Reorg, transfers: Mapping[UUID, tuple[int, int, int]]
    ) -> None:
        """Transfer -> sequences of what was held, of its reversal, and of what is held now."""
        ...

    async def hold_deposits(self, sequences: Collection[int]) -> Sequence[ReopenedRow]:
        """Deposits that these ledger transactions gave to their owners are held again."""
        ...

    async def name_breaks(self, fingerprints: Mapping[UUID, str]) -> None:
        """Deposit -> the open break that tells of it."""
        ...

    async def undone_notices(
        self, chain_id: int, blocks: Collection[BlockHash]
    ) -> Sequence[NoticeRow]:
        """What these blocks said that the chain can take back (pauses, denials, approvals)."""
        ...

    async def last_notices(
        self, chain_id: int, blocks: Collection[BlockHash], to: int
    ) -> Sequence[NoticeRow]:
        """The last final word, up to block `to`, on each thing that `undone_notices` are about."""
        ...

    async def reopen_requests(self, request_ids: Collection[UUID]) -> Sequence[ReopenedRow]:
        """Payment requests that nothing pays any more wait again."""
        ...

    async def note_shortfalls(
        self, reorg: Reorg, shortfalls: Sequence[tuple[Shortfall, UUID]]
    ) -> None:
        """What owners lack, each with the break that tells of it."""
        ...

    async def breaks_about(self, blocks: Collection[BlockHash]) -> Sequence[UUID]:
        """Open breaks about these blocks, or about their being replaced."""
        ...

    # ---------------------------------------------------------------------------------- recovery

    async def due_shortfalls(self, chain_id: int) -> Sequence[OpenShortfall]:
        """What owners still owe of deposits that are final again; by id, locked."""
        ...

    async def recovered(self, sequences: Mapping[int, int]) -> Sequence[UUID]:
        """Note what was made good.

        Args:
            sequences: Shortfall -> the ledger transaction that made it good.

        Returns:
            Breaks of these of which nothing is missing any more.
        """
        ...
