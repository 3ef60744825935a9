"""Partners that answer late, twice, or what they have answered before: nothing is paid wrongly."""

import asyncio
from dataclasses import dataclass, field

import orjson
import pytest

from node.core.errors import BeneficiaryRefused
from node.core.payout_orders import (
    PartnerPayout,
    PartnerRefused,
    PartnerState,
    PartnerUnavailable,
)
from node.core.ports.payout_partners import Registration
from node.core.transfers import State
from node.core.units import Money
from tests.fake_partner import AWAY, PHP, FakePartner
from tests.services.hooked import until
from tests.services.partnering import Partnered


@dataclass
class Hesitating(FakePartner):
    """Refuses the first beneficiary, but for one request that it answers late; so others too.

    Attributes:
        go_on: By the name of the beneficiary, lets what waits go on.
    """

    go_on: dict[str, asyncio.Event] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)

    async def register(self, registration: Registration) -> PartnerPayout:
        """As the test lets it."""
        name = registration.name
        if name in self.go_on and name not in self.waits:
            self.waits.add(name)
            await self.go_on[name].wait()
            if self.by_key and registration.key not in self.by_key:
                raise PartnerRefused("there is a payout of this quote", reason="quote_used")
            return await super().register(registration)
        raise BeneficiaryRefused("not now", reason="name_mismatch")


async def test_a_late_answer_about_an_earlier_beneficiary_pays_nobody(sender: Partnered) -> None:
    quote = await sender.quote()
    partner = Hesitating(sender.partner.chain_id, sender.partner.token)
    partner.quotes = sender.partner.quotes
    partner.go_on = {"Jose": asyncio.Event(), "Maria": asyncio.Event()}
    sender.partner = partner
    first = asyncio.create_task(sender.transfers.create(sender.submission(quote, name="Jose")))
    await until(lambda: "Jose" in partner.waits)
    refused = await sender.transfers.create(sender.submission(quote, name="Jose"))
    assert orjson.loads(refused.body)["code"] == "beneficiary_refused"
    second = asyncio.create_task(sender.transfers.create(sender.submission(quote, name="Maria")))
    await until(lambda: "Maria" in partner.waits)

    partner.go_on["Jose"].set()
    with pytest.raises(PartnerUnavailable):
        await first
    partner.go_on["Maria"].set()
    assert orjson.loads((await second).body)["code"] == "quote_expired"
    again = await sender.transfers.create(sender.submission(quote, name="Maria"))
    assert orjson.loads(again.body)["code"] == "quote_expired"
    assert await sender.node.rows("SELECT id FROM transfer") == []


async def test_nothing_new_is_ordered_of_a_partner_that_is_suspended(sender: Partnered) -> None:
    before, quote = await sender.customer(), await sender.quote()
    await sender.node.execute("UPDATE partner SET status = 'suspended'")
    with pytest.raises(PartnerUnavailable):
        await sender.transfers.create(sender.submission(quote))
    assert (sender.partner.payouts, await sender.customer()) == ({}, before)
    await sender.node.execute("UPDATE partner SET status = 'active'")
    assert (await sender.accepted(quote)).state is State.FUNDED


async def test_a_quote_that_a_partner_gives_twice_makes_one_quote(sender: Partnered) -> None:
    await sender.quote()
    sender.partner.quotes.clear()  # it counts from one again
    with pytest.raises(PartnerUnavailable):
        await sender.quote()


async def test_two_payouts_under_one_name_are_an_operators_case(sender: Partnered) -> None:
    await sender.accepted()
    sender.partner.registers = {"id": "pay_1"}
    answer = await sender.transfers.create(sender.submission(await sender.quote()))
    assert orjson.loads(answer.body)["code"] == "partner_refused"
    [found] = await sender.node.open_breaks()
    assert (found.code, found.actual) == ("B30", "id pay_1")


async def test_a_lie_that_is_told_again_is_a_break_again_though_one_was_closed(
    sender: Partnered,
) -> None:
    transfer = await sender.at_partner()
    sender.partner.tells(sender.payout_id(transfer), PartnerState.PAID_OUT, buy=Money(1, PHP))
    await sender.ask()
    [found] = await sender.node.open_breaks()
    async with sender.node.ledger.units() as unit:
        await unit.breaks.close(found.id, "operator:ops", {"kind": "match", "reason": "they say"})
    await sender.ask_again(transfer)
    await sender.ask()
    assert [each.code for each in await sender.node.open_breaks()] == ["B30"]
    assert (await sender.again(transfer.id)).state is State.PAYOUT_PENDING


@pytest.mark.parametrize("told", [PartnerState.EXPIRED, PartnerState.AWAITING, PartnerState.STUCK])
async def test_an_operator_is_told_when_a_partner_that_was_paid_says_for_long_that_it_was_not(
    sender: Partnered, told: PartnerState
) -> None:
    transfer = await sender.at_partner()
    sender.partner.tells(sender.payout_id(transfer), told)
    await sender.ask()
    assert await sender.node.open_breaks() == []
    await sender.node.execute(
        "UPDATE transfer SET settle_by = now() - interval '1 hour 1 minute',"
        " created_at = now() - interval '2 hours'"
    )
    await sender.ask()
    [found] = await sender.node.open_breaks()
    assert (found.code, found.actual) == ("B32", told)
    assert (await sender.paid_out(transfer)).state is State.PAID_OUT
    assert await sender.node.open_breaks() == []


async def test_an_operator_is_told_when_a_partner_that_was_paid_is_silent_for_long(
    sender: Partnered,
) -> None:
    transfer = await sender.at_partner()
    sender.partner.away = AWAY
    for _ in range(25):
        await sender.ask()
    assert await sender.node.open_breaks() == []
    await sender.ask()
    assert [each.code for each in await sender.node.open_breaks()] == ["B32"]
    sender.partner.away = None
    assert (await sender.paid_out(transfer)).state is State.PAID_OUT
    assert await sender.node.open_breaks() == []
