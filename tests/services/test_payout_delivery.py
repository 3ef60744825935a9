"""Payouts at the rail: what a bank can do, crashes in between, money that goes back (ADR 0028)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from adapters.rails import SandboxBank
from node.core.errors import (
    AddressInvalid,
    BeneficiaryRefused,
    ClientReferenceUsed,
    InsufficientFunds,
    LiquidityUnavailable,
    NotFound,
    PayoutsNotOffered,
    QuoteExpired,
    QuoteUsed,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, partner_account
from node.core.parties import Principal, Role
from node.core.payouts import BankAccount, PayoutState, Person, RefundPolicy, RefundState
from node.core.ports.idempotency import Answer
from node.core.ports.rails import RailAnswer
from node.core.units import Address
from tests.builders import a_quote
from tests.services.paying import refused
from tests.services.receiving import (
    BANK_PHP,
    BUY,
    MARIA,
    RAIL,
    SELL,
    Receiver,
)
from tests.services.settling import Killed


def _answer() -> Answer:
    return Answer(201, b"{}")


def at(ending: str) -> Person:
    """A beneficiary whose account number forces an outcome of the sandbox's bank."""
    return replace(MARIA, account=BankAccount(f"00012345{ending}", "BOPIPHMM"))


# ------------------------------------------------------------------------------- registration


async def test_a_quote_makes_one_payout_and_a_reference_names_one(receiver: Receiver) -> None:
    quote = await receiver.quoted()
    claim = receiver.claim()
    answers = [
        await receiver.service.create(receiver.ask(quote), claim, lambda _: _answer(), refused)
        for _ in range(2)
    ]
    assert [each.replayed for each in answers] == [False, True]
    with pytest.raises(QuoteUsed):
        await receiver.service.create(
            receiver.ask(quote, client_reference="other"), None, lambda _: _answer(), refused
        )
    with pytest.raises(ClientReferenceUsed):
        await receiver.payout(client_reference=str(quote.id))


async def test_quotes_that_are_not_the_partners_or_not_for_payouts_make_none(
    receiver: Receiver,
) -> None:
    stranger = Principal(Role.PARTNER, "other", partner_id=receiver.node.payer.customer_id)
    with pytest.raises(PayoutsNotOffered):  # it has no contract
        await receiver.payout(principal=stranger)
    onchain = a_quote(receiver.partner)
    await receiver.node.ledger.add_quotes(onchain)
    with pytest.raises(PayoutsNotOffered):
        await receiver.service.create(receiver.ask(onchain), None, lambda _: _answer(), refused)
    expired = await receiver.quoted(lives_s=-1)
    with pytest.raises(QuoteExpired):
        await receiver.service.create(receiver.ask(expired), None, lambda _: _answer(), refused)
    foreign = a_quote(receiver.node.payer)
    await receiver.node.ledger.add_quotes(foreign)
    with pytest.raises(NotFound):
        await receiver.service.create(receiver.ask(foreign), None, lambda _: _answer(), refused)


async def test_a_beneficiary_the_bank_does_not_know_is_refused_and_the_quote_stays(
    receiver: Receiver,
) -> None:
    quote = await receiver.quoted()
    with pytest.raises(BeneficiaryRefused) as caught:
        await receiver.service.create(
            receiver.ask(quote, beneficiary=at("0001")), None, lambda _: _answer(), refused
        )
    assert caught.value.context == {"reason": "account_unknown"}
    await receiver.service.create(receiver.ask(quote), None, lambda _: _answer(), refused)


async def test_money_goes_back_to_registered_addresses_only(receiver: Receiver) -> None:
    with pytest.raises(AddressInvalid):
        await receiver.payout(refund_address="0x" + "77" * 20)
    vault = Address(b"\x77" * 20)
    await receiver.register(Address(b"\x78" * 20), vault)
    payout = await receiver.payout(refund_address="0x" + vault.hex())
    assert payout.refund_address == vault


async def test_no_more_is_promised_than_the_bank_has(receiver: Receiver) -> None:
    left = BANK_PHP - 2 * BUY + 1
    await receiver.node.ledger.post(Entry("capital/PHP", f"bank/{RAIL}/PHP", "PHP", left))
    await receiver.payout()
    with pytest.raises(LiquidityUnavailable):
        await receiver.payout()


async def test_another_partners_payout_does_not_exist(receiver: Receiver) -> None:
    payout = await receiver.payout()
    stranger = Principal(Role.PARTNER, "other", partner_id=payout.id)
    with pytest.raises(NotFound):
        await receiver.service.get(stranger, encode_id(Prefix.PAYOUT, payout.id))
    with pytest.raises(NotFound):
        await receiver.refund(payout, stranger)


# ------------------------------------------------------------------------------------ the rail


@pytest.mark.parametrize("ending", ["0004", "0005", "0006"])
async def test_a_bank_that_is_late_away_or_loses_its_answer_pays_once(
    receiver: Receiver, ending: str
) -> None:
    payout = await receiver.payout(beneficiary=at(ending))
    receiver.pay(payout)
    await receiver.final()
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.ORDERED
    await receiver.deliver(3)
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert [state for _, state, _ in await receiver.orders()] == ["confirmed"]
    assert await receiver.posted(f"bank/{RAIL}/PHP") == BANK_PHP - BUY
    await receiver.assert_sound()


async def test_an_order_that_the_bank_does_not_answer_keeps_no_other_waiting(
    receiver: Receiver,
) -> None:
    endings = ("0006", "6789", "0005", "0002")
    payouts = [await receiver.payout(beneficiary=at(each)) for each in endings]
    for each in payouts:
        receiver.pay(each)
    await receiver.final()
    await receiver.deliver()
    assert [await receiver.state(each) for each in payouts] == [
        PayoutState.ORDERED,
        PayoutState.PAID_OUT,
        PayoutState.ORDERED,
        PayoutState.REFUNDING,
    ]
    await receiver.assert_sound()


@pytest.mark.parametrize(
    "window", ["after_payout_ordered", "after_rail_order", "before_payout_commit"]
)
async def test_a_worker_killed_anywhere_pays_once(receiver: Receiver, window: str) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()

    def die(name: str) -> None:
        if name == window:
            raise Killed(name)

    receiver.at = die
    with pytest.raises(Killed):
        await receiver.deliver()
    receiver.at = lambda _: None
    await receiver.deliver(2)
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert len(await receiver.orders()) == 1
    assert await receiver.posted(f"bank/{RAIL}/PHP") == BANK_PHP - BUY
    await receiver.assert_sound()


async def test_two_workers_at_once_order_and_book_once(receiver: Receiver) -> None:
    payouts = [await receiver.payout() for _ in range(3)]
    for each in payouts:
        receiver.pay(each)
    await receiver.final()
    await asyncio.gather(*(receiver.delivery.run_once() for _ in range(4)))
    await receiver.deliver()
    assert {await receiver.state(each) for each in payouts} == {PayoutState.PAID_OUT}
    assert len(await receiver.orders()) == 3
    await receiver.assert_sound()


@dataclass
class SlowAnswers(SandboxBank):
    """The bank, whose first answer about orders takes long to arrive."""

    url: str
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__init__(self.url)

    async def states(self, order_ids: Sequence[str]) -> Mapping[str, RailAnswer]:
        """As it was when it was asked."""
        found = await super().states(order_ids)
        if found:
            self.answered.set()
            await self.go_on.wait()
        return found


async def test_a_late_answer_about_an_order_says_nothing_about_the_next_one(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout(beneficiary=at("0003"), refund_policy=RefundPolicy.CORRECT)
    receiver.pay(payout)
    await receiver.final()
    receiver.rail = slow = SlowAnswers(receiver.database_url)
    late = asyncio.create_task(receiver.delivery.run_once())
    await slow.answered.wait()
    receiver.rail = None
    await receiver.deliver()  # another worker, once the lease of the first is over
    await receiver.correct(payout, at("0004"))
    await receiver.deliver()
    slow.go_on.set()
    await late
    assert await receiver.state(payout) is PayoutState.ORDERED
    with pytest.raises(WrongState):  # the bank pays the second order meanwhile
        await receiver.refund(payout)
    await receiver.deliver(3)
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    assert [state for _, state, _ in await receiver.orders()] == ["refused", "confirmed"]
    await receiver.assert_sound()


async def test_a_refusal_sends_all_of_the_money_back_where_that_was_chosen(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout(beneficiary=at("0002"))
    receiver.pay(payout)
    await receiver.final()
    await receiver.deliver()
    found = await receiver.again(payout)
    assert (found.state, found.failure) == (
        PayoutState.REFUNDING,
        {"code": "account_closed", "message": "the account is closed"},
    )
    assert await receiver.posted(f"payout_due/{RAIL}/PHP") == 0
    assert await receiver.posted("fx_position/USDC") == 0
    assert await receiver.posted("deferred/fee/USDC") == 0
    await receiver.assert_sound()
    before = receiver.node.onchain.balance(receiver.contract)
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    assert receiver.node.onchain.balance(receiver.contract) - before == SELL
    assert (await receiver.has(), await receiver.posted(f"bank/{RAIL}/PHP")) == (0, BANK_PHP)
    await receiver.assert_sound()


async def test_a_refused_beneficiary_can_be_corrected_where_that_was_chosen(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout(beneficiary=at("0003"), refund_policy=RefundPolicy.CORRECT)
    receiver.pay(payout)
    await receiver.final()
    with pytest.raises(WrongState):
        await receiver.correct(payout, MARIA)
    await receiver.deliver()
    found = await receiver.again(payout)
    assert (found.state, found.failure) == (
        PayoutState.REFUSED,
        {"code": "name_mismatch", "message": "the account belongs to another name"},
    )
    await receiver.correct(payout, MARIA)
    await receiver.deliver()
    found = await receiver.again(payout)
    assert (found.state, found.attempt, found.failure) == (PayoutState.PAID_OUT, 2, None)
    assert [state for _, state, _ in await receiver.orders()] == ["refused", "confirmed"]
    await receiver.assert_sound()


async def test_a_payment_that_comes_back_from_the_beneficiarys_bank_waits_for_a_decision(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout(beneficiary=at("0007"))
    receiver.pay(payout)
    await receiver.final()
    await receiver.deliver()
    assert await receiver.state(payout) is PayoutState.PAID_OUT
    await receiver.deliver()
    found = await receiver.again(payout)
    assert (found.state, found.flags) == (PayoutState.ON_HOLD, frozenset({"returned"}))
    assert await receiver.posted(f"bank/{RAIL}/PHP") == BANK_PHP
    assert await receiver.posted(f"payout_due/{RAIL}/PHP") == BUY
    assert await receiver.posted("income/fee/USDC") == 0
    await receiver.assert_sound()
    await receiver.refund(payout)
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    await receiver.assert_sound()


# ------------------------------------------------------------------------------------- refunds


async def test_a_partner_takes_its_money_back_before_the_order_and_not_after(
    receiver: Receiver,
) -> None:
    first, second = await receiver.payout(), await receiver.payout(beneficiary=at("0004"))
    with pytest.raises(WrongState):
        await receiver.refund(first)
    receiver.pay(first)
    receiver.pay(second)
    await receiver.final()
    await receiver.refund(first)
    with pytest.raises(WrongState):
        await receiver.refund(first)
    await receiver.deliver()
    with pytest.raises(WrongState):
        await receiver.refund(second)
    assert len(await receiver.orders()) == 1
    await receiver.refunded()
    assert await receiver.state(first) is PayoutState.REFUNDED
    await receiver.assert_sound()


async def test_a_refund_whose_transfer_is_canceled_puts_the_money_back_and_can_be_asked_again(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    await receiver.refund(payout)
    await receiver.refunds.run_once()
    found = await receiver.again(payout)
    assert found.refund is not None
    assert found.refund.transfer_id is not None
    transfer_id = encode_id(Prefix.TRANSFER, found.refund.transfer_id)
    transfers = receiver.node.transfers()
    await transfers.cancel(
        receiver.partner, transfer_id, receiver.claim(), lambda _: _answer(), refused
    )
    await receiver.refunds.run_once()
    found = await receiver.again(payout)
    assert found.state is PayoutState.ON_HOLD
    assert found.refund is not None
    assert found.refund.state is RefundState.FAILED
    assert await receiver.has() == SELL
    await receiver.assert_sound()
    await receiver.refund(payout)
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    assert await receiver.has() == 0
    await receiver.assert_sound()


async def test_what_the_partner_has_spent_after_a_failed_refund_does_not_go_back(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    await receiver.refund(payout)
    await receiver.refunds.run_once()
    found = await receiver.again(payout)
    assert found.refund is not None
    assert found.refund.transfer_id is not None
    await receiver.node.transfers().cancel(
        receiver.partner,
        encode_id(Prefix.TRANSFER, found.refund.transfer_id),
        receiver.claim(),
        lambda _: _answer(),
        refused,
    )
    await receiver.refunds.run_once()
    assert receiver.partner.partner_id is not None
    theirs = partner_account(receiver.partner.partner_id, "USDC")
    await receiver.node.ledger.post(Entry(theirs, "capital/USDC", "USDC", 1))
    with pytest.raises(InsufficientFunds):
        await receiver.refund(payout)


async def test_a_refund_without_liquidity_waits_with_the_money_set_aside(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    await receiver.refund(payout)
    held = f"chain/31337/0x{receiver.node.onchain.contract.hex()}/USDC"
    had = await receiver.posted(held)
    treasury = "chain/31337/0x" + "09" * 20 + "/USDC"
    await receiver.node.ledger.post(Entry(treasury, held, "USDC", had - 1))
    await receiver.refunds.run_once()
    found = await receiver.again(payout)
    assert found.refund is not None
    assert (found.refund.state, await receiver.has()) == (RefundState.PENDING, 0)
    await receiver.node.ledger.post(Entry(held, treasury, "USDC", had - 1))
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED


async def test_a_refund_is_asked_about_while_it_is_unfinished_for_as_long_as_it_takes(
    receiver: Receiver,
) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    await receiver.refund(payout)
    assert await receiver.refunds.run_once() > 0
    assert await receiver.refunds.run_once() == 0
    found = await receiver.again(payout)
    assert found.refund is not None
    assert found.refund.state is RefundState.SENT
    assert found.pay_by - found.created_at == timedelta(days=1)


async def test_a_refund_killed_before_its_commit_is_sent_once(receiver: Receiver) -> None:
    payout = await receiver.payout()
    receiver.pay(payout)
    await receiver.final()
    await receiver.refund(payout)

    def die(name: str) -> None:
        if name == "before_refund_commit":
            raise Killed(name)

    receiver.at = die
    with pytest.raises(Killed):
        await receiver.refunds.run_once()
    receiver.at = lambda _: None
    before = receiver.node.onchain.balance(receiver.contract)
    await receiver.refunded()
    assert await receiver.state(payout) is PayoutState.REFUNDED
    assert receiver.node.onchain.balance(receiver.contract) - before == SELL
    await receiver.assert_sound()
