"""Session-level advisory locks on lanes: PostgreSQL frees them when their holder dies.

They make a takeover quick; what keeps an old holder from writing is the lane's epoch.
"""

from typing import Final

import asyncpg

from node.store.database import translated

_CLASS: Final = 7_265_003  # any constant; the second key is the lane
_TIMEOUT_S: Final = 5


class AdvisoryLaneLock:
    """See `node.core.ports.settlement.LaneLock`; a connection of its own."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: set[int] = set()

    async def hold(self, lane_id: int) -> bool:
        """Whether this process holds the lock, taking it where it is free."""
        with translated():
            if self._connection is None or self._connection.is_closed():
                self._held.clear()
                self._connection = await asyncpg.connect(
                    self._url,
                    timeout=_TIMEOUT_S,
                    command_timeout=_TIMEOUT_S,
                    # A holder that vanished with its machine is found out within half a minute.
                    server_settings={
                        "application_name": "corridor lane lock",
                        "tcp_keepalives_idle": "10",
                        "tcp_keepalives_interval": "5",
                        "tcp_keepalives_count": "3",
                    },
                )
            if lane_id not in self._held:
                taken: bool = await self._connection.fetchval(
                    "SELECT pg_try_advisory_lock($1, $2)", _CLASS, lane_id
                )
                if taken:
                    self._held.add(lane_id)
            return lane_id in self._held

    async def release(self) -> None:
        """Let go of everything."""
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None
        self._held.clear()
