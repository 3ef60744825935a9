"""Deposits through the chain and the books: each row of the table of ADR 0022."""

import orjson
import pytest

from node.core.deposits import DepositPolicy, DepositStatus, Flag, RequestStatus
from node.core.errors import NodeError, WrongState
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, customer_account
from node.core.units import MINOR_LIMIT
from tests.mirrored import failing
from tests.onchain import ADMIN, OnChain, call
from tests.services.paying import ASKED, HOUR_S, Paid


async def test_an_exact_deposit_in_time_pays_the_request(paid: Paid) -> None:
    request = await paid.asked()
    paid.send(request.address, ASKED)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags, now.received, now.held) == (
        RequestStatus.PAID,
        frozenset(),
        ASKED,
        0,
    )
    assert await paid.has() == ASKED
    assert await paid.node.booked(request.address) == ASKED
    assert (await paid.deposits())[0].status is DepositStatus.CREDITED
    assert await paid.codes() == []
    await paid.assert_sound()


async def test_nothing_is_booked_before_it_is_final_and_a_reorg_before_leaves_no_trace(
    paid: Paid,
) -> None:
    request = await paid.asked()
    snapshot = paid.chain.anvil.rpc("evm_snapshot")
    paid.send(request.address, ASKED)
    await paid.node.follow()
    assert (await paid.again(request)).received == 0
    paid.chain.anvil.rpc("evm_revert", snapshot)
    paid.node.mine(2)
    await paid.final()
    assert (await paid.again(request)).status is RequestStatus.AWAITING
    assert await paid.deposits() == []
    await paid.assert_sound()


async def test_parts_wait_in_suspense_and_move_as_a_whole_with_the_last(paid: Paid) -> None:
    request = await paid.asked()
    for part in (60_000_000, 30_000_000):
        paid.send(request.address, part)
    await paid.final()
    assert (await paid.has(), await paid.suspense()) == (0, 90_000_000)
    assert (await paid.again(request)).held == 90_000_000
    assert await paid.codes() == []  # its time is not over: nobody needs to look
    paid.send(request.address, 10_000_000)
    await paid.final()
    assert (await paid.again(request)).status is RequestStatus.PAID
    assert (await paid.has(), await paid.suspense()) == (ASKED, 0)
    assert {each.status for each in await paid.deposits()} == {DepositStatus.CREDITED}
    await paid.assert_sound()


async def test_too_little_when_the_time_is_over_is_a_break_that_the_owner_may_accept(
    paid: Paid,
) -> None:
    request = await paid.asked()
    paid.send(request.address, 60_000_000)
    await paid.final()
    with pytest.raises(WrongState):
        await paid.accept(request)
    paid.pass_time(2 * HOUR_S)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags, now.held) == (
        RequestStatus.EXPIRED,
        frozenset({Flag.SHORT}),
        60_000_000,
    )
    assert await paid.codes() == ["B05"]
    answer = await paid.accept(request)
    assert orjson.loads(answer.body) == {"status": "accepted"}
    assert (await paid.has(), await paid.suspense(), await paid.codes()) == (60_000_000, 0, [])
    with pytest.raises(WrongState):
        await paid.accept(request)
    paid.send(request.address, 5)
    await paid.final()
    assert await paid.has() == 60_000_005
    assert (await paid.again(request)).status is RequestStatus.ACCEPTED
    await paid.assert_sound()


async def test_a_request_nobody_paid_expires_without_a_break_once_a_later_block_is_final(
    paid: Paid,
) -> None:
    request = await paid.asked()
    await paid.node.execute("UPDATE payment_request SET expires_at = now()")
    assert await paid.expiry().run_once() == 0  # no block that is later is final
    paid.pass_time(2 * HOUR_S)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags) == (RequestStatus.EXPIRED, frozenset())
    assert await paid.codes() == []
    await paid.assert_sound()


async def test_what_misses_at_most_the_tolerance_is_paid_in_full_and_the_node_bears_the_rest(
    paid: Paid,
) -> None:
    paid.policy = DepositPolicy(tolerance_minor=10)
    request = await paid.asked()
    paid.send(request.address, ASKED - 10)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags) == (RequestStatus.PAID, frozenset({Flag.TOLERATED}))
    assert await paid.has() == ASKED
    assert (await paid.node.balance("loss/deposit_tolerance/USDC")).posted == 10
    await paid.assert_sound()


async def test_the_node_bears_nothing_that_would_leave_others_money_not_covered(
    paid: Paid,
) -> None:
    paid.policy = DepositPolicy(tolerance_minor=10)
    capital = (await paid.node.balance("capital/USDC")).posted
    assert paid.node.payer.customer_id is not None
    theirs = customer_account(paid.node.payer.customer_id, "USDC")
    await paid.node.ledger.post(Entry("capital/USDC", theirs, "USDC", capital - 5))
    first, second = await paid.asked(), await paid.asked(reference="INV-8")
    paid.send(first.address, ASKED - 5)
    paid.send(second.address, ASKED - 5)
    await paid.final()
    assert (await paid.again(first)).status is RequestStatus.PAID
    late = await paid.again(second)
    assert (late.status, late.held) == (RequestStatus.AWAITING, ASKED - 5)
    await paid.assert_sound()


async def test_more_than_was_asked_for_is_all_credited_and_told(paid: Paid) -> None:
    request = await paid.asked()
    paid.send(request.address, ASKED + 7)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags, now.surplus) == (
        RequestStatus.PAID,
        frozenset({Flag.OVERPAID}),
        7,
    )
    assert await paid.has() == ASKED + 7
    await paid.assert_sound()


async def test_a_late_deposit_within_the_grace_is_honoured_by_the_time_of_its_block(
    paid: Paid,
) -> None:
    request = await paid.asked()
    paid.send(request.address, 60_000_000)
    paid.pass_time(2 * HOUR_S)
    await paid.final()
    assert await paid.codes() == ["B05"]
    paid.send(request.address, 40_000_000)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags) == (RequestStatus.PAID, frozenset({Flag.PAID_LATE}))
    assert (await paid.has(), await paid.suspense(), await paid.codes()) == (ASKED, 0, [])
    types = [
        row["type"]
        for row in await paid.node.rows(
            "SELECT type FROM event WHERE object_id = $1 ORDER BY object_sequence", request.id
        )
    ]
    assert types == ["request.created", "request.expired", "request.paid"]
    await paid.assert_sound()


async def test_parts_that_came_late_have_one_break_each_and_leave_none_when_the_rest_comes(
    paid: Paid,
) -> None:
    request = await paid.asked()
    paid.pass_time(2 * HOUR_S)
    paid.send(request.address, 60_000_000)
    await paid.final()  # booked before the request is expired
    assert (await paid.again(request)).status is RequestStatus.EXPIRED
    assert await paid.codes() == ["B05"]
    paid.send(request.address, 40_000_000)
    await paid.final()
    assert (await paid.again(request)).status is RequestStatus.PAID
    assert (await paid.has(), await paid.suspense(), await paid.codes()) == (ASKED, 0, [])
    await paid.assert_sound()


async def test_a_deposit_in_time_that_is_noticed_late_is_in_time(paid: Paid) -> None:
    request = await paid.asked()
    paid.send(request.address, ASKED)
    paid.pass_time(30 * 24 * HOUR_S)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags) == (RequestStatus.PAID, frozenset())
    await paid.assert_sound()


async def test_a_deposit_after_the_grace_is_held_with_a_break_and_an_operator_attributes_it(
    paid: Paid,
) -> None:
    request = await paid.asked()
    paid.pass_time(26 * HOUR_S)
    paid.send(request.address, ASKED)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags, now.held) == (
        RequestStatus.EXPIRED,
        frozenset({Flag.TOO_LATE}),
        ASKED,
    )
    assert await paid.codes() == ["B05"]
    (deposit,) = await paid.deposits()
    other = await paid.node.ledger.remitter()
    answer = await paid.attribute(deposit, other)
    assert orjson.loads(answer.body) == {"status": "credited"}
    assert (await paid.has(other), await paid.has(), await paid.suspense()) == (ASKED, 0, 0)
    assert await paid.codes() == []
    with pytest.raises(WrongState):
        await paid.attribute(deposit, other)
    with pytest.raises(WrongState):
        await paid.accept(request)
    await paid.assert_sound()


async def test_a_second_deposit_is_the_owners_and_delivers_nothing_again(paid: Paid) -> None:
    request = await paid.asked()
    for _ in range(2):
        paid.send(request.address, ASKED)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.flags, now.received) == (
        RequestStatus.PAID, frozenset({Flag.DUPLICATE}), 2 * ASKED,
    )  # fmt: skip
    assert await paid.has() == 2 * ASKED
    types = await paid.node.rows("SELECT type FROM event WHERE type = 'request.paid'")
    assert len(types) == 1
    await paid.assert_sound()


async def test_another_token_pays_nothing_and_is_shown(paid: Paid) -> None:
    request = await paid.asked()
    other = OnChain.deploy(paid.chain.anvil, float_units=0)
    other.send(other.token, "configureMinter(address,uint256)", ADMIN, ASKED)
    other.send(other.token, "mint(address,uint256)", "0x" + request.address.hex(), ASKED)
    await paid.final()
    now = await paid.again(request)
    assert (now.status, now.received) == (RequestStatus.AWAITING, 0)
    assert [(each.token, each.amount) for each in now.strays] == [(other.token, ASKED)]
    assert await paid.deposits() == []
    await paid.assert_sound()


async def test_a_transfer_of_nothing_is_nothing(paid: Paid) -> None:
    request = await paid.asked()
    to = "0x" + request.address.hex()
    paid.chain.send(paid.chain.token, "transfer(address,uint256)", to, 0)
    await paid.final()
    assert await paid.deposits() == []
    assert (await paid.again(request)).status is RequestStatus.AWAITING
    await paid.assert_sound()


async def test_a_standing_address_credits_whatever_comes_and_is_the_same_for_ever(
    paid: Paid,
) -> None:
    address = await paid.service.address(paid.node.payer, None)
    assert await paid.service.address(paid.node.payer, None) == address
    for amount in (5, 5, 7):
        paid.send(address.address, amount)
    await paid.final()
    assert await paid.has() == 17
    assert [each.amount for each in await paid.deposits(paid.node.payer)] == [5, 5, 7]
    await paid.assert_sound()


async def test_equal_amounts_in_one_block_are_two_deposits(paid: Paid) -> None:
    address = await paid.service.address(paid.node.payer, None)
    to = "0x" + address.address.hex()
    data = call("mint(address,uint256)", to, 50)
    for _ in range(2):
        paid.chain.anvil.rpc(
            "eth_sendTransaction",
            {"from": ADMIN, "to": "0x" + paid.chain.token.hex(), "data": data, "gas": hex(10**5)},
        )
    paid.node.mine()
    await paid.final()
    first, second = await paid.deposits()
    assert first.block_hash == second.block_hash
    assert await paid.has() == 100
    await paid.assert_sound()


async def test_an_amount_no_entry_can_hold_is_a_break_and_stops_nothing(paid: Paid) -> None:
    request = await paid.asked()
    paid.send(request.address, MINOR_LIMIT)
    paid.send(request.address, ASKED)
    await paid.final()
    huge, usual = await paid.deposits()
    assert (huge.status, huge.flags) == (DepositStatus.UNBOOKED, frozenset({Flag.TOO_LARGE}))
    assert usual.status is DepositStatus.CREDITED
    assert (await paid.again(request)).status is RequestStatus.PAID
    assert "B04" in await paid.codes()
    assert failing(await paid.node.reconcile()) == [f"balance.token:0x{request.address.hex()}"]


async def test_two_requests_of_one_reference_are_one(paid: Paid) -> None:
    request = await paid.asked()
    with pytest.raises(NodeError) as refusal:
        await paid.asked()
    assert refusal.value.code == "request_reference_used"
    wanted = encode_id(Prefix.PAYMENT_REQUEST, request.id)
    assert refusal.value.context == {"payment_request_id": wanted}
    other = await paid.node.ledger.remitter()
    assert (await paid.asked(other)).address != request.address
