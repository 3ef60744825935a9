"""The schema: tables that Core names exist as migrated, and migrating twice changes nothing."""

import pytest
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from node.core.errors import DatabaseUnavailable
from node.store import schema
from node.store.database import Database
from node.store.tables import metadata
from node.store.unit_of_work import StoreUnits
from tests.rig import PostgresServer


async def test_every_column_core_names_is_in_the_migrated_schema(database_url: str) -> None:
    def missing(connection: Connection) -> list[str]:
        inspector = inspect(connection)
        return [
            f"{table.name}.{column.name}"
            for table in metadata.tables.values()
            for column in table.columns
            if column.name not in {each["name"] for each in inspector.get_columns(table.name)}
        ]

    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.connect() as connection:
        assert await connection.run_sync(missing) == []
    await engine.dispose()


async def test_migrating_a_current_database_changes_nothing(database_url: str) -> None:
    assert not await schema.missing_migrations(database_url)
    await schema.migrate(database_url)
    assert not await schema.missing_migrations(database_url)


async def test_a_database_without_the_schema_says_what_to_run(
    postgres_server: PostgresServer,
) -> None:
    database = Database.at(postgres_server.create_database(migrated=False))
    units = StoreUnits(database)
    with pytest.raises(DatabaseUnavailable, match="run `corridor migrate`"):
        async with units() as unit:
            await unit.quotes.halts()
    with pytest.raises(DatabaseUnavailable, match="run `corridor migrate`"):
        async with units() as unit:
            await unit.mirror.cursor(1)
    await database.close()


async def test_the_owner_of_the_tables_is_told_from_the_node(
    database_url: str, postgres_server: PostgresServer
) -> None:
    postgres_server.sql(database_url, "CREATE ROLE payer LOGIN PASSWORD 'x' IN ROLE corridor_node")
    payer_url = f"postgresql://payer:x@{database_url.partition('@')[2]}"
    assert await schema.owns_ledger(database_url)
    assert not await schema.owns_ledger(payer_url)


async def test_a_login_without_the_nodes_role_is_told_what_is_missing(
    database_url: str, postgres_server: PostgresServer
) -> None:
    postgres_server.sql(database_url, "CREATE ROLE stranger LOGIN PASSWORD 'x'")
    database = Database.at(f"postgresql://stranger:x@{database_url.partition('@')[2]}")
    with pytest.raises(DatabaseUnavailable, match="GRANT corridor_node TO"):
        async with database.transaction():
            pass
    await database.close()


async def test_an_owner_that_may_not_make_roles_migrates_once_the_role_was_granted(
    database_url: str, postgres_server: PostgresServer
) -> None:
    postgres_server.sql(database_url, "CREATE ROLE dba LOGIN PASSWORD 'x'")
    postgres_server.sql(database_url, "CREATE DATABASE of_dba OWNER dba")
    url = f"postgresql://dba:x@{database_url.partition('@')[2].rpartition('/')[0]}/of_dba"
    with pytest.raises(DatabaseUnavailable, match="GRANT corridor_node TO"):
        await schema.migrate(url)
    postgres_server.sql(database_url, "GRANT corridor_node TO dba")
    await schema.migrate(url)
    assert not await schema.missing_migrations(url)
    postgres_server.sql(database_url, "DROP DATABASE of_dba WITH (FORCE)")


async def test_a_schema_in_which_the_node_could_create_functions_is_refused(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database(migrated=False)
    postgres_server.sql(url, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    await schema.migrate(url)  # takes that back
    again = postgres_server.create_database(migrated=False)
    postgres_server.sql(again, "GRANT CREATE ON SCHEMA public TO corridor_node")
    with pytest.raises(DatabaseUnavailable, match="REVOKE CREATE"):
        await schema.migrate(again)
    for each in (url, again):
        postgres_server.drop_database(each)
