"""Settlement as the operator sees and steers it."""

from typing import Final

from node.api import examples
from node.api.money import check_body
from node.api.operations import OPERATORS, Call, Example, Operations
from node.api.operator_views import (
    BatchDocument,
    LanesDocument,
    MovementDocument,
    PausesDocument,
    batch_document,
    lane_document,
    movement_document,
    pause_document,
)
from node.api.schemas import MovementBody, PauseBody, ResumeBody
from node.core.errors import AddressInvalid, ChainUnavailable, NotFound, Refused
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.core.ports.settlement import Movement
from node.core.units import parse_amount

operations: Final = Operations("Settlement")


@operations.get(
    "/v1/settlement/lanes",
    who=OPERATORS,
    answer=LanesDocument,
    example=Example({"data": [examples.LANE], "pauses": []}),
)
async def list_lanes(call: Call[None, None]) -> Answer:
    """List the lanes.

    Sending accounts with their nonces, and the pauses in force.
    """
    services = call.services
    lanes = await services.settlement.lanes()
    pauses = await services.settlement.pauses()
    return call.answer(
        {
            "data": [lane_document(each, services.addresses) for each in lanes],
            "pauses": [pause_document(each) for each in pauses],
        }
    )


@operations.get(
    "/v1/settlement/batches/{batch_id}",
    who=OPERATORS,
    answer=BatchDocument,
    example=Example(examples.BATCH, path={"batch_id": examples.BATCH_ID}),
    refusals=(NotFound,),
)
async def show_batch(call: Call[None, None]) -> Answer:
    """Show a batch.

    Its nonce, every signed attempt with its fees, and its payments.
    """
    services = call.services
    batch = await services.settlement.batch(call.parameters["batch_id"])
    return call.answer(batch_document(batch, services.catalog, services.addresses))


@operations.post(
    "/v1/settlement/movements",
    who=OPERATORS,
    body=MovementBody,
    answer=MovementDocument,
    example=Example(examples.MOVEMENT, body=examples.MOVEMENT_BODY),
    refusals=(AddressInvalid, Refused, ChainUnavailable),
)
async def create_movement(call: Call[MovementBody, None]) -> Answer:
    """Ask for a treasury movement.

    Between addresses of the node; it goes through the same lanes and the same mirror as payments.
    """
    body, services = call.body, call.services
    check_body(services.catalog.ledger_asset, body.currency, body.amount)

    def render(movement: Movement) -> Answer:
        location = f"/v1/settlement/movements/{encode_id(Prefix.MOVEMENT, movement.id)}"
        return call.answer(
            movement_document(movement, services.catalog, services.addresses), location
        )

    return await services.settlement.request_movement(
        call.principal,
        kind=body.kind,
        from_address=body.from_,
        to_address=body.to,
        amount=parse_amount(body.amount, services.catalog.ledger_asset(body.currency)),
        claim=call.claim,
        render=render,
        render_error=call.refusal,
    )


@operations.get(
    "/v1/settlement/movements/{movement_id}",
    who=OPERATORS,
    answer=MovementDocument,
    example=Example(examples.MOVEMENT, path={"movement_id": examples.MOVEMENT_ID}),
    refusals=(NotFound,),
)
async def show_movement(call: Call[None, None]) -> Answer:
    """Show a treasury movement."""
    services = call.services
    movement = await services.settlement.movement(call.parameters["movement_id"])
    return call.answer(movement_document(movement, services.catalog, services.addresses))


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
)
async def resume_settlement(call: Call[ResumeBody, None]) -> Answer:
    """End a pause.

    Names the reason of the pause that ends; the answer lists those still in force.
    """
    return await call.services.settlement.resume(
        call.principal,
        call.body.reason,
        claim=call.claim,
        render=lambda pauses: call.answer({"data": [pause_document(each) for each in pauses]}),
        render_error=call.refusal,
    )
