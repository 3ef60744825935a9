"""Money that a partner sends back: believed on the chain, by its number, once (ADR 0029)."""

import pytest

from node.core.payout_orders import PartnerRefund, PartnerState
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from node.core.units import TxHash
from node.services.ledger.verifying import VerifyService
from tests.mirrored import DEPTH_BLOCKS, failing
from tests.services.partnering import Partnered


def tell_refund(
    sender: Partnered, transfer: Transfer, tx_hash: TxHash, amount: int, *, number: int = 7
) -> None:
    """The partner states that it sent the money back."""
    refund = PartnerRefund("ref_1", amount, tx_hash, number)
    sender.partner.tells(sender.payout_id(transfer), PartnerState.REFUNDED, refund=refund)


async def test_money_that_a_partner_sends_back_is_the_customers_again_when_it_is_final(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfer = await sender.at_partner()
    tx_hash = sender.sends_back((7, transfer.amounts.buy))
    tell_refund(sender, transfer, tx_hash, transfer.amounts.buy)
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.UNDELIVERABLE  # it is not final yet

    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.REFUNDED
    assert await sender.customer() == before
    assert await sender.clearing() == 0
    await sender.assert_sound()


async def test_what_a_refund_lacks_is_the_nodes_loss_and_not_the_customers(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfer = await sender.at_partner()
    less = transfer.amounts.buy - 70_000
    tx_hash = sender.sends_back((7, less))
    tell_refund(sender, transfer, tx_hash, less)
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.REFUNDED
    assert await sender.customer() == before
    assert (await sender.node.balance("loss/partner/USDC")).posted == 70_000
    [found] = await sender.node.open_breaks()  # the partner owes it
    assert (found.code, found.expected) == ("B30", f"refund {transfer.amounts.buy}")
    assert found.actual == f"refund {less}"
    assert failing(await sender.node.reconcile()) == []
    assert (await VerifyService(sender.node.ledger.units).verify()).differences == []


async def test_a_refund_of_nothing_or_by_no_payment_is_a_lie(sender: Partnered) -> None:
    transfers = [await sender.at_partner() for _ in range(2)]
    assert transfers[0].tx_hash is not None
    tell_refund(sender, transfers[0], transfers[0].tx_hash, 0)
    sender.partner.tells(sender.payout_id(transfers[1]), PartnerState.REFUNDED)
    await sender.ask()
    assert {(await sender.again(each.id)).state for each in transfers} == {State.PAYOUT_PENDING}
    assert [each.code for each in await sender.node.open_breaks()] == ["B30", "B30"]


@pytest.mark.parametrize("told", [8, 2**63])
async def test_a_refund_under_another_number_than_the_chain_has_is_not_believed(
    sender: Partnered, told: int
) -> None:
    transfer = await sender.at_partner()
    tx_hash = sender.sends_back((7, transfer.amounts.buy))
    tell_refund(sender, transfer, tx_hash, transfer.amounts.buy, number=told)
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    [found] = [each for each in await sender.node.open_breaks() if each.code == "B30"]
    assert (found.expected, found.actual) == ("refund number 7", f"refund number {told}")

    tell_refund(sender, transfer, tx_hash, transfer.amounts.buy)
    await sender.ask_again(transfer)
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.REFUNDED


async def test_money_from_the_partners_contract_without_a_settled_is_no_refund(
    sender: Partnered,
) -> None:
    transfer, onchain = await sender.at_partner(), sender.node.onchain
    sender.sends_back((6, 1))  # there is a contract now, and its number 6 is used
    partner = "0x" + sender.partner.contract.hex()
    onchain.anvil.rpc("anvil_setBalance", partner, hex(10**18))
    onchain.anvil.rpc("anvil_impersonateAccount", partner)
    paid = "0x" + onchain.contract.hex(), transfer.amounts.buy
    onchain.send(onchain.token, "transfer(address,uint256)", *paid, sender=partner)
    tell_refund(sender, transfer, sender.newest_hash(), transfer.amounts.buy)
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    [found] = [each for each in await sender.node.open_breaks() if each.code == "B30"]
    assert found.expected == "refund number none"


async def test_two_refunds_of_one_amount_in_one_transaction_are_told_apart_by_their_numbers(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfers = [await sender.at_partner() for _ in range(2)]
    amount = transfers[0].amounts.buy
    tx_hash = sender.sends_back((11, amount), (12, amount))
    for each, number in zip(transfers, (12, 11), strict=True):
        tell_refund(sender, each, tx_hash, amount, number=number)
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    await sender.ask()
    assert {(await sender.again(each.id)).state for each in transfers} == {State.REFUNDED}
    assert await sender.customer() == before
    rows = await sender.node.rows(
        "SELECT l.detail ->> 'settlement_number' AS number, d.log_index FROM deposit d"
        " JOIN ledger_transaction l ON l.sequence = d.credited_sequence ORDER BY d.log_index"
    )
    assert [row["number"] for row in rows] == ["11", "12"]
    await sender.assert_sound()


async def test_one_refund_does_not_give_back_two_transfers(sender: Partnered) -> None:
    transfers = [await sender.at_partner() for _ in range(2)]
    amount = transfers[0].amounts.buy
    tx_hash = sender.sends_back((7, amount))
    for each in transfers:
        tell_refund(sender, each, tx_hash, amount)
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    await sender.ask()
    states = sorted([(await sender.again(each.id)).state for each in transfers])
    assert states == [State.REFUNDED, State.UNDELIVERABLE]
    await sender.assert_sound()
