"""Seeded histories of faults over settlement and mirror: whatever happens, each is paid once.

A worker that dies at any window, lost answers, dropped transactions, reorgs before finality, jumps
of the base fee, a token that is paused for a while and an operator who pauses settlement, in an
order a seed decides.
"""

import random  # noqa: TID251 - seeded by each test
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest

from adapters.evm.client import EvmChain
from node.core.errors import Unavailable
from node.core.ports.chain import SendAnswer
from node.core.ports.transfers import Transfer
from node.core.settlement import PauseReason
from node.core.submission import FeeRules
from node.core.transfers import Happening, State
from node.services import transfer_moves
from node.services.settlement import SettlementService
from node.store.lane_lock import AdvisoryLaneLock
from tests.mirrored import MirroredNode
from tests.onchain import LANE_KEY, call
from tests.rig import AnvilServer
from tests.services.settling import Killed, killer

SEEDS = range(6)
STEPS = 120
DRAIN_MAX = 80
WINDOWS = (
    "after_gate",
    "after_write",
    "after_sign",
    "after_store",
    "after_send",
    "after_bump_sign",
    "after_bump_store",
    "never",
)


class Unreliable(EvmChain):
    """Sends that arrive or not, and answers that arrive or not, as the seed has it."""

    def __init__(self, node: MirroredNode, chance: random.Random) -> None:
        super().__init__(node.providers)
        self._chance = chance

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        answers = []
        for each in raw:
            lost = [SendAnswer("p", None, None, "ReadTimeout", answered=False)]
            arrives, is_heard = self._chance.random() < 0.7, self._chance.random() < 0.7
            answer = (await super().send_raw([each]))[0] if arrives else lost
            answers.append(answer if is_heard else lost)
        return answers


class Campaign:
    """One history."""

    def __init__(self, node: MirroredNode, seed: int) -> None:
        self.node = node
        self.chance = random.Random(seed)
        self.transfers: list[Transfer] = []
        self.worker: SettlementService | None = None

    async def new_worker(self, window: str, *, is_reliable: bool = False) -> SettlementService:
        """A worker in a new process, after the end of the one before."""
        for each in self.node.locks:
            await each.release()
        lock = AdvisoryLaneLock(self.node.database_url)
        self.node.locks.append(lock)
        parts = self.node._parts(LANE_KEY, lock)
        return SettlementService(
            replace(
                parts,
                chain=parts.chain if is_reliable else Unreliable(self.node, self.chance),
                failpoint=killer(window),
                fees=FeeRules(resend_after_s=0, bump_after_blocks=0),
            )
        )

    async def work(self) -> None:
        """A pass of a worker, which may be its last."""
        if self.worker is None:
            self.worker = await self.new_worker(self.chance.choice(WINDOWS))
        try:
            await self.worker.run_once()
        except Killed:
            self.worker = None

    async def step(self) -> None:
        onchain, anvil = self.node.onchain, self.node.onchain.anvil
        match self.chance.choices(
            ("fund", "work", "mine", "follow", "reorg", "drop", "dear", "halt", "pause"),
            (2, 9, 5, 5, 2, 1, 1, 2, 1),
        )[0]:
            case "fund":
                self.transfers += await self.node.funded(self.chance.randint(1, 4))
            case "work":
                await self.work()
            case "mine":
                self.node.mine()
            case "follow":
                await self.follow()
            case "reorg":
                anvil.rpc("anvil_reorg", 1, [])
            case "drop":
                anvil.rpc("anvil_dropAllTransactions")
            case "dear":
                base_fee_wei = self.chance.randint(1, 20) * 10**9
                anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
            case "halt":
                await self.halt_or_resume()
            case _:
                onchain.send(onchain.token, "unpause()" if self.is_paused() else "pause()")

    async def halt_or_resume(self) -> None:
        """An operator pauses settlement, or ends the pause."""
        async with self.node.ledger.units() as unit:
            if await unit.settlement.resume(None, "operator:olga") == 0:
                await unit.settlement.pause(
                    PauseReason.OPERATOR, "operator:olga", hard=False, note=None
                )

    def is_paused(self) -> bool:
        """Whether the token is, on the chain as it is now: a reorg may have undone a pause."""
        onchain = self.node.onchain
        question = {"to": "0x" + onchain.token.hex(), "data": call("paused()")}
        return int(onchain.anvil.rpc("eth_call", question, "latest"), 16) == 1

    async def follow(self) -> None:
        try:
            await self.node.follow()
        except Unavailable:  # the chain moved while it was read; the next pass sees the new one
            return

    async def release_held(self) -> None:
        """What an operator does with transfers whose batches a pause made fail three times."""
        async with self.node.ledger.units() as unit:
            found = await unit.transfers.lock_many([each.id for each in self.transfers])
            held = [each for each in found if each.state is State.ON_HOLD]
            events = await transfer_moves.apply(
                unit, held, Happening.RELEASED, changes=lambda _: {"batches_failed": 0}
            )
            await unit.events.append(events)

    async def drain(self) -> None:
        """No more faults: everything that was accepted comes to its end."""
        onchain = self.node.onchain
        if self.is_paused():
            onchain.send(onchain.token, "unpause()")
        async with self.node.ledger.units() as unit:
            await unit.settlement.resume(None, "operator:olga")
        worker = await self.new_worker("never", is_reliable=True)
        for _ in range(DRAIN_MAX):
            await worker.run_once()
            self.node.mine()
            await self.follow()
            await self.release_held()
            if await self.node.states(self.transfers) == {State.SETTLED}:
                return
        pytest.fail(f"not settled: {await self.node.again(self.transfers)}")


@pytest.fixture
async def mirrored(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[MirroredNode]:
    node = await MirroredNode.open(database_url, start_anvil(automine=False))
    yield node
    await node.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_history_of_faults_ends_with_each_transfer_paid_once(
    mirrored: MirroredNode, seed: int
) -> None:
    campaign = Campaign(mirrored, seed)
    campaign.transfers += await mirrored.funded(3)
    for _ in range(STEPS):
        await campaign.step()
    await campaign.drain()
    wanted = sorted(
        ("0x" + each.beneficiary_address.hex(), each.amounts.buy) for each in campaign.transfers
    )
    assert sorted(mirrored.onchain.payouts()) == wanted
    async with mirrored.database.transaction() as connection:
        nonces = await connection.raw.fetch("SELECT nonce FROM slot ORDER BY nonce")
    assert [each["nonce"] for each in nonces] == list(range(mirrored.onchain.nonce()))
