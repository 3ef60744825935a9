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
from contextlib import contextmanager
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
_ANSWER_LIMIT_S = 240


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


def until_well(
    run: Callable[[], subprocess.CompletedProcess[str]], what: str
) -> subprocess.CompletedProcess[str]:
    """The first run of a command that ends well, asked for again until then.

    What is a block late is late for a moment: readiness, or a break that the next run of
    reconciliation closes by itself. Only what stays is wrong.
    """
    last: list[subprocess.CompletedProcess[str]] = []

    def is_well() -> bool:
        last[:] = [run()]
        return last[0].returncode == 0

    try:
        until(is_well, what)
    except AssertionError as error:
        error.add_note(f"the newest run: {last[0].stdout}{last[0].stderr}")
        raise
    return last[0]


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

    def answered(self, path: str, body: Any, key: str, **rest: Any) -> httpx.Response:
        """The 201 of a POST, asked for under its key until it is there, as a careful caller does.

        Nobody may answer, or it says that something is away, or that what was cut off is still
        being carried out.
        """
        told: list[str] = []

        def made() -> httpx.Response | None:
            try:
                response = self.request("POST", path, json=body, key=key, **rest)
            except (httpx.HTTPError, OSError) as error:
                told.append(repr(error))
                return None
            told.append(response.text)
            if response.status_code == 409:
                assert response.json()["code"] == "idempotency_in_progress", response.text
                return None
            assert response.status_code in (201, 503), response.text
            return response if response.status_code == 201 else None

        try:
            found: httpx.Response = until(made, f"{path} with {key}", limit_s=_ANSWER_LIMIT_S)
        except AssertionError as error:
            error.add_note(f"the newest of {len(told)} answers: {told[-3:]}")
            raise
        return found

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
        return self.post("/v1/quotes", quote_body(eur), **rest)

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

    @contextmanager
    def still(self) -> Iterator[None]:
        """No block but those that are asked for: the supervisor, which mines, stands still.

        It starts nothing again meanwhile.
        """
        supervisor = parent_of(self.node["pids"]["serve"][0])
        os.kill(supervisor, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(supervisor, signal.SIGCONT)

    def until_in_pool(self) -> None:
        """Wait until a payment of the node waits for a block; to be asked while none comes."""
        lanes = {each.lower() for each in self.node["lanes"]}
        until(
            lambda: lanes & {each.lower() for each in self.rpc("txpool_content")["pending"]},
            "a payment is in the pool",
        )

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
        until_well(lambda: corridor("reconcile", state_dir=self.state_dir), "the books reconcile")
        for row in self.get("/v1/ledger/trial-balance")["data"]:
            assert row["debits"] == row["credits"]


def quote_body(eur: str) -> dict[str, Any]:
    """What a firm quote EUR -> USDC is asked for with."""
    return {
        "sell": {"currency": "EUR", "amount": eur},
        "buy": {"currency": "USDC"},
        "payout": {"method": "onchain"},
        "ttl_s": 600,
    }


def parent_of(pid: int) -> int:
    """The process that started another: of the network's programs, the supervisor."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


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
