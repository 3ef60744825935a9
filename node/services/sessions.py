"""Operators in a browser: a key is given once, and a session stands for it for some hours.

The browser keeps a random token, the store its hash, neither of them the key. Every request looks
the session up with its key's credential, so whatever ends the key ends the session at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from node.core.errors import Forbidden, Unauthenticated
from node.core.parties import Credential, Principal, Role
from node.core.ports import UnitOfWork
from node.services.parties import hash_of

LIFETIME: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just begun.

    Attributes:
        token: For the browser; shown this once and stored nowhere.
    """

    token: str
    expires_at: datetime


class SessionService:
    """Begins, finds and ends sessions."""

    def __init__(self, units: UnitOfWork, new_secret: Callable[[], str]) -> None:
        self._units = units
        self._new_secret = new_secret

    async def sign_in(self, key: str) -> NewSession:
        """Begin a session by an operator's key.

        The look-up is by the SHA-256 of the key, so its time tells nothing about the key.

        Raises:
            Unauthenticated: The key is not known, revoked or expired.
            Forbidden: It is a partner's or a remitter's.
        """
        async with self._units() as unit:
            credential = await unit.parties.credential_by_hash(hash_of(key))
            if credential is None or not _is_valid(credential, unit.now):
                raise Unauthenticated("this key is not known, or does not work any more")
            if credential.principal.role is not Role.OPERATOR:
                raise Forbidden(
                    "this key is not an operator's", role=str(credential.principal.role)
                )
            token = self._new_secret()
            session = await unit.sessions.add(hash_of(token), credential.id, LIFETIME)
        return NewSession(token, session.expires_at)

    async def principal(self, token: str) -> Principal | None:
        """Whose session this is; None: it is none, it has ended, or its key has."""
        async with self._units() as unit:
            found = await unit.sessions.get(hash_of(token))
            if found is None or found.revoked_at is not None or found.expires_at <= unit.now:
                return None
            if not _is_valid(found.credential, unit.now):
                return None
        owner = found.credential.principal
        return owner if owner.role is Role.OPERATOR else None

    async def sign_out(self, token: str) -> None:
        """End a session, for ever."""
        async with self._units() as unit:
            await unit.sessions.revoke(hash_of(token))


def _is_valid(credential: Credential, now: datetime) -> bool:
    if credential.revoked_at is not None:
        return False
    return credential.expires_at is None or credential.expires_at > now
