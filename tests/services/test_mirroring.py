"""The mirror on a real chain and a real database: only final facts are booked, each of them once.

In `MirroredNode.follow` every pass is made by a mirror that was just started, so each of these
tests is also one of a mirror that is killed between any two passes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.core.errors import ChainUnavailable
from node.core.ledger import in_flight_account
from node.core.mirror import BlockPoint, Finality
from node.core.ports.mirror import Contradiction
from node.core.transfers import State
from node.core.units import BlockHash
from node.store.database import Connection, Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, DEPTH_BLOCKS, MirroredNode, failing
from tests.onchain import FLOAT_UNITS, LANE, address_of
from tests.rig import AnvilServer
from tests.services.lying import Liars, frozen, without_logs
from tests.services.settling import Killed, killer


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
        " WHERE sequence = $1 ORDER BY e.position",
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


async def test_a_mirror_that_read_before_it_was_stopped_stores_nothing(node: MirroredNode) -> None:
    read = await node.cursor()
    to = BlockPoint(read.head.number + 1, BlockHash(bytes(32)))
    for reason, moved in (("deep_reorg", False), (None, True)):
        async with node.ledger.units() as unit:
            await unit.mirror.halt(CHAIN_ID, reason)
        async with node.ledger.units() as unit:
            assert await unit.mirror.move_head(CHAIN_ID, held=read.head.hash, to=to) is moved


async def test_a_slow_mirror_never_moves_the_head_below_what_another_made_final(
    node: MirroredNode,
) -> None:
    node.mine(3)
    await node.follow()
    read = await node.cursor()  # what the slow one goes by
    async with node.ledger.units() as unit:
        blocks = await unit.mirror.canonical(CHAIN_ID, read.start_number)
        assert await unit.mirror.move_final(CHAIN_ID, held=read.final.hash, to=read.head)
    below = BlockPoint(read.head.number - 1, blocks[read.head.number - 1])
    beside = BlockPoint(read.head.number, BlockHash(bytes(32)))
    for to in (below, beside):
        async with node.ledger.units() as unit:
            assert not await unit.mirror.move_head(CHAIN_ID, held=read.head.hash, to=to)
    node.mine(3)
    await node.follow()
    now = await node.cursor()
    assert (now.halted_reason, now.head.number) == (None, read.head.number + 3)


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
        super().__init__(database._pool, database._snapshots)
        self.statements = 0

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        async with super().transaction(snapshot=snapshot) as connection:
            with connection.raw.query_logger(self._count):
                yield connection

    def _count(self, _record: object) -> None:
        self.statements += 1


# --------------------------------------------------------------------- providers that lie or lag


async def paid(node: MirroredNode) -> None:
    """One payment in a block of its own, between blocks without any."""
    await node.sent(1)
    node.mine(1)


async def breaks(node: MirroredNode) -> list[Any]:
    return await node.rows("SELECT * FROM reconciliation_break ORDER BY first_seen_at, id")


async def test_a_block_whose_list_lacks_a_log_is_not_stored_and_those_before_it_are(
    node: MirroredNode, with_providers: Liars
) -> None:
    node.mine(2)
    await paid(node)
    lying, _ = with_providers(node, liar=without_logs(node.onchain.contract))
    newest = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    with pytest.raises(Contradiction):
        await lying.mirror().run_once()
    head = (await node.cursor()).head
    assert head.number == newest - 1
    # What is stored goes on to be final.
    assert (await node.cursor()).final.number == head.number - DEPTH_BLOCKS
    (found,) = await node.open_breaks()
    assert (found.code, found.evidence["provider"]) == ("B02", "liar")
    assert found.evidence["block_number"] == str(head.number + 1)
    assert int(found.evidence["log_index"]) >= 0
    assert found.evidence["block_hash"].startswith("0x")
    assert "liar" in found.cause

    node.mine(DEPTH_BLOCKS)
    await node.follow()
    (found,) = await breaks(node)
    assert found["resolution"]["kind"] == "rederived"
    await assert_sound(node)


async def test_what_one_provider_hides_is_read_from_the_next_and_the_break_closes_by_itself(
    node: MirroredNode, with_providers: Liars
) -> None:
    await paid(node)
    node.mine(DEPTH_BLOCKS)
    many, (_, honest) = with_providers(node, liar=without_logs(node.onchain.contract), honest=None)
    mirror = many.mirror()
    with pytest.raises(Contradiction):
        await mirror.run_once()
    while await mirror.run_once():
        pass
    assert {each.name: bool(each.in_doubt) for each in many.providers.health()} == {
        "liar": True,
        "honest": False,
    }
    assert honest.asked_of("eth_getLogs")
    (found,) = await breaks(node)
    assert (found["code"], found["resolution"]["kind"]) == ("B02", "rederived")
    assert await node.rows("SELECT 1 FROM transfer WHERE state = 'settled'")
    await assert_sound(node)


async def test_a_provider_that_is_alone_on_a_branch_does_not_roll_the_mirror_back(
    node: MirroredNode, with_providers: Liars
) -> None:
    deep = Finality(20)
    node.mine(4)
    first = int(node.onchain.anvil.rpc("eth_blockNumber"), 16) - 3
    alone = frozen(node, first)
    node.onchain.anvil.rpc("anvil_reorg", 3, [])
    honest, _ = with_providers(node, first=None, second=None)
    await honest.mirror(deep).run_once()
    head = (await node.cursor()).head

    node.mine(1)
    many, _ = with_providers(node, alone=alone, first=None, second=None)
    mirror = many.mirror(deep)
    with pytest.raises(Contradiction, match="nobody else has"):
        await mirror.run_once()
    assert (await node.cursor()).head == head
    await mirror.run_once()
    assert (await node.cursor()).head.number == head.number + 1
    assert not await node.rows("SELECT 1 FROM block WHERE status = 'orphaned'")


async def test_a_deep_reorg_waits_until_a_second_provider_has_it(
    node: MirroredNode, with_providers: Liars
) -> None:
    deep = Finality(20)
    node.mine(4)
    await node.mirror(deep).run_once()
    head = (await node.cursor()).head
    behind = frozen(node, head.number - 3)
    node.onchain.anvil.rpc("anvil_reorg", 3, [])
    many, (_, slow) = with_providers(node, first=None, slow=behind)
    mirror = many.mirror(deep)
    with pytest.raises(ChainUnavailable, match="providers differ"):
        await mirror.run_once()
    assert (await node.cursor()).head == head
    slow.lie = None
    assert await mirror.run_once() == 3
    assert len(await node.rows("SELECT 1 FROM block WHERE status = 'orphaned'")) == 3


async def test_one_provider_that_stays_on_the_old_branch_does_not_keep_the_mirror_there(
    node: MirroredNode, with_providers: Liars
) -> None:
    deep = Finality(20)
    node.mine(4)
    await node.mirror(deep).run_once()
    behind = frozen(node, (await node.cursor()).head.number - 3)
    node.onchain.anvil.rpc("anvil_reorg", 3, [])
    many, _ = with_providers(node, first=None, second=None, stays=behind)
    assert await many.mirror(deep).run_once() == 3
    assert len(await node.rows("SELECT 1 FROM block WHERE status = 'orphaned'")) == 3


async def test_one_provider_on_another_branch_does_not_halt_the_mirror(
    node: MirroredNode, with_providers: Liars
) -> None:
    node.mine(4)
    final = (await node.cursor()).final
    alone = frozen(node, final.number)
    await node.follow()
    node.onchain.anvil.rpc("anvil_reorg", DEPTH_BLOCKS + 2, [])
    many, _ = with_providers(node, first=None, slow=alone)
    with pytest.raises(ChainUnavailable, match="providers differ"):
        await many.mirror().run_once()
    assert (await node.cursor()).halted_reason is None


async def test_a_head_that_is_lower_is_a_provider_that_lags(
    node: MirroredNode, with_providers: Liars
) -> None:
    node.mine(1)
    behind = frozen(node, 1)
    node.mine(3)
    await node.follow()
    head = (await node.cursor()).head
    lagging, _ = with_providers(node, slow=behind)
    assert await lagging.mirror().run_once() == 0
    assert (await node.cursor()).head == head


async def test_notices_of_an_orphaned_block_are_orphaned_and_come_back_with_it(
    node: MirroredNode,
) -> None:
    node.onchain.send(node.onchain.token, "pause()")
    await node.follow()
    cursor = await node.cursor()
    async with node.ledger.units() as unit:
        below = await unit.mirror.canonical(CHAIN_ID, cursor.head.number - 1)
    await rewind(node, below[cursor.head.number - 1])
    assert [r["status"] for r in await node.rows("SELECT status FROM notice")] == ["orphaned"]
    await node.follow()
    assert [r["status"] for r in await node.rows("SELECT status FROM notice")] == ["seen"]
    node.onchain.anvil.rpc("anvil_reorg", 1, [])
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    assert [r["status"] for r in await node.rows("SELECT status FROM notice")] == ["orphaned"]
    assert await breaks(node) == []


async def test_a_mirror_that_dies_between_any_two_statements_of_a_block_has_done_nothing(
    node: MirroredNode,
) -> None:
    await paid(node)
    for window in ("after_block_read", "before_block_commit"):
        before = await node.cursor()
        with pytest.raises(Killed):
            await node.mirror(at=killer(window)).run_once()
        assert await node.cursor() == before
        assert not await node.rows("SELECT 1 FROM token_log")
    with pytest.raises(Killed):
        await node.mirror(at=killer("after_block_commit")).run_once()
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    await assert_sound(node)
