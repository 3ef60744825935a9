"""The connection pool and its transactions; the one border where driver errors are translated.

A `Connection` speaks two ways inside one transaction: `sql` is SQLAlchemy Core for ordinary
statements, `raw` is asyncpg for set-based hot paths. The engine runs in the driver's autocommit
mode and asyncpg opens the transaction, so that both always stand in the same one.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

import asyncpg
import orjson
from sqlalchemy import RowMapping, exc
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from node.core.errors import DatabaseUnavailable

Row = asyncpg.Record | RowMapping
"""A row as either way gives it."""

# A new connection costs a PostgreSQL process, a handshake and the look-up of every array type, so
# the pool never grows beyond what it keeps; requests wait their turn instead.
_POOL_SIZE: Final = 8
_POOL_WAIT_S: Final = 10
_CONNECT_TIMEOUT_S: Final = 5
_COMMAND_TIMEOUT_S: Final = 60

# Statements are prepared once. One planned while its tables were still empty would read them
# from end to end for ever after; every hot statement has an index, so it is told to use it.
_SESSION: Final = {
    "application_name": "corridor",
    "timezone": "UTC",
    "enable_seqscan": "off",
    "lock_timeout": "30s",  # locks are held for one batch: longer means that nothing moves
    "jit": "off",
}

_CROSSED = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver says when the server is away into `DatabaseUnavailable`."""
    try:
        yield
    except _AWAY as error:
        raise DatabaseUnavailable("the database does not answer; is PostgreSQL up?") from error
    except _CROSSED as error:
        raise DatabaseUnavailable("the database is busy with the same rows; try again") from error
    except exc.TimeoutError as error:
        raise DatabaseUnavailable("every connection to the database is busy; try again") from error
    except exc.DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if error.connection_invalidated or isinstance(cause, _AWAY):
            raise DatabaseUnavailable("the database does not answer; is PostgreSQL up?") from error
        raise


@dataclass(frozen=True, slots=True)
class Connection:
    """One transaction, two ways to speak.

    Attributes:
        sql: SQLAlchemy Core.
        raw: asyncpg, the same connection.
        now: The database clock at the start of the transaction.
    """

    sql: AsyncConnection
    raw: "asyncpg.Connection[asyncpg.Record]"
    now: datetime


class Database:
    """A pool of connections to one PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    def at(cls, url: str) -> Self:
        """The database at a `postgresql://` URL. Nothing is opened yet."""
        return cls(
            create_async_engine(
                make_url(url).set(drivername="postgresql+asyncpg"),
                isolation_level="AUTOCOMMIT",
                json_deserializer=orjson.loads,  # for both ways to speak
                pool_size=_POOL_SIZE,
                max_overflow=0,
                pool_timeout=_POOL_WAIT_S,
                pool_pre_ping=False,
                connect_args={
                    "timeout": _CONNECT_TIMEOUT_S,
                    "command_timeout": _COMMAND_TIMEOUT_S,
                    "server_settings": _SESSION,
                },
            )
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Commit at the end of the block, roll back on an exception.

        Raises:
            DatabaseUnavailable: The server is away. After a lost COMMIT the outcome is unknown:
                look the keys up before doing anything again.
        """
        with translated():
            async with self._engine.connect() as sql:
                pooled = await sql.get_raw_connection()
                raw = pooled.driver_connection
                assert raw is not None
                try:
                    async with raw.transaction():
                        now: datetime = await raw.fetchval("SELECT now()")
                        yield Connection(sql, raw, now)
                except _AWAY:
                    await sql.invalidate()
                    raise

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
