"""kill -9 of PostgreSQL and of a posting process, fifty times each: nothing is lost or doubled."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from node.core.errors import NodeError
from node.core.posting import same_content
from node.services.ledger.posting import PostingService
from node.services.ledger.verifying import VerifyService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG
from tests.e2e.conftest import until
from tests.e2e.posting_process import (
    add_customer,
    book_top_up,
    posting_of,
    top_ups,
)
from tests.rig import PostgresServer

ROUNDS = 50
"""In each, the server is killed once and the process once."""

_ROOT = Path(__file__).parents[2]
_ANSWERS = 60  # of a process, before something is killed: it is in the middle of its work


@dataclass
class Told:
    """What processes said of their orders, as they said it."""

    sent: set[str] = field(default_factory=set)
    booked: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    topped: dict[str, str] = field(default_factory=dict)
    answers: int = 0

    @property
    def unknown(self) -> list[str]:
        """Keys of orders that were sent and had no answer."""
        return sorted(self.sent - self.booked.keys() - self.refused.keys() - self.topped.keys())

    def hear(self, line: str) -> None:
        """Take down one line."""
        word, key, *rest = line.split()
        self.answers += word != "sent"
        match word:
            case "sent":
                self.sent.add(key)
            case "booked":
                self.booked[key] = int(rest[0])
            case "refused":
                self.refused[key] = rest[0]
            case "topped":
                self.topped[key] = rest[0]
            case _:
                raise AssertionError(line)


class PostingProcess:
    """A child that posts until it is killed."""

    def __init__(self, url: str, name: str, told: Told) -> None:
        self._told = told
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.posting_process", url, name],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def begin(self) -> None:
        """Let it post."""
        assert self._child.stdin is not None
        self._child.stdin.write(b"go\n")
        self._child.stdin.flush()

    def until_answers(self, count: int) -> None:
        """Wait for so many more answers."""
        wanted = self._told.answers + count
        until(lambda: self._told.answers >= wanted or self._child.poll() is not None, "answers")
        assert self._child.poll() is None, "it ended by itself"

    def kill(self) -> None:
        """End it with kill -9, and hear what it had said."""
        if self._child.poll() is None:
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._listener.join()
        for each in (self._child.stdin, self._child.stdout):
            assert each is not None
            each.close()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.endswith(b"\n"):  # else it was killed in the middle of a word
                self._told.hear(line.decode())


def parts(keys: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


@pytest.fixture
def told(postgres_server: PostgresServer, database_url: str) -> Told:
    """What was said in fifty rounds of kill -9."""
    told = Told()

    async def prepare() -> None:
        database = Database.at(database_url)
        await add_customer(StoreUnits(database))
        await database.close()

    asyncio.run(prepare())
    coming = PostingProcess(database_url, "0", told)
    for number in range(1, ROUNDS + 1):
        with coming as process:
            process.begin()
            # The next one gets ready meanwhile: only its imports take time.
            coming = PostingProcess(database_url, str(number), told)
            process.until_answers(_ANSWERS + number)
            postgres_server.kill_and_restart()
            process.until_answers(_ANSWERS + 7 * number % 50)
    coming.kill()
    return told


async def _check(units: StoreUnits, told: Told) -> None:
    posting, topping = PostingService(units, CATALOG), top_ups(units)
    assert list((await VerifyService(units).verify()).differences) == []
    for keys in parts(sorted(told.booked)):
        async with units() as unit:
            booked = await unit.history.transactions(keys)
        for key in keys:
            assert booked[key].sequence == told.booked[key]
            assert same_content(booked[key].transaction, posting_of(key))
    for keys in parts(sorted(told.refused)):
        outcomes = await posting.post_many([posting_of(key) for key in keys])
        for key, outcome in zip(keys, outcomes, strict=True):
            assert isinstance(outcome, NodeError)
            assert outcome.code == told.refused[key]
    for key in told.unknown:
        if key.startswith("post/"):
            outcomes = [(await posting.post_many([posting_of(key)]))[0] for _ in range(2)]
            assert [str(each) for each in outcomes[:1]] == [str(each) for each in outcomes[1:]]
        else:
            told.topped[key] = await book_top_up(topping, key)
    for key, top_up_id in told.topped.items():
        assert await book_top_up(topping, key) == top_up_id


async def _count(units: StoreUnits, told: Told) -> None:
    """Nothing is there that nobody ordered, and no top-up is there twice."""
    async with units.database.transaction() as connection:
        keys = await connection.raw.fetch("SELECT key FROM ledger_transaction")
        references = await connection.raw.fetch("SELECT reference, amount FROM top_up")
    posted = {row["key"] for row in keys if row["key"].startswith("post/")}
    assert posted <= told.sent
    assert len(keys) - len(posted) == len(references)
    assert sorted(row["reference"] for row in references) == sorted(told.topped)
    assert {row["amount"] for row in references} <= {5}


def test_every_answer_given_before_a_crash_holds_after_it(told: Told, database_url: str) -> None:
    # The load was what it is meant to be.
    assert len(told.booked) > ROUNDS
    assert len(told.refused) > ROUNDS
    assert len(told.topped) > ROUNDS
    assert len(told.unknown) > ROUNDS
    assert set(told.refused.values()) == {"insufficient_funds"}

    async def check() -> None:
        database = Database.at(database_url)
        units = StoreUnits(database)
        await _check(units, told)
        await _count(units, told)
        assert list((await VerifyService(units).verify()).differences) == []
        await database.close()

    asyncio.run(check())
