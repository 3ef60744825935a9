"""Database or chain away: said plainly, nothing lost, and it goes on by itself."""

import os
import signal
from typing import Any

import httpx

from tests.e2e.conftest import Network, fresh_address, until


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
    assert response.status_code in (201, 503), response.text
    if response.status_code == 503:
        assert response.json()["code"] == "database_unavailable"

    def accepted() -> Any:
        again = network.request("POST", "/v1/transfers", json=order, key="while-it-is-away")
        assert again.status_code in (201, 503), again.text
        return again.json() if again.status_code == 201 else None

    second = until(accepted, "accepted once the database is back")
    for each, number in ((transfer, 4002), (second, 4003)):
        done = network.completed(each)
        units = int(done["buy"]["amount"].replace(".", ""))
        assert network.usdc_of(fresh_address(number)) == units
    assert network.balances(customer_id)["EUR"]["available"] == "70.00"
    until(network.is_ready, "ready again")
    network.prove()
