"""What adoption finds, and what it would write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from node.core.adoption.facts import MinedTransaction
from node.core.mirror import SettlementKind
from node.core.settlement import Purpose
from node.core.units import Address, TxHash


class Finding(StrEnum):
    """What an unexplained transaction is to the database."""

    KNOWN = "known"  # an attempt it has, whose block it does not
    LOST_ATTEMPT = "lost_attempt"  # other bytes for a slot it has, with the same call
    OVERTAKES = "overtakes"  # another call on the nonce of a slot it has
    NEW = "new"  # on a nonce it never gave out


class Link(StrEnum):
    """Whether a record on chain is a transfer's own, and why not."""

    LINKED = "linked"
    NO_TRANSFER = "no_transfer"
    DIFFERS = "differs"  # another beneficiary or amount
    TOO_YOUNG = "too_young"  # the transfer was created after the block
    ENDED = "ended"  # equal, and its money went back before


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """One payment, or one voided number, of a transaction.

    Attributes:
        beneficiary, amount: Of a payment; None: of a void.
        transfer_id: The transfer that has this number, linked or not.
        outcome: What the contract told; None: nothing, the transaction reverted.
    """

    position: int
    number: int
    beneficiary: Address | None
    amount: int | None
    link: Link
    transfer_id: UUID | None
    outcome: SettlementKind | None


@dataclass(frozen=True, slots=True)
class FoundMovement:
    """Money that moved between the node's own addresses. `amount` in minor units.

    Attributes:
        kind: That of a treasury movement: float_top_up, lane_gas, sweep, rescue or deposit_sweep.
        movement_id: The request that it carries out; None: there is none.
    """

    kind: str
    source: Address
    to: Address
    asset: str
    amount: int
    movement_id: UUID | None


@dataclass(frozen=True, slots=True)
class FoundTransaction:
    """One transaction that the database cannot explain.

    Attributes:
        slot_id: The slot it is an attempt of, or that it overtakes; None: of NEW.
        records: Of settle and void, in the order of the calldata.
        movement: What it moved between own addresses, where it is a movement.
    """

    transaction: MinedTransaction
    finding: Finding
    purpose: Purpose
    slot_id: UUID | None
    records: Sequence[FoundRecord] = ()
    movement: FoundMovement | None = None

    @property
    def is_written_anew(self) -> bool:
        """Whether it needs a slot of its own."""
        return self.finding in (Finding.NEW, Finding.OVERTAKES)


@dataclass(frozen=True, slots=True)
class SkippedNonces:
    """Nonces that the chain is past and that no transaction of the account explains.

    An authorisation of EIP-7702 uses its signer's nonce up, and so does each contract that the code
    it names creates; or a transaction is in a block that became final unexplained. `first` to
    `last`, both within.
    """

    sender: Address
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AdoptionPlan:
    """What adoption would write.

    Attributes:
        transactions: In the order of the chain.
        overtaken: Slots that can never be mined any more; their transfers are funded again.
        assigned: Transfer -> the transaction that decides about it: the one that settled it, or
            else the last that carried it.
        renumbered: Never written, with a number that the chain has used for something else.
        numbers_to: Every number below it is used up; 0: nothing was found.
        skipped: Nonces that nothing explains; they are left behind.
    """

    transactions: Sequence[FoundTransaction]
    overtaken: Sequence[UUID]
    assigned: Mapping[UUID, TxHash]
    renumbered: Sequence[UUID]
    numbers_to: int
    skipped: Sequence[SkippedNonces] = ()

    @property
    def orphans(self) -> Sequence[FoundRecord]:
        """Payments that left and that no transfer explains."""
        return [
            record
            for each in self.transactions
            for record in each.records
            if record.outcome is SettlementKind.SETTLED and record.link is not Link.LINKED
        ]
