"""Transactions of the node's keys that the database does not know, and taking them over."""

from typing import Final

from node.api.adoption_examples import ADOPTED, ADOPTION, CONFIRM_BODY
from node.api.adoption_views import AdoptionDocument, adoption_document
from node.api.operations import OPERATORS, Call, Example, Operations
from node.api.schemas import ConfirmBody
from node.core.errors import ChainUnavailable, SettlementRecovering
from node.core.ports.adoption import Adoption
from node.core.ports.idempotency import Answer

operations: Final = Operations("Settlement")


@operations.get(
    "/v1/settlement/adoption",
    who=OPERATORS,
    answer=AdoptionDocument,
    example=Example(ADOPTION),
    refusals=(ChainUnavailable,),
)
async def show_adoption(call: Call[None, None]) -> Answer:
    """Show what is to be adopted.

    Transactions of the node's keys that the database does not know, decoded: after a restored
    backup, or when a key was used elsewhere. Nothing changes.
    """
    services = call.services
    found = await services.adoption.look()
    return call.answer(adoption_document(found, services.catalog, services.addresses))


@operations.post(
    "/v1/settlement/adoption",
    who=OPERATORS,
    body=ConfirmBody,
    status=200,
    answer=AdoptionDocument,
    example=Example(ADOPTED, body=CONFIRM_BODY),
    refusals=(ChainUnavailable, SettlementRecovering),
)
async def adopt(call: Call[ConfirmBody, None]) -> Answer:
    """Adopt what was found.

    In one transaction: batches, attempts, and the numbers they used become the database's own;
    payments are linked only to transfers equal in beneficiary and amount. The mirror then books
    them as ever. The pause stays until an operator resumes. Refused while something found is not
    final.
    """
    services = call.services

    def render(found: Adoption) -> Answer:
        return call.answer(adoption_document(found, services.catalog, services.addresses))

    return await services.adoption.adopt(
        call.principal, claim=call.claim, render=render, render_error=call.refusal
    )
