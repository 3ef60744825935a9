"""The state directory of a devnet: what is where, who may delete it, how it is written.

Not here: what the files mean to the programs that use them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.devnet.errors import DevnetError, Outdated

NODE_NAMES = ("berlin", "manila")

_MARKER = "corridor-devnet"
_LAYOUT = 4  # what is deployed and kept; a directory of another cannot go on


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Everything of one devnet; nothing of it is anywhere else.

    What is one node's own (`chain`, `seed`, `peers`, keys, logs of its processes) lies here for the
    first node, and under the same names in a directory inside for a further one (`node`).
    """

    root: Path

    def node(self, name: str) -> StateDirectory:
        """Where a node keeps what is its own."""
        return self if name == NODE_NAMES[0] else StateDirectory(self.root / name)

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes that the directory was made for, the first one first."""
        return NODE_NAMES[: int(read_json(self.root / _MARKER).get("nodes", 1))]

    @property
    def description(self) -> Path:
        """`devnet.json`: addresses, pids, keys; there while the devnet runs."""
        return self.root / "devnet.json"

    @property
    def processes(self) -> Path:
        """Who was started, so that exactly they can be stopped."""
        return self.root / "processes.json"

    @property
    def chain(self) -> Path:
        """Addresses of contracts and accounts, written when the chain is fully set up."""
        return self.root / "chain.json"

    @property
    def seed(self) -> Path:
        """Keys and customers, written when the database is fully set up."""
        return self.root / "seed.json"

    @property
    def webhook(self) -> Path:
        """Where a node sends its partner's webhooks and with what secret, once that is set up."""
        return self.root / "webhook.json"

    @property
    def peers(self) -> Path:
        """Who pays out for a node (`CORRIDOR_PEERS_FILE`); keys and secrets lie beside it."""
        return self.root / "peers" / "peers.toml"

    @property
    def asked(self) -> Path:
        """What `up` was asked for and is to be done again: the HTTP port. Outlives `down`."""
        return self.root / "asked.json"

    @property
    def postgres(self) -> Path:
        """The database server's directory."""
        return self.root / "postgres"

    @property
    def anvil(self) -> Path:
        """The chain's directory."""
        return self.root / "anvil"

    def keystore(self, name: str) -> Path:
        """Keystore of `treasury`, `pauser`, `rescuer` or `lanes/N`; beside it its `.password`."""
        return self.root / "keys" / f"{name}.json"

    @property
    def lane_keystores(self) -> Path:
        """The directory of the lanes' keystores."""
        return self.root / "keys" / "lanes"

    @property
    def secrets_key(self) -> Path:
        """The key that secrets of webhook endpoints are encrypted with."""
        return self.root / "keys" / "secrets.key"

    def log(self, name: str) -> Path:
        """Log file of one program."""
        return self.root / "logs" / f"{name}.log"

    def prepare(self, *, made_by: str, nodes: int | None = None) -> None:
        """Make the directory, or accept one that is a devnet's.

        Args:
            made_by: Noted in a new directory; the demo renews only what a demo made.
            nodes: How many, noted in a new directory; None: as many as there are, 1 at first.

        Raises:
            Outdated: Another version made it.
            DevnetError: It holds something else or another number of nodes, or cannot be written.
        """
        if nodes is not None and not 1 <= nodes <= len(NODE_NAMES):
            raise DevnetError(f"a devnet has one node or two, not {nodes}", remedy="give 1 or 2")
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            marker = self.root / _MARKER
            if marker.exists():
                if read_json(marker).get("layout") != _LAYOUT:
                    raise Outdated
                self._check_number(nodes)
                return
            # `corridor send` keeps its unanswered sends here, also with no devnet about.
            if any(each.name != "sends" for each in self.root.iterdir()):
                raise DevnetError(
                    f"{self.root} is not empty and was not made by a devnet",
                    remedy="give an empty or new directory with --state-dir",
                )
            count = {} if nodes in (None, 1) else {"nodes": nodes}
            write_json(marker, {"layout": _LAYOUT, "made_by": made_by, **count})
        except OSError as error:
            raise DevnetError(
                f"cannot write in the state directory {self.root}: {error.strerror}",
                remedy="give a directory of your own with --state-dir",
            ) from error

    def _check_number(self, nodes: int | None) -> None:
        """Nodes are deployed and introduced to each other when the directory is made."""
        there = len(self.node_names)
        if nodes not in (None, there):
            raise DevnetError(
                f"the devnet in {self.root} was made with --nodes {there}; that cannot be changed",
                remedy="leave --nodes out to go on with it, give another directory with"
                " --state-dir, or run `corridor devnet down --wipe` first",
            )

    def forget_running(self) -> None:
        """Remove what is there only while the devnet runs."""
        for name in self.node_names:
            self.node(name).description.unlink(missing_ok=True)
        self.processes.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether this is a devnet's directory."""
        return (self.root / _MARKER).exists()

    def made_by(self) -> str:
        """Who made the directory: `devnet` or `demo`."""
        return str(read_json(self.root / _MARKER).get("made_by", ""))

    def wipe(self) -> None:
        """Delete the directory, the devnet's chain and database with it.

        Raises:
            DevnetError: It is not a devnet's directory.
        """
        if not self.exists():
            raise DevnetError(f"{self.root} was not made by a devnet; it is not deleted")
        # The marker goes last, so that an interrupted deletion can be repeated.
        for each in sorted(self.root.iterdir(), key=lambda path: path.name == _MARKER):
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        self.root.rmdir()

    def lock(self) -> int | None:
        """Become the one supervisor of this directory; None while another process is.

        The lock ends with the process, however it ends.
        """
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle


def write_json(path: Path, value: Any) -> None:
    """Write a file that only the owner can read; readers see the old or the new, never a part."""
    write_private(path, json.dumps(value, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """As `write_json`, for text."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is no such file.

    Raises:
        DevnetError: The file holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DevnetError(
            f"{path} is damaged: {error}", remedy="run `corridor devnet down --wipe`"
        ) from error
    if not isinstance(value, dict):
        raise DevnetError(f"{path} is damaged", remedy="run `corridor devnet down --wipe`")
    return value
