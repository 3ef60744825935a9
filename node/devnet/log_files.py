"""The log files of a devnet: which there are, their last lines, and what is added to them.

Not here: what is written to them (`node.logs`), and by whom (`programs.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.devnet.errors import DevnetError
from node.devnet.state import StateDirectory

_BLOCK_BYTES = 65_536
_LOOK_EACH_S = 0.2
_SHARED = frozenset({"supervisor", "postgres", "anvil"})


@dataclass(frozen=True, slots=True)
class LogFile:
    """The log of one program.

    Attributes:
        program: `serve`; the same word in every node.
        node: Whose; None: all nodes share the program.
    """

    program: str
    node: str | None
    path: Path


def log_files(
    state_dir: Path, *, program: str | None = None, node: str | None = None
) -> Sequence[LogFile]:
    """The logs that are asked for; `program` and `node` name one each, None: all.

    Raises:
        DevnetError: There is no devnet, or no such log; says which there are.
    """
    place = StateDirectory(state_dir.absolute())
    if not place.exists():
        raise DevnetError(
            f"there is no devnet in {place.root}",
            remedy="start one with `corridor devnet up`, or name it with --state-dir",
        )
    if node is not None and node not in place.node_names:
        raise DevnetError(
            f"the devnet has no node {node!r}", remedy=f"it has {', '.join(place.node_names)}"
        )
    found = [
        LogFile(path.stem, None if path.stem in _SHARED else name, path)
        for name in place.node_names
        for path in sorted(place.node(name).log("any").parent.glob("*.log"))
    ]
    if not found:
        raise DevnetError(
            f"nothing was started in {place.root} yet", remedy="run `corridor devnet up`"
        )
    of_node = [each for each in found if node is None or each.node == node]
    wanted = [each for each in of_node if program is None or each.program == program]
    if not wanted:
        programs = ", ".join(dict.fromkeys(each.program for each in of_node))
        raise DevnetError(f"there is no log of {program!r}", remedy=f"there are {programs}")
    return wanted


def last_lines(file: LogFile, count: int) -> Sequence[str]:
    """The last lines of a log as it is now, the oldest first."""
    reader = _Reader(file)
    lines = [*reader.begin(count), *reader.unfinished]
    return lines[-count:] if count else []


def follow(files: Sequence[LogFile], count: int) -> Iterator[tuple[LogFile, str]]:
    """The last lines of each log, then whatever is added to any, until nobody asks any more.

    Waits between two looks. A file that is emptied, or made anew, is read from its beginning.
    """
    readers = [_Reader(each) for each in files]
    for reader in readers:
        yield from ((reader.file, line) for line in reader.begin(count))
    while True:
        news = [(each.file, line) for each in readers for line in each.more()]
        yield from news
        if not news:
            time.sleep(_LOOK_EACH_S)


class _Reader:
    """Reads one log on and on; a line that is not ended yet waits for its end."""

    def __init__(self, file: LogFile) -> None:
        self.file = file
        self._at_bytes = 0
        self._rest = b""

    def begin(self, count: int) -> Sequence[str]:
        """The last so many lines; only as much as they need is read."""
        try:
            with self.file.path.open("rb") as log:
                start = self._at_bytes = log.seek(0, 2)
                text = b""
                while start and text.count(b"\n") <= count:
                    start = max(0, start - _BLOCK_BYTES)
                    log.seek(start)
                    text = log.read(self._at_bytes - start)
        except OSError:
            return []
        whole, ended, self._rest = text.rpartition(b"\n")
        return _texts(whole)[-count:] if ended and count else []

    @property
    def unfinished(self) -> Sequence[str]:
        """The line that has no end yet, if there is one."""
        return _texts(self._rest) if self._rest else []

    def more(self) -> Sequence[str]:
        """Lines that were ended since."""
        try:
            with self.file.path.open("rb") as log:
                if log.seek(0, 2) < self._at_bytes:
                    self._at_bytes, self._rest = 0, b""
                log.seek(self._at_bytes)
                added = log.read()
        except OSError:
            return []
        self._at_bytes += len(added)
        whole, ended, rest = (self._rest + added).rpartition(b"\n")
        self._rest = rest
        return _texts(whole) if ended else []


def _texts(whole: bytes) -> list[str]:
    return whole.decode(errors="replace").split("\n")
