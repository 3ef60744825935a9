"""Worker processes of a bench: started by forking, ended by real signals and failpoints."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import orjson

ROOT: Final = Path(__file__).resolve().parents[2]
KILLED: Final = -signal.SIGKILL
AT_FAILPOINT: Final = 137
_BIRTH_LIMIT_S: Final = 60
_ELSEWHERE: Final = ("adoption", "payout", "rail", "refund", "reorg", "sweep", "webhook")
"""Words of windows that the campaign does not reach: it has neither deposits nor partners."""

_FAILPOINT: Final = re.compile(r'failpoint\(\s*"(\w+)"\s*\)')


def is_reached(window: str) -> bool:
    """Whether a worker of the campaign comes through it."""
    return not any(word in window for word in _ELSEWHERE)


def windows() -> list[str]:
    """Every named failpoint of a worker that the campaign reaches, out of its source."""
    found = {
        name
        for path in sorted((ROOT / "node" / "services").rglob("*.py"))
        for name in _FAILPOINT.findall(path.read_text())
        if is_reached(name)
    }
    return sorted(found)


@dataclass(eq=False)
class Worker:
    """One worker process.

    Attributes:
        failpoint: Where it dies by itself; empty: nowhere.
        status: Exit code, negative for a signal; None: it lives.
    """

    pid: int
    failpoint: str
    status: int | None = None
    is_stopped: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended (one that is stopped is alive)."""
        return self.status is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is alive: it may be gone already and its end not told yet."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
                self.is_stopped = number is signal.SIGSTOP

    async def kill(self) -> None:
        """End it with kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self.ended.wait()


class Nursery:
    """Starts workers; knows how each ended."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._births: asyncio.Queue[int] = asyncio.Queue()
        self._living: dict[int, Worker] = {}
        self._early: dict[int, int] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, log: Path) -> Self:
        """A process that has loaded the program; what it and its workers print goes to `log`."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CORRIDOR_")}  # noqa: TID251
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.nursery",
                stdin=PIPE,
                stdout=PIPE,
                stderr=file,
                cwd=ROOT,
                env=inherited,
            )
        return cls(process)

    async def start(self, settings: Mapping[str, Any], only: Sequence[str] = ()) -> Worker:
        """A new worker; returns when it is born, not when it works."""
        assert self._process.stdin is not None
        command = orjson.dumps({"settings": settings, "only": list(only)})
        self._process.stdin.write(command + b"\n")
        async with asyncio.timeout(_BIRTH_LIMIT_S):
            worker = Worker(await self._births.get(), settings.get("failpoint", ""))
        self._living[worker.pid] = worker
        if worker.pid in self._early:
            self._end(worker.pid, self._early.pop(worker.pid))
        return worker

    async def close(self) -> None:
        """End everybody."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = orjson.loads(line)
            if "born" in told:
                self._births.put_nowait(told["born"])
            else:
                self._end(told["ended"], told["status"])

    def _end(self, pid: int, status: int) -> None:
        worker = self._living.pop(pid, None)
        if worker is None:
            self._early[pid] = status
            return
        worker.status = status
        worker.ended.set()
