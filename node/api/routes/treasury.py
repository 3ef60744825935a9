"""Movements between the node's own addresses, and the rules that make them."""

from typing import Final

from node.api import bodies
from node.api.bodies import EmptyBody
from node.api.examples import MOVEMENT_ID, RULE_ID
from node.api.money import check_body, faults_of
from node.api.operations import OPERATORS, Call, Example, Operations, list_query
from node.api.schemas import MovementBody, MovementQuery, RuleBody, RuleQuery
from node.api.treasury_examples import MOVEMENT, MOVEMENT_BODY, RULE, RULE_BODY, RULE_ENDED
from node.api.treasury_views import (
    MovementDocument,
    RuleDocument,
    movement_document,
    rule_document,
)
from node.api.views import PageView
from node.core.errors import AddressInvalid, ChainUnavailable, NotFound, Refused
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.core.ports.movements import Movement
from node.core.units import parse_amount
from node.services.settlement.treasury_operations import MovementRequest, RuleLimits, RuleRequest

operations: Final = Operations("Treasury")


@operations.post(
    "/v1/settlement/movements",
    who=OPERATORS,
    body=MovementBody,
    answer=MovementDocument,
    example=Example(MOVEMENT, body=MOVEMENT_BODY),
    refusals=(AddressInvalid, Refused, ChainUnavailable),
)
async def create_movement(call: Call[MovementBody, None]) -> Answer:
    """Ask for a treasury movement.

    Between addresses of the node; it goes through nonces, attempts and the mirror like payments.
    `float_top_up`: treasury to contract, the token. `lane_gas`: treasury to another key of the
    node, the native coin. `sweep`: such a key to the treasury, either; of coin it leaves the gas of
    16 transactions. `rescue`: contract to treasury, the token, only while the contract is paused.
    Deposits are swept by the node itself: nobody asks for that.
    """
    body, services = call.body, call.services
    check_body(services.catalog.ledger_asset, body.currency, body.amount)

    def render(movement: Movement) -> Answer:
        location = f"/v1/settlement/movements/{encode_id(Prefix.MOVEMENT, movement.id)}"
        return call.answer(
            movement_document(movement, services.catalog, services.addresses), location
        )

    return await services.treasury.request_movement(
        MovementRequest(
            principal=call.principal,
            kind=body.kind,
            from_address=body.from_,
            to_address=body.to,
            amount=parse_amount(body.amount, services.catalog.ledger_asset(body.currency)),
        ),
        call.claim,
        render,
        call.refusal,
    )


@operations.get(
    "/v1/settlement/movements",
    who=OPERATORS,
    query=MovementQuery,
    answer=PageView[MovementDocument],
    example=Example({"data": [MOVEMENT], "next_cursor": None}),
)
async def list_treasury_movements(call: Call[None, MovementQuery]) -> Answer:
    """List the treasury movements, newest first.

    `deposit_sweep`: what deposit addresses held when the node asked for their sweep, to the
    contract. What moved is booked by the token's events, whoever swept.
    """
    services = call.services
    page = await services.treasury.movements(list_query(call))
    views = [movement_document(e, services.catalog, services.addresses) for e in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/settlement/movements/{movement_id}",
    who=OPERATORS,
    answer=MovementDocument,
    example=Example(MOVEMENT, path={"movement_id": MOVEMENT_ID}),
    refusals=(NotFound,),
)
async def show_movement(call: Call[None, None]) -> Answer:
    """Show a treasury movement."""
    services = call.services
    movement = await services.treasury.movement(call.parameters["movement_id"])
    return call.answer(movement_document(movement, services.catalog, services.addresses))


@operations.post(
    "/v1/settlement/rules",
    who=OPERATORS,
    body=RuleBody,
    answer=RuleDocument,
    example=Example(RULE, body=RULE_BODY),
    refusals=(AddressInvalid, Refused),
)
async def create_rule(call: Call[RuleBody, None]) -> Answer:
    """Make a treasury rule.

    Whenever the contract's float, or the coin of a key, is below `mark`, the treasury fills it up
    to `fill_to`, as far as `daily_limit` within any 86,400 s and what the treasury holds allow. One
    movement of a rule is under way to a target at a time. Nothing is moved during a pause.
    """
    body, services = call.body, call.services
    asset_of = services.catalog.ledger_asset
    amounts = {name: getattr(body, name) for name in ("mark", "fill_to", "daily_limit")}
    faults = {
        fault
        for name, amount in amounts.items()
        for fault in faults_of(
            asset_of, body.currency, amount, at_currency="/currency", at_amount=f"/{name}"
        )
    }
    if faults:
        raise bodies.invalid_body(sorted(faults))
    asset = asset_of(body.currency)

    def render(limits: RuleLimits) -> Answer:
        location = f"/v1/settlement/rules/{encode_id(Prefix.RULE, limits.rule.id)}"
        return call.answer(rule_document(limits, services.catalog, services.addresses), location)

    return await services.treasury.add_rule(
        RuleRequest(
            principal=call.principal,
            kind=body.kind,
            to_address=body.to,
            mark=parse_amount(body.mark, asset),
            fill_to=parse_amount(body.fill_to, asset),
            daily_limit=parse_amount(body.daily_limit, asset),
        ),
        call.claim,
        render,
        call.refusal,
    )


@operations.get(
    "/v1/settlement/rules",
    who=OPERATORS,
    query=RuleQuery,
    answer=PageView[RuleDocument],
    example=Example({"data": [RULE], "next_cursor": None}),
)
async def list_rules(call: Call[None, RuleQuery]) -> Answer:
    """List the treasury rules, newest first."""
    services = call.services
    page = await services.treasury.rules(list_query(call))
    views = [rule_document(each, services.catalog, services.addresses) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/settlement/rules/{rule_id}",
    who=OPERATORS,
    answer=RuleDocument,
    example=Example(RULE, path={"rule_id": RULE_ID}),
    refusals=(NotFound,),
)
async def show_rule(call: Call[None, None]) -> Answer:
    """Show a treasury rule."""
    services = call.services
    limits = await services.treasury.rule(call.parameters["rule_id"])
    return call.answer(rule_document(limits, services.catalog, services.addresses))


@operations.post(
    "/v1/settlement/rules/{rule_id}/end",
    who=OPERATORS,
    body=EmptyBody,
    status=200,
    answer=RuleDocument,
    example=Example(RULE_ENDED, body={}, path={"rule_id": RULE_ID}),
    refusals=(NotFound,),
)
async def end_rule(call: Call[EmptyBody, None]) -> Answer:
    """End a treasury rule.

    It makes no movements any more; those it has made go on. Ending twice changes nothing.
    """
    services = call.services
    return await services.treasury.end_rule(
        call.principal,
        call.parameters["rule_id"],
        claim=call.claim,
        render=lambda limits: call.answer(
            rule_document(limits, services.catalog, services.addresses)
        ),
        render_error=call.refusal,
    )
