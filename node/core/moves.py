"""Tables of moves, state -> the states that may follow it: read backwards.

Whoever writes a state in SQL writes it only over the states that the table lets be before it, so no
move can be written that the table does not have. The tables are with their objects.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)


def before(moves: Mapping[S, frozenset[S]], after: S) -> list[S]:
    """The states from which `after` may be reached in one move, in the order of the table.

    Raises:
        ValueError: None: nothing moves there, and what is written there was never meant to be.
    """
    found = [state for state, following in moves.items() if after in following]
    if not found:
        raise ValueError(f"nothing becomes {after}")
    return found
