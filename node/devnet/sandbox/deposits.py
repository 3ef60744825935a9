"""Payment requests paid otherwise than asked for: a stranger sends too little, too much, too late.

Each makes a payment request of the first customer, unless one is named.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from eth_abi.abi import encode

from adapters.evm import artifacts
from node.devnet.sandbox import clock
from node.devnet.sandbox.site import ISSUER, Site, Wish

_ASKED: Final = "10.000000"
_DIGITS: Final = 6
_MINUTE: Final = timedelta(minutes=1)
_GRACE: Final = timedelta(days=1)  # CORRIDOR_DEPOSIT_LATE_GRACE_S of a devnet
_WRONG_MINOR: Final = 10**18


def pay_short(site: Site, wish: Wish) -> dict[str, Any]:
    """A tenth is missing."""
    request, minor = _request(site, wish)
    return _paid(site, request, minor - minor // 10)


def pay_over(site: Site, wish: Wish) -> dict[str, Any]:
    """A tenth too much."""
    request, minor = _request(site, wish)
    return _paid(site, request, minor + minor // 10)


def pay_twice(site: Site, wish: Wish) -> dict[str, Any]:
    """The whole, twice."""
    request, minor = _request(site, wish)
    _paid(site, request, minor)
    return _paid(site, request, minor)


def pay_late(site: Site, wish: Wish) -> dict[str, Any]:
    """The whole, a minute after its end: the clock moves there."""
    request, minor = _request(site, wish)
    _forward(site, request, _MINUTE)
    return _paid(site, request, minor)


def pay_too_late(site: Site, wish: Wish) -> dict[str, Any]:
    """The whole, after the grace as well: the clock moves there."""
    request, minor = _request(site, wish)
    _forward(site, request, _GRACE + _MINUTE)
    return _paid(site, request, minor)


def pay_wrong_token(site: Site, wish: Wish) -> dict[str, Any]:
    """Another token, which has the same name."""
    request, _ = _request(site, wish)
    usual = artifacts.load("TestUSD").bytecode
    other = site.deploy(usual + encode(["address"] * 3, [ISSUER] * 3))
    site.send(other, "configureMinter(address,uint256)", ISSUER, _WRONG_MINOR)
    site.send(other, "mint(address,uint256)", request["address"], _WRONG_MINOR)
    return {"payment_request_id": request["id"], "token": other, "minor": _WRONG_MINOR}


def _request(site: Site, wish: Wish) -> tuple[dict[str, Any], int]:
    """The payment request, and how much it asks for, token units."""
    if wish.request_id is not None:
        request = site.get(f"/v1/payment-requests/{wish.request_id}")
    else:
        customer_id = site.node["customers"][0]["id"]
        body = {
            "currency": "USDC",
            "amount": _ASKED,
            "reference": f"sandbox {secrets.token_hex(8)}",
        }
        request = site.post(f"/v1/customers/{customer_id}/payment-requests", body)
    return request, minor_of(request["amount"])


def minor_of(amount: str) -> int:
    """Token units of an amount as the node writes it."""
    whole, _, part = amount.partition(".")
    return int(whole + part.ljust(_DIGITS, "0"))


def _paid(site: Site, request: dict[str, Any], minor: int) -> dict[str, Any]:
    receipt = site.send(site.token, "mint(address,uint256)", request["address"], minor)
    return {
        "payment_request_id": request["id"],
        "minor": minor,
        "tx_hash": receipt["transactionHash"],
    }


def _forward(site: Site, request: dict[str, Any], beyond: timedelta) -> None:
    now = clock.move(site, Wish())["ahead_s"]
    ends = datetime.fromisoformat(request["expires_at"]) + beyond
    left = ends - datetime.now(UTC) - timedelta(seconds=now)  # noqa: TID251 - as the node's clock
    if left > timedelta():
        clock.move(site, Wish(forward=timedelta(seconds=int(left.total_seconds()) + 1)))
