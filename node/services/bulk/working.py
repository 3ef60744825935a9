"""The job that prices and accepts the rows of bulk transfers.

A batch of rows is priced, accepted and recorded in one database transaction, by the very rules
that single quotes and transfers follow (`QuoteService.make`, `Acceptance.accept`): killed at any
moment, a row is either done and recorded, or neither. A row whose client reference an earlier
transfer of the owner has is that transfer, if it says the same; so a file that comes again pays
nobody twice.

Rows that partners pay out are asked of them before that transaction (`asking`); what came of it,
and of every other row, is decided in it.

What is refused for good rejects its row. What is not possible now (no rate, no liquidity, a partner
that is away) leaves it pending; rows are tried again, in passes, until `accept_by`. All or nothing
is one transaction for all rows: one that is refused undoes it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Final

from node.core.bulk import (
    REJECTED_TOGETHER,
    ROWS_MAX,
    Bulk,
    BulkStatus,
    Fault,
    Mode,
    Order,
    Outcome,
)
from node.core.catalog import Catalog
from node.core.errors import (
    AddressInvalid,
    AmountOutOfRange,
    BeneficiaryRefused,
    ClientReferenceUsed,
    InsufficientFunds,
    LimitExceeded,
    NodeError,
    NotFound,
    PairNotOffered,
    PartnerSuspended,
    QuoteExpired,
    QuoteRevoked,
    Throttled,
    Unavailable,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import PartnerStatus, Principal
from node.core.payouts import RefundPolicy
from node.core.ports import Unit, UnitOfWork
from node.core.ports.transfers import NewEvent, Transfer
from node.core.quotes import Quote
from node.core.units import parse_minor
from node.services.bulk.asking import ASKED_MAX, LEASE_S, Asked, PartnerRows
from node.services.bulk.bulk_transfers import event_of
from node.services.bulk.orders import beneficiary_of, quote_request, transfer_request
from node.services.pricing.quoting import QuoteService
from node.services.transfers.acceptance import Acceptance, TransferRequest, accepted_event

BATCH_ROWS: Final = 256
"""Rows of one transaction: bounds how long others wait for the ledger."""

PAUSE_S: Final = 5
"""Between two passes over rows that cannot be accepted now."""

_POINTERS: Final[Mapping[type[NodeError], str]] = {
    NotFound: "/customer_id",
    AddressInvalid: "/beneficiary/address",
    BeneficiaryRefused: "/beneficiary",
    ClientReferenceUsed: "/client_reference",
    InsufficientFunds: "/sell",
    LimitExceeded: "/sell",
    PairNotOffered: "/buy/currency",
}

_PASSING: Final = (Unavailable, Throttled, QuoteExpired, QuoteRevoked)
"""What leaves a row pending. A quote that was good when its partner was asked is made anew."""

_Pending = Sequence[tuple[int, Order]]


class _Undone(Exception):
    """All or nothing, and it is not all."""

    def __init__(self, bulk: Bulk, outcomes: Sequence[Outcome], waiting: str | None) -> None:
        super().__init__()
        self.bulk = bulk
        self.outcomes = outcomes
        self.waiting = waiting


class BulkWorker:
    """Carries bulk transfers out, one batch after the other, each in its turn.

    Args:
        units: Opens transactions.
        catalog: Currencies and their digits.
        quoting: Prices rows.
        acceptance: Accepts them.
        refresh: Brings rates up to date, where they are not.
        partner_rows: Asks partners for rows that they pay out.
    """

    def __init__(
        self,
        units: UnitOfWork,
        catalog: Catalog,
        quoting: QuoteService,
        acceptance: Acceptance,
        refresh: Callable[[], Awaitable[None]],
        partner_rows: PartnerRows,
    ) -> None:
        self._units = units
        self._partner_rows = partner_rows
        self._refresh = refresh
        self._catalog = catalog
        self._quoting = quoting
        self._acceptance = acceptance

    async def run_once(self) -> int:
        """Try one batch of the bulk transfer that has waited longest; how many rows that were."""
        async with self._units() as unit:
            bulk = await unit.bulk.claim()
            if bulk is None:
                return 0
            to_ask = await _to_ask(unit, bulk)
            if to_ask:
                await unit.bulk.lease(bulk.id, seconds=LEASE_S)
        await self._refresh()  # sources and partners are asked outside of transactions
        asked = await self._partner_rows.ask(bulk, to_ask) if to_ask else {}
        try:
            async with self._units() as unit:
                bulk = await unit.bulk.claim(bulk.id if to_ask else None)
                if bulk is None:
                    return 0
                return await self._step(unit, bulk, asked)
        except _Undone as undone:
            async with self._units() as unit:
                return await _undo(unit, undone)

    async def _step(self, unit: Unit, bulk: Bulk, asked: Asked) -> int:
        is_whole = bulk.mode is Mode.ALL_OR_NOTHING
        pending = await _batch(unit, bulk)
        if not pending and bulk.pending:
            await unit.bulk.rest(bulk.id, seconds=PAUSE_S)
            return 0
        if await _is_suspended(unit, bulk.principal):
            return await _hold(unit, bulk)
        rows = _before_unasked(pending, asked)
        outcomes, waiting, events = await self._carry_out(unit, bulk, rows, asked)
        if is_whole and any(each.transfer_id is None for each in outcomes):
            raise _Undone(bulk, outcomes, waiting)
        if waiting is None and bulk.passed_line:
            waiting = bulk.waiting_code  # of an earlier batch of this pass
        passed_line = rows[-1][0] if rows else bulk.passed_line
        await unit.bulk.record(bulk.id, outcomes, passed_line=passed_line, waiting=waiting)
        still_pending = sum(1 for each in outcomes if not each.transfer_id and not each.faults)
        if bulk.pending - len(rows) + still_pending == 0:
            events = [*events, event_of(await unit.bulk.finish(bulk.id, BulkStatus.COMPLETED))]
        await unit.events.append(events)
        return len(rows)

    async def _carry_out(
        self, unit: Unit, bulk: Bulk, rows: _Pending, asked: Asked
    ) -> tuple[list[Outcome], str | None, Sequence[NewEvent]]:
        """Outcomes of rows in their order; why some wait; what happened to transfers."""
        principal = bulk.principal
        priced = await self._price(unit, principal, rows)
        await unit.ledger.lock()
        there = await _there(unit, principal, [order for _, order in rows])
        came_of: dict[int, Transfer | NodeError] = {}
        requests: list[tuple[int, TransferRequest]] = []
        made: list[Quote] = []
        for line, order in rows:
            earlier = there.get(order.client_reference)
            if earlier is not None:
                came_of[line] = self._repeated(order, earlier)
            elif isinstance(found := asked[line] if order.is_paid_out else priced[line], NodeError):
                came_of[line] = found
            elif isinstance(found, Quote):
                requests.append((line, transfer_request(principal, order, found.id)))
                made.append(found)
            else:
                assert found is not None  # what was a transfer then, still is
                requests.append((line, found))
        if requests:
            decided = await self._acceptance.accept(unit, [each for _, each in requests], made)
            came_of |= {line: found for (line, _), found in zip(requests, decided, strict=True)}
        is_late = unit.now >= bulk.accept_by
        outcomes = [
            _outcome(line, order, came_of[line], there, is_late=is_late) for line, order in rows
        ]
        events = [
            accepted_event(each)
            for line, each in came_of.items()
            if isinstance(each, Transfer) and each.client_reference not in there
        ]
        return outcomes, None if is_late else _waiting(list(came_of.values())), events

    async def _price(
        self, unit: Unit, principal: Principal, rows: _Pending
    ) -> Mapping[int, Quote | NodeError]:
        """Quotes by line, of rows that are no transfers yet: those take no liquidity of others.

        Rows that partners pay out have theirs already.
        """
        rows = [each for each in rows if not each[1].is_paid_out]
        if not rows:
            return {}
        known = await unit.transfers.references(
            [(principal.key, order.client_reference) for _, order in rows]
        )
        fresh = [each for each in rows if (principal.key, each[1].client_reference) not in known]
        made = await self._quoting.make(
            unit, principal, [quote_request(order) for _, order in fresh]
        )
        return {line: quote for (line, _), quote in zip(fresh, made, strict=True)}

    def _repeated(self, order: Order, earlier: Transfer) -> Transfer | NodeError:
        """The transfer that is there, where the order says the same."""
        if self._says_the_same(order, earlier):
            return earlier
        return ClientReferenceUsed(
            "another transfer has this client_reference, and says something else",
            transfer_id=encode_id(Prefix.TRANSFER, earlier.id),
        )

    def _says_the_same(self, order: Order, earlier: Transfer) -> bool:
        amounts, payout = earlier.amounts, earlier.payout
        buy_asset, bought = amounts.buy_asset, amounts.buy
        if payout is not None:
            buy_asset, bought = payout.delivered.asset.code, payout.delivered.minor
        if order.sell_amount is not None:
            minor = parse_minor(order.sell_amount, self._catalog.asset(order.sell))
            is_amount = minor == amounts.sell
        else:
            minor = parse_minor(order.buy_amount or "", self._catalog.asset(order.buy))
            is_amount = minor == bought
        whom, policy = earlier.beneficiary, order.refund_policy or RefundPolicy.REFUND
        if payout is not None:
            whom = replace(whom, address="")  # the partner gave it
            is_amount = is_amount and payout.refund_policy is policy
        return is_amount and (
            (order.sell, order.buy, order.customer_id, order.purpose)
            == (amounts.sell_asset, buy_asset, earlier.customer_id, earlier.purpose)
            and beneficiary_of(order) == whom
        )


async def _batch(unit: Unit, bulk: Bulk) -> _Pending:
    """The rows that are next: so many at most, and so many of them that partners pay out."""
    limit = ROWS_MAX if bulk.mode is Mode.ALL_OR_NOTHING else BATCH_ROWS
    rows = await unit.bulk.pending(bulk.id, after_line=bulk.passed_line, limit=limit)
    places = [place for place, (_, order) in enumerate(rows) if order.is_paid_out]
    return rows if len(places) <= ASKED_MAX else rows[: places[ASKED_MAX]]


async def _to_ask(unit: Unit, bulk: Bulk) -> _Pending:
    """The next rows that a partner is to be asked for."""
    if bulk.mode is Mode.ALL_OR_NOTHING:  # none of them is paid out by a partner
        return ()
    rows = [each for each in await _batch(unit, bulk) if each[1].is_paid_out]
    return () if rows and await _is_suspended(unit, bulk.principal) else rows


def _before_unasked(rows: _Pending, asked: Asked) -> _Pending:
    """Rows before the first that its partner has not been asked for."""
    return list(takewhile(lambda each: each[0] in asked or not each[1].is_paid_out, rows))


async def _is_suspended(unit: Unit, principal: Principal) -> bool:
    """Whether the partner is suspended that ordered it, or whose customer did."""
    partner_id, customer_id = principal.partner_id, principal.customer_id
    if customer_id is not None:
        partner_id = (await unit.parties.customers([customer_id]))[customer_id].partner_id
    if partner_id is None:
        return False
    partner = await unit.partners.get(partner_id)
    return partner is not None and partner.status is PartnerStatus.SUSPENDED


async def _hold(unit: Unit, bulk: Bulk) -> int:
    """Let the rows of a suspended partner wait, as long as they may."""
    if unit.now < bulk.accept_by:
        await unit.bulk.record(bulk.id, (), passed_line=0, waiting=PartnerSuspended.code)
        await unit.bulk.rest(bulk.id, seconds=PAUSE_S)
        return 0
    await unit.bulk.reject_pending(
        bulk.id, PartnerSuspended.code, "the partner was suspended, until it was too late"
    )
    is_whole = bulk.mode is Mode.ALL_OR_NOTHING
    status = BulkStatus.REJECTED if is_whole else BulkStatus.COMPLETED
    await unit.events.append([event_of(await unit.bulk.finish(bulk.id, status))])
    return bulk.pending


async def _undo(unit: Unit, undone: _Undone) -> int:
    """Record why nothing was accepted; a row refused for good rejects all, others wait."""
    bulk = await unit.bulk.claim(undone.bulk.id)
    if bulk is None or bulk.version != undone.bulk.version:
        return 0  # another worker has it now
    refused = [each for each in undone.outcomes if each.faults]
    if not refused:
        await unit.bulk.record(bulk.id, (), passed_line=0, waiting=undone.waiting)
        await unit.bulk.rest(bulk.id, seconds=PAUSE_S)
        return 0
    await unit.bulk.record(bulk.id, refused, passed_line=0, waiting=None)
    await unit.bulk.reject_pending(
        bulk.id, REJECTED_TOGETHER, "another row was refused, and all or nothing was asked for"
    )
    ended = await unit.bulk.finish(bulk.id, BulkStatus.REJECTED)
    await unit.events.append([event_of(ended)])
    return bulk.rows


async def _there(
    unit: Unit, principal: Principal, orders: Sequence[Order]
) -> Mapping[str, Transfer]:
    """Transfers of the owner that have client references of these orders."""
    found = await unit.transfers.references(
        [(principal.key, order.client_reference) for order in orders]
    )
    locked = await unit.transfers.lock_many(list(found.values())) if found else ()
    transfers = await unit.transfers.with_payouts(locked)
    return {each.client_reference: each for each in transfers if each.client_reference}


def _outcome(
    line: int,
    order: Order,
    found: Transfer | NodeError,
    there: Mapping[str, Transfer],
    *,
    is_late: bool,
) -> Outcome:
    if isinstance(found, Transfer):
        return Outcome(line, found.id, is_repeated=order.client_reference in there)
    if isinstance(found, _PASSING) and not is_late:
        return Outcome(line)
    return Outcome(line, faults=(Fault(_pointer(order, found), found.code, found.detail),))


def _pointer(order: Order, error: NodeError) -> str:
    """The member of the row that a refusal is about."""
    if isinstance(error, AmountOutOfRange):
        return "/buy/amount" if order.sell_amount is None else "/sell/amount"
    return next((at for kind, at in _POINTERS.items() if isinstance(error, kind)), "")


def _waiting(found: Sequence[Transfer | NodeError]) -> str | None:
    """Why rows wait: the first reason."""
    return next((each.code for each in found if isinstance(each, _PASSING)), None)
