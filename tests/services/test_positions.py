"""Positions by day, out of a real database: that they follow the books, and add up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.fx.fixed import FixedRates
from adapters.machine import SystemClock, new_id
from node.core.catalog import USDC, Catalog, Offer, TokenInfo, catalog_of
from node.core.errors import CurrencyUnknown, PeriodInvalid, RateUnavailable
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    Outcome,
    Resolution,
    batch_final_entries,
    chain_account,
)
from node.core.parties import Principal
from node.core.ports.transfers import Transfer
from node.core.positions import Change, Positions, Standing, result_of
from node.core.quotes import Corridor, HaltReason, Rate
from node.core.units import Asset
from node.services.pricing.positions import PositionService
from node.services.pricing.rates import Rates
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, CONTRACT, EUR, TOKEN, TREASURY, LedgerNode, a_quote
from tests.rig import PostgresServer

MAY = date(2026, 5, 1)
RATES = (("EUR", "USDC", "1.15626"), ("EUR", "JPY", "180"))
CORRIDOR = Corridor(EUR, USDC, "onchain", 30, 0, 2, 20, 10, 10_000_000, 15)
CATALOG = catalog_of(TokenInfo(USDC, CHAIN_ID, TOKEN), Offer(corridors=(CORRIDOR,)))
EXCHANGED = Standing(came_in=19_899, spread_earned=39, fees_earned=62)
PAID_OUT = Standing(went_out=230_074_048)

_TABLES = ("ledger_batch", "ledger_transaction", "ledger_resolution", "account")


@dataclass
class Moody:
    """A source that states what it is told to; None: it does not answer."""

    pairs: Sequence[tuple[str, str, str]] | None = RATES
    name: str = "moody"
    max_age_s: int | None = None
    natural_age_s: int | None = None

    async def rates(self) -> Sequence[Rate]:
        if self.pairs is None:
            raise RateUnavailable("moody does not answer")
        return await FixedRates(tuple(self.pairs), SystemClock(), self.name).rates()


@dataclass
class Book:
    """The ledger of a node, whose bookings a test may date back to days of its own."""

    url: str
    node: LedgerNode
    source: Moody = field(default_factory=Moody)

    def __post_init__(self) -> None:
        self.rates = Rates([self.source])

    async def positions(
        self,
        first: date | None = None,
        last: date | None = None,
        currency: str | None = None,
        *,
        reporting: Asset = EUR,
        catalog: Catalog = CATALOG,
    ) -> Positions:
        await self.rates.refresh()
        service = PositionService(self.node.units, catalog, self.rates, reporting)
        return await service.positions(first, last, currency)

    async def date_back(self, moment: datetime) -> None:
        """Everything that is not dated back yet was booked from this moment on, microseconds apart.

        The books' own login cannot do that, nor can anybody without `corridor verify` saying so.
        """
        owner = await asyncpg.connect(self.url)
        await owner.execute("SET session_replication_role = replica")
        later = "created_at > now() - interval '1 day'"
        batches = await owner.fetch(
            f"SELECT number, first_sequence, last_sequence FROM ledger_batch WHERE {later}"
            " ORDER BY number"
        )
        for place, (number, first, last) in enumerate(batches):
            at = moment + timedelta(microseconds=place)
            await owner.execute(
                "UPDATE ledger_batch SET created_at = $1 WHERE number = $2", at, number
            )
            await owner.execute("UPDATE account SET created_at = $1 WHERE batch = $2", at, number)
            for table in ("ledger_transaction", "ledger_resolution"):
                await owner.execute(
                    f"UPDATE {table} SET created_at = $1 WHERE sequence BETWEEN $2 AND $3",
                    at, first, last,
                )  # fmt: skip
        await owner.close()

    async def accept(self, payer: Principal, count: int = 1) -> Sequence[Transfer]:
        """Transfers of 200.00 EUR at the figures of the worked example."""
        return await self.node.funded(payer, count)

    async def settle(self, *transfers: Transfer) -> None:
        """What is booked when the batch that paid them is final."""
        await self._resolve(Outcome.POSTED, transfers)

    async def void(self, *transfers: Transfer) -> None:
        """What is booked when their numbers are void."""
        await self._resolve(Outcome.VOIDED, transfers)

    async def _resolve(self, outcome: Outcome, transfers: Sequence[Transfer]) -> None:
        ends = [Resolution(each.pending_sequence, outcome) for each in transfers]
        paid = sum(each.amounts.buy for each in transfers)
        fees = {"EUR": sum(each.amounts.fees for each in transfers)}
        spreads = {"EUR": sum(each.amounts.spread for each in transfers)}
        final = LedgerTransaction(
            str(new_id()),
            "batch",
            batch_final_entries(CHAIN_ID, CONTRACT, "USDC", paid, fees, spreads),
        )
        async with self.node.units() as unit:
            await unit.ledger.lock()
            await unit.ledger.post([final] if outcome is Outcome.POSTED else [], ends)

    async def convert(self, eur_minor: int, usdc_minor: int) -> None:
        """The treasury sells EUR for USDC."""
        treasury = chain_account(CHAIN_ID, TREASURY, "USDC")
        await self.node.post(
            Entry("fx_position/EUR", "bank/sandbox_bank/EUR", "EUR", eur_minor),
            Entry(treasury, "fx_position/USDC", "USDC", usdc_minor),
        )


@pytest.fixture
async def book(database_url: str) -> AsyncIterator[Book]:
    database = Database.at(database_url)
    yield Book(database_url, LedgerNode(StoreUnits(database)))
    await database.close()


@pytest.fixture
async def payer(book: Book) -> Principal:
    await book.node.fund_contract()
    return await book.node.remitter(eur_minor=10**7)


def of(changes: Sequence[Change], code: str) -> Change:
    (found,) = [each for each in changes if each.worth.asset.code == code]
    return found


async def test_a_node_that_never_exchanged_anything_has_no_positions(
    book: Book, payer: Principal
) -> None:
    found = await book.positions()
    assert (found.total, found.changes, found.open_quotes) == ([], [], [])
    assert result_of(found.total).minor == 0
    assert len(found.days) == 1


async def test_what_is_accepted_is_pending_and_what_is_final_is_the_position(
    book: Book, payer: Principal
) -> None:
    (transfer,) = await book.accept(payer)
    found = await book.positions()
    eur, usdc = of(found.total, "EUR"), of(found.total, "USDC")
    assert eur.closing == Standing(pending=19_899, spread_deferred=39, fees_deferred=62)
    assert usdc.closing == Standing(pending=-230_074_048)
    assert [each.value for each in found.total] == [0, 0]

    await book.settle(transfer)
    found = await book.positions()
    eur, usdc = of(found.total, "EUR"), of(found.total, "USDC")
    assert (eur.closing, usdc.closing) == (EXCHANGED, PAID_OUT)
    assert (eur.value, usdc.value) == (19_899, -19_899)
    assert result_of(found.total).minor == 0
    assert result_of(found.days[-1].changes).minor == 0


async def test_what_was_voided_leaves_nothing_behind(book: Book, payer: Principal) -> None:
    kept, gone = await book.accept(payer, 2)
    await book.void(gone)
    await book.settle(kept)
    found = await book.positions()
    assert of(found.total, "EUR").closing == EXCHANGED
    assert of(found.total, "USDC").closing == PAID_OUT


async def test_a_transfer_counts_on_the_day_it_becomes_final_and_is_pending_before(
    book: Book, payer: Principal
) -> None:
    (transfer,) = await book.accept(payer)
    await book.date_back(datetime(2026, 5, 1, 23, 59, 59, tzinfo=UTC))
    await book.settle(transfer)
    await book.date_back(datetime(2026, 5, 3, 0, 0, tzinfo=UTC))  # the first instant of the third

    found = await book.positions(MAY, date(2026, 5, 4))
    eur = [of(each.changes, "EUR") for each in found.days]
    assert [each.closing.pending for each in eur] == [19_899, 19_899, 0, 0]
    assert [each.closing.fees_deferred for each in eur] == [62, 62, 0, 0]
    assert [each.came_in for each in eur] == [0, 0, 19_899, 0]
    assert [each.fees_earned for each in eur] == [0, 0, 62, 0]
    assert [each.spread_earned for each in eur] == [0, 0, 39, 0]
    assert [each.result for each in eur] == [0, 0, 19_899, 0]
    assert [each.day for each in found.days] == [MAY + timedelta(days=place) for place in range(4)]
    assert found.days[0].sequence == found.days[1].sequence < found.days[2].sequence
    (period,) = [each for each in found.changes if each.worth.asset == EUR]
    assert (period.came_in, period.fees_earned, period.result) == (19_899, 62, 19_899)


async def test_what_the_treasury_closed_stays_as_the_difference_it_was_closed_at(
    book: Book, payer: Principal
) -> None:
    await book.settle(*await book.accept(payer))
    await book.convert(eur_minor=19_800, usdc_minor=230_074_048)  # a little cheaper than the mid
    found = await book.positions()
    assert of(found.total, "USDC").closing.position == 0
    assert of(found.total, "EUR").closing.position == 99
    book.source.pairs = [("EUR", "USDC", "0.5")]  # and no rate can change it any more
    assert result_of((await book.positions()).total).minor == 99


async def test_a_rate_that_is_not_there_makes_the_value_unknown_and_nothing_else(
    book: Book, payer: Principal
) -> None:
    await book.settle(*await book.accept(payer))
    book.source.pairs = [("EUR", "JPY", "180")]
    found = await book.positions()
    usdc = of(found.total, "USDC")
    assert (usdc.closing, usdc.value, usdc.result) == (PAID_OUT, None, None)
    assert usdc.worth.reason is not None
    assert of(found.total, "EUR").value == 19_899
    result = result_of(found.total)
    assert result.minor is None
    assert "USDC: " in (result.reason or "")


async def test_a_rate_that_jumped_is_no_rate_until_an_operator_accepts_it(
    book: Book, payer: Principal
) -> None:
    await book.settle(*await book.accept(payer))
    async with book.node.units() as unit:
        await unit.quotes.lock()
        await unit.quotes.trust({("EUR", "USDC"): Decimal("1.15626")})
    book.source.pairs = [("EUR", "USDC", "11.5626")]
    usdc = of((await book.positions()).total, "USDC")
    assert usdc.value is None
    assert "went from 1.15626 to 11.5626" in (usdc.worth.reason or "")

    async with book.node.units() as unit:
        await unit.quotes.lock()
        await unit.quotes.halt("EUR", HaltReason.JUMP, "breaker", None)
    async with book.node.units() as unit:
        await unit.quotes.lock()
        accepted = {("EUR", "USDC"): book.rates.mid("EUR", "USDC", unit.now).rate}
        await unit.quotes.resume("EUR", "operator:ops", accepted)
    usdc = of((await book.positions()).total, "USDC")
    assert usdc.value == -1_990  # 230.074048 / 11.5626 = 19.8981...


async def test_the_reporting_currency_may_be_another(book: Book, payer: Principal) -> None:
    await book.settle(*await book.accept(payer))
    yen = CATALOG.asset("JPY")
    found = await book.positions(reporting=yen)
    # 198.99 EUR are 35818.2 yen; 230.074048 USDC at 1.15626 and 180 are 35816.62...
    assert [each.value for each in found.total] == [35_818, -35_817]
    assert found.reporting == yen


async def test_one_currency_alone_may_be_asked_for(book: Book, payer: Principal) -> None:
    await book.settle(*await book.accept(payer))
    found = await book.positions(currency="USDC")
    assert [each.worth.asset for each in found.total] == [USDC]
    assert [each.worth.asset for each in found.days[0].changes] == [USDC]
    assert (await book.positions(currency="GBP")).total == []
    with pytest.raises(CurrencyUnknown):
        await book.positions(currency="XXX")


async def test_open_firm_quotes_are_told_and_used_ones_are_not(
    book: Book, payer: Principal
) -> None:
    await book.accept(payer)
    await book.node.add_quotes(a_quote(payer), a_quote(payer))
    found = await book.positions()
    sums = [(each.asset, each.minor, each.count) for each in found.open_quotes]
    assert sums == [(EUR, 40_000, 2), (USDC, 460_148_096, 2)]
    only = await book.positions(currency="USDC")
    assert [each.asset for each in only.open_quotes] == [USDC]


async def test_days_ahead_are_refused(book: Book) -> None:
    with pytest.raises(PeriodInvalid, match="UTC"):
        await book.positions(None, date.max)


async def test_days_before_the_first_booking_are_empty_and_present_positions_are_told(
    book: Book, payer: Principal
) -> None:
    await book.settle(*await book.accept(payer))
    found = await book.positions(MAY, MAY)
    (day,) = found.days
    assert day.sequence == 0
    assert {each.closing for each in day.changes} == {Standing()}
    assert of(found.total, "EUR").closing == EXCHANGED


STEP = st.sampled_from(["accept", "settle", "void", "convert", "next day", "next day"])


@dataclass
class Expected:
    """The fold: what each day should say of one currency."""

    came_in: int = 0
    went_out: int = 0


@settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(STEP, min_size=4, max_size=14))
def test_days_follow_from_each_other_add_up_and_agree_with_all_other_accounts(
    postgres_server: PostgresServer, steps: Sequence[str]
) -> None:
    url = postgres_server.create_database()
    try:
        asyncio.run(_played(url, steps))
    finally:
        postgres_server.drop_database(url)


async def _played(url: str, steps: Sequence[str]) -> None:
    database = Database.at(url)
    try:
        book = Book(url, LedgerNode(StoreUnits(database)))
        await book.node.fund_contract()
        payer = await book.node.remitter(eur_minor=10**7)
        await book.convert(50_000, 600_000_000)
        waiting: list[Transfer] = []
        moves = {"EUR": [Expected(0, 50_000)], "USDC": [Expected(600_000_000, 0)]}
        for step in steps:
            eur, usdc = (moves[code][-1] for code in ("EUR", "USDC"))
            if step == "accept":
                waiting += await book.accept(payer)
            elif step == "settle" and waiting:
                await book.settle(waiting.pop(0))
                eur.came_in += 19_899
                usdc.went_out += 230_074_048
            elif step == "void" and waiting:
                await book.void(waiting.pop())
            elif step == "convert":
                await book.convert(1_001, 11_577_777)
                eur.went_out += 1_001
                usdc.came_in += 11_577_777
            elif step == "next day":
                await _end_of(book, len(moves["EUR"]) - 1)
                for each in moves.values():
                    each.append(Expected())
        await _end_of(book, len(moves["EUR"]) - 1)
        last = MAY + timedelta(days=len(moves["EUR"]) - 1)
        found = await book.positions(MAY, last)
        _assert_days_add_up(found)
        assert_as_expected(found, moves, len(waiting))
        await _assert_agrees_with_all_accounts(book, found)
    finally:
        await database.close()


async def _end_of(book: Book, place: int) -> None:
    day = MAY + timedelta(days=place)
    await book.date_back(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


def _assert_days_add_up(found: Positions) -> None:
    for before, after in zip(found.days, found.days[1:], strict=False):
        for one, two in zip(before.changes, after.changes, strict=True):
            assert one.closing == two.opening
    for day in found.days:
        for each in day.changes:
            assert each.closing.position - each.opening.position == each.came_in - each.went_out
    summed: dict[str, list[Any]] = {}
    for day in found.days:
        for each in day.changes:
            row = (each.came_in, each.went_out, each.spread_earned, each.fees_earned, each.result)
            summed.setdefault(each.worth.asset.code, []).append(row)
    for each in found.total:  # nothing was booked before the first day
        rows = summed[each.worth.asset.code]
        total = (each.came_in, each.went_out, each.spread_earned, each.fees_earned, each.result)
        assert tuple(map(sum, zip(*rows, strict=True))) == total
    results = [result_of(day.changes).minor for day in found.days]
    assert None not in results
    assert sum(each or 0 for each in results) == result_of(found.changes).minor
    assert result_of(found.changes).minor == result_of(found.total).minor


def assert_as_expected(found: Positions, moves: dict[str, list[Expected]], waiting: int) -> None:
    for code, expected in moves.items():
        told = [of(day.changes, code) for day in found.days]
        assert [Expected(each.came_in, each.went_out) for each in told] == expected
    eur, usdc = of(found.total, "EUR").closing, of(found.total, "USDC").closing
    assert (eur.pending, usdc.pending) == (waiting * 19_899, waiting * -230_074_048)
    assert (eur.fees_deferred, eur.spread_deferred) == (waiting * 62, waiting * 39)


async def _assert_agrees_with_all_accounts(book: Book, found: Positions) -> None:
    """Per asset debits equal credits, so each position is what all other accounts leave over."""
    async with book.node.units.snapshot() as unit:
        for day in found.days:
            trial = {each.asset: each for each in await unit.history.trial_balance_at(day.sequence)}
            rows = await unit.history.accounts_at([""], day.sequence)
            for change in day.changes:
                code = change.worth.asset.code
                others = [
                    each.balance
                    for each in rows
                    if each.balance.asset == code and each.balance.path != f"fx_position/{code}"
                ]
                debits = sum(each.debits_posted for each in others)
                credits_ = sum(each.credits_posted for each in others)
                assert change.closing.position == debits - credits_
                assert trial[code].debits == trial[code].credits == debits + change.closing.went_out
