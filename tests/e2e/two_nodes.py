"""Two nodes of one devnet that pay each other, with what must hold when all is over.

Used by the tests and by the campaign of `scripts/chaos.py nodes`. What was delivered is asked of
the bank's own books, and what is on chain of the token itself.
"""

import asyncio
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from adapters.rails.sandbox_bank import Magic
from node.devnet.programs import free_port
from tests.e2e.conftest import Network, corridor, until

PAID: Final = "000123456789"
ENDED: Final = frozenset({"completed", "refunded", "canceled", "failed", "expired"})
_PROGRAMS: Final = ("serve", "work")
_KEPT: Final = ("partner_clearing", "in_flight", "payout_due", "deferred", "suspense", "loss")
"""Accounts with nothing in them once nothing is under way."""

_DELIVERED: Final = """
SELECT split_part(id, '-', 1) AS payout_id, sum(amount)::bigint AS minor
FROM sandbox_bank.payment_order WHERE state = 'confirmed' GROUP BY 1
"""


Amounts = defaultdict[str, Decimal]
"""By currency, or by account."""


def _none() -> Amounts:
    return defaultdict(Decimal)


@dataclass(frozen=True)
class Payment:
    """A payment with the answers that were given.

    Attributes:
        account: Number of the beneficiary's account.
    """

    quote: dict[str, Any]
    transfer: dict[str, Any]
    account: str


@dataclass
class Sums:
    """Decimal amounts by currency, over both ledgers.

    Attributes:
        outside: Of all tokens there are, those that neither node holds.
    """

    held: Amounts = field(default_factory=_none)
    customers: Amounts = field(default_factory=_none)
    earned: Amounts = field(default_factory=_none)
    positions: Amounts = field(default_factory=_none)
    kept: Amounts = field(default_factory=_none)
    outside: Decimal = Decimal()


@dataclass
class TwoNodes:
    """Berlin, whose customers pay euros, and manila, whose bank pays pesos."""

    berlin: Network
    manila: Network

    @classmethod
    @contextmanager
    def running(cls, state_dir: Path) -> "Iterator[TwoNodes]":
        """A devnet of its own."""
        place = ("--state-dir", str(state_dir))
        port = str(free_port())
        started = corridor(
            "devnet", "up", "--nodes", "2", "--detach", "--port", port, *place, state_dir=state_dir
        )
        try:
            assert started.returncode == 0, started.stdout + started.stderr
            yield cls(Network(state_dir), Network(state_dir / "manila"))
        finally:
            corridor("devnet", "down", *place, state_dir=state_dir)

    @property
    def both(self) -> tuple[Network, Network]:
        """The nodes."""
        return self.berlin, self.manila

    # ------------------------------------------------------------------------------- payments

    def quote(self, eur: str, **rest: Any) -> dict[str, Any]:
        """A firm quote EUR -> PHP."""
        made: dict[str, Any] = self.berlin.post("/v1/quotes", quote_body(eur), **rest)
        return made

    def order(
        self, quote: Mapping[str, Any], customer_id: str, account: str = PAID
    ) -> dict[str, Any]:
        """Body of a transfer."""
        beneficiary = {
            "name": "Bea",
            "country": "PH",
            "account": {"type": "bank", "number": account, "bank_code": "BOPIPHMM"},
        }
        return {"quote_id": quote["id"], "customer_id": customer_id, "beneficiary": beneficiary}

    def pay(self, customer_id: str, eur: str, account: str = PAID) -> Payment:
        """An accepted payment, asked for until there is an answer, as a careful caller does.

        A quote whose answer is lost is asked for again under its key; so is the transfer.
        """
        number = next(self.berlin.keys)
        quote = self.answered("/v1/quotes", quote_body(eur), f"quote-{number}")
        order = self.order(quote, customer_id, account)
        return Payment(quote, self.answered("/v1/transfers", order, f"transfer-{number}"), account)

    def answered(self, path: str, body: Any, key: str) -> dict[str, Any]:
        """Body of berlin's 201, asked for until it is there."""
        made: dict[str, Any] = self.berlin.answered(path, body, key).json()
        return made

    def now(self, payment: Payment) -> dict[str, Any]:
        """A transfer as it is; empty while its node does not answer."""
        path = f"/v1/transfers/{payment.transfer['id']}"
        try:
            response = self.berlin.request("GET", path)
        except (httpx.HTTPError, OSError):
            return {}
        assert response.status_code in (200, 503), response.text
        found: dict[str, Any] = response.json() if response.status_code == 200 else {}
        return found

    def ended(self, payment: Payment, *, limit_s: float = 240) -> dict[str, Any]:
        """A transfer once nothing more happens to it."""
        return self.reached(payment, "status", ENDED, limit_s=limit_s)

    def reached(
        self, payment: Payment, field_name: str, values: frozenset[str], *, limit_s: float = 90
    ) -> dict[str, Any]:
        """A transfer once its state or status is one of these."""
        found: dict[str, Any] = {}

        def is_there() -> bool:
            nonlocal found
            found = self.now(payment)
            return found.get(field_name) in values

        what = f"{payment.transfer['id']} {field_name} {sorted(values)}"
        until(is_there, what, limit_s=limit_s)
        return found

    def rows(self, bulk_id: str) -> dict[str, int]:
        """How many rows of a file at berlin are where."""
        counts: dict[str, int] = self.berlin.get(f"/v1/bulk-transfers/{bulk_id}")["rows"]
        return counts

    def is_decided(self, bulk_id: str) -> bool:
        """Whether each row of a file at berlin is accepted or rejected."""
        try:
            return self.rows(bulk_id)["pending"] == 0
        except httpx.HTTPError:  # a process is being started again
            return False

    # --------------------------------------------------------------------------------- faults

    def kill(self, node: Network, program: str) -> None:
        """End a process with kill -9, and wait until the supervisor has started another."""
        node.restarted(program, node.kill(program))

    @contextmanager
    def away(self, node: Network) -> Iterator[None]:
        """A node whose processes all stand still: nobody is answered by it."""
        pids = [pid for program in _PROGRAMS for pid in node.node["pids"][program]]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    # ----------------------------------------------------------------------------------- laws

    def sums(self) -> Sums:
        """What both ledgers say."""
        sums = Sums()
        for account in (each for node in self.both for each in _accounts(node)):
            kind, code = account["path"].split("/")[0], account["currency"]
            amount = Decimal(account["posted"])
            if account["kind"] == "asset":
                sums.held[code] += amount
            if kind == "customer":
                sums.customers[code] += amount
            if kind == "income":
                sums.earned[code] += amount
            if kind == "fx_position":
                sums.positions[code] += amount
            if kind in _KEPT and amount:
                sums.kept[account["path"]] += amount
        sums.outside = self.supply() - sums.held["USDC"]
        return sums

    def delivered(self) -> dict[str, int]:
        """Centavos that manila's bank has paid, by payout, as its own books say."""
        return asyncio.run(_delivered(self.manila.node["database_url"]))

    def supply(self) -> Decimal:
        """All tokens there are; the nodes hold every one that they have not paid to others."""
        call = {"to": self.berlin.described["contracts"]["USDC"], "data": "0x18160ddd"}
        return Decimal(int(self.berlin.rpc("eth_call", call, "latest"), 16)).scaleb(-6)

    def check(
        self, before: Sums, payments: list[Payment], sent: Sequence[Mapping[str, Any]] = ()
    ) -> Counter[str]:
        """Every law, once all payments have ended; how many ended in which way.

        Args:
            before: What both ledgers said.
            payments: Those that manila pays out.
            sent: Transfers that berlin settled to addresses outside.
        """
        ends = [self.ended(each) for each in payments]
        until(lambda: all(node.is_ready() for node in self.both), "both nodes are ready")
        until(lambda: not self.sums().kept, "nothing is under way in either ledger")
        delivered = self.delivered()
        sold, bought = Decimal(), Decimal()
        for payment, end in zip(payments, ends, strict=True):
            quoted = payment.quote["buy"]["amount"]
            paid = delivered.get(end["payout"]["payout_id"], 0)
            is_paid = payment.account[-4:] not in (Magic.REFUSED, Magic.NAME_MISMATCH)
            assert end["status"] == ("completed" if is_paid else "refunded"), end
            assert Decimal(paid).scaleb(-2) == (Decimal(quoted) if is_paid else 0), end
            sold += Decimal(payment.quote["sell"]["amount"]) * is_paid
            bought += Decimal(quoted) * is_paid
        for each in sent:
            sold += Decimal(each["sell"]["amount"])
        out = sum((Decimal(each["buy"]["amount"]) for each in sent), Decimal())
        self._check_conserved(before, self.sums(), {"EUR": -sold, "PHP": -bought, "USDC": -out})
        for node in self.both:
            until(partial(agrees, node), "the node reconciles without a break")
        return Counter(end["state"] for end in ends)

    def _check_conserved(self, before: Sums, after: Sums, change: Mapping[str, Decimal]) -> None:
        """Nothing came from nowhere: what customers paid is fees and positions of the nodes."""
        assert after.held["USDC"] == before.held["USDC"] + change["USDC"]
        assert after.outside == before.outside - change["USDC"]
        assert after.held["EUR"] == before.held["EUR"]
        assert after.held["PHP"] == before.held["PHP"] + change["PHP"]
        assert after.customers["EUR"] == before.customers["EUR"] + change["EUR"]
        for code in ("EUR", "USDC", "PHP"):
            assert after.held[code] - before.held[code] == sum(
                getattr(after, part)[code] - getattr(before, part)[code]
                for part in ("customers", "earned", "positions")
            ), code


def quote_body(eur: str) -> dict[str, Any]:
    """What a firm quote EUR -> PHP is asked for with."""
    return {
        "sell": {"currency": "EUR", "amount": eur},
        "buy": {"currency": "PHP"},
        "payout": {"method": "partner"},
        "ttl_s": 600,
    }


def _accounts(node: Network) -> Iterator[dict[str, Any]]:
    query = "limit=200"
    while True:
        page = node.get(f"/v1/ledger/accounts?{query}")
        yield from page["data"]
        if page["next_cursor"] is None:
            return
        query = f"limit=200&cursor={page['next_cursor']}"


def agrees(node: Network) -> bool:
    """Whether a reconciliation run finds nothing.

    While a block becomes final, a break may be open that the next run closes by itself.
    """
    run = node.post("/v1/reconciliation/runs", status=202)
    until(lambda: _run(node, run)["status"] != "running", "the run ends")
    done = _run(node, run)
    wrong = [each for each in done["checks"] if not each["ok"]]
    return done["status"] == "completed" and done["breaks_open"] == 0 and not wrong


def _run(node: Network, run: Mapping[str, Any]) -> Any:
    return node.get(f"/v1/reconciliation/runs/{run['id']}")


async def _delivered(database_url: str) -> dict[str, int]:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(_DELIVERED)
    finally:
        await connection.close()
    return {str(row["payout_id"]): int(row["minor"]) for row in rows}
