"""Deposit addresses are swept into the float, on a real chain: once, and whoever does it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from adapters.evm.artifacts import load
from adapters.evm.deposits import ForwarderAddresses
from node.core.deposits import NewAddress, Owner
from node.core.errors import InvalidInput
from node.core.ledger import customer_account
from node.core.settlement import PauseReason, Purpose
from node.core.signing import KeyRole, SigningFacts, SigningPolicy
from node.core.sweeping import SALTS_MAX, SweepRules
from node.core.units import Address, Money
from node.services.settlement.movement_writing import MovementWriter
from node.services.settlement.settling import SettlementService
from node.services.settlement.sweeping import Sweeper
from node.services.settlement.treasury import TreasuryService
from tests.builders import CHAIN_ID
from tests.mirrored import TREASURY, TREASURY_KEY, MirroredNode, failing
from tests.onchain import ADMIN, FLOAT_UNITS, LANE, LANE_KEY, address_of, call
from tests.rig import AnvilServer
from tests.services.adopting import FEE_ABOVE_ALL, Copy, adopt, final, resume
from tests.services.keyed import USDC, Keyed
from tests.services.settling import Killed, killer

MARK = 1_000_000
SWEPT = "deposit_sweep"


def salt_of(number: int) -> bytes:
    return keccak(text=f"salt {number}")


@dataclass
class Till:
    """A node with deposit addresses, all of one customer."""

    node: MirroredNode
    factory: Address

    @classmethod
    async def open(cls, node: MirroredNode, addresses: int = 4) -> Self:
        """The factory deployed, and the node told of so many addresses."""
        anvil, contract = node.onchain.anvil, node.onchain.contract
        code = load("DepositForwarders").bytecode + encode(["address"], ["0x" + contract.hex()])
        sent = anvil.rpc("eth_sendTransaction", {"from": ADMIN, "data": "0x" + code.hex()})
        factory = address_of(anvil.mined(sent)["contractAddress"])
        node.watch = replace(node.watch, deposits=factory)
        till = cls(node, factory)
        owner = Owner(customer_id=node.payer.customer_id)
        async with node.ledger.units() as unit:
            for number in range(addresses):
                new = NewAddress(
                    CHAIN_ID, till.at(number), factory, salt_of(number), owner, is_standing=False
                )
                await unit.deposits.add_address(new)
        await node.follow()
        return till

    def at(self, number: int) -> Address:
        """A deposit address."""
        return ForwarderAddresses(self.factory, self.node.onchain.contract).address_of(
            salt_of(number)
        )

    def holds(self, number: int) -> int:
        """Token units at a deposit address, at the newest block."""
        return self.node.onchain.balance(self.at(number))

    async def pay(self, *amounts: int) -> None:
        """Pay these to the first addresses, finally."""
        for number, amount in enumerate(amounts):
            if amount:
                self.mint(number, amount)
        await self.settle()

    def mint(self, number: int, amount: int) -> None:
        onchain = self.node.onchain
        onchain.send(onchain.token, "mint(address,uint256)", "0x" + self.at(number).hex(), amount)

    async def settle(self) -> None:
        """Mine until what is under way is final, and mirror it."""
        await final(self.node)

    def stranger_sweeps(self, *numbers: int, mined: bool = True) -> None:
        """Somebody sweeps these addresses, before everything that waits."""
        token = "0x" + self.node.onchain.token.hex()
        data = call("sweep(address,bytes32[])", token, [salt_of(each) for each in numbers])
        transaction = {
            "from": ADMIN, "to": "0x" + self.factory.hex(), "data": data, "gas": hex(2_000_000),
            **FEE_ABOVE_ALL,
        }  # fmt: skip
        self.node.onchain.anvil.rpc("eth_sendTransaction", transaction)
        if mined:
            self.node.mine()

    async def treasury(self, at: Callable[[str], None] | None = None) -> TreasuryService:
        """The treasury's job as a new process has it, with the rules of its signatures."""
        for lock in self.node.locks:
            await lock.release()
        parts = self.node.key_parts(TREASURY_KEY, KeyRole.TREASURY, at)
        policy = SigningPolicy(KeyRole.TREASURY, TREASURY, self.facts())
        return TreasuryService(replace(parts, policy=policy), self.node.own, SweepRules(MARK))

    async def lane_alone(self) -> SettlementService:
        """The job of the first lane, of a node without a treasury's key."""
        own = replace(self.node.own, treasury=None)
        policy = SigningPolicy(KeyRole.SETTLE, address_of(LANE), self.facts())
        parts = replace(self.node.key_parts(LANE_KEY, KeyRole.SETTLE), policy=policy)
        sweeper = Sweeper(parts, own, SweepRules(MARK))
        return SettlementService(parts, MovementWriter(parts, own), sweeper)

    def facts(self) -> SigningFacts:
        watch = self.node.watch
        return SigningFacts(
            *(CHAIN_ID, watch.contract, watch.token, TREASURY, watch.addresses, 10**15),
            deposits=self.factory,
        )

    async def sweep(self) -> None:
        """A new process works until nothing is to be done; then all is mined and mirrored."""
        await self.work(await self.treasury())
        await self.settle()

    async def work(self, job: TreasuryService | SettlementService) -> None:
        for _ in range(20):
            if await job.run_once() == 0:
                return
        raise AssertionError("the job never comes to rest")

    async def killed(self, at: str) -> None:
        """A process that dies at this point."""
        job = await self.treasury(killer(at))
        with pytest.raises(Killed):
            await self.work(job)

    async def sweeps(self) -> list[tuple[int, str, str | None]]:
        """Amount, state and failure of every sweep, oldest first."""
        rows = await self.node.rows(
            "SELECT amount, state, failure ->> 'code' AS code FROM movement WHERE kind = $1"
            " ORDER BY created_at, id",
            SWEPT,
        )
        return [tuple(row) for row in rows]

    async def agrees(self, float_units: int) -> None:
        """The float is so much, on chain and in the books, and nothing differs."""
        node = self.node
        assert node.onchain.balance(node.onchain.contract) == float_units
        assert await node.booked(node.onchain.contract) == float_units
        for number in range(4):
            assert await node.booked(self.at(number)) == self.holds(number)
        assert failing(await node.reconcile()) == []
        assert await node.open_breaks() == []


@pytest.fixture
async def till(node: MirroredNode) -> Till:
    return await Till.open(node)


async def test_what_holds_enough_is_swept_into_the_float_in_one_transaction(till: Till) -> None:
    await till.pay(3 * MARK, MARK - 1, MARK)
    await till.sweep()
    assert await till.sweeps() == [(4 * MARK, "settled", None)]
    assert [till.holds(number) for number in range(3)] == [0, MARK - 1, 0]
    await till.agrees(FLOAT_UNITS + 4 * MARK)
    (slot,) = await till.node.rows("SELECT * FROM slot WHERE purpose = $1", Purpose.MOVEMENT.value)
    assert (slot["to_address"], slot["value_wei"]) == (till.factory, 0)
    (row,) = await till.node.rows("SELECT * FROM movement")
    assert (row["sender"], row["from_address"], row["to_address"], row["made_by"]) == (
        *(TREASURY, till.factory, till.node.onchain.contract, "node:sweep"),
    )
    customer_id = till.node.payer.customer_id
    assert customer_id is not None
    owed = customer_account(customer_id, "USDC")
    assert (await till.node.balance(owed)).posted == 5 * MARK - 1  # sweeping changes no claim


async def test_nothing_is_swept_below_the_mark(till: Till) -> None:
    await till.pay(MARK - 1, 1)
    await till.sweep()
    assert await till.sweeps() == []
    assert await till.node.rows("SELECT FROM attempt") == []


async def test_what_is_swept_is_not_swept_again_and_what_comes_later_is(till: Till) -> None:
    await till.pay(MARK)
    await till.sweep()
    await till.sweep()
    assert await till.sweeps() == [(MARK, "settled", None)]
    await till.pay(2 * MARK)
    await till.sweep()
    assert await till.sweeps() == [(MARK, "settled", None), (2 * MARK, "settled", None)]
    await till.agrees(FLOAT_UNITS + 3 * MARK)


async def test_a_denied_address_does_not_stop_the_others_and_costs_no_gas(till: Till) -> None:
    onchain = till.node.onchain
    await till.pay(MARK, 5 * MARK, MARK)
    onchain.send(onchain.token, "deny(address)", "0x" + till.at(1).hex())
    await till.sweep()
    assert await till.sweeps() == [(2 * MARK, "settled", None)]
    assert till.holds(1) == 5 * MARK
    await till.sweep()
    assert len(await till.sweeps()) == 1  # no attempt is made while it would fail
    onchain.send(onchain.token, "undeny(address)", "0x" + till.at(1).hex())
    await till.sweep()
    assert (await till.sweeps())[1:] == [(5 * MARK, "settled", None)]


async def test_an_address_that_is_denied_after_it_was_sent_fails_alone(till: Till) -> None:
    await till.pay(MARK, MARK)
    await till.killed("after_send")
    onchain = till.node.onchain
    deny = {
        "to": "0x" + onchain.token.hex(),
        "data": call("deny(address)", "0x" + till.at(0).hex()),
    }
    onchain.anvil.rpc("eth_sendTransaction", {"from": ADMIN, **deny, **FEE_ABOVE_ALL})
    await till.settle()
    assert await till.sweeps() == [(2 * MARK, "settled", None)]
    assert [till.holds(0), till.holds(1)] == [MARK, 0]
    assert await till.node.booked(till.node.onchain.contract) == FLOAT_UNITS + MARK
    assert await till.node.booked(till.at(0)) == MARK


async def test_fuller_addresses_of_an_earlier_factory_do_not_keep_others_from_being_swept(
    till: Till,
) -> None:
    await till.pay(MARK)
    await till.node.rows(
        "WITH earlier AS (INSERT INTO deposit_address"
        " (chain_id, address, factory, salt, customer_id, is_standing)"
        " SELECT $1, decode(lpad(to_hex(g), 40, 'e'), 'hex'), $2,"
        " decode(lpad(to_hex(g), 64, 'e'), 'hex'), $3, false"
        " FROM generate_series(65536, 65535 + $4) g RETURNING address)"
        " INSERT INTO chain_holding SELECT $1, address, 'USDC', $5, 1 FROM earlier",
        *(CHAIN_ID, b"\xfb" * 20, till.node.payer.customer_id, SALTS_MAX, 10 * MARK),
    )
    await till.sweep()
    assert await till.sweeps() == [(MARK, "settled", None)]


async def test_what_a_stranger_sweeps_is_booked_as_well_and_nothing_is_sent(till: Till) -> None:
    await till.pay(MARK, 2 * MARK)
    till.stranger_sweeps(0, 1)
    await till.settle()
    await till.sweep()
    assert await till.sweeps() == []
    await till.agrees(FLOAT_UNITS + 3 * MARK)


async def test_a_sweep_that_a_stranger_makes_useless_before_it_is_written_fails(
    till: Till,
) -> None:
    await till.pay(MARK)
    await till.killed("after_sweep_asked")
    till.stranger_sweeps(0)
    await till.sweep()
    assert await till.sweeps() == [(MARK, "failed", "nothing_to_sweep")]
    assert await till.node.rows("SELECT FROM attempt") == []
    await till.agrees(FLOAT_UNITS + MARK)


async def test_a_sweep_that_a_stranger_overtakes_on_chain_moves_nothing_twice(till: Till) -> None:
    await till.pay(MARK, MARK)
    await till.killed("after_send")
    till.stranger_sweeps(0, mined=False)
    await till.settle()
    assert await till.sweeps() == [(2 * MARK, "settled", None)]
    await till.agrees(FLOAT_UNITS + 2 * MARK)


async def test_an_address_is_in_one_sweep_at_a_time_though_more_arrives(till: Till) -> None:
    await till.pay(MARK)
    await till.killed("after_send")
    node = till.node
    [waiting] = node.onchain.anvil.rpc("eth_getBlockByNumber", "pending", True)["transactions"]
    node.onchain.anvil.rpc("anvil_dropTransaction", waiting["hash"])  # no block takes it for now
    await till.pay(3 * MARK)
    job = await till.treasury()
    await till.work(job)  # sends the same bytes again, and asks for nothing else
    assert await till.sweeps() == [(MARK, "submitted", None)]
    await till.settle()
    await till.sweep()
    assert await till.sweeps() == [(MARK, "settled", None)]  # it took all that was there
    await till.agrees(FLOAT_UNITS + 4 * MARK)


async def test_what_arrives_behind_a_sweep_is_swept_once_that_is_final(till: Till) -> None:
    await till.pay(MARK)
    await till.work(await till.treasury())
    till.node.mine()
    till.mint(0, 2 * MARK)
    await till.node.follow()
    await till.work(await till.treasury())
    assert len(await till.sweeps()) == 1
    await till.settle()
    await till.sweep()
    assert await till.sweeps() == [(MARK, "settled", None), (2 * MARK, "settled", None)]
    await till.agrees(FLOAT_UNITS + 3 * MARK)


@pytest.mark.parametrize(
    "at", ["after_sweep_reading", "after_sweep_asked", "after_movement_write", "after_sign",
           "after_store", "after_send"],
)  # fmt: skip
async def test_whenever_a_process_dies_the_next_one_sweeps_once(till: Till, at: str) -> None:
    await till.pay(MARK, MARK)
    await till.killed(at)
    await till.sweep()
    assert await till.sweeps() == [(2 * MARK, "settled", None)]
    assert len(await till.node.rows("SELECT FROM attempt")) == 1
    await till.agrees(FLOAT_UNITS + 2 * MARK)


async def test_processes_that_race_ask_for_one_sweep(till: Till) -> None:
    await till.pay(MARK)
    jobs = [await till.treasury() for _ in range(3)]
    await asyncio.gather(*(each.run_once() for each in jobs))
    await asyncio.gather(*(each.run_once() for each in jobs))
    assert len(await till.sweeps()) == 1


async def test_during_a_pause_nothing_is_swept(till: Till) -> None:
    await till.pay(MARK)
    async with till.node.ledger.units() as unit:
        await unit.settlement.pause(PauseReason.OPERATOR, "operator:olga", hard=False, note="x")
    await till.sweep()
    assert await till.sweeps() == []
    await resume(till.node)
    await till.sweep()
    assert await till.sweeps() == [(MARK, "settled", None)]


async def test_without_a_treasury_key_the_first_lane_sweeps(till: Till) -> None:
    await till.pay(MARK)
    await till.work(await till.lane_alone())
    await till.settle()
    (row,) = await till.node.rows("SELECT * FROM movement")
    assert (row["kind"], row["state"], row["sender"]) == (SWEPT, "settled", address_of(LANE))
    await till.agrees(FLOAT_UNITS + MARK)


async def test_a_sweep_that_waits_for_a_key_that_is_gone_is_asked_for_again(till: Till) -> None:
    await till.pay(MARK)
    await till.killed("after_sweep_asked")
    await till.work(await till.lane_alone())
    await till.settle()
    assert await till.sweeps() == [(MARK, "failed", "no_key"), (MARK, "settled", None)]
    await till.agrees(FLOAT_UNITS + MARK)


async def test_a_sweep_that_a_restored_copy_forgot_is_a_movement_again(
    node: MirroredNode, copy: Copy
) -> None:
    till = await Till.open(node)
    await till.pay(MARK, MARK)
    await till.work(await till.treasury())  # from now on it is a lane
    await till.settle()
    await till.pay(3 * MARK)
    node = await copy.make()
    await till.sweep()
    assert (await till.sweeps())[1:] == [(3 * MARK, "settled", None)]

    restored = await copy.restored()
    await restored.follow()
    adopted = await adopt(restored.adoption())
    (found,) = adopted.plan.transactions
    assert found.purpose is Purpose.MOVEMENT
    await restored.follow()
    rows = await restored.rows("SELECT kind, amount, state FROM movement ORDER BY created_at, id")
    assert [tuple(row) for row in rows] == [
        (SWEPT, 2 * MARK, "settled"),
        (SWEPT, 3 * MARK, "settled"),
    ]
    assert await restored.booked(restored.onchain.contract) == FLOAT_UNITS + 5 * MARK
    assert failing(await restored.reconcile()) == []


async def test_people_cannot_ask_for_a_sweep_of_deposits(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    async with Keyed.open(database_url, start_anvil(automine=False)) as keyed:
        contract = keyed.node.onchain.contract
        with pytest.raises(InvalidInput):
            await keyed.ask(SWEPT, contract, contract, Money(MARK, USDC))
