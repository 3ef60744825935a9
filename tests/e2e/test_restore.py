"""A backup restored under running programs: an operator adopts what it forgot.

The copy is made by the database server while 25 transfers wait, and put back after those and 25
more that it never knew were paid.
"""

import asyncio
import json
from typing import Any

import asyncpg
import httpx

from tests.e2e.conftest import Network, corridor, fresh_address, until

_KNOWN, _LOST = 25, 25
_OPERATOR = "operator"


class Backup:
    """One copy of the node's database, made and put back as the owner of the server does."""

    def __init__(self, network: Network) -> None:
        owner_url: str = network.node["database_owner_url"]
        self._server, _, self._name = owner_url.rpartition("/")
        self._copy = f"{self._name}_copy"

    def make(self) -> None:
        """Copy it; the programs lose their connections and come back."""
        self._run(f"CREATE DATABASE {self._copy} TEMPLATE {self._name}")

    def put_back(self) -> None:
        """The copy takes the place of what went on since."""
        self._run(
            f"ALTER DATABASE {self._name} RENAME TO {self._name}_lost",
            f"ALTER DATABASE {self._copy} RENAME TO {self._name}",
        )

    def _run(self, *statements: str) -> None:
        """While nobody is connected."""
        shut = self._name

        async def run() -> None:
            owner = await asyncpg.connect(f"{self._server}/postgres")
            try:
                await owner.execute(f"ALTER DATABASE {shut} ALLOW_CONNECTIONS false")
                await owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                    shut,
                )
                while await owner.fetchval(  # noqa: ASYNC110 - the server tells of no ending
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", shut
                ):
                    await asyncio.sleep(0.01)
                for statement in statements:
                    await owner.execute(statement)
                await owner.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")
            finally:
                await owner.close()

        asyncio.run(run())


def send_many(network: Network, customer_id: str, first: int, count: int) -> list[Any]:
    return [
        network.send(customer_id, f"{10 + number % 7}.00", fresh_address(7000 + number))
        for number in range(first, first + count)
    ]


def units_of(transfer: Any) -> int:
    return int(transfer["buy"]["amount"].replace(".", ""))


def answers(network: Network, method: str, path: str, **rest: Any) -> str:
    """The code of a refusal."""
    response = network.request(method, path, **rest)
    assert response.status_code >= 400, response.text
    code: str = response.json()["code"]
    return code


def adopt(network: Network) -> Any:
    """`corridor settlement adopt`, looked at first, then confirmed as soon as all is final."""
    shown = corridor("settlement", "adopt", "--json", state_dir=network.state_dir)
    assert shown.returncode == 1, shown.stdout + shown.stderr  # it waits for an operator
    assert json.loads(shown.stdout)["written"] is False

    def confirmed() -> Any:
        done = corridor("settlement", "adopt", "--confirm", "--json", state_dir=network.state_dir)
        return json.loads(done.stdout) if done.returncode == 0 else None

    return until(confirmed, "adopted")


def test_a_restored_backup_stops_adopts_and_resumes(network: Network) -> None:
    customer_id = network.customer(eur="2000.00")
    (before,) = send_many(network, customer_id, 0, 1)
    network.completed(before)
    network.post("/v1/settlement/pause", {"note": "backup"}, status=200)
    known = send_many(network, customer_id, 1, _KNOWN)
    backup = Backup(network)
    backup.make()
    until(network.is_ready, "the node is ready after the copy")
    network.post("/v1/settlement/resume", {"reason": _OPERATOR}, status=200)
    lost = send_many(network, customer_id, 1 + _KNOWN, _LOST)
    for each in [*known, *lost]:
        network.completed(each)

    backup.put_back()
    for role in ("work", "serve"):
        network.restarted(role, network.kill(role))
    quote = until(lambda: _answered(network), "the node answers again")
    assert {network.state_of(each) for each in known} == {"funded"}
    path = f"/v1/transfers/{known[0]['id']}/cancel"
    assert answers(network, "POST", path) == "settlement_recovering"
    order = network.order(quote, customer_id, fresh_address(7900))
    until(
        lambda: answers(network, "POST", "/v1/transfers", json=order) == "settlement_recovering",
        "nothing is accepted",
    )

    adopted = adopt(network)
    assert adopted["orphans"] == _LOST
    for each in known:
        network.completed(each)
    assert answers(network, "GET", f"/v1/transfers/{lost[0]['id']}") == "not_found"
    until(lambda: _breaks(network) == (_LOST, _LOST), "each payment nobody knows is a break")
    until(lambda: "float" in _pauses(network), "the ledger is seen to lack what was paid")
    for reason in (_OPERATOR, "foreign_nonce", "orphan_outbound", "float"):
        network.post("/v1/settlement/resume", {"reason": reason}, status=200)
    (after,) = send_many(network, customer_id, 1 + _KNOWN + _LOST, 1)
    network.completed(after)
    for number, each in enumerate([before, *known, *lost, after]):
        assert network.usdc_of(fresh_address(7000 + number)) == units_of(each)
    verified = corridor("verify", state_dir=network.state_dir)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _answered(network: Network) -> Any:
    """A quote, as soon as the node gives one."""
    try:
        return network.quote("10.00")
    except (AssertionError, OSError, httpx.HTTPError):
        return None


def _pauses(network: Network) -> set[str]:
    """Reasons of the pauses in force."""
    return {each["reason"] for each in network.get("/v1/settlement")["pauses"]}


def _breaks(network: Network) -> tuple[int, int]:
    """Orphans, and numbers that no transfer agrees with."""
    found = network.get("/v1/reconciliation/breaks", params={"limit": 200})["data"]
    codes = [each["code"] for each in found]
    return codes.count("B06"), codes.count("B10")
