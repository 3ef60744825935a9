"""The ledger in PostgreSQL: balances follow from entries, limits hold, and nobody changes a row."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.core.errors import InvariantBroken
from node.core.ledger import Entry, LedgerTransaction, Outcome, Resolution
from node.core.paging import ListQuery
from node.store.database import Database
from node.store.ledger import LedgerStore
from node.store.verification import VerificationStore
from tests.rig import PostgresServer

BANK, ANN, BEN, POSITION = "bank/x/EUR", "customer/ann/EUR", "customer/ben/EUR", "fx_position/EUR"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.at(database_url)
    yield database
    await database.close()


async def post(database: Database, *transactions: LedgerTransaction, resolve: Any = ()) -> Any:
    async with database.transaction() as connection:
        ledger = LedgerStore(connection)
        await ledger.lock()
        return await ledger.post(transactions, resolve)


async def balances(database: Database, *paths: str) -> list[tuple[int, int]]:
    async with database.transaction() as connection:
        found = await LedgerStore(connection).balances(paths)
    return [(found[path].posted, found[path].available) for path in paths]


def top_up(key: str, amount: int, to: str = ANN) -> LedgerTransaction:
    return LedgerTransaction(key, "top_up", [Entry(BANK, to, "EUR", amount)])


def hold(key: str, amount: int, of: str = ANN) -> LedgerTransaction:
    return LedgerTransaction(key, "transfer", [Entry(of, POSITION, "EUR", amount)], pending=True)


async def test_a_hold_lowers_what_is_available_and_not_what_is_posted(database: Database) -> None:
    await post(database, top_up("in", 100), hold("out", 60))
    assert await balances(database, ANN, BANK) == [(100, 40), (100, 100)]


async def test_posting_a_pending_one_moves_the_money_and_voiding_gives_it_back(
    database: Database,
) -> None:
    booked = await post(database, top_up("in", 100), hold("paid", 60), hold("not", 40))
    await post(
        database,
        resolve=[
            Resolution(booked["paid"], Outcome.POSTED),
            Resolution(booked["not"], Outcome.VOIDED),
        ],
    )
    assert await balances(database, ANN, POSITION) == [(40, 40), (60, 60)]


async def test_a_key_books_at_most_once(database: Database) -> None:
    first = await post(database, top_up("same", 100))
    again = await post(database, top_up("same", 999), top_up("other", 1))
    assert again["same"] == first["same"]
    assert await balances(database, ANN) == [(101, 101)]


async def test_a_pending_one_ends_once(database: Database) -> None:
    booked = await post(database, top_up("in", 100), hold("out", 60))
    await post(database, resolve=[Resolution(booked["out"], Outcome.VOIDED)])
    with pytest.raises(InvariantBroken):
        await post(database, resolve=[Resolution(booked["out"], Outcome.POSTED)])
    assert await balances(database, ANN) == [(100, 100)]


async def test_what_is_posted_already_cannot_be_resolved(database: Database) -> None:
    booked = await post(database, top_up("in", 100))
    with pytest.raises(asyncpg.RestrictViolationError):
        await post(database, resolve=[Resolution(booked["in"], Outcome.VOIDED)])


async def test_limits_count_holds(database: Database) -> None:
    await post(database, top_up("in", 100), hold("first", 60))
    with pytest.raises(InvariantBroken, match="floor"):
        await post(database, hold("second", 41))
    await post(database, hold("second", 40))
    assert await balances(database, ANN) == [(100, 0)]


async def test_a_batch_that_breaks_a_limit_books_nothing(database: Database) -> None:
    with pytest.raises(InvariantBroken):
        await post(database, top_up("in", 100), hold("too much", 101))
    assert await balances(database, ANN, BANK) == [(0, 0), (0, 0)]


async def test_numbers_have_no_gaps_also_after_a_refusal(database: Database) -> None:
    await post(database, top_up("one", 1))
    with pytest.raises(InvariantBroken):
        await post(database, hold("refused", 100))
    assert await post(database, top_up("two", 1)) == {"two": 2}


async def test_posting_without_the_lock_is_a_bug(database: Database) -> None:
    async with database.transaction() as connection:
        with pytest.raises(InvariantBroken):
            await LedgerStore(connection).post([top_up("in", 1)])


async def test_fifty_parallel_batches_neither_deadlock_nor_lose_anything(
    database: Database,
) -> None:
    await asyncio.gather(
        *(post(database, top_up(f"a{n}", 3), top_up(f"b{n}", 5, BEN)) for n in range(50))
    )
    assert await balances(database, ANN, BEN, BANK) == [(150, 150), (250, 250), (400, 400)]


async def test_a_statement_has_the_balance_after_each_movement(database: Database) -> None:
    booked = await post(database, top_up("in", 100), hold("paid", 60), hold("open", 10))
    await post(database, top_up("more", 5), resolve=[Resolution(booked["paid"], Outcome.POSTED)])
    async with database.transaction() as connection:
        ledger = LedgerStore(connection)
        accounts = await ledger.accounts_below("customer/ann/")
        whole = await ledger.entries(accounts, ListQuery(), posted_only=True)
        assert [(row.is_debit, row.amount, row.balance_after) for row in whole.items] == [
            (False, 5, 45),
            (True, 60, 40),
            (False, 100, 100),
        ]
        first = await ledger.entries(accounts, ListQuery(limit=2), posted_only=True)
        second = await ledger.entries(
            accounts, ListQuery(limit=2, cursor=first.next_cursor), posted_only=True
        )
        assert [*first.items, *second.items] == list(whole.items)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE account SET credits_posted = credits_posted + 1",
        "DELETE FROM account",
        "UPDATE entry SET amount = amount + 1",
        "DELETE FROM entry",
        "TRUNCATE entry CASCADE",
        "UPDATE ledger_transaction SET kind = 'x'",
        "DELETE FROM ledger_resolution",
        "INSERT INTO account (path, kind, asset, credits_posted) VALUES ('a', 'asset', 'EUR', 1)",
        "INSERT INTO entry SELECT 9, 1, debit_account_id, debit_account_id, asset, 1 FROM entry",
        "INSERT INTO entry SELECT 9, 1, debit_account_id, credit_account_id, asset, 0 FROM entry",
        "INSERT INTO entry SELECT 9, 1, debit_account_id, credit_account_id, 'USD', 1 FROM entry",
        "INSERT INTO entry SELECT 9000, 1, debit_account_id, 4711, asset, 1 FROM entry",
    ],
)
async def test_sql_of_the_application_cannot_bend_the_books(
    database: Database, database_url: str, statement: str
) -> None:
    await post(database, top_up("in", 100))
    connection = await asyncpg.connect(database_url)
    with pytest.raises((asyncpg.RestrictViolationError, asyncpg.IntegrityConstraintViolationError)):
        await connection.execute(statement)
    await connection.close()
    assert await balances(database, ANN, BANK) == [(100, 100), (100, 100)]


async def test_verification_names_an_account_whose_counter_was_altered(
    database: Database, database_url: str
) -> None:
    await post(database, top_up("in", 100))
    superuser = await asyncpg.connect(database_url)
    await superuser.execute("SET session_replication_role = replica")  # no triggers
    await superuser.execute("UPDATE account SET credits_posted = 101 WHERE path = $1", ANN)
    await superuser.close()
    async with database.transaction() as connection:
        (found,) = await VerificationStore(connection).differences("balances", 5)
    assert (found.subject, found.expected, found.actual) == (ANN, "0/0/0/100", "0/0/0/101")


class LedgerAgainstModel(RuleBasedStateMachine):
    """The ledger in the database against a model of a few lines."""

    server: PostgresServer

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.url = self.server.create_database()
        self.database = Database.at(self.url)
        self.posted = {ANN: 0, BEN: 0}
        self.held = {ANN: 0, BEN: 0}
        self.open: dict[int, tuple[str, int]] = {}
        self.count = 0

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        self.server.drop_database(self.url)

    def key(self) -> str:
        self.count += 1
        return f"key {self.count}"

    @rule(who=st.sampled_from([ANN, BEN]), amount=st.integers(1, 100))
    def money_arrives(self, who: str, amount: int) -> None:
        self.runner.run(post(self.database, top_up(self.key(), amount, who)))
        self.posted[who] += amount

    @rule(
        who=st.sampled_from([ANN, BEN]),
        amounts=st.lists(st.integers(1, 80), min_size=1, max_size=4),
    )
    def money_is_held_or_the_whole_batch_refused(self, who: str, amounts: list[int]) -> None:
        batch = [hold(self.key(), amount, who) for amount in amounts]
        fits = self.posted[who] - self.held[who] >= sum(amounts)
        try:
            booked = self.runner.run(post(self.database, *batch))
        except InvariantBroken:
            assert not fits
            return
        assert fits
        self.held[who] += sum(amounts)
        for each, amount in zip(batch, amounts, strict=True):
            self.open[booked[each.key]] = (who, amount)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def a_hold_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.open)))
        who, amount = self.open.pop(sequence)
        self.runner.run(post(self.database, resolve=[Resolution(sequence, outcome)]))
        self.held[who] -= amount
        if outcome is Outcome.POSTED:
            self.posted[who] -= amount

    @invariant()
    def balances_are_those_of_the_model(self) -> None:
        assert self.runner.run(balances(self.database, ANN, BEN)) == [
            (self.posted[who], self.posted[who] - self.held[who]) for who in (ANN, BEN)
        ]

    @invariant()
    def everything_derived_again_is_the_same(self) -> None:
        async def differences() -> list[Any]:
            async with self.database.transaction() as connection:
                store = VerificationStore(connection)
                return [
                    found for name, _ in store.checks for found in await store.differences(name, 3)
                ]

        assert self.runner.run(differences()) == []


@pytest.fixture
def machine(postgres_server: PostgresServer) -> type[LedgerAgainstModel]:
    LedgerAgainstModel.server = postgres_server
    return LedgerAgainstModel


def test_the_ledger_behaves_as_a_model_of_twenty_lines(
    machine: type[LedgerAgainstModel],
) -> None:
    hypothesis.stateful.run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(max_examples=12, stateful_step_count=20, deadline=None),
    )
