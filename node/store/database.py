"""The connection pool and its transactions; the one border where driver errors are translated.

A `Connection` speaks two ways inside one transaction: `sql` is SQLAlchemy Core for ordinary
statements, `raw` is asyncpg for set-based hot paths. The engine runs in the driver's autocommit
mode and the transaction is opened and ended here, so that both always stand in the same one.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

import asyncpg
import orjson
from sqlalchemy import RowMapping, exc
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from node.core.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken

Row = asyncpg.Record | RowMapping
"""A row as either way gives it."""

ROLE: Final = "corridor_node"
"""What sessions of the node act as; its privileges are in the migrations."""

# A new connection costs a PostgreSQL process, a handshake and the look-up of every array type, so
# the pool never grows beyond what it keeps; requests wait their turn instead. One more is kept for
# snapshots: the mirror reads one at every final block.
_POOL_SIZE: Final = 8
_POOL_WAIT_S: Final = 10
_CONNECT_TIMEOUT_S: Final = 5
_COMMAND_TIMEOUT_S: Final = 60

# The node has more than 200 statements; of fewer kept, each round of a worker's jobs would push out
# those that the next one begins with.
_STATEMENTS_KEPT: Final = 400

# Statements are prepared once. One planned while its tables were still empty would read them
# from end to end for ever after; every hot statement has an index, so it is told to use it.
_SESSION: Final = {
    "application_name": "corridor",
    "role": ROLE,  # whatever the login may do, a session of the node may do only this
    "timezone": "UTC",
    "enable_seqscan": "off",
    # A process that stands still in the middle of a transaction would keep its locks, the ledger's
    # among them, for as long as it stands; the server ends it before others give up waiting.
    "idle_in_transaction_session_timeout": "20s",
    "lock_timeout": "30s",  # locks are held for one batch: longer means that nothing moves
    "jit": "off",
}

_SANDBOX: Final = {"search_path": 'sandbox_clock, pg_catalog, "$user", public'}
"""Of a session that obeys the sandbox's clock, once somebody moved it (`sandbox_clock`)."""

_NOW: Final = "SELECT now(), now() - pg_catalog.now()"

_BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

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
    asyncpg.InternalClientError,  # the server ended an idle connection; its last word came just now
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


_NOT_MIGRATED: Final = "the database has no schema, or an older one: run `corridor migrate`"
_NO_ROLE = (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver says when the server is away into `DatabaseUnavailable`."""
    try:
        yield
    except _AWAY as error:
        raise DatabaseUnavailable("the database does not answer; is PostgreSQL up?") from error
    except asyncpg.UndefinedTableError as error:
        raise DatabaseUnavailable(_NOT_MIGRATED) from error
    except _CROSSED as error:
        raise DatabaseUnavailable("the database is busy with the same rows; try again") from error
    except exc.TimeoutError as error:
        raise DatabaseUnavailable("every connection to the database is busy; try again") from error
    except exc.DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if isinstance(cause, _NO_ROLE) and ROLE in str(cause):
            raise DatabaseUnavailable(
                f"the login cannot act as the role {ROLE} ({cause}): its owner runs"
                f" `corridor migrate`, an administrator `GRANT {ROLE} TO` the login"
            ) from error
        if isinstance(cause, asyncpg.UndefinedTableError):
            raise DatabaseUnavailable(_NOT_MIGRATED) from error
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

    def __init__(
        self,
        pool: AsyncEngine,
        snapshots: AsyncEngine,
        ahead: Callable[[timedelta], None] | None = None,
    ) -> None:
        self._pool = pool
        self._snapshots = snapshots  # apart: they may take long, and keep nobody waiting
        self._ahead = ahead or (lambda _: None)

    @classmethod
    def at(cls, url: str, *, ahead: Callable[[timedelta], None] | None = None) -> Self:
        """The database at a `postgresql://` URL. Nothing is opened yet.

        Args:
            url: By a login of the node.
            ahead: Only of a sandbox: its sessions obey the sandbox's clock, and this is told in
                every transaction how far ahead that is.
        """
        session = _SESSION if ahead is None else _SESSION | _SANDBOX
        return cls(
            _engine(
                url,
                session,
                {"command_timeout": _COMMAND_TIMEOUT_S},
                pool_size=_POOL_SIZE,
                max_overflow=0,
                pool_timeout=_POOL_WAIT_S,
                pool_pre_ping=False,
            ),
            _engine(url, session, {}, pool_size=1, max_overflow=-1),  # as many as there are
            ahead,
        )

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        """Commit at the end of the block, roll back on an exception.

        Args:
            snapshot: Only read, and see one instant throughout; statements may take long.

        Raises:
            DatabaseUnavailable: The server is away.
            CommitUnknown: It went away during COMMIT: look the keys up before doing anything
                again.
        """
        with translated():
            async with (self._snapshots if snapshot else self._pool).connect() as sql:
                pooled = await sql.get_raw_connection()
                raw = pooled.driver_connection
                assert raw is not None
                try:
                    await raw.execute(_BEGIN_SNAPSHOT if snapshot else "BEGIN")
                    row = await raw.fetchrow(_NOW)
                    assert row is not None
                    now, ahead = row
                    self._ahead(ahead)
                    yield Connection(sql, raw, now)
                except BaseException as error:
                    await _roll_back(sql, raw, error)
                    raise
                await _commit(sql, raw)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.dispose()
        await self._snapshots.dispose()


async def planned_now(
    raw: "asyncpg.Connection[asyncpg.Record]", query: str, *arguments: object
) -> "asyncpg.cursor.Cursor":
    """A cursor over what reads whole tables: planned for what is in them now, and not kept.

    A plan that was made while the tables were small joins row by row for as long as it is kept.
    """
    statement = await raw.prepare(query)
    return await statement.cursor(*arguments)


@asynccontextmanager
async def savepoint(raw: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """A part of a transaction that may fail by itself: what it did is then undone."""
    await raw.execute("SAVEPOINT part")
    try:
        yield
    except asyncpg.PostgresError:
        await raw.execute("ROLLBACK TO SAVEPOINT part")
        raise
    await raw.execute("RELEASE SAVEPOINT part")


def _engine(
    url: str, session: Mapping[str, str], connect_args: dict[str, Any], **pool: Any
) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        isolation_level="AUTOCOMMIT",
        json_deserializer=orjson.loads,  # for both ways to speak
        connect_args={
            "timeout": _CONNECT_TIMEOUT_S,
            "statement_cache_size": _STATEMENTS_KEPT,
            "server_settings": dict(session),
            **connect_args,
        },
        **pool,
    )


async def _commit(sql: AsyncConnection, raw: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Commit, and see that it was one: COMMIT of a failed transaction answers ROLLBACK."""
    try:
        tag = await raw.execute("COMMIT")
    except BaseException as error:
        await sql.invalidate()
        if isinstance(error, _AWAY):
            raise CommitUnknown(
                "the database went away while it was committing; send the same request again to"
                " learn the outcome"
            ) from error
        raise
    if tag != "COMMIT":
        raise InvariantBroken(f"COMMIT was answered by {tag}: nothing of it was written")


async def _roll_back(
    sql: AsyncConnection, raw: "asyncpg.Connection[asyncpg.Record]", error: BaseException
) -> None:
    """Leave the connection clean for the next, or give it up."""
    if isinstance(error, _AWAY) or not isinstance(error, Exception) or raw.is_closed():
        await sql.invalidate()
        return
    try:
        await raw.execute("ROLLBACK")
    except _AWAY:
        await sql.invalidate()
