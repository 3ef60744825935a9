"""Settlement on a real chain and a real database: paid once, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from adapters.evm.client import EvmChain
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.ports import UnitOfWork
from node.core.ports.chain import SendAnswer
from node.core.settlement import BatchRules, LaneStatus, PauseReason
from node.core.submission import FeeRules
from node.core.transfers import Happening, State
from node.services.settlement.parts import SettlementParts
from node.services.settlement.settling import SettlementService
from node.services.transfers import transfer_moves
from tests.builders import a_claim, render, render_error
from tests.onchain import ADMIN, LANE
from tests.rig import AnvilServer
from tests.services.settling import BUY, PASSES_MAX, Killed, MakeRig, Rig, ids, killer


@pytest.fixture
async def rig(make_rig: MakeRig, anvil: AnvilServer) -> Rig:
    """A chain that mines each transaction at once."""
    return await make_rig(anvil)


@pytest.fixture
async def slow_rig(make_rig: MakeRig, start_anvil: Callable[..., AnvilServer]) -> Rig:
    """A chain that mines only when told."""
    return await make_rig(start_anvil(automine=False))


async def test_funded_transfers_are_paid_in_one_batch(rig: Rig) -> None:
    transfers = await rig.funded(5)
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)
    assert await rig.states(transfers) == {State.SUBMITTED}
    (slot,) = await rig.slots()
    assert (slot["nonce"], slot["members"], slot["tries"]) == (0, 5, 1)
    assert {each.slot_id for each in await rig.again(transfers)} == {slot["id"]}


async def test_more_than_one_batch_takes_consecutive_nonces(rig: Rig) -> None:
    rig.rules = BatchRules(payments_max=4, wait_ms=0)
    transfers = await rig.funded(10)
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)
    assert [each["nonce"] for each in await rig.slots()] == [0, 1, 2]


WINDOWS = ("after_gate", "after_write", "after_sign", "after_store", "after_send")


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_worker_killed_at_any_window_is_followed_by_one_that_pays_once(
    rig: Rig, window: str
) -> None:
    transfers = await rig.funded(3)
    with pytest.raises(Killed):
        await rig.worker(killer(window)).run_once()
    await rig.kill()
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)
    assert [each["tries"] for each in await rig.slots()] == [1]
    assert rig.onchain.nonce() == 1


class Stall:
    """Holds a worker up at a window until it is let go: its next step outside waits."""

    def __init__(self, window: str, parts: SettlementParts) -> None:
        self._window = window
        self._armed = False
        self._inner = parts
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()

    def __call__(self, at: str) -> None:
        self._armed = self._armed or at == self._window

    async def wait(self) -> None:
        if self._armed:
            self.reached.set()
            await self.let_go.wait()

    def worker(self) -> SettlementService:
        units = StalledUnits(self, self._inner.units)
        return SettlementService(
            replace(self._inner, units=units, chain=StalledChain(self), failpoint=self)
        )


class StalledUnits:
    """The database of a worker that may be held up."""

    def __init__(self, stall: Stall, inner: UnitOfWork) -> None:
        self._stall = stall
        self._inner = inner

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        await self._stall.wait()
        async with self._inner() as unit:
            yield unit

    def snapshot(self) -> AbstractAsyncContextManager[Any]:
        return self._inner.snapshot()


class StalledChain:
    """The chain of a worker that may be held up."""

    def __init__(self, stall: Stall) -> None:
        self._stall = stall

    def pinned(self) -> AbstractContextManager[None]:
        return self._stall._inner.chain.pinned()

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            await self._stall.wait()
            return await getattr(self._stall._inner.chain, name)(*arguments, **named)

        return call


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_holder_that_was_overtaken_changes_nothing_any_more(rig: Rig, window: str) -> None:
    transfers = await rig.funded(3)
    stall = Stall(window, rig.parts())
    old = stall.worker()
    first = asyncio.create_task(old.run_once())
    async with asyncio.timeout(60):
        await stall.reached.wait()
    await rig.kill()  # the old holder's lock is gone, the old holder is not
    await rig.settle(rig.worker(), transfers)
    stall.let_go.set()
    await first
    await old.run_once()
    rig.assert_each_paid_once(transfers)
    assert [(each["nonce"], each["tries"]) for each in await rig.slots()] == [(0, 1)]
    assert rig.onchain.nonce() == 1


async def test_two_workers_on_one_lane_pay_each_transfer_once(rig: Rig) -> None:
    rig.rules = BatchRules(payments_max=2, wait_ms=0)
    transfers = await rig.funded(20)
    one, two = rig.worker(), rig.worker()
    for _ in range(PASSES_MAX):
        await asyncio.gather(one.run_once(), two.run_once())
        if len(rig.onchain.payouts()) >= len(transfers):
            break
        rig.onchain.anvil.mine()
        await rig.execute("UPDATE slot SET state = 'included', included_block_number = 1")
    rig.assert_each_paid_once(transfers)
    assert [each["nonce"] for each in await rig.slots()] == list(range(rig.onchain.nonce()))


async def test_a_denied_beneficiary_fails_at_the_gate_and_the_others_are_paid(rig: Rig) -> None:
    transfers = await rig.funded(3)
    denied = transfers[1]
    rig.onchain.send(rig.onchain.token, "deny(address)", denied.beneficiary_address)
    paid = [transfers[0], transfers[2]]
    await rig.settle(rig.worker(), paid)
    rig.assert_each_paid_once(paid)
    (failed,) = await rig.again([denied])
    assert (failed.state, failed.was_written) == (State.FAILED, False)
    assert failed.failure is not None
    assert failed.failure["code"] == "beneficiary_refused"


async def test_a_paused_token_makes_transfers_wait_until_it_goes_on(rig: Rig) -> None:
    transfers = await rig.funded(2)
    rig.onchain.send(rig.onchain.token, "pause()")
    worker = rig.worker()
    await worker.run_once()
    assert {each.waiting_code for each in await rig.again(transfers)} == {"token_paused"}
    assert await rig.slots() == []
    assert rig.onchain.nonce() == 0
    rig.onchain.send(rig.onchain.token, "unpause()")
    await rig.settle(worker, transfers)
    rig.assert_each_paid_once(transfers)
    assert {each.waiting_code for each in await rig.again(transfers)} == {None}


async def test_a_paused_contract_makes_transfers_wait(rig: Rig) -> None:
    transfers = await rig.funded(2)
    rig.onchain.send(rig.onchain.contract, "pause()")
    await rig.worker().run_once()
    assert {each.waiting_code for each in await rig.again(transfers)} == {"paused"}
    assert await rig.slots() == []


async def test_what_the_float_pays_goes_and_the_rest_waits_in_its_order(
    make_rig: MakeRig, anvil: AnvilServer
) -> None:
    rig = await make_rig(anvil, float_units=2 * BUY + 5)
    transfers = await rig.funded(4)
    await rig.settle(rig.worker(), transfers[:2])
    rig.assert_each_paid_once(transfers[:2])
    assert {each.waiting_code for each in await rig.again(transfers[2:])} == {"float_short"}


async def test_written_batches_count_against_the_float_before_they_are_mined(
    make_rig: MakeRig, start_anvil: Callable[..., AnvilServer]
) -> None:
    rig = await make_rig(start_anvil(automine=False), float_units=3 * BUY)
    worker = rig.worker()
    first = await rig.funded(2)
    await worker.run_once()
    second = await rig.funded(2)
    await worker.run_once()
    assert [each["members"] for each in await rig.slots()] == [2, 1]
    assert [each.waiting_code for each in await rig.again(second)] == [None, "float_short"]
    rig.onchain.anvil.mine()
    rig.assert_each_paid_once([*first, second[0]])


async def test_a_pause_stops_new_batches_and_a_resume_lets_them_go(rig: Rig) -> None:
    transfers = await rig.funded(2)
    async with rig.node.units() as unit:
        await unit.settlement.pause(PauseReason.OPERATOR, "operator:olga", hard=False, note=None)
    await rig.worker().run_once()
    assert await rig.slots() == []
    assert {each.waiting_code for each in await rig.again(transfers)} == {"paused"}
    async with rig.node.units() as unit:
        assert await unit.settlement.resume(PauseReason.OPERATOR, "operator:olga") == 1
    await rig.kill()
    await rig.settle(rig.worker(), transfers)
    rig.assert_each_paid_once(transfers)


async def test_a_number_to_void_is_voided_and_never_paid(rig: Rig) -> None:
    transfers = await rig.funded(2)
    with pytest.raises(Killed):
        await rig.worker(killer("after_write")).run_once()
    await rig.kill()
    async with rig.node.units() as unit:
        events = await transfer_moves.apply(
            unit,
            await unit.transfers.lock_many(ids(transfers[:1])),
            Happening.VOID_ASKED,
            changes=lambda _: {"void_outcome": "canceled"},
        )
        await unit.events.append(events)
    await rig.execute("UPDATE slot SET state = 'final'")  # as if its batch had reverted
    await rig.execute("UPDATE slot_member SET live = false")
    await rig.execute("UPDATE lane SET next_nonce = 0")
    await rig.execute(
        "ALTER TABLE slot DISABLE TRIGGER keeps_its_call; UPDATE slot SET nonce = nonce + 1000;"
        " ALTER TABLE slot ENABLE TRIGGER keeps_its_call"
    )
    worker = rig.worker()
    await worker.run_once()
    purposes = [(each["purpose"], each["state"]) for each in await rig.slots()]
    assert purposes[0] == ("void", "submitted")
    await rig.until_mined()
    assert rig.onchain.used(transfers[0].payment_number)
    assert rig.onchain.payouts() == []
    assert await worker.run_once() == 0  # one live void is enough


async def test_nothing_is_voided_while_a_lane_has_to_be_adopted(rig: Rig) -> None:
    transfers = await rig.funded(1)
    async with rig.node.units() as unit:
        events = await transfer_moves.apply(
            unit,
            await unit.transfers.lock_many(ids(transfers)),
            Happening.VOID_ASKED,
            changes=lambda _: {"void_outcome": "canceled"},
        )
        await unit.events.append(events)
    await rig.execute(
        "INSERT INTO lane (chain_id, address, next_nonce, status)"
        " SELECT chain_id, decode(repeat('aa', 20), 'hex'), 1, 'ahead' FROM settlement_contract"
    )
    worker = rig.worker()
    await worker.run_once()
    assert await rig.slots() == []
    await rig.execute("UPDATE lane SET status = 'active'")
    await worker.run_once()
    assert [each["purpose"] for each in await rig.slots()] == ["void"]


async def test_what_is_still_funded_after_its_time_expires_and_the_money_is_free(
    rig: Rig,
) -> None:
    rig.rules = BatchRules(payments_max=256, wait_ms=10**9)
    transfers = await rig.funded(2)
    await rig.execute("UPDATE transfer SET settle_by = now() - interval '1 second'")
    await rig.execute("UPDATE transfer SET was_written = true WHERE id = $1", transfers[1].id)
    await rig.worker().run_once()
    expired, voiding = await rig.again(transfers)
    assert (expired.state, voiding.state) == (State.EXPIRED, State.VOIDING)
    assert voiding.void_outcome == "expired"


class Silent(EvmChain):
    """A chain whose answers to sends get lost; the bytes may or may not arrive."""

    def __init__(self, rig: Rig, *, arrives: bool) -> None:
        super().__init__(rig.providers)
        self._arrives = arrives

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        if self._arrives:
            await super().send_raw(raw)
        return [[SendAnswer("lost", None, None, "ReadTimeout", answered=False)] for _ in raw]


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_lost_answer_makes_it_unknown_and_the_same_bytes_are_sent_again(
    slow_rig: Rig, *, arrives: bool
) -> None:
    rig = slow_rig
    transfers = await rig.funded(2)
    await rig.worker(chain=Silent(rig, arrives=arrives)).run_once()
    assert await rig.states(transfers) == {State.UNKNOWN}
    await rig.kill()
    await rig.execute("UPDATE attempt SET last_sent_at = now() - interval '1 minute'")
    await rig.worker().run_once()
    assert await rig.states(transfers) == {State.SUBMITTED}
    rig.onchain.anvil.mine()
    rig.assert_each_paid_once(transfers)
    assert [each["tries"] for each in await rig.slots()] == [1]


@pytest.mark.parametrize("window", ["after_bump_sign", "after_bump_store", "after_send"])
async def test_a_kill_in_a_bump_leaves_one_nonce_and_one_payment(
    slow_rig: Rig, window: str
) -> None:
    rig = slow_rig
    rig.fees = FeeRules(bump_after_blocks=0, resend_after_s=0)
    transfers = await rig.funded(2)
    worker = rig.worker()
    await worker.run_once()
    base_fee_wei = 10**11
    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
    rig.onchain.anvil.rpc("anvil_dropAllTransactions")
    rig.onchain.anvil.mine()
    await rig.kill()
    with pytest.raises(Killed):
        await rig.worker(killer(window)).run_once()
    await rig.kill()
    successor = rig.worker()
    for _ in range(3):
        await successor.run_once()
    rig.onchain.anvil.mine()
    rig.assert_each_paid_once(transfers)
    (slot,) = await rig.slots()
    assert slot["tries"] >= 2
    assert rig.onchain.nonce() == 1


async def test_a_lane_whose_key_is_used_elsewhere_is_ahead_and_writes_nothing(rig: Rig) -> None:
    await rig.settle(rig.worker(), first := await rig.funded(1))
    await rig.kill()
    rig.onchain.anvil.rpc("eth_sendTransaction", {"from": LANE, "to": ADMIN, "value": "0x1"})
    second = await rig.funded(1)
    assert await rig.worker().run_once() == 0
    assert (await rig.lane()).status is LaneStatus.AHEAD
    rig.assert_each_paid_once(first)
    assert await rig.states(second) == {State.FUNDED}


async def test_unknown_code_at_the_contract_pauses_settlement(rig: Rig) -> None:
    transfers = await rig.funded(1)
    rig.onchain.anvil.rpc("anvil_setCode", "0x" + rig.onchain.contract.hex(), "0x6001")
    await rig.worker().run_once()
    async with rig.node.units() as unit:
        (pause,) = await unit.settlement.pauses()
    assert pause.note is not None
    assert "not the one of this release" in pause.note
    assert await rig.slots() == []
    assert await rig.states(transfers) == {State.FUNDED}


async def test_code_that_changes_under_a_running_worker_pauses_settlement(rig: Rig) -> None:
    worker = rig.worker()
    await worker.run_once()
    rig.onchain.anvil.rpc("anvil_setCode", "0x" + rig.onchain.contract.hex(), "0x6001")
    transfers = await rig.funded(1)
    await worker.run_once()
    async with rig.node.units() as unit:
        assert [each.reason for each in await unit.settlement.pauses()] == [PauseReason.OPERATOR]
    assert await rig.slots() == []
    assert await rig.states(transfers) == {State.FUNDED}


async def test_a_number_that_the_chain_has_used_is_not_signed_again(rig: Rig) -> None:
    transfers = await rig.funded(2)
    rig.onchain.send(rig.onchain.contract, "void(uint64[])", [transfers[0].payment_number])
    await rig.settle(rig.worker(), transfers[1:])
    rig.assert_each_paid_once(transfers[1:])
    assert await rig.states(transfers[:1]) == {State.FUNDED}  # until the mirror tells of its use


async def test_a_written_number_that_the_chain_has_used_is_an_operators(rig: Rig) -> None:
    transfers = await rig.funded(2)
    await rig.execute("UPDATE transfer SET was_written = true WHERE id = $1", transfers[0].id)
    rig.onchain.send(rig.onchain.contract, "void(uint64[])", [transfers[0].payment_number])
    await rig.settle(rig.worker(), transfers[1:])
    assert await rig.states(transfers[:1]) == {State.ON_HOLD}


async def test_what_three_batches_did_not_pay_is_left_to_an_operator(rig: Rig) -> None:
    transfers = await rig.funded(2)
    await rig.execute("UPDATE transfer SET batches_failed = 3 WHERE id = $1", transfers[0].id)
    await rig.settle(rig.worker(), transfers[1:])
    rig.assert_each_paid_once(transfers[1:])
    (held,) = await rig.again(transfers[:1])
    assert held.state is State.ON_HOLD
    assert held.failure is not None
    assert held.failure["code"] == "batches_failed"


async def test_a_released_transfer_is_paid(rig: Rig) -> None:
    transfers = await rig.funded(1)
    await rig.execute("UPDATE transfer SET batches_failed = 3")
    worker = rig.worker()
    await worker.run_once()
    assert await rig.states(transfers) == {State.ON_HOLD}
    olga = Principal(Role.OPERATOR, "olga")
    transfer_id = encode_id(Prefix.TRANSFER, transfers[0].id)
    release = rig.node.transfers.release
    answer = await release(olga, transfer_id, a_claim(olga), render, render_error)
    assert orjson.loads(answer.body)["state"] == "funded"
    again = await release(olga, transfer_id, a_claim(olga), render, render_error)
    assert orjson.loads(again.body) == {"code": "wrong_state"}
    await rig.settle(worker, transfers)
    rig.assert_each_paid_once(transfers)
    (paid,) = await rig.again(transfers)
    assert (paid.batches_failed, paid.failure) == (0, None)


async def test_a_denied_beneficiary_that_was_written_before_waits_for_its_void(rig: Rig) -> None:
    transfers = await rig.funded(1)
    await rig.execute("UPDATE transfer SET was_written = true, batches_failed = 1")
    await rig.finalize()
    rig.onchain.send(rig.onchain.token, "deny(address)", transfers[0].beneficiary_address)
    worker = rig.worker()
    await worker.run_once()
    assert await rig.states(transfers) == {State.FUNDED}  # a reorg could still take it back
    await rig.finalize()
    await rig.kill()
    await rig.worker().run_once()
    (refused,) = await rig.again(transfers)
    assert (refused.state, refused.void_outcome) == (State.VOIDING, "failed")
    assert rig.onchain.payouts() == []


async def test_a_final_block_whose_state_is_gone_holds_nobody_else_up(rig: Rig) -> None:
    worker = rig.worker()
    await worker.run_once()
    transfers = await rig.funded(2)
    await rig.execute("UPDATE transfer SET was_written = true WHERE id = $1", transfers[0].id)
    await rig.finalize()
    await rig.execute("UPDATE chain_cursor SET final_hash = decode(repeat('77', 32), 'hex')")
    rig.onchain.send(rig.onchain.token, "deny(address)", transfers[0].beneficiary_address)
    await rig.settle(worker, transfers[1:])
    rig.assert_each_paid_once(transfers[1:])
    assert await rig.states(transfers[:1]) == {State.FUNDED}


async def test_a_denied_contract_pauses_and_blames_no_beneficiary(rig: Rig) -> None:
    transfers = await rig.funded(2)
    rig.onchain.send(rig.onchain.token, "deny(address)", rig.onchain.contract)
    await rig.worker().run_once()
    assert await rig.states(transfers) == {State.FUNDED}
    assert await rig.slots() == []
    async with rig.node.units() as unit:
        (pause,) = await unit.settlement.pauses()
    assert pause.paused_by == "node:settle"


async def test_an_account_without_coin_for_gas_makes_transfers_wait(rig: Rig) -> None:
    transfers = await rig.funded(2)
    rig.onchain.anvil.rpc("anvil_setBalance", LANE, "0x1")
    await rig.worker().run_once()
    assert {each.waiting_code for each in await rig.again(transfers)} == {"gas_low"}
    assert await rig.slots() == []


async def test_numbers_used_on_chain_are_never_allotted_again(rig: Rig) -> None:
    rig.onchain.send(rig.onchain.contract, "void(uint64[])", list(range(1, 20)))
    await rig.worker().run_once()
    (transfer,) = await rig.funded(1)
    assert not rig.onchain.used(transfer.payment_number)
