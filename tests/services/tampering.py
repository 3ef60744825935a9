"""Books of every kind of row, and a superuser's hand in them.

What is done to the rows happens in one transaction that is never committed: each tampering is
verified from within it and then undone, so hundreds of them cost no more than a few seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, cast
from uuid import UUID

import asyncpg

from adapters.machine import new_id
from node.core.errors import AmountOutOfRange, InsufficientFunds
from node.core.ids import Prefix, encode_id
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    batch_final_entries,
    partner_account,
)
from node.core.mirror import BlockHeader, Facts, SettlementKind, SettlementLog, Watch
from node.core.parties import Customer, Partner, Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Transfer
from node.core.proof.findings import Difference
from node.core.proof.records import Anchor
from node.core.transfers import Happening
from node.core.units import Address, BlockHash, TxHash
from node.services.ledger.posting import PostingService
from node.services.ledger.top_ups import TopUpRequest, TopUpService
from node.services.ledger.verifying import Verification, VerifyService
from node.services.settlement.renumbering import renumber
from node.services.transfers import transfer_moves
from node.store.database import Connection, Database
from node.store.unit_of_work import StoreUnits
from node.store.verification import VerificationStore
from tests.builders import CATALOG, CHAIN_ID, CONTRACT, LedgerNode, render_error

LEDGER_TABLES = (
    "account",
    "ledger",
    "ledger_batch",
    "ledger_transaction",
    "entry",
    "ledger_resolution",
)
"""Hashed: every value of every row is covered."""

BLOCK_NUMBER = 7
BLOCK_HASH, TX_HASH = b"\xb1" * 32, b"\x7a" * 32
PAYOUT = {
    "tx_hash": f"0x{TX_HASH.hex()}",
    "block_number": BLOCK_NUMBER,
    "block_hash": f"0x{BLOCK_HASH.hex()}",
}
"""Where the transfers that are settled were paid."""


async def write_books(url: str) -> None:
    """Capital, a partner's money, top-ups by bank and partner; transfers open, ended and paid."""
    database = Database.at(url)
    try:
        await _mirror(url, await _write(LedgerNode(StoreUnits(database))))
    finally:
        await database.close()


async def _write(node: LedgerNode) -> Sequence[Transfer]:
    await node.fund_contract()
    ann = await node.remitter()
    assert ann.customer_id is not None
    await _top_up(node, Principal(Role.OPERATOR, "olga"), "sepa", ann.customer_id)
    await _top_up(node, *await _partner(node))
    await _checkpoint(node)
    transfers = await node.funded(ann, 5)
    await _refuse(node)
    async with node.units() as unit:
        await unit.ledger.lock()
        settled, given_back = transfers[:2], transfers[2:3]
        events = await transfer_moves.apply(unit, given_back, Happening.CANCELED)
        events += await transfer_moves.apply(unit, settled, Happening.SIGNED)
        settled = [transfer_moves.after(each, Happening.SIGNED) for each in settled]
        for happening in (Happening.INCLUDED, Happening.SETTLED):
            events += await transfer_moves.apply(
                unit,
                settled,
                happening,
                changes=lambda _: {"tx_hash": TX_HASH, "block_number": BLOCK_NUMBER},
                detail=lambda _: PAYOUT,
            )
            settled = [transfer_moves.after(each, happening) for each in settled]
        total = sum(each.amounts.buy for each in settled)
        fees, spread = (
            sum(each.amounts.fees for each in settled),
            sum(each.amounts.spread for each in settled),
        )
        entries = batch_final_entries(
            CHAIN_ID, CONTRACT, "USDC", total, {"EUR": fees}, {"EUR": spread}
        )
        detail = {name: str(value) for name, value in PAYOUT.items()}
        await unit.ledger.post([LedgerTransaction("batch:1", "batch", entries, detail=detail)])
        await unit.events.append(events)
    await _renumber(node, transfers[3:])
    await _checkpoint(node)
    return settled


async def _renumber(node: LedgerNode, transfers: Sequence[Transfer]) -> None:
    """Two transfers whose numbers somebody else used, one of them twice."""
    watch = Watch(CHAIN_ID, CONTRACT, TOKEN, "USDC", "ETH", frozenset({CONTRACT}))
    changing = list(transfers)
    for block, changed in enumerate((changing, changing[:1]), start=1):
        header = BlockHeader(block, BlockHash(bytes([block]) * 32), BlockHash(bytes(32)), EPOCH)
        used = [
            SettlementLog(place, TxHash(TX_HASH), SettlementKind.VOIDED, each.payment_number)
            for place, each in enumerate(changed)
        ]
        async with node.units() as unit:
            await unit.mirror.add_blocks(watch, [header], [Facts(header.point, [], used)])
            locked = await unit.transfers.lock_many([each.id for each in changed])
            await unit.events.append(await renumber(unit, locked))
        async with node.units() as unit:
            changing = list(await unit.transfers.lock_many([each.id for each in changing]))


EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Long before any transfer: what happened then was nobody's of them."""

TOKEN = Address(b"\x70" * 20)


async def _refuse(node: LedgerNode) -> None:
    """Two keys that the books do not allow."""
    posting = PostingService(node.units, CATALOG)
    much = [Entry("bank/sepa/EUR", "capital/EUR", "EUR", 2**61 - n) for n in range(3)]
    empty = Entry("capital/USD", "chain/1/0xaa/USD", "USD", 1)
    filling = [LedgerTransaction(f"much {n}", "capital", much) for n in range(2)]
    (_, full) = await posting.post_many(filling)
    assert isinstance(full, AmountOutOfRange), full
    (refused,) = await posting.post_many([LedgerTransaction("empty", "capital", [empty])])
    assert isinstance(refused, InsufficientFunds), refused


async def _mirror(url: str, settled: Sequence[Transfer]) -> None:
    """The logs of what was paid."""
    raw = await asyncpg.connect(url)
    try:
        for index, each in enumerate(settled):
            await raw.execute(
                "INSERT INTO settlement_log (chain_id, block_hash, log_index, block_number,"
                " tx_hash, contract, kind, payment_number, beneficiary, amount, status)"
                " VALUES ($1, $2, $3, $4, $5, $6, 'settled', $7, $8, $9, 'final')",
                each.chain_id, BLOCK_HASH, index, BLOCK_NUMBER, TX_HASH, each.contract,
                each.payment_number, each.beneficiary_address, each.amounts.buy,
            )  # fmt: skip
    finally:
        await raw.close()


async def _checkpoint(node: LedgerNode) -> None:
    async with node.units() as unit:
        assert await unit.history.checkpoint(1) is not None


async def _partner(node: LedgerNode) -> tuple[Principal, str, UUID]:
    """A partner with money, its rail, and a customer of it."""
    async with node.units() as unit:
        partner = Partner(new_id(), "exchange", unit.now)
        await unit.parties.add_partner(partner)
        customer = Customer(new_id(), partner.id, "Bea", "DE", None, unit.now)
        await unit.parties.add_customer(customer)
    account = partner_account(partner.id, "EUR")
    await node.post(Entry("bank/sepa/EUR", account, "EUR", 10**6))
    return Principal(Role.PARTNER, "exchange", partner_id=partner.id), "cash", customer.id


async def _top_up(node: LedgerNode, principal: Principal, rail: str, customer_id: UUID) -> None:
    service = TopUpService(
        node.units, CATALOG, new_id, sandbox=False, rails=frozenset({"sepa", "cash"})
    )
    request = TopUpRequest(
        principal,
        encode_id(Prefix.CUSTOMER, customer_id),
        "EUR",
        "5000.00",
        rail,
        f"{rail} 1",
    )
    claim = Claim(principal.key, "POST", "/v1/top-ups", "k", b"body".ljust(32))
    answer = await service.create(request, claim, lambda _: Answer(201, b"{}"), render_error)
    assert answer.status == 201


@dataclass(frozen=True, slots=True)
class _Unit:
    """As much of a unit as verification asks for."""

    verification: VerificationStore


@dataclass(frozen=True, slots=True)
class _Within:
    """Snapshots that are the open transaction of a connection."""

    raw: Any

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Unit]:
        connection = Connection(None, self.raw, None)  # type: ignore[arg-type]
        yield cast("Unit", _Unit(VerificationStore(connection)))


class Tamperer:
    """A superuser without triggers and constraints, whose every act is undone."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._raw = runner.run(asyncpg.connect(url))
        self.run("SET session_replication_role = replica")
        self.run("BEGIN")

    @classmethod
    @contextmanager
    def at(cls, url: str) -> Iterator[Self]:
        """One over the books in a database."""
        with asyncio.Runner() as runner:
            tamperer = cls(url, runner)
            try:
                yield tamperer
            finally:
                runner.run(tamperer._raw.close())

    def run(self, statement: str, *arguments: object) -> None:
        """Any statement."""
        self._runner.run(self._raw.execute(statement, *arguments))

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """Rows of any query."""
        return list(self._runner.run(self._raw.fetch(query, *arguments)))

    def verify(self, anchors: Sequence[Anchor] = ()) -> Verification:
        """Verify what is there now."""
        service = VerifyService(cast("UnitOfWork", _Within(self._raw)))
        return self._runner.run(service.verify(anchors=anchors))

    def found(self, statement: str, *arguments: object) -> Sequence[Difference]:
        """What verification finds after a statement, which is undone then."""
        with self.undone():
            self.run(statement, *arguments)
            return self.verify().differences

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Everything in the block is undone at its end."""
        self.run("SAVEPOINT before")
        yield
        self.run("ROLLBACK TO SAVEPOINT before")

    def drop_constraints(self, tables: Sequence[str]) -> None:
        """Let every value be written, and every row be there twice."""
        for row in self.rows(
            "SELECT conrelid::regclass AS named, conname FROM pg_constraint"
            " WHERE conrelid = ANY($1::regclass[]) AND contype <> 'n'"
            " ORDER BY contype = 'f' DESC",
            list(tables),
        ):
            self.run(f"ALTER TABLE {row['named']} DROP CONSTRAINT {row['conname']} CASCADE")
        identities = {("account", "id"), ("event", "sequence")}
        for table, column, _ in self.columns(tables):
            if (table, column) in identities:
                self.run(f"ALTER TABLE {table} ALTER {column} DROP IDENTITY IF EXISTS")
            self.run(f"ALTER TABLE {table} ALTER {column} DROP NOT NULL")

    def columns(self, tables: Sequence[str]) -> list[tuple[str, str, str]]:
        """Table, column and type of every column."""
        return [
            (row["table_name"], row["column_name"], row["data_type"])
            for row in self.rows(
                "SELECT table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = ANY($1::text[])"
                " ORDER BY table_name, ordinal_position",
                list(tables),
            )
        ]

    def places(self, table: str) -> list[Any]:
        """Every row of a table, with where it lies."""
        return self.rows(f"SELECT ctid::text AS place, * FROM {table} ORDER BY ctid")


CHANGES = {
    "bigint": ("{c} + 1", "{c} - 1"),
    "integer": ("{c} + 1",),
    "smallint": ("{c} + 1",),
    "numeric": ("{c} * 2",),
    "text": ("{c} || 'x'", "''"),
    "boolean": ("NOT {c}",),
    "uuid": ("gen_random_uuid()",),
    "bytea": ("set_byte({c}, 0, get_byte({c}, 0) # 1)",),
    "jsonb": ('{c} || \'{{"x": "y"}}\'',),
    "timestamp with time zone": ("{c} + interval '1 microsecond'", "'infinity'"),
}
"""Type -> other values than the one in column `c`."""

VALUES = {
    "bigint": "0",
    "uuid": "'00000000-0000-0000-0000-000000000000'",
    "bytea": "''",
    "text": "''",
    "timestamp with time zone": "now()",
    "jsonb": "'{}'",
}
"""Type -> a value for a column that is empty: the one most like it."""


def changes(column: str, kind: str, value: object) -> list[str]:
    """SQL of other values than `value`."""
    if value is None:
        return [VALUES[kind]]
    return [*(each.format(c=column) for each in CHANGES[kind]), "NULL"]
