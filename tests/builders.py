"""Things tests are about, made in one line; and the services of the ledger over a real database."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal, localcontext
from uuid import UUID

import orjson

from adapters.evm.addresses import Eip55
from adapters.machine import SystemClock, new_id
from node.core.catalog import USDC, Offer, TokenInfo, catalog_of
from node.core.errors import NodeError
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction, chain_account, customer_account
from node.core.parties import Customer, Principal, Role
from node.core.ports import UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Beneficiary, Transfer
from node.core.quotes import FixedSide, Price, Quote
from node.core.units import Address, Asset, Money
from node.services.transfers.acceptance import (
    Acceptance,
    SettlementTarget,
    Submission,
    TransferRequest,
)
from node.services.transfers.transfers import TransferService

EUR = Asset("EUR", 2, "Euro")
CHAIN_ID = 31337
CONTRACT = Address(b"\xc0" * 20)
TREASURY = Address(b"\x7e" * 20)
TOKEN = Address(b"\x70" * 20)
BENEFICIARY = "0x00000000000000000000000000000000000000be"
CATALOG = catalog_of(TokenInfo(USDC, CHAIN_ID, TOKEN), Offer(corridors=()))


def target(**changes: object) -> SettlementTarget:
    """Where test transfers are settled."""
    usual = SettlementTarget(
        CHAIN_ID,
        CONTRACT,
        "USDC",
        (CONTRACT, TREASURY),
        frozenset({Address(bytes(20)), TOKEN, CONTRACT, TREASURY}),
        86_400,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def a_quote(
    principal: Principal,
    *,
    sell_minor: int = 20_000,
    buy_minor: int = 230_074_048,
    customer_id: UUID | None = None,
    lives_s: int = 600,
) -> Quote:
    """A quote at the figures of the worked example, unless told otherwise."""
    now = SystemClock().now()
    price = Price(
        fixed_side=FixedSide.SELL,
        sell=Money(sell_minor, EUR),
        buy=Money(buy_minor, USDC),
        service_fee=Money(60, EUR),
        network_fee=Money(2, EUR),
        mid_rate=_mid_rate(sell_minor - 62, buy_minor),
        spread_bps=20,
        sources=(),
        payout_method="onchain",
        estimated_delivery_s=15,
    )
    return Quote(new_id(), principal.key, customer_id, price, now, now + timedelta(seconds=lives_s))


def _mid_rate(principal_minor: int, buy_minor: int) -> Decimal:
    """The mid rate at which, less 20 bps, a principal buys just that much."""
    if (principal_minor, buy_minor) == (19_938, 230_074_048):
        return Decimal("1.15626")
    with localcontext(prec=18):
        rate = Decimal((2 * buy_minor + 1) * 10**2) / Decimal(2 * principal_minor * 998 * 10**3)
        return rate.normalize()  # as the database gives it back


def a_claim(principal: Principal, key: str | None = None, body: bytes = b"body") -> Claim:
    """A claim of POST /v1/transfers; a new key unless one is given."""
    return Claim(principal.key, "POST", "/v1/transfers", key or str(new_id()), body.ljust(32))


def render(transfer: Transfer) -> Answer:
    """What the tests' edge answers: enough to tell answers apart."""
    body = {"id": encode_id(Prefix.TRANSFER, transfer.id), "state": transfer.state}
    return Answer(201, orjson.dumps(body))


def render_error(error: NodeError) -> Answer:
    """What the tests' edge answers to a refusal."""
    return Answer(422, orjson.dumps({"code": error.code}))


@dataclass
class LedgerNode:
    """The ledger side of a node over a real database; no chain."""

    units: UnitOfWork
    target: SettlementTarget = field(default_factory=target)

    def __post_init__(self) -> None:
        self.acceptance = Acceptance(self.units, self.target, Eip55(), new_id)
        self.transfers = TransferService(self.units, self.acceptance, self.check_unpaid)

    async def check_unpaid(self, transfer: Transfer) -> None:
        """There is no chain that could have paid it."""

    async def remitter(self, *, eur_minor: int = 0) -> Principal:
        """A customer of the node with so much money, as the principal of its remitter."""
        async with self.units() as unit:
            customer = Customer(new_id(), None, "Ada", "DE", None, unit.now)
            await unit.parties.add_customer(customer)
        if eur_minor:
            account = customer_account(customer.id, "EUR")
            await self.post(Entry("bank/sandbox_bank/EUR", account, "EUR", eur_minor))
        return Principal(Role.REMITTER, "Ada", customer_id=customer.id)

    async def fund_contract(self, usdc_minor: int = 10**14) -> None:
        """Let the ledger know of stablecoin in the settlement contract."""
        held = chain_account(self.target.chain_id, self.target.contract, "USDC")
        await self.post(Entry(held, "capital/USDC", "USDC", usdc_minor))

    async def post(self, *entries: Entry) -> None:
        """Book entries as they are."""
        async with self.units() as unit:
            await unit.ledger.lock()
            await unit.ledger.post([LedgerTransaction(str(new_id()), "top_up", list(entries))])

    async def add_quotes(self, *quotes: Quote) -> None:
        """Store quotes as if they had been asked for."""
        async with self.units() as unit:
            await unit.quotes.insert_many(quotes)

    def submission(
        self,
        principal: Principal,
        quote: Quote,
        *,
        key: str | None = None,
        address: str = BENEFICIARY,
        reference: str | None = None,
        body: bytes = b"body",
    ) -> Submission:
        """A request to transfer at a quote."""
        assert principal.customer_id is not None
        return Submission(
            TransferRequest(
                principal,
                quote.id,
                principal.customer_id,
                Beneficiary("Ben", "PH", address),
                reference,
                None,
            ),
            a_claim(principal, key, body),
            render,
            render_error,
        )

    async def funded(
        self,
        principal: Principal,
        count: int,
        *,
        sell_minor: int = 20_000,
        buy_minor: int = 230_074_048,
    ) -> Sequence[Transfer]:
        """So many accepted transfers, each to an address of its own."""
        quotes = [
            a_quote(principal, sell_minor=sell_minor, buy_minor=buy_minor) for _ in range(count)
        ]
        await self.add_quotes(*quotes)
        for place, each in enumerate(quotes):
            answer = await self.acceptance.create(
                self.submission(principal, each, address=f"0x{0xBE0000 + place:040x}")
            )
            assert answer.status == 201, answer
        async with self.units() as unit:
            found = [await unit.transfers.get(await _transfer_of(self, each)) for each in quotes]
        return [each for each in found if each is not None]


async def _transfer_of(node: LedgerNode, quote: Quote) -> UUID:
    async with node.units() as unit:
        stored = await unit.quotes.get(quote.id)
    assert stored is not None
    assert stored.transfer_id is not None
    return stored.transfer_id
