"""Debts and holders in PostgreSQL, for a proof of reserves."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from node.core.ports.reserves import Debt, Holder
from node.core.units import Address
from node.store.database import Connection, planned_now

_PAGE_ROWS: Final = 5000
_DEBTS: Final = """
SELECT split_part(path, '/', 1) AS kind, path,
    CASE WHEN starts_with(path, 'in_flight/') THEN credits_pending
         ELSE credits_posted - debits_posted END AS minor
FROM account
WHERE asset = $1
  AND split_part(path, '/', 1) IN ('customer', 'partner', 'payout_due', 'suspense', 'in_flight')
ORDER BY path
"""
_HOLDERS: Final = """
WITH holder AS (
    SELECT 'chain/' || $1 || '/0x' || encode(address, 'hex') || '/' || asset AS path
    FROM chain_holding WHERE chain_id = $1::bigint AND asset = $2
    UNION
    SELECT path FROM account WHERE asset = $2 AND starts_with(path, 'chain/' || $1 || '/')
)
SELECT decode(substr(split_part(path, '/', 3), 3), 'hex') AS address,
    coalesce(a.debits_posted - a.credits_posted, 0) AS minor, EXISTS (
        SELECT FROM deposit_address d WHERE d.chain_id = $1::bigint
        AND d.address = decode(substr(split_part(path, '/', 3), 3), 'hex')) AS is_deposit
FROM holder LEFT JOIN account a USING (path) ORDER BY 1
"""


class ReservesStore:
    """See `node.core.ports.reserves.ReservesRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def debts(self, asset: str) -> AsyncIterator[Sequence[Debt]]:
        """Every account of customers, partners and others who are owed money, in pages."""
        await self._raw.execute("SET LOCAL enable_seqscan = on")  # it does read everything
        cursor = await planned_now(self._raw, _DEBTS, asset)
        while rows := await cursor.fetch(_PAGE_ROWS):
            yield [Debt(row["kind"], _account(row["path"]), row["minor"]) for row in rows]

    async def holders(self, chain_id: int, asset: str) -> Sequence[Holder]:
        """Every address that mirror or ledger know to have held the asset, by address."""
        rows = await self._raw.fetch(_HOLDERS, str(chain_id), asset)
        return [Holder(Address(row["address"]), row["minor"], row["is_deposit"]) for row in rows]


def _account(path: str) -> str:
    """What the creditor is called: customers and partners by the id they know."""
    word, _, rest = path.partition("/")
    return rest.partition("/")[0] if word in ("customer", "partner") else path
