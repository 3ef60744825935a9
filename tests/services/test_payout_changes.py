"""What a sender asks of the partner that was paid: other data, or the money back (ADR 0029)."""

import asyncio

import orjson
import pytest

from node.core.errors import NotFound
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.payout_orders import (
    ChangeKind,
    PartnerRefund,
    PartnerState,
    PartnerUnavailable,
    Payee,
    beneficiary_hash,
)
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.idempotency import Claim
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from node.core.units import Money
from node.services.ledger.verifying import VerifyService
from node.services.payouts.changing import ChangeAsk
from tests.builders import render, render_error
from tests.fake_partner import ACCOUNT, AWAY, PHP
from tests.mirrored import DEPTH_BLOCKS
from tests.services.partnering import Partnered

CORRECT, REFUND = ChangeKind.CORRECT, ChangeKind.REFUND
RIGHT = Payee("Jose Cruz", "PH", BankAccount("009876543210", "BOPIPHMM"))


async def undeliverable(sender: Partnered) -> Transfer:
    """A transfer that the partner's rail refused, and may be corrected."""
    quote = await sender.quote()
    transfer = await sender.accepted(quote, refund_policy=RefundPolicy.CORRECT)
    await sender.at_partner(transfer)
    sender.partner.tells(sender.payout_id(transfer), PartnerState.UNDELIVERABLE, reason="closed")
    await sender.ask()
    found = await sender.again(transfer.id)
    assert found.state is State.UNDELIVERABLE
    return found


async def test_the_policy_is_the_partners_to_keep_and_shown(sender: Partnered) -> None:
    transfer = await undeliverable(sender)
    [(registration, _)] = sender.partner.by_key.values()
    assert registration.refund_policy is RefundPolicy.CORRECT
    assert transfer.payout is not None
    assert transfer.payout.refund_policy is RefundPolicy.CORRECT


async def test_a_registration_with_another_policy_or_purpose_is_another_one(
    sender: Partnered,
) -> None:
    quote = await sender.quote()
    sender.partner.loses = 1
    with pytest.raises(PartnerUnavailable):
        await sender.transfers.create(sender.submission(quote, purpose="rent"))
    policy = RefundPolicy.CORRECT
    for other in (
        sender.submission(quote, purpose="gift"),
        sender.submission(quote, purpose="rent", refund_policy=policy),
    ):
        answer = await sender.transfers.create(other)
        assert orjson.loads(answer.body)["code"] == "quote_bound"
    assert (await sender.accepted(quote, purpose="rent")).purpose == "rent"
    assert len(sender.partner.payouts) == 1


async def test_a_corrected_beneficiary_is_paid_out_and_proven(sender: Partnered) -> None:
    transfer = await undeliverable(sender)
    assert (await sender.asks_for(transfer, CORRECT, RIGHT)).status == 201
    again = await sender.again(transfer.id)
    assert (again.state, again.failure) == (State.PAYOUT_PENDING, None)
    assert again.payout is not None
    assert again.payout.corrected == RIGHT
    assert again.beneficiary.name == "Jose"  # as it was ordered, and is in the ledger's terms
    assert (await sender.paid_out(again)).state is State.PAID_OUT
    [row] = await sender.node.rows(
        "SELECT detail ->> 'beneficiary' AS whom FROM ledger_transaction"
        " WHERE kind = 'partner_payout'"
    )
    whom = beneficiary_hash(transfer.quote_id, RIGHT.name, RIGHT.country, RIGHT.account)
    assert row["whom"] == f"0x{whom.hex()}"
    await sender.assert_sound()


async def test_a_correction_may_be_refused_again_and_corrected_again(sender: Partnered) -> None:
    transfer = await undeliverable(sender)
    await sender.asks_for(transfer, CORRECT, RIGHT, key="1")
    sender.partner.tells(sender.payout_id(transfer), PartnerState.UNDELIVERABLE, reason="closed")
    await sender.ask()
    other = Payee("Jose R. Cruz", "PH", ACCOUNT)
    assert (await sender.asks_for(transfer, CORRECT, other, key="2")).status == 201
    assert len(sender.partner.changes) == 2
    await sender.paid_out(await sender.again(transfer.id))
    await sender.assert_sound()


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(
    sender: Partnered,
) -> None:
    transfer = await undeliverable(sender)
    sender.partner.loses = 1
    with pytest.raises(PartnerUnavailable):
        await sender.asks_for(transfer, CORRECT, RIGHT)
    refused = await sender.asks_for(transfer, REFUND, key="other")
    assert orjson.loads(refused.body)["code"] == "wrong_state"
    equal = await sender.asks_for(transfer, CORRECT, RIGHT, key="another")
    assert (equal.status, len(sender.partner.changes)) == (201, 1)
    assert (await sender.asks_for(transfer, CORRECT, RIGHT)).status == 201
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING


async def test_a_partner_that_is_away_is_asked_by_the_job_until_it_answers(
    sender: Partnered,
) -> None:
    transfer = await undeliverable(sender)
    sender.partner.away = AWAY
    with pytest.raises(PartnerUnavailable):
        await sender.asks_for(transfer, REFUND)
    for _ in range(3):
        assert await sender.asks_due() == 1
    [row] = await sender.node.rows(
        "SELECT asks, ask_at - now() BETWEEN '1 s' AND '30 s' AS soon FROM payout_change"
    )
    assert (row["asks"], row["soon"]) == (3, True)
    sender.partner.away = None
    assert await sender.asks_due() == 1
    assert (await sender.asks_for(transfer, REFUND)).status == 201
    assert len(sender.partner.changes) == 1


async def test_of_many_equal_requests_the_partner_makes_one_correction(sender: Partnered) -> None:
    transfer = await undeliverable(sender)
    asking = asyncio.create_task(sender.asks_due())
    answers = await asyncio.gather(*(sender.asks_for(transfer, CORRECT, RIGHT) for _ in range(10)))
    await asking
    assert {each.status for each in answers} == {201}
    assert len(sender.partner.changes) == 1
    timeline = await sender.node.timeline(transfer.id)
    assert timeline.count("transfer.payout_retried") == 1


async def test_money_that_was_asked_back_is_the_customers_when_it_is_final(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfer = await undeliverable(sender)
    assert (await sender.asks_for(transfer, REFUND)).status == 201
    assert (await sender.again(transfer.id)).state is State.UNDELIVERABLE

    tx_hash = sender.sends_back((3, transfer.amounts.buy))
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    refund = PartnerRefund("ref_1", transfer.amounts.buy, tx_hash, 3)
    sender.partner.tells(sender.payout_id(transfer), PartnerState.REFUNDED, refund=refund)
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.REFUNDED
    assert await sender.customer() == before
    await sender.assert_sound()


async def test_what_the_partner_refuses_changes_nothing_and_is_remembered(
    sender: Partnered,
) -> None:
    transfer = await sender.at_partner()
    first = await sender.asks_for(transfer, REFUND)
    assert orjson.loads(first.body)["code"] == "partner_refused"
    [row] = await sender.node.rows("SELECT state, reason FROM payout_change")
    assert (row["state"], row["reason"]) == ("refused", "wrong_state")
    sender.partner.tells(sender.payout_id(transfer), PartnerState.UNDELIVERABLE)
    assert (await sender.asks_for(transfer, REFUND)).body == first.body
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    assert await sender.asks_due() == 0


async def test_only_what_waits_at_a_partner_can_be_changed(sender: Partnered) -> None:
    transfer = await sender.accepted()
    for kind, payee in ((CORRECT, RIGHT), (REFUND, None)):
        answer = await sender.asks_for(transfer, kind, payee, key=str(kind))
        assert orjson.loads(answer.body)["code"] == "wrong_state"
    waiting = await sender.at_partner(transfer)
    answer = await sender.asks_for(waiting, CORRECT, RIGHT, key="early")
    assert orjson.loads(answer.body)["code"] == "wrong_state"
    assert sender.partner.changes == {}


async def test_a_stranger_changes_nothing(sender: Partnered) -> None:
    transfer = await undeliverable(sender)
    stranger = Principal(Role.PARTNER, "other", partner_id=transfer.id)
    claim = Claim(stranger.key, "POST", "/v1/transfers/x/refund", "k", bytes(32))
    ask = ChangeAsk(stranger, encode_id(Prefix.TRANSFER, transfer.id), REFUND)
    with pytest.raises(NotFound):
        await sender.changing.ask(ask, claim, render, render_error)
    assert sender.partner.changes == {}


async def test_an_answer_that_contradicts_the_order_is_not_believed(sender: Partnered) -> None:
    transfer = await undeliverable(sender)
    payout_id = sender.payout_id(transfer)
    sender.partner.tells(payout_id, PartnerState.UNDELIVERABLE, buy=Money(1, PHP))
    await sender.asks_for(transfer, CORRECT, RIGHT)
    assert (await sender.again(transfer.id)).state is State.UNDELIVERABLE
    assert [each.code for each in await sender.node.open_breaks()] == ["B30"]


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE payout_change SET beneficiary = beneficiary || \'{"name": "X"}\'',
        "DELETE FROM payout_change",
        "UPDATE payout_change SET state = 'asking'",
    ],
)
async def test_whoever_changes_whom_a_correction_named_is_found(
    sender: Partnered, statement: str
) -> None:
    transfer = await undeliverable(sender)
    await sender.asks_for(transfer, CORRECT, RIGHT)
    await sender.paid_out(await sender.again(transfer.id))
    await sender.node.execute("ALTER TABLE payout_change DISABLE TRIGGER USER")
    await sender.node.execute(statement)
    verified = await VerifyService(sender.node.ledger.units).verify()
    assert "payout_corrections" in {each.check for each in verified.differences}
