"""Deletes deliveries that ended long ago, a batch at a time.

What they told of is in the events, which are kept for ever: any of them can be sent anew, under a
new id then. Beside sending, in transactions of its own, so that nothing waits for it.
"""

from typing import Final

from node.core.ports import UnitOfWork
from node.core.ports.webhooks import Kept

BATCH_MAX: Final = 1000


class ForgettingService:
    """The job that deletes.

    Args:
        units: Transactions.
        kept: How long deliveries are kept after they ended.
    """

    def __init__(self, units: UnitOfWork, kept: Kept) -> None:
        self._units = units
        self._kept = kept

    async def run_once(self) -> int:
        """Delete one batch; how many deliveries were deleted or canceled.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        async with self._units() as unit:
            canceled = await unit.webhook_queue.cancel_left()
        async with self._units() as unit:
            return canceled + await unit.webhook_queue.forget(self._kept, BATCH_MAX)
