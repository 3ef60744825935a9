"""Becomes another program that cannot outlive its supervisor.

Run by path, never imported, with the standard library only:
`python -I -S launch.py OPTIONS -- PROGRAM ARGUMENT...`. The process keeps its pid and becomes
PROGRAM, so that a signal to the pid reaches the program itself.

On Linux the kernel is asked to signal the program when the supervisor dies (`PR_SET_PDEATHSIG`,
prctl(2)). Elsewhere, or with `--guard`, a small child reads a pipe whose other end only the
supervisor holds: its end of file is the supervisor's death, however it died.

Not here: which programs there are and when they stop (`programs.py`, `supervisor.py`).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import select
import signal
import sys
import time

# Numbers of the Linux kernel's uapi headers: prctl.h and capability.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2

_GUARD_LOOKS_EACH_S = 0.5
_GUARD_KILLS_AFTER_S = 15.0


def main() -> None:
    """Drop privileges, tie this process to its supervisor, become the program."""
    options = _options()
    # A signal mask or an ignored signal of the supervisor would be inherited by the program.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if options.user:
        _become(options.user, reach_everything=options.reach)
    if options.guard_fd is None:
        _prctl(_PR_SET_PDEATHSIG, options.signal)
    else:
        _start_guard(options.guard_fd, options.signal)
    if os.getppid() != options.parent:
        sys.exit("the supervisor ended while this program was being started")
    try:
        os.execvp(options.program[0], options.program)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {options.program[0]}: {error.strerror}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True, help="pid of the supervisor")
    parser.add_argument("--signal", type=int, required=True, help="sent when the supervisor dies")
    parser.add_argument("--guard-fd", type=int, help="read end of the supervisor's pipe")
    parser.add_argument("--user", help="run as this user")
    parser.add_argument("--reach", action="store_true", help="keep the right to pass directories")
    parser.add_argument("program", nargs="+")
    return parser.parse_args()


def _become(user: str, *, reach_everything: bool) -> None:
    """Give up root; optionally keep just the right to enter directories closed to `user`."""
    entry = pwd.getpwnam(user)
    if reach_everything:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if not reach_everything:
        return
    # Containers often lack the first, which suffices, but have the second.
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if _keep_only(capability):
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
            return
    sys.exit(f"user {user} cannot reach the program's directory, and root may not help here")


def _keep_only(capability: int) -> bool:
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.capset(header, effective_permitted_inheritable) == 0)


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        sys.exit(f"prctl({option}) failed: {os.strerror(ctypes.get_errno())}")


def _start_guard(lifeline_fd: int, death_signal: int) -> None:
    """Fork a guard that ends this process when the supervisor's pipe closes."""
    program_pid = os.getpid()
    if os.fork() != 0:
        os.close(lifeline_fd)
        return
    os.setsid()
    while not select.select([lifeline_fd], [], [], _GUARD_LOOKS_EACH_S)[0]:
        if os.getppid() != program_pid:  # the program ended before its supervisor
            os._exit(0)
    give_up_at = time.monotonic() + _GUARD_KILLS_AFTER_S
    number = death_signal
    while os.getppid() == program_pid:
        os.kill(program_pid, number)
        time.sleep(_GUARD_LOOKS_EACH_S)
        if time.monotonic() > give_up_at:
            number = signal.SIGKILL
    os._exit(0)


if __name__ == "__main__":
    main()
