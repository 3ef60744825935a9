"""What answers about partners look like. See `views`."""

import base64

from typing_extensions import TypedDict

from node.api.views import id_or_none, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.parties import ALL_SCOPES, Caller, Credential, Scope
from node.core.partners import PartnerLimit, Prefunding, SigningKey
from node.core.units import format_minor
from node.services.partners.terms import Agreement, PartnerBalance


class PartnerLimitDocument(TypedDict):
    """What a partner may do in one currency; `null`: no limit of its own."""

    currency: str
    credit_line: str
    sell_max: str | None
    daily_sell_max: str | None


class PartnerDocument(TypedDict):
    """An institution, and what is agreed with it.

    `status` is active or suspended. `spread_bps` is null where the corridor's own counts.
    """

    id: str
    name: str
    country: str | None
    status: str
    requires_signature: bool
    spread_bps: int | None
    limits: list[PartnerLimitDocument]
    created_at: str


class PartnerBalanceDocument(TypedDict):
    """A partner's own money in one currency.

    `available` can be spent: what it paid in and has left, and what is left of its credit line.
    """

    currency: str
    available: str
    reserved: str
    prefunded: str
    credit_line: str
    credit_used: str


class PartnerKeyDocument(TypedDict):
    """A bearer key; `status` is active, expired or revoked. `networks`: none, from anywhere."""

    id: str
    name: str
    scopes: list[str]
    networks: list[str]
    status: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewPartnerKeyDocument(PartnerKeyDocument):
    """A key with its secret `token`, which is shown this once."""

    token: str


class SigningKeyDocument(TypedDict):
    """A public key (ed25519, base64); its `id` is the `keyid` of signatures."""

    id: str
    name: str
    partner_id: str
    public_key: str
    status: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class PrefundingDocument(TypedDict):
    """Money that arrived for a partner's own balance."""

    id: str
    partner_id: str
    currency: str
    amount: str
    rail: str
    reference: str
    created_at: str


class MeDocument(TypedDict):
    """Whom the key stands for. `partner` is that of the customer, where it is a customer's."""

    role: str
    name: str
    partner_id: str | None
    customer_id: str | None
    key: PartnerKeyDocument
    partner: PartnerDocument | None


def partner_view(agreement: Agreement, catalog: Catalog) -> PartnerDocument:
    """A partner."""
    partner = agreement.partner
    return {
        "id": encode_id(Prefix.PARTNER, partner.id),
        "name": partner.name,
        "country": partner.country,
        "status": partner.status.value,
        "requires_signature": partner.requires_signature,
        "spread_bps": partner.spread_bps,
        "limits": [_limit_view(each, catalog) for each in agreement.limits],
        "created_at": time_text(partner.created_at),
    }


def partner_balance_view(balance: PartnerBalance, catalog: Catalog) -> PartnerBalanceDocument:
    """A partner's balance; no amount is below 0."""
    counters, line = balance.balance, balance.credit_line
    digits = catalog.asset(counters.asset).digits
    used = max(0, -counters.available)
    return {
        "currency": counters.asset,
        "available": format_minor(max(0, counters.available + line), digits),
        "reserved": format_minor(counters.reserved, digits),
        "prefunded": format_minor(max(0, counters.available), digits),
        "credit_line": format_minor(line, digits),
        "credit_used": format_minor(used, digits),
    }


def partner_key_view(key: Credential, *, is_live: bool) -> PartnerKeyDocument:
    """A key without its secret."""
    scopes = ALL_SCOPES if key.principal.scopes is None else key.principal.scopes
    return {
        "id": encode_id(Prefix.KEY, key.id),
        "name": key.principal.name,
        "scopes": [each.value for each in Scope if each in scopes],
        "networks": list(key.networks),
        "status": _status(key, is_live=is_live),
        "created_at": time_text(key.created_at),
        "expires_at": time_text(key.expires_at) if key.expires_at else None,
        "revoked_at": time_text(key.revoked_at) if key.revoked_at else None,
        "last_used_at": time_text(key.last_used_at) if key.last_used_at else None,
    }


def signing_key_view(key: SigningKey, *, is_live: bool) -> SigningKeyDocument:
    """A public key."""
    return {
        "id": encode_id(Prefix.SIGNING_KEY, key.id),
        "name": key.name,
        "partner_id": encode_id(Prefix.PARTNER, key.partner_id),
        "public_key": base64.b64encode(key.public_key).decode(),
        "status": _status(key, is_live=is_live),
        "created_at": time_text(key.created_at),
        "expires_at": time_text(key.expires_at) if key.expires_at else None,
        "revoked_at": time_text(key.revoked_at) if key.revoked_at else None,
    }


def prefunding_view(prefunding: Prefunding, catalog: Catalog) -> PrefundingDocument:
    """What a partner paid in."""
    return {
        "id": encode_id(Prefix.PREFUNDING, prefunding.id),
        "partner_id": encode_id(Prefix.PARTNER, prefunding.partner_id),
        "currency": prefunding.asset,
        "amount": format_minor(prefunding.amount, catalog.asset(prefunding.asset).digits),
        "rail": prefunding.rail,
        "reference": prefunding.reference,
        "created_at": time_text(prefunding.created_at),
    }


def me_view(caller: Caller, agreement: Agreement | None, catalog: Catalog) -> MeDocument:
    """Whom a key stands for; it works, for it was just used."""
    principal = caller.principal
    return {
        "role": principal.role.value,
        "name": principal.name,
        "partner_id": id_or_none(Prefix.PARTNER, principal.partner_id),
        "customer_id": id_or_none(Prefix.CUSTOMER, principal.customer_id),
        "key": partner_key_view(caller.credential, is_live=True),
        "partner": partner_view(agreement, catalog) if agreement else None,
    }


def _limit_view(limit: PartnerLimit, catalog: Catalog) -> PartnerLimitDocument:
    digits = catalog.asset(limit.asset).digits

    def text(minor: int | None) -> str | None:
        return None if minor is None else format_minor(minor, digits)

    return {
        "currency": limit.asset,
        "credit_line": format_minor(limit.credit_line, digits),
        "sell_max": text(limit.sell_max),
        "daily_sell_max": text(limit.daily_sell_max),
    }


def _status(key: Credential | SigningKey, *, is_live: bool) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if is_live else "expired"
