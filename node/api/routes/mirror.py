"""Where the mirror stands, and the way out of a reorg past finality."""

from typing import Final

from node.api.bodies import EmptyBody
from node.api.mirror_bodies import ReorgBody, ReorgQuery
from node.api.mirror_examples import ACCEPTED, MIRROR, REORG, REORG_BODY, REORG_ID
from node.api.mirror_views import (
    MirrorDocument,
    ReorgDocument,
    mirror_document,
    reorg_document,
)
from node.api.operations import OPERATORS, Call, Example, Operations, list_query
from node.api.views import PageView
from node.core.errors import ChainUnavailable, Conflict, NotFound, SecondPersonNeeded, WrongState
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.core.ports.reorgs import Reorg
from node.core.units import BlockHash

operations: Final = Operations("Mirror")


@operations.get("/v1/mirror", who=OPERATORS, answer=MirrorDocument, example=Example(MIRROR))
async def show_mirror(call: Call[None, None]) -> Answer:
    """Show where the mirror stands.

    The newest block it has, the newest final one, why it stands still if it does, what waits for a
    second operator, and the chain's providers.
    """
    services = call.services
    return call.answer(mirror_document(await services.mirror.look(), services.catalog))


@operations.get(
    "/v1/mirror/reorgs",
    who=OPERATORS,
    query=ReorgQuery,
    answer=PageView[ReorgDocument],
    example=Example({"data": [ACCEPTED], "next_cursor": None}),
)
async def list_reorgs(call: Call[None, ReorgQuery]) -> Answer:
    """List reorgs past finality, newest first.

    Those that operators proposed to accept, with what each undoes.
    """
    services = call.services
    page = await services.mirror.reorgs(list_query(call))
    views = [reorg_document(each, services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.post(
    "/v1/mirror/reorgs",
    who=OPERATORS,
    body=ReorgBody,
    answer=ReorgDocument,
    example=Example(REORG, body=REORG_BODY),
    refusals=(ChainUnavailable, Conflict, WrongState),
)
async def propose_reorg(call: Call[ReorgBody, None]) -> Answer:
    """Propose to accept a reorg past finality.

    Only while the mirror is halted. Every provider that answers must have this block; the answer
    says where the chains part and what accepting it undoes. Nothing changes, but that it replaces
    an older proposal.
    """
    services = call.services

    def render(reorg: Reorg) -> Answer:
        location = f"/v1/mirror/reorgs/{encode_id(Prefix.REORG, reorg.id)}"
        return call.answer(reorg_document(reorg, services.catalog), location)

    return await services.mirror.propose(
        call.principal,
        BlockHash(bytes.fromhex(call.body.block_hash[2:])),
        reason=call.body.reason,
        claim=call.claim,
        render=render,
        render_error=call.refusal,
    )


@operations.get(
    "/v1/mirror/reorgs/{reorg_id}",
    who=OPERATORS,
    answer=ReorgDocument,
    example=Example(REORG, path={"reorg_id": REORG_ID}),
    refusals=(NotFound,),
)
async def show_reorg(call: Call[None, None]) -> Answer:
    """Show a reorg past finality."""
    services = call.services
    found = await services.mirror.reorg(call.parameters["reorg_id"])
    return call.answer(reorg_document(found, services.catalog))


@operations.post(
    "/v1/mirror/reorgs/{reorg_id}/accept",
    who=OPERATORS,
    body=EmptyBody,
    status=200,
    answer=ReorgDocument,
    example=Example(ACCEPTED, path={"reorg_id": REORG_ID}, body={}),
    refusals=(ChainUnavailable, Conflict, NotFound, SecondPersonNeeded, WrongState),
)
async def accept_reorg(call: Call[EmptyBody, None]) -> Answer:
    """Accept a reorg past finality.

    By another operator than the one who proposed it. Chain and plan are looked at again, and if
    both are as they were, finality is undone down to the fork in one transaction: the mirror
    follows the new chain from there, and what it does not pay is paid with the same number.
    Settlement stays paused until an operator resumes `deep_reorg`.
    """
    services = call.services
    return await services.mirror.accept(
        call.principal,
        call.parameters["reorg_id"],
        claim=call.claim,
        render=lambda reorg: call.answer(reorg_document(reorg, services.catalog)),
        render_error=call.refusal,
    )
