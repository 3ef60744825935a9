"""The transfer machine: states, what may happen in each, and what it does to the books.

Pure and table driven: `MOVES` is the whole machine. The store applies a move only to the version
it was computed for, so two processes never both win. What is booked at acceptance is in
`node.core.ledger`; how chain facts become these events is in `node.services.mirror.mirroring`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.core.errors import WrongState
from node.core.ledger import Outcome


class State(StrEnum):
    """Where exactly a transfer is."""

    FUNDED = "funded"  # money reserved; waits for a batch
    SUBMITTED = "submitted"  # signed and stored
    UNKNOWN = "unknown"  # an answer is missing; the same bytes are sent again
    INCLUDED = "included"  # its number is settled in a block that is not final
    VOIDING = "voiding"  # a void is asked for, nothing is final
    PAYOUT_PENDING = "payout_pending"  # stablecoin final at the partner, payout not confirmed
    ON_HOLD = "on_hold"  # an operator decides
    UNDELIVERABLE = "undeliverable"  # the rail refused
    SETTLED = "settled"  # on-chain payout final and posted
    PAID_OUT = "paid_out"  # the partner confirmed
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"


class Status(StrEnum):
    """The few stable words for callers."""

    PROCESSING = "processing"
    ACTION_REQUIRED = "action_required"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"


STATUS: Final[Mapping[State, Status]] = {
    State.FUNDED: Status.PROCESSING,
    State.SUBMITTED: Status.PROCESSING,
    State.UNKNOWN: Status.PROCESSING,
    State.INCLUDED: Status.PROCESSING,
    State.VOIDING: Status.PROCESSING,
    State.PAYOUT_PENDING: Status.PROCESSING,
    State.ON_HOLD: Status.ACTION_REQUIRED,
    State.UNDELIVERABLE: Status.ACTION_REQUIRED,
    State.SETTLED: Status.COMPLETED,
    State.PAID_OUT: Status.COMPLETED,
    State.CANCELED: Status.CANCELED,
    State.FAILED: Status.FAILED,
    State.EXPIRED: Status.EXPIRED,
    State.REFUNDED: Status.REFUNDED,
}

TERMINAL: Final = frozenset(
    {
        State.SETTLED,
        State.PAID_OUT,
        State.CANCELED,
        State.FAILED,
        State.EXPIRED,
        State.REFUNDED,
    }
)
"""Nothing happens to these any more; but `settled` is undone where a reorg past finality takes its
block back and two operators accept that (ADR 0021). `paid_out` and `refunded` stay what they are
then; that their payment is gone, and comes again, is told in their timelines."""


class Happening(StrEnum):
    """What can happen to a transfer; the first word of its event type is added by `type_of`."""

    SIGNED = "signed"  # its batch is signed and stored
    ANSWER_LOST = "answer_lost"  # nobody can say whether the bytes arrived
    ANSWER_SEEN = "answer_seen"  # some provider has the bytes
    INCLUDED = "included"  # Settled(number) in a canonical block
    REORGED = "reorged"  # that block is no longer canonical
    UNSETTLED = "unsettled"  # it was final, and two operators accepted the reorg that replaced it
    REQUEUED = "requeued"  # its batch finally did not pay it, and it may be tried again
    VOID_ASKED = "void_asked"  # the number was in a written batch and must give its money back
    SETTLED = "settled"  # Settled(number), final
    REACHED_PARTNER = "reached_partner"  # the same, of a payment to the partner that pays out
    REACHED_AGAIN = "reached_again"  # after a reorg past finality, of what has ended meanwhile
    PAID_OUT = "paid_out"  # the partner has paid the beneficiary
    UNDELIVERABLE = "undeliverable"  # the partner cannot, as it was ordered
    PAYOUT_RETRIED = "payout_retried"  # the partner tries again
    REFUNDED = "refunded"  # the partner sent the money back, final
    HELD = "held"  # an operator decides: it cannot be paid, or its batches did not
    RELEASED = "released"
    RENUMBERED = "renumbered"  # its number is used for something else, and it was never written
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"


MOVES: Final[Mapping[tuple[State, Happening], State]] = {
    (State.FUNDED, Happening.SIGNED): State.SUBMITTED,
    (State.FUNDED, Happening.HELD): State.ON_HOLD,
    (State.FUNDED, Happening.CANCELED): State.CANCELED,
    (State.FUNDED, Happening.FAILED): State.FAILED,
    (State.FUNDED, Happening.EXPIRED): State.EXPIRED,
    (State.FUNDED, Happening.VOID_ASKED): State.VOIDING,
    (State.FUNDED, Happening.RENUMBERED): State.FUNDED,
    (State.ON_HOLD, Happening.RENUMBERED): State.ON_HOLD,
    (State.ON_HOLD, Happening.RELEASED): State.FUNDED,
    (State.ON_HOLD, Happening.FAILED): State.FAILED,
    (State.SUBMITTED, Happening.ANSWER_LOST): State.UNKNOWN,
    (State.UNKNOWN, Happening.ANSWER_SEEN): State.SUBMITTED,
    (State.SUBMITTED, Happening.INCLUDED): State.INCLUDED,
    (State.UNKNOWN, Happening.INCLUDED): State.INCLUDED,
    (State.INCLUDED, Happening.REORGED): State.SUBMITTED,
    (State.SETTLED, Happening.UNSETTLED): State.SUBMITTED,
    (State.SUBMITTED, Happening.REQUEUED): State.FUNDED,
    (State.UNKNOWN, Happening.REQUEUED): State.FUNDED,
    (State.INCLUDED, Happening.REQUEUED): State.FUNDED,
    (State.SUBMITTED, Happening.HELD): State.ON_HOLD,
    (State.UNKNOWN, Happening.HELD): State.ON_HOLD,
    (State.INCLUDED, Happening.HELD): State.ON_HOLD,
    (State.SUBMITTED, Happening.VOID_ASKED): State.VOIDING,
    (State.UNKNOWN, Happening.VOID_ASKED): State.VOIDING,
    (State.INCLUDED, Happening.VOID_ASKED): State.VOIDING,
    (State.VOIDING, Happening.CANCELED): State.CANCELED,
    (State.VOIDING, Happening.FAILED): State.FAILED,
    (State.VOIDING, Happening.EXPIRED): State.EXPIRED,
    (State.VOIDING, Happening.SETTLED): State.SETTLED,
    (State.INCLUDED, Happening.SETTLED): State.SETTLED,
    (State.VOIDING, Happening.REACHED_PARTNER): State.PAYOUT_PENDING,
    (State.INCLUDED, Happening.REACHED_PARTNER): State.PAYOUT_PENDING,
    (State.PAYOUT_PENDING, Happening.PAID_OUT): State.PAID_OUT,
    (State.PAYOUT_PENDING, Happening.UNDELIVERABLE): State.UNDELIVERABLE,
    (State.UNDELIVERABLE, Happening.PAYOUT_RETRIED): State.PAYOUT_PENDING,
    (State.UNDELIVERABLE, Happening.REFUNDED): State.REFUNDED,
    (State.PAYOUT_PENDING, Happening.UNSETTLED): State.SUBMITTED,
    (State.UNDELIVERABLE, Happening.UNSETTLED): State.SUBMITTED,
    # What a partner has paid out, or given back, cannot be undone by a chain: only its payment on
    # the chain is, and comes again.
    (State.PAID_OUT, Happening.UNSETTLED): State.PAID_OUT,
    (State.PAID_OUT, Happening.REACHED_AGAIN): State.PAID_OUT,
    (State.REFUNDED, Happening.UNSETTLED): State.REFUNDED,
    (State.REFUNDED, Happening.REACHED_AGAIN): State.REFUNDED,
}
"""Every move there is; all others are refused. What is terminal has only those of a reorg past
finality (ADR 0021, ADR 0029)."""

WITH_PARTNER: Final = frozenset(
    {State.PAYOUT_PENDING, State.UNDELIVERABLE, State.PAID_OUT, State.REFUNDED}
)
"""The payment on the chain is final, or was, and a partner pays out."""

ENDINGS: Final = frozenset({Happening.CANCELED, Happening.FAILED, Happening.EXPIRED})
"""What gives the money back."""

_TYPES: Final[Mapping[Happening, str]] = {
    Happening.REORGED: "transfer.reorged",
    Happening.UNSETTLED: "transfer.reorged",
    Happening.REQUEUED: "transfer.requeued",
    Happening.RENUMBERED: "transfer.renumbered",
    Happening.REACHED_AGAIN: "transfer.reached_again",
    Happening.PAYOUT_RETRIED: "transfer.payout_retried",
}
"""Their event types; all others are named after the state reached."""


@dataclass(frozen=True, slots=True)
class Move:
    """What one happening does.

    Attributes:
        state: The next state.
        type: The event type of the timeline: `transfer.` and the state reached, but for a few
            happenings that have their own.
        booking: What happens, in the same database transaction, to the pending ledger
            transaction; None: nothing.
    """

    state: State
    type: str
    booking: Outcome | None = None


def move(state: State, happening: Happening, *, was_written: bool) -> Move:
    """Apply one happening.

    Args:
        state: The state before.
        happening: What happened.
        was_written: Whether the transfer was ever in a written batch. Money that was goes back
            only by way of `voiding`, on proof.

    Raises:
        WrongState: This state does not accept it. Nothing changed.
    """
    following = MOVES.get((state, happening))
    if following is None or (
        was_written
        and happening in (*ENDINGS, Happening.RENUMBERED)
        and state in (State.FUNDED, State.ON_HOLD)
    ):
        raise WrongState(f"a transfer that is {state} does not accept '{happening}'", state=state)
    if happening in _TYPES:
        return Move(following, _TYPES[happening])
    booking = None
    if happening in (Happening.SETTLED, Happening.PAID_OUT):
        booking = Outcome.POSTED
    elif happening in ENDINGS or happening is Happening.REFUNDED:
        booking = Outcome.VOIDED
    return Move(following, f"transfer.{following}", booking)


def accepts(state: State, happening: Happening, *, was_written: bool) -> bool:
    """Whether `move` would apply."""
    try:
        move(state, happening, was_written=was_written)
    except WrongState:
        return False
    return True
