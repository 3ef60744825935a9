"""Accepting transfers: quote consumed, number allotted, money reserved, transfer stored.

All requests that wait share one database transaction (`node.services.batching`) under the
ledger's lock, so limits are exact whatever runs in parallel: each is decided against a working
copy of the books in which those before it in the batch have already happened. What follows a
transfer afterwards is in `node.services.transfers.transfers`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from node.core.errors import (
    AddressInvalid,
    ClientReferenceUsed,
    DatabaseUnavailable,
    InsufficientFunds,
    LiquidityUnavailable,
    NodeError,
    NotFound,
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
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import AddressCodec
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Beneficiary, NewEvent, Transfer
from node.core.quotes import Quote, QuoteStatus
from node.core.transfers import State
from node.core.units import Address, Money
from node.services.batching import GroupCommit
from node.services.idempotency import Decided, RenderError, answer_batch, in_time


@dataclass(frozen=True, slots=True)
class SettlementTarget:
    """Where transfers accepted now are settled.

    Attributes:
        token: Asset code of the stablecoin.
        holders: Addresses whose final balance of the token backs promises: contract and treasury.
        unpayable: Addresses no beneficiary may have: zero, the token, the node's own.
        settle_within_s: From acceptance to `settle_by`.
    """

    chain_id: int
    contract: Address
    token: str
    holders: tuple[Address, ...]
    unpayable: frozenset[Address]
    settle_within_s: int


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What a caller orders; ids already decoded."""

    principal: Principal
    quote_id: UUID
    customer_id: UUID
    beneficiary: Beneficiary
    client_reference: str | None = None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A request with how to answer it."""

    request: TransferRequest
    claim: Claim
    render: Callable[[Transfer], Answer]
    render_error: RenderError


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A submission that passed every check, and what it becomes."""

    submission: Submission
    quote: Quote
    amounts: TransferAmounts
    address: Address
    transfer_id: UUID


@dataclass(slots=True)
class _Books:
    """What the batch is decided against; changes as its items are accepted."""

    customers: Mapping[UUID, Customer]
    quotes: dict[UUID, Quote]
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
        books = await self._read_books(unit, [each.request for each in batch])
        decided: list[_Accepted | NodeError] = []
        for each in batch:
            try:
                transfer_id = self._new_id()
                quote, address = self._decide(unit, books, each.request, transfer_id)
                decided.append(_Accepted(each, quote, quote.amounts, address, transfer_id))
            except NodeError as error:
                decided.append(error)
        transfers = await self._store(
            unit, [each for each in decided if not isinstance(each, NodeError)]
        )
        stored = iter(transfers)
        return Decided(
            [
                each if isinstance(each, NodeError) else each.submission.render(next(stored))
                for each in decided
            ],
            [_accepted_event(transfer) for transfer in transfers],
        )

    async def _read_books(self, unit: Unit, requests: Sequence[TransferRequest]) -> _Books:
        quotes = dict(await unit.quotes.lock_many([each.quote_id for each in requests]))
        accounts = {
            customer_account(each.customer_id, quotes[each.quote_id].price.sell.asset.code)
            for each in requests
            if each.quote_id in quotes
        }
        balances = await unit.ledger.balances([*sorted(accounts), *liquidity_paths(self._target)])
        return _Books(
            customers=await unit.parties.customers([each.customer_id for each in requests]),
            quotes=quotes,
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
            headroom=headroom(self._target, balances),
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
        quote = _usable(books.quotes.get(request.quote_id), request, unit)
        address = self._payable(request.beneficiary.address)
        reference = (request.principal.key, request.client_reference or "")
        if request.client_reference is not None and (used := books.references.get(reference)):
            raise ClientReferenceUsed(
                "another transfer has this client_reference",
                transfer_id=encode_id(Prefix.TRANSFER, used),
            )
        sell, buy = quote.price.sell, quote.price.buy
        account = customer_account(request.customer_id, sell.asset.code)
        if books.available[account] < sell.minor:
            available = Money(books.available[account], sell.asset)
            raise InsufficientFunds(
                f"the customer has {available} {sell.asset.code} available and the transfer takes"
                f" {sell} {sell.asset.code}; top up first",
                available=available.stated,
            )
        if books.headroom < buy.minor:
            raise LiquidityUnavailable(
                "the node cannot promise this much now; the quote stays active, try again later"
            )
        books.available[account] -= sell.minor
        books.headroom -= buy.minor
        books.quotes[quote.id] = replace(quote, transfer_id=transfer_id)
        if request.client_reference is not None:
            books.references[reference] = transfer_id
        return quote, address

    def _payable(self, text: str) -> Address:
        address = self._addresses.parse(text)
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
                        each.submission.request.customer_id, target.chain_id, each.amounts
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
        }

    def _new_transfer(
        self,
        unit: Unit,
        accepted: _Accepted,
        payment_number: int,
        pending_sequence: int,
    ) -> Transfer:
        request, quote = accepted.submission.request, accepted.quote
        return Transfer(
            id=accepted.transfer_id,
            version=1,
            state=State.FUNDED,
            customer_id=request.customer_id,
            owner=request.principal.key,
            quote_id=quote.id,
            client_reference=request.client_reference,
            purpose=request.purpose,
            beneficiary=request.beneficiary,
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
            settle_by=unit.now + timedelta(seconds=self._target.settle_within_s),
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


def _usable(quote: Quote | None, request: TransferRequest, unit: Unit) -> Quote:
    if (
        quote is None
        or quote.maker != request.principal.key
        or quote.customer_id not in (None, request.customer_id)
    ):
        raise NotFound("there is no such quote")
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
    if quote.status(unit.now) is not QuoteStatus.ACTIVE:
        raise QuoteExpired("the quote has expired; ask for a new quote")
    return quote


def _accepted_event(transfer: Transfer) -> NewEvent:
    return NewEvent(
        transfer.id,
        1,
        "transfer.funded",
        State.FUNDED,
        transfer.customer_id,
        {"payment_number": transfer.payment_number},
    )
