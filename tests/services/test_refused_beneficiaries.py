"""A beneficiary that cannot be paid: the others are, its number is voided, its money comes back.

Real chain, real database, the whole way: gate, batch, mirror, void, finality, books.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from eth_abi.abi import encode

from adapters.evm.artifacts import parse
from node.core.ledger import customer_account
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing
from tests.onchain import ADMIN, call
from tests.rig import AnvilServer

PAYMENTS = 100
BOMB_USD = parse((Path(__file__).parents[1] / "chain/artifacts/BombUSD.json").read_text())

DENIED = ("deny(address)", ())
BOMB = ("setBomb(address,bool)", (True,))


@pytest.fixture
async def node(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[MirroredNode]:
    """A chain that mines only when told, and a token whose beneficiaries can be made bombs."""
    code = BOMB_USD.bytecode + encode(["address"], [ADMIN])
    node = await MirroredNode.open(database_url, start_anvil(automine=False), token_code=code)
    yield node
    await node.close()


def turned(node: MirroredNode, what: tuple[str, tuple[object, ...]], transfer: Transfer) -> None:
    """Put into the pool, ahead of the batch, what keeps a beneficiary from being paid."""
    signature, more = what
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": f"0x{node.onchain.token.hex()}",
            "data": call(signature, transfer.beneficiary_address, *more),
            "gas": hex(300_000),
            "maxFeePerGas": hex(10**12),
            "maxPriorityFeePerGas": hex(10**11),
        },
    )


async def available(node: MirroredNode) -> int:
    assert node.payer.customer_id is not None
    return (await node.balance(customer_account(node.payer.customer_id, "EUR"))).available


async def finality(node: MirroredNode) -> None:
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()


@pytest.mark.parametrize("what", [DENIED, BOMB], ids=["denied", "gas bomb"])
async def test_one_of_a_hundred_is_refused_between_gate_and_block(
    node: MirroredNode, what: tuple[str, tuple[object, ...]]
) -> None:
    before = await available(node)
    transfers = await node.sent(PAYMENTS)
    refused = transfers[41]
    turned(node, what, refused)
    node.mine(1)
    # 99 are paid, in the one transaction of the batch.
    paid = [each for each in transfers if each is not refused]
    assert len(node.onchain.payouts()) == PAYMENTS - 1
    assert len(await node.rows("SELECT FROM slot")) == 1
    await finality(node)
    assert await node.states(paid) == {State.SETTLED}
    assert await node.states([refused]) == {State.FUNDED}  # nothing is concluded from one failure
    worker = await node.settlement()
    await worker.run_once()
    assert await node.states([refused]) == {State.VOIDING}
    assert await available(node) == before - PAYMENTS * refused.amounts.sell
    for _ in range(3):
        await worker.run_once()
        await finality(node)
    (ended,) = await node.again([refused])
    assert ended.state is State.FAILED
    assert ended.failure is not None
    assert ended.failure["code"] == "beneficiary_refused"
    assert node.onchain.used(refused.payment_number)
    assert await available(node) == before - (PAYMENTS - 1) * refused.amounts.sell
    assert (await node.timeline(refused.id))[-3:] == [
        "transfer.requeued",
        "transfer.voiding",
        "transfer.failed",
    ]
    assert failing(await node.reconcile()) == []


@pytest.mark.parametrize("what", [DENIED, BOMB], ids=["denied", "gas bomb"])
async def test_one_refused_before_the_gate_fails_at_once_and_needs_no_void(
    node: MirroredNode, what: tuple[str, tuple[object, ...]]
) -> None:
    before = await available(node)
    transfers = await node.funded(3)
    refused = transfers[1]
    turned(node, what, refused)
    node.mine(1)
    worker = await node.settlement()
    await worker.run_once()
    (ended,) = await node.again([refused])
    assert (ended.state, ended.was_written) == (State.FAILED, False)
    assert not node.onchain.used(refused.payment_number)
    await finality(node)
    assert await node.states([transfers[0], transfers[2]]) == {State.SETTLED}
    assert await available(node) == before - 2 * refused.amounts.sell
    assert failing(await node.reconcile()) == []


async def test_a_refusal_that_a_reorg_may_still_take_away_voids_nothing(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(2)
    refused = transfers[0]
    turned(node, DENIED, refused)
    await finality(node)
    node.onchain.send(node.onchain.token, "undeny(address)", refused.beneficiary_address)
    await finality(node)
    node.onchain.send(node.onchain.token, "deny(address)", refused.beneficiary_address)
    worker = await node.settlement()
    await worker.run_once()
    assert await node.states([refused]) == {State.FUNDED}  # at the final block it may receive
    node.onchain.send(node.onchain.token, "undeny(address)", refused.beneficiary_address)
    for _ in range(3):
        await (await node.settlement()).run_once()
        await finality(node)
    assert await node.states(transfers) == {State.SETTLED}


async def test_many_bombs_in_one_batch_keep_nobody_else_from_being_paid(
    node: MirroredNode,
) -> None:
    transfers = await node.funded(24)
    bombs = transfers[::2]
    for each in bombs:
        turned(node, BOMB, each)
    node.mine(1)
    worker = await node.settlement()
    for _ in range(3):
        await worker.run_once()
        await finality(node)
    assert await node.states(transfers[1::2]) == {State.SETTLED}
    assert await node.states(bombs) == {State.FAILED}
