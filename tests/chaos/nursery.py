"""A process that has loaded the node and gives birth to workers: `python -m tests.chaos.nursery`.

Loading the program takes a second; a fork of a process that has loaded it, and that has neither
threads nor an event loop, takes milliseconds. What is forked runs the real worker,
`node.bootstrap.run_work`, and dies of real signals. Commands come as lines of JSON on the standard
input: `{"settings": {...}, "only": [...]}`; answers and ends go to the standard output:
`{"born": PID}`, `{"ended": PID, "status": STATUS}`. When the input ends, so does everybody.
"""

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import traceback
from typing import Any, Final

from alembic.script import ScriptDirectory

from adapters.evm import artifacts
from node.bootstrap.working import run_work
from node.config import Settings
from node.store import schema

_PR_SET_PDEATHSIG: Final = 1
_WAIT_S: Final = 0.01


def main() -> None:
    """Serve until the input ends."""
    _end_with_parent()
    _load_the_rest()
    said = sys.stdin.fileno()
    pending, children = b"", set[int]()
    while True:
        readable, _, _ = select.select([said], [], [], _WAIT_S if children else None)
        if readable:
            read = os.read(said, 65_536)
            if not read:
                break
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                children.add(_bear(json.loads(line)))
        _bury(children)
    for each in children:
        os.kill(each, signal.SIGKILL)


def _load_the_rest() -> None:
    """What the program loads when it first needs it."""
    for module in ("anyio._backends._asyncio", "coincurve", "h11", "httpcore", "certifi"):
        importlib.import_module(module)
    for name in ("TestUSD", "TransferSettlement"):
        artifacts.load(name)
    assert ScriptDirectory.from_config(schema._config()).get_heads()
    gc.collect()
    gc.freeze()  # the collector would otherwise copy every page into every child


def _bear(command: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        _live(command)
    _tell({"born": child})
    return child


def _live(command: dict[str, Any]) -> None:
    """The life of a worker; never returns."""
    status = 1
    try:
        _end_with_parent()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        run_work(Settings(**command["settings"]), command["only"])
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _bury(children: set[int]) -> None:
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        children.discard(child)
        _tell({"ended": child, "status": os.waitstatus_to_exitcode(status)})


def _tell(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _end_with_parent() -> None:
    """Linux ends this process when the one that started it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
