"""Webhooks of a node that was there before have an end, and are kept and deleted as new ones."""

import asyncpg
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.machine import new_id
from node.core.ports.webhooks import Kept
from node.store import schema
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.rig import PostgresServer

_BEFORE = "0016"
_ENDPOINT = """
INSERT INTO webhook_endpoint (id, url, status, disabled_reason, keys, public_key, after_sequence)
VALUES ($1, 'https://example.com', $2, $3, '', $4, 0)
"""


def to_before(connection: Connection) -> None:
    config = schema._config()
    config.attributes["connection"] = connection
    command.upgrade(config, _BEFORE)


async def test_webhooks_of_before_are_migrated(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database(migrated=False)
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as made:
        await made.run_sync(to_before)
    await engine.dispose()
    raw = await asyncpg.connect(url)
    active, disabled = new_id(), new_id()
    await raw.execute(_ENDPOINT, active, "active", None, bytes(32))
    await raw.execute(_ENDPOINT, disabled, "disabled", "by its partner", bytes(32))
    for status in ("pending", "delivered", "dead", "canceled"):
        delivery = new_id()
        await raw.execute(
            "INSERT INTO webhook_delivery (id, endpoint_id, type, status, delivered_at)"
            " VALUES ($1, $2, $3, $3, CASE WHEN $3 = 'delivered' THEN now() - interval '1 y' END)",
            delivery,
            active,
            status,
        )
        await raw.execute(
            "INSERT INTO webhook_attempt VALUES ($1, 1, now(), 500, NULL, 1, '')", delivery
        )
    await schema.migrate(url)
    rows = await raw.fetch("SELECT id, disabled_at FROM webhook_endpoint")
    assert {row["id"]: row["disabled_at"] is None for row in rows} == {
        active: True,
        disabled: False,
    }
    database = Database.at(url)
    async with StoreUnits(database)() as unit:
        assert await unit.webhook_queue.forget(Kept(86_400, 86_400), 10) == 1
    await database.close()
    kept = await raw.fetch("SELECT status FROM webhook_delivery ORDER BY status")
    assert [row["status"] for row in kept] == ["canceled", "dead", "pending"]
    assert await raw.fetchval("SELECT count(*) FROM webhook_attempt") == 3
    await raw.close()
    postgres_server.drop_database(url)
