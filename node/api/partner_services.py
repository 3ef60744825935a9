"""What the gate and the routes of partners call. See `node.api.services` for why Protocols."""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Credential, Partner, Principal
from node.core.partners import Prefunding, SignedRequest, SigningKey
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError
from node.services.ledger.prefunding import PrefundingAsk
from node.services.parties import NewSecret
from node.services.partners.keys import KeyAsk, SigningKeyAsk
from node.services.partners.terms import Agreement, NewPartner, PartnerBalance, TermsAsk


class Partners(Protocol):
    """See `node.services.partners.terms.PartnerTerms`."""

    async def create(
        self,
        principal: Principal,
        ask: NewPartner,
        claim: Claim | None,
        render: Callable[[Agreement], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """A new partner."""
        ...

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
        """Other terms."""
        ...

    async def get(self, principal: Principal, partner_id: str, /) -> Agreement:
        """One partner."""
        ...

    async def list(self, query: ListQuery, /) -> Page[Agreement]:
        """Every partner."""
        ...

    async def balances(self, principal: Principal, partner_id: str, /) -> Sequence[PartnerBalance]:
        """What a partner has with the node."""
        ...


class PartnerKeys(Protocol):
    """See `node.services.partners.keys.PartnerKeys`."""

    def is_live(self, key: Credential | SigningKey, /) -> bool:
        """Whether a key can be used now."""
        ...

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
        """A new key."""
        ...

    async def list(
        self, principal: Principal, partner_id: str, query: ListQuery, /
    ) -> Page[Credential]:
        """Keys of a partner."""
        ...

    async def revoke(
        self,
        principal: Principal,
        key_id: str,
        claim: Claim | None,
        render: Callable[[Credential], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """End a key."""
        ...

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
        """Register a public key."""
        ...

    async def signing_keys(
        self, principal: Principal, partner_id: str, query: ListQuery, /
    ) -> Page[SigningKey]:
        """Public keys of a partner."""
        ...

    async def revoke_signing_key(
        self,
        principal: Principal,
        key_id: str,
        claim: Claim | None,
        render: Callable[[SigningKey], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """End a public key."""
        ...


class Prefundings(Protocol):
    """See `node.services.ledger.prefunding.PrefundingService`."""

    async def create(
        self,
        principal: Principal,
        ask: PrefundingAsk,
        claim: Claim,
        render: Callable[[Prefunding], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Book what a partner paid in."""
        ...

    async def list(
        self, principal: Principal, partner_id: str, query: ListQuery, /
    ) -> Page[Prefunding]:
        """What a partner paid in."""
        ...


class SignatureDesk(Protocol):
    """See `node.services.partners.signed_requests.SignedRequests`."""

    async def check(self, partner: Partner, request: SignedRequest, /) -> None:
        """Accept a signed request, once."""
        ...
