"""What was booked, what the ledger said at any earlier point, and what lies between two points.

A point is a sequence: everything up to it counts, also in the middle of a batch. What is up to a
sequence never changes once the sequence exists, so answers about it are the same for ever. A
pending ledger transaction is pending from its own sequence on, and posted or gone from that of its
resolution.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.ledger import Balance, LedgerTransaction, Outcome
from node.core.paging import ListQuery, Page
from node.core.ports.ledger import AccountRow, TrialRow
from node.core.statements import Line


@dataclass(frozen=True, slots=True)
class AsOf:
    """A point in the ledger.

    Attributes:
        sequence: The newest that counts; 0 before anything was booked.
        booked_at: When it was booked; None for sequence 0.
    """

    sequence: int
    booked_at: datetime | None


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry as seen from the account asked for.

    Attributes:
        id: `sequence * 1000 + position`.
        sequence: Of the ledger transaction.
        status: `pending`, `posted` or `voided`.
        is_debit: Which side of the entry the account is.
        counter_path: The account on the other side.
        amount: Minor units, above 0.
        balance_after: Posted balance once this entry was posted; None while it is not.
        place: Where it stands in the order of posting: sequence of the resolution, if one posted
            it, else of the ledger transaction.
        occurred_at: When that was booked.
    """

    id: int
    sequence: int
    kind: str
    status: str
    transfer_id: UUID | None
    is_debit: bool
    counter_path: str
    asset: str
    amount: int
    balance_after: int | None
    place: int
    detail: Mapping[str, str]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """A ledger transaction with its place in the ledger.

    Attributes:
        transaction: As it was given, entries in their order.
        resolved: How it ended, if it was pending and has.
    """

    sequence: int
    transaction: LedgerTransaction
    resolved: Outcome | None
    created_at: datetime

    @property
    def status(self) -> str:
        """`pending`, `posted` or `voided`."""
        if not self.transaction.pending:
            return Outcome.POSTED.value
        return "pending" if self.resolved is None else self.resolved.value


class HistoryRepository(Protocol):
    """Ledger transactions as they were booked; balances, entries, statements as of any sequence.

    A sequence as of which something is asked must exist: at most that of `head`.
    """

    async def transactions(self, keys: Sequence[str]) -> Mapping[str, TransactionRow]:
        """What is booked under these keys; keys that are not are left out."""
        ...

    async def transaction(self, sequence: int) -> TransactionRow | None:
        """The ledger transaction of this sequence; None where there is none, or a resolution."""
        ...

    async def head(self) -> AsOf:
        """The newest point."""
        ...

    async def at_time(self, moment: datetime) -> AsOf:
        """The newest point booked at or before a time."""
        ...

    async def at_sequence(self, sequence: int) -> AsOf:
        """The point of a sequence."""
        ...

    async def balances_at(self, paths: Sequence[str], sequence: int) -> Mapping[str, Balance]:
        """The four counters as of a sequence, by path; zeros where there was no account yet."""
        ...

    async def accounts_at(self, prefixes: Sequence[str], sequence: int) -> Sequence[AccountRow]:
        """The accounts that existed at a sequence, whose path starts with one of `prefixes`.

        No prefix begins with another. By path, with their counters as of then.
        """
        ...

    async def trial_balance_at(self, sequence: int) -> Sequence[TrialRow]:
        """Posted debits and credits per asset as of a sequence, by asset."""
        ...

    async def entries(
        self, accounts: Sequence[AccountRow], query: ListQuery, *, posted_only: bool
    ) -> Page[EntryRow]:
        """Entries of accounts of one kind, newest first, each with its account's balance after it.

        An entry that was pending stands where it was posted.
        """
        ...

    def lines(self, path: str, *, after: int, upto: int) -> AsyncIterator[Sequence[Line]]:
        """What was posted to the account at `path` after `after`, up to `upto`, oldest first.

        In pages of any length; none where there is no such account.
        """
        ...

    async def checkpoint(self, every: int) -> int | None:
        """Write down the counters of what moved since the last checkpoint, if it is time.

        Args:
            every: Sequences from one checkpoint to the next, at least.

        Returns:
            The sequence of the new checkpoint; None: not yet, or another process does it.
        """
        ...
