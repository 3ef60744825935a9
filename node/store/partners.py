"""Terms of partners, their keys and what they paid in, in PostgreSQL.

Customers and credentials in general are in `node.store.parties`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import Select, Table, select, tuple_

from node.core.errors import CreditLineUsed
from node.core.ledger import partner_account
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Caller, Credential, Partner
from node.core.partners import PartnerLimit, Prefunding, SigningKey
from node.store.database import Connection, Row, savepoint
from node.store.parties import credential_of, partner_of
from node.store.tables import credential, partner, prefunding, signing_key

_CALLER: Final = """
SELECT c.*, p.id AS under, p.name AS partner_name, p.created_at AS partner_created_at, p.country,
    p.status, p.requires_signature, p.spread_bps, p.version
FROM credential c LEFT JOIN customer u ON u.id = c.customer_id
LEFT JOIN partner p ON p.id = coalesce(c.partner_id, u.partner_id)
WHERE c.secret_hash = $1
"""
_NOTE_USE: Final = """
UPDATE credential SET last_used_at = now() WHERE id = $1
    AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""
_LIVE_KEYS: Final = """
SELECT count(*) FROM {} WHERE partner_id = $1 AND name = $2 AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now())
"""
_LIMITS_OF: Final = """
SELECT l.* FROM unnest($1::uuid[], $2::text[]) AS wanted (partner_id, asset)
JOIN partner_limit l USING (partner_id, asset)
"""
# What ended without a payment gives its share back. A refund is a partner's own money that goes
# back to it: no sale.
_SOLD: Final = """
WITH wanted (partner_id, asset) AS (SELECT DISTINCT * FROM unnest($1::uuid[], $2::text[])),
sold (partner_id, asset, amount) AS (
    SELECT u.partner_id, t.sell_asset, t.sell_amount
    FROM wanted JOIN customer u ON u.partner_id = wanted.partner_id
    JOIN transfer t ON t.customer_id = u.id AND t.sell_asset = wanted.asset AND t.created_at >= $3
    WHERE t.state NOT IN ('canceled', 'failed', 'expired', 'refunded')
        AND NOT EXISTS (SELECT FROM refund r WHERE r.transfer_id = t.id)
    UNION ALL
    SELECT p.partner_id, p.sell_asset, p.sell_amount
    FROM wanted JOIN payout p ON p.partner_id = wanted.partner_id
        AND p.sell_asset = wanted.asset AND p.created_at >= $3
    WHERE p.state NOT IN ('expired', 'refunded')
)
SELECT partner_id, asset, sum(amount)::bigint AS sold FROM sold GROUP BY 1, 2
"""
_SET_LIMIT: Final = """
INSERT INTO partner_limit (partner_id, asset, account, credit_line, sell_max, daily_sell_max)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partner_id, asset) DO UPDATE SET credit_line = excluded.credit_line,
    sell_max = excluded.sell_max, daily_sell_max = excluded.daily_sell_max
"""


class PartnerStore:
    """See `node.core.ports.partners.PartnerRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = connection.raw

    # ------------------------------------------------------------------------------------- partners

    async def caller_by_hash(self, secret_hash: bytes) -> Caller | None:
        """The credential of this hash with its partner."""
        row = await self._raw.fetchrow(_CALLER, secret_hash)
        if row is None:
            return None
        if row["under"] is None:
            return Caller(credential_of(row))
        under = dict(row) | {
            "id": row["under"],
            "name": row["partner_name"],
            "created_at": row["partner_created_at"],
        }
        return Caller(credential_of(row), partner_of(under))

    async def note_use(self, credential_id: UUID) -> None:
        """Remember that a credential was used now; at most once a minute."""
        await self._raw.execute(_NOTE_USE, credential_id)

    async def get(self, partner_id: UUID) -> Partner | None:
        """One partner."""
        row = await self._raw.fetchrow("SELECT * FROM partner WHERE id = $1", partner_id)
        return partner_of(row) if row else None

    async def lock(self, partner_id: UUID) -> Partner | None:
        """One partner, held until the end of the transaction."""
        row = await self._raw.fetchrow("SELECT * FROM partner WHERE id = $1 FOR UPDATE", partner_id)
        return partner_of(row) if row else None

    async def list(self, query: ListQuery) -> Page[Partner]:
        """Every partner, newest first."""
        rows = await self._page(partner, select(partner), query)
        return query.page([partner_of(row) for row in rows], _place)

    async def limits(self, partner_id: UUID) -> Sequence[PartnerLimit]:
        """What is agreed, by asset."""
        rows = await self._raw.fetch(
            "SELECT * FROM partner_limit WHERE partner_id = $1 ORDER BY asset", partner_id
        )
        return [_limit(row) for row in rows]

    async def limits_of(
        self, pairs: Sequence[tuple[UUID, str]]
    ) -> Mapping[tuple[UUID, str], PartnerLimit]:
        """Limits by partner and asset."""
        rows = await self._raw.fetch(_LIMITS_OF, *_columns(pairs))
        return {(row["partner_id"], row["asset"]): _limit(row) for row in rows}

    async def spreads(self, partner_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Spreads of their own, basis points."""
        rows = await self._raw.fetch(
            "SELECT id, spread_bps FROM partner WHERE id = ANY($1::uuid[])"
            " AND spread_bps IS NOT NULL",
            list(partner_ids),
        )
        return {row["id"]: row["spread_bps"] for row in rows}

    async def sold_since(
        self, pairs: Sequence[tuple[UUID, str]], since: datetime
    ) -> Mapping[tuple[UUID, str], int]:
        """What transfers of its customers, and payouts registered, sell since then, minor units."""
        rows = await self._raw.fetch(_SOLD, *_columns(pairs), since)
        return {(row["partner_id"], row["asset"]): row["sold"] for row in rows}

    async def change(
        self,
        partner: Partner,
        limits: Sequence[PartnerLimit],
        change: Mapping[str, object],
        made_by: str,
    ) -> None:
        """Store a partner's terms as they are now, and what changed; see the port."""
        await self._raw.execute(
            "UPDATE partner SET status = $2, requires_signature = $3, spread_bps = $4, version = $5"
            " WHERE id = $1",
            partner.id,
            partner.status.value,
            partner.requires_signature,
            partner.spread_bps,
            partner.version,
        )
        for each in limits:
            await self._set_limit(partner.id, each)
        await self._raw.execute(
            "INSERT INTO partner_change (partner_id, version, change, made_by)"
            " VALUES ($1, $2, $3::text::jsonb, $4)",
            partner.id,
            partner.version,
            orjson.dumps(dict(change)).decode(),
            made_by,
        )

    async def _set_limit(self, partner_id: UUID, limit: PartnerLimit) -> None:
        account = partner_account(partner_id, limit.asset)
        try:
            async with savepoint(self._raw):
                await self._raw.execute(
                    _SET_LIMIT,
                    partner_id,
                    limit.asset,
                    account,
                    limit.credit_line,
                    limit.sell_max,
                    limit.daily_sell_max,
                )
        except asyncpg.CheckViolationError as error:
            if error.constraint_name != "available_not_below_floor":
                raise
            raise CreditLineUsed(
                f"the partner uses more credit in {limit.asset} than the new line would allow"
            ) from error

    # ----------------------------------------------------------------------------------------- keys

    async def credentials(self, partner_id: UUID, query: ListQuery) -> Page[Credential]:
        """Keys of a partner, newest first."""
        own = select(credential).where(credential.c.partner_id == partner_id)
        rows = await self._page(credential, own, query)
        return query.page([credential_of(row) for row in rows], _place)

    async def credential(self, credential_id: UUID) -> Credential | None:
        """One key."""
        row = await self._raw.fetchrow("SELECT * FROM credential WHERE id = $1", credential_id)
        return credential_of(row) if row else None

    async def live_keys(self, partner_id: UUID, name: str) -> int:
        """How many keys of this name work."""
        count: int = await self._raw.fetchval(_LIVE_KEYS.format("credential"), partner_id, name)
        return count

    async def add_signing_key(self, key: SigningKey) -> None:
        """Store one."""
        await self._raw.execute(
            "INSERT INTO signing_key (id, partner_id, name, public_key, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            key.id,
            key.partner_id,
            key.name,
            key.public_key,
            key.created_at,
            key.expires_at,
        )

    async def signing_key(self, key_id: UUID) -> SigningKey | None:
        """One signing key, revoked and expired ones included."""
        row = await self._raw.fetchrow("SELECT * FROM signing_key WHERE id = $1", key_id)
        return _signing_key(row) if row else None

    async def signing_keys(self, partner_id: UUID, query: ListQuery) -> Page[SigningKey]:
        """Signing keys of a partner, newest first."""
        own = select(signing_key).where(signing_key.c.partner_id == partner_id)
        rows = await self._page(signing_key, own, query)
        return query.page([_signing_key(row) for row in rows], _place)

    async def live_signing_keys(self, partner_id: UUID, name: str) -> int:
        """How many signing keys of this name work."""
        count: int = await self._raw.fetchval(_LIVE_KEYS.format("signing_key"), partner_id, name)
        return count

    async def revoke_signing_key(self, key_id: UUID) -> None:
        """Revoke; revoking twice keeps the first time."""
        await self._raw.execute(
            "UPDATE signing_key SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1", key_id
        )

    async def take_nonce(self, partner_id: UUID, nonce: str, expires_at: datetime) -> bool:
        """Use up a nonce; False: it was used before. Some that have expired are forgotten."""
        await self._raw.execute("SELECT forget_request_nonces()")
        taken = await self._raw.fetchval(
            "INSERT INTO request_nonce (partner_id, nonce, expires_at) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING RETURNING true",
            partner_id,
            nonce,
            expires_at,
        )
        return taken is not None

    # ------------------------------------------------------------------------------------- paid in

    async def prefunding_at(self, rail: str, reference: str) -> UUID | None:
        """The prefunding that was booked with this reference of a rail."""
        found: UUID | None = await self._raw.fetchval(
            "SELECT id FROM prefunding WHERE rail = $1 AND reference = $2", rail, reference
        )
        return found

    async def add_prefunding(self, prefunding: Prefunding) -> None:
        """Store one."""
        await self._raw.execute(
            "INSERT INTO prefunding (id, partner_id, asset, amount, rail, reference, made_by,"
            " ledger_sequence, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            prefunding.id,
            prefunding.partner_id,
            prefunding.asset,
            prefunding.amount,
            prefunding.rail,
            prefunding.reference,
            prefunding.made_by,
            prefunding.ledger_sequence,
            prefunding.created_at,
        )

    async def prefundings(self, partner_id: UUID, query: ListQuery) -> Page[Prefunding]:
        """What a partner paid in, newest first."""
        own = select(prefunding).where(prefunding.c.partner_id == partner_id)
        rows = await self._page(prefunding, own, query)
        return query.page([Prefunding(**dict(row)) for row in rows], _place)

    async def _page(self, table: Table, statement: Select[Any], query: ListQuery) -> Sequence[Row]:
        statement = statement.order_by(table.c.created_at.desc(), table.c.id.desc())
        if position := query.position():
            statement = statement.where(
                tuple_(table.c.created_at, table.c.id) < tuple_(position.created_at, position.uuid)
            )
        found = await self._connection.sql.execute(statement.limit(query.limit + 1))
        rows: Sequence[Row] = found.mappings().all()
        return rows


def _columns(pairs: Sequence[tuple[UUID, str]]) -> tuple[list[UUID], list[str]]:
    return [each for each, _ in pairs], [asset for _, asset in pairs]


def _place(row: Partner | Credential | SigningKey | Prefunding) -> Position:
    return Position(row.created_at, row.id.int)


def _limit(row: Row) -> PartnerLimit:
    return PartnerLimit(row["asset"], row["credit_line"], row["sell_max"], row["daily_sell_max"])


def _signing_key(row: Row) -> SigningKey:
    return SigningKey(
        row["id"],
        row["partner_id"],
        row["name"],
        row["public_key"],
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
    )
