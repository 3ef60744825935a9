"""The ledger as of any sequence: every way of reading it equals the fold of its entries."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import strategies as st

from node.core.ledger import Balance, Entry, LedgerTransaction, Outcome, Resolution
from node.core.paging import ListQuery
from node.core.ports.history import EntryRow
from node.core.statements import Line
from node.store.database import Database
from node.store.history import HistoryBounds, HistoryStore
from node.store.ledger import LedgerStore

Value = TypeVar("Value")

WAYS = (
    HistoryBounds(few_entries=10**6),  # every entry of the account
    HistoryBounds(few_entries=0),  # checkpoints, all sequences at once
    HistoryBounds(few_entries=0, span_first=1, span_max=1),  # checkpoints, one sequence at a time
    HistoryBounds(few_entries=3, span_first=2, span_max=5),  # some so, some so
)


@dataclass
class Books:
    """A ledger and what was written into it, in order."""

    database: Database
    run: Callable[[Awaitable[Any]], Any]
    names: Iterator[int] = field(default_factory=itertools.count)
    booked: dict[int, LedgerTransaction] = field(default_factory=dict)
    resolved: dict[int, tuple[int, Outcome]] = field(default_factory=dict)
    head: int = 0

    def post(
        self,
        transactions: Sequence[LedgerTransaction],
        resolutions: Sequence[Resolution] = (),
    ) -> None:
        """Write one batch."""

        async def write() -> Mapping[str, int]:
            async with self.database.transaction() as connection:
                ledger = LedgerStore(connection)
                await ledger.lock()
                return await ledger.post(transactions, resolutions)

        sequences = self.run(write())
        for place, each in enumerate(resolutions, start=self.head + 1):
            self.resolved[each.pending_sequence] = (place, each.outcome)
        self.booked |= {sequences[each.key]: each for each in transactions}
        self.head += len(resolutions) + len(transactions)

    def ask(
        self, way: HistoryBounds, question: Callable[[HistoryStore], Awaitable[Value]]
    ) -> Value:
        """What the store answers."""

        async def read() -> Value:
            async with self.database.transaction() as connection:
                return await question(HistoryStore(connection, way))

        answer: Value = self.run(read())
        return answer

    def checkpoint(self, every: int = 1) -> int | None:
        """Let the job run."""
        return self.ask(WAYS[0], lambda history: history.checkpoint(every))

    def counters(self, path: str, sequence: int) -> list[int]:
        """The fold: debits pending and posted, credits pending and posted."""
        sums = [0, 0, 0, 0]
        for place, each in self.booked.items():
            ended_at, outcome = self.resolved.get(place, (self.head + 1, None))
            if place > sequence or (outcome is Outcome.VOIDED and ended_at <= sequence):
                continue
            is_pending = each.pending and ended_at > sequence
            for entry in each.entries:
                if path in (entry.debit, entry.credit):
                    sums[2 * (path == entry.credit) + (not is_pending)] += entry.amount
        return sums

    def listed(self, path: str) -> list[tuple[int, int, str, bool, int, int | None]]:
        """Entries of an account by place: place, sequence, status, side, amount, balance."""
        found = []
        for sequence, each in self.booked.items():
            ended_at, outcome = self.resolved.get(sequence, (0, None))
            status = (outcome or "pending") if each.pending else "posted"
            place = ended_at if outcome is Outcome.POSTED else sequence
            for position, entry in enumerate(each.entries):
                if path in (entry.debit, entry.credit):
                    number = sequence * 1000 + position
                    found.append((place, number, status, path == entry.debit, entry.amount))
        rises_on_debit = path.startswith(("bank/", "expense/"))
        balance, rows = 0, []
        for place, number, status, is_debit, amount in sorted(found, key=lambda it: it[:2]):
            if status == "posted":
                balance += amount if is_debit == rises_on_debit else -amount
            after = balance if status == "posted" else None
            rows.append((place, number, str(status), is_debit, amount, after))
        return rows


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    with asyncio.Runner() as runner:
        database = Database.at(database_url)
        yield Books(database, runner.run)  # type: ignore[arg-type]
        runner.run(database.close())


ENTRIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 2**40)), min_size=1, max_size=3
)
BATCH = st.tuples(
    st.lists(st.tuples(st.booleans(), ENTRIES), max_size=4),  # pending?, entries
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(Outcome)), max_size=3),
    st.booleans(),  # a checkpoint afterwards?
)


def play(books: Books, batches: Sequence[Any]) -> Sequence[str]:
    """Write what was drawn into accounts of its own; their paths."""
    name = next(books.names)
    paths = [
        f"bank/{name}/EUR",
        f"capital/{name}/EUR",
        f"expense/{name}/EUR",
        f"suspense/{name}/EUR",
    ]
    open_pendings: list[int] = []
    for transactions, resolutions, has_checkpoint in batches:
        ended = [
            Resolution(open_pendings.pop(which % len(open_pendings)), outcome)
            for which, outcome in resolutions
            if open_pendings
        ]
        written = [
            LedgerTransaction(
                f"{name}/{books.head}/{place}",
                "correction",
                [
                    Entry(paths[one], paths[(one + step) % 4], "EUR", amount)
                    for one, step, amount in entries
                ],
                pending=is_pending,
            )
            for place, (is_pending, entries) in enumerate(transactions)
        ]
        first = books.head + len(ended) + 1
        if written or ended:
            books.post(written, ended)
        open_pendings += [first + place for place, each in enumerate(written) if each.pending]
        if has_checkpoint:
            books.checkpoint()
    return paths


few_examples = hypothesis.settings(
    max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
HISTORY = st.lists(BATCH, min_size=1, max_size=10)
# Where in what was written, in parts of a thousand: sequences go on from example to example.
PLACE = st.integers(0, 1000)


def place_in(books: Books, before: int, place: int) -> int:
    return before + (books.head - before) * place // 1000


@few_examples
@hypothesis.given(HISTORY, st.lists(PLACE, min_size=1, max_size=3))
def test_counters_as_of_any_sequence_are_the_fold_of_the_entries(
    books: Books, batches: Sequence[Any], places: Sequence[int]
) -> None:
    before = books.head
    paths = play(books, batches)
    for way, place in itertools.product(WAYS, [*places, 1000]):
        sequence = place_in(books, before, place)
        found = books.ask(way, partial(HistoryStore.balances_at, paths=paths, sequence=sequence))
        for path in paths:
            balance = found[path]
            assert [
                balance.debits_pending,
                balance.debits_posted,
                balance.credits_pending,
                balance.credits_posted,
            ] == books.counters(path, sequence)


@few_examples
@hypothesis.given(HISTORY, st.lists(PLACE, min_size=2, max_size=6))
def test_points_asked_for_one_after_another_are_the_fold_in_any_order(
    books: Books, batches: Sequence[Any], places: Sequence[int]
) -> None:
    before = books.head
    paths = play(books, batches)
    sequences = [place_in(books, before, place) for place in places]

    async def balances(history: HistoryStore) -> list[Mapping[str, Balance]]:
        return [await history.balances_at(paths, sequence) for sequence in sequences]

    for way in WAYS:
        for sequence, found in zip(sequences, books.ask(way, balances), strict=True):
            for path in paths:
                each = found[path]
                assert [
                    each.debits_pending,
                    each.debits_posted,
                    each.credits_pending,
                    each.credits_posted,
                ] == books.counters(path, sequence)


@few_examples
@hypothesis.given(HISTORY, PLACE)
def test_the_trial_balance_as_of_any_sequence_is_the_fold_of_the_entries(
    books: Books, batches: Sequence[Any], place: int
) -> None:
    before = books.head
    play(books, batches)
    sequence = place_in(books, before, place)
    rows = books.ask(WAYS[0], partial(HistoryStore.trial_balance_at, sequence=sequence))
    paths = {
        path for each in books.booked.values() for entry in each.entries for path in sides(entry)
    }
    counters = [books.counters(path, sequence) for path in paths]
    sums = sum(each[1] for each in counters), sum(each[3] for each in counters)
    existed = min(books.booked, default=1) <= sequence
    assert [(row.asset, row.debits, row.credits) for row in rows] == [("EUR", *sums)] * existed
    assert sums[0] == sums[1]


async def everything(
    history: HistoryStore, path: str, limit: int, *, posted_only: bool
) -> list[EntryRow]:
    """All pages of an account."""
    accounts = await history.accounts_at([path], (await history.head()).sequence)
    rows: list[EntryRow] = []
    cursor = None
    while True:
        page = await history.entries(accounts, ListQuery(limit, cursor), posted_only=posted_only)
        rows += page.items
        cursor = page.next_cursor
        if cursor is None:
            return rows


@few_examples
@hypothesis.given(HISTORY, st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_pages_show_every_entry_once_newest_first_with_the_balance_after_it(
    books: Books, batches: Sequence[Any], limit: int, which: int, posted_only: bool
) -> None:
    path = play(books, batches)[which]
    listed = [each for each in books.listed(path) if each[2] == "posted" or not posted_only]
    for way in WAYS:
        rows = books.ask(way, partial(everything, path=path, limit=limit, posted_only=posted_only))
        assert [
            (row.place, row.id, row.status, row.is_debit, row.amount, row.balance_after)
            for row in rows
        ] == listed[::-1]


async def posted_between(
    history: HistoryStore, path: str, after: int, upto: int
) -> tuple[int, list[Line], int]:
    """Opening balance, lines, closing balance."""
    opening, closing = [
        (await history.balances_at([path], each))[path].posted for each in (after, upto)
    ]
    lines = [line async for page in history.lines(path, after=after, upto=upto) for line in page]
    return opening, lines, closing


@few_examples
@hypothesis.given(HISTORY, st.lists(PLACE, min_size=2, max_size=4), st.integers(0, 3))
def test_opening_and_lines_are_closing_and_that_is_the_next_opening(
    books: Books, batches: Sequence[Any], places: Sequence[int], which: int
) -> None:
    before = books.head
    path = play(books, batches)[which]
    sign = 1 if path.startswith(("bank/", "expense/")) else -1
    points = sorted(place_in(books, before, each) for each in places)
    expected = [
        (place, number, amount)
        for place, number, status, _, amount, _ in books.listed(path)
        if status == "posted" and points[0] < place <= points[-1]
    ]
    for way in WAYS:
        whole: list[Line] = []
        closed_with: int | None = None
        for after, upto in itertools.pairwise(points):
            opening, lines, closing = books.ask(
                way, partial(posted_between, path=path, after=after, upto=upto)
            )
            assert opening == closed_with or closed_with is None
            balance = opening
            for line in lines:
                balance += sign * line.amount if line.is_debit else -sign * line.amount
                assert line.balance_after == balance
                assert after < line.place <= upto
            assert balance == closing
            closed_with = closing
            whole += lines
        assert [(line.place, line.id, line.amount) for line in whole] == expected


def sides(entry: Entry) -> tuple[str, str]:
    return entry.debit, entry.credit


def corrected(key: str, *, pending: bool = False, amount: int = 10) -> LedgerTransaction:
    return LedgerTransaction(
        key, "correction", [Entry("bank/x/EUR", "capital/EUR", "EUR", amount)], pending=pending
    )


def bank_at(books: Books, way: HistoryBounds, sequence: int) -> tuple[int, int]:
    """Debits pending and posted of the bank account."""
    found = books.ask(
        way, partial(HistoryStore.balances_at, paths=["bank/x/EUR"], sequence=sequence)
    )
    return found["bank/x/EUR"].debits_pending, found["bank/x/EUR"].debits_posted


@pytest.mark.parametrize("way", WAYS)
def test_what_was_pending_at_a_checkpoint_counts_once_its_resolution_posts_it(
    books: Books, way: HistoryBounds
) -> None:
    books.post([corrected("kept", pending=True, amount=1), corrected("gone", pending=True)])
    assert books.checkpoint() == 2
    books.post([], [Resolution(1, Outcome.POSTED), Resolution(2, Outcome.VOIDED)])
    books.post([corrected("other", amount=100)])
    books.post([corrected(f"later {n}", amount=1000) for n in range(9)])
    seen = [bank_at(books, way, sequence) for sequence in range(6)]
    assert seen == [(0, 0), (1, 0), (11, 0), (10, 1), (0, 1), (0, 101)]


@pytest.mark.parametrize("way", WAYS)
def test_each_ledger_transaction_of_a_batch_is_a_point_of_its_own(
    books: Books, way: HistoryBounds
) -> None:
    books.post([corrected(str(n), amount=n) for n in range(1, 5)])
    assert [bank_at(books, way, sequence)[1] for sequence in range(5)] == [0, 1, 3, 6, 10]


def test_a_checkpoint_is_made_once_enough_has_passed(books: Books) -> None:
    assert books.checkpoint() is None
    books.post([corrected("a"), corrected("b"), corrected("c")])
    assert books.checkpoint(every=4) is None
    books.post([corrected("d")])
    assert books.checkpoint(every=4) == 4
    assert books.checkpoint(every=1) is None


def test_only_one_process_makes_a_checkpoint(books: Books) -> None:
    books.post([corrected("a")])

    async def both() -> list[int | None]:
        async with books.database.transaction() as one, books.database.transaction() as other:
            return [await HistoryStore(each).checkpoint(1) for each in (one, other)]

    assert books.run(both()) == [1, None]


def test_a_time_names_the_newest_sequence_booked_by_then(books: Books) -> None:
    books.post([corrected("a"), corrected("b")])
    books.post([corrected("c")])
    first = books.ask(WAYS[0], partial(HistoryStore.at_sequence, sequence=1)).booked_at
    second = books.ask(WAYS[0], HistoryStore.head).booked_at
    assert first is not None
    assert second is not None
    assert first < second
    instant = timedelta(microseconds=1)
    for moment, sequence in ((first - instant, 0), (first, 2), (second - instant, 2), (second, 3)):
        point = books.ask(WAYS[0], partial(HistoryStore.at_time, moment=moment))
        assert point.sequence == sequence
        assert point.booked_at == {0: None, 2: first, 3: second}[sequence]


def test_an_account_is_listed_from_the_batch_that_opened_it(books: Books) -> None:
    books.post([corrected("a")])
    books.post([LedgerTransaction("b", "capital", [Entry("bank/x/USD", "capital/USD", "USD", 5)])])
    for sequence, paths in ((0, []), (1, ["bank/x/EUR"]), (2, ["bank/x/EUR", "bank/x/USD"])):
        found = books.ask(
            WAYS[0], partial(HistoryStore.accounts_at, prefixes=["bank/"], sequence=sequence)
        )
        assert [each.balance.path for each in found] == paths
        rows = books.ask(WAYS[0], partial(HistoryStore.trial_balance_at, sequence=sequence))
        assert [row.asset for row in rows] == ["EUR", "USD"][:sequence]
