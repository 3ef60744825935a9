"""The schema: tables that Core names exist as migrated, and migrating twice changes nothing."""

from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from node.store import schema
from node.store.tables import metadata


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
