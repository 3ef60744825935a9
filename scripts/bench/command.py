"""What the benches share as programs of a terminal: lists of numbers, and ending in order.

Not here: what each one measures, and its options.
"""

import signal
from types import FrameType


def numbers(text: str) -> tuple[int, ...]:
    """An option such as `1,8,32`, for argparse.

    Raises:
        ValueError: A part is no whole number above zero.
    """
    found = tuple(int(part) for part in text.split(","))
    if min(found) < 1:
        raise ValueError(text)
    return found


def end_on_sigterm() -> None:
    """From now on SIGTERM unwinds like Ctrl-C, so that everything is stopped."""
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
