"""Bringing the schema of a database up to date, and telling whether it is."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from node.store.database import translated

_MIGRATE_LOCK: Final = 7_265_000  # any constant; two migrations never run at once

_OWNS_LEDGER: Final = """
SELECT pg_has_role(session_user, relowner, 'MEMBER') FROM pg_class WHERE oid = 'entry'::regclass
"""


def _engine(url: str) -> AsyncEngine:
    return create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


async def migrate(url: str) -> None:
    """Bring the database up to date; nothing happens when it is.

    Raises:
        DatabaseUnavailable: The database is away.
    """
    engine = _engine(url)
    try:
        with translated():
            async with engine.begin() as connection:
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATE_LOCK}
                )
                await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


async def missing_migrations(url: str) -> bool:
    """Whether the database's schema is not the one of this program."""
    engine = _engine(url)
    try:
        with translated():
            async with engine.connect() as connection:
                return await connection.run_sync(_is_behind)
    finally:
        await engine.dispose()


async def owns_ledger(url: str) -> bool:
    """Whether this login could change what was booked: it is, or may become, the tables' owner.

    Raises:
        DatabaseUnavailable: The database is away.
    """
    engine = _engine(url)
    try:
        with translated():
            async with engine.connect() as connection:
                return bool(await connection.scalar(text(_OWNS_LEDGER)))
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_behind(connection: Connection) -> bool:
    current = MigrationContext.configure(connection).get_current_heads()
    return set(current) != set(ScriptDirectory.from_config(_config()).get_heads())
