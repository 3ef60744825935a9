"""Sweeps, rescues and the hard pause: what keys of other roles than the treasury's do."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from adapters.evm.rpc import Providers
from node.core.errors import Refused
from node.core.ledger import WEI_PER_UNIT
from node.core.paging import ListQuery
from node.core.ports.idempotency import Answer
from node.core.settlement import settle_gas
from node.core.treasury import SLOTS_OF_GAS_KEPT
from node.core.units import Money, parse_minor
from node.services.settlement.operations import SettlementOperations
from tests.builders import CHAIN_ID, render_error
from tests.mirrored import PAUSER, RESCUER, TREASURY, failing
from tests.onchain import ADMIN, FLOAT_UNITS, LANE, address_of
from tests.services.keyed import ETH, OLGA, USDC, Keyed, MakeAnvil
from tests.services.settling import Killed, killer

LANE_ADDRESS = address_of(LANE)
WINDOWS = ["after_movement_write", "after_sign", "after_store", "after_send"]


@pytest.fixture
async def keyed(database_url: str, start_anvil: MakeAnvil) -> AsyncIterator[Keyed]:
    """A chain that mines only when told, its start mirrored."""
    async with Keyed.open(database_url, start_anvil(automine=False)) as keyed:
        yield keyed


class Forgetful(Providers):
    """A provider that has no logs of any block."""

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """As told, without the logs."""
        told = await super().call(method, params)
        return [] if method == "eth_getLogs" else told


async def assert_sound(keyed: Keyed) -> None:
    """A full reconciliation finds nothing."""
    run = await keyed.node.reconcile()
    assert (failing(run), run.breaks_open) == ([], 0)


# ----------------------------------------------------------------------------------------- sweeps


async def test_a_lanes_coin_is_swept_by_its_own_key_and_booked_to_the_unit(keyed: Keyed) -> None:
    node = keyed.node
    asked = await keyed.ask("sweep", LANE_ADDRESS, TREASURY, Money(5_000 * 10**9, ETH))
    assert (await keyed.movement(asked)).sender == LANE_ADDRESS
    await (await node.settlement()).run_once()
    await keyed.settle()
    assert (await keyed.movement(asked)).state == "settled"
    assert await node.booked(TREASURY, "ETH") == 15_000 * 10**9
    (gas,) = await node.rows("SELECT gas_used * effective_gas_price_wei AS wei FROM slot")
    assert await node.booked(LANE_ADDRESS, "ETH") == (5_000 * 10**18 - int(gas["wei"])) // 10**9
    await assert_sound(keyed)


@pytest.mark.parametrize("source", [PAUSER, RESCUER])
async def test_tokens_that_came_to_a_key_are_swept_to_the_treasury(
    keyed: Keyed, source: bytes
) -> None:
    node, holder = keyed.node, PAUSER if source == PAUSER else RESCUER
    keyed.mint(holder, 777)
    await keyed.settle()
    asked = await keyed.ask("sweep", holder, TREASURY, Money(777, USDC))
    await keyed.carry_out(await (node.pauser() if holder == PAUSER else node.rescuer()))
    assert (await keyed.movement(asked)).state == "settled"
    assert (await node.booked(TREASURY), await node.booked(holder)) == (777, 0)
    assert [each.code for each in await node.open_breaks()] == ["B04"]  # the mint
    assert failing(await node.reconcile()) == []


async def test_a_sweep_leaves_the_gas_of_sixteen_transactions(keyed: Keyed) -> None:
    worker = await keyed.node.settlement()
    most = await keyed.ask("sweep", LANE_ADDRESS, TREASURY, Money(10_000 * 10**9, ETH))
    await worker.run_once()
    failed = await keyed.movement(most)
    assert (failed.state, failed.slot_id) == ("failed", None)
    assert failed.failure is not None
    assert failed.failure["code"] == "insufficient_funds"
    left = failed.failure["message"].split(" ETH can go")[0].split()[-1]
    left_wei = parse_minor(left, ETH) * WEI_PER_UNIT
    asked = await keyed.ask("sweep", LANE_ADDRESS, TREASURY, Money(left_wei // 10**9 - 10**6, ETH))
    await worker.run_once()
    await keyed.settle()
    assert (await keyed.movement(asked)).state == "settled"
    price_wei = int(keyed.node.onchain.anvil.rpc("eth_gasPrice"), 16)
    kept_wei = await _balance_wei(keyed)
    assert kept_wei >= SLOTS_OF_GAS_KEPT * settle_gas(256) * price_wei


async def _balance_wei(keyed: Keyed) -> int:
    return int(keyed.node.onchain.anvil.rpc("eth_getBalance", LANE, "latest"), 16)


async def test_payments_and_sweeps_of_one_lane_share_its_nonces_without_a_gap(
    keyed: Keyed,
) -> None:
    node = keyed.node
    transfers = await node.sent(3)
    await keyed.ask("sweep", LANE_ADDRESS, TREASURY, Money(10**9, ETH))
    worker = await node.settlement()
    await worker.run_once()
    rows = await node.rows("SELECT nonce, purpose FROM slot ORDER BY nonce")
    assert [tuple(row) for row in rows] == [(0, "settle"), (1, "movement")]
    await keyed.settle()
    assert {each.value for each in await node.states(transfers)} == {"settled"}
    await assert_sound(keyed)


async def test_a_movement_that_nobody_signed_before_a_pause_gives_its_nonce_back(
    keyed: Keyed,
) -> None:
    asked = await keyed.ask("sweep", PAUSER, TREASURY, Money(10**9, ETH))
    with pytest.raises(Killed):
        await (await keyed.node.pauser(killer("after_movement_write"))).run_once()
    await keyed.node.locks[-1].release()
    assert (await keyed.movement(asked)).state == "submitted"
    await keyed.pause()
    pauser = await keyed.node.pauser()
    await keyed.carry_out(pauser)  # the contract's pause is not held up
    assert keyed.is_paused()
    waiting = await keyed.movement(asked)
    assert (waiting.state, waiting.slot_id, waiting.waiting) == ("requested", None, "paused")
    await keyed.resume()
    await keyed.carry_out_anew(keyed.node.pauser)
    await keyed.carry_out(pauser)
    assert not keyed.is_paused()
    assert (await keyed.movement(asked)).state == "settled"
    assert await keyed.node.booked(TREASURY, "ETH") == 10_001 * 10**9
    await assert_sound(keyed)


# ---------------------------------------------------------------------------------------- rescues


async def test_a_rescue_is_refused_while_the_contract_is_not_paused_and_says_what_to_do(
    keyed: Keyed,
) -> None:
    contract = keyed.node.onchain.contract
    with pytest.raises(Refused, match="pause with `hard`"):
        await keyed.ask("rescue", contract, TREASURY, Money(1, USDC))
    assert await keyed.movements() == []


async def test_a_hard_pause_a_rescue_and_a_resume_end_with_clean_books(keyed: Keyed) -> None:
    node, contract = keyed.node, keyed.node.onchain.contract
    await keyed.pause(note="the lane's key may be stolen")
    pauser = await node.pauser()
    await keyed.carry_out(pauser)
    assert keyed.is_paused()
    asked = await keyed.ask("rescue", contract, TREASURY, Money(FLOAT_UNITS, USDC))
    assert (await keyed.movement(asked)).sender == RESCUER
    await keyed.carry_out(await node.rescuer())
    assert (await keyed.movement(asked)).state == "settled"
    assert (await node.booked(contract), await node.booked(TREASURY)) == (0, FLOAT_UNITS)
    await keyed.resume()
    await keyed.carry_out(pauser)
    assert not keyed.is_paused()
    roles = [(each["role"], each["succeeded"]) for each in await keyed.slots("admin")]
    assert sorted(roles) == [("pauser", True), ("pauser", True), ("rescuer", True)]
    await assert_sound(keyed)  # no orphan, and the gas of each key is booked


async def test_a_rescue_that_comes_after_the_pause_ended_fails_and_moves_nothing(
    keyed: Keyed,
) -> None:
    node, contract = keyed.node, keyed.node.onchain.contract
    node.onchain.send(contract, "pause()")  # by the admin
    asked = await keyed.ask("rescue", contract, TREASURY, Money(5, USDC))
    late = await keyed.ask("rescue", contract, TREASURY, Money(6, USDC))
    await keyed.work(await node.rescuer())
    keyed.by_admin(contract, "unpause()")
    await keyed.settle()
    for movement in (await keyed.movement(asked), await keyed.movement(late)):
        assert (movement.state, movement.failure and movement.failure["code"]) == (
            "failed",
            "reverted",
        )
    assert await node.booked(contract) == FLOAT_UNITS
    await assert_sound(keyed)


async def test_a_rescue_asked_for_in_time_and_not_sent_before_the_pause_ended_costs_no_gas(
    keyed: Keyed,
) -> None:
    node, contract = keyed.node, keyed.node.onchain.contract
    node.onchain.send(contract, "pause()")
    asked = await keyed.ask("rescue", contract, TREASURY, Money(5, USDC))
    node.onchain.send(contract, "unpause()")
    await keyed.work(await node.rescuer())
    failed = await keyed.movement(asked)
    assert (failed.state, failed.failure and failed.failure["code"]) == (
        "failed",
        "contract_not_paused",
    )
    assert await keyed.slots("admin") == []


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_rescue_is_made_once_whenever_its_worker_is_killed(
    keyed: Keyed, window: str
) -> None:
    node, contract = keyed.node, keyed.node.onchain.contract
    node.onchain.send(contract, "pause()")
    await keyed.ask("rescue", contract, TREASURY, Money(5, USDC))
    with pytest.raises(Killed):
        await (await node.rescuer(killer(window))).run_once()
    await keyed.carry_out_anew(node.rescuer)
    assert await node.booked(TREASURY) == 5
    assert [each["nonce"] for each in await keyed.slots("admin")] == [0]
    await assert_sound(keyed)


# ------------------------------------------------------------------------------------ hard pauses


@pytest.mark.parametrize("window", ["after_admin_write", "after_sign", "after_store", "after_send"])
async def test_a_hard_pause_calls_the_contract_once_whenever_the_worker_is_killed(
    keyed: Keyed, window: str
) -> None:
    await keyed.pause()
    with pytest.raises(Killed):
        await (await keyed.node.pauser(killer(window))).run_once()
    await keyed.node.locks[-1].release()
    pauser = await keyed.node.pauser()
    await keyed.carry_out(pauser)
    await keyed.carry_out(pauser)
    assert keyed.is_paused()
    assert [each["nonce"] for each in await keyed.slots("admin")] == [0]


async def test_a_soft_pause_leaves_the_contract_alone(keyed: Keyed) -> None:
    await keyed.pause(hard=False)
    await keyed.carry_out(await keyed.node.pauser())
    assert not keyed.is_paused()
    assert await keyed.slots("admin") == []


async def test_what_somebody_else_paused_stays_paused(keyed: Keyed) -> None:
    keyed.node.onchain.send(keyed.node.onchain.contract, "pause()")
    await keyed.pause()
    pauser = await keyed.node.pauser()
    await keyed.carry_out(pauser)
    await keyed.resume()
    await keyed.carry_out(pauser)
    assert keyed.is_paused()
    assert await keyed.slots("admin") == []


async def test_an_emergency_pause_after_the_nodes_own_was_ended_by_hand_stays(
    keyed: Keyed,
) -> None:
    node, contract = keyed.node, keyed.node.onchain.contract
    await keyed.pause()
    pauser = await node.pauser()
    await keyed.carry_out(pauser)
    assert keyed.is_paused()
    await keyed.resume()
    node.onchain.send(contract, "unpause()")  # the admin is quicker than the pauser's job
    await keyed.carry_out(pauser)
    assert not keyed.is_paused()
    node.onchain.send(contract, "pause()")  # and has a reason of its own, later
    await keyed.carry_out_anew(node.pauser)
    assert keyed.is_paused()
    assert len(await keyed.slots("admin")) == 1
    (lane,) = await node.rows("SELECT status, status_reason FROM lane WHERE role = 'pauser'")
    assert lane["status"] == "active"
    assert lane["status_reason"] == f"the contract stays paused: {ADMIN.lower()} paused it last"
    await keyed.pause()  # a hard pause of the node meanwhile takes nothing over
    await keyed.carry_out_anew(node.pauser)
    await keyed.resume()
    await keyed.carry_out_anew(node.pauser)
    assert keyed.is_paused()
    assert len(await keyed.slots("admin")) == 1
    node.onchain.send(contract, "unpause()")
    await keyed.carry_out_anew(node.pauser)
    assert not keyed.is_paused()
    assert await node.rows("SELECT 1 FROM lane WHERE status_reason IS NOT NULL") == []


async def test_a_pause_of_somebody_elses_that_a_reorg_put_before_the_nodes_own_stays(
    keyed: Keyed,
) -> None:
    node, contract = keyed.node, keyed.node.onchain.contract
    await keyed.pause()
    pauser = await node.pauser()
    await keyed.work(pauser)
    node.mine()
    await node.follow()
    node.onchain.anvil.rpc("anvil_reorg", 1, [])
    await keyed.send_again()
    await keyed.resume()
    keyed.by_admin(contract, "pause()")  # in the block before the node's own, which reverts
    await keyed.work(pauser)  # the mirror has not told of the reorg yet
    assert len(await keyed.slots("admin")) == 1
    await keyed.settle()
    await keyed.carry_out(pauser)
    await keyed.carry_out(pauser)
    assert keyed.is_paused()
    assert [each["succeeded"] for each in await keyed.slots("admin")] == [False]


async def test_a_provider_that_tells_of_no_pause_lets_nothing_be_unpaused(keyed: Keyed) -> None:
    node = keyed.node
    await keyed.pause()
    await keyed.carry_out(await node.pauser())
    await keyed.resume()
    honest = node.providers
    node.providers = Forgetful(honest.all)
    await keyed.work_anew(node.pauser)
    assert len(await keyed.slots("admin")) == 1
    node.providers = honest
    await keyed.carry_out_anew(node.pauser)
    assert not keyed.is_paused()


async def test_a_contract_that_somebody_unpauses_during_a_hard_pause_is_paused_again(
    keyed: Keyed,
) -> None:
    await keyed.pause()
    await keyed.carry_out(await keyed.node.pauser())
    keyed.node.onchain.send(keyed.node.onchain.contract, "unpause()")
    await keyed.carry_out_anew(keyed.node.pauser)
    assert keyed.is_paused()
    assert len(await keyed.slots("admin")) == 2


async def test_a_reorg_that_takes_the_contracts_pause_back_brings_it_again(keyed: Keyed) -> None:
    node = keyed.node
    await keyed.pause()
    pauser = await node.pauser()
    await keyed.work(pauser)
    node.mine()
    await node.follow()
    node.onchain.anvil.rpc("anvil_reorg", 1, [])
    await node.follow()
    await keyed.send_again()
    await keyed.settle()
    await keyed.carry_out(pauser)
    assert keyed.is_paused()
    assert len(await keyed.slots("admin")) == 1
    await assert_sound(keyed)


async def test_a_pauser_without_the_role_writes_nothing_and_says_why(
    database_url: str, start_anvil: MakeAnvil
) -> None:
    anvil = start_anvil(automine=False)
    async with Keyed.open(database_url, anvil, pauser=ADMIN) as keyed:
        await keyed.pause()
        await keyed.carry_out(await keyed.node.pauser())
        (lane,) = await keyed.node.rows("SELECT * FROM lane")
        assert lane["status"] == "active"
        assert lane["status_reason"].startswith("pause() of the contract would fail")
        assert await keyed.slots("admin") == []


async def test_a_hard_pause_without_a_pausers_key_says_that_the_contract_goes_on(
    keyed: Keyed,
) -> None:
    operations = SettlementOperations(keyed.node.ledger.units, CHAIN_ID, has_pauser=False)
    notes = [await _paused(operations, hard=hard) for hard in (False, True, True)]
    assert notes[0] == "look at it"
    assert notes[1].startswith("look at it; look at it; the contract itself is not paused")
    assert notes[2] == notes[1]


async def _paused(operations: SettlementOperations, *, hard: bool) -> str:
    """The note of the pause in force."""
    answer = await operations.pause(
        OLGA,
        hard=hard,
        note="look at it",
        claim=None,
        render=lambda pauses: Answer(200, str(pauses[0].note).encode()),
        render_error=render_error,
    )
    return answer.body.decode()


# ------------------------------------------------------------------------------------- what waits


async def test_a_movement_says_why_it_waits(keyed: Keyed) -> None:
    node = keyed.node
    keyed.mint(RESCUER, 5)
    node.onchain.anvil.rpc("anvil_setBalance", "0x" + RESCUER.hex(), hex(1))
    asked = await keyed.ask("sweep", RESCUER, TREASURY, Money(5, USDC))
    rescuer = await node.rescuer()
    await rescuer.run_once()
    assert (await keyed.movement(asked)).waiting == "gas_low"
    await keyed.pause(hard=False)
    await node.locks[-1].release()
    await (await node.rescuer()).run_once()
    assert (await keyed.movement(asked)).waiting == "paused"


async def test_movements_of_a_key_that_is_not_set_any_more_say_so(keyed: Keyed) -> None:
    asked = await keyed.ask("sweep", RESCUER, TREASURY, Money(5, ETH))
    await keyed.node.execute("UPDATE movement SET sender = $1", b"\x99" * 20)
    await keyed.work(await keyed.node.pauser())
    assert (await keyed.movement(asked)).waiting == "no_key"


async def test_a_movement_to_an_address_the_node_no_longer_has_fails_and_stops_no_lane(
    keyed: Keyed,
) -> None:
    asked = await keyed.ask("sweep", LANE_ADDRESS, TREASURY, Money(5, ETH))
    await keyed.node.execute("UPDATE movement SET to_address = $1", b"\x99" * 20)
    await (await keyed.node.settlement()).run_once()
    failed = await keyed.movement(asked)
    assert (failed.state, failed.failure and failed.failure["code"]) == ("failed", "not_own")
    (lane,) = await keyed.node.rows("SELECT status FROM lane")
    assert lane["status"] == "active"


async def test_movements_are_listed_newest_first_in_pages(keyed: Keyed) -> None:
    asked = [await keyed.ask("sweep", RESCUER, TREASURY, Money(n, ETH)) for n in range(1, 6)]
    seen = []
    cursor = None
    while True:
        page = await keyed.requests.movements(ListQuery(2, cursor, {"kind": "sweep"}, "movements"))
        seen += [each.id for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == asked[::-1]
    none = await keyed.requests.movements(ListQuery(2, None, {"state": "settled"}, "movements"))
    assert none.items == ()
