"""What the node's tables say of a history."""

from collections import defaultdict
from typing import Any

from node.core.units import Address
from node.store.database import Database
from tests.histories.deposit_truth import Leg, LogName
from tests.histories.parties import OWN

_LEGS = """
SELECT t.key, t.kind, t.detail ->> 'tx_hash' AS tx_hash, d.path AS debit, c.path AS credit,
    e.amount
FROM ledger_transaction t JOIN entry e USING (sequence)
JOIN account d ON d.id = e.debit_account_id JOIN account c ON c.id = e.credit_account_id
WHERE e.asset = 'USDC' AND t.kind IN ('deposit', 'suspense', 'movement', 'batch')
ORDER BY t.sequence, e.position
"""
_LOGS_BOOKED = """
SELECT l.block_hash, l.log_index, l.status, t.key
FROM token_log l JOIN ledger_transaction t ON t.sequence = l.ledger_sequence
"""


class Rows:
    """Reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, query: str) -> list[dict[str, Any]]:
        """Rows of a query."""
        async with self._database.transaction() as connection:
            return [dict(row) for row in await connection.raw.fetch(query)]

    async def start(self) -> int:
        """The block that the mirror opened with."""
        [row] = await self.fetch("SELECT start_number FROM chain_cursor")
        return int(row["start_number"])

    async def blocks(self) -> dict[int, tuple[bytes, str]]:
        """Number -> (hash, status)."""
        rows = await self.fetch("SELECT number, hash, status FROM block WHERE status <> 'orphaned'")
        return {row["number"]: (row["hash"], row["status"]) for row in rows}

    async def logs(self, table: str, *columns: str) -> dict[LogName, tuple[object, ...]]:
        """Log -> these columns and the status, of all that are not orphaned."""
        rows = await self.fetch(f"SELECT * FROM {table} WHERE status <> 'orphaned'")
        return {
            (row["block_hash"], row["log_index"]): (
                *(_plain(row[each]) for each in columns),
                row["status"],
            )
            for row in rows
        }

    async def slots(self) -> dict[bytes, tuple[str, bytes | None, bool | None]]:
        """Transaction of the lane -> (state, block, whether it succeeded) of its slot."""
        rows = await self.fetch("SELECT * FROM slot s JOIN attempt a ON a.slot_id = s.id")
        return {
            row["tx_hash"]: (row["state"], row["included_block_hash"], row["succeeded"])
            for row in rows
        }

    async def legs(self) -> tuple[dict[str, list[Leg]], dict[str, list[Leg]]]:
        """Entries in the token: by ledger key, but those of batches by transaction."""
        by_key: dict[str, list[Leg]] = defaultdict(list)
        by_transaction: dict[str, list[Leg]] = defaultdict(list)
        for row in await self.fetch(_LEGS):
            leg = (row["debit"], row["credit"], row["amount"])
            if row["kind"] == "batch":
                by_transaction[row["tx_hash"]].append(leg)
            else:
                by_key[row["key"]].append(leg)
        return dict(by_key), dict(by_transaction)

    async def booked(self) -> dict[LogName, str]:
        """Log -> key of the ledger transaction it names."""
        rows = await self.fetch(_LOGS_BOOKED)
        return {(row["block_hash"], row["log_index"]): row["key"] for row in rows}

    async def deposits(self) -> dict[LogName, tuple[str, tuple[str, ...], str | None, int]]:
        """Log -> (status, flags, owner, amount)."""
        rows = await self.fetch("SELECT * FROM deposit")
        return {
            (row["block_hash"], row["log_index"]): (
                row["status"],
                tuple(sorted(row["flags"])),
                None if row["customer_id"] is None else str(row["customer_id"]),
                int(row["amount"]),
            )
            for row in rows
        }

    async def requests(self) -> dict[str, tuple[str, int]]:
        """Request -> (status, surplus)."""
        rows = await self.fetch("SELECT id, status, surplus FROM payment_request")
        return {str(row["id"]): (row["status"], row["surplus"]) for row in rows}

    async def holdings(self) -> dict[bytes, int]:
        """Address -> token units."""
        rows = await self.fetch("SELECT * FROM chain_holding WHERE asset = 'USDC'")
        held = {row["address"]: int(row["amount"]) for row in rows}
        return {each: units for each, units in held.items() if units or each in OWN}

    async def ledger(self, asset: str) -> dict[bytes, int]:
        """Address -> what its account holds."""
        held: dict[bytes, int] = defaultdict(int, dict.fromkeys(OWN, 0))
        for path, units in (await self.accounts(asset)).items():
            if path.startswith("chain/"):
                held[Address(bytes.fromhex(path.split("/")[2][2:]))] = -units
        return {each: units for each, units in held.items() if units or each in OWN}

    async def accounts(self, asset: str) -> dict[str, int]:
        """Path -> posted credits less debits."""
        rows = await self.fetch(
            "SELECT path, credits_posted - debits_posted AS held FROM account"
            f" WHERE asset = '{asset}'"
        )
        return {str(row["path"]): int(row["held"]) for row in rows}

    async def states(self) -> dict[int, str]:
        """Payment number -> state of its transfer."""
        rows = await self.fetch("SELECT payment_number, state FROM transfer")
        return {row["payment_number"]: str(row["state"]) for row in rows}

    async def breaks(self) -> set[str]:
        """Fingerprints of breaks that are open."""
        rows = await self.fetch(
            "SELECT fingerprint FROM reconciliation_break WHERE resolved_at IS NULL"
        )
        return {str(row["fingerprint"]) for row in rows}


def _plain(value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return value if value is None or isinstance(value, bytes | str | int) else int(value)  # type: ignore[call-overload]
