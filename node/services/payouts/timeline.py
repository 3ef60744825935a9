"""Lines of the timelines of payouts and refunds: what partners are told by events and webhooks."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from node.core.ids import Prefix, encode_id
from node.core.payouts import (
    PAYOUT_STATUS,
    Payout,
    PayoutState,
    Refund,
    RefundState,
    check_move,
)
from node.core.ports.transfers import NewEvent


def payout_event(
    payout_id: UUID,
    partner_id: UUID,
    version: int,
    state: PayoutState,
    detail: Mapping[str, object] = MappingProxyType({}),
) -> NewEvent:
    """The line that a payout reached a state; `version` is the one it has then."""
    return NewEvent(
        payout_id,
        version,
        f"payout.{state}",
        state,
        None,
        {"status": PAYOUT_STATUS[state].value, **detail},
        object_type="payout",
        partner_id=partner_id,
    )


def moved_event(
    payout: Payout, state: PayoutState, detail: Mapping[str, object] = MappingProxyType({})
) -> NewEvent:
    """The same, of a payout as it was before.

    Raises:
        WrongState: It may not move so: nothing of the transaction stands.
    """
    check_move(payout.state, state)
    return payout_event(payout.id, payout.partner_id, payout.version + 1, state, detail)


def refund_event(refund: Refund, version: int, state: RefundState) -> NewEvent:
    """The line that a refund reached a state; `version` is the one it has then."""
    return NewEvent(
        refund.id,
        version,
        f"refund.{state}",
        state,
        None,
        {
            "payout_id": encode_id(Prefix.PAYOUT, refund.payout_id),
            "minor": str(refund.amount),
            "currency": refund.asset,
            "reason": refund.reason.value,
        },
        object_type="refund",
        partner_id=refund.partner_id,
    )
