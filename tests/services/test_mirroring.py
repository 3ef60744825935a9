"""The mirror on a real chain and a real database: only final facts are booked, each of them once.

In `MirroredNode.follow` every pass is made by a mirror that was just started, so each of these
tests is also one of a mirror that is killed between any two passes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.machine import new_id
from node.core.ledger import in_flight_account, suspense_account
from node.core.mirror import BlockPoint, Finality
from node.core.ports.settlement import Movement
from node.core.transfers import Happening, State
from node.core.units import Address, BlockHash
from node.services import transfer_moves
from node.store.database import Connection, Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, DEPTH_BLOCKS, TREASURY, MirroredNode, failing
from tests.onchain import ADMIN, FLOAT_UNITS, LANE, address_of, call
from tests.rig import AnvilServer


@pytest.fixture
async def node(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[MirroredNode]:
    """A chain that mines only when told, its start mirrored."""
    node = await MirroredNode.open(database_url, start_anvil(automine=False))
    yield node
    await node.close()


async def assert_sound(node: MirroredNode) -> None:
    """A full reconciliation finds nothing."""
    run = await node.reconcile()
    assert failing(run) == []
    assert (run.status, run.breaks_open) == ("completed", 0)


async def test_the_mirror_begins_with_what_the_addresses_hold_at_a_final_block(
    node: MirroredNode,
) -> None:
    assert await node.booked(node.onchain.contract) == FLOAT_UNITS
    assert await node.booked(address_of(LANE), "ETH") == 10_000 * 10**9
    assert (await node.balance("capital/USDC")).posted == FLOAT_UNITS
    await assert_sound(node)


async def test_a_mirror_waits_until_the_contract_is_there_in_a_final_block(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    anvil = start_anvil(automine=False)
    opened = await MirroredNode.open(database_url, anvil)
    try:
        await opened.execute("DELETE FROM chain_cursor")
        assert await opened.mirror(Finality(10**6)).run_once() == 0  # nothing is final
        number = int(anvil.rpc("eth_blockNumber"), 16)
        assert await opened.mirror(Finality(number)).run_once() == 0  # no contract at block 0
        with pytest.raises(AssertionError):
            await opened.cursor()
    finally:
        await opened.close()


async def test_a_payment_is_included_at_once_and_booked_when_it_is_final(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(3)
    node.mine()
    await node.follow()
    assert await node.states(transfers) == {State.INCLUDED}
    assert await node.booked(node.onchain.contract) == FLOAT_UNITS
    promised = in_flight_account(CHAIN_ID, "USDC")
    assert (await node.balance(promised)).credits_pending == 3 * BUY

    node.mine(DEPTH_BLOCKS)
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED}
    assert await node.booked(node.onchain.contract) == FLOAT_UNITS - 3 * BUY
    assert node.onchain.balance(node.onchain.contract) == FLOAT_UNITS - 3 * BUY
    in_flight = await node.balance(promised)
    assert (in_flight.credits_pending, in_flight.posted) == (0, 0)
    (settled, *_) = await node.again(transfers)
    assert settled.tx_hash is not None
    assert await node.timeline(settled.id) == [
        "transfer.funded",
        "transfer.submitted",
        "transfer.included",
        "transfer.settled",
    ]
    await assert_sound(node)


async def test_the_ledger_of_a_batch_is_that_of_the_worked_example(node: MirroredNode) -> None:
    (transfer,) = await node.sent(1)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    (batch,) = await node.rows("SELECT * FROM ledger_transaction WHERE kind = 'batch'")
    (slot,) = await node.rows("SELECT * FROM slot")
    assert batch["key"] == f"batch:{slot['id']}"
    entries = await node.rows(
        "SELECT d.path AS debit, c.path AS credit, e.amount FROM entry e"
        " JOIN account d ON d.id = debit_account_id JOIN account c ON c.id = credit_account_id"
        " WHERE sequence = $1 ORDER BY e.id",
        batch["sequence"],
    )
    assert transfer.amounts.fees == 62  # spread of 38 cents at 20 bps is 0: no entry
    assert [tuple(row) for row in entries] == [
        (
            in_flight_account(CHAIN_ID, "USDC"),
            f"chain/{CHAIN_ID}/0x{node.onchain.contract.hex()}/USDC",
            BUY,
        ),
        ("deferred/fee/EUR", "income/fee/EUR", 62),
    ]


async def test_gas_is_booked_to_the_unit_whatever_the_price(node: MirroredNode) -> None:
    for base_fee_wei in (1_234_567_891, 7):
        node.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
        node.mine()
        await node.sent(2)
        node.mine(1 + DEPTH_BLOCKS)
        await node.follow()
    lane = address_of(LANE)
    wei = int(node.onchain.anvil.rpc("eth_getBalance", LANE, "latest"), 16)
    assert await node.booked(lane, "ETH") == wei // 10**9
    assert (
        await node.balance(f"expense/gas/{CHAIN_ID}/ETH")
    ).posted == 10_000 * 10**9 - wei // 10**9
    await assert_sound(node)


async def test_a_second_pass_over_the_same_chain_changes_nothing(node: MirroredNode) -> None:
    await node.sent(2)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    before = await node.rows("SELECT * FROM ledger")
    assert await node.follow() == 0
    assert await node.rows("SELECT * FROM ledger") == before


async def test_an_included_payment_that_a_reorg_takes_back_is_paid_once_in_the_end(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(2)
    node.mine()
    await node.follow()
    assert await node.states(transfers) == {State.INCLUDED}
    entries_before = await node.rows("SELECT count(*) FROM entry")

    node.onchain.anvil.rpc("anvil_reorg", 1, [])  # one block, and nothing in its place
    await node.follow()
    assert await node.states(transfers) == {State.SUBMITTED}
    assert {each.tx_hash for each in await node.again(transfers)} == {None}
    logs = await node.rows("SELECT status FROM settlement_log")
    assert [row["status"] for row in logs] == ["orphaned", "orphaned"]
    assert await node.rows("SELECT count(*) FROM entry") == entries_before

    (attempt,) = await node.rows("SELECT raw FROM attempt")
    if not node.pool():
        node.onchain.anvil.rpc("eth_sendRawTransaction", "0x" + attempt["raw"].hex())
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED}
    assert await node.timeline(transfers[0].id) == [
        "transfer.funded",
        "transfer.submitted",
        "transfer.included",
        "transfer.reorged",
        "transfer.included",
        "transfer.settled",
    ]
    assert len(node.onchain.payouts()) == 2
    await assert_sound(node)


async def test_a_chain_that_returns_to_blocks_it_had_left_is_followed(node: MirroredNode) -> None:
    transfers = await node.sent(1)
    node.mine()
    await node.follow()
    async with node.ledger.units() as unit:  # as if another branch had won for a moment
        cursor = await node.cursor()
        below = await unit.mirror.canonical(CHAIN_ID, cursor.head.number - 1)
    await rewind(node, below[cursor.head.number - 1])
    assert await node.states(transfers) == {State.SUBMITTED}
    await node.follow()
    assert await node.states(transfers) == {State.INCLUDED}
    assert {r["status"] for r in await node.rows("SELECT status FROM settlement_log")} == {"seen"}
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED}
    await assert_sound(node)


async def rewind(node: MirroredNode, to_hash: BlockHash) -> None:
    """What the mirror does when the block below its head becomes the newest of both chains."""
    cursor = await node.cursor()
    to = BlockPoint(cursor.head.number - 1, to_hash)
    assert await node.mirror()._rewind(cursor, to) == 1


async def test_a_reorg_past_finality_stops_mirror_and_payouts(node: MirroredNode) -> None:
    node.mine(5)
    await node.follow()
    node.onchain.anvil.rpc("anvil_reorg", DEPTH_BLOCKS + 2, [])
    final = (await node.cursor()).final
    await node.mirror().run_once()
    cursor = await node.cursor()
    assert (cursor.final, cursor.halted_reason) == (final, "deep_reorg")
    assert [each.code for each in await node.open_breaks()] == ["B19"]
    async with node.ledger.units() as unit:
        assert [each.reason for each in await unit.settlement.pauses()] == ["deep_reorg"]
    assert await node.follow() == 0


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
        (State.FUNDED, None, 1)
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
            await unit.settlement.add_movement(
                Movement(
                    new_id(), kind, TREASURY, to, asset, amount, "requested", None, "test", None,
                    unit.now,
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


async def test_two_mirrors_on_one_database_book_everything_once(node: MirroredNode) -> None:
    mirrors = [node.mirror() for _ in range(3)]
    for _ in range(3):
        await node.sent(2)
        for _ in range(1 + DEPTH_BLOCKS):
            node.mine()
            await asyncio.gather(*(each.run_once() for each in mirrors))
    await node.follow()
    rows = await node.rows("SELECT state, count(*) AS n FROM transfer GROUP BY state")
    assert [tuple(row) for row in rows] == [("settled", 6)]
    assert len(await node.rows("SELECT 1 FROM ledger_transaction WHERE kind = 'batch'")) == 3
    await assert_sound(node)


async def test_a_mirror_that_was_away_for_many_blocks_catches_up(node: MirroredNode) -> None:
    transfers = await node.sent(2)
    node.mine(400)  # more than one look, and states of old blocks are gone
    await node.follow()
    assert (await node.cursor()).head.number == int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    assert await node.states(transfers) == {State.SETTLED}
    await assert_sound(node)


async def test_a_pass_takes_as_many_statements_for_40_payments_as_for_2(
    node: MirroredNode,
) -> None:
    counts = []
    for payments in (1, 2, 40):  # the first opens accounts, too
        await node.sent(payments)
        node.mine(1 + DEPTH_BLOCKS)
        counted = CountingDatabase(node.database)
        await node.mirror(units=StoreUnits(counted)).run_once()
        assert await node.rows("SELECT 1 FROM transfer WHERE state = 'included'") == []
        counts.append(counted.statements)
    assert counts[1] == counts[2] > 0


class CountingDatabase(Database):
    """The same database; counts the statements of every transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._engine)
        self.statements = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as connection:
            with connection.raw.query_logger(self._count):
                yield connection

    def _count(self, _record: object) -> None:
        self.statements += 1
