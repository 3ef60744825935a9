"""A short campaign with every run of the tests; long ones are `scripts/chaos.py`'s."""

import asyncio
import random  # noqa: TID251 - seeded
import re
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tests.chaos.bench import Bench
from tests.chaos.campaign import Campaign
from tests.chaos.faults import FAULTS, PROVOKE
from tests.chaos.open_breaks import Causes, Explaining, Unbooked
from tests.chaos.rule_faults import rule_of, send_rule_of
from tests.chaos.windows import SETTLEMENT, WindowChooser
from tests.chaos.workers import AT_FAILPOINT, Nursery, is_reached, windows
from tests.rig import PostgresServer

FAULTS_IN_ALL = 200
PAYMENTS = 40
LIMIT_S = 120
SEED = 2
"""An even one: with restored backups and strangers."""
SERVICES = Path(__file__).parents[2] / "node" / "services"


async def test_a_history_of_faults_ends_with_everybody_paid_once_or_given_back(
    postgres_server: PostgresServer,
) -> None:
    bench = await Bench.open(postgres_server, SEED)
    try:
        campaign = Campaign(bench, SEED, FAULTS_IN_ALL, PAYMENTS, complete=True)
        verdict = await campaign.run()
        assert verdict.differences == []
        assert campaign.counts.total() >= FAULTS_IN_ALL
        assert len(bench.payments) >= PAYMENTS
        assert verdict.outcomes["settled"] > 0
        happened = campaign.done + campaign.ordinary
        assert [each.name for each in FAULTS if not any(map(happened.get, each.names))] == []
    finally:
        await bench.close()


async def test_a_worker_of_the_real_program_dies_at_the_window_it_is_told(
    postgres_server: PostgresServer,
) -> None:
    bench = await Bench.open(postgres_server, SEED)
    try:
        worker = await bench.start_worker("after_block_commit:2")
        end = time.monotonic() + LIMIT_S
        while not await ended(worker.ended.wait()) and time.monotonic() < end:
            bench.anvil.mine()
        assert worker.status == AT_FAILPOINT
    finally:
        await bench.close()


async def test_workers_end_with_the_nursery(tmp_path: Path) -> None:
    nursery = await Nursery.open(tmp_path / "log")
    settings = {"database_url": "postgresql://nobody@127.0.0.1:1/none", "failpoint": ""}
    worker = await nursery.start(settings)
    assert await ended(worker.ended.wait(), limit_s=LIMIT_S)
    assert worker.status == 1  # it has no chain to work on, and says so
    await nursery.close()
    assert "CORRIDOR_CHAIN_RPC_URLS" in (tmp_path / "log").read_text()


def test_the_seed_alone_decides_the_plan() -> None:
    def plan(seed: int) -> list[str]:
        chance = random.Random(seed)
        rules = [rule_of(chance) for _ in range(50)] + [send_rule_of(chance) for _ in range(50)]
        return [f"{each.action} {each.nth}" for each in rules]

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


def test_every_window_of_a_worker_is_one_the_campaign_dies_at() -> None:
    named = {
        name
        for path in SERVICES.rglob("*.py")
        for name in re.findall(r'failpoint\("(\w+)"\)', path.read_text())
    }
    assert set(windows()) == {each for each in named if is_reached(each)}
    assert len(windows()) >= 20
    assert set(PROVOKE) <= set(windows())


def test_the_window_with_the_fewest_deaths_is_next_and_those_of_settlement_come_more_often() -> (
    None
):
    chooser, died = WindowChooser(windows(), random.Random(1)), Counter[str]()
    assert set(windows()) >= SETTLEMENT
    for _ in range(400):
        window = chooser.next()
        if window == "after_bump_sign":
            chooser.missed(window)
        else:
            chooser.died(window)
            died[window] += 1
    often = {died[each] for each in SETTLEMENT - {"after_bump_sign"}}
    seldom = {died[each] for each in set(windows()) - SETTLEMENT}
    assert min(often) > 3 * max(seldom) > 0
    assert max(often) - min(often) <= 1


def test_a_break_is_explained_by_its_own_log_and_by_no_other() -> None:
    coins = {"0x03": ("0xbb", 9), "0x04": ("0xbb", 9)}
    unbooked = Unbooked(amount=5, places={("0x01", 3), ("0x01", 4)}, numbers={7})
    explain = Explaining(Causes(restored=True, strange=frozenset({"0x03"})), unbooked, coins.get)
    orphan = {"tx_hash": "0x01", "log_index": "3", "minor": "5"}
    assert explain.has_cause("B06", orphan)
    assert not explain.has_cause("B06", orphan)  # one break for one log
    assert not explain.has_cause("B06", {**orphan, "tx_hash": "0x02"})
    assert not explain.has_cause("B10", {**orphan, "log_index": "9", "payment_number": "8"})
    assert explain.has_cause("B10", {**orphan, "log_index": "9", "payment_number": "7"})
    assert not explain.has_cause("B04", orphan)
    assert explain.has_cause("B06", {"tx_hash": "0x03"})
    assert not explain.has_cause("B06", {"tx_hash": "0x04"})  # nobody's but the node's
    assert not explain.has_cause("B16", {"address": "0xcc", "minor": "2"})
    assert explain.units == {"0xbb": 9, "0xcc": 2}


def test_faults_are_named_once_and_each_has_a_chance() -> None:
    assert len({each.name for each in FAULTS}) == len(FAULTS)
    assert all(each.weight > 0 for each in FAULTS)


async def ended(waiting: Coroutine[Any, Any, object], *, limit_s: float = 0.05) -> bool:
    """Whether something happened within the limit."""
    try:
        async with asyncio.timeout(limit_s):
            await waiting
    except TimeoutError:
        return False
    return True
