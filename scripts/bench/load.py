"""The load generator: a process of its own that makes quotes and payments, one after the other.

Run by `end_to_end.py`: an order as JSON on stdin, the tally as JSON on stdout. Every client has
one connection and pays as soon as its last payment was answered (a closed loop). Both systems get
the same sequence of amounts and addresses. Not here: whether the payments arrived (`proof.py`).
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import uvloop

from node.core.units import Asset, format_minor, parse_amount
from scripts.bench.http_connection import Answer, Connection

_CREATED = 201
_ANSWER_LIMIT_S = 120
_USDC = Asset("USDC", 6)
# Sell amounts go round between 10.00 and 19.99 EUR, so that neighbours differ.
_SELL_MINOR_MIN, _SELL_MINOR_SPAN = 1_000, 1_000


@dataclass(frozen=True, slots=True)
class Order:
    """What to do.

    Attributes:
        system: `corridor` or `naive`: whose paths and bodies are spoken.
        url: Where it answers.
        bearer: Credential sent with every request; None for none.
        customer_id: Who pays.
        addresses: Beneficiaries, taken in turn.
        clients: How many payments are under way at once.
        seconds: No payment is begun later than this.
        payments: No more payments than this; None for no limit.
        run: Makes idempotency keys differ between runs.
    """

    system: str
    url: str
    bearer: str | None
    customer_id: str
    addresses: Sequence[str]
    clients: int
    seconds: float
    payments: int | None
    run: str


@dataclass(slots=True)
class Tally:
    """What came of it. Instants are of the system's monotonic clock, shared by all processes.

    Attributes:
        began_at_s: The first quote was asked for.
        answered_at_s: The last payment was answered.
        sell_minor: EUR cents of all accepted payments.
        units_by_address: USDC units each beneficiary is to get.
        payment_ids: Accepted payments.
        quote_ms: Duration of each quote.
        payment_ms: Duration of each payment until it was answered.
        refusals: Answers other than 201, by status and text.
        cpu_s: Processor time of this process during the run.
    """

    began_at_s: float = 0.0
    answered_at_s: float = 0.0
    sell_minor: int = 0
    units_by_address: Counter[str] = field(default_factory=Counter)
    payment_ids: list[str] = field(default_factory=list)
    quote_ms: list[float] = field(default_factory=list)
    payment_ms: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0


class Dialect(Protocol):
    """How one of the two systems is spoken to."""

    def quote(self, sell_amount: str) -> tuple[str, bytes]:
        """Path and body that ask for a quote."""
        ...

    def payment(self, quote_id: str, address: str) -> tuple[str, bytes]:
        """Path and body that pay what a quote buys."""
        ...

    def bought(self, quote: Any) -> str:
        """USDC that a quote's answer promises, as a decimal string."""
        ...


@dataclass(frozen=True, slots=True)
class Corridor:
    """Corridor's `/v1`."""

    customer_id: str

    def quote(self, sell_amount: str) -> tuple[str, bytes]:
        """A firm quote for this customer."""
        body = {
            "customer_id": self.customer_id,
            "sell": {"currency": "EUR", "amount": sell_amount},
            "buy": {"currency": "USDC"},
            "payout": {"method": "onchain"},
        }
        return "/v1/quotes", orjson.dumps(body)

    def payment(self, quote_id: str, address: str) -> tuple[str, bytes]:
        """A transfer to an address."""
        body = {
            "quote_id": quote_id,
            "customer_id": self.customer_id,
            "beneficiary": {"name": "Bea", "country": "PH", "address": address},
            "purpose": "family_support",
        }
        return "/v1/transfers", orjson.dumps(body)

    def bought(self, quote: Any) -> str:
        """The amount of the buy side."""
        return str(quote["buy"]["amount"])


@dataclass(frozen=True, slots=True)
class Naive:
    """The routes of `naive/app.py`."""

    customer_id: str

    def quote(self, sell_amount: str) -> tuple[str, bytes]:
        """A quote for this customer."""
        body = {"customer_id": self.customer_id, "sell_amount": sell_amount}
        return "/quotes", orjson.dumps(body)

    def payment(self, quote_id: str, address: str) -> tuple[str, bytes]:
        """A payment to an address; answered when it is on chain."""
        return "/payments", orjson.dumps({"quote_id": quote_id, "address": address})

    def bought(self, quote: Any) -> str:
        """The bought amount."""
        return str(quote["buy_amount"])


_DIALECTS: dict[str, type[Corridor | Naive]] = {"corridor": Corridor, "naive": Naive}


class Refused(Exception):
    """An answer other than 201; the client that got it stops."""


class Run:
    """One order being carried out."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._dialect: Dialect = _DIALECTS[order.system](order.customer_id)
        self._tally = Tally()
        self._numbers: Iterator[int] = (
            itertools.count() if order.payments is None else iter(range(order.payments))
        )

    async def carry_out(self) -> Tally:
        """All clients until the time or the payments are used up."""
        parts = urlsplit(self._order.url)
        connections = [
            await Connection.open(parts.hostname or "", parts.port or 80, bearer=self._order.bearer)
            for _ in range(self._order.clients)
        ]
        cpu_before_s = _cpu_s()
        self._tally.began_at_s = time.monotonic()
        async with asyncio.timeout(self._order.seconds + _ANSWER_LIMIT_S):
            await asyncio.gather(*(self._client(connection) for connection in connections))
        self._tally.cpu_s = _cpu_s() - cpu_before_s
        for connection in connections:
            connection.close()
        return self._tally

    async def _client(self, connection: Connection) -> None:
        stop_at_s = self._tally.began_at_s + self._order.seconds
        while time.monotonic() < stop_at_s:
            number = next(self._numbers, None)
            if number is None:
                return
            try:
                await self._pay(connection, number)
            except Refused as refused:
                self._tally.refusals[str(refused)] += 1
                return

    async def _pay(self, connection: Connection, number: int) -> None:
        tally = self._tally
        sell_minor = _SELL_MINOR_MIN + number % _SELL_MINOR_SPAN
        address = self._order.addresses[number % len(self._order.addresses)]
        began_s = time.monotonic()
        path, body = self._dialect.quote(format_minor(sell_minor, 2))
        quote = _created(await connection.post(path, body))
        quoted_s = time.monotonic()
        path, body = self._dialect.payment(quote["id"], address)
        key = f"bench-{self._order.run}-{number}"
        payment = _created(await connection.post(path, body, key=key))
        answered_s = time.monotonic()
        tally.quote_ms.append((quoted_s - began_s) * 1e3)
        tally.payment_ms.append((answered_s - quoted_s) * 1e3)
        tally.answered_at_s = answered_s
        tally.sell_minor += sell_minor
        tally.units_by_address[address] += parse_amount(self._dialect.bought(quote), _USDC).minor
        tally.payment_ids.append(payment["id"])


def _created(answer: Answer) -> Any:
    if answer.status != _CREATED:
        raise Refused(f"{answer.status} {answer.body[:300].decode(errors='replace')}")
    return orjson.loads(answer.body)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Order from stdin, tally to stdout."""
    order = Order(**orjson.loads(sys.stdin.buffer.read()))
    tally = uvloop.run(Run(order).carry_out())
    sys.stdout.buffer.write(orjson.dumps(tally))


if __name__ == "__main__":
    main()
