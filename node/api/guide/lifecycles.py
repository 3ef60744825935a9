"""The lifecycles as the guide shows them: a drawing of the main moves, and a table of all.

The moves are those of the tables in `node.core`; here is only where a state stands in the drawing,
which of two states more is said about, and what a state means to a partner. The drawings of a few
states have every move of their table; those of transfers and payouts have the usual ones, which a
test looks for in theirs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from node.api.guide.drawing import Arrow, Box, drawing
from node.core.deposits import REQUEST_MOVES, RequestStatus
from node.core.payouts import PAYOUT_MOVES, PAYOUT_STATUS, REFUND_MOVES, PayoutState, RefundState
from node.core.quotes import QUOTE_MOVES, QuoteStatus
from node.core.transfers import MOVES, STATUS, State
from node.core.webhooks import DELIVERY_MOVES, DeliveryStatus

S = TypeVar("S", bound=StrEnum)

TRANSFER_BOXES: Final = (
    Box(("funded",), 1, 0, "way"),
    Box(("on_hold",), 2, 0, "turn"),
    Box(("unknown",), 0, 1, "turn"),
    Box(("submitted",), 1, 1, "way"),
    Box(("canceled", "failed", "expired"), 2, 1, "ended"),
    Box(("included",), 1, 2, "way"),
    Box(("voiding",), 2, 2, "turn"),
    Box(("payout_pending",), 0, 3, "way"),
    Box(("settled",), 1, 3, "done"),
    Box(("paid_out",), 0, 4, "done"),
    Box(("undeliverable",), 1, 4, "turn"),
    Box(("refunded",), 2, 4, "ended"),
)
TRANSFER_ARROWS: Final = (
    Arrow("funded", "submitted", both=True),
    Arrow("funded", "on_hold", both=True),
    Arrow("funded", "canceled"),
    Arrow("submitted", "unknown", both=True),
    Arrow("submitted", "included", both=True),
    Arrow("submitted", "voiding"),
    Arrow("unknown", "included"),
    Arrow("included", "voiding"),
    Arrow("included", "settled"),
    Arrow("included", "payout_pending"),
    Arrow("voiding", "canceled"),
    Arrow("voiding", "settled"),
    Arrow("payout_pending", "paid_out"),
    Arrow("payout_pending", "undeliverable", both=True),
    Arrow("undeliverable", "refunded"),
)
PAYOUT_BOXES: Final = (
    Box(("expired",), 0, 0, "turn"),
    Box(("awaiting_payment",), 1, 0, "way"),
    Box(("refunded",), 2, 0, "ended"),
    Box(("matched",), 1, 1, "way"),
    Box(("refunding",), 2, 1, "turn"),
    Box(("refused",), 0, 2, "turn"),
    Box(("ordered",), 1, 2, "way"),
    Box(("on_hold",), 2, 2, "turn"),
    Box(("paid_out",), 1, 3, "done"),
)
PAYOUT_ARROWS: Final = (
    Arrow("awaiting_payment", "expired"),
    Arrow("awaiting_payment", "matched"),
    Arrow("awaiting_payment", "refunding"),
    Arrow("expired", "matched"),
    Arrow("matched", "ordered"),
    Arrow("matched", "refunding"),
    Arrow("ordered", "refused"),
    Arrow("ordered", "refunding"),
    Arrow("ordered", "paid_out"),
    Arrow("refused", "matched"),
    Arrow("refunding", "refunded"),
    Arrow("refunding", "on_hold", both=True),
    Arrow("paid_out", "on_hold"),
)

QUOTE_BOXES: Final = (
    Box(("active",), 1, 0, "way"),
    Box(("consumed",), 0, 1, "done"),
    Box(("expired",), 1, 1, "ended"),
    Box(("revoked",), 2, 1, "ended"),
)
REQUEST_BOXES: Final = (
    Box(("awaiting",), 1, 0, "way"),
    Box(("paid",), 0, 1, "done"),
    Box(("expired",), 1, 1, "turn"),
    Box(("accepted",), 2, 1, "done"),
)
REFUND_BOXES: Final = (
    Box(("pending",), 0, 0, "way"),
    Box(("sent",), 1, 0, "way"),
    Box(("completed",), 2, 0, "done"),
    Box(("failed",), 1, 1, "ended"),
)
DELIVERY_BOXES: Final = (
    Box(("pending",), 1, 0, "way"),
    Box(("dead",), 0, 1, "ended"),
    Box(("delivered",), 1, 1, "done"),
    Box(("canceled",), 2, 1, "ended"),
)

TRANSFER_MEANING: Final[Mapping[State, str]] = {
    State.FUNDED: "The money is reserved; the transfer waits for a batch. It can be canceled until"
    " it was written into one. `waiting` says why it cannot go on now, if so.",
    State.SUBMITTED: "A signed transaction that pays it is stored and sent.",
    State.UNKNOWN: "An answer of the chain is missing. The same bytes are sent again; never wait"
    " for it to turn into a failure, and never send the payment again yourself.",
    State.INCLUDED: "Paid in a block that is not final. The chain may still take it back: then it"
    " is `submitted` again.",
    State.VOIDING: "It was in a batch and is to give its money back. What becomes final first"
    " decides.",
    State.PAYOUT_PENDING: "The stablecoin is finally at the partner that pays out; its"
    " confirmation is waited for.",
    State.ON_HOLD: "The node's operator decides.",
    State.UNDELIVERABLE: "The partner cannot pay the beneficiary; `failure` says why.",
    State.SETTLED: "Paid on the chain, finally. `settlement` is the proof.",
    State.PAID_OUT: "The partner has paid the beneficiary.",
    State.CANCELED: "Canceled; the money is back.",
    State.FAILED: "It could not be paid; the money is back and `failure` says why.",
    State.EXPIRED: "It was not paid by `settle_by`; the money is back.",
    State.REFUNDED: "The partner sent the money back, and you have it.",
}
PAYOUT_MEANING: Final[Mapping[PayoutState, str]] = {
    PayoutState.AWAITING_PAYMENT: "Registered. Pay `deposit.amount` to `deposit.address` by"
    " `deposit.pay_by`.",
    PayoutState.MATCHED: "Your payment is final and exchanged. The order to the bank is next.",
    PayoutState.ORDERED: "The bank may have the order. From here on only the bank decides.",
    PayoutState.REFUSED: "The bank refused for good and the policy is `correct`: correct the"
    " beneficiary, or ask for the refund.",
    PayoutState.REFUNDING: "The money goes back on the chain; `refund` follows it.",
    PayoutState.ON_HOLD: "The receiving node's operator decides.",
    PayoutState.PAID_OUT: "The bank confirmed.",
    PayoutState.REFUNDED: "The money is back at `refund_address`, finally.",
    PayoutState.EXPIRED: "Nothing came by `pay_by`. What comes within the grace is still paid out,"
    " with the flag `paid_late`; what comes later goes back.",
}
QUOTE_MEANING: Final[Mapping[QuoteStatus, str]] = {
    QuoteStatus.ACTIVE: "Firm: a transfer or payout may consume it until `expires_at`.",
    QuoteStatus.CONSUMED: "A transfer or payout was made of it: `transfer_id`, `payout_id`.",
    QuoteStatus.EXPIRED: "Its time is over. Ask for another.",
    QuoteStatus.REVOKED: "The rate jumped, or the operator halted quoting: `revoked_reason`.",
}
REQUEST_MEANING: Final[Mapping[RequestStatus, str]] = {
    RequestStatus.AWAITING: "Waits for its amount at its address; a part of it may have come.",
    RequestStatus.PAID: "The amount is credited to its owner, finally. It waits again only where"
    " the chain undid what was final and operators accepted that.",
    RequestStatus.EXPIRED: "Too little came by `expires_at`; what came is held. The rest may still"
    " come within the grace, or its owner accepts what is there.",
    RequestStatus.ACCEPTED: "Its owner took what had come:"
    " `POST /v1/payment-requests/{request_id}/accept`.",
}
REFUND_MEANING: Final[Mapping[RefundState, str]] = {
    RefundState.PENDING: "The money is set aside; no transaction pays it yet.",
    RefundState.SENT: "A transfer pays it on the chain.",
    RefundState.COMPLETED: "Paid, finally: `tx_hash`.",
    RefundState.FAILED: "It could not be paid; the money is on your balance.",
}
DELIVERY_MEANING: Final[Mapping[DeliveryStatus, str]] = {
    DeliveryStatus.PENDING: "To be sent now, or again after a failure.",
    DeliveryStatus.DELIVERED: "Answered with 2xx.",
    DeliveryStatus.DEAD: "Every attempt failed, or the answer was 410.",
    DeliveryStatus.CANCELED: "Its endpoint was disabled.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A state as a table tells it.

    Attributes:
        status: The word to program against; empty: the state itself is.
        after: States that may follow.
    """

    state: str
    status: str
    meaning: str
    after: Sequence[str]


def transfer_rows() -> list[Row]:
    """Every state of a transfer."""
    moves = [(before, after) for (before, _), after in MOVES.items()]
    return [
        Row(each.value, STATUS[each].value, TRANSFER_MEANING[each], _after(each, moves))
        for each in State
    ]


def payout_rows() -> list[Row]:
    """Every state of a payout."""
    moves = [(before, after) for before, found in PAYOUT_MOVES.items() for after in found]
    return [
        Row(each.value, PAYOUT_STATUS[each].value, PAYOUT_MEANING[each], _after(each, moves))
        for each in PayoutState
    ]


def transfer_drawing() -> str:
    """The lifecycle of a transfer."""
    title = (
        "A transfer is funded, submitted, included in a block and settled; or, where a partner"
        " pays out, payout_pending and paid_out. The table below has every state and move."
    )
    return drawing("transfer", title, TRANSFER_BOXES, TRANSFER_ARROWS)


def payout_drawing() -> str:
    """The lifecycle of a payout for a partner."""
    title = (
        "A payout awaits its payment, is matched, ordered at the bank and paid out; or its money is"
        " refunded. The table below has every state and move."
    )
    return drawing("payout", title, PAYOUT_BOXES, PAYOUT_ARROWS)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A drawing with every move, and its table."""

    drawing: str
    rows: Sequence[Row]


def small_lifecycles() -> Mapping[str, Lifecycle]:
    """Those of a few states, by the name of the object."""
    return {
        "quote": _small("quote", QUOTE_BOXES, QUOTE_MOVES, QUOTE_MEANING),
        "request": _small("payment request", REQUEST_BOXES, REQUEST_MOVES, REQUEST_MEANING),
        "refund": _small("refund", REFUND_BOXES, REFUND_MOVES, REFUND_MEANING),
        "delivery": _small("webhook delivery", DELIVERY_BOXES, DELIVERY_MOVES, DELIVERY_MEANING),
    }


def arrows_of(moves: Mapping[S, frozenset[S]]) -> list[Arrow]:
    """An arrow for every move; one with two heads, where there is also the way back."""
    pairs = [(before, after) for before, found in moves.items() for after in sorted(found)]
    return [
        Arrow(before.value, after.value, both=(after, before) in pairs)
        for place, (before, after) in enumerate(pairs)
        if (after, before) not in pairs[:place]
    ]


def _small(
    name: str, boxes: Sequence[Box], moves: Mapping[S, frozenset[S]], meaning: Mapping[S, str]
) -> Lifecycle:
    rows = [
        Row(each.value, "", text, sorted(after.value for after in moves[each]))
        for each, text in meaning.items()
    ]
    told = "; ".join(
        f"{row.state} may become {' or '.join(row.after)}" for row in rows if row.after
    )
    picture = drawing(name.partition(" ")[0], f"Of a {name}: {told}.", boxes, arrows_of(moves))
    return Lifecycle(picture, rows)


def _after(state: str, moves: Iterable[tuple[str, str]]) -> list[str]:
    return sorted({str(after) for before, after in moves if before == state and after != state})
