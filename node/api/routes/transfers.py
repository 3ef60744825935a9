"""Transfers and their timelines."""

from dataclasses import replace
from typing import Final

from node.api import examples
from node.api.bodies import EmptyBody, invalid_body
from node.api.operations import (
    INSTITUTIONS,
    OPERATORS,
    Call,
    Example,
    KeyRule,
    Operations,
    list_query,
)
from node.api.problems import QueryInvalid
from node.api.schemas import EventQuery, TransferBeneficiaryBody, TransferBody, TransferQuery
from node.api.views import (
    EventsView,
    ListView,
    PageView,
    TimelineView,
    TransferView,
    event_view,
    timeline_view,
    transfer_view,
)
from node.core.errors import (
    AddressInvalid,
    BeneficiaryRefused,
    CancelTooLate,
    ChainUnavailable,
    ClientReferenceUsed,
    InsufficientFunds,
    LimitExceeded,
    LiquidityUnavailable,
    NodeError,
    NotFound,
    NumberUsed,
    Overloaded,
    PairNotOffered,
    QuoteExpired,
    QuoteRevoked,
    QuoteUsed,
    SettlementRecovering,
    WrongState,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.paging import ListQuery
from node.core.parties import Role
from node.core.payout_orders import PartnerRefused, PartnerUnavailable, QuoteBound
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import Beneficiary, Transfer
from node.services.idempotency import RenderError
from node.services.transfers.acceptance import Submission, TransferRequest

operations: Final = Operations("Transfers")

_PATH: Final = {"transfer_id": examples.TRANSFER_ID}


@operations.post(
    "/v1/transfers",
    body=TransferBody,
    key=KeyRule.REQUIRED,
    answer=TransferView,
    example=Example(examples.TRANSFER, body=examples.TRANSFER_BODY),
    refusals=(
        NotFound,
        PairNotOffered,
        QuoteUsed,
        QuoteRevoked,
        QuoteExpired,
        AddressInvalid,
        ClientReferenceUsed,
        InsufficientFunds,
        LimitExceeded,
        LiquidityUnavailable,
        QuoteBound,
        BeneficiaryRefused,
        PartnerRefused,
        PartnerUnavailable,
        SettlementRecovering,
        Overloaded,
    ),
)
async def create_transfer(call: Call[TransferBody, None]) -> Answer:
    """Send money on a firm quote.

    The quote is consumed, the money reserved and the transfer stored in one step; it is then paid
    at most once, whatever happens. Follow it with `GET /v1/transfers/{transfer_id}/events`.

    Where the quote's payout method is `partner`, the payout is registered with the partner first:
    `beneficiary_refused` leaves the quote to another beneficiary, and `partner_unavailable` means
    that nothing was consumed; repeat the request with the same key.
    """
    body = call.body

    def render(transfer: Transfer) -> Answer:
        return call.answer(_view(call, transfer, None), _location(transfer))

    request = TransferRequest(
        principal=call.principal,
        customer_id=decode_id(Prefix.CUSTOMER, _customer_id(call)),
        quote_id=decode_id(Prefix.QUOTE, body.quote_id),
        beneficiary=_beneficiary(body.beneficiary),
        client_reference=body.client_reference,
        purpose=body.purpose,
        refund_policy=None if body.refund_policy is None else RefundPolicy(body.refund_policy),
    )
    return await call.services.transfers.create(
        Submission(request, call.required_claim, render, call.refusal)
    )


@operations.get(
    "/v1/transfers",
    query=TransferQuery,
    answer=PageView[TransferView],
    example=Example({"data": [examples.TRANSFER], "next_cursor": None}),
)
async def list_transfers(call: Call[None, TransferQuery]) -> Answer:
    """List transfers, newest first."""
    page = await call.services.transfers.list(call.principal, _filtered(call))
    head = None
    if any(each.block_number is not None for each in page.items):
        head = await call.services.health.mirror_head()
    views = [_view(call, each, head) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/transfers/{transfer_id}",
    answer=TransferView,
    example=Example(examples.TRANSFER, path=_PATH),
    refusals=(NotFound,),
)
async def show_transfer(call: Call[None, None]) -> Answer:
    """Show a transfer.

    `status` is the stable word to program against, `state` the precise one.
    """
    services = call.services
    transfer = await services.transfers.get(call.principal, call.parameters["transfer_id"])
    head = None if transfer.block_number is None else await services.health.mirror_head()
    return call.answer(_view(call, transfer, head))


@operations.post(
    "/v1/transfers/{transfer_id}/cancel",
    body=EmptyBody,
    key=KeyRule.REQUIRED,
    status=200,
    answer=TransferView,
    example=Example(examples.CANCELED, body={}, path=_PATH),
    refusals=(NotFound, CancelTooLate, SettlementRecovering, ChainUnavailable),
)
async def cancel_transfer(call: Call[EmptyBody, None]) -> Answer:
    """Cancel a transfer.

    Possible until it is written into a batch; the money is back at once, after the chain was asked
    whether it paid it. Canceling what is canceled already answers with the transfer again.
    """
    return await call.services.transfers.cancel(
        call.principal,
        call.parameters["transfer_id"],
        call.required_claim,
        lambda transfer: call.answer(_view(call, transfer, None)),
        call.refusal,
    )


@operations.post(
    "/v1/transfers/{transfer_id}/void",
    who=OPERATORS,
    body=EmptyBody,
    key=KeyRule.REQUIRED,
    status=202,
    answer=TransferView,
    example=Example(examples.VOIDING, body={}, path=_PATH),
    refusals=(NotFound, WrongState, NumberUsed, SettlementRecovering, ChainUnavailable),
)
async def void_transfer(call: Call[EmptyBody, None]) -> Answer:
    """Ask for a void on chain.

    For a transfer that was written into a batch. Whichever becomes final first decides: the void,
    and the money is back, or the payment. Where the contract has finally used its payment number
    for something else, it can never be paid, and the money is back at once.
    """
    return await call.services.transfers.void(
        call.principal,
        call.parameters["transfer_id"],
        call.required_claim,
        lambda transfer: call.answer(_view(call, transfer, None), _location(transfer)),
        _refusal_in_words(call, "voided"),
    )


@operations.post(
    "/v1/transfers/{transfer_id}/release",
    who=OPERATORS,
    body=EmptyBody,
    key=KeyRule.REQUIRED,
    answer=TransferView,
    status=200,
    example=Example(examples.TRANSFER, body={}, path=_PATH),
    refusals=(NotFound, WrongState, NumberUsed),
)
async def release_transfer(call: Call[EmptyBody, None]) -> Answer:
    """Let a transfer on hold try again.

    For a transfer that is `on_hold`: it is `funded` again, with three batches before it. Not while
    its payment number is used on chain: it would only be held again.
    """
    return await call.services.transfers.release(
        call.principal,
        call.parameters["transfer_id"],
        call.required_claim,
        lambda transfer: call.answer(_view(call, transfer, None)),
        _refusal_in_words(call, "released"),
    )


@operations.get(
    "/v1/transfers/{transfer_id}/events",
    answer=ListView[TimelineView],
    example=Example({"data": [examples.TIMELINE]}, path=_PATH),
    refusals=(NotFound,),
)
async def show_timeline(call: Call[None, None]) -> Answer:
    """Show a transfer's timeline, oldest first."""
    rows = await call.services.transfers.timeline(call.principal, call.parameters["transfer_id"])
    return call.answer({"data": [timeline_view(each) for each in rows]})


@operations.get(
    "/v1/events",
    who=INSTITUTIONS,
    query=EventQuery,
    answer=EventsView,
    example=Example({"data": [examples.EVENT], "next_after": 57}),
)
async def list_events(call: Call[None, EventQuery]) -> Answer:
    """List events of all own objects, ascending.

    Keep `next_after` and ask again with it: no event with a lower sequence appears later. Gaps are
    normal.
    """
    query = call.query
    rows = await call.services.transfers.events(call.principal, query.after, query.limit)
    return call.answer(
        {
            "data": [event_view(each) for each in rows],
            "next_after": rows[-1].sequence if rows else query.after,
        }
    )


def _beneficiary(body: TransferBeneficiaryBody) -> Beneficiary:
    """Who is paid; where a partner pays out, the address is its own and comes later."""
    account = body.account
    return Beneficiary(
        body.name,
        body.country,
        body.address or "",
        None if account is None else BankAccount(account.number, account.bank_code),
    )


def _filtered(call: Call[None, TransferQuery]) -> ListQuery:
    """The list asked for, with the customer as the store knows it."""
    query, customer_id = list_query(call), call.query.customer_id
    if customer_id is None:
        return query
    try:
        known = decode_id(Prefix.CUSTOMER, customer_id)
    except NotFound as error:
        fault = {"parameter": "customer_id", "code": "wrong_form", "message": error.detail}
        raise QueryInvalid("query parameters are wrong; see `errors`", errors=[fault]) from None
    return replace(query, filters={**query.filters, "customer_id": str(known)})


def _location(transfer: Transfer) -> str:
    return f"/v1/transfers/{encode_id(Prefix.TRANSFER, transfer.id)}"


def _refusal_in_words(call: Call[EmptyBody, None], asked: str) -> RenderError:
    """Refusals of a move name what the caller asked for, not the move inside the node."""

    def render(error: NodeError) -> Answer:
        state = error.context.get("state")
        if isinstance(error, WrongState) and state is not None:
            detail = f"a transfer that is {state} cannot be {asked}"
            return call.refusal(WrongState(detail, **error.context))
        return call.refusal(error)

    return render


def _customer_id(call: Call[TransferBody, None]) -> str:
    given, principal = call.body.customer_id, call.principal
    if given is not None:
        return given
    if principal.role is Role.REMITTER and principal.customer_id is not None:
        return encode_id(Prefix.CUSTOMER, principal.customer_id)
    raise invalid_body([("/customer_id", "required", "say whose money it is")])


def _view(
    call: Call[TransferBody, None]
    | Call[EmptyBody, None]
    | Call[None, None]
    | Call[None, TransferQuery],
    transfer: Transfer,
    head_number: int | None,
) -> TransferView:
    services = call.services
    return transfer_view(transfer, services.catalog, services.addresses, head_number)
