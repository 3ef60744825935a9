"""Partners that pay this node's transfers out: their webhooks, and what can be asked of them."""

from typing import Final

from typing_extensions import TypedDict

from node.api import examples, peer_examples
from node.api.bodies import EmptyBody, Query, Upload
from node.api.operations import OPERATORS, Call, Example, KeyRule, Operations
from node.api.schemas import TransferCorrectionBody
from node.api.views import TransferView, transfer_view
from node.core.errors import BeneficiaryRefused, NotFound, WebhookUnverified, WrongState
from node.core.parties import Scope
from node.core.payout_orders import ChangeKind, PartnerRefused, PartnerUnavailable, Payee
from node.core.payouts import BankAccount
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import Transfer
from node.services.payouts.changing import ChangeAsk

operations: Final = Operations("Transfers")

_EVENT_BYTES_MAX: Final = 64 * 1024
_PATH: Final = {"transfer_id": examples.TRANSFER_ID}


class PeerEventQuery(Query):
    """No parameters."""


class PeerEventDocument(TypedDict):
    """That a webhook was taken."""

    taken: bool


@operations.upload(
    "/v1/peers/{partner}/events",
    who=None,
    key=KeyRule.UNUSED,
    status=200,
    uploads=("application/json",),
    bytes_max=_EVENT_BYTES_MAX,
    query=PeerEventQuery,
    answer=PeerEventDocument,
    example=Example(
        {"taken": True}, path={"partner": "manila"}, files={"application/json": peer_examples.EVENT}
    ),
    refusals=(NotFound, WebhookUnverified, PartnerUnavailable),
)
async def hear_partner(call: Call[Upload, PeerEventQuery]) -> Answer:
    """Take a webhook of a partner that pays out.

    The address that the partner's node sends its webhooks to (Standard Webhooks 1.0.0). It says
    that something happened to a payout; the partner is then asked what.
    """
    body = call.body
    await call.services.peers.hear(call.parameters["partner"], body.webhook, body.content)
    return call.answer({"taken": True})


@operations.post(
    "/v1/transfers/{transfer_id}/ask-partner",
    who=OPERATORS,
    body=EmptyBody,
    key=KeyRule.REQUIRED,
    status=200,
    answer=TransferView,
    example=Example(examples.TRANSFER, body={}, path=_PATH),
    refusals=(NotFound,),
)
async def ask_partner(call: Call[EmptyBody, None]) -> Answer:
    """Have a partner asked about the transfer that it pays out.

    At once, rather than at the next turn. Where the partner told other than what was ordered
    (break `B30`) its word is not believed until this: ask it when that is cleared up.
    """

    def render(transfer: Transfer) -> Answer:
        services = call.services
        return call.answer(transfer_view(transfer, services.catalog, services.addresses, None))

    return await call.services.peers.ask_again(
        call.parameters["transfer_id"], call.required_claim, render, call.refusal
    )


@operations.post(
    "/v1/transfers/{transfer_id}/correct",
    body=TransferCorrectionBody,
    key=KeyRule.REQUIRED,
    status=200,
    answer=TransferView,
    example=Example(peer_examples.AT_PARTNER, body=peer_examples.CORRECTION_BODY, path=_PATH),
    refusals=(NotFound, WrongState, BeneficiaryRefused, PartnerRefused, PartnerUnavailable),
)
async def correct_transfer(call: Call[TransferCorrectionBody, None]) -> Answer:
    """Give the beneficiary as it should have been, after the partner could not pay it.

    For a transfer that is `undeliverable` and whose `refund_policy` is `correct`; it is then
    `payout_pending` again, for the same amount. `partner_unavailable` means that the partner has
    not answered yet: it is asked until it does, and this request, repeated, tells what came of it.
    """
    body = call.body.beneficiary
    account = BankAccount(body.account.number, body.account.bank_code)
    return await _change(call, ChangeKind.CORRECT, Payee(body.name, body.country, account))


@operations.post(
    "/v1/transfers/{transfer_id}/refund",
    scope=Scope.REFUND,
    body=EmptyBody,
    key=KeyRule.REQUIRED,
    status=200,
    answer=TransferView,
    example=Example(peer_examples.SENT_BACK, body={}, path=_PATH),
    refusals=(NotFound, WrongState, PartnerRefused, PartnerUnavailable),
)
async def refund_transfer(call: Call[EmptyBody, None]) -> Answer:
    """Ask the partner for the money back instead of the payout.

    For a transfer that is `undeliverable` or `payout_pending`; the partner refuses once its bank
    may have the order. The transfer is `undeliverable` until the partner's payment is final, and
    then `refunded`. `partner_unavailable` as for a correction.
    """
    return await _change(call, ChangeKind.REFUND)


async def _change(
    call: Call[TransferCorrectionBody, None] | Call[EmptyBody, None],
    kind: ChangeKind,
    payee: Payee | None = None,
) -> Answer:
    services = call.services

    def render(transfer: Transfer) -> Answer:
        return call.answer(transfer_view(transfer, services.catalog, services.addresses, None))

    ask = ChangeAsk(call.principal, call.parameters["transfer_id"], kind, payee)
    return await services.payout_changes.ask(ask, call.required_claim, render, call.refusal)
