"""Whose payment it is, on a real chain: nobody gets another number who may be paid already.

And no transfer leaves a slot that can still be mined for one that did not pay it.
"""

from collections.abc import Sequence

from node.core.adoption.found import Link
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from node.services.settlement.renumbering import NUMBER_USED
from tests.mirrored import BUY, DEPTH_BLOCKS, MirroredNode
from tests.onchain import call
from tests.rig import PostgresServer
from tests.services.adopting import Copy, adopt, by_a_stranger, final, paid, resume, settle


async def test_a_payment_on_its_own_terms_is_not_made_again_though_the_clocks_say_it_is_older(
    node: MirroredNode, copy: Copy
) -> None:
    await paid(node, 1)
    known = await node.ledger.funded(node.payer, 2, sell_minor=100, buy_minor=BUY + 1)
    await with_a_clock_ahead(node)
    node = await copy.make()
    await settle(node, known)
    payouts = len(node.onchain.payouts())

    restored = await copy.restored()
    await restored.follow()
    shown = await restored.adoption().look()
    links = {record.link for each in shown.plan.transactions for record in each.records}
    assert links == {Link.TOO_YOUNG}
    assert shown.plan.renumbered == []
    await adopt(restored.adoption())
    await works_on(restored)
    await is_held(restored, known)
    assert len(restored.onchain.payouts()) == payouts


async def test_what_a_lost_database_renumbered_and_paid_is_not_paid_again(
    node: MirroredNode, copy: Copy, postgres_server: PostgresServer
) -> None:
    await paid(node, 1)
    node = await copy.make()
    lost = await node.ledger.funded(node.payer, 2, sell_minor=100, buy_minor=BUY + 2)
    await settle(node, lost)
    first = await copy.restored()
    mine = await first.ledger.funded(first.payer, 2, sell_minor=100, buy_minor=BUY + 3)
    assert [each.payment_number for each in mine] == [each.payment_number for each in lost]
    backup = Copy(first, postgres_server)  # while the lane waits for its adoption
    first = await backup.make()
    await first.follow()
    assert len((await adopt(first.adoption())).renumbered) == 2
    await first.follow()
    await resume(first)
    await settle(first, mine)
    payouts = len(first.onchain.payouts())

    second = await backup.restored()
    try:
        await second.follow()
        assert (await adopt(second.adoption())).renumbered == {}
        await works_on(second)
        await is_held(second, mine)
        assert len(second.onchain.payouts()) == payouts
    finally:
        await backup.close()


async def test_an_attempt_of_a_stranger_takes_no_transfer_out_of_a_slot_that_can_be_mined(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    overtaken = await node.sent(1)
    tried = await node.ledger.funded(node.payer, 1, sell_minor=100, buy_minor=BUY + 7)
    worker = await node.settlement()
    for _ in range(6):
        await worker.run_once()
    assert await node.states(tried) == {State.SUBMITTED}
    slot_before = (await node.again(tried))[0].slot_id
    (transfer,) = tried
    record = transfer.payment_number.to_bytes(8) + transfer.beneficiary_address
    data = call("settle(bytes)", record + transfer.amounts.buy.to_bytes(8))
    onchain = node.onchain
    onchain.anvil.rpc("anvil_dropAllTransactions")
    onchain.send(onchain.token, "deny(address)", transfer.beneficiary_address)
    by_a_stranger(node, onchain.contract, data=data)
    node.mine()
    onchain.send(onchain.token, "undeny(address)", transfer.beneficiary_address)
    await final(node)

    adopted = await adopt(node.adoption())
    assert adopted.plan.assigned == {}
    assert [each.slot_id for each in await node.again(tried)] == [slot_before]
    await node.follow()
    await resume(node)
    await node.execute("UPDATE attempt SET last_sent_at = now() - interval '1 minute'")
    await settle(node, [*tried, *overtaken])
    assert len(onchain.payouts()) == 3


async def test_a_number_in_a_slot_that_can_be_mined_is_in_no_other_and_nothing_of_it_expires(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(1)
    await node.execute("ALTER TABLE transfer DISABLE TRIGGER USER")
    await node.execute("UPDATE transfer SET state = 'funded', slot_id = NULL, tx_hash = NULL")
    await node.execute("ALTER TABLE transfer ENABLE TRIGGER USER")
    (transfer,) = await node.again(transfers)
    async with node.ledger.units() as unit:
        where = (transfer.chain_id, transfer.contract)
        assert await unit.settlement.candidates(*where, 10) == []
    await node.execute("UPDATE transfer SET settle_by = now() - interval '1 hour'")
    async with node.ledger.units() as unit:
        assert await unit.settlement.overdue(*where, 10) == []


async def with_a_clock_ahead(node: MirroredNode) -> None:
    """What is funded was so by a database whose clock was ten minutes ahead of the chain's."""
    await node.execute("ALTER TABLE transfer DISABLE TRIGGER USER")
    await node.execute(
        "UPDATE transfer SET created_at = created_at + interval '10 minutes' WHERE state = 'funded'"
    )
    await node.execute("ALTER TABLE transfer ENABLE TRIGGER USER")


async def works_on(node: MirroredNode) -> None:
    """The operator resumes, and everybody has had several turns."""
    await node.follow()
    await resume(node)
    for _ in range(4):
        await (await node.settlement()).run_once()
        node.mine(1 + DEPTH_BLOCKS)
        await node.follow()


async def is_held(node: MirroredNode, transfers: Sequence[Transfer]) -> None:
    """An operator has to look, and the numbers are those from before."""
    now = await node.again(transfers)
    assert {(each.state, (each.failure or {}).get("code")) for each in now} == {
        (State.ON_HOLD, NUMBER_USED)
    }
    assert [each.payment_number for each in now] == [each.payment_number for each in transfers]
