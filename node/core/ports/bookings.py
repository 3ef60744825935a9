"""Ledger transactions as they were booked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from node.core.ledger import LedgerTransaction, Outcome


@dataclass(frozen=True, slots=True)
class Booked:
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


class BookingRepository(Protocol):
    """Reads ledger transactions. They are written by `LedgerRepository.post`."""

    async def of_keys(self, keys: Sequence[str]) -> Mapping[str, Booked]:
        """What is booked under these keys; keys that are not are left out."""
        ...

    async def at(self, sequence: int) -> Booked | None:
        """The ledger transaction of this sequence; None where there is none, or a resolution."""
        ...
