"""Sessions of operators over a real database, and blocks as the mirror has them."""

from datetime import timedelta

import pytest

from adapters.machine import SystemClock, new_id, new_secret
from node.core.errors import Forbidden, NotFound, Unauthenticated
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.units import Address
from node.services.mirror.blocks import BlockService
from node.services.parties import PartyService, hash_of
from node.services.sessions import LIFETIME, SessionService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, MirroredNode
from tests.rig import PostgresServer

OPS = Principal(Role.OPERATOR, "ops")


class Desk:
    """Parties and sessions over one database."""

    def __init__(self, database: Database) -> None:
        units = StoreUnits(database)
        self.parties = PartyService(units, SystemClock(), new_id, new_secret)
        self.sessions = SessionService(units, new_secret)


async def test_a_session_is_its_operators_until_it_is_signed_out(database_url: str) -> None:
    database = Database.at(database_url)
    desk = Desk(database)
    key = (await desk.parties.create_key(OPS)).secret
    first, second = await desk.sessions.sign_in(key), await desk.sessions.sign_in(key)
    assert first.token != second.token
    assert key not in (first.token, second.token)
    assert await desk.sessions.principal(first.token) == OPS
    await desk.sessions.sign_out(first.token)
    assert await desk.sessions.principal(first.token) is None
    assert await desk.sessions.principal(second.token) == OPS
    for nothing in ("", "x", key):
        assert await desk.sessions.principal(nothing) is None
        await desk.sessions.sign_out(nothing)
    await database.close()


async def test_neither_key_nor_token_is_stored(
    database_url: str, postgres_server: PostgresServer
) -> None:
    database = Database.at(database_url)
    desk = Desk(database)
    made = await desk.sessions.sign_in((await desk.parties.create_key(OPS)).secret)
    stored = postgres_server.sql(database_url, "SELECT encode(hash, 'hex') FROM operator_session")
    assert stored.strip() == hash_of(made.token).hex()
    left = made.expires_at - SystemClock().now()
    assert timedelta() < left <= LIFETIME
    await database.close()


async def test_a_session_ends_with_its_time_and_with_its_key(
    database_url: str, postgres_server: PostgresServer
) -> None:
    database = Database.at(database_url)
    desk = Desk(database)
    made = await desk.parties.create_key(OPS)
    old = await desk.sessions.sign_in(made.secret)
    postgres_server.sql(
        database_url,
        "UPDATE operator_session SET created_at = now() - interval '13 h',"
        " expires_at = now() - interval '1 h'",
    )
    assert await desk.sessions.principal(old.token) is None
    young = await desk.sessions.sign_in(made.secret)
    assert await desk.sessions.principal(young.token) == OPS
    await desk.parties.revoke_key(encode_id(Prefix.KEY, made.credential.id))
    assert await desk.sessions.principal(young.token) is None
    with pytest.raises(Unauthenticated):
        await desk.sessions.sign_in(made.secret)
    await database.close()


async def test_a_session_ends_when_its_keys_own_time_is_over(
    database_url: str, postgres_server: PostgresServer
) -> None:
    database = Database.at(database_url)
    desk = Desk(database)
    key = (await desk.parties.create_key(OPS, expires_in_s=3600)).secret
    session = await desk.sessions.sign_in(key)
    postgres_server.sql(database_url, "UPDATE credential SET expires_at = now()")
    assert await desk.sessions.principal(session.token) is None
    with pytest.raises(Unauthenticated):
        await desk.sessions.sign_in(key)
    await database.close()


async def test_only_operators_have_sessions(database_url: str) -> None:
    database = Database.at(database_url)
    desk = Desk(database)
    partner = await desk.parties.create_partner("shop")
    shop = Principal(Role.PARTNER, "shop", partner_id=partner.id)
    key = (await desk.parties.create_key(shop)).secret
    with pytest.raises(Forbidden):
        await desk.sessions.sign_in(key)
    with pytest.raises(Unauthenticated):
        await desk.sessions.sign_in("nobody knows this")
    await database.close()


async def test_a_block_shows_what_it_said_and_what_was_booked_for_it(node: MirroredNode) -> None:
    (transfer,) = await node.sent(1)
    node.mine(4)
    await node.follow()
    paid = (await node.again([transfer]))[0]
    blocks = BlockService(node.ledger.units, CHAIN_ID)
    look = await blocks.look(str(paid.block_number))
    assert [each.status for each in look.blocks] == ["final"]
    moved, settled = look.logs
    assert (moved.what, moved.minor, moved.cause) == ("transfer", BUY, "settled")
    assert moved.ledger_sequence is not None
    assert moved.facts["from"] == f"0x{node.onchain.contract.hex()}"
    assert (settled.what, settled.minor) == ("settled", BUY)
    assert settled.facts["transfer_id"] == encode_id(Prefix.TRANSFER, transfer.id)
    assert Address(bytes.fromhex(settled.facts["beneficiary"][2:])) == paid.beneficiary_address


@pytest.mark.parametrize("number", ["", "-1", "x", "999999", "9" * 19, "0" * 30, "٣", "1.0"])
async def test_a_block_that_the_mirror_has_not_is_not_found(database_url: str, number: str) -> None:
    database = Database.at(database_url)
    with pytest.raises(NotFound):
        await BlockService(StoreUnits(database), CHAIN_ID).look(number)
    await database.close()
