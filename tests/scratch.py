"""Where servers of tests keep their files: in memory where there is room for it, else on disk.

Thousands of databases are made and dropped, of hundreds of files each, and ext4 looks through all
that was deleted lately before it makes a file. What a kill -9 of a process leaves behind is the
same in both places. Directories of runs that were killed themselves are removed by the next.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/dev/shm")
_ROOM_MIN: Final = 4 * 1024**3
_PREFIX: Final = "corridor-tests-"


@cache
def scratch_root() -> Path:
    """The directory of this process for all that its tests write; gone when it ends."""
    parent = _MEMORY if _has_room(_MEMORY) else Path(tempfile.gettempdir())
    for each in parent.glob(f"{_PREFIX}*"):
        if not _is_alive(each.name.removeprefix(_PREFIX)):
            shutil.rmtree(each, ignore_errors=True)
    root = parent / f"{_PREFIX}{os.getpid()}"
    root.mkdir(mode=0o755, exist_ok=True)  # servers run as somebody else than root
    atexit.register(_remove, root, os.getpid())
    return root


def _remove(root: Path, owner: int) -> None:
    if os.getpid() == owner:  # a child that was forked has no say
        shutil.rmtree(root, ignore_errors=True)


def _has_room(directory: Path) -> bool:
    try:
        return os.access(directory, os.W_OK) and shutil.disk_usage(directory).free >= _ROOM_MIN
    except OSError:
        return False


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        pass
    return True
