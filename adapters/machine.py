"""What a node takes from the machine it runs on: the time, chance, memory and silence about it."""

import asyncio
import ctypes
import gc
import os
import resource
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

_LOOK_S: Final = 0.5
_SECRET_BYTES: Final = 32  # 256 random bits
_SALT_BYTES: Final = 32
_VERSION_7: Final = 7 << 76
_CHANCE_MASK: Final = ~(0xF << 76 | 0x3 << 62)
_VARIANT: Final = 2 << 62
_PR_SET_DUMPABLE: Final = 4  # prctl(2)
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000


class SystemClock:
    """The time of this machine; see `node.core.ports.Clock`."""

    def now(self) -> datetime:
        """Aware UTC time."""
        return datetime.now(UTC)  # noqa: TID251 - the one place

    async def wait(self, seconds: int) -> None:
        """Return when so much time has passed."""
        await asyncio.sleep(seconds)


class SandboxClock(SystemClock):
    """A sandbox's time, which somebody may have moved forward.

    The database knows by how much, and says so in every transaction; a process that asks it nothing
    for a while learns of it late.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()

    def be_ahead(self, ahead: timedelta) -> None:
        """So far ahead of this machine's time from now on."""
        self._ahead = ahead

    def now(self) -> datetime:
        """Aware UTC time."""
        return super().now() + self._ahead

    async def wait(self, seconds: int) -> None:
        """Return when so much time has passed; soon, where somebody moves the clock that far."""
        loop = asyncio.get_running_loop()
        due, ends_s = self.now() + timedelta(seconds=seconds), loop.time() + seconds
        while (  # noqa: ASYNC110 - a clock that is moved tells nobody
            self.now() < due and loop.time() < ends_s
        ):
            await asyncio.sleep(_LOOK_S)


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix time in ms, then chance."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=value & _CHANCE_MASK | _VERSION_7 | _VARIANT)


def new_secret() -> str:
    """A bearer secret that nobody can guess."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def new_salt() -> bytes:
    """32 random bytes: what a deposit address is made of, so that it tells nothing."""
    return os.urandom(_SALT_BYTES)


def new_bytes(count: int) -> bytes:
    """So many random bytes, such as of a key."""
    return os.urandom(count)


def keep_what_is_loaded() -> None:
    """Let the garbage collector pass over everything there is by now: it stays until the end.

    Called once, when a process is set up. Reading some thousand rows makes enough objects for full
    collections, and each would walk through all modules again: about half the time of reading. Rows
    and values have no cycles, so it looks for some only after as many new objects as one read of
    the mirror makes, not after 700; the rest was a sixth of the mirror's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 10, 10)


def keep_memory_private() -> None:
    """Keep this process's memory, in which keys are, out of core dumps and debuggers.

    RLIMIT_CORE 0 everywhere; on Linux also PR_SET_DUMPABLE 0: no dump goes to a collector either,
    and no other process of this user may read the memory or attach (ptrace). Children that run
    another program are not concerned.

    Raises:
        OSError: The system refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")
