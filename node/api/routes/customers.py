"""Customers, their credentials, their money."""

from typing import Final

from node.api import examples
from node.api.bodies import EmptyBody, PageQuery
from node.api.ledger_views import (
    AsOfListView,
    BalanceView,
    MovementLineView,
    TopUpView,
    as_of_view,
    balance_view,
    movement_line_view,
    top_up_view,
)
from node.api.money import check_body
from node.api.operations import (
    INSTITUTIONS,
    Call,
    Example,
    KeyRule,
    Operations,
    list_query,
)
from node.api.schemas import AsOfQuery, CustomerBody, EntryQuery, TopUpBody
from node.api.views import (
    CustomerView,
    PageView,
    TokenView,
    customer_view,
    time_text,
)
from node.core.errors import (
    AmountOutOfRange,
    InFuture,
    InsufficientFunds,
    NotFound,
    Overloaded,
    RailUnknown,
    ReferenceUsed,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Customer
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import TopUp
from node.services.ledger.top_ups import TopUpRequest
from node.services.parties import NewSecret, TokenAlreadyCreated

operations: Final = Operations("Customers")

_PATH: Final = {"customer_id": examples.CUSTOMER_ID}


@operations.post(
    "/v1/customers",
    who=INSTITUTIONS,
    body=CustomerBody,
    answer=CustomerView,
    example=Example(examples.CUSTOMER, body=examples.CUSTOMER_BODY),
)
async def create_customer(call: Call[CustomerBody, None]) -> Answer:
    """Create a customer.

    Of the partner that asks, or of the node itself when an operator asks.
    """

    def render(customer: Customer) -> Answer:
        location = f"/v1/customers/{encode_id(Prefix.CUSTOMER, customer.id)}"
        return call.answer(customer_view(customer), location)

    return await call.services.parties.create_customer(
        call.principal,
        name=call.body.name,
        country=call.body.country,
        email=call.body.email,
        claim=call.claim,
        render=render,
        render_error=call.refusal,
    )


@operations.get(
    "/v1/customers",
    who=INSTITUTIONS,
    query=PageQuery,
    answer=PageView[CustomerView],
    example=Example({"data": [examples.CUSTOMER], "next_cursor": None}),
)
async def list_customers(call: Call[None, PageQuery]) -> Answer:
    """List customers, newest first."""
    page = await call.services.parties.customers(call.principal, list_query(call))
    views = [customer_view(each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/customers/{customer_id}",
    who=INSTITUTIONS,
    answer=CustomerView,
    example=Example(examples.CUSTOMER, path=_PATH),
    refusals=(NotFound,),
)
async def show_customer(call: Call[None, None]) -> Answer:
    """Show a customer."""
    customer = await call.services.parties.customer(call.principal, call.parameters["customer_id"])
    return call.answer(customer_view(customer))


@operations.post(
    "/v1/customers/{customer_id}/tokens",
    who=INSTITUTIONS,
    body=EmptyBody,
    answer=TokenView,
    example=Example(examples.TOKEN, body={}, path=_PATH),
    refusals=(NotFound, TokenAlreadyCreated),
)
async def create_token(call: Call[EmptyBody, None]) -> Answer:
    """Create a remitter's credential for a customer.

    The token is shown this once: the node keeps only its hash. A repeated request with the same
    `Idempotency-Key` makes no other token and cannot show the first: it answers 409
    `token_already_created` with `key_id`. `Location` is the customer.
    """
    customer_id = call.parameters["customer_id"]

    def render(made: NewSecret) -> Answer:
        view: TokenView = {
            "key_id": encode_id(Prefix.KEY, made.credential.id),
            "customer_id": customer_id,
            "token": made.secret,
            "created_at": time_text(made.credential.created_at),
        }
        return call.answer(view, f"/v1/customers/{customer_id}")

    return await call.services.parties.create_token_once(
        call.principal,
        customer_id,
        claim=call.claim,
        render=render,
        render_error=call.refusal,
    )


@operations.get(
    "/v1/customers/{customer_id}/balances",
    query=AsOfQuery,
    answer=AsOfListView[BalanceView],
    example=Example({"data": [examples.BALANCE], "as_of": examples.AS_OF}, path=_PATH),
    refusals=(NotFound, InFuture),
)
async def show_balances(call: Call[None, AsOfQuery]) -> Answer:
    """Show a customer's balances.

    Now, or as of a time or sequence; of each currency that the customer had by then.
    """
    services = call.services
    as_of, balances = await services.accounts.balances(
        call.principal, call.parameters["customer_id"], call.query.asked
    )
    views = [balance_view(each, services.catalog) for each in balances]
    return call.answer({"data": views, "as_of": as_of_view(as_of)})


@operations.get(
    "/v1/customers/{customer_id}/entries",
    query=EntryQuery,
    answer=PageView[MovementLineView],
    example=Example({"data": [examples.MOVEMENT_LINE], "next_cursor": None}, path=_PATH),
    refusals=(NotFound,),
)
async def list_movements(call: Call[None, EntryQuery]) -> Answer:
    """List what moved a customer's balances, newest first.

    Every posted movement, with the balance of its currency after it. The statement of a period, as
    a file too, is `GET /v1/customers/{customer_id}/statement`.
    """
    services = call.services
    page = await services.accounts.entries(
        call.principal, call.parameters["customer_id"], list_query(call)
    )
    views = [movement_line_view(each, services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.post(
    "/v1/customers/{customer_id}/top-ups",
    who=INSTITUTIONS,
    key=KeyRule.REQUIRED,
    body=TopUpBody,
    answer=TopUpView,
    example=Example(examples.TOP_UP, body=examples.TOP_UP_BODY, path=_PATH),
    refusals=(
        NotFound,
        RailUnknown,
        ReferenceUsed,
        AmountOutOfRange,
        InsufficientFunds,
        Overloaded,
    ),
)
async def create_top_up(call: Call[TopUpBody, None]) -> Answer:
    """Book money that arrived for a customer.

    An operator books what came in at a rail; a partner pays from its prefunded balance. Each
    `reference` of a rail is booked once.
    """
    body, catalog = call.body, call.services.catalog
    check_body(catalog.fiat, body.currency, body.amount)

    def render(top_up: TopUp) -> Answer:
        customer_id = encode_id(Prefix.CUSTOMER, top_up.customer_id)
        location = f"/v1/customers/{customer_id}/top-ups/{encode_id(Prefix.TOP_UP, top_up.id)}"
        return call.answer(top_up_view(top_up, catalog), location)

    return await call.services.top_ups.create(
        TopUpRequest(
            principal=call.principal,
            customer_id=call.parameters["customer_id"],
            currency=body.currency,
            amount=body.amount,
            rail=body.rail,
            reference=body.reference,
        ),
        call.required_claim,
        render,
        call.refusal,
    )


@operations.get(
    "/v1/customers/{customer_id}/top-ups",
    query=PageQuery,
    answer=PageView[TopUpView],
    example=Example({"data": [examples.TOP_UP], "next_cursor": None}, path=_PATH),
    refusals=(NotFound,),
)
async def list_top_ups(call: Call[None, PageQuery]) -> Answer:
    """List a customer's top-ups, newest first."""
    services = call.services
    page = await services.accounts.top_ups(
        call.principal, call.parameters["customer_id"], list_query(call)
    )
    views = [top_up_view(each, services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/customers/{customer_id}/top-ups/{top_up_id}",
    answer=TopUpView,
    example=Example(examples.TOP_UP, path={**_PATH, "top_up_id": examples.TOP_UP_ID}),
    refusals=(NotFound,),
)
async def show_top_up(call: Call[None, None]) -> Answer:
    """Show a top-up."""
    services, given = call.services, call.parameters
    top_up = await services.accounts.top_up(
        call.principal, given["customer_id"], given["top_up_id"]
    )
    return call.answer(top_up_view(top_up, services.catalog))
