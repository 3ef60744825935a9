"""Named points at which a test may end the process, as kill -9 would. Inert unless named."""

import os
from collections.abc import Callable

_KILLED = 137  # 128 + SIGKILL


def failpoint(named: str | None) -> Callable[[str], None]:
    """What services call at each window with its name.

    Args:
        named: The window at which the process ends; `NAME:N` at the Nth passing. None: never.
    """
    if not named:
        return _pass
    name, _, number = named.partition(":")
    left = int(number or 1)

    def at(window: str) -> None:
        nonlocal left
        if window == name:
            left -= 1
            if left == 0:
                os._exit(_KILLED)

    return at


def _pass(_window: str) -> None:
    return
