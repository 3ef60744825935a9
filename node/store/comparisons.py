"""The memory of reconciliation in PostgreSQL: how far it is, what it found, the rows it saw agree.

Not here: what it reads of the ledger's records (`ledger_slices`), its runs (`reconciliation`).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from node.core.differences import Unbooked
from node.core.mirror import BlockPoint, TokenLog, has_lost_its_tag
from node.core.paging import ROW_ID_MAX, ListQuery, Page, Position
from node.core.ports.comparisons import (
    AccountComparison,
    BlockDigest,
    ComparisonPoint,
    ComparisonSummary,
    Holder,
    Known,
    PaymentFacts,
    Progress,
    State,
    Turns,
    Unequal,
)
from node.core.proof.records import HeadRow
from node.core.units import Address, BlockHash, TxHash
from node.store import comparison_sql as sql
from node.store.database import Connection
from node.store.ledger_slices import LedgerSliceStore

_NO_TIME: Final = datetime.fromtimestamp(0, UTC)
"""Accounts are listed by their number alone."""

_EQUAL_TIME: Final = datetime.fromtimestamp(1, UTC)
"""Those that are equal come after those that differ, in a list that is ordered by that."""


class ComparisonStore(LedgerSliceStore):
    """See `node.core.ports.comparisons.ComparisonRepository`."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._raw = connection.raw

    async def progress(self, chain_id: int) -> Progress | None:
        """How far everything is; None: the mirror has not begun."""
        row = await self._raw.fetchrow(sql.PROGRESS, chain_id)
        if row is None:
            return None
        return Progress(
            at=row["at"],
            head_number=row["head_number"],
            final_number=row["final_number"],
            moved_at=row["moved_at"],
            halted_reason=row["halted_reason"],
            reconciled=row["number"],
            reconciled_at=row["compared_at"],
            last_run_ms=row["duration_ms"],
            tag_number=row["tag_number"],
            has_lost_its_tag=has_lost_its_tag(row["moved_at"], row["tag_moved_at"]),
        )

    async def state(self, chain_id: int) -> State | None:
        """How far reconciliation has come; None: it has not begun."""
        row = await self._raw.fetchrow(sql.STATE, chain_id)
        if row is None:
            return None
        return State(
            block=BlockPoint(row["number"], BlockHash(row["hash"])),
            compared_at=row["compared_at"],
            duration_ms=row["duration_ms"],
            proven=HeadRow(row["proven_batch"], 0, row["proven_hash"], 0),
            turns=Turns(
                row["turn_batch"], row["turn_account"], row["turn_digest"], row["turn_read"]
            ),
            is_canonical=row["is_canonical"],
        )

    async def store_state(
        self, chain_id: int, block: BlockPoint, duration_ms: int, proven: HeadRow, turns: Turns
    ) -> None:
        """Reconciliation has come so far. Never moves back while the block stays final."""
        await self._raw.execute(
            sql.STORE_STATE,
            chain_id,
            block.number,
            block.hash,
            duration_ms,
            proven.batch,
            proven.hash,
            turns.batch,
            turns.account,
            turns.digest,
            turns.read,
        )

    async def last_of(
        self, chain_id: int, holders: Sequence[Holder]
    ) -> Mapping[Holder, AccountComparison]:
        """The last comparison of these, of each that was compared before."""
        rows = await self._raw.fetch(
            sql.LAST_OF,
            chain_id,
            [address for address, _ in holders],
            [asset for _, asset in holders],
        )
        return {(each.address, each.asset): each for each in map(_comparison, rows)}

    async def comparisons(self, chain_id: int) -> Sequence[AccountComparison]:
        """The last comparison of every account of the chain, in the order they were first made."""
        rows = await self._raw.fetch(
            "SELECT * FROM account_comparison WHERE chain_id = $1 ORDER BY id", chain_id
        )
        return [_comparison(row) for row in rows]

    async def comparison_page(self, chain_id: int, query: ListQuery) -> Page[AccountComparison]:
        """The same in pages."""
        position = query.position(ROW_ID_MAX)
        rows = await self._raw.fetch(
            sql.COMPARISON_PAGE, chain_id, position.id if position else 0, query.limit + 1
        )
        page = query.page(rows, lambda row: Position(_NO_TIME, row["id"]))
        return Page([_comparison(row) for row in page.items], page.next_cursor)

    async def comparisons_by_verdict(
        self, chain_id: int, query: ListQuery, *, with_empty: bool
    ) -> Page[AccountComparison]:
        """The same, those that differ first."""
        position = query.position(ROW_ID_MAX)
        rows = await self._raw.fetch(
            sql.COMPARISONS_BY_VERDICT,
            chain_id,
            position is not None and position.created_at == _EQUAL_TIME,
            position.id if position else 0,
            with_empty,
            query.limit + 1,
        )
        page = query.page(
            rows, lambda row: Position(_EQUAL_TIME if row["is_equal"] else _NO_TIME, row["id"])
        )
        return Page([_comparison(row) for row in page.items], page.next_cursor)

    async def comparison_summary(self, chain_id: int) -> ComparisonSummary:
        """How many there are, and how many differ."""
        row = await self._raw.fetchrow(sql.COMPARISON_SUMMARY, chain_id)
        assert row is not None
        return ComparisonSummary(**row)

    async def store_comparisons(
        self, chain_id: int, found: Sequence[AccountComparison], *, keep: bool
    ) -> None:
        """Store these as the last ones. `keep`: they are a point of the course over time, too."""
        await self._raw.execute(
            sql.STORE_COMPARISONS,
            chain_id,
            [each.address for each in found],
            [each.asset for each in found],
            [each.path for each in found],
            [each.role for each in found],
            [each.ledger for each in found],
            [each.mirror for each in found],
            [each.chain for each in found],
            [each.block.number for each in found],
            [each.block.hash for each in found],
        )
        if keep:
            await self._raw.execute(sql.KEEP_POINTS, chain_id)

    async def course(
        self, chain_id: int, holder: Holder, points_max: int
    ) -> Sequence[ComparisonPoint]:
        """Earlier comparisons of one account, oldest first, the newest `points_max` of them."""
        return [
            ComparisonPoint(
                Address(row["address"]),
                row["asset"],
                row["block_number"],
                row["compared_at"],
                int(row["ledger"]),
                int(row["mirror"]),
                int(row["chain"]),
            )
            for row in await self._raw.fetch(sql.COURSE, chain_id, *holder, points_max)
        ]

    # ------------------------------------------------------------------------------ the mirror

    async def keep_digests(self, chain_id: int, above: int, to: int) -> None:
        """The rows of these final blocks agree with the chain now: remember them."""
        await self._raw.execute(sql.KEEP_DIGESTS, chain_id, above, to)

    async def store_digests(self, chain_id: int, agreed: Sequence[BlockDigest]) -> None:
        """Remember these of final blocks, whose rows agree with the chain."""
        await self._raw.execute(
            sql.STORE_DIGESTS,
            chain_id,
            [each.block.hash for each in agreed],
            [each.block.number for each in agreed],
            [each.logs for each in agreed],
            [each.digest for each in agreed],
        )

    async def digests(self, chain_id: int, first: int, last: int) -> Mapping[BlockHash, bytes]:
        """Block -> digest of its final rows as they are now, of blocks that have any."""
        rows = await self._raw.fetch(sql.DIGESTS, chain_id, first - 1, last)
        return {BlockHash(row["hash"]): row["digest"] for row in rows}

    async def unequal(self, chain_id: int, above: int, to: int) -> Sequence[Unequal]:
        """Final blocks in (above, to] whose rows are not those remembered."""
        rows = await self._raw.fetch(sql.UNEQUAL, chain_id, above, to)
        return [Unequal(BlockPoint(row["number"], BlockHash(row["hash"]))) for row in rows]

    async def digests_back(self, chain_id: int, to: int, logs_max: int) -> int:
        """The block above which the remembered blocks up to `to` have at most so many logs."""
        number: int | None = await self._raw.fetchval(sql.DIGESTS_BACK, chain_id, to, logs_max)
        return number or 0

    async def digests_on(self, chain_id: int, above: int, logs_max: int) -> int | None:
        """The block up to which remembered blocks above `above` have that many; None: no more."""
        number: int | None = await self._raw.fetchval(sql.DIGESTS_ON, chain_id, above, logs_max)
        return number

    async def net_by_block(
        self, chain_id: int, address: Address, above: int, to: int
    ) -> Sequence[tuple[int, int]]:
        """(block, what the token logs of an address moved in it), ascending, blocks with logs."""
        rows = await self._raw.fetch(sql.NET_BY_BLOCK, chain_id, address, above, to)
        return [(row["number"], int(row["moved"])) for row in rows]

    async def nets(
        self, chain_id: int, addresses: Sequence[Address], above: int, to: int
    ) -> Mapping[Address, int]:
        """What the token logs of (above, to] moved, of each address that has any."""
        rows = await self._raw.fetch(sql.NETS, chain_id, list(addresses), above, to)
        return {Address(row["address"]): int(row["moved"]) for row in rows}

    async def opening(self, path: str, chain_id: int, address: Address, asset: str) -> int:
        """What an address held when the mirror began, as it was booked, minor units."""
        key = f"opening:{chain_id}/0x{address.hex()}/{asset}"
        return int(await self._raw.fetchval(sql.OPENING, key, path))

    async def payment(self, chain_id: int, block: BlockHash, log_index: int) -> PaymentFacts | None:
        """A Settled or Voided, beside the transfer with its number; None: no such event."""
        row = await self._raw.fetchrow(sql.PAYMENT, chain_id, block, log_index)
        if row is None:
            return None
        due_to = row["beneficiary_address"]
        return PaymentFacts(
            kind=row["kind"],
            number=int(row["payment_number"]),
            beneficiary=None if row["beneficiary"] is None else Address(row["beneficiary"]),
            amount=None if row["amount"] is None else int(row["amount"]),
            transfer_id=row["id"],
            due_to=None if due_to is None else Address(due_to),
            due_amount=row["buy_amount"],
            state=row["state"],
        )

    async def token_log(self, chain_id: int, block: BlockHash, log_index: int) -> TokenLog | None:
        """One token log."""
        row = await self._raw.fetchrow(
            "SELECT * FROM token_log WHERE chain_id = $1 AND block_hash = $2 AND log_index = $3",
            chain_id,
            block,
            log_index,
        )
        if row is None:
            return None
        return TokenLog(
            row["log_index"],
            TxHash(row["tx_hash"]),
            Address(row["from_address"]),
            Address(row["to_address"]),
            int(row["amount"]),
        )

    async def native_by_block(
        self, chain_id: int, address: Address, above: int, to: int
    ) -> Sequence[tuple[int, int]]:
        """(block, wei that the node's own final transactions moved), ascending."""
        rows = await self._raw.fetch(sql.NATIVE_BY_BLOCK, chain_id, address, above, to)
        return [(row["number"], int(row["moved"])) for row in rows]

    async def block(self, chain_id: int, number: int) -> BlockPoint | None:
        """The mirror's canonical block of that number."""
        hash_ = await self._raw.fetchval(
            "SELECT hash FROM block WHERE chain_id = $1 AND number = $2 AND status <> 'orphaned'",
            chain_id,
            number,
        )
        return None if hash_ is None else BlockPoint(number, BlockHash(hash_))

    async def unbooked(
        self, chain_id: int, address: Address, path: str, limit: int
    ) -> Sequence[Unbooked]:
        """Where the token logs of an address and the entries of its account differ."""
        return [
            Unbooked(
                row["sequence"],
                row["key"],
                int(row["logs"]),
                int(row["booked"]),
                row["number"],
                row["log"],
            )
            for row in await self._raw.fetch(sql.UNBOOKED, chain_id, address, path, limit)
        ]

    async def entries_sum(self, path: str) -> int:
        """What the posted entries of an account come to, debits less credits."""
        return int(await self._raw.fetchval(sql.ENTRIES_SUM, path))

    async def explained_moves(self, chain_id: int) -> Mapping[Address, tuple[int, int]]:  # noqa: ARG002
        """Address -> what breaks B15 say its balance moved by without logs: (in all, resolved)."""
        return {
            Address(bytes.fromhex(row["address"][2:])): (int(row["moved"]), int(row["resolved"]))
            for row in await self._raw.fetch(sql.EXPLAINED_MOVES)
        }

    async def known_transaction(self, chain_id: int, tx_hash: TxHash, block_number: int) -> Known:
        """What the database knows of a transaction of that block."""
        row = await self._raw.fetchrow(sql.KNOWN, tx_hash)
        rescued = await self._raw.fetch(sql.RESCUED, chain_id, tx_hash, block_number)
        logs = [each["log_index"] for each in rescued]
        if row is None:
            return Known(None, None, logs)
        return Known(str(row["slot_id"]), Address(row["address"]), logs)


def _comparison(row: Mapping[str, Any]) -> AccountComparison:
    return AccountComparison(
        path=row["path"],
        address=Address(row["address"]),
        role=row["role"],
        asset=row["asset"],
        ledger=int(row["ledger"]),
        mirror=int(row["mirror"]),
        chain=int(row["chain"]),
        block=BlockPoint(row["block_number"], BlockHash(row["block_hash"])),
        compared_at=row["compared_at"],
    )
