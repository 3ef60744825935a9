"""Verification of a node at work: in nobody's way, exact at one instant, whatever goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from adapters.machine import new_id
from node.core.errors import AmountOutOfRange
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction
from node.core.quotes import (
    Corridor,
    FixedSide,
    Price,
    Rate,
    mid_of,
    price_fixed_buy,
    price_fixed_sell,
)
from node.core.units import Asset, Money
from node.services.ledger.verifying import VerifyService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode, a_quote

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[LedgerNode]:
    database = Database.at(database_url)
    node = LedgerNode(StoreUnits(database))
    await node.fund_contract()
    yield node
    await database.close()


async def test_verification_waits_for_no_lock_and_holds_none(node: LedgerNode) -> None:
    verifying = VerifyService(node.units)
    async with node.units() as unit, asyncio.timeout(60):
        await unit.ledger.lock()
        assert (await verifying.verify()).differences == []


async def test_payments_go_on_while_verification_reads(node: LedgerNode) -> None:
    async with node.units.snapshot() as unit, asyncio.timeout(60):
        records = unit.verification.records()
        before = await anext(records)
        await node.post(Entry("bank/x/EUR", "customer/c/EUR", "EUR", 1))
        assert [page async for page in records] == []
        assert await anext(unit.verification.records()) == before


async def test_books_are_proven_while_payments_are_being_accepted(node: LedgerNode) -> None:
    ann = await node.remitter(eur_minor=10**9)
    is_over = False
    accepted = 0

    async def pay() -> None:
        nonlocal accepted
        while not is_over:
            quotes = [a_quote(ann) for _ in range(16)]
            await node.add_quotes(*quotes)
            answers = await asyncio.gather(
                *(node.acceptance.create(node.submission(ann, each)) for each in quotes)
            )
            accepted += sum(each.status == 201 for each in answers)

    paying = asyncio.create_task(pay())
    seen: list[int] = []
    while len(seen) < 8 or accepted < 100:
        found = await VerifyService(node.units).verify()
        assert found.differences == []
        seen.append(found.sequences)
        assert len(seen) < 1000, "no payment is accepted"
    is_over = True
    await paying
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


async def test_progress_rises_to_its_total_and_every_check_is_told(node: LedgerNode) -> None:
    batch, batches = 2000, 6
    for number in range(batches):
        async with node.units() as unit:
            await unit.ledger.lock()
            entry = Entry("bank/x/EUR", "customer/c/EUR", "EUR", 1)
            await unit.ledger.post(
                [LedgerTransaction(f"{number}/{n}", "top_up", [entry]) for n in range(batch)]
            )
    told: list[tuple[str, int, int]] = []
    found = await VerifyService(node.units).verify(lambda *step: told.append(step))
    assert found.sequences > batch * batches
    ledger = [done for name, done, _ in told if name == "ledger"]
    assert ledger == sorted(ledger), "it falls"
    assert len({*ledger}) > 1, "it is told at the end only"
    assert ledger[-1] == found.sequences
    assert {total for name, _, total in told if name == "ledger"} == {found.sequences}
    others = told[len(ledger) :]
    assert [done for _, done, _ in others[:-1]] == [*range(len(others) - 1)]
    assert others[-1] == ("", len(found.checks), len(found.checks))


async def test_a_failure_while_reading_ends_verification_and_leaves_nothing_behind(
    node: LedgerNode,
) -> None:
    class DiskFull(Exception):
        """As the writer of an export says it."""

    def write(_: bytes) -> None:
        raise DiskFull

    with pytest.raises(DiskFull):
        await VerifyService(node.units).verify(export=write)
    found = await VerifyService(node.units).verify()
    assert found.differences == []


async def test_what_was_exported_is_what_was_verified(node: LedgerNode) -> None:
    await node.post(Entry("bank/x/EUR", "customer/c/EUR", "EUR", 7))
    pieces: list[bytes] = []
    found = await VerifyService(node.units).verify(export=pieces.append)
    await node.post(Entry("bank/x/EUR", "customer/c/EUR", "EUR", 1))
    again: list[bytes] = []
    later = await VerifyService(node.units).verify(anchors=[found.anchor], export=again.append)
    assert later.differences == []
    shared = b"".join(pieces)[:-400]
    assert b"".join(again).startswith(shared[: shared.rindex(b"C")])


def prices() -> Iterator[Price]:
    """Prices of both sides for assets of all digits, by the node's own arithmetic."""
    rates = [mid_of("AAA", "BBB", [Rate.stated("AAA", "BBB", each, "s", BEGINNING)]) for each in
             ("1", "1.15626", "0.000321", "157.3", "24680.13579")]  # fmt: skip
    for digits, mid, amount in product(
        product((0, 2, 6, 9), repeat=2), rates, (1, 3, 99, 100, 12_345, 10**9 + 7)
    ):
        sell, buy = Asset("AAA", digits[0]), Asset("BBB", digits[1])
        corridor = Corridor(sell, buy, "onchain", 30, 1, 2, 20, 50, 10**12, 15)
        for price in (price_fixed_sell, price_fixed_buy):
            with suppress(AmountOutOfRange):
                yield price(corridor, mid, amount)


async def test_prices_of_both_sides_and_all_digits_follow_from_their_mid_rate(
    node: LedgerNode,
) -> None:
    ann = await node.remitter()
    usual = a_quote(ann)
    quotes = [replace(usual, id=new_id(), price=price) for price in prices()]
    assert {each.price.fixed_side for each in quotes} == set(FixedSide)
    assert len(quotes) > 200
    await node.add_quotes(*quotes)
    assert (await VerifyService(node.units).verify()).differences == []
    wrong = replace(usual.price, buy=Money(usual.price.buy.minor + 1, usual.price.buy.asset))
    await node.add_quotes(replace(usual, price=wrong))
    (found,) = (await VerifyService(node.units).verify()).differences
    assert (found.check, found.subject) == ("prices", encode_id(Prefix.QUOTE, usual.id))
