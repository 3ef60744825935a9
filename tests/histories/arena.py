"""One database that many histories are played in, one after another; each finds it as new.

Creating a database takes longer than playing a history in it. Between two, every row goes that the
migrations did not leave, and every sequence begins again.
"""

from dataclasses import dataclass
from typing import Any, Self

import asyncpg

from node.store.database import Database
from tests.rig import PostgresServer

_TABLES = """
SELECT format('%I', c.relname) AS name,
    coalesce((SELECT string_agg(format('%I', a.attname), ', ') FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = ''), '') AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1
"""
_SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences"


@dataclass
class Arena:
    """See above.

    Attributes:
        database: Open, with a pool that is kept.
        owner: A connection of the owner, who may take rows away.
    """

    postgres: PostgresServer
    url: str
    database: Database
    owner: Any
    _clean: str

    @classmethod
    async def open(cls, postgres: PostgresServer) -> Self:
        """A new database."""
        url = postgres.create_database()
        raw = await asyncpg.connect(url)
        deletes, inserts = [], []
        async with raw.transaction():
            await raw.execute("CREATE SCHEMA kept")
            for name, columns in await raw.fetch(_TABLES):
                deletes.append(f"DELETE FROM public.{name};")
                if await raw.fetchval(f"SELECT EXISTS (SELECT FROM public.{name})"):
                    await raw.execute(f"CREATE TABLE kept.{name} AS TABLE public.{name}")
                    inserts.append(
                        f"INSERT INTO public.{name} ({columns}) OVERRIDING SYSTEM VALUE"
                        f" SELECT {columns} FROM kept.{name};"
                    )
            restarts = [
                f"SELECT setval('public.{name}', {start if last is None else last},"
                f" {last is not None});"
                for name, start, last in await raw.fetch(_SEQUENCES)
            ]
        clean = "\n".join(
            ["SET LOCAL session_replication_role = replica;", *deletes, *inserts, *restarts]
        )
        return cls(postgres, url, Database.at(url), raw, clean)

    async def clean(self) -> None:
        """As it was when it was new."""
        async with self.owner.transaction():
            await self.owner.execute(self._clean)

    async def close(self) -> None:
        """Let go of the database, and drop it."""
        await self.owner.close()
        await self.database.close()
        self.postgres.drop_database(self.url)
