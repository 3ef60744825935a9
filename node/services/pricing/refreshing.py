"""Rates for whoever prices now and then: read again when they are due, and not before."""

from datetime import datetime, timedelta
from typing import Final

from node.core.ports import Clock
from node.services.pricing.fx import FxService

_EVERY: Final = timedelta(seconds=60)


class RateRefresh:
    """Keeps the rates of a process fresh that has no loop for them.

    Args:
        fx: Reads the sources, and halts what has jumped.
        clock: Tells when they are due.
    """

    def __init__(self, fx: FxService, clock: Clock) -> None:
        self._fx = fx
        self._clock = clock
        self._read_at: datetime | None = None

    async def refresh(self) -> None:
        """Read the sources, if that was not done within the last minute.

        Raises:
            DatabaseUnavailable: It is away; the rates are read, and judged with the next price.
        """
        now = self._clock.now()
        if self._read_at is not None and now - self._read_at < _EVERY:
            return
        self._read_at = now
        await self._fx.refresh()
