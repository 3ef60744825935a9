"""Whose a held deposit is, as an operator says; above the threshold another one must agree.

What comes to a request or a standing address by itself is `node.services.deposits.deposits`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from node.core.breaks import BreakCode, break_of
from node.core.consent import Proposal, TwoPersons
from node.core.deposits import Deposit, DepositStatus, Owner, RequestStatus, release_entries
from node.core.errors import InvariantBroken, NodeError, NotFound, SecondPersonNeeded, WrongState
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import Entry
from node.core.parties import Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.deposits import Released
from node.core.ports.idempotency import Answer, Claim
from node.services.deposits.deposits import give
from node.services.idempotency import RenderError, once


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose a held deposit is, as an operator says: exactly one of the two ids."""

    principal: Principal
    deposit_id: str
    customer_id: str | None
    partner_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Attributing:
    """Gives held deposits to customers and partners, or proposes to."""

    units: UnitOfWork
    chain_id: int
    two_persons: TwoPersons
    new_id: Callable[[], UUID]

    async def attribute(
        self,
        attribution: Attribution,
        claim: Claim,
        render: Callable[[Deposit], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Give a held deposit to a customer or partner.

        Raises:
            NotFound: No such deposit, customer or partner.
            WrongState: It is not held, its request or its payout is still open, or something is
                proposed at its break.
            SecondPersonNeeded: Two operators say whose so much is: nothing is booked, it is
                proposed, and another operator approves it at the break `break_id`.
        """
        principal = attribution.principal

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()
            found = await known_deposit(unit, principal, attribution.deposit_id)
            owner = await _recipient(unit, attribution)
            await self._check_attribution(unit, found, principal)
            entries = release_entries(self.chain_id, found.asset, owner, found.amount)
            if self.two_persons.needed_for(entries, are_held=True):
                return render_error(await self._proposed(unit, found, attribution, entries))
            held = Released(
                found.id, owner, found.asset, found.amount, found.break_id, found.version
            )
            if await _others_of_its_break(unit, found):
                held = replace(held, break_id=None)
            events = await give(
                unit,
                [held],
                owner,
                entries,
                f"deposit_attributed:{found.id}",
                by=principal,
                reason=attribution.reason,
            )
            changed = await known_deposit(unit, principal, attribution.deposit_id)
            await unit.events.append(events)
            return render(changed)

        return await once(self.units, claim, work, render_error)

    async def _proposed(
        self, unit: Unit, found: Deposit, attribution: Attribution, entries: Sequence[Entry]
    ) -> NodeError:
        """Keep at its break what one operator may not give alone; what the operator is told.

        A break that tells of several deposits is not closed by what becomes of one.
        """
        made_by = attribution.principal.key
        told = None if found.break_id is None else await unit.breaks.lock(found.break_id)
        if told is None or told.resolved_at is not None:
            told = await self._told_anew(unit, found)
        elif await _others_of_its_break(unit, found):
            return SecondPersonNeeded(
                "one operator does not move so much alone: propose at its break what becomes of"
                " all it tells of, and another operator approves that",
                made_by=made_by,
            )
        about = (told.expected, told.actual)
        reason = attribution.reason
        await unit.breaks.propose(
            told.id, Proposal(made_by, unit.now, reason, tuple(entries), about=about)
        )
        return SecondPersonNeeded(
            "one operator does not move so much alone: nothing is booked, and another operator"
            " approves it at the deposit's break",
            made_by=made_by,
            break_id=encode_id(Prefix.BREAK, told.id),
        )

    async def _told_anew(self, unit: Unit, found: Deposit) -> Break:
        """A break of this deposit alone, where its own was closed while it is held."""
        name = encode_id(Prefix.DEPOSIT, found.id)
        new = break_of(
            BreakCode.UNKNOWN_DEPOSIT if found.owner is None else BreakCode.DEPOSIT_DIFFERS,
            f"{name}:{found.version}",
            expected="a deposit that somebody has",
            actual=f"{found.amount} units of {found.asset}, held",
            evidence={
                "deposit": name,
                "tx_hash": f"0x{found.tx_hash.hex()}",
                "block_number": str(found.block_number),
                "log_index": str(found.log_index),
                "minor": str(found.amount),
            },
        )
        break_id = self.new_id()
        await unit.breaks.open([(break_id, new)])
        await unit.deposits.tell(found.id, break_id)
        told = await unit.breaks.lock(break_id)
        if told is None:
            raise InvariantBroken("the break of a held deposit was not opened")
        return told

    async def _check_attribution(self, unit: Unit, found: Deposit, principal: Principal) -> None:
        if found.status is not DepositStatus.HELD:
            raise WrongState(f"the deposit is {found.status}; one that is held can be attributed")
        if found.request_id is not None:
            request = await unit.deposits.request(principal, found.request_id)
            if request is not None and request.status is RequestStatus.AWAITING:
                raise WrongState(
                    "its payment request is open: the rest may come; wait until it has expired"
                )
        if await unit.payouts.counts(found.id):
            raise WrongState(
                "it is part of a payout that may still be paid: the rest may come, and when its"
                " time is over this goes back to the partner by itself"
            )
        if found.break_id is not None:
            told = await unit.breaks.lock(found.break_id)
            if told is not None and told.proposal is not None:
                raise WrongState(
                    f"{told.proposal.made_by} proposed how to close its break; approve or withdraw"
                    " that"
                )


async def owner_for(unit: Unit, principal: Principal, customer_id: str | None) -> Owner:
    """Who is paid: a customer that exists for the principal, or the principal itself."""
    if customer_id is None:
        if principal.role is Role.OPERATOR:
            raise NotFound("the node itself has no deposit address")
        return Owner.of(principal)
    wanted = decode_id(Prefix.CUSTOMER, customer_id)
    customer = (await unit.parties.customers([wanted])).get(wanted)
    if customer is None or not customer.is_visible_to(principal):
        raise NotFound("there is no such customer")
    return Owner(customer_id=customer.id)


async def _recipient(unit: Unit, attribution: Attribution) -> Owner:
    if attribution.customer_id is not None:
        return await owner_for(unit, attribution.principal, attribution.customer_id)
    partner_id = decode_id(Prefix.PARTNER, attribution.partner_id or "")
    if not await unit.parties.partners([partner_id]):
        raise NotFound("there is no such partner")
    return Owner(partner_id=partner_id)


async def _others_of_its_break(unit: Unit, found: Deposit) -> bool:
    """Whether other held deposits of its request are told of by the same break."""
    if found.request_id is None or found.break_id is None:
        return False
    held = await unit.deposits.held(found.request_id)
    return any(each.break_id == found.break_id and each.id != found.id for each in held)


async def known_deposit(unit: Unit, principal: Principal, deposit_id: str) -> Deposit:
    """One deposit that exists for the principal. Raises NotFound."""
    wanted = decode_id(Prefix.DEPOSIT, deposit_id)
    found = await unit.deposits.deposit(principal, wanted)
    if found is None:
        raise NotFound("there is no such deposit")
    return found
