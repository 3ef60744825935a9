"""Who used the processors: each program of a devnet, this process, and everything else."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """Processor time so far, in seconds, at an instant (monotonic).

    Attributes:
        programs: Of each program and its children, by name.
        own: Of this process.
        everything: Of the whole machine.
    """

    at_s: float
    programs: Mapping[str, float]
    own: float
    everything: float


def read(pids: Mapping[str, int]) -> Reading:
    """A reading of these programs; zeros where there is no /proc."""
    spent = dict.fromkeys(pids, 0.0)
    everything = 0.0
    if (_PROC / "stat").exists():
        names = {pid: name for name, pid in pids.items()}
        for stat in _PROC.glob("[0-9]*/stat"):
            try:
                number, _, rest = stat.read_text().partition(" ")
            except OSError:  # it ended meanwhile
                continue
            # proc(5), from field 3: state, ppid, ... utime, stime, cutime, cstime are 14 to 17.
            fields = rest.rpartition(")")[2].split()
            if (name := names.get(int(number))) is not None:
                spent[name] += sum(map(int, fields[11:15])) / _TICKS_A_SECOND
            elif (name := names.get(int(fields[1]))) is not None:
                spent[name] += sum(map(int, fields[11:13])) / _TICKS_A_SECOND
        # Its first line: cpu, user, nice, system, idle, iowait, irq, softirq, steal.
        user, nice, system, _, _, *rest_of_all = (_PROC / "stat").read_text().split()[1:9]
        everything = sum(map(int, (user, nice, system, *rest_of_all))) / _TICKS_A_SECOND
    return Reading(time.monotonic(), spent, time.process_time(), everything)


@dataclass(frozen=True, slots=True)
class Use:
    """Processors used between two readings: seconds per second.

    Attributes:
        programs: Of each program.
        others: Of what is neither these programs nor this process.
    """

    programs: Mapping[str, float]
    others: float

    @classmethod
    def between(cls, began: Reading, ended: Reading) -> Use:
        """What was used from one reading to the other."""
        seconds = ended.at_s - began.at_s
        programs = {
            name: (spent - began.programs.get(name, 0.0)) / seconds
            for name, spent in ended.programs.items()
        }
        everything = (ended.everything - began.everything) / seconds
        own = (ended.own - began.own) / seconds
        return cls(programs, max(everything - own - sum(programs.values()), 0.0))
