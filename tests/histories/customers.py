"""Deposit addresses and payment requests of a history, and what is sent to them.

What a request is paid with is chosen so that every row of the table of deposits comes up: in time,
late, too late, in two parts, too much, too little, twice. Times are those of the model's blocks.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251 - a seeded history, no secret

from adapters.machine import new_id
from node.core.deposits import DepositPolicy, NewAddress, NewRequest, Owner, RequestStatus
from node.core.parties import Principal
from node.core.ports import UnitOfWork
from node.core.units import Address
from node.services.deposits.deposits import request_event
from node.store.database import Database
from tests.builders import CHAIN_ID
from tests.histories.parties import CROWD, FACTORY

TOLERANCE = 10
POLICY = DepositPolicy(tolerance_minor=TOLERANCE, late_grace=timedelta(seconds=12))
_CROWD_ADDRESSES = """
INSERT INTO deposit_address (chain_id, address, factory, salt, customer_id, is_standing)
SELECT $1, a, $2, a || '\\x000000000000000000000000'::bytea, $3, false
FROM unnest($4::bytea[]) AS new (a)
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A payment request.

    Attributes:
        expires_s: When its time is over, on the clock of the chain's blocks.
    """

    id: str
    amount: int
    expires_s: int


@dataclass
class Customers:
    """Who is paid at which address.

    Attributes:
        owners: The customers of the node.
        addresses: Deposit address -> whose it is.
        asked: Deposit address -> the request that it belongs to.
        used: Addresses that money is sent to.
    """

    chance: Random
    units: UnitOfWork
    database: Database
    owners: list[Principal]
    addresses: dict[bytes, Principal] = field(default_factory=dict)
    asked: dict[bytes, Asked] = field(default_factory=dict)
    used: list[Address] = field(default_factory=list)
    early: list[bytes] = field(default_factory=list)

    async def add_standing(self, owner: Principal, address: Address) -> None:
        """The one address of an owner."""
        async with self.units() as unit:
            await unit.deposits.add_address(self._new(owner, address, is_standing=True))
        self._keep(owner, address)

    async def add_crowd(self, owner: Principal) -> None:
        """More addresses than are asked for by topic; a few of them are used."""
        addresses = [Address(b"\xdc" + self.chance.randbytes(19)) for _ in range(CROWD)]
        async with self.database.transaction() as connection:
            await connection.raw.execute(
                _CROWD_ADDRESSES, CHAIN_ID, FACTORY, owner.customer_id, addresses
            )
        for each in addresses[::150]:
            self._keep(owner, each)
        self.addresses |= dict.fromkeys(addresses, owner)

    async def ask(self, now_s: int) -> None:
        """A new payment request with an address of its own: from now on anybody may pay it."""
        owner = self.chance.choice(self.owners)
        address = Address(b"\xd0" + self.chance.randbytes(19))
        amount = self.chance.randint(1_000, 10_000_000)
        expires_s = now_s + self.chance.choice((1, 3, 10, 40, 300))
        request = NewRequest(
            new_id(),
            "USDC",
            amount,
            f"INV-{len(self.addresses)}",
            "operator:test",
            datetime.fromtimestamp(expires_s, UTC),
        )
        async with self.units() as unit:
            stored = await unit.deposits.add_address(self._new(owner, address, is_standing=False))
            assert await unit.deposits.add_request(stored, request)
            await unit.events.append(
                [request_event(request.id, 1, RequestStatus.AWAITING, Owner.of(owner), {})]
            )
        self._keep(owner, address)
        self.asked[address] = Asked(str(request.id), amount, expires_s)

    def some_payment(self) -> tuple[bytes, list[int]] | None:
        """An address of a request, and what somebody sends to it; None: nothing was asked for."""
        if not self.asked:
            return None
        newest = list(self.asked)[-3:]
        address = self.chance.choice((*newest, *self.asked))
        whole = self.asked[address].amount
        part = self.chance.randint(1, whole - TOLERANCE - 1)
        return address, self.chance.choice(
            (
                [whole],
                [whole],
                [part],
                [part, whole - part],
                [whole - part],
                [whole - self.chance.randint(1, TOLERANCE)],
                [whole + self.chance.randint(1, 500)],
            )
        )

    def _new(self, owner: Principal, address: Address, *, is_standing: bool) -> NewAddress:
        return NewAddress(
            CHAIN_ID, address, FACTORY, self.chance.randbytes(32), Owner.of(owner), is_standing
        )

    def _keep(self, owner: Principal, address: Address) -> None:
        self.addresses[address] = owner
        self.used.append(address)
