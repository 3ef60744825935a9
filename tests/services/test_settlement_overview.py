"""What operators see of settlement, over a real database and a real chain."""

from datetime import timedelta

import pytest

from adapters.machine import new_id
from node.core.errors import CursorInvalid, NotFound, PeriodInvalid
from node.core.ids import Prefix, encode_id
from node.core.paging import ListQuery
from node.core.settlement import Purpose, SlotState
from node.core.treasury import NodeAddresses
from node.services.settlement.alerts import AlertRules
from node.services.settlement.overview import SettlementOverview, Watched
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, DEPTH_BLOCKS, TREASURY, MirroredNode
from tests.onchain import ADMIN, FLOAT_UNITS, LANE, address_of, call


def overview(node: MirroredNode) -> SettlementOverview:
    own = NodeAddresses(node.onchain.contract, "USDC", "ETH", (address_of(LANE),), TREASURY)
    watched = Watched(CHAIN_ID, own)
    return SettlementOverview(node.ledger.units, watched, AlertRules())


async def final(node: MirroredNode) -> None:
    """Everything sent is mined and final."""
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()


def batches(**filters: str) -> ListQuery:
    return ListQuery(limit=2, filters=filters, scope="batches")


async def test_a_node_that_has_done_nothing_shows_empty_lists(node: MirroredNode) -> None:
    look = await overview(node).look()
    assert (look.lanes, look.pauses, look.open_transfers) == ([], [], [])
    assert [each.code for each in look.alerts] == ["lane_idle"]  # no worker ever ran
    assert (look.contract, look.gas_price_wei) == (None, None)
    assert (await overview(node).batches(batches())).items == ()
    assert (await overview(node).spending(None, None)).spending == []
    held = {(each.address, each.asset): each.amount for each in look.holdings}
    assert held[node.onchain.contract, "USDC"] == FLOAT_UNITS


async def test_the_head_of_the_line_is_seen_with_its_attempts_until_it_is_mined(
    node: MirroredNode,
) -> None:
    await node.sent(3)
    look = await overview(node).look()
    (lane,) = look.lanes
    assert (lane.lane.address, lane.role, lane.unmined) == (address_of(LANE), "settle", 1)
    assert lane.balance_wei is not None
    head = lane.head
    assert head is not None
    assert (head.nonce, head.purpose, head.attempts, head.sends) == (
        lane.lane.next_nonce - 1, Purpose.SETTLE, 1, 1,
    )  # fmt: skip
    assert head.fees is not None
    assert head.last_answer == "accepted"
    (row,) = [each for each in look.open_transfers if each.state == "submitted"]
    assert (row.count, row.amount, row.code) == (3, 3 * BUY, None)
    node.mine()
    await node.follow()
    (mined,) = (await overview(node).look()).lanes
    assert (mined.unmined, mined.head) == (0, None)


async def test_a_batch_tells_what_became_of_every_payment_and_what_it_cost(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(3)
    (row,) = (await overview(node).batches(batches())).items
    assert (row.state, row.members, row.settled, row.fee_wei) == (SlotState.SUBMITTED, 3, 0, None)
    await final(node)
    batch = await overview(node).batch(encode_id(Prefix.BATCH, row.id))
    assert [each.outcome for each in batch.members] == ["settled"] * 3
    assert [each.member.transfer_id for each in batch.members] == [each.id for each in transfers]
    assert [each.sends for each in batch.attempts] == [1]
    assert (batch.row.state, batch.row.settled, batch.row.amount_total) == (
        SlotState.FINAL, 3, 3 * BUY,
    )  # fmt: skip
    (receipt,) = [
        node.onchain.anvil.rpc("eth_getTransactionReceipt", f"0x{each.tx_hash.hex()}")
        for each in batch.attempts
    ]
    charged = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert batch.row.fee_wei == charged
    (spent,) = (await overview(node).spending(None, None)).spending
    assert (spent.purpose, spent.transactions, spent.payments, spent.attempts) == (
        Purpose.SETTLE, 1, 3, 1,
    )  # fmt: skip
    assert (spent.gas_used, spent.fees_wei) == (batch.row.gas_used, charged)
    look, (lane,) = await overview(node).lanes()
    assert (lane.transactions, lane.fees_wei) == (1, charged)
    assert look.gas_price_wei == int(receipt["effectiveGasPrice"], 16)


async def test_a_refused_payment_and_its_void_are_told_in_their_batches(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(3)
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": f"0x{node.onchain.token.hex()}",
            "data": call("deny(address)", transfers[1].beneficiary_address),
            "gas": hex(300_000),
            "maxFeePerGas": hex(10**12),
            "maxPriorityFeePerGas": hex(10**11),
        },
    )
    await final(node)
    worker = await node.settlement()
    for _ in range(4):
        await worker.run_once()
        await final(node)
    newest = (await overview(node).batches(ListQuery(limit=9, scope="batches"))).items
    outcomes = {}
    for row in newest:
        batch = await overview(node).batch(encode_id(Prefix.BATCH, row.id))
        outcomes[row.purpose] = [each.outcome for each in batch.members]
    assert outcomes == {
        Purpose.SETTLE: ["settled", "failed", "settled"],
        Purpose.VOID: ["voided"],
    }
    spent = {each.purpose: each for each in (await overview(node).spending(None, None)).spending}
    assert (spent[Purpose.SETTLE].payments, spent[Purpose.VOID].payments) == (2, 0)


async def test_a_batch_whose_block_went_away_is_charged_for_nothing(node: MirroredNode) -> None:
    snapshot = node.onchain.anvil.rpc("evm_snapshot")
    await node.sent(2)
    node.mine()
    await node.follow()
    (row,) = (await overview(node).batches(batches())).items
    assert (row.settled, row.state) == (2, SlotState.INCLUDED)
    node.onchain.anvil.rpc("evm_revert", snapshot)
    node.mine(2)
    await node.follow()
    (row,) = (await overview(node).batches(batches())).items
    assert (row.settled, row.fee_wei, row.block_number) == (0, None, None)


async def test_batches_come_newest_first_in_pages_and_by_filter(node: MirroredNode) -> None:
    for _ in range(3):
        await node.sent(1)
        await final(node)
    first = await overview(node).batches(batches())
    assert first.next_cursor is not None
    rest = await overview(node).batches(
        ListQuery(limit=2, cursor=first.next_cursor, scope="batches")
    )
    nonces = [each.nonce for each in (*first.items, *rest.items)]
    assert nonces == sorted(nonces, reverse=True)
    assert (len(nonces), rest.next_cursor) == (3, None)
    with pytest.raises(CursorInvalid):
        await overview(node).batches(
            ListQuery(limit=2, cursor=first.next_cursor, filters={"state": "final"})
        )
    for count, filters in (
        (2, {"state": "final"}),
        (0, {"state": "unknown"}),
        (0, {"purpose": "void"}),
        (2, {"lane": LANE.lower(), "purpose": "settle"}),
        (0, {"lane": "0x" + "00" * 20}),
    ):
        found = await overview(node).batches(batches(**filters))
        assert len(found.items) == count, filters


async def test_a_batch_that_is_not_there_is_not_found(node: MirroredNode) -> None:
    with pytest.raises(NotFound):
        await overview(node).batch(encode_id(Prefix.BATCH, new_id()))


async def test_spending_counts_what_became_final_in_the_period_alone(node: MirroredNode) -> None:
    await node.sent(1)
    await final(node)
    now = (await overview(node).look()).at
    hour = timedelta(hours=1)
    assert (await overview(node).spending(now - hour, now + hour)).spending
    assert (await overview(node).spending(now - 2 * hour, now - hour)).spending == []
    for since, before in ((now, now), (now, now - hour), (now - timedelta(days=367), now)):
        with pytest.raises(PeriodInvalid):
            await overview(node).spending(since, before)


async def test_spending_of_blocks_never_counts_a_transaction_twice(node: MirroredNode) -> None:
    cursor = await node.cursor()
    await node.sent(2)
    await final(node)
    after = await node.cursor()
    async with node.ledger.units() as unit:
        views, start, end = unit.settlement_views, cursor.final.number, after.final.number
        (all_of_it,) = await views.spending_of_blocks(CHAIN_ID, start, end)
        assert all_of_it.payments == 2
        parts = [
            each.payments
            for number in range(start, end)
            for each in await views.spending_of_blocks(CHAIN_ID, number, number + 1)
        ]
        assert sum(parts) == 2
        assert await views.spending_of_blocks(CHAIN_ID, end, end + 9) == []
