"""Receivers of webhooks that are real HTTP servers, and a node's side of sending to them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson

from adapters.http.webhooks import HttpWebhookSender
from adapters.machine import SystemClock, new_bytes, new_id
from adapters.sealing import SealedKeys
from node.api.webhook_views import webhook_body
from node.core.ids import Prefix, encode_id
from node.core.parties import Customer, Partner, Principal, Role
from node.core.ports import UnitOfWork
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import NewEvent
from node.core.ports.webhooks import Delivery
from node.core.transfers import State
from node.services.webhooks.delivering import DeliveryService, Sending
from node.services.webhooks.endpoints import (
    EndpointAsk,
    Making,
    Redelivered,
    ShownEndpoint,
    WebhookService,
)
from tests.builders import render_error

T = TypeVar("T")

KEY = bytes(range(32))
OPERATOR = Principal(Role.OPERATOR, "ops")


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(self.body)["data"]
        return data


@dataclass
class Receiver:
    """Answers each request as `answer` says: a status with headers, after so many seconds."""

    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda _: (204, {}, b"")
    received: list[Received] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    under_way: int = 0
    under_way_max: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sequences(self) -> list[int]:
        return [each.data["sequence"] for each in self.received]


@contextmanager
def receiver(
    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] | None = None,
    *,
    hangs: bool = False,
) -> Iterator[Receiver]:
    """A server on this machine for as long as the block lasts; `hangs`: until `hold` is set."""
    here = Receiver() if answer is None else Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            came = Received(self.path, headers, body, time.time())  # noqa: TID251 - what is seen
            with here.lock:
                here.received.append(came)
                here.under_way += 1
                here.under_way_max = max(here.under_way_max, here.under_way)
            if hangs:
                here.hold.wait(60)
            with here.lock:
                here.under_way -= 1
            status, extra, text = here.answer(came)
            try:
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:  # the sender left
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        here.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Hooked:
    """Endpoints, events and deliveries of a node."""

    def __init__(self, units: UnitOfWork, database_url: str, *, limit_s: float = 10) -> None:
        self.units = units
        self.database_url = database_url
        self.sender = HttpWebhookSender(may_be_private=True, limit_s=limit_s)
        self.keeper = SealedKeys(KEY)
        self.service = WebhookService(units, self.sender, Making(self.keeper, new_id, new_bytes))
        self.delivering = self.another()

    def another(self, at: Callable[[str], None] = lambda _: None) -> DeliveryService:
        """Another worker process, which calls `at` in each of its windows."""
        return DeliveryService(
            self.units,
            Sending(self.sender, self.keeper, SystemClock(), webhook_body, new_id, at),
        )

    async def close(self) -> None:
        await self.delivering.close()
        await self.sender.close()

    async def endpoint(
        self, url: str, *, principal: Principal = OPERATOR, events: tuple[str, ...] = ()
    ) -> ShownEndpoint:
        """An endpoint with its secret."""
        made: list[ShownEndpoint] = []

        def render(shown: ShownEndpoint) -> Answer:
            made.append(shown)
            return Answer(201, b"{}")

        ask = EndpointAsk(principal, None, url, events)
        await self.service.create(ask, None, render, render_error)
        return made[0]

    async def partner(self, name: str) -> Principal:
        """A partner, as whoever acts for it."""
        async with self.units() as unit:
            partner = Partner(new_id(), name, unit.now)
            await unit.parties.add_partner(partner)
        return Principal(Role.PARTNER, name, partner_id=partner.id)

    async def customer(self, partner_id: UUID | None = None) -> UUID:
        """A customer of a partner, or of the node."""
        async with self.units() as unit:
            customer = Customer(new_id(), partner_id, "Ana", "DE", None, unit.now)
            await unit.parties.add_customer(customer)
        return customer.id

    async def happen(
        self,
        *,
        object_id: UUID | None = None,
        count: int = 1,
        first: int = 1,
        customer_id: UUID | None = None,
        partner_id: UUID | None = None,
    ) -> UUID:
        """So many events of one object, as a transfer makes them."""
        about = object_id or new_id()
        async with self.units() as unit:
            await unit.events.append(
                [
                    NewEvent(
                        about, number, "transfer.funded", State.FUNDED, customer_id,
                        {"n": number}, partner_id=partner_id,
                    )
                    for number in range(first, first + count)
                ]
            )  # fmt: skip
        return about

    async def deliver(self, *, passes: int = 200) -> None:
        """Let the worker go on until nothing is due and nothing is under way."""
        for _ in range(passes):
            if await self.delivering.run_once() == 0 and not self.delivering.is_busy:
                return
        raise AssertionError("it does not come to an end")

    async def due_now(self) -> None:
        """Let time pass: what waits for its next attempt is due."""
        await self.sql("UPDATE webhook_delivery SET next_at = now() WHERE status = 'pending'")

    async def sql(self, statement: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def deliveries(self) -> list[asyncpg.Record]:
        """Every delivery, in the order of events."""
        return await self.sql("SELECT * FROM webhook_delivery ORDER BY event_sequence, created_at")

    async def test(self, endpoint: ShownEndpoint) -> Delivery:
        made: list[Delivery] = []
        await self.service.test(OPERATOR, endpoint_id(endpoint), None, _into(made), render_error)
        return made[0]

    async def redeliver(self, delivery_id: UUID) -> None:
        await self.service.redeliver(
            OPERATOR, encode_id(Prefix.DELIVERY, delivery_id), None, _answered, render_error
        )

    async def redeliver_since(self, endpoint: ShownEndpoint, after: int) -> Redelivered:
        made: list[Redelivered] = []
        await self.service.redeliver_since(
            OPERATOR, endpoint_id(endpoint), after, None, _into(made), render_error
        )
        return made[0]

    async def rotate(self, endpoint: ShownEndpoint, keep_previous_s: int) -> ShownEndpoint:
        made: list[ShownEndpoint] = []
        await self.service.rotate(
            OPERATOR, endpoint_id(endpoint), keep_previous_s, None, _into(made), render_error
        )
        return made[0]


def endpoint_id(shown: ShownEndpoint) -> str:
    """As callers write it."""
    return encode_id(Prefix.WEBHOOK_ENDPOINT, shown.endpoint.id)


async def until(holds: Callable[[], bool], *, limit_s: float = 60) -> None:
    """Poll until it holds."""
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def _answered(_: object) -> Answer:
    return Answer(200, b"{}")


def _into(made: list[T]) -> Callable[[T], Answer]:
    def render(shown: T) -> Answer:
        made.append(shown)
        return Answer(200, b"{}")

    return render
