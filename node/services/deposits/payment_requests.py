"""Deposit addresses and payment requests: made for their owners, accepted, attributed.

Another's object does not exist (404). What credits money takes the ledger's lock, as finality does,
so a deposit that arrives meanwhile is judged before or after, never in between. What deposits do by
themselves is `node.services.deposits.deposits`; requests expire in
`node.services.deposits.request_expiry`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.catalog import Catalog
from node.core.consent import TwoPersons
from node.core.deposits import (
    DEFAULT_POLICY,
    EXPIRES_IN_DEFAULT_S,
    UNPAID_FOR,
    UNPAID_MAX,
    Deposit,
    DepositAddress,
    DepositPolicy,
    NewAddress,
    NewRequest,
    Owner,
    PaymentRequest,
    RequestStatus,
    release_entries,
)
from node.core.errors import (
    AmountOutOfRange,
    ChainUnavailable,
    CurrencyUnknown,
    DepositsNotOffered,
    NotFound,
    RequestReferenceUsed,
    TooManyPaymentRequests,
    WrongState,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import AMOUNT_MAX_MINOR
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.deposits import DepositAddressCodec, RequestChange
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Address, Asset, Money, parse_amount
from node.services.deposits.attributing import Attributing, Attribution, known_deposit, owner_for
from node.services.deposits.deposits import give, request_event
from node.services.idempotency import RenderError, once


@dataclass(frozen=True, slots=True)
class Forwarders:
    """Where deposit addresses come from.

    Attributes:
        factory: The contract that deploys them.
        codec: Makes an address of a salt.
        new_salt: 32 random bytes: an address says nothing about its owner.
    """

    factory: Address
    codec: DepositAddressCodec
    new_salt: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class PaymentRequestAsk:
    """What a caller asks to be paid.

    Attributes:
        customer_id: Public id of the customer that is paid; None: the principal itself.
        amount: Decimal string.
        expires_in_s: How long it waits; None: the usual time.
    """

    principal: Principal
    customer_id: str | None
    currency: str
    amount: str
    reference: str
    expires_in_s: int | None = None


class PaymentRequestService:
    """Makes addresses and requests, shows them and what came, and gives what is held.

    Args:
        units: Opens transactions.
        catalog: Names the token and its chain.
        forwarders: None: the node offers no deposits; what it made before is shown all the same.
        two_persons: When one operator alone may not say whose money it is.
        new_id: Makes ids.
        policy: What is borne of a request, of which its least amount is a multiple.
        unpaid_max: Most requests of one owner that nobody has paid.
    """

    def __init__(  # noqa: PLR0913 - the last by name
        self,
        units: UnitOfWork,
        catalog: Catalog,
        forwarders: Forwarders | None,
        two_persons: TwoPersons,
        new_id: Callable[[], UUID],
        *,
        policy: DepositPolicy = DEFAULT_POLICY,
        unpaid_max: int = UNPAID_MAX,
    ) -> None:
        self._attributing = Attributing(units, catalog.token.chain_id, two_persons, new_id)
        self._policy = policy
        self._unpaid_max = unpaid_max
        self._units = units
        self._catalog = catalog
        self._forwarders = forwarders
        self._new_id = new_id

    @property
    def _chain_id(self) -> int:
        return self._catalog.token.chain_id

    @property
    def _token(self) -> Asset:
        return self._catalog.token.asset

    def token_of(self, code: str) -> Asset:
        """The token, if this is its code.

        Raises:
            CurrencyUnknown: Nothing else arrives at a deposit address.
        """
        if code != self._token.code:
            raise CurrencyUnknown(f"only {self._token.code} arrives on the chain")
        return self._token

    async def address(self, principal: Principal, customer_id: str | None) -> DepositAddress:
        """The standing address of a customer, or of the principal itself; made at the first call.

        Raises:
            NotFound: No such customer for this principal.
            DepositsNotOffered: The node makes no addresses.
            ChainUnavailable: The mirror has not begun yet.
        """
        async with self._units() as unit:
            owner = await owner_for(unit, principal, customer_id)
            forwarders = await self._offered(unit)
            found = await unit.deposits.standing(self._chain_id, forwarders.factory, owner)
            return found or await self._add_address(unit, forwarders, owner, is_standing=True)

    async def create(
        self,
        ask: PaymentRequestAsk,
        claim: Claim | None,
        render: Callable[[PaymentRequest], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Ask to be paid, at an address of its own.

        Raises:
            NotFound: No such customer for this principal.
            CurrencyUnknown: Not the token.
            AmountInvalid: Not a decimal string of it.
            AmountOutOfRange: Less or more than a request may ask for; with `min` and `max`.
            TooManyPaymentRequests: So many of the owner are not paid; with `limit`.
            RequestReferenceUsed: The owner has a request of this reference; with
                `payment_request_id`.
            DepositsNotOffered: The node makes no addresses.
            ChainUnavailable: The mirror has not begun yet.
        """
        amount = parse_amount(ask.amount, self.token_of(ask.currency))

        async def work(unit: Unit) -> Answer:
            owner = await owner_for(unit, ask.principal, ask.customer_id)
            forwarders = await self._offered(unit)
            if not self._policy.request_min_minor <= amount.minor <= AMOUNT_MAX_MINOR:
                raise self._out_of_range()
            request_id = self._new_id()
            if (earlier := await unit.deposits.request_with(owner, ask.reference)) is not None:
                raise _reference_used(earlier)
            address = await self._add_address(unit, forwarders, owner, is_standing=False)
            if await unit.deposits.unpaid_since(owner, unit.now - UNPAID_FOR) >= self._unpaid_max:
                raise TooManyPaymentRequests(
                    f"{self._unpaid_max} payment requests of this owner are not paid",
                    limit=self._unpaid_max,
                )
            wait_s = EXPIRES_IN_DEFAULT_S if ask.expires_in_s is None else ask.expires_in_s
            new = NewRequest(
                request_id,
                amount.asset.code,
                amount.minor,
                ask.reference,
                ask.principal.key,
                unit.now + timedelta(seconds=wait_s),
            )
            if not await unit.deposits.add_request(address, new):
                earlier = await unit.deposits.request_with(owner, ask.reference)
                raise _reference_used(earlier or request_id)
            made = await unit.deposits.request(ask.principal, request_id)
            assert made is not None
            await unit.events.append(
                [request_event(request_id, 1, made.status, owner, _asked(made))]
            )
            return render(made)

        return await once(self._units, claim, work, render_error)

    async def get(self, principal: Principal, request_id: str) -> PaymentRequest:
        """One request. Raises NotFound."""
        async with self._units() as unit:
            return await _request(unit, principal, request_id)

    async def page(self, principal: Principal, query: ListQuery) -> Page[PaymentRequest]:
        """Requests, newest first. Filters: `status`, `reference`, `customer_id` (public id)."""
        async with self._units() as unit:
            return await unit.deposits.requests(principal, _decoded(query))

    async def deposit(self, principal: Principal, deposit_id: str) -> Deposit:
        """One deposit. Raises NotFound."""
        async with self._units() as unit:
            return await known_deposit(unit, principal, deposit_id)

    async def deposits(
        self, principal: Principal, query: ListQuery, customer_id: str | None = None
    ) -> Page[Deposit]:
        """Deposits, newest first.

        Filters: `status`, `customer_id`, `payment_request_id` (public ids).

        Args:
            principal: Sees its own.
            query: The list.
            customer_id: Only of this customer.

        Raises:
            NotFound: No such customer for this principal.
        """
        if customer_id is not None:
            query = replace(query, filters={**query.filters, "customer_id": customer_id})
        async with self._units() as unit:
            if customer_id is not None:
                await owner_for(unit, principal, customer_id)
            return await unit.deposits.deposits(principal, _decoded(query))

    async def accept(
        self,
        principal: Principal,
        request_id: str,
        claim: Claim,
        render: Callable[[PaymentRequest], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Take what came of a request that expired: too little, too late, or both.

        Raises:
            NotFound: No such request for this principal.
            WrongState: It has not expired, or nothing is held for it.
        """

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()
            found = await _request(unit, principal, request_id)
            held = await unit.deposits.held(found.id)
            if found.status is not RequestStatus.EXPIRED or not held:
                raise WrongState(
                    f"the request is {found.status} and {len(held)} deposits are held for it; what"
                    " came of one that expired can be accepted"
                )
            total = sum(each.amount for each in held)
            entries = release_entries(self._chain_id, found.asset, found.owner, total)
            key = f"deposit_accepted:{found.id}:{found.version}"
            events = await give(
                unit, held, found.owner, entries, key, by=principal, reason="its owner accepted it"
            )
            version = found.version + 1
            change = RequestChange(found.id, version, RequestStatus.ACCEPTED)
            await unit.deposits.change_requests([change])
            detail = {"minor": str(total), "currency": found.asset}
            events.append(
                request_event(found.id, version, RequestStatus.ACCEPTED, found.owner, detail)
            )
            changed = await _request(unit, principal, request_id)
            await unit.events.append(events)
            return render(changed)

        return await once(self._units, claim, work, render_error)

    async def attribute(
        self,
        attribution: Attribution,
        claim: Claim,
        render: Callable[[Deposit], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Give a held deposit to a customer or partner: `node.services.deposits.attributing`."""
        return await self._attributing.attribute(attribution, claim, render, render_error)

    async def _add_address(
        self, unit: Unit, forwarders: Forwarders, owner: Owner, *, is_standing: bool
    ) -> DepositAddress:
        salt = forwarders.new_salt()
        return await unit.deposits.add_address(
            NewAddress(
                self._chain_id,
                forwarders.codec.address_of(salt),
                forwarders.factory,
                salt,
                owner,
                is_standing,
            )
        )

    def _out_of_range(self) -> AmountOutOfRange:
        asset = self._token
        least, most = (
            Money(minor, asset) for minor in (self._policy.request_min_minor, AMOUNT_MAX_MINOR)
        )
        return AmountOutOfRange(
            f"a payment request is for at least {least} and at most {most} {asset.code}",
            min=least.stated,
            max=most.stated,
        )

    async def _offered(self, unit: Unit) -> Forwarders:
        if self._forwarders is None:
            raise DepositsNotOffered("this node makes no deposit addresses")
        if await unit.mirror.cursor(self._chain_id) is None:  # it would not see a deposit
            raise ChainUnavailable("the mirror of the chain has not begun; ask again soon")
        return self._forwarders


async def _request(unit: Unit, principal: Principal, request_id: str) -> PaymentRequest:
    wanted = decode_id(Prefix.PAYMENT_REQUEST, request_id)
    found = await unit.deposits.request(principal, wanted)
    if found is None:
        raise NotFound("there is no such payment request")
    return found


_PREFIXES: Final = {
    "customer_id": Prefix.CUSTOMER,
    "payment_request_id": Prefix.PAYMENT_REQUEST,
}


def _decoded(query: ListQuery) -> ListQuery:
    """The query with public ids among its filters as UUIDs."""
    filters = {
        name: str(decode_id(_PREFIXES[name], value)) if name in _PREFIXES else value
        for name, value in query.filters.items()
    }
    return replace(query, filters=filters)


def _asked(request: PaymentRequest) -> dict[str, object]:
    return {"minor": str(request.amount), "currency": request.asset, "reference": request.reference}


def _reference_used(request_id: UUID) -> RequestReferenceUsed:
    return RequestReferenceUsed(
        "a payment request of this owner has the reference",
        payment_request_id=encode_id(Prefix.PAYMENT_REQUEST, request_id),
    )
