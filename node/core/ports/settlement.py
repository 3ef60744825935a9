"""Lanes, slots, attempts, pauses and movements in the store; the settlement contract's state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.settlement import (
    LaneStatus,
    PauseReason,
    PaymentRecord,
    Purpose,
    SlotState,
    Waiting,
)
from node.core.submission import AnswerClass, Fees
from node.core.units import Address, BlockHash, TxHash


class LeaseLost(Exception):
    """Another process has taken the lane: its epoch is higher. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One sending account's nonce sequence on one chain.

    Attributes:
        next_nonce: The first that no slot has.
        epoch: Rises with each new holder; a write that names an older one is refused.
    """

    id: int
    chain_id: int
    address: Address
    next_nonce: int
    status: LaneStatus
    status_reason: str | None
    epoch: int
    lease_owner: str | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A funded transfer that no live batch has. `batches_failed`: how many did not pay it."""

    transfer_id: UUID
    record: PaymentRecord
    was_written: bool
    batches_failed: int
    waiting_code: Waiting | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A transfer in a slot. Of a void, the amount is what is no longer to be paid."""

    transfer_id: UUID
    record: PaymentRecord


@dataclass(frozen=True, slots=True)
class NewSlot:
    """A nonce and everything that every attempt for it will carry. Never changed later."""

    id: UUID
    nonce: int
    purpose: Purpose
    contract: Address | None
    to: Address
    calldata: bytes
    gas_limit: int
    value_wei: int = 0
    members: Sequence[Member] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed raw transaction of a slot.

    Attributes:
        sequence: From 1 per slot; each replaces the one before.
        sends: How often it was sent; 0: perhaps never.
        last_answer: Class of the newest answer, all providers taken together.
    """

    tx_hash: TxHash
    slot_id: UUID
    sequence: int
    raw: bytes
    fees: Fees
    fee_source: str
    created_at: datetime
    last_sent_at: datetime | None = None
    sends: int = 0
    last_answer: AnswerClass | None = None


@dataclass(frozen=True, slots=True)
class OpenSlot:
    """A slot that is not mined as far as the mirror has told, with its attempts, oldest first."""

    id: UUID
    nonce: int
    purpose: Purpose
    state: SlotState
    to: Address
    value_wei: int
    calldata: bytes
    gas_limit: int
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Workload:
    """What there is to do for a lane.

    Attributes:
        unmined: Slots of the lane that are not mined, as far as the mirror has told.
        has_funded: Whether a transfer waits for a batch.
        has_voids: Whether a transfer waits for a void.
    """

    unmined: int
    has_funded: bool
    has_voids: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing new is signed. `hard` stops bumps too."""

    reason: PauseReason
    hard: bool
    note: str | None
    paused_by: str
    paused_at: datetime


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as operators see it."""

    lane: Lane
    unmined: int
    oldest_unmined_nonce: int | None
    final: int


@dataclass(frozen=True, slots=True)
class BatchView:
    """A slot as operators see it, whatever it carries.

    Attributes:
        members: Transfers with their records, in the order of the calldata. Of a no-op: those
            of the batch it was written as and never signed.
        gas_used, effective_gas_price_wei: Of the transaction that was mined.
    """

    id: UUID
    lane_address: Address
    chain_id: int
    nonce: int
    purpose: Purpose
    state: SlotState
    contract: Address | None
    gas_limit: int
    amount_total: int
    block_number: int | None
    tx_hash: TxHash | None
    succeeded: bool | None
    gas_used: int | None
    effective_gas_price_wei: int | None
    created_at: datetime
    final_at: datetime | None
    attempts: Sequence[Attempt]
    members: Sequence[Member]


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer between the node's own addresses. `amount` in the asset's minor units."""

    id: UUID
    kind: str
    from_address: Address
    to_address: Address
    asset: str
    amount: int
    state: str
    slot_id: UUID | None
    made_by: str
    failure: Mapping[str, str] | None
    created_at: datetime


class SettlementRepository(Protocol):
    """Everything submission stores. Lock order: lane, float, transfers."""

    async def add_lane(self, chain_id: int, address: Address, next_nonce: int) -> None:
        """A lane seen for the first time; one that exists stays as it is."""
        ...

    async def lane(self, chain_id: int, address: Address) -> Lane | None:
        """The lane of an account."""
        ...

    async def take_lease(
        self, lane_id: int, owner: str, lease_s: int, *, at_once: bool
    ) -> Lane | None:
        """Take the lane with a new epoch; `at_once` also before the old lease ends.

        Returns:
            None: another's lease is still running.
        """
        ...

    async def lock_lane(self, lane_id: int, epoch: int, lease_s: int) -> Lane:
        """Lock the lane to the end of the transaction and renew its lease.

        Raises:
            LeaseLost: The epoch is not the lane's.
        """
        ...

    async def set_lane_status(self, lane_id: int, status: LaneStatus, reason: str | None) -> None:
        """Change whether the lane takes new work."""
        ...

    async def restart_lanes(self, chain_id: int) -> None:
        """Let lanes that stopped themselves take work again; one that is ahead stays so."""
        ...

    async def pauses(self) -> Sequence[Pause]:
        """Pauses in force."""
        ...

    async def pause(self, reason: PauseReason, by: str, *, hard: bool, note: str | None) -> None:
        """Stop new work; a pause of the same reason stays the first, `hard` is added to it."""
        ...

    async def resume(self, reason: PauseReason | None, by: str) -> int:
        """End pauses of a reason, or all; how many there were."""
        ...

    async def candidates(self, chain_id: int, contract: Address, limit: int) -> Sequence[Candidate]:
        """Funded transfers that no live batch has and that are not overdue, oldest first."""
        ...

    async def lock_candidates(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Lock these transfers; those that are still funded and in no live batch."""
        ...

    async def lock_float(self, chain_id: int, contract: Address) -> None:
        """The one lock of a contract's float, to the end of the transaction."""
        ...

    async def committed_units(self, chain_id: int, contract: Address, block_number: int) -> int:
        """Token units of written batches, of all lanes, that are not in that block.

        It may be older than what is final by now: what was mined after it counts, final or not.
        """
        ...

    async def write_slots(self, lane: Lane, slots: Sequence[NewSlot]) -> None:
        """Store slots with the lane's next nonces, and mark the transfers as written.

        The lane and the transfers must be locked.
        """
        ...

    async def workload(self, lane_id: int, chain_id: int, contract: Address) -> Workload:
        """What there is to do, in one look."""
        ...

    async def open_slots(self, lane_id: int) -> Sequence[OpenSlot]:
        """Slots that are not mined, by nonce."""
        ...

    async def members(self, slot_ids: Sequence[UUID], purpose: Purpose) -> Sequence[UUID]:
        """Transfers in these slots with that purpose."""
        ...

    async def add_attempts(self, attempts: Sequence[Attempt]) -> Sequence[TxHash]:
        """Store signed attempts; one whose (slot, sequence) is taken is left out.

        Returns:
            Hashes of those stored.
        """
        ...

    async def lock_slots(self, ids: Sequence[UUID]) -> None:
        """Lock slots in the common order, to the end of the transaction.

        Whoever moves slots in more than one statement locks all of them first.
        """
        ...

    async def make_noops(self, ids: Sequence[UUID]) -> Sequence[UUID]:
        """Turn batches of payments that were never signed into no-ops; those that were turned.

        A no-op sends nothing from the lane to itself. The lane and the slots must be locked.
        """
        ...

    async def mark_slots(self, ids: Sequence[UUID], state: SlotState) -> Sequence[UUID]:
        """Move unmined slots to another state; those that were moved."""
        ...

    async def record_sends(self, answers: Mapping[TxHash, AnswerClass]) -> None:
        """Note that attempts were sent and what was said. A lost answer never hides a better."""
        ...

    async def void_candidates(
        self, chain_id: int, contract: Address, limit: int
    ) -> Sequence[Candidate]:
        """Transfers that wait for a void, oldest first.

        Not those in a live batch of voids, nor those whose number is finally paid or voided.
        """
        ...

    async def overdue(self, chain_id: int, contract: Address, limit: int) -> Sequence[Candidate]:
        """Funded transfers past `settle_by` that no live batch has, oldest first."""
        ...

    async def raise_number_counter(
        self, chain_id: int, contract: Address, next_number: int
    ) -> None:
        """Let no payment number below `next_number` be allotted any more."""
        ...

    async def next_number(self, chain_id: int, contract: Address) -> int:
        """The number the next transfer gets, at least one above any the mirror has seen."""
        ...

    async def final_block(self, chain_id: int) -> tuple[int, BlockHash] | None:
        """Number and hash of the block up to which the mirror has booked everything."""
        ...

    async def unfinished_below(self, lane_id: int, nonce: int) -> Sequence[OpenSlot]:
        """Slots with a lower nonce that are neither final nor foreign."""
        ...

    async def release_members(self, slot_ids: Sequence[UUID]) -> None:
        """The slots will never pay: their numbers may have new slots."""
        ...

    async def unassign(self, slot_ids: Sequence[UUID]) -> None:
        """Transfers of these slots that are still funded are candidates again."""
        ...

    async def is_recovering(self, chain_id: int) -> bool:
        """Whether a lane must be adopted before new transfers are accepted."""
        ...

    async def lanes(self, chain_id: int) -> Sequence[LaneView]:
        """All lanes."""
        ...

    async def batch(self, slot_id: UUID) -> BatchView | None:
        """One slot with attempts and members."""
        ...

    async def add_movement(self, movement: Movement) -> None:
        """Store a request."""
        ...

    async def movement(self, movement_id: UUID) -> Movement | None:
        """One movement."""
        ...

    async def requested_movements(self, from_address: Address, limit: int) -> Sequence[Movement]:
        """Requests out of an address that have no slot yet, oldest first, locked."""
        ...

    async def assign_movement(self, movement_id: UUID, slot_id: UUID) -> None:
        """The movement is written into a slot."""
        ...

    async def fail_movement(self, movement_id: UUID, code: str, message: str) -> None:
        """The movement ends without a slot."""
        ...


class LaneLock(Protocol):
    """Tells at once that a killed process no longer holds a lane. The epoch is the fence.

    One per lane: it is not for use by two tasks at once.
    """

    async def hold(self, lane_id: int) -> bool:
        """Whether this process holds the lock, taking it where it is free.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        ...

    async def release(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """The settlement contract at one block.

    Attributes:
        used: Per number asked for, whether it was paid or voided.
    """

    paused: bool
    float_units: int
    used: Sequence[bool]


class SettlementContract(Protocol):
    """Reads of one settlement contract. Each raises `ChainUnavailable`."""

    @property
    def address(self) -> Address:
        """Where it is."""
        ...

    @property
    def token(self) -> Address:
        """What it pays."""
        ...

    async def facts(self, block: BlockHash, numbers: Sequence[int]) -> ContractFacts:
        """Pause, float and used numbers, all at one block."""
        ...

    async def simulate(
        self, block: BlockHash, lane: Address, calldata: bytes, gas_limit: int
    ) -> bytes:
        """Outcome per record of `settle`: 0 settled, 1 failed, 2 skipped.

        Raises:
            CallReverted: The whole would revert.
        """
        ...

    async def refusal(self, block: BlockHash, beneficiary: Address, amount: int) -> bytes | None:
        """What the token answers to this payment alone; None: it would pay."""
        ...

    async def fault(self, block: BlockHash) -> str | None:
        """What is wrong with the code of contract or token; None: it is the known code."""
        ...
