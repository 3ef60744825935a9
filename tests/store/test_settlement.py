"""Lanes and slots in PostgreSQL: one holder, one live slot per number, nothing taken twice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from adapters.machine import new_id
from node.core.errors import InvariantBroken
from node.core.ports import Unit
from node.core.ports.settlement import Attempt, ContractFacts, Lane, LeaseLost, Member, NewSlot
from node.core.ports.transfers import Transfer
from node.core.settlement import (
    LaneStatus,
    PauseReason,
    PaymentRecord,
    Purpose,
    SlotState,
    settle_calldata,
)
from node.core.signing import KeyRole
from node.core.submission import AnswerClass, Fees, Verdict
from node.core.transfers import State
from node.core.units import Address, TxHash
from node.store.database import Database
from node.store.lane_lock import AdvisoryLaneLock
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, CONTRACT, LedgerNode

ACCOUNT = Address(b"\x1a" * 20)
LEASE_S = 30


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[LedgerNode]:
    database = Database.at(database_url)
    node = LedgerNode(StoreUnits(database))
    await node.fund_contract()
    yield node
    await database.close()


async def held_lane(node: LedgerNode) -> Lane:
    async with node.units() as unit:
        await unit.settlement.add_lane(CHAIN_ID, ACCOUNT, 7)
        lane = await unit.settlement.lane(CHAIN_ID, ACCOUNT)
        assert lane is not None
        taken = await unit.settlement.take_lease(lane.id, "one", LEASE_S, at_once=True)
        assert taken is not None
        return taken


async def funded(node: LedgerNode, count: int) -> list[Transfer]:
    payer = await node.remitter(eur_minor=10**8)
    return list(await node.funded(payer, count))


def a_slot(nonce: int, transfers: list[Transfer], purpose: Purpose = Purpose.SETTLE) -> NewSlot:
    members = [
        Member(each.id, PaymentRecord(each.payment_number, each.beneficiary_address, 5))
        for each in transfers
    ]
    calldata = settle_calldata([each.record for each in members])
    return NewSlot(new_id(), nonce, purpose, CONTRACT, CONTRACT, calldata, 10**6, 0, members)


def an_attempt(slot: NewSlot, mark: int, sequence: int = 1) -> Attempt:
    hash_ = TxHash(bytes([mark]) * 32)
    return Attempt(hash_, slot.id, sequence, b"\x02raw", Fees(3, 2), "test", None)  # type: ignore[arg-type]


async def write(unit: Unit, lane: Lane, *slots: NewSlot) -> None:
    await unit.settlement.write_slots(
        await unit.settlement.lock_lane(lane.id, lane.epoch, LEASE_S), slots
    )


async def test_a_lane_that_exists_keeps_its_nonce(node: LedgerNode) -> None:
    lane = await held_lane(node)
    async with node.units() as unit:
        await unit.settlement.add_lane(CHAIN_ID, ACCOUNT, 99)
        found = await unit.settlement.lane(CHAIN_ID, ACCOUNT)
    assert found is not None
    assert (found.next_nonce, found.status, found.id) == (7, LaneStatus.ACTIVE, lane.id)


async def test_an_older_epoch_writes_nothing(node: LedgerNode) -> None:
    old = await held_lane(node)
    async with node.units() as unit:
        assert await unit.settlement.take_lease(old.id, "two", LEASE_S, at_once=False) is None
        new = await unit.settlement.take_lease(old.id, "two", LEASE_S, at_once=True)
    assert new is not None
    assert new.epoch == old.epoch + 1
    with pytest.raises(LeaseLost):
        async with node.units() as unit:
            await unit.settlement.lock_lane(old.id, old.epoch, LEASE_S)


async def test_a_lease_that_ended_can_be_taken(node: LedgerNode) -> None:
    lane = await held_lane(node)
    async with node.units() as unit:
        assert await unit.settlement.take_lease(lane.id, "x", 0, at_once=True) is not None
    async with node.units() as unit:
        assert await unit.settlement.take_lease(lane.id, "two", LEASE_S, at_once=False) is not None


async def test_a_number_has_one_live_settle_slot(node: LedgerNode) -> None:
    lane = await held_lane(node)
    transfers = await funded(node, 1)
    first, second = a_slot(7, transfers), a_slot(8, transfers)
    async with node.units() as unit:
        await write(unit, lane, first)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with node.units() as unit:
            await write(unit, lane, second)
    async with node.units() as unit:  # a void of the same number is another matter
        await write(unit, lane, a_slot(8, transfers, Purpose.VOID))


async def test_a_transfer_that_is_not_funded_any_more_is_not_written(node: LedgerNode) -> None:
    lane = await held_lane(node)
    transfers = await funded(node, 2)
    async with node.units() as unit:
        await write(unit, lane, a_slot(7, transfers[:1]))
        await unit.settlement.release_members([])
    with pytest.raises((InvariantBroken, asyncpg.UniqueViolationError)):
        async with node.units() as unit:
            await write(unit, lane, a_slot(8, transfers))
    async with node.units() as unit:
        assert await unit.settlement.lock_candidates([each.id for each in transfers]) == {
            transfers[1].id
        }


async def test_slots_take_exactly_the_next_nonces(node: LedgerNode) -> None:
    lane = await held_lane(node)
    transfers = await funded(node, 2)
    for nonces in ((8,), (7, 9), (6,)):
        with pytest.raises(InvariantBroken):
            async with node.units() as unit:
                await write(
                    unit, lane, *(a_slot(n, [t]) for n, t in zip(nonces, transfers, strict=False))
                )
    async with node.units() as unit:
        await write(unit, lane, *(a_slot(n, [t]) for n, t in zip((7, 8), transfers, strict=True)))
    async with node.units() as unit:
        found = await unit.settlement.lane(CHAIN_ID, ACCOUNT)
        assert found is not None
        assert found.next_nonce == 9
        assert [each.nonce for each in await unit.settlement.open_slots(lane.id)] == [7, 8]


async def test_candidates_are_funded_oldest_first_and_once(node: LedgerNode) -> None:
    lane = await held_lane(node)
    transfers = await funded(node, 5)
    async with node.units() as unit:
        await write(unit, lane, a_slot(7, transfers[1:2]))
    async with node.units() as unit:
        found = await unit.settlement.candidates(CHAIN_ID, CONTRACT, 3)
    assert [each.transfer_id for each in found] == [transfers[n].id for n in (0, 2, 3)]
    assert [each.record.amount for each in found] == [transfers[0].amounts.buy] * 3


async def test_the_first_attempt_stored_stays(node: LedgerNode) -> None:
    lane = await held_lane(node)
    slot = a_slot(7, await funded(node, 1))
    async with node.units() as unit:
        await write(unit, lane, slot)
        first, other = an_attempt(slot, 1), an_attempt(slot, 2)
        assert await unit.settlement.add_attempts([first]) == [first.tx_hash]
        assert await unit.settlement.add_attempts([other]) == []
        (stored,) = await unit.settlement.open_slots(lane.id)
    assert [each.tx_hash for each in stored.attempts] == [first.tx_hash]


async def test_a_lost_answer_does_not_hide_that_the_bytes_were_seen(node: LedgerNode) -> None:
    lane = await held_lane(node)
    slot = a_slot(7, await funded(node, 1))
    attempt = an_attempt(slot, 1)
    async with node.units() as unit:
        await write(unit, lane, slot)
        await unit.settlement.add_attempts([attempt])
    for sends, (answer, known) in enumerate(
        [
            (AnswerClass.AMBIGUOUS, AnswerClass.AMBIGUOUS),
            (AnswerClass.ACCEPTED, AnswerClass.ACCEPTED),
            (AnswerClass.AMBIGUOUS, AnswerClass.ACCEPTED),
            (AnswerClass.UNDERPRICED, AnswerClass.UNDERPRICED),
        ],
        start=1,
    ):
        async with node.units() as unit:
            await unit.settlement.record_sends({attempt.tx_hash: Verdict(answer, "words")})
            (stored,) = await unit.settlement.open_slots(lane.id)
        assert (stored.attempts[0].sends, stored.attempts[0].last_answer) == (sends, known)
        assert stored.attempts[0].last_message == "words"


async def test_what_the_mirror_has_included_is_not_moved_back(node: LedgerNode) -> None:
    lane = await held_lane(node)
    slot = a_slot(7, await funded(node, 1))
    async with node.units() as unit:
        await write(unit, lane, slot)
        assert await unit.settlement.mark_slots([slot.id], SlotState.SUBMITTED) == [slot.id]
        assert await unit.settlement.mark_slots([slot.id], SlotState.SUBMITTED) == []
        assert await unit.settlement.mark_slots([slot.id], SlotState.FOREIGN) == [slot.id]
        assert await unit.settlement.mark_slots([slot.id], SlotState.SUBMITTED) == []


@pytest.mark.parametrize("state", ["included", "final"])
async def test_committed_units_are_those_of_payments_not_yet_in_the_block(
    node: LedgerNode, database_url: str, state: str
) -> None:
    lane = await held_lane(node)
    transfers = await funded(node, 3)
    void = a_slot(9, transfers[2:], Purpose.VOID)
    async with node.units() as unit:
        await write(unit, lane, a_slot(7, transfers[:1]), a_slot(8, transfers[1:2]), void)
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE slot SET state = $1, included_block_number = 10 WHERE nonce = 7", state
    )
    await connection.close()
    async with node.units() as unit:
        at = {
            block: await unit.settlement.committed_units(CHAIN_ID, CONTRACT, block)
            for block in (9, 10)
        }
    assert at == {9: 10, 10: 5}


async def test_only_what_nobody_signed_becomes_a_noop_and_its_numbers_are_free(
    node: LedgerNode,
) -> None:
    lane = await held_lane(node)
    transfers = await funded(node, 3)
    signed, unsigned, void = (
        a_slot(7, transfers[:1]),
        a_slot(8, transfers[1:2]),
        a_slot(9, transfers[2:], Purpose.VOID),
    )
    ids = [each.id for each in (signed, unsigned, void)]
    async with node.units() as unit:
        await write(unit, lane, signed, unsigned, void)
        await unit.settlement.add_attempts([an_attempt(signed, 1)])
    async with node.units() as unit:
        await unit.settlement.lock_slots(ids)
        noops = await unit.settlement.make_noops(ids)
        await unit.settlement.release_members(noops)
        await unit.settlement.unassign(noops)
    assert noops == [unsigned.id]
    async with node.units() as unit:
        slots = await unit.settlement.open_slots(lane.id)
        free = await unit.settlement.candidates(CHAIN_ID, CONTRACT, 9)
        await write(unit, replace(lane, next_nonce=10), a_slot(10, transfers[1:2]))
    assert [each.purpose for each in slots] == [Purpose.SETTLE, Purpose.NOOP, Purpose.VOID]
    assert (slots[1].to, slots[1].calldata, slots[1].gas_limit) == (ACCOUNT, b"", 21_000)
    assert [each.was_written for each in free if each.transfer_id == transfers[1].id] == [True]
    assert transfers[0].id not in {each.transfer_id for each in free}


async def test_the_number_counter_only_rises(node: LedgerNode) -> None:
    async with node.units() as unit:
        await unit.settlement.raise_number_counter(CHAIN_ID, CONTRACT, 100)
        await unit.settlement.raise_number_counter(CHAIN_ID, CONTRACT, 50)
        assert await unit.settlement.next_number(CHAIN_ID, CONTRACT) == 100
        assert await unit.transfers.allot_numbers(CHAIN_ID, CONTRACT, 1) == 100


async def test_a_reason_pauses_once_and_becomes_hard_but_not_soft(node: LedgerNode) -> None:
    async with node.units() as unit:
        for hard in (False, True, False):
            await unit.settlement.pause(PauseReason.OPERATOR, "olga", hard=hard, note=None)
        await unit.settlement.pause(PauseReason.FLOAT, "node", hard=False, note=None)
        found = await unit.settlement.pauses()
        assert [(each.reason, each.hard) for each in found] == [
            (PauseReason.OPERATOR, True),
            (PauseReason.FLOAT, False),
        ]
        assert await unit.settlement.resume(PauseReason.OPERATOR, "olga") == 1
        assert await unit.settlement.resume(None, "olga") == 1
        assert await unit.settlement.pauses() == []


async def test_the_lane_lock_is_free_as_soon_as_its_holder_is_gone(database_url: str) -> None:
    one, two = AdvisoryLaneLock(database_url), AdvisoryLaneLock(database_url)
    assert await one.hold(1)
    assert await one.hold(1)
    assert not await two.hold(1)
    assert await two.hold(2)
    await one.release()
    async with asyncio.timeout(60):
        while not await two.hold(1):  # noqa: ASYNC110 - the server frees it a moment later
            await asyncio.sleep(0.01)
    await two.release()


async def test_what_is_committed_is_told_of_all_lanes_and_of_one(node: LedgerNode) -> None:
    first = await held_lane(node)
    async with node.units() as unit:
        await unit.settlement.add_lane(CHAIN_ID, Address(b"\x1b" * 20), 0)
        other = await unit.settlement.lane(CHAIN_ID, Address(b"\x1b" * 20))
        assert other is not None
        second = await unit.settlement.take_lease(other.id, "one", LEASE_S, at_once=True)
        assert second is not None
    transfers = await funded(node, 3)
    async with node.units() as unit:
        await write(unit, first, a_slot(7, transfers[:2]))
        await write(unit, second, a_slot(0, transfers[2:]))

        async def committed(lane_id: int | None) -> int:
            return await unit.settlement.committed_units(CHAIN_ID, CONTRACT, 0, lane_id)

        assert [await committed(each) for each in (None, first.id, second.id)] == [15, 10, 5]


async def test_members_are_told_as_their_transfers_are_now(node: LedgerNode) -> None:
    lane = await held_lane(node)
    transfers = await funded(node, 2)
    slot = a_slot(7, transfers)
    async with node.units() as unit:
        await write(unit, lane, slot)
        found = await unit.settlement.members_now([slot.id])
    assert [each.record.number for each in found] == [each.payment_number for each in transfers]
    assert {each.record.amount for each in found} == {transfers[0].amounts.buy}  # not the slot's 5
    assert {(each.slot_id, each.contract, each.state) for each in found} == {
        (slot.id, CONTRACT, State.FUNDED)
    }


async def test_other_code_of_the_token_is_told_once(node: LedgerNode) -> None:
    async with node.units() as unit:
        told = [
            await unit.settlement.trust_token(CHAIN_ID, CONTRACT, code)
            for code in (b"one", b"one", b"two", b"two", b"one")
        ]
    assert told == [True, True, False, True, False]


async def test_only_a_lane_that_settles_makes_the_node_recover(node: LedgerNode) -> None:
    async with node.units() as unit:
        await unit.settlement.add_lane(CHAIN_ID, ACCOUNT, 0, KeyRole.TREASURY)
        treasury = await unit.settlement.lane(CHAIN_ID, ACCOUNT)
        assert treasury is not None
        assert treasury.role is KeyRole.TREASURY
        await unit.settlement.set_lane_status(treasury.id, LaneStatus.AHEAD, "a test")
        assert not await unit.settlement.is_recovering(CHAIN_ID)
        await unit.settlement.add_lane(CHAIN_ID, Address(b"\x1b" * 20), 0)
        lane = await unit.settlement.lane(CHAIN_ID, Address(b"\x1b" * 20))
        assert lane is not None
        await unit.settlement.set_lane_status(lane.id, LaneStatus.AHEAD, "a test")
        assert await unit.settlement.is_recovering(CHAIN_ID)


async def test_a_block_that_was_seen_later_but_is_older_changes_nothing(node: LedgerNode) -> None:
    async with node.units() as unit:
        for number, units in ((5, 50), (9, 90), (7, 70)):
            facts = ContractFacts(paused=False, float_units=units, used=(), contract_left=1)
            await unit.settlement.saw_contract(CHAIN_ID, CONTRACT, number, facts)
        rows = await unit.connection.raw.fetch("SELECT * FROM contract_state")  # type: ignore[attr-defined]
    assert [(each["block_number"], int(each["float_units"])) for each in rows] == [(9, 90)]


async def test_a_lane_is_unheard_until_somebody_has_an_attempt_of_its_head_of_line(
    node: LedgerNode,
) -> None:
    lane = await held_lane(node)
    slot = a_slot(7, await funded(node, 1))
    attempt = an_attempt(slot, 1)
    async with node.units() as unit:
        await write(unit, lane, slot)
        await unit.settlement.add_attempts([attempt])

        async def heard(answer: AnswerClass | None) -> tuple[bool, bool]:
            if answer is not None:
                await unit.settlement.record_sends({attempt.tx_hash: Verdict(answer)})
            load = await unit.settlement.workload(lane.id, CHAIN_ID, CONTRACT)
            return load.is_unheard, load.lacks_gas

        assert await heard(None) == (False, False)
        assert await heard(AnswerClass.AMBIGUOUS) == (True, False)
        assert await heard(AnswerClass.FUNDS) == (True, True)
        assert await heard(AnswerClass.KNOWN) == (False, False)
        assert await heard(AnswerClass.AMBIGUOUS) == (False, False)
