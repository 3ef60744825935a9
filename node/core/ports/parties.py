"""Partners, customers and credentials in the store."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.paging import ListQuery, Page
from node.core.parties import Credential, Customer, Partner, Principal


class PartyRepository(Protocol):
    """Partners, customers, credentials."""

    async def add_partner(self, partner: Partner) -> None:
        """Store a partner.

        Raises:
            NameTaken: Another partner has this name.
        """
        ...

    async def partners(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Those of these ids that are partners."""
        ...

    async def partner_named(self, name: str) -> Partner | None:
        """The partner of this name."""
        ...

    async def add_customer(self, customer: Customer) -> None:
        """Store a customer."""
        ...

    async def customers(self, ids: Sequence[UUID]) -> Mapping[UUID, Customer]:
        """Customers by id; those that do not exist are left out."""
        ...

    async def list_customers(self, principal: Principal, query: ListQuery) -> Page[Customer]:
        """Customers that exist for this principal, newest first."""
        ...

    async def add_credential(
        self,
        credential_id: UUID,
        principal: Principal,
        secret_hash: bytes,
        expires_at: datetime | None,
        networks: Sequence[str] = (),
    ) -> Credential:
        """Store a credential; `secret_hash` is the SHA-256 of the secret."""
        ...

    async def credential_by_hash(self, secret_hash: bytes) -> Credential | None:
        """The credential whose secret has this hash, revoked and expired ones included."""
        ...

    async def list_credentials(self) -> Sequence[Credential]:
        """Every credential, newest first."""
        ...

    async def revoke_credential(self, credential_id: UUID) -> bool:
        """Revoke; False when there is no such credential. Revoking twice keeps the first time."""
        ...
