"""The job that writes down counters every so often, so that reading the past stays cheap.

Checkpoints are derived and can be missing; no answer depends on them, only its cost.
"""

from typing import Final

from node.core.ports import UnitOfWork

CHECKPOINT_EVERY: Final = 50_000
"""Sequences between two checkpoints. Counters as of any sequence are at most half of it away from
one: of an account that moves with every ledger transaction that is some 30 ms to read (measured
at 5 million entries)."""


class CheckpointService:
    """Writes checkpoints."""

    def __init__(self, units: UnitOfWork, every: int = CHECKPOINT_EVERY) -> None:
        self._units = units
        self._every = every

    async def run_once(self) -> int:
        """Write a checkpoint if it is time.

        Returns:
            1 when one was written, 0 when not.
        """
        async with self._units() as unit:
            return int(await unit.history.checkpoint(self._every) is not None)
