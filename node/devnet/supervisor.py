"""Starts programs, keeps them running, and stops them all when it stops itself.

However the supervisor ends, its programs end: in order after Ctrl-C, SIGTERM and SIGHUP, by the
kernel's doing after kill -9 (`launch.py`). Not here: which programs a devnet consists of
(`network.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from node.devnet.errors import DevnetError
from node.devnet.programs import (
    Lifeline,
    ProcessId,
    Program,
    log_tail,
    parent_death_signal_exists,
    spawn,
    stop,
    stop_by_id,
    wait_ready,
)
from node.devnet.state import StateDirectory, read_json, write_json

Say = Callable[[str], None]

_WATCH_EACH_S = 0.1
_RUN_LIMIT_S = 120.0
_STOP_LIMIT_S = 15.0
# A program that ends by itself is started again after 0.5, 1, 2 ... 30 s; one that was killed,
# or had been running for a minute, at once.
_PAUSE_S = 0.5
_PAUSE_S_MAX = 30.0
_STEADY_AFTER_S = 60.0


class Stopped(BaseException):
    """A signal asked the supervisor to end. No error, so no `except Exception` takes it."""


@dataclass(slots=True)
class Child:
    """A program that is kept running.

    Attributes:
        before_start: Done before each start.
        lost: What it means when this program ends; None: it is started again.
        failures: How often in a row it ended by itself.
        start_at: When to start it again (monotonic); None while it runs.
    """

    program: Program
    process: subprocess.Popen[bytes]
    before_start: Callable[[], object] | None
    lost: DevnetError | None
    started_at: float
    failures: int = 0
    start_at: float | None = None


@dataclass(slots=True)
class Supervisor:
    """Programs of one state directory, in the order of their start.

    Attributes:
        state: Where the started processes are noted.
        say: Tells a person what happens.
        on_change: Called when a pid has changed.
    """

    state: StateDirectory
    say: Say
    on_change: Callable[[], None] = lambda: None
    _children: dict[str, Child] = field(default_factory=dict)
    _lifeline: Lifeline | None = None
    _hurry: bool = False
    ready: bool = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything started inside ends with this block, whichever way it is left."""
        end_leftovers(self.state)
        if not parent_death_signal_exists():
            self._lifeline = Lifeline()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._asked_to_stop) for number in numbers}
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._asked_to_hurry)
        try:
            yield
        finally:
            for number in numbers:  # impatience must not leave half of them running
                signal.signal(number, signal.SIG_IGN)
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._lifeline is not None:
                self._lifeline.close()

    def start(
        self,
        program: Program,
        *,
        before_start: Callable[[], object] | None = None,
        lost: DevnetError | None = None,
    ) -> None:
        """Start a program, to be kept running."""
        if before_start is not None:
            before_start()
        process = spawn(program, lifeline=self._lifeline)
        self._children[program.name] = Child(
            program, process, before_start, lost, started_at=time.monotonic()
        )
        self._note()

    def wait_for(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a started program answers.

        Raises:
            DevnetError: It did not come up; the message carries the end of its log.
        """
        wait_ready(self._children[name].process, self._children[name].program, ready)

    def run(self, program: Program) -> None:
        """Run a program to its end.

        Raises:
            DevnetError: It failed, or took too long; the message carries the end of its log.
        """
        process = spawn(program, lifeline=self._lifeline)
        try:
            status = process.wait(_RUN_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise DevnetError(f"{program.name} did not end in {_RUN_LIMIT_S:.0f} s") from None
        finally:
            stop(process, program)
        if status != 0:
            raise DevnetError(
                f"{program.name} failed with status {status}\n{log_tail(program.log)}",
                remedy=f"read {program.log}",
            )

    def pid(self, name: str) -> int:
        """The process id of a started program."""
        return self._children[name].process.pid

    def announce_ready(self) -> None:
        """Note that everything answers, for those who wait for it."""
        self.ready = True
        self._note()

    def watch(self) -> None:
        """Keep everything running until a signal comes.

        Raises:
            Stopped: A signal asked for the end.
            DevnetError: A program ended that cannot be started again.
        """
        while True:
            hurry = self._hurry
            if hurry:  # cleared before the look: who asks during it is heard in the next one
                self._hurry = False
            for child in self._children.values():
                self._look_after(child, hurry=hurry)
            time.sleep(_WATCH_EACH_S)

    def _look_after(self, child: Child, *, hurry: bool) -> None:
        now = time.monotonic()
        if child.start_at is None:
            if child.process.poll() is None:
                return
            self._ended(child, now)
        if child.start_at is not None and (hurry or now >= child.start_at):
            if child.before_start is not None:
                child.before_start()
            child.process = spawn(child.program, lifeline=self._lifeline)
            child.started_at, child.start_at = now, None
            self.say(f"{child.program.name} is started again (pid {child.process.pid})")
            self._note()
            self.on_change()

    def _ended(self, child: Child, now: float) -> None:
        status = child.process.returncode
        name = child.program.name
        if child.lost is not None:
            raise child.lost
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        was_killed = status == -signal.SIGKILL
        if was_killed or now - child.started_at > _STEADY_AFTER_S:
            child.failures = 0
            child.start_at = now
        else:
            child.start_at = now + min(_PAUSE_S * 2**child.failures, _PAUSE_S_MAX)
            child.failures = min(child.failures + 1, 10)
        self.say(f"{name} {how}" + ("" if was_killed else f", see {child.program.log}"))

    def _stop_all(self) -> None:
        """Users before what they use; the log says when force was needed."""
        self.ready = False
        for child in reversed(self._children.values()):
            if not stop(child.process, child.program, limit_s=_STOP_LIMIT_S):
                self.say(f"{child.program.name} did not end when asked and was killed")
        self.state.forget_running()

    def _note(self) -> None:
        started = {
            name: {**_as_json(ProcessId.of(child.process.pid)), "signal": child.program.stop_signal}
            for name, child in self._children.items()
        }
        own = ProcessId.of(os.getpid())
        value = {"ready": self.ready, "supervisor": _as_json(own), "programs": started}
        write_json(self.state.processes, value)

    def _asked_to_stop(self, number: int, _frame: FrameType | None) -> None:
        raise Stopped(signal.Signals(number).name)

    def _asked_to_hurry(self, _number: int, _frame: FrameType | None) -> None:
        self._hurry = True


def supervisor_of(state: StateDirectory) -> ProcessId | None:
    """The living supervisor of a state directory, if it has one."""
    noted = read_json(state.processes).get("supervisor")
    identity = ProcessId(int(noted["pid"]), str(noted["started"])) if noted else None
    return identity if identity is not None and identity.alive() else None


def is_ready(state: StateDirectory) -> bool:
    """Whether everything has been started and is being watched.

    A killed supervisor leaves its notes behind, so it must be alive too.
    """
    return read_json(state.processes).get("ready") is True and supervisor_of(state) is not None


def leftovers(state: StateDirectory) -> dict[str, ProcessId]:
    """Living programs that a supervisor started, by name, whether or not it lives."""
    programs = read_json(state.processes).get("programs", {})
    noted = {
        name: ProcessId(int(each["pid"]), str(each["started"])) for name, each in programs.items()
    }
    return {name: identity for name, identity in noted.items() if identity.alive()}


def end_leftovers(state: StateDirectory) -> None:
    """End what a supervisor that is gone has left running."""
    signals = {
        name: signal.Signals(int(each["signal"]))
        for name, each in read_json(state.processes).get("programs", {}).items()
    }
    for name, identity in reversed(leftovers(state).items()):
        stop_by_id(identity, signals[name], limit_s=_STOP_LIMIT_S)


def _as_json(identity: ProcessId) -> dict[str, object]:
    return {"pid": identity.pid, "started": identity.started}
