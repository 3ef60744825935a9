"""Settlement as the operator sees and steers it."""

from typing import Final

from node.api import examples
from node.api.batch_views import (
    BatchDocument,
    BatchRowDocument,
    SpendingDocument,
    batch_document,
    batch_row_document,
    spending_document,
)
from node.api.operations import OPERATORS, Call, Example, Operations, list_query
from node.api.schemas import BatchQuery, PauseBody, ResumeBody, SpendingQuery
from node.api.settlement_examples import BATCH, BATCH_ROW, SETTLEMENT, SPENDING, SPENT_LANE
from node.api.settlement_views import (
    LanesDocument,
    PausesDocument,
    SettlementDocument,
    lanes_document,
    pause_document,
    settlement_document,
)
from node.api.views import PageView
from node.core.errors import (
    NotFound,
    PeriodInvalid,
    SettlementRecovering,
)
from node.core.ports.idempotency import Answer

operations: Final = Operations("Settlement")


@operations.get(
    "/v1/settlement",
    who=OPERATORS,
    answer=SettlementDocument,
    example=Example(SETTLEMENT),
)
async def show_settlement(call: Call[None, None]) -> Answer:
    """Show settlement in one look.

    What needs a person (`alerts`, the worst first, each with what to do), the pauses in force, the
    contract as last seen, the transfers that have not ended by state and by what they wait for, the
    lanes, what the node's addresses hold at the final block, and the chain's providers.
    """
    services = call.services
    look = await services.overview.look()
    providers = services.meter.providers()
    return call.answer(settlement_document(look, providers, services.catalog, services.addresses))


@operations.get(
    "/v1/settlement/lanes",
    who=OPERATORS,
    answer=LanesDocument,
    example=Example({"data": [SPENT_LANE], "pauses": []}),
)
async def list_lanes(call: Call[None, None]) -> Answer:
    """List the lanes.

    Sending accounts with their nonces, coin, lease, the batch at the head of the line, and what
    they have spent since their beginning; and the pauses in force.
    """
    services = call.services
    look, spent = await services.overview.lanes()
    return call.answer(lanes_document(look, spent, services.catalog, services.addresses))


@operations.get(
    "/v1/settlement/batches",
    who=OPERATORS,
    query=BatchQuery,
    answer=PageView[BatchRowDocument],
    example=Example({"data": [BATCH_ROW], "next_cursor": None}),
)
async def list_batches(call: Call[None, BatchQuery]) -> Answer:
    """List batches.

    Newest first: batches of payments and of voids, treasury movements, calls of the contract's
    administration, and what only fills a nonce. With gas, fee, and both per payment settled.
    """
    services = call.services
    page = await services.overview.batches(list_query(call))
    return call.answer(
        {
            "data": [
                batch_row_document(each, services.catalog, services.addresses)
                for each in page.items
            ],
            "next_cursor": page.next_cursor,
        }
    )


@operations.get(
    "/v1/settlement/batches/{batch_id}",
    who=OPERATORS,
    answer=BatchDocument,
    example=Example(BATCH, path={"batch_id": examples.BATCH_ID}),
    refusals=(NotFound,),
)
async def show_batch(call: Call[None, None]) -> Answer:
    """Show a batch.

    Its nonce, every signed attempt with its fees and the answers to it, and its payments with what
    became of each.
    """
    services = call.services
    batch = await services.overview.batch(call.parameters["batch_id"])
    return call.answer(batch_document(batch, services.catalog, services.addresses))


@operations.get(
    "/v1/settlement/spending",
    who=OPERATORS,
    query=SpendingQuery,
    answer=SpendingDocument,
    example=Example(SPENDING),
    refusals=(PeriodInvalid,),
)
async def show_spending(call: Call[None, SpendingQuery]) -> Answer:
    """Show what gas cost.

    Of the transactions that became final in a period, in all and by purpose: gas, fees, and both
    per payment settled, rounded up. The total per payment bears everything: voids, movements,
    fillers and what reverted.
    """
    query = call.query
    return call.answer(
        spending_document(await call.services.overview.spending(query.from_, query.to))
    )


@operations.post(
    "/v1/settlement/pause",
    who=OPERATORS,
    body=PauseBody,
    status=200,
    answer=PausesDocument,
    example=Example({"data": [examples.PAUSE]}, body=examples.PAUSE_BODY),
)
async def pause_settlement(call: Call[PauseBody, None]) -> Answer:
    """Pause settlement.

    Nothing new is signed but voids and what is needed for what was already sent. Pausing twice
    changes nothing.
    """
    return await call.services.settlement.pause(
        call.principal,
        hard=call.body.hard,
        note=call.body.note,
        claim=call.claim,
        render=lambda pauses: call.answer({"data": [pause_document(each) for each in pauses]}),
        render_error=call.refusal,
    )


@operations.post(
    "/v1/settlement/resume",
    who=OPERATORS,
    body=ResumeBody,
    status=200,
    answer=PausesDocument,
    example=Example({"data": []}, body=examples.RESUME_BODY),
    refusals=(SettlementRecovering,),
)
async def resume_settlement(call: Call[ResumeBody, None]) -> Answer:
    """End a pause.

    Names the reason of the pause that ends; the answer lists those still in force. `foreign_nonce`
    ends once no lane has to be adopted any more.
    """
    return await call.services.settlement.resume(
        call.principal,
        call.body.reason,
        claim=call.claim,
        render=lambda pauses: call.answer({"data": [pause_document(each) for each in pauses]}),
        render_error=call.refusal,
    )
