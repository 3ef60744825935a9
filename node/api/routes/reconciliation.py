"""Runs of reconciliation, and the breaks they find."""

from typing import Final

from node.api import examples
from node.api.bodies import EmptyBody
from node.api.entries import entries_of
from node.api.operations import OPERATORS, Call, Example, KeyRule, Operations, list_query
from node.api.operator_views import BreakDocument, RunDocument, break_document, run_document
from node.api.schemas import BreakQuery, ResolveBody, RunQuery
from node.api.views import (
    PageView,
)
from node.core.errors import (
    AmountOutOfRange,
    ChainUnavailable,
    InsufficientFunds,
    NotFound,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.core.ports.reconciliation import Run

operations: Final = Operations("Reconciliation")


@operations.post(
    "/v1/reconciliation/runs",
    who=OPERATORS,
    body=EmptyBody,
    status=202,
    answer=RunDocument,
    example=Example(examples.RUN, body={}),
    refusals=(ChainUnavailable,),
)
async def create_run(call: Call[EmptyBody, None]) -> Answer:
    """Reconcile now.

    Compares ledger, mirror and chain at the newest final block, exactly.
    """

    def render(run: Run) -> Answer:
        location = f"/v1/reconciliation/runs/{encode_id(Prefix.RUN, run.id)}"
        return call.answer(run_document(run), location)

    return await call.services.reconciliation.request_run(
        call.principal, claim=call.claim, render=render, render_error=call.refusal
    )


@operations.get(
    "/v1/reconciliation/runs",
    who=OPERATORS,
    query=RunQuery,
    answer=PageView[RunDocument],
    example=Example({"data": [examples.RUN], "next_cursor": None}),
)
async def list_runs(call: Call[None, RunQuery]) -> Answer:
    """List the runs that were kept, newest first.

    Runs that somebody asked for; of those the node makes by itself, one every few minutes.
    """
    page = await call.services.reconciliation.runs(list_query(call))
    views = [run_document(each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/reconciliation/runs/{run_id}",
    who=OPERATORS,
    answer=RunDocument,
    example=Example(examples.RUN, path={"run_id": examples.RUN_ID}),
    refusals=(NotFound,),
)
async def show_run(call: Call[None, None]) -> Answer:
    """Show a run."""
    run = await call.services.reconciliation.get(call.parameters["run_id"])
    return call.answer(run_document(run))


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
    page = await call.services.reconciliation.breaks(list_query(call))
    views = [break_document(each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/reconciliation/breaks/{break_id}",
    who=OPERATORS,
    answer=BreakDocument,
    example=Example(examples.BREAK, path={"break_id": examples.BREAK_ID}),
    refusals=(NotFound,),
)
async def show_break(call: Call[None, None]) -> Answer:
    """Show a break."""
    found = await call.services.reconciliation.get_break(call.parameters["break_id"])
    return call.answer(break_document(found))


@operations.post(
    "/v1/reconciliation/breaks/{break_id}/resolve",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=ResolveBody,
    status=200,
    answer=BreakDocument,
    example=Example(
        examples.RESOLVED, body=examples.RESOLVE_BODY, path={"break_id": examples.BREAK_ID}
    ),
    refusals=(NotFound, WrongState, AmountOutOfRange, InsufficientFunds),
)
async def resolve_break(call: Call[ResolveBody, None]) -> Answer:
    """Resolve a break.

    With `entries` a ledger transaction is booked that names the break; without, the break is a
    match that a person found. Either way with a reason. An unknown deposit (`B04`) is resolved only
    by entries that debit its suspense account with all of it.
    """
    return await call.services.reconciliation.resolve(
        call.principal,
        call.parameters["break_id"],
        reason=call.body.reason,
        entries=entries_of(call.body.entries, call.services.catalog),
        claim=call.required_claim,
        render=lambda found: call.answer(break_document(found)),
        render_error=call.refusal,
    )
