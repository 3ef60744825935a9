"""Accepting transfers: quote consumed, number allotted, money reserved, transfer stored.

All requests that wait share one database transaction (`node.services.batching`) under the
ledger's lock, so limits are exact whatever runs in parallel: each is decided against a working
copy of the books in which those before it in the batch have already happened. What follows a
transfer afterwards is in `node.services.transfers.transfers`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from node.core.errors import (
    AddressInvalid,
    ClientReferenceUsed,
    DatabaseUnavailable,
    InsufficientFunds,
    LiquidityUnavailable,
    NodeError,
    NotFound,
    PairNotOffered,
    QuoteExpired,
    QuoteRevoked,
    QuoteUsed,
    SettlementRecovering,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import (
    Balance,
    LedgerTransaction,
    TransferAmounts,
    acceptance_entries,
    chain_account,
    customer_account,
    in_flight_account,
)
from node.core.parties import Customer, Principal
from node.core.payout_orders import OrderState, PartnerUnavailable, PayoutOrder
from node.core.payouts import BANK, RefundPolicy
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import AddressCodec
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Beneficiary, NewEvent, Transfer
from node.core.quotes import Quote, QuoteStatus
from node.core.transfers import State
from node.core.units import Address, Money
from node.services.batching import GroupCommit
from node.services.idempotency import Decided, RenderError, answer_batch, in_time
from node.services.partners.selling import DailyLimits
from node.services.transfers.paid_by_partners import (
    asking,
    check_account,
    check_bound,
    check_policy,
    payout_row,
    payout_terms,
)


@dataclass(frozen=True, slots=True)
class SettlementTarget:
    """Where transfers accepted now are settled.

    Attributes:
        token: Asset code of the stablecoin.
        holders: Addresses whose final balance of the token backs promises: contract and treasury.
        unpayable: Addresses no beneficiary may have: zero, the token, the node's own.
        settle_within_s: From acceptance to `settle_by`.
        pays_by_partners: Whether some transfers are paid out by partners.
    """

    chain_id: int
    contract: Address
    token: str
    holders: tuple[Address, ...]
    unpayable: frozenset[Address]
    settle_within_s: int
    pays_by_partners: bool = False


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What a caller orders; ids already decoded.

    Attributes:
        is_refund: A partner's own money goes back to it: no limit of a day counts it.
    """

    principal: Principal
    quote_id: UUID
    customer_id: UUID
    beneficiary: Beneficiary
    client_reference: str | None = None
    purpose: str | None = None
    refund_policy: RefundPolicy | None = None
    is_refund: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """A request with how to answer it."""

    request: TransferRequest
    claim: Claim
    render: Callable[[Transfer], Answer]
    render_error: RenderError


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A request that passed every check, and what it becomes."""

    request: TransferRequest
    quote: Quote
    amounts: TransferAmounts
    address: Address
    transfer_id: UUID
    order: PayoutOrder | None


@dataclass(slots=True)
class _Books:
    """What the batch is decided against; changes as its items are accepted."""

    customers: Mapping[UUID, Customer]
    daily: DailyLimits
    quotes: dict[UUID, Quote]
    orders: Mapping[UUID, PayoutOrder]  # what partners are to pay out, by quote
    references: dict[tuple[str, str], UUID]
    available: dict[str, int]  # by customer account
    headroom: int  # token units the node can still promise
    is_recovering: bool


class Acceptance:
    """Accepts transfers in batches."""

    def __init__(
        self,
        units: UnitOfWork,
        target: SettlementTarget,
        addresses: AddressCodec,
        new_id: Callable[[], UUID],
        is_bound: Callable[[], bool] = lambda: True,
    ) -> None:
        self._units = units
        self._is_bound = is_bound
        self._target = target
        self._addresses = addresses
        self._new_id = new_id
        self._group = GroupCommit(self._process)

    async def create(self, submission: Submission) -> Answer:
        """Accept or refuse one transfer, at most once for its claim.

        Raises:
            NodeError: A refusal that is not remembered: 404, 503, another body under the same key.
            IdempotencyInProgress: There is no answer after 10 s; it may still be accepted.
        """
        if not self._is_bound():
            raise DatabaseUnavailable(
                "the node has not yet compared its settings with its database; try again soon"
            )
        return await in_time(self._group.submit(submission))

    async def _process(self, batch: Sequence[Submission]) -> Sequence[Answer | Exception]:
        return await answer_batch(self._units, batch, self._answer)

    async def _answer(self, unit: Unit, batch: Sequence[Submission]) -> Decided:
        """Answer submissions of different claims, in order."""
        decided = await self.accept(unit, [each.request for each in batch])
        return Decided(
            [
                came_of if isinstance(came_of, NodeError) else each.render(came_of)
                for each, came_of in zip(batch, decided, strict=True)
            ],
            [accepted_event(each) for each in decided if not isinstance(each, NodeError)],
        )

    async def accept(
        self, unit: Unit, requests: Sequence[TransferRequest], made: Sequence[Quote] = ()
    ) -> Sequence[Transfer | NodeError]:
        """Accept or refuse transfers in the caller's transaction, in order.

        For whoever keeps what comes of each in the same transaction (`node.services.bulk`): it
        holds the ledger's lock, and appends `accepted_event` of each transfer, last of all.

        Args:
            unit: The transaction.
            requests: What is ordered.
            made: Quotes that were made in it and are not stored; those that are used will be.
        """
        fresh = {each.id: each for each in made}
        books = await self._read_books(unit, requests, fresh)
        decided: list[_Accepted | NodeError] = []
        for each in requests:
            try:
                transfer_id = self._new_id()
                quote, address = self._decide(unit, books, each, transfer_id)
                order = books.orders.get(quote.id)
                decided.append(_Accepted(each, quote, quote.amounts, address, transfer_id, order))
            except NodeError as error:
                decided.append(error)
        accepted = [each for each in decided if isinstance(each, _Accepted)]
        await unit.quotes.insert_many(
            [fresh[each.quote.id] for each in accepted if each.quote.id in fresh]
        )
        stored = iter(await self._store(unit, accepted))
        return [each if isinstance(each, NodeError) else next(stored) for each in decided]

    async def _read_books(
        self, unit: Unit, requests: Sequence[TransferRequest], fresh: Mapping[UUID, Quote]
    ) -> _Books:
        asked = [each.quote_id for each in requests if each.quote_id not in fresh]
        quotes = {**(await unit.quotes.lock_many(asked) if asked else {}), **fresh}
        legs = [each.id for each in quotes.values() if each.leg is not None]
        accounts = {
            customer_account(each.customer_id, quotes[each.quote_id].price.sell.asset.code)
            for each in requests
            if each.quote_id in quotes
        }
        balances = await unit.ledger.balances([*sorted(accounts), *liquidity_paths(self._target)])
        customers = await unit.parties.customers([each.customer_id for each in requests])
        selling = [
            (customers[each.customer_id].partner_id, quotes[each.quote_id].price.sell.asset.code)
            for each in requests
            if each.customer_id in customers and each.quote_id in quotes
        ]
        return _Books(
            customers=customers,
            daily=await DailyLimits.read(unit, selling),
            quotes=quotes,
            orders=await unit.payout_orders.orders(legs) if legs else {},
            references=dict(
                await unit.transfers.references(
                    [
                        (each.principal.key, each.client_reference)
                        for each in requests
                        if each.client_reference is not None
                    ]
                )
            ),
            available={path: balances[path].available for path in accounts},
            headroom=headroom(self._target, balances) + await at_partners(unit, self._target),
            is_recovering=await unit.settlement.is_recovering(self._target.chain_id),
        )

    def _decide(
        self, unit: Unit, books: _Books, request: TransferRequest, transfer_id: UUID
    ) -> tuple[Quote, Address]:
        """Accept against the working copy, which then holds it; the first failing check raises."""
        if books.is_recovering:
            raise SettlementRecovering(
                "an operator must act first: a settlement lane is to be adopted, or the chain has"
                " replaced a block that was final"
            )
        customer = books.customers.get(request.customer_id)
        if customer is None or not customer.is_visible_to(request.principal):
            raise NotFound("there is no such customer")
        quote = usable(books.quotes.get(request.quote_id), request, unit.now)
        address = self._address(request, quote, books.orders.get(quote.id))
        reference = (request.principal.key, request.client_reference or "")
        if request.client_reference is not None and (used := books.references.get(reference)):
            raise ClientReferenceUsed(
                "another transfer has this client_reference",
                transfer_id=encode_id(Prefix.TRANSFER, used),
            )
        sell, buy = quote.price.sell, quote.price.buy
        if not request.is_refund:
            books.daily.check(customer, sell)
        account = customer_account(request.customer_id, sell.asset.code)
        if books.available[account] < sell.minor:
            raise insufficient(sell, books.available[account])
        if books.headroom < buy.minor:
            raise LiquidityUnavailable(
                "the node cannot promise this much now; the quote stays active, try again later"
            )
        books.available[account] -= sell.minor
        books.headroom -= buy.minor
        if not request.is_refund:
            books.daily.take(customer, sell)
        books.quotes[quote.id] = replace(quote, transfer_id=transfer_id)
        if request.client_reference is not None:
            books.references[reference] = transfer_id
        return quote, address

    def _address(
        self, request: TransferRequest, quote: Quote, order: PayoutOrder | None
    ) -> Address:
        """Where the token goes: to the beneficiary, or to the partner that was asked to pay out."""
        check_account(request.beneficiary, quote)
        check_policy(request.refund_policy, quote)
        if quote.leg is None:
            return self._payable(self._addresses.parse(request.beneficiary.address))
        if order is None or order.state is OrderState.REGISTERING:
            raise PartnerUnavailable("the payout is not registered at the partner yet; ask again")
        if order.state is not OrderState.REGISTERED or order.address is None:
            raise QuoteExpired("the partner does not keep its price any more; ask for a new quote")
        to, policy = request.beneficiary, request.refund_policy
        check_bound(asking(quote.id, to, request.purpose, policy), order)
        return self._payable(order.address)

    def _payable(self, address: Address) -> Address:
        if address in self._target.unpayable:
            raise AddressInvalid(
                "this address cannot be paid: it is zero, the token's or the node's own"
            )
        return address

    async def _store(self, unit: Unit, accepted: Sequence[_Accepted]) -> Sequence[Transfer]:
        if not accepted:
            return ()
        target = self._target
        number = await unit.transfers.allot_numbers(target.chain_id, target.contract, len(accepted))
        sequences = await unit.ledger.post(
            [
                LedgerTransaction(
                    key=f"transfer:{each.transfer_id}",
                    kind="transfer",
                    pending=True,
                    transfer_id=each.transfer_id,
                    entries=acceptance_entries(
                        each.request.customer_id, target.chain_id, each.amounts
                    ),
                    detail=self._terms(each, payment_number),
                )
                for payment_number, each in enumerate(accepted, start=number)
            ]
        )
        transfers = [
            self._new_transfer(
                unit, each, number + place, sequences[f"transfer:{each.transfer_id}"]
            )
            for place, each in enumerate(accepted)
        ]
        await unit.transfers.insert_many(transfers)
        await unit.quotes.consume_many([(each.quote_id, each.id) for each in transfers])
        return transfers

    def _terms(self, accepted: _Accepted, payment_number: int) -> dict[str, str]:
        """What the ledger keeps of a promise besides its money: who is paid, and at which price.

        The hash of the batch covers it, so that nobody can redirect a payment, or stretch the
        quote it came from, unseen.
        """
        quote = accepted.quote
        return {
            "beneficiary": f"0x{accepted.address.hex()}",
            "quote": str(quote.id),
            "quote_expires_at": quote.expires_at.isoformat(timespec="microseconds"),
            "mid_rate": format(quote.price.mid_rate, "f"),
            "spread_bps": str(quote.price.spread_bps),
            "chain_id": str(self._target.chain_id),
            "contract": f"0x{self._target.contract.hex()}",
            "payment_number": str(payment_number),
            **payout_terms(quote, accepted.order),
        }

    def _new_transfer(
        self,
        unit: Unit,
        accepted: _Accepted,
        payment_number: int,
        pending_sequence: int,
    ) -> Transfer:
        request, quote, order = accepted.request, accepted.quote, accepted.order
        beneficiary = request.beneficiary
        settle_by = unit.now + timedelta(seconds=self._target.settle_within_s)
        if order is not None and order.pay_by is not None:
            beneficiary = replace(beneficiary, address=self._addresses.text(accepted.address))
            settle_by = min(settle_by, order.pay_by)
        return Transfer(
            id=accepted.transfer_id,
            version=1,
            state=State.FUNDED,
            customer_id=request.customer_id,
            owner=request.principal.key,
            quote_id=quote.id,
            client_reference=request.client_reference,
            purpose=request.purpose,
            beneficiary=beneficiary,
            beneficiary_address=accepted.address,
            amounts=accepted.amounts,
            chain_id=self._target.chain_id,
            contract=self._target.contract,
            payment_number=payment_number,
            pending_sequence=pending_sequence,
            slot_id=None,
            was_written=False,
            batches_failed=0,
            void_outcome=None,
            waiting_code=None,
            waiting_since=None,
            tx_hash=None,
            block_number=None,
            failure=None,
            created_at=unit.now,
            settle_by=settle_by,
            partner_id=None if order is None else order.partner_id,
            payout=None if order is None else payout_row(quote, order),
        )


def liquidity_paths(target: SettlementTarget) -> list[str]:
    """Accounts that say how much the node can still promise."""
    return [
        in_flight_account(target.chain_id, target.token),
        *(chain_account(target.chain_id, each, target.token) for each in target.holders),
    ]


def headroom(target: SettlementTarget, balances: Mapping[str, Balance]) -> int:
    """Token units not promised: posted balances of contract and treasury less open payouts."""
    promised, *held = (balances[path] for path in liquidity_paths(target))
    return sum(each.posted for each in held) - promised.credits_pending


def insufficient(sell: Money, available_minor: int) -> InsufficientFunds:
    """What a customer is told that has less than a transfer takes."""
    available = Money(available_minor, sell.asset)
    return InsufficientFunds(
        f"the customer has {available} {sell.asset.code} available and the transfer takes"
        f" {sell} {sell.asset.code}; top up first",
        available=available.stated,
    )


async def at_partners(unit: Unit, target: SettlementTarget) -> int:
    """Token units that are promised no more though their pendings are open: partners have them."""
    if not target.pays_by_partners:
        return 0
    return await unit.payout_orders.promised_at_partners(target.token)


def usable(quote: Quote | None, request: TransferRequest, now: datetime) -> Quote:
    """The quote, if this request may consume it now.

    Raises:
        NotFound, PairNotOffered, QuoteUsed, QuoteRevoked, QuoteExpired: It may not.
    """
    if (
        quote is None
        or quote.maker != request.principal.key
        or quote.customer_id not in (None, request.customer_id)
    ):
        raise NotFound("there is no such quote")
    if quote.price.payout_method == BANK:
        raise PairNotOffered(
            "the quote is for a payout: a partner pays for it on the chain (POST /v1/payouts)"
        )
    if quote.transfer_id is not None:
        raise QuoteUsed(
            "the quote was consumed by another transfer; ask for a new quote",
            transfer_id=encode_id(Prefix.TRANSFER, quote.transfer_id),
        )
    if quote.revoked_at is not None:
        raise QuoteRevoked(
            "the quote was revoked when quoting of its currency was halted; ask for a new quote",
            reason=quote.revoked_reason,
        )
    if quote.status(now) is not QuoteStatus.ACTIVE:
        raise QuoteExpired("the quote has expired; ask for a new quote")
    return quote


def accepted_event(transfer: Transfer) -> NewEvent:
    """The first line of a transfer's timeline."""
    return NewEvent(
        transfer.id,
        1,
        "transfer.funded",
        State.FUNDED,
        transfer.customer_id,
        {"payment_number": transfer.payment_number},
    )
