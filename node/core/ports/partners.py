"""Terms of partners, their keys and what they paid in, in the store; signatures of requests."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.paging import ListQuery, Page
from node.core.parties import Caller, Credential, Partner
from node.core.partners import (
    PartnerLimit,
    Prefunding,
    SignatureClaim,
    SignedRequest,
    SigningKey,
)


class PartnerRepository(Protocol):
    """Partners as parties."""

    async def caller_by_hash(self, secret_hash: bytes) -> Caller | None:
        """The credential of this hash with its partner, revoked and expired ones included."""
        ...

    async def note_use(self, credential_id: UUID) -> None:
        """Remember that a credential was used now; at most once a minute."""
        ...

    async def get(self, partner_id: UUID) -> Partner | None:
        """One partner."""
        ...

    async def lock(self, partner_id: UUID) -> Partner | None:
        """One partner, held until the end of the transaction."""
        ...

    async def list(self, query: ListQuery) -> Page[Partner]:
        """Every partner, newest first."""
        ...

    async def limits(self, partner_id: UUID) -> Sequence[PartnerLimit]:
        """What is agreed, by asset."""
        ...

    async def limits_of(
        self, pairs: Sequence[tuple[UUID, str]]
    ) -> Mapping[tuple[UUID, str], PartnerLimit]:
        """Limits by partner and asset; where nothing is agreed, there is none."""
        ...

    async def spreads(self, partner_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Spreads of their own, basis points; partners without one are left out."""
        ...

    async def sold_since(
        self, pairs: Sequence[tuple[UUID, str]], since: datetime
    ) -> Mapping[tuple[UUID, str], int]:
        """What transfers of its customers, and payouts registered, sell since then, minor units.

        What ended without a payment, and refunds to the partner, are left out.
        """
        ...

    async def change(
        self,
        partner: Partner,
        limits: Sequence[PartnerLimit],
        change: Mapping[str, object],
        made_by: str,
    ) -> None:
        """Store a partner's terms as they are now, and what changed.

        Args:
            partner: With its new version.
            limits: Those that changed.
            change: What to remember of it.
            made_by: Principal.

        Raises:
            CreditLineUsed: A balance is further below 0 than its new line.
        """
        ...

    async def credentials(self, partner_id: UUID, query: ListQuery) -> Page[Credential]:
        """Keys of a partner, newest first."""
        ...

    async def credential(self, credential_id: UUID) -> Credential | None:
        """One key."""
        ...

    async def live_keys(self, partner_id: UUID, name: str) -> int:
        """How many keys of this name work."""
        ...

    async def add_signing_key(self, key: SigningKey) -> None:
        """Store one."""
        ...

    async def signing_key(self, key_id: UUID) -> SigningKey | None:
        """One signing key, revoked and expired ones included."""
        ...

    async def signing_keys(self, partner_id: UUID, query: ListQuery) -> Page[SigningKey]:
        """Signing keys of a partner, newest first."""
        ...

    async def live_signing_keys(self, partner_id: UUID, name: str) -> int:
        """How many signing keys of this name work."""
        ...

    async def revoke_signing_key(self, key_id: UUID) -> None:
        """Revoke; revoking twice keeps the first time."""
        ...

    async def take_nonce(self, partner_id: UUID, nonce: str, expires_at: datetime) -> bool:
        """Use up a nonce; False: it was used before. Some that have expired are forgotten."""
        ...

    async def prefunding_at(self, rail: str, reference: str) -> UUID | None:
        """The prefunding that was booked with this reference of a rail."""
        ...

    async def add_prefunding(self, prefunding: Prefunding) -> None:
        """Store one."""
        ...

    async def prefundings(self, partner_id: UUID, query: ListQuery) -> Page[Prefunding]:
        """What a partner paid in, newest first."""
        ...


class RequestSignatures(Protocol):
    """HTTP message signatures (RFC 9421), as an adapter reads and checks them."""

    def claim(self, request: SignedRequest, tag: str) -> SignatureClaim:
        """What the request's signature of this tag says of itself.

        Raises:
            SignatureInvalid: There is none, there are several, or it cannot be read.
        """
        ...

    def check(self, request: SignedRequest, claim: SignatureClaim, public_key: bytes) -> None:
        """Check the signature, and the digest of the body where it is covered.

        Args:
            request: As it came.
            claim: As `claim` read it.
            public_key: 32 bytes, ed25519.

        Raises:
            SignatureInvalid: It does not hold.
        """
        ...
