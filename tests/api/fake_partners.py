"""A partner and its keys, kept in memory; prefundings are booked once for their reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from adapters.machine import new_id
from node.api.partner_examples import KEY_ID, SIGNING_KEY_ID
from node.core.errors import NameTaken, NotFound, ReferenceUsed, SignatureInvalid
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import AccountKind, Balance, partner_account
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Caller, Credential, Partner, Principal, Role, Scope
from node.core.partners import PartnerLimit, Prefunding, SignedRequest, SigningKey
from node.core.ports.idempotency import Answer, Claim
from node.core.units import parse_amount
from node.services.idempotency import RenderError
from node.services.ledger.prefunding import PrefundingAsk
from node.services.parties import NewSecret
from node.services.partners.keys import KeyAlreadyCreated, KeyAsk, SigningKeyAsk
from node.services.partners.terms import Agreement, NewPartner, PartnerBalance, TermsAsk
from tests.api.fake_world import CATALOG, NOW, PARTNER, SECRETS, STRANGER, Memory

SHOP = Partner(PARTNER.partner_id or new_id(), "shop", NOW, "DE")
OTHER = Partner(STRANGER.partner_id or new_id(), "other", NOW, "FR")
SHOP_ID = encode_id(Prefix.PARTNER, SHOP.id)
A_KEY = Credential(decode_id(Prefix.KEY, KEY_ID), PARTNER, NOW, None, None)
A_SIGNING_KEY = SigningKey(
    decode_id(Prefix.SIGNING_KEY, SIGNING_KEY_ID), SHOP.id, "signer", bytes(32), NOW, None
)
LIMIT = PartnerLimit("EUR", 500_000, 1_000_000, 10_000_000)


def caller_of(principal: Principal) -> Caller:
    """The credential of a principal, with its partner."""
    partner = next((each for each in (SHOP, OTHER) if each.id == principal.partner_id), None)
    return Caller(Credential(new_id(), principal, NOW, None, None), partner)


_CALLERS = {secret: caller_of(principal) for secret, principal in SECRETS.items()}


def known_caller(secret: str) -> Caller | None:
    """The caller of one of the secrets there are."""
    return _CALLERS.get(secret)


def _visible(principal: Principal, partner_id: str) -> None:
    decoded = decode_id(Prefix.PARTNER, partner_id)
    if principal.role is not Role.OPERATOR and principal.partner_id != decoded:
        raise NotFound("there is no such partner")


@dataclass
class FakePartners:
    """See `node.api.partner_services.Partners`."""

    memory: Memory
    agreed: dict[str, Agreement] = field(
        default_factory=lambda: {SHOP_ID: Agreement(SHOP, [LIMIT])}
    )

    async def create(
        self,
        principal: Principal,
        ask: NewPartner,
        claim: Claim | None,
        render: Callable[[Agreement], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            if any(each.partner.name == ask.name for each in self.agreed.values()):
                raise NameTaken(f"there is a partner named {ask.name!r}")
            partner = Partner(new_id(), ask.name, NOW, ask.country)
            made = Agreement(partner, ask.terms.limits)
            self.agreed[encode_id(Prefix.PARTNER, partner.id)] = made
            return render(made)

        return await self.memory.once(claim, work, render_error)

    async def change(
        self,
        principal: Principal,
        partner_id: str,
        ask: TermsAsk,
        claim: Claim | None,
        render: Callable[[Agreement], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            before = await self.get(principal, partner_id)
            spread = None if ask.resets_spread else ask.spread_bps or before.partner.spread_bps
            partner = replace(
                before.partner, status=ask.status or before.partner.status, spread_bps=spread
            )
            self.agreed[partner_id] = Agreement(partner, ask.limits or before.limits)
            return render(self.agreed[partner_id])

        return await self.memory.once(claim, work, render_error)

    async def get(self, principal: Principal, partner_id: str, /) -> Agreement:
        _visible(principal, partner_id)
        if partner_id not in self.agreed:
            raise NotFound("there is no such partner")
        return self.agreed[partner_id]

    async def list(self, query: ListQuery, /) -> Page[Agreement]:
        query.position()
        return query.page(
            list(self.agreed.values()),
            lambda each: Position(each.partner.created_at, each.partner.id.int),
        )

    async def balances(self, principal: Principal, partner_id: str, /) -> Sequence[PartnerBalance]:
        agreed = await self.get(principal, partner_id)
        path = partner_account(agreed.partner.id, "EUR")
        balance = Balance(path, AccountKind.LIABILITY, "EUR", credits_posted=80_000)
        return [PartnerBalance(balance, 500_000)]


@dataclass
class FakePartnerKeys:
    """See `node.api.partner_services.PartnerKeys`."""

    memory: Memory
    keys: dict[str, Credential] = field(default_factory=lambda: {KEY_ID: A_KEY})
    signing: dict[str, SigningKey] = field(default_factory=lambda: {SIGNING_KEY_ID: A_SIGNING_KEY})

    def is_live(self, key: Credential | SigningKey, /) -> bool:
        return key.is_live(NOW)

    async def create(
        self,
        principal: Principal,
        partner_id: str,
        ask: KeyAsk,
        claim: Claim | None,
        render: Callable[[NewSecret], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        shown: list[Answer] = []

        async def work() -> Answer:
            _visible(principal, partner_id)
            scopes: frozenset[Scope] = ask.scopes
            owner = Principal(
                Role.PARTNER, ask.name, decode_id(Prefix.PARTNER, partner_id), scopes=scopes
            )
            ends = NOW + timedelta(seconds=ask.expires_in_s) if ask.expires_in_s else None
            made = Credential(new_id(), owner, NOW, ends, None, tuple(ask.networks))
            key_id = encode_id(Prefix.KEY, made.id)
            self.keys[key_id] = made
            shown.append(render(NewSecret(made, "shown-once")))
            if claim is None:
                return shown[0]
            return render_error(KeyAlreadyCreated("made before", key_id=key_id))

        kept = await self.memory.once(claim, work, render_error)
        return shown[0] if shown else kept

    async def list(
        self, principal: Principal, partner_id: str, query: ListQuery, /
    ) -> Page[Credential]:
        _visible(principal, partner_id)
        query.position()
        return query.page(
            list(self.keys.values()), lambda each: Position(each.created_at, each.id.int)
        )

    async def revoke(
        self,
        principal: Principal,
        key_id: str,
        claim: Claim | None,
        render: Callable[[Credential], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            decode_id(Prefix.KEY, key_id)
            if key_id not in self.keys:
                raise NotFound("there is no such key")
            self.keys[key_id] = replace(self.keys[key_id], revoked_at=NOW)
            return render(self.keys[key_id])

        return await self.memory.once(claim, work, render_error)

    async def add_signing_key(
        self,
        principal: Principal,
        partner_id: str,
        ask: SigningKeyAsk,
        claim: Claim | None,
        render: Callable[[SigningKey], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            _visible(principal, partner_id)
            owner = decode_id(Prefix.PARTNER, partner_id)
            key = SigningKey(new_id(), owner, ask.name, ask.public_key, NOW, None)
            self.signing[encode_id(Prefix.SIGNING_KEY, key.id)] = key
            return render(key)

        return await self.memory.once(claim, work, render_error)

    async def signing_keys(
        self, principal: Principal, partner_id: str, query: ListQuery, /
    ) -> Page[SigningKey]:
        _visible(principal, partner_id)
        query.position()
        return query.page(
            list(self.signing.values()), lambda each: Position(each.created_at, each.id.int)
        )

    async def revoke_signing_key(
        self,
        principal: Principal,
        key_id: str,
        claim: Claim | None,
        render: Callable[[SigningKey], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            decode_id(Prefix.SIGNING_KEY, key_id)
            if key_id not in self.signing:
                raise NotFound("there is no such signing key")
            self.signing[key_id] = replace(self.signing[key_id], revoked_at=NOW)
            return render(self.signing[key_id])

        return await self.memory.once(claim, work, render_error)


@dataclass
class FakePrefundings:
    """See `node.api.partner_services.Prefundings`."""

    memory: Memory
    booked: dict[tuple[str, str], Prefunding] = field(default_factory=dict)

    async def create(
        self,
        principal: Principal,
        ask: PrefundingAsk,
        claim: Claim,
        render: Callable[[Prefunding], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            partner_id = decode_id(Prefix.PARTNER, ask.partner_id)
            amount = parse_amount(ask.amount, CATALOG.fiat(ask.currency))
            if earlier := self.booked.get((ask.rail, ask.reference)):
                raise ReferenceUsed(
                    "booked before", prefunding_id=encode_id(Prefix.PREFUNDING, earlier.id)
                )
            made = Prefunding(
                new_id(), partner_id, ask.currency, amount.minor, ask.rail, ask.reference,
                principal.key, len(self.booked) + 1, NOW,
            )  # fmt: skip
            self.booked[ask.rail, ask.reference] = made
            return render(made)

        return await self.memory.once(claim, work, render_error)

    async def list(
        self, principal: Principal, partner_id: str, query: ListQuery, /
    ) -> Page[Prefunding]:
        _visible(principal, partner_id)
        query.position()
        return query.page(
            list(self.booked.values()), lambda each: Position(each.created_at, each.id.int)
        )


class FakeSignatureDesk:
    """Takes no signature for a good one; real ones are tested with a real node."""

    async def check(self, partner: Partner, request: SignedRequest, /) -> None:
        raise SignatureInvalid("nobody has registered a key here")
