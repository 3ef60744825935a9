"""Concluding payouts that a partner does not end: by two operators, with evidence from outside.

It closes the break that tells of the payout (B30, B32); who proposes and who approves is
`node.services.reconciliation.breaks`. What the partner says or sends later moves nothing twice:
`following` compares it with what was concluded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.core.breaks import BreakCode
from node.core.consent import Proposal
from node.core.errors import WrongState
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import (
    PARTNER_LOSS,
    Entry,
    LedgerTransaction,
    paid_out_entries,
    partner_loss_entries,
)
from node.core.payout_orders import (
    ChangeState,
    Conclusion,
    OrderState,
    PayoutOrder,
    may_conclude,
)
from node.core.ports import Unit
from node.core.ports.breaks import Break
from node.core.ports.transfers import Transfer
from node.core.transfers import Happening, State
from node.services.payouts.following import paid_to, stalled_break
from node.services.transfers import transfer_moves

OF_PAYOUTS: Final = frozenset({BreakCode.PARTNER_DIFFERS, BreakCode.PARTNER_STALLS})
"""Breaks that tell of a payout that a partner does not end."""

_WAYS: Final = {
    (State.PAYOUT_PENDING, Conclusion.GIVEN_BACK): (Happening.UNDELIVERABLE, Happening.REFUNDED),
    (State.UNDELIVERABLE, Conclusion.GIVEN_BACK): (Happening.REFUNDED,),
    (State.PAYOUT_PENDING, Conclusion.PAID_OUT): (Happening.PAID_OUT,),
    (State.UNDELIVERABLE, Conclusion.PAID_OUT): (Happening.PAYOUT_RETRIED, Happening.PAID_OUT),
    # A reorg past finality took the partner's refund back: its customer has its money already.
    (State.REFUNDED, Conclusion.GIVEN_BACK): (),
}
_FAILURE: Final = {
    "code": "given_back",
    "message": "the partner neither paid it out nor sent the money back in time; you have it again",
}


@dataclass(frozen=True, slots=True)
class Concludable:
    """A payout that may be concluded; transfer and order are locked."""

    order: PayoutOrder
    transfer: Transfer
    conclusion: Conclusion
    entries: Sequence[Entry]


async def concludable(
    unit: Unit, found: Break, conclusion: Conclusion, chain_id: int
) -> Concludable:
    """The payout that a break tells of, as it may be concluded now, and what that books.

    Args:
        unit: Holds the ledger's lock.
        found: The break.
        conclusion: How it is to end.
        chain_id: Of the node.

    Raises:
        WrongState: The break tells of no payout that a partner was paid for and has not ended, or
            the partner answers and has time.
    """
    if found.code not in OF_PAYOUTS or "quote" not in found.evidence:
        raise WrongState("only a break of a partner's payout (B30, B32) is closed so")
    quote_id = decode_id(Prefix.QUOTE, found.evidence["quote"])
    quote = await unit.quotes.get(quote_id)
    if quote is None or quote.transfer_id is None:
        raise WrongState("no transfer was made of this payout: there is nothing to conclude")
    [transfer] = await unit.transfers.lock_many([quote.transfer_id])
    order = await unit.payout_orders.lock(quote_id)
    if order is None or _has_ended(order) or (transfer.state, conclusion) not in _WAYS:
        raise WrongState(
            f"the transfer is {transfer.state}: the partner has not been paid, or it has ended",
            state=transfer.state,
        )
    change = await unit.payout_orders.newest_change(quote_id)
    asks = order.asks
    if change is not None and change.state is ChangeState.ASKING:
        asks = max(asks, change.asks)
    if not may_conclude(order, asks, unit.now, transfer.settle_by):
        raise WrongState("the partner answers, and has time: its word, or its money, ends this")
    partner_id, amounts = order.partner_id, transfer.amounts
    if conclusion is Conclusion.PAID_OUT:
        entries = paid_out_entries(partner_id, chain_id, amounts)
    else:
        entries = partner_loss_entries(partner_id, amounts)
    return Concludable(order, transfer, conclusion, entries)


async def conclude(
    unit: Unit, found: Break, case: Concludable, proposal: Proposal, approved_by: str
) -> int:
    """End the payout as two operators agreed: transfer, ledger, timeline, and what tells of it.

    Args:
        unit: Holds the ledger's lock.
        found: The break that this closes; its caller does that.
        case: What `concludable` found in this transaction.
        proposal: Why, by whom, and the evidence.
        approved_by: Key of the second operator.

    Returns:
        The sequence of the ledger transaction.
    """
    order, transfer, is_paid = case.order, case.transfer, case.conclusion is Conclusion.PAID_OUT
    way, break_id = _WAYS[transfer.state, case.conclusion], encode_id(Prefix.BREAK, found.id)
    said = {"concluded": case.conclusion.value, "break": break_id}
    events = await transfer_moves.apply(
        unit,
        [transfer] if way else [],
        *way,
        changes=lambda _: {"failure": None if is_paid else _FAILURE},
        detail=lambda _: said,
    )
    kind = "partner_payout" if is_paid else PARTNER_LOSS
    key = f"{kind}:{transfer.id}"
    detail = {
        "payout": order.payout_id or "",
        "break": break_id,
        "reason": proposal.reason,
        "evidence": proposal.reference,
        "made_by": proposal.made_by,
        "approved_by": approved_by,
        **(await paid_to(unit, order) if is_paid else {}),
    }
    sequences = await unit.ledger.post(
        [LedgerTransaction(key, kind, case.entries, transfer_id=transfer.id, detail=detail)]
    )
    await unit.payout_orders.conclude(order.quote_id, case.conclusion)
    await _end_change(unit, order)
    await _close_others(unit, order, found, break_id)
    await unit.events.append(events)
    return sequences[key]


def _has_ended(order: PayoutOrder) -> bool:
    return order.concluded is not None or order.state is OrderState.CLOSED


async def _end_change(unit: Unit, order: PayoutOrder) -> None:
    """What was asked of the partner and has no answer is asked no more."""
    change = await unit.payout_orders.newest_change(order.quote_id)
    if change is not None and change.state is ChangeState.ASKING:
        await unit.payout_orders.end_change(change, ChangeState.REFUSED, "concluded")


async def _close_others(unit: Unit, order: PayoutOrder, found: Break, break_id: str) -> None:
    others = {f"{BreakCode.PARTNER_DIFFERS}:{order.quote_id}:{order.payout_id}"}
    others |= {stalled_break(order, "").fingerprint}
    reason = f"two operators concluded the payout with break {break_id}"
    await unit.breaks.close_all(sorted(others - {found.fingerprint}), "match", reason)
