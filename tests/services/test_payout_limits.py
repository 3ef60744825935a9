"""The limit of a day of a partner counts what it has paid out, at either node, and no refund."""

import asyncio

import pytest

from node.core.errors import LimitExceeded
from node.core.ledger import Entry, customer_account
from node.core.parties import Principal, Role
from node.core.partners import PartnerLimit
from node.core.payouts import PayoutState
from node.core.ports.idempotency import Answer
from node.store.unit_of_work import StoreUnits
from tests.mirrored import MirroredNode
from tests.services.partner_desk import Desk, said
from tests.services.partnering import Partnered
from tests.services.paying import refused
from tests.services.paying_rows import PayingRows
from tests.services.receiving import DAY_S, SELL, Receiver

pytestmark = pytest.mark.usefixtures("one_day")


def desk_of(node: MirroredNode) -> Desk:
    """What operators call."""
    units = node.ledger.units
    assert isinstance(units, StoreUnits)
    return Desk.over(units, "")


async def limit(receiver: Receiver, minor: int | None) -> None:
    """The partner of the receiver may have so much paid out in a day."""
    await desk_of(receiver.node).change(
        receiver.partner, limits=[PartnerLimit("USDC", daily_sell_max=minor)]
    )


async def test_parallel_registrations_of_a_day_come_to_at_most_what_is_agreed(
    receiver: Receiver,
) -> None:
    await limit(receiver, 3 * SELL + SELL - 1)
    quotes = [await receiver.quoted() for _ in range(10)]
    left: list[object] = []

    async def registered(place: int) -> bool:
        ask = receiver.ask(quotes[place])
        try:
            await receiver.service.create(
                ask, receiver.claim(), lambda _: Answer(201, b"{}"), refused
            )
        except LimitExceeded as error:
            left.append(error.context["remaining"])
            return False
        return True

    came = await asyncio.gather(*(registered(place) for place in range(10)))
    assert came.count(True) == 3
    assert left == [{"currency": "USDC", "amount": "230.074047"}] * 7
    rows = await receiver.node.rows("SELECT state FROM payout")
    assert [row["state"] for row in rows] == [PayoutState.AWAITING_PAYMENT] * 3
    open_quotes = await receiver.node.rows("SELECT FROM quote WHERE transfer_id IS NULL")
    assert len(open_quotes) == 7  # they stay as good as they were


async def test_what_was_registered_before_midnight_counts_no_more(receiver: Receiver) -> None:
    await limit(receiver, SELL)
    await receiver.payout()
    with pytest.raises(LimitExceeded):
        await receiver.payout()
    await receiver.node.execute("UPDATE payout SET created_at = created_at - interval '1 day'")
    await receiver.payout()


async def test_what_was_never_paid_gives_its_share_back(receiver: Receiver) -> None:
    await limit(receiver, SELL)
    await receiver.payout()
    receiver.pass_time(DAY_S + 60)
    await receiver.final()
    again = await receiver.payout()
    assert again.state is PayoutState.AWAITING_PAYMENT


async def test_money_goes_back_whatever_the_limit_of_the_day_is(receiver: Receiver) -> None:
    await limit(receiver, SELL)
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    await receiver.refund(payout)
    await limit(receiver, 1)
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    await limit(receiver, SELL)
    assert (await receiver.payout()).state is PayoutState.AWAITING_PAYMENT
    await receiver.assert_sound()


async def of_a_shop(node: MirroredNode, daily_sell_max: int) -> tuple[Partnered, PayingRows]:
    """A customer with money of a partner of the sending node that may sell so much in a day."""
    sender, desk = await Partnered.over(node), desk_of(node)
    shop = await desk.partner(limits=[PartnerLimit("EUR", daily_sell_max=daily_sell_max)])
    customer_id = await desk.customer(shop)
    path = customer_account(customer_id, "EUR")
    await node.ledger.post(Entry("bank/sandbox_bank/EUR", path, "EUR", 10**6))
    node.payer = Principal(Role.REMITTER, "Ada", customer_id=customer_id)
    return sender, PayingRows(sender, node.payer)


async def test_a_transfer_that_a_partner_pays_out_counts_for_the_partner_that_sends(
    node: MirroredNode,
) -> None:
    sender, _ = await of_a_shop(node, 39_999)
    await sender.accepted()
    quote = await sender.quote()
    answer = await sender.transfers.create(sender.submission(quote))
    assert (answer.status, said(answer)["code"]) == (422, "limit_exceeded")
    assert len(sender.partner.payouts) == 1  # nothing is registered that would be refused


async def test_rows_above_the_limit_of_the_day_are_rejected_and_not_registered(
    node: MirroredNode,
) -> None:
    sender, files = await of_a_shop(node, 45_000)
    rows = [files.paid_out(line) for line in range(1, 6)]
    bulk_id = await files.take_in(*rows, files.paid_out(6, "50.00"))
    await files.work()
    above = ("/sell", "limit_exceeded")
    assert await files.codes(bulk_id) == dict.fromkeys((3, 4, 5), above)
    assert len(sender.partner.payouts) == await files.transfers() == 3
