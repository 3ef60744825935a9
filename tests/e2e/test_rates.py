"""A node whose rate source lies: 503 with the reason, never a number; firm quotes are honoured."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.devnet.programs import free_port
from tests.e2e.conftest import Network, fresh_address, until
from tests.rate_server import LIES, YESTERDAY, RateServer, serving, tell, tell_truth, truth

PRICE = "/v1/prices?sell=EUR&buy=USDC&sell_amount=200.00"
QUOTE = {
    "sell": {"currency": "EUR", "amount": "200.00"},
    "buy": {"currency": "USDC"},
    "payout": {"method": "onchain"},
}
NUMBERS = ("rate", "mid_rate", "buy", "sell", "fees", "total_cost")


@contextmanager
def served(network: Network, sources: str) -> Iterator[str]:
    """`corridor serve` of the same node once more, with other rate sources."""
    environment = Path(f"/proc/{network.node['pids']['serve'][0]}/environ").read_text()
    settings = dict(line.split("=", 1) for line in environment.split("\0") if line)
    port = free_port()
    settings |= {"CORRIDOR_HTTP_PORT": str(port), "CORRIDOR_FX_SOURCES": sources}
    process = subprocess.Popen([sys.executable, "-m", "node", "serve"], env=settings)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or _is_ready(url), "the other process is ready")
        yield url
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(60)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz", timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


def faults(network: Network) -> set[str]:
    """Names of the devnet's sources that have a fault, as its operator sees them."""
    return {each["name"] for each in network.get("/v1/fx")["sources"] if each["fault"]}


def source(server: RateServer, name: str = "acme", *, timeout_s: int = 20) -> str:
    """The setting of a server as the only source of EUR/USD, with one dollar for one coin."""
    return (
        f"http:name={name};url={server.url};base=EUR@base;rates=rates;time=timestamp;"
        f"max_age_s=300;timeout_s={timeout_s}"
    )


def ask(network: Network, url: str, method: str, path: str, body: Any = None) -> httpx.Response:
    """A request to the other process."""
    headers = {
        "Authorization": f"Bearer {network.node['keys']['operator']}",
        "Idempotency-Key": f"rates-{os.urandom(8).hex()}",
    }
    return httpx.request(method, url + path, headers=headers, json=body, timeout=30)


def refused(network: Network, url: str) -> str:
    """The reason why there is neither a price nor a quote."""
    reasons = set()
    for method, path, body in (("GET", PRICE, None), ("POST", "/v1/quotes", QUOTE)):
        response = ask(network, url, method, path, body)
        problem = response.json()
        assert (response.status_code, problem["code"]) == (503, "rate_unavailable"), problem
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["retryable"] is True
        assert not set(NUMBERS) & set(problem)
        reasons.add(problem["detail"])
    [reason] = reasons
    return str(reason)


@pytest.mark.parametrize("lie", ["zero", "NaN", "HTML", "a megabyte", "silence", "another base"])
def test_a_source_that_lies_is_a_503_with_the_reason_and_a_firm_quote_is_accepted(
    network: Network, lie: str
) -> None:
    customer_id = network.customer(eur="500.00")
    quote = network.quote("200.00")
    answer, words = LIES[lie]
    timeout_s = 1 if lie == "silence" else 20
    with (
        serving(answer) as server,
        served(network, f"{source(server, timeout_s=timeout_s)},fixed:USD/USDC=1") as url,
    ):
        reason = refused(network, url)
        assert words in reason
        assert "acme" in reason
        assert str(server.port) not in reason
        order = network.order(quote, customer_id, fresh_address(5001 + list(LIES).index(lie)))
        accepted = ask(network, url, "POST", "/v1/transfers", order)
        assert accepted.status_code == 201, accepted.text
        transfer = accepted.json()
    assert transfer["buy"] == quote["buy"]
    assert network.completed(transfer)["buy"] == quote["buy"]


def test_old_or_disagreeing_sources_are_a_503_with_the_reason(network: Network) -> None:
    with serving(YESTERDAY) as server, served(network, f"{source(server)},fixed:USD/USDC=1") as url:
        assert "too old" in refused(network, url)
    with (
        serving(tell_truth) as one,
        serving(tell(truth("11.5626"))) as other,
        served(network, f"{source(one)},{source(other, 'other')},fixed:USD/USDC=1") as url,
    ):
        reason = refused(network, url)
        assert "disagree" in reason
        assert "other EUR/USD 11.5626" in reason


def test_a_quote_of_the_devnet_names_the_ecb_and_the_operator_with_the_chain_as_a_cross_check(
    network: Network,
) -> None:
    quote = network.quote("200.00")
    assert [(each["name"], each["sell"], each["buy"]) for each in quote["rate_sources"]] == [
        ("ecb", "EUR", "USD"),
        ("fixed", "USD", "USDC"),
    ]
    until(lambda: faults(network) == set(), "no source has a fault, nor have the chain's feeds")
    contracts = network.described["contracts"]
    with served(
        network, f"chainlink:max_age_s=0;EUR/USD={contracts['EUR/USD']},fixed:USD/USDC=1"
    ) as url:
        response = ask(network, url, "GET", PRICE)
        assert response.status_code == 200, response.text
        price = response.json()
    assert price["buy"] == quote["buy"]
    assert [each["name"] for each in price["rate_sources"]] == ["chainlink", "fixed"]
