"""Operators' sessions in PostgreSQL."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.errors import InvariantBroken
from node.core.parties import Credential, Principal, Role
from node.core.ports.sessions import Session
from node.store.database import Connection

_ADD: Final = """
INSERT INTO operator_session (hash, credential_id, expires_at) VALUES ($1, $2, now() + $3)
"""
_GET: Final = """
SELECT s.created_at, s.expires_at, s.revoked_at, c.id, c.role, c.partner_id, c.customer_id, c.name,
    c.created_at AS made_at, c.expires_at AS ends_at, c.revoked_at AS ended_at
FROM operator_session s JOIN credential c ON c.id = s.credential_id WHERE s.hash = $1
"""


class SessionStore:
    """See `node.core.ports.sessions.SessionRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def add(self, token_hash: bytes, credential_id: UUID, lifetime: timedelta) -> Session:
        """Store a new session; `token_hash`: SHA-256 of its token."""
        await self._raw.execute(_ADD, token_hash, credential_id, lifetime)
        found = await self.get(token_hash)
        if found is None:
            raise InvariantBroken("a session vanished")
        return found

    async def get(self, token_hash: bytes) -> Session | None:
        """A session with its credential, ended ones included."""
        row = await self._raw.fetchrow(_GET, token_hash)
        if row is None:
            return None
        owner = Principal(Role(row["role"]), row["name"], row["partner_id"], row["customer_id"])
        credential = Credential(row["id"], owner, row["made_at"], row["ends_at"], row["ended_at"])
        return Session(credential, row["created_at"], row["expires_at"], row["revoked_at"])

    async def revoke(self, token_hash: bytes) -> None:
        """End a session; one that has ended, or never was, is passed over."""
        await self._raw.execute(
            "UPDATE operator_session SET revoked_at = now() WHERE hash = $1 AND revoked_at IS NULL",
            token_hash,
        )
