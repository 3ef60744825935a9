"""Settlement on a real chain and a real database: paid once, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.rpc import Providers
from adapters.evm.signer import Eip1559Reader, KeystoreSigner
from adapters.failpoint import failpoint
from node.core.parties import Principal
from node.core.ports.transfers import Transfer
from node.core.settlement import BatchRules, LaneStatus, PauseReason, SlotState
from node.core.submission import FeeRules
from node.core.transfers import Happening, State
from node.services import transfer_moves
from node.services.settlement import SettlementService
from node.services.settlement_parts import SettlementParts
from node.store.database import Database
from node.store.lane_lock import AdvisoryLaneLock
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, LedgerNode, new_id, target
from tests.onchain import ADMIN, LANE_KEY, OnChain, address_of
from tests.rig import AnvilServer

PASSES_MAX = 60
BUY = 1_000_000


class Killed(Exception):
    """Stands for kill -9 at a failpoint: nothing after it runs."""


@dataclass
class Rig:
    """A node over one database and one chain, whose settlement workers a test may kill."""

    database_url: str
    database: Database
    onchain: OnChain
    node: LedgerNode
    payer: Principal
    chain: EvmChain
    rules: BatchRules = BatchRules(payments_max=256, wait_ms=0)
    fees: FeeRules = field(default_factory=FeeRules)
    workers: list[AdvisoryLaneLock] = field(default_factory=list)

    def worker(
        self, at: Callable[[str], None] | None = None, chain: Any = None
    ) -> SettlementService:
        """A settlement worker as a process of its own would have it."""
        lock = AdvisoryLaneLock(self.database_url)
        self.workers.append(lock)
        chain = chain or self.chain
        return SettlementService(
            SettlementParts(
                units=self.node.units,
                chain=chain,
                contract=EvmSettlementContract(
                    self.chain, self.onchain.contract, self.onchain.token
                ),
                signer=KeystoreSigner.of_key(LANE_KEY),
                reader=Eip1559Reader(),
                lock=lock,
                new_id=new_id,
                failpoint=at or failpoint(None),
                chain_id=CHAIN_ID,
                owner=f"worker {len(self.workers)}",
                block_s=1,
                batches=self.rules,
                fees=self.fees,
            )
        )

    async def kill(self) -> None:
        """The database connection of every worker so far goes away, as with its process."""
        for each in self.workers:
            await each.release()

    async def funded(self, count: int) -> Sequence[Transfer]:
        return await self.node.funded(self.payer, count, sell_minor=100, buy_minor=BUY)

    async def again(self, transfers: Sequence[Transfer]) -> list[Transfer]:
        """The transfers as they are now, in the order given."""
        async with self.node.units() as unit:
            found = {each.id: each for each in await unit.transfers.lock_many(ids(transfers))}
        return [found[each.id] for each in transfers]

    async def states(self, transfers: Sequence[Transfer]) -> set[State]:
        return {each.state for each in await self.again(transfers)}

    async def settle(self, worker: SettlementService, transfers: Sequence[Transfer]) -> None:
        """Pass until every transfer's payout is on chain."""
        for _ in range(PASSES_MAX):
            await worker.run_once()
            if len(self.onchain.payouts()) >= len(transfers):
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"not paid: {await self.again(transfers)}")

    def assert_each_paid_once(self, transfers: Sequence[Transfer]) -> None:
        wanted = sorted(
            ("0x" + each.beneficiary_address.hex(), each.amounts.buy) for each in transfers
        )
        assert sorted(self.onchain.payouts()) == wanted

    async def slots(self) -> list[Any]:
        async with self.database.transaction() as connection:
            return list(
                await connection.raw.fetch(
                    "SELECT s.*, (SELECT count(*) FROM attempt a WHERE a.slot_id = s.id) AS tries"
                    " FROM slot s ORDER BY nonce"
                )
            )

    async def lane(self) -> Any:
        async with self.node.units() as unit:
            return await unit.settlement.lane(
                CHAIN_ID, KeystoreSigner.of_key(LANE_KEY).address
            )

    async def execute(self, statement: str, *arguments: object) -> None:
        async with self.database.transaction() as connection:
            await connection.raw.execute(statement, *arguments)


def ids(transfers: Sequence[Transfer]) -> list[UUID]:
    return [each.id for each in transfers]


async def make_rig(database_url: str, anvil: AnvilServer, **deploy: int) -> Rig:
    onchain = OnChain.deploy(anvil, **deploy)
    database = Database.at(database_url)
    node = LedgerNode(StoreUnits(database), target(contract=onchain.contract, holders=(onchain.contract,)))
    await node.fund_contract()
    payer = await node.remitter(eur_minor=10**9)
    providers = Providers.at([anvil.rpc_url])
    return Rig(database_url, database, onchain, node, payer, EvmChain(providers))


@pytest.fixture
async def rig(database_url: str, anvil: AnvilServer) -> AsyncIterator[Rig]:
    rig = await make_rig(database_url, anvil)
    yield rig
    await rig.kill()
    await rig.database.close()


@pytest.fixture
async def slow_rig(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[Rig]:
    """The same on a chain that mines only when told."""
    rig = await make_rig(database_url, start_anvil(automine=False))
    yield rig
    await rig.kill()
    await rig.database.close()


async def test_funded_transfers_are_paid_in_one_batch(rig: Rig) -> None:
    transfers = await rig.funded(5)
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)
    assert await rig.states(transfers) == {State.SUBMITTED}
    (slot,) = await rig.slots()
    assert (slot["nonce"], slot["members"], slot["tries"]) == (0, 5, 1)
    assert {each.slot_id for each in await rig.again(transfers)} == {slot["id"]}


async def test_more_than_one_batch_takes_consecutive_nonces(rig: Rig) -> None:
    rig.rules = BatchRules(payments_max=4, wait_ms=0)
    transfers = await rig.funded(10)
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)
    assert [each["nonce"] for each in await rig.slots()] == [0, 1, 2]


WINDOWS = ("after_gate", "after_write", "after_sign", "after_store", "after_send")


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_worker_killed_at_any_window_is_followed_by_one_that_pays_once(
    rig: Rig, window: str
) -> None:
    transfers = await rig.funded(3)

    def kill(at: str) -> None:
        if at == window:
            raise Killed(at)

    with pytest.raises(Killed):
        await rig.worker(kill).run_once()
    await rig.kill()
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)
    assert [each["tries"] for each in await rig.slots()] == [1]
    assert rig.onchain.nonce() == 1


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_holder_that_was_overtaken_changes_nothing_any_more(
    rig: Rig, window: str
) -> None:
    transfers = await rig.funded(3)
    successor = rig.worker()

    async def overtake() -> None:
        await rig.kill()
        await rig.settle(successor, transfers)

    class Zombie(Exception):
        """The old holder stops here and goes on after its successor."""

    old = rig.worker()
    parts = old._parts
    reached = asyncio.Event()
    released = asyncio.Event()

    class Pausing:
        """The chain as the old holder sees it: its next call waits for the successor."""

        def __getattr__(self, name: str) -> Any:
            method = getattr(parts.chain, name)

            async def call(*arguments: Any, **named: Any) -> Any:
                if armed:
                    reached.set()
                    await released.wait()
                return await method(*arguments, **named)

            return call

    armed = False

    def arm(at: str) -> None:
        nonlocal armed
        armed = armed or at == window

    slow = SettlementService(replace(parts, chain=Pausing(), failpoint=arm))
    first = asyncio.create_task(slow.run_once())
    done, _ = await asyncio.wait(
        {first, waiting := asyncio.create_task(reached.wait())},
        return_when=asyncio.FIRST_COMPLETED,
    )
    await overtake()
    released.set()
    await first
    waiting.cancel()
    await slow.run_once()
    rig.assert_each_paid_once(transfers)
    assert rig.onchain.nonce() == 1
    assert done


async def test_two_workers_on_one_lane_pay_each_transfer_once(rig: Rig) -> None:
    rig.rules = BatchRules(payments_max=2, wait_ms=0)
    transfers = await rig.funded(20)
    one, two = rig.worker(), rig.worker()
    for _ in range(PASSES_MAX):
        await asyncio.gather(one.run_once(), two.run_once())
        if len(rig.onchain.payouts()) >= len(transfers):
            break
        rig.onchain.anvil.mine()
        await rig.execute("UPDATE slot SET state = 'included', included_block_number = 1")
    rig.assert_each_paid_once(transfers)
    assert [each["nonce"] for each in await rig.slots()] == list(range(rig.onchain.nonce()))


async def test_a_denied_beneficiary_fails_at_the_gate_and_the_others_are_paid(rig: Rig) -> None:
    transfers = await rig.funded(3)
    denied = transfers[1]
    rig.onchain.send(rig.onchain.token, "deny(address)", denied.beneficiary_address)
    paid = [transfers[0], transfers[2]]
    await rig.settle(rig.worker(), paid)
    rig.assert_each_paid_once(paid)
    (failed,) = await rig.again([denied])
    assert (failed.state, failed.was_written) == (State.FAILED, False)
    assert failed.failure is not None
    assert failed.failure["code"] == "beneficiary_refused"


async def test_a_paused_token_makes_transfers_wait_until_it_goes_on(rig: Rig) -> None:
    transfers = await rig.funded(2)
    rig.onchain.send(rig.onchain.token, "pause()")
    worker = rig.worker()
    await worker.run_once()
    assert {each.waiting_code for each in await rig.again(transfers)} == {"token_paused"}
    assert await rig.slots() == []
    assert rig.onchain.nonce() == 0
    rig.onchain.send(rig.onchain.token, "unpause()")
    await rig.settle(rig.worker(), transfers) if await _let_go(rig) else None
    rig.assert_each_paid_once(transfers)
    assert {each.waiting_code for each in await rig.again(transfers)} == {None}


async def _let_go(rig: Rig) -> bool:
    await rig.kill()
    return True


async def test_a_paused_contract_makes_transfers_wait(rig: Rig) -> None:
    transfers = await rig.funded(2)
    rig.onchain.send(rig.onchain.contract, "pause()")
    await rig.worker().run_once()
    assert {each.waiting_code for each in await rig.again(transfers)} == {"paused"}
    assert await rig.slots() == []


async def test_what_the_float_pays_goes_and_the_rest_waits_in_its_order(
    database_url: str, anvil: AnvilServer
) -> None:
    rig = await make_rig(database_url, anvil, float_units=2 * BUY + 5)
    transfers = await rig.funded(4)
    await rig.settle(rig.worker(), transfers[:2])
    rig.assert_each_paid_once(transfers[:2])
    assert {each.waiting_code for each in await rig.again(transfers[2:])} == {"float_short"}
    await rig.kill()
    await rig.database.close()


async def test_written_batches_count_against_the_float_before_they_are_mined(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    rig = await make_rig(database_url, start_anvil(automine=False), float_units=3 * BUY)
    worker = rig.worker()
    first = await rig.funded(2)
    await worker.run_once()
    second = await rig.funded(2)
    await worker.run_once()
    assert [each["members"] for each in await rig.slots()] == [2, 1]
    assert [each.waiting_code for each in await rig.again(second)] == [None, "float_short"]
    rig.onchain.anvil.mine()
    rig.assert_each_paid_once([*first, second[0]])
    await rig.kill()
    await rig.database.close()


async def test_a_pause_stops_new_batches_and_a_resume_lets_them_go(rig: Rig) -> None:
    transfers = await rig.funded(2)
    async with rig.node.units() as unit:
        await unit.settlement.pause(PauseReason.OPERATOR, "operator:olga", hard=False, note=None)
    await rig.worker().run_once()
    assert await rig.slots() == []
    assert {each.waiting_code for each in await rig.again(transfers)} == {"paused"}
    async with rig.node.units() as unit:
        assert await unit.settlement.resume(PauseReason.OPERATOR, "operator:olga") == 1
    await rig.kill()
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)


