"""What operators and partners call, over one real database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import orjson

from adapters.http.signatures import Ed25519Signatures
from adapters.machine import SystemClock, new_id, new_secret
from node.core.errors import (
    NodeError,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import partner_account
from node.core.parties import (
    ALL_SCOPES,
    Customer,
    Principal,
    Role,
)
from node.core.partners import (
    PartnerLimit,
    Prefunding,
    SigningKey,
)
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import TopUp
from node.services.ledger.posting import PostingService
from node.services.ledger.prefunding import PrefundingAsk, PrefundingService
from node.services.ledger.top_ups import TopUpRequest, TopUpService
from node.services.ledger.verifying import VerifyService
from node.services.parties import NewSecret, PartyService
from node.services.partners.keys import KeyAsk, PartnerKeys
from node.services.partners.signed_requests import SignedRequests
from node.services.partners.terms import Agreement, NewPartner, PartnerTerms, TermsAsk
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG, a_claim

OPERATOR = Principal(Role.OPERATOR, "olga")
CREDIT = PartnerLimit("EUR", credit_line=10_000)


def as_json(**members: Any) -> Answer:
    return Answer(201, orjson.dumps(members, default=str))


def agreed_answer(agreement: Agreement) -> Answer:
    return as_json(id=encode_id(Prefix.PARTNER, agreement.partner.id))


def secret_answer(made: NewSecret) -> Answer:
    return as_json(id=encode_id(Prefix.KEY, made.credential.id), token=made.secret)


def signing_answer(key: SigningKey) -> Answer:
    return as_json(id=encode_id(Prefix.SIGNING_KEY, key.id), revoked_at=key.revoked_at)


def prefunding_answer(made: Prefunding) -> Answer:
    return as_json(id=encode_id(Prefix.PREFUNDING, made.id))


def top_up_answer(made: TopUp) -> Answer:
    return as_json(id=encode_id(Prefix.TOP_UP, made.id))


def render_error(error: NodeError) -> Answer:
    """A refusal with what its code promises."""
    return Answer(422, orjson.dumps({"code": error.code, **error.context}, default=str))


def said(answer: Answer) -> Any:
    """The body of an answer."""
    return orjson.loads(answer.body)


@dataclass
class Desk:
    """What operators and partners call, over one database."""

    units: StoreUnits
    database_url: str
    parties: PartyService
    terms: PartnerTerms
    keys: PartnerKeys
    prefundings: PrefundingService
    top_ups: TopUpService
    requests: SignedRequests

    @classmethod
    def over(cls, units: StoreUnits, database_url: str) -> Self:
        parties = PartyService(units, SystemClock(), new_id, new_secret)
        rails = frozenset({"sepa"})
        posting = PostingService(units, CATALOG)
        return cls(
            units,
            database_url,
            parties,
            PartnerTerms(units, new_id, parties.forget),
            PartnerKeys(units, parties, SystemClock(), new_id),
            PrefundingService(units, CATALOG, posting, new_id, rails=rails),
            TopUpService(units, CATALOG, new_id, sandbox=False, rails=rails),
            SignedRequests(units, Ed25519Signatures(), SystemClock()),
        )

    async def partner(self, name: str = "shop", **terms: Any) -> Principal:
        """A new partner, all that its role may."""
        ask = NewPartner(name, "DE", TermsAsk(**terms))
        answer = await self.terms.create(OPERATOR, ask, None, agreed_answer, render_error)
        async with self.units() as unit:
            partner = await unit.parties.partner_named(name)
        assert partner is not None
        assert said(answer)["id"] == encode_id(Prefix.PARTNER, partner.id)
        return Principal(Role.PARTNER, name, partner_id=partner.id)

    async def change(self, partner: Principal, **terms: Any) -> Answer:
        """Change its terms."""
        return await self.terms.change(
            OPERATOR, id_of(partner), TermsAsk(**terms), None, agreed_answer, render_error
        )

    async def key(self, partner: Principal, name: str = "backend", **more: Any) -> dict[str, str]:
        """A new key of it: `id` and `token`."""
        ask = KeyAsk(name, more.pop("scopes", ALL_SCOPES), **more)
        answer = await self.keys.create(
            OPERATOR, id_of(partner), ask, None, secret_answer, render_error
        )
        found: dict[str, str] = said(answer)
        return found

    async def prefund(
        self, partner: Principal, amount: str, reference: str, key: str | None = None
    ) -> Answer:
        """Book what it paid in."""
        ask = PrefundingAsk(id_of(partner), "EUR", amount, "sepa", reference)
        claim = a_claim(OPERATOR, key)
        return await self.prefundings.create(OPERATOR, ask, claim, prefunding_answer, render_error)

    async def customer(self, partner: Principal) -> UUID:
        """A customer of it."""
        async with self.units() as unit:
            customer = Customer(new_id(), partner.partner_id, "Ada", "DE", None, unit.now)
            await unit.parties.add_customer(customer)
        return customer.id

    async def pay(self, partner: Principal, customer_id: UUID, amount: str) -> Answer:
        """Top a customer up from the partner's own balance."""
        request = TopUpRequest(
            partner, encode_id(Prefix.CUSTOMER, customer_id), "EUR", amount, "sepa", str(new_id())
        )
        return await self.top_ups.create(
            request, a_claim(partner, None), top_up_answer, render_error
        )

    async def available(self, partner: Principal) -> int:
        """What its EUR account has available; below 0 where credit is used."""
        assert partner.partner_id is not None
        path = partner_account(partner.partner_id, "EUR")
        async with self.units() as unit:
            return (await unit.ledger.balances([path]))[path].available

    async def differences(self) -> Sequence[object]:
        """What `corridor verify` finds."""
        return (await VerifyService(self.units).verify()).differences


def id_of(partner: Principal) -> str:
    assert partner.partner_id is not None
    return encode_id(Prefix.PARTNER, partner.partner_id)
