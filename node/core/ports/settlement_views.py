"""Settlement as operators see it: lanes, batches, the contract, what waits, and what gas cost.

Only reads. What changes these rows is in `node.core.ports.settlement`, `movements` and `mirror`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.paging import ListQuery, Page
from node.core.ports.settlement import Lane, Member
from node.core.settlement import Purpose, SlotState
from node.core.submission import AnswerClass, Fees
from node.core.units import Address, BlockHash, TxHash


@dataclass(frozen=True, slots=True)
class HeadOfLine:
    """The unmined slot with a lane's lowest nonce: everything behind it waits for it.

    Attributes:
        written_at: When the nonce was taken.
        attempts: How many transactions were signed for it.
        fees: Of the newest attempt; None: nothing is signed.
        last_answer, last_message: What providers said to the newest attempt that was sent.
    """

    slot_id: UUID
    nonce: int
    purpose: Purpose
    state: SlotState
    written_at: datetime
    attempts: int
    fees: Fees | None
    sends: int
    last_sent_at: datetime | None
    last_answer: AnswerClass | None
    last_message: str | None


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as operators see it.

    Attributes:
        role: What the key is for: settle, treasury, pauser or rescuer.
        balance_wei, cap_left: As last seen at `seen_at`; None: never seen, or no cap. `cap_left`
            in token units.
        unmined: Slots that are not in a block as far as the mirror has told.
    """

    lane: Lane
    role: str
    balance_wei: int | None
    cap_left: int | None
    seen_at: datetime | None
    unmined: int
    head: HeadOfLine | None


@dataclass(frozen=True, slots=True)
class LaneSpending:
    """What a lane's final transactions came to. Gas in units of gas, fees in wei."""

    lane_id: int
    transactions: int
    gas_used: int
    fees_wei: int


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A slot in a list, whatever it carries.

    Attributes:
        members: Transfers in the calldata. Of a no-op: none.
        amount_total: Token units that leave the float.
        attempts: How many transactions were signed for the nonce.
        tx_hash, block_number, block_hash, succeeded: Of the one that was mined; it may be unfinal.
        gas_used, gas_price_wei: Of the one that was mined, the price as it was charged.
        settled: Payments in it that the mirror has seen paid.
        adopted: Found on the chain, not written before it.
    """

    id: UUID
    lane: Address
    chain_id: int
    nonce: int
    purpose: Purpose
    state: SlotState
    members: int
    amount_total: int
    attempts: int
    tx_hash: TxHash | None
    block_number: int | None
    block_hash: BlockHash | None
    succeeded: bool | None
    gas_used: int | None
    gas_price_wei: int | None
    settled: int
    adopted: bool
    created_at: datetime
    final_at: datetime | None

    @property
    def fee_wei(self) -> int | None:
        """What the chain took for it; None: nothing is mined."""
        if self.gas_used is None or self.gas_price_wei is None:
            return None
        return self.gas_used * self.gas_price_wei


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One signed transaction of a slot, and what was said to it.

    Attributes:
        sequence: From 1; each replaces the one before.
        fee_source: Where its fees come from.
        sends: How often it was sent; 0: perhaps never.
        last_answer: Class of the newest answer, all providers taken together.
        last_message: Words of a provider that did not take it.
    """

    tx_hash: TxHash
    sequence: int
    fees: Fees
    fee_source: str
    created_at: datetime
    last_sent_at: datetime | None
    sends: int
    last_answer: AnswerClass | None
    last_message: str | None


@dataclass(frozen=True, slots=True)
class MemberView:
    """A transfer in a slot.

    Attributes:
        outcome: settled, failed, skipped or voided, as the transaction's events say; None: it is
            not mined, or reverted.
    """

    member: Member
    outcome: str | None


@dataclass(frozen=True, slots=True)
class BatchView:
    """A slot with everything about it.

    Attributes:
        members: In the order of the calldata. Of a no-op: those of the batch it was written as and
            never signed.
    """

    row: BatchRow
    contract: Address | None
    to: Address
    value_wei: int
    gas_limit: int
    attempts: Sequence[AttemptView]
    members: Sequence[MemberView]


@dataclass(frozen=True, slots=True)
class ContractView:
    """The settlement contract as last seen at a block; token units.

    Attributes:
        cap_left: Of the contract's own bucket; None: it has none, or it was never seen.
    """

    block_number: int
    float_units: int
    cap_left: int | None
    paused: bool
    token_paused: bool
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """What an address of the node has at the mirror's final block: token units, or wei."""

    address: Address
    asset: str
    amount: int
    block_number: int


@dataclass(frozen=True, slots=True)
class OpenRow:
    """Transfers in one open state, and why they cannot go on.

    Attributes:
        state: Of the transfers, such as funded or unknown.
        code: Why they wait; None: for nothing but their turn.
        amount: Sum of what is to be paid, token units.
        since: When the oldest came into this state, or began to wait.
    """

    state: str
    code: str | None
    count: int
    amount: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Spending:
    """What final transactions of one purpose came to.

    Attributes:
        reverted: Those of them that did nothing but cost.
        payments: Payouts in them.
        attempts: Transactions that were signed for them; more than `transactions`: bumps.
        gas_used: Units of gas. fees_wei: What the chain took.
    """

    purpose: Purpose
    transactions: int
    reverted: int
    payments: int
    attempts: int
    gas_used: int
    fees_wei: int


class SettlementViews(Protocol):
    """What operators read."""

    async def lanes(self, chain_id: int, native: str) -> Sequence[LaneView]:
        """All lanes, those that pay first; `native` is the code of their coin."""
        ...

    async def spending_by_lane(self, chain_id: int) -> Sequence[LaneSpending]:
        """What every lane has spent since its beginning. Reads every slot: not for often."""
        ...

    async def batches(self, chain_id: int, query: ListQuery) -> Page[BatchRow]:
        """Slots, newest first; filters `lane` (0x and 40 digits), `state`, `purpose`.

        Raises:
            CursorInvalid: The cursor is not of this list.
        """
        ...

    async def batch(self, slot_id: UUID) -> BatchView | None:
        """One slot with attempts and members."""
        ...

    async def contract(self, chain_id: int, contract: Address) -> ContractView | None:
        """The contract as last seen; None: never."""
        ...

    async def holdings(self, chain_id: int) -> Sequence[Holding]:
        """What every address of the node has."""
        ...

    async def open_transfers(self, chain_id: int, contract: Address) -> Sequence[OpenRow]:
        """Transfers that have not ended, by state and reason."""
        ...

    async def gas_price_wei(self, chain_id: int) -> int | None:
        """What a unit of gas cost in the transaction that became final last; None: none has."""
        ...

    async def spending(
        self, chain_id: int, since: datetime, before: datetime
    ) -> Sequence[Spending]:
        """What the transactions that became final in a period came to, by purpose."""
        ...

    async def spending_of_blocks(self, chain_id: int, above: int, until: int) -> Sequence[Spending]:
        """What the final transactions of the blocks `above` < block <= `until` came to."""
        ...
