"""A circuit breaker: who fails several times in a row is left alone for a while.

Closed: it is asked. Open: it is not, for a pause that doubles with every failed probe. Half open:
the pause is over; one asker probes it, and its answer closes or opens the breaker again.
Not here: what counts as a failure (`adapters.evm.rpc`).
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

FAILURES_MAX: Final = 2
"""Failures in a row that open it. An answer that does not come costs its asker ten seconds."""

PAUSE_S: Final = 5
PAUSE_MAX_S: Final = 60


ClockS = Callable[[], float]  # tidy: T1 because seconds, not money
"""Seconds of a clock that never goes back."""


class BreakerState(StrEnum):
    """Whether it lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One provider's.

    Args:
        now_s: Seconds of a clock that never goes back.
    """

    def __init__(self, now_s: ClockS) -> None:
        self._now_s = now_s
        self._failures = 0
        self._pause_s = 0
        self._open_until_s: float | None = None  # tidy: T1 because seconds, not money
        self._is_probed = False

    @property
    def state(self) -> BreakerState:
        """At this moment."""
        if self._open_until_s is None:
            return BreakerState.CLOSED
        if self._now_s() < self._open_until_s:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    @property
    def failures(self) -> int:
        """In a row, up to now."""
        return self._failures

    @property
    def may_ask(self) -> bool:
        """Whether it is closed, or half open and probed by nobody yet."""
        state = self.state
        return state is BreakerState.CLOSED or (
            state is BreakerState.HALF_OPEN and not self._is_probed
        )

    def asking(self) -> None:
        """Somebody asks now; of a half-open breaker this is the probe."""
        self._is_probed = self._open_until_s is not None

    def succeeded(self) -> None:
        """It answered."""
        self._failures, self._pause_s = 0, 0
        self._open_until_s, self._is_probed = None, False

    def given_up(self) -> None:
        """The asker was stopped before it knew."""
        self._is_probed = False

    def failed(self) -> None:
        """It did not answer, or only that it is asked too much."""
        self._failures += 1
        self._is_probed = False
        if self.state is BreakerState.OPEN:  # one of several askers at once, or the last resort
            return
        if self._failures >= FAILURES_MAX:
            self._pause_s = min(max(PAUSE_S, 2 * self._pause_s), PAUSE_MAX_S)
            self._open_until_s = self._now_s() + self._pause_s
