"""The real ledger against a model of four counters an account, for thousands of steps."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import ClassVar

import hypothesis
import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.core.errors import InvariantBroken, NodeError
from node.core.ledger import Entry, LedgerTransaction, Outcome, Resolution
from node.services.ledger.posting import PostingService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG

BANK, ANN, BEN, HELD, POSITION = range(5)
_WORDS = ("bank", "customer/ann", "customer/ben", "chain/1/0xaa", "fx_position")
_FLOORED = (ANN, BEN, HELD)
_ASSETS = (BANK, HELD)  # they grow by debits, the others by credits

Content = tuple[Sequence[tuple[int, int, int]], bool]
"""Entries (debit, credit, amount), and whether they are pending."""


class Model:
    """Four counters by account (debits and credits, pending and posted); outcomes by key."""

    def __init__(self) -> None:
        self.counters = [[0, 0, 0, 0] for _ in _WORDS]
        self.outcomes: dict[int, tuple[Content, int | str]] = {}
        self.open: dict[int, Sequence[tuple[int, int, int]]] = {}
        self.sequence = 0

    def available(self, account: int, counters: Sequence[Sequence[int]]) -> int:
        pending_debits, debits, pending_credits, credits_ = counters[account]
        if account in _ASSETS:
            return debits - credits_ - pending_credits
        return credits_ - debits - pending_debits

    def post(self, key: int, content: Content) -> int | str:
        if key in self.outcomes:
            first, outcome = self.outcomes[key]
            return outcome if first == content else "posting_key_reused"
        after, (entries, pending) = deepcopy(self.counters), content
        for debit, credit, amount in entries:
            after[debit][0 if pending else 1] += amount
            after[credit][2 if pending else 3] += amount
        outcome = "insufficient_funds"
        if all(self.available(each, after) >= 0 for each in _FLOORED):
            self.counters, self.sequence = after, self.sequence + 1
            outcome = self.sequence
            if pending:
                self.open[outcome] = entries
        self.outcomes[key] = content, outcome
        return outcome

    def resolve(self, sequence: int, outcome: Outcome) -> None:
        self.sequence += 1
        for debit, credit, amount in self.open.pop(sequence):
            self.counters[debit][0] -= amount
            self.counters[credit][2] -= amount
            if outcome is Outcome.POSTED:
                self.counters[debit][1] += amount
                self.counters[credit][3] += amount


_entries = st.lists(
    st.tuples(st.permutations(range(5)), st.integers(1, 9)).map(
        lambda drawn: (drawn[0][0], drawn[0][1], drawn[1])
    ),
    min_size=1,
    max_size=3,
)
_orders = st.lists(
    st.tuples(st.integers(0, 200), st.tuples(_entries, st.booleans())), min_size=1, max_size=6
)


class RealLedger:
    """Accounts and keys that nobody else has, in a ledger that all examples share."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[Database]
    numbers: ClassVar[Iterator[int]] = itertools.count(1)

    def __init__(self) -> None:
        self._number = next(self.numbers)
        self._units = StoreUnits(self.database)
        self._posting = PostingService(self._units, CATALOG)
        self._paths = [self._path(word) for word in _WORDS]
        self._first = self.runner.run(self._head())

    def order(self, orders: Sequence[tuple[int, Content]]) -> list[int | str]:
        """Post a batch; sequences from 1, or codes of refusals."""
        transactions = [self._transaction(*each) for each in orders]
        outcomes = self.runner.run(self._posting.post_many(transactions))
        return [self._plain(each) for each in outcomes]

    def end(self, chosen: Sequence[tuple[int, Outcome]]) -> None:
        """Post or void pending ones."""
        self.runner.run(self._end(chosen))

    def look(self) -> tuple[list[list[int]], list[int]]:
        """Counters, as in the model, and every sequence."""
        return self.runner.run(self._look())

    def _path(self, word: str) -> str:
        first, _, rest = word.partition("/")
        return "/".join(filter(None, (first, str(self._number), rest, "EUR")))

    def _transaction(self, key: int, content: Content) -> LedgerTransaction:
        paths, (entries, pending) = self._paths, content
        return LedgerTransaction(
            f"{self._number}/{key}",
            "test",
            [Entry(paths[one], paths[two], "EUR", amount) for one, two, amount in entries],
            pending,
        )

    def _plain(self, outcome: int | Exception) -> int | str:
        if isinstance(outcome, NodeError):
            return outcome.code
        assert isinstance(outcome, int)
        return outcome - self._first

    async def _end(self, chosen: Sequence[tuple[int, Outcome]]) -> None:
        async with self._units() as unit:
            await unit.ledger.lock()
            await unit.ledger.post(
                resolutions=[Resolution(self._first + n, outcome) for n, outcome in chosen]
            )

    async def _head(self) -> int:
        async with self.database.transaction() as connection:
            sequence: int = await connection.raw.fetchval("SELECT sequence FROM ledger")
        return sequence

    async def _look(self) -> tuple[list[list[int]], list[int]]:
        async with self._units() as unit:
            found = await unit.ledger.balances(self._paths)
        async with self.database.transaction() as connection:
            rows = await connection.raw.fetch(
                "SELECT sequence FROM ledger_transaction WHERE sequence > $1 UNION ALL"
                " SELECT sequence FROM ledger_resolution WHERE sequence > $1 ORDER BY 1",
                self._first,
            )
        counters = [
            [each.debits_pending, each.debits_posted, each.credits_pending, each.credits_posted]
            for each in (found[path] for path in self._paths)
        ]
        return counters, [row["sequence"] - self._first for row in rows]


class MemoryLedger:
    """The model itself in the place of the ledger: to see what the machine finds, without I/O."""

    def __init__(self) -> None:
        self._model = Model()

    def order(self, orders: Sequence[tuple[int, Content]]) -> list[int | str]:
        return [self._model.post(*each) for each in orders]

    def end(self, chosen: Sequence[tuple[int, Outcome]]) -> None:
        for sequence, outcome in chosen:
            if sequence not in self._model.open:
                raise InvariantBroken("not pending")
            self._model.resolve(sequence, outcome)

    def look(self) -> tuple[list[list[int]], list[int]]:
        return self._model.counters, list(range(1, self._model.sequence + 1))


class LedgerAgainstModel(RuleBasedStateMachine):
    """Every step is taken by both; after it they must agree."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.model, self.ledger = self.sides()
        self.own_steps = 0

    def sides(self) -> tuple[Model, RealLedger | MemoryLedger]:
        return Model(), RealLedger()

    def count_step(self) -> None:
        LedgerAgainstModel.steps += 1
        self.own_steps += 1

    @rule(orders=_orders)
    def several_are_ordered_at_once(self, orders: Sequence[tuple[int, Content]]) -> None:
        self.count_step()
        assert self.ledger.order(orders) == [self.model.post(*each) for each in orders]

    @precondition(lambda self: self.model.outcomes)
    @rule(data=st.data(), is_same=st.booleans(), content=st.tuples(_entries, st.booleans()))
    def a_key_comes_again(self, data: st.DataObject, is_same: bool, content: Content) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.outcomes)))
        again = self.model.outcomes[key][0] if is_same else content
        self.several_are_ordered_at_once([(key, again)])

    @precondition(lambda self: self.model.open)
    @rule(data=st.data())
    def pending_ones_end(self, data: st.DataObject) -> None:
        self.count_step()
        chosen = data.draw(
            st.lists(
                st.tuples(st.sampled_from(sorted(self.model.open)), st.sampled_from(Outcome)),
                min_size=1,
                max_size=3,
                unique_by=lambda pair: pair[0],
            )
        )
        self.ledger.end(chosen)
        for each in chosen:
            self.model.resolve(*each)

    @rule(sequence=st.integers(1, 30), outcome=st.sampled_from(Outcome))
    def what_is_not_pending_does_not_end(self, sequence: int, outcome: Outcome) -> None:
        if sequence not in self.model.open:
            self.count_step()
            with pytest.raises(InvariantBroken):
                self.ledger.end([(sequence, outcome)])

    @invariant()
    def both_agree(self) -> None:
        counters, sequences = self.ledger.look()
        assert counters == self.model.counters
        # What follows should hold of the model as well, but is looked at by itself.
        sums = [sum(column) for column in zip(*counters, strict=True)]
        assert (sums[0], sums[1]) == (sums[2], sums[3])
        assert all(Model().available(each, counters) >= 0 for each in _FLOORED)
        assert sequences == list(range(1, len(sequences) + 1))


def test_the_ledger_behaves_as_a_model_of_four_counters(database_url: str) -> None:
    LedgerAgainstModel.steps = 0
    with asyncio.Runner() as runner:
        RealLedger.runner = runner
        RealLedger.database = Database.at(database_url)
        run_state_machine_as_test(
            LedgerAgainstModel,
            settings=hypothesis.settings(max_examples=80, stateful_step_count=50, deadline=None),
        )
        runner.run(RealLedger.database.close())
    assert LedgerAgainstModel.steps > 2000


class ForgetsHolds(Model):
    """A model that is wrong in one thing."""

    def available(self, account: int, counters: Sequence[Sequence[int]]) -> int:
        _, debits, _, credits_ = counters[account]
        return debits - credits_ if account in _ASSETS else credits_ - debits


class RightAgainstWrong(LedgerAgainstModel):
    """Must find where the two differ; remembers the steps of its last example, the smallest."""

    last_steps: ClassVar[int] = 0

    def sides(self) -> tuple[Model, RealLedger | MemoryLedger]:
        return ForgetsHolds(), MemoryLedger()

    def teardown(self) -> None:
        RightAgainstWrong.last_steps = self.own_steps


def test_a_difference_is_found_and_shrunk_to_a_step_or_two() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            RightAgainstWrong,
            settings=hypothesis.settings(
                max_examples=500,
                stateful_step_count=10,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
            ),
        )
    assert 1 <= RightAgainstWrong.last_steps <= 2
