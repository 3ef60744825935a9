"""Ledger transactions: what an operator books by hand, and any of them shown."""

from typing import Final

from node.api import examples
from node.api.booking_views import LedgerTransactionView, ledger_transaction_view
from node.api.entries import entries_of
from node.api.operations import OPERATORS, Call, Example, KeyRule, Operations
from node.api.schemas import BookingBody
from node.core.errors import (
    AmountOutOfRange,
    InsufficientFunds,
    NotFound,
    Overloaded,
    RailUnknown,
    SecondPersonNeeded,
    WrongState,
)
from node.core.ports.history import TransactionRow
from node.core.ports.idempotency import Answer
from node.services.ledger.bookings import BookingRequest

operations: Final = Operations("Ledger")


@operations.post(
    "/v1/ledger/transactions",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=BookingBody,
    answer=LedgerTransactionView,
    example=Example(examples.LEDGER_TRANSACTION, body=examples.BOOKING_BODY),
    refusals=(
        NotFound,
        RailUnknown,
        WrongState,
        SecondPersonNeeded,
        AmountOutOfRange,
        InsufficientFunds,
        Overloaded,
    ),
)
async def create_ledger_transaction(call: Call[BookingBody, None]) -> Answer:
    """Book entries by hand.

    For what no other part of the node sees; `kind` says which accounts may move: `capital` (bank
    and capital), `partner_funding` (bank and a partner), `conversion` (bank and the position in a
    currency), `chargeback` (a customer or partner to the bank, and what they no longer have as
    `loss/chargeback`, for which a break is opened unless `break_id` names one that is open). What
    would leave customers' money not covered is refused, except a chargeback, which has happened.
    A loss above `CORRIDOR_TWO_PERSONS_ABOVE` is written off by two operators: the first one's
    booking is refused with 409 `second_person_needed` and kept as a proposal at the break
    `break_id`, where another operator approves it. Book first, alone, what the customer has left.
    What the chain, payouts and completed transfers move is the node's alone; corrections resolve a
    break.
    """
    body, catalog = call.body, call.services.catalog

    def render(booked: TransactionRow) -> Answer:
        location = f"/v1/ledger/transactions/{booked.sequence}"
        return call.answer(ledger_transaction_view(booked, catalog), location)

    return await call.services.bookings.create(
        BookingRequest(
            principal=call.principal,
            kind=body.kind,
            reason=body.reason,
            entries=entries_of(body.entries, catalog),
            break_id=body.break_id,
            reference=body.reference,
        ),
        call.required_claim,
        render,
        call.refusal,
    )


@operations.get(
    "/v1/ledger/transactions/{sequence}",
    who=OPERATORS,
    answer=LedgerTransactionView,
    example=Example(examples.LEDGER_TRANSACTION, path={"sequence": "12"}),
    refusals=(NotFound,),
)
async def show_ledger_transaction(call: Call[None, None]) -> Answer:
    """Show a ledger transaction, whoever booked it."""
    booked = await call.services.bookings.get(call.parameters["sequence"])
    return call.answer(ledger_transaction_view(booked, call.services.catalog))
