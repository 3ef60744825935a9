"""What is stored, read for `corridor verify`: the records of the ledger, and checks between tables.

Records are formed here from the tables and PostgreSQL's own functions, not from the views and
functions the ledger is written with, so that a mistake in those, or a change of them, is found.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final
from uuid import UUID

from node.core.ids import Prefix, encode_id
from node.core.ledger import customer_account
from node.core.proof.accounts import CheckpointRow, StoredAccount
from node.core.proof.chain import Numbered
from node.core.proof.findings import Difference
from node.core.proof.records import BatchRow, HeadRow
from node.store.database import Connection, Row, planned_now
from node.store.verification_checks import CHECKS, OWNERS

_PAGE_ROWS: Final = 5000
_OWNED: Final = {"transfer": Prefix.TRANSFER, "top_up": Prefix.TOP_UP}


def _time(column: str) -> str:
    return f"(CASE WHEN isfinite({column}) THEN extract(epoch FROM {column}) * 1000000 END)::bigint"


def _text(column: str) -> str:
    return f"int4send(octet_length(convert_to({column}, 'UTF8'))) || convert_to({column}, 'UTF8')"


# Each is NULL where a column holds what the record could not tell from something else.
HEADS: Final = f"""
SELECT CASE WHEN is_only THEN batch ELSE -1 END, coalesce(sequence, -1), coalesce(hash, ''),
    coalesce({_time("moved_at")}, -1) FROM ledger
"""  # noqa: S608 - constants
BATCHES: Final = f"""
SELECT number, first_sequence, last_sequence, {_time("created_at")}, hash
FROM ledger_batch ORDER BY number
"""  # noqa: S608 - constants
OPENINGS: Final = f"""
SELECT batch, '\\x41'::bytea || int8send(id) || uuid_send(public_id) || {_text("path")}
    || {_text("kind")} || {_text("asset")} || boolsend(floor IS NOT NULL)
    || int8send(coalesce(floor, 0)) || int8send({_time("created_at")})
FROM account ORDER BY batch, id
"""  # noqa: S608 - constants
RECORDS: Final = f"""
SELECT sequence, '\\x54'::bytea || int8send(sequence) || {_text("key")} || {_text("kind")}
    || boolsend(pending) || boolsend(transfer_id IS NOT NULL)
    || coalesce(uuid_send(transfer_id), decode(repeat('00', 16), 'hex'))
    || CASE WHEN length(salt) = 16 OR salt IS NULL AND detail = '{{}}'
       THEN sha256(coalesce(salt, ''::bytea) || convert_to(detail::text, 'UTF8')) END
    || int8send({_time("created_at")}) || (
        SELECT int4send(count(*)::integer) || coalesce(string_agg(
            int2send(position) || int8send(debit_account_id) || int8send(credit_account_id)
            || int8send(amount) || {_text("asset")}, ''::bytea ORDER BY position), ''::bytea)
        FROM entry e WHERE e.sequence = t.sequence
    ) AS record
FROM ledger_transaction t
UNION ALL
SELECT sequence, '\\x52'::bytea || int8send(sequence) || int8send(pending_sequence)
    || CASE outcome WHEN 'posted' THEN '\\x01'::bytea WHEN 'voided' THEN '\\x00'::bytea END
    || int8send({_time("created_at")})
FROM ledger_resolution
ORDER BY sequence
"""  # noqa: S608 - constants
_CHECKPOINTS: Final = """
SELECT coalesce(c.sequence, a.sequence, 0), a.account_id, a.debits_pending, a.debits_posted,
    a.credits_pending, a.credits_posted, c.sequence IS NOT NULL
FROM ledger_checkpoint c FULL JOIN account_checkpoint a ON a.sequence = c.sequence
ORDER BY 1, 2
"""
_ACCOUNTS: Final = """
SELECT id, path, debits_pending, debits_posted, credits_pending, credits_posted
FROM account ORDER BY id
"""
_OPEN: Final = """
SELECT sequence FROM ledger_transaction t WHERE pending
    AND NOT EXISTS (SELECT FROM ledger_resolution r WHERE r.pending_sequence = t.sequence)
"""


class VerificationStore:
    """See `node.core.ports.verification.VerificationRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw
        self._turn = asyncio.Lock()  # one connection answers one question at a time

    async def heads(self) -> Sequence[HeadRow]:
        """Every row that says where the ledger stands; there should be one."""
        return [HeadRow(*row) for row in await self._raw.fetch(HEADS)]

    async def batches(self) -> AsyncIterator[Sequence[BatchRow]]:
        """The chain, by number."""
        async for page in self._pages(BATCHES):
            yield [BatchRow(*row) for row in page]

    async def openings(self) -> AsyncIterator[Sequence[Numbered]]:
        """Batch and record of every account, by batch and account."""
        async for page in self._pages(OPENINGS):
            yield [(row[0], row[1]) for row in page]

    async def records(self) -> AsyncIterator[Sequence[Numbered]]:
        """Sequence and record of every ledger transaction and resolution, by sequence."""
        async for page in self._pages(RECORDS):
            yield [(row[0], row[1]) for row in page]

    async def checkpoints(self) -> AsyncIterator[Sequence[CheckpointRow]]:
        """Every stored checkpoint of an account, by sequence."""
        async for page in self._pages(_CHECKPOINTS):
            yield [
                CheckpointRow(row[0], row[1], (row[2], row[3], row[4], row[5]), is_listed=row[6])
                for row in page
            ]

    async def accounts(self) -> AsyncIterator[Sequence[StoredAccount]]:
        """Every account with its counters as stored, by number."""
        async for page in self._pages(_ACCOUNTS):
            yield [StoredAccount(row[0], row[1], (row[2], row[3], row[4], row[5])) for row in page]

    async def open_pendings(self) -> AsyncIterator[Sequence[int]]:
        """Sequences of the pending ledger transactions that are open by the tables."""
        async for page in self._pages(_OPEN):
            yield [row[0] for row in page]

    @property
    def checks(self) -> Sequence[tuple[str, str]]:
        """Name of each check on other tables and what it holds, in words."""
        return [(name, check.meaning) for name, check in CHECKS.items()]

    async def differences(self, check: str, limit: int) -> Sequence[Difference]:
        """The first differences such a check finds; none when it holds."""
        await self._raw.execute("SET LOCAL enable_seqscan = on")  # it does read everything
        found: list[Difference] = []
        async with aclosing(self._pages(CHECKS[check].sql)) as pages:
            async for page in pages:
                found += filter(None, (_difference(check, row) for row in page))
                if len(found) >= limit:
                    break
        return found[:limit]

    async def count_transfers(self) -> int:
        """How many transfers there are."""
        count: int = await self._raw.fetchval("SELECT count(*) FROM transfer")
        return count

    async def _pages(self, query: str) -> AsyncGenerator[list[Row]]:
        cursor = None
        while True:
            async with self._turn:
                cursor = cursor or await planned_now(self._raw, query)
                page = await cursor.fetch(_PAGE_ROWS)
            if not page:
                return
            yield page


def _difference(check: str, row: Row) -> Difference | None:
    subject, expected, prefix = row["subject"], row.get("expected"), CHECKS[check].prefix
    if check == OWNERS:
        expected, asset = "an account of a customer", row["asset"]
        if row["customer_id"] is not None and asset is not None:
            expected = customer_account(row["customer_id"], asset)
        if row["actual"] == expected:
            return None
        subject, prefix = UUID(subject), _OWNED[row["kind"]]
    if isinstance(subject, UUID):
        subject = encode_id(prefix, subject)
    evidence = () if row["evidence"] is None else (row["evidence"],)
    if subject is None:
        subject = row["evidence"]
    return Difference(check, str(subject), str(expected), str(row["actual"]), evidence)
