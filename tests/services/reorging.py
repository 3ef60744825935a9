"""Two operators before a chain that replaced final blocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from adapters.failpoint import failpoint
from adapters.machine import new_id
from node.core.errors import NodeError
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer
from node.core.ports.reorgs import Reorg
from node.core.ports.transfers import Transfer
from node.core.settlement import PauseReason
from node.core.transfers import State
from node.core.units import BlockHash
from node.services.ledger.verifying import VerifyService
from node.services.mirror.reorgs import ReorgService
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing

OLGA, OTTO = Principal(Role.OPERATOR, "olga"), Principal(Role.OPERATOR, "otto")


@dataclass
class Desk:
    """What operators do about a reorg past finality, and what must hold after it."""

    node: MirroredNode

    def service(
        self, at: Callable[[str], None] | None = None, providers: Providers | None = None
    ) -> ReorgService:
        """As `serve` has it."""
        node = self.node
        chain = providers or node.providers
        return ReorgService(
            units=node.ledger.units,
            reader=EvmReader(chain, node.watch),
            watch=node.watch,
            lanes=node.lanes,
            providers=chain.health,
            new_id=new_id,
            failpoint=at or failpoint(None),
        )

    async def finalize(self, blocks: int = 1) -> None:
        """What is in the pool is mined, and becomes final."""
        self.node.mine(blocks + DEPTH_BLOCKS)
        await self.node.follow()

    async def reorg(self, depth: int, transactions: Sequence[Any] = ()) -> None:
        """The newest blocks are replaced; the mirror sees it and stands still.

        Args:
            depth: How many; the head keeps its number.
            transactions: Raw transactions, or calls, with the place of their new block from 0.
        """
        self.node.onchain.anvil.rpc("anvil_reorg", depth, list(transactions))
        await self.node.mirror().run_once()
        assert (await self.node.cursor()).halted_reason == "deep_reorg"

    def hash_at(self, number: int) -> BlockHash:
        """Of the chain's block."""
        block = self.node.onchain.anvil.rpc("eth_getBlockByNumber", hex(number), False)
        return BlockHash(bytes.fromhex(block["hash"][2:]))

    async def chains_own(self) -> BlockHash:
        """The chain's block of the number that was final."""
        return self.hash_at((await self.node.cursor()).final.number)

    async def propose(
        self, by: Principal = OLGA, block_hash: BlockHash | None = None, **service: Any
    ) -> Reorg:
        """One operator proposes."""
        kept: list[Reorg] = []
        await self.service(**service).propose(
            by,
            block_hash or await self.chains_own(),
            reason="the chain says so",
            claim=None,
            render=lambda each: _kept(kept, each),
            render_error=_refused,
        )
        return kept[0]

    async def accept(self, reorg: Reorg, by: Principal = OTTO, **service: Any) -> Reorg:
        """Another accepts."""
        kept: list[Reorg] = []
        await self.service(**service).accept(
            by,
            encode_id(Prefix.REORG, reorg.id),
            claim=None,
            render=lambda each: _kept(kept, each),
            render_error=_refused,
        )
        return kept[0]

    async def both(self) -> Reorg:
        """One proposes and another accepts; nobody resumes yet."""
        return await self.accept(await self.propose())

    async def resume(self) -> None:
        """Let settlement go on."""
        async with self.node.ledger.units() as unit:
            assert await unit.settlement.resume(PauseReason.DEEP_REORG, OLGA.key) == 1

    async def until(self, transfers: Sequence[Transfer], state: State) -> None:
        """Work, mine and follow until every transfer is there."""
        for _ in range(40):
            worker = await self.node.settlement()
            await worker.run_once()
            self.node.mine()
            await self.node.follow()
            if await self.node.states(transfers) == {state}:
                return
        raise AssertionError(f"not {state}: {await self.node.again(transfers)}")

    async def assert_proven(self) -> None:
        """The books derive from their records, at any moment."""
        found = await VerifyService(self.node.ledger.units).verify()
        assert found.differences == []

    async def assert_sound(self) -> None:
        """The books are proven, and a full reconciliation finds nothing."""
        await self.assert_proven()
        run = await self.node.reconcile()
        assert failing(run) == [], [each for each in run.checks if not each.ok]
        assert (run.status, run.breaks_open) == ("completed", 0)

    async def wind(self, transfers: Sequence[Transfer]) -> list[list[str]]:
        """The timelines, without the word that all share."""
        return [
            [each.removeprefix("transfer.") for each in await self.node.timeline(one.id)]
            for one in transfers
        ]


def _kept(kept: list[Reorg], reorg: Reorg) -> Answer:
    kept.append(reorg)
    return Answer(200, b"{}")


def _refused(error: NodeError) -> Answer:
    raise error
