"""Being paid on the chain: deposit addresses, payment requests, deposits."""

from typing import Any, Final

from node.api import deposit_examples as examples
from node.api.bodies import EmptyBody
from node.api.deposit_bodies import (
    AttributionBody,
    CustomerDepositQuery,
    DepositQuery,
    PaymentRequestBody,
    PaymentRequestQuery,
)
from node.api.deposit_views import (
    DepositAddressDocument,
    DepositDocument,
    PaymentRequestDocument,
    deposit_address_document,
    deposit_document,
    payment_request_document,
)
from node.api.examples import CUSTOMER_ID
from node.api.money import check_body
from node.api.operations import (
    INSTITUTIONS,
    OPERATORS,
    Call,
    Example,
    KeyRule,
    Operations,
    list_query,
)
from node.api.views import PageView
from node.core.deposits import Deposit, PaymentRequest
from node.core.errors import (
    AmountOutOfRange,
    ChainUnavailable,
    DepositsNotOffered,
    NotFound,
    RequestReferenceUsed,
    SecondPersonNeeded,
    TooManyPaymentRequests,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Role
from node.core.ports.idempotency import Answer
from node.services.deposits.attributing import Attribution
from node.services.deposits.payment_requests import PaymentRequestAsk

operations: Final = Operations("Deposits")

_CUSTOMER: Final = {"customer_id": CUSTOMER_ID}
_REQUEST: Final = {"request_id": examples.REQUEST_ID}
_DEPOSIT: Final = {"deposit_id": examples.DEPOSIT_ID}
_PARTNERS: Final = frozenset({Role.PARTNER})
_PAID: Final = frozenset({Role.PARTNER, Role.REMITTER})


@operations.get(
    "/v1/customers/{customer_id}/deposit-address",
    answer=DepositAddressDocument,
    example=Example(examples.DEPOSIT_ADDRESS, path=_CUSTOMER),
    refusals=(NotFound, DepositsNotOffered, ChainUnavailable),
)
async def show_customer_deposit_address(call: Call[None, None]) -> Answer:
    """Show a customer's deposit address.

    Its one standing address, made when it is asked for first. What arrives there is the customer's
    once it is final, in full and whoever sent it. It may be used any number of times.
    """
    return await _address(call, call.parameters["customer_id"])


@operations.get(
    "/v1/deposit-address",
    who=_PARTNERS,
    answer=DepositAddressDocument,
    example=Example(examples.OWN_DEPOSIT_ADDRESS),
    refusals=(DepositsNotOffered, ChainUnavailable),
)
async def show_own_deposit_address(call: Call[None, None]) -> Answer:
    """Show the deposit address of the partner that asks.

    What arrives there prefunds the partner once it is final.
    """
    return await _address(call, None)


@operations.post(
    "/v1/customers/{customer_id}/payment-requests",
    body=PaymentRequestBody,
    answer=PaymentRequestDocument,
    example=Example(examples.REQUEST, body=examples.REQUEST_BODY, path=_CUSTOMER),
    refusals=(
        NotFound,
        RequestReferenceUsed,
        AmountOutOfRange,
        DepositsNotOffered,
        ChainUnavailable,
        TooManyPaymentRequests,
    ),
)
async def create_customer_payment_request(call: Call[PaymentRequestBody, None]) -> Answer:
    """Ask for a payment to a customer.

    The answer has an address that is for this request alone: whoever sends the token there pays it.
    Judged at the time of the block that holds a deposit: too little waits for the rest until
    `expires_at`; more than was asked for is the customer's as well; up to a grace after
    `expires_at` a deposit is honoured (`paid_late`). What comes after it was paid is credited and
    delivers nothing twice (`duplicate`). What is too little or too late is held, and can be
    accepted.
    """
    return await _create(call, call.parameters["customer_id"])


@operations.post(
    "/v1/payment-requests",
    who=_PAID,
    body=PaymentRequestBody,
    answer=PaymentRequestDocument,
    example=Example(examples.OWN_REQUEST, body=examples.REQUEST_BODY),
    refusals=(
        RequestReferenceUsed,
        AmountOutOfRange,
        DepositsNotOffered,
        ChainUnavailable,
        TooManyPaymentRequests,
    ),
)
async def create_payment_request(call: Call[PaymentRequestBody, None]) -> Answer:
    """Ask for a payment to the partner or remitter that asks.

    As `POST /v1/customers/{customer_id}/payment-requests`; what pays it is the partner's own
    prefunding, or the remitter's balance.
    """
    return await _create(call, None)


@operations.get(
    "/v1/payment-requests",
    query=PaymentRequestQuery,
    answer=PageView[PaymentRequestDocument],
    example=Example({"data": [examples.REQUEST_LISTED], "next_cursor": None}),
    refusals=(NotFound,),
)
async def list_payment_requests(call: Call[None, PaymentRequestQuery]) -> Answer:
    """List payment requests, newest first."""
    services = call.services
    page = await services.deposits.page(call.principal, list_query(call))
    views = [
        payment_request_document(each, services.catalog, services.addresses, is_whole=False)
        for each in page.items
    ]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/payment-requests/{request_id}",
    answer=PaymentRequestDocument,
    example=Example(examples.REQUEST, path=_REQUEST),
    refusals=(NotFound,),
)
async def show_payment_request(call: Call[None, None]) -> Answer:
    """Show a payment request, with other tokens that were sent to its address by mistake."""
    found = await call.services.deposits.get(call.principal, call.parameters["request_id"])
    return call.answer(_document(call, found))


@operations.post(
    "/v1/payment-requests/{request_id}/accept",
    key=KeyRule.REQUIRED,
    body=EmptyBody,
    status=200,
    answer=PaymentRequestDocument,
    example=Example(examples.REQUEST_ACCEPTED, body={}, path=_REQUEST),
    refusals=(NotFound, WrongState),
)
async def accept_payment_request(call: Call[EmptyBody, None]) -> Answer:
    """Accept what came of a payment request that expired.

    All that is held for it, too little or too late, is its owner's at once. What comes later is
    credited as it comes (`duplicate`).
    """
    return await call.services.deposits.accept(
        call.principal,
        call.parameters["request_id"],
        call.required_claim,
        lambda accepted: call.answer(_document(call, accepted)),
        call.refusal,
    )


@operations.get(
    "/v1/customers/{customer_id}/deposits",
    query=CustomerDepositQuery,
    answer=PageView[DepositDocument],
    example=Example({"data": [examples.DEPOSIT], "next_cursor": None}, path=_CUSTOMER),
    refusals=(NotFound,),
)
async def list_customer_deposits(call: Call[None, CustomerDepositQuery]) -> Answer:
    """List a customer's deposits, newest first."""
    page = await call.services.deposits.deposits(
        call.principal, list_query(call), call.parameters["customer_id"]
    )
    views = [_deposit(call, each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/deposits",
    who=INSTITUTIONS,
    query=DepositQuery,
    answer=PageView[DepositDocument],
    example=Example({"data": [examples.DEPOSIT], "next_cursor": None}),
    refusals=(NotFound,),
)
async def list_deposits(call: Call[None, DepositQuery]) -> Answer:
    """List deposits, newest first.

    Of a partner, its own and its customers'; of an operator all, those that belong to nobody known
    as well.
    """
    page = await call.services.deposits.deposits(call.principal, list_query(call), None)
    views = [_deposit(call, each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/deposits/{deposit_id}",
    answer=DepositDocument,
    example=Example(examples.DEPOSIT, path=_DEPOSIT),
    refusals=(NotFound,),
)
async def show_deposit(call: Call[None, None]) -> Answer:
    """Show a deposit."""
    found = await call.services.deposits.deposit(call.principal, call.parameters["deposit_id"])
    return call.answer(_deposit(call, found))


@operations.post(
    "/v1/deposits/{deposit_id}/attribute",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=AttributionBody,
    status=200,
    answer=DepositDocument,
    example=Example(examples.DEPOSIT_ATTRIBUTED, body=examples.ATTRIBUTION_BODY, path=_DEPOSIT),
    refusals=(NotFound, WrongState, SecondPersonNeeded),
)
async def attribute_deposit(call: Call[AttributionBody, None]) -> Answer:
    """Say whose a held deposit is.

    The customer or partner has it at once, and its break is closed. More than one operator moves
    alone is proposed at the break instead. A deposit of a payment request that is still open, or of
    a payout that may still be paid, waits for the rest.
    """
    body = call.body
    return await call.services.deposits.attribute(
        Attribution(
            principal=call.principal,
            deposit_id=call.parameters["deposit_id"],
            customer_id=body.customer_id,
            partner_id=body.partner_id,
            reason=body.reason,
        ),
        call.required_claim,
        lambda attributed: call.answer(_deposit(call, attributed)),
        call.refusal,
    )


async def _address(call: Call[None, None], customer_id: str | None) -> Answer:
    services = call.services
    found = await services.deposits.address(call.principal, customer_id)
    return call.answer(deposit_address_document(found, services.catalog, services.addresses))


async def _create(call: Call[PaymentRequestBody, None], customer_id: str | None) -> Answer:
    body, services = call.body, call.services
    check_body(services.deposits.token_of, body.currency, body.amount)

    def render(made: PaymentRequest) -> Answer:
        location = f"/v1/payment-requests/{encode_id(Prefix.PAYMENT_REQUEST, made.id)}"
        return call.answer(_document(call, made), location)

    return await services.deposits.create(
        PaymentRequestAsk(
            principal=call.principal,
            customer_id=customer_id,
            currency=body.currency,
            amount=body.amount,
            reference=body.reference,
            expires_in_s=body.expires_in_s,
        ),
        call.claim,
        render,
        call.refusal,
    )


def _document(call: Call[Any, Any], request: PaymentRequest) -> PaymentRequestDocument:
    services = call.services
    return payment_request_document(request, services.catalog, services.addresses, is_whole=True)


def _deposit(call: Call[Any, Any], deposit: Deposit) -> DepositDocument:
    services = call.services
    return deposit_document(deposit, services.catalog, services.addresses)
