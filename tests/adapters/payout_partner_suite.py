"""What every `PayoutPartner` must do; tests inherit it with a partner of their own."""

from dataclasses import replace

import pytest

from adapters.machine import new_id
from node.core.catalog import USDC
from node.core.payout_orders import PartnerRefused, PartnerState, Payee
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.payout_partners import LegRequest, PayoutPartner, Registration
from node.core.quotes import PartnerLeg
from node.core.units import Address, Asset, Money

PHP = Asset("PHP", 2, "Philippine peso")
REFUND_TO = Address(b"\xbe" * 20)


def asked(leg: PartnerLeg, refund_to: Address = REFUND_TO) -> Registration:
    """A registration at a price."""
    reference = new_id()
    return Registration(
        key=f"{reference}-0",
        quote_id=leg.quote_id,
        reference=reference,
        name="Amihan",
        country="PH",
        account=BankAccount("001234567890", "BOPIPHMM"),
        sender=("Ana", "DE"),
        purpose="family_support",
        refund_policy=RefundPolicy.CORRECT,
        refund_address=refund_to,
    )


class PayoutPartnerSuite:
    """Inherit, and override the fixture; the partner pays pesos out for USDC."""

    refund_to = REFUND_TO

    @pytest.fixture
    def partner(self) -> PayoutPartner:
        """A partner in good order."""
        raise NotImplementedError

    async def leg(self, partner: PayoutPartner, amount: Money) -> PartnerLeg:
        return await partner.quote(LegRequest(USDC, PHP, amount, 60), new_id())

    async def test_it_prices_exactly_the_token_it_is_offered(self, partner: PayoutPartner) -> None:
        leg = await self.leg(partner, Money(230_074_048, USDC))
        assert leg.price.sell == Money(230_074_048, USDC)
        assert leg.price.buy.asset.code == "PHP"
        assert leg.price.buy.minor > 0
        assert leg.partner == partner.name

    async def test_it_prices_exactly_the_money_it_is_to_pay_out(
        self, partner: PayoutPartner
    ) -> None:
        leg = await self.leg(partner, Money(500_000, PHP))
        assert (leg.price.buy.minor, leg.price.buy.asset.code) == (500_000, "PHP")

    async def test_a_registered_payout_is_what_was_quoted(self, partner: PayoutPartner) -> None:
        leg = await self.leg(partner, Money(230_074_048, USDC))
        registration = asked(leg, self.refund_to)
        payout = await partner.register(registration)
        assert (payout.sell, payout.buy.minor) == (leg.price.sell, leg.price.buy.minor)
        assert (payout.quote_id, payout.client_reference) == (
            leg.quote_id,
            str(registration.reference),
        )
        assert payout.state is PartnerState.AWAITING
        assert (payout.matched, payout.refund) == (None, None)
        assert await partner.show(payout.id) == payout

    async def test_a_registration_repeated_under_its_key_is_the_same_payout(
        self, partner: PayoutPartner
    ) -> None:
        registration = asked(await self.leg(partner, Money(100_000_000, USDC)), self.refund_to)
        first = await partner.register(registration)
        assert await partner.register(registration) == first

    async def test_a_key_with_another_beneficiary_is_refused(self, partner: PayoutPartner) -> None:
        registration = asked(await self.leg(partner, Money(100_000_000, USDC)), self.refund_to)
        await partner.register(registration)
        with pytest.raises(PartnerRefused) as refused:
            await partner.register(replace(registration, name="Somebody Else"))
        assert refused.value.context["reason"] == "idempotency_key_reused"

    async def test_a_payout_that_there_is_not_is_refused(self, partner: PayoutPartner) -> None:
        with pytest.raises(PartnerRefused) as refused:
            await partner.show("pay_01j00000000000000000000000")
        assert refused.value.context["reason"] == "not_found"

    async def test_what_was_not_paid_is_neither_corrected_nor_sent_back(
        self, partner: PayoutPartner
    ) -> None:
        registration = asked(await self.leg(partner, Money(100_000_000, USDC)), self.refund_to)
        payout = await partner.register(registration)
        payee = Payee("Amihan", "PH", registration.account)
        for changing in (
            partner.correct(payout.id, payee, "change-1"),
            partner.refund(payout.id, "change-2"),
        ):
            with pytest.raises(PartnerRefused) as refused:
                await changing
            assert refused.value.context["reason"] == "wrong_state"
        assert await partner.show(payout.id) == payout
