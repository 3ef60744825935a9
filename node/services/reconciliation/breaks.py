"""Looking after breaks: who has one, what is to close it, and who agrees.

A break is closed by a match or by a ledger transaction, with a reason; above the threshold of
`node.core.consent` one operator proposes and another approves. Only a fact that is derived anew
closes one by itself. What finds breaks is `node.services.reconciliation.reconciling`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from node.core.bookings import (
    BookingKind,
    addresses_in,
    check_booking,
    check_own,
    named_in,
)
from node.core.breaks import BreakCode
from node.core.consent import (
    CORRECTION,
    OF_DEPOSITS,
    Proposal,
    TwoPersons,
    at_stake,
    check_release,
    check_resolution,
    check_second,
    taken_out,
    takes_capital,
)
from node.core.deposits import DepositStatus, Owner
from node.core.errors import InsufficientFunds, InvalidInput, NodeError, NotFound, WrongState
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    chain_account,
    gas_account,
    suspense_account,
)
from node.core.mirror import Watch
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.payout_orders import Conclusion
from node.core.ports import Unit, UnitOfWork
from node.core.ports.breaks import Break, BreakEvent, OpenBreaks
from node.core.ports.deposits import Released
from node.core.ports.idempotency import Answer, Claim
from node.core.units import format_minor
from node.services.deposits.deposits import released_event
from node.services.idempotency import RenderError, once
from node.services.ledger.posting import PostingService
from node.services.payouts.concluding import Concludable, concludable, conclude


@dataclass(frozen=True, slots=True)
class BreakRequest:
    """What an operator asks about one break, and how it is answered.

    Attributes:
        break_id: Public id.
        claim: None: nothing is remembered.
    """

    principal: Principal
    break_id: str
    claim: Claim | None
    render: Callable[[Break], Answer]
    render_error: RenderError


class BreakService:
    """Shows breaks, and closes them.

    Args:
        units: Opens transactions.
        watch: Names the node's own addresses, and the suspense account of deposits.
        posting: Decides and books.
        two_persons: When a second operator must agree.
        rails: The node's banks.
    """

    def __init__(
        self,
        *,
        units: UnitOfWork,
        watch: Watch,
        posting: PostingService,
        two_persons: TwoPersons,
        rails: frozenset[str] = frozenset(),
    ) -> None:
        self._units = units
        self._watch = watch
        self._posting = posting
        self._two_persons = two_persons
        self._rails = rails

    async def page(self, query: ListQuery) -> Page[Break]:
        """Breaks, newest first. Filters: `status`, `code`, `severity`, `owner`."""
        async with self._units() as unit:
            return await unit.breaks.page(query)

    async def get(self, break_id: str) -> Break:
        """One break. Raises NotFound."""
        async with self._units() as unit:
            return known(await unit.breaks.get(decode_id(Prefix.BREAK, break_id)))

    async def history(self, break_id: str) -> Sequence[BreakEvent]:
        """What happened to a break, oldest first, from when the difference was first seen.

        Raises:
            NotFound: There is no such break.
        """
        async with self._units() as unit:
            found = known(await unit.breaks.get(decode_id(Prefix.BREAK, break_id)))
            return await unit.breaks.history(found.id)

    async def summary(self) -> Sequence[OpenBreaks]:
        """Open breaks by code: how many, since when, how many are overdue."""
        async with self._units() as unit:
            return await unit.breaks.summary()

    async def assign(self, request: BreakRequest, owner: str | None) -> Answer:
        """Give a break to an operator, by name, or to nobody.

        Raises:
            NotFound: There is no such break.
            WrongState: It is closed.
        """

        async def work(unit: Unit) -> Answer:
            found = await _open(unit, request)
            if found.owner != owner:
                await unit.breaks.assign(found.id, owner, request.principal.key)
            return request.render(replace(found, owner=owner))

        return await once(self._units, request.claim, work, request.render_error)

    async def resolve(self, request: BreakRequest, reason: str, entries: Sequence[Entry]) -> Answer:
        """Close a break by a ledger transaction, or, without entries, as a match.

        Where two persons are needed nothing is booked: it is proposed, and waits for `approve`.

        Raises:
            NotFound: There is no such break, or no such customer or partner.
            WrongState: It is closed already, or something else is proposed.
            InvalidInput: The entries name accounts that a correction may not touch, or are not
                exactly what the break's deposits hold, or do not make ledger and chain agree.
            RailUnknown: The node has no such bank.
            InsufficientFunds: An account would fall below its floor, more is taken out of suspense
                than belongs to no deposit, or capital is taken out that covers what the node owes;
                with `available`.
            AmountOutOfRange: A counter cannot hold it; with `min` and `max`.
        """
        if entries:
            check_resolution(entries)

        async def work(unit: Unit) -> Answer:
            if entries:
                await unit.ledger.lock()  # before the break's, as whoever books does
            found = await _open_for_proposal(unit, request)
            proposal = Proposal(
                request.principal.key,
                unit.now,
                reason,
                tuple(entries),
                about=(found.expected, found.actual),
            )
            held = await self._check(unit, found, proposal)
            if self._needs_two(found, entries, held):
                await unit.breaks.propose(found.id, proposal)
                return request.render(replace(found, proposal=proposal))
            sequence = await self._book(unit, found, proposal, held, request.principal)
            return request.render(await _close(unit, found, proposal, request.principal, sequence))

        return await once(self._units, request.claim, work, request.render_error)

    async def conclude(
        self, request: BreakRequest, reason: str, conclusion: Conclusion, evidence: str
    ) -> Answer:
        """Propose how a payout ends that its partner does not end; another operator approves.

        Args:
            request: Of a break that tells of the payout (B30, B32).
            reason: Why.
            conclusion: Whether the customer gets its money back, or the beneficiary was paid.
            evidence: What shows it, such as the reference of a bank's receipt; it is kept.

        Raises:
            NotFound: There is no such break.
            WrongState: It is closed already, something else is proposed, its transfer is not with
                the partner, or the partner answers and has time.
        """

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()
            found = await _open_for_proposal(unit, request)
            case = await concludable(unit, found, conclusion, self._watch.chain_id)
            proposal = Proposal(
                request.principal.key,
                unit.now,
                reason,
                tuple(case.entries),
                kind=conclusion.value,
                about=(found.expected, found.actual),
                reference=evidence,
            )
            await unit.breaks.propose(found.id, proposal)
            return request.render(replace(found, proposal=proposal))

        return await once(self._units, request.claim, work, request.render_error)

    async def approve(self, request: BreakRequest) -> Answer:
        """Agree with what another operator proposed: it is checked again, booked, and closed.

        A break whose loss this books stays open, for what may be recovered.

        Raises:
            NotFound: There is no such break, or no such customer or partner.
            WrongState: Nothing is proposed, it is closed already, or the break's numbers are
                others than when it was proposed.
            SecondPersonNeeded: The proposal is the principal's own.
            InvalidInput: As in `resolve`; `InsufficientFunds` and `AmountOutOfRange` as well. The
                proposal stands.
        """

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()
            found = await _open(unit, request)
            proposal = _proposed(found)
            check_second(proposal.made_by, request.principal)
            if proposal.about != (found.expected, found.actual):
                raise WrongState(
                    f"the break says {found.actual} instead of {found.expected} now; when this was"
                    f" proposed it said {proposal.about[1]} instead of {proposal.about[0]}:"
                    " withdraw it, and propose what is right now"
                )
            if proposal.kind in set(Conclusion):
                case = await self._concludable(unit, found, proposal)
                sequence: int | None = await conclude(
                    unit, found, case, proposal, request.principal.key
                )
            else:
                held = await self._check(unit, found, proposal)
                sequence = await self._book(unit, found, proposal, held, request.principal)
            await unit.breaks.approve(found.id, request.principal.key, sequence)
            if proposal.kind not in (CORRECTION, *Conclusion):
                return request.render(replace(found, proposal=None))
            return request.render(await _close(unit, found, proposal, request.principal, sequence))

        return await once(self._units, request.claim, work, request.render_error)

    async def withdraw(self, request: BreakRequest, reason: str) -> Answer:
        """Take a proposal back, or turn another's down. Nothing is booked.

        Raises:
            NotFound: There is no such break.
            WrongState: Nothing is proposed.
        """

        async def work(unit: Unit) -> Answer:
            found = await _open(unit, request)
            _proposed(found)
            await unit.breaks.withdraw(found.id, request.principal.key, reason)
            return request.render(replace(found, proposal=None))

        return await once(self._units, request.claim, work, request.render_error)

    def _needs_two(self, found: Break, entries: Sequence[Entry], held: Sequence[Released]) -> bool:
        stake = at_stake(found.evidence, self._watch.token_asset)
        if found.code in OF_DEPOSITS and not held:
            stake = {}  # whoever it belongs to has it
        return self._two_persons.needed_to_close(found.code, entries, stake, are_held=bool(held))

    async def _concludable(self, unit: Unit, found: Break, proposal: Proposal) -> Concludable:
        """The payout that was proposed to be concluded, as things are now."""
        conclusion = Conclusion(proposal.kind)
        case = await concludable(unit, found, conclusion, self._watch.chain_id)
        assert tuple(case.entries) == tuple(proposal.entries)  # a transfer's integers never change
        return case

    async def _check(self, unit: Unit, found: Break, proposal: Proposal) -> Sequence[Released]:
        """Whether this may close the break, as things are now; the deposits that it moves."""
        entries, held = proposal.entries, await _held(unit, found)
        if entries:
            await self._check_entries(unit, proposal)
        if held:
            check_release(entries, self._suspense, sum(each.amount for each in held))
        elif entries and proposal.kind == CORRECTION:
            await self._check_suspense(unit, entries)
            _check_balance(found, entries)
        return held

    async def _check_entries(self, unit: Unit, proposal: Proposal) -> None:
        """Whether the accounts are those of this kind, of the node, and of somebody there is."""
        entries = proposal.entries
        if proposal.kind == CORRECTION:
            check_resolution(entries)
            own = await self._own_accounts(unit, entries)
            check_own(entries, chain_id=self._watch.chain_id, own=own, rails=self._rails)
        else:
            check_booking(BookingKind(proposal.kind), entries, rails=self._rails)
        named = named_in(entries)
        if not named.customers <= (await unit.parties.customers(sorted(named.customers))).keys():
            raise NotFound("there is no such customer")
        if not named.partners <= await unit.parties.partners(sorted(named.partners)):
            raise NotFound("there is no such partner")

    @property
    def _suspense(self) -> str:
        return suspense_account(self._watch.chain_id, self._watch.token_asset)

    async def _own_accounts(self, unit: Unit, entries: Sequence[Entry]) -> frozenset[str]:
        """Accounts of gas, of the watched addresses, and of the deposit addresses named."""
        watch = self._watch
        named = addresses_in(entries)
        deposits = await unit.deposits.targets(watch.chain_id, named - watch.addresses)
        coins = {
            chain_account(watch.chain_id, address, asset)
            for address in named & watch.addresses
            for asset in (watch.token_asset, watch.native_asset)
        }
        tokens = {chain_account(watch.chain_id, each, watch.token_asset) for each in deposits}
        return frozenset(coins | tokens | {gas_account(watch.chain_id, watch.native_asset)})

    async def _check_suspense(self, unit: Unit, entries: Sequence[Entry]) -> None:
        """Nothing takes out of suspense what deposits hold there, nor more than there is."""
        for (path, asset), units in taken_out(entries, "suspense").items():
            free = (await unit.ledger.balances([path]))[path].available
            if path == self._suspense:
                free -= await unit.deposits.held_total(self._watch.chain_id)
            if units > free:
                left = format_minor(max(free, 0), self._two_persons.digits(asset))
                raise InsufficientFunds(
                    f"{path} has {left} {asset} that belong to no deposit",
                    available={"currency": asset, "amount": left},
                )

    async def _book(
        self,
        unit: Unit,
        found: Break,
        proposal: Proposal,
        held: Sequence[Released],
        principal: Principal,
    ) -> int | None:
        if not proposal.entries:
            return None
        break_id = encode_id(Prefix.BREAK, found.id)
        key = proposal.key or f"break:{break_id}"
        detail = {"break": break_id, "reason": proposal.reason}
        if proposal.reference:
            detail["reference"] = proposal.reference
        if proposal.made_by != principal.key:
            detail |= {"made_by": proposal.made_by, "approved_by": principal.key}
        (outcome,) = await self._posting.book(
            unit,
            [LedgerTransaction(key, proposal.kind, proposal.entries, detail=detail)],
            decisions=[key] if takes_capital(proposal.entries) else (),
        )
        if isinstance(outcome, NodeError):
            raise outcome  # the key is free again: nothing of this transaction is kept
        if held:
            await self._release(unit, held, proposal.entries, outcome)
        return outcome

    async def _release(
        self, unit: Unit, held: Sequence[Released], entries: Sequence[Entry], sequence: int
    ) -> None:
        """Deposits are what the ledger transaction made of them, and their timelines say so."""
        ids = [each.id for each in held]
        named = named_in(entries)
        status = DepositStatus.RESOLVED
        if named.customers or named.partners:
            owner = Owner(next(iter(named.customers), None), next(iter(named.partners), None))
            held = [replace(each, owner=owner) for each in held]
            await unit.deposits.credit(ids, owner, sequence)
            status = DepositStatus.CREDITED
        else:
            await unit.deposits.resolve(ids, sequence)
        await unit.events.append(
            [released_event(replace(each, version=each.version + 1), status) for each in held]
        )


async def _held(unit: Unit, found: Break) -> Sequence[Released]:
    """Deposits in suspense that the break tells of."""
    return await unit.deposits.held_by(found.id) if found.code in OF_DEPOSITS else ()


def _check_balance(found: Break, entries: Sequence[Entry]) -> None:
    """Where the ledger is off the chain by so much, a booking moves exactly that."""
    account = found.evidence.get("account", "")
    is_of_ledger = found.code == BreakCode.LEDGER_OFF_CHAIN and found.fingerprint.startswith(
        ("B01:balance.token:", "B01:balance.native:")
    )
    if not is_of_ledger or not account:
        return
    off = int(found.actual) - int(found.expected)
    moved = sum(each.amount for each in entries if each.debit == account)
    moved -= sum(each.amount for each in entries if each.credit == account)
    if moved != off:
        raise InvalidInput(
            f"the ledger is off the chain by {off} minor units at {account}, and these entries move"
            f" {moved} there; it would be off as before"
        )


def known(found: Break | None) -> Break:
    """The break that was looked for. Raises NotFound."""
    if found is None:
        raise NotFound("there is no such break")
    return found


async def _open(unit: Unit, request: BreakRequest) -> Break:
    """The break that a request is about, locked."""
    found = known(await unit.breaks.lock(decode_id(Prefix.BREAK, request.break_id)))
    if found.resolved_at is not None:
        raise WrongState("the break is closed already")
    return found


async def _open_for_proposal(unit: Unit, request: BreakRequest) -> Break:
    """The same, for which nothing is proposed yet."""
    found = await _open(unit, request)
    if found.proposal is not None:
        raise WrongState(
            f"{found.proposal.made_by} proposed how to close it; approve or withdraw that"
        )
    return found


def _proposed(found: Break) -> Proposal:
    if found.proposal is None:
        raise WrongState("nothing is proposed for this break")
    return found.proposal


async def _close(
    unit: Unit, found: Break, proposal: Proposal, principal: Principal, sequence: int | None
) -> Break:
    resolution = {"kind": "match", "reason": proposal.reason}
    if proposal.made_by != principal.key:
        resolution["proposed_by"] = proposal.made_by
    if proposal.reference:
        resolution["reference"] = proposal.reference
    if sequence is not None:
        resolution |= {"kind": "ledger_transaction", "ledger_sequence": str(sequence)}
    await unit.breaks.close(found.id, principal.key, resolution)
    return replace(
        found,
        proposal=None,
        resolved_at=unit.now,
        resolved_by=principal.key,
        resolution=resolution,
    )
