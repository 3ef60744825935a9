"""Health cannot lie: what should move and stands still is not ready, whatever it answers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.rpc import Call
from node.api.mirror_metrics import MirrorSeries
from node.core.errors import ChainUnavailable
from node.core.mirror import Finality
from node.core.ports.chain import BlockRef
from node.services.mirror.head_watch import HeadWatch
from node.services.mirror.health import HealthService, Readiness
from tests.builders import CHAIN_ID
from tests.mirrored import DEPTH_BLOCKS, Lying, MirroredNode
from tests.onchain import LANE
from tests.services.adopting import adopt, by_a_stranger, paid
from tests.services.lying import Liars, frozen
from tests.services.reorging import Desk as Operators

BLOCK_MS = 60_000


@dataclass
class SetClock:
    """A clock that a test moves."""

    moment: datetime = field(default_factory=lambda: datetime.now(UTC))  # noqa: TID251

    def now(self) -> datetime:
        """Where the test has put it."""
        return self.moment

    def later(self, blocks: float) -> None:
        """So many block times pass."""
        self.moment += timedelta(milliseconds=int(blocks * BLOCK_MS))


@dataclass
class Desk:
    """Health of a node whose chain, mirror and reconciliation a test drives."""

    node: MirroredNode
    clock: SetClock = field(default_factory=SetClock)
    finality: Finality = Finality(DEPTH_BLOCKS)  # noqa: RUF009 - it never changes

    def __post_init__(self) -> None:
        self.watch = HeadWatch(
            self.node.ledger.units,
            EvmChain(self.node.providers),
            self.clock,
            chain_id=CHAIN_ID,
            block_ms=BLOCK_MS,
            finality=self.finality,
        )
        self.job = self.node.reconciliation()
        self.health = HealthService(
            self.node.ledger.units,
            self.watch,
            self.clock,
            self.node.providers,
            chain_id=CHAIN_ID,
            block_ms=BLOCK_MS,
        )

    async def step(self) -> None:
        """One block, followed and reconciled."""
        self.node.mine()
        await self.node.follow()
        await self.job.run_once()

    async def failing(self) -> list[str]:
        """Checks that do not hold now."""
        return failing(await self.health.ready())


def failing(ready: Readiness) -> list[str]:
    return [each.name for each in ready.checks if not each.ok]


@pytest.fixture
async def desk(node: MirroredNode) -> Desk:
    made = Desk(node)
    await made.step()
    await made.watch.look()
    return made


async def test_a_node_that_works_is_ready_and_says_how_far_it_is(desk: Desk) -> None:
    ready = await desk.health.ready()
    cursor = await desk.node.cursor()
    assert failing(ready) == []
    assert (ready.cursor_number, ready.final_number) == (cursor.head.number, cursor.final.number)
    assert ready.reconciled_number == cursor.final.number
    assert ready.head_number == cursor.head.number
    assert ready.behind_age == timedelta()
    assert ready.last_run_ms is not None


async def test_a_head_that_does_not_change_is_not_ready_after_two_block_times(desk: Desk) -> None:
    await desk.step()
    await desk.watch.look()
    desk.clock.later(1.9)
    assert await desk.failing() == []
    desk.clock.later(0.2)
    assert await desk.failing() == ["chain"]  # every provider answers, and tells the same block
    await desk.step()
    assert await desk.failing() == []


async def test_a_mirror_that_does_not_move_is_not_ready_after_two_block_times(desk: Desk) -> None:
    await desk.node.execute("UPDATE chain_cursor SET moved_at = now() - interval '121 seconds'")
    assert await desk.failing() == ["mirror"]
    await desk.step()
    assert await desk.failing() == []


async def test_a_mirror_that_is_two_blocks_behind_is_not_ready(desk: Desk) -> None:
    desk.node.mine()
    assert await desk.failing() == []
    desk.node.mine()
    assert await desk.failing() == ["mirror"]


async def test_reconciliation_that_does_not_follow_finality_is_not_ready(desk: Desk) -> None:
    for _ in range(3):  # finality moves on meanwhile, so that it never looks old
        desk.node.mine()
        await desk.node.follow()
        await desk.watch.look()
        desk.clock.later(0.8)
    ready = await desk.health.ready()
    assert failing(ready) == ["reconciliation"]
    assert ready.behind_age == timedelta(milliseconds=int(2.4 * BLOCK_MS))
    await desk.job.run_once()
    assert await desk.failing() == []


async def test_finality_that_stands_behind_a_lane_to_be_adopted_is_not_ready(desk: Desk) -> None:
    node = desk.node
    await paid(node, 1)
    await desk.step()
    by_a_stranger(node, LANE)
    for _ in range(1 + DEPTH_BLOCKS):  # the block is not due before that
        assert "finality" not in await desk.failing()
        desk.clock.later(1)
        await desk.step()
    held = (await node.cursor()).final.number
    for _ in range(2):
        assert "finality" not in await desk.failing()
        desk.clock.later(1)
        await desk.step()  # the head moves on, and all else is well
    desk.clock.later(0.1)
    ready = await desk.health.ready()
    assert failing(ready) == ["finality"]
    assert ready.final_number == held
    assert ready.final_due_number == (await node.cursor()).head.number - DEPTH_BLOCKS
    assert ready.final_behind_age == timedelta(milliseconds=int(2.1 * BLOCK_MS))
    told = next(each.detail for each in ready.checks if each.name == "finality")
    assert "1 open B12" in told
    assert "corridor settlement adopt" in told
    series = {e.name: e.samples[0].value for e in MirrorSeries(ready).collect() if e.samples}
    assert series["corridor_finality_behind_seconds"] == 2.1 * BLOCK_MS // 1000
    assert series["corridor_final_due_block"] == ready.final_due_number
    await adopt(node.adoption())
    await desk.step()
    assert "finality" not in await desk.failing()


async def test_one_of_two_providers_that_is_far_behind_holds_finality_and_readiness_says_which(
    node: MirroredNode, with_providers: Liars
) -> None:
    standing = frozen(node, 1)
    many, (_, slow) = with_providers(node, first=None, slow=None)
    desk = Desk(many)
    await desk.step()
    await desk.watch.look()
    slow.lie = standing
    for _ in range(7):
        desk.clock.later(1)
        await desk.step()
        await desk.watch.look()
    ready = await desk.health.ready()
    assert failing(ready) == ["finality"]
    assert ready.final_number == int(standing(("eth_blockNumber", []), None), 16)
    for each in ready.checks:
        if each.name in ("chain", "finality"):
            assert "provider slow is 8 blocks behind the others" in each.detail


async def test_finality_that_waits_for_the_chain_is_ready_until_the_tag_stands_still_for_long(
    node: MirroredNode,
) -> None:
    tag_alone = Desk(node, finality=Finality(None))
    await tag_alone.step()
    await node.execute("UPDATE chain_cursor SET tag_number = final_number, tag_moved_at = now()")
    await tag_alone.watch.look()
    tag_alone.clock.later(3)
    await tag_alone.step()
    assert "finality" not in await tag_alone.failing()
    await node.execute("UPDATE chain_cursor SET tag_moved_at = now() - interval '31 minutes'")
    assert "finality" in await tag_alone.failing()


async def test_what_was_compared_with_a_replaced_chain_does_not_count(desk: Desk) -> None:
    for _ in range(3):
        await desk.step()
    operators = Operators(desk.node)
    await operators.reorg(5)
    await operators.both()
    ready = await desk.health.ready()
    assert ready.reconciled_number is None
    assert ready.behind_age == timedelta()
    desk.clock.later(3)
    assert "reconciliation" in await desk.failing()
    await desk.node.follow()
    await desk.job.run_once()
    ready = await desk.health.ready()
    assert ready.reconciled_number == ready.final_number
    assert "reconciliation" not in failing(ready)


async def test_a_log_that_a_provider_drops_stops_the_mirror_and_says_so(desk: Desk) -> None:
    node = desk.node
    await node.sent(2)

    def dropping(asked: Call, answer: Any) -> Any:
        return answer[1:] if asked[0] == "eth_getLogs" and isinstance(answer, list) else answer

    honest = node.providers
    node.providers = Lying(honest, dropping)
    node.mine(1 + DEPTH_BLOCKS)
    with pytest.raises(ChainUnavailable):
        await node.follow()
    assert await desk.failing() == ["mirror", "completeness"]
    node.providers = honest
    await node.follow()
    await desk.job.run_once()
    assert "mirror" not in await desk.failing()


async def test_a_log_that_was_taken_from_the_mirror_says_so_at_the_next_advance(
    desk: Desk,
) -> None:
    await desk.node.sent(1)
    desk.node.mine(DEPTH_BLOCKS)
    await desk.step()
    await desk.node.execute("DELETE FROM settlement_log")
    await desk.step()
    assert await desk.failing() == ["completeness"]


async def test_a_provider_that_hangs_hides_neither_the_age_of_its_head_nor_the_database(
    desk: Desk,
) -> None:
    class Hanging:
        async def head(self) -> BlockRef:
            await asyncio.Event().wait()
            raise AssertionError

    watch = HeadWatch(
        desk.node.ledger.units,
        Hanging(),  # type: ignore[arg-type]
        desk.clock,
        chain_id=CHAIN_ID,
        block_ms=BLOCK_MS,
        finality=desk.finality,
    )
    health = HealthService(
        desk.node.ledger.units,
        watch,
        desk.clock,
        desk.node.providers,
        chain_id=CHAIN_ID,
        block_ms=BLOCK_MS,
    )
    task = asyncio.create_task(watch.watch())
    await asyncio.sleep(0)
    ready = await health.ready()
    assert failing(ready) == ["chain"]
    assert ready.cursor_number is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_away_is_said_and_nothing_is_raised(
    desk: Desk, start_anvil: Callable[..., object]
) -> None:
    desk.node.onchain.anvil.stop()
    desk.clock.later(3)
    ready = await desk.health.ready()
    assert "chain" in failing(ready)
    assert ready.head_age is not None
    await desk.node.execute("ALTER TABLE chain_cursor RENAME TO away")
    assert "database" in await desk.failing()
