"""Treasury movements: asked for by an operator, sent by the treasury's own lane, once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from adapters.evm.addresses import Eip55
from adapters.evm.client import EvmChain
from adapters.evm.signer import KeystoreSigner
from adapters.machine import new_id
from node.core.errors import AddressInvalid, InvalidInput, NodeError, NotFound, Refused
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.movements import Movement
from node.core.ports.settlement import Lane
from node.core.settlement import LaneStatus, PauseReason
from node.core.signing import KeyRole
from node.core.treasury import NodeAddresses
from node.core.units import Money
from node.services.settlement.operations import SettlementOperations
from node.services.settlement.treasury import TreasuryService
from node.services.settlement.treasury_operations import MovementRequest, TreasuryOperations
from node.store.lane_lock import AdvisoryLaneLock
from tests.builders import CHAIN_ID, render_error
from tests.onchain import LANE, address_of
from tests.rig import DEV_ACCOUNTS, AnvilServer
from tests.services.keyed import ETH, OLGA, USDC, no_answer
from tests.services.settling import Killed, MakeRig, Rig, killer

TREASURY, TREASURY_KEY = DEV_ACCOUNTS[2]
TOP_UP = 5_000_000


@dataclass
class Desk:
    """An operator's desk over a rig whose treasury holds tokens."""

    rig: Rig
    operations: SettlementOperations
    requests: TreasuryOperations

    async def ask(
        self,
        kind: str,
        to: str,
        amount: Money,
        *,
        claim: Claim | None = None,
        source: str = TREASURY,
    ) -> str:
        answer = await self.requests.request_movement(
            MovementRequest(OLGA, kind, source, to, amount),
            claim,
            lambda each: Answer(201, encode_id(Prefix.MOVEMENT, each.id).encode()),
            lambda error: Answer(422, error.code.encode()),
        )
        return answer.body.decode()

    async def lanes(self) -> Sequence[Lane]:
        async with self.rig.node.units() as unit:
            return [each.lane for each in await unit.settlement_views.lanes(CHAIN_ID, "ETH")]

    async def movement(self, movement_id: str) -> Movement:
        return await self.requests.movement(movement_id)

    def treasury(
        self, at: Callable[[str], None] | None = None, chain: EvmChain | None = None
    ) -> TreasuryService:
        lock = AdvisoryLaneLock(self.rig.database_url)
        self.rig.workers.append(lock)
        parts = replace(
            self.rig.parts(at, chain),
            signer=KeystoreSigner.of_key(TREASURY_KEY),
            lock=lock,
            role=KeyRole.TREASURY,
        )
        return TreasuryService(parts, self.requests.addresses)

    @property
    def contract(self) -> str:
        return "0x" + self.rig.onchain.contract.hex()


@pytest.fixture
async def desk(make_rig: MakeRig, anvil: AnvilServer) -> Desk:
    rig = await make_rig(anvil)
    onchain = rig.onchain
    onchain.send(onchain.token, "mint(address,uint256)", TREASURY, TOP_UP)
    addresses = NodeAddresses(
        onchain.contract, "USDC", "ETH", [address_of(LANE)], address_of(TREASURY)
    )
    return Desk(
        rig,
        SettlementOperations(rig.node.units, CHAIN_ID, has_pauser=False),
        TreasuryOperations(rig.node.units, addresses, Eip55(), new_id, rig.chain),
    )


async def test_a_float_top_up_moves_tokens_from_the_treasury_to_the_contract(desk: Desk) -> None:
    before = desk.rig.onchain.balance(desk.rig.onchain.contract)
    asked = await desk.ask("float_top_up", desk.contract, Money(TOP_UP, USDC))
    await desk.treasury().run_once()
    await desk.rig.until_mined()
    assert desk.rig.onchain.balance(desk.rig.onchain.contract) == before + TOP_UP
    movement = await desk.movement(asked)
    assert movement.state == "submitted"
    (slot,) = await desk.rig.slots()
    assert (slot["id"], slot["purpose"], slot["amount_total"]) == (movement.slot_id, "movement", 0)


async def test_lane_gas_arrives_to_the_wei(desk: Desk) -> None:
    lane = address_of(LANE)
    before = await desk.rig.chain.native_balance(lane, "latest")
    await desk.ask("lane_gas", LANE, Money(7, ETH))
    await desk.treasury().run_once()
    await desk.rig.until_mined()
    assert await desk.rig.chain.native_balance(lane, "latest") == before + 7 * 10**9


@pytest.mark.parametrize(
    "window", ["after_movement_write", "after_sign", "after_store", "after_send"]
)
async def test_a_movement_is_made_once_whenever_the_worker_is_killed(
    desk: Desk, window: str
) -> None:
    before = desk.rig.onchain.balance(desk.rig.onchain.contract)
    await desk.ask("float_top_up", desk.contract, Money(1, USDC))
    with pytest.raises(Killed):
        await desk.treasury(killer(window)).run_once()
    await desk.rig.kill()
    successor = desk.treasury()
    for _ in range(3):
        await successor.run_once()
    await desk.rig.until_mined()
    assert desk.rig.onchain.balance(desk.rig.onchain.contract) == before + 1
    assert [each["nonce"] for each in await desk.rig.slots()] == [0]


async def paused(operations: SettlementOperations, *, note: str | None) -> None:
    await operations.pause(
        OLGA, hard=False, note=note, claim=None, render=no_answer, render_error=render_error
    )


async def resumed(operations: SettlementOperations) -> None:
    await operations.resume(
        OLGA, PauseReason.OPERATOR, claim=None, render=no_answer, render_error=render_error
    )


async def test_the_same_request_twice_is_one_movement(desk: Desk) -> None:
    claim = Claim(OLGA.key, "POST", "/v1/settlement/movements", "key", bytes(32))
    amount = Money(1, USDC)
    first = await desk.ask("float_top_up", desk.contract, amount, claim=claim)
    assert await desk.ask("float_top_up", desk.contract, amount, claim=claim) == first
    await desk.treasury().run_once()
    assert len(await desk.rig.slots()) == 1


async def test_nothing_is_moved_while_settlement_is_paused(desk: Desk) -> None:
    await paused(desk.operations, note="looking")
    await desk.ask("float_top_up", desk.contract, Money(1, USDC))
    await desk.treasury().run_once()
    assert await desk.rig.slots() == []
    (pause,) = await desk.operations.pauses()
    assert (pause.reason, pause.paused_by, pause.note) == (
        PauseReason.OPERATOR,
        OLGA.key,
        "looking",
    )
    await resumed(desk.operations)
    assert await desk.operations.pauses() == []


class PausingChain(EvmChain):
    """A chain during whose reads somebody pauses settlement."""

    def __init__(self, desk: "Desk") -> None:
        super().__init__(desk.rig.providers)
        self._desk = desk

    async def chain_id(self) -> int:
        await paused(self._desk.operations, note=None)
        return await super().chain_id()


async def test_a_pause_while_the_chain_is_asked_stops_a_movement(desk: Desk) -> None:
    await desk.treasury().run_once()  # the lane is known
    await desk.rig.kill()
    worker = desk.treasury(chain=PausingChain(desk))
    await worker.run_once()  # the lease asks for the chain too
    await resumed(desk.operations)
    asked = await desk.ask("float_top_up", desk.contract, Money(1, USDC))
    await worker.run_once()
    assert len(await desk.operations.pauses()) == 1
    assert await desk.rig.slots() == []
    assert (await desk.movement(asked)).state == "requested"


async def test_a_movement_above_the_balance_fails_and_holds_up_no_other(desk: Desk) -> None:
    balance_wei = await desk.rig.chain.native_balance(address_of(TREASURY), "latest")
    too_large = await desk.ask("lane_gas", LANE, Money(balance_wei // 10**9, ETH))  # no gas left
    after_it = await desk.ask("lane_gas", LANE, Money(7, ETH))
    assert await desk.treasury().run_once() > 0
    failed, sent = await desk.movement(too_large), await desk.movement(after_it)
    assert (failed.state, failed.slot_id, sent.state) == ("failed", None, "submitted")
    assert failed.failure is not None
    assert failed.failure["code"] == "insufficient_funds"
    assert [each["nonce"] for each in await desk.rig.slots()] == [0]


async def test_a_movement_that_only_earlier_ones_make_too_large_waits_for_them(desk: Desk) -> None:
    balance_wei = await desk.rig.chain.native_balance(address_of(TREASURY), "latest")
    most = Money(balance_wei // 10**9 * 6 // 10, ETH)
    asked = [await desk.ask("lane_gas", LANE, most) for _ in range(2)]
    worker = desk.treasury()
    await worker.run_once()  # the first is written, sent and mined
    states = [(await desk.movement(each)).state for each in asked]
    assert states == ["submitted", "requested"]
    await worker.run_once()
    assert (await desk.movement(asked[1])).state == "failed"


async def test_an_operator_who_resumes_starts_lanes_that_stopped_but_none_that_is_ahead(
    desk: Desk,
) -> None:
    stopped = desk.rig.worker()
    await stopped.run_once()
    await desk.treasury().run_once()
    transfers = await desk.rig.funded(1)
    one, other = await desk.lanes()
    async with desk.rig.node.units() as unit:
        await unit.settlement.set_lane_status(one.id, LaneStatus.STOPPED, "excluded")
        await unit.settlement.set_lane_status(other.id, LaneStatus.AHEAD, "used elsewhere")
    assert await stopped.run_once() == 0
    await resumed(desk.operations)
    assert [each.status for each in await desk.lanes()] == [
        LaneStatus.ACTIVE,
        LaneStatus.AHEAD,
    ]
    await desk.rig.settle(stopped, transfers)
    desk.rig.assert_each_paid_once(transfers)


@pytest.mark.parametrize(
    ("kind", "to", "amount", "error", "pointer"),
    [
        ("gift", LANE, Money(1, ETH), InvalidInput, "/kind"),
        ("float_top_up", LANE, Money(1, USDC), Refused, "/to"),
        ("lane_gas", TREASURY, Money(1, ETH), Refused, "/to"),
        ("lane_gas", LANE[:-1], Money(1, ETH), AddressInvalid, "/to"),
        ("lane_gas", LANE, Money(1, USDC), Refused, "/currency"),
        ("lane_gas", LANE, Money(0, ETH), Refused, "/amount"),
        ("rescue", LANE, Money(1, ETH), Refused, None),
    ],
)
async def test_only_known_movements_between_own_addresses_are_accepted(
    desk: Desk, kind: str, to: str, amount: Money, error: type[NodeError], pointer: str | None
) -> None:
    with pytest.raises(error) as caught:
        await desk.ask(kind, to, amount)
    assert pointer_of(caught.value) == pointer


def pointer_of(error: NodeError) -> str | None:
    """Which member of the body is wrong; None: the request as a whole."""
    faults: Any = error.context.get("errors", [])
    assert [each["message"] for each in faults] in ([], [error.detail])
    return faults[0]["pointer"] if faults else None


async def test_a_movement_from_elsewhere_is_told_from_where_it_goes(desk: Desk) -> None:
    with pytest.raises(Refused) as caught:
        await desk.ask("lane_gas", LANE, Money(1, ETH), source=LANE)
    assert pointer_of(caught.value) == "/from"
    treasury, lane = (Eip55().text(address_of(each)) for each in (TREASURY, LANE))
    assert caught.value.detail == f"coin for gas goes from {treasury} to {lane}"


async def test_a_movement_that_is_not_there_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.requests.movement(encode_id(Prefix.MOVEMENT, new_id()))
