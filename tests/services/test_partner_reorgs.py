"""A reorg past finality below a payment to a partner: what the partner did stays."""

import pytest

from node.core.transfers import State
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing
from tests.services.partnering import Partnered
from tests.services.reorging import Desk
from tests.services.test_partner_refunds import tell_refund


@pytest.fixture
def desk(node: MirroredNode) -> Desk:
    return Desk(node)


async def test_what_waits_for_its_payout_is_paid_again_with_the_same_number(
    sender: Partnered, desk: Desk
) -> None:
    before = await sender.at_partner()
    await desk.reorg(5)
    await desk.both()
    undone = await sender.again(before.id)
    assert (undone.state, undone.payment_number) == (State.SUBMITTED, before.payment_number)
    assert undone.pending_sequence == before.pending_sequence  # it was never posted
    assert await sender.clearing() == 0
    await desk.assert_proven()

    await desk.until([before], State.PAYOUT_PENDING)
    again = await sender.again(before.id)
    assert again.payment_number == before.payment_number
    assert await sender.clearing() == before.amounts.buy
    await desk.resume()
    assert (await sender.paid_out(again)).state is State.PAID_OUT
    await sender.assert_sound()


async def test_what_a_partner_paid_out_stays_so_and_the_partner_is_owed_until_it_is_paid_again(
    sender: Partnered, desk: Desk
) -> None:
    done = await sender.paid_out(await sender.at_partner())
    await desk.reorg(5)
    await desk.both()
    kept = await sender.again(done.id)
    assert (kept.state, kept.tx_hash) == (State.PAID_OUT, None)
    assert await sender.clearing() == -done.amounts.buy
    assert "B31" in [each.code for each in await sender.node.open_breaks()]

    for _ in range(20):
        await (await sender.node.settlement()).run_once()
        sender.node.mine()
        await sender.node.follow()
        if (await sender.again(done.id)).tx_hash is not None:
            break
    assert (await sender.again(done.id)).state is State.PAID_OUT
    assert await sender.clearing() == 0
    assert (await sender.node.timeline(done.id))[-2:] == [
        "transfer.reorged",
        "transfer.reached_again",
    ]
    await desk.resume()
    await sender.assert_sound()


async def test_a_refund_that_a_reorg_took_is_owed_by_the_partner_until_it_is_final_again(
    sender: Partnered, desk: Desk
) -> None:
    before, node = await sender.customer(), sender.node
    transfer = await sender.at_partner()
    tx_hash = sender.sends_back((7, transfer.amounts.buy))
    raw = node.onchain.anvil.rpc("eth_getRawTransactionByHash", f"0x{tx_hash.hex()}")
    tell_refund(sender, transfer, tx_hash, transfer.amounts.buy)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.REFUNDED

    await desk.reorg(DEPTH_BLOCKS + 1)
    await desk.both()
    await desk.resume()
    assert (await sender.clearing(), await sender.customer()) == (transfer.amounts.buy, before)
    await sender.ask()
    assert [each.code for each in await node.open_breaks()] == ["B32"]
    await desk.assert_proven()
    assert failing(await node.reconcile()) == []

    node.onchain.anvil.rpc("eth_sendRawTransaction", raw)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    await sender.ask()
    assert (await sender.clearing(), await sender.customer()) == (0, before)
    assert (await sender.again(transfer.id)).state is State.REFUNDED
    assert await sender.ask() == 0
    await sender.assert_sound()
