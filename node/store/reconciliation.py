"""Runs in PostgreSQL, and the questions reconciliation asks of the store. Breaks: `breaks.py`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from node.core.ids import Prefix, encode_id
from node.core.ledger import Balance, account_rules
from node.core.mirror import BlockPoint, Facts, SettlementKind, SettlementLog, TokenLog
from node.core.paging import ListQuery, Page, Position
from node.core.ports.reconciliation import Books, CheckResult, Run, Suspect
from node.core.reconcile import Check
from node.core.units import Address, BlockHash, TxHash
from node.store.database import Connection
from node.store.mirror_rows import EVENT_NUMBER

_BOOKS: Final = """
SELECT 'final' AS what, encode(final_hash, 'hex') AS name, '' AS asset, final_number::numeric AS a,
       0::numeric AS b, 0::numeric AS c, 0::numeric AS d
FROM chain_cursor WHERE chain_id = $1
UNION ALL
SELECT 'holding', encode(address, 'hex'), asset, amount, 0, 0, 0
FROM chain_holding WHERE chain_id = $1
UNION ALL
SELECT 'account',
       CASE WHEN starts_with(path, 'chain/') THEN path ELSE split_part(path, '/', 1) END, asset,
       sum(debits_pending), sum(debits_posted), sum(credits_pending), sum(credits_posted)
FROM account GROUP BY 2, 3
UNION ALL
SELECT 'nonce', encode(lane.address, 'hex'), '', coalesce(
    (SELECT min(s.nonce) FROM slot s
     WHERE s.lane_id = lane.id AND s.state NOT IN ('final', 'foreign')), lane.next_nonce), 0, 0, 0
FROM lane WHERE lane.chain_id = $1
UNION ALL
SELECT 'open', '', buy_asset, sum(buy_amount), 0, 0, 0
FROM transfer WHERE chain_id = $1 AND state NOT IN
    ('settled', 'paid_out', 'canceled', 'failed', 'expired', 'refunded')
GROUP BY buy_asset
"""
_BROKEN_LINKS: Final = """
WITH linked AS (
    SELECT number, parent_hash, lag(number) OVER ahead AS number_before,
           lag(hash) OVER ahead AS hash_before
    FROM block WHERE chain_id = $1 AND status = 'final' AND number >= $2
    WINDOW ahead AS (ORDER BY number)
)
SELECT count(*) FILTER (WHERE number_before IS NOT NULL
        AND (number_before <> number - 1 OR hash_before <> parent_hash))
    + abs((SELECT final_number FROM chain_cursor WHERE chain_id = $1) - coalesce(max(number), 0))
FROM linked
"""
_SETTLED_ALONE: Final = f"""
SELECT l.block_hash, l.block_number, l.log_index, l.tx_hash, l.payment_number, t.id, t.state
FROM settlement_log l LEFT JOIN transfer t
    ON t.chain_id = l.chain_id AND t.contract = l.contract AND t.payment_number = {EVENT_NUMBER}
WHERE l.chain_id = $1 AND l.block_number > $2 AND l.status = 'final' AND l.kind = 'settled'
  AND NOT coalesce(t.state IN ('settled', 'payout_pending', 'paid_out')
                   AND t.beneficiary_address = l.beneficiary AND t.buy_amount = l.amount, false)
ORDER BY l.block_number, l.log_index LIMIT {{limit}}
"""  # noqa: S608 - constants
_TRANSFERS_ALONE: Final = """
SELECT t.id, t.payment_number, t.block_number, found.n
FROM transfer t CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM settlement_log l
    WHERE l.contract = t.contract AND l.payment_number = t.payment_number::numeric
      AND l.chain_id = t.chain_id AND l.status = 'final' AND l.kind = 'settled'
      AND l.beneficiary = t.beneficiary_address AND l.amount = t.buy_amount
) found
WHERE t.chain_id = $1 AND t.state IN ('settled', 'payout_pending', 'paid_out') AND found.n <> 1
ORDER BY t.created_at, t.id LIMIT {limit}
"""
_NOT_AS_QUOTED: Final = """
SELECT t.id, t.payment_number, t.block_number, t.buy_asset, t.buy_amount AS ordered,
       q.buy_asset AS quoted_asset, q.buy_amount AS quoted, found.delivered
FROM {completed} t JOIN quote q ON q.id = t.quote_id CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.amount), 0) AS delivered FROM settlement_log l
    WHERE l.contract = t.contract AND l.payment_number = t.payment_number::numeric
      AND l.chain_id = t.chain_id AND l.status = 'final' AND l.kind = 'settled'
) found
WHERE t.chain_id = $1 AND t.state IN ('settled', 'payout_pending', 'paid_out')
  AND NOT (found.delivered = t.buy_amount AND q.buy_amount = t.buy_amount
           AND q.buy_asset = t.buy_asset AND q.transfer_id = t.id)
ORDER BY t.created_at, t.id LIMIT {limit}
"""
_SETTLED_ABOVE: Final = f"""(
    SELECT * FROM transfer WHERE id IN (
        SELECT t.id FROM settlement_log l JOIN transfer t
        ON t.chain_id = l.chain_id AND t.contract = l.contract AND t.payment_number = {EVENT_NUMBER}
        WHERE l.chain_id = $1 AND l.block_number > $2 AND l.status = 'final'
          AND l.kind = 'settled'))
"""  # noqa: S608 - constants
_UNEXPLAINED: Final = """
SELECT l.block_hash, l.block_number, l.log_index, l.tx_hash, l.amount
FROM token_log l
WHERE l.chain_id = $1 AND l.status = 'final' AND (l.cause IS NULL OR l.cause = 'orphan_outbound')
  AND NOT EXISTS (
    SELECT FROM reconciliation_break r WHERE r.resolved_at IS NOT NULL
    AND r.fingerprint = 'B06:0x' || encode(l.block_hash, 'hex') || ':' || l.log_index)
ORDER BY l.block_number, l.log_index LIMIT {limit}
"""
_LEFT_BEHIND: Final = """
SELECT t.id, t.state, t.payment_number, s.nonce FROM transfer t JOIN slot s ON s.id = t.slot_id
WHERE t.chain_id = $1 AND t.state IN ('funded', 'submitted', 'unknown', 'included')
  AND s.state IN ('final', 'foreign')
ORDER BY t.created_at, t.id LIMIT {limit}
"""
_SUSPECTS_MAX: Final = 100  # per check and run; the first ones tell the story


class ReconciliationStore:
    """See `node.core.ports.reconciliation.ReconciliationRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.sql
        self._raw = connection.raw

    async def begin(self, run_id: UUID, made_by: str) -> None:
        """Store a new run."""
        await self._raw.execute(
            "INSERT INTO reconciliation_run (id, made_by) VALUES ($1, $2)", run_id, made_by
        )

    async def complete(self, run_id: UUID, block: BlockPoint, checks: Sequence[Check]) -> None:
        """Store what a run found; counts the breaks that are open now."""
        await self._raw.execute(
            "UPDATE reconciliation_run SET status = 'completed', block_number = $2,"
            " block_hash = $3, checks = $4::jsonb, completed_at = now(), breaks_open ="
            " (SELECT count(*) FROM reconciliation_break WHERE resolved_at IS NULL) WHERE id = $1",
            run_id,
            block.number,
            block.hash,
            orjson.dumps(
                [
                    {
                        "name": each.name,
                        "ok": each.ok,
                        "expected": each.expected,
                        "actual": each.actual,
                    }
                    for each in checks
                ]
            ).decode(),
        )

    async def fail(self, run_id: UUID) -> None:
        """The run could not be finished."""
        await self._raw.execute(
            "UPDATE reconciliation_run SET status = 'failed', completed_at = now() WHERE id = $1",
            run_id,
        )

    async def run(self, run_id: UUID) -> Run | None:
        """One run."""
        row = await self._raw.fetchrow("SELECT * FROM reconciliation_run WHERE id = $1", run_id)
        return _run(row) if row else None

    async def runs(self, query: ListQuery) -> Page[Run]:
        """Runs, newest first. Filters: `status` (running, completed, failed)."""
        position = query.position()
        rows = await self._raw.fetch(
            "SELECT * FROM reconciliation_run WHERE ($1::text IS NULL OR status = $1)"
            " AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))"
            " ORDER BY created_at DESC, id DESC LIMIT $4",
            query.filters.get("status"),
            position.created_at if position else None,
            position.uuid if position else None,
            query.limit + 1,
        )
        return query.page(
            [_run(row) for row in rows], lambda row: Position(row.created_at, row.id.int)
        )

    async def last_completed(self) -> Run | None:
        """The newest run that was finished."""
        row = await self._raw.fetchrow(
            "SELECT * FROM reconciliation_run WHERE status = 'completed'"
            " ORDER BY block_number DESC, created_at DESC LIMIT 1"
        )
        return _run(row) if row else None

    async def books(self, chain_id: int) -> Books | None:
        """Everything that is compared with the chain, at one instant; None: no mirror yet."""
        rows = await self._raw.fetch(_BOOKS, chain_id)
        final = next((row for row in rows if row["what"] == "final"), None)
        if final is None:
            return None

        def of(what: str) -> list[Any]:
            return [row for row in rows if row["what"] == what]

        return Books(
            final=BlockPoint(int(final["a"]), BlockHash(bytes.fromhex(final["name"]))),
            holdings={
                (Address(bytes.fromhex(row["name"])), row["asset"]): int(row["a"])
                for row in of("holding")
            },
            balances=[
                Balance(
                    row["name"],
                    account_rules(row["name"])[0],
                    row["asset"],
                    *(int(row[column]) for column in "abcd"),
                )
                for row in of("account")
            ],
            nonces={Address(bytes.fromhex(row["name"])): int(row["a"]) for row in of("nonce")},
            open_buys={row["asset"]: int(row["a"]) for row in of("open")},
        )

    async def mirrored(self, chain_id: int, first: int, last: int) -> Sequence[Facts]:
        """Final facts of these blocks as the mirror has them, blocks without logs included."""
        span = (chain_id, first, last)
        within = "chain_id = $1 AND block_number BETWEEN $2 AND $3 AND status = 'final'"
        blocks = await self._raw.fetch(
            "SELECT number, hash FROM block WHERE chain_id = $1 AND number BETWEEN $2 AND $3"
            " AND status = 'final' ORDER BY number",
            *span,
        )
        tokens: dict[bytes, list[TokenLog]] = defaultdict(list)
        for row in await self._raw.fetch(
            f"SELECT * FROM token_log WHERE {within} ORDER BY log_index",  # noqa: S608
            *span,
        ):
            tokens[row["block_hash"]].append(_token_log(row))
        events: dict[bytes, list[SettlementLog]] = defaultdict(list)
        for row in await self._raw.fetch(
            f"SELECT * FROM settlement_log WHERE {within} ORDER BY log_index",  # noqa: S608
            *span,
        ):
            events[row["block_hash"]].append(_settlement_log(row))
        return [
            Facts(
                BlockPoint(row["number"], BlockHash(row["hash"])),
                tokens.get(row["hash"], []),
                events.get(row["hash"], []),
            )
            for row in blocks
        ]

    async def broken_links(self, chain_id: int, above: int) -> int:
        """How many final blocks above this one are missing or have another parent than ours."""
        count: int = await self._raw.fetchval(_BROKEN_LINKS, chain_id, above)
        return count

    async def settled_without_transfer(self, chain_id: int, above: int) -> Sequence[Suspect]:
        """Final Settled events above this block without exactly one equal, ended transfer."""
        rows = await self._raw.fetch(_SETTLED_ALONE.format(limit=_SUSPECTS_MAX), chain_id, above)
        return [
            Suspect(
                _log_name(row),
                "a settled transfer with this number, beneficiary and amount",
                f"number {row['payment_number']:f}:"
                + (
                    f" transfer {_transfer_id(row)} is {row['state']}"
                    if row["id"]
                    else " no transfer"
                ),
                _evidence(row),
            )
            for row in rows
        ]

    async def transfers_without_settled(self, chain_id: int) -> Sequence[Suspect]:
        """Transfers that ended as settled without exactly one equal, final Settled."""
        rows = await self._raw.fetch(_TRANSFERS_ALONE.format(limit=_SUSPECTS_MAX), chain_id)
        return [
            Suspect(
                _transfer_id(row),
                "1 final Settled with this number, beneficiary and amount",
                str(row["n"]),
                {
                    "transfer_id": _transfer_id(row),
                    "payment_number": str(row["payment_number"]),
                    "block_number": str(row["block_number"]),
                },
            )
            for row in rows
        ]

    async def not_as_quoted(self, chain_id: int, above: int, *, full: bool) -> Sequence[Suspect]:
        """Completed transfers that did not deliver exactly what they and their quotes promise."""
        completed = "transfer" if full else _SETTLED_ABOVE
        query = _NOT_AS_QUOTED.format(completed=completed, limit=_SUSPECTS_MAX)
        rows = await self._raw.fetch(query, chain_id, *(() if full else (above,)))
        return [
            Suspect(
                _transfer_id(row),
                f"{row['quoted']} {row['quoted_asset']} quoted and delivered",
                f"{row['delivered']:f} delivered, transfer of {row['ordered']} {row['buy_asset']}",
                {
                    "transfer_id": _transfer_id(row),
                    "payment_number": str(row["payment_number"]),
                    "block_number": str(row["block_number"]),
                },
            )
            for row in rows
        ]

    async def outbound_without_cause(self, chain_id: int) -> Sequence[Suspect]:
        """Final token logs out of the node's addresses that nobody has explained yet."""
        rows = await self._raw.fetch(_UNEXPLAINED.format(limit=_SUSPECTS_MAX), chain_id)
        return [
            Suspect(
                _log_name(row),
                "a payment or a movement of the node",
                f"{int(row['amount'])} units moved without one",
                {**_evidence(row), "minor": str(int(row["amount"]))},
            )
            for row in rows
        ]

    async def left_behind(self, chain_id: int) -> Sequence[Suspect]:
        """Transfers in the air whose slot is final."""
        rows = await self._raw.fetch(_LEFT_BEHIND.format(limit=_SUSPECTS_MAX), chain_id)
        return [
            Suspect(
                _transfer_id(row),
                "an end, or back to funded",
                f"{row['state']}, while nonce {row['nonce']} is final",
                {"transfer_id": _transfer_id(row), "payment_number": str(row["payment_number"])},
            )
            for row in rows
        ]


def _transfer_id(row: Mapping[str, Any]) -> str:
    return encode_id(Prefix.TRANSFER, row["id"])


def _log_name(row: Mapping[str, Any]) -> str:
    return f"0x{row['block_hash'].hex()}:{row['log_index']}"


def _evidence(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "tx_hash": f"0x{row['tx_hash'].hex()}",
        "block_number": str(row["block_number"]),
        "log_index": str(row["log_index"]),
    }


def _token_log(row: Mapping[str, Any]) -> TokenLog:
    return TokenLog(
        row["log_index"],
        TxHash(row["tx_hash"]),
        Address(row["from_address"]),
        Address(row["to_address"]),
        int(row["amount"]),
    )


def _settlement_log(row: Mapping[str, Any]) -> SettlementLog:
    payout = None
    if row["payout_log_index"] is not None:
        payout = TokenLog(
            row["payout_log_index"],
            TxHash(row["tx_hash"]),
            Address(row["contract"]),
            Address(row["beneficiary"]),
            int(row["amount"]),
        )
    return SettlementLog(
        row["log_index"],
        TxHash(row["tx_hash"]),
        SettlementKind(row["kind"]),
        int(row["payment_number"]),
        payout,
        row["reason"] or b"",
    )


def _run(row: Mapping[str, Any]) -> Run:
    block = None
    if row["block_hash"] is not None:
        block = BlockPoint(row["block_number"], BlockHash(row["block_hash"]))
    return Run(
        id=row["id"],
        status=row["status"],
        block=block,
        checks=[CheckResult(**each) for each in row["checks"]],
        breaks_open=row["breaks_open"],
        made_by=row["made_by"],
        created_at=row["created_at"],
        completed_at=row["completed_at"],
    )
