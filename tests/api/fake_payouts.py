"""A fake of payouts: any id is one payout, whose rail has refused it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from adapters.machine import new_id
from node.core.errors import NotFound, QuoteUsed, WrongState
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import TransferAmounts
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.payouts import (
    BankAccount,
    PartnerContract,
    Payout,
    PayoutState,
    Person,
    Refund,
    RefundPolicy,
    RefundReason,
    RefundState,
)
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Address
from node.services.idempotency import RenderError
from node.services.payouts.registering import ContractAsk, PayoutAsk
from tests.api.fake_world import CONTRACT, NOW, Memory

MARIA = Person("natural", "Amihan", "PH", account=BankAccount("000123456789", "BOPIPHMM"))
A_PAYOUT = Payout(
    id=new_id(),
    partner_id=new_id(),
    quote_id=new_id(),
    client_reference="tra-2041",
    reference="P2M3N8R1C4XVB",
    state=PayoutState.REFUSED,
    flags=frozenset(),
    amounts=TransferAmounts("USDC", 230_074_048, 460_149, 0, 688_841, "PHP", 1_334_564),
    rail="sandbox_bank",
    chain_id=31337,
    address=Address(b"\x0d" * 20),
    beneficiary=MARIA,
    originator=None,
    purpose=None,
    refund_policy=RefundPolicy.CORRECT,
    refund_address=CONTRACT,
    attempt=1,
    received=230_074_048,
    failure={"code": "account_closed", "message": "the account is closed"},
    made_by="partner:1",
    created_at=NOW,
    pay_by=NOW,
    updated_at=NOW,
    version=4,
    matched_sequence=7,
)
A_REFUND = Refund(
    new_id(), A_PAYOUT.id, A_PAYOUT.partner_id, RefundState.PENDING, RefundReason.ASKED, "USDC",
    230_074_048, CONTRACT, None, None, 1, NOW,
)  # fmt: skip


@dataclass
class FakePayouts:
    """Answers with what it was asked; a reference may be used once."""

    memory: Memory
    asked: list[PayoutAsk] = field(default_factory=list)

    async def register_contract(
        self,
        ask: ContractAsk,
        claim: Claim | None,
        render: Callable[[PartnerContract], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def make() -> Answer:
            partner_id = decode_id(Prefix.PARTNER, ask.partner_id)
            made = PartnerContract(
                partner_id, ask.chain_id, CONTRACT, None, new_id(), ask.principal.key, NOW
            )
            return render(made)

        return await self.memory.once(claim, make, render_error)

    async def figures(self) -> Mapping[PayoutState, int]:
        return {PayoutState.ORDERED: 2, PayoutState.ON_HOLD: 1}

    async def contracts(self, principal: Principal, partner_id: str, /) -> list[PartnerContract]:
        wanted = decode_id(Prefix.PARTNER, partner_id)
        return [PartnerContract(wanted, 31337, CONTRACT, None, new_id(), "operator:ops", NOW)]

    async def create(
        self,
        ask: PayoutAsk,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        quote_id = decode_id(Prefix.QUOTE, ask.quote_id)

        async def make() -> Answer:
            if any(each.quote_id == ask.quote_id for each in self.asked):
                raise QuoteUsed(
                    "the quote was consumed by another payout",
                    payout_id=encode_id(Prefix.PAYOUT, A_PAYOUT.id),
                )
            self.asked.append(ask)
            made = replace(
                A_PAYOUT,
                quote_id=quote_id,
                client_reference=ask.client_reference,
                beneficiary=ask.beneficiary,
                state=PayoutState.AWAITING_PAYMENT,
                failure=None,
            )
            return render(made)

        return await self.memory.once(claim, make, render_error)

    async def get(self, principal: Principal, payout_id: str, /) -> Payout:
        return replace(A_PAYOUT, id=decode_id(Prefix.PAYOUT, payout_id))

    async def page(self, principal: Principal, query: ListQuery, /) -> Page[Payout]:
        query.position()
        if "partner_id" in query.filters:
            decode_id(Prefix.PARTNER, query.filters["partner_id"])
        return Page([A_PAYOUT], None)

    async def refund(self, principal: Principal, refund_id: str, /) -> Refund:
        return replace(A_REFUND, id=decode_id(Prefix.REFUND, refund_id))


@dataclass
class FakePayoutDesk:
    """Decides what it is asked to, once."""

    memory: Memory
    is_decided: bool = False

    async def refund(
        self,
        principal: Principal,
        payout_id: str,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        found = replace(A_PAYOUT, id=decode_id(Prefix.PAYOUT, payout_id))
        if found.id.int == 0:
            raise NotFound("there is no such payout")

        async def make() -> Answer:
            self._decide()
            back = replace(A_REFUND, payout_id=found.id)
            return render(replace(found, state=PayoutState.REFUNDING, refund=back))

        return await self.memory.once(claim, make, render_error)

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
        found = replace(A_PAYOUT, id=decode_id(Prefix.PAYOUT, payout_id))

        async def make() -> Answer:
            self._decide()
            changed = replace(
                found, state=PayoutState.MATCHED, beneficiary=beneficiary, attempt=2, failure=None
            )
            return render(changed)

        return await self.memory.once(claim, make, render_error)

    def _decide(self) -> None:
        if self.is_decided:
            raise WrongState("a payout that is refunding is not decided about again")
        self.is_decided = True
