"""`corridor serve` behind a proxy, over real sockets: no forged header gets past a key's list.

The test is the proxy where it connects from 127.0.0.1, and a stranger where from 127.0.0.9.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from eth_account import Account

from node.bootstrap.wiring import open_node
from node.cli.faults import Status
from node.core.parties import Principal, Role
from node.devnet.programs import free_port
from tests.api.conftest import settings_in
from tests.cli.conftest import Run

PROXY, STRANGER = "127.0.0.1", "127.0.0.9"
ALLOWED, ELSEWHERE = "192.0.2.7", "198.51.100.7"
IPV6 = "2001:db8::7"


@dataclass(frozen=True)
class Served:
    """A node's HTTP process.

    Attributes:
        key: Of a partner, for networks with ALLOWED and IPV6 in them alone.
    """

    url: str
    key: str

    def ask(self, local: str, *lines: str, key: str | None = None) -> httpx.Response:
        """As `local`, with these lines of X-Forwarded-For."""
        headers = [("Authorization", f"Bearer {key or self.key}")]
        headers += [("X-Forwarded-For", each) for each in lines]
        transport = httpx.HTTPTransport(local_address=local)
        with httpx.Client(transport=transport, timeout=30) as client:
            return client.get(f"{self.url}/v1/me", headers=headers)

    def refused(self, local: str, *lines: str) -> str:
        """Which address the key may not be used from; empty: it passed."""
        answer = self.ask(local, *lines)
        if answer.status_code == 200:
            return ""
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (403, "network_not_allowed")
        return str(problem["detail"]).removeprefix("this key may not be used from ").split(";")[0]


@pytest.fixture
async def key(database_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """A partner's key for some networks."""
    token = "0x" + "70" * 20
    settings = settings_in(tmp_path, database_url, bytes(Account.create().key), token_address=token)
    async with open_node(settings) as node:
        partner = await node.parties.create_partner("shop")
        principal = Principal(Role.PARTNER, "shop", partner_id=partner.id)
        made = await node.parties.create_key(principal, networks=["192.0.2.0/24", "2001:db8::/64"])
        yield made.secret


@contextmanager
def served(
    monkeypatch: pytest.MonkeyPatch, directory: Path, database_url: str, key: str, **more: str
) -> Iterator[Served]:
    port = free_port()
    settings = {
        "DATABASE_URL": database_url,
        "HTTP_PORT": str(port),
        "STATE_DIR": str(directory),
        "CHAIN_RPC_URLS": "http://127.0.0.1:9",
        "TOKEN_ADDRESS": "0x" + "70" * 20,
        "SETTLEMENT_ADDRESS": "0x" + "c0" * 20,
        "SIGNER": f"keystore:{directory / 'lane.json'}",
        "FX_SOURCES": "fixed:USD/USDC=1",
        "SANDBOX": "1",
        "LOG_LEVEL": "error",
        **more,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"CORRIDOR_{name}", value)
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "serve"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith(f"http://127.0.0.1:{port}"), line + process.stderr.read()
        yield Served(f"http://127.0.0.1:{port}", key)
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, key: str
) -> Iterator[Served]:
    """A node that trusts PROXY."""
    proxies = {"TRUSTED_PROXIES": f"{PROXY},10.0.0.0/8"}
    with served(monkeypatch, tmp_path, database_url, key, **proxies) as found:
        yield found


def test_behind_a_trusted_proxy_a_key_is_used_from_its_clients_address_alone(
    behind: Served,
) -> None:
    assert behind.refused(PROXY) == PROXY
    for lines in ((ALLOWED,), (f"{ELSEWHERE}, {ALLOWED}", "10.0.0.3"), (f"[{IPV6}]:443",)):
        assert behind.refused(PROXY, *lines) == ""
    for forged in (
        (f"{ALLOWED}, {ELSEWHERE}",),
        (ALLOWED, ELSEWHERE),
        (ALLOWED, f"{ALLOWED}, {ELSEWHERE}:4711", "10.0.0.3"),
        (f"{ALLOWED}, 10.0.0.3, {ELSEWHERE}",),
    ):
        assert behind.refused(PROXY, *forged) == ELSEWHERE
    for garbage in ("unknown", f"{ALLOWED},", f"{ALLOWED} {ALLOWED}"):
        assert behind.refused(PROXY, garbage) == PROXY
    assert behind.refused(STRANGER, ALLOWED) == STRANGER


def test_who_trusts_nobody_reads_no_header(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, key: str
) -> None:
    with served(monkeypatch, tmp_path, database_url, key) as node:
        for local in (PROXY, STRANGER):
            assert node.refused(local, ALLOWED) == local


def test_behind_a_trusted_proxy_each_client_has_its_own_allowance_and_a_stranger_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, key: str
) -> None:
    more = {"TRUSTED_PROXIES": PROXY, "RATE_LIMITS": "read=1/hour"}
    with served(monkeypatch, tmp_path, database_url, key, **more) as node:

        def status(local: str, line: str) -> int:
            return node.ask(local, line, key="no key").status_code

        assert [status(PROXY, each) for each in (ALLOWED, ALLOWED, ELSEWHERE)] == [401, 429, 401]
        assert [status(STRANGER, each) for each in (ALLOWED, "203.0.113.1")] == [401, 429]


def test_what_says_the_scheme_changes_nothing(behind: Served) -> None:
    """A form that a page of http sent stays one: its cookie has no `Secure`, as its Origin says."""
    host = behind.url.removeprefix("http://")
    for local in (PROXY, STRANGER):
        transport = httpx.HTTPTransport(local_address=local)
        with httpx.Client(transport=transport, base_url=behind.url, timeout=30) as client:
            told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": ALLOWED}
            left = client.post(
                "/operator/sign-out",
                headers={**told, "Origin": f"http://{host}"},
                data={"x": "y"},
            )
            foreign = client.post(
                "/operator/sign-out",
                headers={
                    **told,
                    "Origin": "https://example.com",
                    "X-Forwarded-Host": "example.com",
                },
                data={"x": "y"},
            )
        assert left.headers["set-cookie"]
        assert "secure" not in left.headers["set-cookie"].lower()
        assert foreign.status_code == 403


@pytest.mark.parametrize("value", ["*", "0.0.0.0/0", "10.0.0.1/8", "proxy.example"])
def test_a_setting_that_trusts_everybody_or_nothing_known_is_named_with_its_remedy(
    run: Run, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CORRIDOR_TRUSTED_PROXIES", value)
    outcome = run("serve")
    assert outcome.status == Status.REFUSED
    assert "CORRIDOR_TRUSTED_PROXIES" in outcome.err
    assert "CIDR" in outcome.err
