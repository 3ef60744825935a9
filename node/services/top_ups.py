"""Money that arrives for a customer: at the operator's bank, or from a partner's prefunding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.catalog import Catalog
from node.core.errors import (
    AmountOutOfRange,
    InsufficientFunds,
    NotFound,
    RailUnknown,
    ReferenceUsed,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    bank_account,
    customer_account,
    partner_account,
)
from node.core.parties import Customer, Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import TopUp
from node.core.units import Money, parse_amount
from node.services.idempotency import RenderError, once

SANDBOX_RAIL: Final = "sandbox_bank"
"""A bank for play: open to operators and partners, only where the node is a sandbox."""


_MINOR_MAX: Final = 10**15
"""Largest single top-up, minor units: thousands of them still fit the ledger's counters."""


@dataclass(frozen=True, slots=True)
class TopUpRequest:
    """What a caller says arrived; `amount` is a decimal string."""

    principal: Principal
    customer_id: str
    currency: str
    amount: str
    rail: str
    reference: str


class TopUpService:
    """Books top-ups, each reference of a rail once."""

    def __init__(
        self,
        units: UnitOfWork,
        catalog: Catalog,
        new_id: Callable[[], UUID],
        *,
        sandbox: bool,
        rails: frozenset[str],
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._new_id = new_id
        self._sandbox = sandbox
        self._rails = rails

    async def create(
        self,
        request: TopUpRequest,
        claim: Claim,
        render: Callable[[TopUp], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Book one top-up.

        Raises:
            NotFound: No such customer for this principal.
            RailUnknown: The node has no such rail for it.
            AmountInvalid: Not a decimal string of this currency.
            ReferenceUsed: The rail's reference was booked before; with `top_up_id`.
            InsufficientFunds: The partner's prefunded balance is too small; with `available`.
        """
        customer_id = decode_id(Prefix.CUSTOMER, request.customer_id)
        amount = parse_amount(request.amount, self._catalog.fiat(request.currency))

        async def work(unit: Unit) -> Answer:
            customer = (await unit.parties.customers([customer_id])).get(customer_id)
            if customer is None or not customer.is_visible_to(request.principal):
                raise NotFound("there is no such customer")
            funded_by = self._funded_by(request)
            if not 0 < amount.minor <= _MINOR_MAX:
                least, most = (
                    {"currency": amount.asset.code, "amount": str(Money(minor, amount.asset))}
                    for minor in (1, _MINOR_MAX)
                )
                raise AmountOutOfRange(
                    f"a top-up is at least {least['amount']} and at most {most['amount']}"
                    f" {amount.asset.code}",
                    min=least,
                    max=most,
                )
            await unit.ledger.lock()
            return render(await self._book(unit, request, customer, amount, funded_by))

        return await once(self._units, claim, work, render_error)

    def _funded_by(self, request: TopUpRequest) -> str:
        if request.rail == SANDBOX_RAIL and self._sandbox:
            return "bank"
        if request.rail in self._rails:
            return "bank" if request.principal.role is Role.OPERATOR else "partner"
        raise RailUnknown(
            f"the node has no rail {request.rail!r} for you;"
            f" it has: {', '.join(sorted(self._offered())) or 'none'}"
        )

    def _offered(self) -> frozenset[str]:
        return self._rails | ({SANDBOX_RAIL} if self._sandbox else frozenset())

    async def _book(
        self, unit: Unit, request: TopUpRequest, customer: Customer, amount: Money, funded_by: str
    ) -> TopUp:
        if used := await unit.transfers.top_up_at(request.rail, request.reference):
            raise ReferenceUsed(
                "this reference of the rail was booked before",
                top_up_id=encode_id(Prefix.TOP_UP, used),
            )
        asset = amount.asset.code
        source = bank_account(request.rail, asset)
        if funded_by == "partner":
            assert request.principal.partner_id is not None
            source = partner_account(request.principal.partner_id, asset)
            balance = (await unit.ledger.balances([source]))[source]
            if balance.available < amount.minor:
                raise InsufficientFunds(
                    "the partner's prefunded balance is too small",
                    available={
                        "currency": asset,
                        "amount": str(Money(balance.available, amount.asset)),
                    },
                )
        top_up_id = self._new_id()
        key = f"top_up:{top_up_id}"
        booked = await unit.ledger.post(
            [
                LedgerTransaction(
                    key=key,
                    kind="top_up",
                    entries=[
                        Entry(source, customer_account(customer.id, asset), asset, amount.minor)
                    ],
                    detail={"rail": request.rail, "reference": request.reference},
                )
            ]
        )
        top_up = TopUp(
            top_up_id,
            customer.id,
            asset,
            amount.minor,
            request.rail,
            request.reference,
            funded_by,
            request.principal.key,
            booked[key],
            unit.now,
        )
        await unit.transfers.add_top_up(top_up)
        return top_up
