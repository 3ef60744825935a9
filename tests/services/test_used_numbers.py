"""A payment number that somebody else used: the transfer is held, and its money finds its way out.

Whoever has an operator's key of the contract can use any number. What then proves that a transfer
can never be paid gives its money back; what may have paid it does not.
"""

import orjson
import pytest

from node.core.errors import NumberUsed
from node.core.ids import Prefix, encode_id
from node.core.ledger import customer_account
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from tests.builders import a_claim, render, render_error
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing
from tests.onchain import ADMIN, call

OLGA = Principal(Role.OPERATOR, "olga")
SOMEBODY = b"\x99" * 20


def elsewhere(node: MirroredNode, record: bytes) -> None:
    """Put a payment by a key that is not the node's into the pool, ahead of the node's own."""
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": f"0x{node.onchain.contract.hex()}",
            "data": call("settle(bytes)", record),
            "gas": hex(2_000_000),
            "maxFeePerGas": hex(10**12),
            "maxPriorityFeePerGas": hex(10**11),
        },
    )


def to_somebody(transfer: Transfer) -> bytes:
    """A record that uses the transfer's number for somebody else."""
    return transfer.payment_number.to_bytes(8) + SOMEBODY + (5).to_bytes(8)


def to_beneficiary(transfer: Transfer) -> bytes:
    """A record that pays just what the transfer owes."""
    number, amount = transfer.payment_number, transfer.amounts.buy
    return number.to_bytes(8) + transfer.beneficiary_address + amount.to_bytes(8)


async def finality(node: MirroredNode) -> None:
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()


async def resume(node: MirroredNode) -> None:
    """The operator has looked at what was paid by another."""
    async with node.ledger.units() as unit:
        assert await unit.settlement.resume(None, "olga") == 1


async def works(node: MirroredNode) -> None:
    worker = await node.settlement()
    for _ in range(3):
        await worker.run_once()
        await finality(node)


async def asked(node: MirroredNode, what: str, transfer: Transfer) -> Answer:
    act = getattr(node.transfers(), what)
    name = encode_id(Prefix.TRANSFER, transfer.id)
    answer: Answer = await act(OLGA, name, a_claim(OLGA), render, render_error)
    return answer


async def refused(node: MirroredNode, what: str, transfer: Transfer) -> None:
    """It is refused because the number is used, and nothing has changed."""
    before = await node.again([transfer])
    answer = await asked(node, what, transfer)
    assert orjson.loads(answer.body)["code"] == NumberUsed.code
    assert await node.again([transfer]) == before


async def available(node: MirroredNode) -> int:
    assert node.payer.customer_id is not None
    return (await node.balance(customer_account(node.payer.customer_id, "EUR"))).available


async def held(node: MirroredNode, transfer: Transfer) -> Transfer:
    (now,) = await node.again([transfer])
    assert (now.state, now.slot_id, now.tx_hash) == (State.ON_HOLD, None, None)
    assert now.failure is not None
    assert now.failure["code"] == "number_used"
    return now


async def test_what_its_batch_skipped_because_somebody_else_was_paid_is_held_and_given_back(
    node: MirroredNode,
) -> None:
    before = await available(node)
    transfer, other = await node.sent(2)
    elsewhere(node, to_somebody(transfer))
    await finality(node)
    await held(node, transfer)
    assert await node.states([other]) == {State.SETTLED}
    await refused(node, "release", transfer)
    assert orjson.loads((await asked(node, "void", transfer)).body)["state"] == "canceled"
    assert await available(node) == before - other.amounts.sell
    assert await node.timeline(transfer.id) == [
        "transfer.funded",
        "transfer.submitted",
        "transfer.on_hold",
        "transfer.funded",
        "transfer.voiding",
        "transfer.canceled",
    ]
    await resume(node)
    await works(node)
    assert len(node.onchain.payouts()) == 2  # somebody, and the other transfer; never again
    rows = await node.rows("SELECT DISTINCT purpose FROM slot")
    assert [row["purpose"] for row in rows] == ["settle"]  # no void of a number that is used
    assert sorted(each.code for each in await node.open_breaks()) == ["B06", "B10"]
    told = [each for each in failing(await node.reconcile()) if not each.startswith("items.")]
    assert told == [f"balance.token:0x{node.onchain.contract.hex()}"]  # what somebody was paid


async def test_while_its_own_batch_is_not_final_the_operator_waits(node: MirroredNode) -> None:
    (transfer,) = await node.sent(1)
    elsewhere(node, to_somebody(transfer))
    node.mine()
    await node.follow()
    await refused(node, "void", transfer)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    await held(node, transfer)


async def test_what_waits_for_a_void_of_a_number_that_paid_somebody_else_is_given_back(
    node: MirroredNode,
) -> None:
    before = await available(node)
    (transfer,) = await node.sent(1)
    assert orjson.loads((await asked(node, "void", transfer)).body)["state"] == "voiding"
    elsewhere(node, to_somebody(transfer))
    node.mine()
    await node.follow()
    assert await node.states([transfer]) == {State.VOIDING}
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    assert await node.states([transfer]) == {State.CANCELED}
    assert await available(node) == before
    assert sorted(each.code for each in await node.open_breaks()) == ["B06", "B10"]


async def test_what_may_have_paid_the_beneficiary_gives_nothing_back(node: MirroredNode) -> None:
    before = await available(node)
    (transfer,) = await node.funded(1)
    elsewhere(node, to_beneficiary(transfer))
    await finality(node)
    await resume(node)
    await works(node)
    await held(node, transfer)
    await node.execute("UPDATE transfer SET was_written = true")  # the chain is not asked then
    await refused(node, "void", transfer)
    await refused(node, "release", transfer)
    assert await available(node) == before - transfer.amounts.sell
    assert len(node.onchain.payouts()) == 1


@pytest.mark.parametrize("was_written", [True, False])
async def test_what_is_held_for_another_reason_is_given_back_once_its_number_paid_somebody_else(
    node: MirroredNode, *, was_written: bool
) -> None:
    before = await available(node)
    (transfer,) = await node.funded(1)
    await (await node.settlement()).run_once()  # its lane is known from now on
    await node.execute("DELETE FROM slot_member")
    await node.execute(
        "UPDATE transfer SET state = 'on_hold', slot_id = NULL, was_written = $1", was_written
    )
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    elsewhere(node, to_somebody(transfer))
    node.mine()
    await node.follow()
    if was_written:
        await refused(node, "void", transfer)  # not final yet
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    await refused(node, "release", transfer)
    assert orjson.loads((await asked(node, "void", transfer)).body)["state"] == "canceled"
    assert await available(node) == before
