"""Runs of reconciliation. The breaks they find: `breaks` beside this."""

from typing import Final

from node.api import examples
from node.api.bodies import EmptyBody
from node.api.operations import OPERATORS, Call, Example, Operations, list_query
from node.api.operator_views import RunDocument, run_document
from node.api.schemas import RunQuery
from node.api.views import PageView
from node.core.errors import NotFound
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
    example=Example(examples.RUN_BEGUN, body={}),
)
async def create_run(call: Call[EmptyBody, None]) -> Answer:
    """Begin a reconciliation.

    Compares ledger, mirror and chain at the newest final block, exactly, and everything since the
    mirror began. The answer comes at once, with `running`; ask for the run until it is completed or
    failed. While one goes on, everybody who asks is told of that one.
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
