"""What a devnet consists of, in the order in which it starts.

PostgreSQL, anvil, contracts and money, schema, customers and keys, `serve`, `work`. A chain lives
in anvil's memory; an orderly end writes it down and the next start goes on with it. When anvil
was killed the chain is lost and the database is ahead of it for good: that is said, not mended.
Not here: keeping the programs running (`supervisor.py`).
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
# anvil forgets a transaction that it could not put into a full block in the order of nonces.
_RESEND_AFTER_S = 3
# Recent blocks that can be asked for state: ten minutes, in which people can look at a reorg past
# finality and accept it. (A geth full node keeps 128.) Each costs up to half a megabyte of memory.
_STATES_KEPT = 600
# A block is final when so many follow it.
FINALITY_DEPTH_BLOCKS = 2
# A resumed chain can be asked for the state of new blocks only: make the final one new.
_BLOCKS_ON_RESUME = FINALITY_DEPTH_BLOCKS + 1
_ANSWER_LIMIT_S = 5.0
# Rates of the last day the wheel of the European Central Bank's data knows, however old. Prices
# are made of these; the price feeds on the chain come last, as a cross check.
_FX_SOURCES = "ecb:max_age_s=0,fixed:USD/USDC=1,chainlink:max_age_s=0"
CHECKOUT = Path(__file__).resolve().parents[2]

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
        port: HTTP port that is asked for; None: that of the last time, 8000 at first, or a free
            one.
        say: Tells a person what happens.
    """

    state: StateDirectory
    port: int | None
    say: Say
    _ticker: Ticker | None = None

    def start(self, supervisor: Supervisor) -> None:
        """Start everything and write `devnet.json`.

        Raises:
            ChainLost: The directory's chain is gone.
            DevnetError: Something cannot be had or does not come up; says the remedy.
        """
        http_port = self._choose_http_port()
        database = self._start_database(supervisor)
        chain = self._start_chain(supervisor)
        addresses = read_json(self.state.chain)
        environment = self._node_environment(http_port, database, chain, addresses)
        url = f"http://127.0.0.1:{http_port}"
        self._start_node(supervisor, environment, url, database.url())
        self._describe(supervisor, url, database, chain, addresses)
        supervisor.on_change = lambda: self._describe(supervisor, url, database, chain, addresses)

    def end(self) -> None:
        """No further block; the programs are the supervisor's to stop."""
        if self._ticker is not None:
            self._ticker.end()

    def _choose_http_port(self) -> int:
        """The port that is asked for; else the one that was asked for last, if it is free."""
        before = read_json(self.state.asked).get("http_port", _HTTP_PORT)
        wanted = before if self.port is None else self.port
        chosen = free_port(wanted)
        if self.port is not None:
            if chosen != self.port:
                raise DevnetError(
                    f"port {self.port} is taken", remedy="give another with --port, or leave it out"
                )
            write_json(self.state.asked, {"http_port": self.port})
        elif chosen != wanted:
            self.say(f"port {wanted} is taken; taking {chosen}")
        return chosen

    def _start_database(self, supervisor: Supervisor) -> Postgres:
        server = Postgres(
            self.state.postgres, free_port(_DATABASE_PORT), self.state.log("postgres")
        )
        if server.initialise():
            self.say("made a PostgreSQL data directory")
        self.say(f"starting PostgreSQL on port {server.port}")
        supervisor.start(server.program(), before_start=server.remove_stale_lock)
        supervisor.wait_for("postgres", server.ready)
        if not self.state.seed.exists():  # an interrupted first start: no node has run on it yet
            server.drop_database()
        server.create_database()
        server.create_node_login()
        return server

    def _start_chain(self, supervisor: Supervisor) -> Anvil:
        chain = Anvil(
            self.state.anvil,
            free_port(_CHAIN_PORT),
            self.state.log("anvil"),
            automine=False,
            states_kept=_STATES_KEPT,
            keep_state=True,
        )
        resumed = self.state.chain.exists()
        if resumed and not chain.state_file.exists():
            raise ChainLost
        if not resumed:  # an interrupted first start: nothing depends on that chain yet
            chain.state_file.unlink(missing_ok=True)
        chain.remove_caches()
        self.say(f"starting anvil on port {chain.port}")
        supervisor.start(chain.program(), lost=ChainLost())
        supervisor.wait_for("anvil", chain.ready)
        # From here on only an orderly end writes it again; an old one must not be taken for new.
        chain.state_file.unlink(missing_ok=True)
        if resumed:
            self._check_contracts(chain)
            call(chain.rpc_url, "anvil_mine", hex(_BLOCKS_ON_RESUME))
        else:
            self.say("deploying the contracts and minting test money")
            module = ("node.devnet.chain", str(self.state.root), chain.rpc_url)
            supervisor.run(self._python("chain", *module, environment={}))
        self._ticker = Ticker(chain.rpc_url)
        self._ticker.start()
        return chain

    def _check_contracts(self, chain: Anvil) -> None:
        addresses = read_json(self.state.chain)
        for name in ("token", "settlement"):
            if call(chain.rpc_url, "eth_getCode", addresses[name], "latest") == "0x":
                raise ChainLost

    def _start_node(
        self, supervisor: Supervisor, environment: Mapping[str, str], url: str, owner_url: str
    ) -> None:
        as_owner = {**environment, "CORRIDOR_DATABASE_OWNER_URL": owner_url}
        migrate = self._python("migrate", "node", "migrate", environment=as_owner)
        first_time = not self.state.seed.exists()
        if first_time:
            supervisor.run(migrate)
            self.say("making keys and customers")
            module = ("node.devnet.seeding", str(self.state.seed))
            supervisor.run(self._python("seeding", *module, environment=environment))
        self.say(f"starting corridor serve and work on {url}")
        for name in ("serve", "work"):
            supervisor.start(self._python(name, "node", name, environment=environment))
        if not first_time:  # meanwhile both are loading; they wait for the schema
            supervisor.run(migrate)
        supervisor.wait_for("serve", lambda: answers(f"{url}/healthz"))
        supervisor.wait_for("work", lambda: answers(f"{url}/readyz"))

    def _node_environment(
        self, http_port: int, database: Postgres, chain: Anvil, addresses: Mapping[str, Any]
    ) -> dict[str, str]:
        signers = {
            f"CORRIDOR_{name.upper()}_SIGNER": f"keystore:{self.state.keystore(name)}"
            for name in ("treasury", "pauser", "rescuer")
        }
        price_feeds = "".join(f";{pair}={feed}" for pair, feed in addresses["price_feeds"].items())
        return {
            "CORRIDOR_STATE_DIR": str(self.state.root),
            "CORRIDOR_DATABASE_URL": database.node_url(),
            "CORRIDOR_HTTP_HOST": "127.0.0.1",
            "CORRIDOR_HTTP_PORT": str(http_port),
            "CORRIDOR_CHAIN_ID": str(CHAIN_ID),
            "CORRIDOR_CHAIN_RPC_URLS": chain.rpc_url,
            "CORRIDOR_CHAIN_FINALITY": f"depth:{FINALITY_DEPTH_BLOCKS}",
            "CORRIDOR_CHAIN_BLOCK_S": str(_BLOCK_S),
            "CORRIDOR_RESEND_AFTER_S": str(_RESEND_AFTER_S),
            "CORRIDOR_TOKEN_ADDRESS": addresses["token"],
            "CORRIDOR_SETTLEMENT_ADDRESS": addresses["settlement"],
            "CORRIDOR_DEPOSITS_ADDRESS": addresses["deposits"],
            "CORRIDOR_TREASURY_ADDRESS": addresses["treasury"],
            "CORRIDOR_SIGNER": f"keystore:{self.state.lane_keystores}",
            **signers,
            "CORRIDOR_FX_SOURCES": _FX_SOURCES + price_feeds,
            "CORRIDOR_SANDBOX": "1",
        }

    def _python(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str]
    ) -> Program:
        return Program(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            log=self.state.log(name),
            environment={**inherited_environment(), **environment},
            cwd=CHECKOUT,
            # Safe to kill by design, and an orderly end could wait for a database that is gone.
            death_signal=signal.SIGKILL,
        )

    def _describe(
        self,
        supervisor: Supervisor,
        url: str,
        database: Postgres,
        chain: Anvil,
        addresses: Mapping[str, Any],
    ) -> None:
        """Write `devnet.json`."""
        node = {
            "name": NODE_NAME,
            "url": url,
            "database_url": database.node_url(),
            "database_owner_url": database.url(),
            "settlement": addresses["settlement"],
            "treasury": addresses["treasury"],
            "lanes": addresses["lanes"],
            "pids": {name: [supervisor.pid(name)] for name in ("serve", "work")},
            **read_json(self.state.seed),
        }
        description = {
            "chain": {
                "chain_id": CHAIN_ID,
                "rpc_url": chain.rpc_url,
                "pid": supervisor.pid("anvil"),
            },
            "contracts": {
                "USDC": addresses["token"],
                "settlement": addresses["settlement"],
                "deposits": addresses["deposits"],
                **addresses["price_feeds"],
            },
            "nodes": [node],
        }
        write_json(self.state.description, description)


def answers(url: str) -> bool:
    """Whether a GET of this `http://` URL is answered with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_ANSWER_LIMIT_S
    )
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def inherited_environment() -> dict[str, str]:
    """The caller's environment: PATH and locale, and settings that the devnet leaves open."""
    return dict(os.environ)  # noqa: TID251 - passed on, not read
