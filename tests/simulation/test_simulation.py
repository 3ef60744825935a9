"""Thousands of histories: settlement, mirror and books over a model of the chain and the database.

The services are the real ones; the chain and the database are values. Whatever hypothesis lets
happen, in whatever order, no number is paid twice, nothing is lost, and the books equal the chain.
A failing history is shrunk and printed as a program. The same over a real chain and a real
database, with processes that are killed, is `tests/chaos`.
"""

import asyncio
import random  # noqa: TID251 - seeded by each test
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from node.core.errors import Unavailable
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    TransferAmounts,
    acceptance_entries,
    chain_account,
    customer_account,
)
from node.core.mirror import Finality, Watch
from node.core.ports.chain import Chain
from node.core.ports.settlement import Pause
from node.core.ports.transfers import Beneficiary, Transfer
from node.core.settlement import BatchRules, LaneStatus, PauseReason
from node.core.signing import KeyRole
from node.core.submission import FeeRules
from node.core.transfers import TERMINAL, Happening, State
from node.core.units import Address
from node.services.mirror.mirroring import MirrorService
from node.services.settlement.parts import SettlementParts
from node.services.settlement.settling import SettlementService
from node.services.transfers import transfer_moves
from tests.services.settling import Killed
from tests.simulation.chain import BLOCK_S, CHAIN_ID, CONTRACT, TOKEN, ModelChain
from tests.simulation.memory import units_of
from tests.simulation.ports import (
    ModelContract,
    ModelLock,
    ModelLocks,
    ModelReader,
    ModelSigner,
    ModelTransactions,
    Network,
)
from tests.simulation.tables import Tables

DEPTH: Final = 3
LANES: Final = (Address(b"\x1a" * 20), Address(b"\x1b" * 20))
CUSTOMER: Final = UUID(int=1)
OPENING: Final = 10**9
WATCH: Final = Watch(CHAIN_ID, CONTRACT, TOKEN, "USDC", "ETH", frozenset({CONTRACT, *LANES}))
WINDOWS: Final = (
    "after_gate",
    "after_write",
    "after_void_write",
    "after_sign",
    "after_store",
    "after_send",
    "after_bump_sign",
    "after_bump_store",
)
MEANWHILE: Final = ("kill", "pause", "steal", "reorg", "deny")
DISTURBANCES: Final = ("reorg", "network", "base fee", "drop", "pause", "allow everybody")
DRAIN_MAX: Final = 60
STEPS: Final = 40
SEEDS: Final = 4
HISTORIES_PER_SEED: Final = 50


class History(RuleBasedStateMachine):
    """One history of one node."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.tables, self.chain = Tables(), ModelChain(LANES)
        self.network, self.locks = Network(self.chain), ModelLocks()
        self.units = units_of(self.tables)
        self.ids = iter(range(10, 10**9))
        self.process: Sequence[SettlementService] = ()
        self.window = self.meanwhile = ""
        self.accepted = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.tables.post(
            [
                LedgerTransaction(
                    "top up",
                    "top_up",
                    [Entry("bank/x/EUR", customer_account(CUSTOMER, "EUR"), "EUR", OPENING)],
                )
            ]
        )
        self.follow(DEPTH)

    # ------------------------------------------------------------------------- what clients do

    @rule(count=st.integers(1, 3), is_denied=st.booleans())
    def accept(self, count: int, is_denied: bool) -> None:
        """Accept transfers to new beneficiaries; the last one may be denied by the token."""
        for _ in range(count):
            self.accepted += 1
            beneficiary = Address(self.accepted.to_bytes(20))
            number = self.run(self.allot())
            transfer = transfer_of(UUID(int=next(self.ids)), number, beneficiary, self.tables)
            hold = LedgerTransaction(
                f"transfer:{transfer.id}",
                "transfer",
                acceptance_entries(CUSTOMER, CHAIN_ID, transfer.amounts),
                pending=True,
                transfer_id=transfer.id,
            )
            sequence = self.tables.post([hold])[hold.key]
            self.tables.transfers[transfer.id] = replace(transfer, pending_sequence=sequence)
        if is_denied:
            newest = Address(self.accepted.to_bytes(20))
            self.chain.change(denied=self.chain.blocks[-1].after.denied | {newest})

    async def allot(self) -> int:
        async with self.units() as unit:
            return await unit.transfers.allot_numbers(CHAIN_ID, CONTRACT, 1)

    @rule(at=st.integers(0, 50))
    def void(self, at: int) -> None:
        """An operator or customer wants the money back: at once if never written, else by void."""
        self.run(self.give_back(at))

    async def give_back(self, at: int) -> None:
        async with self.units() as unit:
            open_ones = [
                each
                for each in self.tables.transfers.values()
                if each.state in (State.FUNDED, State.SUBMITTED, State.UNKNOWN, State.INCLUDED)
            ]
            if not open_ones or await unit.settlement.is_recovering(CHAIN_ID):
                return
            chosen = open_ones[at % len(open_ones)]
            if chosen.state is State.FUNDED and not chosen.was_written:
                await transfer_moves.apply(unit, [chosen], Happening.CANCELED)
            elif chosen.state is not State.FUNDED or chosen.slot_id is None:
                await transfer_moves.apply(
                    unit,
                    [chosen],
                    Happening.VOID_ASKED,
                    changes=lambda _: {"void_outcome": "canceled"},
                )

    @rule()
    def halt_or_resume(self) -> None:
        """An operator pauses settlement, or ends every pause."""

        async def work() -> None:
            async with self.units() as unit:
                if await unit.settlement.resume(None, "operator:olga") == 0:
                    reason = PauseReason.OPERATOR
                    await unit.settlement.pause(reason, "operator:olga", hard=False, note=None)

        self.run(work())

    # ------------------------------------------------------------------------ what the node does

    @rule(
        window=st.sampled_from(("", *WINDOWS)),
        meanwhile=st.sampled_from(MEANWHILE),
        first=st.integers(0, 1),
    )
    def work(self, window: str, meanwhile: str, first: int) -> None:
        """A pass over each lane; at a window of it something else happens, or the process dies."""
        self.window, self.meanwhile = window, meanwhile
        self.process = self.process or self.new_process()
        try:
            for each in (self.process[first], self.process[1 - first]):
                self.pass_over(each)
        except Killed:
            self.locks.held.clear()
            self.process = ()
        self.window = ""

    def pass_over(self, lane: SettlementService) -> None:
        """What waits for the chain or the database tries again at the next pass."""
        try:
            self.run(lane.run_once())
        except Unavailable:
            return

    @rule()
    def fight(self) -> None:
        """Another process appears while the old one stands still beyond its leases; it goes on."""
        self.tick(40)
        old, self.process = self.process, ()
        self.locks.held.clear()
        self.work("", "", 0)
        if old:
            self.process = old
            self.work("", "", 0)

    @rule(blocks=st.integers(0, DEPTH))
    def follow(self, blocks: int) -> None:
        """Blocks are mined, and the mirror passes until it has nothing to do."""
        for _ in range(blocks):
            self.mine()
        mirror = MirrorService(
            units=self.units,
            reader=ModelReader(self.chain),
            watch=WATCH,
            lanes=dict.fromkeys(LANES, KeyRole.SETTLE),
            finality=Finality(DEPTH),
            new_id=self.new_id,
        )
        try:
            while self.run(mirror.run_once()):
                pass
        except Unavailable:
            return

    # ----------------------------------------------------------------------- what the world does

    @rule(kind=st.sampled_from(DISTURBANCES), size=st.integers(1, 40))
    def disturb(self, kind: str, size: int) -> None:
        """What clients of a chain live with, and what others do to token and contract."""
        match kind:
            case "reorg":
                self.chain.reorg(self.unfinal(size % DEPTH + 1))
                if size % 2:
                    self.follow(0)
            case "network":  # from now on sends arrive or not, and answers are heard or not
                self.network.arrives, self.network.is_heard = bool(size & 1), bool(size & 2)
            case "base fee":
                self.chain.set_base_fee(size * 10**9)
            case "drop":
                self.chain.drop()
            case "pause":
                name = ("is_token_paused", "is_paused")[size % 2]
                self.chain.change(**{name: not getattr(self.chain.blocks[-1].after, name)})
            case _:
                self.chain.change(denied=frozenset())
        self.tick(size)

    def unfinal(self, depth: int) -> int:
        """So many blocks, or as many as are not final."""
        cursor = self.tables.cursor
        assert cursor is not None
        return min(depth, len(self.chain.blocks) - 1 - cursor.final.number)

    def tick(self, seconds: int) -> None:
        self.tables.now += timedelta(seconds=seconds)
        self.chain.now = self.tables.now

    def mine(self) -> None:
        self.tick(BLOCK_S)
        self.chain.mine()

    # ------------------------------------------------------------------------------------- laws

    @invariant()
    def nobody_is_paid_twice(self) -> None:
        payouts = self.chain.payouts()
        assert len(payouts) == len({beneficiary for beneficiary, _ in payouts})

    @invariant()
    def the_database_keeps_its_keys(self) -> None:
        self.tables.check()

    @invariant()
    def no_break_is_opened(self) -> None:
        assert self.tables.breaks == []

    @invariant()
    def final_books_equal_the_chain(self) -> None:
        cursor = self.tables.cursor
        if cursor is None:
            return
        world = self.chain.at(cursor.final.hash)
        held = self.tables.balance(chain_account(CHAIN_ID, CONTRACT, "USDC"))
        assert held == world.tokens[CONTRACT]
        settled = [t for t in self.tables.transfers.values() if t.state is State.SETTLED]
        assert {t.payment_number for t in settled} <= world.paid
        assert len(settled) == len(world.paid)

    def teardown(self) -> None:
        """Faults end: every transfer comes to its end, and money went where it should."""
        try:
            if self.tables.cursor is not None:
                self.drain()
                self.check_ends()
        finally:
            self.loop.close()

    def drain(self) -> None:
        self.network.arrives = self.network.is_heard = True
        self.chain.set_base_fee(10**9)
        if self.chain.blocks[-1].after.is_paused or self.chain.blocks[-1].after.is_token_paused:
            self.chain.change(is_paused=False, is_token_paused=False)
        for _ in range(DRAIN_MAX):
            self.run(self.operate())
            self.tick(60)
            self.work("", "", 0)
            self.follow(1)
            if all(each.state in TERMINAL for each in self.tables.transfers.values()):
                self.follow(DEPTH + 1)
                return
        raise AssertionError(f"not ended: {[t.state for t in self.tables.transfers.values()]}")

    async def operate(self) -> None:
        """What an operator does: ends pauses, and releases what three batches did not pay."""
        async with self.units() as unit:
            await unit.settlement.resume(None, "operator:olga")
            for lane in self.tables.lanes.values():
                if lane.status is LaneStatus.STOPPED:
                    await unit.settlement.set_lane_status(lane.id, LaneStatus.ACTIVE, None)
            held = [t for t in self.tables.transfers.values() if t.state is State.ON_HOLD]
            await transfer_moves.apply(
                unit, held, Happening.RELEASED, changes=lambda _: {"batches_failed": 0}
            )

    def check_ends(self) -> None:
        transfers = list(self.tables.transfers.values())
        wanted = {
            t.beneficiary_address: t.amounts.buy for t in transfers if t.state is State.SETTLED
        }
        assert dict(self.chain.payouts()) == wanted
        paid = sum(t.amounts.sell for t in transfers if t.state is State.SETTLED)
        customer = -self.tables.balance(customer_account(CUSTOMER, "EUR"))
        assert customer == OPENING - paid
        assert self.tables.balance("in_flight/31337/USDC") == 0
        for lane in self.tables.lanes.values():
            lines = [line for line in self.tables.slots.values() if line.lane_id == lane.id]
            mined = self.chain.blocks[-1].after.nonces.get(lane.address, 0)
            assert sorted(line.slot.nonce for line in lines) == list(range(mined))

    # ---------------------------------------------------------------------------------- helpers

    def new_id(self) -> UUID:
        return UUID(int=next(self.ids))

    def new_process(self) -> Sequence[SettlementService]:
        """A process with both lanes."""
        parts = SettlementParts(
            units=self.units,
            chain=cast("Chain", self.network),
            contract=ModelContract(self.chain),
            signer=ModelSigner(self.chain, LANES[0]),
            reader=ModelTransactions(self.chain),
            lock=ModelLock(self.locks),
            new_id=self.new_id,
            failpoint=self.pass_window,
            chain_id=CHAIN_ID,
            owner="simulation",
            block_s=BLOCK_S,
            batches=BatchRules(payments_max=4, wait_ms=0),
            fees=FeeRules(resend_after_s=1, bump_after_blocks=1),
        )
        return [
            SettlementService(
                replace(parts, signer=ModelSigner(self.chain, each), lock=ModelLock(self.locks))
            )
            for each in LANES
        ]

    def pass_window(self, name: str) -> None:
        if name != self.window:
            return
        self.window = ""
        match self.meanwhile:
            case "kill":
                raise Killed(name)
            case "pause":
                reason = PauseReason.OPERATOR
                if all(each.reason is not reason for each in self.tables.pauses):
                    self.tables.pauses.append(Pause(reason, False, None, "olga", self.tables.now))
            case "steal":
                for lane in self.tables.lanes.values():
                    self.tables.lanes[lane.id] = replace(lane, epoch=lane.epoch + 1)
            case "reorg":
                self.chain.reorg(self.unfinal(1))
            case _:
                newest = Address(max(1, self.accepted).to_bytes(20))
                self.chain.change(denied=self.chain.blocks[-1].after.denied | {newest})


def transfer_of(transfer_id: UUID, number: int, beneficiary: Address, tables: Tables) -> Transfer:
    """An accepted transfer of 100 cents."""
    return Transfer(
        id=transfer_id,
        version=1,
        state=State.FUNDED,
        customer_id=CUSTOMER,
        owner="customer:1",
        quote_id=transfer_id,
        client_reference=None,
        purpose=None,
        beneficiary=Beneficiary("B", "PH", f"0x{beneficiary.hex()}"),
        beneficiary_address=beneficiary,
        amounts=AMOUNTS,
        chain_id=CHAIN_ID,
        contract=CONTRACT,
        payment_number=number,
        pending_sequence=0,
        slot_id=None,
        was_written=False,
        batches_failed=0,
        void_outcome=None,
        waiting_code=None,
        waiting_since=None,
        tx_hash=None,
        block_number=None,
        failure=None,
        created_at=tables.now,
        settle_by=tables.now + timedelta(days=1),
        partner_id=None,
    )


AMOUNTS: Final = TransferAmounts("EUR", 100, 2, 1, 1, "USDC", 1_000_000)


def play(seed: int) -> None:
    """One history that a seed decides, evenly over everything that can happen."""
    chance = random.Random(seed)
    history = History()
    history.begin()
    for _ in range(STEPS):
        match chance.choices(
            ("accept", "void", "halt", "work", "fight", "follow", "disturb"),
            (3, 1, 1, 9, 1, 6, 4),
        )[0]:
            case "accept":
                history.accept(chance.randint(1, 3), is_denied=chance.random() < 0.2)
            case "void":
                history.void(chance.randint(0, 50))
            case "halt":
                history.halt_or_resume()
            case "work":
                window = chance.choice(WINDOWS) if chance.random() < 0.5 else ""
                history.work(window, chance.choice(MEANWHILE), chance.randint(0, 1))
            case "fight":
                history.fight()
            case "follow":
                history.follow(chance.randint(0, DEPTH))
            case _:
                history.disturb(chance.choice(DISTURBANCES), chance.randint(1, 40))
        history.nobody_is_paid_twice()
        history.no_break_is_opened()
        history.final_books_equal_the_chain()
    history.teardown()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_seeded_history_ends_with_each_transfer_paid_once_or_given_back(seed: int) -> None:
    for number in range(seed * HISTORIES_PER_SEED, (seed + 1) * HISTORIES_PER_SEED):
        try:
            play(number)
        except Exception as error:
            raise AssertionError(f"history {number}: play({number}) shows it again") from error


def test_a_void_whose_number_is_settled_meanwhile_does_not_hold_up_its_lane() -> None:
    history = History()
    history.begin()
    history.accept(1, is_denied=False)
    history.work("", "", 0)
    history.follow(1)
    history.void(0)
    history.work("after_void_write", "kill", 0)
    history.follow(DEPTH + 1)
    [transfer] = history.tables.transfers.values()
    assert transfer.state is State.SETTLED
    history.accept(1, is_denied=False)
    history.teardown()


TestHistories = History.TestCase
TestHistories.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
