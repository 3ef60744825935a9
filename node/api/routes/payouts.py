"""Payouts for partners: paid on the chain, delivered by the node's bank."""

from typing import Any, Final

from node.api import payout_examples as examples
from node.api.operations import (
    INSTITUTIONS,
    OPERATORS,
    Call,
    Example,
    KeyRule,
    Operations,
    list_query,
)
from node.api.partner_examples import PARTNER_ID
from node.api.payout_bodies import (
    PartnerContractBody,
    PayeeBody,
    PayoutBody,
    PayoutCorrectionBody,
    PayoutQuery,
    PayoutRefundBody,
    PersonBody,
)
from node.api.payout_views import (
    PartnerContractDocument,
    PayoutDocument,
    RefundDocument,
    partner_contract_document,
    payout_document,
    refund_document,
)
from node.api.views import ListView, PageView
from node.core.errors import (
    AddressInvalid,
    BeneficiaryRefused,
    ChainUnavailable,
    ClientReferenceUsed,
    ContractRegistered,
    DepositsNotOffered,
    InsufficientFunds,
    LimitExceeded,
    LiquidityUnavailable,
    NotFound,
    PayoutsNotOffered,
    QuoteExpired,
    QuoteRevoked,
    QuoteUsed,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Role, Scope
from node.core.payouts import BankAccount, PartnerContract, Payout, Person, RefundPolicy
from node.core.ports.idempotency import Answer
from node.services.payouts.registering import ContractAsk, PayoutAsk

operations: Final = Operations("Payouts")

_PARTNERS: Final = frozenset({Role.PARTNER})
_PARTNER: Final = {"partner_id": PARTNER_ID}
_PAYOUT: Final = {"payout_id": examples.PAYOUT_ID}
_REFUND: Final = {"refund_id": examples.REFUND_ID}


@operations.post(
    "/v1/partners/{partner_id}/contracts",
    who=OPERATORS,
    scope=Scope.ADMIN,
    body=PartnerContractBody,
    answer=PartnerContractDocument,
    example=Example(examples.CONTRACT, body=examples.CONTRACT_BODY, path=_PARTNER),
    refusals=(NotFound, AddressInvalid, ContractRegistered),
)
async def register_partner_contract(call: Call[PartnerContractBody, None]) -> Answer:
    """Register a settlement contract that a partner pays out of.

    Only its payments match payouts of the partner: a Transfer with `Settled(number)` of the same
    contract directly after it. Money goes back to the contract, or to `refund_address`.
    """
    body, services = call.body, call.services

    def render(contract: PartnerContract) -> Answer:
        location = f"/v1/partners/{encode_id(Prefix.PARTNER, contract.partner_id)}/contracts"
        return call.answer(partner_contract_document(contract, services.addresses), location)

    ask = ContractAsk(
        call.principal,
        call.parameters["partner_id"],
        body.chain_id,
        body.address,
        body.refund_address,
    )
    return await services.payouts.register_contract(ask, call.claim, render, call.refusal)


@operations.get(
    "/v1/partners/{partner_id}/contracts",
    who=INSTITUTIONS,
    answer=ListView[PartnerContractDocument],
    example=Example({"data": [examples.CONTRACT]}, path=_PARTNER),
    refusals=(NotFound,),
)
async def list_partner_contracts(call: Call[None, None]) -> Answer:
    """List the settlement contracts that a partner pays out of, the oldest first."""
    services = call.services
    found = await services.payouts.contracts(call.principal, call.parameters["partner_id"])
    views = [partner_contract_document(each, services.addresses) for each in found]
    return call.answer({"data": views})


@operations.post(
    "/v1/payouts",
    who=_PARTNERS,
    key=KeyRule.REQUIRED,
    body=PayoutBody,
    answer=PayoutDocument,
    example=Example(examples.PAYOUT, body=examples.PAYOUT_BODY),
    refusals=(
        NotFound,
        QuoteUsed,
        QuoteExpired,
        QuoteRevoked,
        ClientReferenceUsed,
        PayoutsNotOffered,
        AddressInvalid,
        BeneficiaryRefused,
        LimitExceeded,
        LiquidityUnavailable,
        DepositsNotOffered,
        ChainUnavailable,
    ),
)
async def create_payout(call: Call[PayoutBody, None]) -> Answer:
    """Register a payout on a firm quote with payout method `bank`.

    The answer says where to pay on the chain, how much and until when. Pay out of a registered
    settlement contract, in one payment: what comes in parts counts together; too little at
    `pay_by` goes back; more is credited to your balance; up to a grace after `pay_by` the quoted
    amounts are honoured (`paid_late`), after it the money goes back. A Transfer of anybody else to
    the address pays nothing. Beneficiary data stay in this body: nothing of them is on the chain.
    What is registered on a day counts towards your limit of a day, where one is agreed.
    """
    body, services = call.body, call.services

    def render(payout: Payout) -> Answer:
        location = f"/v1/payouts/{encode_id(Prefix.PAYOUT, payout.id)}"
        return call.answer(_document(call, payout), location)

    ask = PayoutAsk(
        principal=call.principal,
        quote_id=body.quote_id,
        client_reference=body.client_reference,
        beneficiary=_payee(body.beneficiary),
        originator=None if body.originator is None else _person(body.originator),
        refund_policy=RefundPolicy(body.refund_policy),
        refund_address=body.refund_address,
        purpose=body.purpose,
    )
    return await services.payouts.create(ask, call.required_claim, render, call.refusal)


@operations.get(
    "/v1/payouts",
    who=INSTITUTIONS,
    query=PayoutQuery,
    answer=PageView[PayoutDocument],
    example=Example({"data": [examples.PAYOUT], "next_cursor": None}),
    refusals=(NotFound,),
)
async def list_payouts(call: Call[None, PayoutQuery]) -> Answer:
    """List payouts, newest first: a partner its own, an operator all."""
    page = await call.services.payouts.page(call.principal, list_query(call))
    views = [_document(call, each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/payouts/{payout_id}",
    who=INSTITUTIONS,
    answer=PayoutDocument,
    example=Example(examples.PAID_OUT, path=_PAYOUT),
    refusals=(NotFound,),
)
async def show_payout(call: Call[None, None]) -> Answer:
    """Show a payout, with the payment that matched it and its newest refund."""
    found = await call.services.payouts.get(call.principal, call.parameters["payout_id"])
    return call.answer(_document(call, found))


@operations.post(
    "/v1/payouts/{payout_id}/refund",
    who=INSTITUTIONS,
    scope=Scope.REFUND,
    key=KeyRule.REQUIRED,
    body=PayoutRefundBody,
    status=200,
    answer=PayoutDocument,
    example=Example(examples.REFUNDING, body={}, path=_PAYOUT),
    refusals=(NotFound, WrongState, InsufficientFunds),
)
async def refund_payout(call: Call[PayoutRefundBody, None]) -> Answer:
    """Send a payout's money back instead of paying it out.

    While it is `matched`, `refused` or `on_hold`: not once the bank may have the order. All of the
    money goes to `refund_address` on the chain; `refund` follows it.
    """
    return await call.services.payout_desk.refund(
        call.principal,
        call.parameters["payout_id"],
        call.required_claim,
        lambda payout: call.answer(_document(call, payout)),
        call.refusal,
    )


@operations.post(
    "/v1/payouts/{payout_id}/correct",
    who=INSTITUTIONS,
    key=KeyRule.REQUIRED,
    body=PayoutCorrectionBody,
    status=200,
    answer=PayoutDocument,
    example=Example(examples.CORRECTED, body=examples.CORRECTION_BODY, path=_PAYOUT),
    refusals=(NotFound, WrongState),
)
async def correct_payout(call: Call[PayoutCorrectionBody, None]) -> Answer:
    """Give the beneficiary as it should have been, after the bank has refused it.

    The bank gets another order, for the same amount. Or ask for the refund.
    """
    return await call.services.payout_desk.correct(
        call.principal,
        call.parameters["payout_id"],
        _payee(call.body.beneficiary),
        call.required_claim,
        lambda payout: call.answer(_document(call, payout)),
        call.refusal,
    )


@operations.get(
    "/v1/refunds/{refund_id}",
    who=INSTITUTIONS,
    answer=RefundDocument,
    example=Example(examples.REFUND, path=_REFUND),
    refusals=(NotFound,),
)
async def show_refund(call: Call[None, None]) -> Answer:
    """Show a refund: money of a payout on its way back on the chain."""
    services = call.services
    found = await services.payouts.refund(call.principal, call.parameters["refund_id"])
    return call.answer(refund_document(found, services.catalog, services.addresses))


def _document(call: Call[Any, Any], payout: Payout) -> PayoutDocument:
    services = call.services
    return payout_document(payout, services.catalog, services.addresses)


def _payee(body: PayeeBody) -> Person:
    return _person(body, BankAccount(body.account.number, body.account.bank_code))


def _person(body: PersonBody, account: BankAccount | None = None) -> Person:
    born = body.date_of_birth
    return Person(
        type=body.type,
        name=body.name,
        country=body.country,
        address=body.address,
        date_of_birth=None if born is None else born.isoformat(),
        national_id=body.national_id,
        account=account,
    )
