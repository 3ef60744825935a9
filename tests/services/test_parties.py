"""Who is known, and what is safe to repeat."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import orjson
import pytest

from adapters.machine import SystemClock, new_id
from node.core.errors import NameTaken, NotFound, Unauthenticated
from node.core.ids import Prefix, encode_id
from node.core.paging import ListQuery
from node.core.parties import Customer, Principal, Role
from node.core.ports import Unit
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import IdempotencyKeyReused, once
from node.services.parties import PartyService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import a_claim, render_error

OPERATOR = Principal(Role.OPERATOR, "olga")


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.time = SystemClock().now()

    def now(self) -> datetime:
        return self.time


@pytest.fixture
async def units(database_url: str) -> AsyncIterator[StoreUnits]:
    database = Database.at(database_url)
    yield StoreUnits(database)
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parties(units: StoreUnits, clock: Clock) -> PartyService:
    return PartyService(units, clock, new_id, lambda: str(new_id()))


def answer_of(customer: Customer) -> Answer:
    return Answer(201, orjson.dumps({"id": encode_id(Prefix.CUSTOMER, customer.id)}))


async def add(parties: PartyService, principal: Principal, claim: Claim | None = None) -> str:
    answer = await parties.create_customer(
        principal,
        name="Ada",
        country="DE",
        email=None,
        claim=claim,
        render=answer_of,
        render_error=render_error,
    )
    return str(orjson.loads(answer.body)["id"])


async def test_a_key_is_known_until_it_is_revoked_or_expires(
    parties: PartyService, clock: Clock
) -> None:
    lasting = await parties.create_key(OPERATOR)
    short = await parties.create_key(OPERATOR, expires_in_s=60)
    assert await parties.authenticate(lasting.secret) == OPERATOR
    assert await parties.authenticate(short.secret) == OPERATOR
    clock.time += timedelta(seconds=61)
    with pytest.raises(Unauthenticated, match="expired"):
        await parties.authenticate(short.secret)
    await parties.revoke_key(encode_id(Prefix.KEY, lasting.credential.id))
    with pytest.raises(Unauthenticated, match="revoked"):
        await parties.authenticate(lasting.secret)
    with pytest.raises(Unauthenticated, match="not known"):
        await parties.authenticate("nothing")


async def test_a_key_revoked_by_another_process_is_refused_within_a_second(
    units: StoreUnits, parties: PartyService, clock: Clock
) -> None:
    secret = await parties.create_key(OPERATOR)
    await parties.authenticate(secret.secret)
    other = PartyService(units, clock, new_id, lambda: str(new_id()))
    await other.revoke_key(encode_id(Prefix.KEY, secret.credential.id))
    clock.time += timedelta(seconds=1, microseconds=1)
    with pytest.raises(Unauthenticated):
        await parties.authenticate(secret.secret)


async def test_a_partner_sees_its_own_customers_and_no_others(parties: PartyService) -> None:
    one = await parties.create_partner("one")
    other = await parties.create_partner("other")
    assert await parties.create_partner("one") == one
    mine = Principal(Role.PARTNER, "one", partner_id=one.id)
    theirs = Principal(Role.PARTNER, "other", partner_id=other.id)
    customer_id = await add(parties, mine)
    assert (await parties.customer(mine, customer_id)).partner_id == one.id
    with pytest.raises(NotFound):
        await parties.customer(theirs, customer_id)
    with pytest.raises(NotFound):
        await parties.create_token(theirs, customer_id)
    assert len((await parties.customers(OPERATOR, ListQuery())).items) == 1
    assert len((await parties.customers(theirs, ListQuery())).items) == 0


async def test_a_list_is_stable_while_rows_are_added(parties: PartyService) -> None:
    ids = [await add(parties, OPERATOR) for _ in range(5)]
    first = await parties.customers(OPERATOR, ListQuery(limit=3))
    await add(parties, OPERATOR)
    second = await parties.customers(OPERATOR, ListQuery(limit=3, cursor=first.next_cursor))
    assert [encode_id(Prefix.CUSTOMER, each.id) for each in (*first.items, *second.items)] == ids[
        ::-1
    ]
    assert second.next_cursor is None


async def test_a_repeated_request_gets_the_first_answer_and_another_body_is_refused(
    parties: PartyService,
) -> None:
    claim = a_claim(OPERATOR, "same")
    ids = await asyncio.gather(*(add(parties, OPERATOR, claim) for _ in range(20)))
    assert len(set(ids)) == 1
    assert len((await parties.customers(OPERATOR, ListQuery())).items) == 1
    with pytest.raises(IdempotencyKeyReused):
        await add(parties, OPERATOR, a_claim(OPERATOR, "same", b"other"))


async def test_a_refusal_of_state_is_remembered_and_any_other_is_not(units: StoreUnits) -> None:
    faults: list[Exception] = [NotFound("not yet"), NameTaken("taken")]

    async def work(_unit: Unit) -> Answer:
        if faults:
            raise faults.pop(0)
        return Answer(201, b"{}")

    claim = a_claim(OPERATOR)
    with pytest.raises(NotFound):
        await once(units, claim, work, render_error)
    refused = await once(units, claim, work, render_error)
    assert orjson.loads(refused.body) == {"code": "name_taken"}
    again = await once(units, claim, work, render_error)
    assert (again.body, again.replayed) == (refused.body, True)


async def test_a_repeated_token_request_is_told_the_key_and_makes_no_second_one(
    parties: PartyService,
) -> None:
    customer_id = await add(parties, OPERATOR)
    claim = a_claim(OPERATOR, "token")

    async def ask() -> Answer:
        return await parties.create_token_once(
            OPERATOR,
            customer_id,
            claim=claim,
            render=lambda made: Answer(201, made.secret.encode()),
            render_error=lambda error: Answer(409, orjson.dumps(error.context)),
        )

    answers = await asyncio.gather(*(ask() for _ in range(10)))
    (shown,) = [each for each in answers if each.status == 201]
    (credential,) = await parties.keys()
    told = orjson.dumps({"key_id": encode_id(Prefix.KEY, credential.id)})
    assert {each.body for each in answers if each is not shown} == {told}
    known = await parties.authenticate(shown.body.decode())
    assert encode_id(Prefix.CUSTOMER, known.customer_id or new_id()) == customer_id
