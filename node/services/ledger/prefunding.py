"""Prefunding: money that arrived at a bank of the node for a partner's own balance.

Each reference of a rail is booked once, those of top-ups included. What a partner then pays for its
customers is in `top_ups`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from node.core.catalog import Catalog
from node.core.errors import AmountOutOfRange, NodeError, NotFound, RailUnknown, ReferenceUsed
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import (
    AMOUNT_MAX_MINOR,
    Entry,
    LedgerTransaction,
    bank_account,
    partner_account,
)
from node.core.paging import ListQuery, Page
from node.core.parties import Principal, Role
from node.core.partners import Prefunding
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Money, parse_amount
from node.services.idempotency import RenderError, once
from node.services.ledger.posting import PostingService


@dataclass(frozen=True, slots=True)
class PrefundingAsk:
    """What an operator says arrived; `amount` is a decimal string."""

    partner_id: str
    currency: str
    amount: str
    rail: str
    reference: str


class PrefundingService:
    """Books what partners pay in.

    Args:
        units: Opens transactions.
        catalog: Knows the digits of assets.
        posting: Decides and books.
        new_id: Makes ids.
        rails: The node's banks, that of the sandbox included.
    """

    def __init__(
        self,
        units: UnitOfWork,
        catalog: Catalog,
        posting: PostingService,
        new_id: Callable[[], UUID],
        *,
        rails: frozenset[str],
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._posting = posting
        self._new_id = new_id
        self._rails = rails

    async def create(
        self,
        principal: Principal,
        ask: PrefundingAsk,
        claim: Claim,
        render: Callable[[Prefunding], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Book one, at most once for its claim.

        Raises:
            NotFound: There is no such partner.
            RailUnknown: The node has no such rail.
            AmountInvalid: Not a decimal string of this currency.
            AmountOutOfRange: Nothing, or too much for one.
            ReferenceUsed: The rail's reference was booked before; with `prefunding_id` or
                `top_up_id`.
        """
        amount = parse_amount(ask.amount, self._catalog.fiat(ask.currency))
        partner_id = decode_id(Prefix.PARTNER, ask.partner_id)
        if ask.rail not in self._rails:
            raise RailUnknown(
                f"the node has no rail {ask.rail!r};"
                f" it has: {', '.join(sorted(self._rails)) or 'none'}"
            )

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()
            return render(await self._book(unit, principal, partner_id, ask, amount))

        return await once(self._units, claim, work, render_error)

    async def list(
        self, principal: Principal, partner_id: str, query: ListQuery
    ) -> Page[Prefunding]:
        """What a partner paid in, newest first.

        Raises:
            NotFound: The partner does not exist for this principal.
        """
        decoded = decode_id(Prefix.PARTNER, partner_id)
        async with self._units() as unit:
            is_visible = principal.role is Role.OPERATOR or principal.partner_id == decoded
            if not is_visible or await unit.partners.get(decoded) is None:
                raise NotFound("there is no such partner")
            return await unit.partners.prefundings(decoded, query)

    async def _book(
        self,
        unit: Unit,
        principal: Principal,
        partner_id: UUID,
        ask: PrefundingAsk,
        amount: Money,
    ) -> Prefunding:
        if await unit.partners.get(partner_id) is None:
            raise NotFound("there is no such partner")
        if not 0 < amount.minor <= AMOUNT_MAX_MINOR:
            raise _out_of_range(amount)
        await _check_reference(unit, ask.rail, ask.reference)
        asset, prefunding_id = amount.asset.code, self._new_id()
        source, target = bank_account(ask.rail, asset), partner_account(partner_id, asset)
        transaction = LedgerTransaction(
            key=f"prefunding:{prefunding_id}",
            kind="prefunding",
            entries=[Entry(source, target, asset, amount.minor)],
            detail={"rail": ask.rail, "reference": ask.reference},
        )
        (outcome,) = await self._posting.book(unit, [transaction])
        if isinstance(outcome, NodeError):
            raise outcome
        made = Prefunding(
            prefunding_id,
            partner_id,
            asset,
            amount.minor,
            ask.rail,
            ask.reference,
            principal.key,
            outcome,
            unit.now,
        )
        await unit.partners.add_prefunding(made)
        return made


async def _check_reference(unit: Unit, rail: str, reference: str) -> None:
    sentence = "this reference of the rail was booked before"
    if (earlier := await unit.partners.prefunding_at(rail, reference)) is not None:
        raise ReferenceUsed(sentence, prefunding_id=encode_id(Prefix.PREFUNDING, earlier))
    used = await unit.transfers.top_ups_at([(rail, reference)])
    if (top_up := used.get((rail, reference))) is not None:
        raise ReferenceUsed(sentence, top_up_id=encode_id(Prefix.TOP_UP, top_up))


def _out_of_range(amount: Money) -> AmountOutOfRange:
    least, most = (Money(minor, amount.asset) for minor in (1, AMOUNT_MAX_MINOR))
    return AmountOutOfRange(
        f"a prefunding is at least {least} and at most {most} {amount.asset.code}",
        min=least.stated,
        max=most.stated,
    )
