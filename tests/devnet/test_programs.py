"""Programs end when their supervisor ends, and are recognised by more than their pid."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.devnet.programs import (
    Lifeline,
    ProcessId,
    Program,
    free_port,
    parent_death_signal_exists,
    spawn,
    stop,
    wait_ready,
    wait_until,
)

SLEEPS = "import time; time.sleep(600)"
IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', flush=True); time.sleep(600)"
)
# A supervisor that starts one program, tells its pid, and waits to be killed.
SUPERVISOR = """
import sys, time
from pathlib import Path
from node.devnet.programs import Lifeline, Program, spawn
log = Path(sys.argv[1])
program = Program("sleeper", [sys.executable, "-c", sys.argv[2]], log, {}, log.parent)
process = spawn(program, lifeline=Lifeline() if sys.argv[3] == "guard" else None)
print(process.pid, flush=True)
time.sleep(600)
"""


def a_program(directory: Path, code: str = SLEEPS) -> Program:
    return Program(
        name="sleeper",
        command=[sys.executable, "-c", code],
        log=directory / "sleeper.log",
        environment={},
        cwd=directory,
    )


WAYS = ["guard", *(["kernel"] if parent_death_signal_exists() else [])]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_program_ends_however_its_supervisor_ends(
    tmp_path: Path, way: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path / "log"), SLEEPS, way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        program = ProcessId.of(int(supervisor.stdout.readline()))
        assert program.alive()
        supervisor.send_signal(number)
    assert wait_until(lambda: not program.alive(), limit_s=60)


@pytest.mark.parametrize("guarded", [True, *([False] if parent_death_signal_exists() else [])])
def test_the_pid_is_that_of_the_program_itself(tmp_path: Path, guarded: bool) -> None:
    lifeline = Lifeline() if guarded else None
    says_its_pid = "import os; print(os.getpid(), flush=True)"
    process = spawn(a_program(tmp_path, says_its_pid), lifeline=lifeline)
    assert process.wait(60) == 0
    assert int((tmp_path / "sleeper.log").read_text()) == process.pid
    if lifeline is not None:
        lifeline.close()


def test_a_program_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    program = a_program(tmp_path, IGNORES_SIGTERM)
    lifeline = None if parent_death_signal_exists() else Lifeline()
    process = spawn(program, lifeline=lifeline)
    assert wait_until(lambda: "deaf" in program.log.read_text(), limit_s=60)
    assert stop(process, program, limit_s=0.2) is False
    assert process.returncode == -signal.SIGKILL


def test_a_program_that_has_answered_once_is_not_asked_again(tmp_path: Path) -> None:
    program = a_program(tmp_path)
    lifeline = None if parent_death_signal_exists() else Lifeline()
    process = spawn(program, lifeline=lifeline)
    answers = iter([False, True])  # and then: not for the moment
    try:
        wait_ready(process, program, lambda: next(answers, False), limit_s=60)
    finally:
        stop(process, program)


def test_a_later_owner_of_a_pid_is_a_stranger() -> None:
    own = ProcessId.of(os.getpid())
    assert own.alive()
    assert not ProcessId(own.pid, "begun at another time").alive()


def test_a_process_that_has_ended_is_not_alive_even_while_nobody_has_collected_it() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPS]) as process:
        identity = ProcessId.of(process.pid)
        process.kill()
        assert wait_until(lambda: not identity.alive(), limit_s=60)


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert free_port(port) != port
    assert free_port(port) == port


KEEPS = """
import sys, time
from node.devnet.programs import free_port
print(free_port(int(sys.argv[1])), flush=True)
time.sleep(600)
"""


@contextmanager
def asking(code: str, port: int) -> Iterator[str]:
    """What another process says that asks for ports; it ends with the block."""
    command = [sys.executable, "-c", code, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.kill()


def test_a_port_that_another_process_wants_to_listen_on_is_left_to_it() -> None:
    port = free_port()
    with asking(KEEPS, port) as told:
        assert int(told) == port
        assert free_port(port) != port
    assert free_port(port) == port


KEEPS_NEXT = """
from node.devnet import programs
first = programs.free_port()
assert programs.free_port(first + 1) == first + 1
print(first, *(programs.free_port() for _ in range(programs._BLOCK_PORTS)), flush=True)
"""


def test_a_port_that_was_asked_for_by_its_number_is_given_to_nobody_else() -> None:
    with asking(KEEPS_NEXT, 0) as told:
        first, *others = (int(port) for port in told.split())
        assert first in others  # the whole block was walked
        assert first + 1 not in others


def test_a_port_of_the_own_block_that_another_process_keeps_is_passed_over() -> None:
    port = free_port()
    with asking(KEEPS, port + 1):
        assert free_port() != port + 1


# Two blocks of four ports, where no other process of this kind looks; of each one is the claim.
WALKS = """
import sys, time
from node.devnet import programs
from node.devnet.errors import DevnetError
first = int(sys.argv[1])
programs._QUIET_PORTS, programs._BLOCK_PORTS = range(first, first + 8), 4
try:
    print(*(programs.free_port() for _ in range(6)), flush=True)
except DevnetError as error:
    print(error, flush=True)
time.sleep(600)
"""


def test_no_two_processes_take_ports_from_the_same_block() -> None:
    first = 19_000 + 8 * (os.getpid() % 100)
    with asking(WALKS, first) as one:
        with asking(WALKS, first) as two, asking(WALKS, first) as three:
            taken = [{int(port) for port in each.split()} for each in (one, two)]
            assert "no free TCP port" in three
        with asking(WALKS, first) as four:  # the claim of `two` ended with it
            assert {int(port) for port in four.split()} == taken[1]
    assert [len(each) for each in taken] == [3, 3]
    assert not taken[0] & taken[1]
