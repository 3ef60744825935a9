"""Rules: below the mark the treasury fills up, once, and never more than a day's limit."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.rpc import Providers
from node.core.errors import InvalidInput, NodeError, Refused
from node.core.paging import ListQuery
from node.core.ports.chain import FeeHistory
from node.core.signing import KeyRole
from node.core.treasury import RULE_WINDOW_S
from node.core.units import Money
from node.services.settlement.treasury_rules import TreasuryRules
from tests.builders import CHAIN_ID, render_error
from tests.mirrored import DEPTH_BLOCKS, PAUSER, RESCUER, TREASURY, TREASURY_KEY, failing
from tests.onchain import FLOAT_UNITS, LANE, address_of
from tests.services.keyed import ETH, OLGA, USDC, Keyed, MakeAnvil, no_answer
from tests.services.settling import Killed, killer

LANE_ADDRESS = address_of(LANE)
GWEI = 10**9  # minor units of one coin
HELD = 1_000_000
MARK, FILL_TO = FLOAT_UNITS + 100, FLOAT_UNITS + 1_000
WINDOWS = [
    "after_rule_reading",
    "after_rule_write",
    "after_movement_write",
    "after_sign",
    "after_store",
    "after_send",
]


@pytest.fixture
async def keyed(database_url: str, start_anvil: MakeAnvil) -> AsyncIterator[Keyed]:
    """A chain that mines only when told, its start mirrored, and tokens in the treasury."""
    async with Keyed.open(database_url, start_anvil(automine=False)) as keyed:
        keyed.mint(TREASURY, HELD)
        await keyed.settle()
        yield keyed


async def float_rule(keyed: Keyed, daily_limit: int = 10_000) -> str:
    """A rule that has something to do at once: 1,000 units."""
    return await keyed.rule(
        "float_top_up", USDC, mark=MARK, fill_to=FILL_TO, daily_limit=daily_limit
    )


async def amounts(keyed: Keyed) -> list[tuple[int, str]]:
    return [(each.amount, each.state) for each in await keyed.movements()]


async def fresh_pass(keyed: Keyed) -> None:
    """All a newly started treasury job does, mined and mirrored."""
    await keyed.carry_out_anew(keyed.node.treasury)


async def test_the_float_is_filled_up_when_it_is_below_the_mark_and_only_then(
    keyed: Keyed,
) -> None:
    node = keyed.node
    rule = await float_rule(keyed)
    await fresh_pass(keyed)
    await fresh_pass(keyed)
    (movement,) = await keyed.movements()
    assert (movement.kind, movement.amount, movement.state) == ("float_top_up", 1_000, "settled")
    assert movement.made_by == f"rule:{movement.rule_id}"
    assert await node.booked(node.onchain.contract) == FILL_TO
    assert await keyed.limit_left(rule) == 9_000
    assert failing(await node.reconcile()) == []


async def test_every_lane_below_the_mark_gets_gas_and_other_keys_only_by_name(
    keyed: Keyed,
) -> None:
    node = keyed.node
    for key in (LANE_ADDRESS, PAUSER, RESCUER):
        node.onchain.anvil.rpc("anvil_setBalance", "0x" + key.hex(), hex(10**18))
    for to in (None, PAUSER):
        await keyed.rule(
            "lane_gas", ETH, mark=2 * GWEI, fill_to=5 * GWEI, daily_limit=100 * GWEI, to=to
        )
    await fresh_pass(keyed)
    made = {each.to_address: (each.amount, each.state) for each in await keyed.movements()}
    assert made == {LANE_ADDRESS: (4 * GWEI, "settled"), PAUSER: (4 * GWEI, "settled")}


async def test_a_rule_has_one_movement_under_way_to_a_target(keyed: Keyed) -> None:
    await float_rule(keyed)
    for _ in range(DEPTH_BLOCKS):  # mined, not final
        for lock in keyed.node.locks:
            await lock.release()
        await keyed.work(await keyed.node.treasury())
        keyed.node.mine()
        await keyed.node.follow()
    assert await amounts(keyed) == [(1_000, "submitted")]


async def test_what_others_bring_counts_before_a_rule_acts(keyed: Keyed) -> None:
    contract = keyed.node.onchain.contract
    await keyed.ask("float_top_up", TREASURY, contract, Money(150, USDC))
    await float_rule(keyed)
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(150, "settled")]


async def test_two_rules_for_one_target_fill_it_once(keyed: Keyed) -> None:
    await float_rule(keyed)
    await float_rule(keyed)
    await fresh_pass(keyed)
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(1_000, "settled")]


async def test_a_rule_never_asks_for_more_than_the_treasury_holds(keyed: Keyed) -> None:
    contract = keyed.node.onchain.contract
    await keyed.rule(
        "float_top_up",
        USDC,
        mark=FLOAT_UNITS + HELD,
        fill_to=FLOAT_UNITS + HELD + 900_000,
        daily_limit=10 * HELD,
    )
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(HELD, "settled")]
    assert await keyed.node.booked(TREASURY) == 0
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(HELD, "settled")]
    assert await keyed.node.booked(contract) == FLOAT_UNITS + HELD


async def test_a_rule_makes_no_steps_below_fill_to_less_mark(keyed: Keyed) -> None:
    await keyed.ask("float_top_up", TREASURY, keyed.node.onchain.contract, Money(HELD - 899, USDC))
    await fresh_pass(keyed)
    target = FLOAT_UNITS + HELD
    await keyed.rule("float_top_up", USDC, mark=target, fill_to=target + 900, daily_limit=HELD)
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(HELD - 899, "settled")]  # 899 are left, a step is 900


async def test_within_any_day_a_rule_moves_at_most_its_limit(keyed: Keyed) -> None:
    node = keyed.node
    rule = await float_rule(keyed, daily_limit=1_500)
    await fresh_pass(keyed)
    await _drain(keyed)
    await fresh_pass(keyed)  # 500 are left of the limit, a step is 900
    assert await keyed.limit_left(rule) == 500
    assert [each.amount for each in await keyed.movements() if each.rule_id] == [1_000]
    # Nothing begins again at midnight: a minute less than a day after it was final, all counts.
    await _age(keyed, RULE_WINDOW_S - 60)
    await fresh_pass(keyed)
    assert await keyed.limit_left(rule) == 500
    await _age(keyed, 60)
    assert await keyed.limit_left(rule) == 1_500
    await fresh_pass(keyed)
    assert [each.amount for each in await keyed.movements() if each.rule_id] == [1_000, 1_000]
    assert failing(await node.reconcile()) == []


async def _drain(keyed: Keyed) -> None:
    """Take out of the float what the rule put in, by the hands of its keys."""
    node = keyed.node
    await keyed.pause()
    await keyed.carry_out(await node.pauser())
    await keyed.ask("rescue", node.onchain.contract, TREASURY, Money(1_000, USDC))
    await keyed.carry_out(await node.rescuer())
    await keyed.resume()
    await keyed.carry_out(await node.pauser())


async def _age(keyed: Keyed, seconds: int) -> None:
    await keyed.node.execute(
        "UPDATE slot SET final_at = final_at - make_interval(secs => $1)"
        " WHERE final_at IS NOT NULL",
        seconds,
    )


async def test_a_movement_that_waits_for_days_counts_until_a_day_after_it_is_final(
    keyed: Keyed,
) -> None:
    rule = await float_rule(keyed, daily_limit=1_000)
    with pytest.raises(Killed):
        await (await keyed.node.treasury(killer("after_rule_write"))).run_once()
    await keyed.node.execute("UPDATE movement SET created_at = created_at - interval '9 days'")
    assert await keyed.limit_left(rule) == 0
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(1_000, "settled")]
    assert await keyed.limit_left(rule) == 0


async def test_what_reverted_does_not_count(keyed: Keyed) -> None:
    rule = await float_rule(keyed, daily_limit=1_000)
    with pytest.raises(Killed):
        await (await keyed.node.treasury(killer("after_send"))).run_once()
    keyed.by_admin(keyed.node.onchain.token, "pause()")  # mined before it
    await keyed.settle()
    assert await amounts(keyed) == [(1_000, "failed")]
    assert await keyed.limit_left(rule) == 1_000
    assert failing(await keyed.node.reconcile()) == []


@pytest.mark.parametrize("processes", [2, 4])
async def test_processes_that_race_make_one_movement(keyed: Keyed, processes: int) -> None:
    await float_rule(keyed)
    for lock in keyed.node.locks:
        await lock.release()
    jobs = [await keyed.node.treasury() for _ in range(processes)]
    await asyncio.gather(*(each.run_once() for each in jobs))
    await asyncio.gather(*(each.run_once() for each in jobs))
    assert [amount for amount, _ in await amounts(keyed)] == [1_000]


class Meeting(EvmChain):
    """A chain that answers when as many have asked as are to meet."""

    def __init__(self, providers: Providers, barrier: asyncio.Barrier) -> None:
        super().__init__(providers)
        self._barrier = barrier

    async def fee_history(self, blocks: int, percentile: int) -> FeeHistory:
        await self._barrier.wait()
        return await super().fee_history(blocks, percentile)


async def test_rules_that_race_within_one_lease_make_one_movement(keyed: Keyed) -> None:
    """As two processes of which each believes that it holds the treasury's lane."""
    node = keyed.node
    await (await node.treasury()).run_once()
    async with node.ledger.units() as unit:
        lane = await unit.settlement.lane(CHAIN_ID, TREASURY)
    assert lane is not None
    await float_rule(keyed)
    chain = Meeting(node.providers, asyncio.Barrier(2))  # both have read before one writes
    parts = replace(node.key_parts(TREASURY_KEY, KeyRole.TREASURY), chain=chain)
    both = [TreasuryRules(parts, node.own).run(lane) for _ in range(2)]
    assert sorted(await asyncio.gather(*both)) == [0, 1]
    assert await amounts(keyed) == [(1_000, "requested")]


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_rule_moves_once_whenever_the_worker_is_killed(keyed: Keyed, window: str) -> None:
    node = keyed.node
    await float_rule(keyed)
    with pytest.raises(Killed):
        await (await node.treasury(killer(window))).run_once()
    await fresh_pass(keyed)
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(1_000, "settled")]
    assert await node.booked(node.onchain.contract) == FILL_TO
    assert failing(await node.reconcile()) == []


async def test_a_reorg_that_takes_a_top_up_back_makes_no_second_one(keyed: Keyed) -> None:
    node = keyed.node
    await float_rule(keyed)
    await keyed.work(await node.treasury())
    node.mine()
    await node.follow()
    node.onchain.anvil.rpc("anvil_reorg", 1, [])
    await node.follow()
    assert await amounts(keyed) == [(1_000, "submitted")]
    await keyed.work_anew(node.treasury)
    assert await amounts(keyed) == [(1_000, "submitted")]
    await keyed.send_again()
    await fresh_pass(keyed)
    assert await amounts(keyed) == [(1_000, "settled")]
    assert await node.booked(node.onchain.contract) == FILL_TO


async def test_a_rule_makes_nothing_during_a_pause_and_nothing_once_it_ended(
    keyed: Keyed,
) -> None:
    rule = await float_rule(keyed)
    await keyed.pause(hard=False)
    await fresh_pass(keyed)
    assert await amounts(keyed) == []
    await keyed.requests.end_rule(
        OLGA, rule, claim=None, render=no_answer, render_error=render_error
    )
    await keyed.resume()
    await fresh_pass(keyed)
    assert await amounts(keyed) == []
    ended = (await keyed.requests.rule(rule)).rule
    assert (ended.ended_by, ended.ended_at is not None) == (OLGA.key, True)
    in_force = await keyed.requests.rules(ListQuery(5, None, {"status": "in_force"}, "rules"))
    assert in_force.items == ()
    all_rules = await keyed.requests.rules(ListQuery(5, None, {}, "rules"))
    assert [each.rule.id for each in all_rules.items] == [ended.id]


@pytest.mark.parametrize(
    ("mark", "fill_to", "daily_limit", "pointer"),
    [
        (0, 5, 10, "/mark"),
        (5, 5, 10, "/fill_to"),
        (6, 5, 10, "/fill_to"),
        (5, 10, 4, "/daily_limit"),
    ],
)
async def test_the_amounts_of_a_rule_fit_together(
    keyed: Keyed, mark: int, fill_to: int, daily_limit: int, pointer: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await keyed.rule("lane_gas", ETH, mark=mark, fill_to=fill_to, daily_limit=daily_limit)
    assert pointers(caught.value) == [(pointer, "too_small")]


def pointers(error: NodeError) -> list[tuple[str, str]]:
    """Where the faults are, and their codes; each says what to do."""
    faults: Any = error.context["errors"]
    assert [each["message"] for each in faults] == [error.detail]
    return [(each["pointer"], each["code"]) for each in faults]


async def test_a_rule_fills_only_what_the_node_has_in_the_coin_it_needs(keyed: Keyed) -> None:
    for kind, asset, to, pointer in (
        ("lane_gas", USDC, None, "/currency"),
        ("lane_gas", ETH, TREASURY, "/to"),
        ("lane_gas", ETH, keyed.node.onchain.contract, "/to"),
        ("float_top_up", ETH, None, "/currency"),
        ("float_top_up", USDC, LANE_ADDRESS, "/to"),
    ):
        with pytest.raises(Refused) as caught:
            await keyed.rule(kind, asset, mark=1, fill_to=2, daily_limit=2, to=to)
        assert pointers(caught.value) == [(pointer, "not_one_of")]
    with pytest.raises(InvalidInput):
        await keyed.rule("sweep", ETH, mark=1, fill_to=2, daily_limit=2)
    keyless = replace(keyed.node.own, treasury_signs=False)
    without = replace(keyed, requests=replace(keyed.requests, addresses=keyless))
    with pytest.raises(Refused, match="TREASURY_SIGNER"):
        await without.rule("lane_gas", ETH, mark=1, fill_to=2, daily_limit=2)
