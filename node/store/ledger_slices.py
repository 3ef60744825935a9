"""Parts of the ledger's records, for proving the newest of them and some of the old ones at a time.

The records are formed as `corridor verify` forms them (`verification`), and counters are derived as
of a sequence as the history does it (`history_sql`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from node.core.proof.accounts import Counters, StoredAccount
from node.core.proof.chain import Numbered
from node.core.proof.records import BatchRow, HeadRow
from node.store import verification
from node.store.database import Connection
from node.store.history_sql import MOVED

_OPENINGS: Final = f"""
SELECT * FROM ({verification.OPENINGS}) AS opening (batch, record)
WHERE batch BETWEEN $1 AND $2 ORDER BY batch, record
"""  # noqa: S608 - constants
_RECORDS: Final = f"""
SELECT * FROM ({verification.RECORDS}) AS record (sequence, record)
WHERE sequence BETWEEN $1 AND $2 ORDER BY sequence
"""  # noqa: S608 - constants
_BATCH: Final = f"""
SELECT * FROM ({verification.BATCHES}) AS batch WHERE number = $1
"""  # noqa: S608 - constants
_BATCHES_MAX: Final = 10_000
_AFTER: Final = f"""
WITH next AS (
    SELECT * FROM ({verification.BATCHES}) AS batch WHERE number > $1
    ORDER BY number LIMIT {_BATCHES_MAX}
), summed AS (
    SELECT next.*, sum(last_sequence - first_sequence + 1) OVER (ORDER BY number) AS total FROM next
)
SELECT * FROM summed WHERE total <= $2 OR number = (SELECT min(number) FROM next) ORDER BY number
"""  # noqa: S608 - constants
_MOVED_ACCOUNTS: Final = """
WITH moving AS (
    SELECT debit_account_id AS debit, credit_account_id AS credit FROM entry
    WHERE sequence BETWEEN $1 AND $2
    UNION ALL
    SELECT e.debit_account_id, e.credit_account_id FROM ledger_resolution r
    CROSS JOIN LATERAL (SELECT * FROM entry WHERE sequence = r.pending_sequence OFFSET 0) AS e
    WHERE r.sequence BETWEEN $1 AND $2
)
SELECT debit FROM moving UNION SELECT credit FROM moving
"""
_COUNTERS: Final = """
SELECT l.sequence, a.id, a.path, a.debits_pending, a.debits_posted, a.credits_pending,
    a.credits_posted
FROM ledger l LEFT JOIN account a ON a.id = ANY($1::bigint[])
"""
_BASES: Final = """
SELECT c.sequence, k.account_id, k.debits_pending, k.debits_posted, k.credits_pending,
    k.credits_posted
FROM (SELECT coalesce(max(sequence), 0) AS sequence FROM ledger_checkpoint) AS c
LEFT JOIN LATERAL (
    SELECT newest.* FROM unnest($1::bigint[]) AS asked (id) CROSS JOIN LATERAL (
        SELECT * FROM account_checkpoint WHERE account_id = asked.id AND sequence <= c.sequence
        ORDER BY sequence DESC LIMIT 1) AS newest
) AS k ON true
"""


class LedgerSliceStore:
    """The ledger's part of `node.core.ports.comparisons.ComparisonRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def head(self) -> HeadRow:
        """Where the ledger stands."""
        rows = await self._raw.fetch(verification.HEADS)
        return HeadRow(*rows[0])

    async def batch(self, number: int) -> BatchRow | None:
        """One batch."""
        row = await self._raw.fetchrow(_BATCH, number)
        return None if row is None else BatchRow(*row)

    async def batches(self, above: int, sequences_max: int) -> Sequence[BatchRow]:
        """Batches after `above` with at most so many sequences in all; at least one if any is."""
        rows = await self._raw.fetch(_AFTER, above, sequences_max)
        return [BatchRow(*tuple(row)[:5]) for row in rows]

    async def openings(self, first: int, last: int) -> Sequence[Numbered]:
        """Batch and record of the accounts that these batches opened."""
        return [(row[0], row[1]) for row in await self._raw.fetch(_OPENINGS, first, last)]

    async def records(self, first: int, last: int) -> Sequence[Numbered]:
        """Sequence and record of every ledger transaction and resolution of these sequences."""
        return [(row[0], row[1]) for row in await self._raw.fetch(_RECORDS, first, last)]

    async def moved_accounts(self, first: int, last: int) -> Sequence[int]:
        """Accounts that entries or resolutions of these sequences name."""
        return [row[0] for row in await self._raw.fetch(_MOVED_ACCOUNTS, first, last)]

    async def accounts_after(self, account: int, limit: int) -> Sequence[int]:
        """The next accounts by number."""
        rows = await self._raw.fetch(
            "SELECT id FROM account WHERE id > $1 ORDER BY id LIMIT $2", account, limit
        )
        return [row[0] for row in rows]

    async def counters(self, accounts: Sequence[int]) -> tuple[int, Sequence[StoredAccount]]:
        """The newest sequence and the counters of these accounts, at one instant."""
        rows = await self._raw.fetch(_COUNTERS, list(accounts))
        found = [
            StoredAccount(row["id"], row["path"], _counters(row))
            for row in rows
            if row["id"] is not None
        ]
        return int(rows[0]["sequence"]), found

    async def bases(self, accounts: Sequence[int]) -> tuple[int, Mapping[int, Counters]]:
        """Sequence of the newest checkpoint (0: none), and these accounts' counters in it."""
        rows = await self._raw.fetch(_BASES, list(accounts))
        found = {row["account_id"]: _counters(row) for row in rows if row["account_id"] is not None}
        return int(rows[0]["sequence"]), found

    async def moved(self, accounts: Sequence[int], after: int, upto: int) -> Mapping[int, Counters]:
        """How far the entries of (after, upto] moved the four counters of these accounts."""
        rows = await self._raw.fetch(MOVED, list(accounts), after, after, upto)
        return {row["account_id"]: _counters(row) for row in rows}


def _counters(row: Mapping[str, Any]) -> Counters:
    return (
        int(row["debits_pending"]),
        int(row["debits_posted"]),
        int(row["credits_pending"]),
        int(row["credits_posted"]),
    )
