"""Following payouts that partners make: asked until they end, whatever webhook was lost.

A webhook only says that there is something to ask about. What the partner then states is compared
with what was ordered and paid, and moves the transfer; what contradicts that is an operator's.
Money that comes back is believed when it is final on the chain, not when the partner says so, and
where the `Settled` next to it has the number that the partner told.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.deposits import DepositStatus
from node.core.errors import InvariantBroken, NodeError, NotFound
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import (
    PARTNER_RECOVERY,
    PARTNER_REFUND,
    Entry,
    LedgerTransaction,
    paid_out_entries,
    partner_recovery_entries,
    partner_refund_entries,
)
from node.core.payout_matching import PaymentLog
from node.core.payout_orders import (
    ASKED_AGAIN_MAX_S,
    LATE_WORD_EVERY,
    ChangeKind,
    ChangeState,
    Conclusion,
    Contradicted,
    Expected,
    OrderState,
    PartnerPayout,
    PartnerRefund,
    PartnerState,
    PayoutOrder,
    asked_again_after,
    asks_after,
    beneficiary_hash,
    contradictions,
    follows,
    is_silent,
    is_stalled,
    late_word,
)
from node.core.ports import Clock, Unit, UnitOfWork
from node.core.ports.deposits import Released
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.payout_orders import DueOrder, PayoutChange
from node.core.ports.payout_partners import PayoutPartner
from node.core.ports.payouts import PaymentProofs
from node.core.ports.transfers import NewEvent, Transfer
from node.core.reorg import keyed
from node.core.transfers import Happening, State
from node.core.units import TxHash
from node.core.webhooks import verify
from node.services.deposits.deposits import close_breaks, released_event
from node.services.idempotency import RenderError, once
from node.services.payouts.ordering import PayoutOrderTerms, dispute
from node.services.transfers import transfer_moves

_log = structlog.get_logger()

_AT_ONCE: Final = 32
_LAPSED_AT_ONCE: Final = 200
_LEASE: Final = timedelta(seconds=ASKED_AGAIN_MAX_S)
_BY: Final = "partner"
_OWED: Final = frozenset({State.UNDELIVERABLE, State.REFUNDED})
"""The partner is to send the money back, or has; what is over is not asked about."""


@dataclass(frozen=True, slots=True)
class CameBack:
    """What the chain says of the refund that a partner tells.

    Attributes:
        payment: Final, of this amount and number, by the partner's contract; None: not yet.
        found: What it says otherwise.
    """

    payment: PaymentLog | None = None
    found: Sequence[Contradicted] = ()


@dataclass(frozen=True, slots=True)
class Following:
    """One payout while its partner's word is carried out; transfer and order are locked."""

    order: PayoutOrder
    transfer: Transfer
    partner: PayoutPartner
    told: PartnerPayout
    back: CameBack = CameBack()


@dataclass(frozen=True, slots=True)
class PayoutFollowing:
    """The job, and what wakes it.

    Attributes:
        partners: Those that pay out.
        terms: Of every payout.
        proofs: Says which payment number stands next to a Transfer.
        clock: By which partners' webhooks are signed: the one that everybody has.
        failpoint: Called with the name of each window at which a crash must be harmless.
    """

    units: UnitOfWork
    partners: Sequence[PayoutPartner]
    terms: PayoutOrderTerms
    new_id: Callable[[], UUID]
    proofs: PaymentProofs
    clock: Clock
    failpoint: Callable[[str], None] = lambda _: None

    async def run_once(self) -> int:
        """Ask about every payout that is due, at most so many at once.

        Returns:
            How many were asked about.
        """
        async with self.units() as unit:
            known = await self._known(unit)
            due = await unit.payout_orders.due(_AT_ONCE, _LEASE)
            await unit.payout_orders.lapse(_LAPSED_AT_ONCE)
        await asyncio.gather(*(self._follow(each, known) for each in due))
        return len(due)

    async def hear(self, partner: str, headers: Mapping[str, str], body: bytes) -> None:
        """Ask soon about the payout that a webhook of the partner names.

        What it says besides is not read: the partner is asked. One that names no payout of this
        node is taken and changes nothing.

        Args:
            partner: Its name.
            headers: Of the request, names in lower case.
            body: As it came, to the byte.

        Raises:
            NotFound: There is no such partner, or it sends no webhooks.
            WebhookUnverified: It is not signed by the partner, or not now.
            PartnerUnavailable: What it signs with cannot be read here.
        """
        found = next((each for each in self.partners if each.name == partner), None)
        keys = () if found is None else found.webhook_keys()
        if not keys:
            raise NotFound("there is no such partner that sends webhooks")
        verify(keys, headers, body, self.clock.now())
        async with self.units() as unit:
            known = await unit.parties.partner_named(partner)
            payout_id = _named_in(body)
            if known is not None and payout_id is not None:
                await unit.payout_orders.wake(known.id, payout_id)

    async def ask_again(
        self,
        transfer_id: str,
        claim: Claim | None,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Ask the partner now, and believe it again where it was disputed.

        Raises:
            NotFound: There is no such transfer, or no partner pays it out.
        """
        wanted = decode_id(Prefix.TRANSFER, transfer_id)

        async def work(unit: Unit) -> Answer:
            transfer, order = await unit.transfers.get(wanted), None
            if transfer is not None and transfer.partner_id is not None:
                order = await unit.payout_orders.lock(transfer.quote_id)
            if transfer is None or order is None or order.payout_id is None:
                raise NotFound("there is no such transfer that a partner pays out")
            if order.state is OrderState.DISPUTED:
                await unit.payout_orders.end(order.quote_id, OrderState.REGISTERED)
                # Told the same again, it is a break again, though a person has closed the first.
                await unit.breaks.note_gone([BreakCode.PARTNER_DIFFERS], [])
            await unit.payout_orders.wake(order.partner_id, order.payout_id)
            return render(transfer)

        return await once(self.units, claim, work, render_error)

    async def _known(self, unit: Unit) -> Mapping[UUID, PayoutPartner]:
        known: dict[UUID, PayoutPartner] = {}
        for each in self.partners:
            found = await unit.parties.partner_named(each.name)
            if found is not None:
                known[found.id] = each
        return known

    async def _follow(self, due: DueOrder, known: Mapping[UUID, PayoutPartner]) -> None:
        partner = known.get(due.order.partner_id)
        if due.order.payout_id is None:
            return  # its lease is the wait
        if partner is None:
            _log.warning("partner not set up", order=str(due.order.quote_id))
            await self._ask_later(due)
            return
        try:
            told = await partner.show(due.order.payout_id)
            back = await self._came_back(partner, told)
        except NodeError as error:
            _log.info("partner not asked", partner=partner.name, code=error.code)
            await self._ask_later(due)
            return
        self.failpoint("after_payout_shown")
        async with self.units() as unit:
            await unit.ledger.lock()
            [transfer] = await unit.transfers.lock_many([due.transfer_id])
            order = await unit.payout_orders.lock(due.order.quote_id)
            change = await unit.payout_orders.newest_change(due.order.quote_id)
            if order is None or order.state is not OrderState.REGISTERED or _is_open(change):
                return
            follow = Following(order, transfer, partner, told, back)
            await unit.events.append(await self.believe(unit, follow, due.asks))
            self.failpoint("before_payout_followed")

    async def _came_back(self, partner: PayoutPartner, told: PartnerPayout) -> CameBack:
        """What the chain says of the refund that the partner tells; asked of all providers.

        Raises:
            ChainUnavailable: It cannot be told now.
        """
        refund = told.refund
        if refund is None or refund.tx_hash is None or refund.number is None:
            return CameBack()
        async with self.units() as unit:
            logs = await unit.payout_orders.refund_logs(
                self.terms.chain_id, refund.tx_hash, partner.contract, refund.amount
            )
        numbers = await self.proofs.settlement_numbers(logs) if logs else {}
        for each in logs:
            if numbers.get(each.name) == refund.number:
                return CameBack(each)
        if not logs:
            return CameBack()  # not final yet, or it is not as the partner says
        there = ", ".join(str(numbers.get(each.name, "none")) for each in logs)
        return CameBack(found=[Contradicted("refund number", there, str(refund.number))])

    async def _ask_later(self, due: DueOrder) -> None:
        asks = due.asks + 1
        async with self.units() as unit:
            if is_silent(asks):
                await unit.ledger.lock()  # before the order's, as whoever closes its break does
            held = await unit.payout_orders.lock(due.order.quote_id)
            if held is not None and held.told is not None:
                again = LATE_WORD_EVERY if held.concluded else asked_again_after(due.asks)
                await unit.payout_orders.told(held.quote_id, held.told, asks, again)
                if is_silent(asks):
                    await self.tell_silence(unit, held)

    async def tell_silence(self, unit: Unit, order: PayoutOrder) -> None:
        """Open the break of a partner that has not answered for long; not of what has ended.

        Args:
            unit: Holds the ledger's lock.
            order: Locked.
        """
        if order.concluded is None:
            await unit.breaks.open([(self.new_id(), stalled_break(order, "no answer"))])

    async def believe(self, unit: Unit, follow: Following, asks: int) -> list[NewEvent]:
        """What follows from the partner's word, unless it contradicts what was ordered.

        Args:
            unit: Holds the ledger's lock, and locks transfer and order.
            follow: What the partner told, of a payout that is registered.
            asks: Answers in a row before this one that changed nothing.

        Returns:
            Lines of the timeline, to be appended at the end.
        """
        order, told = follow.order, follow.told
        found = [
            *contradictions(await self._expected(unit, follow), told),
            *follow.back.found,
            *late_word(order.concluded, told),
        ]
        if found:
            await unit.payout_orders.end(order.quote_id, OrderState.DISPUTED)
            new = dispute(order, follow.partner.name, told.id, found)
            await unit.breaks.open([(self.new_id(), new)])
            return []
        events, transfer = await self._move(unit, follow)
        is_owed = transfer.state in _OWED
        if is_owed and told.refund is not None:
            back = await self._refund(unit, replace(follow, transfer=transfer), told.refund)
            events, is_owed = [*events, *back], not back
        if order.concluded is not None:
            await self._wait_on(unit, order, told.state)
            return events
        stalled = stalled_break(order, told.state)
        is_missing = is_owed and transfer.state is State.REFUNDED
        if is_missing or is_stalled(told.state, unit.now, transfer.settle_by):
            await unit.breaks.open([(self.new_id(), stalled)])
        else:
            await unit.breaks.close_all([stalled.fingerprint], "rederived", "the partner goes on")
        asks = asks_after(asks, changed=told.state is not order.told or bool(events))
        await unit.payout_orders.told(order.quote_id, told.state, asks, asked_again_after(asks))
        return events

    async def _wait_on(self, unit: Unit, order: PayoutOrder, told: PartnerState) -> None:
        """Of what was concluded, nothing is owed but what the partner may still say or send."""
        await unit.payout_orders.told(order.quote_id, told, 0, LATE_WORD_EVERY)
        if (order.concluded, told) == (Conclusion.PAID_OUT, PartnerState.PAID_OUT):
            await unit.payout_orders.end(order.quote_id, OrderState.CLOSED)

    async def _expected(self, unit: Unit, follow: Following) -> Expected:
        quote = await unit.quotes.get(follow.order.quote_id)
        if quote is None or quote.leg is None:
            raise InvariantBroken("a payout order has no quote with a leg")
        leg, transfer = quote.leg, follow.transfer
        return Expected(
            follow.order,
            leg.quote_id,
            leg.price.sell,
            leg.price.buy,
            self.terms.chain_id,
            self.terms.token,
            transfer.payment_number,
            transfer.tx_hash,
        )

    async def _move(self, unit: Unit, follow: Following) -> tuple[list[NewEvent], Transfer]:
        """Let the transfer follow; what is booked when it was paid out."""
        transfer, told = follow.transfer, follow.told
        way = follows(transfer.state, told.state)
        if not way:
            return [], transfer
        said = {"partner": follow.partner.name, "payout_id": told.id}
        failure = None
        if way[-1] is Happening.UNDELIVERABLE:
            said["reason"] = told.reason or ("sent_back" if told.refund else "refused")
            failure = {"code": "undeliverable", "message": f"the partner says: {said['reason']}"}
        events = await transfer_moves.apply(
            unit,
            [transfer],
            *way,
            changes=lambda _: {"failure": failure},
            detail=lambda _: said,
        )
        for each in way:
            transfer = transfer_moves.after(transfer, each)
        if way[-1] is Happening.PAID_OUT:
            entries = paid_out_entries(
                follow.order.partner_id, self.terms.chain_id, transfer.amounts
            )
            paid = await paid_to(unit, follow.order)
            await unit.ledger.post([_booked(follow, "partner_payout", entries, paid)])
            await unit.payout_orders.end(follow.order.quote_id, OrderState.CLOSED)
        return events, transfer

    async def _refund(self, unit: Unit, follow: Following, refund: PartnerRefund) -> list[NewEvent]:
        """Give the customer its money back, once the partner's payment of it is final.

        Where two operators gave it back already, the loss that they booked is less by it.
        """
        order, transfer, quote_id = follow.order, follow.transfer, follow.order.quote_id
        if refund.tx_hash is None or refund.number is None:
            return []
        if not await unit.payout_orders.refunded(
            quote_id, refund.tx_hash, refund.number, refund.amount
        ):
            return []  # the same payment gave another transfer's money back
        came = None
        if follow.back.payment is not None:
            came = await unit.payout_orders.refund_deposit(self.terms.chain_id, follow.back.payment)
        if came is None:
            return []  # not final yet, or somebody has it
        message = "the partner could not pay it out and sent the money back"
        # A reorg past finality took the first one, or two operators did not wait for it.
        is_again = transfer.state is State.REFUNDED
        events = await transfer_moves.apply(
            unit,
            [] if is_again else [transfer],
            Happening.REFUNDED,
            changes=lambda _: {"failure": {"code": "refunded", "message": message}},
            detail=lambda _: {"partner": follow.partner.name, **_where(refund.tx_hash)},
        )
        number = {"settlement_number": str(refund.number)}
        transaction = _booked(follow, *self._came_entries(follow, came.amount), number)
        if is_again:
            epoch = await unit.reorgs.epoch(self.terms.chain_id)
            transaction = replace(transaction, key=keyed(transaction.key, epoch))
        sequence = (await unit.ledger.post([transaction]))[transaction.key]
        events.append(await _resolved(unit, came, message, sequence))
        await unit.payout_orders.end(quote_id, OrderState.CLOSED)
        if came.amount < transfer.amounts.buy:  # booked as the node's loss: the partner owes it
            owed = Contradicted("refund", str(transfer.amounts.buy), str(came.amount))
            new = dispute(order, follow.partner.name, follow.told.id, [owed])
            cause = "it sent back less than it was paid; the rest is in loss/partner"
            await unit.breaks.open([(self.new_id(), replace(new, cause=cause))])
        return events

    def _came_entries(self, follow: Following, came: int) -> tuple[str, Sequence[Entry]]:
        """Kind and entries of what books `came` minor units that the partner sent back."""
        chain_id, amounts = self.terms.chain_id, follow.transfer.amounts
        if follow.order.concluded is not None:
            return PARTNER_RECOVERY, partner_recovery_entries(chain_id, amounts.buy_asset, came)
        partner_id = follow.order.partner_id
        return PARTNER_REFUND, partner_refund_entries(partner_id, chain_id, amounts, came)


async def paid_to(unit: Unit, order: PayoutOrder) -> Mapping[str, str]:
    """Who was paid, where that is not whom the transfer names: its hash, for the ledger."""
    payee = await unit.payout_orders.corrected(order.quote_id)
    if payee is None:
        return {}
    whom = beneficiary_hash(order.quote_id, payee.name, payee.country, payee.account)
    return {"beneficiary": f"0x{whom.hex()}"}


def _named_in(body: bytes) -> str | None:
    """The payout that a webhook is about: `data` is the event as the partner's API shows it."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        return None
    detail = data.get("detail")
    named = data.get("object_id") if data.get("object") == "payout" else None
    if named is None and isinstance(detail, dict):
        named = detail.get("payout_id")
    return named if isinstance(named, str) and named.isprintable() else None


def _is_open(change: PayoutChange | None) -> bool:
    """Whether nobody knows whom the partner pays."""
    return change is not None and (change.kind, change.state) == (
        ChangeKind.CORRECT,
        ChangeState.ASKING,
    )


def stalled_break(order: PayoutOrder, actual: str) -> NewBreak:
    """The break that says that a partner does not go on."""
    quote = encode_id(Prefix.QUOTE, order.quote_id)
    return break_of(
        BreakCode.PARTNER_STALLS,
        quote,
        expected="a payout of what the partner was paid for, or the money back",
        actual=actual,
        evidence={
            "partner": encode_id(Prefix.PARTNER, order.partner_id),
            "payout": order.payout_id or "",
            "quote": quote,
        },
    )


def _booked(
    follow: Following, kind: str, entries: Sequence[Entry], told: Mapping[str, str]
) -> LedgerTransaction:
    transfer = follow.transfer
    return LedgerTransaction(
        key=f"{kind}:{transfer.id}",
        kind=kind,
        entries=entries,
        transfer_id=transfer.id,
        detail={"partner": follow.partner.name, "payout": follow.told.id, **told},
    )


def _where(tx_hash: TxHash | None) -> dict[str, str]:
    return {} if tx_hash is None else {"refund_tx": f"0x{tx_hash.hex()}"}


async def _resolved(unit: Unit, came: Released, reason: str, sequence: int) -> NewEvent:
    """The deposit that brought the money back is nobody's any more, and its break is closed."""
    await unit.deposits.resolve([came.id], sequence)
    await close_breaks(unit, [came], _BY, reason, sequence)
    return released_event(replace(came, version=came.version + 1), DepositStatus.RESOLVED)
