"""What a deep reorg takes back besides payments: deposits, voids, movements, coin, reverts."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from adapters.evm.errors import RpcError
from adapters.evm.rpc import Call
from node.core.deposits import DepositStatus, RequestStatus
from node.core.errors import ChainUnavailable, SettlementRecovering, WrongState
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, customer_account
from node.core.proof.findings import Difference
from node.core.settlement import PaymentRecord, settle_calldata
from node.core.transfers import State
from node.core.units import Money
from node.services.ledger.verifying import VerifyService
from tests.builders import a_quote
from tests.mirrored import BUY, DEPTH_BLOCKS, TREASURY, Lying, MirroredNode
from tests.onchain import ADMIN, LANE, address_of, call
from tests.rig import AnvilServer
from tests.services.keyed import ETH, Keyed
from tests.services.paying import ASKED, Paid
from tests.services.reorging import OLGA, Desk
from tests.services.test_giving_back import void

SPENT = 60_000_000


@pytest.fixture
def desk(node: MirroredNode) -> Desk:
    return Desk(node)


async def paid_on(node: MirroredNode) -> Paid:
    """The same node, paid on chain by strangers."""
    node.onchain.send(node.onchain.token, "configureMinter(address,uint256)", ADMIN, 2**255)
    await Desk(node).finalize()
    return Paid(node)


def newest_raw(node: MirroredNode) -> str:
    """The signed bytes of the newest block's only transaction."""
    block = node.onchain.anvil.rpc("eth_getBlockByNumber", "latest", False)
    return str(node.onchain.anvil.rpc("eth_getRawTransactionByHash", block["transactions"][0]))


async def test_a_deposit_that_is_gone_and_spent_is_a_loss_until_it_comes_again(
    node: MirroredNode, desk: Desk
) -> None:
    paid = await paid_on(node)
    request = await paid.asked()
    paid.send(request.address, ASKED)
    raw = newest_raw(node)
    await desk.finalize()
    assert node.payer.customer_id is not None
    account = customer_account(node.payer.customer_id, "USDC")
    await node.ledger.post(Entry(account, "capital/USDC", "USDC", SPENT))
    await desk.reorg(5)

    proposed = await desk.propose()
    assert proposed.plan["shortfalls"] == [{"account": account, "currency": "USDC", "minor": SPENT}]
    await desk.accept(proposed)
    assert await paid.has() == 0
    assert (await node.balance("loss/reorg/USDC")).posted == SPENT
    (told,) = await node.open_breaks()
    owner = encode_id(Prefix.CUSTOMER, node.payer.customer_id)
    assert (told.code, told.evidence["owner"], told.evidence["minor"]) == (
        "B07", owner, str(SPENT),
    )  # fmt: skip
    assert (await paid.again(request)).status is RequestStatus.AWAITING
    assert [each.status for each in await paid.deposits()] == [DepositStatus.ORPHANED]
    await desk.assert_proven()

    node.onchain.anvil.rpc("eth_sendRawTransaction", raw)
    await desk.finalize()
    assert await paid.has() == ASKED - SPENT
    assert (await node.balance("loss/reorg/USDC")).posted == 0
    assert (await paid.again(request)).status is RequestStatus.PAID
    await desk.assert_sound()
    for forged in ("amount = amount + 1", "recovered_sequence = NULL", "account = account || 'x'"):
        statement = f"SET session_replication_role = replica; UPDATE reorg_shortfall SET {forged}"
        await node.execute(statement)
        assert "reorgs" in await found(node)


async def test_what_a_request_was_completed_by_goes_back_with_what_it_released(
    node: MirroredNode, desk: Desk
) -> None:
    paid = await paid_on(node)
    request = await paid.asked()
    paid.send(request.address, ASKED - 1000)
    await desk.finalize(3)
    paid.send(request.address, 1000)
    await desk.finalize()
    assert await paid.has() == ASKED
    await desk.reorg(DEPTH_BLOCKS + 2)  # the second deposit alone
    await desk.both()
    assert (await paid.has(), await paid.suspense()) == (0, ASKED - 1000)
    held, gone = await paid.deposits()
    assert (held.status, gone.status) == (DepositStatus.HELD, DepositStatus.ORPHANED)
    again = await paid.again(request)
    assert (again.status, again.held) == (RequestStatus.AWAITING, ASKED - 1000)
    paid.send(request.address, 1000)
    await desk.finalize()
    assert (await paid.has(), await paid.suspense()) == (ASKED, 0)
    await desk.assert_sound()


async def test_what_was_accepted_is_held_with_a_break_again_when_a_part_of_it_is_gone(
    node: MirroredNode, desk: Desk
) -> None:
    paid = await paid_on(node)
    request = await paid.asked()
    paid.pass_time(40 * 24 * 3600)
    paid.send(request.address, 3000)
    await desk.finalize(3)
    paid.send(request.address, 2000)
    await desk.finalize()
    await paid.expiry().run_once()
    await paid.accept(request)
    assert (await paid.has(), await paid.codes()) == (5000, [])
    await desk.reorg(DEPTH_BLOCKS + 2)  # the second deposit alone
    proposed = await desk.propose()
    assert proposed.plan["corrections"] == []  # all of it is reversed by the reorg itself
    await desk.accept(proposed)
    held, gone = await paid.deposits()
    assert (held.status, gone.status) == (DepositStatus.HELD, DepositStatus.ORPHANED)
    (told,) = [each for each in await node.open_breaks() if each.code == "B05"]
    assert (held.break_id, told.evidence["minor"]) == (told.id, "3000")
    await node.follow()
    await paid.expiry().run_once()
    await paid.accept(request)
    assert (await paid.has(), await paid.suspense(), await paid.codes()) == (3000, 0, [])
    await desk.assert_sound()


async def test_a_transaction_that_brings_its_owner_nothing_again_pays_nothing_back(
    node: MirroredNode, desk: Desk
) -> None:
    paid = await paid_on(node)
    request = await paid.asked()
    paid.send(request.address, ASKED)
    await desk.finalize()
    assert node.payer.customer_id is not None
    account = customer_account(node.payer.customer_id, "USDC")
    await node.ledger.post(Entry(account, "capital/USDC", "USDC", SPENT))
    await desk.reorg(5)
    await desk.both()
    await node.ledger.post(Entry("capital/USDC", account, "USDC", SPENT))  # other money
    paid.send(request.address, 1)
    await desk.finalize()
    (row,) = await node.rows("SELECT tx_hash FROM deposit WHERE status <> 'orphaned'")
    await node.execute("UPDATE reorg_shortfall SET tx_hash = $1", row["tx_hash"])
    await desk.finalize()
    assert (await node.balance("loss/reorg/USDC")).posted == SPENT
    assert await paid.has() == SPENT
    assert "B07" in await paid.codes()


async def test_pauses_and_denials_are_again_what_they_were_at_the_fork(
    node: MirroredNode, desk: Desk
) -> None:
    token = node.onchain.token
    node.onchain.send(token, "deny(address)", "0x" + TREASURY.hex())
    node.onchain.send(token, "pause()")
    await desk.finalize(2)
    assert {"B13", "B14"} <= {each.code for each in await node.open_breaks()}
    node.onchain.send(token, "unpause()")
    await desk.finalize(2)
    assert "B13" not in {each.code for each in await node.open_breaks()}
    await desk.reorg(DEPTH_BLOCKS + 3)  # the end of the pause alone
    await desk.both()
    assert {"B13", "B14"} <= {each.code for each in await node.open_breaks()}
    await node.follow()
    await desk.finalize(2)
    await desk.reorg(await blocks_since_notices(node))
    await desk.both()
    assert not {"B13", "B14"} & {each.code for each in await node.open_breaks()}


async def blocks_since_notices(node: MirroredNode) -> int:
    """How many blocks a reorg has to replace to take all notices back."""
    (row,) = await node.rows(
        "SELECT (SELECT head_number FROM chain_cursor) - min(block_number) + 1 AS n FROM notice"
        " WHERE status <> 'orphaned'"
    )
    return int(row["n"])


async def test_money_that_a_void_gave_back_stays_given_back(node: MirroredNode, desk: Desk) -> None:
    transfers = await node.sent(1)
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    node.onchain.anvil.rpc("evm_setAutomine", False)
    lane_void(node, transfers[0].payment_number)
    await desk.finalize()
    node.onchain.anvil.rpc(
        "eth_sendRawTransaction",
        "0x" + (await node.rows("SELECT raw FROM attempt"))[0]["raw"].hex(),
    )
    await desk.finalize()
    assert await node.states(transfers) == {State.CANCELED}
    for each in await node.open_breaks():
        async with node.ledger.units() as unit:
            await unit.breaks.close(each.id, OLGA.key, {"kind": "match", "reason": "our admin"})
    head = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    number = await block_of_void(node)
    await desk.reorg(head - number + 1)
    proposed = await desk.propose()
    assert proposed.plan["given_back"] == [encode_id(Prefix.TRANSFER, transfers[0].id)]
    await desk.accept(proposed)
    assert await node.states(transfers) == {State.CANCELED}
    lane_void(node, transfers[0].payment_number)
    await desk.finalize()
    assert await node.states(transfers) == {State.CANCELED}
    assert [each.code for each in await node.open_breaks()] == []
    assert node.onchain.payouts() == []
    await desk.assert_proven()


def lane_void(node: MirroredNode, number: int) -> None:
    """A void of the number by the contract's admin, in the pool."""
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": f"0x{node.onchain.contract.hex()}",
            "data": call("void(uint64[])", [number]),
            "gas": hex(300_000),
        },
    )


async def block_of_void(node: MirroredNode) -> int:
    (row,) = await node.rows(
        "SELECT block_number FROM settlement_log WHERE kind = 'voided' AND status = 'final'"
    )
    return int(row["block_number"])


async def test_what_reverted_goes_back_into_its_batch_and_may_be_paid_by_it(
    node: MirroredNode, desk: Desk
) -> None:
    transfers = await node.sent(2)
    attempt = (await node.rows("SELECT raw FROM attempt"))[0]["raw"]
    contract = f"0x{node.onchain.contract.hex()}"
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    pause = {"from": ADMIN, "to": contract, "data": call("pause()"), "gas": hex(300_000)}
    node.onchain.anvil.rpc("eth_sendTransaction", pause)
    node.mine()
    node.onchain.anvil.rpc("eth_sendRawTransaction", "0x" + attempt.hex())
    await desk.finalize()
    assert await node.states(transfers) == {State.FUNDED}
    head = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    await desk.reorg(DEPTH_BLOCKS + 2)  # the pause among them
    assert head == int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    proposed = await desk.propose()
    assert len(proposed.plan["rejoining"]) == 2  # type: ignore[arg-type]
    await desk.accept(proposed)
    assert await node.states(transfers) == {State.SUBMITTED}
    assert {row["live"] for row in await node.rows("SELECT live FROM slot_member")} == {True}
    await desk.until(transfers, State.SETTLED)
    assert len(node.onchain.payouts()) == 2
    await desk.resume()
    assert len(await node.rows("SELECT FROM slot")) == 1
    await desk.assert_sound()


async def test_a_void_that_lost_against_what_is_undone_is_asked_for_again(
    node: MirroredNode, desk: Desk
) -> None:
    transfers = await node.sent(1)
    assert await void(node, transfers[0]) == "voiding"
    await (await node.settlement()).run_once()  # the void is in the next nonce, and comes too late
    await desk.finalize()
    assert await node.states(transfers) == {State.SETTLED}
    await desk.reorg(DEPTH_BLOCKS + 2)
    await desk.both()
    (again,) = await node.again(transfers)
    assert (again.state, again.void_outcome) == (State.VOIDING, "canceled")
    live = await node.rows("SELECT purpose FROM slot_member WHERE live ORDER BY purpose")
    assert [row["purpose"] for row in live] == ["settle", "void"]
    await desk.assert_proven()
    await desk.until(transfers, State.SETTLED)
    assert len(node.onchain.payouts()) == 1
    assert (await desk.wind(transfers))[0][-3:] == ["reorged", "voiding", "settled"]
    assert len(await node.rows("SELECT FROM slot")) == 2
    await desk.assert_sound()


async def test_what_a_stranger_had_paid_is_paid_by_its_own_batch(
    node: MirroredNode, desk: Desk
) -> None:
    (transfer,) = await node.sent(1)
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    record = PaymentRecord(
        transfer.payment_number, transfer.beneficiary_address, transfer.amounts.buy
    )
    by_admin = {
        "from": ADMIN,
        "to": f"0x{node.onchain.contract.hex()}",
        "data": "0x" + settle_calldata([record]).hex(),
        "gas": hex(500_000),
    }
    node.onchain.anvil.rpc("eth_sendTransaction", by_admin)
    await desk.finalize()
    assert await node.states([transfer]) == {State.SETTLED}
    await desk.reorg(DEPTH_BLOCKS + 2)
    proposed = await desk.propose()
    assert proposed.plan["batches"] == []  # its own was never mined
    await desk.accept(proposed)
    (again,) = await node.again([transfer])
    (slot,) = await node.rows("SELECT s.id, a.raw FROM slot s JOIN attempt a ON a.slot_id = s.id")
    assert (again.state, again.slot_id) == (State.SUBMITTED, slot["id"])
    await desk.assert_proven()
    node.onchain.anvil.rpc("eth_sendRawTransaction", "0x" + slot["raw"].hex())
    await desk.until([transfer], State.SETTLED)
    assert len(node.onchain.payouts()) == 1
    await desk.assert_sound()


async def test_coin_is_what_the_chain_says_at_the_fork(node: MirroredNode, desk: Desk) -> None:
    lane = address_of(LANE)
    node.mine()
    node.onchain.anvil.rpc("anvil_setBalance", LANE, hex(10_003 * 10**18 + 7))
    node.mine(6 + DEPTH_BLOCKS)
    await node.follow()  # one step: the rise is told at its last block
    assert await node.booked(lane, "ETH") == 10_003 * 10**9
    await desk.reorg(DEPTH_BLOCKS + 2)
    await desk.both()
    await desk.assert_proven()
    holding = await node.rows(
        "SELECT amount FROM chain_holding WHERE address = $1 AND asset = 'ETH'", lane
    )
    assert int(holding[0]["amount"]) == 10_003 * 10**18 + 7
    assert await node.booked(lane, "ETH") == 10_003 * 10**9
    await desk.finalize()
    await desk.assert_sound()


async def test_nothing_is_proposed_where_nobody_has_the_state_of_the_fork(
    node: MirroredNode, desk: Desk
) -> None:
    await desk.finalize(3)
    await desk.reorg(5)

    def pruned(asked: Call, answer: Any) -> Any:
        return RpcError(-32000, "missing trie node") if asked[0] == "eth_getBalance" else answer

    with pytest.raises(ChainUnavailable, match="archive node"):
        await desk.propose(providers=Lying(node.providers, pruned))


async def test_a_reorg_below_where_the_mirror_began_is_not_undone(
    node: MirroredNode, desk: Desk
) -> None:
    start = (await node.cursor()).start_number
    await desk.finalize(2)
    head = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    await desk.reorg(head - start + 1)
    with pytest.raises(WrongState, match="where its mirror began"):
        await desk.propose()


async def test_nothing_is_accepted_while_the_mirror_stands_still(
    node: MirroredNode, desk: Desk
) -> None:
    await desk.finalize(3)
    await desk.reorg(5)
    quote = a_quote(node.payer, sell_minor=100, buy_minor=BUY)
    await node.ledger.add_quotes(quote)
    submission = node.ledger.submission(node.payer, quote)
    with pytest.raises(SettlementRecovering, match="replaced a block that was final"):
        await node.ledger.acceptance.create(submission)
    await desk.both()
    assert (await node.ledger.acceptance.create(submission)).status == 201


async def found(node: MirroredNode) -> set[str]:
    """Checks of the books that do not hold."""
    differences: list[Difference] = []
    await VerifyService(node.ledger.units).verify(tell=differences.append)
    return {each.check for each in differences}


FORGERIES = {
    "settled no more, by hand": (
        ("UPDATE transfer SET state = 'submitted', version = version + 1, block_number = NULL;"
        "INSERT INTO event (object, object_id, object_sequence, type, state, detail, customer_id)"
        " SELECT 'transfer', id, version, 'transfer.reorged', 'submitted', jsonb_build_object("
        " 'tx_hash', '0x' || encode(tx_hash, 'hex')), customer_id FROM transfer"),
        "reorged",
    ),
    "a reversal that is told of another": (
        ("UPDATE reorg_booking b SET sequence = -sequence"
        " WHERE sequence = (SELECT min(sequence) FROM reorg_booking)"),
        "reorgs",
    ),
    "a reversal that nobody tells of": (
        ("DELETE FROM reorg_booking"
        " WHERE sequence = (SELECT min(sequence) FROM reorg_booking)"),
        "reorgs",
    ),
    "one operator alone": (
        ("ALTER TABLE reorg DROP CONSTRAINT two_persons;"
        "UPDATE reorg SET accepted_by = proposed_by"),
        "reorgs",
    ),
    "an epoch of its own": ("UPDATE chain_cursor SET epoch = epoch + 1", "reorgs"),
    "no reorg at all": (("UPDATE reorg SET state = 'replaced', accepted_by = NULL,"
                        " accepted_at = NULL, epoch = NULL"), "reorgs"),
    "money that is held once more": (
        "UPDATE reorg_transfer SET new_pending = old_pending, old_pending = new_pending",
        "reorged",
    ),
    "a transfer that keeps its old money": (
        ("UPDATE transfer t SET pending_sequence = x.old_pending FROM reorg_transfer x"
        " WHERE x.transfer_id = t.id"),
        "reorged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_reorg_is_found(node: MirroredNode, desk: Desk, forgery: str) -> None:
    transfers = await node.sent(1)
    await desk.finalize()
    await desk.reorg(5)
    await desk.both()
    await desk.until(transfers, State.SETTLED)
    assert await found(node) == set()
    statements, check = FORGERIES[forgery]
    await node.execute(f"SET session_replication_role = replica;{statements}")
    assert check in await found(node)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfer SET state = 'submitted'",
        "UPDATE transfer SET pending_sequence = pending_sequence + 1",
        "UPDATE slot_member SET live = true",
        "INSERT INTO reorg_block SELECT id, fork_hash, fork_number FROM reorg",
        "INSERT INTO reorg_booking SELECT 1, id, 2 FROM reorg",
        "INSERT INTO reorg_slot SELECT r.id, s.id, '', '', true, 1, 1 FROM reorg r, slot s",
        "INSERT INTO reorg_transfer SELECT r.id, t.id, 1, 2, 3 FROM reorg r, transfer t",
        (
            "UPDATE reorg SET state = 'accepted', epoch = 1, accepted_by = proposed_by,"
            " accepted_at = now()"
        ),
    ],
)
async def test_the_node_itself_cannot_undo_what_two_operators_did_not_accept(
    node: MirroredNode, desk: Desk, statement: str
) -> None:
    await node.sent(1)
    await desk.finalize()
    await desk.reorg(5)
    await desk.propose()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        async with node.database.transaction() as connection:
            await connection.raw.execute(statement)


async def test_a_reorg_is_decided_once(node: MirroredNode, desk: Desk) -> None:
    await desk.finalize(3)
    await desk.reorg(5)
    await desk.both()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        async with node.database.transaction() as connection:
            await connection.raw.execute("UPDATE reorg SET accepted_by = 'operator:mallory'")


async def test_a_movement_that_is_gone_is_made_again(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    async with Keyed.open(database_url, start_anvil(automine=False)) as keyed:
        node, desk = keyed.node, Desk(keyed.node)
        amount = Money(5_000 * 10**9, ETH)
        asked = await keyed.ask("sweep", address_of(LANE), TREASURY, amount)
        await (await node.settlement()).run_once()
        await keyed.settle()
        assert (await keyed.movement(asked)).state == "settled"
        await desk.reorg(DEPTH_BLOCKS + 2)
        proposed = await desk.propose()
        assert proposed.plan["movements"] == [encode_id(Prefix.MOVEMENT, asked)]
        await desk.accept(proposed)
        assert (await keyed.movement(asked)).state == "submitted"
        assert await node.booked(TREASURY, "ETH") == 10_000 * 10**9
        await desk.assert_proven()
        await keyed.work_anew(node.settlement)  # type: ignore[arg-type]
        await keyed.settle()
        assert (await keyed.movement(asked)).state == "settled"
        assert await node.booked(TREASURY, "ETH") == 15_000 * 10**9
        await desk.assert_sound()
