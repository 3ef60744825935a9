"""The job that sends money of payouts back: whose turn it is, and what can never be sent."""

from dataclasses import replace

from adapters.machine import new_id
from node.core.ids import Prefix, encode_id
from node.core.parties import Partner, Principal, Role
from node.core.payouts import PayoutState, RefundState
from tests.builders import a_quote
from tests.services.receiving import SELL, Receiver, deploy_contract


async def test_a_refund_whose_reference_is_used_fails_and_can_be_asked_again(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    await receiver.refund(payout)
    found = (await receiver.again(payout)).refund
    assert found is not None
    node, payer = receiver.node, receiver.node.payer
    assert payer.customer_id is not None
    quote = a_quote(receiver.partner, sell_minor=100, buy_minor=5)
    await node.ledger.add_quotes(quote)
    reference = encode_id(Prefix.REFUND, found.id)
    submission = node.ledger.submission(payer, quote, reference=reference)
    await node.execute(f"UPDATE customer SET partner_id = '{receiver.partner.partner_id}'")
    theirs = replace(submission.request, principal=receiver.partner)
    answer = await node.ledger.acceptance.create(replace(submission, request=theirs))
    assert answer.status == 201
    await receiver.refunds.run_once()
    assert await receiver.state(payout) is PayoutState.ON_HOLD
    assert await receiver.has() == SELL
    await receiver.refund(payout)
    await receiver.refunds.run_once()
    again = (await receiver.again(payout)).refund
    assert again is not None
    assert again.state is RefundState.SENT


async def test_refunds_of_one_partner_keep_those_of_another_not_waiting(
    receiver: Receiver,
) -> None:
    other = Principal(Role.PARTNER, "lisbon", partner_id=new_id())
    assert other.partner_id is not None
    async with receiver.node.ledger.units() as unit:
        await unit.parties.add_partner(Partner(other.partner_id, "lisbon", unit.now))
    theirs = replace(receiver, partner=other, contract=deploy_contract(receiver.node), numbers=0)
    await theirs.register(theirs.contract)
    sent = await receiver.payout()
    waiting = [await receiver.payout() for _ in range(2)]
    last = await theirs.payout()
    for each in (sent, *waiting):
        receiver.pay(each)
    theirs.pay(last)
    await receiver.final()
    await receiver.refund(sent)
    await receiver.refunds.run_once()  # its transfer is under way
    for each in waiting:
        await receiver.refund(each)
    await theirs.refund(last)
    async with receiver.node.ledger.units() as unit:
        turn = await unit.payouts.open_refunds(2)
    assert [each.refund.payout_id for each in turn] == [waiting[0].id, last.id]
