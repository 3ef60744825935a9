"""What is agreed with a partner, and what follows from it: limits, keys, signed requests.

Who acts and for whom is in `node.core.parties`. Signatures follow RFC 9421, by the profile below;
the cryptography is an adapter's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final
from uuid import UUID

from node.core.errors import (
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NetworkNotAllowed,
    PartnerSuspended,
    TooManyKeys,
)
from node.core.parties import Caller, PartnerStatus, Scope
from node.core.units import Asset, Money

LIVE_KEYS_MAX: Final = 2
"""Keys of one name that work at once: one in use, one to change to."""

NETWORKS_MAX: Final = 32

SIGNATURE_TAG: Final = "corridor-v1"
SIGNATURE_LIFE_MAX_S: Final = 300
CLOCK_SKEW_S: Final = 5
"""How far a signer's clock may be ahead."""

_NONCE: Final = re.compile(r"[!-~]{16,128}")


@dataclass(frozen=True, slots=True)
class PartnerLimit:
    """What a partner may do in one currency, minor units.

    Attributes:
        credit_line: How far its balance may be below 0.
        sell_max: Most that one quote may sell; None: the corridor's own limit.
        daily_sell_max: Most that transfers accepted, and payouts registered, on one day (UTC) may
            sell; None: no limit.
    """

    asset: str
    credit_line: int = 0
    sell_max: int | None = None
    daily_sell_max: int | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A partner's public key, by which its requests are signed.

    Attributes:
        public_key: 32 bytes, ed25519 (RFC 8032).
    """

    id: UUID
    partner_id: UUID
    name: str
    public_key: bytes
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether it can be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Prefunding:
    """Money that arrived at a bank of the node for a partner's own balance.

    Attributes:
        amount: Minor units.
        reference: The rail's; booked once.
        made_by: Principal.
    """

    id: UUID
    partner_id: UUID
    asset: str
    amount: int
    rail: str
    reference: str
    made_by: str
    ledger_sequence: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its signature covers it.

    Attributes:
        method: In capitals.
        host: Of the header `Host`.
        target: Path and query as sent.
        headers: Names in lower case, in the order sent.
    """

    method: str
    host: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class SignatureClaim:
    """What a signature says of itself, before it is checked.

    Attributes:
        tag: By which it was found.
        label: Of the signature among others.
        components: Serialized identifiers of what it covers, such as `"@method"`.
        created_s: Unix time; `expires_s` as well. None: not said.
    """

    tag: str
    label: str
    components: frozenset[str]
    key_id: str | None
    nonce: str | None
    algorithm: str | None
    created_s: int | None
    expires_s: int | None


def refusal_of(
    caller: Caller, *, scope: Scope, is_write: bool, address: str | None
) -> Forbidden | None:
    """Why a credential may not do this, or not from there; None: it may.

    Args:
        caller: The credential, with its partner.
        scope: What is needed.
        is_write: Whether something may change.
        address: Where the request came from, an IP address; None: not known.
    """
    if not is_allowed_from(caller.credential.networks, address):
        return NetworkNotAllowed(
            f"this key may not be used from {address or 'an unknown address'}; it was made for"
            f" {', '.join(caller.credential.networks)}"
        )
    if not caller.principal.may(scope):
        has = ", ".join(each.value for each in Scope if caller.principal.may(each)) or "none"
        return Forbidden(
            f"the key has not the scope {scope.value!r} that this needs, only {has};"
            " use a key that has it, or ask the operator of the node for one",
            role=str(caller.principal.role),
            scope=scope.value,
        )
    suspended = caller.partner is not None and caller.partner.status is PartnerStatus.SUSPENDED
    if suspended and is_write:
        return PartnerSuspended("the partner is suspended; ask the operator of the node")
    return None


def is_allowed_from(networks: Sequence[str], address: str | None) -> bool:
    """Whether an address is in one of the networks; none: everything is.

    An IPv4 address that comes mapped into IPv6 (`::ffff:192.0.2.1`) counts as itself.
    """
    if not networks:
        return True
    try:
        given = ip_address(address or "")
    except ValueError:
        return False
    mapped = given.ipv4_mapped if given.version == 6 else None  # noqa: PLR2004 - of IP
    return any((mapped or given) in ip_network(each) for each in networks)


def read_networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Networks in their canonical form.

    Raises:
        InvalidInput: One is no network in CIDR, or has bits beside its prefix.
    """
    read = []
    for place, text in enumerate(texts):
        try:
            read.append(str(ip_network(text)))
        except ValueError:
            message = (
                "write a network in CIDR, such as 192.0.2.0/24, without bits beside its prefix"
            )
            raise InvalidInput(
                f"{text[:64]!r} is no network: {message}",
                errors=[
                    {"pointer": f"/networks/{place}", "code": "wrong_form", "message": message}
                ],
            ) from None
    return tuple(dict.fromkeys(read))


def check_rotation(name: str, live: int) -> None:
    """Whether one more key of a name may be made, where so many work.

    Raises:
        TooManyKeys: Two do.
    """
    if live >= LIVE_KEYS_MAX:
        raise TooManyKeys(
            f"{LIVE_KEYS_MAX} keys named {name!r} work already; revoke one first",
            limit=LIVE_KEYS_MAX,
        )


def signature_fault(request: SignedRequest, claim: SignatureClaim, now: datetime) -> str | None:
    """What is wrong with what a signature claims; None: it is worth checking.

    Covered must be `@method`; `@target-uri`, or `@authority`, `@path` and `@query`;
    `content-digest` where there is a body; `idempotency-key` where one is sent.
    """
    named = {name for name, _ in request.headers}
    needed = {'"@method"'}
    if '"@target-uri"' not in claim.components:
        needed |= {'"@authority"', '"@path"', '"@query"'}
    if request.body:
        needed.add('"content-digest"')
    if "idempotency-key" in named:
        needed.add('"idempotency-key"')
    if missing := sorted(needed - claim.components):
        return f"it does not cover {', '.join(missing)}"
    if claim.algorithm not in (None, "ed25519"):
        return "its algorithm is not ed25519"
    if claim.key_id is None:
        return "it has no keyid"
    if claim.nonce is None or not _NONCE.fullmatch(claim.nonce):
        return "its nonce is not 16 to 128 visible ASCII characters"
    return _time_fault(claim, now)


def _time_fault(claim: SignatureClaim, now: datetime) -> str | None:
    if claim.created_s is None or claim.expires_s is None:
        return "it does not say when it was created and when it expires"
    if not 0 < claim.expires_s - claim.created_s <= SIGNATURE_LIFE_MAX_S:
        return f"it does not expire within {SIGNATURE_LIFE_MAX_S} s of its creation"
    if claim.created_s > int(now.timestamp()) + CLOCK_SKEW_S:
        return "it was created in the future; compare your clock"
    if claim.expires_s <= int(now.timestamp()):
        return "it has expired; compare your clock"
    return None


def check_sell_max(sell: Money, limit: PartnerLimit | None) -> None:
    """Whether one quote of a partner may sell this much.

    Raises:
        LimitExceeded: It may not.
    """
    if limit is None or limit.sell_max is None or sell.minor <= limit.sell_max:
        return
    most = Money(limit.sell_max, sell.asset)
    raise LimitExceeded(
        f"one quote of this partner may sell at most {most} {sell.asset.code}",
        limit=most.stated,
        remaining=most.stated,
        resets_at=None,
    )


def check_daily_sell_max(
    sell: Money, limit: PartnerLimit | None, sold_today: int, now: datetime
) -> None:
    """Whether a partner may sell this much more today.

    Args:
        sell: What is sold now.
        limit: What is agreed.
        sold_today: Minor units that transfers accepted and payouts registered since 0:00 UTC sell;
            what ended without a payment is left out.
        now: The moment of acceptance, or of registration.

    Raises:
        LimitExceeded: It may not.
    """
    if limit is None or limit.daily_sell_max is None:
        return
    left = max(0, limit.daily_sell_max - sold_today)
    if sell.minor <= left:
        return
    most, remaining = Money(limit.daily_sell_max, sell.asset), Money(left, sell.asset)
    raise LimitExceeded(
        f"this partner may sell {most} {sell.asset.code} a day, of which {remaining} are left until"
        " midnight (UTC)",
        limit=most.stated,
        remaining=remaining.stated,
        resets_at=_text(next_day(now)),
    )


def day_of(moment: datetime) -> datetime:
    """0:00 UTC of its day."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def next_day(moment: datetime) -> datetime:
    """0:00 UTC of the day after."""
    return day_of(moment) + timedelta(days=1)


def change_of(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """What differs, by name: the new value."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def usable(available: int, limit: PartnerLimit | None, asset: Asset) -> Money:
    """What a partner can still spend: what is available, and its credit line."""
    return Money(max(0, available + (limit.credit_line if limit else 0)), asset)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
