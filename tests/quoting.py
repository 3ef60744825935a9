"""Processes of a node that quote, over one real database; rates are what a test says they are."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Self
from uuid import UUID

import asyncpg
import orjson

from adapters.corridors import load_offer
from adapters.machine import SystemClock, new_id
from node.core.catalog import USDC, Catalog, TokenInfo, catalog_of
from node.core.errors import RateUnavailable
from node.core.ids import Prefix, encode_id
from node.core.parties import Customer, Partner, Principal, Role
from node.core.ports import UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.quotes import Halt
from node.core.quotes import ACCEPTED_LATE_S, TTL_MAX_S, Quote, QuoteStatus, Rate
from node.services.pricing.fx import FxService, Halted, Resumed
from node.services.pricing.quoting import QuoteLimits, QuoteRequest, QuoteService
from node.services.pricing.rates import Rates
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, TOKEN, LedgerNode, render_error, target

OPERATOR = Principal(Role.OPERATOR, "olga")
EUR_200 = QuoteRequest("EUR", "USDC", sell_amount="200.00")
GBP_100 = QuoteRequest("GBP", "USDC", sell_amount="100.00")
LIMITS = QuoteLimits(ttl_s=60, active_max=50)


@dataclass
class PublishedRates:
    """A `RateSource` that states the rates of the worked example, unless told otherwise.

    Attributes:
        dollar: Dollars for a euro; None: it does not answer.
        pound: Pounds for a euro; None: it does not say.
        age_s: How old they are.
    """

    dollar: str | None = "1.15626"
    pound: str | None = None
    age_s: int = 0
    name: str = "ecb"
    max_age_s: int | None = 3600
    natural_age_s: int | None = None

    async def rates(self) -> Sequence[Rate]:
        """See `RateSource.rates`."""
        if self.dollar is None:
            raise RateUnavailable("no answer")
        at = datetime.now(UTC) - timedelta(seconds=self.age_s)  # noqa: TID251 - a source's clock
        rates = [
            Rate.stated("EUR", "USD", self.dollar, self.name, at),
            Rate.stated("USD", "USDC", "1", "fixed", at),
        ]
        if self.pound is not None:
            rates.append(Rate.stated("EUR", "GBP", self.pound, self.name, at))
        return rates


@dataclass
class Process:
    """One `serve` process: its services, and the source it reads."""

    source: PublishedRates
    rates: Rates
    quoting: QuoteService
    fx: FxService
    units: UnitOfWork

    async def create(
        self,
        principal: Principal = OPERATOR,
        request: QuoteRequest = EUR_200,
        *,
        key: str | None = None,
        body: bytes = b"body",
    ) -> Answer:
        """A firm quote, as it is answered."""
        claim = a_claim(principal, key, body) if key else None
        return await self.quoting.create(principal, request, claim, render)

    async def quote(
        self, principal: Principal = OPERATOR, request: QuoteRequest = EUR_200
    ) -> Quote:
        """A firm quote, as it is stored."""
        return await self.again(principal, await self.create(principal, request))

    async def again(self, principal: Principal, answer: Answer) -> Quote:
        """The quote of an answer, as it is stored now."""
        return await self.quoting.get(principal, orjson.loads(answer.body)["id"])

    async def status(self, quote: Quote) -> QuoteStatus:
        """Where a quote stands now."""
        found = await self.quoting.get(OPERATOR, encode_id(Prefix.QUOTE, quote.id))
        return self.quoting.status(found)

    async def price(self, sell: str = "EUR") -> Decimal:
        """The mid rate of an indicative price."""
        found = await self.quoting.price(sell=sell, buy="USDC", sell_amount="200.00")
        return found.mid_rate

    async def states(self, dollar: str | None) -> Sequence[Halt]:
        """Let the source say something else, and read it; the halts in force then."""
        self.source.dollar = dollar
        return await self.fx.refresh()

    async def reads(self, dollar: str | None) -> None:
        """Let the source say something else, and read it; nobody judges it."""
        async with self.units() as unit:
            now = unit.now
        self.source.dollar = dollar
        await self.rates.refresh(now)

    async def halt(
        self, currency: str | None, *, note: str | None = None, key: str | None = None
    ) -> Mapping[str, object]:
        """Halt as an operator; what was halted and how many quotes were revoked."""
        answer = await self.fx.halt(
            OPERATOR,
            currency,
            note=note,
            claim=a_claim(OPERATOR, key) if key else None,
            render=_halted,
            render_error=render_error,
        )
        found: Mapping[str, object] = orjson.loads(answer.body)
        return found

    async def resume(
        self, currency: str | None, mid: str | None = None
    ) -> Sequence[tuple[str | None, str]]:
        """Resume as an operator; what is still halted, and why."""
        return _named((await self.resumed(currency, mid)).halts)

    async def resumed(self, currency: str | None, mid: str | None = None) -> Resumed:
        """Resume as an operator who has perhaps seen a mid rate; what that did."""
        found: list[Resumed] = []

        def keep(resumed: Resumed) -> Answer:
            found.append(resumed)
            return Answer(200, b"")

        await self.fx.resume(
            OPERATOR,
            currency,
            mid=None if mid is None else Decimal(mid),
            claim=None,
            render=keep,
            render_error=render_error,
        )
        return found[-1]

    async def halts(self) -> list[tuple[str | None, str]]:
        """What is halted, and why."""
        return [(each.currency, each.reason.value) for each in (await self.fx.state()).halts]


@dataclass
class QuotingNode:
    """A database with a funded contract, and processes over it."""

    database_url: str
    ledger: LedgerNode
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @classmethod
    async def at(cls, database_url: str) -> Self:
        """An empty node whose contract is funded."""
        node = await cls.over(database_url)
        await node.ledger.fund_contract()
        return node

    @classmethod
    async def over(cls, database_url: str) -> Self:
        """A node as its database has it."""
        database = Database.at(database_url)
        node = cls(database_url, LedgerNode(StoreUnits(database)))
        node.stack.push_async_callback(database.close)
        return node

    async def process(
        self,
        source: PublishedRates | None = None,
        *,
        limits: QuoteLimits = LIMITS,
        exposure: Mapping[str, int] | None = None,
        units: UnitOfWork | None = None,
    ) -> Process:
        """A process that has just started: nothing is remembered but the database.

        Args:
            source: What it reads.
            limits: Of its quotes.
            exposure: Limits by currency, minor units, instead of those of the default offer.
            units: Instead of connections of its own.
        """
        if units is None:
            database = Database.at(self.database_url)
            self.stack.push_async_callback(database.close)
            units = StoreUnits(database)
        source = source or PublishedRates()
        catalog = a_catalog(exposure)
        rates = Rates([source], catalog.pricing)
        quoting = QuoteService(
            units=units,
            catalog=catalog,
            rates=rates,
            target=target(),
            limits=limits,
            clock=SystemClock(),
            new_id=new_id,
        )
        fx = FxService(units, catalog, rates)
        process = Process(source, rates, quoting, fx, units)
        await process.reads(source.dollar)
        return process

    async def partner(self) -> Principal:
        """A partner that has just been made."""
        async with self.ledger.units() as unit:
            partner = Partner(new_id(), f"partner {new_id()}", unit.now)
            await unit.parties.add_partner(partner)
        return Principal(Role.PARTNER, partner.name, partner_id=partner.id)

    async def customer_of(self, partner: Principal) -> str:
        """Public id of a new customer of a partner."""
        async with self.ledger.units() as unit:
            customer = Customer(new_id(), partner.partner_id, "Ada", "DE", None, unit.now)
            await unit.parties.add_customer(customer)
        return encode_id(Prefix.CUSTOMER, customer.id)

    async def consume(self, *quotes: Quote) -> None:
        """Bind quotes to transfers that do not exist."""
        async with self.ledger.units() as unit:
            await unit.quotes.lock_many([each.id for each in quotes])
            await unit.quotes.consume_many([(each.id, new_id()) for each in quotes])

    async def active(self) -> tuple[int, Mapping[str, int]]:
        """How many quotes are active, and what they sum up to in each currency."""
        async with self.ledger.units() as unit:
            there = await unit.quotes.open_quotes()
        count = sum(each.count for each in there.by_maker.values())
        return count, {code: each.minor for code, each in there.by_currency.items()}

    async def execute(self, statement: str, *arguments: object) -> None:
        """Any statement, as the owner of the tables could run it."""
        owner = await asyncpg.connect(self.database_url)
        await owner.execute(statement, *arguments)
        await owner.close()

    async def fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """What the owner of the tables would see."""
        owner = await asyncpg.connect(self.database_url)
        try:
            rows: Sequence[asyncpg.Record] = await owner.fetch(statement, *arguments)
            return rows
        finally:
            await owner.close()

    async def expire(self, quote_id: UUID, *, ago_s: int = ACCEPTED_LATE_S) -> None:
        """Let a quote have expired so long ago that no acceptance can still be under way."""
        past = "UPDATE quote SET expires_at = now() - $2::interval WHERE id = $1"
        await self.execute(past, quote_id, timedelta(seconds=ago_s))

    async def age_levels(self, age_s: int = TTL_MAX_S + 1) -> None:
        """Let every level have stood for a time, which is longer than any quote lives."""
        ago = timedelta(seconds=age_s)
        await self.execute("UPDATE trusted_mid SET since = since - $1::interval", ago)


def a_catalog(exposure: Mapping[str, int] | None = None) -> Catalog:
    """What the default offers, with other limits of exposure if given."""
    offer = load_offer(None, USDC)
    if exposure is not None:
        offer = replace(offer, exposure_max_minor=exposure)
    return catalog_of(TokenInfo(USDC, CHAIN_ID, TOKEN), offer)


def a_claim(principal: Principal, key: str, body: bytes = b"body") -> Claim:
    """A claim of POST /v1/quotes."""
    return Claim(principal.key, "POST", "/v1/quotes", key, body.ljust(32))


def render(quote: Quote) -> Answer:
    """What the tests' edge answers."""
    body = {"id": encode_id(Prefix.QUOTE, quote.id), "buy": str(quote.price.buy)}
    return Answer(201, orjson.dumps(body))


def _named(halts: Sequence[Halt]) -> list[tuple[str | None, str]]:
    return [(each.currency, each.reason.value) for each in halts]


def _halted(halted: Halted) -> Answer:
    return Answer(200, orjson.dumps({"halts": _named(halted.halts), "revoked": halted.revoked}))
