"""A whole node under test over a real database and a real chain that mines when it is told to.

Settlement sends, the mirror follows, reconciliation compares; a test decides when each of them
runs and when a block is mined. Not here: HTTP, and processes of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import UUID

import asyncpg

from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.errors import RpcError
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Call, Providers
from adapters.evm.signed import Eip1559Reader
from adapters.evm.signer import KeystoreSigner
from adapters.failpoint import failpoint
from adapters.machine import new_id
from node.core.adoption.facts import OwnAccounts
from node.core.consent import TwoPersons
from node.core.ledger import Balance, chain_account
from node.core.mirror import Cursor, Finality, Watch
from node.core.paging import ListQuery
from node.core.parties import Principal
from node.core.ports import UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.reconciliation import Run
from node.core.ports.transfers import Transfer
from node.core.settlement import BatchRules
from node.core.signing import KeyRole
from node.core.submission import FeeRules
from node.core.transfers import State
from node.core.treasury import NodeAddresses
from node.core.units import Address
from node.services.ledger.posting import PostingService
from node.services.mirror.mirroring import MirrorService
from node.services.reconciliation.breaks import BreakService
from node.services.reconciliation.reconciling import ReconciliationService
from node.services.settlement.adoption import AdoptionService
from node.services.settlement.movement_writing import MovementWriter
from node.services.settlement.parts import SettlementParts
from node.services.settlement.recollection import Recollection
from node.services.settlement.settling import SettlementService
from node.services.settlement.treasury import TreasuryService
from node.services.transfers.transfers import TransferService
from node.store.database import Database
from node.store.lane_lock import AdvisoryLaneLock
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG, CHAIN_ID, LedgerNode, target
from tests.onchain import ADMIN, LANE, LANE_KEY, OnChain, address_of
from tests.rig import DEV_ACCOUNTS, AnvilServer

DEPTH_BLOCKS = 2
BUY = 1_000_000
TREASURY, TREASURY_KEY = address_of(DEV_ACCOUNTS[2][0]), DEV_ACCOUNTS[2][1]
# Anvil's eighth and ninth development accounts, known to everybody.
PAUSER_TEXT, PAUSER_KEY = (
    "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
)
RESCUER_TEXT, RESCUER_KEY = (
    "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
)
PAUSER, RESCUER = address_of(PAUSER_TEXT), address_of(RESCUER_TEXT)


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
    lanes: Mapping[Address, KeyRole] = field(default_factory=dict)
    locks: list[AdvisoryLaneLock] = field(default_factory=list)

    @classmethod
    async def open(
        cls,
        database_url: str,
        anvil: AnvilServer,
        *,
        pauser: str = ADMIN,
        rescuer: str = ADMIN,
        lanes: Sequence[str] = (LANE,),
        **deploy: Any,
    ) -> Self:
        """Everything deployed, final and mirrored; a payer with money.

        The node's keys of pauser and rescuer have their roles only where these arguments say so.
        """
        onchain = OnChain.deploy(
            anvil, pauser=pauser, rescuer=rescuer, operators=(*lanes, ADMIN), **deploy
        )
        anvil.mine(DEPTH_BLOCKS)
        database = Database.at(database_url)
        watch = Watch(
            CHAIN_ID,
            onchain.contract,
            onchain.token,
            "USDC",
            "ETH",
            frozenset({onchain.contract, TREASURY, PAUSER, RESCUER, *map(address_of, lanes)}),
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
        self,
        finality: Finality | None = None,
        units: UnitOfWork | None = None,
        at: Callable[[str], None] | None = None,
    ) -> MirrorService:
        """A mirror as a new process has it: nothing is remembered but the database."""
        return MirrorService(
            units=units or self.ledger.units,
            reader=EvmReader(self.providers, self.watch),
            watch=self.watch,
            lanes=self.lanes,
            finality=finality or Finality(DEPTH_BLOCKS),
            new_id=new_id,
            failpoint=at or failpoint(None),
        )

    def reconciliation(self, providers: Providers | None = None) -> ReconciliationService:
        """Reconciliation as a new process has it."""
        return ReconciliationService(
            units=self.ledger.units,
            reader=EvmReader(providers or self.providers, self.watch),
            watch=self.watch,
            new_id=new_id,
        )

    def breaks(self, *, alone: int = 1000) -> BreakService:
        """Who closes breaks; one operator alone moves up to so many whole units."""
        return BreakService(
            units=self.ledger.units,
            watch=self.watch,
            posting=PostingService(self.ledger.units, CATALOG),
            two_persons=TwoPersons(alone, lambda code: CATALOG.ledger_asset(code).digits),
        )

    def adoption(self, at: Callable[[str], None] | None = None) -> AdoptionService:
        """Adoption as a new process has it."""
        watch = self.watch
        return AdoptionService(
            units=self.ledger.units,
            reader=EvmReader(self.providers, watch),
            chain_id=CHAIN_ID,
            own=OwnAccounts(
                watch.contract,
                watch.token,
                "USDC",
                "ETH",
                watch.addresses,
                TREASURY,
                watch.deposits,
            ),
            finality=Finality(DEPTH_BLOCKS),
            new_id=new_id,
            failpoint=at or failpoint(None),
        )

    def recollection(self) -> Recollection:
        """What asks the chain before money goes back."""
        chain = EvmChain(self.providers)
        contract = EvmSettlementContract(chain, self.onchain.contract, self.onchain.token)
        reader = EvmReader(self.providers, self.watch)
        return Recollection(self.ledger.units, CHAIN_ID, chain, reader, contract)

    def transfers(self) -> TransferService:
        """Transfers as `serve` has them: it asks the chain before money goes back."""
        ledger = self.ledger
        return TransferService(ledger.units, ledger.acceptance, self.recollection().check_unpaid)

    async def at(self, database_url: str) -> Self:
        """The same node over another database, which knows the same contracts."""
        database = Database.at(database_url)
        ledger = LedgerNode(StoreUnits(database), self.ledger.target)
        return replace(
            self,
            database_url=database_url,
            database=database,
            providers=Providers.at([self.onchain.anvil.rpc_url]),
            ledger=ledger,
            locks=[],
        )

    async def settlement(self) -> SettlementService:
        """A settlement worker as a new process has it; the one before it is gone."""
        for each in self.locks:
            await each.release()
        lock = AdvisoryLaneLock(self.database_url)
        self.locks.append(lock)
        parts = self._parts(LANE_KEY, lock)
        return SettlementService(parts, MovementWriter(parts, self.own))

    @property
    def own(self) -> NodeAddresses:
        """Between which addresses the node moves its own money."""
        return NodeAddresses(
            self.onchain.contract,
            "USDC",
            "ETH",
            [address_of(LANE)],
            TREASURY,
            PAUSER,
            RESCUER,
            deposits=self.watch.deposits,
        )

    async def treasury(self, at: Callable[[str], None] | None = None) -> TreasuryService:
        """The treasury's worker."""
        return self._key_job(TREASURY_KEY, KeyRole.TREASURY, at)

    async def pauser(self, at: Callable[[str], None] | None = None) -> TreasuryService:
        """The pauser's worker."""
        return self._key_job(PAUSER_KEY, KeyRole.PAUSER, at)

    async def rescuer(self, at: Callable[[str], None] | None = None) -> TreasuryService:
        """The rescuer's worker."""
        return self._key_job(RESCUER_KEY, KeyRole.RESCUER, at)

    def _key_job(
        self, key: str, role: KeyRole, at: Callable[[str], None] | None
    ) -> TreasuryService:
        return TreasuryService(self.key_parts(key, role, at), self.own)

    def key_parts(
        self, key: str, role: KeyRole, at: Callable[[str], None] | None = None
    ) -> SettlementParts:
        """What the worker of an own key is made of."""
        lock = AdvisoryLaneLock(self.database_url)
        self.locks.append(lock)
        return self._parts(key, lock, role, at)

    def _parts(
        self,
        key: str,
        lock: AdvisoryLaneLock,
        role: KeyRole = KeyRole.SETTLE,
        at: Callable[[str], None] | None = None,
    ) -> SettlementParts:
        chain = EvmChain(self.providers)
        return SettlementParts(
            units=self.ledger.units,
            chain=chain,
            contract=EvmSettlementContract(chain, self.onchain.contract, self.onchain.token),
            signer=KeystoreSigner.of_key(key),
            reader=Eip1559Reader(),
            lock=lock,
            new_id=new_id,
            failpoint=at or failpoint(None),
            chain_id=CHAIN_ID,
            owner="worker",
            block_s=1,
            batches=BatchRules(payments_max=256, wait_ms=0),
            fees=FeeRules(),
            role=role,
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
        return list((await self.breaks().page(query)).items)

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

    async def batch_of_each(self, calls: Sequence[Call]) -> Mapping[str, list[Any]]:
        """There is no other provider who would tell the truth."""
        answers = await self.batch(calls)
        return {} if any(isinstance(each, RpcError) for each in answers) else {"liar": answers}
