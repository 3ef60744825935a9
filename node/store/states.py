"""States in SQL, from the tables of moves: an `UPDATE` names no state that a move may begin in.

The tables are in core, with their objects (`node.core.moves`).
"""

from collections.abc import Mapping

from node.core.moves import S, before


def from_states(moves: Mapping[S, frozenset[S]], after: S) -> str:
    """What stands right of IN where rows become `after`: `('awaiting', 'expired')`."""
    words = ", ".join(f"'{state.value}'" for state in before(moves, after))
    return f"({words})"
