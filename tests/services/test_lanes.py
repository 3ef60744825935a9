"""Several lanes pay side by side: each number once, each lane's nonces without gaps."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from adapters.evm.client import EvmChain
from node.core.ports.chain import SendAnswer
from node.core.settlement import BatchRules, LaneStatus
from node.core.submission import FeeRules
from node.core.transfers import Happening, State
from node.services.transfers import transfer_moves
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, failing
from tests.onchain import LANE
from tests.rig import AnvilServer
from tests.services.lanes import SLOTS_MAX, Fleet


@pytest.fixture
async def fleet(database_url: str, start_anvil: Callable[..., AnvilServer]) -> AsyncIterator[Fleet]:
    fleet = await Fleet.open(database_url, start_anvil(automine=False))
    yield fleet
    await fleet.node.close()


def short_of(fleet: Fleet) -> None:
    """Batches of one, so that few transfers make many nonces."""
    fleet.batches = BatchRules(payments_max=1, wait_ms=0)


@pytest.mark.parametrize("one_process", [True, False])
async def test_two_lanes_share_what_waits_and_pay_each_number_once(
    fleet: Fleet, *, one_process: bool
) -> None:
    fleet.one_process = one_process
    short_of(fleet)
    transfers = await fleet.node.funded(3 * SLOTS_MAX)
    await fleet.settle(fleet.workers(), transfers)
    await fleet.assert_paid_once(transfers)
    nonces = await fleet.nonces()
    assert min(len(each) for each in nonces.values()) >= (SLOTS_MAX // 2 if one_process else 1)
    assert failing(await fleet.node.reconcile()) == []


async def test_lanes_take_parts_of_what_waits_and_leave_the_rest_to_the_others(
    fleet: Fleet,
) -> None:
    workers = fleet.workers()
    for each in workers:
        await each.run_once()
    await fleet.node.funded(16)  # eight batches of two
    for each in workers:
        await each.run_once()
    assert [len(each) for each in (await fleet.nonces()).values()] == [4, 2]


async def test_a_lone_lane_takes_everything(fleet: Fleet) -> None:
    await fleet.node.funded(16)
    first, _ = fleet.workers()
    await first.run_once()
    assert len((await fleet.nonces())[LANE]) == 8


async def test_both_lanes_go_on_without_gaps_after_their_workers_were_killed(
    fleet: Fleet,
) -> None:
    short_of(fleet)
    transfers = list(await fleet.node.funded(10))
    for _ in range(4):
        for each in fleet.workers():
            await each.run_once()
        await fleet.kill()
    assert sum((await fleet.unmined()).values()) == 10
    transfers += await fleet.node.funded(2)
    await fleet.settle(fleet.workers(), transfers)
    await fleet.assert_paid_once(transfers)


async def test_a_lane_without_gas_holds_nobody_up(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    anvil = start_anvil(automine=False)
    anvil.rpc("anvil_setBalance", LANE, "0x1")
    fleet = await Fleet.open(database_url, anvil)
    transfers = await fleet.node.funded(8)
    await fleet.settle(fleet.workers(), transfers)
    await fleet.assert_paid_once(transfers)
    assert (await fleet.nonces())[LANE] == []
    await fleet.node.close()


async def test_coin_that_ends_while_payments_are_under_way_keeps_their_nonces_and_pays_once(
    fleet: Fleet,
) -> None:
    fleet.fees = FeeRules(resend_after_s=0)
    anvil = fleet.node.onchain.anvil
    written = await fleet.node.funded(2)
    first, second = fleet.workers(first={"failpoint": _kill_at("after_store")})
    with pytest.raises(_Killed):
        await first.run_once()
    anvil.rpc("anvil_setBalance", LANE, "0x1")
    await fleet.kill()
    first, second = fleet.workers()
    more = await fleet.node.funded(4)
    await first.run_once()
    (attempt,) = await fleet.node.rows("SELECT * FROM attempt")
    assert attempt["last_answer"] == "funds"
    assert "nsufficient funds" in attempt["last_message"]
    await first.run_once()
    assert {each.waiting_code for each in await fleet.node.again(more)} == {"gas_low"}
    await fleet.settle([first, second], more)
    assert len(await fleet.node.rows("SELECT * FROM attempt WHERE sequence > 1")) == 0
    anvil.rpc("anvil_setBalance", LANE, hex(10**20))
    await fleet.settle([first, second], written)
    await fleet.assert_paid_once([*written, *more])


class _Killed(Exception):
    """Stands for kill -9 at a failpoint."""


def _kill_at(window: str) -> Callable[[str], None]:
    def at(name: str) -> None:
        if name == window:
            raise _Killed(name)

    return at


async def test_a_stopped_lane_holds_nobody_up(fleet: Fleet) -> None:
    workers = fleet.workers()
    for each in workers:
        await each.run_once()
    lane = await fleet.lane(LANE)
    async with fleet.node.ledger.units() as unit:
        await unit.settlement.set_lane_status(lane.id, LaneStatus.STOPPED, "a test")
    transfers = await fleet.node.funded(8)
    await fleet.settle(workers, transfers)
    assert (await fleet.nonces())[LANE] == []


async def test_what_a_stopped_lane_has_stored_is_sent_all_the_same(fleet: Fleet) -> None:
    transfers = await fleet.node.funded(2)
    first, _ = fleet.workers(first={"failpoint": _kill_at("after_store")})
    with pytest.raises(_Killed):
        await first.run_once()
    lane = await fleet.lane(LANE)
    async with fleet.node.ledger.units() as unit:
        await unit.settlement.set_lane_status(lane.id, LaneStatus.STOPPED, "a test")
    await fleet.kill()
    await fleet.settle(fleet.workers(), transfers)
    await fleet.assert_paid_once(transfers)


async def test_a_lane_that_is_no_operator_any_more_stops_alone(fleet: Fleet) -> None:
    workers = fleet.workers()
    fleet.node.onchain.send(fleet.node.onchain.contract, "removeOperator(address)", LANE)
    transfers = await fleet.node.funded(8)
    await fleet.settle(workers, transfers)
    await fleet.assert_paid_once(transfers)
    lane = await fleet.lane(LANE)
    assert (lane.status, lane.next_nonce) == (LaneStatus.STOPPED, 0)
    assert lane.status_reason is not None
    assert "operator" in lane.status_reason
    async with fleet.node.ledger.units() as unit:
        assert await unit.settlement.pauses() == []


async def test_a_lane_that_another_process_holds_is_left_to_it(fleet: Fleet) -> None:
    elsewhere, _ = fleet.workers()
    await elsewhere.run_once()
    transfers = await fleet.node.funded(8)
    await fleet.settle(fleet.workers(), transfers)
    assert (await fleet.nonces())[LANE] == []
    await fleet.assert_paid_once(transfers)


async def test_while_a_lane_is_ahead_no_lane_writes_and_what_is_under_way_goes_on(
    fleet: Fleet,
) -> None:
    workers = fleet.workers()
    await workers[0].run_once()
    transfers = await fleet.node.funded(2)
    await workers[1].run_once()
    more = await fleet.node.funded(2)
    lane = await fleet.lane(LANE)
    await fleet.node.execute("UPDATE lane SET status = 'ahead' WHERE id = $1", lane.id)
    await workers[1].run_once()
    await fleet.finality()
    assert await fleet.node.states(transfers) == {State.SETTLED}
    assert await fleet.node.states(more) == {State.FUNDED}


class Refusing(EvmChain):
    """A chain whose providers answer no send of one lane, and take nothing of it."""

    is_well = False

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        if self.is_well:
            return await super().send_raw(raw)
        return [[SendAnswer("p", None, None, "HTTP 403", answered=False)] for _ in raw]


async def test_a_lane_whose_sends_nobody_hears_is_given_no_more(fleet: Fleet) -> None:
    fleet.fees = FeeRules(resend_after_s=0)
    chain = Refusing(fleet.node.providers)
    workers = fleet.workers(first={"chain": chain})
    for each in workers:
        await each.run_once()
    transfers = list(await fleet.node.funded(8))
    for _ in range(3):
        await asyncio.gather(*(each.run_once() for each in workers))
    lost = (await fleet.nonces())[LANE]
    transfers += await fleet.node.funded(8)
    for _ in range(3):
        await asyncio.gather(*(each.run_once() for each in workers))
    assert (await fleet.nonces())[LANE] == lost  # no nonce was taken in between
    chain.is_well = True
    await fleet.settle(workers, transfers)
    await fleet.assert_paid_once(transfers)


@pytest.mark.parametrize("one_process", [True, False])
async def test_a_number_is_voided_by_one_lane_only(fleet: Fleet, *, one_process: bool) -> None:
    fleet.one_process = one_process
    workers = fleet.workers()
    for each in workers:
        await each.run_once()
    transfers = await fleet.node.funded(20)
    await fleet.node.execute("UPDATE transfer SET was_written = true")
    async with fleet.node.ledger.units() as unit:
        events = await transfer_moves.apply(
            unit,
            await unit.transfers.lock_many([each.id for each in transfers]),
            Happening.VOID_ASKED,
            changes=lambda _: {"void_outcome": "canceled"},
        )
        await unit.events.append(events)
    await asyncio.gather(*(each.run_once() for each in workers))
    rows = await fleet.node.rows("SELECT purpose, members FROM slot")
    assert [tuple(each) for each in rows] == [("void", 20)]
    await fleet.finality()
    assert await fleet.node.states(transfers) == {State.CANCELED}


async def test_voids_keep_to_the_limit_of_unmined_transactions(fleet: Fleet) -> None:
    short_of(fleet)
    transfers = await fleet.node.funded(SLOTS_MAX + 2)
    first, _ = fleet.workers()
    await first.run_once()
    late = [e for e in await fleet.node.again(transfers) if e.slot_id is None]
    await fleet.node.execute(
        "UPDATE transfer SET was_written = true, state = 'voiding', void_outcome = 'canceled'"
        " WHERE id = ANY($1::uuid[])",
        [each.id for each in late],
    )
    await first.run_once()
    assert len((await fleet.nonces())[LANE]) == SLOTS_MAX


async def test_a_cap_makes_the_rest_wait_until_it_is_refilled(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    anvil = start_anvil(automine=False)
    fleet = await Fleet.open(database_url, anvil, cap_units=3 * BUY)
    first, _ = fleet.workers()
    transfers = await fleet.node.funded(4)
    await first.run_once()
    more = await fleet.node.funded(1)
    await first.run_once()  # what is written and not mined counts
    waiting = [each.waiting_code for each in await fleet.node.again([*transfers, *more])]
    assert waiting == [None, None, None, "cap_reached", "cap_reached"]
    await fleet.finality()
    assert len(fleet.node.onchain.payouts()) == 3
    anvil.rpc("evm_increaseTime", 86_400)
    fleet.node.mine(1)
    await fleet.kill()
    await fleet.settle(fleet.workers(), [*transfers, *more])
    await fleet.assert_paid_once([*transfers, *more])
    await fleet.node.close()


async def test_what_lanes_and_contract_hold_is_noted_for_operators(fleet: Fleet) -> None:
    for each in fleet.workers():
        await each.run_once()
    rows = await fleet.node.rows("SELECT role, balance_wei, cap_left, seen_at FROM lane")
    assert {each["role"] for each in rows} == {"settle"}
    for each in rows:
        assert each["balance_wei"] > 0
        assert each["cap_left"] == 2**63 - 1
        assert each["seen_at"] is not None
    (seen,) = await fleet.node.rows("SELECT * FROM contract_state")
    held = fleet.node.onchain.balance(fleet.node.onchain.contract)
    assert (seen["chain_id"], seen["float_units"]) == (CHAIN_ID, held)
    assert (seen["paused"], seen["token_paused"], seen["cap_left"]) == (False, False, 2**63 - 1)


async def test_a_delegated_account_settles_nothing_until_it_is_one_no_more(fleet: Fleet) -> None:
    anvil = fleet.node.onchain.anvil
    anvil.rpc("anvil_setCode", LANE, "0xef0100" + "11" * 20)
    workers = fleet.workers()
    transfers = await fleet.node.funded(4)
    await fleet.settle(workers, transfers)
    lane = await fleet.lane(LANE)
    assert (lane.status, lane.next_nonce) == (LaneStatus.STOPPED, 0)
    assert lane.status_reason is not None
    assert "EIP-7702" in lane.status_reason
    async with fleet.node.ledger.units() as unit:
        await unit.settlement.restart_lanes(CHAIN_ID)
    await workers[0].run_once()
    assert (await fleet.lane(LANE)).status is LaneStatus.STOPPED  # it still is
    anvil.rpc("anvil_setCode", LANE, "0x")
    async with fleet.node.ledger.units() as unit:
        await unit.settlement.restart_lanes(CHAIN_ID)
    await workers[0].run_once()
    assert (await fleet.lane(LANE)).status is LaneStatus.ACTIVE
