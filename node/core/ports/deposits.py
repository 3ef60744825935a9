"""Deposits: their addresses, what was asked for, and what came, as they are kept.

How an address is made of a salt is the adapter's (`adapters.evm.deposits`). What a deposit means is
`node.core.deposits`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.deposits import (
    Deposit,
    DepositAddress,
    DepositRow,
    Flag,
    NewAddress,
    NewRequest,
    Owner,
    PaymentRequest,
    RequestStatus,
    Target,
)
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.units import Address, BlockHash


class DepositAddressCodec(Protocol):
    """Makes deposit addresses of salts, by calculation alone."""

    def address_of(self, salt: bytes) -> Address:
        """What the node's forwarders contract deploys with these 32 bytes (EIP-1014)."""
        ...


@dataclass(frozen=True, slots=True)
class DepositHolding:
    """What a deposit address holds at the newest final block: it can be swept.

    Attributes:
        factory: The forwarders contract that deploys it.
        amount: Token units.
    """

    address: Address
    factory: Address
    salt: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class RequestChange:
    """What the deposits of one step made of a request.

    Attributes:
        version: The version it has afterwards.
        flags: Added to those it has; one that is paid is not `short` any more.
        surplus: Added to what it has.
        released_sequence: The ledger transaction that gave its owner all that was held and
            counted; None: none did.
    """

    request_id: UUID
    version: int
    status: RequestStatus
    flags: frozenset[Flag] = field(default_factory=frozenset)
    surplus: int = 0
    released_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """A request whose time is over, and what of it is held.

    Attributes:
        held: Minor units; 0: nothing came.
        is_told: Whether no deposit that is held lacks a break: each that came late has its own.
        version: The version it has afterwards.
    """

    request_id: UUID
    owner: Owner
    reference: str
    asset: str
    amount: int
    held: int
    is_told: bool
    version: int


@dataclass(frozen=True, slots=True)
class Released:
    """A deposit that was held and is its owner's now.

    Attributes:
        break_id: The break that told a person of it, still open.
        version: Sequence of its newest event.
    """

    id: UUID
    owner: Owner
    asset: str
    amount: int
    break_id: UUID | None
    version: int


class DepositRepository(Protocol):
    """The tables of deposits. What moves money is written under the ledger's lock."""

    async def addresses_since(self, after_id: int) -> Sequence[tuple[int, Address]]:
        """Deposit addresses with a greater id, ascending; ids become visible in their order."""
        ...

    async def holdings(
        self, chain_id: int, asset: str, factory: Address, least: int, limit: int
    ) -> Sequence[DepositHolding]:
        """Addresses of `factory` that hold at least `least` finally, the greatest amount first."""
        ...

    async def add_address(self, new: NewAddress) -> DepositAddress:
        """Store an address; of one owner's two standing ones the first stays, and is returned."""
        ...

    async def standing(
        self, chain_id: int, factory: Address, owner: Owner
    ) -> DepositAddress | None:
        """The owner's standing address."""
        ...

    async def add_request(self, address: DepositAddress, new: NewRequest) -> bool:
        """Store a request at an address of its own; False: its owner has used the reference."""
        ...

    async def request_with(self, owner: Owner, reference: str) -> UUID | None:
        """The owner's request with this reference."""
        ...

    async def request(self, principal: Principal, request_id: UUID) -> PaymentRequest | None:
        """One request, where it exists for this principal, with other tokens that came to it."""
        ...

    async def requests(self, principal: Principal, query: ListQuery) -> Page[PaymentRequest]:
        """Requests that exist for this principal, newest first.

        Filters: `status`, `reference`, `customer_id` (a UUID).
        """
        ...

    async def deposit(self, principal: Principal, deposit_id: UUID) -> Deposit | None:
        """One deposit, where it exists for this principal."""
        ...

    async def deposits(self, principal: Principal, query: ListQuery) -> Page[Deposit]:
        """Deposits that exist for this principal, newest first; unknown ones only for operators.

        Filters: `status`, `customer_id`, `payment_request_id` (UUIDs).
        """
        ...

    async def targets(
        self, chain_id: int, addresses: Collection[Address]
    ) -> Mapping[Address, Target]:
        """Where deposits to these addresses come to; addresses that are none are left out."""
        ...

    async def block_times(
        self, chain_id: int, blocks: Collection[BlockHash]
    ) -> Mapping[BlockHash, datetime]:
        """When blocks of the mirror were mined."""
        ...

    async def add_deposits(self, chain_id: int, rows: Sequence[DepositRow]) -> None:
        """Store final deposits, with the ids of their breaks, which are open by now."""
        ...

    async def change_requests(self, changes: Sequence[RequestChange]) -> Sequence[Released]:
        """Store what became of requests; the deposits that were held and are credited now."""
        ...

    async def held_by(self, break_id: UUID) -> Sequence[Released]:
        """Deposits in suspense that a break tells of."""
        ...

    async def held_total(self, chain_id: int) -> int:
        """What all deposits hold in suspense, minor units of the token."""
        ...

    async def suspense(self, chain_id: int, path: str) -> tuple[int, int]:
        """What the account has, and what held deposits and corrections make of it; minor units."""
        ...

    async def tell(self, deposit_id: UUID, break_id: UUID) -> None:
        """Another break tells of a deposit: the earlier one was closed."""
        ...

    async def unpaid_since(self, owner: Owner, since: datetime) -> int:
        """How many of an owner's requests nobody has paid that end after `since`."""
        ...

    async def held(self, request_id: UUID) -> Sequence[Released]:
        """Deposits of a request that are in suspense, too late ones included."""
        ...

    async def credit(self, deposit_ids: Sequence[UUID], owner: Owner, ledger_sequence: int) -> None:
        """Held deposits are their owner's now."""
        ...

    async def resolve(self, deposit_ids: Sequence[UUID], ledger_sequence: int) -> None:
        """Held deposits are nobody's: a ledger transaction gave them to no owner."""
        ...

    async def is_any_due(self, chain_id: int) -> bool:
        """Whether a final block is later than the end of an open request."""
        ...

    async def expire(self, chain_id: int, limit: int) -> Sequence[Expired]:
        """Requests whose time is over for good: a later block is final. They are expired now."""
        ...

    async def name_breaks(self, fingerprints: Mapping[UUID, str]) -> None:
        """Request -> fingerprint of the break that tells a person what is held for it."""
        ...

    async def orphan(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[Deposit]:
        """Deposits of blocks that were final and are replaced: marked, and as they were before."""
        ...
