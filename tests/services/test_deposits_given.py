"""Deposits that are held, and how operators give them: by their break, or by attribution."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.core.breaks import BreakCode
from node.core.deposits import DepositPolicy, DepositStatus, RequestStatus
from node.core.errors import (
    AmountOutOfRange,
    InsufficientFunds,
    InvalidInput,
    NodeError,
    SecondPersonNeeded,
    TooManyPaymentRequests,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, customer_account
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer
from node.services.ledger.solvency import suspense_check
from node.services.reconciliation.breaks import BreakRequest
from tests.mirrored import TREASURY
from tests.services.paying import ASKED, HOUR_S, OPERATOR, SUSPENSE, Paid, refused

SECOND = Principal(Role.OPERATOR, "second")


def theirs(owner: Principal, minor: int) -> Entry:
    """Out of suspense, to a customer."""
    assert owner.customer_id is not None
    return Entry(SUSPENSE, customer_account(owner.customer_id, "USDC"), "USDC", minor)


async def resolve(paid: Paid, code: str, entries: Sequence[Entry]) -> str:
    """Close the one open break of this code; what state it is in."""
    (found,) = [each for each in await paid.node.open_breaks() if each.code == code]
    request = BreakRequest(
        OPERATOR,
        encode_id(Prefix.BREAK, found.id),
        None,
        lambda each: Answer(200, each.state.encode()),
        refused,
    )
    answer = await paid.node.breaks().resolve(request, "its payer wrote to us", entries)
    return answer.body.decode()


async def short(paid: Paid, *parts: int) -> None:
    """A request of which so much came, and whose time is over."""
    request = await paid.asked()
    for part in parts:
        paid.send(request.address, part)
    paid.pass_time(2 * HOUR_S)
    await paid.final()


async def assert_suspense_is_explained(paid: Paid) -> None:
    """What the account has is what deposits hold."""
    assert (await suspense_check(paid.node.ledger.units, paid.node.watch)).ok


async def test_a_break_of_deposits_gives_exactly_what_they_hold_to_one_owner(paid: Paid) -> None:
    await short(paid, 30, 20)
    other = await paid.node.ledger.remitter()
    refusals = [
        [],
        [theirs(other, 49)],
        [theirs(other, 51)],
        [theirs(other, 30), theirs(paid.node.payer, 20)],
        [theirs(other, 50), Entry("loss/x/USDC", "capital/USDC", "USDC", 1)],
    ]
    for entries in refusals:
        with pytest.raises(InvalidInput):
            await resolve(paid, "B05", entries)
    await assert_suspense_is_explained(paid)
    assert await resolve(paid, "B05", [theirs(other, 50)]) == "resolved"
    given = await paid.deposits(other)
    assert [(each.status, each.amount) for each in given] == [
        (DepositStatus.CREDITED, 30),
        (DepositStatus.CREDITED, 20),
    ]
    assert (await paid.has(other), await paid.suspense()) == (50, 0)
    await assert_suspense_is_explained(paid)
    await paid.assert_sound()


async def test_what_is_given_to_no_owner_is_resolved(paid: Paid) -> None:
    paid.send(TREASURY, 900)
    await paid.final()
    assert await resolve(paid, "B04", [Entry(SUSPENSE, "capital/USDC", "USDC", 900)]) == "resolved"
    (deposit,) = await paid.deposits()
    assert deposit.status is DepositStatus.RESOLVED
    assert deposit.credited_sequence is not None
    await assert_suspense_is_explained(paid)
    await paid.assert_sound()


async def test_no_other_break_takes_what_deposits_hold(paid: Paid) -> None:
    paid.send(TREASURY, 900)
    await paid.final()
    await paid.node.execute("UPDATE reconciliation_break SET code = 'B08' WHERE code = 'B04'")
    with pytest.raises(InsufficientFunds):
        await resolve(paid, "B08", [theirs(paid.node.payer, 1)])
    assert await paid.suspense() == 900


async def test_money_in_suspense_that_nothing_explains_is_a_difference(paid: Paid) -> None:
    paid.send(TREASURY, 900)
    await paid.final()
    await paid.node.ledger.post(theirs(paid.node.payer, 1))
    found = await suspense_check(paid.node.ledger.units, paid.node.watch)
    assert (found.expected, found.actual) == ("900", "899")
    assert [each.code for each in found.breaks] == [BreakCode.LEDGER_LAW]


async def test_much_that_is_held_after_its_break_was_closed_is_proposed_at_a_new_one(
    paid: Paid,
) -> None:
    paid.send(TREASURY, 1001 * 10**6)
    await paid.final()
    await paid.node.execute(
        "UPDATE reconciliation_break SET resolved_at = now(), resolved_by = 'x',"
        """ resolution = '{"kind": "match", "reason": "by an earlier version"}'"""
    )
    (deposit,) = await paid.deposits()
    told: list[NodeError] = []

    def answered(error: NodeError) -> Answer:
        told.append(error)
        return Answer(409, b"{}")

    await paid.attribute(deposit, paid.node.payer, answered)
    assert [type(each) for each in told] == [SecondPersonNeeded]
    (found,) = await paid.node.open_breaks()
    assert told[0].context["break_id"] == encode_id(Prefix.BREAK, found.id)
    request = BreakRequest(
        SECOND, encode_id(Prefix.BREAK, found.id), None, lambda _: Answer(200, b"{}"), refused
    )
    await paid.node.breaks().approve(request)
    (now,) = await paid.deposits()
    assert (now.status, now.break_id) == (DepositStatus.CREDITED, found.id)
    assert await paid.has() == 1001 * 10**6
    await paid.assert_sound()


async def test_what_was_given_to_somebody_else_tells_neither_of_the_other(paid: Paid) -> None:
    await short(paid, 50)
    (deposit,) = await paid.deposits()
    other = await paid.node.ledger.remitter()
    await paid.attribute(deposit, other)
    (given,) = await paid.deposits(other)
    assert (given.to_address, given.request_id, given.amount) == (None, None, 50)
    assert await paid.deposits(paid.node.payer) == []
    assert deposit.request_id is not None
    name = encode_id(Prefix.PAYMENT_REQUEST, deposit.request_id)
    request = await paid.service.get(paid.node.payer, name)
    assert (request.status, request.received, request.held) == (RequestStatus.EXPIRED, 0, 0)
    (seen,) = await paid.deposits()  # an operator sees all of it
    assert (seen.to_address, seen.request_id) == (request.address, request.id)


async def test_an_owner_has_so_many_requests_that_nobody_has_paid(paid: Paid) -> None:
    paid.unpaid_max = 2
    requests = [await paid.asked(reference=f"INV-{n}") for n in range(2)]
    with pytest.raises(TooManyPaymentRequests) as refusal:
        await paid.asked(reference="INV-3")
    assert refusal.value.context == {"limit": 2}
    await paid.asked(await paid.node.ledger.remitter())  # another's count for nothing
    paid.send(requests[0].address, ASKED)
    await paid.final()
    await paid.asked(reference="INV-3")
    rows = await paid.node.rows("SELECT FROM deposit_address")
    assert len(rows) == 4  # what was refused left no address to be read for ever


async def test_a_request_is_for_ten_times_what_the_node_would_bear_of_it(paid: Paid) -> None:
    paid.policy = replace(DepositPolicy(), tolerance_minor=1_000_000)
    with pytest.raises(AmountOutOfRange) as refusal:
        await paid.asked(minor=9_999_999)
    assert refusal.value.context["min"] == {"currency": "USDC", "amount": "10.000000"}
    request = await paid.asked(minor=10_000_000)
    paid.send(request.address, 9_899_999)  # 1 % and one unit are missing
    await paid.final()
    assert (await paid.again(request)).status is RequestStatus.AWAITING
