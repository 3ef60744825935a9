"""Examples of partners and their keys. A test checks each against its schema."""

from typing import Final

_TAIL: Final = "01kanv8q6dfk5vbz2m3n8r1c4x"
_WHEN: Final = "2026-11-22T16:00:00Z"
_LATER: Final = "2027-02-20T16:00:00Z"

PARTNER_ID: Final = f"par_{_TAIL}"
KEY_ID: Final = f"key_{_TAIL}"
SIGNING_KEY_ID: Final = f"sig_{_TAIL}"

LIMIT: Final = {
    "currency": "EUR",
    "credit_line": "5000.00",
    "sell_max": "10000.00",
    "daily_sell_max": "100000.00",
}
PARTNER_BODY: Final = {
    "name": "example partner",
    "country": "DE",
    "spread_bps": 15,
    "requires_signature": False,
    "limits": [LIMIT],
}
PARTNER: Final = {
    "id": PARTNER_ID,
    **PARTNER_BODY,
    "status": "active",
    "created_at": _WHEN,
}
TERMS_BODY: Final = {"spread_bps": "corridor", "limits": [LIMIT]}
BALANCE: Final = {
    "currency": "EUR",
    "available": "5800.00",
    "reserved": "0.00",
    "prefunded": "800.00",
    "credit_line": "5000.00",
    "credit_used": "0.00",
}
KEY_BODY: Final = {
    "name": "backend",
    "scopes": ["read", "quote", "pay"],
    "expires_in_s": 7_776_000,
    "networks": ["192.0.2.0/24"],
}
KEY: Final = {
    "id": KEY_ID,
    "name": "backend",
    "scopes": ["read", "quote", "pay"],
    "networks": ["192.0.2.0/24"],
    "status": "active",
    "created_at": _WHEN,
    "expires_at": _LATER,
    "revoked_at": None,
    "last_used_at": None,
}
NEW_KEY: Final = {**KEY, "token": "shown-once"}
REVOKED_KEY: Final = {**KEY, "status": "revoked", "revoked_at": _WHEN}
SIGNING_KEY_BODY: Final = {
    "name": "signer",
    "public_key": "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=",
}
SIGNING_KEY: Final = {
    "id": SIGNING_KEY_ID,
    "name": "signer",
    "partner_id": PARTNER_ID,
    "public_key": "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=",
    "status": "active",
    "created_at": _WHEN,
    "expires_at": None,
    "revoked_at": None,
}
REVOKED_SIGNING_KEY: Final = {**SIGNING_KEY, "status": "revoked", "revoked_at": _WHEN}
PREFUNDING_BODY: Final = {
    "currency": "EUR",
    "amount": "20000.00",
    "rail": "sandbox_bank",
    "reference": "wire-71",
}
PREFUNDING: Final = {
    "id": f"pre_{_TAIL}",
    "partner_id": PARTNER_ID,
    **PREFUNDING_BODY,
    "created_at": _WHEN,
}
ME: Final = {
    "role": "partner",
    "name": "backend",
    "partner_id": PARTNER_ID,
    "customer_id": None,
    "key": KEY,
    "partner": PARTNER,
}
