"""What is waited for, for how long, and what is waited out. No I/O is here."""

import time
from collections.abc import Generator, Sequence
from typing import Final

from node.client.answers import EventsView
from node.client.calls import Call
from node.client.errors import (
    AnswerLost,
    ClientError,
    NodeAway,
    NotCorridor,
    Problem,
    WaitedTooLong,
)

POLL_S: Final = 0.5
PAGE: Final = 200
"""Events that are asked for at once."""

TRANSFER_ENDED: Final = frozenset({"completed", "canceled", "failed", "expired", "refunded"})
PAYOUT_ENDED: Final = frozenset({"completed", "refunded", "expired"})
"""Statuses that are not left again by themselves."""

BULK_UNDER_WAY: Final = "processing"

_FURTHEST: Final = 2**62
_SERVER_FAULTS_FROM: Final = 500


class Patience:
    """How long something is waited for."""

    def __init__(self, timeout_s: float | None, poll_s: float) -> None:
        self._poll_s = poll_s
        self._timeout_s = timeout_s
        self._end_s = None if timeout_s is None else time.monotonic() + timeout_s

    def pause_s(self, what: str) -> float:
        """Until the next look.

        Raises:
            WaitedTooLong: Time is up.
        """
        if self._end_s is None:
            return self._poll_s
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise WaitedTooLong(f"{what} has not ended within {self._timeout_s} s; it goes on")
        return min(self._poll_s, left_s)


def is_passing(error: ClientError) -> bool:
    """Whether what is waited for goes on meanwhile, so that it is worth asking again."""
    if isinstance(error, Problem):
        return error.retryable
    if isinstance(error, NotCorridor):
        return error.status >= _SERVER_FAULTS_FROM
    return isinstance(error, NodeAway | AnswerLost)


def is_wanted(types: Sequence[str], event_type: str) -> bool:
    """Whether `transfer` or `transfer.settled` is among the types; none: all are wanted."""
    return not types or any(
        event_type == each or event_type.startswith(f"{each}.") for each in types
    )


def events_after(sequence: int, limit: int = PAGE) -> Call[EventsView]:
    """The events that follow a sequence."""
    return Call("GET", "/v1/events", query={"after": sequence, "limit": limit})


def newest_event() -> Generator[int, bool, int]:
    """The sequence of the newest event, 0 if there is none, by halving.

    Yields sequences; to be sent whether there are events after it.
    """
    if not (yield 0):
        return 0
    above = 1
    while above < _FURTHEST and (yield above):
        above *= 2
    known = above // 2  # there are more after this one
    while above - known > 1:
        middle = (above + known) // 2
        if (yield middle):
            known = middle
        else:
            above = middle
    return above
