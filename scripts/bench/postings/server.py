"""The product's embedded PostgreSQL for a benchmark: its own settings, nothing tuned, fsync on."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.devnet import programs
from node.devnet.postgres import Postgres
from scripts.bench.measure import BenchFailed

SHOWN: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
)
_PROC: Final = Path("/proc")
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_DISK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server.

    Attributes:
        postgres: Its directory, port and passwords.
        pid: Of the process that all of its others are children of.
    """

    postgres: Postgres
    pid: int

    def settings(self) -> dict[str, str]:
        """What the server itself says of the settings that such figures depend on.

        Raises:
            BenchFailed: It does not wait for its disk.
        """
        found = {name: self.postgres.sql(f"SHOW {name}") for name in SHOWN}
        if (found["fsync"], found["synchronous_commit"]) != ("on", "on"):
            raise BenchFailed(f"the server does not wait for its disk: {found}")
        return found

    def processor_s(self) -> tuple[float, float]:
        """Processor time so far, of all the server's processes and of everything there is.

        Zeros where there is no /proc.
        """
        if not (_PROC / "stat").exists():
            return 0, 0
        ticks = 0
        for stat in _PROC.glob("[0-9]*/stat"):
            try:
                number, _, rest = stat.read_text().partition(" ")
            except OSError:  # it ended meanwhile
                continue
            # proc(5), from field 3: state, ppid, ... utime, stime, cutime, cstime are 14 to 17.
            fields = rest.rpartition(")")[2].split()
            if int(number) == self.pid:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == self.pid:
                ticks += sum(map(int, fields[11:13]))
        # Its first line: cpu, user, nice, system, idle, iowait, irq, softirq, steal.
        user, nice, system, _, _, *rest_of_all = (_PROC / "stat").read_text().split()[1:9]
        everything = sum(map(int, (user, nice, system, *rest_of_all)))
        return ticks / _TICKS_A_SECOND, everything / _TICKS_A_SECOND

    def disk_writes_per_s(self) -> float:
        """How often a second the disk takes 8 kB and says that it has them: one commit's wait."""
        path = self.postgres.directory / "disk"
        with path.open("wb", buffering=0) as file:
            began_s = time.perf_counter()
            writes = 0
            while (past_s := time.perf_counter() - began_s) < _DISK_S:
                file.seek(0)
                file.write(bytes(8192))
                os.fsync(file.fileno())
                writes += 1
        path.unlink()
        return writes / past_s


@contextmanager
def running(parent: Path | None) -> Iterator[Server]:
    """A server with its data in a new directory below `parent`, for the time of a `with`."""
    with tempfile.TemporaryDirectory(prefix="corridor-bench-", dir=parent) as name:
        directory = Path(name)
        lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
        postgres = Postgres(directory / "pg", programs.free_port(), directory / "postgres.log")
        postgres.initialise()
        program = postgres.program()
        process = programs.spawn(program, lifeline=lifeline)
        try:
            programs.wait_ready(process, program, postgres.ready)
            postgres.create_node_login()
            yield Server(postgres, process.pid)
        finally:
            programs.stop(process, program)


def resident_mb(which: str = "VmRSS") -> int | None:
    """Memory of this process, MB: now (`VmRSS`) or at most (`VmHWM`); None without /proc."""
    try:
        found = re.search(
            rf"^{which}:\s+(\d+) kB", (_PROC / "self" / "status").read_text(), re.MULTILINE
        )
    except OSError:
        return None
    return int(found[1]) // 1024 if found else None


def forget_peak() -> None:
    """Let `VmHWM` begin anew at what is used now (proc(5), clear_refs); nothing without /proc."""
    refs = _PROC / "self" / "clear_refs"
    if refs.exists():
        refs.write_text("5")
