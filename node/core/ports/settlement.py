"""Lanes, slots, attempts and pauses in the store; the settlement contract's state."""

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
from node.core.signing import KeyRole
from node.core.submission import AnswerClass, Fees, Verdict
from node.core.transfers import State
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
    role: KeyRole = KeyRole.SETTLE


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
        last_message: Words of the provider that decided it; None: none, or accepted.
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
    last_message: str | None = None


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
class MemberNow:
    """A member of a slot as the database has its transfer at this moment.

    Attributes:
        record: What the transfer says now, not what was written.
    """

    slot_id: UUID
    record: PaymentRecord
    chain_id: int
    contract: Address
    state: State


@dataclass(frozen=True, slots=True)
class Workload:
    """What there is to do for a lane.

    Attributes:
        unmined: Slots of the lane that are not mined, as far as the mirror has told.
        has_funded: Whether a transfer waits for a batch.
        has_voids: Whether a transfer waits for a void.
        has_movements: Whether a treasury movement waits for this lane's key.
        is_unheard: Whether the lowest of the unmined slots was sent and nobody says they have it.
        lacks_gas: Whether that is because the account holds too little coin.
        lanes: Lanes that settle, are active and held by some process; this one counts.
        unmined_of_all: Slots of all lanes that settle which are not mined.
    """

    unmined: int
    has_funded: bool
    has_voids: bool
    is_unheard: bool = False
    lacks_gas: bool = False
    lanes: int = 1
    unmined_of_all: int = 0
    has_movements: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing new is signed. `hard` stops bumps too."""

    reason: PauseReason
    hard: bool
    note: str | None
    paused_by: str
    paused_at: datetime


class SettlementRepository(Protocol):
    """Everything submission stores. Lock order: lane, float, transfers."""

    async def add_lane(
        self,
        chain_id: int,
        address: Address,
        next_nonce: int,
        role: KeyRole = KeyRole.SETTLE,
    ) -> None:
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
        """Stop new work; a pause of the same reason stays the first.

        `hard` is added to it, with the note of the one that makes it hard.
        """
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

    async def committed_units(
        self, chain_id: int, contract: Address, block_number: int, lane_id: int | None = None
    ) -> int:
        """Token units of written batches, of all lanes or of one, that are not in that block.

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

    async def members_now(self, slot_ids: Sequence[UUID]) -> Sequence[MemberNow]:
        """Members of slots in the order of the calldata, as their transfers are now."""
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

    async def record_sends(self, verdicts: Mapping[TxHash, Verdict]) -> None:
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

    async def release_members(self, slot_ids: Sequence[UUID]) -> None:
        """The slots will never pay: their numbers may have new slots."""
        ...

    async def unassign(self, slot_ids: Sequence[UUID]) -> None:
        """Transfers of these slots that are still funded are candidates again."""
        ...

    async def is_recovering(self, chain_id: int) -> bool:
        """Whether an operator must act first: a lane is to be adopted, or the mirror is halted.

        Until then nothing is accepted, written or given back: what the database says of the chain
        may not be so.
        """
        ...

    async def saw_lane(self, lane_id: int, balance_wei: int, cap_left: int | None) -> None:
        """Note what the lane's account holds and may still pay, for operators."""
        ...

    async def saw_contract(
        self, chain_id: int, contract: Address, block_number: int, facts: "ContractFacts"
    ) -> None:
        """Note the contract's state at a block, for operators; an older block changes nothing."""
        ...

    async def trust_token(self, chain_id: int, contract: Address, code: bytes) -> bool:
        """Remember the token's code as the one to be seen from now on.

        Returns:
            False: another was remembered; it is replaced all the same, so that a change is told
            once, and whoever resumes after it has accepted the new code.
        """
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
        token_paused: Whether the token says that it is paused; False where it has no such word.
        operator_left: Token units left under the operator's cap; None: no operator was asked for.
        contract_left: Token units left under the contract's cap; None likewise.
        operator_cap, contract_cap: The caps themselves, which nothing left ever exceeds.
    """

    paused: bool
    float_units: int
    used: Sequence[bool]
    token_paused: bool = False
    operator_left: int | None = None
    contract_left: int | None = None
    operator_cap: int | None = None
    contract_cap: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the token answered to one payment that it would not make.

    Attributes:
        reason: Its bytes; empty: none.
        burnt_gas: Whether it used up all the gas that the contract gives a payment.
    """

    reason: bytes
    burnt_gas: bool = False


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

    async def facts(
        self, block: BlockHash, numbers: Sequence[int], operator: Address | None = None
    ) -> ContractFacts:
        """Pauses, float, used numbers, and what an operator may pay, all at one block."""
        ...

    async def simulate(
        self, block: BlockHash, lane: Address, calldata: bytes, gas_limit: int
    ) -> bytes:
        """Outcome per record of `settle`: 0 settled, 1 failed, 2 skipped.

        Raises:
            CallReverted: The whole would revert.
        """
        ...

    async def refusal(self, block: BlockHash, beneficiary: Address, amount: int) -> Refusal | None:
        """What the token answers to this payment alone, with the gas the contract gives it.

        Returns:
            None: it would pay.
        """
        ...

    async def token_code(self, block: BlockHash) -> bytes:
        """A fingerprint of the code that the token runs, its implementation's if it is a proxy."""
        ...

    async def fault(self, block: BlockHash) -> str | None:
        """What is wrong with the code of contract or token; None: it is the known code."""
        ...
