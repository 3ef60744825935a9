"""Money that arrives for a customer: at the operator's bank, or from a partner's prefunding.

Requests that wait share one database transaction (`node.services.batching`) under the ledger's
lock, so that each reference of a rail is booked once and a partner's balance is never overspent,
within a batch as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.catalog import Catalog
from node.core.errors import (
    AmountOutOfRange,
    NodeError,
    NotFound,
    RailUnknown,
    ReferenceUsed,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import (
    AMOUNT_MAX_MINOR,
    Entry,
    LedgerTransaction,
    bank_account,
    customer_account,
    partner_account,
)
from node.core.parties import Customer, Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import TopUp
from node.core.posting import WorkingCopy, paths_of
from node.core.units import Money, parse_amount
from node.services.batching import GroupCommit
from node.services.idempotency import Decided, RenderError, answer_batch, in_time
from node.services.ledger.posting import refusal_for

SANDBOX_RAIL: Final = "sandbox_bank"
"""A bank for play: open to operators and partners, only where the node is a sandbox."""


@dataclass(frozen=True, slots=True)
class TopUpRequest:
    """What a caller says arrived; `amount` is a decimal string."""

    principal: Principal
    customer_id: str
    currency: str
    amount: str
    rail: str
    reference: str


@dataclass(frozen=True, slots=True)
class _Submission:
    """A request, read, with how to answer it."""

    request: TopUpRequest
    customer_id: UUID
    amount: Money
    claim: Claim
    render: Callable[[TopUp], Answer]
    render_error: RenderError


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A submission whose money is the node's to book, if the reference is free."""

    submission: _Submission
    top_up_id: UUID
    funded_by: str
    transaction: LedgerTransaction

    @property
    def place(self) -> tuple[str, str]:
        return (self.submission.request.rail, self.submission.request.reference)


class TopUpService:
    """Books top-ups, each reference of a rail once."""

    def __init__(
        self,
        units: UnitOfWork,
        catalog: Catalog,
        new_id: Callable[[], UUID],
        *,
        sandbox: bool,
        rails: frozenset[str],
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._new_id = new_id
        self._sandbox = sandbox
        self._rails = rails
        self._group = GroupCommit(self._process)

    async def create(
        self,
        request: TopUpRequest,
        claim: Claim,
        render: Callable[[TopUp], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Book one top-up, at most once for its claim.

        Raises:
            NotFound: No such customer for this principal.
            RailUnknown: The node has no such rail for it.
            AmountInvalid: Not a decimal string of this currency.
            ReferenceUsed: The rail's reference was booked before; with `top_up_id`.
            InsufficientFunds: The partner's prefunded balance is too small; with `available`.
            IdempotencyInProgress: There is no answer after 10 s; it may still be booked.
            Overloaded: Too many wait; nothing was done.
        """
        customer_id = decode_id(Prefix.CUSTOMER, request.customer_id)
        amount = parse_amount(request.amount, self._catalog.fiat(request.currency))
        return await in_time(
            self._group.submit(
                _Submission(request, customer_id, amount, claim, render, render_error)
            )
        )

    async def _process(self, batch: Sequence[_Submission]) -> Sequence[Answer | Exception]:
        return await answer_batch(self._units, batch, self._answer)

    async def _answer(self, unit: Unit, batch: Sequence[_Submission]) -> Decided:
        customers = await unit.parties.customers([each.customer_id for each in batch])
        read = [self._read(each, customers) for each in batch]
        arrivals = [each for each in read if isinstance(each, _Arrival)]
        used = dict(await unit.transfers.top_ups_at([each.place for each in arrivals]))
        paths = paths_of(each.transaction for each in arrivals)
        accounts = WorkingCopy(await unit.ledger.balances(paths))
        decided: list[_Arrival | NodeError] = []
        for each in read:
            refusal = each if isinstance(each, NodeError) else self._decide(each, used, accounts)
            decided.append(refusal or each)
        accepted = [each for each in decided if isinstance(each, _Arrival)]
        booked = iter(await _store(unit, accepted))
        return Decided(
            [
                each if isinstance(each, NodeError) else each.submission.render(next(booked))
                for each in decided
            ]
        )

    def _read(
        self, submission: _Submission, customers: Mapping[UUID, Customer]
    ) -> _Arrival | NodeError:
        """What a submission would book, or why it may not."""
        request, amount = submission.request, submission.amount
        customer = customers.get(submission.customer_id)
        if customer is None or not customer.is_visible_to(request.principal):
            return NotFound("there is no such customer")
        funded_by = self._funded_by(request)
        if isinstance(funded_by, NodeError):
            return funded_by
        if not 0 < amount.minor <= AMOUNT_MAX_MINOR:
            return _out_of_range(amount)
        asset = amount.asset.code
        source = bank_account(request.rail, asset)
        if funded_by == "partner":
            assert request.principal.partner_id is not None
            source = partner_account(request.principal.partner_id, asset)
        top_up_id = self._new_id()
        transaction = LedgerTransaction(
            key=f"top_up:{top_up_id}",
            kind="top_up",
            entries=[Entry(source, customer_account(customer.id, asset), asset, amount.minor)],
            detail={"rail": request.rail, "reference": request.reference},
        )
        return _Arrival(submission, top_up_id, funded_by, transaction)

    def _funded_by(self, request: TopUpRequest) -> str | RailUnknown:
        if request.rail == SANDBOX_RAIL and self._sandbox:
            return "bank"
        if request.rail in self._rails:
            return "bank" if request.principal.role is Role.OPERATOR else "partner"
        return RailUnknown(
            f"the node has no rail {request.rail!r} for you;"
            f" it has: {', '.join(sorted(self._offered())) or 'none'}"
        )

    def _decide(
        self, arrival: _Arrival, used: dict[tuple[str, str], UUID], accounts: WorkingCopy
    ) -> NodeError | None:
        """Take the reference and the money in the working copies; None, or the refusal."""
        if (earlier := used.get(arrival.place)) is not None:
            return ReferenceUsed(
                "this reference of the rail was booked before",
                top_up_id=encode_id(Prefix.TOP_UP, earlier),
            )
        if (shortfall := accounts.take(arrival.transaction)) is not None:
            return refusal_for(
                shortfall, self._catalog, "the partner's prefunded balance is too small"
            )
        used[arrival.place] = arrival.top_up_id
        return None

    def _offered(self) -> frozenset[str]:
        return self._rails | ({SANDBOX_RAIL} if self._sandbox else frozenset())


async def _store(unit: Unit, arrivals: Sequence[_Arrival]) -> Sequence[TopUp]:
    sequences = await unit.ledger.post([each.transaction for each in arrivals])
    top_ups = [
        TopUp(
            each.top_up_id,
            each.submission.customer_id,
            each.submission.amount.asset.code,
            each.submission.amount.minor,
            each.submission.request.rail,
            each.submission.request.reference,
            each.funded_by,
            each.submission.request.principal.key,
            sequences[each.transaction.key],
            unit.now,
        )
        for each in arrivals
    ]
    await unit.transfers.add_top_ups(top_ups)
    return top_ups


def _out_of_range(amount: Money) -> AmountOutOfRange:
    least, most = (Money(minor, amount.asset) for minor in (1, AMOUNT_MAX_MINOR))
    return AmountOutOfRange(
        f"a top-up is at least {least} and at most {most} {amount.asset.code}",
        min=least.stated,
        max=most.stated,
    )
