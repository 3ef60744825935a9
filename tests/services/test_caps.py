"""A payment above the cap itself waits alone: those behind it are paid, in their order."""

from collections.abc import AsyncIterator, Callable

import pytest

from node.core.settlement import BatchRules
from node.core.transfers import State
from tests.mirrored import BUY
from tests.onchain import LANE
from tests.rig import AnvilServer
from tests.services.lanes import Fleet

DAY_S = 86_400
OPERATOR, CONTRACT_CAP = 0, 1  # the contract's `Right`
NOBODY = "0x" + "00" * 20


@pytest.fixture
async def fleet(database_url: str, start_anvil: Callable[..., AnvilServer]) -> AsyncIterator[Fleet]:
    """Two lanes, each with a cap of three payments, and so the contract."""
    fleet = await Fleet.open(database_url, start_anvil(automine=False), cap_units=3 * BUY)
    yield fleet
    await fleet.node.close()


async def test_a_payment_above_the_cap_waits_and_those_behind_it_are_paid(fleet: Fleet) -> None:
    fleet.batches = BatchRules(payments_max=1, wait_ms=0)
    node = fleet.node
    big = await node.ledger.funded(node.payer, 2, sell_minor=100, buy_minor=4 * BUY)
    small = await node.funded(2)
    workers = fleet.workers()
    await fleet.settle(workers, small)
    assert {(each.state, each.waiting_code) for each in await node.again(big)} == {
        (State.FUNDED, "cap_reached")
    }
    await fleet.assert_paid_once(small)


async def test_a_payment_above_the_cap_is_paid_once_that_is_raised(fleet: Fleet) -> None:
    node, contract = fleet.node, fleet.node.onchain.contract
    (big,) = await node.ledger.funded(node.payer, 1, sell_minor=100, buy_minor=4 * BUY)
    first, _ = fleet.workers()
    await first.run_once()
    assert (await node.again([big]))[0].waiting_code == "cap_reached"
    raised = ((OPERATOR, LANE), (CONTRACT_CAP, NOBODY))
    for right, account in raised:
        node.onchain.send(contract, "propose(uint8,address,uint64)", right, account, 5 * BUY)
    node.onchain.anvil.rpc("evm_increaseTime", DAY_S + 1)
    for right, account in raised:
        node.onchain.send(contract, "applyProposal(uint8,address)", right, account)
    node.onchain.anvil.rpc("evm_increaseTime", DAY_S)
    node.mine()
    await fleet.kill()
    await fleet.settle(fleet.workers(), [big])
    await fleet.assert_paid_once([big])
