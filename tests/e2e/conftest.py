"""A whole local network for a test module, used as by its users: HTTP, JSON-RPC, signals."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.devnet import rpc
from node.devnet.programs import free_port
from tests.scratch import scratch_root

_START_LIMIT_S = 240
_LIMIT_S = 90


def until(condition: Callable[[], Any], what: str, *, limit_s: float = _LIMIT_S) -> Any:
    """The first true value of `condition`, polled."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s} s: {what}")


def corridor(*arguments: str, state_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        capture_output=True,
        text=True,
        timeout=_START_LIMIT_S,
        env={**os.environ, "CORRIDOR_STATE_DIR": str(state_dir), "NO_COLOR": "1"},  # noqa: TID251
        check=False,
    )


@dataclass
class Network:
    """A running local network."""

    state_dir: Path
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def described(self) -> dict[str, Any]:
        """Content of `devnet.json` now; process ids change with restarts."""
        described: dict[str, Any] = json.loads((self.state_dir / "devnet.json").read_text())
        return described

    @property
    def node(self) -> dict[str, Any]:
        """The first node."""
        node: dict[str, Any] = self.described["nodes"][0]
        return node

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        key: str | None = None,
        **rest: Any,
    ) -> httpx.Response:
        """One request, by default as the operator; POSTs get a key of their own."""
        headers = {"Authorization": f"Bearer {token or self.node['keys']['operator']}"}
        if method == "POST":
            headers["Idempotency-Key"] = key or f"e2e-{next(self.keys)}"
        return httpx.request(method, self.node["url"] + path, headers=headers, timeout=30, **rest)

    def get(self, path: str, **rest: Any) -> Any:
        """Body of a GET that must succeed."""
        response = self.request("GET", path, **rest)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: Any = None, *, status: int = 201, **rest: Any) -> Any:
        """Body of a POST that must answer with `status`."""
        response = self.request("POST", path, json=body or {}, **rest)
        assert response.status_code == status, response.text
        return response.json()

    def customer(self, *, eur: str = "0") -> str:
        """A new customer with so much money."""
        body = {"name": "Test Person", "country": "DE", "email": "test@example.org"}
        customer_id: str = self.post("/v1/customers", body)["id"]
        if eur != "0":
            self.post(
                f"/v1/customers/{customer_id}/top-ups",
                {
                    "currency": "EUR",
                    "amount": eur,
                    "rail": "sandbox_bank",
                    "reference": f"{customer_id} {next(self.keys)}",
                },
            )
        return customer_id

    def quote(self, eur: str, **rest: Any) -> Any:
        """A firm quote EUR -> USDC."""
        return self.post(
            "/v1/quotes",
            {
                "sell": {"currency": "EUR", "amount": eur},
                "buy": {"currency": "USDC"},
                "payout": {"method": "onchain"},
                "ttl_s": 600,
            },
            **rest,
        )

    def order(self, quote: Any, customer_id: str, address: str) -> dict[str, Any]:
        """Body of a transfer."""
        return {
            "quote_id": quote["id"],
            "customer_id": customer_id,
            "beneficiary": {"name": "Ben", "country": "PH", "address": address},
        }

    def send(self, customer_id: str, eur: str, address: str) -> Any:
        """An accepted transfer."""
        return self.post("/v1/transfers", self.order(self.quote(eur), customer_id, address))

    def state_of(self, transfer: Any) -> str:
        """Where a transfer is now."""
        state: str = self.get(f"/v1/transfers/{transfer['id']}")["state"]
        return state

    def completed(self, transfer: Any) -> Any:
        """The transfer once it is settled."""
        until(lambda: self.state_of(transfer) == "settled", f"{transfer['id']} settled")
        return self.get(f"/v1/transfers/{transfer['id']}")

    def balances(self, customer_id: str) -> dict[str, dict[str, str]]:
        """A customer's balances by currency."""
        rows = self.get(f"/v1/customers/{customer_id}/balances")["data"]
        return {row["currency"]: row for row in rows}

    def rpc(self, method: str, *params: Any) -> Any:
        """Result of a JSON-RPC call to the chain."""
        return rpc.call(self.described["chain"]["rpc_url"], method, *params)

    def usdc_of(self, address: str) -> int:
        """`balanceOf` now, in token units."""
        data = "0x70a08231" + address[2:].lower().rjust(64, "0")
        call = {"to": self.described["contracts"]["USDC"], "data": data}
        return int(self.rpc("eth_call", call, "latest"), 16)

    def kill(self, role: str) -> int:
        """End a process with kill -9, which the supervisor then starts again; its pid."""
        pid: int = self.node["pids"][role][0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def restarted(self, role: str, pid: int) -> None:
        """Wait until another process has taken over from `pid`."""
        until(lambda: self.node["pids"][role] not in ([], [pid]), f"{role} started again")

    def is_ready(self) -> bool:
        """Whether `/readyz` says so."""
        try:
            return httpx.get(self.node["url"] + "/readyz", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def prove(self) -> None:
        """The books verify and reconcile, in process and by the command line."""
        verified = corridor("verify", state_dir=self.state_dir)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        reconciled = corridor("reconcile", state_dir=self.state_dir)
        assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
        for row in self.get("/v1/ledger/trial-balance")["data"]:
            assert row["debits"] == row["credits"]


def fresh_address(number: int) -> str:
    """An address nobody has used."""
    return f"0x{0xE2E0000000 + number:040x}"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """A network of its own for the module."""
    with tempfile.TemporaryDirectory(prefix="e2e-", dir=scratch_root()) as root:
        state_dir = Path(root) / "state"
        started = corridor(
            "devnet", "up", "--detach", "--port", str(free_port()), "--state-dir", str(state_dir),
            state_dir=state_dir,
        )  # fmt: skip
        try:
            assert started.returncode == 0, started.stdout + started.stderr
            network = Network(state_dir)
            until(network.is_ready, "the node is ready")
            yield network
        finally:
            corridor("devnet", "down", "--wipe", "--state-dir", str(state_dir), state_dir=state_dir)
