"""What the routes of deposits call. See `node.api.services` for why this is a Protocol."""

from collections.abc import Callable
from typing import Protocol

from node.core.deposits import Deposit, DepositAddress, PaymentRequest
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Asset
from node.services.deposits.attributing import Attribution
from node.services.deposits.payment_requests import PaymentRequestAsk
from node.services.idempotency import RenderError


class Deposits(Protocol):
    """See `node.services.deposits.payment_requests.PaymentRequestService`."""

    def token_of(self, code: str, /) -> Asset:
        """The token, if this is its code."""
        ...

    async def address(self, principal: Principal, customer_id: str | None, /) -> DepositAddress:
        """The standing address of a customer, or of the principal."""
        ...

    async def create(
        self,
        ask: PaymentRequestAsk,
        claim: Claim | None,
        render: Callable[[PaymentRequest], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Ask to be paid."""
        ...

    async def get(self, principal: Principal, request_id: str, /) -> PaymentRequest:
        """One payment request."""
        ...

    async def page(self, principal: Principal, query: ListQuery, /) -> Page[PaymentRequest]:
        """Payment requests."""
        ...

    async def deposit(self, principal: Principal, deposit_id: str, /) -> Deposit:
        """One deposit."""
        ...

    async def deposits(
        self, principal: Principal, query: ListQuery, customer_id: str | None = None, /
    ) -> Page[Deposit]:
        """Deposits."""
        ...

    async def accept(
        self,
        principal: Principal,
        request_id: str,
        claim: Claim,
        render: Callable[[PaymentRequest], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Take what came."""
        ...

    async def attribute(
        self,
        attribution: Attribution,
        claim: Claim,
        render: Callable[[Deposit], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Say whose a held deposit is."""
        ...
