"""Reports about transfers, in PostgreSQL. Each reads the rows of its period by an index."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from node.core.parties import Principal, Role
from node.core.ports.reports import CostLine, PayoutLine
from node.core.transfers import State
from node.core.units import Address, TxHash
from node.store.amount_rows import amounts_of
from node.store.database import Connection

_OWN: Final[dict[Role, str]] = {
    Role.OPERATOR: "$1::uuid IS NULL",
    Role.PARTNER: (
        "(SELECT partner_id FROM customer WHERE customer.id = t.customer_id) = $1::uuid"
    ),
    Role.REMITTER: "t.customer_id = $1::uuid",
}
_COSTS: Final = """
SELECT t.id, t.customer_id, t.client_reference, t.state, t.sell_asset, t.sell_amount,
    t.service_fee, t.network_fee, t.spread_amount, t.buy_asset, t.buy_amount, t.created_at,
    q.mid_rate, q.spread_bps
FROM transfer t
CROSS JOIN LATERAL (SELECT mid_rate, spread_bps FROM quote WHERE id = t.quote_id OFFSET 0) AS q
WHERE {own} AND t.created_at >= $2 AND t.created_at < $3
ORDER BY t.created_at, t.id LIMIT $4
"""
_PAYOUTS: Final = """
SELECT t.id, t.customer_id, t.client_reference, t.state, t.updated_at, t.chain_id, t.contract,
    t.payment_number, t.tx_hash, t.block_number, t.beneficiary_address, t.buy_asset, t.buy_amount,
    (SELECT a.slot_id FROM attempt a WHERE a.tx_hash = t.tx_hash) AS slot_id
FROM transfer t
WHERE {own} AND t.state IN ('settled', 'paid_out') AND t.updated_at >= $2 AND t.updated_at < $3
ORDER BY t.updated_at, t.id LIMIT $4
"""


class ReportStore:
    """See `node.core.ports.reports.ReportRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def costs(
        self, principal: Principal, start: datetime, end: datetime, limit: int
    ) -> Sequence[CostLine]:
        """Transfers that were accepted in a period, at most so many."""
        query = _COSTS.format(own=_OWN[principal.role])
        rows = await self._raw.fetch(query, _owner(principal), start, end, limit)
        return [
            CostLine(
                row["id"],
                row["customer_id"],
                row["client_reference"],
                State(row["state"]),
                amounts_of(row),
                row["mid_rate"],
                row["spread_bps"],
                row["created_at"],
            )
            for row in rows
        ]

    async def payouts(
        self, principal: Principal, start: datetime, end: datetime, limit: int
    ) -> Sequence[PayoutLine]:
        """Transfers that were completed in a period, at most so many."""
        query = _PAYOUTS.format(own=_OWN[principal.role])
        rows = await self._raw.fetch(query, _owner(principal), start, end, limit)
        return [
            PayoutLine(
                row["id"],
                row["customer_id"],
                row["client_reference"],
                State(row["state"]),
                row["updated_at"],
                row["chain_id"],
                Address(row["contract"]),
                row["payment_number"],
                TxHash(row["tx_hash"]) if row["tx_hash"] else None,
                row["block_number"],
                row["slot_id"],
                Address(row["beneficiary_address"]),
                row["buy_asset"],
                row["buy_amount"],
            )
            for row in rows
        ]


def _owner(principal: Principal) -> UUID | None:
    if principal.role is Role.OPERATOR:
        return None
    return principal.partner_id or principal.customer_id
