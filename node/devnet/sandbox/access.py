"""Keys and terms of the demo partner that do not allow what it tries."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, Final

from node.devnet.sandbox import clock
from node.devnet.sandbox.site import Site, Wish

_LEAST_S: Final = 60
_NOWHERE: Final = "192.0.2.0/24"  # RFC 5737: nobody has an address there
_ALL: Final = ["read", "quote", "pay", "refund", "admin"]


def expired_key(site: Site, _: Wish) -> dict[str, Any]:
    """A key of the partner that has expired: the clock moves a minute."""
    key = _key(site, expires_in_s=_LEAST_S)
    clock.move(site, Wish(forward=timedelta(seconds=_LEAST_S + 1)))
    return key


def revoked_key(site: Site, _: Wish) -> dict[str, Any]:
    """A key that was revoked."""
    key = _key(site)
    site.post(f"/v1/keys/{key['key_id']}/revoke", {}, who="operator")
    return key


def reading_key(site: Site, _: Wish) -> dict[str, Any]:
    """A key that may only read."""
    return _key(site, scopes=["read"])


def far_key(site: Site, _: Wish) -> dict[str, Any]:
    """A key that is good in a network where nobody is."""
    return _key(site, networks=[_NOWHERE])


def suspend(site: Site, _: Wish) -> dict[str, Any]:
    """An operator suspends the partner."""
    return _agree(site, {"status": "suspended"})


def resume(site: Site, _: Wish) -> None:
    """And takes it back."""
    _agree(site, {"status": "active"})


def ask_for_signatures(site: Site, _: Wish) -> dict[str, Any]:
    """From now on each of the partner's requests must be signed."""
    return _agree(site, {"requires_signature": True})


def do_without_signatures(site: Site, _: Wish) -> None:
    """No longer."""
    _agree(site, {"requires_signature": False})


def limit_sales(site: Site, _: Wish) -> dict[str, Any]:
    """One quote of the partner sells at most 1.00 EUR."""
    return _agree(site, {"limits": [{"currency": "EUR", "sell_max": "1.00"}]})


def unlimit_sales(site: Site, _: Wish) -> None:
    """As much as the corridor takes."""
    _agree(site, {"limits": [{"currency": "EUR", "sell_max": None}]})


def poor_customer(site: Site, _: Wish) -> dict[str, Any]:
    """A customer of the partner who has nothing."""
    body = {"name": "Nils", "country": "DE"}
    return {"customer_id": site.post("/v1/customers", body)["id"]}


def _key(site: Site, **differing: Any) -> dict[str, Any]:
    body = {"name": f"sandbox {secrets.token_hex(4)}", "scopes": _ALL, **differing}
    made = site.post(f"/v1/partners/{_partner_id(site)}/keys", body, who="operator")
    return {"key_id": made["id"], "key": made["token"]}


def _agree(site: Site, terms: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/partners/{_partner_id(site)}/terms"
    return {"partner": site.post(path, terms, who="operator")["id"], **terms}


def _partner_id(site: Site) -> str:
    """Asked as operator: the partner's own requests may be refused just now."""
    return next(
        str(each["id"])
        for each in site.get("/v1/partners", who="operator")["data"]
        if each["name"] == "demo partner"
    )
