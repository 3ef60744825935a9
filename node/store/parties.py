"""Partners, customers and credentials in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy import select, tuple_

from node.core.errors import NameTaken
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Credential, Customer, Partner, Principal, Role
from node.store.database import Connection, Row, savepoint
from node.store.tables import credential, customer, partner


class PartyStore:
    """See `node.core.ports.parties.PartyRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.sql
        self._raw = connection.raw

    async def add_partner(self, partner: Partner) -> None:
        """Store a partner."""
        try:
            async with savepoint(self._raw):
                await self._raw.execute(
                    "INSERT INTO partner (id, name) VALUES ($1, $2)", partner.id, partner.name
                )
        except asyncpg.UniqueViolationError as error:
            raise NameTaken(f"there is a partner named {partner.name!r}") from error

    async def partners(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Those of these ids that are partners."""
        rows = await self._raw.fetch("SELECT id FROM partner WHERE id = ANY($1::uuid[])", list(ids))
        return frozenset(row["id"] for row in rows)

    async def partner_named(self, name: str) -> Partner | None:
        """The partner of this name."""
        row = (
            (await self._sql.execute(select(partner).where(partner.c.name == name)))
            .mappings()
            .first()
        )
        return Partner(row["id"], row["name"]) if row else None

    async def add_customer(self, customer: Customer) -> None:
        """Store a customer."""
        await self._raw.execute(
            "INSERT INTO customer (id, partner_id, name, country, email, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            customer.id,
            customer.partner_id,
            customer.name,
            customer.country,
            customer.email,
            customer.created_at,
        )

    async def customers(self, ids: Sequence[UUID]) -> Mapping[UUID, Customer]:
        """Customers by id; those that do not exist are left out."""
        rows = await self._raw.fetch("SELECT * FROM customer WHERE id = ANY($1::uuid[])", list(ids))
        return {row["id"]: _customer(row) for row in rows}

    async def list_customers(self, principal: Principal, query: ListQuery) -> Page[Customer]:
        """Customers that exist for this principal, newest first."""
        statement = select(customer).order_by(customer.c.created_at.desc(), customer.c.id.desc())
        match principal.role:
            case Role.PARTNER:
                statement = statement.where(customer.c.partner_id == principal.partner_id)
            case Role.REMITTER:
                statement = statement.where(customer.c.id == principal.customer_id)
            case Role.OPERATOR:
                pass
        if position := query.position():
            statement = statement.where(
                tuple_(customer.c.created_at, customer.c.id)
                < tuple_(position.created_at, position.uuid)
            )
        rows = (await self._sql.execute(statement.limit(query.limit + 1))).mappings()
        return query.page(
            [_customer(row) for row in rows], lambda row: Position(row.created_at, row.id.int)
        )

    async def add_credential(
        self,
        credential_id: UUID,
        principal: Principal,
        secret_hash: bytes,
        expires_at: datetime | None,
    ) -> Credential:
        """Store a credential; `secret_hash` is the SHA-256 of the secret."""
        row = await self._raw.fetchrow(
            "INSERT INTO credential (id, secret_hash, role, partner_id, customer_id, name,"
            " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
            credential_id,
            secret_hash,
            principal.role.value,
            principal.partner_id,
            principal.customer_id,
            principal.name,
            expires_at,
        )
        assert row is not None
        return _credential(row)

    async def credential_by_hash(self, secret_hash: bytes) -> Credential | None:
        """The credential whose secret has this hash, revoked and expired ones included."""
        row = await self._raw.fetchrow(
            "SELECT * FROM credential WHERE secret_hash = $1", secret_hash
        )
        return _credential(row) if row else None

    async def list_credentials(self) -> Sequence[Credential]:
        """Every credential, newest first."""
        statement = select(credential).order_by(
            credential.c.created_at.desc(), credential.c.id.desc()
        )
        return [_credential(row) for row in (await self._sql.execute(statement)).mappings()]

    async def revoke_credential(self, credential_id: UUID) -> bool:
        """Revoke; False when there is no such credential."""
        found = await self._raw.fetchval(
            "UPDATE credential SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1"
            " RETURNING id",
            credential_id,
        )
        return found is not None


def _customer(row: Row) -> Customer:
    return Customer(
        row["id"], row["partner_id"], row["name"], row["country"], row["email"], row["created_at"]
    )


def _credential(row: Row) -> Credential:
    return Credential(
        row["id"],
        Principal(Role(row["role"]), row["name"], row["partner_id"], row["customer_id"]),
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
    )
