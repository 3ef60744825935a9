"""Registering payouts: a partner's contracts, and a payout with its address on a firm quote.

A payout consumes its quote and promises local money of the rail; it reserves nothing of the
partner's. Its address is fresh and is its reference on chain. What follows is in `matching`,
`delivering` and `refunding`; the sending side is `ordering` and `following`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.catalog import Catalog
from node.core.deposits import DepositAddress, NewAddress, Owner
from node.core.errors import (
    AddressInvalid,
    BeneficiaryRefused,
    ChainUnavailable,
    ClientReferenceUsed,
    ContractRegistered,
    DepositsNotOffered,
    InvalidInput,
    LiquidityUnavailable,
    NotFound,
    PayoutsNotOffered,
    QuoteExpired,
    QuoteRevoked,
    QuoteUsed,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Customer, Principal
from node.core.payouts import (
    BANK,
    PAY_WITHIN_MAX_S,
    PartnerContract,
    Payout,
    PayoutState,
    Person,
    Refund,
    RefundPolicy,
    refund_addresses,
)
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import AddressCodec
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.payouts import NewPayout
from node.core.ports.rails import PayoutRail, RailUnavailable
from node.core.ports.transfers import NewEvent
from node.core.quotes import Quote, QuoteStatus
from node.core.units import Address, Money
from node.services.deposits.payment_requests import Forwarders
from node.services.idempotency import RenderError, once
from node.services.partners.selling import DailyLimits
from node.services.payouts.timeline import payout_event
from node.services.pricing.local_money import payout_headroom
from node.services.transfers.acceptance import SettlementTarget

_NO_COUNTRY: Final = "ZZ"
"""ISO 3166-1 leaves it to its users: of a partner whose country nobody has said."""


@dataclass(frozen=True, slots=True)
class PayoutAsk:
    """What a partner asks to be paid out; ids as callers have them."""

    principal: Principal
    quote_id: str
    client_reference: str
    beneficiary: Person
    originator: Person | None
    refund_policy: RefundPolicy
    refund_address: str
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class ContractAsk:
    """A settlement contract that an operator registers for a partner."""

    principal: Principal
    partner_id: str
    chain_id: int
    address: str
    refund_address: str | None


@dataclass(frozen=True, slots=True)
class PayoutRules:
    """What payouts are made with.

    Attributes:
        target: Chain, and addresses nobody may have.
        rails: Banks of the node that pay, by name; the first pays what is registered now.
        grace: How long after `pay_by` the quoted rate is honoured.
    """

    target: SettlementTarget
    rails: Mapping[str, PayoutRail]
    grace: timedelta

    @property
    def rail(self) -> PayoutRail | None:
        """Who pays what is registered now; None: nobody."""
        return next(iter(self.rails.values()), None)


class PayoutService:
    """Registers payouts and the contracts that pay for them, and shows them."""

    def __init__(
        self,
        *,
        units: UnitOfWork,
        catalog: Catalog,
        forwarders: Forwarders | None,
        rules: PayoutRules,
        addresses: AddressCodec,
        new_id: Callable[[], UUID],
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._forwarders = forwarders
        self._rules = rules
        self._addresses = addresses
        self._new_id = new_id

    # ------------------------------------------------------------------------------ contracts

    async def register_contract(
        self,
        ask: ContractAsk,
        claim: Claim | None,
        render: Callable[[PartnerContract], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Register a contract that a partner pays out of.

        Raises:
            NotFound: No such partner.
            InvalidInput: Another chain than the node's.
            AddressInvalid: No address, or one of the node itself.
            ContractRegistered: The contract is registered, for this partner or another.
        """
        chain_id = self._rules.target.chain_id
        if ask.chain_id != chain_id:
            message = f"this node is on chain {chain_id}"
            fault = {"pointer": "/chain_id", "code": "not_one_of", "message": message}
            raise InvalidInput(message, errors=[fault])
        address = self._foreign(ask.address)
        back = None if ask.refund_address is None else self._foreign(ask.refund_address)

        async def work(unit: Unit) -> Answer:
            partner_id = decode_id(Prefix.PARTNER, ask.partner_id)
            contract = PartnerContract(
                partner_id=partner_id,
                chain_id=chain_id,
                address=address,
                refund_address=back,
                account_id=await self._own_account(unit, partner_id),
                registered_by=ask.principal.key,
                created_at=unit.now,
            )
            if not await unit.payouts.add_contract(contract):
                raise ContractRegistered("this contract is registered for a partner already")
            return render(contract)

        return await once(self._units, claim, work, render_error)

    async def contracts(self, principal: Principal, partner_id: str) -> list[PartnerContract]:
        """What a partner pays out of.

        Raises:
            NotFound: No such partner for this principal.
        """
        wanted = decode_id(Prefix.PARTNER, partner_id)
        async with self._units() as unit:
            known = await unit.parties.partners([wanted])
            if wanted not in known or principal.partner_id not in (None, wanted):
                raise NotFound("there is no such partner")
            return list(await unit.payouts.contracts(wanted))

    # -------------------------------------------------------------------------------- payouts

    async def create(
        self,
        ask: PayoutAsk,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Register a payout, at most once for its claim, and one for each quote.

        Raises:
            NotFound: No such quote of this partner.
            QuoteUsed: It made another payout; with `payout_id`.
            QuoteExpired: Its time is over. QuoteRevoked: as its name says.
            ClientReferenceUsed: The partner has a payout of this reference; with `payout_id`.
            PayoutsNotOffered: The quote is no price of a payout, the node has no rail, or no
                contract is registered for the partner.
            AddressInvalid: `refund_address` is none that is registered for the partner.
            BeneficiaryRefused: The rail will not pay this beneficiary; with `reason`.
            LimitExceeded: The partner may sell no more today; the quote stays active.
            LiquidityUnavailable: The rail cannot promise so much now; the quote stays active.
            DepositsNotOffered: The node makes no addresses.
            ChainUnavailable: The mirror has not begun yet.
        """
        refused = None
        if self._rules.rail is not None:
            with suppress(RailUnavailable):  # it is asked again when it is to pay
                refused = await self._rules.rail.check(ask.beneficiary)
        partner_id = ask.principal.partner_id
        assert partner_id is not None  # the operation is for partners

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()  # what is promised of the rail is exact under it
            back = await self._refund_address(unit, partner_id, ask.refund_address)
            quote = await _usable(unit, ask)
            if refused is not None:
                code, message = refused
                raise BeneficiaryRefused(message, reason=code)
            made = await self._register(unit, ask, quote, partner_id, back)
            payout = await unit.payouts.get(ask.principal, made)
            assert payout is not None
            await unit.events.append([_registered_event(payout)])
            return render(payout)

        return await once(self._units, claim, work, render_error)

    async def get(self, principal: Principal, payout_id: str) -> Payout:
        """One payout. Raises NotFound."""
        async with self._units() as unit:
            return await known_payout(unit, principal, payout_id)

    async def page(self, principal: Principal, query: ListQuery) -> Page[Payout]:
        """Payouts, newest first. Filters: `status`, `client_reference`, `partner_id`."""
        filters = dict(query.filters)
        if (wanted := filters.get("partner_id")) is not None:
            filters["partner_id"] = str(decode_id(Prefix.PARTNER, wanted))
        async with self._units() as unit:
            return await unit.payouts.page(principal, replace(query, filters=filters))

    async def refund(self, principal: Principal, refund_id: str) -> Refund:
        """One refund. Raises NotFound."""
        async with self._units() as unit:
            found = await unit.payouts.refund(principal, decode_id(Prefix.REFUND, refund_id))
        if found is None:
            raise NotFound("there is no such refund")
        return found

    async def figures(self) -> Mapping[PayoutState, int]:
        """How many payouts are in each state that does not end one."""
        async with self._units() as unit:
            return await unit.payouts.open_counts()

    # ---------------------------------------------------------------------------------- parts

    async def _register(
        self, unit: Unit, ask: PayoutAsk, quote: Quote, partner_id: UUID, back: Address
    ) -> UUID:
        rail, target, amounts = self._rules.rail, self._rules.target, quote.amounts
        if rail is None:
            raise PayoutsNotOffered("this node has no bank that pays out")
        earlier = await unit.payouts.with_reference(partner_id, ask.client_reference)
        if earlier is not None:
            raise ClientReferenceUsed(
                "another payout has this client_reference",
                payout_id=encode_id(Prefix.PAYOUT, earlier),
            )
        asset = amounts.sell_asset
        daily = await DailyLimits.read(unit, [(partner_id, asset)])
        daily.check_payout(partner_id, Money(amounts.sell, self._catalog.asset(asset)))
        left = await payout_headroom(unit, rail.name, amounts.buy_asset, self._rules.grace)
        if left < amounts.buy:
            raise LiquidityUnavailable(
                "the node's bank cannot promise this much now; the quote stays active, try again"
                " later"
            )
        address = await self._new_address(unit, partner_id)
        payout_id = self._new_id()
        pay_within = timedelta(seconds=min(target.settle_within_s, PAY_WITHIN_MAX_S))
        await unit.payouts.add(
            NewPayout(
                id=payout_id,
                partner_id=partner_id,
                quote_id=quote.id,
                address_id=address.id,
                client_reference=ask.client_reference,
                reference=_reference(payout_id),
                amounts=amounts,
                rail=rail.name,
                beneficiary=ask.beneficiary,
                originator=ask.originator,
                purpose=ask.purpose,
                refund_policy=ask.refund_policy,
                refund_address=back,
                made_by=ask.principal.key,
                created_at=unit.now,
                pay_by=unit.now + pay_within,
            )
        )
        await unit.quotes.consume_many([(quote.id, payout_id)])
        return payout_id

    async def _refund_address(self, unit: Unit, partner_id: UUID, text: str) -> Address:
        contracts = await unit.payouts.contracts(partner_id)
        if not contracts:
            raise PayoutsNotOffered(
                "no settlement contract of yours is registered here; an operator registers it"
            )
        address = self._addresses.parse(text)
        if address not in refund_addresses(contracts):
            raise AddressInvalid(
                "refund_address is neither a registered contract of yours nor the address that was"
                " registered with one"
            )
        return address

    async def _new_address(self, unit: Unit, partner_id: UUID) -> DepositAddress:
        chain_id, forwarders = self._rules.target.chain_id, self._forwarders
        if forwarders is None:
            raise DepositsNotOffered("this node makes no deposit addresses")
        if await unit.mirror.cursor(chain_id) is None:  # it would not see the payment
            raise ChainUnavailable("the mirror of the chain has not begun; ask again soon")
        salt = forwarders.new_salt()
        return await unit.deposits.add_address(
            NewAddress(
                chain_id,
                forwarders.codec.address_of(salt),
                forwarders.factory,
                salt,
                Owner(partner_id=partner_id),
                is_standing=False,
            )
        )

    def _foreign(self, text: str) -> Address:
        address = self._addresses.parse(text)
        if address in self._rules.target.unpayable:
            raise AddressInvalid("this address is zero, the token's or the node's own")
        return address

    async def _own_account(self, unit: Unit, partner_id: UUID) -> UUID:
        """The partner's own account among its customers; made with its first contract."""
        partner = await unit.partners.lock(partner_id)
        if partner is None:
            raise NotFound("there is no such partner")
        if (found := await unit.payouts.own_account(partner_id)) is not None:
            return found
        account_id = self._new_id()
        await unit.parties.add_customer(
            Customer(
                id=account_id,
                partner_id=partner_id,
                name=f"{partner.name}, refunds",
                country=partner.country or _NO_COUNTRY,
                email=None,
                created_at=unit.now,
            )
        )
        return account_id


async def known_payout(unit: Unit, principal: Principal, payout_id: str) -> Payout:
    """The payout of this public id.

    Raises:
        NotFound: It does not exist for this principal.
    """
    found = await unit.payouts.get(principal, decode_id(Prefix.PAYOUT, payout_id))
    if found is None:
        raise NotFound("there is no such payout")
    return found


async def _usable(unit: Unit, ask: PayoutAsk) -> Quote:
    """The quote, locked; the first failing check raises."""
    quote_id = decode_id(Prefix.QUOTE, ask.quote_id)
    quote = (await unit.quotes.lock_many([quote_id])).get(quote_id)
    if quote is None or quote.maker != ask.principal.key:
        raise NotFound("there is no such quote")
    method = quote.price.payout_method
    if method != BANK:
        raise PayoutsNotOffered(
            f"the quote is for payout method {method}; ask for one with payout method {BANK}"
        )
    if quote.transfer_id is not None:
        raise QuoteUsed(
            "the quote was consumed by another payout; ask for a new quote",
            payout_id=encode_id(Prefix.PAYOUT, quote.transfer_id),
        )
    if quote.revoked_at is not None:
        raise QuoteRevoked(
            "the quote was revoked when quoting of its currency was halted; ask for a new quote",
            reason=quote.revoked_reason,
        )
    if quote.status(unit.now) is not QuoteStatus.ACTIVE:
        raise QuoteExpired("the quote has expired; ask for a new quote")
    return quote


def _reference(payout_id: UUID) -> str:
    """Short enough for every rail (Max35Text of ISO 20022), and easily read out."""
    return "P" + encode_id(Prefix.PAYOUT, payout_id)[-12:].upper()


def _registered_event(payout: Payout) -> NewEvent:
    return payout_event(
        payout.id,
        payout.partner_id,
        1,
        PayoutState.AWAITING_PAYMENT,
        {"client_reference": payout.client_reference, "pay_by": payout.pay_by.isoformat()},
    )
