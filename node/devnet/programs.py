"""Operating-system processes of the devnet: start, recognise, stop.

A process is recognised by its pid together with its start, never by name: a pid alone may have
been given to a stranger since. Not here: which processes there are (`supervisor.py`).
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from node.devnet.errors import DevnetError

CHECKOUT = Path(__file__).resolve().parents[2]

_LAUNCHER = Path(__file__).with_name("launch.py")
_POLL_S = 0.02
_LOG_TAIL_LINES = 15
_QUIET_PORTS = range(20_480, 32_768)  # Linux' ip_local_port_range begins above
_BLOCK_PORTS = 64
_CLAIMED: Final[set[int]] = set()
_LSTART = "%a %b %d %H:%M:%S %Y"  # of ps(1)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how it is told to end.

    Attributes:
        name: What people call it, also the name of its log file.
        command: Program and arguments, without a shell.
        log: File that takes both output streams, appended.
        environment: The whole environment; nothing else is inherited.
        cwd: Working directory.
        stop_signal: Asks for an orderly end.
        death_signal: What it gets when its supervisor dies.
        user: Run as this user instead (only root may).
        reach: Let `user` pass directories that are closed to it.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    user: str | None = None
    reach: bool = False


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that can be recognised later: `started` tells it from a later owner of the pid."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The identity of a living process; `started` is empty when it has ended."""
        return cls(pid, _started(pid) or "")

    def alive(self) -> bool:
        """Whether exactly this process is still running (a zombie is not)."""
        return bool(self.started) and _started(self.pid) == self.started

    @property
    def since(self) -> datetime | None:
        """When it began, to the second; None: the system does not say."""
        with suppress(OSError, ValueError, LookupError):
            _, colon, ticks = self.started.partition(":")
            if colon and ticks.isdigit():
                lines = Path("/proc/stat").read_text().splitlines()
                boot_s = int(next(line for line in lines if line.startswith("btime ")).split()[1])
                began_s = boot_s + int(ticks) // os.sysconf("SC_CLK_TCK")
                return datetime.fromtimestamp(began_s, UTC)
            return datetime.strptime(self.started, _LSTART).astimezone(UTC)
        return None


class Lifeline:
    """A pipe that closes when this process ends, for systems without a parent-death signal."""

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()

    def close(self) -> None:
        """Let go of both ends; whoever is guarded by this pipe is told to end."""
        os.close(self.read_fd)
        os.close(self._write_fd)


def spawn(program: Program, *, lifeline: Lifeline | None = None) -> subprocess.Popen[bytes]:
    """Start a program that ends when this process ends.

    Call it from a thread that lives as long as the process: Linux ties the program to the thread.

    Args:
        program: What to start.
        lifeline: Use this pipe instead of the kernel's parent-death signal. Needed off Linux.

    Raises:
        DevnetError: This system has no parent-death signal and no lifeline was given.
    """
    options = [f"--parent={os.getpid()}", f"--signal={int(program.death_signal)}"]
    if program.user:
        options += [f"--user={program.user}", *(["--reach"] if program.reach else [])]
    if lifeline is not None:
        options.append(f"--guard-fd={lifeline.read_fd}")
    elif not parent_death_signal_exists():
        raise DevnetError("this system needs a lifeline pipe to tie programs to their supervisor")
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), *options, "--", *program.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(program.environment),
            cwd=program.cwd,
            # Ctrl-C in a terminal reaches the whole group; only the supervisor is to act on it.
            start_new_session=True,
            pass_fds=() if lifeline is None else (lifeline.read_fd,),
        )


def parent_death_signal_exists() -> bool:
    """Whether the kernel can end a program when its parent dies (Linux only)."""
    return sys.platform.startswith("linux")


def stop(process: subprocess.Popen[bytes], program: Program, *, limit_s: float = 20.0) -> bool:
    """End a child in good order, by force after `limit_s`; True when no force was needed."""
    if process.poll() is None:
        process.send_signal(program.stop_signal)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
    return True


def stop_by_id(identity: ProcessId, number: signal.Signals, *, limit_s: float = 20.0) -> None:
    """End a process that need not be a child, by force after `limit_s`."""
    for each in (number, signal.SIGKILL):
        if not identity.alive():
            return
        with suppress(ProcessLookupError):  # it ended by itself after the look
            os.kill(identity.pid, each)
        if wait_until(lambda: not identity.alive(), limit_s=limit_s):
            return
    raise DevnetError(
        f"process {identity.pid} does not end", remedy=f"end it by hand: kill -9 {identity.pid}"
    )


def wait_until(condition: Callable[[], bool], *, limit_s: float) -> bool:
    """Poll until the condition holds; False when `limit_s` passed first."""
    give_up_at = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(_POLL_S)
    return True


def wait_ready(
    process: subprocess.Popen[bytes],
    program: Program,
    ready: Callable[[], bool],
    *,
    limit_s: float = 60.0,
) -> None:
    """Wait until a started program answers.

    Raises:
        DevnetError: It ended, or did not answer in time; the message carries the log's tail.
    """
    settled = wait_until(lambda: process.poll() is not None or ready(), limit_s=limit_s)
    if process.poll() is not None:
        raise DevnetError(
            f"{program.name} ended with status {process.returncode} while starting"
            f"\n{log_tail(program.log)}",
            remedy=f"read {program.log}",
        )
    if not settled:
        raise DevnetError(
            f"{program.name} did not answer within {limit_s:.0f} s\n{log_tail(program.log)}",
            remedy=f"read {program.log}",
        )


def log_tail(log: Path) -> str:
    """The last lines of a log file, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  | {line}" for line in lines[-_LOG_TAIL_LINES:])


def free_port(preferred: int | None = None) -> int:
    """`preferred` on 127.0.0.1 when nobody has it, else another one that is free.

    The preferred one is kept for this process until it ends: two networks that begin at the same
    moment want the same, while nothing listens there yet. Others are taken one after the other from
    a block that is this process's alone, where the system takes none for connections that go out:
    it would give away what is free now. What anybody keeps there is passed over.
    """
    if preferred and _is_free(preferred) and _claim(preferred):
        return preferred
    for port in itertools.islice(_own_ports(), _BLOCK_PORTS):
        if port not in _CLAIMED and _is_free(port) and _is_free(port, socket.SOCK_DGRAM):
            return port
    raise DevnetError("no free TCP port on 127.0.0.1", remedy="close some programs and try again")


@cache
def _own_ports() -> Iterator[int]:
    """The ports of one block, over and over; its first port stands for the claim to it."""
    starts = _QUIET_PORTS[::_BLOCK_PORTS]
    for start in secrets.SystemRandom().sample(starts, len(starts)):
        if _claim(start):
            return itertools.cycle(range(start + 1, start + _BLOCK_PORTS))
    return iter(())


def _is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    with socket.socket(type=kind) as listener:
        # As servers do: a port whose connections are merely winding down counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _claim(port: int) -> bool:
    """Whether the port is this process's among all on this machine that ask here, until it ends.

    Who has the UDP port of that number has the claim: no file is left over or closed to others.
    """
    if port not in _CLAIMED:
        claim = socket.socket(type=socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            return False
        claim.detach()  # never closed: the claim ends with this process
        _CLAIMED.add(port)
    return True


def inherited_environment() -> dict[str, str]:
    """The caller's environment: PATH and locale, and settings that the devnet leaves open."""
    return dict(os.environ)  # noqa: TID251 - passed on, not read


def command_line(pid: int) -> str:
    """Program and arguments of a running process; empty when it cannot be known."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return _ps("args=", pid)


def _started(pid: int) -> str | None:
    """When a living process began, in the system's own words; None when there is none."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # proc(5): the name in brackets may hold anything; state is field 3, starttime field 22.
        fields = stat.rpartition(")")[2].split()
        if fields[0] in "ZX":
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}:{fields[19]}"
    state, _, began = _ps("stat=,lstart=", pid).partition(" ")
    return None if not began or state.startswith("Z") else began.strip()


def _ps(columns: str, pid: int) -> str:
    command = ["ps", "-ww", "-o", columns, "-p", str(pid)]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return listed.stdout.strip()
