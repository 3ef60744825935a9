"""Money of payouts that goes back: set aside at once, then paid on chain by an ordinary transfer.

To set aside is one ledger transaction: from the partner's balance to its own account among its
customers. Out of that account a transfer pays, at a rate of 1 without fees, so batches, payment
numbers, voids, reorgs, proofs and verification treat a refund as they treat every other payment
(ADR 0028). A transfer that ends without paying puts the money back into the partner's balance.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from node.core.catalog import ONCHAIN, Catalog
from node.core.deposits import Owner, release_entries
from node.core.errors import (
    AddressInvalid,
    ClientReferenceUsed,
    InsufficientFunds,
    NodeError,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import LedgerTransaction, partner_account
from node.core.parties import Principal, Role
from node.core.payouts import (
    Payout,
    PayoutState,
    Person,
    Refund,
    RefundReason,
    RefundState,
    put_back_entries,
    set_aside_entries,
    unmatched_entries,
)
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import AddressCodec
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.payouts import NewRefund, OpenRefund, PayoutMove
from node.core.ports.transfers import Beneficiary, NewEvent
from node.core.quotes import FixedSide, Price, Quote
from node.core.transfers import TERMINAL, State
from node.core.units import Money
from node.services.deposits.deposits import released_event
from node.services.idempotency import RenderError, once
from node.services.payouts.registering import known_payout
from node.services.payouts.timeline import moved_event, refund_event
from node.services.transfers.acceptance import Acceptance, TransferRequest, accepted_event

_AT_ONCE: Final = 100
_QUOTE_LIFE: Final = timedelta(minutes=1)  # it is consumed in the transaction that makes it
_FOR_GOOD: Final = (AddressInvalid, ClientReferenceUsed)
"""Refusals that no later pass overcomes; another refund has another reference."""

_PAID: Final = frozenset({State.SETTLED, State.PAID_OUT})
_ASKABLE: Final = frozenset({PayoutState.MATCHED, PayoutState.REFUSED, PayoutState.ON_HOLD})


@dataclass(frozen=True, slots=True)
class GoingBack:
    """What sends the money of one payout back.

    Attributes:
        payout: As it was before, locked.
        changes: Of the payout, besides its state.
    """

    payout: Payout
    amount: int
    reason: RefundReason
    changes: Mapping[str, object]


async def set_aside(unit: Unit, back: GoingBack, new_id: Callable[[], UUID]) -> list[NewEvent]:
    """Take money of a payout out of its partner's balance and make the refund of it.

    Args:
        unit: Holds the ledger's lock; the partner's balance has the money.
        back: What goes back.
        new_id: Makes ids.

    Returns:
        Lines of the timelines, to be appended at the end.
    """
    payout, asset = back.payout, back.payout.amounts.sell_asset
    account_id = await unit.payouts.own_account(payout.partner_id)
    assert account_id is not None  # made with the contract that paid
    refund = Refund(
        id=new_id(),
        payout_id=payout.id,
        partner_id=payout.partner_id,
        state=RefundState.PENDING,
        reason=back.reason,
        asset=asset,
        amount=back.amount,
        address=payout.refund_address,
        transfer_id=None,
        failure=None,
        version=1,
        created_at=unit.now,
    )
    key = f"refund:{refund.id}"
    entries = set_aside_entries(payout.partner_id, account_id, asset, back.amount)
    detail = {"payout": str(payout.id), "reason": back.reason.value}
    sequence = (await unit.ledger.post([LedgerTransaction(key, "refund", entries, detail=detail)]))[
        key
    ]
    await unit.payouts.add_refund(NewRefund(refund, account_id, sequence))
    await unit.payouts.move(
        [PayoutMove(payout.id, payout.version, PayoutState.REFUNDING, back.changes)]
    )
    told = {"refund_id": encode_id(Prefix.REFUND, refund.id), "reason": back.reason.value}
    moved = moved_event(payout, PayoutState.REFUNDING, told)
    return [moved, refund_event(refund, 1, RefundState.PENDING)]


async def undo_exchange(unit: Unit, payout: Payout) -> int:
    """Give the partner its tokens back for local money that is not due any more; the sequence.

    Args:
        unit: Holds the ledger's lock.
        payout: Locked; `payout_due` holds its money.
    """
    key = f"payout_unmatched:{payout.id}"
    entries = unmatched_entries(payout.partner_id, payout.rail, payout.amounts)
    transaction = LedgerTransaction(key, "payout", entries, detail={"payout": str(payout.id)})
    return (await unit.ledger.post([transaction]))[key]


class PayoutSteering:
    """What a partner, or an operator, may decide about a payout: refund, correct."""

    def __init__(self, units: UnitOfWork, catalog: Catalog, new_id: Callable[[], UUID]) -> None:
        self._units = units
        self._catalog = catalog
        self._new_id = new_id

    async def refund(
        self,
        principal: Principal,
        payout_id: str,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Send the money back instead of paying out.

        Raises:
            NotFound: No such payout for this principal.
            WrongState: The rail may have the order, or there is no money to send back: a reorg past
                finality took what had paid it.
            InsufficientFunds: After a refund that failed: the partner has spent the money.
        """

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()
            payout = await _locked(unit, principal, payout_id)
            if payout.state not in _ASKABLE:
                raise WrongState(
                    f"a payout that is {payout.state} cannot be sent back", state=payout.state
                )
            changes: dict[str, object] = {"next_look_at": None}
            amount = payout.amounts.sell
            if payout.is_due:
                if not payout.is_paid:
                    raise WrongState(
                        "the chain has replaced the block that paid it; when it is paid again, ask"
                        " again",
                        state=payout.state,
                    )
                changes["unmatched_sequence"] = await undo_exchange(unit, payout)
            else:
                assert payout.refund is not None  # else it would be due
                amount = payout.refund.amount
                await self._check_balance(unit, payout, amount)
            back = GoingBack(payout, amount, RefundReason.ASKED, changes)
            await unit.events.append(await set_aside(unit, back, self._new_id))
            return render(await known_payout(unit, principal, payout_id))

        return await once(self._units, claim, work, render_error)

    async def correct(
        self,
        principal: Principal,
        payout_id: str,
        beneficiary: Person,
        claim: Claim | None,
        render: Callable[[Payout], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Give the beneficiary as it should have been; the rail gets another order.

        Raises:
            NotFound: No such payout for this principal.
            WrongState: The rail has not refused it, or its policy was to refund.
        """

        async def work(unit: Unit) -> Answer:
            await unit.ledger.lock()
            payout = await _locked(unit, principal, payout_id)
            if payout.state is not PayoutState.REFUSED:
                raise WrongState(
                    f"a payout that is {payout.state} is not corrected; one that was refused is",
                    state=payout.state,
                )
            changes = {
                "beneficiary": beneficiary,
                "attempt": payout.attempt + 1,
                "failure": None,
                "looks": 0,
                "next_look_at": unit.now,
            }
            move = PayoutMove(payout.id, payout.version, PayoutState.MATCHED, changes)
            await unit.payouts.move([move])
            told = {"attempt": payout.attempt + 1, "corrected": True}
            await unit.events.append([moved_event(payout, PayoutState.MATCHED, told)])
            return render(await known_payout(unit, principal, payout_id))

        return await once(self._units, claim, work, render_error)

    async def _check_balance(self, unit: Unit, payout: Payout, amount: int) -> None:
        asset = payout.amounts.sell_asset
        path = partner_account(payout.partner_id, asset)
        left = (await unit.ledger.balances([path]))[path].available
        if left < amount:
            available = Money(left, self._catalog.asset(asset))
            raise InsufficientFunds(
                f"the partner has {available} {asset} available, and less than is to go back",
                available=available.stated,
            )


@dataclass(frozen=True, slots=True)
class RefundPaying:
    """Pays refunds on chain, and says what became of them. A job of its own.

    Attributes:
        acceptance: What accepts transfers.
    """

    units: UnitOfWork
    catalog: Catalog
    acceptance: Acceptance
    addresses: AddressCodec
    new_id: Callable[[], UUID]
    failpoint: Callable[[str], None] = lambda _: None

    async def run_once(self) -> int:
        """One pass: how many refunds moved.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        async with self.units() as unit:
            if not await unit.payouts.has_open_refunds():
                return 0
        async with self.units() as unit:
            await unit.ledger.lock()
            opened = await unit.payouts.open_refunds(_AT_ONCE)
            waiting = [each for each in opened if each.refund.state is RefundState.PENDING]
            sent = [each for each in opened if each.transfer_state is not None]
            events = await self._send(unit, waiting)
            moved = len(events)
            for each in sent:
                if each.transfer_state in TERMINAL:
                    events += await self._conclude(unit, each)
                    moved += 1
            await unit.events.append(events)
            self.failpoint("before_refund_commit")
        return moved

    async def _send(self, unit: Unit, waiting: list[OpenRefund]) -> list[NewEvent]:
        """Accept a transfer for each refund; those refused for now stay as they are."""
        if not waiting:
            return []
        quotes = [self._quote(unit, each) for each in waiting]
        requests = [self._request(each, quote) for each, quote in zip(waiting, quotes, strict=True)]
        events: list[NewEvent] = []
        decided = await self.acceptance.accept(unit, requests, quotes)
        for each, outcome in zip(waiting, decided, strict=True):
            if isinstance(outcome, _FOR_GOOD):
                failure = {"code": outcome.code, "message": outcome.detail}
                events += await self._fail(unit, each, failure)
            elif not isinstance(outcome, NodeError):
                await unit.payouts.move_refund(
                    each.refund, RefundState.SENT, transfer_id=outcome.id
                )
                events.append(accepted_event(outcome))
                events.append(refund_event(each.refund, each.refund.version + 1, RefundState.SENT))
        return events

    async def _conclude(self, unit: Unit, opened: OpenRefund) -> list[NewEvent]:
        """The transfer has ended: the money is back, or it is the partner's again."""
        if opened.transfer_state not in _PAID:
            failure = opened.transfer_failure or {
                "code": str(opened.transfer_state),
                "message": "its transfer ended without paying",
            }
            return await self._fail(unit, opened, failure)
        refund = opened.refund
        await unit.payouts.move_refund(refund, RefundState.COMPLETED)
        [payout] = await unit.payouts.lock([refund.payout_id])
        await unit.payouts.move([PayoutMove(payout.id, payout.version, PayoutState.REFUNDED)])
        told = {"refund_id": encode_id(Prefix.REFUND, refund.id)}
        return [
            moved_event(payout, PayoutState.REFUNDED, told),
            refund_event(refund, refund.version + 1, RefundState.COMPLETED),
        ]

    async def _fail(
        self, unit: Unit, opened: OpenRefund, failure: Mapping[str, str]
    ) -> list[NewEvent]:
        refund = opened.refund
        key = f"refund_failed:{refund.id}"
        entries = put_back_entries(
            refund.partner_id, opened.account_id, refund.asset, refund.amount
        )
        detail = {"payout": str(refund.payout_id), "reason": failure["code"]}
        sequences = await unit.ledger.post(
            [LedgerTransaction(key, "refund", entries, detail=detail)]
        )
        await unit.payouts.move_refund(
            refund, RefundState.FAILED, put_back_sequence=sequences[key], failure=failure
        )
        [payout] = await unit.payouts.lock([refund.payout_id])
        changes = {"failure": {"code": "refund_failed", "message": failure["message"]}}
        await unit.payouts.move(
            [PayoutMove(payout.id, payout.version, PayoutState.ON_HOLD, changes)]
        )
        told = {"refund_id": encode_id(Prefix.REFUND, refund.id), "code": failure["code"]}
        return [
            moved_event(payout, PayoutState.ON_HOLD, told),
            refund_event(refund, refund.version + 1, RefundState.FAILED),
        ]

    def _quote(self, unit: Unit, opened: OpenRefund) -> Quote:
        """The token for itself, in full: nothing is taken for sending money back."""
        token = self.catalog.asset(opened.refund.asset)
        amount, nothing = Money(opened.refund.amount, token), Money(0, token)
        price = Price(
            fixed_side=FixedSide.SELL,
            sell=amount,
            buy=amount,
            service_fee=nothing,
            network_fee=nothing,
            mid_rate=Decimal(1),
            spread_bps=0,
            sources=(),
            payout_method=ONCHAIN,
            estimated_delivery_s=0,
        )
        return Quote(
            self.new_id(),
            _principal(opened).key,
            opened.account_id,
            price,
            unit.now,
            unit.now + _QUOTE_LIFE,
        )

    def _request(self, opened: OpenRefund, quote: Quote) -> TransferRequest:
        refund = opened.refund
        return TransferRequest(
            principal=_principal(opened),
            quote_id=quote.id,
            customer_id=opened.account_id,
            beneficiary=Beneficiary(
                opened.partner_name, opened.country, self.addresses.text(refund.address)
            ),
            client_reference=encode_id(Prefix.REFUND, refund.id),
            purpose="refund",
            is_refund=True,
        )


@dataclass(frozen=True, slots=True)
class PayoutExpiry:
    """Ends payouts that were not paid in time, once a later block is final. A job of its own."""

    units: UnitOfWork
    chain_id: int
    new_id: Callable[[], UUID]

    async def run_once(self) -> int:
        """One pass; how many ended.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        async with self.units() as unit:
            if not await unit.payouts.is_any_overdue(self.chain_id):
                return 0
        async with self.units() as unit:
            await unit.ledger.lock()  # deposits are judged under it
            overdue = await unit.payouts.unpaid_after_their_time(self.chain_id, _AT_ONCE)
            events: list[NewEvent] = []
            for payout in overdue:
                held = await unit.payouts.held(payout.id)
                events += await (
                    self._send_back(unit, payout, held) if held else _expire(unit, payout)
                )
            await unit.events.append(events)
        return len(overdue)

    async def _send_back(self, unit: Unit, payout: Payout, held: int) -> list[NewEvent]:
        """Too little came: it is the partner's, and goes back at once."""
        asset, owner = payout.amounts.sell_asset, Owner(partner_id=payout.partner_id)
        key = f"payout_short:{payout.id}"
        entries = release_entries(self.chain_id, asset, owner, held)
        detail = {"payout": str(payout.id), "reason": "too little came in time"}
        sequences = await unit.ledger.post(
            [LedgerTransaction(key, "deposit", entries, detail=detail)]
        )
        released = await unit.payouts.release({payout.id: sequences[key]})
        changes = {"flags": sorted({*payout.flags, "short"})}
        back = GoingBack(payout, held, RefundReason.SHORT, changes)
        return [
            *(released_event(each) for each in released),
            *await set_aside(unit, back, self.new_id),
        ]


async def _expire(unit: Unit, payout: Payout) -> list[NewEvent]:
    await unit.payouts.move([PayoutMove(payout.id, payout.version, PayoutState.EXPIRED)])
    return [moved_event(payout, PayoutState.EXPIRED)]


async def _locked(unit: Unit, principal: Principal, payout_id: str) -> Payout:
    found = await known_payout(unit, principal, payout_id)
    [payout] = await unit.payouts.lock([found.id])
    return payout


def _principal(opened: OpenRefund) -> Principal:
    return Principal(Role.PARTNER, "refunds", partner_id=opened.refund.partner_id)
