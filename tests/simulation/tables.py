"""What the database of the simulation holds, as values, with its constraints."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from node.core.breaks import NewBreak
from node.core.errors import InvariantBroken
from node.core.ledger import Entry, LedgerTransaction, Outcome, account_rules
from node.core.mirror import BlockHeader, Cursor, Facts
from node.core.ports.chain import Receipt
from node.core.ports.settlement import Attempt, Lane, NewSlot, Pause
from node.core.ports.transfers import NewEvent, Transfer
from node.core.settlement import PaymentRecord, Purpose, SlotState
from node.core.units import Address, BlockHash, TxHash
from tests.simulation.chain import BEGIN


@dataclass(frozen=True, slots=True)
class SlotLine:
    """A row of `slot`."""

    lane_id: int
    slot: NewSlot
    state: SlotState = SlotState.WRITTEN
    mined: Receipt | None = None


@dataclass(frozen=True, slots=True)
class MemberLine:
    """A row of `slot_member`."""

    slot_id: UUID
    transfer_id: UUID
    record: PaymentRecord
    purpose: Purpose
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A row of `block` with its logs. `status`: seen, final, orphaned."""

    header: BlockHeader
    facts: Facts
    status: str = "seen"


@dataclass(slots=True)
class Tables:
    """Every table. Rows are never changed in place, so a copy of the containers is a snapshot."""

    now: datetime = BEGIN
    transfers: dict[UUID, Transfer] = field(default_factory=dict)
    next_number: int = 1
    events: list[NewEvent] = field(default_factory=list)
    booked: dict[str, int] = field(default_factory=dict)
    transactions: list[LedgerTransaction] = field(default_factory=list)
    resolutions: dict[int, Outcome] = field(default_factory=dict)
    lanes: dict[int, Lane] = field(default_factory=dict)
    slots: dict[UUID, SlotLine] = field(default_factory=dict)
    members: list[MemberLine] = field(default_factory=list)
    attempts: dict[TxHash, Attempt] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)
    cursor: Cursor | None = None
    blocks: dict[BlockHash, BlockLine] = field(default_factory=dict)
    holdings: dict[tuple[Address, str], int] = field(default_factory=dict)
    breaks: list[NewBreak] = field(default_factory=list)

    def copy(self) -> Self:
        """A snapshot."""
        values: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            values[each.name] = value.copy() if isinstance(value, dict | list) else value
        return type(self)(**values)

    def restore(self, snapshot: Self) -> None:
        """Be as at the snapshot again: a rollback."""
        for each in fields(self):
            setattr(self, each.name, getattr(snapshot, each.name))

    # -------------------------------------------------------------------------------- constraints

    def check(self) -> None:
        """The unique keys of the schema.

        Raises:
            InvariantBroken: One is violated.
        """
        nonces = Counter(
            (line.lane_id, line.slot.nonce)
            for line in self.slots.values()
            if line.state is not SlotState.FOREIGN
        )
        live = Counter((m.record.number, m.purpose) for m in self.members if m.is_live)
        tries = Counter((a.slot_id, a.sequence) for a in self.attempts.values())
        numbers = Counter(t.payment_number for t in self.transfers.values())
        for name, counted in (
            ("one_slot_per_nonce", nonces),
            ("one_live_slot", live),
            ("attempt", tries),
            ("payment_number", numbers),
        ):
            if twice := [key for key, count in counted.items() if count > 1]:
                raise InvariantBroken(f"{name} is violated by {twice}")

    # ------------------------------------------------------------------------------------ ledger

    def post(self, transactions: Sequence[LedgerTransaction]) -> Mapping[str, int]:
        """Book those whose key is new."""
        sequences = {}
        for each in transactions:
            if each.key not in self.booked:
                self.transactions.append(each)
                self.booked[each.key] = len(self.transactions)
            sequences[each.key] = self.booked[each.key]
        return sequences

    def balance(self, path: str) -> int:
        """Posted balance of an account, debits minus credits."""
        return sum(
            entry.amount * ((entry.debit == path) - (entry.credit == path))
            for entry in self._posted()
        )

    def below_floor(self) -> list[str]:
        """Accounts whose available balance is below their floor; pending entries count against."""
        available: Counter[str] = Counter()
        for at, each in enumerate(self.transactions, start=1):
            outcome = Outcome.POSTED if not each.pending else self.resolutions.get(at)
            if outcome is Outcome.VOIDED:
                continue
            for entry in each.entries:
                for path, grows_by_debit in ((entry.debit, True), (entry.credit, False)):
                    kind, _ = account_rules(path)
                    is_growth = grows_by_debit == (kind.value in ("asset", "expense"))
                    if is_growth and outcome is None:
                        continue  # what is only promised to come is not there
                    available[path] += entry.amount if is_growth else -entry.amount
        return [
            path
            for path, amount in available.items()
            if (floor := account_rules(path)[1]) is not None and amount < floor
        ]

    def _posted(self) -> list[Entry]:
        return [
            entry
            for at, each in enumerate(self.transactions, start=1)
            if not each.pending or self.resolutions.get(at) is Outcome.POSTED
            for entry in each.entries
        ]
