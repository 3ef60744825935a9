"""The sandbox's clock: functions that shadow PostgreSQL's own, so much ahead of it.

A session of a sandbox looks in the schema `sandbox_clock` first (`PATH`), and finds `now()` there
once somebody has moved the clock; nobody else looks there. Making the schema makes every session
read its prepared statements anew, so no process has to start again. Column defaults and the
ledger's own functions keep PostgreSQL's time: deadlines move, history does not (ADR 0033).
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from node.store.database import translated

_LOCK: Final = 7_265_001  # any constant; two moves never run at once

_AHEAD: Final = """
SELECT to_regprocedure('sandbox_clock.ahead()') IS NOT NULL
"""
_MAKE: Final = (
    "CREATE SCHEMA IF NOT EXISTS sandbox_clock",
    "GRANT USAGE ON SCHEMA sandbox_clock TO PUBLIC",
)
# Constants and plain expressions: the planner puts them in place, so that indexes are used as ever.
_CLOCKS: Final = (
    ("now", "STABLE"),
    ("statement_timestamp", "STABLE"),
    ("clock_timestamp", "VOLATILE"),
)


async def move_clock(owner_url: str, forward: timedelta) -> timedelta:
    """Move the clock of a database forward; how far ahead it is then.

    Args:
        owner_url: By the owner of the schema.
        forward: Whole seconds, 0 or more.

    Raises:
        ValueError: It would go back: what was written would lie ahead.
        DatabaseUnavailable: The database is away.
    """
    if forward < timedelta():
        raise ValueError("the clock does not go back")
    engine = create_async_engine(make_url(owner_url).set(drivername="postgresql+asyncpg"))
    try:
        with translated():
            async with engine.begin() as connection:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                ahead = timedelta()
                if await connection.scalar(text(_AHEAD)):
                    ahead = await connection.scalar(text("SELECT sandbox_clock.ahead()")) or ahead
                ahead += forward
                for statement in (*_MAKE, *_functions(ahead)):
                    await connection.execute(text(statement))
                return ahead
    finally:
        await engine.dispose()


def _functions(ahead: timedelta) -> list[str]:
    seconds = ahead // timedelta(seconds=1)
    ahead_made = (
        "CREATE OR REPLACE FUNCTION sandbox_clock.ahead() RETURNS interval LANGUAGE sql STABLE"
        f" PARALLEL SAFE AS $$ SELECT interval '{seconds} seconds' $$"
    )
    clocks_made = [
        f"CREATE OR REPLACE FUNCTION sandbox_clock.{name}() RETURNS timestamptz LANGUAGE sql"
        f" {kind} PARALLEL SAFE"
        f" AS $$ SELECT pg_catalog.{name}() + sandbox_clock.ahead() $$"
        for name, kind in _CLOCKS
    ]
    return [ahead_made, *clocks_made]
