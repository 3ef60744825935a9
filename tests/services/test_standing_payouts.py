"""Operators are told of payouts that stand still, once each, until they go on (ADR 0028)."""

from datetime import timedelta

import pytest

from adapters.machine import new_id
from node.core.breaks import BreakCode
from node.core.ids import Prefix, encode_id
from node.core.payouts import ENDS_WITHIN, Payout, PayoutState
from node.services.payouts.standing import PayoutWatching
from tests.services.receiving import Receiver
from tests.services.test_payout_delivery import at

SECOND = timedelta(seconds=1)


async def paid(receiver: Receiver) -> Payout:
    """A payout whose money is there."""
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    return payout


async def look(receiver: Receiver) -> int:
    return await PayoutWatching(receiver.node.ledger.units, new_id).run_once()


async def age(receiver: Receiver, payout: Payout, by: timedelta) -> None:
    await receiver.node.execute(
        f"UPDATE payout SET updated_at = now() - interval '{by.total_seconds()} s'"
        f" WHERE id = '{payout.id}'"
    )


async def test_what_stands_still_is_told_after_its_time_and_closes_when_it_goes_on(
    receiver: Receiver,
) -> None:
    payout = await paid(receiver)
    await age(receiver, payout, ENDS_WITHIN[PayoutState.MATCHED] - 60 * SECOND)
    assert (await look(receiver), await receiver.codes()) == (0, [])
    await age(receiver, payout, ENDS_WITHIN[PayoutState.MATCHED] + SECOND)
    assert await look(receiver) == 1
    [found] = await receiver.node.open_breaks()
    assert found.code == BreakCode.PAYOUT_STANDS
    assert found.evidence["payout"] == encode_id(Prefix.PAYOUT, payout.id)
    assert found.actual.startswith("matched since ")
    assert await look(receiver) == 0  # it is told once
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    await look(receiver)
    assert await receiver.codes() == []
    await receiver.assert_sound()


@pytest.mark.parametrize("state", list(PayoutState))
async def test_only_what_the_node_or_its_operators_end_is_told_of(
    receiver: Receiver, state: PayoutState
) -> None:
    payout = await receiver.payout()
    await receiver.node.execute(
        f"SET session_replication_role = replica; UPDATE payout SET state = '{state}'"
    )
    await age(receiver, payout, timedelta(days=2))
    assert await look(receiver) == (1 if state in ENDS_WITHIN else 0)


async def test_a_payout_that_stands_still_again_is_told_of_again(receiver: Receiver) -> None:
    payout = await receiver.payout(beneficiary=at("04"))
    receiver.pay(payout)
    await receiver.final()
    await age(receiver, payout, timedelta(days=2))
    await look(receiver)
    [first] = await receiver.node.open_breaks()
    async with receiver.node.ledger.units() as unit:
        await unit.breaks.close(first.id, "operator:ops", {"kind": "match", "reason": "known"})
    assert await look(receiver) == 0  # an operator knows of it
    await receiver.node.execute("UPDATE payout SET state = 'ordered', version = version + 1")
    await age(receiver, payout, timedelta(days=3))
    assert await look(receiver) == 1
    [second] = await receiver.node.open_breaks()
    assert (second.reopens, second.evidence["state"]) == (first.id, "ordered")


async def test_what_has_not_ended_is_counted_by_its_state(receiver: Receiver) -> None:
    await paid(receiver)
    await receiver.payout()
    counted = await receiver.service.figures()
    assert (counted[PayoutState.MATCHED], counted[PayoutState.AWAITING_PAYMENT]) == (1, 1)
    assert (counted[PayoutState.ON_HOLD], PayoutState.PAID_OUT in counted) == (0, False)
    await receiver.deliver()
    assert (await receiver.service.figures())[PayoutState.MATCHED] == 0
