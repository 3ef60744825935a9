"""Payouts that a partner does not end: two operators do, and nothing is paid or booked twice."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import orjson
import pytest

from node.core.breaks import BreakCode
from node.core.errors import SecondPersonNeeded, WrongState
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, suspense_account
from node.core.parties import Principal, Role
from node.core.payout_orders import ChangeKind, Conclusion, PartnerState, Payee
from node.core.ports.breaks import Break
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from node.core.units import Money
from node.services.ledger.verifying import VerifyService
from node.services.reconciliation.breaks import BreakRequest
from tests.builders import CHAIN_ID, render_error
from tests.fake_partner import ACCOUNT, AWAY, PHP
from tests.mirrored import DEPTH_BLOCKS, failing
from tests.services.partnering import Partnered
from tests.services.reorging import Desk
from tests.services.test_paid_by_partners import room
from tests.services.test_partner_refunds import tell_refund

OLGA, OMAR = (Principal(Role.OPERATOR, name) for name in ("olga", "omar"))
RECEIPT = "receipt 4711 of the bank"


def answer_of(found: Break) -> Answer:
    return Answer(200, orjson.dumps({"state": found.state, "resolution": found.resolution}))


def request(who: Principal, found: Break) -> BreakRequest:
    return BreakRequest(who, encode_id(Prefix.BREAK, found.id), None, answer_of, render_error)


async def silent(sender: Partnered, transfer: Transfer | None = None) -> tuple[Transfer, Break]:
    """A transfer at a partner that does not answer any more, and the break that says so."""
    transfer = transfer or await sender.at_partner()
    sender.partner.away = AWAY
    for _ in range(26):
        await sender.ask()
    [found] = await sender.node.open_breaks()
    assert found.code == BreakCode.PARTNER_STALLS
    return await sender.again(transfer.id), found


async def propose(sender: Partnered, found: Break, conclusion: Conclusion) -> Mapping[str, Any]:
    answer = await sender.node.breaks().conclude(
        request(OLGA, found), "bankrupt", conclusion, RECEIPT
    )
    told: Mapping[str, Any] = orjson.loads(answer.body)
    return told


async def conclude(sender: Partnered, found: Break, conclusion: Conclusion) -> None:
    """Both operators."""
    assert (await propose(sender, found, conclusion))["state"] == "proposed"
    answer = await sender.node.breaks().approve(request(OMAR, found))
    assert orjson.loads(answer.body)["state"] == "resolved"


async def loss(sender: Partnered) -> int:
    return (await sender.node.balance("loss/partner/USDC")).posted


async def codes(sender: Partnered) -> list[str]:
    return sorted(each.code for each in await sender.node.open_breaks())


async def sent_back(sender: Partnered, transfer: Transfer, minor: int) -> None:
    """The partner answers again, and its payment of so much is final."""
    sender.partner.away = None
    tell_refund(sender, transfer, sender.sends_back((7, minor)), minor)
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    await sender.ask()


async def test_two_operators_give_back_what_a_dead_partner_keeps(sender: Partnered) -> None:
    before = await sender.customer()
    transfer, found = await silent(sender)
    await propose(sender, found, Conclusion.GIVEN_BACK)
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING  # nothing is booked yet
    with pytest.raises(SecondPersonNeeded):
        await sender.node.breaks().approve(request(OLGA, found))
    await sender.node.breaks().approve(request(OMAR, found))

    ended = await sender.again(transfer.id)
    assert (ended.state, ended.failure and ended.failure["code"]) == (State.REFUNDED, "given_back")
    assert await sender.customer() == before
    assert (await sender.clearing(), await loss(sender)) == (0, transfer.amounts.buy)
    [booked] = await sender.node.rows(
        "SELECT detail FROM ledger_transaction WHERE kind = 'partner_loss'"
    )
    told = {each: booked["detail"][each] for each in ("made_by", "approved_by", "evidence")}
    assert told == {"made_by": OLGA.key, "approved_by": OMAR.key, "evidence": RECEIPT}
    await sender.assert_sound()


async def test_two_operators_end_as_paid_out_what_a_receipt_shows(sender: Partnered) -> None:
    before = await sender.customer()
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.PAID_OUT)
    assert (await sender.again(transfer.id)).state is State.PAID_OUT
    assert (await sender.clearing(), await loss(sender)) == (0, 0)
    assert (await sender.customer())[0] == before[0] - transfer.amounts.sell
    income = await sender.node.balance("income/spread/EUR")
    assert income.posted == transfer.amounts.spread
    await sender.assert_sound()


async def test_the_timeline_names_the_break_that_concluded_it(sender: Partnered) -> None:
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    rows = await sender.node.rows(
        "SELECT type, detail FROM event WHERE object_id = $1 ORDER BY sequence DESC LIMIT 2",
        transfer.id,
    )
    assert [row["type"] for row in rows] == ["transfer.refunded", "transfer.undeliverable"]
    told = {"concluded": "given_back", "break": encode_id(Prefix.BREAK, found.id)}
    assert rows[0]["detail"] == told


async def test_a_partner_that_answers_and_has_time_is_not_concluded(sender: Partnered) -> None:
    transfer, found = await silent(sender)
    await propose(sender, found, Conclusion.GIVEN_BACK)
    sender.partner.away = None
    sender.partner.tells(sender.payout_id(transfer), PartnerState.WORKING)
    await sender.ask()
    assert await codes(sender) == []  # the partner goes on: the break is closed, and so is this
    with pytest.raises(WrongState):
        await sender.node.breaks().approve(request(OMAR, found))
    assert (await sender.paid_out(transfer)).state is State.PAID_OUT
    await sender.assert_sound()


async def test_a_break_that_stays_open_does_not_conclude_what_goes_on(sender: Partnered) -> None:
    """The last word counts, not the break: what was disputed is believed again when asked for."""
    transfer = await sender.at_partner()
    sender.partner.tells(sender.payout_id(transfer), PartnerState.PAID_OUT, buy=Money(1, PHP))
    await sender.ask()
    [found] = await sender.node.open_breaks()
    assert found.code == BreakCode.PARTNER_DIFFERS
    await sender.ask_again(transfer)
    with pytest.raises(WrongState, match="answers, and has time"):
        await propose(sender, found, Conclusion.GIVEN_BACK)


async def test_what_a_partner_contradicts_is_concluded_with_its_break(sender: Partnered) -> None:
    before = await sender.customer()
    transfer = await sender.at_partner()
    sender.partner.tells(sender.payout_id(transfer), PartnerState.PAID_OUT, buy=Money(1, PHP))
    await sender.ask()
    [found] = await sender.node.open_breaks()
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    assert await sender.customer() == before
    assert await sender.clearing() == 0
    await sender.assert_sound()


async def test_what_ended_meanwhile_is_not_concluded(sender: Partnered) -> None:
    transfer, found = await silent(sender)
    await propose(sender, found, Conclusion.GIVEN_BACK)
    await sender.node.execute("UPDATE payout_order SET asks = 6")
    sender.partner.away = None
    await sender.paid_out(transfer)
    with pytest.raises(WrongState):
        await sender.node.breaks().approve(request(OMAR, found))
    assert await loss(sender) == 0
    await sender.assert_sound()


@pytest.mark.parametrize("lacks", [0, 70_000])
async def test_a_late_refund_makes_the_loss_less_and_gives_the_customer_nothing_more(
    sender: Partnered, lacks: int
) -> None:
    before = await sender.customer()
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    await sent_back(sender, transfer, transfer.amounts.buy - lacks)
    assert await sender.customer() == before
    assert (await sender.clearing(), await loss(sender)) == (0, lacks)
    suspense = suspense_account(CHAIN_ID, "USDC")
    assert (await sender.node.balance(suspense)).posted == 0
    assert await codes(sender) == (["B30"] if lacks else [])
    assert await sender.ask() == 0  # it is over
    assert failing(await sender.node.reconcile()) == []
    assert (await VerifyService(sender.node.ledger.units).verify()).differences == []


async def test_a_partner_that_delivers_after_the_customer_has_its_money_is_a_break(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    sender.partner.away = None
    assert (await sender.paid_out(transfer)).state is State.REFUNDED
    [late] = await sender.node.open_breaks()
    assert late.code == BreakCode.PARTNER_DIFFERS
    assert (late.expected, late.actual) == ("payout given back to the customer", "payout paid out")
    assert await sender.customer() == before
    assert (await sender.clearing(), await loss(sender)) == (0, transfer.amounts.buy)
    await sender.ask_again(transfer)  # told again, it moves nothing either
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.REFUNDED
    assert (await VerifyService(sender.node.ledger.units).verify()).differences == []


async def test_what_was_paid_by_a_receipt_is_over_when_the_partner_says_the_same(
    sender: Partnered,
) -> None:
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.PAID_OUT)
    sender.partner.away = None
    assert (await sender.paid_out(transfer)).state is State.PAID_OUT
    assert await codes(sender) == []
    assert await sender.ask() == 0
    await sender.assert_sound()


async def test_money_that_comes_back_of_what_a_receipt_showed_is_a_break_and_in_suspense(
    sender: Partnered,
) -> None:
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.PAID_OUT)
    after = await sender.customer()
    await sent_back(sender, transfer, transfer.amounts.buy)
    assert (await sender.again(transfer.id)).state is State.PAID_OUT
    assert await codes(sender) == ["B04", "B30"]
    assert (await sender.customer(), await sender.clearing()) == (after, 0)
    suspense = suspense_account(CHAIN_ID, "USDC")
    assert (await sender.node.balance(suspense)).posted == transfer.amounts.buy
    assert (await VerifyService(sender.node.ledger.units).verify()).differences == []


async def test_money_that_comes_back_without_a_word_is_taken_off_the_loss_by_an_operator(
    sender: Partnered,
) -> None:
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    tx_hash = sender.sends_back((7, transfer.amounts.buy))
    sender.node.mine(DEPTH_BLOCKS)
    await sender.node.follow()
    [unknown] = await sender.node.open_breaks()
    suspense = suspense_account(CHAIN_ID, "USDC")
    entry = Entry(suspense, "loss/partner/USDC", "USDC", transfer.amounts.buy)
    await sender.node.breaks().resolve(request(OLGA, unknown), "theirs", [entry])
    assert await loss(sender) == 0
    sender.partner.away = None
    tell_refund(sender, transfer, tx_hash, transfer.amounts.buy)
    await sender.ask()
    assert await loss(sender) == 0  # not a second time
    await sender.assert_sound()


async def test_a_correction_that_is_never_answered_does_not_keep_the_money_for_ever(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfer = await sender.at_partner()
    sender.partner.tells(sender.payout_id(transfer), PartnerState.UNDELIVERABLE, reason="closed")
    await sender.ask()
    sender.partner.away = AWAY
    payee = Payee("Jose Reyes", "PH", ACCOUNT)
    with pytest.raises(type(AWAY)):
        await sender.asks_for(transfer, ChangeKind.CORRECT, payee)
    for _ in range(26):
        await sender.asks_due()
    [found] = await sender.node.open_breaks()
    assert found.code == BreakCode.PARTNER_STALLS
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    assert await sender.customer() == before
    asked = sender.partner.asked
    assert (await sender.asks_due(), sender.partner.asked) == (0, asked)
    await sender.assert_sound()


async def test_a_partner_that_works_for_more_than_a_week_is_told_of(sender: Partnered) -> None:
    transfer = await sender.at_partner()
    sender.partner.tells(sender.payout_id(transfer), PartnerState.WORKING)
    late = (
        "UPDATE transfer SET settle_by = now() - $1::interval, created_at = now() - '9 d'::interval"
    )
    await sender.node.execute(late.replace("$1", "'6 days'"))
    await sender.ask()
    assert await codes(sender) == []
    await sender.node.execute(late.replace("$1", "'7 days 1 s'"))
    await sender.ask()
    assert await codes(sender) == ["B32"]


async def test_the_database_keeps_how_a_payout_was_concluded(sender: Partnered) -> None:
    _, found = await silent(sender)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    with pytest.raises(asyncpg.RestrictViolationError):
        await sender.node.execute("UPDATE payout_order SET concluded = NULL")
    with pytest.raises(asyncpg.RestrictViolationError):
        await sender.node.execute("UPDATE payout_order SET concluded = 'paid_out'")


async def test_a_conclusion_that_the_books_do_not_have_is_found(sender: Partnered) -> None:
    await sender.at_partner()
    await sender.node.execute("UPDATE payout_order SET concluded = 'given_back'")
    failed = (await VerifyService(sender.node.ledger.units).verify()).differences
    assert "payout_orders" in {each.check for each in failed}


async def test_a_break_of_something_else_concludes_no_payout(sender: Partnered) -> None:
    node = sender.node
    sender.sends_back((3, 5_000))
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    [unknown] = await node.open_breaks()
    with pytest.raises(WrongState, match="B30, B32"):
        await propose(sender, unknown, Conclusion.GIVEN_BACK)


async def test_a_recovery_that_a_reorg_took_is_a_loss_again_until_it_is_final_again(
    sender: Partnered,
) -> None:
    node, desk = sender.node, Desk(sender.node)
    before = await sender.customer()
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    sender.partner.away = None
    tx_hash = sender.sends_back((7, transfer.amounts.buy))
    raw = node.onchain.anvil.rpc("eth_getRawTransactionByHash", f"0x{tx_hash.hex()}")
    tell_refund(sender, transfer, tx_hash, transfer.amounts.buy)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    await sender.ask()
    assert await loss(sender) == 0

    await desk.reorg(DEPTH_BLOCKS + 1)
    await desk.both()
    await desk.resume()
    assert (await loss(sender), await sender.customer()) == (transfer.amounts.buy, before)
    await sender.ask()
    await desk.assert_proven()
    assert failing(await node.reconcile()) == []

    node.onchain.anvil.rpc("eth_sendRawTransaction", raw)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    await sender.ask()
    assert (await loss(sender), await sender.customer()) == (0, before)
    assert await sender.ask() == 0
    await sender.assert_sound()


async def test_a_refund_that_a_reorg_took_and_that_never_comes_again_is_a_loss(
    sender: Partnered,
) -> None:
    node, desk = sender.node, Desk(sender.node)
    before, promisable = await sender.customer(), await room(sender)
    transfer = await sender.at_partner()
    await sent_back(sender, transfer, transfer.amounts.buy)
    await desk.reorg(DEPTH_BLOCKS + 1)
    await desk.both()
    await desk.resume()
    assert await room(sender) == promisable - transfer.amounts.buy
    await sender.ask()
    assert await room(sender) == promisable - transfer.amounts.buy
    [found] = await node.open_breaks()
    assert (found.code, await sender.clearing()) == (BreakCode.PARTNER_STALLS, transfer.amounts.buy)
    with pytest.raises(WrongState):  # it answers, and has time
        await propose(sender, found, Conclusion.GIVEN_BACK)
    sender.partner.away = AWAY
    for _ in range(26):
        await sender.ask()
    with pytest.raises(WrongState):  # the customer has its money: nobody was paid out
        await propose(sender, found, Conclusion.PAID_OUT)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    assert (await sender.customer(), await sender.clearing()) == (before, 0)
    assert await loss(sender) == transfer.amounts.buy
    assert await room(sender) == promisable - transfer.amounts.buy
    await desk.assert_proven()
    assert failing(await node.reconcile()) == []


async def test_what_was_concluded_is_not_concluded_again(sender: Partnered) -> None:
    transfer, found = await silent(sender)
    await conclude(sender, found, Conclusion.GIVEN_BACK)
    sender.partner.away = None
    await sender.paid_out(transfer)  # its late word is a break of the same payout
    [late] = await sender.node.open_breaks()
    for conclusion in Conclusion:
        with pytest.raises(WrongState):
            await propose(sender, late, conclusion)
    assert (await sender.clearing(), await loss(sender)) == (0, transfer.amounts.buy)


async def test_an_order_of_two_contracts_may_have_two_refunds_of_one_number(
    sender: Partnered,
) -> None:
    """A partner's new contract counts its payments from one again."""
    before = await sender.customer()
    transfers = [await sender.at_partner() for _ in range(2)]
    for each in transfers:
        amount = each.amounts.buy
        sender.partner.contract = type(sender.partner)(CHAIN_ID, sender.partner.token).contract
        tell_refund(sender, each, sender.sends_back((1, amount)), amount, number=1)
        sender.node.mine(DEPTH_BLOCKS)
        await sender.node.follow()
        await sender.ask()
    assert {(await sender.again(each.id)).state for each in transfers} == {State.REFUNDED}
    assert await sender.customer() == before
    await sender.assert_sound()
