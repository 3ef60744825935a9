"""Blocks and logs of the mirror in PostgreSQL, for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from node.core.ids import Prefix, encode_id
from node.core.ports.mirror_views import BlockView, LogView
from node.core.units import BlockHash, TxHash
from node.store.database import Connection
from node.store.mirror_rows import EVENT_NUMBER

_LOGS: Final = f"""
SELECT block_hash, log_index, tx_hash, 'transfer' AS what, amount, cause, ledger_sequence,
    jsonb_build_object('from', '0x' || encode(from_address, 'hex'),
                       'to', '0x' || encode(to_address, 'hex')) AS facts, NULL::uuid AS transfer_id
FROM token_log WHERE chain_id = $1 AND block_number = $2
UNION ALL
SELECT l.block_hash, l.log_index, l.tx_hash, l.kind, l.amount, NULL, NULL,
    jsonb_strip_nulls(jsonb_build_object('payment_number', l.payment_number::text,
        'beneficiary', '0x' || encode(l.beneficiary, 'hex'),
        'reason', '0x' || encode(l.reason, 'hex'))), t.id
FROM settlement_log l LEFT JOIN transfer t
    ON t.chain_id = l.chain_id AND t.contract = l.contract AND t.payment_number = {EVENT_NUMBER}
WHERE l.chain_id = $1 AND l.block_number = $2
UNION ALL
SELECT block_hash, log_index, tx_hash, kind, amount, NULL, NULL,
    jsonb_strip_nulls(detail || jsonb_build_object('contract', '0x' || encode(contract, 'hex'),
        'subject', '0x' || encode(subject, 'hex'))), NULL
FROM notice WHERE chain_id = $1 AND block_number = $2
UNION ALL
SELECT block_hash, log_index, tx_hash, 'stray', NULL, NULL, NULL,
    jsonb_build_object('token', '0x' || encode(token, 'hex'), 'amount', amount::text,
        'from', '0x' || encode(from_address, 'hex'), 'to', '0x' || encode(to_address, 'hex')), NULL
FROM stray_log WHERE chain_id = $1 AND block_number = $2
UNION ALL
SELECT block_hash, log_index, tx_hash, 'undecoded', NULL, NULL, NULL,
    jsonb_build_object('contract', '0x' || encode(contract, 'hex'), 'fault', fault,
        'data', '0x' || encode(data, 'hex')), NULL
FROM undecoded_log WHERE chain_id = $1 AND block_number = $2
ORDER BY 1, 2 LIMIT $3
"""  # noqa: S608 - constants


class MirrorViewStore:
    """See `node.core.ports.mirror_views.MirrorViews`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def blocks(self, chain_id: int, number: int) -> Sequence[BlockView]:
        """Every block of this number the mirror has, the canonical one first."""
        rows = await self._raw.fetch(
            "SELECT * FROM block WHERE chain_id = $1 AND number = $2"
            " ORDER BY status = 'orphaned', hash",
            chain_id,
            number,
        )
        return [
            BlockView(
                row["number"],
                BlockHash(row["hash"]),
                BlockHash(row["parent_hash"]),
                row["mined_at"],
                row["status"],
            )
            for row in rows
        ]

    async def logs(self, chain_id: int, number: int, limit: int) -> Sequence[LogView]:
        """Logs of these blocks, by block and place, at most `limit`."""
        return [_log(row) for row in await self._raw.fetch(_LOGS, chain_id, number, limit)]


def _log(row: Mapping[str, Any]) -> LogView:
    facts = {name: str(value) for name, value in row["facts"].items()}
    if row["transfer_id"] is not None:
        facts["transfer_id"] = encode_id(Prefix.TRANSFER, row["transfer_id"])
    return LogView(
        BlockHash(row["block_hash"]),
        row["log_index"],
        TxHash(row["tx_hash"]),
        row["what"],
        None if row["amount"] is None else int(row["amount"]),
        row["cause"],
        row["ledger_sequence"],
        facts,
    )
