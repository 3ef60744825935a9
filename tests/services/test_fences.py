"""Each fence alone keeps a number from being paid twice: the database, the slot, the chain.

F1: guarded transitions in the database. F2: a number has one live slot. F3: the contract pays a
number once. The wiring that takes one away exists in this file alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from node.core.ports import UnitOfWork
from node.core.ports.settlement import NewSlot
from node.core.ports.transfers import Transfer
from node.core.settlement import BatchRules
from node.core.transfers import State
from node.services.settlement.settling import SettlementService
from node.store.lane_lock import AdvisoryLaneLock
from node.store.settlement import SettlementStore
from tests.mirrored import DEPTH_BLOCKS, MirroredNode
from tests.onchain import LANE, LANE_2, LANE_2_KEY, LANE_KEY
from tests.rig import AnvilServer, PostgresServer

PAYMENTS = 100


class Unguarded(SettlementStore):
    """A store without F1: whoever was a candidate once is written, whatever became of it."""

    async def lock_candidates(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Nobody is locked, everybody is taken."""
        return frozenset(ids)

    async def _write_members(self, slots: Sequence[NewSlot]) -> None:
        """Transfers are marked without regard to what they are by now."""
        for slot in slots:
            for position, member in enumerate(slot.members):
                await self._raw.execute(
                    "INSERT INTO slot_member (slot_id, position, transfer_id, payment_number,"
                    " contract, beneficiary, amount, purpose)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7, 'settle')",
                    slot.id,
                    position,
                    member.transfer_id,
                    member.record.number,
                    slot.contract,
                    member.record.beneficiary,
                    member.record.amount,
                )
            await self._raw.execute(
                "UPDATE transfer SET slot_id = $1, was_written = true WHERE id = ANY($2::uuid[])",
                slot.id,
                [each.transfer_id for each in slot.members],
            )


class Together:
    """The database of workers that all wait for each other between gate and writing."""

    def __init__(self, inner: UnitOfWork, barrier: asyncio.Barrier, *, guarded: bool) -> None:
        self._inner = inner
        self._barrier = barrier
        self._guarded = guarded
        self._armed = False
        self._has_waited = False

    def at(self, window: str) -> None:
        """The failpoint: arms at the gate, once."""
        self._armed = self._armed or (window == "after_gate" and not self._has_waited)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        if self._armed:
            self._armed, self._has_waited = False, True
            await self._barrier.wait()
        async with self._inner() as unit:
            if not self._guarded:
                unit.__dict__["settlement"] = Unguarded(unit.connection)  # type: ignore[attr-defined]
            yield unit

    def snapshot(self) -> AbstractAsyncContextManager[Any]:
        return self._inner.snapshot()


@pytest.fixture
async def node(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[MirroredNode]:
    """A chain that mines only when told; two lanes may settle."""
    chain = start_anvil(automine=False)
    node = await MirroredNode.open(database_url, chain, lanes=(LANE, LANE_2))
    yield node
    await node.close()


def lane_worker(node: MirroredNode, key: str, **replaced: Any) -> SettlementService:
    """A worker of a process of its own."""
    lock = AdvisoryLaneLock(node.database_url)
    node.locks.append(lock)
    rules = BatchRules(payments_max=256, wait_ms=0)
    return SettlementService(replace(node._parts(key, lock), batches=rules, **replaced))


async def race(node: MirroredNode, *, guarded: bool) -> list[BaseException | int]:
    """Two processes, one lane each, that have examined the same transfers and now write."""
    workers = []
    barrier = asyncio.Barrier(2)
    for key in (LANE_KEY, LANE_2_KEY):
        units = Together(node.ledger.units, barrier, guarded=guarded)
        worker = lane_worker(node, key, units=units, failpoint=units.at)
        workers.append(worker)
    found = await asyncio.gather(*(each.run_once() for each in workers), return_exceptions=True)
    node.mine(1)
    return found


def assert_each_paid_once(node: MirroredNode, transfers: Sequence[Transfer]) -> None:
    wanted = sorted(("0x" + e.beneficiary_address.hex(), e.amounts.buy) for e in transfers)
    assert sorted(node.onchain.payouts()) == wanted


async def batches(node: MirroredNode) -> int:
    rows = await node.rows("SELECT count(*) FROM slot WHERE purpose = 'settle'")
    return int(rows[0]["count"])


async def without_f2(node: MirroredNode) -> None:
    await node.execute("DROP INDEX one_live_slot")


async def test_the_database_alone_lets_one_of_two_write(node: MirroredNode) -> None:
    transfers = await node.funded(PAYMENTS)
    await without_f2(node)
    assert [each for each in await race(node, guarded=True) if not isinstance(each, int)] == []
    assert await batches(node) == 1
    assert_each_paid_once(node, transfers)


async def test_the_slot_alone_lets_one_of_two_write(node: MirroredNode) -> None:
    transfers = await node.funded(PAYMENTS)
    found = await race(node, guarded=False)
    assert [type(each) for each in found if not isinstance(each, int)] == [
        asyncpg.UniqueViolationError
    ]
    assert await batches(node) == 1
    assert_each_paid_once(node, transfers)


async def test_the_chain_alone_pays_once_what_two_lanes_send(node: MirroredNode) -> None:
    transfers = await node.funded(PAYMENTS)
    await without_f2(node)
    assert [each for each in await race(node, guarded=False) if not isinstance(each, int)] == []
    assert await batches(node) == 2
    assert_each_paid_once(node, transfers)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED}


@pytest.mark.parametrize("keys", [(LANE_KEY, LANE_2_KEY), (LANE_KEY, LANE_KEY)])
async def test_two_copies_of_the_database_pay_the_same_hundred_once(
    node: MirroredNode, postgres_server: PostgresServer, keys: tuple[str, str]
) -> None:
    transfers = await node.funded(PAYMENTS)
    await node.database.close()  # a database that somebody uses cannot be copied
    copy_url = postgres_server.copy_database(node.database_url)
    nodes = [await node.at(node.database_url), await node.at(copy_url)]
    try:
        workers = [lane_worker(each, key) for each, key in zip(nodes, keys, strict=True)]
        for _ in range(3):
            await asyncio.gather(*(each.run_once() for each in workers))
            node.mine(1)
        assert_each_paid_once(node, transfers)
        for each in nodes:
            assert await each.states(transfers) <= {State.SUBMITTED, State.UNKNOWN}
    finally:
        for each in nodes:
            await each.close()
        postgres_server.drop_database(copy_url)
