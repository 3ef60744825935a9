"""A COMMIT whose answer is lost: nothing is booked twice, nothing is lost, and callers learn it.

For postings, top-ups and transfers, over a real PostgreSQL reached by a way that is cut exactly at
COMMIT; with and without another process that does the same at the same time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
import orjson
import pytest

from adapters.machine import new_id
from node.core.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction
from node.core.parties import Principal, Role
from node.core.ports import UnitOfWork
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import TopUp
from node.core.quotes import Quote
from node.services.ledger.posting import PostingService
from node.services.ledger.top_ups import SANDBOX_RAIL, TopUpRequest, TopUpService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG, LedgerNode, a_claim, a_quote, render_error
from tests.cutting import Cut, Cutter

COUNT = 5
OPERATOR = Principal(Role.OPERATOR, "olga")
LOST = [Cut.BEFORE, Cut.AFTER]


class Process(Protocol):
    """One process of the node that carries out orders, by their place."""

    async def order(self, place: int) -> int | Answer:
        """Carry out one order, or find out what it came to."""
        ...


class Case(Protocol):
    """One kind of order."""

    async def prepare(self, units: UnitOfWork) -> None:
        """Store what orders need."""
        ...

    def process(self, units: UnitOfWork) -> Process:
        """A process of the node of its own."""
        ...

    async def booked(self, units: UnitOfWork) -> int:
        """How many orders were carried out."""
        ...


async def keys_of(units: UnitOfWork, prefix: str) -> int:
    async with units() as unit:
        found = [await unit.history.transaction(sequence) for sequence in range(1, 100)]
    return sum(each is not None and each.transaction.key.startswith(prefix) for each in found)


@dataclass
class Postings:
    """Ledger transactions, by their keys."""

    async def prepare(self, units: UnitOfWork) -> None:
        """Nothing is needed."""

    def process(self, units: UnitOfWork) -> Process:
        return _PostingProcess(PostingService(units, CATALOG))

    async def booked(self, units: UnitOfWork) -> int:
        return await keys_of(units, "order ")


@dataclass
class _PostingProcess:
    service: PostingService

    async def order(self, place: int) -> int:
        entries = [Entry("bank/x/EUR", "customer/ann/EUR", "EUR", place + 1)]
        return await self.service.post(LedgerTransaction(f"order {place}", "test", entries))


@dataclass
class TopUps:
    """Top-ups of one customer, by their references."""

    customer_id: str = ""

    async def prepare(self, units: UnitOfWork) -> None:
        customer = (await LedgerNode(units).remitter()).customer_id
        assert customer is not None
        self.customer_id = encode_id(Prefix.CUSTOMER, customer)

    def process(self, units: UnitOfWork) -> Process:
        service = TopUpService(units, CATALOG, new_id, sandbox=True, rails=frozenset())
        return _TopUpProcess(service, self.customer_id)

    async def booked(self, units: UnitOfWork) -> int:
        return await keys_of(units, "top_up:")


@dataclass
class _TopUpProcess:
    service: TopUpService
    customer_id: str

    async def order(self, place: int) -> Answer:
        def render(top_up: TopUp) -> Answer:
            return Answer(201, orjson.dumps({"id": str(top_up.id)}))

        request = TopUpRequest(OPERATOR, self.customer_id, "EUR", "1.00", SANDBOX_RAIL, f"{place}")
        return await self.service.create(
            request, a_claim(OPERATOR, f"{place}"), render, render_error
        )


@dataclass
class Transfers:
    """Transfers of one remitter, each on a quote of its own."""

    quotes: list[Quote] = field(default_factory=list)
    payer: Principal = OPERATOR

    async def prepare(self, units: UnitOfWork) -> None:
        node = LedgerNode(units)
        await node.fund_contract()
        self.payer = await node.remitter(eur_minor=COUNT * 20_000)
        self.quotes = [a_quote(self.payer) for _ in range(COUNT)]
        await node.add_quotes(*self.quotes)

    def process(self, units: UnitOfWork) -> Process:
        return _TransferProcess(LedgerNode(units), self.payer, self.quotes)

    async def booked(self, units: UnitOfWork) -> int:
        return await keys_of(units, "transfer:")


@dataclass
class _TransferProcess:
    node: LedgerNode
    payer: Principal
    quotes: Sequence[Quote]

    async def order(self, place: int) -> Answer:
        submission = self.node.submission(self.payer, self.quotes[place], key=f"{place}")
        return await self.node.acceptance.create(submission)


def is_first(answer: int | Answer) -> bool:
    return isinstance(answer, int) or not answer.replayed


def what(answer: int | Answer) -> object:
    return answer if isinstance(answer, int) else (answer.status, answer.body)


@dataclass
class World:
    """The database, and a process that reaches it by a way that can be cut."""

    case: Case
    units: UnitOfWork
    cutter: Cutter
    cut_off: Process


@pytest.fixture(params=[Postings, TopUps, Transfers], ids=["postings", "top-ups", "transfers"])
async def world(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[World]:
    direct = Database.at(database_url)
    case: Case = request.param()
    await case.prepare(StoreUnits(direct))
    async with Cutter(database_url) as cutter:
        far = Database.at(cutter.url)
        units = StoreUnits(direct)
        yield World(case, units, cutter, case.process(StoreUnits(far)))
        await far.close()
    await direct.close()


@pytest.mark.parametrize("cut", LOST)
@pytest.mark.parametrize("times", [1, 2])
async def test_first_callers_get_their_answers_and_each_order_is_booked_once(
    world: World, cut: Cut, times: int
) -> None:
    world.cutter.cut(cut, times)
    answers = await asyncio.gather(*(world.cut_off.order(place) for place in range(COUNT)))
    assert world.cutter.done == times
    assert all(is_first(each) for each in answers)
    assert await world.case.booked(world.units) == COUNT
    again = [await world.cut_off.order(place) for place in range(COUNT)]
    assert [what(each) for each in again] == [what(each) for each in answers]
    assert not any(isinstance(each, Answer) and is_first(each) for each in again)
    assert await world.case.booked(world.units) == COUNT


@pytest.mark.parametrize("cut", LOST)
async def test_a_racer_on_another_connection_changes_nothing_about_it(
    world: World, cut: Cut
) -> None:
    racer = world.case.process(world.units)
    world.cutter.cut(cut, 2)
    answers = await asyncio.gather(
        *(each.order(place) for place in range(COUNT) for each in (world.cut_off, racer))
    )
    assert world.cutter.done >= 1
    assert await world.case.booked(world.units) == COUNT
    for place in range(COUNT):
        pair = answers[2 * place : 2 * place + 2]
        assert what(pair[0]) == what(pair[1])
        if isinstance(pair[0], Answer):
            assert sum(is_first(each) for each in pair) == 1


async def test_a_commit_that_arrives_late_is_waited_for(world: World) -> None:
    world.cutter.cut(Cut.LATE)
    orders = [asyncio.create_task(world.cut_off.order(place)) for place in range(COUNT)]
    await until_waiting(world.units)
    assert not any(each.done() for each in orders)
    world.cutter.release.set()
    answers = await asyncio.gather(*orders)
    assert all(is_first(each) for each in answers)
    assert await world.case.booked(world.units) == COUNT


async def until_waiting(units: UnitOfWork) -> None:
    """Until a session waits for the lock of the ledger."""
    assert isinstance(units, StoreUnits)
    for _ in range(3000):
        async with units.database.transaction() as connection:
            if await connection.raw.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


@pytest.mark.parametrize(("cut", "booked"), [(Cut.BEFORE, 0), (Cut.AFTER, COUNT)])
async def test_while_the_database_stays_away_callers_get_503_and_repeats_find_out(
    world: World, cut: Cut, booked: int
) -> None:
    world.cutter.cut(cut, 100)
    lost = await asyncio.gather(
        *(world.cut_off.order(place) for place in range(COUNT)), return_exceptions=True
    )
    assert {type(each) for each in lost} == {CommitUnknown}
    assert all(isinstance(each, DatabaseUnavailable) and each.retryable for each in lost)
    assert await world.case.booked(world.units) == booked
    world.cutter.shut()
    away = await asyncio.gather(
        *(world.cut_off.order(place) for place in range(COUNT)), return_exceptions=True
    )
    assert all(isinstance(each, DatabaseUnavailable) and each.retryable for each in away)
    assert await world.case.booked(world.units) == booked
    other = world.case.process(world.units)
    answers = [await other.order(place) for place in range(COUNT)]
    assert await world.case.booked(world.units) == COUNT
    if isinstance(answers[0], Answer):
        assert [is_first(each) for each in answers] == [not booked] * COUNT


async def test_a_commit_that_answers_rollback_is_a_failure(world: World) -> None:
    world.cutter.cut(Cut.TURNED)
    with pytest.raises(InvariantBroken, match="ROLLBACK"):
        await world.cut_off.order(0)
    assert await world.case.booked(world.units) == 0
    await world.cut_off.order(0)
    assert await world.case.booked(world.units) == 1


async def test_a_transaction_that_failed_unnoticed_is_no_success(database_url: str) -> None:
    database = Database.at(database_url)

    async def swallow() -> None:
        async with database.transaction() as connection:
            with contextlib.suppress(asyncpg.DivisionByZeroError):
                await connection.raw.execute("SELECT 1 / 0")

    with pytest.raises(InvariantBroken, match="ROLLBACK"):
        await swallow()
    await database.close()
