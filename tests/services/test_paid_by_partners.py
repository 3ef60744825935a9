"""Transfers that a partner pays out: one price, registered once, ended by the partner's word."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from node.core.catalog import USDC
from node.core.errors import InvalidInput, NotFound, PairNotOffered, WebhookUnverified
from node.core.partner_legs import whole
from node.core.payout_orders import PartnerRefused, PartnerState, PartnerUnavailable
from node.core.quotes import QuoteStatus
from node.core.transfers import State
from node.core.units import Address, Money
from node.core.webhooks import secret_text
from node.services.ledger.verifying import VerifyService
from node.services.transfers.acceptance import at_partners, headroom, liquidity_paths
from tests.builders import EUR
from tests.fake_partner import AWAY, PHP
from tests.services.partnering import PHP_5000, Partnered


async def test_a_quote_of_two_legs_sells_on_exactly_what_it_buys(sender: Partnered) -> None:
    quote = await sender.quote()
    assert quote.leg is not None
    assert quote.price.buy == quote.leg.price.sell
    assert (quote.price.sell.minor, str(quote.price.buy)) == (20_000, "230.074048")
    assert quote.delivered == Money(1_315_739, PHP)  # (230.074048 - 0.10) x 57.2125
    both = whole(quote)
    assert (both.sell, both.buy) == (quote.price.sell, quote.delivered)
    assert str(both.mid_rate) == "66.48495"  # 1.15626 x 57.5


async def test_a_fixed_buy_delivers_exactly_what_was_asked_for(sender: Partnered) -> None:
    quote = await sender.quote(PHP_5000)
    assert quote.delivered == Money(500_000, PHP)
    assert quote.leg is not None
    assert quote.price.buy == quote.leg.price.sell


async def test_a_quote_is_firm_no_longer_than_the_partner_is_bound(sender: Partnered) -> None:
    sender.partner.lives_s = 20
    quote = await sender.quote()
    assert quote.leg is not None
    assert (quote.leg.expires_at - quote.expires_at).total_seconds() == 5


async def test_a_repeated_quote_asks_the_partner_once(sender: Partnered) -> None:
    first = await sender.quote(key="k")
    assert (await sender.quote(key="k")).id == first.id
    assert sender.partner.asked == 1


async def test_no_quote_is_made_while_the_partner_is_away(sender: Partnered) -> None:
    sender.partner.away = AWAY
    with pytest.raises(PartnerUnavailable):
        await sender.quote()
    assert await sender.node.rows("SELECT FROM quote") == []


async def test_corridors_of_a_partner_are_those_that_can_be_quoted(sender: Partnered) -> None:
    sender.partner.currencies = frozenset({"PHP", "XXX"})
    quoting = await sender.quoting()
    corridors = await quoting.corridors()
    assert {(each.buy.code, each.partner) for each in corridors} == {("PHP", "manila")}
    assert "EUR" in {each.own.sell.code for each in corridors}
    assert (await sender.quote()).leg is not None
    await sender.node.execute("UPDATE partner SET status = 'suspended'")
    assert await quoting.corridors() == []


async def test_what_a_partner_pays_out_has_a_quote_and_no_indication(sender: Partnered) -> None:
    with pytest.raises(PairNotOffered, match="ask for a quote with payout method partner"):
        await (await sender.quoting()).price(sell="EUR", buy="PHP", sell_amount="200.00")


async def test_only_what_a_partner_pays_out_is_quoted(sender: Partnered) -> None:
    sender.partner.currencies = frozenset({"MXN"})
    with pytest.raises(PairNotOffered):
        await sender.quote()


async def test_the_customers_money_waits_until_the_partner_has_paid_out(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfer = await sender.at_partner()
    assert transfer.state is State.PAYOUT_PENDING
    posted, available = await sender.customer()
    assert (posted, available) == (before[0], before[0] - 20_000)
    assert await sender.clearing() == transfer.amounts.buy
    assert (await sender.node.balance("income/fee/EUR")).posted == 0
    await sender.assert_sound()

    done = await sender.paid_out(transfer)
    assert done.state is State.PAID_OUT
    assert (await sender.customer())[0] == before[0] - 20_000
    assert await sender.clearing() == 0
    assert (await sender.node.balance("income/fee/EUR")).posted == 62
    assert (await sender.node.timeline(transfer.id))[-2:] == [
        "transfer.payout_pending",
        "transfer.paid_out",
    ]
    await sender.assert_sound()


async def test_the_token_goes_where_the_partner_said_and_nowhere_else(sender: Partnered) -> None:
    transfer = await sender.at_partner()
    payout = sender.partner.payouts[sender.payout_id(transfer)]
    assert transfer.beneficiary_address == payout.address
    assert sender.node.onchain.balance(payout.address) == transfer.amounts.buy


async def test_an_answer_that_got_lost_registers_nothing_twice(sender: Partnered) -> None:
    quote = await sender.quote()
    sender.partner.loses = 1
    submission = sender.submission(quote, key="k")
    with pytest.raises(PartnerUnavailable):
        await sender.transfers.create(submission)
    assert await sender.status(quote) is QuoteStatus.ACTIVE
    answers = [await sender.transfers.create(submission) for _ in range(2)]
    assert [each.replayed for each in answers] == [False, True]
    assert len(sender.partner.payouts) == 1


async def test_of_many_equal_requests_one_payout_and_one_transfer_come(sender: Partnered) -> None:
    quote = await sender.quote()
    submission = sender.submission(quote, key="k")
    answers = await asyncio.gather(*(sender.transfers.create(submission) for _ in range(20)))
    assert {each.status for each in answers} == {201}
    assert len({each.body for each in answers}) == 1
    assert len(sender.partner.payouts) == 1


async def test_a_refused_beneficiary_leaves_the_quote_to_another(sender: Partnered) -> None:
    sender.partner.refused = frozenset({"Nobody"})
    quote = await sender.quote()
    answer = await sender.transfers.create(sender.submission(quote, name="Nobody", key="k"))
    assert orjson.loads(answer.body)["code"] == "beneficiary_refused"
    again = await sender.transfers.create(sender.submission(quote, name="Nobody", key="k"))
    assert (again.body, again.replayed) == (answer.body, True)
    assert await sender.status(quote) is QuoteStatus.ACTIVE
    assert (await sender.accepted(quote, name="Jose")).beneficiary.name == "Jose"


async def test_a_quote_is_bound_to_the_beneficiary_it_was_registered_for(
    sender: Partnered,
) -> None:
    quote = await sender.quote()
    sender.partner.loses = 1
    with pytest.raises(PartnerUnavailable):
        await sender.transfers.create(sender.submission(quote))
    answer = await sender.transfers.create(sender.submission(quote, name="Maria"))
    assert orjson.loads(answer.body)["code"] == "quote_bound"
    assert (await sender.accepted(quote)).beneficiary.name == "Jose"


async def test_a_price_that_the_partner_dropped_is_an_expired_quote(sender: Partnered) -> None:
    quote = await sender.quote()
    sender.partner.away = PartnerRefused("gone", reason="quote_expired")
    answer = await sender.transfers.create(sender.submission(quote))
    assert orjson.loads(answer.body)["code"] == "quote_expired"


async def test_an_address_is_refused_where_a_partner_pays_to_an_account(
    sender: Partnered,
) -> None:
    quote = await sender.quote()
    with pytest.raises(InvalidInput):
        await sender.transfers.create(sender.submission(quote, account=None))
    assert await sender.status(quote) is QuoteStatus.ACTIVE


async def test_what_a_customer_cannot_pay_is_not_registered(sender: Partnered) -> None:
    sender.node.payer = await sender.node.ledger.remitter(eur_minor=1)
    answer = await sender.transfers.create(sender.submission(await sender.quote()))
    assert orjson.loads(answer.body)["code"] == "insufficient_funds"
    assert sender.partner.payouts == {}


async def test_a_canceled_transfer_gives_the_money_back_and_pays_no_partner(
    sender: Partnered,
) -> None:
    before = await sender.customer()
    transfer = await sender.accepted()
    submission = sender.submission(await sender.quote())
    await sender.transfers.cancel(
        sender.node.payer,
        orjson.loads(submission.render(transfer).body)["id"],
        submission.claim,
        submission.render,
        submission.render_error,
    )
    assert (await sender.again(transfer.id)).state is State.CANCELED
    assert await sender.customer() == before
    assert await sender.ask() == 0
    await sender.assert_sound()


async def test_a_lie_about_a_payout_is_not_believed_and_is_told(sender: Partnered) -> None:
    transfer = await sender.at_partner()
    payout_id = sender.payout_id(transfer)
    assert transfer.tx_hash is not None
    sender.partner.has_paid(payout_id, transfer.tx_hash, transfer.payment_number)
    truth = sender.partner.payouts[payout_id]
    sender.partner.tells(payout_id, PartnerState.PAID_OUT, buy=Money(1, PHP))
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    [found] = await sender.node.open_breaks()
    assert (found.code, found.severity) == ("B30", "critical")
    assert "0.01 PHP" in found.actual

    sender.partner.payouts[payout_id] = truth
    assert await sender.ask() == 0  # it is disputed: nobody asks until an operator says so
    await sender.ask_again(transfer)
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.PAID_OUT


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"sell": Money(1, USDC)}, "sell 0.000001 USDC"),
        ({"buy": Money(1_315_739, EUR)}, "buy 13157.39 EUR"),
        ({"reference": "M999999"}, "reference M999999"),
        ({"quote_id": "quo_9"}, "quote quo_9"),
        ({"client_reference": "another"}, "client_reference another"),
        ({"address": Address(b"\xee" * 20)}, "address 0xee"),
        ({"token": Address(b"\xee" * 20)}, "token 0xee"),
        ({"chain_id": 1}, "chain 1"),
        ({"matched": None}, "matched none"),
    ],
)
async def test_a_partner_that_lies_about_anything_is_an_operators_case_and_moves_nothing(
    sender: Partnered, changes: dict[str, Any], what: str
) -> None:
    before, transfer = await sender.customer(), await sender.at_partner()
    assert transfer.tx_hash is not None
    payout_id = sender.payout_id(transfer)
    sender.partner.has_paid(payout_id, transfer.tx_hash, transfer.payment_number)
    sender.partner.tells(payout_id, PartnerState.PAID_OUT, **changes)
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    [found] = await sender.node.open_breaks()
    assert (found.code, what in found.actual) == ("B30", True)
    assert (await sender.customer())[0] == before[0]
    assert (await VerifyService(sender.node.ledger.units).verify()).differences == []


async def test_a_partner_that_registers_something_else_is_not_paid(sender: Partnered) -> None:
    before, quote = await sender.customer(), await sender.quote()
    sender.partner.registers = {"buy": Money(1, PHP)}
    answer = await sender.transfers.create(sender.submission(quote))
    assert orjson.loads(answer.body)["code"] == "partner_refused"
    assert [each.code for each in await sender.node.open_breaks()] == ["B30"]
    again = await sender.transfers.create(sender.submission(quote))
    assert orjson.loads(again.body)["code"] == "quote_expired"
    assert await sender.customer() == before


async def test_a_partner_that_is_away_when_it_is_to_register_consumes_nothing(
    sender: Partnered,
) -> None:
    before, quote = await sender.customer(), await sender.quote()
    sender.partner.away = AWAY
    for _ in range(2):
        with pytest.raises(PartnerUnavailable):
            await sender.transfers.create(sender.submission(quote, key="k"))
    assert (await sender.status(quote), await sender.customer()) == (QuoteStatus.ACTIVE, before)
    sender.partner.away = None
    assert (await sender.accepted(quote, key="k")).state is State.FUNDED


async def test_a_registration_that_nobody_used_lapses(sender: Partnered) -> None:
    abandoned, unanswered = await sender.quote(), await sender.quote()
    await sender.dies_at(
        "after_payout_registered", lambda: sender.transfers.create(sender.submission(abandoned))
    )
    sender.partner.away = AWAY
    with pytest.raises(PartnerUnavailable):
        await sender.transfers.create(sender.submission(unanswered))
    await sender.following.run_once()
    states = "SELECT DISTINCT state FROM payout_order"
    assert {row["state"] for row in await sender.node.rows(states)} == {"registering", "registered"}
    await sender.node.execute("ALTER TABLE payout_order DISABLE TRIGGER USER")
    await sender.node.execute(
        "UPDATE payout_order SET pay_by = now() - interval '1 hour' WHERE pay_by IS NOT NULL"
    )
    await sender.node.execute(
        "UPDATE quote SET created_at = created_at - interval '1 hour',"
        " expires_at = expires_at - interval '1 hour'"
    )
    await sender.following.run_once()
    assert {row["state"] for row in await sender.node.rows(states)} == {"lapsed"}


async def test_without_any_webhook_a_partner_is_asked_at_least_every_30_s(
    sender: Partnered,
) -> None:
    transfer = await sender.at_partner()
    for _ in range(8):
        assert await sender.ask() == 1
    [row] = await sender.node.rows("SELECT ask_at - now() AS wait FROM payout_order")
    assert row["wait"].total_seconds() <= 30
    assert (await sender.paid_out(transfer)).state is State.PAID_OUT


async def test_another_payment_than_ours_does_not_pay_our_payout(sender: Partnered) -> None:
    transfer = await sender.at_partner()
    assert transfer.tx_hash is not None
    payout_id = sender.payout_id(transfer)
    sender.partner.has_paid(payout_id, transfer.tx_hash, transfer.payment_number + 1)
    await sender.ask()
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    [found] = await sender.node.open_breaks()
    assert "matched number" in found.actual


async def test_a_partner_that_is_away_is_asked_again_and_nothing_moves(sender: Partnered) -> None:
    transfer = await sender.at_partner()
    sender.partner.away = AWAY
    assert await sender.ask() == 1
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING
    sender.partner.away = None
    assert (await sender.paid_out(transfer)).state is State.PAID_OUT


async def test_an_undeliverable_payout_may_still_be_paid_out(sender: Partnered) -> None:
    transfer = await sender.at_partner()
    sender.partner.tells(
        sender.payout_id(transfer), PartnerState.UNDELIVERABLE, reason="name_mismatch"
    )
    await sender.ask()
    found = await sender.again(transfer.id)
    assert found.state is State.UNDELIVERABLE
    assert found.failure is not None
    assert found.failure["code"] == "undeliverable"
    await sender.assert_sound()
    assert (await sender.paid_out(transfer)).state is State.PAID_OUT
    await sender.assert_sound()


async def test_what_partners_hold_is_not_promised_twice(sender: Partnered) -> None:
    """Liquidity: the promise of a paid payout stays open, and its token is gone already."""
    before = await room(sender)
    transfer = await sender.at_partner()
    assert await room(sender) == before - transfer.amounts.buy
    await sender.paid_out(transfer)
    assert await room(sender) == before - transfer.amounts.buy


async def test_a_webhook_makes_the_next_pass_ask_at_once(sender: Partnered) -> None:
    transfer = await sender.at_partner()
    await sender.ask()
    assert await sender.following.run_once() == 0
    await sender.hears(transfer)
    assert await sender.following.run_once() == 1


async def test_a_webhook_that_the_partner_did_not_sign_is_refused(sender: Partnered) -> None:
    sender.partner.keys = (secret_text(b"\x11" * 32),)
    headers = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    with pytest.raises(WebhookUnverified):
        await sender.following.hear("manila", headers, b"{}")
    with pytest.raises(NotFound):
        await sender.following.hear("nobody", headers, b"{}")


async def room(sender: Partnered) -> int:
    """How much more the node would promise."""
    target = replace(sender.node.ledger.target, pays_by_partners=True)
    async with sender.node.ledger.units() as unit:
        balances = await unit.ledger.balances(liquidity_paths(target))
        return headroom(target, balances) + await at_partners(unit, target)


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        (
            "UPDATE transfer SET beneficiary = jsonb_set(beneficiary, '{account,number}', '\"9\"')",
            "transfer_terms",
        ),
        ('UPDATE transfer SET beneficiary = beneficiary || \'{"name": "X"}\'', "transfer_terms"),
        ("UPDATE payout_order SET state = 'registered'", "payout_orders"),
        ("UPDATE partner_quote SET sell_amount = sell_amount + 1", "partner_legs"),
        ("UPDATE partner_quote SET buy_amount = buy_amount + 1", "transfer_terms"),
        ("UPDATE transfer SET block_number = NULL, tx_hash = NULL", "partner_clearing"),
        ("UPDATE transfer SET state = 'refunded'", "transfer_ends"),
        ("UPDATE transfer SET partner_id = NULL", "payout_orders"),
    ],
)
async def test_whoever_changes_what_a_partner_paid_out_is_found(
    sender: Partnered, statement: str, check: str
) -> None:
    await sender.paid_out(await sender.at_partner())
    for table in ("transfer", "payout_order", "partner_quote"):
        await sender.node.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await sender.node.execute(statement)
    verified = await VerifyService(sender.node.ledger.units).verify()
    assert check in {each.check for each in verified.differences}
