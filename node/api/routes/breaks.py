"""Breaks: what does not agree, who looks after it, and how two operators close one."""

from typing import Any, Final

from node.api import break_examples, examples
from node.api.bodies import EmptyBody, invalid_body
from node.api.break_views import (
    BreakDocument,
    BreakHistoryDocument,
    break_document,
    break_event_document,
)
from node.api.entries import entries_of
from node.api.operations import OPERATORS, Call, Example, KeyRule, Operations, list_query
from node.api.schemas import AssignBody, BreakQuery, ResolveBody, WithdrawBody
from node.api.views import PageView
from node.core.errors import (
    AmountOutOfRange,
    InsufficientFunds,
    NotFound,
    RailUnknown,
    SecondPersonNeeded,
    WrongState,
)
from node.core.payout_orders import Conclusion
from node.core.ports.idempotency import Answer
from node.services.reconciliation.breaks import BreakRequest

operations: Final = Operations("Reconciliation")

_AT: Final = {"break_id": examples.BREAK_ID}


@operations.get(
    "/v1/reconciliation/breaks",
    who=OPERATORS,
    query=BreakQuery,
    answer=PageView[BreakDocument],
    example=Example({"data": [examples.BREAK], "next_cursor": None}),
)
async def list_breaks(call: Call[None, BreakQuery]) -> Answer:
    """List the breaks, newest first.

    What does not agree, why, since when, and what to do.
    """
    page = await call.services.breaks.page(list_query(call))
    views = [break_document(each, call.services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/reconciliation/breaks/{break_id}",
    who=OPERATORS,
    answer=BreakDocument,
    example=Example(examples.BREAK, path=_AT),
    refusals=(NotFound,),
)
async def show_break(call: Call[None, None]) -> Answer:
    """Show a break."""
    found = await call.services.breaks.get(call.parameters["break_id"])
    return call.answer(break_document(found, call.services.catalog))


@operations.get(
    "/v1/reconciliation/breaks/{break_id}/history",
    who=OPERATORS,
    answer=BreakHistoryDocument,
    example=Example(break_examples.HISTORY, path=_AT),
    refusals=(NotFound,),
)
async def show_break_history(call: Call[None, None]) -> Answer:
    """Show what happened to a break.

    Oldest first, from when the difference was first seen: a break that was closed and came back
    names the earlier one in `reopens`, and its history begins with that of the earlier one.
    """
    rows = await call.services.breaks.history(call.parameters["break_id"])
    return call.answer({"data": [break_event_document(each) for each in rows]})


@operations.post(
    "/v1/reconciliation/breaks/{break_id}/assign",
    who=OPERATORS,
    body=AssignBody,
    status=200,
    answer=BreakDocument,
    example=Example(break_examples.ASSIGNED, body=break_examples.ASSIGN_BODY, path=_AT),
    refusals=(NotFound, WrongState),
)
async def assign_break(call: Call[AssignBody, None]) -> Answer:
    """Give a break to an operator.

    `owner` is a name; `null` gives it back. Everybody may still resolve it.
    """
    return await call.services.breaks.assign(_request(call), call.body.owner)


@operations.post(
    "/v1/reconciliation/breaks/{break_id}/resolve",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=ResolveBody,
    status=200,
    answer=BreakDocument,
    example=Example(examples.RESOLVED, body=examples.RESOLVE_BODY, path=_AT),
    refusals=(NotFound, WrongState, RailUnknown, AmountOutOfRange, InsufficientFunds),
)
async def resolve_break(call: Call[ResolveBody, None]) -> Answer:
    """Resolve a break, or propose how.

    With `entries` a ledger transaction is booked that names the break; without, the break is a
    match that a person found. Either way with a reason. While deposits of a break (`B04`, `B05`)
    are held, it is resolved only by entries that debit their suspense account with all of them and
    give it to one owner, or to none; no other break takes out of suspense what deposits hold. Where
    the ledger is off the chain (`B01`) the entries must make it agree. Accounts of the chain are
    those of the node's addresses, in lower case.

    Two persons are needed when the entries move more than the node's threshold
    (`CORRIDOR_TWO_PERSONS_ABOVE`) in any currency, take capital, give a customer or partner what no
    deposit of the break holds, or when missing money, or more than the threshold, is called a
    match: then nothing is booked, the answer's `state` is `proposed`, and another operator
    approves it.

    With `conclusion` the payout ends that a break of a partner tells of (`B30`, `B32`): always by
    two operators, and only once the partner does not answer, contradicts what was ordered, or is
    overdue; 409 `wrong_state` before. `given_back` gives the customer what the transfer cost, and
    what the partner keeps is booked to `loss/partner`; `paid_out` ends the transfer as the
    partner's own word would have. The proposal shows the entries. Money that the partner sends back
    later takes that loss off; its word to the contrary is a break `B30`, and moves nothing.
    """
    if (conclusion := call.body.conclusion) is not None:
        if call.body.entries:
            raise invalid_body(
                [("/conclusion", "one_of_two", "state entries or a conclusion, not both")]
            )
        outcome = Conclusion(conclusion.outcome)
        request, reason = _request(call), call.body.reason
        return await call.services.breaks.conclude(request, reason, outcome, conclusion.evidence)
    entries = entries_of(call.body.entries, call.services.catalog)
    return await call.services.breaks.resolve(_request(call), call.body.reason, entries)


@operations.post(
    "/v1/reconciliation/breaks/{break_id}/approve",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=EmptyBody,
    status=200,
    answer=BreakDocument,
    example=Example(break_examples.APPROVED, body={}, path=_AT),
    refusals=(
        NotFound,
        WrongState,
        SecondPersonNeeded,
        RailUnknown,
        AmountOutOfRange,
        InsufficientFunds,
    ),
)
async def approve_break(call: Call[EmptyBody, None]) -> Answer:
    """Approve what another operator proposed.

    It is checked again as things are now, booked, and the break is closed, in one transaction. A
    break whose numbers changed since it was proposed refuses: 409 `wrong_state`. The operator who
    proposed it is refused: 409 `second_person_needed`.
    """
    return await call.services.breaks.approve(_request(call))


@operations.post(
    "/v1/reconciliation/breaks/{break_id}/withdraw",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=WithdrawBody,
    status=200,
    answer=BreakDocument,
    example=Example(examples.BREAK, body=break_examples.WITHDRAW_BODY, path=_AT),
    refusals=(NotFound, WrongState),
)
async def withdraw_break(call: Call[WithdrawBody, None]) -> Answer:
    """Withdraw a proposal, or turn it down.

    Nothing is booked; the break is open as before.
    """
    return await call.services.breaks.withdraw(_request(call), call.body.reason)


def _request(call: Call[Any, None]) -> BreakRequest:
    return BreakRequest(
        call.principal,
        call.parameters["break_id"],
        call.claim,
        lambda found: call.answer(break_document(found, call.services.catalog)),
        call.refusal,
    )
