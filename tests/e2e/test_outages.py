"""Database or chain away: said plainly, nothing lost, and it goes on by itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from node.devnet.programs import free_port
from tests.e2e.conftest import Network, fresh_address, until
from tests.e2e.forwarding import Door


def _readiness(network: Network) -> dict[str, Any]:
    response = httpx.get(network.node["url"] + "/readyz", timeout=30)
    body: dict[str, Any] = response.json()
    return body | {"status_code": response.status_code}


def test_a_frozen_chain_fails_readiness_and_payments_go_on_when_it_is_back(
    network: Network,
) -> None:
    customer_id = network.customer(eur="100.00")
    anvil = network.described["chain"]["pid"]
    os.kill(anvil, signal.SIGSTOP)
    try:
        transfer = network.send(customer_id, "10.00", fresh_address(4001))
        until(lambda: _readiness(network)["status_code"] == 503, "not ready")
        assert network.state_of(transfer) in ("funded", "submitted", "unknown")
    finally:
        os.kill(anvil, signal.SIGCONT)
    done = network.completed(transfer)
    assert network.usdc_of(fresh_address(4001)) == int(done["buy"]["amount"].replace(".", ""))
    until(network.is_ready, "ready again")
    network.prove()


def test_a_killed_database_is_answered_with_503_and_comes_back_by_itself(
    network: Network,
) -> None:
    customer_id = network.customer(eur="100.00")
    transfer = network.send(customer_id, "10.00", fresh_address(4002))
    postmaster = int(
        (network.state_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
    )
    quote = network.quote("20.00")
    os.kill(postmaster, signal.SIGKILL)
    order = network.order(quote, customer_id, fresh_address(4003))
    response = network.request("POST", "/v1/transfers", json=order, key="while-it-is-away")
    if response.status_code != 201:
        told = (response.status_code, response.json()["code"])
        assert told in ((503, "database_unavailable"), (409, "idempotency_in_progress"))
    second = network.answered("/v1/transfers", order, "while-it-is-away").json()
    for each, number in ((transfer, 4002), (second, 4003)):
        done = network.completed(each)
        units = int(done["buy"]["amount"].replace(".", ""))
        assert network.usdc_of(fresh_address(number)) == units
    assert network.balances(customer_id)["EUR"]["available"] == "70.00"
    until(network.is_ready, "ready again")
    network.prove()


def _settings(network: Network) -> dict[str, str]:
    """Environment of the network's own processes."""
    environment = Path(f"/proc/{network.node['pids']['serve'][0]}/environ").read_text()
    return dict(line.split("=", 1) for line in environment.split("\0") if line)


@contextmanager
def _second_node(network: Network, database: Door, chain: Door) -> Iterator[str]:
    """`serve` and `work` of the same node again, reaching database and chain through doors."""
    settings = _settings(network)
    port = free_port()
    url = urlsplit(settings["CORRIDOR_DATABASE_URL"])
    settings |= {
        "CORRIDOR_HTTP_PORT": str(port),
        "CORRIDOR_CHAIN_RPC_URLS": f"http://127.0.0.1:{chain.port}",
        "CORRIDOR_DATABASE_URL": url._replace(
            netloc=f"{url.username}:{url.password}@127.0.0.1:{database.port}"
        ).geturl(),
    }
    processes = [
        subprocess.Popen([sys.executable, "-m", "node", *command], env=settings)
        for command in (["serve"], ["work", "--only", "mirror"])
    ]
    try:
        yield f"http://127.0.0.1:{port}"
        assert [process.poll() for process in processes] == [None, None]
    finally:
        for process in processes:
            process.terminate()
            process.wait(60)


def _failing(url: str) -> set[str] | None:
    """Names of the readiness checks that fail; None while nobody answers."""
    try:
        body = httpx.get(url + "/readyz", timeout=30).json()
    except httpx.HTTPError:
        return None
    return {check["name"] for check in body["checks"] if not check["ok"]}


def test_what_is_away_at_start_or_later_is_named_and_waited_for(network: Network) -> None:
    database_port = urlsplit(network.node["database_url"]).port
    chain_port = urlsplit(network.described["chain"]["rpc_url"]).port
    assert database_port is not None
    assert chain_port is not None
    database, chain = Door(free_port(), database_port), Door(free_port(), chain_port)
    with _second_node(network, database, chain) as url:
        until(lambda: _failing(url) == {"database", "chain"}, "both are named at start")
        assert httpx.get(url + "/healthz", timeout=30).status_code == 200
        chain.open()
        until(lambda: _failing(url) == {"database"}, "the database is still away")
        database.open()
        until(lambda: _failing(url) == set(), "ready by itself")
        database.shut()
        until(lambda: "database" in (_failing(url) or ()), "the database is away again")
        database.open()
        until(lambda: _failing(url) == set(), "ready by itself, again")
        chain.shut()
        until(lambda: "chain" in (_failing(url) or ()), "the chain is away")
        chain.open()
        until(lambda: _failing(url) == set(), "ready by itself, at last")
    database.shut()
    chain.shut()


@pytest.mark.parametrize("command", ["serve", "work"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CORRIDOR_CHAIN_ID", "11155111", "answers for chain 31337"),
        ("CORRIDOR_TOKEN_ADDRESS", "0x" + "77" * 20, "has no code"),
        ("CORRIDOR_SETTLEMENT_ADDRESS", "nowhere", "must be an address"),
        ("CORRIDOR_DEPOSITS_ADDRESS", "0x" + "77" * 20, "is not this release's DepositForwarders"),
        ("CORRIDOR_FX_SOURCES", "tealeaves", "no rate source 'tealeaves'"),
    ],
)
def test_settings_of_another_node_stop_the_program_with_the_remedy(
    network: Network, command: str, name: str, value: str, said: str
) -> None:
    settings = _settings(network) | {"CORRIDOR_HTTP_PORT": str(free_port()), name: value}
    done = subprocess.run(
        [sys.executable, "-m", "node", command],
        env=settings,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode not in (0, -9)
    said_in_a_row = " ".join((done.stdout + done.stderr).split())
    assert name in said_in_a_row
    assert said in said_in_a_row
    assert "Traceback" not in said_in_a_row
