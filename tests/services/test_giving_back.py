"""Money goes back once, on proof, and never for a number that the chain has used."""

import orjson
import pytest

from node.core.errors import CancelTooLate, SettlementRecovering
from node.core.ids import Prefix, encode_id
from node.core.ledger import customer_account
from node.core.parties import Principal, Role
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from node.services.transfers.acceptance import Submission
from tests.builders import a_claim, a_quote, render, render_error
from tests.mirrored import BUY, DEPTH_BLOCKS, MirroredNode
from tests.onchain import ADMIN, LANE, call

OPERATOR = Principal(Role.OPERATOR, "olga")


def name(transfer: Transfer) -> str:
    return encode_id(Prefix.TRANSFER, transfer.id)


async def cancel(node: MirroredNode, transfer: Transfer) -> str:
    answer = await node.ledger.transfers.cancel(
        node.payer, name(transfer), a_claim(node.payer), render, render_error
    )
    body = orjson.loads(answer.body)
    return str(body.get("state") or body["code"])


async def void(node: MirroredNode, transfer: Transfer) -> str:
    answer = await node.ledger.transfers.void(
        OPERATOR, name(transfer), a_claim(OPERATOR), render, render_error
    )
    body = orjson.loads(answer.body)
    return str(body.get("state") or body["code"])


async def available(node: MirroredNode) -> int:
    assert node.payer.customer_id is not None
    return (await node.balance(customer_account(node.payer.customer_id, "EUR"))).available


async def finality(node: MirroredNode) -> None:
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()


def admin_sends(node: MirroredNode, signature: str, argument: object, *, tip_wei: int) -> None:
    """Put a call of the contract's admin into the pool, ahead of cheaper ones."""
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": f"0x{node.onchain.contract.hex()}",
            "data": call(signature, argument),
            "gas": hex(300_000),
            "maxFeePerGas": hex(10**12),
            "maxPriorityFeePerGas": hex(tip_wei),
        },
    )


async def test_a_transfer_paid_although_a_void_was_asked_for_has_no_failure(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(1)
    assert await void(node, transfers[0]) == "voiding"
    await finality(node)
    (paid,) = await node.again(transfers)
    assert (paid.state, paid.failure, paid.void_outcome) == (State.SETTLED, None, None)


async def test_a_number_voided_by_somebody_else_gives_the_money_back_with_a_break(
    node: MirroredNode,
) -> None:
    before = await available(node)
    transfers = await node.sent(1)
    admin_sends(node, "void(uint64[])", [transfers[0].payment_number], tip_wei=10**11)
    await finality(node)
    (ended,) = await node.again(transfers)
    assert ended.state is State.CANCELED
    assert ended.tx_hash is None
    assert await available(node) == before
    assert (await node.timeline(ended.id))[-2:] == ["transfer.voiding", "transfer.canceled"]
    assert [each.code for each in await node.open_breaks()] == ["B10"]


async def test_a_lane_whose_void_reverts_stops_instead_of_paying_for_more(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(1)
    admin_sends(node, "removeOperator(address)", LANE, tip_wei=10**11)
    await finality(node)  # the batch reverted as a whole
    assert await void(node, transfers[0]) == "voiding"
    worker = await node.settlement()
    for _ in range(3):
        for _ in range(3):
            await worker.run_once()
        await finality(node)
    rows = await node.rows("SELECT count(*) FROM slot WHERE purpose = 'void'")
    assert rows[0]["count"] == 1
    assert (await node.rows("SELECT status FROM lane"))[0]["status"] == "stopped"
    assert await node.states(transfers) == {State.VOIDING}


async def test_nothing_goes_back_while_a_lane_is_ahead_or_for_a_number_seen_on_chain(
    node: MirroredNode,
) -> None:
    (transfer,) = await node.funded(1)
    await (await node.settlement()).run_once()
    await node.execute("UPDATE transfer SET was_written = false, slot_id = NULL, state = 'funded'")
    await node.execute("UPDATE lane SET status = 'ahead'")
    with pytest.raises(SettlementRecovering):
        await cancel(node, transfer)
    await node.execute("UPDATE lane SET status = 'active'")
    await finality(node)  # the batch that this database has forgotten
    assert await cancel(node, transfer) == CancelTooLate.code


async def test_a_held_transfer_can_be_voided(node: MirroredNode) -> None:
    before = await available(node)
    transfers = await node.funded(2)
    await node.execute("UPDATE transfer SET batches_failed = 3")
    await node.execute("UPDATE transfer SET was_written = true WHERE id = $1", transfers[1].id)
    worker = await node.settlement()
    await worker.run_once()
    assert await node.states(transfers) == {State.ON_HOLD}
    assert [await void(node, each) for each in transfers] == ["canceled", "voiding"]
    for _ in range(4):
        await worker.run_once()
    await finality(node)
    assert await node.states(transfers) == {State.CANCELED}
    assert await available(node) == before


async def test_a_repeated_request_gets_its_answer_also_while_a_lane_is_ahead(
    node: MirroredNode,
) -> None:
    await (await node.settlement()).run_once()
    quotes = [a_quote(node.payer, sell_minor=100, buy_minor=BUY) for _ in range(2)]
    await node.ledger.add_quotes(*quotes)

    def submission(place: int) -> Submission:
        return node.ledger.submission(node.payer, quotes[place], key=f"key {place}")

    first = await node.ledger.acceptance.create(submission(0))
    await node.execute("UPDATE lane SET status = 'ahead'")
    again = await node.ledger.acceptance.create(submission(0))
    assert (again.body, again.replayed) == (first.body, True)
    with pytest.raises(SettlementRecovering):
        await node.ledger.acceptance.create(submission(1))
