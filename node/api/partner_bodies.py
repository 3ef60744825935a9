"""What may be in bodies about partners, and how it is read. See `schemas`."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from node.api import bodies
from node.api.bodies import Body
from node.api.forms import NO_CONTROL, WORDS
from node.api.money import Fault, faults_of
from node.api.schemas import Amount, Country, Currency, PersonName
from node.core.catalog import Catalog
from node.core.parties import Scope
from node.core.partners import NETWORKS_MAX, PartnerLimit
from node.core.units import parse_amount

_LIFE_MIN_S: Final = 60
_LIFE_MAX_S: Final = 10 * 366 * 86_400
_KEY_BYTES: Final = 32
_PEM: Final = re.compile(
    r"-----BEGIN PUBLIC KEY-----\s*([A-Za-z0-9+/=\s]+?)\s*-----END PUBLIC KEY-----"
)
# SubjectPublicKeyInfo of an ed25519 key, up to the key itself (RFC 8410 4).
_SPKI: Final = bytes.fromhex("302a300506032b6570032100")

Spread = Annotated[int, Field(ge=0, le=9999, description="Basis points, taken off the mid rate.")]
KeyName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=WORDS),
    Field(description="Of the key; two of one name may work at once."),
]
Life = Annotated[
    int | None, Field(ge=_LIFE_MIN_S, le=_LIFE_MAX_S, description="Seconds; left out: for ever.")
]


class LimitBody(Body):
    """What a partner may do in one currency; replaces what was agreed in it."""

    currency: Currency
    credit_line: Annotated[Amount, Field(description="How far its balance may be below 0.")] = "0"
    sell_max: Annotated[
        Amount | None, Field(description="Most that one quote sells; `null`: the corridor's limit.")
    ] = None
    daily_sell_max: Annotated[
        Amount | None,
        Field(
            description="Most that transfers accepted, and payouts registered, on one day (UTC)"
            " sell; `null`: no limit."
        ),
    ] = None


Limits = Annotated[tuple[LimitBody, ...], Field(max_length=16, strict=False)]


class PartnerBody(Body):
    """A new partner."""

    name: PersonName
    country: Country
    spread_bps: Annotated[Spread | None, Field(description="`null`: the corridor's.")] = None
    requires_signature: Annotated[
        bool, Field(description="Whether each of its requests must be signed (RFC 9421).")
    ] = False
    limits: Limits = ()


class TermsBody(Body):
    """What is to change; what is left out, or `null`, stays."""

    status: Literal["active", "suspended"] | None = None
    requires_signature: bool | None = None
    spread_bps: Annotated[
        Spread | Literal["corridor"] | None, Field(description="`corridor`: that of the corridor.")
    ] = None
    limits: Limits = ()


class KeyBody(Body):
    """A new key of a partner."""

    name: KeyName
    scopes: Annotated[
        tuple[Literal["read", "quote", "pay", "refund", "admin"], ...],
        Field(min_length=1, max_length=5, strict=False),
    ]
    expires_in_s: Life = None
    networks: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=64, pattern=NO_CONTROL)], ...],
        Field(
            max_length=NETWORKS_MAX,
            strict=False,
            description="From where it may be used, CIDR; none: from anywhere.",
        ),
    ] = ()


class SigningKeyBody(Body):
    """A public key by which requests are signed."""

    name: KeyName
    public_key: Annotated[
        str,
        StringConstraints(min_length=1, max_length=512),
        Field(description="ed25519: the 32 bytes in base64, or PEM (`BEGIN PUBLIC KEY`)."),
    ]
    expires_in_s: Life = None


def read_limits(limits: Sequence[LimitBody], catalog: Catalog) -> list[PartnerLimit]:
    """Limits in minor units.

    Raises:
        InvalidInput: A currency is none, is named twice, or an amount is not one of it.
    """
    faults: list[Fault] = []
    for place, each in enumerate(limits):
        at = f"/limits/{place}"
        if any(each.currency == other.currency for other in limits[:place]):
            faults.append((f"{at}/currency", "repeated", "name each currency once"))
        for name in ("credit_line", "sell_max", "daily_sell_max"):
            amount = getattr(each, name)
            found = faults_of(
                catalog.asset,
                each.currency,
                amount,
                at_currency=f"{at}/currency",
                at_amount=f"{at}/{name}",
            )
            faults += found
            is_zero = amount is not None and not amount.strip("0.")
            if is_zero and not found and name != "credit_line":
                faults.append((f"{at}/{name}", "too_small", "write more than 0, or null"))
    if faults:
        raise bodies.invalid_body(list(dict.fromkeys(faults)))

    def minor(each: LimitBody, amount: str | None) -> int | None:
        return None if amount is None else parse_amount(amount, catalog.asset(each.currency)).minor

    return [
        PartnerLimit(
            each.currency,
            minor(each, each.credit_line) or 0,
            minor(each, each.sell_max),
            minor(each, each.daily_sell_max),
        )
        for each in limits
    ]


def read_scopes(names: Sequence[str]) -> frozenset[Scope]:
    """Scopes by their names."""
    return frozenset(map(Scope, names))


def read_public_key(text: str) -> bytes:
    """The 32 bytes of an ed25519 public key.

    Raises:
        InvalidInput: The text is none, neither in base64 nor in PEM.
    """
    match = _PEM.search(text)
    encoded = "".join(match[1].split()) if match else text.strip()
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if match and raw.startswith(_SPKI):
        raw = raw[len(_SPKI) :]
    if len(raw) != _KEY_BYTES:
        message = "write the 32 bytes of an ed25519 public key in base64, or PEM (BEGIN PUBLIC KEY)"
        raise bodies.invalid_body([("/public_key", "wrong_form", message)])
    return raw
