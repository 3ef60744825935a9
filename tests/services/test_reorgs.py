"""A deep reorg is undone by two operators; what it dropped is paid with the same number."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.evm.rpc import Call, Providers
from node.core.errors import (
    ChainUnavailable,
    Conflict,
    DatabaseUnavailable,
    SecondPersonNeeded,
    WrongState,
)
from node.core.ledger import Entry, LedgerTransaction, suspense_account
from node.core.paging import ListQuery
from node.core.ports.breaks import Break
from node.core.transfers import State
from node.core.units import BlockHash
from node.store.reorg_sql import BOOKINGS
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, MirroredNode
from tests.onchain import FLOAT_UNITS, LANE, address_of
from tests.services.reorging import OLGA, OTTO, Desk
from tests.services.settling import Killed, killer


async def close(node: MirroredNode, found: Break, entries: Sequence[Entry]) -> None:
    """An operator closes a break, as if a second one had agreed where one has to."""
    async with node.ledger.units() as unit:
        await unit.ledger.lock()
        key = f"break:{found.id}"
        booked = LedgerTransaction(key, "correction", entries, detail={"break": str(found.id)})
        sequences = await unit.ledger.post([booked])
        resolution = {"kind": "ledger_transaction", "ledger_sequence": str(sequences[key])}
        await unit.breaks.close(found.id, OLGA.key, resolution)


@pytest.fixture
def desk(node: MirroredNode) -> Desk:
    return Desk(node)


async def test_what_the_new_chain_does_not_pay_is_paid_again_with_the_same_number(
    node: MirroredNode, desk: Desk
) -> None:
    transfers = await node.sent(2)
    await desk.finalize()
    assert await node.states(transfers) == {State.SETTLED}
    before = (await node.again(transfers))[0]

    await desk.reorg(5)
    assert node.onchain.payouts() == []
    reorg = await desk.both()
    again = await node.again(transfers)
    assert {each.state for each in again} == {State.SUBMITTED}
    assert again[0].payment_number == before.payment_number
    assert again[0].pending_sequence != before.pending_sequence
    cursor = await node.cursor()
    assert (cursor.final, cursor.head, cursor.halted_reason) == (reorg.fork, reorg.fork, None)
    assert await node.booked(node.onchain.contract) == FLOAT_UNITS
    await desk.assert_proven()

    await desk.until(transfers, State.SETTLED)  # stored bytes are sent while settlement is paused
    assert len(node.onchain.payouts()) == 2
    assert await node.booked(node.onchain.contract) == FLOAT_UNITS - 2 * BUY
    assert await desk.wind(transfers[:1]) == [
        ["funded", "submitted", "included", "settled", "reorged", "included", "settled"]
    ]
    await desk.assert_sound()


async def test_a_payment_that_the_new_chain_has_in_another_block_is_not_made_again(
    node: MirroredNode, desk: Desk
) -> None:
    transfers = await node.sent(2)
    await desk.finalize()
    (attempt,) = await node.rows("SELECT tx_hash, raw, sends FROM attempt")
    await desk.reorg(5, [["0x" + attempt["raw"].hex(), 1]])
    assert len(node.onchain.payouts()) == 2
    await desk.both()
    assert await node.states(transfers) == {State.SUBMITTED}
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED}
    await desk.resume()
    await desk.until(transfers, State.SETTLED)
    assert len(node.onchain.payouts()) == 2
    assert len(await node.rows("SELECT FROM attempt")) == 1
    keys = await node.rows(
        "SELECT key FROM ledger_transaction WHERE kind IN ('batch', 'gas') ORDER BY sequence"
    )
    assert [row["key"].endswith(":e1") for row in keys] == [False, False, True, True]
    await desk.assert_sound()


async def test_the_break_says_what_each_provider_has_and_what_is_affected(
    node: MirroredNode, desk: Desk
) -> None:
    await node.sent(2)
    await desk.finalize(3)
    final = (await node.cursor()).final
    await desk.reorg(7)
    (found,) = await node.open_breaks()
    theirs = f"0x{desk.hash_at(final.number).hex()}"
    assert (found.code, found.expected) == ("B19", f"block {final.number} is 0x{final.hash.hex()}")
    assert found.actual == f"the chain has {theirs} there"
    told = dict(found.evidence)
    (provider,) = [name for name in told if name.startswith("provider ")]
    assert told[provider] == theirs
    fork = BlockHash(desk.hash_at(int(told["fork"].split()[0])))
    assert told["fork"].endswith(f"0x{fork.hex()}")
    assert (told["payments"], told["paid_minor USDC"], told["transactions"]) == (
        "2", str(2 * BUY), "1",
    )  # fmt: skip
    proposed = await desk.propose()
    assert (proposed.fork.hash, str(proposed.plan["blocks"])) == (fork, told["blocks"])


class Away:
    """Tables that do not answer in time."""

    def __getattr__(self, name: str) -> Any:
        raise DatabaseUnavailable(f"{name} took too long")


async def test_the_mirror_stands_still_though_nobody_can_say_what_is_affected(
    node: MirroredNode, desk: Desk
) -> None:
    await desk.finalize(3)
    final = (await node.cursor()).final

    @asynccontextmanager
    async def units() -> AsyncIterator[Any]:
        async with node.ledger.units() as unit:
            vars(unit)["reorgs"] = Away()
            yield unit

    node.onchain.anvil.rpc("anvil_reorg", 5, [])
    slow: Any = units
    await node.mirror(units=slow).run_once()
    assert (await node.cursor()).halted_reason == "deep_reorg"
    async with node.ledger.units() as unit:
        assert [each.reason for each in await unit.settlement.pauses()] == ["deep_reorg"]
    (found,) = await node.open_breaks()
    theirs = desk.hash_at(final.number).hex()
    assert (found.code, found.actual) == ("B19", f"the chain has 0x{theirs} there")
    assert found.evidence["fork"].startswith("not found")


async def test_what_came_from_a_block_is_found_without_reading_the_ledger(
    node: MirroredNode,
) -> None:
    async with node.database.transaction() as connection:
        await connection.raw.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.raw.fetch("EXPLAIN " + BOOKINGS.replace("$1", "'{0xab}'"))
    assert "ledger_transaction_by_block" in str(plan)


async def test_a_mirror_that_was_slow_to_stand_still_does_not_stop_the_new_chain(
    node: MirroredNode, desk: Desk
) -> None:
    await desk.finalize(3)
    seen = await node.cursor()
    await desk.reorg(5)
    await desk.both()
    await node.mirror()._halt(seen, [])
    assert (await node.cursor()).halted_reason is None
    await node.follow()
    await desk.resume()
    await desk.assert_sound()


class Recorded(Providers):
    """A provider that can be made to say again what the chain said once."""

    def __init__(self, honest: Providers) -> None:
        super().__init__(honest.all)
        self.kept: dict[str, Any] = {}
        self.is_replaying = False

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """What the chain says, or said."""
        names = [repr(each) for each in calls]
        if not self.is_replaying:
            answers = await super().batch(calls)
            self.kept |= dict(zip(names, answers, strict=True))
        return [self.kept[each] for each in names]

    async def batch_of_each(self, calls: Sequence[Call]) -> Mapping[str, list[Any]]:
        """The same: there is one provider."""
        return {"recorded": await self.batch(calls)}


async def test_a_chain_that_comes_back_to_what_was_undone_is_booked_again(
    node: MirroredNode, desk: Desk
) -> None:
    recorded = node.providers = Recorded(node.providers)
    transfers = await node.sent(2)
    node.onchain.send(node.onchain.token, "mint(address,uint256)", LANE, 700)
    await desk.finalize()
    settled = (await node.cursor()).final
    await node.follow()
    live, node.providers = recorded, Providers(recorded.all)
    await desk.reorg(6)
    await desk.both()
    assert await node.states(transfers) == {State.SUBMITTED}
    live.is_replaying, node.providers = True, live
    await node.follow()
    assert (await node.cursor()).final == settled
    assert await node.states(transfers) == {State.SETTLED}
    assert await node.booked(node.onchain.contract) == FLOAT_UNITS - 2 * BUY
    assert (await node.balance(suspense_account(CHAIN_ID, "USDC"))).posted == 700
    await desk.assert_proven()
    keys = await node.rows(
        "SELECT key FROM ledger_transaction WHERE kind IN ('batch', 'suspense') ORDER BY sequence"
    )
    names = [row["key"] for row in keys]
    assert names[2:] == [f"{each}:e1" for each in names[:2]]
    assert [each.code for each in await node.open_breaks()] == ["B04"]


async def test_a_second_deep_reorg_undoes_what_was_done_after_the_first(
    node: MirroredNode, desk: Desk
) -> None:
    first = await node.sent(1)
    await desk.finalize()
    second = await node.sent(1)
    await desk.finalize()
    raws = ["0x" + row["raw"].hex() for row in await node.rows("SELECT raw FROM attempt")]
    await desk.reorg(5)  # the second payment alone
    await desk.both()
    assert [await node.states(each) for each in (first, second)] == [
        {State.SETTLED},
        {State.SUBMITTED},
    ]
    await desk.until(second, State.SETTLED)
    await desk.assert_proven()
    depth = int(node.onchain.anvil.rpc("eth_blockNumber"), 16) - 6
    await desk.reorg(depth, [[raws[0], 0]])  # both, and the first is kept in another block
    await desk.both()
    assert await node.states([*first, *second]) == {State.SUBMITTED}
    await desk.assert_proven()
    await desk.until([*first, *second], State.SETTLED)
    assert len(node.onchain.payouts()) == 2
    assert (await desk.wind(second))[0].count("settled") == 3
    pendings = await node.rows("SELECT key FROM ledger_transaction WHERE pending ORDER BY sequence")
    assert sorted(row["key"].partition(":e")[2] for row in pendings) == ["", "", "1", "2", "2"]
    await desk.assert_sound()


async def test_a_node_killed_before_it_has_committed_has_undone_nothing(
    node: MirroredNode, desk: Desk
) -> None:
    transfers = await node.sent(1)
    await desk.finalize()
    await desk.reorg(5)
    proposed = await desk.propose()
    ledger = await node.rows("SELECT * FROM ledger")
    for window in ("after_reorg_read", "before_reorg_commit"):
        with pytest.raises(Killed):
            await desk.accept(proposed, at=killer(window))
        assert await node.rows("SELECT * FROM ledger") == ledger
        assert await node.states(transfers) == {State.SETTLED}
        assert (await node.cursor()).halted_reason == "deep_reorg"
    with pytest.raises(Killed):
        await desk.accept(proposed, at=killer("after_reorg_commit"))
    with pytest.raises(WrongState, match="accepted already"):
        await desk.accept(proposed)
    assert await node.states(transfers) == {State.SUBMITTED}
    await desk.until(transfers, State.SETTLED)
    await desk.assert_sound()


async def test_one_operator_alone_undoes_nothing(node: MirroredNode, desk: Desk) -> None:
    await node.sent(1)
    await desk.finalize()
    await desk.reorg(5)
    proposed = await desk.propose(OLGA)
    with pytest.raises(SecondPersonNeeded):
        await desk.accept(proposed, OLGA)
    newer = await desk.propose(OTTO)
    with pytest.raises(WrongState, match="replaced"):
        await desk.accept(proposed, OTTO)
    await desk.accept(newer, OLGA)


async def test_only_the_block_that_every_provider_has_is_accepted(
    node: MirroredNode, desk: Desk
) -> None:
    await desk.finalize(3)
    await desk.reorg(5)
    ours = (await node.cursor()).final
    for wrong, words in (
        (BlockHash(b"\x01" * 32), "is not 0x0101"),
        (ours.hash, "the node's own final block"),
        (desk.hash_at(ours.number + 1), "for every provider"),
    ):
        with pytest.raises(Conflict, match=words):
            await desk.propose(block_hash=wrong)
    with pytest.raises(Conflict, match="liar has 0x0202"):
        await desk.propose(providers=Differing(node.providers))
    assert await node.rows("SELECT FROM reorg") == []


class Differing(Providers):
    """Two providers, of which one has other blocks."""

    def __init__(self, honest: Providers) -> None:
        super().__init__(honest.all)

    async def batch_of_each(self, calls: Sequence[Call]) -> Mapping[str, list[Any]]:
        """What the honest one says, and a liar."""
        told = await super().batch_of_each(calls)
        (honest,) = told.values()
        return {**told, "liar": [{**each, "hash": "0x" + "02" * 32} for each in honest]}


async def test_without_a_halt_there_is_nothing_to_decide(node: MirroredNode, desk: Desk) -> None:
    await desk.finalize()
    with pytest.raises(WrongState, match="not halted"):
        await desk.propose(block_hash=BlockHash(b"\x01" * 32))


async def test_a_plan_that_is_not_what_was_proposed_is_refused(
    node: MirroredNode, desk: Desk
) -> None:
    node.onchain.send(node.onchain.token, "mint(address,uint256)", LANE, 700)
    await desk.finalize()
    assert (await node.balance(suspense_account(CHAIN_ID, "USDC"))).posted == 700
    (unknown,) = await node.open_breaks()
    await desk.reorg(5)
    proposed = await desk.propose()
    entries = [Entry(f"suspense/{CHAIN_ID}/USDC", "capital/USDC", "USDC", 700)]
    await close(node, unknown, entries)
    with pytest.raises(Conflict, match="what would be undone changed"):
        await desk.accept(proposed)
    again = await desk.propose()
    corrections = again.plan["corrections"]
    assert isinstance(corrections, list)
    assert [each["code"] for each in corrections] == ["B04"]
    await desk.accept(again)  # what operators booked stays, and is told
    assert (await node.balance(suspense_account(CHAIN_ID, "USDC"))).posted == -700
    assert await node.booked(address_of(LANE)) == 0
    await desk.assert_proven()


async def test_the_job_of_reconciliation_compares_what_the_new_chain_made_final(
    node: MirroredNode, desk: Desk
) -> None:
    transfers = await node.sent(1)
    await desk.finalize(3)
    job = node.reconciliation()
    assert await job.run_once() == 1
    await desk.reorg(7)
    await desk.both()
    await desk.until(transfers, State.SETTLED)
    await desk.finalize(4)
    for each in (job, node.reconciliation()):  # the one that ran before, and a new one
        await each.run_once()
        assert await node.open_breaks() == []
    await desk.assert_sound()


async def test_a_run_while_the_mirror_is_halted_says_so_and_what_to_do(
    node: MirroredNode, desk: Desk
) -> None:
    await desk.finalize(3)
    final = (await node.cursor()).final.number
    await desk.reorg(7)
    with pytest.raises(ChainUnavailable) as caught:
        await node.reconcile()
    told = f"the mirror is halted at block {final} (deep_reorg)"
    assert caught.value.detail.startswith(told)
    assert "`corridor mirror accept-reorg`" in caught.value.detail
    (run, *_) = (await node.reconciliation().runs(ListQuery(limit=1, scope="runs"))).items
    assert run.status == "failed"
    assert (run.failure or "").startswith(told)
