"""Ledger transactions that operators book by hand, and looking any of them up.

What each kind may move is in `node.core.bookings`. Requests share a database transaction under the
ledger's lock (`node.services.batching`); limits and keys are those of
`node.services.ledger.posting`. A loss is never booked without a break that says so: one that is
named, or one that is opened.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.bookings import BookingKind, Named, check_booking, has_loss
from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.catalog import Catalog
from node.core.consent import Proposal, TwoPersons
from node.core.errors import (
    AmountOutOfRange,
    InvalidInput,
    NodeError,
    NotFound,
    SecondPersonNeeded,
    WrongState,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import AMOUNT_MAX_MINOR, Entry, LedgerTransaction
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.history import TransactionRow
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Money, format_minor
from node.services.batching import GroupCommit
from node.services.idempotency import Decided, RenderError, answer_batch, in_time
from node.services.ledger.posting import PostingService

_SEQUENCE_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """What an operator books.

    Attributes:
        reason: Kept with the ledger transaction.
        break_id: Public id of the break it belongs to.
        reference: The bank's, by which a line of its statement is matched.
    """

    principal: Principal
    kind: BookingKind
    reason: str
    entries: Sequence[Entry]
    break_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class _Submission:
    """A request, checked, with how to answer it.

    Attributes:
        is_decided: Whether the node may refuse it so that what it owes stays covered.
        break_id: Of the break it names.
        new_break: The break it opens when it is booked, with its id.
        needs_second: Whether one person may only propose it: it writes off too much.
    """

    principal: Principal
    transaction: LedgerTransaction
    is_decided: bool
    named: Named
    break_id: UUID | None
    new_break: tuple[UUID, NewBreak] | None
    needs_second: bool
    claim: Claim
    render: Callable[[TransactionRow], Answer]
    render_error: RenderError


class BookingService:
    """Books what operators order, and shows ledger transactions.

    Args:
        units: Opens transactions.
        catalog: The assets there are.
        posting: Decides and books.
        new_id: Makes ids.
        rails: The node's banks.
        two_persons: When a second operator must agree with a loss.
    """

    def __init__(
        self,
        units: UnitOfWork,
        catalog: Catalog,
        posting: PostingService,
        new_id: Callable[[], UUID],
        *,
        rails: frozenset[str],
        two_persons: TwoPersons,
    ) -> None:
        self._two_persons = two_persons
        self._units = units
        self._catalog = catalog
        self._posting = posting
        self._new_id = new_id
        self._rails = rails
        self._group = GroupCommit(self._process)

    async def create(
        self,
        request: BookingRequest,
        claim: Claim,
        render: Callable[[TransactionRow], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Book one ledger transaction, at most once for its claim.

        Raises:
            InvalidInput: Accounts that this kind may not move, or a loss that names a break about
                something else.
            RailUnknown: A bank that the node has not.
            CurrencyUnknown: An asset that the node has not, or that no bank holds.
            AmountOutOfRange: An entry above the largest there may be; with `min` and `max`.
            NotFound: It names a customer, a partner or a break that does not exist.
            WrongState: The break it names is closed, or waits for a second operator.
            SecondPersonNeeded: It writes off more than one operator may: nothing is booked, it is
                proposed, and another operator approves it at the break `break_id`.
            InsufficientFunds: An account would fall below its floor, or what the node owes would
                not be covered; with `available`.
            IdempotencyInProgress: There is no answer after 10 s; it may still be booked.
            Overloaded: Too many wait; nothing was done.
        """
        named = check_booking(request.kind, request.entries, rails=self._rails)
        for entry in request.entries:
            self._check_amount(entry)
        return await in_time(
            self._group.submit(self._submission(request, named, claim, render, render_error))
        )

    async def get(self, sequence: str) -> TransactionRow:
        """One ledger transaction, whoever booked it.

        Raises:
            NotFound: No ledger transaction has this sequence.
        """
        if sequence.isascii() and sequence.isdigit() and len(sequence) <= _SEQUENCE_DIGITS_MAX:
            async with self._units() as unit:
                if found := await unit.history.transaction(int(sequence)):
                    return found
        raise NotFound("there is no such ledger transaction")

    def _check_amount(self, entry: Entry) -> None:
        at_a_bank = any(path.startswith("bank/") for path in (entry.debit, entry.credit))
        find = self._catalog.fiat if at_a_bank else self._catalog.ledger_asset
        asset = find(entry.asset)
        if entry.amount > AMOUNT_MAX_MINOR:
            least, most = (Money(minor, asset) for minor in (1, AMOUNT_MAX_MINOR))
            raise AmountOutOfRange(
                f"an entry is at most {most} {asset.code}", min=least.stated, max=most.stated
            )

    def _submission(
        self,
        request: BookingRequest,
        named: Named,
        claim: Claim,
        render: Callable[[TransactionRow], Answer],
        render_error: RenderError,
    ) -> _Submission:
        key = "booking:" + hashlib.sha256("\0".join(claim.scope).encode()).hexdigest()
        break_id = decode_id(Prefix.BREAK, request.break_id) if request.break_id else None
        new_break = None
        lost = [each for each in request.entries if each.debit.startswith("loss/")]
        if break_id is None and lost:
            new_break = (self._new_id(), self._loss(key, request))
        detail = {"reason": request.reason, "made_by": request.principal.key}
        if request.reference is not None:
            detail["reference"] = request.reference
        if belongs_to := break_id or (new_break[0] if new_break else None):
            detail["break"] = encode_id(Prefix.BREAK, belongs_to)
        return _Submission(
            request.principal,
            LedgerTransaction(key, request.kind.value, request.entries, detail=detail),
            request.kind.is_decided,
            named,
            break_id,
            new_break,
            bool(lost) and self._two_persons.needed_for(lost),
            claim,
            render,
            render_error,
        )

    def _loss(self, key: str, request: BookingRequest) -> NewBreak:
        lost = [each for each in request.entries if each.debit.startswith("loss/")]
        amounts = [
            f"{format_minor(each.amount, self._catalog.ledger_asset(each.asset).digits)}"
            f" {each.asset}"
            for each in lost
        ]
        return break_of(
            BreakCode.CHARGEBACK_LOSS,
            key,
            expected="nothing lost",
            actual=", ".join(amounts),
            evidence={"ledger_key": key, "reason": request.reason},
        )

    async def _process(self, batch: Sequence[_Submission]) -> Sequence[Answer | Exception]:
        return await answer_batch(self._units, batch, self._answer)

    async def _answer(self, unit: Unit, batch: Sequence[_Submission]) -> Decided:
        refused = [
            await _proposed(unit, each) if error is None and each.needs_second else error
            for each, error in zip(batch, await _refused(unit, batch), strict=True)
        ]
        there = [each for each, error in zip(batch, refused, strict=True) if error is None]
        outcomes = await self._posting.book(
            unit,
            [each.transaction for each in there],
            decisions={each.transaction.key for each in there if each.is_decided},
        )
        booked = await unit.history.transactions([each.transaction.key for each in there])
        await unit.breaks.open(
            [
                each.new_break
                for each in there
                if each.new_break is not None and each.transaction.key in booked
            ]
        )
        decided = iter(
            outcome if isinstance(outcome, NodeError) else each.render(booked[each.transaction.key])
            for each, outcome in zip(there, outcomes, strict=True)
        )
        return Decided([error if error is not None else next(decided) for error in refused])


async def _refused(unit: Unit, batch: Sequence[_Submission]) -> Sequence[NodeError | None]:
    """For each, what is wrong with what it names."""
    customers = await unit.parties.customers(
        sorted({each for one in batch for each in one.named.customers})
    )
    partners = await unit.parties.partners(
        sorted({each for one in batch for each in one.named.partners})
    )
    breaks = {
        each: await unit.breaks.lock(each)
        for each in sorted({one.break_id for one in batch if one.break_id is not None})
    }

    def refusal(submission: _Submission) -> NodeError | None:
        if not submission.named.customers <= customers.keys():
            return NotFound("there is no such customer")
        if not submission.named.partners <= partners:
            return NotFound("there is no such partner")
        if submission.break_id is None:
            return None
        return _refused_break(submission.transaction, breaks[submission.break_id])

    return [refusal(each) for each in batch]


async def _proposed(unit: Unit, submission: _Submission) -> NodeError:
    """Keep what one operator may not book alone, at its break; what the operator is told."""
    if submission.new_break is not None:
        await unit.breaks.open([submission.new_break])
    break_id = submission.break_id or (submission.new_break[0] if submission.new_break else None)
    found = await unit.breaks.lock(break_id) if break_id else None
    assert found is not None  # it was looked up, or opened just now
    if found.proposal is not None:
        return WrongState(f"{found.proposal.made_by} proposed something for this break already")
    transaction, made_by = submission.transaction, submission.principal.key
    proposal = Proposal(
        made_by,
        unit.now,
        transaction.detail["reason"],
        tuple(transaction.entries),
        transaction.kind,
        (found.expected, found.actual),
        transaction.key,
        transaction.detail.get("reference", ""),
    )
    await unit.breaks.propose(found.id, proposal)
    return SecondPersonNeeded(
        "one operator does not write off so much: nothing is booked, and another operator approves"
        " it at the break",
        made_by=made_by,
        break_id=encode_id(Prefix.BREAK, found.id),
    )


def _refused_break(transaction: LedgerTransaction, found: Break | None) -> NodeError | None:
    if found is None:
        return NotFound("there is no such break")
    if found.resolved_at is not None:
        return WrongState("the break is closed already")
    if has_loss(transaction.entries) and found.code != BreakCode.CHARGEBACK_LOSS:
        message = f"a loss names a break of code {BreakCode.CHARGEBACK_LOSS}, or none"
        fault = {"pointer": "/break_id", "code": "wrong_break", "message": message}
        return InvalidInput(message, errors=[fault])
    return None
