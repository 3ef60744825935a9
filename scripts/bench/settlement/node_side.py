"""Corridor's settlement alone: funded transfers wait in the database, the worker pays them.

A devnet runs as people run it (`corridor_side`). Settlement is paused while transfers are accepted
into its database by the node's own acceptance, many at once and past HTTP; the clock runs from the
end of the pause to the moment at which no transfer is open: each is final and posted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

import asyncpg

from adapters.evm.addresses import Eip55
from adapters.machine import SystemClock, new_id, new_secret
from node.core.catalog import USDC
from node.core.ids import Prefix, decode_id
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Beneficiary
from node.core.quotes import FixedSide, Price, Quote
from node.core.units import Address, Asset, Money
from node.services.ledger.verifying import VerifyService
from node.services.parties import PartyService
from node.services.transfers.acceptance import (
    Acceptance,
    SettlementTarget,
    Submission,
    TransferRequest,
)
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from scripts.bench import corridor_side
from scripts.bench.corridor_side import CorridorNode
from scripts.bench.measure import BenchFailed
from scripts.bench.proof import balances, check_paid
from scripts.bench.settlement import processors

UNITS: Final = 230_074_048
"""Token units of each payment: what 200.00 EUR less fees bought in the node's worked example."""

_SELL_MINOR: Final = 20_000
_MID_RATE: Final = Decimal("1.15626")
_EUR: Final = Asset("EUR", 2, "Euro")
_SETTLE_WITHIN_S: Final = 86_400
_AT_ONCE: Final = 1_024
_SETTLE_LIMIT_S: Final = 300.0
_POLL_S: Final = 0.02
_UNDER_WAY: Final = """
SELECT EXISTS (SELECT FROM transfer WHERE state = 'funded' AND slot_id IS NULL
               AND chain_id = $1 AND contract = $2)
    OR EXISTS (SELECT FROM slot WHERE state NOT IN ('final', 'foreign'))
"""
_CREATED: Final = 201
_REFUSED: Final = 422


@dataclass(frozen=True, slots=True)
class Window:
    """One measured window.

    Attributes:
        payments: How many waited, and were paid.
        seconds: From the end of the pause until each was final and posted.
        use: Of processors meanwhile.
    """

    payments: int
    seconds: float
    use: processors.Use

    @property
    def per_s(self) -> float:
        """Payments per second."""
        return self.payments / self.seconds


def measure(
    node: CorridorNode, customer_id: str, *, payments: int, addresses: Sequence[str]
) -> Window:
    """One window, proved on the chain and in the books.

    Raises:
        BenchFailed: A payment was refused or did not complete, or money does not add up.
    """
    run = str(time.time_ns())
    node.post("/v1/settlement/pause", {"note": "bench"}, key=f"pause-{run}", operator=True)
    due = asyncio.run(_accept(node, customer_id, payments, addresses, run))
    before = balances(node.rpc_url, node.token, addresses)
    pids = node.pids()
    reading = processors.read(pids)
    node.post("/v1/settlement/resume", {}, key=f"resume-{run}", operator=True)
    asyncio.run(_until_settled(node))
    ended = processors.read(pids)
    use = processors.Use.between(reading, ended)
    corridor_side.wait_until_settled(node)  # HTTP says so, too
    check_paid(before, balances(node.rpc_url, node.token, addresses), due)
    corridor_side.check_books(node, run)
    return Window(payments, ended.at_s - reading.at_s, use)


def verified(node: CorridorNode) -> int:
    """How many entries the books have; verifying them finds nothing.

    Raises:
        BenchFailed: It finds a difference.
    """

    async def verify() -> int:
        database = Database.at(node.database_url)
        try:
            found = await VerifyService(StoreUnits(database)).verify()
        finally:
            await database.close()
        if found.differences:
            raise BenchFailed(f"verify found {found.differences[0]}")
        return found.entries

    return asyncio.run(verify())


async def _until_settled(node: CorridorNode) -> None:
    """Wait until no transfer waits and no batch is under way.

    A batch ends in the transaction that ends its transfers and posts them. Asked of the database
    by two small indexes: asking HTTP for open transfers would load what is being measured.
    """
    connection = await asyncpg.connect(node.database_url)
    contract = _address(node.holders[0])
    give_up_at_s = time.monotonic() + _SETTLE_LIMIT_S
    try:
        while await connection.fetchval(_UNDER_WAY, node.chain_id, contract):
            if time.monotonic() > give_up_at_s:
                raise BenchFailed(f"transfers still processing after {_SETTLE_LIMIT_S:.0f} s")
            await asyncio.sleep(_POLL_S)
    finally:
        await connection.close()


async def _accept(
    node: CorridorNode, customer_id: str, payments: int, addresses: Sequence[str], run: str
) -> Counter[str]:
    """Fund so many transfers; token units due to each address."""
    database = Database.at(node.database_url)
    due: Counter[str] = Counter()
    try:
        units = StoreUnits(database)
        acceptance = Acceptance(units, _target(node), Eip55(), new_id)
        parties = PartyService(units, SystemClock(), new_id, new_secret)
        principal = await parties.authenticate(node.partner_key)
        for start in range(0, payments, _AT_ONCE):
            places = range(start, min(start + _AT_ONCE, payments))
            quotes = [_quote(principal) for _ in places]
            async with units() as unit:
                await unit.quotes.insert_many(quotes)
            submissions = [
                _submission(principal, customer_id, quote, addresses[place % len(addresses)], run)
                for place, quote in zip(places, quotes, strict=True)
            ]
            answers = await asyncio.gather(*(acceptance.create(each) for each in submissions))
            if refused := [each.body for each in answers if each.status != _CREATED]:
                raise BenchFailed(f"a transfer was refused: {refused[0].decode()}")
            for each in submissions:
                due[each.request.beneficiary.address] += UNITS
    finally:
        await database.close()
    return due


def _target(node: CorridorNode) -> SettlementTarget:
    contract, treasury = (_address(each) for each in node.holders)
    return SettlementTarget(
        chain_id=node.chain_id,
        contract=contract,
        token=USDC.code,
        holders=(contract, treasury),
        unpayable=frozenset(),
        settle_within_s=_SETTLE_WITHIN_S,
    )


def _address(text: str) -> Address:
    return Address(bytes.fromhex(text[2:]))


def _quote(principal: Principal) -> Quote:
    now = SystemClock().now()
    price = Price(
        fixed_side=FixedSide.SELL,
        sell=Money(_SELL_MINOR, _EUR),
        buy=Money(UNITS, USDC),
        service_fee=Money(60, _EUR),
        network_fee=Money(2, _EUR),
        mid_rate=_MID_RATE,
        spread_bps=20,
        sources=(),
        payout_method="onchain",
        estimated_delivery_s=15,
    )
    return Quote(new_id(), principal.key, None, price, now, now + timedelta(minutes=10))


def _submission(
    principal: Principal, customer_id: str, quote: Quote, address: str, run: str
) -> Submission:
    request = TransferRequest(
        principal,
        quote.id,
        decode_id(Prefix.CUSTOMER, customer_id),
        Beneficiary("Ben", "PH", address),
    )
    claim = Claim(principal.key, "POST", "/v1/transfers", f"{run}-{quote.id}", bytes(32))
    return Submission(
        request,
        claim,
        lambda transfer: Answer(_CREATED, str(transfer.id).encode()),
        lambda error: Answer(_REFUSED, error.detail.encode()),
    )
