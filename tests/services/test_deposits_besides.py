"""Deposits besides payment requests: unknown ones, partners, sweeps, payouts, addresses."""

from typing import Any

import pytest

from adapters.machine import new_id, new_salt
from node.core.deposits import DepositAddress, DepositStatus, NewAddress, Owner, RequestStatus
from node.core.errors import (
    DatabaseUnavailable,
    NodeError,
    NotFound,
    SecondPersonNeeded,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, customer_account, partner_account
from node.core.parties import Partner, Principal, Role
from node.core.ports.idempotency import Answer
from node.core.transfers import State
from node.core.units import Address
from node.services.reconciliation.breaks import BreakRequest
from tests.builders import CHAIN_ID
from tests.mirrored import BUY, TREASURY
from tests.services.paying import FACTORY, OPERATOR, SUSPENSE, Paid, leave, paid_out, refused


async def test_a_partner_prefunds_itself_and_sees_the_deposit(paid: Paid) -> None:
    async with paid.node.ledger.units() as unit:
        partner = Partner(new_id(), "shop", unit.now)
        await unit.parties.add_partner(partner)
    principal = Principal(Role.PARTNER, "shop", partner_id=partner.id)
    address = await paid.service.address(principal, None)
    paid.send(address.address, 500)
    await paid.final()
    assert (await paid.node.balance(partner_account(partner.id, "USDC"))).posted == 500
    (deposit,) = await paid.deposits(principal)
    assert await paid.deposits(paid.node.payer) == []
    with pytest.raises(NotFound):
        await paid.service.deposit(paid.node.payer, encode_id(Prefix.DEPOSIT, deposit.id))
    async with paid.node.ledger.units() as unit:
        own = await unit.events.after(principal, 0, 10)
        others = await unit.events.after(paid.node.payer, 0, 10)
    assert [each.type for each in own] == ["deposit.credited"]
    assert others == []
    await paid.assert_sound()


async def test_money_that_came_to_the_treasury_is_held_until_an_operator_attributes_it(
    paid: Paid,
) -> None:
    paid.send(TREASURY, 900)
    await paid.final()
    (deposit,) = await paid.deposits()
    assert (deposit.status, deposit.owner, await paid.codes()) == (
        DepositStatus.HELD, None, ["B04"],
    )  # fmt: skip
    assert await paid.deposits(paid.node.payer) == []
    await paid.attribute(deposit, paid.node.payer)
    assert (await paid.has(), await paid.suspense(), await paid.codes()) == (900, 0, [])
    await paid.assert_sound()


async def test_what_its_break_gave_away_is_not_attributed_again(paid: Paid) -> None:
    paid.send(TREASURY, 900)
    await paid.final()
    (deposit,) = await paid.deposits()
    (found,) = await paid.node.open_breaks()
    assert found.id == deposit.break_id
    assert paid.node.payer.customer_id is not None
    theirs = customer_account(paid.node.payer.customer_id, "USDC")
    request = BreakRequest(
        OPERATOR, encode_id(Prefix.BREAK, found.id), None, lambda _: Answer(200, b"{}"), refused
    )
    await paid.node.breaks().resolve(request, "theirs", [Entry(SUSPENSE, theirs, "USDC", 900)])
    (now,) = await paid.deposits()
    assert now.status is DepositStatus.CREDITED
    with pytest.raises(WrongState):
        await paid.attribute(deposit, paid.node.payer)
    assert await paid.has() == 900
    await paid.assert_sound()


async def test_what_one_operator_may_not_attribute_alone_is_proposed_and_another_approves_it(
    paid: Paid,
) -> None:
    paid.send(TREASURY, 1001 * 10**6)
    await paid.final()
    (deposit,) = await paid.deposits()
    (found,) = await paid.node.open_breaks()
    break_id = encode_id(Prefix.BREAK, found.id)
    told: list[NodeError] = []

    def answered(error: NodeError) -> Answer:
        told.append(error)
        return Answer(409, b"{}")

    await paid.attribute(deposit, paid.node.payer, answered)
    assert [(type(each), each.context["break_id"]) for each in told] == [
        (SecondPersonNeeded, break_id)
    ]
    assert (await paid.has(), await paid.suspense()) == (0, 1001 * 10**6)
    second = Principal(Role.OPERATOR, "second")
    request = BreakRequest(second, break_id, None, lambda _: Answer(200, b"{}"), refused)
    await paid.node.breaks().approve(request)
    assert (await paid.has(), await paid.suspense()) == (1001 * 10**6, 0)
    assert await paid.codes() == []
    (now,) = await paid.deposits()
    assert now.status is DepositStatus.CREDITED
    await paid.assert_sound()


async def test_a_sweep_moves_the_holding_to_the_contract_whoever_sent_it(paid: Paid) -> None:
    address = (await paid.service.address(paid.node.payer, None)).address
    paid.send(address, 300)
    await paid.final()
    before = await paid.node.booked(paid.node.watch.contract)
    leave(paid, address, paid.node.watch.contract, 300)
    await paid.final()
    assert await paid.node.booked(address) == 0
    assert await paid.node.booked(paid.node.watch.contract) == before + 300
    assert (await paid.has(), await paid.codes()) == (300, [])
    rows = await paid.node.rows("SELECT cause FROM token_log ORDER BY block_number DESC LIMIT 1")
    assert rows[0]["cause"] == "swept"
    await paid.assert_sound()


async def test_deposit_and_sweep_that_become_final_together_are_both_booked(paid: Paid) -> None:
    address = (await paid.service.address(paid.node.payer, None)).address
    paid.send(address, 300)
    leave(paid, address, paid.node.watch.contract, 300)
    await paid.final()
    assert (await paid.has(), await paid.node.booked(address)) == (300, 0)
    await paid.assert_sound()


async def test_a_deposit_address_that_pays_itself_moves_nothing(paid: Paid) -> None:
    address = (await paid.service.address(paid.node.payer, None)).address
    paid.send(address, 300)
    leave(paid, address, address, 300)
    await paid.final()
    assert (await paid.has(), await paid.node.booked(address)) == (300, 300)
    assert len(await paid.deposits()) == 1
    await paid.assert_sound()


async def test_what_leaves_a_deposit_address_for_anywhere_else_is_an_orphan(paid: Paid) -> None:
    address = (await paid.service.address(paid.node.payer, None)).address
    paid.send(address, 300)
    await paid.final()
    leave(paid, address, Address(b"\x57" * 20), 300)
    await paid.final()
    assert "B06" in await paid.codes()
    async with paid.node.ledger.units() as unit:
        assert len(await unit.settlement.pauses()) == 1


async def test_own_money_that_a_stolen_key_sends_to_a_deposit_address_is_nobodys_credit(
    paid: Paid,
) -> None:
    address = (await paid.service.address(paid.node.payer, None)).address
    contract = paid.node.onchain.contract
    token, to = "0x" + paid.node.onchain.token.hex(), "0x" + address.hex()
    paid.chain.send(contract, "pause()")
    paid.chain.send(contract, "rescue(address,address,uint256)", token, to, 777)
    await paid.final()
    assert (await paid.has(), await paid.deposits()) == (0, [])
    assert await paid.node.booked(address) == 777
    assert "B06" in await paid.codes()


async def test_a_payout_to_a_deposit_address_settles_and_is_a_deposit_at_once(paid: Paid) -> None:
    """Two of one batch: two logs of one transaction, with the same amount and the same ends."""
    node = paid.node
    receiver = await node.ledger.remitter()
    address = (await paid.service.address(receiver, None)).address
    contract_before = await node.booked(node.watch.contract)
    transfers = await paid_out(paid, address, count=2)
    assert {each.state for each in transfers} == {State.SETTLED}
    first, second = await paid.deposits(receiver)
    assert first.tx_hash == second.tx_hash
    assert await paid.has(receiver) == 2 * BUY
    assert await node.booked(address) == 2 * BUY
    assert await node.booked(node.watch.contract) == contract_before - 2 * BUY
    in_flight = await node.balance(f"in_flight/{CHAIN_ID}/USDC")
    assert (in_flight.posted, in_flight.credits_pending) == (0, 0)
    rows = await node.rows("SELECT cause FROM token_log WHERE to_address = $1", address)
    assert {row["cause"] for row in rows} == {"settled"}
    await paid.assert_sound()


async def test_a_payout_to_a_requests_address_pays_the_request(paid: Paid) -> None:
    node = paid.node
    receiver = await node.ledger.remitter()
    request = await paid.asked(receiver, minor=BUY)
    await paid_out(paid, request.address)
    assert (await paid.again(request)).status is RequestStatus.PAID
    await paid.assert_sound()


async def test_ids_of_addresses_become_visible_in_their_order(paid: Paid) -> None:
    units = paid.node.ledger.units
    owner = Owner(customer_id=paid.node.payer.customer_id)

    def new() -> NewAddress:
        salt = new_salt()
        return NewAddress(CHAIN_ID, Address(salt[:20]), FACTORY, salt, owner, is_standing=False)

    async with units() as first:
        await first.deposits.add_address(new())
        with pytest.raises(DatabaseUnavailable):  # it waits for the first to commit
            async with units() as second:
                await blocked(second, new())
    async with units() as unit:
        assert len(await unit.deposits.addresses_since(0)) == 1


async def blocked(unit: Any, new: NewAddress) -> DepositAddress:
    """Add an address, waiting for locks only a moment."""
    await unit.connection.raw.execute("SET LOCAL lock_timeout = '100ms'")
    added: DepositAddress = await unit.deposits.add_address(new)
    return added
