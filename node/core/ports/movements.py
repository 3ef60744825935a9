"""Treasury movements in the store, and the rules that make them.

Not here: slots and attempts that carry them (`node.core.ports.settlement`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.paging import ListQuery, Page
from node.core.units import Address


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer between the node's own addresses. `amount` in the asset's minor units.

    Attributes:
        sender: Whose key signs it; of a rescue not the address that the money leaves.
        rule_id: The treasury rule that made it.
        waiting: Why a requested one is not sent yet; None: nothing is known to hold it up.
    """

    id: UUID
    kind: str
    sender: Address
    from_address: Address
    to_address: Address
    asset: str
    amount: int
    state: str
    slot_id: UUID | None
    made_by: str
    failure: Mapping[str, str] | None
    created_at: datetime
    rule_id: UUID | None = None
    waiting: str | None = None


@dataclass(frozen=True, slots=True)
class TreasuryRule:
    """Tops a target up when it falls below a mark. Amounts in the asset's minor units.

    Attributes:
        kind: `float_top_up` or `lane_gas`.
        to_address: The target; None: every lane that settles.
        mark: Below it the rule acts.
        fill_to: Up to where.
        daily_limit: Most that it moves within any 86,400 s, to all its targets together.
    """

    id: UUID
    kind: str
    to_address: Address | None
    asset: str
    mark: int
    fill_to: int
    daily_limit: int
    made_by: str
    created_at: datetime
    ended_by: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AdminCall:
    """A slot that calls the contract's administration.

    Attributes:
        block_number: Where it was mined; None: it was not, as far as the mirror has told.
        succeeded: Whether it did what it calls; None: it was not mined.
    """

    calldata: bytes
    block_number: int | None
    succeeded: bool | None


class MovementRepository(Protocol):
    """Everything that is stored of treasury movements. Lock order: lane, rule, movements."""

    async def add(self, movement: Movement) -> None:
        """Store a request."""
        ...

    async def get(self, movement_id: UUID) -> Movement | None:
        """One movement."""
        ...

    async def page(self, query: ListQuery) -> Page[Movement]:
        """Movements, newest first. Filters: `state`, `kind`."""
        ...

    async def requested(self, sender: Address, limit: int) -> Sequence[Movement]:
        """Requests for a key that have no slot yet, oldest first, locked."""
        ...

    async def assign(self, movement_id: UUID, slot_id: UUID) -> None:
        """The movement is written into a slot."""
        ...

    async def fail(self, movement_id: UUID, code: str, message: str) -> None:
        """The movement ends without a slot."""
        ...

    async def mark_waiting(self, waiting: Mapping[UUID, str]) -> None:
        """Note why requested movements are not sent yet, where it is something new."""
        ...

    async def mark_keyless(self, senders: Sequence[Address]) -> None:
        """Note of requested movements of other senders than these that no key is there."""
        ...

    async def withdraw(self, slot_ids: Sequence[UUID]) -> None:
        """These slots became no-ops before they were signed: their movements wait again."""
        ...

    async def unmined(self, sender: Address) -> Sequence[Movement]:
        """Movements of a key whose slots are not mined, as far as the mirror has told."""
        ...

    async def under_way(self) -> Sequence[Movement]:
        """Every movement that has not ended, oldest first."""
        ...

    async def add_swept(self, movement_id: UUID, swept: Sequence[tuple[bytes, int]]) -> None:
        """The deposit addresses (salt, holding) of a sweep, in the order of its call."""
        ...

    async def salts(self, movement_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[bytes]]:
        """Per sweep of deposit addresses their salts, in the order of its call."""
        ...

    async def sweeping(self) -> frozenset[bytes]:
        """Salts of the deposit addresses of all sweeps that have not ended."""
        ...

    async def end_sweeps_of_others(self, sender: Address) -> None:
        """Sweeps of deposit addresses that another key was to send, and that have no slot, fail."""
        ...

    async def add_rule(self, rule: TreasuryRule) -> None:
        """Store a rule."""
        ...

    async def rule(self, rule_id: UUID) -> TreasuryRule | None:
        """One rule, in force or ended."""
        ...

    async def rules(self, query: ListQuery) -> Page[TreasuryRule]:
        """Rules, newest first. Filter: `status` (in_force, ended)."""
        ...

    async def rules_in_force(self, *, locked: bool) -> Sequence[TreasuryRule]:
        """Rules in force, oldest first; `locked` to the end of the transaction."""
        ...

    async def end_rule(self, rule_id: UUID, by: str) -> None:
        """The rule makes no movements any more; one that has ended stays as it was."""
        ...

    async def moved_by_rules(self, rule_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Per rule what counts against its daily limit now.

        A movement counts from its making until 86,400 s after its transaction is final, by the
        database clock, so that no 86,400 s of the chain see more; one that failed does not.
        """
        ...

    async def last_admin_call(
        self, lane_id: int, calls: Sequence[bytes], *, is_done: bool
    ) -> AdminCall | None:
        """The newest slot of a lane with one of these calldata; `is_done`: that succeeded."""
        ...
