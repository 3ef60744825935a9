"""Connections that the server ends: told as an absence that passes, and the next one works."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from node.core.errors import DatabaseUnavailable
from node.store.database import Database
from node.store.verification import VerificationStore
from node.store.verification_checks import CHECKS
from tests.rig import PostgresServer

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


async def used(database: Database) -> bool:
    """Whether a transaction was had; false where the database is told to be away."""
    try:
        async with database.transaction() as connection:
            return bool(await connection.raw.fetchval("SELECT true"))
    except DatabaseUnavailable:
        return False


async def test_snapshots_never_wait_for_each_other_and_keep_one_connection(
    database_url: str,
) -> None:
    database = Database.at(database_url)
    pid = "SELECT pg_backend_pid()"
    try:
        async with AsyncExitStack() as stack:
            opened = [
                await stack.enter_async_context(database.transaction(snapshot=True))
                for _ in range(12)
            ]
            pids = {await each.raw.fetchval(pid) for each in opened}
            assert len(pids) == len(opened)
        kept = set()
        for _ in range(5):
            async with database.transaction(snapshot=True) as connection:
                kept.add(await connection.raw.fetchval(pid))
        assert len(kept) == 1
        assert kept < pids
    finally:
        await database.close()


async def test_what_reads_whole_tables_is_planned_each_time(database_url: str) -> None:
    database = Database.at(database_url)
    kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement = ANY($1)"
    try:
        for _ in range(2):
            async with database.transaction(snapshot=True) as connection:
                store = VerificationStore(connection)
                for name, _ in store.checks:
                    assert await store.differences(name, 1) == []
        async with database.transaction(snapshot=True) as connection:
            queries = [each.sql for each in CHECKS.values()]
            assert await connection.raw.fetchval(kept, queries) == 0
    finally:
        await database.close()


async def test_a_connection_that_the_server_ended_is_an_absence_whenever_it_is_used(
    database_url: str,
) -> None:
    database = Database.at(database_url)
    own = await asyncpg.connect(database_url)
    try:
        for moments in range(30):
            assert await used(database) or await used(database)
            await own.execute(CUT)
            for _ in range(moments % 6):
                await asyncio.sleep(0)  # the server's last word arrives somewhere in between
            await used(database)
    finally:
        await own.close()
        await database.close()


@pytest.mark.parametrize("moments", range(6))
async def test_a_connection_cut_in_a_transaction_is_an_absence(
    database_url: str, postgres_server: PostgresServer, moments: int
) -> None:
    database = Database.at(database_url)
    own = await asyncpg.connect(database_url)
    try:
        with pytest.raises(DatabaseUnavailable):  # noqa: PT012 - the block is the transaction
            async with database.transaction() as connection:
                await own.execute(CUT)
                for _ in range(moments):
                    await asyncio.sleep(0)
                await connection.raw.fetchval("SELECT 1")
        assert await used(database)
    finally:
        await own.close()
        await database.close()


async def test_who_stands_still_in_a_transaction_is_ended_before_others_give_up(
    database_url: str,
) -> None:
    database = Database.at(database_url)
    try:
        async with database.transaction() as connection:
            fetch = "SELECT name, setting::int AS ms FROM pg_settings WHERE name = ANY($1)"
            names = ["idle_in_transaction_session_timeout", "lock_timeout"]
            found = {row["name"]: row["ms"] for row in await connection.raw.fetch(fetch, names)}
        assert 0 < found[names[0]] < found[names[1]]
    finally:
        await database.close()


async def test_a_transaction_that_was_ended_for_standing_still_is_an_absence(
    database_url: str,
) -> None:
    database = Database.at(database_url)
    own = await asyncpg.connect(database_url)
    gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
    try:
        with pytest.raises(DatabaseUnavailable):  # noqa: PT012 - the block is the transaction
            async with database.transaction() as connection:
                pid = await connection.raw.fetchval("SELECT pg_backend_pid()")
                await connection.raw.execute("SET idle_in_transaction_session_timeout = 1")
                for _ in range(500):
                    if await own.fetchval(gone, pid) == 0:
                        break
                    await asyncio.sleep(0.01)
                await connection.raw.execute("SELECT 1")
        assert await used(database)
    finally:
        await own.close()
        await database.close()
