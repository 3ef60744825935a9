"""Partners that pay out: what the node asks of them over their own interface.

An answer that did not come is `PartnerUnavailable`: nobody knows what the partner did, and the same
request, under the same key, finds out. A refusal is definite: the partner did nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from node.core.payout_orders import PartnerPayout, Payee
from node.core.payouts import BankAccount, RefundPolicy
from node.core.quotes import PartnerLeg
from node.core.units import Address, Asset, Money


@dataclass(frozen=True, slots=True)
class LegRequest:
    """What a partner is to price: it takes the token and pays out.

    Attributes:
        amount: On exactly one side: of `token` what it gets, of `buy` what it pays out.
        ttl_s: How long it is to be bound.
    """

    token: Asset
    buy: Asset
    amount: Money
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Registration:
    """A payout to be registered; its beneficiary is named here and nowhere on a chain.

    Attributes:
        key: The same registration has the same one.
        quote_id: As the partner names it.
        reference: The node's own: the id of its quote.
        sender: Name and country of who sends: (name, country).
        refund_policy: What is to follow when the partner's rail refuses for good.
        refund_address: Where the money goes that cannot be paid out.
    """

    key: str
    quote_id: str
    reference: UUID
    name: str
    country: str
    account: BankAccount
    sender: tuple[str, str]
    purpose: str | None
    refund_policy: RefundPolicy
    refund_address: Address


class PayoutPartner(Protocol):
    """One partner that pays out.

    Each method raises `PartnerUnavailable` where no answer came, or none that could be read, and
    `PartnerRefused` where the partner refused.
    """

    @property
    def name(self) -> str:
        """Of the partner, as the node's own books have it."""
        ...

    @property
    def currencies(self) -> frozenset[str]:
        """Codes of what it pays out in."""
        ...

    @property
    def countries(self) -> frozenset[str]:
        """Where it pays out, ISO 3166-1 alpha-2."""
        ...

    @property
    def contract(self) -> Address:
        """The settlement contract that its refunds come from."""
        ...

    def webhook_keys(self) -> Sequence[str]:
        """What its webhooks may be signed by, `whsec_…` or `whpk_…`; none: it sends none."""
        ...

    async def quote(self, request: LegRequest, partner_id: UUID) -> PartnerLeg:
        """A firm price."""
        ...

    async def register(self, registration: Registration) -> PartnerPayout:
        """Register a payout; repeated under its key it is the same one.

        Raises:
            BeneficiaryRefused: The partner does not pay this beneficiary; its quote stays good.
        """
        ...

    async def show(self, payout_id: str) -> PartnerPayout:
        """A payout as it stands."""
        ...

    async def correct(self, payout_id: str, payee: Payee, key: str) -> PartnerPayout:
        """Give the beneficiary as it should have been, after the partner's rail refused.

        Repeated under its key it is the same correction, and the answer is that of the first.
        """
        ...

    async def refund(self, payout_id: str, key: str) -> PartnerPayout:
        """Ask for the money back instead of the payout; repeated under its key, once."""
        ...
