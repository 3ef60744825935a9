"""The supervisor starts again what ended, and nothing of it outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.devnet.programs import ProcessId, wait_until
from node.devnet.state import StateDirectory, read_json
from node.devnet.supervisor import leftovers

# A supervisor of two programs, `first` and `second`; the second command is given. It prints what
# the supervisor says.
SUPERVISOR = """
import signal, sys
from pathlib import Path
from node.devnet.errors import DevnetError
from node.devnet.programs import Program
from node.devnet.state import StateDirectory
from node.devnet.supervisor import Stopped, Supervisor
state = StateDirectory(Path(sys.argv[1]))
state.prepare(made_by="devnet")
supervisor = Supervisor(state, lambda line: print(line, flush=True))
notes = state.root / "ends"
sleeper = '''
import signal, sys, time
def end(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + " ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + "-" + sys.argv[2], "w").close()
time.sleep(600)
'''
def a_program(name, command):
    return Program(name, command, state.log(name), {}, state.root)
try:
    with supervisor.running():
        for name in ("first", "second"):
            ready = state.root / ("ends-" + name)
            command = [sys.executable, "-c", sleeper, str(notes), name]
            lost = DevnetError("all is lost") if sys.argv[2] == name + "-is-lost" else None
            if sys.argv[2] == name + "-fails":
                command = [sys.executable, "-c", "import sys; sys.exit(3)"]
                ready = state.root
            supervisor.start(a_program(name, command), lost=lost)
            supervisor.wait_for(name, ready.exists)
        if sys.argv[2] == "first-fails":  # somebody asks at each start, while others are looked at
            supervisor.on_change = lambda: signal.raise_signal(signal.SIGUSR1)
        supervisor.announce_ready()
        print("ready", flush=True)
        supervisor.watch()
except Stopped as asked:
    print("stopped by", asked)
except DevnetError as error:
    print("error:", error)
"""

Supervisor = subprocess.Popen[str]


@contextmanager
def supervised(state: StateDirectory, special: str = "") -> Iterator[Supervisor]:
    command = [sys.executable, "-c", SUPERVISOR, str(state.root), special]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            assert next_line(supervisor, "ready")
            yield supervisor
        finally:
            supervisor.kill()
    assert wait_until(lambda: not leftovers(state), limit_s=60)


def next_line(supervisor: Supervisor, wanted: str) -> str:
    """Read on to the next line with these words."""
    assert supervisor.stdout is not None
    return next((line for line in supervisor.stdout if wanted in line), "")


def pid_of(state: StateDirectory, name: str) -> int:
    return int(read_json(state.processes)["programs"][name]["pid"])


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def test_a_killed_program_is_started_again_at_once_each_time(state: StateDirectory) -> None:
    with supervised(state) as supervisor:
        for _ in range(20):
            pid = pid_of(state, "second")
            os.kill(pid, signal.SIGKILL)
            assert next_line(supervisor, "second was ended by signal 9")
            assert next_line(supervisor, "second is started again")
            assert wait_until(lambda before=pid: pid_of(state, "second") != before, limit_s=60)  # type: ignore[misc]


def test_a_program_that_ends_by_itself_is_started_again_after_growing_pauses(
    state: StateDirectory,
) -> None:
    with supervised(state, "second-fails") as supervisor:
        for _ in range(3):
            assert next_line(supervisor, "second ended with status 3, see")
            assert next_line(supervisor, "second is started again")


def test_what_waits_for_its_next_start_is_started_when_somebody_asks(
    state: StateDirectory,
) -> None:
    with supervised(state, "second-fails") as supervisor:
        for _ in range(4):  # the fourth pause is longer than the test waits
            assert next_line(supervisor, "second ended with status 3, see")
            supervisor.send_signal(signal.SIGUSR1)
            assert next_line(supervisor, "second is started again")


def test_who_asks_while_the_programs_are_looked_after_is_heard(state: StateDirectory) -> None:
    with supervised(state, "first-fails") as supervisor:
        began_at = time.monotonic()
        for _ in range(8):  # the pauses add up to more than 90 s
            assert next_line(supervisor, "first is started again")
    assert time.monotonic() - began_at < 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_programs_in_the_reverse_order_of_their_start(
    state: StateDirectory, number: signal.Signals
) -> None:
    with supervised(state) as supervisor:
        supervisor.send_signal(number)
        assert next_line(supervisor, f"stopped by {number.name}")
        assert supervisor.wait(60) == 0
        assert (state.root / "ends").read_text() == "second first "
        assert not state.processes.exists()


def test_kill_minus_9_of_the_supervisor_leaves_no_program_alive(state: StateDirectory) -> None:
    with supervised(state) as supervisor:
        assert set(leftovers(state)) == {"first", "second"}
        supervisor.kill()
        supervisor.wait()
        assert wait_until(lambda: not leftovers(state), limit_s=60)


def test_a_program_that_cannot_be_replaced_ends_the_whole(state: StateDirectory) -> None:
    with supervised(state, "first-is-lost") as supervisor:
        os.kill(pid_of(state, "first"), signal.SIGKILL)
        assert next_line(supervisor, "error: all is lost")
        assert supervisor.wait(60) == 0
        assert not leftovers(state)


def test_what_an_earlier_supervisor_left_is_ended_before_anything_is_started(
    state: StateDirectory,
) -> None:
    state.prepare(made_by="devnet")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as left:
        identity = ProcessId.of(left.pid)
        entry = {"pid": left.pid, "started": identity.started, "signal": int(signal.SIGTERM)}
        # A stranger that has got the pid of another one is not touched.
        own = {"pid": os.getpid(), "started": "long ago", "signal": int(signal.SIGKILL)}
        state.processes.write_text(json.dumps({"programs": {"old": entry, "stranger": own}}))
        with supervised(state):
            assert not identity.alive()
