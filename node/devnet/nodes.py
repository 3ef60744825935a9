"""One node of a devnet: its settings, its programs, what `devnet.json` says of it.

Not here: the order in which they are started (`network.py`).
"""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.core.throttling import UNLIMITED
from node.devnet.anvil import CHAIN_ID
from node.devnet.postgres import DATABASE, Postgres
from node.devnet.programs import CHECKOUT, Program, inherited_environment
from node.devnet.state import NODE_NAMES, StateDirectory, read_json, write_private

BLOCK_S = 1
# A block is final when so many follow it.
FINALITY_DEPTH_BLOCKS = 2

# anvil forgets a transaction that it could not put into a full block in the order of nonces.
_RESEND_AFTER_S = 3
# Rates of the last day the wheel of the European Central Bank's data knows, however old. Prices
# are made of these; the price feeds on the chain come last, as a cross check.
_FX_SOURCES = "ecb:max_age_s=0,fixed:USD/USDC=1,chainlink:max_age_s=0"
_SECRETS_KEY_BYTES = 32
_PROGRAMS = ("serve", "work")


@dataclass(frozen=True, slots=True)
class Node:
    """One node, on the database server and the chain that all share.

    Attributes:
        place: Where it keeps what is its own.
        http_port: On 127.0.0.1.
    """

    name: str
    place: StateDirectory
    http_port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def database(self) -> str:
        """Name of its database."""
        return DATABASE if self._is_first else f"{DATABASE}_{self.name}"

    @property
    def is_seeded(self) -> bool:
        """Whether its database was fully set up before."""
        return self.place.seed.exists()

    @property
    def _is_first(self) -> bool:
        return self.name == NODE_NAMES[0]

    def program_name(self, program: str) -> str:
        """What people call one of its programs: the first node's by one word."""
        return program if self._is_first else f"{self.name}-{program}"

    def programs(self, environment: Mapping[str, str]) -> list[Program]:
        """`serve` and `work`."""
        return [self.program(each, "node", each, environment=environment) for each in _PROGRAMS]

    def program(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str]
    ) -> Program:
        """A Python program of this node, its log among the node's own."""
        return Program(
            name=self.program_name(name),
            command=[sys.executable, "-m", module, *arguments],
            log=self.place.log(name),
            environment={**inherited_environment(), **environment},
            cwd=CHECKOUT,
            # Safe to kill by design, and an orderly end could wait for a database that is gone.
            death_signal=signal.SIGKILL,
        )

    def environment(self, server: Postgres, rpc_url: str) -> dict[str, str]:
        """Its settings."""
        place, addresses = self.place, read_json(self.place.chain)
        signers = {
            f"CORRIDOR_{name.upper()}_SIGNER": f"keystore:{place.keystore(name)}"
            for name in ("treasury", "pauser", "rescuer")
        }
        price_feeds = "".join(f";{pair}={feed}" for pair, feed in addresses["price_feeds"].items())
        settings = {
            "STATE_DIR": str(place.root),
            "DATABASE_URL": server.node_url(self.database),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.http_port),
            "CHAIN_ID": str(CHAIN_ID),
            "CHAIN_RPC_URLS": rpc_url,
            "CHAIN_FINALITY": f"depth:{FINALITY_DEPTH_BLOCKS}",
            "CHAIN_BLOCK_S": str(BLOCK_S),
            "RESEND_AFTER_S": str(_RESEND_AFTER_S),
            "TOKEN_ADDRESS": addresses["token"],
            "SETTLEMENT_ADDRESS": addresses["settlement"],
            "DEPOSITS_ADDRESS": addresses["deposits"],
            "TREASURY_ADDRESS": addresses["treasury"],
            "SIGNER": f"keystore:{place.lane_keystores}",
            "FX_SOURCES": _FX_SOURCES + price_feeds,
            "SECRETS_KEY_FILE": str(self._secrets_key()),
            "WEBHOOKS_PRIVATE": "1",
            "SANDBOX": "1",
            "RATE_LIMITS": inherited_environment().get("CORRIDOR_RATE_LIMITS", UNLIMITED),
        }
        if place.peers.exists():
            settings["PEERS_FILE"] = str(place.peers)
        return {f"CORRIDOR_{name}": value for name, value in settings.items()} | signers

    def describe(self, server: Postgres, pid: Callable[[str], int]) -> dict[str, Any]:
        """What `devnet.json` says of it; `pid` is of any program, by its name."""
        addresses, seeded = read_json(self.place.chain), read_json(self.place.seed)
        return {
            "name": self.name,
            "url": self.url,
            "database_url": server.node_url(self.database),
            "database_owner_url": server.url(self.database),
            "settlement": addresses["settlement"],
            "treasury": addresses["treasury"],
            "lanes": addresses["lanes"],
            "pids": {each: [pid(self.program_name(each))] for each in _PROGRAMS},
            "keys": seeded["keys"],
            "customers": seeded["customers"],
        }

    def _secrets_key(self) -> Path:
        """The file of the key, made once."""
        file = self.place.secrets_key
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(file, secrets.token_hex(_SECRETS_KEY_BYTES) + "\n")
        return file
