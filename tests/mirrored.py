"""A whole node under test over a real database and a real chain that mines when it is told to.

Settlement sends, the mirror follows, reconciliation compares; a test decides when each of them
runs and when a block is mined. Not here: HTTP, and processes of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import asyncpg

from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Call, Providers
from adapters.evm.signer import Eip1559Reader, KeystoreSigner
from adapters.failpoint import failpoint
from adapters.machine import new_id
from node.core.ledger import Balance, chain_account
from node.core.mirror import Cursor, Finality, Watch
from node.core.paging import ListQuery
from node.core.parties import Principal
from node.core.ports import UnitOfWork
from node.core.ports.reconciliation import Break, Run
from node.core.ports.transfers import Transfer
from node.core.settlement import BatchRules
from node.core.submission import FeeRules
from node.core.transfers import State
from node.core.units import Address
from node.services.mirroring import MirrorService
from node.services.posting import PostingService
from node.services.reconciling import ReconciliationService
from node.services.settlement import SettlementService
from node.services.settlement_parts import SettlementParts
from node.services.treasury import TreasuryService
from node.store.database import Database
from node.store.lane_lock import AdvisoryLaneLock
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG, CHAIN_ID, LedgerNode, target
from tests.onchain import LANE, LANE_KEY, OnChain, address_of
from tests.rig import DEV_ACCOUNTS, AnvilServer

DEPTH_BLOCKS = 2
BUY = 1_000_000
TREASURY = address_of(DEV_ACCOUNTS[2][0])


@dataclass
class MirroredNode:
    """A node whose settlement, mirror and reconciliation a test drives by hand."""

    database_url: str
    database: Database
    providers: Providers
    onchain: OnChain
    ledger: LedgerNode
    watch: Watch
    payer: Principal
    locks: list[AdvisoryLaneLock] = field(default_factory=list)

    @classmethod
    async def open(cls, database_url: str, anvil: AnvilServer) -> Self:
        """Everything deployed, final and mirrored; a payer with money."""
        onchain = OnChain.deploy(anvil)
        anvil.mine(DEPTH_BLOCKS)
        database = Database.at(database_url)
        watch = Watch(
            CHAIN_ID,
            onchain.contract,
            onchain.token,
            "USDC",
            "ETH",
            frozenset({onchain.contract, TREASURY, address_of(LANE)}),
        )
        ledger = LedgerNode(
            StoreUnits(database),
            target(contract=onchain.contract, holders=(onchain.contract, TREASURY)),
        )
        payer = await ledger.remitter(eur_minor=100_000_000)
        node = cls(
            database_url,
            database,
            Providers.at([anvil.rpc_url]),
            onchain,
            ledger,
            watch,
            payer,
        )
        assert await node.mirror().run_once() == 1
        return node

    async def close(self) -> None:
        """Let go of everything."""
        for lock in self.locks:
            await lock.release()
        await self.providers.close()
        await self.database.close()

    def mirror(
        self, finality: Finality | None = None, units: UnitOfWork | None = None
    ) -> MirrorService:
        """A mirror as a new process has it: nothing is remembered but the database."""
        return MirrorService(
            units=units or self.ledger.units,
            reader=EvmReader(self.providers, self.watch),
            watch=self.watch,
            finality=finality or Finality(DEPTH_BLOCKS),
            new_id=new_id,
        )

    def reconciliation(self, providers: Providers | None = None) -> ReconciliationService:
        """Reconciliation as a new process has it."""
        return ReconciliationService(
            units=self.ledger.units,
            reader=EvmReader(providers or self.providers, self.watch),
            watch=self.watch,
            posting=PostingService(self.ledger.units, CATALOG),
            new_id=new_id,
        )

    async def settlement(self) -> SettlementService:
        """A settlement worker as a new process has it; the one before it is gone."""
        for each in self.locks:
            await each.release()
        lock = AdvisoryLaneLock(self.database_url)
        self.locks.append(lock)
        return SettlementService(self._parts(LANE_KEY, lock))

    async def treasury(self) -> TreasuryService:
        """The treasury's worker."""
        lock = AdvisoryLaneLock(self.database_url)
        self.locks.append(lock)
        return TreasuryService(self._parts(DEV_ACCOUNTS[2][1], lock), "ETH")

    def _parts(self, key: str, lock: AdvisoryLaneLock) -> SettlementParts:
        chain = EvmChain(self.providers)
        return SettlementParts(
            units=self.ledger.units,
            chain=chain,
            contract=EvmSettlementContract(chain, self.onchain.contract, self.onchain.token),
            signer=KeystoreSigner.of_key(key),
            reader=Eip1559Reader(),
            lock=lock,
            new_id=new_id,
            failpoint=failpoint(None),
            chain_id=CHAIN_ID,
            owner="worker",
            block_s=1,
            batches=BatchRules(payments_max=256, wait_ms=0),
            fees=FeeRules(),
        )

    def mine(self, blocks: int = 1) -> None:
        """Mine so many blocks."""
        self.onchain.anvil.mine(blocks)

    async def follow(self) -> int:
        """Pass until the mirror has nothing to do, each pass by a mirror that was just started."""
        moved = 0
        for _ in range(50):
            step = await self.mirror().run_once()
            moved += step
            if step == 0:
                return moved
        raise AssertionError("the mirror never comes to rest")

    async def funded(self, count: int) -> Sequence[Transfer]:
        """So many accepted transfers."""
        return await self.ledger.funded(self.payer, count, sell_minor=100, buy_minor=BUY)

    async def sent(self, count: int) -> Sequence[Transfer]:
        """So many transfers in a signed batch that waits for a block."""
        transfers = await self.funded(count)
        worker = await self.settlement()
        for _ in range(20):
            await worker.run_once()
            if await self.states(transfers) == {State.SUBMITTED} and self.pool():
                return transfers
        raise AssertionError(f"not sent: {await self.again(transfers)}")

    def pool(self) -> int:
        """Transactions that wait for a block."""
        return int(self.onchain.anvil.rpc("txpool_status")["pending"], 16)

    async def again(self, transfers: Sequence[Transfer]) -> list[Transfer]:
        """The transfers as they are now, in the order given."""
        async with self.ledger.units() as unit:
            rows = await unit.transfers.lock_many([each.id for each in transfers])
        found = {each.id: each for each in rows}
        return [found[each.id] for each in transfers]

    async def states(self, transfers: Sequence[Transfer]) -> set[State]:
        """Their states now."""
        return {each.state for each in await self.again(transfers)}

    async def timeline(self, transfer_id: UUID) -> list[str]:
        """Event types of one transfer, in order."""
        async with self.ledger.units() as unit:
            return [each.type for each in await unit.events.of_object(transfer_id)]

    async def cursor(self) -> Cursor:
        """Where the mirror stands."""
        found = await self.mirror().cursor()
        assert found is not None
        return found

    async def balance(self, path: str) -> Balance:
        """One account."""
        async with self.ledger.units() as unit:
            return (await unit.ledger.balances([path]))[path]

    async def booked(self, address: Address, asset: str = "USDC") -> int:
        """What the ledger says an address holds."""
        return (await self.balance(chain_account(CHAIN_ID, address, asset))).posted

    async def open_breaks(self) -> list[Break]:
        """Breaks that nobody has closed."""
        query = ListQuery(limit=200, filters={"status": "open"}, scope="breaks")
        return list((await self.reconciliation().breaks(query)).items)

    async def reconcile(self) -> Run:
        """A full run."""
        return await self.reconciliation().run("operator:test")

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """Rows of any query."""
        async with self.database.transaction() as connection:
            return list(await connection.raw.fetch(query, *arguments))

    async def execute(self, statement: str, *arguments: object) -> None:
        """Any statement, as the owner of the tables could run it."""
        owner = await asyncpg.connect(self.database_url)
        try:
            await owner.execute(statement, *arguments)
        finally:
            await owner.close()


def failing(run: Run) -> list[str]:
    """Names of the checks that do not hold."""
    return [check.name for check in run.checks if not check.ok]


class Lying(Providers):
    """A provider whose answers to some calls are changed."""

    def __init__(self, honest: Providers, lie: Callable[[Call, Any], Any]) -> None:
        super().__init__(honest.all)
        self._lie = lie

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Results of many calls, some of them lies."""
        answers = await super().batch(calls)
        return [self._lie(each, answer) for each, answer in zip(calls, answers, strict=True)]
