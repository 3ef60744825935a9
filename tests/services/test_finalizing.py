"""What becomes final: who is paid, who goes back to funded, and what stops settlement."""

from typing import Any

import pytest

from adapters.evm.json_rpc import Call
from adapters.machine import new_id
from node.core.ledger import suspense_account
from node.core.mirror import Finality
from node.core.ports.movements import Movement
from node.core.transfers import Happening, State
from node.core.units import Address
from node.services.transfers import transfer_moves
from tests.builders import CHAIN_ID
from tests.mirrored import DEPTH_BLOCKS, TREASURY, MirroredNode, failing
from tests.onchain import ADMIN, FLOAT_UNITS, LANE, address_of, call
from tests.services.lying import Liars, Lie


async def assert_sound(node: MirroredNode) -> None:
    """A full reconciliation finds nothing."""
    run = await node.reconcile()
    assert failing(run) == []
    assert (run.status, run.breaks_open) == ("completed", 0)


async def test_an_unknown_deposit_waits_in_suspense_with_a_break(node: MirroredNode) -> None:
    node.onchain.send(node.onchain.token, "mint(address,uint256)", "0x" + TREASURY.hex(), 5_000)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    assert await node.booked(TREASURY) == 5_000
    assert (await node.balance(suspense_account(CHAIN_ID, "USDC"))).posted == 5_000
    (found,) = await node.open_breaks()
    assert (found.code, found.evidence["minor"]) == ("B04", "5000")
    assert failing(await node.reconcile()) == []
    async with node.ledger.units() as unit:
        assert await unit.settlement.pauses() == []


async def test_native_coin_that_came_unasked_is_booked_to_suspense(node: MirroredNode) -> None:
    wei = int(node.onchain.anvil.rpc("eth_getBalance", LANE, "latest"), 16)
    node.onchain.anvil.rpc("anvil_setBalance", LANE, hex(wei + 3 * 10**9 + 5))
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    assert (await node.balance(suspense_account(CHAIN_ID, "ETH"))).posted == 3
    await assert_sound(node)


async def test_native_coin_that_left_unexplained_is_a_break_and_stops_settlement(
    node: MirroredNode,
) -> None:
    wei = int(node.onchain.anvil.rpc("eth_getBalance", LANE, "latest"), 16)
    node.onchain.anvil.rpc("anvil_setBalance", LANE, hex(wei - 10**9))
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    assert [each.code for each in await node.open_breaks()] == ["B16"]
    async with node.ledger.units() as unit:
        assert len(await unit.settlement.pauses()) == 1
    assert failing(await node.reconcile()) == [f"balance.native:{LANE.lower()}"]


async def test_money_that_leaves_without_a_cause_stops_settlement(node: MirroredNode) -> None:
    stranger = "0x" + "57" * 20
    contract, token = node.onchain.contract, "0x" + node.onchain.token.hex()
    node.onchain.send(contract, "pause()")
    node.onchain.send(contract, "rescue(address,address,uint256)", token, stranger, 777)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    (found,) = await node.open_breaks()
    assert (found.code, found.severity) == ("B06", "critical")
    async with node.ledger.units() as unit:
        (pause,) = await unit.settlement.pauses()
    assert pause.reason == "orphan_outbound"
    run = await node.reconcile()
    assert failing(run) == [
        "items.outbound_has_cause",
        f"balance.token:0x{contract.hex()}",
    ]


async def test_a_zero_value_transfer_by_a_stranger_proves_nothing(node: MirroredNode) -> None:
    victim = "0x" + node.onchain.contract.hex()
    data = call("transferFrom(address,address,uint256)", victim, ADMIN, 0)
    node.onchain.anvil.rpc(
        "eth_sendTransaction", {"from": ADMIN, "to": "0x" + node.onchain.token.hex(), "data": data}
    )
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    (log,) = await node.rows("SELECT * FROM token_log")
    assert (log["cause"], log["amount"]) == ("nothing", 0)
    await assert_sound(node)


async def test_a_batch_that_reverted_puts_its_transfers_back_when_that_is_final(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(2)
    numbers = {each.payment_number for each in transfers}
    assert node.pool() == 1
    pause_first(node)
    node.mine()
    await node.follow()
    assert await node.states(transfers) == {State.SUBMITTED}
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    back = await node.again(transfers)
    assert {(each.state, each.slot_id, each.batches_failed) for each in back} == {
        (State.FUNDED, None, 0)  # a revert of the whole says nothing about one transfer
    }
    assert {each.payment_number for each in back} == numbers
    assert await node.rows("SELECT 1 FROM slot_member WHERE live") == []
    assert (await node.timeline(transfers[0].id))[-1] == "transfer.requeued"
    await assert_sound(node)  # the gas of the reverted transaction, too


def pause_first(node: MirroredNode) -> None:
    """Get the contract's pause mined before the batch that waits: it pays more."""
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": "0x" + node.onchain.contract.hex(),
            "data": call("pause()"),
            "gas": hex(200_000),
            "maxFeePerGas": hex(10**12),
            "maxPriorityFeePerGas": hex(10**11),
        },
    )


async def test_a_payment_the_token_refused_is_tried_again_and_the_others_are_paid(
    node: MirroredNode,
) -> None:
    refused, paid = await node.sent(2)
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": "0x" + node.onchain.token.hex(),
            "data": call("deny(address)", "0x" + refused.beneficiary_address.hex()),
            "gas": hex(200_000),
            "maxFeePerGas": hex(10**12),
            "maxPriorityFeePerGas": hex(10**11),
        },
    )
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    assert [each.state for each in await node.again([refused, paid])] == [
        State.FUNDED,
        State.SETTLED,
    ]
    async with node.ledger.units() as unit:
        last = (await unit.events.of_object(refused.id))[-1]
    assert last.type == "transfer.requeued"
    assert str(last.detail["reason"]).startswith("0x")
    await assert_sound(node)


async def test_a_number_that_anothers_transaction_settled_is_paid_and_ours_is_skipped(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(2)
    (slot,) = await node.rows("SELECT calldata FROM slot")
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": "0x" + node.onchain.contract.hex(),
            "data": "0x" + slot["calldata"].hex(),
            "gas": hex(2_000_000),
            "maxFeePerGas": hex(10**12),
            "maxPriorityFeePerGas": hex(10**11),
        },
    )
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    kinds = await node.rows("SELECT kind, count(*) AS n FROM settlement_log GROUP BY kind")
    assert sorted(tuple(row) for row in kinds) == [("settled", 2), ("skipped", 2)]
    assert await node.states(transfers) == {State.SETTLED}
    assert len(node.onchain.payouts()) == 2
    assert await node.rows("SELECT 1 FROM slot WHERE state <> 'final'") == []
    await assert_sound(node)


async def test_money_goes_back_only_when_the_void_is_final(node: MirroredNode) -> None:
    (transfer,) = await node.sent(1)
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    async with node.ledger.units() as unit:
        events = await transfer_moves.apply(
            unit,
            await unit.transfers.lock_many([transfer.id]),
            Happening.VOID_ASKED,
            changes=lambda _: {"void_outcome": "canceled"},
        )
        await unit.events.append(events)
    node.onchain.send(node.onchain.contract, "void(uint64[])", [transfer.payment_number])
    await node.follow()
    assert await node.states([transfer]) == {State.VOIDING}
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    assert await node.states([transfer]) == {State.CANCELED}
    (resolution,) = await node.rows("SELECT outcome FROM ledger_resolution")
    assert resolution["outcome"] == "voided"


async def test_a_settlement_that_agrees_with_no_transfer_is_a_break(node: MirroredNode) -> None:
    number, to, amount = 2**63 + 1, Address(b"\x99" * 20), 5
    record = number.to_bytes(8) + to + amount.to_bytes(8)
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": LANE,
            "to": "0x" + node.onchain.contract.hex(),
            "data": call("settle(bytes)", record),
        },
    )
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    codes = sorted(each.code for each in await node.open_breaks())
    assert codes == ["B06", "B10", "B16"]  # and the stranger's gas


async def test_treasury_movements_are_booked_between_the_nodes_own_addresses(
    node: MirroredNode,
) -> None:
    node.onchain.send(node.onchain.token, "mint(address,uint256)", "0x" + TREASURY.hex(), 5_000)
    lane, contract = address_of(LANE), node.onchain.contract
    async with node.ledger.units() as unit:
        for kind, to, asset, amount in (
            ("lane_gas", lane, "ETH", 1_500_000_000),
            ("float_top_up", contract, "USDC", 4_000),
        ):
            await unit.movements.add(
                Movement(
                    new_id(), kind, TREASURY, TREASURY, to, asset, amount, "requested", None,
                    "test", None, unit.now,
                )
            )  # fmt: skip
    treasury = await node.treasury()
    for _ in range(20):
        await treasury.run_once()
        if node.pool() == 2:
            break
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    states = await node.rows("SELECT kind, state FROM movement ORDER BY kind")
    assert [tuple(row) for row in states] == [("float_top_up", "settled"), ("lane_gas", "settled")]
    assert await node.booked(contract) == FLOAT_UNITS + 4_000
    assert await node.booked(TREASURY) == 1_000
    assert await node.booked(lane, "ETH") == 10_000 * 10**9 + 1_500_000_000
    assert [each.code for each in await node.open_breaks()] == ["B04"]  # the mint
    assert failing(await node.reconcile()) == []


# ------------------------------------------------------------------------- which block is final


def other_hash(number: int) -> Lie:
    """Has another block of that number."""

    def lie(call: Call, answer: Any) -> Any:
        if call == ("eth_getBlockByNumber", [hex(number), False]):
            return {**answer, "hash": "0x" + "77" * 32}
        return answer

    return lie


def tagged(number: int | None) -> Lie:
    """The block of that number is tagged `finalized`; None: none is."""

    def lie(call: Call, answer: Any) -> Any:
        if call[0] == "eth_getBlockByNumber" and call[1][0] == "finalized":
            return None if number is None else {**answer, "number": hex(number)}
        return answer

    return lie


async def test_nothing_becomes_final_while_providers_have_different_blocks(
    node: MirroredNode, with_providers: Liars
) -> None:
    node.mine(3)
    final = (await node.cursor()).final
    target = final.number + 3
    many, (_, other) = with_providers(node, first=None, other=other_hash(target))
    mirror = many.mirror()
    for passes in range(1, 4):
        await mirror.run_once()
        assert (await node.cursor()).final == final
        assert len(await node.open_breaks()) == (1 if passes == 3 else 0)
    (found,) = await node.open_breaks()
    assert (found.code, found.severity) == ("B19", "critical")
    assert "other has 0x7777" in found.cause
    assert found.evidence["block_number"] == str(target)
    other.lie = None
    await mirror.run_once()
    assert (await node.cursor()).final.number == target
    assert await node.open_breaks() == []


async def test_where_two_have_a_block_a_third_that_has_it_not_yet_does_not_hold_finality(
    node: MirroredNode, with_providers: Liars
) -> None:
    node.mine(3)

    def lags(call: Call, answer: Any) -> Any:
        return None if call[0] == "eth_getBlockByNumber" else answer

    final = (await node.cursor()).final
    many, _ = with_providers(node, first=None, slow=lags)
    await many.mirror().run_once()
    assert (await node.cursor()).final == final  # of two, one alone decides nothing
    many, _ = with_providers(node, first=None, second=None, slow=lags)
    await many.mirror().run_once()
    assert (await node.cursor()).final.number == final.number + 3


async def test_finality_never_moves_back_when_the_tag_does(
    node: MirroredNode, with_providers: Liars
) -> None:
    node.mine(5)
    start = (await node.cursor()).final.number
    many, (provider,) = with_providers(node, provider=tagged(start + 3))
    mirror = many.mirror(Finality(None))
    await mirror.run_once()
    cursor = await node.cursor()
    assert (cursor.final.number, cursor.tag_number) == (start + 3, start + 3)
    provider.lie = tagged(start + 1)
    node.mine(1)
    await mirror.run_once()
    assert (await node.cursor()).final.number == start + 3
    assert (await node.cursor()).tag_moved_at == cursor.tag_moved_at


@pytest.mark.parametrize(("finality", "is_final"), [(Finality(None), 0), (Finality(2, True), 3)])
async def test_where_no_block_was_ever_tagged_the_depth_counts_if_it_is_allowed(
    node: MirroredNode, with_providers: Liars, finality: Finality, is_final: int
) -> None:
    node.mine(3)
    start = (await node.cursor()).final.number
    many, _ = with_providers(node, provider=tagged(None))
    await many.mirror(finality).run_once()
    assert (await node.cursor()).final.number == start + is_final


@pytest.mark.parametrize("is_missing", [True, False])
async def test_a_tag_that_stands_still_for_half_an_hour_gives_way_to_the_depth(
    node: MirroredNode, with_providers: Liars, is_missing: bool
) -> None:
    node.mine(5)
    start = (await node.cursor()).final.number
    many, (provider,) = with_providers(node, provider=tagged(start + 1))
    mirror = many.mirror(Finality(2, tag_first=True))
    await mirror.run_once()
    assert (await node.cursor()).final.number == start + 1
    provider.lie = tagged(None if is_missing else start + 1)
    node.mine(1)
    await mirror.run_once()
    assert (await node.cursor()).final.number == start + 1  # it may come back

    await node.execute("UPDATE chain_cursor SET tag_moved_at = now() - interval '31 minutes'")
    await mirror.run_once()
    assert (await node.cursor()).final.number == start + 6
    provider.lie = tagged(start + 7)
    node.mine(4)
    await mirror.run_once()
    assert (await node.cursor()).final.number == start + 7  # it is back, and decides again


async def test_the_cursor_tells_when_finality_last_moved(node: MirroredNode) -> None:
    before = (await node.cursor()).final_moved_at
    node.onchain.anvil.rpc("evm_increaseTime", 1)
    node.mine(1)
    await node.follow()
    after = await node.cursor()
    assert before < after.final_moved_at <= after.moved_at or after.final_moved_at > before
