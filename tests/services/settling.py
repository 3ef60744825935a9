"""A node that settles on a real chain out of a real database, and whose workers a test may kill."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.rpc import Providers
from adapters.evm.signed import Eip1559Reader
from adapters.evm.signer import KeystoreSigner
from adapters.failpoint import failpoint
from adapters.machine import new_id
from node.core.parties import Principal
from node.core.ports.transfers import Transfer
from node.core.settlement import BatchRules
from node.core.submission import FeeRules
from node.core.transfers import State
from node.services.settlement.parts import SettlementParts
from node.services.settlement.settling import SettlementService
from node.store.database import Database
from node.store.lane_lock import AdvisoryLaneLock
from tests.builders import CHAIN_ID, LedgerNode
from tests.onchain import LANE_KEY, OnChain

PASSES_MAX = 200
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
    providers: Providers
    chain: EvmChain
    rules: BatchRules = field(default_factory=lambda: BatchRules(payments_max=256, wait_ms=0))
    fees: FeeRules = field(default_factory=FeeRules)
    workers: list[AdvisoryLaneLock] = field(default_factory=list)

    def worker(
        self, at: Callable[[str], None] | None = None, chain: EvmChain | None = None
    ) -> SettlementService:
        """A settlement worker as a process of its own would have it."""
        return SettlementService(self.parts(at, chain))

    def parts(
        self, at: Callable[[str], None] | None = None, chain: EvmChain | None = None
    ) -> SettlementParts:
        """What such a worker is made of."""
        lock = AdvisoryLaneLock(self.database_url)
        self.workers.append(lock)
        return SettlementParts(
            units=self.node.units,
            chain=chain or self.chain,
            contract=EvmSettlementContract(self.chain, self.onchain.contract, self.onchain.token),
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

    async def until_mined(self) -> None:
        """Wait for what was sent: also a chain that mines each at once does it after its answer."""
        async with asyncio.timeout(60):
            while int(self.onchain.anvil.rpc("txpool_status")["pending"], 16):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def slots(self) -> list[Any]:
        async with self.database.transaction() as connection:
            return list(
                await connection.raw.fetch(
                    "SELECT s.*, (SELECT count(*) FROM attempt a WHERE a.slot_id = s.id) AS tries"
                    " FROM slot s ORDER BY nonce"
                )
            )

    async def finalize(self) -> None:
        """Let the mirror say that everything up to the newest block is final."""
        head = await self.chain.head()
        await self.execute(
            "INSERT INTO chain_cursor (chain_id, start_number, head_number, head_hash,"
            " final_number, final_hash) VALUES ($1, 0, $2, $3, $2, $3) ON CONFLICT (chain_id)"
            " DO UPDATE SET final_number = $2, final_hash = $3",
            CHAIN_ID,
            head.number,
            head.hash,
        )

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """Rows of any query."""
        async with self.database.transaction() as connection:
            return list(await connection.raw.fetch(query, *arguments))

    async def lane(self) -> Any:
        async with self.node.units() as unit:
            return await unit.settlement.lane(CHAIN_ID, KeystoreSigner.of_key(LANE_KEY).address)

    async def execute(self, statement: str, *arguments: object) -> None:
        owner = await asyncpg.connect(self.database_url)
        try:
            await owner.execute(statement, *arguments)
        finally:
            await owner.close()


def ids(transfers: Sequence[Transfer]) -> list[UUID]:
    return [each.id for each in transfers]


MakeRig = Callable[..., Awaitable[Rig]]


def killer(window: str) -> Callable[[str], None]:
    """A failpoint that kills at one window."""

    def at(name: str) -> None:
        if name == window:
            raise Killed(name)

    return at
