"""Who acts and for whom: principals, partners, customers, credentials."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a credential may do."""

    REMITTER = "remitter"  # own objects only
    PARTNER = "partner"  # own customers and their objects
    OPERATOR = "operator"  # everything of the node


@dataclass(frozen=True, slots=True)
class Principal:
    """Who an authenticated request acts for. Outlives a rotation of credentials.

    Attributes:
        role: Decides what is seen; another's object does not exist for it.
        partner_id: Set for a partner.
        customer_id: Set for a remitter.
        name: Of the operator; otherwise of the credential, for logs.
    """

    role: Role
    name: str
    partner_id: UUID | None = None
    customer_id: UUID | None = None

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


@dataclass(frozen=True, slots=True)
class Partner:
    """An institution that calls the node's HTTP interface."""

    id: UUID
    name: str


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
    """A bearer key; the secret itself is shown once and stored only as its SHA-256."""

    id: UUID
    principal: Principal
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
