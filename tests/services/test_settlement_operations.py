"""Resuming: a pause for a key that was used elsewhere outlasts what nobody has explained."""

import pytest

from node.core.errors import SettlementRecovering
from node.core.settlement import PauseReason
from node.services.settlement.operations import SettlementOperations
from tests.builders import CHAIN_ID, render_error
from tests.mirrored import MirroredNode
from tests.onchain import LANE
from tests.services.adopting import adopt, by_a_stranger, final, lane_of, paid
from tests.services.keyed import OLGA, no_answer


async def resume(node: MirroredNode, reason: PauseReason) -> None:
    operations = SettlementOperations(node.ledger.units, CHAIN_ID, has_pauser=False)
    await operations.resume(OLGA, reason, claim=None, render=no_answer, render_error=render_error)


async def reasons(node: MirroredNode) -> list[PauseReason]:
    async with node.ledger.units() as unit:
        return [each.reason for each in await unit.settlement.pauses()]


async def test_a_foreign_nonce_is_adopted_before_its_pause_ends(node: MirroredNode) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    await final(node)
    assert (await lane_of(node))["status"] == "ahead"
    assert await reasons(node) == [PauseReason.FOREIGN_NONCE]
    with pytest.raises(SettlementRecovering, match="corridor settlement adopt"):
        await resume(node, PauseReason.FOREIGN_NONCE)
    await resume(node, PauseReason.OPERATOR)  # of another reason: nothing to refuse
    assert await reasons(node) == [PauseReason.FOREIGN_NONCE]
    await adopt(node.adoption())
    await resume(node, PauseReason.FOREIGN_NONCE)
    assert await reasons(node) == []


async def test_a_key_that_does_not_pay_is_adopted_before_too(node: MirroredNode) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    await final(node)
    await node.execute("UPDATE lane SET role = 'treasury'")
    with pytest.raises(SettlementRecovering):
        await resume(node, PauseReason.FOREIGN_NONCE)
