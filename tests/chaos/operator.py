"""What an operator does when things stand still: look, adopt, resume, release."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from node.core.errors import NodeError, NumberUsed
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.core.settlement import LaneStatus, PauseReason
from node.core.transfers import State
from tests.builders import a_claim, render, render_error
from tests.chaos.bench import OPERATOR

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign


async def look(campaign: "Campaign") -> None:
    """One round in which everything goes on again."""
    if await adopt(campaign):
        await resume(campaign, list(PauseReason))
        await release(campaign)


async def look_in_passing(campaign: "Campaign") -> None:
    """The same while faults go on: the pauses of operators stay."""
    if await adopt(campaign):
        others = [each for each in PauseReason if each is not PauseReason.OPERATOR]
        await resume(campaign, others)


async def adopt(campaign: "Campaign") -> bool:
    """Adopt what lanes have on the chain that the database does not know; whether none is ahead."""
    rows = await campaign.bench.rows("SELECT id FROM lane WHERE status = $1", str(LaneStatus.AHEAD))
    if not rows:
        return True
    adoption: Any = campaign.bench.node.services.adoption
    try:
        answer = await adoption.adopt(
            OPERATOR, claim=None, render=lambda _: Answer(200, b"{}"), render_error=render_error
        )
    except NodeError as error:
        campaign.tell(f"adoption waits: {error.detail[:300]}")
        return False
    if answer.status < 300:
        campaign.adoptions += 1
        campaign.tell(f"adopted, {len(rows)} lanes were ahead")
    return True


async def resume(campaign: "Campaign", reasons: Sequence[PauseReason]) -> None:
    """End these pauses, and let lanes that stopped work again."""
    async with campaign.bench.node.units() as unit:
        for each in await unit.settlement.pauses():
            if each.reason in reasons:
                await unit.settlement.resume(each.reason, OPERATOR.key)
                campaign.tell(f"resumed {each.reason}: {each.note}")
        await unit.settlement.restart_lanes(campaign.bench.node.settings.chain_id)


async def release(campaign: "Campaign") -> None:
    """Let what is held try again; one whose number is used is left to a person who books it."""
    rows = await campaign.bench.rows("SELECT id FROM transfer WHERE state = $1", str(State.ON_HOLD))
    for row in rows:
        name = encode_id(Prefix.TRANSFER, row["id"])
        try:
            await campaign.bench.node.services.transfers.release(
                OPERATOR, name, a_claim(OPERATOR), render, render_error
            )
        except NumberUsed:
            campaign.held.add(row["id"])
        except NodeError as error:
            campaign.tell(f"release of {name}: {error.code}")
