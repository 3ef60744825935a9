"""Settlement where database and chain disagree, or a pause comes between writing and signing.

The database may be older than the chain, or behind it; an operator may pause in the middle of a
batch. No money goes back for a number that is used, no void waits for a batch nobody signed, and
two transactions never wait for each other.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import asyncpg
import pytest

from adapters.evm.client import EvmChain
from adapters.evm.signed import Eip1559Reader
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.ports.chain import SendAnswer
from node.core.ports.transfers import Transfer
from node.core.settlement import (
    BatchRules,
    LaneStatus,
    PauseReason,
    PaymentRecord,
    encode_records,
)
from node.core.transfers import State
from node.core.units import Address
from node.services.settlement.settling import SettlementService
from node.store.lane_lock import AdvisoryLaneLock
from tests.builders import CHAIN_ID, a_claim, render, render_error
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing
from tests.onchain import LANE_KEY
from tests.rig import AnvilServer
from tests.services.settling import Killed, MakeRig, Rig, killer

OLGA = Principal(Role.OPERATOR, "olga")
OVERDUE = "UPDATE transfer SET settle_by = now() - interval '1 second'"


@pytest.fixture
async def rig(make_rig: MakeRig, anvil: AnvilServer) -> Rig:
    """A chain that mines each transaction at once."""
    return await make_rig(anvil)


@pytest.fixture
async def mirrored(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[MirroredNode]:
    """A whole node on a chain that mines only when told."""
    node = await MirroredNode.open(database_url, start_anvil(automine=False))
    yield node
    await node.close()


# ------------------------------------------------------------------------------ money given back


async def test_an_overdue_transfer_whose_number_is_used_on_chain_keeps_its_money_reserved(
    rig: Rig,
) -> None:
    transfers = await rig.funded(3)
    await rig.execute("UPDATE transfer SET was_written = true WHERE id = $1", transfers[1].id)
    numbers = [each.payment_number for each in transfers[:2]]
    rig.onchain.send(rig.onchain.contract, "void(uint64[])", numbers)
    await rig.execute(OVERDUE)
    await rig.worker().run_once()
    used, used_and_written, unused = await rig.again(transfers)
    for each in (used, used_and_written):
        assert each.state is State.ON_HOLD
        assert each.failure is not None
        assert each.failure["code"] == "number_used"
    assert unused.state is State.EXPIRED


async def saw_settled(rig: Rig, transfer: Transfer, status: str) -> None:
    """The mirror has a Settled event of this transfer's number."""
    await rig.execute(
        "INSERT INTO settlement_log (chain_id, block_hash, log_index, block_number, tx_hash,"
        " contract, kind, payment_number, status)"
        " VALUES ($1, $2, 0, 1, $2, $3, 'settled', $4, $5)",
        CHAIN_ID,
        bytes(32),
        rig.onchain.contract,
        transfer.payment_number,
        status,
    )


@pytest.mark.parametrize("ending", ["expires", "is refused"])
@pytest.mark.parametrize(
    ("status", "state"), [("seen", State.ON_HOLD), ("final", State.ON_HOLD), ("orphaned", None)]
)
async def test_no_money_goes_back_for_a_number_that_the_mirror_has_seen_used(
    rig: Rig, ending: str, status: str, state: State | None
) -> None:
    (transfer,) = await rig.funded(1)
    await saw_settled(rig, transfer, status)
    if ending == "expires":
        await rig.execute(OVERDUE)
    else:
        rig.onchain.send(rig.onchain.token, "deny(address)", transfer.beneficiary_address)
    await rig.worker().run_once()
    ended = State.EXPIRED if ending == "expires" else State.FAILED
    assert await rig.states([transfer]) == {state or ended}


async def test_nothing_expires_while_a_lane_must_be_adopted(rig: Rig) -> None:
    transfers = await rig.funded(1)
    await rig.execute(OVERDUE)
    await rig.execute(
        "INSERT INTO lane (chain_id, address, next_nonce, status) VALUES ($1, $2, 0, 'ahead')",
        CHAIN_ID,
        b"\x0f" * 20,
    )
    await rig.worker().run_once()
    assert await rig.states(transfers) == {State.FUNDED}
    await rig.execute("UPDATE lane SET status = 'active'")
    await rig.kill()
    await rig.worker().run_once()
    assert await rig.states(transfers) == {State.EXPIRED}


async def test_unknown_code_does_not_prove_that_a_number_is_unused(rig: Rig) -> None:
    worker = rig.worker()
    await worker.run_once()
    transfers = await rig.funded(1)
    await rig.execute(OVERDUE)
    rig.onchain.anvil.rpc("anvil_setCode", "0x" + rig.onchain.contract.hex(), "0x6001")
    await worker.run_once()
    assert await rig.states(transfers) == {State.FUNDED}


# ----------------------------------------------------------------- a pause between write and sign


async def written_unsigned(node: MirroredNode, count: int) -> Sequence[Transfer]:
    """So many transfers in a batch whose worker died before it signed."""
    transfers = await node.funded(count)
    with pytest.raises(Killed):
        await (await worker_until(node, "after_write")).run_once()
    return transfers


async def worker_until(node: MirroredNode, window: str) -> SettlementService:
    """A new worker that dies at a window."""
    for each in node.locks:
        await each.release()
    lock = AdvisoryLaneLock(node.database_url)
    node.locks.append(lock)
    return SettlementService(replace(node._parts(LANE_KEY, lock), failpoint=killer(window)))


async def to_finality(node: MirroredNode) -> None:
    """New workers and blocks until everything that was sent is final."""
    for _ in range(3):
        worker = await node.settlement()
        for _ in range(3):
            await worker.run_once()
        node.mine(1 + DEPTH_BLOCKS)
        await node.follow()


async def paused(node: MirroredNode) -> None:
    async with node.ledger.units() as unit:
        await unit.settlement.pause(PauseReason.OPERATOR, OLGA.key, hard=False, note=None)


async def resumed(node: MirroredNode) -> None:
    async with node.ledger.units() as unit:
        await unit.settlement.resume(None, OLGA.key)


@pytest.mark.parametrize("window", ["never", "after_sign", "after_store", "after_send"])
async def test_a_void_during_a_pause_gets_final_and_a_resume_pays_only_the_others(
    mirrored: MirroredNode, window: str
) -> None:
    transfers = await written_unsigned(mirrored, 2)
    voided, kept = transfers
    await paused(mirrored)
    transfer_id = encode_id(Prefix.TRANSFER, voided.id)
    await mirrored.ledger.transfers.void(OLGA, transfer_id, a_claim(OLGA), render, render_error)
    if window != "never":
        with pytest.raises(Killed):
            await (await worker_until(mirrored, window)).run_once()
    await to_finality(mirrored)
    slots = await mirrored.rows("SELECT purpose, state, amount_total FROM slot ORDER BY nonce")
    assert [tuple(each) for each in slots] == [("noop", "final", 0), ("void", "final", 0)]
    assert [each.state for each in await mirrored.again(transfers)] == [
        State.CANCELED,
        State.FUNDED,
    ]
    await resumed(mirrored)
    await to_finality(mirrored)
    assert [each.state for each in await mirrored.again(transfers)] == [
        State.CANCELED,
        State.SETTLED,
    ]
    paid = [("0x" + kept.beneficiary_address.hex(), kept.amounts.buy)]
    assert mirrored.onchain.payouts() == paid
    assert failing(await mirrored.reconcile()) == []


async def test_what_was_signed_before_a_pause_keeps_its_nonce_and_is_paid(
    mirrored: MirroredNode,
) -> None:
    transfers = await mirrored.funded(1)
    with pytest.raises(Killed):
        await (await worker_until(mirrored, "after_store")).run_once()
    await paused(mirrored)
    await to_finality(mirrored)
    assert await mirrored.states(transfers) == {State.SETTLED}
    assert [each["purpose"] for each in await mirrored.rows("SELECT purpose FROM slot")] == [
        "settle"
    ]


# ------------------------------------------------------------------------- numbers used by others


@pytest.mark.parametrize("is_known", [True, False])
async def test_who_was_never_written_gets_another_number_when_its_own_paid_somebody_else(
    mirrored: MirroredNode, *, is_known: bool
) -> None:
    (transfer,) = await mirrored.funded(1)
    stranger = PaymentRecord(transfer.payment_number, Address(b"\x77" * 20), 5)
    mirrored.onchain.send(mirrored.onchain.contract, "settle(bytes)", encode_records([stranger]))
    if is_known:
        await to_finality(mirrored)
        assert {each.code for each in await mirrored.open_breaks()} & {"B06", "B07", "B10"}
        await resumed(mirrored)
    worker = await mirrored.settlement()
    await worker.run_once()
    if not is_known:
        assert await mirrored.states([transfer]) == {State.FUNDED}
        assert await mirrored.rows("SELECT FROM slot") == []
        return
    assert (await mirrored.again([transfer]))[0].payment_number > transfer.payment_number
    await to_finality(mirrored)
    assert await mirrored.states([transfer]) == {State.SETTLED}
    paid = [(f"0x{transfer.beneficiary_address.hex()}", transfer.amounts.buy)]
    assert mirrored.onchain.payouts() == [(f"0x{'77' * 20}", 5), *paid]


# --------------------------------------------------------------------------- voids nobody needs


async def test_a_number_that_is_finally_used_gets_no_void(rig: Rig) -> None:
    transfers = await rig.funded(2)
    await rig.execute("UPDATE transfer SET was_written = true, state = 'voiding'")
    await saw_settled(rig, transfers[0], "final")
    await rig.worker().run_once()
    (slot,) = await rig.slots()
    assert (slot["purpose"], slot["members"]) == ("void", 1)
    await rig.until_mined()
    assert not rig.onchain.used(transfers[0].payment_number)
    assert rig.onchain.used(transfers[1].payment_number)


# -------------------------------------------------------------------------------- order of locks


class Answering(EvmChain):
    """A chain whose answers to sends of some nonces are heard, and of all others are lost."""

    def __init__(self, rig: Rig, heard: frozenset[int]) -> None:
        super().__init__(rig.providers)
        self._heard = heard

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        answers = []
        for each in raw:
            _, tx_hash, transaction = Eip1559Reader().decode(each)
            is_heard = transaction.nonce in self._heard
            answers.append([SendAnswer("p", tx_hash if is_heard else None, answered=is_heard)])
        return answers


async def test_answers_lock_their_slots_in_the_order_of_nonces(rig: Rig) -> None:
    rig.rules = BatchRules(payments_max=1, wait_ms=0)
    await rig.funded(2)
    await rig.worker(chain=Answering(rig, frozenset())).run_once()
    assert [each["state"] for each in await rig.slots()] == ["unknown", "unknown"]
    await rig.execute("UPDATE slot SET state = 'submitted' WHERE nonce = 1")
    await rig.execute("UPDATE attempt SET last_sent_at = now() - interval '1 minute'")
    await rig.kill()
    mirror = await asyncpg.connect(rig.database_url)
    async with mirror.transaction():
        await mirror.execute("SELECT FROM slot WHERE nonce = 0 FOR UPDATE")
        # Nonce 0 is seen now and nonce 1 lost: the sender has both to move.
        sender = asyncio.create_task(rig.worker(chain=Answering(rig, frozenset({0}))).run_once())
        async with asyncio.timeout(60):
            while not await mirror.fetchval(  # noqa: ASYNC110 - the server tells of no waiting
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ):
                await asyncio.sleep(0.01)
        await mirror.execute("SELECT FROM slot WHERE nonce = 1 FOR UPDATE NOWAIT")
    await sender
    await mirror.close()
    assert [each["state"] for each in await rig.slots()] == ["submitted", "unknown"]


# ----------------------------------------------------------------------------------- stopped lanes


async def test_a_stopped_lane_does_nothing_until_it_is_started_again(rig: Rig) -> None:
    transfers = await rig.funded(1)
    worker = rig.worker()
    await worker.run_once()
    lane = await rig.lane()
    async with rig.node.units() as unit:
        await unit.settlement.set_lane_status(lane.id, LaneStatus.STOPPED, "excluded")
    more = await rig.funded(1)
    assert await worker.run_once() == 0
    assert await rig.states(more) == {State.FUNDED}
    async with rig.node.units() as unit:
        await unit.settlement.restart_lanes(CHAIN_ID)
    await rig.settle(worker, [*transfers, *more])
    rig.assert_each_paid_once([*transfers, *more])
    assert (await rig.lane()).status_reason is None
