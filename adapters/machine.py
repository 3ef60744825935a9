"""What a node takes from the machine it runs on: the time, and chance."""

import os
import secrets
import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

_SECRET_BYTES: Final = 32  # 256 random bits
_VERSION_7: Final = 7 << 76
_CHANCE_MASK: Final = ~(0xF << 76 | 0x3 << 62)
_VARIANT: Final = 2 << 62


class SystemClock:
    """The time of this machine; see `node.core.ports.Clock`."""

    def now(self) -> datetime:
        """Aware UTC time."""
        return datetime.now(UTC)  # noqa: TID251 - the one place


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix time in ms, then chance."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=value & _CHANCE_MASK | _VERSION_7 | _VARIANT)


def new_secret() -> str:
    """A bearer secret that nobody can guess."""
    return secrets.token_urlsafe(_SECRET_BYTES)
