"""A node under test whose contract gave the roles of pauser and rescuer to keys of the node."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from adapters.evm.addresses import Eip55
from adapters.evm.client import EvmChain
from adapters.machine import new_id
from node.core.ids import Prefix, decode_id, encode_id
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.movements import Movement
from node.core.settlement import PauseReason
from node.core.units import Address, Asset, Money
from node.services.settlement.operations import SettlementOperations
from node.services.settlement.treasury import TreasuryService
from node.services.settlement.treasury_operations import (
    MovementRequest,
    RuleRequest,
    TreasuryOperations,
)
from tests.builders import CHAIN_ID, render_error
from tests.mirrored import DEPTH_BLOCKS, PAUSER_TEXT, RESCUER_TEXT, MirroredNode
from tests.onchain import ADMIN, call
from tests.rig import AnvilServer

OLGA = Principal(Role.OPERATOR, "olga")
USDC = Asset("USDC", 6)
ETH = Asset("ETH", 9)
MakeAnvil = Callable[..., AnvilServer]
StartJob = Callable[[], Awaitable[TreasuryService]]
_FEE_ABOVE_ALL = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11)}


@dataclass
class Keyed:
    """The node, and an operator's desk."""

    node: MirroredNode
    requests: TreasuryOperations
    operations: SettlementOperations

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database_url: str, anvil: AnvilServer, *, pauser: str = PAUSER_TEXT
    ) -> AsyncIterator[Self]:
        """Everything deployed, final and mirrored."""
        node = await MirroredNode.open(database_url, anvil, pauser=pauser, rescuer=RESCUER_TEXT)
        units, chain = node.ledger.units, EvmChain(node.providers)
        try:
            yield cls(
                node,
                TreasuryOperations(units, node.own, Eip55(), new_id, chain),
                SettlementOperations(units, CHAIN_ID, has_pauser=True),
            )
        finally:
            await node.close()

    async def ask(
        self,
        kind: str,
        source: Address,
        to: Address,
        amount: Money,
        *,
        claim: Claim | None = None,
    ) -> UUID:
        """Ask for a movement; its id."""
        answer = await self.requests.request_movement(
            MovementRequest(OLGA, kind, "0x" + source.hex(), "0x" + to.hex(), amount),
            claim,
            lambda each: Answer(201, encode_id(Prefix.MOVEMENT, each.id).encode()),
            lambda error: Answer(422, error.code.encode()),
        )
        return decode_id(Prefix.MOVEMENT, answer.body.decode())

    async def rule(
        self,
        kind: str,
        asset: Asset,
        *,
        mark: int,
        fill_to: int,
        daily_limit: int,
        to: Address | None = None,
    ) -> str:
        """Make a rule; its id."""
        answer = await self.requests.add_rule(
            RuleRequest(
                principal=OLGA,
                kind=kind,
                to_address=None if to is None else "0x" + to.hex(),
                mark=Money(mark, asset),
                fill_to=Money(fill_to, asset),
                daily_limit=Money(daily_limit, asset),
            ),
            None,
            lambda each: Answer(201, encode_id(Prefix.RULE, each.rule.id).encode()),
            render_error,
        )
        return answer.body.decode()

    async def limit_left(self, rule_id: str) -> int:
        """What a rule may still move."""
        return (await self.requests.rule(rule_id)).limit_left

    async def movement(self, movement_id: UUID) -> Movement:
        """One movement, as it is now."""
        return await self.requests.movement(encode_id(Prefix.MOVEMENT, movement_id))

    async def movements(self) -> Sequence[Movement]:
        """Every movement, oldest first."""
        rows = await self.node.rows("SELECT id FROM movement ORDER BY created_at, id")
        return [await self.movement(row["id"]) for row in rows]

    async def pause(self, *, hard: bool = True, note: str | None = None) -> None:
        """Pause as an operator does."""
        await self.operations.pause(
            OLGA, hard=hard, note=note, claim=None, render=no_answer, render_error=render_error
        )

    async def resume(self) -> None:
        """End the operator's pause."""
        await self.operations.resume(
            OLGA, PauseReason.OPERATOR, claim=None, render=no_answer, render_error=render_error
        )

    async def work(self, job: TreasuryService) -> None:
        """Pass until the job has nothing more to do."""
        for _ in range(20):
            if await job.run_once() == 0:
                return
        raise AssertionError("the job never comes to rest")

    async def settle(self) -> None:
        """Mine until what is under way is final, and mirror it."""
        self.node.mine(1 + DEPTH_BLOCKS)
        await self.node.follow()

    async def carry_out(self, job: TreasuryService) -> None:
        """Work, mine, mirror."""
        await self.work(job)
        await self.settle()

    async def work_anew(self, start: StartJob) -> None:
        """Work by a job that starts now; whoever worked before is gone."""
        for lock in self.node.locks:
            await lock.release()
        await self.work(await start())

    async def carry_out_anew(self, start: StartJob) -> None:
        """The same, mined and mirrored."""
        await self.work_anew(start)
        await self.settle()

    async def send_again(self) -> None:
        """The one attempt there is, back in the pool after a reorg."""
        (attempt,) = await self.node.rows("SELECT raw FROM attempt")
        if not self.node.pool():
            self.node.onchain.anvil.rpc("eth_sendRawTransaction", "0x" + attempt["raw"].hex())

    def is_paused(self) -> bool:
        """Whether the contract is paused, at the newest block."""
        onchain = self.node.onchain
        target = {"to": "0x" + onchain.contract.hex(), "data": "0x5c975abb"}
        return int(onchain.anvil.rpc("eth_call", target, "latest"), 16) == 1

    def mint(self, to: Address, units: int) -> None:
        """Tokens out of nowhere: a deposit that nobody expects."""
        onchain = self.node.onchain
        onchain.send(onchain.token, "mint(address,uint256)", "0x" + to.hex(), units)

    def by_admin(self, to: Address, signature: str) -> None:
        """A call that the next block has before everything else."""
        self.node.onchain.anvil.rpc(
            "eth_sendTransaction",
            {
                "from": ADMIN,
                "to": "0x" + to.hex(),
                "data": call(signature),
                "gas": hex(100_000),
                **_FEE_ABOVE_ALL,
            },
        )

    async def slots(self, purpose: str) -> Sequence[Any]:
        """Slots of a purpose, by lane and nonce."""
        return await self.node.rows(
            "SELECT s.*, l.role FROM slot s JOIN lane l ON l.id = s.lane_id WHERE purpose = $1"
            " ORDER BY lane_id, nonce",
            purpose,
        )


def no_answer(_: object) -> Answer:
    """For whoever asks and does not look at the answer."""
    return Answer(200, b"")
