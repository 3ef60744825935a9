"""Rows of bulk transfers that partners pay out: asked of the partner before they are accepted.

A row gets what a single order gets: a firm quote of two legs (`payouts.partner_quotes`) and a
registered payout (`payouts.ordering`). Both are calls to the partner, made between the worker's
transactions and few at once. The quote is kept with the row before the payout is registered on it,
so whoever takes the row up again, after a kill or a lost answer, asks for the same under the same
key. Nothing of the payer's is consumed here; accepting is the worker's (`working`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final
from uuid import UUID

from node.core.bulk import Bulk, Order
from node.core.errors import NodeError, Unavailable
from node.core.payout_orders import (
    OrderState,
    PartnerBusy,
    PartnerRefused,
    PartnerUnavailable,
)
from node.core.ports import UnitOfWork
from node.core.ports.idempotency import Answer
from node.core.quotes import Quote, QuoteStatus
from node.services.bulk.means import Means
from node.services.bulk.orders import quote_request, transfer_request
from node.services.payouts.ordering import PayoutOrdering
from node.services.payouts.partner_quotes import PartnerQuotes
from node.services.transfers.acceptance import TransferRequest

ASKED_MAX: Final = 32
"""Rows of one batch that partners pay out: their prices are to be good when they are accepted."""

LEASE_S: Final = 60
"""For which nobody else takes the bulk transfer up: longer than asking for a batch takes."""

_AT_ONCE: Final = 8
_FIRM_S: Final = 120
_AWAY: Final = timedelta(seconds=30)
_GOING_ON: Final = frozenset({OrderState.REGISTERING, OrderState.REGISTERED, OrderState.REFUSED})

Rows = Sequence[tuple[int, Order]]
Asked = Mapping[int, TransferRequest | NodeError | None]
"""By line: what can be accepted, or why not; None: it is a transfer already."""


class PartnerRows:
    """Has partners price and register rows, a few at once."""

    def __init__(
        self,
        units: UnitOfWork,
        quotes: PartnerQuotes,
        ordering: PayoutOrdering,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Wire it.

        Args:
            units: Opens transactions.
            quotes: Makes quotes of two legs.
            ordering: Registers payouts.
            failpoint: Called with the name of each window at which a crash must be harmless.
        """
        self._units = units
        self._quotes = quotes
        self._ordering = ordering
        self._failpoint = failpoint
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._away: dict[str, datetime] = {}  # by currency, until when nobody is asked for it

    async def ask(self, bulk: Bulk, rows: Rows) -> Asked:
        """Ask for rows that partners pay out.

        Rows are left out from the first one on that the payer can pay only if those before it are
        refused: they are asked for when that is known.
        """
        owner = bulk.principal.key
        async with self._units() as unit:
            taken = await unit.transfers.references(
                [(owner, order.client_reference) for _, order in rows]
            )
            kept = await unit.bulk.quotes(bulk.id, [line for line, _ in rows])
            now = unit.now
        self._away = {code: until for code, until in self._away.items() if until > now}
        there = {line for line, order in rows if (owner, order.client_reference) in taken}
        fresh = [each for each in rows if each[0] not in there]
        firm = await asyncio.gather(
            *(self._firm(bulk, each, kept.get(each[0]), now) for each in fresh)
        )
        decided = list(zip(fresh, firm, strict=True))
        covered = await self._covered(decided)
        came_of = await asyncio.gather(
            *(
                self._registered(bulk, order, found, now)
                for (line, order), found in decided
                if line in covered
            )
        )
        lines = [line for (line, _), _ in decided if line in covered]
        return {**dict.fromkeys(there), **dict(zip(lines, came_of, strict=True))}

    async def _firm(
        self, bulk: Bulk, row: tuple[int, Order], kept: UUID | None, now: datetime
    ) -> Quote | NodeError:
        """The quote of a row: the one that it has, as long as it is good, or a new one."""
        line, order = row
        async with self._at_once:
            try:
                quote = None if kept is None else await self._good(kept)
                if quote is not None:
                    return quote
                self._check_near(order.buy)
                quote = await self._new(bulk, order)
            except NodeError as error:
                self._note(error, order.buy, now)
                return error
            async with self._units() as unit:
                if not await unit.bulk.bind(bulk.id, line, quote.id, kept):
                    return Unavailable("the row is being asked for already; it is tried again")
        self._failpoint("after_bulk_row_bound")
        return quote

    async def _good(self, quote_id: UUID) -> Quote | None:
        """The quote of a row, if its payout is registered on it or still can be.

        Raises:
            PartnerRefused: The partner registered something else: an operator has the break.
        """
        async with self._units() as unit:
            quote = await unit.quotes.get(quote_id)
            order = await unit.payout_orders.order(quote_id)
            if order is not None and order.state is OrderState.DISPUTED:
                raise PartnerRefused("the partner registered something else than it was asked for")
            if order is not None and order.state not in _GOING_ON:
                return None
            is_active = quote is not None and quote.status(unit.now) is QuoteStatus.ACTIVE
            return quote if is_active else None

    async def _new(self, bulk: Bulk, order: Order) -> Quote:
        made: list[Quote] = []

        def keep(quote: Quote) -> Answer:
            made.append(quote)
            return Answer(201, b"")

        await self._quotes.create(bulk.principal, quote_request(order, _FIRM_S), None, keep)
        return made[-1]  # that of the attempt that was committed

    async def _covered(
        self, decided: Sequence[tuple[tuple[int, Order], Quote | NodeError]]
    ) -> frozenset[int]:
        """Lines before the first that is covered alone, and not after those before it."""
        sales = [
            (order.customer_id, found.price.sell)
            for (_, order), found in decided
            if isinstance(found, Quote)
        ]
        async with self._units() as unit:
            means = await Means.read(unit, sales)

        def is_covered(each: tuple[tuple[int, Order], Quote | NodeError]) -> bool:
            (_, order), found = each
            if isinstance(found, NodeError):
                return True
            return means.covers(order.customer_id, found.price.sell)

        return frozenset(line for (line, _), _ in takewhile(is_covered, decided))

    async def _registered(
        self, bulk: Bulk, order: Order, found: Quote | NodeError, now: datetime
    ) -> TransferRequest | NodeError:
        if isinstance(found, NodeError):
            return found
        request = transfer_request(bulk.principal, order, found.id)
        async with self._at_once:
            try:
                self._check_near(order.buy)
                await self._ordering.register(request)
            except NodeError as error:
                self._note(error, order.buy, now)
                return error
        return request

    def _check_near(self, code: str) -> None:
        """Others do not wait for each row of a partner that has just not answered.

        Raises:
            PartnerUnavailable: Who pays out this currency is away.
        """
        if code in self._away:
            raise PartnerUnavailable(f"the partner that pays {code} out has just not answered")

    def _note(self, error: NodeError, code: str, now: datetime) -> None:
        if isinstance(error, PartnerUnavailable) and not isinstance(error, PartnerBusy):
            self._away.setdefault(code, now + _AWAY)
