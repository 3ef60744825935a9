"""A node over a model chain whose blocks a test writes one by one, with honest providers at first.

The chain and its providers are those of the seeded histories (`tests/histories`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - it decides nothing here
from typing import Any, Self

from adapters.evm.reader import EvmReader
from adapters.evm.rpc import ProviderRules, Providers
from adapters.machine import new_id
from node.core.deposits import NewAddress, Owner
from node.core.errors import ChainUnavailable
from node.core.mirror import Cursor, Finality, Watch
from node.core.parties import Principal
from node.core.signing import KeyRole
from node.core.units import Address
from node.services.mirror.mirroring import MirrorService
from node.services.reconciliation.reconciling import ReconciliationService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, LedgerNode, target
from tests.histories.chain import ModelChain, Record, Tx, World
from tests.histories.parties import (
    CONTRACT,
    DEPTH_BLOCKS,
    FACTORY,
    FLOAT,
    LANE,
    OWN,
    STRANGERS,
    TOKEN,
    TREASURY,
)
from tests.histories.provider import ModelRpc
from tests.histories.signing import signed_of
from tests.written import write_batch

STRANGER = STRANGERS[0]
_WEI = 10**18

Answering = Callable[[str, Sequence[Any], Any], Any]
"""Method, parameters and the true answer -> the answer."""


@dataclass
class Scripted:
    """The node, and what it reads."""

    chain: ModelChain
    rpcs: list[ModelRpc]
    database: Database
    node: LedgerNode
    payer: Principal
    watch: Watch
    now_s: int = 0
    _addresses: int = 0
    _sent: int = 0
    _reader: EvmReader = field(init=False)
    mirror: MirrorService = field(init=False)

    def __post_init__(self) -> None:
        providers = Providers(
            self.rpcs,
            chain_id=CHAIN_ID,
            now_s=lambda: self.now_s,
            rules=ProviderRules(heads_every_s=1),
        )
        self._reader = EvmReader(providers, self.watch)
        self.mirror = self.mirror_with(Finality(DEPTH_BLOCKS))

    @classmethod
    async def of(cls, database_url: str, providers: int) -> Self:
        """A chain of one block that is not mirrored yet."""
        world = World(
            tokens={CONTRACT: FLOAT, TREASURY: FLOAT // 7, **dict.fromkeys(STRANGERS, FLOAT)},
            wei={CONTRACT: 0, TREASURY: _WEI, LANE: _WEI},
        )
        chain = ModelChain(world)
        database = Database.at(database_url)
        node = LedgerNode(StoreUnits(database), target(contract=CONTRACT, holders=OWN))
        payer = await node.remitter(eur_minor=100_000_000)
        watch = Watch(CHAIN_ID, CONTRACT, TOKEN, "USDC", "ETH", frozenset(OWN), FACTORY)
        rpcs = [ModelRpc(f"p{n}", chain, Random(n), CHAIN_ID) for n in range(providers)]
        return cls(chain, rpcs, database, node, payer, watch)

    def mirror_with(self, finality: Finality) -> MirrorService:
        """A mirror of a new process."""
        return MirrorService(
            units=self.node.units,
            reader=self._reader,
            watch=self.watch,
            lanes={LANE: KeyRole.SETTLE},
            finality=finality,
            new_id=new_id,
        )

    def reconciliation(self) -> ReconciliationService:
        """Reconciliation of the same process."""
        return ReconciliationService(
            units=self.node.units, reader=self._reader, watch=self.watch, new_id=new_id
        )

    async def begin(self) -> None:
        """The mirror begins at a final block that is as new as it can be."""
        self.empty(DEPTH_BLOCKS + 1)
        assert await self.mirror.run_once() == 1

    async def follow(self) -> int:
        """One pass; a provider that is away or contradicts itself moves nothing."""
        self.now_s += 1
        try:
            return await self.mirror.run_once()
        except ChainUnavailable:
            return 0

    async def come_to_rest(self) -> None:
        """Pass until there is nothing to do; a pass that fails is made again, a few times."""
        quiet = 0
        while quiet < 6:
            quiet = 0 if await self.follow() else quiet + 1

    async def final(self) -> None:
        """All that was mined up to now becomes final and is booked."""
        self.empty(DEPTH_BLOCKS)
        await self.come_to_rest()

    async def cursor(self) -> Cursor:
        """How far the mirror has come."""
        found = await self.mirror.cursor()
        assert found is not None
        return found

    async def close(self) -> None:
        """Let go of the database."""
        await self.database.close()

    # ---------------------------------------------------------------------------- on the chain

    def empty(self, blocks: int) -> None:
        """So many blocks with nothing in them."""
        for _ in range(blocks):
            self.chain.extend(())

    def moved(self, *moves: tuple[bytes, bytes, int]) -> Tx:
        """A stranger's transaction with these transfers of the token."""
        self._sent += 1
        return Tx(self._sent.to_bytes(32), STRANGER, moves=moves)

    async def batch(self) -> Tx:
        """A payment in a batch that is written, and waits for a block."""
        [transfer] = await self.node.funded(self.payer, 1, sell_minor=100, buy_minor=1_000_000)
        paid = Record(transfer.payment_number, transfer.beneficiary_address, transfer.amounts.buy)
        tx = Tx(signed_of(0).hash, LANE, nonce=0, pays=[paid])
        await write_batch(self.database, self.node.units, LANE, 0, tx.hash, [transfer])
        return tx

    async def address(self, factory: Address = FACTORY) -> Address:
        """A new deposit address of the payer."""
        self._addresses += 1
        address = Address(b"\xd0" + bytes([self._addresses]) * 19)
        async with self.node.units() as unit:
            await unit.deposits.add_address(
                NewAddress(
                    *(CHAIN_ID, address, factory, bytes([self._addresses]) * 32),
                    Owner(customer_id=self.payer.customer_id),
                    is_standing=False,
                )
            )
        return address

    def answering(self, rpc: ModelRpc, change: Answering) -> Callable[[], None]:
        """Let a provider answer otherwise; what is returned ends that."""
        honest = rpc._answer
        rpc._answer = lambda method, params: change(method, params, honest(method, params))  # type: ignore[method-assign]

        def end() -> None:
            rpc._answer = honest  # type: ignore[method-assign]

        return end

    # ---------------------------------------------------------------------------- in the books

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """Rows of the node's database."""
        async with self.database.transaction() as connection:
            return list(await connection.raw.fetch(query, *arguments))

    async def booked(self, address: bytes, asset: str = "USDC") -> int:
        """What the ledger has at an address of the chain."""
        return await self.debited(f"chain/{CHAIN_ID}/0x{address.hex()}/{asset}")

    async def debited(self, path: str) -> int:
        """Debits less credits of an account."""
        rows = await self.rows(
            "SELECT debits_posted - credits_posted AS n FROM account WHERE path = $1", path
        )
        return sum(int(row["n"]) for row in rows)

    async def open_codes(self) -> list[str]:
        """Codes of open breaks."""
        rows = await self.rows(
            "SELECT code FROM reconciliation_break WHERE resolved_at IS NULL ORDER BY code"
        )
        return [row["code"] for row in rows]
