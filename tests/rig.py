"""Real servers for tests: PostgreSQL once per session, anvil once per test.

Fixtures: `postgres_server` (session), `database_url` (an empty migrated database of one test),
`anvil` (a chain that mines each transaction at once), `start_anvil` (chains of other kinds),
`one_day` (for tests that count by days).
Everything ends with the test run, also after kill -9. Not here: fakes and builders.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from adapters.machine import SystemClock
from node.devnet import anvil as anvil_module
from node.devnet import programs, rpc
from node.devnet.anvil import DEV_ACCOUNTS
from node.devnet.errors import DevnetError
from node.devnet.postgres import Postgres
from node.store import schema
from tests.scratch import scratch_root

TEMPLATE = "migrated"
_ATTEMPTS = 3
_STARTS_MAX = 50
_LOOKS_MAX = 1000


class PostgresServer:
    """A real PostgreSQL server with as many databases as tests want."""

    def __init__(self, directory: Path) -> None:
        self._server = Postgres(
            directory=directory, port=programs.free_port(), log=directory / "postgres.log"
        )
        self._lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
        self._numbers = itertools.count(1)
        self._template_made = False
        self._server.initialise()
        self._process = self._start()

    def create_database(self, *, migrated: bool = True) -> str:
        """URL of a new database, with the current schema unless `migrated` is False."""
        if migrated and not self._template_made:
            self._server.create_database(TEMPLATE)
            migrate(self._server.url(TEMPLATE))
            self._template_made = True
        name = f"test_{next(self._numbers)}"
        self._server.create_database(name, template=TEMPLATE if migrated else None)
        return self._server.url(name)

    def copy_database(self, url: str) -> str:
        """URL of a new database with everything that `url` holds; nobody may be connected."""
        name = f"test_{next(self._numbers)}"
        self._server.create_database(name, template=url.rpartition("/")[2])
        return self._server.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, also when connections are still open."""
        self._server.drop_database(url.rpartition("/")[2])

    def sql(self, url: str, statement: str) -> str:
        """Run one statement with psql; rows as text, tab between columns."""
        return self._server.sql(statement, database=url.rpartition("/")[2])

    def kill_and_restart(self) -> None:
        """End the server with kill -9 and start it on the same data and port.

        What its own processes hold they let go a moment after it is gone; no other server starts
        before that.
        """
        self._process.kill()
        self._process.wait()
        for attempt in range(_STARTS_MAX):
            try:
                self._process = self._start()
            except DevnetError:
                if attempt + 1 == _STARTS_MAX:
                    raise
            else:
                return

    def stop(self) -> None:
        """End the server in good order."""
        programs.stop(self._process, self._server.program())

    def _start(self) -> Popen[bytes]:
        self._server.remove_stale_lock()
        program = self._server.program()
        process = programs.spawn(program, lifeline=self._lifeline)
        programs.wait_ready(process, program, self._server.ready)
        return process


class AnvilServer:
    """A real anvil. `stop()` ends it and removes its files; it is safe to call twice."""

    def __init__(self, chain: anvil_module.Anvil) -> None:
        self._lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
        for attempt in range(1, _ATTEMPTS + 1):
            self._chain = replace(chain, port=programs.free_port())
            self._program = self._chain.program()
            self._process = programs.spawn(self._program, lifeline=self._lifeline)
            try:
                programs.wait_ready(self._process, self._program, self._chain.ready)
                return
            except DevnetError:  # somebody may have taken the port in between
                self._process.kill()
                self._process.wait()
                if attempt == _ATTEMPTS:
                    raise

    @property
    def rpc_url(self) -> str:
        """Where it answers JSON-RPC."""
        return self._chain.rpc_url

    @property
    def pid(self) -> int:
        """The process id of anvil itself."""
        return self._process.pid

    def rpc(self, method: str, *params: Any) -> Any:
        """Result of one JSON-RPC call."""
        return rpc.call(self.rpc_url, method, *params)

    def mine(self, blocks: int = 1) -> None:
        """Mine so many blocks now."""
        self.rpc("anvil_mine", hex(blocks))

    def mined(self, tx_hash: str) -> dict[str, Any]:
        """Receipt of a transaction; mines the block if the chain does not do so by itself.

        A chain that mines each transaction at once does it a moment after its answer.
        """
        if not self.rpc("anvil_getAutomine"):
            self.mine()
        for _ in range(_LOOKS_MAX):
            if receipt := self.rpc("eth_getTransactionReceipt", tx_hash):
                return dict(receipt)
        raise AssertionError(f"{tx_hash} was not mined")

    def stop(self) -> None:
        """End it and remove its files."""
        programs.stop(self._process, self._program)
        shutil.rmtree(self._chain.directory, ignore_errors=True)


def start_anvil(
    *,
    block_time_s: int | None = None,
    automine: bool = True,
    states_kept: int = 256,
    options: tuple[str, ...] = (),
) -> AnvilServer:
    """A running anvil on a free port; the caller stops it.

    Args:
        block_time_s: A block each so many seconds; None mines each transaction at once.
        automine: False mines only on `evm_mine` or `mine()` (with `block_time_s` None).
        states_kept: How many old blocks can be asked for state.
        options: More options of anvil, literally.
    """
    directory = Path(tempfile.mkdtemp(prefix="anvil-", dir=scratch_root()))
    try:
        return AnvilServer(
            anvil_module.Anvil(
                directory=directory,
                port=0,
                log=directory / "anvil.log",
                block_time_s=block_time_s,
                automine=automine,
                states_kept=states_kept,
                options=options,
            )
        )
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def migrate(url: str) -> None:
    """Bring a database to the current schema; callable with or without a running event loop."""
    with ThreadPoolExecutor(max_workers=1) as other_thread:
        other_thread.submit(lambda: asyncio.run(schema.migrate(url))).result()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole session, fsync on as in production."""
    directory = Path(tempfile.mkdtemp(prefix="postgres-", dir=scratch_root()))
    server = PostgresServer(directory)
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A migrated database for one test, dropped afterwards."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(name="start_anvil")
def start_anvil_fixture() -> Iterator[Callable[..., AnvilServer]]:
    """`start_anvil`, with everything it started stopped after the test."""
    started: list[AnvilServer] = []

    def start(**options: Any) -> AnvilServer:
        started.append(start_anvil(**options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def anvil(start_anvil: Callable[..., AnvilServer]) -> AnvilServer:
    """A chain of one test that mines each transaction at once."""
    return start_anvil()


@pytest.fixture
def one_day() -> None:
    """A test that counts by days does not begin in the last two minutes of one, UTC."""
    clock, most = SystemClock(), timedelta(minutes=2)
    programs.wait_until(
        lambda: (clock.now() + most).date() == clock.now().date(),
        limit_s=2 * most.total_seconds(),
    )


__all__ = [
    "DEV_ACCOUNTS",
    "AnvilServer",
    "PostgresServer",
    "anvil",
    "database_url",
    "migrate",
    "one_day",
    "postgres_server",
    "start_anvil",
    "start_anvil_fixture",
]
