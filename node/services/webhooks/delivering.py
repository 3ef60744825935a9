"""Sends events to the endpoints that want them, at least once each, and keeps the log.

What is due is taken under a lease in the database, sent outside of any transaction, and noted. A
process that dies in between leaves a lease that ends: the same message goes out again, under the
same id. An endpoint has a few messages under way at most, and so has its owner, so one that answers
slowly, or not at all, keeps no other waiting. Events of one object go out in order, until one has
failed three times; from then on only their sequence tells the order.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from node.core.ids import Prefix, encode_id
from node.core.ports import Clock, UnitOfWork
from node.core.ports.transfers import EventRow
from node.core.ports.webhooks import Answered, Due, KeyKeeper, Recorded, WebhookSender
from node.core.webhooks import (
    ORDER_KEPT_FOR,
    DeliveryStatus,
    Keys,
    Message,
    Outcome,
    headers_of,
    outcome_of,
    retry_after_s,
    signatures,
    wait_ms,
)

_log = structlog.get_logger()

AT_ONCE_MAX: Final = 32
PER_OWNER_MAX: Final = 12
PER_ENDPOINT_MAX: Final = 4
EVENTS_MAX: Final = 2000
LEASE_S: Final = 60  # sending takes 10 s at most
_CLOSE_S: Final = 12
_LOOK_S: Final = 0.2  # for new events, while messages are under way

_CONTENT: Final = {"content-type": "application/json", "user-agent": "Corridor-Webhooks"}


@dataclass(frozen=True, slots=True)
class Sending:
    """What messages are made of and sent with.

    Attributes:
        keeper: None: the node has no key to keep secrets with; nothing is sent.
        body_of: The payload: of an event, or of a test made at a time.
    """

    sender: WebhookSender
    keeper: KeyKeeper | None
    clock: Clock
    body_of: Callable[[str, EventRow | None, datetime], bytes]
    new_id: Callable[[], UUID]
    failpoint: Callable[[str], None]


class DeliveryService:
    """The job that sends."""

    def __init__(self, units: UnitOfWork, sending: Sending) -> None:
        self._units = units
        self._parts = sending
        self._under_way: set[asyncio.Task[None]] = set()

    async def run_once(self) -> int:
        """Begin what is due; how much was done.

        Does not wait for what it begins, but for a moment when there is nothing else to do.

        Raises:
            DatabaseUnavailable: The database is away.
            WebhooksNotOffered: The key that secrets were kept with is not the node's any more.
        """
        done = self._ended()
        async with self._units() as unit:
            done += await unit.webhook_queue.fan_out(self._parts.new_id, EVENTS_MAX)
        begun = await self._begin()
        if not begun and self._under_way:
            await asyncio.wait(
                self._under_way, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
            done += self._ended()
        return done + begun

    @property
    def is_busy(self) -> bool:
        """Whether messages are under way."""
        return bool(self._under_way)

    async def close(self) -> None:
        """Let what is under way end, but not for ever: what is cut off is sent again."""
        if not self._under_way:
            return
        await asyncio.wait(self._under_way, timeout=_CLOSE_S)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._under_way.clear()

    async def _begin(self) -> int:
        room = AT_ONCE_MAX - len(self._under_way)
        if room <= 0 or self._parts.keeper is None:
            return 0
        async with self._units() as unit:
            taken = await unit.webhook_queue.claim(
                room,
                per_endpoint=PER_ENDPOINT_MAX,
                per_owner=PER_OWNER_MAX,
                lease_s=LEASE_S,
            )
        ready = [(due, self._keys(due, self._parts.keeper)) for due in taken]
        for due, keys in ready:
            task = asyncio.create_task(self._deliver(due, keys), name="webhook")
            self._under_way.add(task)
        return len(ready)

    def _keys(self, due: Due, keeper: KeyKeeper) -> list[Keys]:
        return [Keys.of(keeper.open(each, due.endpoint_id)) for each in due.sealed_keys]

    def _ended(self) -> int:
        """How many have ended; raises what one of them did."""
        ended = {each for each in self._under_way if each.done()}
        self._under_way -= ended
        faults = [each for each in (task.exception() for task in ended) if each is not None]
        if faults:
            raise faults[0]  # what was not noted is sent again
        return len(ended)

    async def _deliver(self, due: Due, keys: list[Keys]) -> None:
        """Send once and note what came of it."""
        now = self._parts.clock.now()
        message = Message(
            encode_id(Prefix.DELIVERY, due.id),
            int(now.timestamp()),
            self._parts.body_of(due.type, due.event, due.created_at),
        )
        headers = {**_CONTENT, **headers_of(message, signatures(keys, message))}
        answered = await self._parts.sender.send(due.url, headers, message.body)
        self._parts.failpoint("after_webhook_send")
        recorded = judged(due, answered, self._parts.clock.now())
        async with self._units() as unit:
            disabled = await unit.webhook_queue.record(due, recorded)
        if disabled is not None:
            whose = encode_id(Prefix.WEBHOOK_ENDPOINT, due.endpoint_id)
            _log.warning("a webhook endpoint is disabled", endpoint=whose, reason=disabled)


def judged(due: Due, answered: Answered, now: datetime) -> Recorded:
    """What an attempt has come to."""
    outcome = outcome_of(answered.status)
    failures = due.failures + 1
    asked_s = None
    if answered.status is not None:
        asked_s = retry_after_s(answered.status, answered.retry_after, now)
    again_ms = wait_ms(str(due.id), failures, asked_s)
    if outcome is Outcome.DELIVERED:
        status = DeliveryStatus.DELIVERED
    elif outcome is Outcome.GONE or again_ms is None:
        status = DeliveryStatus.DEAD
    else:
        status = DeliveryStatus.PENDING
    return Recorded(
        answered=answered,
        status=status,
        wait_ms=again_ms or 0 if status is DeliveryStatus.PENDING else 0,
        order_kept=status is DeliveryStatus.PENDING and failures < ORDER_KEPT_FOR,
        is_gone=outcome is Outcome.GONE,
    )
