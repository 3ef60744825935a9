"""Adoption on a real chain: a stranger with a lane's key, lost attempts, and what goes wrong.

No order fails because its nonce is used: who was not paid is paid later, and after finality only.
"""

import asyncio

import pytest

from adapters.evm.errors import RpcError
from adapters.evm.rpc import Call
from node.core.adoption.found import Finding
from node.core.errors import ChainUnavailable, SettlementRecovering
from node.core.settlement import Purpose
from node.core.transfers import State
from tests.mirrored import DEPTH_BLOCKS, Lying, MirroredNode, failing
from tests.onchain import ADMIN, LANE, call
from tests.services.adopting import (
    adopt,
    by_a_stranger,
    final,
    lane_of,
    paid,
    resume,
    settle,
    slots_of,
    written_unsigned,
)
from tests.services.settling import Killed, killer

# --------------------------------------------------------------------------------------- a stranger


async def test_a_nonce_used_by_a_stranger_fails_nobody_and_who_waited_is_paid_after_finality(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    transfers = await node.sent(2)
    by_a_stranger(node, LANE)
    node.mine()
    await node.follow()
    assert await node.states(transfers) == {State.SUBMITTED}
    shown = await node.adoption().look()
    assert [each.finding for each in shown.plan.transactions] == [Finding.OVERTAKES]
    assert shown.waits_for
    with pytest.raises(SettlementRecovering):
        await adopt(node.adoption())
    assert await node.states(transfers) == {State.SUBMITTED}  # nothing before it is final

    await final(node)
    assert (await lane_of(node))["status"] == "ahead"
    await adopt(node.adoption())
    back = await node.again(transfers)
    assert {(each.state, each.slot_id, each.batches_failed) for each in back} == {
        (State.FUNDED, None, 0)
    }
    assert (await slots_of(node))[1:] == [
        (1, "settle", "foreign", False),
        (1, "noop", "included", True),
    ]
    await node.follow()
    assert await (await node.settlement()).run_once() == 0  # until an operator resumes
    await resume(node)
    await settle(node, transfers)
    assert len(node.onchain.payouts()) == 3
    assert failing(await node.reconcile()) == []


async def test_bytes_that_the_database_lost_pay_the_transfers_of_their_slot(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(2)
    (slot,) = await node.rows("SELECT calldata, gas_limit FROM slot")
    by_a_stranger(
        node, node.onchain.contract, data="0x" + slot["calldata"].hex(), gas=hex(slot["gas_limit"])
    )
    await final(node)
    assert await node.states(transfers) == {State.INCLUDED}
    assert (await lane_of(node))["status"] == "ahead"
    adopted = await adopt(node.adoption())
    assert [each.finding for each in adopted.plan.transactions] == [Finding.LOST_ATTEMPT]
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED}
    assert await slots_of(node) == [(0, "settle", "final", False)]
    assert failing(await node.reconcile()) == []


@pytest.mark.parametrize("is_same", [True, False])
async def test_a_nonce_that_was_written_and_never_signed_is_what_the_chain_says(
    node: MirroredNode, is_same: bool
) -> None:
    transfers = await written_unsigned(node, 2)
    (slot,) = await node.rows("SELECT calldata FROM slot")
    data = "0x" + slot["calldata"].hex() if is_same else "0x"
    by_a_stranger(node, node.onchain.contract if is_same else LANE, data=data)
    await final(node)
    adopted = await adopt(node.adoption())
    assert [each.finding for each in adopted.plan.transactions] == [
        Finding.LOST_ATTEMPT if is_same else Finding.OVERTAKES
    ]
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED if is_same else State.FUNDED}
    await resume(node)
    await settle(node, transfers)
    assert len(node.onchain.payouts()) == 2
    assert failing(await node.reconcile()) == []


async def test_a_strangers_settle_coin_and_token_are_told_and_its_gas_is_booked(
    node: MirroredNode,
) -> None:
    onchain = node.onchain
    await paid(node, 1)
    onchain.send(onchain.token, "mint(address,uint256)", LANE, 5_000)
    await final(node)
    record = (2**63 + 1).to_bytes(8) + b"\x99" * 20 + (7).to_bytes(8)
    for to, call_data, value in (
        (onchain.contract, call("settle(bytes)", record), "0x0"),
        (ADMIN, "0x", hex(3 * 10**9)),
        (onchain.token, call("transfer(address,uint256)", ADMIN, 400), "0x0"),
        (onchain.contract, call("void(uint64[])", [10**6]), "0x0"),
    ):
        by_a_stranger(node, to, data=call_data, value=value)
        node.mine()
    await final(node)
    adopted = await adopt(node.adoption())
    assert [each.purpose for each in adopted.plan.transactions] == [
        Purpose.SETTLE,
        Purpose.UNKNOWN,
        Purpose.UNKNOWN,
        Purpose.VOID,
    ]
    await node.follow()
    codes = sorted(each.code for each in await node.open_breaks())
    assert codes == ["B04", "B06", "B06", "B06", "B10", "B10", "B12"]
    gas = await node.rows("SELECT count(*) AS n FROM ledger_transaction WHERE kind = 'gas'")
    assert gas[0]["n"] == 5
    async with node.ledger.units() as unit:
        assert await unit.settlement.next_number(31337, onchain.contract) == 10**6 + 1
    found = set(failing(await node.reconcile()))
    assert f"nonce:{LANE.lower()}" not in found
    assert f"balance.delta:{LANE.lower()}" not in found


# ------------------------------------------------------------------------------- when it goes wrong


async def test_what_a_reorg_takes_back_needs_no_adoption(node: MirroredNode) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    node.mine()
    await node.follow()
    assert await (await node.settlement()).run_once() == 0
    assert (await lane_of(node))["status"] == "ahead"
    assert (await node.adoption().look()).waits_for
    node.onchain.anvil.rpc("anvil_reorg", 1, [])
    await final(node)
    shown = await node.adoption().look()
    assert (shown.waits_for, list(shown.plan.transactions), shown.is_needed) == ([], [], True)
    await adopt(node.adoption())
    assert (await lane_of(node))["status"] == "active"
    transfers = await node.funded(1)
    await resume(node)
    await settle(node, transfers)
    assert failing(await node.reconcile()) == []


@pytest.mark.parametrize("window", ["after_adoption_read", "after_adoption_write"])
async def test_adoption_killed_at_a_window_is_made_once(node: MirroredNode, window: str) -> None:
    await paid(node, 1)
    transfers = await node.sent(2)
    by_a_stranger(node, LANE)
    await final(node)
    with pytest.raises(Killed):
        await adopt(node.adoption(killer(window)))
    assert await node.states(transfers) == {
        State.SUBMITTED if window == "after_adoption_read" else State.FUNDED
    }
    await adopt(node.adoption())
    assert len(await node.rows("SELECT 1 FROM adoption")) == 1
    assert len(await node.rows("SELECT 1 FROM slot WHERE adopted")) == 1
    await node.follow()
    await resume(node)
    await settle(node, transfers)
    assert len(node.onchain.payouts()) == 3


async def test_operators_mirrors_and_a_worker_at_once_make_one_adoption(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    transfers = await node.sent(2)
    worker = await node.settlement()
    await worker.run_once()
    by_a_stranger(node, LANE)
    node.mine(1 + DEPTH_BLOCKS)
    for _ in range(3):
        await asyncio.gather(node.mirror().run_once(), node.mirror().run_once())
    await asyncio.gather(
        adopt(node.adoption()),
        adopt(node.adoption()),
        node.mirror().run_once(),
        worker.run_once(),
    )
    assert len(await node.rows("SELECT 1 FROM adoption")) == 1
    await node.follow()
    await resume(node)
    for _ in range(4):  # the holder from before finds its epoch gone, and takes the lane again
        await worker.run_once()
        await final(node)
    assert await node.states(transfers) == {State.SETTLED}
    assert len(node.onchain.payouts()) == 3


async def test_without_the_state_of_the_past_blocks_are_read_whole(node: MirroredNode) -> None:
    await paid(node, 1)
    transfers = await node.sent(1)
    by_a_stranger(node, LANE)
    node.mine(3)

    def pruned(asked: Call, answer: object) -> object:
        method, params = asked
        by_hash = method in ("eth_getTransactionCount", "eth_getBalance") and not isinstance(
            params[1], str
        )
        return RpcError(-32000, "missing trie node") if by_hash else answer

    honest, before = node.providers, (await node.cursor()).head.number
    node.providers = Lying(honest, pruned)
    await node.follow()
    assert (await node.cursor()).final.number == before  # the stranger's is in the next block
    assert (await lane_of(node))["status"] == "ahead"
    await adopt(node.adoption())
    await node.follow()
    assert (await node.cursor()).final.number > before
    node.providers = honest
    await resume(node)
    await settle(node, transfers)
    assert failing(await node.reconcile()) == []


async def test_a_provider_that_has_less_than_is_mined_makes_nothing_final(
    node: MirroredNode,
) -> None:
    await paid(node, 2)
    node.mine(1)

    def stale(asked: Call, answer: object) -> object:
        return "0x0" if asked[0] == "eth_getTransactionCount" else answer

    before = (await node.cursor()).final
    node.providers = Lying(node.providers, stale)
    with pytest.raises(ChainUnavailable):
        await node.follow()
    assert (await node.cursor()).final == before
