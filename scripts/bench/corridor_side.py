"""Starts a devnet, measures Corridor over its public HTTP surface, proves the result, stops it.

A payment counts as completed when its transfer is: final on chain, matched by the mirror and
posted in the ledger. That is seen by polling `GET /v1/transfers?status=processing`.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from node.core.units import Asset, parse_amount
from node.devnet import programs
from node.devnet.programs import Program
from node.devnet.state import StateDirectory
from scripts.bench.load import Order, Tally
from scripts.bench.measure import BenchFailed, Figures, figures, generate
from scripts.bench.proof import balances, check_paid

_OPENING_BALANCE = "100000000.00"
_EUR = Asset("EUR", 2)
_START_LIMIT_S = 180.0
_STOP_LIMIT_S = 60.0
_SETTLE_LIMIT_S = 300.0
_RUN_LIMIT_S = 120.0
_POLL_S = 0.05
_PAGE = 200


@dataclass(frozen=True, slots=True)
class CorridorNode:
    """A running node of a devnet.

    Attributes:
        url: Its HTTP address.
        rpc_url: Its chain.
        token: Address of the stablecoin there.
        partner_key: Credential that makes quotes and transfers.
        operator_key: Credential that reads the books.
        chain_id: Of its chain.
        database_url: Its database, by the node's own login.
        holders: Addresses of the settlement contract and the treasury.
        state: Directory of the devnet.
    """

    url: str
    rpc_url: str
    token: str
    partner_key: str
    operator_key: str
    chain_id: int
    database_url: str
    holders: tuple[str, str]
    state: Path

    def pids(self) -> dict[str, int]:
        """Process ids of the devnet's programs by name."""
        started = orjson.loads(StateDirectory(self.state).processes.read_bytes())["programs"]
        return {name: each["pid"] for name, each in started.items()}

    def get(self, path: str, *, operator: bool = False) -> Any:
        """Body of one GET as partner or operator."""
        return self._ask("GET", path, None, operator=operator)

    def post(self, path: str, body: object, *, key: str, operator: bool = False) -> Any:
        """Body of the answer to one POST as partner or operator."""
        return self._ask("POST", path, body, key=key, operator=operator)

    def _ask(
        self, method: str, path: str, body: object, *, key: str | None = None, operator: bool
    ) -> Any:
        bearer = self.operator_key if operator else self.partner_key
        headers = {"Authorization": f"Bearer {bearer}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as client:
                answer = client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise BenchFailed(f"{method} {path}: {error}") from error
        if not answer.is_success:
            raise BenchFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()


@contextmanager
def running() -> Iterator[CorridorNode]:
    """A devnet with one node in a directory of its own, for the time of a `with`."""
    with tempfile.TemporaryDirectory(prefix="corridor-bench-") as name:
        directory = Path(name)
        lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
        devnet = _Devnet(directory, programs.free_port())
        program = devnet.program()
        process = programs.spawn(program, lifeline=lifeline)
        try:
            programs.wait_ready(process, program, devnet.ready, limit_s=_START_LIMIT_S)
            yield devnet.node()
        finally:
            programs.stop(process, program, limit_s=_STOP_LIMIT_S)


def measure(
    node: CorridorNode,
    *,
    clients: int,
    seconds: float,
    payments: int | None,
    addresses: Sequence[str],
) -> Figures:
    """One run with so many clients, proved on the chain and in the books.

    Raises:
        BenchFailed: A request was refused, a payment did not complete, or money does not add up.
    """
    run = f"{clients}-{time.time_ns()}"
    customer_id = customer_with_money(node, run)
    before = balances(node.rpc_url, node.token, addresses)
    eur_before = _eur_minor(node, customer_id)
    tally = generate(
        Order(
            system="corridor",
            url=node.url,
            bearer=node.partner_key,
            customer_id=customer_id,
            addresses=addresses,
            clients=clients,
            seconds=seconds,
            payments=payments,
            run=run,
        )
    )
    completed_at_s = wait_until_settled(node)
    _check_completed(node, tally)
    check_paid(before, balances(node.rpc_url, node.token, addresses), tally.units_by_address)
    if eur_before - _eur_minor(node, customer_id) != tally.sell_minor:
        raise BenchFailed("the customer's EUR did not fall by the sum of what was sold")
    check_books(node, run)
    return figures(tally, clients=clients, completed_at_s=completed_at_s)


@dataclass(frozen=True, slots=True)
class _Devnet:
    directory: Path
    port: int

    @property
    def _state(self) -> Path:
        return self.directory / "state"

    def program(self) -> Program:
        return Program(
            name="devnet",
            command=[
                *(sys.executable, "-m", "node", "devnet", "up"),
                *("--state-dir", str(self._state), "--port", str(self.port)),
            ],
            log=self.directory / "devnet.log",
            environment={
                "PATH": os.defpath,
                "HOME": str(self.directory),
            },
            cwd=programs.CHECKOUT,  # what is measured is what this file lies beside
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
        )

    def node(self) -> CorridorNode:
        devnet = orjson.loads((self._state / "devnet.json").read_bytes())
        first = devnet["nodes"][0]
        return CorridorNode(
            url=first["url"],
            rpc_url=devnet["chain"]["rpc_url"],
            token=devnet["contracts"]["USDC"],
            partner_key=first["keys"]["partner"],
            operator_key=first["keys"]["operator"],
            chain_id=devnet["chain"]["chain_id"],
            database_url=first["database_url"],
            holders=(first["settlement"], first["treasury"]),
            state=self._state,
        )

    def ready(self) -> bool:
        """Whether `devnet.json` is complete and the node says that it is ready."""
        try:
            url = self.node().url
            return httpx.get(f"{url}/readyz", trust_env=False, timeout=2).is_success
        except (OSError, ValueError, LookupError, httpx.HTTPError):
            return False


def customer_with_money(node: CorridorNode, run: str) -> str:
    """A new customer with plenty of EUR; its id."""
    body = {"name": "Ana", "country": "DE", "email": "ana@example.org"}
    customer_id = str(node.post("/v1/customers", body, key=f"bench-customer-{run}")["id"])
    top_up = {
        "currency": "EUR",
        "amount": _OPENING_BALANCE,
        "rail": "sandbox_bank",
        "reference": f"bench-{run}",
    }
    node.post(f"/v1/customers/{customer_id}/top-ups", top_up, key=f"bench-top-up-{run}")
    return customer_id


def _eur_minor(node: CorridorNode, customer_id: str) -> int:
    """Available EUR cents; nothing may be reserved before and after a run."""
    for balance in node.get(f"/v1/customers/{customer_id}/balances")["data"]:
        if balance["currency"] == "EUR":
            if parse_amount(_amount(balance["reserved"]), _EUR).minor:
                raise BenchFailed("money is still reserved for a transfer")
            return parse_amount(_amount(balance["available"]), _EUR).minor
    raise BenchFailed("the customer has no EUR")


def _amount(value: Any) -> str:
    return str(value["amount"] if isinstance(value, dict) else value)


def wait_until_settled(node: CorridorNode) -> float:
    """The instant (monotonic) at which no transfer was processing any more."""
    give_up_at_s = time.monotonic() + _SETTLE_LIMIT_S
    while node.get("/v1/transfers?status=processing&limit=1")["data"]:
        if time.monotonic() > give_up_at_s:
            raise BenchFailed(f"transfers still processing after {_SETTLE_LIMIT_S:.0f} s")
        time.sleep(_POLL_S)
    return time.monotonic()


def _check_completed(node: CorridorNode, tally: Tally) -> None:
    """Every accepted transfer is among the completed ones."""
    missing = set(tally.payment_ids)
    path = f"/v1/transfers?status=completed&limit={_PAGE}"
    cursor: str | None = ""
    while missing and cursor is not None:
        page = node.get(path + (f"&cursor={cursor}" if cursor else ""))
        missing.difference_update(transfer["id"] for transfer in page["data"])
        cursor = page["next_cursor"]
    if missing:
        raise BenchFailed(f"{len(missing)} accepted transfers did not complete: {min(missing)}")


def check_books(node: CorridorNode, run: str) -> None:
    """The trial balance is zero in every currency and reconciliation finds no break."""
    for row in node.get("/v1/ledger/trial-balance", operator=True)["data"]:
        if row["debits"] != row["credits"]:
            raise BenchFailed(f"the trial balance of {row['currency']} is not zero: {row}")
    started = node.post("/v1/reconciliation/runs", {}, key=f"bench-reconcile-{run}", operator=True)
    path = f"/v1/reconciliation/runs/{started['id']}"
    give_up_at_s = time.monotonic() + _RUN_LIMIT_S
    while (state := node.get(path, operator=True))["status"] == "running":
        if time.monotonic() > give_up_at_s:
            raise BenchFailed(f"reconciliation still running after {_RUN_LIMIT_S:.0f} s")
        time.sleep(_POLL_S)
    if state["status"] != "completed" or state["breaks_open"]:
        raise BenchFailed(f"reconciliation is not clean: {state}")
