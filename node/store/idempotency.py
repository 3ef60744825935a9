"""Answers kept for repeated requests, in PostgreSQL."""

import hashlib
from collections.abc import Mapping, Sequence

import asyncpg

from node.core.ports.idempotency import Answer, Claim, StoredAnswer
from node.store.database import Connection, savepoint

_FIND = """
SELECT i.* FROM idempotency i JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS wanted (principal, method, path, key) USING (principal, method, path, key)
"""
_REMEMBER = """
INSERT INTO idempotency (principal, method, path, key, request_hash, status, body, location)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[],
                     $6::smallint[], $7::bytea[], $8::text[])
"""


class IdempotencyStore:
    """See `node.core.ports.idempotency.IdempotencyRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def find(
        self, claims: Sequence[Claim]
    ) -> Mapping[tuple[str, str, str, str], StoredAnswer]:
        """The answers there are, by `Claim.scope`."""
        rows = await self._raw.fetch(_FIND, *_columns(claims))
        return {
            (row["principal"], row["method"], row["path"], row["key"]): StoredAnswer(
                row["request_hash"],
                Answer(row["status"], row["body"], row["location"], replayed=True),
            )
            for row in rows
        }

    async def remember(self, answers: Sequence[tuple[Claim, Answer]]) -> None:
        """Keep the answers."""
        if not answers:
            return
        await self._raw.execute(
            _REMEMBER,
            *_columns([claim for claim, _ in answers]),
            [claim.request_hash for claim, _ in answers],
            [answer.status for _, answer in answers],
            [answer.body for _, answer in answers],
            [answer.location for _, answer in answers],
        )

    async def lock(self, claim: Claim, *, timeout_ms: int) -> bool:
        """Hold the claim until the end of the transaction; False when another holds it longer."""
        digest = hashlib.sha256("\0".join(claim.scope).encode()).digest()
        await self._raw.execute(f"SET LOCAL lock_timeout = {int(timeout_ms)}")
        try:
            async with savepoint(self._raw):
                await self._raw.execute(
                    "SELECT pg_advisory_xact_lock($1)", int.from_bytes(digest[:8], signed=True)
                )
        except asyncpg.LockNotAvailableError:
            return False
        await self._raw.execute("SET LOCAL lock_timeout TO DEFAULT")
        return True


def _columns(claims: Sequence[Claim]) -> tuple[list[str], list[str], list[str], list[str]]:
    return (
        [claim.principal for claim in claims],
        [claim.method for claim in claims],
        [claim.path for claim in claims],
        [claim.key for claim in claims],
    )
