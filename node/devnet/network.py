"""What a devnet consists of, in the order in which it starts.

PostgreSQL, anvil, contracts and money, schema, customers and keys, `serve`, `work`. A chain lives
in anvil's memory; an orderly end writes it down and the next start goes on with it. When anvil
was killed the chain is lost and the database is ahead of it for good: that is said, not mended.
Not here: keeping the programs running (`supervisor.py`).
"""

from __future__ import annotations

import http.client
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.devnet.anvil import CHAIN_ID, Anvil
from node.devnet.errors import DevnetError
from node.devnet.postgres import Postgres
from node.devnet.programs import Program, free_port
from node.devnet.rpc import call
from node.devnet.state import StateDirectory, read_json, write_json
from node.devnet.supervisor import Say, Supervisor

NODE_NAME = "berlin"

_HTTP_PORT = 8000
_CHAIN_PORT = 8545
_DATABASE_PORT = 54320
_BLOCK_S = 1
# Recent blocks that can be asked for state, as a geth full node keeps them.
_STATES_KEPT = 128
# A block is final when two follow it; a resumed chain can be asked for the state of new blocks only.
_BLOCKS_ON_RESUME = 3
_SERVE_SIGNAL_LIMIT_S = 1.0

_CHAIN_LOST = (
    "the chain is lost: it lived in anvil's memory, and anvil did not end in good order. "
    "The database knows payments that no chain knows any more"
)
_START_ANEW = "run `corridor devnet down --wipe`, then start anew"


class ChainLost(DevnetError):
    """Chain and database of a state directory can never agree again."""

    def __init__(self) -> None:
        super().__init__(_CHAIN_LOST, remedy=_START_ANEW)


class Ticker(threading.Thread):
    """Mines a block each second.

    anvil's own `--block-time 1` keeps the whole state of the last 1,500 blocks in memory whatever
    it is told, which with many token holders is gigabytes; blocks that are asked for obey
    `--prune-history`.
    """

    def __init__(self, rpc_url: str) -> None:
        super().__init__(name="ticker", daemon=True)
        self._rpc_url = rpc_url
        self._ended = threading.Event()

    def run(self) -> None:
        """Mine until told to end; a chain that is gone is the supervisor's business."""
        due = time.monotonic() + _BLOCK_S
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            try:
                call(self._rpc_url, "evm_mine")
            except DevnetError:
                continue
            finally:
                due = max(due + _BLOCK_S, time.monotonic())

    def end(self) -> None:
        """No further block."""
        self._ended.set()


@dataclass(slots=True)
class Network:
    """One devnet in one state directory.

    Attributes:
        state: Its directory, prepared and locked.
        port: HTTP port that is asked for; None: 8000, or a free one.
        say: Tells a person what happens.
    """

    state: StateDirectory
    port: int | None
    say: Say
    _http_port: int = 0
    _addresses: Mapping[str, str] = field(default_factory=dict)
    _seed: Mapping[str, Any] = field(default_factory=dict)

    def start(self, supervisor: Supervisor) -> None:
        """Start everything and write `devnet.json`.

        Raises:
            ChainLost: The directory's chain is gone.
            DevnetError: Something cannot be had or does not come up; says the remedy.
        """
        supervisor.on_change = lambda: self._describe(supervisor)
        self._http_port = self._choose_http_port()
        self._start_database(supervisor)
        self._start_chain(supervisor)
        environment = self._node_environment()
        supervisor.run(self._own_program("migrate", "node", "migrate", environment=environment))
        self._seed_database(supervisor, environment)
        for name in ("serve", "work"):
            program = self._own_program(name, "node", name, environment=environment)
            supervisor.start(program, lambda: True)
        self._await_node(supervisor)
        self._describe(supervisor)
'''
