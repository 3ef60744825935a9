"""What needs the database and nothing else: its schema, and services that ask no chain.

Apart from the rest of the wiring, so that a command of these loads no more than it needs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.machine import SandboxClock, SystemClock, new_id, new_secret
from node.config import Settings
from node.services.ledger.verifying import VerifyService
from node.services.parties import PartyService
from node.services.partners.keys import PartnerKeys
from node.store import schema
from node.store.database import Database
from node.store.unit_of_work import StoreUnits


@dataclass(frozen=True, slots=True)
class Books:
    """What needs the database and nothing else."""

    parties: PartyService
    partner_keys: PartnerKeys
    verifying: VerifyService


@asynccontextmanager
async def open_books(settings: Settings) -> AsyncIterator[Books]:
    """Services that need no chain, for as long as the block lasts.

    Raises:
        SettingsInvalid: No database is named.
    """
    settings.require("database_url")
    clock, database = clock_and_database(settings)
    try:
        units = StoreUnits(database)
        parties = PartyService(units, clock, new_id, new_secret)
        keys = PartnerKeys(units, parties, clock, new_id)
        yield Books(parties, keys, VerifyService(units))
    finally:
        await database.close()


def clock_and_database(settings: Settings) -> tuple[SystemClock, Database]:
    """The time and the database, which both obey the sandbox's clock in a sandbox alone."""
    if not settings.sandbox:
        return SystemClock(), Database.at(settings.database_url)
    clock = SandboxClock()
    return clock, Database.at(settings.database_url, ahead=clock.be_ahead)


def migrate(settings: Settings) -> None:
    """Bring the database up to date.

    Raises:
        DatabaseUnavailable: The database is away.
    """
    settings.require("database_url")
    asyncio.run(schema.migrate(settings.database_owner_url or settings.database_url))
