"""Figures of settlement: counted once, from where the process began, and never too often."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from node.core.ports import Unit
from node.core.ports.chain import ProviderHealth
from node.core.settlement import Purpose
from node.core.treasury import NodeAddresses
from node.services.settlement.alerts import AlertRules
from node.services.settlement.figures import SettlementMeter
from node.services.settlement.overview import Watched
from tests.builders import CHAIN_ID
from tests.mirrored import DEPTH_BLOCKS, TREASURY, MirroredNode
from tests.onchain import LANE, address_of
from tests.rig import AnvilServer


@dataclass
class SetClock:
    """A clock that a test moves."""

    time: datetime = datetime(2026, 11, 22, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@dataclass
class CountedUnits:
    """Units of work, counted."""

    node: MirroredNode
    opened: int = 0

    def __call__(self) -> AbstractAsyncContextManager[Unit]:
        self.opened += 1
        return self.node.ledger.units()

    def snapshot(self) -> AbstractAsyncContextManager[Unit]:
        return self.node.ledger.units.snapshot()


class OneProvider:
    """A provider that fails."""

    def health(self) -> Sequence[ProviderHealth]:
        return [ProviderHealth("rpc.example:443", "open", 2, 5, None, 0, None)]


@dataclass
class Desk:
    """A meter over a node, its clock, and how often it looked."""

    node: MirroredNode
    clock: SetClock = field(default_factory=SetClock)

    def __post_init__(self) -> None:
        self.units = CountedUnits(self.node)
        self.meter = self.another()

    def another(self) -> SettlementMeter:
        """A meter as a process has it that starts now."""
        own = NodeAddresses(
            self.node.onchain.contract, "USDC", "ETH", (address_of(LANE),), TREASURY
        )
        return SettlementMeter(
            self.units,
            Watched(CHAIN_ID, own),
            AlertRules(),
            clock=self.clock,
            providers=OneProvider(),
        )

    async def pay(self, count: int) -> None:
        await self.node.sent(count)
        self.node.mine(1 + DEPTH_BLOCKS)
        await self.node.follow()

    async def paid(self, meter: SettlementMeter | None = None) -> int:
        """Payouts counted, looked at anew."""
        self.clock.time += timedelta(seconds=1)
        totals = (await (meter or self.meter).figures()).totals
        return totals[Purpose.SETTLE].payments if totals else 0


@pytest.fixture
async def desk(database_url: str, start_anvil: Callable[..., AnvilServer]) -> AsyncIterator[Desk]:
    node = await MirroredNode.open(database_url, start_anvil(automine=False))
    yield Desk(node)
    await node.close()


async def test_what_became_final_since_the_process_began_is_counted_once(desk: Desk) -> None:
    await desk.pay(2)
    assert await desk.paid() == 0
    await desk.pay(3)
    assert await desk.paid() == 3
    assert await desk.paid() == 3
    await desk.pay(1)
    assert await desk.paid() == 4
    later = desk.another()
    assert await desk.paid(later) == 0
    figures = await desk.meter.figures()
    settled = figures.totals[Purpose.SETTLE]
    assert (settled.transactions, settled.attempts) == (2, 2)
    assert settled.fees_wei >= settled.gas_used > 0


async def test_what_is_mined_and_not_final_is_not_counted(desk: Desk) -> None:
    assert await desk.paid() == 0
    await desk.node.sent(2)
    desk.node.mine()
    await desk.node.follow()
    assert await desk.paid() == 0
    desk.node.mine(DEPTH_BLOCKS)
    await desk.node.follow()
    assert await desk.paid() == 2


async def test_many_scrapes_within_a_second_look_once(desk: Desk) -> None:
    await asyncio.gather(*(desk.meter.figures() for _ in range(20)))
    assert desk.units.opened == 1
    desk.clock.time += timedelta(milliseconds=999)
    await desk.meter.figures()
    assert desk.units.opened == 1
    desk.clock.time += timedelta(milliseconds=1)
    await desk.meter.figures()
    assert desk.units.opened == 2


async def test_a_clock_that_went_back_does_not_freeze_the_figures(desk: Desk) -> None:
    await desk.meter.figures()
    desk.clock.time -= timedelta(hours=1)
    await desk.meter.figures()
    assert desk.units.opened == 2


async def test_providers_are_told_as_they_are_now(desk: Desk) -> None:
    (provider,) = (await desk.meter.figures()).providers
    assert (provider.name, provider.state) == ("rpc.example:443", "open")
