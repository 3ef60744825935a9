"""A fake of deposits: any id is one request or one deposit, held until somebody takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from adapters.machine import new_id
from node.core.deposits import (
    Deposit,
    DepositAddress,
    DepositStatus,
    Flag,
    Owner,
    PaymentRequest,
    RequestStatus,
)
from node.core.errors import (
    CurrencyUnknown,
    DepositsNotOffered,
    NotFound,
    RequestReferenceUsed,
    WrongState,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Address, Asset, BlockHash, TxHash, parse_amount
from node.services.deposits.attributing import Attribution
from node.services.deposits.payment_requests import PaymentRequestAsk
from node.services.idempotency import RenderError
from tests.api.fake_world import ANA, CATALOG, CONTRACT, LANE, NOW, Memory

ADDRESS = Address(b"\x0d" * 20)
OWNER = Owner(customer_id=ANA.id)
A_REQUEST = PaymentRequest(
    new_id(), OWNER, 31337, "USDC", 100_000_000, "INV-7", ADDRESS, RequestStatus.EXPIRED,
    frozenset({Flag.SHORT}), 5, 5, 0, 2, "customer:1", NOW, NOW,
)  # fmt: skip
A_DEPOSIT = Deposit(
    new_id(), 31337, BlockHash(b"\xb1" * 32), 0, 12, NOW, TxHash(b"\x5e" * 32), "USDC", 5, LANE,
    CONTRACT, None, None, DepositStatus.HELD, frozenset(), 12, None, new_id(), 1, NOW,
)  # fmt: skip


@dataclass
class FakeDeposits:
    """Answers with what it was asked; `offers` says whether there is a contract."""

    memory: Memory
    offers: bool = True
    made: list[PaymentRequest] = field(default_factory=list)

    def token_of(self, code: str, /) -> Asset:
        if code != "USDC":
            raise CurrencyUnknown("only USDC arrives on the chain")
        return CATALOG.token.asset

    async def address(self, principal: Principal, customer_id: str | None, /) -> DepositAddress:
        owner = self._owner(principal, customer_id)
        if not self.offers:
            raise DepositsNotOffered("this node makes no deposit addresses")
        return DepositAddress(1, 31337, ADDRESS, CONTRACT, bytes(32), owner, True, NOW)

    async def create(
        self,
        ask: PaymentRequestAsk,
        claim: Claim | None,
        render: Callable[[PaymentRequest], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            owner = self._owner(ask.principal, ask.customer_id)
            for each in self.made:
                if (each.owner, each.reference) == (owner, ask.reference):
                    raise RequestReferenceUsed(
                        "used", payment_request_id=encode_id(Prefix.PAYMENT_REQUEST, each.id)
                    )
            made = replace(
                A_REQUEST,
                id=new_id(),
                owner=owner,
                amount=parse_amount(ask.amount, self.token_of(ask.currency)).minor,
                reference=ask.reference,
                status=RequestStatus.AWAITING,
                flags=frozenset(),
                received=0,
                held=0,
                expires_at=NOW + timedelta(seconds=ask.expires_in_s or 3600),
            )
            self.made.append(made)
            return render(made)

        return await self.memory.once(claim, work, render_error)

    async def get(self, principal: Principal, request_id: str, /) -> PaymentRequest:
        return replace(A_REQUEST, id=decode_id(Prefix.PAYMENT_REQUEST, request_id))

    async def page(self, principal: Principal, query: ListQuery, /) -> Page[PaymentRequest]:
        query.position()
        return Page([A_REQUEST], None)

    async def deposit(self, principal: Principal, deposit_id: str, /) -> Deposit:
        return replace(A_DEPOSIT, id=decode_id(Prefix.DEPOSIT, deposit_id))

    async def deposits(
        self, principal: Principal, query: ListQuery, customer_id: str | None = None, /
    ) -> Page[Deposit]:
        query.position()
        if customer_id is not None:
            self._owner(principal, customer_id)
        return Page([A_DEPOSIT], None)

    async def accept(
        self,
        principal: Principal,
        request_id: str,
        claim: Claim,
        render: Callable[[PaymentRequest], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            found = await self.get(principal, request_id)
            if any(each.id == found.id for each in self.made):
                raise WrongState("the request is awaiting")
            return render(replace(found, status=RequestStatus.ACCEPTED, held=0))

        return await self.memory.once(claim, work, render_error)

    async def attribute(
        self,
        attribution: Attribution,
        claim: Claim,
        render: Callable[[Deposit], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            found = await self.deposit(attribution.principal, attribution.deposit_id)
            owner = Owner(
                decode_id(Prefix.CUSTOMER, attribution.customer_id)
                if attribution.customer_id
                else None,
                decode_id(Prefix.PARTNER, attribution.partner_id)
                if attribution.partner_id
                else None,
            )
            status = DepositStatus.CREDITED
            return render(replace(found, status=status, owner=owner, credited_sequence=13))

        return await self.memory.once(claim, work, render_error)

    def _owner(self, principal: Principal, customer_id: str | None) -> Owner:
        if customer_id is None:
            return Owner.of(principal)
        if decode_id(Prefix.CUSTOMER, customer_id) != ANA.id or not ANA.is_visible_to(principal):
            raise NotFound("there is no such customer")
        return OWNER
