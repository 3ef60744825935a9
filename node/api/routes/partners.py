"""Partners: what is agreed with them, their keys, what they paid in."""

from typing import Final

from node.api import partner_examples as examples
from node.api.bodies import EmptyBody, PageQuery
from node.api.money import check_body
from node.api.operations import (
    INSTITUTIONS,
    OPERATORS,
    Call,
    Example,
    KeyRule,
    Operations,
    list_query,
)
from node.api.partner_bodies import (
    KeyBody,
    PartnerBody,
    SigningKeyBody,
    TermsBody,
    read_limits,
    read_public_key,
    read_scopes,
)
from node.api.partner_views import (
    MeDocument,
    NewPartnerKeyDocument,
    PartnerBalanceDocument,
    PartnerDocument,
    PartnerKeyDocument,
    PrefundingDocument,
    SigningKeyDocument,
    me_view,
    partner_balance_view,
    partner_key_view,
    partner_view,
    prefunding_view,
    signing_key_view,
)
from node.api.schemas import TopUpBody
from node.api.views import ListView, PageView
from node.core.errors import (
    AmountOutOfRange,
    CreditLineUsed,
    Forbidden,
    NameTaken,
    NotFound,
    RailUnknown,
    ReferenceUsed,
    TooManyKeys,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Credential, PartnerStatus, Role, Scope
from node.core.partners import Prefunding, SigningKey
from node.core.ports.idempotency import Answer
from node.services.ledger.prefunding import PrefundingAsk
from node.services.parties import NewSecret
from node.services.partners.keys import KeyAlreadyCreated, KeyAsk, SigningKeyAsk
from node.services.partners.terms import Agreement, NewPartner, TermsAsk

operations: Final = Operations("Partners")

_PATH: Final = {"partner_id": examples.PARTNER_ID}


@operations.get(
    "/v1/me",
    answer=MeDocument,
    example=Example(examples.ME),
)
async def show_me(call: Call[None, None]) -> Answer:
    """Show whom the key stands for, and what it may do."""
    caller, services = call.caller, call.services
    assert caller is not None  # the operation needs a credential
    agreement = None
    if caller.partner is not None and caller.principal.role is Role.PARTNER:
        partner_id = encode_id(Prefix.PARTNER, caller.partner.id)
        agreement = await services.partners.get(call.principal, partner_id)
    return call.answer(me_view(caller, agreement, services.catalog))


@operations.post(
    "/v1/partners",
    who=OPERATORS,
    scope=Scope.ADMIN,
    body=PartnerBody,
    answer=PartnerDocument,
    example=Example(examples.PARTNER, body=examples.PARTNER_BODY),
    refusals=(NameTaken,),
)
async def create_partner(call: Call[PartnerBody, None]) -> Answer:
    """Create a partner.

    It has no key yet: `POST /v1/partners/{partner_id}/keys` makes one.
    """
    body, services = call.body, call.services
    terms = TermsAsk(
        requires_signature=body.requires_signature,
        spread_bps=body.spread_bps,
        limits=read_limits(body.limits, services.catalog),
    )

    def render(made: Agreement) -> Answer:
        location = f"/v1/partners/{encode_id(Prefix.PARTNER, made.partner.id)}"
        return call.answer(partner_view(made, services.catalog), location)

    ask = NewPartner(body.name, body.country, terms)
    return await services.partners.create(call.principal, ask, call.claim, render, call.refusal)


@operations.get(
    "/v1/partners",
    who=OPERATORS,
    query=PageQuery,
    answer=PageView[PartnerDocument],
    example=Example({"data": [examples.PARTNER], "next_cursor": None}),
)
async def list_partners(call: Call[None, PageQuery]) -> Answer:
    """List partners, newest first."""
    page = await call.services.partners.list(list_query(call))
    views = [partner_view(each, call.services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/partners/{partner_id}",
    who=INSTITUTIONS,
    answer=PartnerDocument,
    example=Example(examples.PARTNER, path=_PATH),
    refusals=(NotFound,),
)
async def show_partner(call: Call[None, None]) -> Answer:
    """Show a partner, and what is agreed with it."""
    services = call.services
    found = await services.partners.get(call.principal, call.parameters["partner_id"])
    return call.answer(partner_view(found, services.catalog))


@operations.post(
    "/v1/partners/{partner_id}/terms",
    who=OPERATORS,
    scope=Scope.ADMIN,
    body=TermsBody,
    status=200,
    answer=PartnerDocument,
    example=Example(examples.PARTNER, body=examples.TERMS_BODY, path=_PATH),
    refusals=(NotFound, CreditLineUsed),
)
async def change_terms(call: Call[TermsBody, None]) -> Answer:
    """Change what is agreed with a partner, or suspend it.

    Quotes made before keep their price. A suspended partner, and its customers, may still look;
    transfers under way go on.
    """
    body, services = call.body, call.services
    ask = TermsAsk(
        status=PartnerStatus(body.status) if body.status else None,
        requires_signature=body.requires_signature,
        spread_bps=body.spread_bps if isinstance(body.spread_bps, int) else None,
        resets_spread=body.spread_bps == "corridor",
        limits=read_limits(body.limits, services.catalog),
    )

    def render(changed: Agreement) -> Answer:
        return call.answer(partner_view(changed, services.catalog))

    return await services.partners.change(
        call.principal, call.parameters["partner_id"], ask, call.claim, render, call.refusal
    )


@operations.get(
    "/v1/partners/{partner_id}/balances",
    who=INSTITUTIONS,
    answer=ListView[PartnerBalanceDocument],
    example=Example({"data": [examples.BALANCE]}, path=_PATH),
    refusals=(NotFound,),
)
async def show_partner_balances(call: Call[None, None]) -> Answer:
    """Show a partner's own balances: what it paid in, what it uses of its credit line."""
    services = call.services
    found = await services.partners.balances(call.principal, call.parameters["partner_id"])
    views = [partner_balance_view(each, services.catalog) for each in found]
    return call.answer({"data": views})


@operations.post(
    "/v1/partners/{partner_id}/prefundings",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=TopUpBody,
    answer=PrefundingDocument,
    example=Example(examples.PREFUNDING, body=examples.PREFUNDING_BODY, path=_PATH),
    refusals=(NotFound, RailUnknown, ReferenceUsed, AmountOutOfRange),
)
async def create_prefunding(call: Call[TopUpBody, None]) -> Answer:
    """Book money that arrived for a partner's own balance.

    Each `reference` of a rail is booked once, those of top-ups included. `Location` is the list.
    """
    body, catalog = call.body, call.services.catalog
    check_body(catalog.fiat, body.currency, body.amount)
    partner_id = call.parameters["partner_id"]

    def render(made: Prefunding) -> Answer:
        return call.answer(prefunding_view(made, catalog), f"/v1/partners/{partner_id}/prefundings")

    ask = PrefundingAsk(partner_id, body.currency, body.amount, body.rail, body.reference)
    return await call.services.prefundings.create(
        call.principal, ask, call.required_claim, render, call.refusal
    )


@operations.get(
    "/v1/partners/{partner_id}/prefundings",
    who=INSTITUTIONS,
    query=PageQuery,
    answer=PageView[PrefundingDocument],
    example=Example({"data": [examples.PREFUNDING], "next_cursor": None}, path=_PATH),
    refusals=(NotFound,),
)
async def list_prefundings(call: Call[None, PageQuery]) -> Answer:
    """List what a partner paid in, newest first."""
    services = call.services
    page = await services.prefundings.list(
        call.principal, call.parameters["partner_id"], list_query(call)
    )
    views = [prefunding_view(each, services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.post(
    "/v1/partners/{partner_id}/keys",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=KeyBody,
    answer=NewPartnerKeyDocument,
    example=Example(examples.NEW_KEY, body=examples.KEY_BODY, path=_PATH),
    refusals=(NotFound, Forbidden, TooManyKeys, KeyAlreadyCreated),
)
async def create_key(call: Call[KeyBody, None]) -> Answer:
    """Create a key of a partner.

    `token` is shown this once: the node keeps only its hash. Two keys of one name may work at once:
    make the second, change to it, then revoke the first. A key gives no scope that it has not
    itself. `Location` is the partner.
    """
    body, services = call.body, call.services
    partner_id = call.parameters["partner_id"]

    def render(made: NewSecret) -> Answer:
        view = {**partner_key_view(made.credential, is_live=True), "token": made.secret}
        return call.answer(view, f"/v1/partners/{partner_id}")

    ask = KeyAsk(body.name, read_scopes(body.scopes), body.expires_in_s, body.networks)
    return await services.partner_keys.create(
        call.principal, partner_id, ask, call.claim, render, call.refusal
    )


@operations.get(
    "/v1/partners/{partner_id}/keys",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    query=PageQuery,
    answer=PageView[PartnerKeyDocument],
    example=Example({"data": [examples.KEY], "next_cursor": None}, path=_PATH),
    refusals=(NotFound,),
)
async def list_keys(call: Call[None, PageQuery]) -> Answer:
    """List the keys of a partner, newest first; never a secret."""
    keys = call.services.partner_keys
    page = await keys.list(call.principal, call.parameters["partner_id"], list_query(call))
    views = [partner_key_view(each, is_live=keys.is_live(each)) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.post(
    "/v1/keys/{key_id}/revoke",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=EmptyBody,
    status=200,
    answer=PartnerKeyDocument,
    example=Example(examples.REVOKED_KEY, body={}, path={"key_id": examples.KEY_ID}),
    refusals=(NotFound,),
)
async def revoke_key(call: Call[EmptyBody, None]) -> Answer:
    """End a key of a partner for good; within a second no process accepts it."""

    def render(key: Credential) -> Answer:
        return call.answer(partner_key_view(key, is_live=False))

    return await call.services.partner_keys.revoke(
        call.principal, call.parameters["key_id"], call.claim, render, call.refusal
    )


@operations.post(
    "/v1/partners/{partner_id}/signing-keys",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=SigningKeyBody,
    answer=SigningKeyDocument,
    example=Example(examples.SIGNING_KEY, body=examples.SIGNING_KEY_BODY, path=_PATH),
    refusals=(NotFound, TooManyKeys),
)
async def create_signing_key(call: Call[SigningKeyBody, None]) -> Answer:
    """Register a public key by which a partner signs its requests (RFC 9421).

    Sign with ed25519: `@method` and `@target-uri` (or `@authority`, `@path` and `@query`), and
    `content-digest` and `idempotency-key` where they are sent; parameters `created`, `expires` (at
    most 300 s later), `nonce` (16 to 128 characters, used once), `keyid` (the `id` here) and `tag`
    `corridor-v1`. `Location` is the partner.
    """
    body, services = call.body, call.services
    partner_id = call.parameters["partner_id"]

    def render(key: SigningKey) -> Answer:
        return call.answer(signing_key_view(key, is_live=True), f"/v1/partners/{partner_id}")

    ask = SigningKeyAsk(body.name, read_public_key(body.public_key), body.expires_in_s)
    return await services.partner_keys.add_signing_key(
        call.principal, partner_id, ask, call.claim, render, call.refusal
    )


@operations.get(
    "/v1/partners/{partner_id}/signing-keys",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    query=PageQuery,
    answer=PageView[SigningKeyDocument],
    example=Example({"data": [examples.SIGNING_KEY], "next_cursor": None}, path=_PATH),
    refusals=(NotFound,),
)
async def list_signing_keys(call: Call[None, PageQuery]) -> Answer:
    """List the public keys of a partner, newest first."""
    keys = call.services.partner_keys
    page = await keys.signing_keys(call.principal, call.parameters["partner_id"], list_query(call))
    views = [signing_key_view(each, is_live=keys.is_live(each)) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.post(
    "/v1/signing-keys/{signing_key_id}/revoke",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=EmptyBody,
    status=200,
    answer=SigningKeyDocument,
    example=Example(
        examples.REVOKED_SIGNING_KEY, body={}, path={"signing_key_id": examples.SIGNING_KEY_ID}
    ),
    refusals=(NotFound,),
)
async def revoke_signing_key(call: Call[EmptyBody, None]) -> Answer:
    """End a public key for good, at once."""

    def render(key: SigningKey) -> Answer:
        return call.answer(signing_key_view(key, is_live=False))

    return await call.services.partner_keys.revoke_signing_key(
        call.principal, call.parameters["signing_key_id"], call.claim, render, call.refusal
    )
