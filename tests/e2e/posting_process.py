"""A process that posts and books top-ups as fast as it can, and tells each answer as it gets it.

Run as `python -m tests.e2e.posting_process DATABASE_URL NAME`, it waits for a line on its standard
input, and ends when it is killed. What it orders follows from the order's key alone, so that
whoever reads its output can check the books and repeat its orders. Lines of its output: `sent KEY`,
`booked KEY SEQUENCE`, `refused KEY CODE`, `topped KEY ID`.
"""

import asyncio
import hashlib
import itertools
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import uvloop

from adapters.machine import new_id
from node.core.errors import DatabaseUnavailable, NodeError
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction
from node.core.parties import Customer, Principal, Role
from node.core.ports import UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import TopUp
from node.services.ledger.posting import PostingService
from node.services.ledger.top_ups import SANDBOX_RAIL, TopUpRequest, TopUpService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG

CUSTOMER: Final = UUID(int=4711)
_OPERATOR: Final = Principal(Role.OPERATOR, "olga")
_POSTERS: Final = 24
_TOPPERS: Final = 8
_ACCOUNTS: Final = 6


async def add_customer(units: UnitOfWork) -> None:
    """Store the customer of the top-ups."""
    async with units() as unit:
        await unit.parties.add_customer(Customer(CUSTOMER, None, "Ada", "DE", None, unit.now))


def posting_of(key: str) -> LedgerTransaction:
    """What is posted under a key: money comes in, moves on, is held; too little of it for all."""
    drawn = hashlib.sha256(key.encode()).digest()
    one, two = (f"customer/{n % _ACCOUNTS}/EUR" for n in (drawn[0], drawn[0] + 1 + drawn[1] % 5))
    amount = 1 + drawn[2] % 30
    entries = [
        [Entry("bank/x/EUR", one, "EUR", amount)],
        [Entry(one, two, "EUR", amount)],
        [Entry(one, two, "EUR", 3), Entry(one, "fx_position/EUR", "EUR", amount)],
        [Entry(one, "fx_position/EUR", "EUR", amount)],
    ]
    kind = drawn[3] % 4
    return LedgerTransaction(key, "test", entries[kind], pending=kind == 3)


def top_up_of(key: str) -> TopUpRequest:
    """The top-up under a key."""
    customer = encode_id(Prefix.CUSTOMER, CUSTOMER)
    return TopUpRequest(_OPERATOR, customer, "EUR", "0.05", SANDBOX_RAIL, key)


async def book_top_up(service: TopUpService, key: str) -> str:
    """Book a top-up, or find out what it came to; its id."""

    def render(top_up: TopUp) -> Answer:
        return Answer(201, str(top_up.id).encode())

    def render_error(error: NodeError) -> Answer:
        raise error

    claim = Claim(_OPERATOR.key, "POST", "/top-ups", key, bytes(32))
    answer = await service.create(top_up_of(key), claim, render, render_error)
    return answer.body.decode()


def top_ups(units: UnitOfWork) -> TopUpService:
    """The service that books them."""
    return TopUpService(units, CATALOG, new_id, sandbox=True, rails=frozenset())


async def stubbornly(order: Callable[[], Awaitable[object]]) -> object:
    """The answer to an order, repeated as long as the database is away."""
    while True:
        try:
            return await order()
        except DatabaseUnavailable:
            await asyncio.sleep(0.02)


def _say(*words: object) -> None:
    os.write(1, (" ".join(str(each) for each in words) + "\n").encode())


async def _post(service: PostingService, name: str) -> None:
    for number in itertools.count():
        key = f"{name}/{number}"
        _say("sent", key)
        try:
            _say("booked", key, await stubbornly(lambda: service.post(posting_of(key))))  # noqa: B023
        except NodeError as error:
            _say("refused", key, error.code)


async def _top_up(service: TopUpService, name: str) -> None:
    for number in itertools.count():
        key = f"{name}/{number}"
        _say("sent", key)
        _say("topped", key, await stubbornly(lambda: book_top_up(service, key)))  # noqa: B023


async def _main(url: str, name: str) -> None:
    units = StoreUnits(Database.at(url))
    posting, topping = PostingService(units, CATALOG), top_ups(units)
    async with asyncio.TaskGroup() as group:
        for place in range(_POSTERS):
            group.create_task(_post(posting, f"post/{name}/{place}"))
        for place in range(_TOPPERS):
            group.create_task(_top_up(topping, f"top/{name}/{place}"))


if __name__ == "__main__":
    sys.stdin.readline()
    uvloop.run(_main(*sys.argv[1:]))
