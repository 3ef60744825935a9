"""Payouts for a partner through chain, books and bank: each row of the table of ADR 0028."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from node.core.deposits import DepositStatus, Flag
from node.core.errors import WrongState
from node.core.payouts import BankAccount, Payout, PayoutState
from tests.mirrored import DEPTH_BLOCKS
from tests.services.receiving import (
    BANK_PHP,
    BUY,
    DAY_S,
    FEE,
    MARIA,
    PRINCIPAL,
    RAIL,
    SELL,
    SPREAD,
    Receiver,
    deploy_contract,
)
from tests.services.reorging import Desk
from tests.services.settling import Killed


async def test_a_payment_in_full_is_exchanged_ordered_and_confirmed(receiver: Receiver) -> None:
    payout = await receiver.payout()
    assert payout.state is PayoutState.AWAITING_PAYMENT
    number = receiver.pay(payout)
    await receiver.final()
    matched = await receiver.again(payout)
    assert matched.state is PayoutState.MATCHED
    assert matched.matched is not None
    assert (matched.matched.contract, matched.matched.settlement_number) == (
        receiver.contract,
        number,
    )
    assert (await receiver.has(), matched.received) == (0, SELL)
    assert await receiver.posted("fx_position/USDC") == PRINCIPAL - SPREAD
    assert await receiver.posted("deferred/fee/USDC") == FEE
    assert await receiver.posted(f"payout_due/{RAIL}/PHP") == BUY
    await receiver.assert_sound()
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert await receiver.posted(f"payout_due/{RAIL}/PHP") == 0
    assert await receiver.posted(f"bank/{RAIL}/PHP") == BANK_PHP - BUY
    assert await receiver.posted("income/fee/USDC") == FEE
    assert [(state, amount) for _, state, amount in await receiver.orders()] == [("confirmed", BUY)]
    assert await receiver.timeline(payout.id) == [
        "payout.awaiting_payment",
        "payout.matched",
        "payout.ordered",
        "payout.paid_out",
    ]
    assert await receiver.codes() == []
    await receiver.assert_sound()


async def test_a_transfer_of_anybody_else_is_an_unknown_deposit_and_pays_nothing(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    to = "0x" + payout.address.hex()
    receiver.node.onchain.send(receiver.node.onchain.token, "mint(address,uint256)", to, SELL)
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.AWAITING_PAYMENT
    [deposit] = await receiver.deposits()
    assert (deposit.status, deposit.owner) == (DepositStatus.HELD, None)
    assert (await receiver.has(), await receiver.codes()) == (0, ["B04"])
    receiver.pay(payout)
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.MATCHED
    await receiver.assert_sound()


async def test_another_settlement_contract_is_an_unknown_deposit_too(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pay(payout, contract=deploy_contract(receiver.node))
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.AWAITING_PAYMENT
    assert await receiver.codes() == ["B04"]
    await receiver.assert_sound()


async def test_a_transfer_of_the_registered_contract_without_settled_pays_nothing(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    source, to = "0x" + receiver.contract.hex(), "0x" + payout.address.hex()
    anvil = receiver.node.onchain.anvil
    anvil.rpc("anvil_impersonateAccount", source)
    anvil.rpc("anvil_setBalance", source, hex(10**18))
    receiver.node.onchain.send(
        receiver.node.onchain.token, "transfer(address,uint256)", to, SELL, sender=source
    )
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.AWAITING_PAYMENT
    assert await receiver.codes() == ["B04"]
    await receiver.assert_sound()


async def test_parts_count_together_and_more_than_asked_for_stays_with_the_partner(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    receiver.pay(payout, SELL - 1)
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.AWAITING_PAYMENT
    assert (await receiver.has(), await receiver.codes()) == (0, [])
    receiver.pay(payout, 8)
    await receiver.final()
    found = await receiver.again(payout)
    assert (found.state, found.flags) == (PayoutState.MATCHED, frozenset({Flag.OVERPAID}))
    assert await receiver.has() == 7
    await receiver.assert_sound()


async def test_what_comes_after_a_payout_was_paid_is_the_partners(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    receiver.pay(payout)
    await receiver.final()
    await receiver.deliver()
    assert await receiver.has() == SELL
    assert len(await receiver.orders()) == 1
    assert (await receiver.deposits())[1].flags == {Flag.DUPLICATE}
    await receiver.assert_sound()


async def test_a_part_that_waits_for_the_rest_is_given_to_nobody(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pay(payout, SELL - 5)
    await receiver.final()
    [part] = await receiver.deposits()
    assert part.status is DepositStatus.HELD
    with pytest.raises(WrongState, match="the rest may come"):
        await receiver.attribute(part)
    receiver.pay(payout, 5)
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.MATCHED
    await receiver.assert_sound()


async def test_too_little_when_the_time_is_over_goes_back(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pay(payout, SELL - 5)
    await receiver.final()
    receiver.pass_time(DAY_S + 60)
    await receiver.final()
    found = await receiver.again(payout)
    assert found.state is PayoutState.REFUNDING
    assert found.refund is not None
    assert (found.refund.amount, found.refund.reason) == (SELL - 5, "short")
    assert await receiver.has() == 0
    before = receiver.node.onchain.balance(receiver.contract)
    await receiver.refunded()
    found = await receiver.again(payout)
    assert found.state is PayoutState.REFUNDED
    assert found.refund is not None
    assert (found.refund.state, found.refund.tx_hash is not None) == ("completed", True)
    assert receiver.node.onchain.balance(receiver.contract) - before == SELL - 5
    assert await receiver.timeline(found.refund.id) == [
        "refund.pending",
        "refund.sent",
        "refund.completed",
    ]
    await receiver.assert_sound()


async def test_what_comes_late_within_the_grace_is_honoured(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pass_time(DAY_S + 60)
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.EXPIRED
    receiver.pay(payout)
    await receiver.final()
    found = await receiver.again(payout)
    assert (found.state, found.flags) == (PayoutState.MATCHED, frozenset({Flag.PAID_LATE}))
    await receiver.assert_sound()


async def test_what_comes_late_and_too_little_goes_back_at_once(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pass_time(DAY_S + 60)
    await receiver.final()
    receiver.pay(payout, 5)
    await receiver.final()
    found = await receiver.again(payout)
    assert found.state is PayoutState.REFUNDING
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    await receiver.assert_sound()


async def test_what_comes_after_the_grace_goes_back(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pass_time(DAY_S + 60)
    await receiver.final()
    receiver.pass_time(DAY_S)
    receiver.pay(payout)
    await receiver.final()
    found = await receiver.again(payout)
    assert found.state is PayoutState.REFUNDING
    assert found.refund is not None
    assert (found.refund.amount, found.refund.reason) == (SELL, "late")
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    assert await receiver.has() == 0
    await receiver.assert_sound()


async def test_nothing_is_matched_before_it_is_final(receiver: Receiver) -> None:
    payout = await receiver.payout()
    snapshot = receiver.node.onchain.anvil.rpc("evm_snapshot")
    receiver.pay(payout)
    await receiver.mirror().run_once()
    assert await receiver.state(payout) is PayoutState.AWAITING_PAYMENT
    receiver.node.onchain.anvil.rpc("evm_revert", snapshot)
    receiver.node.mine(2)
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.AWAITING_PAYMENT
    assert await receiver.deposits() == []
    await receiver.assert_sound()


async def test_a_reorg_past_finality_takes_the_deposit_and_leaves_what_the_bank_paid(
    receiver: Receiver,
) -> None:
    node, desk = receiver.node, Desk(receiver.node)
    payout = await receiver.payout()
    receiver.pay(payout)
    block = node.onchain.anvil.rpc("eth_getBlockByNumber", "latest", False)
    raw = node.onchain.anvil.rpc("eth_getRawTransactionByHash", block["transactions"][0])
    await receiver.final()
    await receiver.deliver()
    await desk.reorg(DEPTH_BLOCKS + 1)
    await desk.both()
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert (await receiver.posted("loss/reorg/USDC"), await receiver.has()) == (SELL, 0)
    assert await receiver.codes() == ["B07"]
    await desk.assert_proven()
    node.onchain.anvil.rpc("eth_sendRawTransaction", raw)
    node.mine()
    await receiver.final()
    assert (await receiver.posted("loss/reorg/USDC"), await receiver.has()) == (0, 0)
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert (await receiver.deposits())[-1].flags == {Flag.DUPLICATE}
    await receiver.assert_sound()


async def paid_and_reorged(
    receiver: Receiver, payout: Payout, *, in_between: Callable[[], Awaitable[None]]
) -> str:
    """The payment is final, something happens, and a reorg past finality takes it: its bytes."""
    node, desk = receiver.node, Desk(receiver.node)
    receiver.pay(payout)
    block = node.onchain.anvil.rpc("eth_getBlockByNumber", "latest", False)
    raw: str = node.onchain.anvil.rpc("eth_getRawTransactionByHash", block["transactions"][0])
    await receiver.final()
    await in_between()
    await desk.reorg(DEPTH_BLOCKS + 1)
    await receiver.deliver()  # nobody has decided yet what is undone
    await desk.both()
    await desk.resume()
    await desk.assert_proven()
    return raw


async def is_paid_again(receiver: Receiver, raw: str) -> None:
    """The same payment is final on the new chain."""
    receiver.node.onchain.anvil.rpc("eth_sendRawTransaction", raw)
    receiver.node.mine()
    await receiver.final()


async def test_what_a_reorg_took_before_the_bank_was_told_waits_until_it_is_paid_again(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    raw = await paid_and_reorged(receiver, payout, in_between=_nothing)
    await receiver.deliver()
    assert (await receiver.state(payout), await receiver.orders()) == (PayoutState.MATCHED, [])
    with pytest.raises(WrongState):  # there is nothing that could go back
        await receiver.refund(payout)
    await is_paid_again(receiver, raw)
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert (await receiver.posted("loss/reorg/USDC"), await receiver.has()) == (0, 0)
    await receiver.assert_sound()


async def test_what_a_reorg_took_does_not_go_back_when_the_bank_refuses(
    receiver: Receiver,
) -> None:
    closed = replace(MARIA, account=BankAccount("000123450002", "BOPIPHMM"))
    payout = await receiver.payout(beneficiary=closed)

    async def ordered() -> None:
        def die(name: str) -> None:
            if name == "after_payout_ordered":
                raise Killed(name)

        receiver.at = die
        with pytest.raises(Killed):
            await receiver.deliver()
        receiver.at = lambda _: None
        await receiver.node.execute("UPDATE payout SET next_look_at = NULL")

    raw = await paid_and_reorged(receiver, payout, in_between=ordered)
    await receiver.node.execute("UPDATE payout SET next_look_at = now()")
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.REFUSED
    with pytest.raises(WrongState):
        await receiver.refund(payout)
    had = receiver.node.onchain.balance(receiver.contract)
    await is_paid_again(receiver, raw)
    await receiver.refund(payout)
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    assert receiver.node.onchain.balance(receiver.contract) == had
    await receiver.assert_sound()


async def test_a_refund_that_was_set_aside_is_not_sent_for_what_a_reorg_took(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()

    async def asked_back() -> None:
        await receiver.refund(payout)

    raw = await paid_and_reorged(receiver, payout, in_between=asked_back)
    had = receiver.node.onchain.balance(receiver.contract)
    assert await receiver.refunds.run_once() == 0
    await is_paid_again(receiver, raw)
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    assert receiver.node.onchain.balance(receiver.contract) == had
    await receiver.assert_sound()


PART = 1_000


async def part_and_reorged_rest(receiver: Receiver, payout: Payout) -> str:
    """Two parts are final and exchanged, and a reorg past finality takes the second: its bytes."""
    receiver.pay(payout, PART)
    await receiver.final()
    receiver.node.mine(DEPTH_BLOCKS + 2)  # the reorg leaves the first part where it is
    await receiver.final()
    node, desk = receiver.node, Desk(receiver.node)
    receiver.pay(payout, SELL - PART)
    block = node.onchain.anvil.rpc("eth_getBlockByNumber", "latest", False)
    raw: str = node.onchain.anvil.rpc("eth_getRawTransactionByHash", block["transactions"][0])
    await receiver.final()
    assert await receiver.state(payout) is PayoutState.MATCHED
    await desk.reorg(DEPTH_BLOCKS + 1)
    await desk.both()
    await desk.resume()
    await desk.assert_proven()
    assert await receiver.posted("loss/reorg/USDC") == SELL
    assert [each.status for each in await receiver.deposits()] == [
        DepositStatus.HELD,
        DepositStatus.ORPHANED,
    ]
    return raw


async def test_a_part_that_a_reorg_of_the_rest_put_back_is_released_when_the_rest_comes_again(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    raw = await part_and_reorged_rest(receiver, payout)
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.MATCHED
    await is_paid_again(receiver, raw)
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert (await receiver.posted("loss/reorg/USDC"), await receiver.has()) == (0, 0)
    assert [each.status for each in await receiver.deposits()] == [
        DepositStatus.CREDITED,
        DepositStatus.ORPHANED,
        DepositStatus.CREDITED,
    ]
    assert await receiver.codes() == []
    await receiver.assert_sound()


async def test_a_part_that_is_given_to_its_partner_makes_the_loss_of_a_reorg_less(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    await part_and_reorged_rest(receiver, payout)
    part, _ = await receiver.deposits()
    await receiver.attribute(part)
    assert await receiver.has() == PART
    await receiver.final()
    assert (await receiver.posted("loss/reorg/USDC"), await receiver.has()) == (SELL - PART, 0)
    assert await receiver.codes() == ["B07"]
    await receiver.assert_sound()


async def _nothing() -> None:
    pass


async def test_what_was_changed_behind_the_ledgers_back_is_found(receiver: Receiver) -> None:
    payout, back = await receiver.payout(), await receiver.payout()
    receiver.pay(payout)
    receiver.pay(back, SELL - 5)
    await receiver.final()
    await receiver.deliver()
    receiver.pass_time(DAY_S + 60)
    await receiver.final()
    await receiver.refunded()
    await receiver.assert_sound()
    forgeries = {
        "UPDATE payout SET buy_amount = buy_amount + 1": {"payout_money", "payout_quoted"},
        "UPDATE payout SET spread_amount = spread_amount + 1": {"payout_money", "payout_quoted"},
        "UPDATE payout SET state = 'expired' WHERE state = 'paid_out'": {
            "payout_ends",
            "payout_timelines",
        },
        "UPDATE payout SET confirmed_sequence = NULL": {"payout_ends", "payout_due"},
        "UPDATE payout SET state = 'ordered' WHERE state = 'refunded'": {
            "payout_ends",
            "payout_timelines",
        },
        "UPDATE refund SET amount = amount - 1": {"refunds"},
        "UPDATE refund SET address = decode(repeat('77', 20), 'hex')": {"refunds"},
        "UPDATE refund SET state = 'sent'": {"payout_timelines"},
        "UPDATE refund SET transfer_id = NULL, state = 'pending'": {"payout_timelines"},
        "UPDATE quote SET maker = 'partner:other' WHERE payout_method = 'bank'": {"payout_quoted"},
        "UPDATE deposit SET settlement_number = NULL": {"payout_money"},
        "DELETE FROM payout WHERE state = 'paid_out'": {"payout_ends", "quoted"},
    }
    for statement, expected in forgeries.items():
        found = await receiver.found_after(statement)
        assert expected <= found, (statement, found)
