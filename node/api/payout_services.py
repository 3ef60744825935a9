"""What the routes of payouts call. See `node.api.services` for why these are Protocols."""

from collections.abc import Callable, Mapping
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.payouts import PartnerContract, Payout, PayoutState, Person, Refund
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError
from node.services.payouts.registering import ContractAsk, PayoutAsk


class Payouts(Protocol):
    """See `node.services.payouts.registering.PayoutService`."""

    async def register_contract(
        self,
        ask: ContractAsk,
        claim: Claim | None,
        render: Callable[[PartnerContract], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Register a contract that a partner pays out of."""
        ...

    async def contracts(self, principal: Principal, partner_id: str, /) -> list[PartnerContract]:
        """What a partner pays out of."""
        ...

    async def create(
        self,
        ask: PayoutAsk,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Register a payout."""
        ...

    async def get(self, principal: Principal, payout_id: str, /) -> Payout:
        """One payout."""
        ...

    async def page(self, principal: Principal, query: ListQuery, /) -> Page[Payout]:
        """Payouts."""
        ...

    async def refund(self, principal: Principal, refund_id: str, /) -> Refund:
        """One refund."""
        ...

    async def figures(self) -> Mapping[PayoutState, int]:
        """How many are in each state that does not end one."""
        ...


class PayoutDesk(Protocol):
    """See `node.services.payouts.refunding.PayoutSteering`."""

    async def refund(
        self,
        principal: Principal,
        payout_id: str,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Send the money back."""
        ...

    async def correct(
        self,
        principal: Principal,
        payout_id: str,
        beneficiary: Person,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Give another beneficiary."""
        ...
