"""Adoption in the store, and what the operator is shown of it.

What a plan says is in `node.core.adoption.found`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from node.core.adoption.facts import Knowledge, NumberUse
from node.core.adoption.found import AdoptionPlan, FoundTransaction
from node.core.mirror import Cursor
from node.core.ports.transfers import Transfer
from node.core.settlement import LaneStatus
from node.core.units import Address, BlockHash, TxHash


@dataclass(frozen=True, slots=True)
class OwnLane:
    """The nonce sequence of one of the node's accounts.

    Attributes:
        role: What the key is for: settle, treasury, pauser or rescuer.
        next_nonce: The first that the database has not given out.
    """

    id: int
    address: Address
    role: str
    next_nonce: int
    status: LaneStatus
    status_reason: str | None


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """How far a lane is explained up to a block.

    Attributes:
        mined: The nonce after the newest transaction of it that the database has in that block or
            before; 0: it knows of none.
        unexplained: The lowest nonce up to which it explains the lane at most: a transaction with
            it, in that block or before, is one it does not know. Nonces that adoption has left
            behind are explained, whatever the block.
    """

    lane: OwnLane
    mined: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class LaneFound:
    """A lane beside the chain, as the operator is shown it.

    Attributes:
        next_nonce: The lane's after adoption.
        chain_nonce: Transactions of the account that some block or pool has.
        unexplained: How many of them the database does not know, among those found; and how many
            nonces are used up without one.
        is_pending: Whether a pool has transactions that no block and no slot has.
    """

    lane: OwnLane
    next_nonce: int
    chain_nonce: int
    unexplained: int
    is_pending: bool = False

    @property
    def is_affected(self) -> bool:
        """Whether adoption changes it."""
        return self.unexplained > 0 or (
            self.lane.status is LaneStatus.AHEAD and not self.is_pending
        )


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was found and what adoption makes of it; shown before, and the same after.

    Attributes:
        lanes: Every lane of the node.
        plan: What each transaction is, and what follows.
        waits_for: Why it cannot be written now, in sentences; none: it can.
        written: Id of the row of each lane's adoption, by lane; empty: nothing is written yet.
        transfers: Those that records or overtaken slots name, and those to be renumbered, by id.
        renumbered: Transfer -> its new payment number, once written.
    """

    lanes: Sequence[LaneFound]
    plan: AdoptionPlan
    waits_for: Sequence[str]
    written: Mapping[int, UUID]
    transfers: Mapping[UUID, Transfer]
    renumbered: Mapping[UUID, int]

    @property
    def is_needed(self) -> bool:
        """Whether a lane has to be adopted."""
        return any(each.is_affected or each.lane.status is LaneStatus.AHEAD for each in self.lanes)


@dataclass(frozen=True, slots=True)
class AdoptedSlot:
    """A slot as adoption writes it: mined before it was written. `members` with their places."""

    id: UUID
    lane_id: int
    found: FoundTransaction
    contract: Address | None
    amount_total: int
    members: Sequence[tuple[int, Transfer]]


class AdoptionRepository(Protocol):
    """Everything adoption reads and writes. Lock order: cursor, lanes, slots, transfers."""

    async def lanes(self, chain_id: int) -> Sequence[OwnLane]:
        """Every lane."""
        ...

    async def progress(self, chain_id: int, block_number: int) -> Sequence[LaneProgress]:
        """How far each lane is explained by slots mined up to that block."""
        ...

    async def lock_lanes(self, chain_id: int) -> Sequence[OwnLane]:
        """Every lane, locked: no worker writes before the end of the transaction."""
        ...

    async def lock_cursor(self, chain_id: int) -> Cursor | None:
        """The mirror's cursor, locked: the mirror stands still to the end of the transaction."""
        ...

    async def knowledge(
        self,
        chain_id: int,
        contract: Address,
        nonces: Sequence[tuple[Address, int]],
        tx_hashes: Sequence[TxHash],
        numbers: Sequence[int],
    ) -> Knowledge:
        """What the database knows of transactions; slots, transfers and movements are locked.

        Args:
            chain_id: Of the node.
            contract: The settlement contract.
            nonces: Sender and nonce of each transaction.
            tx_hashes: Their hashes.
            numbers: Payment numbers in their calldata.
        """
        ...

    async def uses(self, transfers: Sequence[UUID]) -> Sequence[NumberUse]:
        """What the contract told of these transfers' numbers, in blocks the mirror has.

        And payments on the terms of one of them that no transfer has, where a number is used.
        """
        ...

    async def raise_epochs(self, nonces: Mapping[int, int]) -> None:
        """Lane -> next nonce: it is active, held by nobody, and its holder's writes are refused.

        A lane that stopped itself stays so. The lanes must be locked.
        """
        ...

    async def abandon(self, slot_ids: Sequence[UUID]) -> None:
        """Slots that others overtook: `foreign`, their numbers free, their movements requested."""
        ...

    async def add_slots(self, slots: Sequence[AdoptedSlot]) -> None:
        """Slots with their members and their one attempt."""
        ...

    async def skip_nonces(self, rows: Sequence[tuple[UUID, int, int]]) -> None:
        """Rows of nonces (slot's id, lane, last nonce) that nothing explains, as `foreign` slots.

        They have no attempt. The lane is explained up to the last of them from now on.
        """
        ...

    async def skipped(self, chain_id: int) -> Sequence[tuple[OwnLane, int]]:
        """Lane and last nonce of such rows, while nobody has closed the break that tells of it."""
        ...

    async def add_attempts(self, attempts: Sequence[tuple[UUID, FoundTransaction]]) -> None:
        """Lost attempts of slots, each after the slot's newest."""
        ...

    async def add_movements(
        self, movements: Sequence[tuple[UUID, UUID, FoundTransaction]], by: str
    ) -> None:
        """Movements (id, slot) that transactions carried out and nobody requested."""
        ...

    async def record(
        self,
        adoption_id: UUID,
        lane: OwnLane,
        next_nonce: int,
        detail: Mapping[str, object],
        by: str,
    ) -> None:
        """What was found of a lane and who made it the database's own."""
        ...

    async def change_numbers(self, changes: Sequence[tuple[UUID, int, int]]) -> None:
        """Note (transfer, old number, new number), before the transfers themselves change."""
        ...

    async def open_blocks(self, chain_id: int, blocks: Sequence[BlockHash]) -> frozenset[BlockHash]:
        """Those of these blocks that the mirror has and that are not final."""
        ...
