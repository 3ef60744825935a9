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
from node.store import reconciliation_sql as sql
from node.store.database import Connection

_ONE_RUN_BEGINS: Final = 0x7265636F6E63696C  # an advisory lock of its own


class ReconciliationStore:
    """See `node.core.ports.reconciliation.ReconciliationRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.sql
        self._raw = connection.raw

    async def begin(self, run_id: UUID, made_by: str, *, join: bool) -> UUID:
        """Store a new run, or find the one that goes on."""
        await self._raw.execute("SELECT pg_advisory_xact_lock($1)", _ONE_RUN_BEGINS)
        await self._raw.execute(sql.BURY_RUNS)
        going_on: UUID | None = await self._raw.fetchval(sql.GOES_ON) if join else None
        if going_on is not None:
            return going_on
        await self._raw.execute(
            "INSERT INTO reconciliation_run (id, made_by) VALUES ($1, $2)", run_id, made_by
        )
        return run_id

    async def alive(self, run_id: UUID) -> None:
        """The run goes on."""
        await self._raw.execute(
            "UPDATE reconciliation_run SET alive_at = now() WHERE id = $1 AND status = 'running'",
            run_id,
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

    async def fail(self, run_id: UUID, reason: str) -> None:
        """The run could not be finished."""
        await self._raw.execute(
            "UPDATE reconciliation_run SET status = 'failed', completed_at = now(), failure = $2"
            " WHERE id = $1 AND status = 'running'",
            run_id,
            reason,
        )

    async def run(self, run_id: UUID) -> Run | None:
        """One run."""
        row = await self._raw.fetchrow(sql.RUNS + " WHERE id = $1", run_id)
        return _run(row) if row else None

    async def runs(self, query: ListQuery) -> Page[Run]:
        """Runs, newest first. Filters: `status` (running, completed, failed)."""
        position = query.position()
        rows = await self._raw.fetch(
            f"SELECT * FROM ({sql.RUNS}) AS run WHERE ($1::text IS NULL OR status = $1)"  # noqa: S608
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

    async def books(
        self, chain_id: int, addresses: Sequence[Address], above: int, *, full: bool
    ) -> Books | None:
        """Everything that is compared with the chain, at one instant; None: no mirror yet."""
        rows = await self._raw.fetch(sql.BOOKS, chain_id, list(addresses), above, full)
        final = next((row for row in rows if row["what"] == "final"), None)
        if final is None:
            return None

        def of(what: str) -> list[Any]:
            return [row for row in rows if row["what"] == what]

        holders = [
            ((Address(bytes.fromhex(row["name"])), row["asset"]), row) for row in of("holding")
        ]
        lanes = [(Address(bytes.fromhex(row["name"])), row) for row in of("nonce")]
        return Books(
            start_number=int(final["b"]),
            final=BlockPoint(int(final["a"]), BlockHash(bytes.fromhex(final["name"]))),
            holdings={holder: int(row["a"]) for holder, row in holders},
            ledger={holder: int(row["b"]) for holder, row in holders},
            balances=[
                Balance(
                    row["name"],
                    account_rules(row["name"])[0],
                    row["asset"],
                    *(int(row[column]) for column in "abcd"),
                )
                for row in of("account")
            ],
            nonces={lane: int(row["a"]) for lane, row in lanes},
            roles={lane: row["asset"] for lane, row in lanes},
            open_buys={row["asset"]: int(row["a"]) for row in of("open")},
            at_partners={row["asset"]: int(row["a"]) for row in of("cleared")},
            unheld={row["name"]: int(row["a"]) for row in of("unheld")},
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
        count: int = await self._raw.fetchval(sql.BROKEN_LINKS, chain_id, above)
        return count

    async def settled_without_transfer(self, chain_id: int, above: int) -> Sequence[Suspect]:
        """Final Settled events above this block without exactly one equal, ended transfer."""
        rows = await self._raw.fetch(sql.SETTLED_ALONE, chain_id, above)
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

    async def batches_without_outcomes(self, chain_id: int, above: int) -> Sequence[Suspect]:
        """Final batches above this block that do not have one outcome for each of their members."""
        query = sql.WITHOUT_OUTCOMES
        return [
            Suspect(
                f"batch:{row['id']}",
                f"{row['members']} outcomes, one for each payment",
                f"{row['n']} in the mirror",
                {
                    "batch_id": encode_id(Prefix.BATCH, row["id"]),
                    "tx_hash": f"0x{row['tx_hash'].hex()}",
                    "block_number": str(row["block_number"]),
                },
            )
            for row in await self._raw.fetch(query, chain_id, above)
        ]

    async def transfers_without_settled(self, chain_id: int) -> Sequence[Suspect]:
        """Transfers that ended as settled without exactly one equal, final Settled."""
        rows = await self._raw.fetch(sql.TRANSFERS_ALONE, chain_id)
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
        completed = "transfer" if full else sql.SETTLED_ABOVE
        query = sql.NOT_AS_QUOTED.format(completed=completed)
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

    async def outbound_without_cause(self, chain_id: int, above: int) -> Sequence[Suspect]:
        """Final token logs out of the node's addresses that nobody has explained yet."""
        rows = await self._raw.fetch(sql.UNEXPLAINED, chain_id, above)
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
        """Transfers in the air whose slot is final or foreign, and that no other slot carries."""
        rows = await self._raw.fetch(sql.LEFT_BEHIND, chain_id)
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
        failure=row["failure"],
    )
