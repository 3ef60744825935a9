"""What a partner does on a devnet, and how outcomes are forced: by the command line."""

import contextlib
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import structlog

from node.cli import main
from node.core.mirror import Finality
from tests.e2e.conftest import Network, fresh_address, until

BLOCKS_TO_FINAL = Finality(2).depth_blocks or 0
_NUMBERS = itertools.count(70_000)


@dataclass(frozen=True)
class Seen:
    """What the partner saw: an HTTP status, and what stood at the place that tells."""

    status: int
    told: str


def seen(response: httpx.Response, where: str) -> Seen:
    """What an answer tells at a place such as `failure.code` or `flags[]` (joined by blanks)."""
    return Seen(response.status_code, " ".join(_found(response.json(), where.split("."))))


def _found(value: Any, where: Sequence[str]) -> list[str]:
    if not where:
        return [str(value)]
    name, *rest = where
    if value is None:
        return []
    if name.endswith("[]"):
        return [found for each in value[name[:-2]] for found in _found(each, rest)]
    return _found(value[name], rest)


@dataclass
class Play:
    """One partner of a network."""

    network: Network
    customer_id: str = ""
    contract: str = ""
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.customer_id = self.network.node["customers"][0]["id"]

    @property
    def token(self) -> str:
        """The partner's key."""
        token: str = self.network.node["keys"]["partner"]
        return token

    # ------------------------------------------------------------------------------ forcing

    def trigger(self, name: str, *options: str) -> dict[str, Any]:
        """`corridor trigger NAME`; what it printed."""
        status, out, err = corridor(
            "trigger", name, *options, "--for", "0", "--json",
            "--state-dir", str(self.network.state_dir),
        )  # fmt: skip
        assert status == 0, out + err
        printed: dict[str, Any] = json.loads(out)
        return printed

    @contextmanager
    def lasting(self, name: str, *options: str) -> Iterator[dict[str, Any]]:
        """What `corridor trigger NAME` begins, until the block ends."""
        try:
            yield self.trigger(name, *options)
        finally:
            self.trigger(name, *options, "--end")

    def forward(self, time: str) -> None:
        """Move the clock."""
        self.trigger("clock", "--forward", time)

    # -------------------------------------------------------------------------------- asking

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str = "", key: str = ""
    ) -> httpx.Response:
        """One request, as the partner unless a key is given."""
        return self.network.request(
            method,
            path,
            token=token or self.token,
            key=key or f"sandbox-{next(self.keys)}",
            **({} if body is None else {"json": body}),
        )

    def get(self, path: str) -> httpx.Response:
        """One look."""
        return self.ask("GET", path)

    def made(self, path: str, body: Any) -> Any:
        """What a POST makes."""
        response = self.ask("POST", path, body)
        assert response.status_code == 201, response.text
        return response.json()

    def quote(self, eur: str = "20.00", *, token: str = "", ttl_s: int = 600) -> httpx.Response:
        """EUR for USDC."""
        body = {
            "sell": {"currency": "EUR", "amount": eur},
            "buy": {"currency": "USDC"},
            "payout": {"method": "onchain"},
            "ttl_s": ttl_s,
        }
        return self.ask("POST", "/v1/quotes", body, token=token)

    def order(
        self,
        eur: str = "20.00",
        address: str = "",
        *,
        customer_id: str = "",
        quote: Any = None,
    ) -> dict[str, Any]:
        """Body of a transfer on a new quote."""
        firm = quote or self.quote(eur).json()
        to = address or fresh_address(next(_NUMBERS))
        return self.network.order(firm, customer_id or self.customer_id, to)

    def send(self, eur: str = "20.00", address: str = "") -> Any:
        """An accepted transfer."""
        return self.made("/v1/transfers", self.order(eur, address))

    # ------------------------------------------------------------------------------- waiting

    def until(self, path: str, where: str, wanted: str) -> httpx.Response:
        """The first answer of a path that says `wanted` at a place."""

        def look() -> httpx.Response | None:
            response = self.get(path)
            return response if wanted in seen(response, where).told.split() else None

        found: httpx.Response = until(look, f"{path} tells {wanted} at {where}")
        return found

    def settled(self, transfer: Any) -> httpx.Response:
        """The transfer once it is completed; finality comes at once."""
        path = f"/v1/transfers/{transfer['id']}"
        states = ("included", "settled")
        until(lambda: self.get(path).json()["state"] in states, "included")
        self.final()
        return self.until(path, "status", "completed")

    def final(self) -> None:
        """What is mined is final now."""
        for _ in range(BLOCKS_TO_FINAL):
            self.network.rpc("evm_mine")

    # ------------------------------------------------------------------------------- payouts

    def payout(self, account: str = "000123456789", policy: str = "correct") -> httpx.Response:
        """A payout to an account of the sandbox's bank."""
        self.contract = self.contract or self.trigger("payouts_offered")["contract"]
        quote = self.made(
            "/v1/quotes",
            {
                "sell": {"currency": "USDC", "amount": "50.00"},
                "buy": {"currency": "PHP"},
                "payout": {"method": "bank"},
                "ttl_s": 600,
            },
        )
        to = {"type": "bank", "number": account, "bank_code": "BOPIPHMM"}
        body = {
            "quote_id": quote["id"],
            "client_reference": f"sandbox {next(_NUMBERS)}",
            "beneficiary": {"type": "natural", "name": "Bea", "country": "PH", "account": to},
            "originator": {"type": "natural", "name": "Ana", "country": "DE"},
            "refund_policy": policy,
            "refund_address": self.contract,
        }
        return self.ask("POST", "/v1/payouts", body)

    def paid_payout(self, account: str) -> str:
        """Path of a payout that the partner has paid."""
        payout = self.payout(account).json()
        self.trigger("payout_paid", "--payout", payout["id"])
        self.final()
        return f"/v1/payouts/{payout['id']}"


def corridor(*arguments: str) -> tuple[int, str, str]:
    """The command line in this process: exit status, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
    structlog.reset_defaults()
    return status, out.getvalue(), err.getvalue()


Scenario = Callable[[Play, str], Seen]
