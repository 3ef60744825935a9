"""Operators' sessions in a browser, in the store."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from node.core.parties import Credential


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that was given an operator's key.

    Attributes:
        credential: The key, as it is now: a session lives no longer than its key.
        revoked_at: When its operator signed out, if that was.
    """

    credential: Credential
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class SessionRepository(Protocol):
    """Sessions, by the hash of their token."""

    async def add(self, token_hash: bytes, credential_id: UUID, lifetime: timedelta) -> Session:
        """Store a new session; `token_hash`: SHA-256 of its token."""
        ...

    async def get(self, token_hash: bytes) -> Session | None:
        """A session with its credential, ended ones included."""
        ...

    async def revoke(self, token_hash: bytes) -> None:
        """End a session; one that has ended, or never was, is passed over."""
        ...
