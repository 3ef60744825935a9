"""At which window the next worker dies: the one that has had the fewest deaths.

Not here: dying (`adapters.failpoint`), and starting workers (`tests.chaos.workers`).
"""

import random  # noqa: TID251 - a generator that is an argument
from collections import Counter
from collections.abc import Sequence
from typing import Final

SETTLEMENT: Final = frozenset(
    {
        "after_gate",
        "after_write",
        "after_sign",
        "after_store",
        "after_send",
        "after_bump_sign",
        "after_bump_store",
        "after_void_write",
    }
)
"""Windows in which a payment could be made twice; they have their turn more often."""
PASSINGS_MAX: Final = {
    "after_block_read": 40,
    "before_block_commit": 40,
    "after_block_commit": 40,
    "after_final_read": 30,
    "before_final_commit": 30,
    "after_final_commit": 30,
    "after_rule_reading": 10,
    "after_send": 2,
}
"""Windows that are passed all the time: who always died at the first would never get anywhere."""

_ELSEWHERE: Final = 4
"""Deaths at a window of settlement for one at another."""
_DEATH: Final = 3
"""Workers that never came to a window count as a death together: others have their turn too."""


class WindowChooser:
    """Remembers where workers died, and where they waited for it in vain."""

    def __init__(self, windows: Sequence[str], chance: random.Random) -> None:
        self._windows = list(windows)
        self._chance = chance
        self._died: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._armed: Counter[str] = Counter()

    def next(self) -> str:
        """The window of a new worker."""
        self._chance.shuffle(self._windows)  # of equals, any
        window = min(self._windows, key=self._turn)
        self._armed[window] += 1
        return window

    def died(self, window: str) -> None:
        """A worker died there."""
        self._armed[window] -= 1
        self._died[window] += 1

    def missed(self, window: str) -> None:
        """The worker ended otherwise."""
        self._armed[window] -= 1
        self._missed[window] += 1

    def _turn(self, window: str) -> int:
        """How much it has had: the one with the least is next."""
        had = _DEATH * (self._died[window] + self._armed[window]) + self._missed[window]
        return had if window in SETTLEMENT else had * _ELSEWHERE
