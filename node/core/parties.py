"""Who acts and for whom: principals, partners, customers, credentials."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID


class Role(StrEnum):
    """Whom a credential stands for."""

    REMITTER = "remitter"  # own objects only
    PARTNER = "partner"  # own customers and their objects
    OPERATOR = "operator"  # everything of the node


class Scope(StrEnum):
    """What a partner's credential may do. Each is asked for by itself; none holds another."""

    READ = "read"  # look at what there is
    QUOTE = "quote"  # ask for firm prices
    PAY = "pay"  # customers, money, transfers, payouts
    REFUND = "refund"  # send money back
    ADMIN = "admin"  # own keys, signing keys and webhook endpoints


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who an authenticated request acts for. Outlives a rotation of credentials.

    Attributes:
        role: Decides what is seen; another's object does not exist for it.
        partner_id: Set for a partner.
        customer_id: Set for a remitter.
        name: Of the operator; otherwise of the credential, for logs.
        scopes: What its credential may do; None: whatever the role may.
    """

    role: Role
    name: str
    partner_id: UUID | None = None
    customer_id: UUID | None = None
    scopes: frozenset[Scope] | None = None

    @property
    def key(self) -> str:
        """`partner:<uuid>`, `customer:<uuid>` or `operator:<name>`: scope of idempotency keys."""
        match self.role:
            case Role.PARTNER:
                return f"partner:{self.partner_id}"
            case Role.REMITTER:
                return f"customer:{self.customer_id}"
            case Role.OPERATOR:
                return f"operator:{self.name}"

    def may(self, scope: Scope) -> bool:
        """Whether the credential has this scope."""
        return self.scopes is None or scope in self.scopes


class PartnerStatus(StrEnum):
    """Whether a partner may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # it, and its customers, may still look


@dataclass(frozen=True, slots=True)
class Partner:
    """An institution that calls the node's HTTP interface.

    Attributes:
        country: ISO 3166-1 alpha-2.
        requires_signature: Whether each of its requests must be signed (RFC 9421).
        spread_bps: Taken off the mid rate of its quotes; None: the corridor's own.
        version: Sequence of its newest change.
    """

    id: UUID
    name: str
    created_at: datetime
    country: str | None = None
    status: PartnerStatus = PartnerStatus.ACTIVE
    requires_signature: bool = False
    spread_bps: int | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Customer:
    """A person or firm whose money the node keeps.

    Attributes:
        partner_id: The partner it belongs to; None: the node's own customer.
        country: ISO 3166-1 alpha-2.
    """

    id: UUID
    partner_id: UUID | None
    name: str
    country: str
    email: str | None
    created_at: datetime

    def is_visible_to(self, principal: Principal) -> bool:
        """Whether the customer exists for this principal."""
        match principal.role:
            case Role.OPERATOR:
                return True
            case Role.PARTNER:
                return self.partner_id == principal.partner_id
            case Role.REMITTER:
                return self.id == principal.customer_id


@dataclass(frozen=True, slots=True)
class Credential:
    """A bearer key; the secret itself is shown once and stored only as its SHA-256.

    Attributes:
        principal: Whom it stands for, with what it may do; its name is that of the key.
        networks: From where it may be used, CIDR; none: from anywhere.
        last_used_at: To the minute, or later.
    """

    id: UUID
    principal: Principal
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    networks: tuple[str, ...] = ()
    last_used_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether it can be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated credential, with the partner it acts under.

    Attributes:
        partner: The partner itself, or that of the customer; None: neither.
    """

    credential: Credential
    partner: Partner | None = None

    @property
    def principal(self) -> Principal:
        """Whom the credential stands for."""
        return self.credential.principal
