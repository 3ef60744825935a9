"""A sender killed anywhere between a partner and its own books: one payout, booked once."""

import pytest

from node.core.ids import Prefix, encode_id
from node.core.payout_orders import ChangeKind, PartnerRefund, PartnerState, Payee
from node.core.quotes import QuoteStatus
from node.core.transfers import State
from tests.fake_partner import ACCOUNT
from tests.mirrored import DEPTH_BLOCKS
from tests.services.partnering import Partnered
from tests.services.settling import Killed


@pytest.mark.parametrize(
    ("window", "registered"),
    [("after_payout_begun", 0), ("after_payout_told", 1), ("after_payout_registered", 1)],
)
async def test_a_sender_killed_while_it_registers_registers_once(
    sender: Partnered, window: str, registered: int
) -> None:
    before, quote = await sender.customer(), await sender.quote()
    submission = sender.submission(quote, key="k")
    await sender.dies_at(window, lambda: sender.transfers.create(submission))
    assert len(sender.partner.payouts) == registered
    assert (await sender.status(quote), await sender.customer()) == (QuoteStatus.ACTIVE, before)

    answers = [await sender.transfers.create(submission) for _ in range(2)]
    assert [(each.status, each.replayed) for each in answers] == [(201, False), (201, True)]
    assert len(sender.partner.payouts) == 1
    await sender.assert_sound()


@pytest.mark.parametrize("window", ["before_final_commit", "after_final_commit"])
async def test_a_payment_to_a_partner_is_booked_once_whenever_the_mirror_dies(
    sender: Partnered, window: str
) -> None:
    transfer = await sender.accepted()
    await sender.sent(transfer)
    sender.node.mine(1 + DEPTH_BLOCKS)

    def die(name: str) -> None:
        if name == window:
            raise Killed(name)

    async def follow() -> None:
        while await sender.node.mirror(at=die).run_once():
            pass

    with pytest.raises(Killed):
        await follow()
    await sender.node.follow()
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    assert await sender.clearing() == transfer.amounts.buy
    await sender.assert_sound()


@pytest.mark.parametrize("window", ["after_payout_shown", "before_payout_followed"])
async def test_a_payout_is_earned_once_whenever_the_sender_dies(
    sender: Partnered, window: str
) -> None:
    transfer = await sender.at_partner()
    assert transfer.tx_hash is not None
    payout_id = sender.payout_id(transfer)
    sender.partner.has_paid(payout_id, transfer.tx_hash, transfer.payment_number)
    await sender.dies_at(window, sender.ask)
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING

    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.PAID_OUT
    assert (await sender.node.balance("income/fee/EUR")).posted == 62
    await sender.assert_sound()


@pytest.mark.parametrize("window", ["after_payout_shown", "before_payout_followed"])
async def test_a_refund_is_given_back_once_whenever_the_sender_dies(
    sender: Partnered, window: str
) -> None:
    before, transfer = await sender.customer(), await sender.at_partner()
    amount = transfer.amounts.buy
    tx_hash = sender.sends_back((7, amount))
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    sender.partner.tells(
        sender.payout_id(transfer),
        PartnerState.REFUNDED,
        refund=PartnerRefund("ref_1", amount, tx_hash, 7),
    )
    await sender.dies_at(window, sender.ask)
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING

    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.REFUNDED
    assert (await sender.customer(), await sender.clearing()) == (before, 0)
    await sender.assert_sound()


@pytest.mark.parametrize("window", ["after_payout_change_kept", "after_payout_change_told"])
@pytest.mark.parametrize("who", ["the sender", "the job"])
async def test_a_correction_is_made_once_whenever_the_sender_dies(
    sender: Partnered, window: str, who: str
) -> None:
    transfer = await sender.at_partner()
    sender.partner.tells(sender.payout_id(transfer), PartnerState.UNDELIVERABLE, reason="closed")
    await sender.ask()
    payee = Payee("Jose Cruz", "PH", ACCOUNT)
    correct = ChangeKind.CORRECT
    await sender.dies_at(window, lambda: sender.asks_for(transfer, correct, payee))
    assert await sender.ask() == 0  # nobody knows whom it is for

    if who == "the job":
        assert await sender.asks_due() == 1
    answer = await sender.asks_for(transfer, correct, payee)
    assert (answer.status, len(sender.partner.changes)) == (201, 1)
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    assert await sender.asks_due() == 0
    assert (await sender.asks_for(transfer, correct, payee)).replayed
    assert (await sender.paid_out(await sender.again(transfer.id))).state is State.PAID_OUT
    timeline = await sender.node.timeline(transfer.id)
    assert timeline.count("transfer.payout_retried") == 1
    assert encode_id(Prefix.TRANSFER, transfer.id).encode() in answer.body
    await sender.assert_sound()
