"""Posting: a key books once, a refusal stays one, limits hold exactly in a batch and beside it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.machine import new_id
from node.core.errors import (
    AmountOutOfRange,
    CurrencyUnknown,
    DatabaseUnavailable,
    InsufficientFunds,
    InvariantBroken,
    NodeError,
    Overloaded,
    PostingKeyReused,
)
from node.core.ledger import Entry, LedgerTransaction
from node.services.ledger.posting import PostingService
from node.store.database import _SESSION as SESSION
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG

BANK, ANN, BEN, POSITION = "bank/x/EUR", "customer/ann/EUR", "customer/ben/EUR", "fx_position/EUR"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.at(database_url)
    yield database
    await database.close()


@pytest.fixture
def posting(database: Database) -> PostingService:
    return PostingService(StoreUnits(database), CATALOG)


def move(
    key: str, debit: str, credit: str, amount: int, *, pending: bool = False, kind: str = "test"
) -> LedgerTransaction:
    return LedgerTransaction(key, kind, [Entry(debit, credit, "EUR", amount)], pending)


async def balances(database: Database, *paths: str) -> list[tuple[int, int]]:
    async with StoreUnits(database)() as unit:
        found = await unit.ledger.balances(paths)
    return [(found[path].posted, found[path].available) for path in paths]


async def content(url: str) -> dict[str, object]:
    """Everything in the tables of the ledger, to see that nothing was written."""
    connection = await asyncpg.connect(url)
    tables = ("ledger", "ledger_batch", "ledger_transaction", "entry", "account", "ledger_refusal")
    try:
        return {each: await connection.fetch(f"SELECT * FROM {each} ORDER BY 1") for each in tables}
    finally:
        await connection.close()


async def test_a_key_books_once_and_says_so_again(
    posting: PostingService, database: Database
) -> None:
    first = await posting.post(move("k", BANK, ANN, 100))
    assert await posting.post(move("k", BANK, ANN, 100)) == first
    assert await posting.post(move("other", BANK, ANN, 1)) == first + 1
    assert await balances(database, ANN) == [(101, 101)]


async def test_a_refusal_for_the_state_of_the_books_stays_one(
    posting: PostingService, database: Database
) -> None:
    with pytest.raises(InsufficientFunds) as first:
        await posting.post(move("k", ANN, BEN, 100))
    assert first.value.context == {"available": {"currency": "EUR", "amount": "0.00"}}
    await posting.post(move("rich", BANK, ANN, 100))
    with pytest.raises(InsufficientFunds) as again:
        await posting.post(move("k", ANN, BEN, 100))
    assert (again.value.detail, again.value.context) == (first.value.detail, first.value.context)
    await posting.post(move("new key", ANN, BEN, 100))
    assert await balances(database, ANN, BEN) == [(0, 0), (100, 100)]


@pytest.mark.parametrize("earlier", ["booked", "refused"])
@pytest.mark.parametrize(
    "other",
    [
        move("k", ANN, BEN, 6),
        move("k", ANN, BEN, 5, kind="other"),
        move("k", ANN, BEN, 5, pending=True),
        move("k", ANN, POSITION, 5),
        move("k", BANK, BEN, 5),
        LedgerTransaction("k", "test", [Entry(ANN, BEN, "EUR", 4), Entry(ANN, BEN, "EUR", 1)]),
    ],
)
async def test_a_key_with_other_content_is_refused_by_name_and_writes_nothing(
    posting: PostingService, database_url: str, earlier: str, other: LedgerTransaction
) -> None:
    if earlier == "booked":
        await posting.post(move("rich", BANK, ANN, 100))
        await posting.post(move("k", ANN, BEN, 5))
    else:
        with pytest.raises(InsufficientFunds):
            await posting.post(move("k", ANN, BEN, 5))
    before = await content(database_url)
    with pytest.raises(PostingKeyReused):
        await posting.post(other)
    assert await content(database_url) == before


async def test_keys_repeated_within_a_batch_are_one_booking_or_a_misuse(
    posting: PostingService, database: Database
) -> None:
    outcomes = await posting.post_many(
        [
            move("a", BANK, ANN, 5),
            move("a", BANK, ANN, 5),
            move("a", BANK, ANN, 6),
            move("b", ANN, BEN, 6),
            move("b", ANN, BEN, 6),
            move("b", ANN, BEN, 5),
        ]
    )
    assert outcomes[:2] == [1, 1]
    assert [type(each) for each in outcomes[2:]] == [
        PostingKeyReused,
        InsufficientFunds,
        InsufficientFunds,
        PostingKeyReused,
    ]
    assert await balances(database, ANN, BEN) == [(5, 5), (0, 0)]


async def test_one_refusal_does_not_touch_the_others_of_its_batch(
    posting: PostingService, database: Database
) -> None:
    outcomes = await posting.post_many(
        [move("in", BANK, ANN, 10), move("too much", ANN, BEN, 11), move("fits", ANN, BEN, 10)]
    )
    assert [each if isinstance(each, int) else type(each) for each in outcomes] == [
        1,
        InsufficientFunds,
        2,
    ]
    assert await balances(database, ANN, BEN) == [(0, 0), (10, 10)]


async def test_what_a_batch_holds_is_not_available_to_what_comes_after_it_in_the_batch(
    posting: PostingService, database: Database
) -> None:
    await posting.post(move("in", BANK, ANN, 100))
    outcomes = await asyncio.gather(
        *(posting.post(move(f"k{n}", ANN, POSITION, 10, pending=True)) for n in range(25)),
        return_exceptions=True,
    )
    assert [isinstance(each, int) for each in outcomes] == [True] * 10 + [False] * 15
    assert {type(each) for each in outcomes[10:]} == {InsufficientFunds}
    assert await balances(database, ANN) == [(100, 0)]


async def test_100_callers_with_one_key_make_one_booking(
    posting: PostingService, database: Database
) -> None:
    other = PostingService(StoreUnits(database), CATALOG)
    outcomes = await asyncio.gather(
        *((posting if n % 2 else other).post(move("k", BANK, ANN, 7)) for n in range(100))
    )
    assert set(outcomes) == {1}
    assert await balances(database, ANN) == [(7, 7)]


async def test_two_services_with_one_hot_account_are_exact_and_both_progress(
    posting: PostingService, database: Database, database_url: str
) -> None:
    await posting.post(move("in", BANK, ANN, 300))
    second = Database.at(database_url)
    services = (posting, PostingService(StoreUnits(second), CATALOG))
    done = [0, 0]

    async def spend(place: int, number: int) -> None:
        for again in range(10):
            with suppress(InsufficientFunds):
                await services[place].post(move(f"{place}/{number}/{again}", ANN, BEN, 1))
                done[place] += 1

    await asyncio.gather(*(spend(place, n) for n in range(20) for place in (0, 1)))
    await second.close()
    assert sum(done) == 300
    assert min(done) > 50
    assert await balances(database, ANN, BEN) == [(0, 0), (300, 300)]


async def test_a_counter_that_is_full_is_a_refusal_of_its_own(
    posting: PostingService, database: Database
) -> None:
    most = 2**62 - 1
    outcomes = await posting.post_many(
        [move(f"k{n}", BANK, POSITION, most) for n in range(3)] + [move("ok", BANK, POSITION, 1)]
    )
    assert [type(each) for each in outcomes] == [int, int, AmountOutOfRange, int]
    refused = outcomes[2]
    assert isinstance(refused, AmountOutOfRange)
    assert refused.context["max"] == {"currency": "EUR", "amount": "0.01"}
    assert await balances(database, POSITION) == [(2**63 - 1, 2**63 - 1)]


async def test_what_the_ledger_cannot_hold_is_refused_before_anything_is_booked(
    posting: PostingService, database: Database
) -> None:
    good = move("good", BANK, ANN, 1)
    with pytest.raises(InvariantBroken):
        await posting.post_many([good, move("bad", BANK, "customer/ann/USD", 1)])
    foreign = LedgerTransaction("bad", "test", [Entry("bank/x/XXX", "capital/XXX", "XXX", 1)])
    with pytest.raises(CurrencyUnknown):
        await posting.post_many([good, foreign])
    assert await balances(database, ANN) == [(0, 0)]


async def test_what_the_database_cannot_store_fails_alone(
    posting: PostingService, database: Database
) -> None:
    outcomes = await asyncio.gather(
        *(posting.post(move(f"k{n}", BANK, ANN, 1)) for n in range(20)),
        posting.post(move("a key with \0 in it", BANK, ANN, 1)),
        return_exceptions=True,
    )
    assert sorted(each for each in outcomes if isinstance(each, int)) == list(range(1, 21))
    assert isinstance(outcomes[-1], Exception)
    assert await balances(database, ANN) == [(20, 20)]


async def test_a_caller_that_goes_away_leaves_its_booking_to_be_found(
    posting: PostingService, database: Database
) -> None:
    for n in range(5):
        gone = asyncio.create_task(posting.post(move(f"gone {n}", BANK, ANN, 1)))
        stays = asyncio.create_task(posting.post(move(f"stays {n}", BANK, ANN, 1)))
        for _ in range(n):
            await asyncio.sleep(0)
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        await stays
        before = await balances(database, ANN)
        sequence = await posting.post(move(f"gone {n}", BANK, ANN, 1))
        assert await posting.post(move(f"gone {n}", BANK, ANN, 1)) == sequence
        was_started = n > 0
        assert (await balances(database, ANN) == before) == was_started
    assert await balances(database, ANN) == [(10, 10)]


async def test_too_many_at_once_are_told_to_come_back(database: Database) -> None:
    posting = PostingService(StoreUnits(database), CATALOG, batch_max=2, waiting_max=10)
    outcomes = await asyncio.gather(
        *(posting.post(move(f"k{n}", BANK, ANN, 1)) for n in range(30)), return_exceptions=True
    )
    booked = [each for each in outcomes if isinstance(each, int)]
    assert {type(each) for each in outcomes if not isinstance(each, int)} == {Overloaded}
    assert await balances(database, ANN) == [(len(booked), len(booked))]
    again = await asyncio.gather(*(posting.post(move(f"k{n}", BANK, ANN, 1)) for n in range(8)))
    assert sorted(again) == list(range(1, 9))


async def until_waiting(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Until another session waits for a lock."""
    for _ in range(3000):
        if await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        ):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


async def test_a_deadlock_is_retryable_and_never_a_lack_of_money(
    posting: PostingService, database: Database, database_url: str
) -> None:
    await posting.post(move("in", BANK, ANN, 100))
    other = await asyncpg.connect(database_url)
    await other.execute("SET deadlock_timeout = '1min'")  # the other one finds it
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT FROM account WHERE path = $1 FOR UPDATE", ANN)
    crossed = asyncio.create_task(posting.post(move("k", ANN, BEN, 1)))
    await until_waiting(other)
    await other.execute("SELECT FROM ledger FOR UPDATE")
    with pytest.raises(DatabaseUnavailable) as refused:
        await crossed
    assert refused.value.retryable
    await transaction.rollback()
    await other.close()
    await posting.post(move("k", ANN, BEN, 1))
    assert await balances(database, ANN, BEN) == [(99, 99), (1, 1)]


async def test_a_lock_that_is_not_had_in_time_is_retryable_and_never_a_lack_of_money(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "lock_timeout", "100ms")
    database = Database.at(database_url)
    posting = PostingService(StoreUnits(database), CATALOG)
    await posting.post(move("in", BANK, ANN, 100))
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("SELECT FROM ledger FOR UPDATE")
        with pytest.raises(DatabaseUnavailable) as refused:
            await posting.post(move("k", ANN, BEN, 1))
        assert refused.value.retryable
    await other.close()
    await posting.post(move("k", ANN, BEN, 1))
    assert await balances(database, ANN, BEN) == [(99, 99), (1, 1)]
    await database.close()


_WHO = ("bank/{}/EUR", "customer/{}-ann/EUR", "customer/{}-ben/EUR", "partner/{}/EUR")
_moves = st.tuples(st.integers(0, 12), st.permutations(range(4)), st.integers(1, 9), st.booleans())
Move = tuple[int, list[int], int, bool]


def outcome_of(outcome: int | Exception, before: int) -> object:
    """What can be compared between accounts of different names."""
    if isinstance(outcome, NodeError):
        return (outcome.code, outcome.context)
    assert isinstance(outcome, int)
    return outcome - before


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(_moves, min_size=1, max_size=40),
    sizes=st.lists(st.integers(1, 9), min_size=40, max_size=40),
)
def test_any_way_of_batching_gives_what_one_by_one_gives(
    runner: asyncio.Runner, database_url: str, moves: Sequence[Move], sizes: Sequence[int]
) -> None:
    async def run(sizes: Sequence[int]) -> tuple[list[object], object]:
        """The same orders between accounts that nobody has used, in batches of these sizes."""
        paths = [each.format(new_id()) for each in _WHO]
        rest = [
            move(f"{paths[0]} {n}", paths[who[0]], paths[who[1]], amount, pending=pending)
            for n, who, amount, pending in moves
        ]
        database = Database.at(database_url)
        posting = PostingService(StoreUnits(database), CATALOG)
        before = await posting.post(move(paths[0], BANK, POSITION, 1))
        outcomes: list[object] = []
        for size in sizes:
            part, rest = rest[:size], rest[size:]
            outcomes += [outcome_of(each, before) for each in await posting.post_many(part)]
        found = await balances(database, *paths)
        await database.close()
        return outcomes, found

    one_by_one = runner.run(run([1] * len(moves)))
    assert runner.run(run([*sizes, len(moves)])) == one_by_one
    assert runner.run(run([len(moves)])) == one_by_one
