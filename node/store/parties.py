"""Partners, customers and credentials in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import select, tuple_

from node.core.errors import NameTaken
from node.core.paging import ListQuery, Page, Position
from node.core.parties import (
    Credential,
    Customer,
    Partner,
    PartnerStatus,
    Principal,
    Role,
    Scope,
)
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
                    "INSERT INTO partner (id, name, created_at, country, requires_signature,"
                    " spread_bps) VALUES ($1, $2, $3, $4, $5, $6)",
                    partner.id,
                    partner.name,
                    partner.created_at,
                    partner.country,
                    partner.requires_signature,
                    partner.spread_bps,
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
        return partner_of(row) if row else None

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
        networks: Sequence[str] = (),
    ) -> Credential:
        """Store a credential; `secret_hash` is the SHA-256 of the secret."""
        row = await self._raw.fetchrow(
            "INSERT INTO credential (id, secret_hash, role, partner_id, customer_id, name,"
            " expires_at, scopes, networks) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            " RETURNING *",
            credential_id,
            secret_hash,
            principal.role.value,
            principal.partner_id,
            principal.customer_id,
            principal.name,
            expires_at,
            None if principal.scopes is None else sorted(principal.scopes),
            list(networks),
        )
        assert row is not None
        return credential_of(row)

    async def credential_by_hash(self, secret_hash: bytes) -> Credential | None:
        """The credential whose secret has this hash, revoked and expired ones included."""
        row = await self._raw.fetchrow(
            "SELECT * FROM credential WHERE secret_hash = $1", secret_hash
        )
        return credential_of(row) if row else None

    async def list_credentials(self) -> Sequence[Credential]:
        """Every credential, newest first."""
        statement = select(credential).order_by(
            credential.c.created_at.desc(), credential.c.id.desc()
        )
        return [credential_of(row) for row in (await self._sql.execute(statement)).mappings()]

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


def credential_of(row: Row) -> Credential:
    """A credential of a row of its table."""
    scopes = None if row["scopes"] is None else frozenset(map(Scope, row["scopes"]))
    return Credential(
        row["id"],
        Principal(Role(row["role"]), row["name"], row["partner_id"], row["customer_id"], scopes),
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
        tuple(row["networks"]),
        row["last_used_at"],
    )


def partner_of(row: Mapping[str, Any] | Row) -> Partner:
    """A partner of a row of its table."""
    return Partner(
        row["id"],
        row["name"],
        row["created_at"],
        row["country"],
        PartnerStatus(row["status"]),
        row["requires_signature"],
        row["spread_bps"],
        row["version"],
    )
