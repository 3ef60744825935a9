"""A partner that pays out, as a test says: it keeps its word, is away, refuses, or lies.

It prices 57.5 pesos for a dollar less 50 bps and 0.10 USDC, whole cents downwards; what it does by
itself is what the port's suite (`tests.adapters.payout_partner_suite`) asks of every partner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from adapters.machine import SystemClock
from node.core.catalog import USDC
from node.core.errors import BeneficiaryRefused, NodeError
from node.core.payout_orders import (
    Matched,
    PartnerPayout,
    PartnerRefund,
    PartnerRefused,
    PartnerState,
    PartnerUnavailable,
    Payee,
)
from node.core.payouts import BankAccount
from node.core.ports.payout_partners import LegRequest, Registration
from node.core.quotes import (
    Corridor,
    Mid,
    PartnerLeg,
    Price,
    Rate,
    price_fixed_buy,
    price_fixed_sell,
)
from node.core.units import Address, Asset, TxHash

Told = TypeVar("Told")

PHP = Asset("PHP", 2, "Philippine peso")
CONTRACT = Address(b"\x3a" * 20)
ACCOUNT = BankAccount("001234567890", "BOPIPHMM")
AWAY = PartnerUnavailable("the partner does not answer")
_CORRIDOR = Corridor(USDC, PHP, "bank", 0, 0, 100_000, 50, 1_000_000, 10**12, 60)


@dataclass
class FakePartner:
    """See `node.core.ports.payout_partners.PayoutPartner`.

    Attributes:
        away: What it raises instead of doing anything.
        loses: How many answers get lost after it did what it was asked.
        refused: Names of beneficiaries that it does not pay.
        lives_s: Most seconds it binds itself for.
        registers: What it registers otherwise than it was asked to.
        asked: How often it was asked for anything.
    """

    chain_id: int
    token: Address
    name: str = "manila"
    contract: Address = CONTRACT
    currencies: frozenset[str] = frozenset({"PHP"})
    countries: frozenset[str] = frozenset({"PH"})
    away: NodeError | None = None
    loses: int = 0
    refused: frozenset[str] = frozenset()
    lives_s: int = 1800
    registers: Mapping[str, object] = field(default_factory=dict)
    asked: int = 0
    quotes: dict[str, PartnerLeg] = field(default_factory=dict)
    payouts: dict[str, PartnerPayout] = field(default_factory=dict)
    by_key: dict[str, tuple[Registration, str]] = field(default_factory=dict)
    changes: dict[str, tuple[Payee | None, PartnerPayout]] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    def webhook_keys(self) -> Sequence[str]:
        """As the test says."""
        return self.keys

    async def quote(self, request: LegRequest, partner_id: UUID) -> PartnerLeg:
        """A price at its own rate."""
        self._begin()
        if request.buy != PHP:
            raise PartnerRefused("no such pair", reason="pair_not_offered")
        name = f"quo_{len(self.quotes) + 1}"
        until = SystemClock().now() + timedelta(seconds=min(request.ttl_s, self.lives_s))
        leg = PartnerLeg(partner_id, self.name, name, self._price(request), until)
        self.quotes[name] = leg
        return self._told(leg)

    async def register(self, registration: Registration) -> PartnerPayout:
        """The same payout for the same key."""
        self._begin()
        if registration.key in self.by_key:
            before, payout_id = self.by_key[registration.key]
            if before != registration:
                raise PartnerRefused("another body", reason="idempotency_key_reused")
            return self._told(self.payouts[payout_id])
        if registration.name in self.refused:
            raise BeneficiaryRefused("not to this one", reason="name_mismatch")
        leg = self.quotes[registration.quote_id]
        if leg.expires_at <= SystemClock().now():
            raise PartnerRefused("too late", reason="quote_expired")
        payout = self._registered(registration, leg)
        self.by_key[registration.key] = (registration, payout.id)
        return self._told(payout)

    async def correct(self, payout_id: str, payee: Payee, key: str) -> PartnerPayout:
        """The rail gets another order, where it refused."""
        return self._changed(payout_id, key, payee, PartnerState.WORKING)

    async def refund(self, payout_id: str, key: str) -> PartnerPayout:
        """The money goes back, where the rail has no order."""
        return self._changed(payout_id, key, None, PartnerState.UNDELIVERABLE)

    def _changed(
        self, payout_id: str, key: str, payee: Payee | None, state: PartnerState
    ) -> PartnerPayout:
        self._begin()
        if key not in self.changes:
            payout = self.payouts.get(payout_id)
            if payout is None:
                raise PartnerRefused("no such payout", reason="not_found")
            if payout.state is not PartnerState.UNDELIVERABLE or payout.refund is not None:
                raise PartnerRefused("not now", reason="wrong_state")
            refund = PartnerRefund("ref_1", payout.sell.minor, None, None) if not payee else None
            changed = self.tells(payout_id, state, reason=None, refund=refund)
            self.changes[key] = (payee, changed)
        before, changed = self.changes[key]
        if before != payee:
            raise PartnerRefused("another body", reason="idempotency_key_reused")
        return self._told(changed)

    async def show(self, payout_id: str) -> PartnerPayout:
        """As it stands."""
        self._begin()
        if payout_id not in self.payouts:
            raise PartnerRefused("no such payout", reason="not_found")
        return self._told(self.payouts[payout_id])

    def tells(self, payout_id: str, state: PartnerState, **changes: object) -> PartnerPayout:
        """From now on it states this."""
        payout = replace(self.payouts[payout_id], state=state, **changes)  # type: ignore[arg-type]
        self.payouts[payout_id] = payout
        return payout

    def has_paid(self, payout_id: str, tx_hash: TxHash, number: int) -> None:
        """It took this payment for the payout's, and has paid out."""
        amount = self.payouts[payout_id].sell.minor
        self.tells(payout_id, PartnerState.PAID_OUT, matched=Matched(tx_hash, number, amount))

    def _begin(self) -> None:
        self.asked += 1
        if self.away is not None:
            raise self.away

    def _told(self, answer: Told) -> Told:
        if self.loses:
            self.loses -= 1
            raise AWAY
        return answer

    def _price(self, request: LegRequest) -> Price:
        now = SystemClock().now()
        mid = Mid(Decimal("57.5"), (Rate.stated("USDC", "PHP", "57.5", "manila_fix", now),))
        if request.amount.asset == request.token:
            return price_fixed_sell(_CORRIDOR, mid, request.amount.minor)
        return price_fixed_buy(_CORRIDOR, mid, request.amount.minor)

    def _registered(self, registration: Registration, leg: PartnerLeg) -> PartnerPayout:
        number = len(self.payouts) + 1
        payout = PartnerPayout(
            id=f"pay_{number}",
            state=PartnerState.AWAITING,
            quote_id=registration.quote_id,
            client_reference=str(registration.reference),
            reference=f"M{number:06d}",
            sell=leg.price.sell,
            buy=leg.price.buy,
            chain_id=self.chain_id,
            token=self.token,
            address=Address(b"\xda" * 19 + bytes([number])),
            pay_by=SystemClock().now() + timedelta(hours=24),
            matched=None,
            refund=None,
            reason=None,
        )
        payout = replace(payout, **self.registers)  # type: ignore[arg-type]
        self.payouts[payout.id] = payout
        return payout
