"""Ledger transactions, read as they were booked, from PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from node.core.ledger import Entry, LedgerTransaction, Outcome
from node.core.ports.bookings import Booked
from node.store.database import Connection

_BOOKED: Final = """
SELECT t.sequence, t.key, t.kind, t.pending, t.transfer_id, t.detail, t.created_at, r.outcome,
       e.debits, e.credits, e.assets, e.amounts
FROM ledger_transaction t
LEFT JOIN ledger_resolution r ON r.pending_sequence = t.sequence
CROSS JOIN LATERAL (
    SELECT array_agg(d.path ORDER BY position) AS debits,
           array_agg(c.path ORDER BY position) AS credits,
           array_agg(entry.asset ORDER BY position) AS assets,
           array_agg(entry.amount ORDER BY position) AS amounts
    FROM entry
    JOIN account d ON d.id = entry.debit_account_id
    JOIN account c ON c.id = entry.credit_account_id
    WHERE entry.sequence = t.sequence
) AS e
"""
_OF_KEYS: Final = _BOOKED + "WHERE t.key = ANY($1::text[])"
_AT: Final = _BOOKED + "WHERE t.sequence = $1"


class BookingStore:
    """See `node.core.ports.bookings.BookingRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def of_keys(self, keys: Sequence[str]) -> Mapping[str, Booked]:
        """What is booked under these keys; keys that are not are left out."""
        rows = await self._raw.fetch(_OF_KEYS, list(keys))
        return {row["key"]: _booked(row) for row in rows}

    async def at(self, sequence: int) -> Booked | None:
        """The ledger transaction of this sequence; None where there is none, or a resolution."""
        row = await self._raw.fetchrow(_AT, sequence)
        return _booked(row) if row else None


def _booked(row: asyncpg.Record) -> Booked:
    columns = (row["debits"], row["credits"], row["assets"], row["amounts"])
    entries = [Entry(*values) for values in zip(*columns, strict=True)]
    return Booked(
        row["sequence"],
        LedgerTransaction(
            row["key"], row["kind"], entries, row["pending"], row["transfer_id"], row["detail"]
        ),
        Outcome(row["outcome"]) if row["outcome"] else None,
        row["created_at"],
    )
