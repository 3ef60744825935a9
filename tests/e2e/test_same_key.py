"""The same request many times at once, at two HTTP processes of which one is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from node.devnet.programs import free_port
from tests.api.conftest import BENEFICIARY, RealNode, open_real
from tests.e2e.conftest import until
from tests.onchain import OnChain
from tests.rig import AnvilServer

REQUESTS = 200
TRIES_MAX = 1000
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`corridor serve` as a process at a port of its own: where it is, and the process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "serve"],
        env={**environment, "CORRIDOR_HTTP_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert process.poll() is None, "it ended by itself"
        try:
            return httpx.get(f"{url}/healthz", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(answers, f"{url} answers")
        yield url, process
    finally:
        process.kill()
        process.wait()


@dataclass
class Stage:
    """Two processes over one database.

    Attributes:
        node: Who may ask for what; in this process.
        urls: Of the first and the second process.
        first: The process that is killed.
    """

    node: RealNode
    database_url: str
    urls: tuple[str, str]
    first: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End the first with kill -9."""
        self.first.kill()
        assert self.first.wait() == -signal.SIGKILL


@pytest.fixture
async def stage(database_url: str, tmp_path: Path, anvil: AnvilServer) -> AsyncIterator[Stage]:
    """A partner, a customer with 1,000.00 EUR, contracts, and two processes that serve them."""
    onchain = OnChain.deploy(anvil)
    contracts = {
        "token_address": f"0x{onchain.token.hex()}",
        "settlement_address": f"0x{onchain.contract.hex()}",
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CORRIDOR_")}  # noqa: TID251
    environment = {
        **inherited,
        **{f"CORRIDOR_{name.upper()}": value for name, value in contracts.items()},
        "CORRIDOR_DATABASE_URL": database_url,
        "CORRIDOR_CHAIN_RPC_URLS": anvil.rpc_url,
        "CORRIDOR_SIGNER": f"keystore:{tmp_path / 'lane.json'}",
        "CORRIDOR_STATE_DIR": str(tmp_path),
        "CORRIDOR_FX_SOURCES": "ecb:max_age_s=0,fixed:USD/USDC=1",
        "CORRIDOR_SANDBOX": "1",
    }
    async with open_real(
        tmp_path, database_url, onchain.contract, chain_rpc_urls=(anvil.rpc_url,), **contracts
    ) as node:
        with serving(environment) as (one, first), serving(environment) as (two, _):
            yield Stage(node, database_url, (one, two), first)


@dataclass
class Race:
    """The same POST by many, until each has an answer."""

    client: httpx.AsyncClient
    headers: dict[str, str]
    body: dict[str, Any]
    answers: list[httpx.Response] = field(default_factory=list)
    lost: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, *urls: str) -> None:
        """Ask the first; whenever there is no answer, or a passing refusal, ask the next."""
        for number in range(TRIES_MAX):
            url = urls[number % len(urls)]
            try:
                answer = await self.client.post(
                    f"{url}/v1/transfers", headers=self.headers, json=self.body
                )
            except httpx.TransportError:
                self.lost += 1
                continue
            if answer.status_code == 503 or answer.json().get("code") == "idempotency_in_progress":
                continue
            self.answers.append(answer)
            self.begun.set()
            return
        raise AssertionError(f"no answer after {TRIES_MAX} tries")


@asynccontextmanager
async def race(stage: Stage) -> AsyncIterator[Race]:
    """For one quote of 200.00 EUR under one key."""
    headers = {"Authorization": f"Bearer {stage.node.partner}"}
    side = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
    quote = await stage.node.client.post("/v1/quotes", headers=headers, json=side)
    assert quote.status_code == 201, quote.text
    body = {
        "quote_id": quote.json()["id"],
        "customer_id": stage.node.customer_id,
        "beneficiary": {"name": "Bea", "country": "PH", "address": BENEFICIARY},
    }
    limits = httpx.Limits(max_connections=REQUESTS)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        yield Race(client, {**headers, "Idempotency-Key": "the-same"}, body)


async def there_is_one(stage: Stage, done: Race) -> None:
    """One transfer, one answer, the money taken once; the key stands for this body alone."""
    assert len(done.answers) == REQUESTS
    assert {each.status_code for each in done.answers} == {201}
    assert len({each.content for each in done.answers}) == 1
    marked = [each.headers.get("idempotent-replayed") for each in done.answers]
    assert set(marked) <= {None, "true"}
    assert marked.count(None) <= 1  # none, where the answer to the very first was lost
    node, two = stage.node, stage.urls[1]
    as_partner = {"Authorization": f"Bearer {node.partner}"}
    listed = (await node.client.get("/v1/transfers", headers=as_partner)).json()["data"]
    assert [each["id"] for each in listed] == [done.answers[0].json()["id"]]
    path = f"/v1/customers/{node.customer_id}/balances"
    rows = (await node.client.get(path, headers=as_partner)).json()["data"]
    euro = next(each for each in rows if each["currency"] == "EUR")
    assert (euro["available"], euro["reserved"]) == ("800.00", "200.00")
    other = {**done.body, "client_reference": "another"}
    refused = await done.client.post(f"{two}/v1/transfers", headers=done.headers, json=other)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    again = await done.client.post(f"{two}/v1/transfers", headers=done.headers, json=done.body)
    assert again.content == done.answers[0].content
    assert again.headers["idempotent-replayed"] == "true"


async def until_waiting(connection: "asyncpg.Connection[asyncpg.Record]", sessions: int) -> None:
    """Until so many sessions of the database wait for a lock."""
    for _ in range(TRIES_MAX):
        if await connection.fetchval(WAITING) >= sessions:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"no {sessions} sessions wait for a lock")


async def test_of_200_equal_requests_one_is_done_though_the_process_that_began_it_is_killed(
    stage: Stage,
) -> None:
    """It is killed in the middle of its transaction, where it waits for the ledger's lock."""
    one, two = stage.urls
    held = await asyncpg.connect(stage.database_url)
    looking = await asyncpg.connect(stage.database_url)
    async with race(stage) as running:
        async with asyncio.TaskGroup() as group:
            lock = held.transaction()
            await lock.start()
            await held.execute("SELECT FROM ledger FOR UPDATE")
            group.create_task(running.ask(one, two))
            await until_waiting(looking, 1)
            for number in range(1, REQUESTS):
                group.create_task(running.ask(*(stage.urls if number % 2 else (two, one))))
            await until_waiting(looking, 2)
            stage.kill()
            assert running.answers == []
            await lock.rollback()
        assert running.lost > 0
        await there_is_one(stage, running)
    await held.close()
    await looking.close()


async def test_of_200_equal_requests_one_is_done_though_the_process_that_answers_is_killed(
    stage: Stage,
) -> None:
    """The transfer is made; half of those who wait for the answer are cut off."""
    async with race(stage) as running:
        async with asyncio.TaskGroup() as group:
            for number in range(REQUESTS):
                group.create_task(running.ask(*(stage.urls if number % 2 else stage.urls[::-1])))
            await running.begun.wait()
            stage.kill()
        await there_is_one(stage, running)
