"""Partners: made by an operator, and what is agreed with each.

Keys are in `keys`; what a partner paid in is booked by `node.services.ledger.prefunding`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from node.core.errors import NameTaken, NotFound
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import Balance, partner_account
from node.core.paging import ListQuery, Page
from node.core.parties import Partner, PartnerStatus, Principal, Role
from node.core.partners import PartnerLimit, change_of
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError, once


@dataclass(frozen=True, slots=True)
class Agreement:
    """A partner with what is agreed, by asset."""

    partner: Partner
    limits: Sequence[PartnerLimit]


@dataclass(frozen=True, slots=True)
class PartnerBalance:
    """A partner's own money in one currency.

    Attributes:
        balance: Counters of its account; `available` is below 0 where credit is used.
        credit_line: Minor units.
    """

    balance: Balance
    credit_line: int


@dataclass(frozen=True, slots=True)
class TermsAsk:
    """What is to change; None: stays as it is.

    Attributes:
        resets_spread: Whether the spread is the corridor's again.
        limits: Each replaces what was agreed in its asset.
    """

    status: PartnerStatus | None = None
    requires_signature: bool | None = None
    spread_bps: int | None = None
    resets_spread: bool = False
    limits: Sequence[PartnerLimit] = ()


@dataclass(frozen=True, slots=True)
class NewPartner:
    """Who is to be a partner, on which terms."""

    name: str
    country: str
    terms: TermsAsk


class PartnerTerms:
    """Makes and changes partners.

    Args:
        units: Opens transactions.
        new_id: Makes ids.
        forget: Called when what callers may do has changed.
    """

    def __init__(
        self, units: UnitOfWork, new_id: Callable[[], UUID], forget: Callable[[], None]
    ) -> None:
        self._units = units
        self._new_id = new_id
        self._forget = forget

    async def create(
        self,
        principal: Principal,
        ask: NewPartner,
        claim: Claim | None,
        render: Callable[[Agreement], Answer],
        render_error: RenderError,
    ) -> Answer:
        """A new partner.

        Raises:
            NameTaken: There is one of this name.
        """

        async def work(unit: Unit) -> Answer:
            if await unit.parties.partner_named(ask.name):
                raise NameTaken(f"there is a partner named {ask.name!r}")
            partner = Partner(self._new_id(), ask.name, unit.now, ask.country, version=0)
            await unit.parties.add_partner(partner)
            return render(await _change(unit, principal, Agreement(partner, ()), ask.terms))

        return await once(self._units, claim, work, render_error)

    async def change(
        self,
        principal: Principal,
        partner_id: str,
        ask: TermsAsk,
        claim: Claim | None,
        render: Callable[[Agreement], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Other terms, at once: quotes made before keep theirs.

        Raises:
            NotFound: There is no such partner.
            CreditLineUsed: It uses more credit than the new line would allow.
        """

        async def work(unit: Unit) -> Answer:
            # A change of credit takes the ledger's lock, which comes before all others.
            await unit.ledger.lock()
            partner = await unit.partners.lock(decode_id(Prefix.PARTNER, partner_id))
            if partner is None:
                raise NotFound("there is no such partner")
            before = Agreement(partner, await unit.partners.limits(partner.id))
            return render(await _change(unit, principal, before, ask))

        answer = await once(self._units, claim, work, render_error)
        self._forget()
        return answer

    async def get(self, principal: Principal, partner_id: str) -> Agreement:
        """One partner.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            partner = await visible_partner(unit, principal, partner_id)
            return Agreement(partner, await unit.partners.limits(partner.id))

    async def list(self, query: ListQuery) -> Page[Agreement]:
        """Every partner, newest first."""
        async with self._units() as unit:
            page = await unit.partners.list(query)
            agreed = [Agreement(each, await unit.partners.limits(each.id)) for each in page.items]
        return Page(tuple(agreed), page.next_cursor)

    async def balances(self, principal: Principal, partner_id: str) -> Sequence[PartnerBalance]:
        """What a partner has with the node, by currency; credit lines that were never used too.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            partner = await visible_partner(unit, principal, partner_id)
            limits = await unit.partners.limits(partner.id)
            prefix = f"partner/{encode_id(Prefix.PARTNER, partner.id)}/"
            opened = await unit.ledger.accounts_below(prefix)
            lines = {each.asset: each.credit_line for each in limits if each.credit_line}
            paths = {each.balance.path for each in opened}
            paths |= {partner_account(partner.id, asset) for asset in lines}
            balances = await unit.ledger.balances(sorted(paths))
        return [
            PartnerBalance(each, lines.get(each.asset, 0)) for _, each in sorted(balances.items())
        ]


async def visible_partner(unit: Unit, principal: Principal, partner_id: str) -> Partner:
    """The partner of this id, where it exists for the principal: itself, or for an operator all.

    Raises:
        NotFound: It does not.
    """
    decoded = decode_id(Prefix.PARTNER, partner_id)
    partner = None
    if principal.role is Role.OPERATOR or principal.partner_id == decoded:
        partner = await unit.partners.get(decoded)
    if partner is None:
        raise NotFound("there is no such partner")
    return partner


async def _change(unit: Unit, principal: Principal, before: Agreement, ask: TermsAsk) -> Agreement:
    """Store what differs; nothing, where nothing does."""
    partner = before.partner
    spread = partner.spread_bps if ask.spread_bps is None else ask.spread_bps
    new = replace(
        partner,
        status=ask.status or partner.status,
        requires_signature=(
            partner.requires_signature if ask.requires_signature is None else ask.requires_signature
        ),
        spread_bps=None if ask.resets_spread else spread,
    )
    limits = {each.asset: each for each in before.limits}
    changed = [each for each in ask.limits if limits.get(each.asset) != each]
    limits |= {each.asset: each for each in changed}
    after = Agreement(new, [limits[asset] for asset in sorted(limits)])
    difference = change_of(_told(before), _told(after))
    if not difference and partner.version:
        return before
    new = replace(new, version=partner.version + 1)
    await unit.partners.change(new, changed, difference, principal.key)
    return Agreement(new, after.limits)


def _told(agreement: Agreement) -> Mapping[str, Any]:
    """Terms as they are remembered, amounts in minor units."""
    partner = agreement.partner
    return {
        "status": partner.status.value,
        "requires_signature": partner.requires_signature,
        "spread_bps": partner.spread_bps,
        "limits": {
            each.asset: [each.credit_line, each.sell_max, each.daily_sell_max]
            for each in agreement.limits
        },
    }
