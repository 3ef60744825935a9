"""Statements and balances as of a time, over a real ledger."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest

from adapters.machine import new_id
from node.core.errors import InFuture, NotFound, PeriodInvalid, StatementTooLarge
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction, Outcome, Resolution, customer_account
from node.core.parties import Principal
from node.core.ports import Unit
from node.core.statements import Period, Statement, last_instant_before
from node.services.ledger.accounts import AccountService
from node.services.ledger.checkpointing import CheckpointService
from node.services.ledger.statements import StatementService
from node.services.points import Asked, point, point_at
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode

pytestmark = pytest.mark.usefixtures("one_day")

DAY = timedelta(days=1)
MONDAY = date(2026, 3, 2)


@dataclass
class Books:
    """A ledger whose batches can be given other times, as only the owner of the database can."""

    url: str
    units: StoreUnits
    node: LedgerNode
    statements: StatementService
    accounts: AccountService

    async def book_on(self, *days: date, at: time = time(12)) -> None:
        """Move the newest batches to so many days, one each."""
        owner = await asyncpg.connect(self.url)
        try:
            head = await owner.fetchval("SELECT batch FROM ledger")
            await owner.execute("SET session_replication_role = replica")
            for number, day in enumerate(days, start=head - len(days) + 1):
                moment = datetime.combine(day, at, UTC)
                first, last = await owner.fetchrow(
                    "UPDATE ledger_batch SET created_at = $2 WHERE number = $1"
                    " RETURNING first_sequence, last_sequence", number, moment,
                )  # fmt: skip
                for table in ("ledger_transaction", "ledger_resolution"):
                    await owner.execute(
                        f"UPDATE {table} SET created_at = $3 WHERE sequence BETWEEN $1 AND $2",
                        first, last, moment,
                    )  # fmt: skip
                await owner.execute(
                    "UPDATE account SET created_at = $2 WHERE batch = $1", number, moment
                )
            await owner.execute(
                "UPDATE ledger SET moved_at = (SELECT max(created_at) FROM ledger_batch)"
            )
        finally:
            await owner.close()

    async def resolve(self, sequence: int, outcome: Outcome) -> None:
        """Post or void a pending ledger transaction."""
        async with self.units() as unit:
            await unit.ledger.lock()
            await unit.ledger.post((), [Resolution(sequence, outcome)])


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Books]:
    database = Database.at(database_url)
    units = StoreUnits(database)
    yield Books(
        database_url, units, LedgerNode(units), StatementService(units), AccountService(units)
    )
    await database.close()


def name_of(payer: Principal) -> str:
    assert payer.customer_id is not None
    return encode_id(Prefix.CUSTOMER, payer.customer_id)


async def test_a_transfer_is_in_the_statement_of_the_day_on_which_it_became_final(
    books: Books,
) -> None:
    await books.node.fund_contract()
    payer = await books.node.remitter(eur_minor=100_000)
    await books.book_on(MONDAY - DAY, MONDAY)
    (transfer,) = await books.node.funded(payer, 1)
    await books.book_on(MONDAY + DAY)
    await books.resolve(transfer.pending_sequence, Outcome.POSTED)
    await books.book_on(MONDAY + 2 * DAY)

    days = [
        await books.statements.statement(
            payer, name_of(payer), "EUR", first=MONDAY + n * DAY, last=MONDAY + n * DAY
        )
        for n in range(4)
    ]
    assert [(each.opening, len(each.lines), each.closing) for each in days] == [
        (0, 1, 100_000),
        (100_000, 0, 100_000),  # held, not posted
        (100_000, 3, 80_000),
        (80_000, 0, 80_000),
    ]
    assert all(each.is_complete for each in days)
    exchanged, spread, fees = days[2].lines
    assert (exchanged.amount, spread.amount, fees.amount) == (19_899, 39, 62)
    assert {each.transfer_id for each in days[2].lines} == {transfer.id}
    assert exchanged.beneficiary_name == "Ben"
    assert exchanged.place > exchanged.sequence == transfer.pending_sequence
    whole = await books.statements.statement(
        payer, name_of(payer), "EUR", first=MONDAY, last=MONDAY + 3 * DAY
    )
    assert [*whole.lines] == [line for each in days for line in each.lines]
    assert (whole.opening, whole.closing) == (days[0].opening, days[-1].closing)


async def test_a_day_begins_at_midnight_and_ends_before_the_next(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=1)
    await books.book_on(MONDAY, at=time(0))
    assert payer.customer_id is not None
    account = customer_account(payer.customer_id, "EUR")
    await books.node.post(Entry("bank/x/EUR", account, "EUR", 2))
    await books.book_on(MONDAY, at=time(23, 59, 59, 999_999))
    await books.node.post(Entry("bank/x/EUR", account, "EUR", 4))
    await books.book_on(MONDAY + DAY, at=time(0))

    found = [
        await books.statements.statement(payer, name_of(payer), "EUR", first=day, last=day)
        for day in (MONDAY - DAY, MONDAY, MONDAY + DAY)
    ]
    assert [[line.amount for line in each.lines] for each in found] == [[], [1, 2], [4]]


async def test_this_month_so_far_is_not_complete_and_has_what_is_booked_now(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=500)
    found = await books.statements.statement(payer, name_of(payer), "EUR")
    assert not found.is_complete
    assert (found.opening, found.closing, found.owner_name) == (0, 500, "Ada")
    assert found.period.first.day == 1
    assert found.period.last == found.made_at.date()
    async with books.units() as unit:
        assert found.sequence == (await unit.history.head()).sequence


async def test_a_statement_can_end_at_a_sequence_or_a_time_also_within_a_day(
    books: Books,
) -> None:
    payer = await books.node.remitter(eur_minor=1)
    assert payer.customer_id is not None
    account = customer_account(payer.customer_id, "EUR")
    two = [
        LedgerTransaction(str(new_id()), "top_up", [Entry("bank/x/EUR", account, "EUR", each)])
        for each in (2, 4)
    ]
    async with books.units() as unit:  # one batch
        await unit.ledger.lock()
        await unit.ledger.post(two)
    await books.book_on(MONDAY, MONDAY + DAY)
    head = (await point(books.units, Asked())).sequence
    noon = datetime.combine(MONDAY + DAY, time(12), UTC)

    async def ask(asked: Asked, first: date | None = None) -> Statement:
        return await books.statements.statement(
            payer, name_of(payer), "EUR", first=first, asked=asked
        )

    for back, closing in enumerate((7, 3, 1)):
        found = await ask(Asked(sequence=head - back))
        assert (found.sequence, found.closing) == (head - back, closing)
        assert sum(line.amount for line in found.lines) == closing
        assert not found.is_complete
        assert found == replace(await ask(Asked(sequence=head - back)), made_at=found.made_at)
    first_day = await ask(Asked(sequence=head - 2))
    assert first_day.period == Period(MONDAY.replace(day=1), MONDAY)
    assert first_day.ends_at == datetime.combine(MONDAY, time(12), UTC)

    at_noon = await ask(Asked(at=noon), first=MONDAY + DAY)
    assert (at_noon.opening, at_noon.closing, at_noon.ends_at) == (1, 7, noon)
    assert not at_noon.is_complete  # though the day is long over
    before = await ask(Asked(at=noon - timedelta(microseconds=1)), first=MONDAY + DAY)
    assert (before.opening, list(before.lines), before.closing) == (1, [], 1)
    evening = await ask(Asked(at=last_instant_before(MONDAY + 2 * DAY)), first=MONDAY)
    whole = await books.statements.statement(
        payer, name_of(payer), "EUR", first=MONDAY, last=MONDAY + DAY
    )
    assert evening.is_complete
    assert evening == replace(whole, made_at=evening.made_at)


async def test_a_statement_as_of_before_anything_was_booked_is_empty(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=1)
    for asked in (Asked(sequence=0), Asked(at=datetime(1, 1, 1, tzinfo=UTC))):
        found = await books.statements.statement(payer, name_of(payer), "EUR", asked=asked)
        assert (found.sequence, found.opening, list(found.lines), found.closing) == (0, 0, [], 0)


async def test_a_statement_cannot_begin_after_the_point_it_ends_at(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=1)
    await books.book_on(MONDAY)
    head = await point(books.units, Asked())
    with pytest.raises(PeriodInvalid) as refused:
        await books.statements.statement(
            payer, name_of(payer), "EUR", first=MONDAY + DAY, asked=Asked(sequence=head.sequence)
        )
    assert refused.value.detail.startswith("`from` is wrong")


async def test_an_account_that_was_never_used_has_an_empty_statement(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=500)
    found = await books.statements.statement(payer, name_of(payer), "JPY")
    assert (found.opening, list(found.lines), found.closing) == (0, [], 0)


async def test_a_statement_above_the_bound_is_refused_and_one_at_it_is_not(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=500)
    assert payer.customer_id is not None
    await books.node.post(
        *(
            Entry("bank/x/EUR", customer_account(payer.customer_id, "EUR"), "EUR", 1)
            for _ in range(3)
        )
    )
    four, three = (StatementService(books.units, lines_max) for lines_max in (4, 3))
    assert len((await four.statement(payer, name_of(payer), "EUR")).lines) == 4
    with pytest.raises(StatementTooLarge) as refused:
        await three.statement(payer, name_of(payer), "EUR")
    assert refused.value.context == {"limit": 3}


async def test_days_before_there_were_ledgers_are_empty(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=500)
    for day in (date.min, date(1969, 12, 31)):
        found = await books.statements.statement(
            payer, name_of(payer), "EUR", first=date.min, last=day
        )
        assert (found.sequence, found.closing) == (0, 0)


async def test_what_lies_ahead_and_what_is_anothers_is_refused(books: Books) -> None:
    payer, other = await books.node.remitter(eur_minor=5), await books.node.remitter()
    async with books.units() as unit:
        now, head = unit.now, await unit.history.head()
    for asked in (Asked(at=now + DAY), Asked(sequence=head.sequence + 1)):
        for question in (
            books.accounts.balances(payer, name_of(payer), asked),
            books.accounts.trial_balance(asked),
            books.statements.statement(payer, name_of(payer), "EUR", asked=asked),
        ):
            with pytest.raises(InFuture):
                await question
    with pytest.raises(PeriodInvalid):
        await books.statements.statement(payer, name_of(payer), "EUR", last=now.date() + DAY)
    with pytest.raises(NotFound):
        await books.statements.statement(other, name_of(payer), "EUR")
    with pytest.raises(NotFound):
        await books.accounts.balances(other, name_of(payer))


async def test_balances_as_of_a_time_or_a_sequence_are_those_of_then(books: Books) -> None:
    await books.node.fund_contract()
    payer = await books.node.remitter(eur_minor=100_000)
    (transfer,) = await books.node.funded(payer, 1)
    await books.resolve(transfer.pending_sequence, Outcome.VOIDED)
    await books.book_on(MONDAY, MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY)

    expected = {0: None, 1: (100_000, 0), 2: (80_000, 20_000), 3: (100_000, 0)}
    for days, amounts in expected.items():
        evening = last_instant_before(MONDAY + (days + 1) * DAY)
        by_time, found = await books.accounts.balances(payer, name_of(payer), Asked(at=evening))
        assert [(each.available, each.reserved) for each in found] == ([amounts] if amounts else [])
        by_sequence = await books.accounts.balances(
            payer, name_of(payer), Asked(sequence=by_time.sequence)
        )
        assert by_sequence == (by_time, found)
        _, rows = await books.accounts.trial_balance(Asked(at=evening))
        assert all(row.debits == row.credits for row in rows)
    assert await books.accounts.balances(payer, name_of(payer)) == await books.accounts.balances(
        payer, name_of(payer), Asked(at=last_instant_before(MONDAY + 9 * DAY))
    )


async def test_an_account_as_of_before_it_was_opened_has_zeros(books: Books) -> None:
    await books.node.fund_contract()
    payer = await books.node.remitter(eur_minor=700)
    async with books.units() as unit:
        (account,) = await unit.ledger.accounts_below(f"customer/{name_of(payer)}")
    public_id = encode_id(Prefix.ACCOUNT, account.id)
    _, now = await books.accounts.account(public_id)
    as_of, then = await books.accounts.account(public_id, Asked(sequence=1))
    assert (now.balance.posted, then.balance.posted, as_of.sequence) == (700, 0, 1)


async def test_a_time_waits_for_a_batch_under_way_that_may_be_older(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=1)
    async with books.units() as unit:
        await book_one(unit, payer)
        async with books.units() as other:
            moment = other.now  # after the batch got its time, before it is there for others
        asking = asyncio.create_task(point_at(books.units, moment))
        async with asyncio.timeout(60):
            while not await waits_for_a_lock(books):
                assert not asking.done()
    found = await asking
    assert found == await point(books.units, Asked())
    assert found.booked_at is not None
    assert found.booked_at <= moment


async def test_a_time_behind_a_newer_batch_waits_for_nobody(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=1)
    first = await point(books.units, Asked())
    assert first.booked_at is not None
    async with books.units() as unit:
        await book_one(unit, payer)
    async with books.units() as unit:
        await unit.ledger.lock()
        async with asyncio.timeout(60):
            assert await point_at(books.units, first.booked_at) == first


async def test_checkpoints_change_no_answer(books: Books) -> None:
    payer = await books.node.remitter(eur_minor=1)
    assert payer.customer_id is not None
    service = CheckpointService(books.units, every=2)
    account = customer_account(payer.customer_id, "EUR")
    made = [await service.run_once()]
    for amount in range(2, 8):
        await books.node.post(Entry("bank/x/EUR", account, "EUR", amount))
        made.append(await service.run_once())
    assert made == [0, 1, 0, 1, 0, 1, 0]
    for sequence in range(8):
        _, found = await books.accounts.balances(payer, name_of(payer), Asked(sequence=sequence))
        assert sum(each.posted for each in found) == sum(range(sequence + 1))


async def book_one(unit: Unit, payer: Principal) -> None:
    """One more ledger transaction in a transaction that is open."""
    assert payer.customer_id is not None
    account = customer_account(payer.customer_id, "EUR")
    entry = Entry("bank/x/EUR", account, "EUR", 5)
    await unit.ledger.lock()
    await unit.ledger.post([LedgerTransaction(str(new_id()), "top_up", [entry])])


async def waits_for_a_lock(books: Books) -> bool:
    """Whether any session of the server does."""
    owner = await asyncpg.connect(books.url)
    try:
        return bool(await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    finally:
        await owner.close()
