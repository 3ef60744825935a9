"""The ledger in PostgreSQL: balances follow from entries, limits hold, and nobody changes a row."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from node.core.errors import InvariantBroken
from node.core.ledger import Entry, LedgerTransaction, Outcome, Resolution
from node.services.ledger.verifying import VerifyService
from node.store.database import Database
from node.store.ledger import LedgerStore
from node.store.unit_of_work import StoreUnits

BANK, ANN, BEN, POSITION = "bank/x/EUR", "customer/ann/EUR", "customer/ben/EUR", "fx_position/EUR"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.at(database_url)
    yield database
    await database.close()


async def post(database: Database, *transactions: LedgerTransaction, resolve: Any = ()) -> Any:
    async with database.transaction() as connection:
        ledger = LedgerStore(connection)
        await ledger.lock()
        return await ledger.post(transactions, resolve)


async def balances(database: Database, *paths: str) -> list[tuple[int, int]]:
    async with database.transaction() as connection:
        found = await LedgerStore(connection).balances(paths)
    return [(found[path].posted, found[path].available) for path in paths]


def top_up(key: str, amount: int, to: str = ANN) -> LedgerTransaction:
    return LedgerTransaction(key, "top_up", [Entry(BANK, to, "EUR", amount)])


def hold(key: str, amount: int, of: str = ANN) -> LedgerTransaction:
    return LedgerTransaction(key, "transfer", [Entry(of, POSITION, "EUR", amount)], pending=True)


async def test_a_hold_lowers_what_is_available_and_not_what_is_posted(database: Database) -> None:
    await post(database, top_up("in", 100), hold("out", 60))
    assert await balances(database, ANN, BANK) == [(100, 40), (100, 100)]


async def test_posting_a_pending_one_moves_the_money_and_voiding_gives_it_back(
    database: Database,
) -> None:
    booked = await post(database, top_up("in", 100), hold("paid", 60), hold("not", 40))
    await post(
        database,
        resolve=[
            Resolution(booked["paid"], Outcome.POSTED),
            Resolution(booked["not"], Outcome.VOIDED),
        ],
    )
    assert await balances(database, ANN, POSITION) == [(40, 40), (60, 60)]


async def test_a_key_books_at_most_once(database: Database) -> None:
    first = await post(database, top_up("same", 100))
    again = await post(database, top_up("same", 999), top_up("other", 1))
    assert again["same"] == first["same"]
    assert await balances(database, ANN) == [(101, 101)]


async def test_a_pending_one_ends_once(database: Database) -> None:
    booked = await post(database, top_up("in", 100), hold("out", 60))
    await post(database, resolve=[Resolution(booked["out"], Outcome.VOIDED)])
    with pytest.raises(InvariantBroken):
        await post(database, resolve=[Resolution(booked["out"], Outcome.POSTED)])
    assert await balances(database, ANN) == [(100, 100)]


async def test_what_is_posted_already_cannot_be_resolved(database: Database) -> None:
    booked = await post(database, top_up("in", 100))
    with pytest.raises(InvariantBroken, match="only a pending"):
        await post(database, resolve=[Resolution(booked["in"], Outcome.VOIDED)])


async def test_limits_count_holds(database: Database) -> None:
    await post(database, top_up("in", 100), hold("first", 60))
    with pytest.raises(InvariantBroken, match="floor"):
        await post(database, hold("second", 41))
    await post(database, hold("second", 40))
    assert await balances(database, ANN) == [(100, 0)]


async def test_a_batch_that_breaks_a_limit_books_nothing(database: Database) -> None:
    with pytest.raises(InvariantBroken):
        await post(database, top_up("in", 100), hold("too much", 101))
    assert await balances(database, ANN, BANK) == [(0, 0), (0, 0)]


async def test_numbers_have_no_gaps_also_after_a_refusal(database: Database) -> None:
    await post(database, top_up("one", 1))
    with pytest.raises(InvariantBroken):
        await post(database, hold("refused", 100))
    assert await post(database, top_up("two", 1)) == {"two": 2}


async def test_posting_without_the_lock_is_a_bug(database: Database) -> None:
    async with database.transaction() as connection:
        with pytest.raises(InvariantBroken):
            await LedgerStore(connection).post([top_up("in", 1)])


async def test_fifty_parallel_batches_neither_deadlock_nor_lose_anything(
    database: Database,
) -> None:
    await asyncio.gather(
        *(post(database, top_up(f"a{n}", 3), top_up(f"b{n}", 5, BEN)) for n in range(50))
    )
    assert await balances(database, ANN, BEN, BANK) == [(150, 150), (250, 250), (400, 400)]


async def test_verification_names_an_account_whose_counter_was_altered(
    database: Database, database_url: str
) -> None:
    await post(database, top_up("in", 100))
    superuser = await asyncpg.connect(database_url)
    await superuser.execute("SET session_replication_role = replica")  # no triggers
    await superuser.execute("UPDATE account SET credits_posted = 101 WHERE path = $1", ANN)
    await superuser.close()
    (found,) = (await VerifyService(StoreUnits(database)).verify()).differences
    assert (found.subject, found.expected, found.actual) == (ANN, "0/0/0/100", "0/0/0/101")
