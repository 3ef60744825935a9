"""Nonces that nothing explains, and what a pool has: finality goes on, and no filler is sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from adapters.evm.errors import RpcError
from adapters.evm.rpc import Call, Providers
from node.core.errors import SettlementRecovering
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.core.settlement import PauseReason
from node.core.signing import KeyRole
from node.core.transfers import State
from node.services.ledger.verifying import VerifyService
from node.services.reconciliation.breaks import BreakRequest
from tests.builders import CHAIN_ID, render_error
from tests.mirrored import DEPTH_BLOCKS, Lying, MirroredNode, failing
from tests.onchain import ADMIN, LANE, LANE_KEY, address_of
from tests.rig import DEV_ACCOUNTS
from tests.services.adopting import (
    OLGA,
    adopt,
    by_a_stranger,
    final,
    lane_of,
    paid,
    resume,
    settle,
    slots_of,
)

# ----------------------------------------------------------------------- nonces nothing explains


async def test_a_nonce_that_an_authorisation_used_up_is_left_behind_and_told(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    waiting = await node.sent(2)
    authorised_by_the_lane(node)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    stopped_at = (await node.cursor()).final.number
    assert (await lane_of(node))["status"] == "ahead"
    await final(node)
    assert (await node.cursor()).final.number == stopped_at

    shown = await node.adoption().look()
    assert [(each.first, each.last) for each in shown.plan.skipped] == [(1, 1)]
    assert list(shown.plan.transactions) == []
    await adopt(node.adoption())
    assert await node.states(waiting) == {State.FUNDED}  # their slot can never be mined
    assert (await slots_of(node))[1:] == [
        (1, "settle", "foreign", False),
        (1, "unknown", "foreign", True),
    ]
    await goes_on_and_tells(node, stopped_at)
    await resume(node)
    await settle(node, waiting)
    assert len(node.onchain.payouts()) == 3


async def test_a_nonce_told_one_too_low_once_does_not_stop_finality_for_ever(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    await becomes_final_unseen(node)
    await final(node)
    assert (await lane_of(node))["status"] == "ahead"
    stopped_at = (await node.cursor()).final.number

    adopted = await adopt(node.adoption())
    assert [(each.first, each.last) for each in adopted.plan.skipped] == [(1, 1)]
    await goes_on_and_tells(node, stopped_at)
    await resume(node)
    await settle(node, await node.funded(1))
    assert len(node.onchain.payouts()) == 2


async def test_a_transaction_shows_that_the_nonces_below_it_are_used_up(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    as_told_before = await becomes_final_unseen(node)
    by_a_stranger(node, LANE)
    await final(node)
    assert (await lane_of(node))["status"] == "ahead"
    newest = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    final_block = node.onchain.anvil.rpc("eth_getBlockByNumber", hex(newest - DEPTH_BLOCKS), False)[
        "hash"
    ]

    def at_the_final_block(asked: Call, answer: Any) -> Any:
        return as_told_before(asked, answer) if final_block in str(asked) else answer

    honest, node.providers = node.providers, Lying(node.providers, at_the_final_block)
    shown = await node.adoption().look()
    node.providers = honest
    assert [(each.first, each.last) for each in shown.plan.skipped] == [(1, 1)]
    assert [each.transaction.nonce for each in shown.plan.transactions] == [2]


async def test_a_nonce_that_one_of_two_providers_tells_too_low_lets_no_block_become_final(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    node.providers = Contradicted(node.providers, as_before(node))
    await final(node)
    assert (await lane_of(node))["status"] == "ahead"
    adopted = await adopt(node.adoption())
    assert list(adopted.plan.skipped) == []
    assert [each.transaction.nonce for each in adopted.plan.transactions] == [1]
    await final(node)
    cursor = await node.cursor()
    assert cursor.final.number == cursor.head.number - DEPTH_BLOCKS


async def test_a_nonce_that_one_of_two_providers_tells_too_high_stops_nothing(
    node: MirroredNode,
) -> None:
    await paid(node, 1)

    def one_too_high(asked: Call, answer: Any) -> Any:
        is_it = asked[0] == "eth_getTransactionCount" and asked[1][0].lower() == LANE.lower()
        return hex(int(answer, 16) + 1) if is_it and asked[1][1] != "pending" else answer

    node.providers = Contradicted(node.providers, one_too_high)
    await final(node)
    cursor = await node.cursor()
    assert cursor.final.number == cursor.head.number - DEPTH_BLOCKS
    assert (await lane_of(node))["status"] == "active"


@pytest.mark.parametrize("nonsense", [None, "0x", "many", 7])
async def test_a_count_that_is_no_number_is_not_listened_to(
    node: MirroredNode, nonsense: object
) -> None:
    await paid(node, 1)

    def lie(asked: Call, answer: Any) -> Any:
        return nonsense if asked[0] == "eth_getTransactionCount" else answer

    honest, node.providers = node.providers, Contradicted(node.providers, lie)
    await final(node)
    cursor = await node.cursor()
    assert cursor.final.number == cursor.head.number - DEPTH_BLOCKS
    node.providers = honest


async def test_a_copy_from_before_the_first_batch_of_a_lane_learns_of_what_it_sent(
    node: MirroredNode,
) -> None:
    node.lanes = {address_of(LANE): KeyRole.SETTLE}
    assert await node.rows("SELECT FROM lane") == []
    by_a_stranger(node, LANE)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()  # before any worker of the lane has looked
    assert (await lane_of(node))["status"] == "ahead"
    adopted = await adopt(node.adoption())
    (found,) = adopted.plan.transactions
    assert found.transaction.nonce == 0
    await resume(node)
    await settle(node, await node.funded(1))
    assert (await node.cursor()).final.number > found.transaction.block.number


class Contradicted(Lying):
    """The first of two providers lies about what both are asked."""

    async def batch_of_each(self, calls: Sequence[Call]) -> Mapping[str, list[Any]]:
        return {"liar": await self.batch(calls), "honest": await Providers.batch(self, calls)}


async def becomes_final_unseen(node: MirroredNode) -> Callable[[Call, Any], Any]:
    """What the lane sent is final, and the only provider did not tell of it; how it hid that."""
    lie = as_before(node)
    node.mine(1 + DEPTH_BLOCKS)
    honest, node.providers = node.providers, Lying(node.providers, lie)
    await node.follow()
    node.providers = honest
    return lie


def as_before(node: MirroredNode) -> Callable[[Call, Any], Any]:
    """The lane's count of transactions stays at what it is now, whatever is mined."""
    before = hex(node.onchain.nonce())

    def lie(asked: Call, answer: Any) -> Any:
        method, params = asked
        is_it = method == "eth_getTransactionCount" and params[0].lower() == LANE.lower()
        return before if is_it else answer

    return lie


async def goes_on_and_tells(node: MirroredNode, stopped_at: int) -> None:
    """Blocks become final again; the break stays until an operator closes it."""
    await final(node)
    cursor = await node.cursor()
    assert cursor.final.number == cursor.head.number - DEPTH_BLOCKS > stopped_at
    lane = await lane_of(node)
    assert (lane["status"], lane["next_nonce"]) == ("active", node.onchain.nonce())
    name = f"B12:nonce:{LANE.lower()}:1"
    for _ in range(2):
        run = await node.reconcile()
        assert [each.ok for each in run.checks if each.name == "lanes.explained"] == [False]
        assert [each.fingerprint for each in await node.open_breaks() if each.code == "B12"] == [
            name
        ]
    (told,) = [each for each in await node.open_breaks() if each.fingerprint == name]
    name_of_it = encode_id(Prefix.BREAK, told.id)
    request = BreakRequest(OLGA, name_of_it, None, lambda _: Answer(200, b""), render_error)
    await node.breaks().resolve(request, "the lane's key signed an authorisation", ())
    omar = replace(request, principal=replace(OLGA, name="omar"))
    await node.breaks().approve(omar)  # a key that may be stolen: two persons
    run = await node.reconcile()
    assert [each.ok for each in run.checks if each.name == "lanes.explained"] == [True]
    assert f"nonce:{LANE.lower()}" not in failing(run)
    assert (await VerifyService(node.ledger.units).verify()).differences == []


def authorised_by_the_lane(node: MirroredNode) -> None:
    """Somebody brings in an authorisation that the lane's key signed: EIP-7702, for no code.

    The pool lets none in while the account has a transaction there, so that is dropped first.
    """
    onchain = node.onchain
    onchain.anvil.rpc("anvil_dropAllTransactions")
    authorisation = Account.sign_authorization(
        {"chainId": CHAIN_ID, "address": "0x" + "00" * 20, "nonce": onchain.nonce()}, LANE_KEY
    )
    transaction = {
        "type": 4,
        "chainId": CHAIN_ID,
        "nonce": int(onchain.anvil.rpc("eth_getTransactionCount", ADMIN, "latest"), 16),
        "to": ADMIN,
        "value": 0,
        "data": b"",
        "gas": 200_000,
        "maxFeePerGas": 10**12,
        "maxPriorityFeePerGas": 10**11,
        "accessList": [],
        "authorizationList": [authorisation],
    }
    signed = Account.sign_transaction(transaction, DEV_ACCOUNTS[0][1])
    onchain.anvil.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())


# ----------------------------------------------------------------------------------------- a pool


async def test_what_only_a_pool_has_holds_no_adoption_up_and_nothing_is_sent_beside_it(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    waiting = await node.sent(1)
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    by_a_stranger(node, LANE)
    await final(node)
    by_a_stranger(node, LANE)  # the next one is never mined
    adopted = await adopt(node.adoption())
    assert len(adopted.plan.transactions) == 1
    await node.follow()
    cursor = await node.cursor()
    assert cursor.final.number == cursor.head.number - DEPTH_BLOCKS
    await resume(node)
    for _ in range(4):
        await (await node.settlement()).run_once()
    lane = await lane_of(node)
    assert (lane["status"], lane["next_nonce"]) == ("ahead", node.onchain.nonce())
    assert "are in a pool" in str(lane["status_reason"])
    assert node.pool() == 1
    with pytest.raises(SettlementRecovering, match="in a pool"):
        await adopt(node.adoption())

    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    await adopt(node.adoption())
    assert (await lane_of(node))["status"] == "active"
    await settle(node, waiting)


async def test_what_a_pool_had_and_a_block_has_later_is_found_again(node: MirroredNode) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    await final(node)
    by_a_stranger(node, LANE)
    await adopt(node.adoption())
    await final(node)
    assert len((await adopt(node.adoption())).plan.transactions) == 1
    await node.follow()
    await resume(node)
    await settle(node, await node.funded(1))
    assert len(node.onchain.payouts()) == 2


# --------------------------------------------------------------------------- providers that forget


async def test_without_the_states_in_between_a_lane_is_stopped_all_the_same(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    final_before = (await node.cursor()).final.number
    by_a_stranger(node, LANE)
    node.mine(2 * DEPTH_BLOCKS)
    head = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    target = node.onchain.anvil.rpc("eth_getBlockByNumber", hex(head - DEPTH_BLOCKS), False)["hash"]

    def pruned(asked: Call, answer: object) -> object:
        method, params = asked
        if method not in ("eth_getTransactionCount", "eth_getBalance"):
            return answer
        is_kept = isinstance(params[1], str) or params[1]["blockHash"] == target
        return answer if is_kept else RpcError(-32000, "missing trie node")

    node.providers = Lying(node.providers, pruned)
    await node.follow()
    assert (await lane_of(node))["status"] == "ahead"
    async with node.ledger.units() as unit:
        assert [each.reason for each in await unit.settlement.pauses()] == [
            PauseReason.FOREIGN_NONCE
        ]
    assert (await node.cursor()).final.number >= final_before
    (mined,) = (await node.adoption().look()).plan.transactions
    assert (await node.cursor()).final.number == mined.transaction.block.number - 1


async def test_a_chain_ahead_of_the_mirror_makes_nothing_final_that_the_mirror_has_not(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    by_a_stranger(node, LANE)
    node.mine(1)
    await node.follow()
    node.mine(2 * DEPTH_BLOCKS)  # the mirror has not read these
    shown = await node.adoption().look()
    assert len(shown.plan.transactions) == 1
    assert [each for each in shown.waits_for if "is not final" in each]
    with pytest.raises(SettlementRecovering):
        await adopt(node.adoption())
